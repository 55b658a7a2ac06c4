"""The tables of walks through directories: how far one is, and the people and groups that it found."""

from alembic import op
from sqlalchemy import JSON, BigInteger, Boolean, Column, Integer, LargeBinary, PrimaryKeyConstraint, String

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "directory_syncs",
        Column("tenant_id", String(40), nullable=False),
        Column("connection_id", String(40), nullable=False),
        Column("run", Integer(), nullable=False),
        Column("state", String(16), nullable=False),
        Column("phase", String(16), nullable=False),
        Column("parts", JSON(), nullable=False),
        Column("leaving", Integer(), nullable=False),
        Column("known", Integer(), nullable=False),
        Column("is_confirmed", Boolean(), nullable=False),
        Column("problem", String(300), nullable=False),
        Column("started_at", BigInteger(), nullable=False),
        Column("changed_at", BigInteger(), nullable=False),
        Column("finished_at", BigInteger()),
        Column("next_at", BigInteger()),
        PrimaryKeyConstraint("tenant_id", "connection_id", name=op.f("pk_directory_syncs")),
    )
    op.create_index("ix_directory_syncs_next_at", "directory_syncs", ["next_at"])
    op.create_table(
        "directory_people",
        Column("tenant_id", String(40), nullable=False),
        Column("connection_id", String(40), nullable=False),
        Column("subject", String(500), nullable=False),
        Column("entry_key", LargeBinary(), nullable=False),
        Column("group_keys", LargeBinary(), nullable=False),
        Column("first_run", Integer(), nullable=False),
        Column("run", Integer(), nullable=False),
        Column("is_told_active", Boolean(), nullable=False),
        Column("state", String(8), nullable=False),
        Column("switched_off", Boolean(), nullable=False),
        PrimaryKeyConstraint("tenant_id", "connection_id", "subject", name=op.f("pk_directory_people")),
    )
    op.create_table(
        "directory_groups",
        Column("tenant_id", String(40), nullable=False),
        Column("connection_id", String(40), nullable=False),
        Column("entry_key", LargeBinary(), nullable=False),
        Column("run", Integer(), nullable=False),
        Column("facts", JSON(), nullable=False),
        Column("aliases", LargeBinary(), nullable=False),
        Column("members", LargeBinary(), nullable=False),
        Column("is_cut", Boolean(), nullable=False),
        PrimaryKeyConstraint("tenant_id", "connection_id", "entry_key", name=op.f("pk_directory_groups")),
    )


def downgrade() -> None:
    op.drop_table("directory_groups")
    op.drop_table("directory_people")
    op.drop_table("directory_syncs")
