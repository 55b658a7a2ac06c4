"""Writes events: in the caller's transaction, chained per tenant and writer (security T11, T12)."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, cast

from sqlalchemy import Connection, Table, bindparam, insert, select, update

from broker.audit.events import AuditEvent
from broker.audit.models import AuditHead, AuditRecord
from broker.audit.personal import seal_personal
from broker.audit.redaction import canonical, clean_data, clean_text
from broker.kernel.context import CallContext
from broker.kernel.prepared import Prepared
from broker.kernel.sealing import Sealer
from broker.kernel.upsert import dialect_insert

_EVENTS = cast(Table, AuditRecord.__table__)
_HEADS = cast(Table, AuditHead.__table__)
_INSERT = Prepared(insert(_EVENTS))
_LOCK_HEAD = Prepared(
    select(_HEADS.c.seq, _HEADS.c.hash)
    .where(_HEADS.c.tenant_id == bindparam("tenant"), _HEADS.c.writer == bindparam("of_writer"))
    .with_for_update()
)
_MOVE_HEAD = Prepared(
    update(_HEADS)
    .where(_HEADS.c.tenant_id == bindparam("of_tenant"), _HEADS.c.writer == bindparam("of_writer"))
    .values(seq=bindparam("to_seq"), hash=bindparam("to_hash"))
)

Outcome = Literal["ok", "refused"]
ActorKind = Literal["user", "agent", "client", "admin", "operator", "system"]


@dataclass(frozen=True, slots=True)
class ActorRef:
    """Who did it: an opaque id and what sort of actor it names; an operator works at the command line."""

    kind: ActorKind
    id: str


class ChainMember(Protocol):
    """A member of an actor chain, outermost first; `broker.policy.values.Actor` is one."""

    @property
    def issuer(self) -> str:
        """The issuer that named the actor."""
        ...

    @property
    def id(self) -> str:
        """The actor's id at that issuer."""
        ...


class AuditEntry(NamedTuple):
    """An event that is ready to be chained; made by `compose`, written by `append_many`."""

    tenant_id: str
    writer: str
    at: int
    event: str
    outcome: str
    reason: str
    subject_id: str
    agent_id: str
    client_id: str
    target_id: str
    request_id: str
    actor: dict[str, str] | None
    chain: list[dict[str, str]]
    data: dict[str, Any]
    personal: bytes | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a chain: the number of its last event and that event's hash."""

    seq: int
    hash: str


def record(
    connection: Connection,
    ctx: CallContext,
    *,
    tenant_id: str,
    event: AuditEvent,
    writer_id: str,
    outcome: Outcome = "ok",
    actor: ActorRef | None = None,
    subject_id: str = "",
    chain: Sequence[ChainMember] = (),
    target_id: str = "",
    client_id: str = "",
    reason: str = "",
    data: Mapping[str, Any] | None = None,
    personal: Mapping[str, Any] | None = None,
    sealer: Sealer | None = None,
) -> None:
    """Write one event in the caller's transaction, so that it stands exactly if the effect stands (T12).

    `personal` (names, addresses) is sealed under the key of the person `subject_id`, which takes `sealer`;
    the caller's address and user agent are added to it. Raises `SecretInAudit` for a key of `data` or
    `personal` that names a secret.
    """
    entry = compose(
        ctx,
        tenant_id=tenant_id,
        event=event,
        writer_id=writer_id,
        outcome=outcome,
        actor=actor,
        subject_id=subject_id,
        chain=chain,
        target_id=target_id,
        client_id=client_id,
        reason=reason,
        data=data,
    )
    if personal is not None:
        if sealer is None:
            raise ValueError("personal fields need a sealer")
        entry = with_personal(connection, sealer, ctx, entry, personal)
    append_many(connection, [entry])


def with_personal(
    connection: Connection,
    sealer: Sealer,
    ctx: CallContext,
    entry: AuditEntry,
    personal: Mapping[str, Any],
) -> AuditEntry:
    """Return the event with `personal` sealed under the key of its subject; raises `SecretInAudit`.

    The caller's address and user agent are added.
    """
    private = canonical(clean_data({"ip": ctx.ip, "user_agent": ctx.user_agent, **personal}))
    sealed = seal_personal(connection, sealer, entry.tenant_id, entry.subject_id, private)
    return entry._replace(personal=sealed)


def compose(
    ctx: CallContext,
    *,
    tenant_id: str,
    event: AuditEvent,
    writer_id: str,
    outcome: Outcome = "ok",
    actor: ActorRef | None = None,
    subject_id: str = "",
    chain: Sequence[ChainMember] = (),
    target_id: str = "",
    client_id: str = "",
    reason: str = "",
    data: Mapping[str, Any] | None = None,
) -> AuditEntry:
    """Return an event without personal fields; raises `SecretInAudit`.

    For the group commit, which chains many at once: `transaction.defer(append_many, entry)`.
    """
    return AuditEntry(
        tenant_id=tenant_id,
        writer=writer_id,
        at=ctx.now,
        event=event.value,
        outcome=outcome,
        reason=clean_text(reason, 80),
        subject_id=clean_text(subject_id, 80),
        agent_id=clean_text(_agent_id(actor, chain, target_id), 80),
        client_id=clean_text(client_id, 255),
        target_id=clean_text(target_id, 255),
        request_id=clean_text(ctx.request_id, 64),
        actor={"kind": actor.kind, "id": clean_text(actor.id)} if actor else None,
        chain=[{"iss": clean_text(member.issuer), "sub": clean_text(member.id)} for member in chain],
        data=clean_data(data or {}),
    )


def append_many(connection: Connection, entries: Sequence[AuditEntry]) -> None:
    """Chain and write events in order, with one read and one write of the heads for all of them.

    The heads stay locked until the transaction ends, so two connections of one writer cannot fork a chain.
    """
    if not entries:
        return
    heads = _lock_heads(connection, sorted({(entry.tenant_id, entry.writer) for entry in entries}))
    rows = []
    for entry in entries:
        key = entry.tenant_id, entry.writer
        row = _row(entry, heads[key])
        heads[key] = Head(row["seq"], row["hash"])
        rows.append(row)
    _INSERT.run_many(connection, rows)
    _MOVE_HEAD.run_many(
        connection,
        [
            {"of_tenant": tenant_id, "of_writer": writer, "to_seq": head.seq, "to_hash": head.hash}
            for (tenant_id, writer), head in heads.items()
        ],
    )


def first_head(tenant_id: str, writer: str) -> Head:
    """Return where a chain begins; it names tenant and writer, so a chain cannot be moved to another."""
    return Head(0, hashlib.sha256(f"audit\0{tenant_id}\0{writer}".encode()).hexdigest())


def hash_of(columns: Mapping[str, Any]) -> str:
    """Return the hash of an event's columns, `prev_hash` included; `personal` counts as ciphertext."""
    covered = {name: value for name, value in columns.items() if name != "hash"}
    if covered["personal"] is not None:
        covered["personal"] = bytes(covered["personal"]).hex()
    return hashlib.sha256(canonical(covered)).hexdigest()


def _row(entry: AuditEntry, head: Head) -> dict[str, Any]:
    row = {**entry._asdict(), "seq": head.seq + 1, "prev_hash": head.hash}
    row["hash"] = hash_of(row)
    return row


def _lock_heads(connection: Connection, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Head]:
    """Read the heads of all chains, in one order for everybody, locked where the database locks rows."""
    heads = _select_heads(connection, keys)
    missing = [key for key in keys if key not in heads]
    if missing:
        insert_head = dialect_insert(connection)
        fresh = [
            {"tenant_id": tenant_id, "writer": writer, "seq": 0, "hash": first_head(tenant_id, writer).hash}
            for tenant_id, writer in missing
        ]
        # Waits for another transaction that makes the same head; whichever came first, it is read below.
        connection.execute(insert_head(_HEADS).on_conflict_do_nothing(), fresh)
        heads |= _select_heads(connection, missing)
    return heads


def _select_heads(connection: Connection, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Head]:
    return {
        (tenant_id, writer): Head(row.seq, row.hash)
        for tenant_id, writer in keys
        for row in _LOCK_HEAD.rows(connection, {"tenant": tenant_id, "of_writer": writer})
    }


def _agent_id(actor: ActorRef | None, chain: Sequence[ChainMember], target_id: str) -> str:
    """Return the agent under which the event is found: the current caller, else the one acted upon."""
    if chain:
        return chain[0].id
    if actor is not None and actor.kind == "agent":
        return actor.id
    return target_id if target_id.startswith("agt_") else ""
