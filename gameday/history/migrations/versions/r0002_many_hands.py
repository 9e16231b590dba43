"""What several machines share: claims, leases and locks; and what was removed, and must not come back."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "claims",
        sa.Column("project", sa.Text(), primary_key=True, autoincrement=False),
        sa.Column("kind", sa.Text(), primary_key=True, autoincrement=False),
        sa.Column("name", sa.Text(), primary_key=True, autoincrement=False),
        sa.Column("due_at", sa.Double(), primary_key=True, autoincrement=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("outcome", sa.Text()),
        sa.Column("run", sa.Text()),
    )
    op.create_table(
        "leases",
        sa.Column("project", sa.Text(), primary_key=True, autoincrement=False),
        sa.Column("name", sa.Text(), primary_key=True, autoincrement=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
    )
    op.create_table(
        "locks",
        sa.Column("project", sa.Text(), primary_key=True, autoincrement=False),
        sa.Column("environment", sa.Text(), primary_key=True, autoincrement=False),
        sa.Column("service", sa.Text(), primary_key=True, autoincrement=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
    )
    op.create_table(
        "removed",
        sa.Column("project", sa.Text(), primary_key=True, autoincrement=False),
        sa.Column("kind", sa.Text(), primary_key=True, autoincrement=False),
        sa.Column("name", sa.Text(), primary_key=True, autoincrement=False),
        sa.Column("at", sa.Double(), nullable=False),
    )
    op.create_table(
        "settings",
        sa.Column("project", sa.Text(), primary_key=True, autoincrement=False),
        sa.Column("name", sa.Text(), primary_key=True, autoincrement=False),
        sa.Column("value", sa.Text(), nullable=False),
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("settings")
    op.drop_table("removed")
    op.drop_table("locks")
    op.drop_table("leases")
    op.drop_table("claims")
