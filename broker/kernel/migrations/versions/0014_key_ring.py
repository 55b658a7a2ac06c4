"""Signing keys know since when they are in their state, and when somebody must look at them next."""

import time

from alembic import op
from sqlalchemy import BigInteger, Column, text

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_LONGEST_SECONDS = 86_400 + 60


def upgrade() -> None:
    with op.batch_alter_table("signing_keys") as changed:
        changed.add_column(Column("changed_at", BigInteger, nullable=False, server_default="0"))
        changed.add_column(Column("due_at", BigInteger, nullable=False, server_default="0"))
    # Nobody wrote down when a key was retired: it stays for as long as its tokens may live from now on.
    op.execute(
        text(
            "UPDATE signing_keys SET changed_at = created_at, "
            "due_at = CASE WHEN state = 'active' THEN created_at ELSE :later END"
        ).bindparams(later=int(time.time()) + _LONGEST_SECONDS)
    )
    with op.batch_alter_table("signing_keys") as changed:
        changed.alter_column("changed_at", server_default=None)
        changed.alter_column("due_at", server_default=None)
    op.create_index("ix_signing_keys_due_at", "signing_keys", ["due_at"])


def downgrade() -> None:
    op.drop_index("ix_signing_keys_due_at", "signing_keys")
    op.drop_column("signing_keys", "due_at")
    op.drop_column("signing_keys", "changed_at")
