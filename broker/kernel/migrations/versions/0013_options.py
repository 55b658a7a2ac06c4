"""Clients, agents and resources have options: what they are held to beyond their columns."""

from alembic import op
from sqlalchemy import JSON, Column

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_TABLES = ("clients", "agents", "resources")


def upgrade() -> None:
    for table in _TABLES:
        with op.batch_alter_table(table) as changed:
            changed.add_column(Column("options", JSON, nullable=False, server_default="{}"))
            changed.alter_column("options", server_default=None)


def downgrade() -> None:
    for table in _TABLES:
        op.drop_column(table, "options")
