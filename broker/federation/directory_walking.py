"""One walk through a connection's directory at hand: what it may use, what it found, how far it is.

Everything that is read is stored page by page, and the place is stored with it, so that a walk that was
killed goes on with the part that it was in. What is read twice is stored once.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, literal, select, update

from broker.audit.events import AuditEvent
from broker.audit.log import ActorRef, record
from broker.directory.models import IdentityLink
from broker.federation.deps import connector_deps
from broker.federation.models import DirectoryGroup, DirectoryPerson, DirectorySync
from broker.kernel.context import CallContext
from broker.kernel.ids import new_id
from broker.kernel.jobs import renew_lease
from broker.kernel.runtime import Runtime
from broker.kernel.upsert import dialect_insert
from broker.tenants.snapshot import ConnectionView, TenantSnapshot
from idp_connectors.base import Deps, DirectoryWalk, ListedGroup, ListedPerson, Part, PartTooLarge

LEASE_SECONDS = 60
"""A process that died is replaced after this long; each page renews the lease."""


class WalkStopped(Exception):  # noqa: N818 (names what happened)
    """Another process has the walk, or an administrator ended it; what was stored stays."""


@dataclass(frozen=True, slots=True)
class Walk:
    """A walk that this process carries on; ``holder`` is its name on the lease."""

    rt: Runtime
    tenant: TenantSnapshot
    connection: ConnectionView
    reader: DirectoryWalk
    holder: str
    run: int
    started_at: int

    @property
    def ids(self) -> dict[str, str]:
        """The columns that every row of this walk has."""
        return {"tenant_id": self.tenant.id, "connection_id": self.connection.id}

    def deps(self) -> Deps:
        """Return what the connector may use for the next step."""
        return connector_deps(self.rt, self.tenant.id, self.rt.clock.now())

    def keep_lease(self, core: Connection) -> None:
        """Renew the lease in the transaction of a step; raises WalkStopped.

        Without this: a process that was paused for a minute would write beside the one that took over.
        """
        now = self.rt.clock.now()
        name = lease_name(self.connection.id)
        if not renew_lease(core, name=name, holder=self.holder, now=now, ttl_seconds=LEASE_SECONDS):
            raise WalkStopped

    def advance(self, core: Connection, **columns: Any) -> None:
        """Store how far the walk is; raises WalkStopped when it was ended meanwhile."""
        now = self.rt.clock.now()
        changed = core.execute(
            update(DirectorySync)
            .where(
                DirectorySync.tenant_id == self.tenant.id,
                DirectorySync.connection_id == self.connection.id,
                DirectorySync.run == self.run,
                DirectorySync.state == "running",
            )
            .values(**{"problem": "", "changed_at": now, "next_at": now, **columns})
        )
        if changed.rowcount != 1:
            raise WalkStopped

    def write_down(self, core: Connection, event: AuditEvent, **given: Any) -> None:
        """Write an event of the walk itself."""
        record(
            core,
            CallContext(now=self.rt.clock.now(), request_id=new_id("req")),
            tenant_id=self.tenant.id,
            event=event,
            writer_id=self.rt.writer_id,
            actor=ActorRef("system", "directory"),
            **{"target_id": self.connection.id, **given},
        )


def lease_name(connection_id: str) -> str:
    """Return the name under which one process at a time walks the connection's directory."""
    return f"directory:{connection_id}"


def seed_known_people(core: Connection, tenant_id: str, connection_id: str) -> None:
    """Count everybody who ever signed in through the connection as somebody whom a walk must find.

    Without this: a person who left before the first walk would stay switched on for ever.
    """
    known = select(
        IdentityLink.tenant_id,
        IdentityLink.connection_id,
        IdentityLink.subject,
        literal(b""),
        literal(b""),
        literal(0),
        literal(0),
        literal(True),
        literal("active"),
        literal(False),
    ).where(IdentityLink.tenant_id == tenant_id, IdentityLink.connection_id == connection_id)
    columns = [
        *("tenant_id", "connection_id", "subject", "entry_key", "group_keys"),
        *("first_run", "run", "is_told_active", "state", "switched_off"),
    ]
    # SQLite takes "ON" for part of a join unless the SELECT has a WHERE, which it has.
    statement = dialect_insert(core)(DirectoryPerson).from_select(columns, known)
    core.execute(statement.on_conflict_do_nothing())


def walk_people(walk: Walk, parts: Sequence[Sequence[Any]]) -> None:
    """Read the first of ``parts``, then store what is left; raises ConnectorError, WalkStopped."""
    _walk_part(walk, parts, walk.reader.people, _store_people, {"phase": "groups", "parts": [["", False]]})


def walk_groups(walk: Walk, parts: Sequence[Sequence[Any]]) -> None:
    """Read the first of ``parts``, then store what is left; raises ConnectorError, WalkStopped."""
    _walk_part(walk, parts, walk.reader.groups, _store_groups, {"phase": "leaving", "parts": []})


def _walk_part(
    walk: Walk,
    parts: Sequence[Sequence[Any]],
    read: Callable[[Part, Deps], Iterator[tuple[Any, ...]]],
    store: Callable[[Connection, Walk, Sequence[Any]], None],
    next_phase: dict[str, Any],
) -> None:
    first, left = parts[0], list(parts[1:])
    part = Part(str(first[0]), bool(first[1]))
    try:
        for page in read(part, walk.deps()):
            with walk.rt.database.core_write() as core:
                walk.keep_lease(core)
                if page:
                    store(core, walk, page)
    except PartTooLarge:
        left = [[one.prefix, one.is_rest] for one in part.split()] + left
    with walk.rt.database.core_write() as core:
        walk.keep_lease(core)
        walk.advance(core, **({"parts": left} if left else next_phase))


def _store_people(core: Connection, walk: Walk, page: Sequence[ListedPerson]) -> None:
    statement = dialect_insert(core)(DirectoryPerson)
    told = ("entry_key", "group_keys", "run", "is_told_active")
    core.execute(
        statement.on_conflict_do_update(
            index_elements=["tenant_id", "connection_id", "subject"],
            set_={name: statement.excluded[name] for name in told},
        ),
        [
            {
                **walk.ids,
                "subject": person.subject,
                "entry_key": person.key,
                "group_keys": b"".join(person.groups),
                "first_run": walk.run,
                "run": walk.run,
                "is_told_active": person.is_active,
                "state": "active" if person.is_active else "off",
                "switched_off": False,
            }
            for person in page
        ],
    )


def _store_groups(core: Connection, walk: Walk, page: Sequence[ListedGroup]) -> None:
    statement = dialect_insert(core)(DirectoryGroup)
    told = ("run", "facts", "aliases", "members", "is_cut")
    core.execute(
        statement.on_conflict_do_update(
            index_elements=["tenant_id", "connection_id", "entry_key"],
            set_={name: statement.excluded[name] for name in told},
        ),
        [
            {
                **walk.ids,
                "entry_key": group.key,
                "run": walk.run,
                "facts": [
                    {"kind": fact.kind, "value": fact.value, "display": fact.display} for fact in group.facts
                ],
                "aliases": b"".join(group.aliases),
                "members": b"".join(group.members),
                "is_cut": group.is_cut,
            }
            for group in page
        ],
    )


def forget_earlier_groups(core: Connection, walk: Walk) -> None:
    """Delete groups that this walk did not find."""
    core.execute(
        delete(DirectoryGroup).where(
            DirectoryGroup.tenant_id == walk.tenant.id,
            DirectoryGroup.connection_id == walk.connection.id,
            DirectoryGroup.run < walk.run,
        )
    )
