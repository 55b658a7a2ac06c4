"""Who is still to be told that a browser session ended."""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, PrimaryKeyConstraint, String

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "logout_notices",
        Column("tenant_id", String(40), nullable=False),
        Column("session_id", String(40), nullable=False),
        Column("client_id", String(200), nullable=False),
        Column("user_id", String(40), nullable=False),
        Column("tries", Integer(), nullable=False),
        Column("due_at", BigInteger(), nullable=False),
        Column("expires_at", BigInteger(), nullable=False),
        PrimaryKeyConstraint("tenant_id", "session_id", "client_id", name=op.f("pk_logout_notices")),
    )
    op.create_index("ix_logout_notices_due_at", "logout_notices", ["due_at"])
    op.create_index("ix_logout_notices_expires_at", "logout_notices", ["expires_at"])


def downgrade() -> None:
    op.drop_table("logout_notices")
