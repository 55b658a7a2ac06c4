"""Walking a connection's directory: begun by an administrator or by the clock, carried on by any process.

People whom the directory no longer has, or has switched off, are switched off here; everybody who has
signed in gets their groups as the directory has them now. One process at a time walks a directory.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select, update

from broker.audit.events import AuditEvent
from broker.audit.log import ActorRef, record
from broker.federation.directory_leaving import (
    count_leaving,
    is_too_many,
    switch_off_leaving,
    welcome_returning,
)
from broker.federation.directory_memberships import store_memberships
from broker.federation.directory_walking import (
    LEASE_SECONDS,
    Walk,
    WalkStopped,
    forget_earlier_groups,
    lease_name,
    seed_known_people,
    walk_groups,
    walk_people,
)
from broker.federation.models import DirectoryGroup, DirectoryPerson, DirectorySync
from broker.kernel.context import CallContext
from broker.kernel.errors import ErrorCode, Refusal, WhoseMove
from broker.kernel.ids import new_id
from broker.kernel.jobs import acquire_lease, release_lease
from broker.kernel.logs import get_logger
from broker.kernel.runtime import Runtime
from broker.kernel.upsert import dialect_insert
from broker.tenants.connections import open_secrets
from broker.tenants.snapshot import ConnectionView, TenantSnapshot
from idp_connectors.base import Connector, ConnectorError, DirectoryWalk, WalksDirectory

_log = get_logger("directory")

RETRY_SECONDS = 300
"""A directory that failed is asked again after this long."""


@dataclass(frozen=True, slots=True)
class SyncStatus:
    """How far a walk is; ``leaving`` of ``known`` people are switched off by it. Times are epoch seconds.

    ``state`` is running, waiting (for somebody to confirm that so many leave), done or cancelled.
    """

    state: str
    phase: str
    people: int
    groups: int
    parts_left: int
    leaving: int
    known: int
    is_confirmed: bool
    problem: str
    started_at: int
    changed_at: int
    finished_at: int | None
    next_at: int | None


@dataclass(frozen=True, slots=True)
class SyncDesk:
    """A connection of a tenant whose directory is walked, and who asks for it."""

    rt: Runtime
    connectors: Mapping[str, Connector]
    tenant: TenantSnapshot
    connection: ConnectionView
    ctx: CallContext
    actor: ActorRef

    @property
    def key(self) -> dict[str, str]:
        """The connection's row of walks."""
        return {"tenant_id": self.tenant.id, "connection_id": self.connection.id}


def sync_status(rt: Runtime, tenant_id: str, connection_id: str) -> SyncStatus | None:
    """Return the connection's last walk as it is now; None if there was none."""
    with rt.database.core_read() as core:
        row = _find(core, tenant_id, connection_id)
        if row is None:
            return None
        counts = [
            core.execute(
                select(func.count())
                .select_from(model)
                .where(
                    model.tenant_id == tenant_id, model.connection_id == connection_id, model.run == row.run
                )
            ).scalar_one()
            for model in (DirectoryPerson, DirectoryGroup)
        ]
    return SyncStatus(
        state=row.state,
        phase=row.phase,
        people=counts[0],
        groups=counts[1],
        parts_left=len(row.parts),
        leaving=row.leaving,
        known=row.known,
        is_confirmed=row.is_confirmed,
        problem=row.problem,
        started_at=row.started_at,
        changed_at=row.changed_at,
        finished_at=row.finished_at,
        next_at=row.next_at,
    )


def start_sync(desk: SyncDesk) -> None:
    """Begin a walk; raises ``Refusal`` if one is under way, or there is no directory that can be walked."""
    _reader(desk.rt, desk.connectors, desk.tenant, desk.connection)
    if not desk.connection.is_active or not desk.tenant.is_active:
        raise _refuse("The connection is switched off.", "connection_disabled")
    now = desk.ctx.now
    begun = {
        "state": "running",
        "phase": "people",
        "parts": [["", False]],
        "leaving": 0,
        "known": 0,
        "is_confirmed": False,
        "problem": "",
        "started_at": now,
        "changed_at": now,
        "finished_at": None,
        "next_at": now,
    }
    with desk.rt.database.core_write() as core:
        statement = dialect_insert(core)(DirectorySync).values(run=1, **desk.key, **begun)
        done = core.execute(
            statement.on_conflict_do_update(
                index_elements=["tenant_id", "connection_id"],
                set_={**begun, "run": DirectorySync.run + 1},
                where=DirectorySync.state.not_in(("running", "waiting")),
            )
        )
        if done.rowcount != 1:
            raise _refuse("This directory is being read already.", "sync_under_way")
        seed_known_people(core, desk.tenant.id, desk.connection.id)
        _write_down(core, desk, AuditEvent.DIRECTORY_SYNC_STARTED)


def confirm_sync(desk: SyncDesk) -> None:
    """Let a walk that waits switch off as many as it found missing; raises ``Refusal``."""
    _settle(desk, AuditEvent.DIRECTORY_SYNC_CONFIRMED, ("waiting",), state="running", is_confirmed=True)


def cancel_sync(desk: SyncDesk) -> None:
    """End a walk that runs or waits; whom it has switched off stays so. Raises ``Refusal``."""
    _settle(
        desk,
        AuditEvent.DIRECTORY_SYNC_CANCELLED,
        ("running", "waiting"),
        state="cancelled",
        finished_at=desk.ctx.now,
    )


def continue_sync(
    rt: Runtime,
    connectors: Mapping[str, Connector],
    tenant: TenantSnapshot,
    connection: ConnectionView,
    *,
    is_over: Callable[[], bool] = lambda: False,
    on_step: Callable[[], None] = lambda: None,
) -> bool:
    """Carry the connection's walk on until it ends, waits or fails, or ``is_over``; returns whether it did.

    False: there is none to carry on, or another process does. A failure is stored as the walk's problem,
    and the walk goes on from there the next time.
    """
    holder = new_id("wlk")
    lease = {"name": lease_name(connection.id), "holder": holder}
    with rt.database.core_write() as core:
        row = _find(core, tenant.id, connection.id)
        now = rt.clock.now()
        if row is None or row.state != "running":
            return False
        if not acquire_lease(core, **lease, now=now, ttl_seconds=LEASE_SECONDS):
            return False
    try:
        # Without this: a directory that was switched off would go on deciding who may be here.
        if not tenant.is_active or not connection.is_active:
            raise _refuse("The connection is switched off.", "connection_disabled")
        reader = _reader(rt, connectors, tenant, connection)
        walk = Walk(rt, tenant, connection, reader, holder, row.run, row.started_at)
        while not is_over() and _step(walk):
            on_step()
    except WalkStopped:
        return True
    except (ConnectorError, Refusal) as error:
        _log.warning("directory_walk_failed", connection_id=connection.id, detail=error.detail)
        _note_problem(rt, tenant.id, connection.id, error.public)
    finally:
        with rt.database.core_write() as core:
            release_lease(core, **lease)
    return True


def _step(walk: Walk) -> bool:
    """Do the next step; returns whether there is another. Raises ConnectorError, WalkStopped."""
    with walk.rt.database.core_read() as core:
        row = _find(core, walk.tenant.id, walk.connection.id)
    if row is None or row.run != walk.run or row.state != "running":
        return False
    if row.phase == "people":
        walk_people(walk, row.parts)
    elif row.phase == "groups":
        walk_groups(walk, row.parts)
    elif row.phase == "leaving":
        return _let_leave(walk, is_confirmed=row.is_confirmed)
    else:
        store_memberships(walk, str(row.parts[0]) if row.parts else "")
        _finish(walk)
        return False
    return True


def _let_leave(walk: Walk, *, is_confirmed: bool) -> bool:
    welcome_returning(walk)
    with walk.rt.database.core_write() as core:
        walk.keep_lease(core)
        leaving, known = count_leaving(core, walk)
        counts = {"leaving": leaving, "known": known}
        if is_too_many(leaving, known) and not is_confirmed:
            walk.advance(core, state="waiting", next_at=None, **counts)
            walk.write_down(core, AuditEvent.DIRECTORY_SYNC_HELD, data=counts)
            return False
        # Counted once: after a kill, those who have left already are not known any more.
        walk.advance(core, is_confirmed=True, **({} if is_confirmed else counts))
    switch_off_leaving(walk)
    with walk.rt.database.core_write() as core:
        walk.advance(core, phase="memberships", parts=[])
    return True


def _finish(walk: Walk) -> None:
    now = walk.rt.clock.now()
    every = walk.reader.every_seconds
    with walk.rt.database.core_write() as core:
        walk.keep_lease(core)
        forget_earlier_groups(core, walk)
        walk.advance(core, state="done", parts=[], finished_at=now, next_at=now + every if every else None)
        walk.write_down(core, AuditEvent.DIRECTORY_SYNC_FINISHED)


def _reader(
    rt: Runtime, connectors: Mapping[str, Connector], tenant: TenantSnapshot, connection: ConnectionView
) -> DirectoryWalk:
    connector = connectors.get(connection.kind)
    if not isinstance(connector, WalksDirectory):
        raise _refuse("This connection has no directory that can be read.", "no_directory")
    with rt.database.core_read() as core:
        secrets = open_secrets(rt, core, tenant.id, connection.id)
    try:
        return connector.directory_walk(connection.config, secrets)
    except ConnectorError as error:
        raise _refuse(error.public, error.code.value) from error


def _settle(desk: SyncDesk, event: AuditEvent, states: tuple[str, ...], **columns: Any) -> None:
    now = desk.ctx.now
    with desk.rt.database.core_write() as core:
        changed = core.execute(
            update(DirectorySync)
            .where(
                DirectorySync.tenant_id == desk.tenant.id,
                DirectorySync.connection_id == desk.connection.id,
                DirectorySync.state.in_(states),
            )
            .values(changed_at=now, next_at=now if columns["state"] == "running" else None, **columns)
        )
        if changed.rowcount != 1:
            raise _refuse("Nothing of this directory waits for you.", "no_sync")
        _write_down(core, desk, event)


def _note_problem(rt: Runtime, tenant_id: str, connection_id: str, problem: str) -> None:
    now = rt.clock.now()
    with rt.database.core_write() as core:
        core.execute(
            update(DirectorySync)
            .where(
                DirectorySync.tenant_id == tenant_id,
                DirectorySync.connection_id == connection_id,
                DirectorySync.state == "running",
            )
            .values(problem=problem[:300], changed_at=now, next_at=now + RETRY_SECONDS)
        )


def _find(core: Connection, tenant_id: str, connection_id: str) -> Any:
    return core.execute(
        select(DirectorySync.__table__).where(
            DirectorySync.tenant_id == tenant_id, DirectorySync.connection_id == connection_id
        )
    ).first()


def _write_down(core: Connection, desk: SyncDesk, event: AuditEvent) -> None:
    record(
        core,
        desk.ctx,
        tenant_id=desk.tenant.id,
        event=event,
        writer_id=desk.rt.writer_id,
        actor=desk.actor,
        target_id=desk.connection.id,
    )


def _refuse(public: str, reason: str) -> Refusal:
    return Refusal(ErrorCode.BAD_FORM, public, reason=reason, whose_move=WhoseMove.ADMIN)
