"""Clients introduce themselves: what they say, and the tokens that let them register."""

from alembic import op
from sqlalchemy import JSON, BigInteger, Column, Integer, PrimaryKeyConstraint, String, UniqueConstraint

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "client_registrations",
        Column("tenant_id", String(40), nullable=False),
        Column("client_id", String(200), nullable=False),
        Column("source", String(8), nullable=False),
        Column("said", JSON(), nullable=False),
        Column("said_hash", String(64), nullable=False),
        Column("management_hash", String(64), nullable=True),
        Column("initial_token_id", String(40), nullable=True),
        Column("made_agent_id", String(40), nullable=True),
        Column("fresh_until", BigInteger(), nullable=False),
        Column("refresh_at", BigInteger(), nullable=True),
        Column("problem", String(40), nullable=False),
        Column("changed_at", BigInteger(), nullable=True),
        Column("expires_at", BigInteger(), nullable=True),
        Column("created_at", BigInteger(), nullable=False),
        PrimaryKeyConstraint("tenant_id", "client_id", name=op.f("pk_client_registrations")),
        UniqueConstraint("tenant_id", "said_hash", name=op.f("uq_client_registrations_said_hash")),
    )
    op.create_index("ix_client_registrations_refresh_at", "client_registrations", ["refresh_at"])
    op.create_index("ix_client_registrations_expires_at", "client_registrations", ["expires_at"])
    op.create_table(
        "registration_tokens",
        Column("id", String(40), nullable=False),
        Column("name", String(100), nullable=False),
        Column("secret_hash", String(64), nullable=False),
        Column("uses_left", Integer(), nullable=False),
        Column("created_at", BigInteger(), nullable=False),
        Column("expires_at", BigInteger(), nullable=False),
        Column("revoked_at", BigInteger(), nullable=True),
        Column("tenant_id", String(40), nullable=False),
        PrimaryKeyConstraint("id", name=op.f("pk_registration_tokens")),
    )
    op.create_index("ix_registration_tokens_secret", "registration_tokens", ["tenant_id", "secret_hash"])
    op.create_index("ix_registration_tokens_expires_at", "registration_tokens", ["expires_at"])


def downgrade() -> None:
    op.drop_table("registration_tokens")
    op.drop_table("client_registrations")
