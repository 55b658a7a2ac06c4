"""Tables of the event log: events, the head of each chain, signed checkpoints, the keys of persons."""

from typing import Any

from sqlalchemy import JSON, BigInteger, Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from broker.kernel.database import Base, TenantScoped


class AuditRecord(TenantScoped, Base):
    """One event. Every column but `hash` goes into the hash; `personal` as ciphertext."""

    __tablename__ = "audit_events"

    tenant_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    writer: Mapped[str] = mapped_column(String(40), primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at: Mapped[int] = mapped_column(BigInteger)
    event: Mapped[str] = mapped_column(String(40))
    outcome: Mapped[str] = mapped_column(String(8))
    reason: Mapped[str] = mapped_column(String(80))
    subject_id: Mapped[str] = mapped_column(String(80))
    agent_id: Mapped[str] = mapped_column(String(80))  # the agent that the event is about or that acted
    client_id: Mapped[str] = mapped_column(String(255))
    target_id: Mapped[str] = mapped_column(String(255))
    request_id: Mapped[str] = mapped_column(String(64))
    actor: Mapped[dict[str, str] | None] = mapped_column(JSON(none_as_null=True))
    chain: Mapped[list[dict[str, str]]] = mapped_column(JSON)
    data: Mapped[dict[str, Any]] = mapped_column(JSON)
    personal: Mapped[bytes | None] = mapped_column(LargeBinary)
    prev_hash: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64))

    __table_args__ = (
        Index("ix_audit_events_at", "tenant_id", "at", "writer", "seq"),
        Index("ix_audit_events_subject", "tenant_id", "subject_id", "at"),
        Index("ix_audit_events_agent", "tenant_id", "agent_id", "at"),
    )


class AuditHead(TenantScoped, Base):
    """The last event of one writer's chain; the row is the lock that keeps a chain from forking."""

    __tablename__ = "audit_heads"

    tenant_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    writer: Mapped[str] = mapped_column(String(40), primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger)
    hash: Mapped[str] = mapped_column(String(64))

    __table_args__ = (Index("ix_audit_heads_writer", "writer"),)


class AuditCheckpoint(TenantScoped, Base):
    """All heads of a tenant at one time, signed; each names the signature of the one before."""

    __tablename__ = "audit_checkpoints"

    tenant_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at: Mapped[int] = mapped_column(BigInteger)
    heads: Mapped[dict[str, Any]] = mapped_column(JSON)  # writer → [seq, hash]
    previous: Mapped[str] = mapped_column(String(400))
    signature: Mapped[str] = mapped_column(String(400))


class PersonKey(TenantScoped, Base):
    """The sealed key of one person's personal fields; without it they are noise and the chain still holds."""

    __tablename__ = "person_keys"

    tenant_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    user_id: Mapped[str] = mapped_column(String(80), primary_key=True)  # "" for events about nobody known
    sealed_key: Mapped[bytes | None] = mapped_column(LargeBinary)  # NULL once destroyed
    destroyed_at: Mapped[int | None] = mapped_column(BigInteger)
