"""Recomputes a tenant's chains and finds the first event that was altered, moved, added or taken (T11).

What came after the last checkpoint is guarded by hashes alone: whoever can write the database and recompute
hashes can rewrite that tail. Frequent checkpoints keep it short.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

from sqlalchemy import Connection, RowMapping, Table, select

from broker.audit.checkpoint import CheckpointSigner, payload_of
from broker.audit.events import AuditEvent
from broker.audit.log import Head, first_head, hash_of
from broker.audit.models import AuditCheckpoint, AuditHead, AuditRecord

CLOCK_TOLERANCE_SECONDS = 300
_ROWS_AT_ONCE = 1_000


class FaultKind(StrEnum):
    """What is wrong with a log."""

    MISSING = "missing"
    """An event was deleted, or its number changed."""
    BROKEN_LINK = "broken_link"
    """An event does not follow the one before it: something was inserted, moved or rewritten."""
    EDITED = "edited"
    """An event's content does not match its hash."""
    TRUNCATED = "truncated"
    """The chain ends before its head or before the last checkpoint."""
    UNACCOUNTED = "unaccounted"
    """There are events beyond the head, or a chain without one."""
    HEAD_EDITED = "head_edited"
    """The head does not match the event that it names."""
    CHECKPOINT_FORGED = "checkpoint_forged"
    """A checkpoint's signature is not valid, or it does not follow the one before it."""
    CHECKPOINT_MISSING = "checkpoint_missing"
    """A checkpoint was deleted."""
    REWRITTEN = "rewritten"
    """A chain is sound in itself and differs from what the last checkpoint signed."""


@dataclass(frozen=True, slots=True)
class Fault:
    """The first fault found: in which chain ("" for checkpoints) and at which number."""

    kind: FaultKind
    writer: str
    seq: int


@dataclass(frozen=True, slots=True)
class Report:
    """What a verification saw. `clock_steps` are (writer, seq) at which the time went back by minutes."""

    ok: bool
    fault: Fault | None
    events: int
    writers: int
    checkpoints: int
    clock_steps: tuple[tuple[str, int], ...]


class _Broken(Exception):  # noqa: N818 (carries the finding to the report)
    def __init__(self, kind: FaultKind, writer: str, seq: int) -> None:
        super().__init__(kind)
        self.fault = Fault(kind, writer, seq)


def verify(connection: Connection, tenant_id: str, *, signer: CheckpointSigner) -> Report:
    """Return whether the tenant's log is whole, and the first fault if not; events may be added meanwhile."""
    walk = _Walk(tenant_id)
    checkpoints: list[RowMapping] = []
    fault = None
    try:
        checkpoints = _read_checkpoints(connection, tenant_id)
        _check_signatures(checkpoints, signer)
        signed = _signed_heads(checkpoints)
        # Read before and after the events: what is added meanwhile moves the second reading only.
        before = _read_heads(connection, tenant_id)
        walk.read(connection, signed, before)
        walk.check_ends(signed, before, _read_heads(connection, tenant_id))
        if walk.last_checkpoint > len(_read_checkpoints(connection, tenant_id)):
            raise _Broken(FaultKind.CHECKPOINT_MISSING, "", walk.last_checkpoint)
    except _Broken as broken:
        fault = broken.fault
    return Report(
        ok=fault is None,
        fault=fault,
        events=walk.events,
        writers=len(walk.ends),
        checkpoints=len(checkpoints),
        clock_steps=tuple(walk.clock_steps),
    )


class _Walk:
    """One pass over all events of a tenant in the order of their chains."""

    def __init__(self, tenant_id: str) -> None:
        self.tenant_id = tenant_id
        self.ends: dict[str, Head] = {}
        self.events = 0
        self.last_checkpoint = 0
        self.clock_steps: list[tuple[str, int]] = []
        self._latest_at = 0

    def read(self, connection: Connection, signed: Mapping[str, Head], heads: Mapping[str, Head]) -> None:
        """Follow every chain; on the way compare the events that a checkpoint or a head names."""
        table = _table(AuditRecord)
        rows = connection.execute(
            select(table)
            .where(table.c.tenant_id == self.tenant_id)
            .order_by(table.c.writer, table.c.seq)
            .execution_options(yield_per=_ROWS_AT_ONCE)
        )
        try:
            for row in rows.mappings():
                self._take(row)
                for named, kind in ((signed, FaultKind.REWRITTEN), (heads, FaultKind.HEAD_EDITED)):
                    end = named.get(row["writer"])
                    if end and end.seq == row["seq"] and end.hash != row["hash"]:
                        raise _Broken(kind, row["writer"], row["seq"])
        except ValueError:
            # A column whose JSON cannot be read; we know only the event before it.
            writer, end = next(reversed(self.ends.items()), ("", Head(0, "")))
            raise _Broken(FaultKind.EDITED, writer, end.seq + 1) from None

    def check_ends(
        self, signed: Mapping[str, Head], before: Mapping[str, Head], after: Mapping[str, Head]
    ) -> None:
        """Compare where the chains end with the heads and the last checkpoint."""
        for promised in (signed, before):
            for writer, head in sorted(promised.items()):
                end = self.ends.get(writer, first_head(self.tenant_id, writer))
                if end.seq < head.seq:
                    raise _Broken(FaultKind.TRUNCATED, writer, end.seq + 1)
        for writer, end in self.ends.items():
            # Without this: events that were never chained by us are taken for ours.
            if writer not in after or after[writer].seq < end.seq:
                seq = after[writer].seq + 1 if writer in after else 1
                raise _Broken(FaultKind.UNACCOUNTED, writer, seq)

    def _take(self, row: RowMapping) -> None:
        writer, seq = row["writer"], row["seq"]
        if writer not in self.ends:
            self.ends[writer], self._latest_at = first_head(self.tenant_id, writer), 0
        end = self.ends[writer]
        if seq != end.seq + 1:
            raise _Broken(FaultKind.MISSING, writer, end.seq + 1)
        if row["prev_hash"] != end.hash:
            raise _Broken(FaultKind.BROKEN_LINK, writer, seq)
        if not _has_own_hash(row):
            raise _Broken(FaultKind.EDITED, writer, seq)
        self.ends[writer] = Head(seq, row["hash"])
        self.events += 1
        if row["event"] == AuditEvent.AUDIT_CHECKPOINT:
            self.last_checkpoint = max(self.last_checkpoint, int(row["data"].get("number", 0)))
        # Clocks are set back by honest machines too, so this is shown and is no fault.
        if row["at"] < self._latest_at - CLOCK_TOLERANCE_SECONDS:
            self.clock_steps.append((writer, seq))
        self._latest_at = max(self._latest_at, row["at"])


def _has_own_hash(row: RowMapping) -> bool:
    try:
        return hash_of(_columns(row)) == str(row["hash"])
    except (TypeError, ValueError):
        # A value of a type or encoding that no event of ours can have.
        return False


def _is_signed(row: RowMapping, signer: CheckpointSigner) -> bool:
    try:
        return signer.is_valid(payload_of(_columns(row)), row["signature"])
    except (TypeError, ValueError):
        return False


def _columns(row: RowMapping) -> dict[str, Any]:
    return {str(name): value for name, value in row.items()}


def _check_signatures(checkpoints: list[RowMapping], signer: CheckpointSigner) -> None:
    previous = ""
    for number, row in enumerate(checkpoints, start=1):
        if row["number"] != number:
            raise _Broken(FaultKind.CHECKPOINT_MISSING, "", number)
        # Without this: whoever can write the database signs a shorter log as whole.
        if row["previous"] != previous or not _is_signed(row, signer):
            raise _Broken(FaultKind.CHECKPOINT_FORGED, "", number)
        previous = row["signature"]


def _signed_heads(checkpoints: list[RowMapping]) -> dict[str, Head]:
    heads: dict[str, Any] = checkpoints[-1]["heads"] if checkpoints else {}
    return {writer: Head(seq, digest) for writer, (seq, digest) in heads.items()}


def _read_checkpoints(connection: Connection, tenant_id: str) -> list[RowMapping]:
    table = _table(AuditCheckpoint)
    rows = connection.execute(select(table).where(table.c.tenant_id == tenant_id).order_by(table.c.number))
    try:
        return list(rows.mappings())
    except ValueError:
        raise _Broken(FaultKind.CHECKPOINT_FORGED, "", 1) from None


def _read_heads(connection: Connection, tenant_id: str) -> dict[str, Head]:
    table = _table(AuditHead)
    rows = connection.execute(select(table).where(table.c.tenant_id == tenant_id))
    return {row.writer: Head(row.seq, row.hash) for row in rows}


def _table(model: type[AuditRecord] | type[AuditHead] | type[AuditCheckpoint]) -> Table:
    """Return the model's table: columns come back under their own names, as the hash covers them."""
    return cast(Table, model.__table__)
