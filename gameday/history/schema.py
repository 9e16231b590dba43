"""The store's tables, as the newest revision of `migrations/` leaves them.

Times are seconds since the Unix epoch, durations end in `_s`. Every row names its project: several may share a
database. What is derived (all but events, actions, signatures, claims, leases and locks) is written anew when its
session's journal has grown.
"""

import sqlalchemy as sa

REVISION = "0005"  # the newest of `migrations/versions`
VERSION_TABLE = "gameday_revision"
OF_SESSION = -1  # in the place of an experiment's number, where the whole session is meant

metadata = sa.MetaData()


def _key(name: str, kind: type[sa.Text] | type[sa.Integer] | type[sa.Double[float]] = sa.Text) -> sa.Column[object]:
    return sa.Column(name, kind(), primary_key=True, autoincrement=False)


sessions = sa.Table(
    "sessions",
    metadata,
    _key("project"),
    _key("session"),
    sa.Column("started", sa.Double, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("environment", sa.Text, nullable=False),
    sa.Column("verdict", sa.Text),  # null: its journal does not say that it ended
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("started_by", sa.Text, nullable=False),
    sa.Column("is_running", sa.Boolean, nullable=False),  # as it was when it was fed
    sa.Column("fed_at", sa.Double, nullable=False),
    sa.Column("journal_size", sa.BigInteger, nullable=False),
    sa.Column("bytes_read", sa.BigInteger, nullable=False),  # of the journal: whole lines
    sa.Column("lines_read", sa.Integer, nullable=False),
    sa.Column("signatures_size", sa.BigInteger, nullable=False),
    sa.Column("document", sa.Text, nullable=False),  # JSON: what `gameday history` shows of it
    sa.Column("document_version", sa.Integer, nullable=False),
    sa.Column("exercised", sa.Text),  # JSON: what `gameday coverage` counts; null: an older gameday has fed it
    sa.Index("sessions_by_time", "project", "started"),
    sa.Index("sessions_by_environment", "project", "environment", "started"),
    sa.Index("sessions_by_verdict", "project", "verdict", "started"),
)

experiments = sa.Table(
    "experiments",
    metadata,
    _key("project"),
    _key("session"),
    _key("number", sa.Integer),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("service", sa.Text),
    sa.Column("environment", sa.Text, nullable=False),  # the session's, as `started` is
    sa.Column("started", sa.Double, nullable=False),
    sa.Column("verdict", sa.Text),
    sa.Column("injected_at", sa.Double),
    sa.Column("detected_s", sa.Double),
    sa.Column("noticed_s", sa.Double),
    sa.Column("recovered_s", sa.Double),
    sa.Column("is_recovered", sa.Boolean),  # in time; null: not measured
    # What used to be better is found in these alone.
    sa.Index(
        "experiments_by_service", "project", "service", "path", "environment", "started", "verdict", "is_recovered"
    ),
    sa.Index("experiments_by_path", "project", "path", "environment", "started", "verdict", "is_recovered"),
    sqlite_with_rowid=False,
)

faults = sa.Table(
    "faults",
    metadata,
    _key("project"),
    _key("session"),
    _key("experiment", sa.Integer),
    _key("fault"),
    sa.Index("faults_by_name", "project", "fault", "session"),
    sqlite_with_rowid=False,
)

events = sa.Table(
    "events",
    metadata,
    _key("project"),
    _key("session"),
    _key("number", sa.Integer),  # the line of the journal, from 1
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("experiment", sa.Integer),
    sa.Column("data", sa.Text, nullable=False),  # the line: JSON
    sa.Index("events_by_kind", "project", "kind", "at"),
)

verdicts = sa.Table(
    "verdicts",
    metadata,
    _key("project"),
    _key("session"),
    _key("experiment", sa.Integer),  # OF_SESSION: of the session
    sa.Column("verdict", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
)

alerts = sa.Table(
    "alerts",
    metadata,
    _key("project"),
    _key("session"),
    _key("experiment", sa.Integer),
    _key("name"),
    sa.Column("result", sa.Text, nullable=False),
    sa.Column("detected_s", sa.Double),  # from the first injection until it fired; null: it did not
    sa.Index("alerts_by_name", "project", "name", "result"),
    sqlite_with_rowid=False,
)

findings = sa.Table(
    "findings",
    metadata,
    _key("project"),
    _key("session"),
    _key("number", sa.Integer),  # of the event
    sa.Column("experiment", sa.Integer, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("is_weakness", sa.Boolean, nullable=False),
    sa.Column("owner", sa.Text),
    sa.Column("action", sa.Text, nullable=False),  # the id of its action item
    sa.Index("findings_by_action", "project", "action"),
)

actions = sa.Table(
    "actions",
    metadata,
    _key("project"),
    _key("action"),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("service", sa.Text),
    sa.Column("owner", sa.Text),
    sa.Column("is_open", sa.Boolean, nullable=False),
    sa.Column("opened_at", sa.Double, nullable=False),
    sa.Column("opened_by", sa.Text, nullable=False),
    sa.Column("changed_at", sa.Double, nullable=False),
    sa.Column("document", sa.Text, nullable=False),  # JSON of `gameday.people.actions.Action`
)

signatures = sa.Table(
    "signatures",
    metadata,
    _key("project"),
    _key("session"),
    _key("author"),
    _key("role"),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False),
    sa.Column("comment", sa.Text, nullable=False),
    sa.Column("is_valid", sa.Boolean, nullable=False),
)

# What `gameday history prune` has removed, so that the next sync does not bring it back. `kind`: session or action.
removed = sa.Table(
    "removed", metadata, _key("project"), _key("kind"), _key("name"), sa.Column("at", sa.Double, nullable=False)
)

# What a project knows of itself: the salt of its pseudonyms.
settings = sa.Table("settings", metadata, _key("project"), _key("name"), sa.Column("value", sa.Text, nullable=False))

claims = sa.Table(
    "claims",
    metadata,
    _key("project"),
    _key("kind"),
    _key("name"),
    _key("due_at", sa.Double),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("at", sa.Double, nullable=False),  # by the database's clock
    sa.Column("outcome", sa.Text),
    sa.Column("run", sa.Text),
)

# A row stays for ever, so that its token only ever grows; `expires_at` is by the database's clock.
leases = sa.Table(
    "leases",
    metadata,
    _key("project"),
    _key("name"),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("token", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.Double, nullable=False),
)

# Services that a session holds in an environment, over all machines; as leases are.
locks = sa.Table(
    "locks",
    metadata,
    _key("project"),
    _key("environment"),
    _key("service"),
    sa.Column("session", sa.Text, nullable=False, server_default=""),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("token", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.Double, nullable=False),
    sa.Column("taken_at", sa.Double),
    sa.Column("renewed_at", sa.Double),  # null: an older gameday's
)

# All that is known of a session, the row that names it last.
OF_A_SESSION = (events, verdicts, alerts, findings, signatures, faults, experiments, sessions)
