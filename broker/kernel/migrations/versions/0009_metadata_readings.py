"""How the last reading of each provider's metadata went."""

from alembic import op
from sqlalchemy import JSON, BigInteger, Column, PrimaryKeyConstraint, String

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "metadata_readings",
        Column("tenant_id", String(40), nullable=False),
        Column("connection_id", String(40), nullable=False),
        Column("refresh_at", BigInteger(), nullable=False),
        Column("read_at", BigInteger()),
        Column("changed_at", BigInteger()),
        Column("valid_until", BigInteger()),
        Column("problem", String(40), nullable=False),
        Column("offered", JSON(), nullable=False),
        PrimaryKeyConstraint("tenant_id", "connection_id", name=op.f("pk_metadata_readings")),
    )


def downgrade() -> None:
    op.drop_table("metadata_readings")
