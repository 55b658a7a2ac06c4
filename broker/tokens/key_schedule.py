"""What becomes of a tenant's signing keys and when, for the page of keys and the command line."""

from dataclasses import dataclass
from typing import cast

from sqlalchemy import select

from broker.kernel.runtime import Runtime
from broker.tenants.snapshot import TenantSnapshot
from broker.tokens.key_rotation import keep_seconds, lead_seconds, when_to_publish
from broker.tokens.keys import KEYS, State

_ORDER = {"active": 0, "next": 1, "retiring": 2, "revoked": 3}


@dataclass(frozen=True, slots=True)
class ScheduledKey:
    """A key in its state; times are epoch seconds, None where nobody has planned it.

    ``ends_at`` is when the state ends: a next key signs, an active one is succeeded, others leave.
    """

    kid: str
    use: str
    algorithm: str
    state: State
    created_at: int
    changed_at: int
    signs_at: int | None
    signs_until: int | None
    ends_at: int | None
    leaves_at: int | None


def read_schedule(rt: Runtime, tenant: TenantSnapshot) -> list[ScheduledKey]:
    """Return the tenant's keys by use, those that sign first, with the times of what is to come."""
    with rt.database.core_read() as connection:
        rows = connection.execute(
            select(
                KEYS.c.id,
                KEYS.c.use,
                KEYS.c.algorithm,
                KEYS.c.state,
                KEYS.c.created_at,
                KEYS.c.changed_at,
                KEYS.c.due_at,
            ).where(KEYS.c.tenant_id == tenant.id)
        ).all()
    ordered = sorted(rows, key=lambda row: (row.use, _ORDER[row.state], -row.changed_at, row.id))
    upcoming = {(row.use, row.algorithm): row.due_at for row in rows if row.state == "next"}
    found = []
    for row in ordered:
        signs_at, signs_until, leaves_at = None, None, None
        if row.state == "next":
            signs_at = row.due_at
        elif row.state == "active":
            signs_at = row.changed_at
            signs_until = upcoming.get((row.use, row.algorithm)) or _planned_end(tenant, row.changed_at)
            leaves_at = signs_until + keep_seconds(row.use) if signs_until else None
        elif row.state == "retiring":
            signs_until, leaves_at = row.changed_at, row.due_at
        ends_at = {"next": signs_at, "active": signs_until}.get(row.state, row.due_at)
        found.append(
            ScheduledKey(
                kid=row.id,
                use=row.use,
                algorithm=row.algorithm,
                state=cast(State, row.state),
                created_at=row.created_at,
                changed_at=row.changed_at,
                signs_at=signs_at,
                signs_until=signs_until,
                ends_at=ends_at,
                leaves_at=leaves_at,
            )
        )
    return found


def _planned_end(tenant: TenantSnapshot, signs_since: int) -> int | None:
    publish_at = when_to_publish(tenant.settings, signs_since)
    return publish_at + lead_seconds(tenant.settings) if publish_at is not None else None
