"""The tables of what is issued and asked: keys, sessions, grants, tokens, sign-ins, consents."""

from alembic import op
from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    UniqueConstraint,
)

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create_signing_keys()
    _create_browser_sessions()
    _create_one_time_links()
    _create_grants()
    _create_authorization_codes()
    _create_refresh_tokens()
    _create_issued_tokens()
    _create_sign_in_flows()
    _create_interactions()
    _create_consents()


def downgrade() -> None:
    op.drop_table("consents")
    op.drop_table("interactions")
    op.drop_table("sign_in_flows")
    op.drop_table("issued_tokens")
    op.drop_table("refresh_tokens")
    op.drop_table("authorization_codes")
    op.drop_table("grants")
    op.drop_table("one_time_links")
    op.drop_table("browser_sessions")
    op.drop_table("signing_keys")


def _create_signing_keys() -> None:
    op.create_table(
        "signing_keys",
        Column("id", String(60), nullable=False),
        Column("use", String(16), nullable=False),
        Column("algorithm", String(8), nullable=False),
        Column("public_jwk", JSON(), nullable=False),
        Column("sealed_private", LargeBinary(), nullable=False),
        Column("state", String(16), nullable=False),
        Column("created_at", BigInteger(), nullable=False),
        Column("tenant_id", String(40), nullable=False),
        PrimaryKeyConstraint("id", name=op.f("pk_signing_keys")),
    )
    op.create_index("ix_signing_keys_tenant", "signing_keys", ["tenant_id", "use", "state"])


def _create_browser_sessions() -> None:
    op.create_table(
        "browser_sessions",
        Column("id", String(40), nullable=False),
        Column("secret_hash", String(64), nullable=False),
        Column("kind", String(8), nullable=False),
        Column("user_id", String(40)),
        Column("connection_id", String(40)),
        Column("auth_time", BigInteger(), nullable=False),
        Column("acr", String(200), nullable=False),
        Column("amr", JSON(), nullable=False),
        Column("sealed_upstream", LargeBinary()),
        Column("created_at", BigInteger(), nullable=False),
        Column("seen_at", BigInteger(), nullable=False),
        Column("expires_at", BigInteger(), nullable=False),
        Column("ended_at", BigInteger()),
        Column("tenant_id", String(40), nullable=False),
        PrimaryKeyConstraint("id", name=op.f("pk_browser_sessions")),
        UniqueConstraint("secret_hash", name=op.f("uq_browser_sessions_secret_hash")),
    )
    op.create_index("ix_browser_sessions_expires_at", "browser_sessions", ["expires_at"])
    op.create_index("ix_browser_sessions_user", "browser_sessions", ["tenant_id", "user_id"])


def _create_one_time_links() -> None:
    op.create_table(
        "one_time_links",
        Column("code_hash", String(64), nullable=False),
        Column("purpose", String(16), nullable=False),
        Column("created_at", BigInteger(), nullable=False),
        Column("expires_at", BigInteger(), nullable=False),
        Column("spent_at", BigInteger()),
        Column("tenant_id", String(40), nullable=False),
        PrimaryKeyConstraint("code_hash", name=op.f("pk_one_time_links")),
    )
    op.create_index("ix_one_time_links_expires_at", "one_time_links", ["expires_at"])


def _create_grants() -> None:
    op.create_table(
        "grants",
        Column("id", String(40), nullable=False),
        Column("user_id", String(40)),
        Column("client_id", String(200), nullable=False),
        Column("agent_id", String(40)),
        Column("connection_id", String(40)),
        Column("session_id", String(40)),
        Column("consent_id", String(40)),
        Column("resources", JSON(), nullable=False),
        Column("scopes", JSON(), nullable=False),
        Column("auth_time", BigInteger()),
        Column("acr", String(200), nullable=False),
        Column("amr", JSON(), nullable=False),
        Column("created_at", BigInteger(), nullable=False),
        Column("expires_at", BigInteger(), nullable=False),
        Column("ended_at", BigInteger()),
        Column("ended_by", String(40), nullable=False),
        Column("tenant_id", String(40), nullable=False),
        PrimaryKeyConstraint("id", name=op.f("pk_grants")),
    )
    op.create_index("ix_grants_client", "grants", ["tenant_id", "client_id", "user_id"])
    op.create_index("ix_grants_expires_at", "grants", ["expires_at"])
    op.create_index("ix_grants_user", "grants", ["tenant_id", "user_id", "agent_id"])


def _create_authorization_codes() -> None:
    op.create_table(
        "authorization_codes",
        Column("code_hash", String(64), nullable=False),
        Column("grant_id", String(40), nullable=False),
        Column("client_id", String(200), nullable=False),
        Column("redirect_uri", String(2000), nullable=False),
        Column("code_challenge", String(64), nullable=False),
        Column("resources", JSON(), nullable=False),
        Column("scopes", JSON(), nullable=False),
        Column("nonce", String(500), nullable=False),
        Column("expires_at", BigInteger(), nullable=False),
        Column("spent_at", BigInteger()),
        Column("tenant_id", String(40), nullable=False),
        PrimaryKeyConstraint("code_hash", name=op.f("pk_authorization_codes")),
    )
    op.create_index("ix_authorization_codes_expires_at", "authorization_codes", ["expires_at"])


def _create_refresh_tokens() -> None:
    op.create_table(
        "refresh_tokens",
        Column("token_hash", String(64), nullable=False),
        Column("grant_id", String(40), nullable=False),
        Column("client_id", String(200), nullable=False),
        Column("scopes", JSON(), nullable=False),
        Column("issued_at", BigInteger(), nullable=False),
        Column("expires_at", BigInteger(), nullable=False),
        Column("spent_at", BigInteger()),
        Column("tenant_id", String(40), nullable=False),
        PrimaryKeyConstraint("token_hash", name=op.f("pk_refresh_tokens")),
    )
    op.create_index("ix_refresh_tokens_expires_at", "refresh_tokens", ["expires_at"])
    op.create_index("ix_refresh_tokens_grant", "refresh_tokens", ["tenant_id", "grant_id"])


def _create_issued_tokens() -> None:
    op.create_table(
        "issued_tokens",
        Column("jti", String(40), nullable=False),
        Column("parent_jti", String(40)),
        Column("path", String(400).with_variant(String(400, collation="C"), "postgresql"), nullable=False),
        Column("depth", Integer(), nullable=False),
        Column("grant_id", String(40), nullable=False),
        Column("client_id", String(200), nullable=False),
        Column("agent_id", String(40)),
        Column("user_id", String(40)),
        Column("connection_id", String(40)),
        Column("chain", JSON(), nullable=False),
        Column("audience", String(500), nullable=False),
        Column("scopes", JSON(), nullable=False),
        Column("roles", JSON(), nullable=False),
        Column("issued_at", BigInteger(), nullable=False),
        Column("expires_at", BigInteger(), nullable=False),
        Column("ended_at", BigInteger()),
        Column("ended_by", String(40), nullable=False),
        Column("tenant_id", String(40), nullable=False),
        PrimaryKeyConstraint("jti", name=op.f("pk_issued_tokens")),
    )
    op.create_index("ix_issued_tokens_agent", "issued_tokens", ["tenant_id", "agent_id", "issued_at"])
    op.create_index("ix_issued_tokens_expires_at", "issued_tokens", ["expires_at"])
    op.create_index("ix_issued_tokens_grant", "issued_tokens", ["tenant_id", "grant_id", "issued_at"])
    op.create_index("ix_issued_tokens_path", "issued_tokens", ["tenant_id", "path"])


def _create_sign_in_flows() -> None:
    op.create_table(
        "sign_in_flows",
        Column("state_hash", String(64), nullable=False),
        Column("connection_id", String(40), nullable=False),
        Column("browser_hash", String(64), nullable=False),
        Column("sealed_private", LargeBinary(), nullable=False),
        Column("sealed_answer", LargeBinary()),
        Column("resume_url", String(2000), nullable=False),
        Column("created_at", BigInteger(), nullable=False),
        Column("expires_at", BigInteger(), nullable=False),
        Column("spent_at", BigInteger()),
        Column("tenant_id", String(40), nullable=False),
        PrimaryKeyConstraint("state_hash", name=op.f("pk_sign_in_flows")),
    )
    op.create_index("ix_sign_in_flows_browser", "sign_in_flows", ["tenant_id", "browser_hash"])
    op.create_index("ix_sign_in_flows_expires_at", "sign_in_flows", ["expires_at"])


def _create_interactions() -> None:
    op.create_table(
        "interactions",
        Column("handle_hash", String(64), nullable=False),
        Column("kind", String(16), nullable=False),
        Column("browser_hash", String(64), nullable=False),
        Column("client_id", String(200), nullable=False),
        Column("request", JSON(), nullable=False),
        Column("session_id", String(40)),
        Column("consent_id", String(40)),
        Column("state", String(16), nullable=False),
        Column("created_at", BigInteger(), nullable=False),
        Column("expires_at", BigInteger(), nullable=False),
        Column("tenant_id", String(40), nullable=False),
        PrimaryKeyConstraint("handle_hash", name=op.f("pk_interactions")),
    )
    op.create_index("ix_interactions_expires_at", "interactions", ["expires_at"])


def _create_consents() -> None:
    op.create_table(
        "consents",
        Column("id", String(40), nullable=False),
        Column("user_id", String(40), nullable=False),
        Column("client_id", String(200), nullable=False),
        Column("agent_id", String(40)),
        Column("resources", JSON(), nullable=False),
        Column("scopes", JSON(), nullable=False),
        Column("given_at", BigInteger(), nullable=False),
        Column("expires_at", BigInteger(), nullable=False),
        Column("withdrawn_at", BigInteger()),
        Column("tenant_id", String(40), nullable=False),
        PrimaryKeyConstraint("id", name=op.f("pk_consents")),
    )
    op.create_index("ix_consents_client", "consents", ["tenant_id", "client_id"])
    op.create_index("ix_consents_user", "consents", ["tenant_id", "user_id", "client_id"])
