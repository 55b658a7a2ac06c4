"""When a person loses a role, the tokens that carry it end; their grants stay and give less from then on.

Every change of what is known of somebody's groups runs inside ``ending_lost_roles``: a push, a sign-in, a
refresh, a walk through a directory.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import cast

from sqlalchemy import Connection, Table, bindparam, select

from broker.audit.events import AuditEvent
from broker.audit.log import ActorRef, record
from broker.directory.models import User
from broker.directory.roles import live_roles
from broker.kernel.context import CallContext
from broker.kernel.group_commit import flush_deferred
from broker.kernel.prepared import Prepared
from broker.kernel.runtime import Runtime
from broker.tokens.cascade import GRANTS, TOKENS, end_tokens_where

CAUSE = "role_lost"
_SLICE = 500

_USERS = cast(Table, User.__table__)
_LIVE = (
    GRANTS.c.tenant_id == bindparam("tenant"),
    GRANTS.c.ended_at.is_(None),
    GRANTS.c.expires_at > bindparam("now"),
)
_HAS_LIVE_GRANT = Prepared(
    select(GRANTS.c.user_id).where(*_LIVE, GRANTS.c.user_id == bindparam("of_user")).limit(1)
)
_HAVE_LIVE_GRANTS = (
    select(GRANTS.c.user_id)
    .distinct()
    .where(*_LIVE, GRANTS.c.user_id.in_(bindparam("of_users", expanding=True)))
)
_HOLD_PERSON = Prepared(
    select(_USERS.c.id)
    .where(_USERS.c.tenant_id == bindparam("tenant"), _USERS.c.id == bindparam("of_user"))
    .with_for_update()
)
_HOLD_PEOPLE = (
    select(_USERS.c.id)
    .where(_USERS.c.tenant_id == bindparam("tenant"), _USERS.c.id.in_(bindparam("of_users", expanding=True)))
    .order_by(_USERS.c.id)
    .with_for_update()
)


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

    Only people with a live grant are looked at; until the change is committed nobody gets another one
    (``open_grant`` waits). Without this: a token that was issued a moment before a person left a group
    opens what the group opened until it runs out (C05).
    """
    watch = Watch()
    ordered = sorted(user_ids)
    _hold_people(core, tenant_id, ordered)
    concerned = _with_live_grants(core, tenant_id, ordered, now)
    before = {one: live_roles(core, rt, tenant_id, one, now).roles for one in concerned}
    yield watch
    for user_id, held in before.items():
        lost = held - live_roles(core, rt, tenant_id, user_id, now).roles if held else frozenset()
        if lost:
            watch.losses.append(Loss(user_id, lost, _end_carriers(core, tenant_id, user_id, lost, now)))


def record_losses(
    core: Connection,
    ctx: CallContext,
    losses: Collection[Loss],
    *,
    tenant_id: str,
    connection_id: str,
    actor: ActorRef,
    writer_id: str,
) -> None:
    """Write down who lost which roles by what a connection told, in the transaction of the change.

    To be called when all people of the change are done: the log's head is held from then on.
    """
    for loss in losses:
        record(
            core,
            ctx,
            tenant_id=tenant_id,
            event=AuditEvent.TOKEN_REVOKED,
            writer_id=writer_id,
            actor=actor,
            subject_id=loss.user_id,
            target_id=loss.user_id,
            reason=CAUSE,
            data={
                "connection_id": connection_id,
                "roles": sorted(loss.roles),
                "token_count": loss.tokens,
            },
        )


def _hold_people(core: Connection, tenant_id: str, ordered: list[str]) -> None:
    """Wait for whoever opens a grant for these people, and have others wait until this transaction is over.

    Without this: who agrees to an agent while a push is under way has it mint on the groups before the push,
    and the push did not see the grant. Where only one transaction writes (SQLite) there is nothing to hold.
    """
    if core.dialect.name == "sqlite":
        return
    if len(ordered) == 1:
        _HOLD_PERSON.rows(core, {"tenant": tenant_id, "of_user": ordered[0]})
        return
    for first in range(0, len(ordered), _SLICE):
        core.execute(_HOLD_PEOPLE, {"tenant": tenant_id, "of_users": ordered[first : first + _SLICE]}).all()


def _with_live_grants(core: Connection, tenant_id: str, ordered: list[str], now: int) -> list[str]:
    if len(ordered) == 1:
        rows = _HAS_LIVE_GRANT.rows(core, {"tenant": tenant_id, "of_user": ordered[0], "now": now})
        return [row.user_id for row in rows]
    found: list[str] = []
    for first in range(0, len(ordered), _SLICE):
        part = {"tenant": tenant_id, "of_users": ordered[first : first + _SLICE], "now": now}
        found += core.execute(_HAVE_LIVE_GRANTS, part).scalars()
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
