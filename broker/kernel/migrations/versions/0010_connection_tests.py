"""Connections are tried: reports of tests, and sign-ins that are only a test."""

from alembic import op
from sqlalchemy import BigInteger, Column, LargeBinary, PrimaryKeyConstraint, String

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("sign_in_flows") as table:
        table.add_column(Column("test_id", String(40), nullable=False, server_default=""))
    op.create_table(
        "connection_tests",
        Column("id", String(40), nullable=False),
        Column("connection_id", String(40), nullable=False),
        Column("state", String(16), nullable=False),
        Column("sealed_report", LargeBinary(), nullable=False),
        Column("created_at", BigInteger(), nullable=False),
        Column("expires_at", BigInteger(), nullable=False),
        Column("tenant_id", String(40), nullable=False),
        PrimaryKeyConstraint("id", name=op.f("pk_connection_tests")),
    )
    op.create_index(
        "ix_connection_tests_connection", "connection_tests", ["tenant_id", "connection_id", "created_at"]
    )
    op.create_index("ix_connection_tests_expires_at", "connection_tests", ["expires_at"])


def downgrade() -> None:
    op.drop_table("connection_tests")
    with op.batch_alter_table("sign_in_flows") as table:
        table.drop_column("test_id")
