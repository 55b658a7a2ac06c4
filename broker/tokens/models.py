"""Tables of keys, browser sessions, grants, codes, refresh tokens and issued tokens."""

from typing import Any

from sqlalchemy import JSON, BigInteger, Index, Integer, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from broker.kernel.database import Base, TenantScoped

MAX_LEVELS = 16
"""How many tokens a path may name: so many fit into its column."""

# Subtrees are ranges of paths; PostgreSQL must compare them byte by byte, as SQLite does.
Path = String(400).with_variant(String(400, collation="C"), "postgresql")


class SigningKey(TenantScoped, Base):
    """A signing key of a tenant; the private part is sealed."""

    __tablename__ = "signing_keys"

    id: Mapped[str] = mapped_column(String(60), primary_key=True)  # the kid
    use: Mapped[str] = mapped_column(String(16))  # access | id
    algorithm: Mapped[str] = mapped_column(String(8))
    public_jwk: Mapped[dict[str, Any]] = mapped_column(JSON)
    sealed_private: Mapped[bytes] = mapped_column(LargeBinary)
    state: Mapped[str] = mapped_column(String(16))  # next | active | retiring | revoked
    created_at: Mapped[int] = mapped_column(BigInteger)
    changed_at: Mapped[int] = mapped_column(BigInteger)  # since when it is in its state
    due_at: Mapped[int] = mapped_column(BigInteger)  # when somebody must look at it next

    __table_args__ = (
        Index("ix_signing_keys_tenant", "tenant_id", "use", "state"),
        Index("ix_signing_keys_due_at", "due_at"),
    )


class BrowserSession(TenantScoped, Base):
    """A signed-in browser. The cookie holds a secret; only its hash is here."""

    __tablename__ = "browser_sessions"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)  # public: the `sid` of tokens
    secret_hash: Mapped[str] = mapped_column(String(64), unique=True)
    kind: Mapped[str] = mapped_column(String(8))  # person | admin
    user_id: Mapped[str | None] = mapped_column(String(40))
    connection_id: Mapped[str | None] = mapped_column(String(40))
    auth_time: Mapped[int] = mapped_column(BigInteger)
    acr: Mapped[str] = mapped_column(String(200), default="")
    amr: Mapped[list[str]] = mapped_column(JSON, default=list)
    proven_at: Mapped[int | None] = mapped_column(BigInteger)  # auth_time, if the IdP told one
    sealed_upstream: Mapped[bytes | None] = mapped_column(LargeBinary)  # what sign-out at the IdP will need
    upstream_person: Mapped[str | None] = mapped_column(String(64))  # keyed hash: the IdP's name for them
    upstream_session: Mapped[str | None] = mapped_column(String(64))  # keyed hash: its `sid`, SessionIndex
    created_at: Mapped[int] = mapped_column(BigInteger)
    seen_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int] = mapped_column(BigInteger)  # absolute
    ended_at: Mapped[int | None] = mapped_column(BigInteger)

    __table_args__ = (
        Index("ix_browser_sessions_user", "tenant_id", "user_id"),
        Index("ix_browser_sessions_upstream_person", "tenant_id", "upstream_person"),
        Index("ix_browser_sessions_upstream_session", "tenant_id", "upstream_session"),
        Index("ix_browser_sessions_expires_at", "expires_at"),
    )


class OneTimeLink(TenantScoped, Base):
    """A link that works once, such as the admin setup link."""

    __tablename__ = "one_time_links"

    code_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    purpose: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int] = mapped_column(BigInteger)
    spent_at: Mapped[int | None] = mapped_column(BigInteger)

    __table_args__ = (Index("ix_one_time_links_expires_at", "expires_at"),)


class Grant(TenantScoped, Base):
    """The stored permission that tokens hang on: what a person agreed to, or a client's own standing."""

    __tablename__ = "grants"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    user_id: Mapped[str | None] = mapped_column(String(40))  # absent: an agent acting for itself
    client_id: Mapped[str] = mapped_column(String(200))
    agent_id: Mapped[str | None] = mapped_column(String(40))
    connection_id: Mapped[str | None] = mapped_column(String(40))
    session_id: Mapped[str | None] = mapped_column(String(40))
    consent_id: Mapped[str | None] = mapped_column(String(40))
    resources: Mapped[list[str]] = mapped_column(JSON)  # resource identifiers, the ceiling
    scopes: Mapped[list[str]] = mapped_column(JSON)
    auth_time: Mapped[int | None] = mapped_column(BigInteger)
    acr: Mapped[str] = mapped_column(String(200), default="")
    amr: Mapped[list[str]] = mapped_column(JSON, default=list)
    created_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int] = mapped_column(BigInteger)
    ended_at: Mapped[int | None] = mapped_column(BigInteger)
    ended_by: Mapped[str] = mapped_column(String(40), default="")

    __table_args__ = (
        Index("ix_grants_user", "tenant_id", "user_id", "agent_id"),
        Index("ix_grants_client", "tenant_id", "client_id", "user_id"),
        Index("ix_grants_expires_at", "expires_at"),
    )


class LogoutNotice(TenantScoped, Base):
    """A client that is still to be told that a session ended in which it got tokens."""

    __tablename__ = "logout_notices"

    tenant_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    session_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    client_id: Mapped[str] = mapped_column(String(200), primary_key=True)
    user_id: Mapped[str] = mapped_column(String(40))
    tries: Mapped[int] = mapped_column(Integer, default=0)
    due_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int] = mapped_column(BigInteger)  # after this nobody is told any more

    __table_args__ = (
        Index("ix_logout_notices_due_at", "due_at"),
        Index("ix_logout_notices_expires_at", "expires_at"),
    )


class DeviceCode(TenantScoped, Base):
    """What a device asks for, until a person has decided and the device has heard of it."""

    __tablename__ = "device_codes"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    code_hash: Mapped[str] = mapped_column(String(64), unique=True)
    user_code_hash: Mapped[str] = mapped_column(String(64))
    client_id: Mapped[str] = mapped_column(String(200))
    request: Mapped[dict[str, Any]] = mapped_column(JSON)
    ip: Mapped[str] = mapped_column(String(45))
    user_agent: Mapped[str] = mapped_column(String(200))
    state: Mapped[str] = mapped_column(String(8))  # pending | allowed | denied | spent
    grant_id: Mapped[str] = mapped_column(String(40))
    cnf_jkt: Mapped[str] = mapped_column(String(64))
    pause_seconds: Mapped[int] = mapped_column(Integer)
    polled_at: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (
        Index("ix_device_codes_user_code", "tenant_id", "user_code_hash"),
        Index("ix_device_codes_expires_at", "expires_at"),
    )


class AuthorizationCode(TenantScoped, Base):
    """A code waiting to be spent; spent by one conditional UPDATE."""

    __tablename__ = "authorization_codes"

    code_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    grant_id: Mapped[str] = mapped_column(String(40))
    client_id: Mapped[str] = mapped_column(String(200))
    redirect_uri: Mapped[str] = mapped_column(String(2000))
    code_challenge: Mapped[str] = mapped_column(String(64))
    resources: Mapped[list[str]] = mapped_column(JSON)
    scopes: Mapped[list[str]] = mapped_column(JSON)
    nonce: Mapped[str] = mapped_column(String(500), default="")
    cnf_jkt: Mapped[str] = mapped_column(String(64), default="")  # the only key that may redeem it
    expires_at: Mapped[int] = mapped_column(BigInteger)
    spent_at: Mapped[int | None] = mapped_column(BigInteger)

    __table_args__ = (Index("ix_authorization_codes_expires_at", "expires_at"),)


class PushedRequest(TenantScoped, Base):
    """An authorization request that its client pushed (RFC 9126); taken by one conditional UPDATE."""

    __tablename__ = "pushed_requests"

    uri_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    client_id: Mapped[str] = mapped_column(String(200))
    params: Mapped[list[list[str]]] = mapped_column(JSON)
    expires_at: Mapped[int] = mapped_column(BigInteger)
    spent_at: Mapped[int | None] = mapped_column(BigInteger)

    __table_args__ = (
        Index("ix_pushed_requests_client", "tenant_id", "client_id", "expires_at"),
        Index("ix_pushed_requests_expires_at", "expires_at"),
    )


class RefreshToken(TenantScoped, Base):
    """One link of a refresh family; the family is the grant. Spent by one conditional UPDATE."""

    __tablename__ = "refresh_tokens"

    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    grant_id: Mapped[str] = mapped_column(String(40))
    client_id: Mapped[str] = mapped_column(String(200))
    scopes: Mapped[list[str]] = mapped_column(JSON)
    issued_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int] = mapped_column(BigInteger)
    spent_at: Mapped[int | None] = mapped_column(BigInteger)
    cnf_jkt: Mapped[str] = mapped_column(String(64), default="")  # a public client's key

    __table_args__ = (
        Index("ix_refresh_tokens_grant", "tenant_id", "grant_id"),
        Index("ix_refresh_tokens_expires_at", "expires_at"),
    )


class PersonalToken(TenantScoped, Base):
    """A person's own handle on a grant, to be exchanged by one agent; only the secret's hash is here."""

    __tablename__ = "personal_tokens"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    grant_id: Mapped[str] = mapped_column(String(40))
    user_id: Mapped[str] = mapped_column(String(40))
    name: Mapped[str] = mapped_column(String(100))
    created_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int] = mapped_column(BigInteger)
    used_at: Mapped[int | None] = mapped_column(BigInteger)

    __table_args__ = (
        Index("ix_personal_tokens_user", "tenant_id", "user_id"),
        Index("ix_personal_tokens_expires_at", "expires_at"),
    )


class IssuedToken(TenantScoped, Base):
    """An access token that we minted, and its parent. ``path`` is ``/root/…/jti/``: a subtree is a range."""

    __tablename__ = "issued_tokens"

    jti: Mapped[str] = mapped_column(String(40), primary_key=True)
    parent_jti: Mapped[str | None] = mapped_column(String(40))
    path: Mapped[str] = mapped_column(Path)
    depth: Mapped[int] = mapped_column(Integer)
    grant_id: Mapped[str] = mapped_column(String(40))
    client_id: Mapped[str] = mapped_column(String(200))
    agent_id: Mapped[str | None] = mapped_column(String(40))  # the outermost actor
    user_id: Mapped[str | None] = mapped_column(String(40))
    connection_id: Mapped[str | None] = mapped_column(String(40))
    chain: Mapped[list[str]] = mapped_column(JSON)  # agent ids, outermost first
    audience: Mapped[str] = mapped_column(String(500))
    scopes: Mapped[list[str]] = mapped_column(JSON)
    roles: Mapped[list[str]] = mapped_column(JSON)
    issued_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int] = mapped_column(BigInteger)
    ended_at: Mapped[int | None] = mapped_column(BigInteger)
    ended_by: Mapped[str] = mapped_column(String(40), default="")

    __table_args__ = (
        Index("ix_issued_tokens_path", "tenant_id", "path"),
        Index("ix_issued_tokens_grant", "tenant_id", "grant_id", "issued_at"),
        Index("ix_issued_tokens_agent", "tenant_id", "agent_id", "issued_at"),
        Index("ix_issued_tokens_expires_at", "expires_at"),
    )


class Task(TenantScoped, Base):
    """What an agent does for one purpose: every token of it carries the id as ``txn``."""

    __tablename__ = "tasks"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    grant_id: Mapped[str] = mapped_column(String(40))
    client_id: Mapped[str] = mapped_column(String(200))
    agent_id: Mapped[str] = mapped_column(String(40))  # who began it
    user_id: Mapped[str | None] = mapped_column(String(40))
    purpose: Mapped[str] = mapped_column(String(200))
    instance: Mapped[str] = mapped_column(String(64), default="")  # which run of the agent
    roots: Mapped[list[str]] = mapped_column(JSON)  # jti of the tokens that all others of it hang on
    started_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int] = mapped_column(BigInteger)
    ended_at: Mapped[int | None] = mapped_column(BigInteger)
    ended_by: Mapped[str] = mapped_column(String(40), default="")

    __table_args__ = (
        Index("ix_tasks_agent", "tenant_id", "agent_id", "started_at"),
        Index("ix_tasks_expires_at", "expires_at"),
    )
