"""A connection remembers which make of identity provider it leads to."""

from alembic import op
from sqlalchemy import Column, String

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("connections") as table:
        table.add_column(Column("preset", String(32), nullable=False, server_default=""))
        table.alter_column("preset", server_default=None)


def downgrade() -> None:
    with op.batch_alter_table("connections") as table:
        table.drop_column("preset")
