"""Who is gone from a directory loses what agents hold for them; who is back may sign in again."""

from sqlalchemy import ColumnElement, Connection, and_, exists, func, select, update

from broker.audit.events import AuditEvent
from broker.audit.log import ActorRef, record
from broker.directory.models import IdentityLink, User
from broker.directory.people import find_users
from broker.federation.directory_walking import Walk
from broker.federation.models import DirectoryPerson
from broker.kernel.context import CallContext
from broker.kernel.runtime import Runtime
from broker.tokens.cascade import Ended
from broker.tokens.switching_off import end_agents_of, end_user, switch_on

GUARD_SHARE = 20
"""A walk that would switch off more than one in so many of the people known before waits for a person."""
CAUSE = "directory"
_BATCH = 50


def count_leaving(core: Connection, walk: Walk) -> tuple[int, int]:
    """Return how many the walk switches off, and how many were here before it."""
    mine = _of(walk.tenant.id, walk.connection.id)
    before = and_(mine, DirectoryPerson.state == "active", DirectoryPerson.first_run < walk.run)
    counted = select(func.count()).select_from(DirectoryPerson)
    leaving = core.execute(counted.where(before, _is_missed(walk))).scalar_one()
    known = core.execute(counted.where(before)).scalar_one()
    return leaving, known


def is_too_many(leaving: int, known: int) -> bool:
    """Whether so many leave at once that it is more likely a mistake than a truth.

    Without this: a search base with a slip in it, or a bind account that lost its rights, would end the
    access of a whole company.
    """
    return leaving * GUARD_SHARE > known


def welcome_returning(walk: Walk) -> None:
    """Let people in again whom a walk had switched off and this one found in use; raises WalkStopped."""
    mine = _of(walk.tenant.id, walk.connection.id)
    back = and_(
        mine,
        DirectoryPerson.state == "off",
        DirectoryPerson.run == walk.run,
        DirectoryPerson.is_told_active,
    )
    while True:
        with walk.rt.database.core_write() as core:
            walk.keep_lease(core)
            found = core.execute(
                select(DirectoryPerson.subject).where(back, DirectoryPerson.switched_off).limit(_BATCH)
            ).scalars()
            subjects = list(found)
            for subject in subjects:
                _let_in(core, walk.rt, walk.tenant.id, walk.connection.id, subject)
            if not subjects:
                core.execute(update(DirectoryPerson).where(back).values(state="active"))
                return


def switch_off_leaving(walk: Walk) -> None:
    """Switch off whom the walk did not find, or found not in use, some at a time; raises WalkStopped."""
    leaving = and_(
        _of(walk.tenant.id, walk.connection.id), DirectoryPerson.state == "active", _is_missed(walk)
    )
    has_user = exists().where(
        IdentityLink.tenant_id == walk.tenant.id,
        IdentityLink.connection_id == walk.connection.id,
        IdentityLink.subject == DirectoryPerson.subject,
    )
    while True:
        with walk.rt.database.core_write() as core:
            walk.keep_lease(core)
            found = core.execute(select(DirectoryPerson.subject).where(leaving, has_user).limit(_BATCH))
            subjects = list(found.scalars())
            for subject in subjects:
                _switch_off(core, walk, subject)
            if not subjects:
                # Nobody ever signed in as these.
                core.execute(update(DirectoryPerson).where(leaving).values(state="off"))
                return


def let_back_in(rt: Runtime, tenant_id: str, connection_id: str, subject: str) -> None:
    """Let somebody in again whom a walk switched off and whose password the directory just took.

    Without this: a person who is back at work would have to wait for the next walk.
    """
    this = and_(_of(tenant_id, connection_id), DirectoryPerson.subject == subject)
    with rt.database.core_read() as core:
        row = core.execute(select(DirectoryPerson.state).where(this)).first()
    if row is None or row.state == "active":
        return
    with rt.database.core_write() as core:
        _let_in(core, rt, tenant_id, connection_id, subject)


def _let_in(core: Connection, rt: Runtime, tenant_id: str, connection_id: str, subject: str) -> None:
    """Put a person back; only a user whom a walk disabled is enabled: an administrator's word stands."""
    this = and_(_of(tenant_id, connection_id), DirectoryPerson.subject == subject)
    was_ours = core.execute(
        update(DirectoryPerson).where(this, DirectoryPerson.switched_off).values(switched_off=False)
    ).rowcount
    core.execute(update(DirectoryPerson).where(this).values(state="active", is_told_active=True))
    now = rt.clock.now()
    for user_id in find_users(core, tenant_id, connection_id, subject) if was_ours else ():
        if switch_on(core, tenant_id, "user", user_id, now):
            _write_down(core, rt, tenant_id, connection_id, AuditEvent.USER_ENABLED, user_id)


def _switch_off(core: Connection, walk: Walk, subject: str) -> None:
    tenant_id, connection_id = walk.tenant.id, walk.connection.id
    ended_any = False
    for user_id in find_users(core, tenant_id, connection_id, subject):
        user = core.execute(
            select(User.state, User.email, User.email_verified_by).where(
                User.tenant_id == tenant_id, User.id == user_id
            )
        ).first()
        if user is None or user.state != "active":
            continue
        ended = end_user(core, tenant_id, user_id, CAUSE, walk.rt.clock.now())
        _write_down(
            core, walk.rt, tenant_id, connection_id, AuditEvent.USER_DISABLED, user_id, data=_counts(ended)
        )
        if user.email and user.email_verified_by == "idp_verified_domain":
            _suspend_agents(core, walk, user_id, user.email)
        ended_any = True
    core.execute(
        update(DirectoryPerson)
        .where(_of(tenant_id, connection_id), DirectoryPerson.subject == subject)
        .values(state="off", switched_off=ended_any)
    )


def _suspend_agents(core: Connection, walk: Walk, owner_id: str, email: str) -> None:
    """Suspend what the person owns, as provisioning does: nobody answers for it any more."""
    now, tenant_id = walk.rt.clock.now(), walk.tenant.id
    for agent_id, ended in end_agents_of(core, tenant_id, email, "owner_deprovisioned", now).items():
        _write_down(
            core,
            walk.rt,
            tenant_id,
            walk.connection.id,
            AuditEvent.AGENT_SUSPENDED,
            owner_id,
            target_id=agent_id,
            reason="owner_deprovisioned",
            data=_counts(ended),
        )


def _counts(ended: Ended) -> dict[str, int]:
    return {"token_count": ended.tokens, "grant_count": ended.grants, "session_count": ended.sessions}


def _write_down(
    core: Connection,
    rt: Runtime,
    tenant_id: str,
    connection_id: str,
    event: AuditEvent,
    user_id: str,
    *,
    target_id: str = "",
    reason: str = CAUSE,
    data: dict[str, int] | None = None,
) -> None:
    record(
        core,
        CallContext(now=rt.clock.now(), request_id=""),
        tenant_id=tenant_id,
        event=event,
        writer_id=rt.writer_id,
        actor=ActorRef("system", CAUSE),
        subject_id=user_id,
        target_id=target_id or user_id,
        reason=reason,
        data={"connection_id": connection_id, **(data or {})},
    )


def _of(tenant_id: str, connection_id: str) -> ColumnElement[bool]:
    return and_(DirectoryPerson.tenant_id == tenant_id, DirectoryPerson.connection_id == connection_id)


def _is_missed(walk: Walk) -> ColumnElement[bool]:
    return (DirectoryPerson.run < walk.run) | DirectoryPerson.is_told_active.is_(False)
