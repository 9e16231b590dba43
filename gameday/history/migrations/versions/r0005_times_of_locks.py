"""When a lock was taken and when renewed: by the latter it can be told whether its session may live."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add them."""
    op.add_column("locks", sa.Column("taken_at", sa.Double()))
    op.add_column("locks", sa.Column("renewed_at", sa.Double()))


def downgrade() -> None:
    """Drop them."""
    op.drop_column("locks", "renewed_at")
    op.drop_column("locks", "taken_at")
