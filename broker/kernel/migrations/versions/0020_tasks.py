"""Tasks: what an agent does for one purpose, and can be ended as one."""

from alembic import op
from sqlalchemy import JSON, BigInteger, Column, PrimaryKeyConstraint, String

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "tasks",
        Column("id", String(40), nullable=False),
        Column("grant_id", String(40), nullable=False),
        Column("client_id", String(200), nullable=False),
        Column("agent_id", String(40), nullable=False),
        Column("user_id", String(40)),
        Column("purpose", String(200), nullable=False),
        Column("instance", String(64), nullable=False),
        Column("roots", JSON, nullable=False),
        Column("started_at", BigInteger, nullable=False),
        Column("expires_at", BigInteger, nullable=False),
        Column("ended_at", BigInteger),
        Column("ended_by", String(40), nullable=False),
        Column("tenant_id", String(40), nullable=False),
        PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_tasks_agent", "tasks", ["tenant_id", "agent_id", "started_at"])
    op.create_index("ix_tasks_expires_at", "tasks", ["expires_at"])


def downgrade() -> None:
    op.drop_table("tasks")
