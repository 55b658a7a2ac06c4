"""What metadata offers is kept with its addresses; what was offered before is read again."""

from alembic import op
from sqlalchemy import JSON, BigInteger, column, table

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_READINGS = table("metadata_readings", column("offered", JSON), column("refresh_at", BigInteger))


def upgrade() -> None:
    op.execute(_READINGS.update().values(offered={}, refresh_at=0))


def downgrade() -> None:
    op.execute(_READINGS.update().values(offered=[], refresh_at=0))
