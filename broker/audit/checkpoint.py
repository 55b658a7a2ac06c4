"""Signed checkpoints: the heads of all chains of a tenant, so that a tail cannot be cut off unseen (T11)."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Connection, insert, select

from broker.audit.events import AuditEvent
from broker.audit.log import ActorRef, record
from broker.audit.models import AuditCheckpoint, AuditHead
from broker.audit.redaction import canonical
from broker.kernel.context import CallContext
from broker.kernel.sealing import Sealer

_PURPOSE = "audit checkpoint"


class CheckpointSigner(Protocol):
    """Signs checkpoints with a key that is not in the database."""

    def sign(self, payload: bytes) -> str:
        """Return a printable signature, at most 400 characters."""
        ...

    def is_valid(self, payload: bytes, signature: str) -> bool:
        """Say whether this signer, or its key before a rotation, signed `payload`."""
        ...


class HmacSigner:
    """Signs with the broker's own key-encryption key: enough to tell that the database was altered."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def sign(self, payload: bytes) -> str:
        """Return the keyed hash of `payload` in hexadecimal."""
        return self._sealer.fingerprint(_PURPOSE, payload.decode())

    def is_valid(self, payload: bytes, signature: str) -> bool:
        """Say whether `signature` is the keyed hash of `payload`; compares in constant time."""
        return hmac.compare_digest(self.sign(payload).encode(), signature.encode())


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint as written; keep `number` and `signature` elsewhere to notice a restored old database."""

    number: int
    at: int
    signature: str


def write_checkpoint(
    connection: Connection, ctx: CallContext, *, tenant_id: str, signer: CheckpointSigner, writer_id: str
) -> Checkpoint:
    """Sign the present heads of the tenant's chains, in the caller's transaction.

    The checkpoint is itself an event, written first, so that its row cannot be removed unseen.
    """
    last = connection.execute(
        select(AuditCheckpoint.number, AuditCheckpoint.signature)
        .where(AuditCheckpoint.tenant_id == tenant_id)
        .order_by(AuditCheckpoint.number.desc())
        .limit(1)
    ).one_or_none()
    number, previous = (last.number + 1, last.signature) if last else (1, "")
    record(
        connection,
        ctx,
        tenant_id=tenant_id,
        event=AuditEvent.AUDIT_CHECKPOINT,
        writer_id=writer_id,
        actor=ActorRef("system", "audit"),
        data={"number": number},
    )
    heads = connection.execute(
        select(AuditHead.writer, AuditHead.seq, AuditHead.hash).where(AuditHead.tenant_id == tenant_id)
    )
    row: dict[str, Any] = {
        "tenant_id": tenant_id,
        "number": number,
        "at": ctx.now,
        "heads": {head.writer: [head.seq, head.hash] for head in heads},
        "previous": previous,
    }
    signature = signer.sign(payload_of(row))
    connection.execute(insert(AuditCheckpoint).values(**row, signature=signature))
    return Checkpoint(number, ctx.now, signature)


def payload_of(row: Mapping[str, Any]) -> bytes:
    """Return the bytes that a checkpoint's signature covers: every column but the signature."""
    return canonical({name: value for name, value in row.items() if name != "signature"})
