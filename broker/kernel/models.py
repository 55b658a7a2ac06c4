"""The kernel's own tables: replay marks, versions that invalidate caches, leases for scheduled jobs."""

from sqlalchemy import BigInteger, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from broker.kernel.database import Base, TenantScoped


class ReplayMark(TenantScoped, Base):
    """Something issued by others that was used once: an assertion id, a ``jti``. Key is its hash."""

    __tablename__ = "replay_marks"

    kind: Mapped[str] = mapped_column(String(32), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    key_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    expires_at: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (Index("ix_replay_marks_expires_at", "expires_at"),)


class StateVersion(TenantScoped, Base):
    """Counts the changes of a tenant's cached state; every process compares before it trusts its copy."""

    __tablename__ = "state_versions"

    tenant_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger)


class Lease(Base):
    """Who runs a scheduled job at the moment. Not a tenant's row: jobs walk expiry indexes of all tenants."""

    __tablename__ = "leases"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    holder: Mapped[str] = mapped_column(String(64))
    expires_at: Mapped[int] = mapped_column(BigInteger)
