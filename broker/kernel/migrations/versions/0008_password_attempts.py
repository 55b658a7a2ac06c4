"""The table of passwords that were tried at directories."""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, PrimaryKeyConstraint, String

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "password_attempts",
        Column("tenant_id", String(40), nullable=False),
        Column("kind", String(8), nullable=False),
        Column("key_hash", String(64), nullable=False),
        Column("tried", Integer(), nullable=False),
        Column("expires_at", BigInteger(), nullable=False),
        PrimaryKeyConstraint("tenant_id", "kind", "key_hash", name=op.f("pk_password_attempts")),
    )
    op.create_index("ix_password_attempts_expires_at", "password_attempts", ["expires_at"])


def downgrade() -> None:
    op.drop_table("password_attempts")
