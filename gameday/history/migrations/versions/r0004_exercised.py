"""What a session has exercised, for `gameday coverage`. Sessions that were fed before are told by their next sync."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add it."""
    op.add_column("sessions", sa.Column("exercised", sa.Text()))


def downgrade() -> None:
    """Drop it."""
    op.drop_column("sessions", "exercised")
