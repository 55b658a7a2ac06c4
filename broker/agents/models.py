"""Tables of resources, agents, clients and of the other parties that a tenant deals with."""

from typing import Any

from sqlalchemy import JSON, BigInteger, Index, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from broker.kernel.database import Base, TenantScoped


class Resource(TenantScoped, Base):
    """An MCP server or API; ``identifier`` is its RFC 8707 resource indicator."""

    __tablename__ = "resources"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    identifier: Mapped[str] = mapped_column(String(500))
    name: Mapped[str] = mapped_column(String(200))
    scopes: Mapped[dict[str, dict[str, str]]] = mapped_column(
        JSON, default=dict
    )  # name → {description, effect}
    roles: Mapped[list[str]] = mapped_column(JSON, default=list)  # role names that it understands
    ttl_seconds: Mapped[int] = mapped_column(Integer, default=600)
    max_depth: Mapped[int] = mapped_column(Integer, default=4)
    options: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)  # what differs from ResourceOptions
    state: Mapped[str] = mapped_column(String(16), default="active")
    created_at: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (UniqueConstraint("tenant_id", "identifier"),)


class Agent(TenantScoped, Base):
    """A non-human actor with an owner, a ceiling, an expiry and a state."""

    __tablename__ = "agents"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    slug: Mapped[str] = mapped_column(String(63))
    name: Mapped[str] = mapped_column(String(100))
    description: Mapped[str] = mapped_column(String(500), default="")
    owner_name: Mapped[str] = mapped_column(String(200))  # who answers for it; a contact, not a login key
    owner_email: Mapped[str] = mapped_column(String(320))
    scopes: Mapped[list[str]] = mapped_column(JSON, default=list)  # ceiling; empty allows nothing
    roles: Mapped[list[str]] = mapped_column(JSON, default=list)
    resources: Mapped[list[str]] = mapped_column(JSON, default=list)  # resource identifiers
    ttl_seconds: Mapped[int] = mapped_column(Integer, default=600)
    max_depth: Mapped[int] = mapped_column(Integer, default=4)
    delegable_to: Mapped[list[str]] = mapped_column(JSON, default=list)  # agent slugs it may hand over to
    options: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)  # what differs from AgentOptions
    state: Mapped[str] = mapped_column(String(16), default="active")  # active | suspended | killed
    cutoff_at: Mapped[int] = mapped_column(BigInteger, default=0)
    expires_at: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (UniqueConstraint("tenant_id", "slug"),)


class Client(TenantScoped, Base):
    """OAuth software. With ``agent_id`` it is an agent's; with ``resource_id`` it is a resource's own."""

    __tablename__ = "clients"

    tenant_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    client_id: Mapped[str] = mapped_column(String(200), primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    agent_id: Mapped[str | None] = mapped_column(String(40))
    resource_id: Mapped[str | None] = mapped_column(String(40))
    auth_method: Mapped[str] = mapped_column(String(32))  # private_key_jwt | client_secret_basic | none
    secret_hash: Mapped[str | None] = mapped_column(String(64))  # Sealer.fingerprint("client_secret", …)
    jwks: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    redirect_uris: Mapped[list[str]] = mapped_column(JSON, default=list)
    grant_types: Mapped[list[str]] = mapped_column(JSON, default=list)
    scopes: Mapped[list[str]] = mapped_column(JSON, default=list)  # what this client may ask for
    application_type: Mapped[str] = mapped_column(String(8), default="web")  # web | native
    options: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)  # what differs from ClientOptions
    state: Mapped[str] = mapped_column(String(16), default="active")  # active | disabled
    cutoff_at: Mapped[int] = mapped_column(BigInteger, default=0)
    created_at: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (Index("ix_clients_agent", "tenant_id", "agent_id"),)


class Trust(TenantScoped, Base):
    """Somebody outside whom the tenant deals with: it takes what we issue, or signs what we take."""

    __tablename__ = "trusts"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))  # target | issuer | workload | subject
    slug: Mapped[str] = mapped_column(String(63))
    name: Mapped[str] = mapped_column(String(200))
    config: Mapped[dict[str, Any]] = mapped_column(JSON)  # what its kind asks for
    state: Mapped[str] = mapped_column(String(16), default="active")  # active | disabled
    created_at: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (UniqueConstraint("tenant_id", "slug"),)
