"""The first tables: the kernel's own, the event log, tenants, people, agents."""

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

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create_replay_marks()
    _create_state_versions()
    _create_leases()
    _create_audit_events()
    _create_audit_heads()
    _create_audit_checkpoints()
    _create_person_keys()
    _create_tenants()
    _create_connections()
    _create_connection_domains()
    _create_users()
    _create_identity_links()
    _create_group_snapshots()
    _create_roles()
    _create_group_mappings()
    _create_resources()
    _create_agents()
    _create_clients()


def downgrade() -> None:
    op.drop_table("clients")
    op.drop_table("agents")
    op.drop_table("resources")
    op.drop_table("group_mappings")
    op.drop_table("roles")
    op.drop_table("group_snapshots")
    op.drop_table("identity_links")
    op.drop_table("users")
    op.drop_table("connection_domains")
    op.drop_table("connections")
    op.drop_table("tenants")
    op.drop_table("person_keys")
    op.drop_table("audit_checkpoints")
    op.drop_table("audit_heads")
    op.drop_table("audit_events")
    op.drop_table("leases")
    op.drop_table("state_versions")
    op.drop_table("replay_marks")


def _create_replay_marks() -> None:
    op.create_table(
        "replay_marks",
        Column("kind", String(32), nullable=False),
        Column("tenant_id", String(40), nullable=False),
        Column("key_hash", String(64), nullable=False),
        Column("expires_at", BigInteger(), nullable=False),
        PrimaryKeyConstraint("kind", "tenant_id", "key_hash", name=op.f("pk_replay_marks")),
    )
    op.create_index("ix_replay_marks_expires_at", "replay_marks", ["expires_at"])


def _create_state_versions() -> None:
    op.create_table(
        "state_versions",
        Column("tenant_id", String(40), nullable=False),
        Column("version", BigInteger(), nullable=False),
        PrimaryKeyConstraint("tenant_id", name=op.f("pk_state_versions")),
    )


def _create_leases() -> None:
    op.create_table(
        "leases",
        Column("name", String(64), nullable=False),
        Column("holder", String(64), nullable=False),
        Column("expires_at", BigInteger(), nullable=False),
        PrimaryKeyConstraint("name", name=op.f("pk_leases")),
    )


def _create_audit_events() -> None:
    op.create_table(
        "audit_events",
        Column("tenant_id", String(40), nullable=False),
        Column("writer", String(40), nullable=False),
        Column("seq", BigInteger(), nullable=False, autoincrement=False),
        Column("at", BigInteger(), nullable=False),
        Column("event", String(40), nullable=False),
        Column("outcome", String(8), nullable=False),
        Column("reason", String(80), nullable=False),
        Column("subject_id", String(80), nullable=False),
        Column("agent_id", String(80), nullable=False),
        Column("client_id", String(255), nullable=False),
        Column("target_id", String(255), nullable=False),
        Column("request_id", String(64), nullable=False),
        Column("actor", JSON(none_as_null=True)),
        Column("chain", JSON(), nullable=False),
        Column("data", JSON(), nullable=False),
        Column("personal", LargeBinary()),
        Column("prev_hash", String(64), nullable=False),
        Column("hash", String(64), nullable=False),
        PrimaryKeyConstraint("tenant_id", "writer", "seq", name=op.f("pk_audit_events")),
    )
    op.create_index("ix_audit_events_agent", "audit_events", ["tenant_id", "agent_id", "at"])
    op.create_index("ix_audit_events_at", "audit_events", ["tenant_id", "at", "writer", "seq"])
    op.create_index("ix_audit_events_subject", "audit_events", ["tenant_id", "subject_id", "at"])


def _create_audit_heads() -> None:
    op.create_table(
        "audit_heads",
        Column("tenant_id", String(40), nullable=False),
        Column("writer", String(40), nullable=False),
        Column("seq", BigInteger(), nullable=False),
        Column("hash", String(64), nullable=False),
        PrimaryKeyConstraint("tenant_id", "writer", name=op.f("pk_audit_heads")),
    )
    op.create_index("ix_audit_heads_writer", "audit_heads", ["writer"])


def _create_audit_checkpoints() -> None:
    op.create_table(
        "audit_checkpoints",
        Column("tenant_id", String(40), nullable=False),
        Column("number", BigInteger(), nullable=False, autoincrement=False),
        Column("at", BigInteger(), nullable=False),
        Column("heads", JSON(), nullable=False),
        Column("previous", String(400), nullable=False),
        Column("signature", String(400), nullable=False),
        PrimaryKeyConstraint("tenant_id", "number", name=op.f("pk_audit_checkpoints")),
    )


def _create_person_keys() -> None:
    op.create_table(
        "person_keys",
        Column("tenant_id", String(40), nullable=False),
        Column("user_id", String(80), nullable=False),
        Column("sealed_key", LargeBinary()),
        Column("destroyed_at", BigInteger()),
        PrimaryKeyConstraint("tenant_id", "user_id", name=op.f("pk_person_keys")),
    )


def _create_tenants() -> None:
    op.create_table(
        "tenants",
        Column("id", String(40), nullable=False),
        Column("slug", String(63), nullable=False),
        Column("name", String(200), nullable=False),
        Column("state", String(16), nullable=False),
        Column("settings", JSON(), nullable=False),
        Column("cutoff_at", BigInteger(), nullable=False),
        Column("created_at", BigInteger(), nullable=False),
        PrimaryKeyConstraint("id", name=op.f("pk_tenants")),
        UniqueConstraint("slug", name=op.f("uq_tenants_slug")),
    )


def _create_connections() -> None:
    op.create_table(
        "connections",
        Column("id", String(40), nullable=False),
        Column("slug", String(63), nullable=False),
        Column("kind", String(16), nullable=False),
        Column("name", String(200), nullable=False),
        Column("config", JSON(), nullable=False),
        Column("sealed_secrets", LargeBinary()),
        Column("state", String(16), nullable=False),
        Column("cutoff_at", BigInteger(), nullable=False),
        Column("created_at", BigInteger(), nullable=False),
        Column("last_sign_in_at", BigInteger()),
        Column("tenant_id", String(40), nullable=False),
        PrimaryKeyConstraint("id", name=op.f("pk_connections")),
        UniqueConstraint("tenant_id", "slug", name=op.f("uq_connections_slug")),
    )


def _create_connection_domains() -> None:
    op.create_table(
        "connection_domains",
        Column("tenant_id", String(40), nullable=False),
        Column("domain", String(253), nullable=False),
        Column("connection_id", String(40), nullable=False),
        PrimaryKeyConstraint("tenant_id", "domain", "connection_id", name=op.f("pk_connection_domains")),
    )
    op.create_index("ix_connection_domains_connection", "connection_domains", ["tenant_id", "connection_id"])


def _create_users() -> None:
    op.create_table(
        "users",
        Column("id", String(40), nullable=False),
        Column("display_name", String(200), nullable=False),
        Column("email", String(320)),
        Column("email_verified_by", String(24), nullable=False),
        Column("state", String(16), nullable=False),
        Column("cutoff_at", BigInteger(), nullable=False),
        Column("created_at", BigInteger(), nullable=False),
        Column("last_sign_in_at", BigInteger()),
        Column("tenant_id", String(40), nullable=False),
        PrimaryKeyConstraint("id", name=op.f("pk_users")),
    )
    op.create_index("ix_users_tenant_name", "users", ["tenant_id", "display_name", "id"])


def _create_identity_links() -> None:
    op.create_table(
        "identity_links",
        Column("id", String(40), nullable=False),
        Column("user_id", String(40), nullable=False),
        Column("connection_id", String(40), nullable=False),
        Column("issuer", String(500), nullable=False),
        Column("subject_kind", String(64), nullable=False),
        Column("subject", String(500), nullable=False),
        Column("created_at", BigInteger(), nullable=False),
        Column("tenant_id", String(40), nullable=False),
        PrimaryKeyConstraint("id", name=op.f("pk_identity_links")),
        UniqueConstraint(
            "tenant_id",
            "connection_id",
            "issuer",
            "subject_kind",
            "subject",
            name=op.f("uq_identity_links_connection_id_issuer_subject_kind_subject"),
        ),
    )
    op.create_index("ix_identity_links_user", "identity_links", ["tenant_id", "user_id"])


def _create_group_snapshots() -> None:
    op.create_table(
        "group_snapshots",
        Column("tenant_id", String(40), nullable=False),
        Column("user_id", String(40), nullable=False),
        Column("connection_id", String(40), nullable=False),
        Column("groups", JSON(), nullable=False),
        Column("state", String(16), nullable=False),
        Column("source", String(32), nullable=False),
        Column("fetched_at", BigInteger(), nullable=False),
        Column("complete_groups", JSON(), nullable=False),
        Column("complete_at", BigInteger()),
        PrimaryKeyConstraint("tenant_id", "user_id", "connection_id", name=op.f("pk_group_snapshots")),
    )


def _create_roles() -> None:
    op.create_table(
        "roles",
        Column("id", String(40), nullable=False),
        Column("name", String(100), nullable=False),
        Column("description", String(500), nullable=False),
        Column("scopes", JSON(), nullable=False),
        Column("tenant_id", String(40), nullable=False),
        PrimaryKeyConstraint("id", name=op.f("pk_roles")),
        UniqueConstraint("tenant_id", "name", name=op.f("uq_roles_name")),
    )


def _create_group_mappings() -> None:
    op.create_table(
        "group_mappings",
        Column("id", String(40), nullable=False),
        Column("connection_id", String(40), nullable=False),
        Column("kind", String(16), nullable=False),
        Column("match", String(8), nullable=False),
        Column("pattern", String(500), nullable=False),
        Column("role", String(100), nullable=False),
        Column("tenant_id", String(40), nullable=False),
        PrimaryKeyConstraint("id", name=op.f("pk_group_mappings")),
        UniqueConstraint(
            "tenant_id",
            "connection_id",
            "kind",
            "match",
            "pattern",
            "role",
            name=op.f("uq_group_mappings_connection_id_kind_match_pattern_role"),
        ),
    )


def _create_resources() -> None:
    op.create_table(
        "resources",
        Column("id", String(40), nullable=False),
        Column("identifier", String(500), nullable=False),
        Column("name", String(200), nullable=False),
        Column("scopes", JSON(), nullable=False),
        Column("roles", JSON(), nullable=False),
        Column("ttl_seconds", Integer(), nullable=False),
        Column("max_depth", Integer(), nullable=False),
        Column("state", String(16), nullable=False),
        Column("created_at", BigInteger(), nullable=False),
        Column("tenant_id", String(40), nullable=False),
        PrimaryKeyConstraint("id", name=op.f("pk_resources")),
        UniqueConstraint("tenant_id", "identifier", name=op.f("uq_resources_identifier")),
    )


def _create_agents() -> None:
    op.create_table(
        "agents",
        Column("id", String(40), nullable=False),
        Column("slug", String(63), nullable=False),
        Column("name", String(100), nullable=False),
        Column("description", String(500), nullable=False),
        Column("owner_name", String(200), nullable=False),
        Column("owner_email", String(320), nullable=False),
        Column("scopes", JSON(), nullable=False),
        Column("roles", JSON(), nullable=False),
        Column("resources", JSON(), nullable=False),
        Column("ttl_seconds", Integer(), nullable=False),
        Column("max_depth", Integer(), nullable=False),
        Column("delegable_to", JSON(), nullable=False),
        Column("state", String(16), nullable=False),
        Column("cutoff_at", BigInteger(), nullable=False),
        Column("expires_at", BigInteger(), nullable=False),
        Column("created_at", BigInteger(), nullable=False),
        Column("tenant_id", String(40), nullable=False),
        PrimaryKeyConstraint("id", name=op.f("pk_agents")),
        UniqueConstraint("tenant_id", "slug", name=op.f("uq_agents_slug")),
    )


def _create_clients() -> None:
    op.create_table(
        "clients",
        Column("tenant_id", String(40), nullable=False),
        Column("client_id", String(200), nullable=False),
        Column("name", String(200), nullable=False),
        Column("agent_id", String(40)),
        Column("resource_id", String(40)),
        Column("auth_method", String(32), nullable=False),
        Column("secret_hash", String(64)),
        Column("jwks", JSON()),
        Column("redirect_uris", JSON(), nullable=False),
        Column("grant_types", JSON(), nullable=False),
        Column("scopes", JSON(), nullable=False),
        Column("application_type", String(8), nullable=False),
        Column("state", String(16), nullable=False),
        Column("cutoff_at", BigInteger(), nullable=False),
        Column("created_at", BigInteger(), nullable=False),
        PrimaryKeyConstraint("tenant_id", "client_id", name=op.f("pk_clients")),
    )
    op.create_index("ix_clients_agent", "clients", ["tenant_id", "agent_id"])
