"""What devices ask for, until a person has decided."""

from alembic import op
from sqlalchemy import JSON, BigInteger, Column, Integer, PrimaryKeyConstraint, String, UniqueConstraint

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "device_codes",
        Column("tenant_id", String(40), nullable=False),
        Column("id", String(40), nullable=False),
        Column("code_hash", String(64), nullable=False),
        Column("user_code_hash", String(64), nullable=False),
        Column("client_id", String(200), nullable=False),
        Column("request", JSON(), nullable=False),
        Column("ip", String(45), nullable=False),
        Column("user_agent", String(200), nullable=False),
        Column("state", String(8), nullable=False),
        Column("grant_id", String(40), nullable=False),
        Column("cnf_jkt", String(64), nullable=False),
        Column("pause_seconds", Integer(), nullable=False),
        Column("polled_at", BigInteger(), nullable=False),
        Column("created_at", BigInteger(), nullable=False),
        Column("expires_at", BigInteger(), nullable=False),
        PrimaryKeyConstraint("id", name=op.f("pk_device_codes")),
        UniqueConstraint("code_hash", name=op.f("uq_device_codes_code_hash")),
    )
    op.create_index("ix_device_codes_user_code", "device_codes", ["tenant_id", "user_code_hash"])
    op.create_index("ix_device_codes_expires_at", "device_codes", ["expires_at"])


def downgrade() -> None:
    op.drop_table("device_codes")
