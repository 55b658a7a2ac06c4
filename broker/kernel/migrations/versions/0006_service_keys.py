"""Our own keys towards identity providers, per connection."""

from alembic import op
from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    Text,
    UniqueConstraint,
)

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "service_keys",
        Column("id", String(40), nullable=False),
        Column("connection_id", String(40), nullable=False),
        Column("use", String(16), nullable=False),
        Column("number", Integer(), nullable=False),
        Column("state", String(16), nullable=False),
        Column("certificate", Text(), nullable=False),
        Column("sealed_private", LargeBinary(), nullable=False),
        Column("created_at", BigInteger(), nullable=False),
        Column("expires_at", BigInteger(), nullable=False),
        Column("tenant_id", String(40), nullable=False),
        PrimaryKeyConstraint("id", name=op.f("pk_service_keys")),
        UniqueConstraint(
            "tenant_id",
            "connection_id",
            "use",
            "number",
            name=op.f("uq_service_keys_connection_id_use_number"),
        ),
    )


def downgrade() -> None:
    op.drop_table("service_keys")
