"""A tenant names the parties outside that it deals with: targets, issuers, workloads, subjects."""

from alembic import op
from sqlalchemy import JSON, BigInteger, Column, PrimaryKeyConstraint, String, UniqueConstraint

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "trusts",
        Column("id", String(40), nullable=False),
        Column("kind", String(16), nullable=False),
        Column("slug", String(63), nullable=False),
        Column("name", String(200), nullable=False),
        Column("config", JSON, nullable=False),
        Column("state", String(16), nullable=False),
        Column("created_at", BigInteger, nullable=False),
        Column("tenant_id", String(40), nullable=False),
        PrimaryKeyConstraint("id"),
        UniqueConstraint("tenant_id", "slug"),
    )


def downgrade() -> None:
    op.drop_table("trusts")
