"""What journals say: sessions, their experiments, events, verdicts, alerts, findings; actions and signatures."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "sessions",
        sa.Column("project", sa.Text(), primary_key=True, autoincrement=False),
        sa.Column("session", sa.Text(), primary_key=True, autoincrement=False),
        sa.Column("started", sa.Double(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text()),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("started_by", sa.Text(), nullable=False),
        sa.Column("is_running", sa.Boolean(), nullable=False),
        sa.Column("fed_at", sa.Double(), nullable=False),
        sa.Column("journal_size", sa.BigInteger(), nullable=False),
        sa.Column("bytes_read", sa.BigInteger(), nullable=False),
        sa.Column("lines_read", sa.Integer(), nullable=False),
        sa.Column("signatures_size", sa.BigInteger(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("document_version", sa.Integer(), nullable=False),
    )
    op.create_index("sessions_by_environment", "sessions", ["project", "environment", "started"])
    op.create_index("sessions_by_time", "sessions", ["project", "started"])
    op.create_index("sessions_by_verdict", "sessions", ["project", "verdict", "started"])
    op.create_table(
        "experiments",
        sa.Column("project", sa.Text(), primary_key=True, autoincrement=False),
        sa.Column("session", sa.Text(), primary_key=True, autoincrement=False),
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("service", sa.Text()),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("started", sa.Double(), nullable=False),
        sa.Column("verdict", sa.Text()),
        sa.Column("injected_at", sa.Double()),
        sa.Column("detected_s", sa.Double()),
        sa.Column("noticed_s", sa.Double()),
        sa.Column("recovered_s", sa.Double()),
        sa.Column("is_recovered", sa.Boolean()),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "experiments_by_path", "experiments", ["project", "path", "environment", "started", "verdict", "is_recovered"]
    )
    op.create_index(
        "experiments_by_service",
        "experiments",
        ["project", "service", "path", "environment", "started", "verdict", "is_recovered"],
    )
    op.create_table(
        "faults",
        sa.Column("project", sa.Text(), primary_key=True, autoincrement=False),
        sa.Column("session", sa.Text(), primary_key=True, autoincrement=False),
        sa.Column("experiment", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("fault", sa.Text(), primary_key=True, autoincrement=False),
        sqlite_with_rowid=False,
    )
    op.create_index("faults_by_name", "faults", ["project", "fault", "session"])
    op.create_table(
        "events",
        sa.Column("project", sa.Text(), primary_key=True, autoincrement=False),
        sa.Column("session", sa.Text(), primary_key=True, autoincrement=False),
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("experiment", sa.Integer()),
        sa.Column("data", sa.Text(), nullable=False),
    )
    op.create_index("events_by_kind", "events", ["project", "kind", "at"])
    op.create_table(
        "verdicts",
        sa.Column("project", sa.Text(), primary_key=True, autoincrement=False),
        sa.Column("session", sa.Text(), primary_key=True, autoincrement=False),
        sa.Column("experiment", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
    )
    op.create_table(
        "alerts",
        sa.Column("project", sa.Text(), primary_key=True, autoincrement=False),
        sa.Column("session", sa.Text(), primary_key=True, autoincrement=False),
        sa.Column("experiment", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("name", sa.Text(), primary_key=True, autoincrement=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("detected_s", sa.Double()),
        sqlite_with_rowid=False,
    )
    op.create_index("alerts_by_name", "alerts", ["project", "name", "result"])
    op.create_table(
        "findings",
        sa.Column("project", sa.Text(), primary_key=True, autoincrement=False),
        sa.Column("session", sa.Text(), primary_key=True, autoincrement=False),
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("experiment", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("is_weakness", sa.Boolean(), nullable=False),
        sa.Column("owner", sa.Text()),
        sa.Column("action", sa.Text(), nullable=False),
    )
    op.create_index("findings_by_action", "findings", ["project", "action"])
    op.create_table(
        "actions",
        sa.Column("project", sa.Text(), primary_key=True, autoincrement=False),
        sa.Column("action", sa.Text(), primary_key=True, autoincrement=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("service", sa.Text()),
        sa.Column("owner", sa.Text()),
        sa.Column("is_open", sa.Boolean(), nullable=False),
        sa.Column("opened_at", sa.Double(), nullable=False),
        sa.Column("opened_by", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.Double(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
    )
    op.create_table(
        "signatures",
        sa.Column("project", sa.Text(), primary_key=True, autoincrement=False),
        sa.Column("session", sa.Text(), primary_key=True, autoincrement=False),
        sa.Column("author", sa.Text(), primary_key=True, autoincrement=False),
        sa.Column("role", sa.Text(), primary_key=True, autoincrement=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("is_valid", sa.Boolean(), nullable=False),
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("signatures")
    op.drop_table("actions")
    op.drop_table("findings")
    op.drop_table("alerts")
    op.drop_table("verdicts")
    op.drop_table("events")
    op.drop_table("faults")
    op.drop_table("experiments")
    op.drop_table("sessions")
