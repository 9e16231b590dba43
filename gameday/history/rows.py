"""What is written of one session: rows of its events, and those derived from them."""

from collections.abc import Iterable, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gameday.history import schema
from gameday.history.database import Database
from gameday.history.journal_lines import Line
from gameday.history.summary import Summary
from gameday.journal.events import ExperimentEnded, FindingRaised, SessionEnded, SessionStarted
from gameday.journal.signatures import Signed
from gameday.people.actions import action_id

INDEXED = 150  # characters of a text that is looked up: an index takes no more than 2700 bytes
_AT_ONCE = 500  # rows of one statement

type Row = dict[str, object]


def text(value: str, limit: int | None = None) -> str:
    """As PostgreSQL can keep it, which knows no NUL."""
    return value.replace("\0", "\ufffd")[:limit]


def key(value: str) -> str:
    """A text that is looked up."""
    return text(value, INDEXED)


class Batch:
    """Rows of one project that are written together."""

    def __init__(self, project: str) -> None:
        self._project = project
        self._rows: dict[sa.Table, list[Row]] = {}

    def add_events(self, session: str, lines: Iterable[Line]) -> None:
        """Its events."""
        self._add(
            schema.events,
            session,
            (
                {
                    "number": line.number,
                    "at": line.event.at,
                    "kind": line.event.__struct_config__.tag,
                    "experiment": getattr(line.event, "experiment", None),
                    "data": text(line.data),
                }
                for line in lines
            ),
        )

    def add_derived(self, session: str, lines: Iterable[Line], summary: Summary) -> None:
        """What all its events come to."""
        for number, item in enumerate(summary.experiments):
            row: Row = {
                "number": number,
                "path": key(item.path),
                "title": text(item.title),
                "service": None if item.service is None else key(item.service),
                "environment": key(summary.environment),
                "started": summary.started,
                "verdict": item.verdict,
                "injected_at": item.injected_at,
                "detected_s": item.detected_s,
                "noticed_s": item.noticed_s,
                "recovered_s": item.recovered_s,
                "is_recovered": item.is_recovered,
            }
            self._add(schema.experiments, session, [row])
            names = dict.fromkeys(map(key, item.faults))
            self._add(schema.faults, session, ({"experiment": number, "fault": name} for name in names))
            self._add(
                schema.alerts,
                session,
                (
                    {"experiment": number, "name": key(one.name), "result": one.result, "detected_s": one.detected_s}
                    for one in item.alerts
                ),
            )
        verdicts, findings = _said(lines)
        self._add(schema.verdicts, session, verdicts)
        self._add(schema.findings, session, findings)

    def add_signatures(self, session: str, signed: Iterable[Signed]) -> None:
        """Who has signed it."""
        self._add(
            schema.signatures,
            session,
            (
                {
                    "author": key(one.signature.author),
                    "role": one.signature.role.value,
                    "at": one.signature.at,
                    "sha256": text(one.signature.sha256),
                    "comment": text(one.signature.comment),
                    "is_valid": one.is_valid,
                }
                for one in signed
            ),
        )

    def add_session(self, session: str, row: Row) -> None:
        """The session itself."""
        self._add(schema.sessions, session, [row])

    def write(self, database: Database, connection: Connection) -> None:
        """Those that are not there yet. Raises what the driver raises."""
        for table, rows in self._rows.items():
            statement = database.insert(table).on_conflict_do_nothing()
            for begin in range(0, len(rows), _AT_ONCE):
                connection.execute(statement, rows[begin : begin + _AT_ONCE])

    def _add(self, table: sa.Table, session: str, rows: Iterable[Row]) -> None:
        of: Row = {"project": self._project, "session": session}
        self._rows.setdefault(table, []).extend(of | row for row in rows)


def _said(lines: Iterable[Line]) -> tuple[list[Row], list[Row]]:
    """Rows of verdicts, of each the last that was said, and of findings."""
    verdicts: dict[int, Row] = {}
    findings: list[Row] = []
    paths: dict[int, str] = {}
    for line in lines:
        event = line.event
        match event:
            case SessionStarted():
                paths = {index: info.path for index, info in enumerate(event.experiments)}
            case ExperimentEnded() | SessionEnded():
                number = event.experiment if isinstance(event, ExperimentEnded) else schema.OF_SESSION
                said: Row = {"verdict": event.verdict.value, "reason": text(event.reason), "at": event.at}
                verdicts[number] = said | {"experiment": number}
            case FindingRaised():
                findings.append(
                    {
                        "number": line.number,
                        "experiment": event.experiment,
                        "kind": event.kind.value,
                        "title": text(event.title),
                        "detail": text(event.detail),
                        "is_weakness": event.weakness,
                        "owner": event.suggested_owner and text(event.suggested_owner),
                        "action": action_id(paths.get(event.experiment, ""), event.kind, event.title),
                    }
                )
            case _:
                pass
    return [*verdicts.values()], findings


def remove_derived(connection: Connection, project: str, session: str) -> None:
    """All but its events."""
    for table in schema.OF_A_SESSION:
        if table is not schema.events:
            connection.execute(table.delete().where(table.c.project == project, table.c.session == session))


def remove_sessions(connection: Connection, project: str, names: Sequence[str]) -> None:
    """All that is known of these sessions."""
    for begin in range(0, len(names), _AT_ONCE):
        some = names[begin : begin + _AT_ONCE]
        for table in schema.OF_A_SESSION:
            connection.execute(table.delete().where(table.c.project == project, table.c.session.in_(some)))
