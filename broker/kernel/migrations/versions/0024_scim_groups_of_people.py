"""The groups of pushed people are found by an index that answers alone."""

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_scim_members_user", table_name="scim_members")
    op.create_index("ix_scim_members_user", "scim_members", ["tenant_id", "scim_user_id", "group_id"])


def downgrade() -> None:
    op.drop_index("ix_scim_members_user", table_name="scim_members")
    op.create_index("ix_scim_members_user", "scim_members", ["tenant_id", "scim_user_id"])
