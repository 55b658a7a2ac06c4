"""People have personal access tokens, each on a grant of its own."""

from alembic import op
from sqlalchemy import BigInteger, Column, PrimaryKeyConstraint, String, UniqueConstraint

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "personal_tokens",
        Column("id", String(40), nullable=False),
        Column("token_hash", String(64), nullable=False),
        Column("grant_id", String(40), nullable=False),
        Column("user_id", String(40), nullable=False),
        Column("name", String(100), nullable=False),
        Column("created_at", BigInteger(), nullable=False),
        Column("expires_at", BigInteger(), nullable=False),
        Column("used_at", BigInteger()),
        Column("tenant_id", String(40), nullable=False),
        PrimaryKeyConstraint("id", name=op.f("pk_personal_tokens")),
        UniqueConstraint("token_hash", name=op.f("uq_personal_tokens_token_hash")),
    )
    op.create_index("ix_personal_tokens_user", "personal_tokens", ["tenant_id", "user_id"])
    op.create_index("ix_personal_tokens_expires_at", "personal_tokens", ["expires_at"])


def downgrade() -> None:
    op.drop_table("personal_tokens")
