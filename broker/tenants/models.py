"""Tables of tenants, connections and e-mail domains."""

from typing import Any

from sqlalchemy import JSON, BigInteger, Index, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from broker.kernel.database import Base, TenantScoped


class Tenant(Base):
    """A customer; its issuer is ``PUBLIC_URL/t/{slug}``. The one table that is its own scope."""

    __tablename__ = "tenants"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    slug: Mapped[str] = mapped_column(String(63), unique=True)
    name: Mapped[str] = mapped_column(String(200))
    state: Mapped[str] = mapped_column(String(16), default="active")  # active | disabled
    settings: Mapped[dict[str, Any]] = mapped_column(
        JSON, default=dict
    )  # only what differs from the defaults
    cutoff_at: Mapped[int] = mapped_column(BigInteger, default=0)  # what was issued up to here is dead
    created_at: Mapped[int] = mapped_column(BigInteger)


class Connection(TenantScoped, Base):
    """A tenant's configured identity provider."""

    __tablename__ = "connections"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    slug: Mapped[str] = mapped_column(String(63))
    kind: Mapped[str] = mapped_column(String(16))  # a key of the connector registry: oidc, saml
    name: Mapped[str] = mapped_column(String(200))
    preset: Mapped[str] = mapped_column(String(32), default="")  # the make of provider, empty: any
    config: Mapped[dict[str, Any]] = mapped_column(JSON)  # the connector's config model without its secrets
    sealed_secrets: Mapped[bytes | None] = mapped_column(LargeBinary)  # JSON of secret fields, sealed
    state: Mapped[str] = mapped_column(String(16), default="active")  # active | disabled
    cutoff_at: Mapped[int] = mapped_column(BigInteger, default=0)
    created_at: Mapped[int] = mapped_column(BigInteger)
    last_sign_in_at: Mapped[int | None] = mapped_column(BigInteger)

    __table_args__ = (UniqueConstraint("tenant_id", "slug"),)


class ConnectionDomain(TenantScoped, Base):
    """People of this e-mail domain may use this connection; many to many."""

    __tablename__ = "connection_domains"

    tenant_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    domain: Mapped[str] = mapped_column(String(253), primary_key=True)
    connection_id: Mapped[str] = mapped_column(String(40), primary_key=True)

    __table_args__ = (Index("ix_connection_domains_connection", "tenant_id", "connection_id"),)
