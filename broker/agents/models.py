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


class ClientRegistration(TenantScoped, Base):
    """How a client came that no administrator declared, and what it says of itself."""

    __tablename__ = "client_registrations"

    tenant_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    client_id: Mapped[str] = mapped_column(String(200), primary_key=True)
    source: Mapped[str] = mapped_column(String(8))  # cimd | dcr
    said: Mapped[dict[str, Any]] = mapped_column(JSON)  # its metadata as it was checked
    said_hash: Mapped[str] = mapped_column(String(64))  # one row, however often it introduces itself
    management_hash: Mapped[str | None] = mapped_column(String(64))  # of its registration access token
    initial_token_id: Mapped[str | None] = mapped_column(String(40))
    made_agent_id: Mapped[str | None] = mapped_column(String(40))  # the agent that was made for it alone
    fresh_until: Mapped[int] = mapped_column(BigInteger, default=0)  # its document holds until then
    refresh_at: Mapped[int | None] = mapped_column(BigInteger)  # its document is read again then
    problem: Mapped[str] = mapped_column(String(40), default="")  # why the last reading failed
    changed_at: Mapped[int | None] = mapped_column(BigInteger)  # the last change that counts
    expires_at: Mapped[int | None] = mapped_column(BigInteger)  # it ends then unless it was used
    created_at: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (
        UniqueConstraint("tenant_id", "said_hash"),
        Index("ix_client_registrations_refresh_at", "refresh_at"),
        Index("ix_client_registrations_expires_at", "expires_at"),
    )


class RegistrationToken(TenantScoped, Base):
    """An initial access token (RFC 7591 §3): whoever holds it may register a number of clients."""

    __tablename__ = "registration_tokens"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    secret_hash: Mapped[str] = mapped_column(String(64))
    uses_left: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int] = mapped_column(BigInteger)
    revoked_at: Mapped[int | None] = mapped_column(BigInteger)

    __table_args__ = (
        Index("ix_registration_tokens_secret", "tenant_id", "secret_hash"),
        Index("ix_registration_tokens_expires_at", "expires_at"),
    )
