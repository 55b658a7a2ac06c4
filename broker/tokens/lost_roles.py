"""When a person loses a role, the tokens that carry it end; their grants stay and give less from then on."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import Connection, select

from broker.directory.roles import live_roles
from broker.kernel.group_commit import flush_deferred
from broker.kernel.runtime import Runtime
from broker.tokens.cascade import GRANTS, TOKENS, end_tokens_where

CAUSE = "role_lost"
_SLICE = 500


@dataclass(frozen=True, slots=True)
class Loss:
    """What one person lost, and how many tokens ended with it."""

    user_id: str
    roles: frozenset[str]
    tokens: int


@dataclass(slots=True)
class Watch:
    """Filled when the block is over: who lost a role in it."""

    losses: list[Loss] = field(default_factory=list)


@contextmanager
def ending_lost_roles(
    core: Connection, rt: Runtime, tenant_id: str, user_ids: Collection[str], now: int
) -> Iterator[Watch]:
    """Run a change of these people's groups, then end what carries a role that somebody lost by it.

    Only people with a live grant are looked at. Without this: a token that was issued a moment before a
    person left a group opens what the group opened until it runs out (C05).
    """
    watch = Watch()
    concerned = _with_live_grants(core, tenant_id, user_ids, now)
    before = {one: live_roles(core, rt, tenant_id, one, now).roles for one in concerned}
    yield watch
    for user_id, held in before.items():
        lost = held - live_roles(core, rt, tenant_id, user_id, now).roles if held else frozenset()
        if lost:
            watch.losses.append(Loss(user_id, lost, _end_carriers(core, tenant_id, user_id, lost, now)))


def _with_live_grants(core: Connection, tenant_id: str, user_ids: Collection[str], now: int) -> list[str]:
    ordered = sorted(user_ids)
    found: list[str] = []
    for first in range(0, len(ordered), _SLICE):
        found += core.execute(
            select(GRANTS.c.user_id)
            .distinct()
            .where(
                GRANTS.c.tenant_id == tenant_id,
                GRANTS.c.user_id.in_(ordered[first : first + _SLICE]),
                GRANTS.c.ended_at.is_(None),
                GRANTS.c.expires_at > now,
            )
        ).scalars()
    return found


def _end_carriers(core: Connection, tenant_id: str, user_id: str, lost: frozenset[str], now: int) -> int:
    flush_deferred(core)
    # The grants first: this waits for whoever mints under them, so that the next statement sees the token.
    core.execute(
        select(GRANTS.c.id)
        .where(GRANTS.c.tenant_id == tenant_id, GRANTS.c.user_id == user_id, GRANTS.c.ended_at.is_(None))
        .order_by(GRANTS.c.id)
        .with_for_update()
    ).all()
    grants = select(GRANTS.c.id).where(GRANTS.c.tenant_id == tenant_id, GRANTS.c.user_id == user_id)
    rows = core.execute(
        select(TOKENS.c.jti, TOKENS.c.roles).where(
            TOKENS.c.tenant_id == tenant_id,
            TOKENS.c.grant_id.in_(grants),
            TOKENS.c.ended_at.is_(None),
            TOKENS.c.expires_at > now,
        )
    )
    carriers = [row.jti for row in rows if lost.intersection(row.roles)]
    return sum(
        end_tokens_where(core, tenant_id, TOKENS.c.jti.in_(carriers[first : first + _SLICE]), CAUSE, now)
        for first in range(0, len(carriers), _SLICE)
    )
