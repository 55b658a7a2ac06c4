"""The tables of provisioning: people and groups that providers push, their tokens, what was asked."""

from alembic import op
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Integer,
    PrimaryKeyConstraint,
    String,
    Text,
    UniqueConstraint,
)

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create_provisioned_people()
    _create_scim_links()
    _create_scim_tokens()
    _create_scim_users()
    _create_scim_emails()
    _create_scim_groups()
    _create_scim_members()
    _create_scim_requests()


def downgrade() -> None:
    op.drop_table("scim_requests")
    op.drop_table("scim_members")
    op.drop_table("scim_groups")
    op.drop_table("scim_emails")
    op.drop_table("scim_users")
    op.drop_table("scim_tokens")
    op.drop_table("scim_links")
    op.drop_table("provisioned_people")


def _create_provisioned_people() -> None:
    op.create_table(
        "provisioned_people",
        Column("id", String(40), nullable=False),
        Column("connection_id", String(40), nullable=False),
        Column("match_key", String(500)),
        Column("user_id", String(40)),
        Column("state", String(16), nullable=False),
        Column("switched_off", Boolean(), nullable=False),
        Column("groups", JSON()),
        Column("fetched_at", BigInteger(), nullable=False),
        Column("tenant_id", String(40), nullable=False),
        PrimaryKeyConstraint("id", name=op.f("pk_provisioned_people")),
        UniqueConstraint(
            "tenant_id",
            "connection_id",
            "match_key",
            name=op.f("uq_provisioned_people_connection_id_match_key"),
        ),
    )
    op.create_index("ix_provisioned_people_user", "provisioned_people", ["tenant_id", "user_id"])


def _create_scim_links() -> None:
    op.create_table(
        "scim_links",
        Column("tenant_id", String(40), nullable=False),
        Column("connection_id", String(40), nullable=False),
        Column("matching", String(16), nullable=False),
        Column("last_request_at", BigInteger()),
        Column("created_at", BigInteger(), nullable=False),
        PrimaryKeyConstraint("tenant_id", "connection_id", name=op.f("pk_scim_links")),
    )


def _create_scim_tokens() -> None:
    op.create_table(
        "scim_tokens",
        Column("id", String(40), nullable=False),
        Column("connection_id", String(40), nullable=False),
        Column("name", String(100), nullable=False),
        Column("secret_hash", String(64), nullable=False),
        Column("scopes", JSON(), nullable=False),
        Column("created_at", BigInteger(), nullable=False),
        Column("expires_at", BigInteger(), nullable=False),
        Column("last_used_at", BigInteger()),
        Column("revoked_at", BigInteger()),
        Column("tenant_id", String(40), nullable=False),
        PrimaryKeyConstraint("id", name=op.f("pk_scim_tokens")),
        UniqueConstraint("secret_hash", name=op.f("uq_scim_tokens_secret_hash")),
    )
    op.create_index("ix_scim_tokens_connection", "scim_tokens", ["tenant_id", "connection_id"])
    op.create_index("ix_scim_tokens_expires_at", "scim_tokens", ["expires_at"])


def _create_scim_users() -> None:
    op.create_table(
        "scim_users",
        Column("id", String(40), nullable=False),
        Column("connection_id", String(40), nullable=False),
        Column("external_id", String(500)),
        Column("user_name", String(320), nullable=False),
        Column("user_name_key", String(640), nullable=False),
        Column("display_key", String(1000)),
        Column("active", Boolean(), nullable=False),
        Column("resource", JSON(), nullable=False),
        Column("version", Integer(), nullable=False),
        Column("created_at", BigInteger(), nullable=False),
        Column("changed_at", BigInteger(), nullable=False),
        Column("tenant_id", String(40), nullable=False),
        PrimaryKeyConstraint("id", name=op.f("pk_scim_users")),
        UniqueConstraint(
            "tenant_id", "connection_id", "external_id", name=op.f("uq_scim_users_connection_id_external_id")
        ),
        UniqueConstraint(
            "tenant_id",
            "connection_id",
            "user_name_key",
            name=op.f("uq_scim_users_connection_id_user_name_key"),
        ),
    )
    op.create_index("ix_scim_users_display", "scim_users", ["tenant_id", "connection_id", "display_key"])
    op.create_index("ix_scim_users_order", "scim_users", ["tenant_id", "connection_id", "created_at", "id"])


def _create_scim_emails() -> None:
    op.create_table(
        "scim_emails",
        Column("tenant_id", String(40), nullable=False),
        Column("scim_user_id", String(40), nullable=False),
        Column("position", Integer(), nullable=False),
        Column("value_key", String(640), nullable=False),
        Column("type_key", String(64), nullable=False),
        PrimaryKeyConstraint("tenant_id", "scim_user_id", "position", name=op.f("pk_scim_emails")),
    )
    op.create_index("ix_scim_emails_value", "scim_emails", ["tenant_id", "value_key"])


def _create_scim_groups() -> None:
    op.create_table(
        "scim_groups",
        Column("id", String(40), nullable=False),
        Column("connection_id", String(40), nullable=False),
        Column("external_id", String(500)),
        Column("display_name", String(500), nullable=False),
        Column("display_key", String(1000), nullable=False),
        Column("version", Integer(), nullable=False),
        Column("created_at", BigInteger(), nullable=False),
        Column("changed_at", BigInteger(), nullable=False),
        Column("tenant_id", String(40), nullable=False),
        PrimaryKeyConstraint("id", name=op.f("pk_scim_groups")),
        UniqueConstraint(
            "tenant_id", "connection_id", "display_key", name=op.f("uq_scim_groups_connection_id_display_key")
        ),
        UniqueConstraint(
            "tenant_id", "connection_id", "external_id", name=op.f("uq_scim_groups_connection_id_external_id")
        ),
    )
    op.create_index("ix_scim_groups_order", "scim_groups", ["tenant_id", "connection_id", "created_at", "id"])


def _create_scim_members() -> None:
    op.create_table(
        "scim_members",
        Column("tenant_id", String(40), nullable=False),
        Column("group_id", String(40), nullable=False),
        Column("scim_user_id", String(40), nullable=False),
        PrimaryKeyConstraint("tenant_id", "group_id", "scim_user_id", name=op.f("pk_scim_members")),
    )
    op.create_index("ix_scim_members_user", "scim_members", ["tenant_id", "scim_user_id"])


def _create_scim_requests() -> None:
    op.create_table(
        "scim_requests",
        Column("id", String(40), nullable=False),
        Column("connection_id", String(40), nullable=False),
        Column("token_id", String(40), nullable=False),
        Column("request_id", String(64), nullable=False),
        Column("at", BigInteger(), nullable=False),
        Column("expires_at", BigInteger(), nullable=False),
        Column("method", String(8), nullable=False),
        Column("path", String(200), nullable=False),
        Column("query", String(500), nullable=False),
        Column("status", Integer(), nullable=False),
        Column("scim_type", String(32), nullable=False),
        Column("detail", String(300), nullable=False),
        Column("body", Text(), nullable=False),
        Column("user_agent", String(100), nullable=False),
        Column("tenant_id", String(40), nullable=False),
        PrimaryKeyConstraint("id", name=op.f("pk_scim_requests")),
    )
    op.create_index("ix_scim_requests_expires_at", "scim_requests", ["expires_at"])
    op.create_index("ix_scim_requests_tenant", "scim_requests", ["tenant_id", "at", "id"])
