"""A browser session remembers when its provider proved the person, apart from when it began."""

from alembic import op
from sqlalchemy import BigInteger, Column

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("browser_sessions", Column("proven_at", BigInteger()))


def downgrade() -> None:
    op.drop_column("browser_sessions", "proven_at")
