"""Tables of pushed people and groups, of the tokens that may push, and of what was asked."""

from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, Index, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from broker.kernel.database import Base, TenantScoped


class ScimLink(TenantScoped, Base):
    """How one connection provisions: what its ``externalId`` stands for, and when it last called."""

    __tablename__ = "scim_links"

    tenant_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    connection_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    matching: Mapped[str] = mapped_column(String(16))  # external_id | manual
    last_request_at: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[int] = mapped_column(BigInteger)


class ScimToken(TenantScoped, Base):
    """A bearer token of one connection; several may be good at once, so that one can replace another."""

    __tablename__ = "scim_tokens"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    connection_id: Mapped[str] = mapped_column(String(40))
    name: Mapped[str] = mapped_column(String(100))
    secret_hash: Mapped[str] = mapped_column(String(64), unique=True)  # SHA-256 of 256 random bits
    scopes: Mapped[list[str]] = mapped_column(JSON)
    created_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int] = mapped_column(BigInteger)
    last_used_at: Mapped[int | None] = mapped_column(BigInteger)
    revoked_at: Mapped[int | None] = mapped_column(BigInteger)

    __table_args__ = (
        Index("ix_scim_tokens_connection", "tenant_id", "connection_id"),
        Index("ix_scim_tokens_expires_at", "expires_at"),
    )


class ScimUser(TenantScoped, Base):
    """A person as the provider pushed them; ``directory.ProvisionedPerson`` of the same id binds them."""

    __tablename__ = "scim_users"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    connection_id: Mapped[str] = mapped_column(String(40))
    external_id: Mapped[str | None] = mapped_column(String(500))
    user_name: Mapped[str] = mapped_column(String(320))
    user_name_key: Mapped[str] = mapped_column(String(640))  # as comparisons see it
    display_key: Mapped[str | None] = mapped_column(String(1000))
    active: Mapped[bool] = mapped_column(Boolean)
    resource: Mapped[dict[str, Any]] = mapped_column(JSON)  # the rest, as SCIM writes it
    version: Mapped[int] = mapped_column(Integer, default=1)
    created_at: Mapped[int] = mapped_column(BigInteger)
    changed_at: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (
        UniqueConstraint("tenant_id", "connection_id", "user_name_key"),
        UniqueConstraint("tenant_id", "connection_id", "external_id"),
        Index("ix_scim_users_order", "tenant_id", "connection_id", "created_at", "id"),
        Index("ix_scim_users_display", "tenant_id", "connection_id", "display_key"),
    )


class ScimEmail(TenantScoped, Base):
    """One pushed address, for filters only. Nobody is ever recognised by it (C10)."""

    __tablename__ = "scim_emails"

    tenant_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    scim_user_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True)
    value_key: Mapped[str] = mapped_column(String(640))
    type_key: Mapped[str] = mapped_column(String(64))

    __table_args__ = (Index("ix_scim_emails_value", "tenant_id", "value_key"),)


class ScimGroup(TenantScoped, Base):
    """A group as the provider pushed it; its members are rows of their own."""

    __tablename__ = "scim_groups"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    connection_id: Mapped[str] = mapped_column(String(40))
    external_id: Mapped[str | None] = mapped_column(String(500))
    display_name: Mapped[str] = mapped_column(String(500))
    display_key: Mapped[str] = mapped_column(String(1000))
    version: Mapped[int] = mapped_column(Integer, default=1)
    created_at: Mapped[int] = mapped_column(BigInteger)
    changed_at: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (
        UniqueConstraint("tenant_id", "connection_id", "display_key"),
        UniqueConstraint("tenant_id", "connection_id", "external_id"),
        Index("ix_scim_groups_order", "tenant_id", "connection_id", "created_at", "id"),
    )


class ScimMember(TenantScoped, Base):
    """A person in a group; people only, groups in groups are refused."""

    __tablename__ = "scim_members"

    tenant_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    group_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    scim_user_id: Mapped[str] = mapped_column(String(40), primary_key=True)

    __table_args__ = (Index("ix_scim_members_user", "tenant_id", "scim_user_id", "group_id"),)


class ScimRequest(TenantScoped, Base):
    """One authenticated request, for administrators; bodies hold no personal values."""

    __tablename__ = "scim_requests"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    connection_id: Mapped[str] = mapped_column(String(40))
    token_id: Mapped[str] = mapped_column(String(40))
    request_id: Mapped[str] = mapped_column(String(64))
    at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int] = mapped_column(BigInteger)
    method: Mapped[str] = mapped_column(String(8))
    path: Mapped[str] = mapped_column(String(200))
    query: Mapped[str] = mapped_column(String(500))
    status: Mapped[int] = mapped_column(Integer)
    scim_type: Mapped[str] = mapped_column(String(32))
    detail: Mapped[str] = mapped_column(String(300))
    body: Mapped[str] = mapped_column(Text)
    user_agent: Mapped[str] = mapped_column(String(100))

    __table_args__ = (
        Index("ix_scim_requests_tenant", "tenant_id", "at", "id"),
        Index("ix_scim_requests_expires_at", "expires_at"),
    )
