"""Codes and refresh tokens are bound to their holder's key."""

from alembic import op
from sqlalchemy import Column, String

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_TABLES = ("authorization_codes", "refresh_tokens")


def upgrade() -> None:
    for table in _TABLES:
        with op.batch_alter_table(table) as changed:
            changed.add_column(Column("cnf_jkt", String(64), nullable=False, server_default=""))
            changed.alter_column("cnf_jkt", server_default=None)


def downgrade() -> None:
    for table in _TABLES:
        op.drop_column(table, "cnf_jkt")
