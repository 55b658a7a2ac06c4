"""Groups are asked for again between sign-ins: whom the source is asked about, when, and what went wrong."""

from alembic import op
from sqlalchemy import BigInteger, Column, String

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("group_snapshots", Column("problem", String(300), nullable=False, server_default=""))
    op.add_column("group_snapshots", Column("lookup_key", String(500)))
    op.add_column("group_snapshots", Column("refresh_at", BigInteger()))
    op.create_index("ix_group_snapshots_refresh_at", "group_snapshots", ["refresh_at"])


def downgrade() -> None:
    op.drop_index("ix_group_snapshots_refresh_at", "group_snapshots")
    op.drop_column("group_snapshots", "refresh_at")
    op.drop_column("group_snapshots", "lookup_key")
    op.drop_column("group_snapshots", "problem")
