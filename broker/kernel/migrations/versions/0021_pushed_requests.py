"""Authorization requests are pushed by their client before a browser names them."""

from alembic import op
from sqlalchemy import JSON, BigInteger, Column, PrimaryKeyConstraint, String

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "pushed_requests",
        Column("uri_hash", String(64), nullable=False),
        Column("client_id", String(200), nullable=False),
        Column("params", JSON, nullable=False),
        Column("expires_at", BigInteger, nullable=False),
        Column("spent_at", BigInteger, nullable=True),
        Column("tenant_id", String(40), nullable=False),
        PrimaryKeyConstraint("uri_hash", name=op.f("pk_pushed_requests")),
    )
    op.create_index("ix_pushed_requests_client", "pushed_requests", ["tenant_id", "client_id", "expires_at"])
    op.create_index("ix_pushed_requests_expires_at", "pushed_requests", ["expires_at"])


def downgrade() -> None:
    op.drop_table("pushed_requests")
