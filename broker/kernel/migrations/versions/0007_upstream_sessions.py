"""Browser sessions are found by what their identity provider calls them."""

from alembic import op
from sqlalchemy import Column, String

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("browser_sessions", Column("upstream_person", String(64)))
    op.add_column("browser_sessions", Column("upstream_session", String(64)))
    op.create_index(
        "ix_browser_sessions_upstream_person", "browser_sessions", ["tenant_id", "upstream_person"]
    )
    op.create_index(
        "ix_browser_sessions_upstream_session", "browser_sessions", ["tenant_id", "upstream_session"]
    )


def downgrade() -> None:
    op.drop_index("ix_browser_sessions_upstream_session", "browser_sessions")
    op.drop_index("ix_browser_sessions_upstream_person", "browser_sessions")
    op.drop_column("browser_sessions", "upstream_session")
    op.drop_column("browser_sessions", "upstream_person")
