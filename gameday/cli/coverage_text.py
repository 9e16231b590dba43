"""The matrix of `gameday coverage` as text, as JSON, and as what is wanting in it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime

from gameday.common.json import Json, JsonObject
from gameday.coverage.matrix import (
    AlertRow,
    DashboardRow,
    Exercise,
    ExperimentRow,
    ExperimentRun,
    Look,
    Moment,
    Result,
    RunbookRow,
    RunbookState,
    ServiceCoverage,
)
from gameday.journal.events import AlertExamination, Verdict
from gameday.report.past import History
from gameday.spec.units import format_duration

SCHEMA = 1  # docs/coverage.md describes it
_WIDEST = 120  # columns, where no terminal says how many there are
_NARROWEST = 8  # of a column
_CUT_SHORT = (Verdict.ABORTED, Verdict.UNDO_FAILED)
_RULE = {True: "exists", False: "missing", None: "unknown"}
_RESULTS = {
    Result.IN_TIME: "in time",
    Result.LATE: "late",
    Result.MISSED: "missed",
    Result.BEFORE: "fired before",
}


# -- text


def as_lines(matrix: Iterable[ServiceCoverage], widest: int = _WIDEST) -> Iterator[str]:
    """A table of alerts, of runbooks, of dashboards and of experiments for each service, where it has any."""
    for number, entry in enumerate(matrix):
        if number:
            yield "\n"
        yield (entry.name or "Of no service") + (f", owned by {entry.owner}" if entry.owner else "")
        if entry.is_empty:
            yield "  nothing is known of it: no experiment, alert, runbook or dashboard"
        columns = ("ALERT", "RULE", "ROUTED", "RUNBOOK", "DASHBOARD", "EXERCISED")
        yield from table(columns, map(_alert, entry.alerts), widest)
        yield from _wrong_with(entry.alerts)
        yield from table(("RUNBOOK", "STATE", "FOLLOWED", "EXERCISED"), map(_runbook, entry.runbooks), widest)
        yield from table(("DASHBOARD", "LOOKED AT", "MOVED"), map(_dashboard, entry.dashboards), widest)
        yield from table(("EXPERIMENT", "LAST RUN"), map(_experiment, entry.experiments), widest)


def table(columns: Sequence[str], rows: Iterable[tuple[str, ...]], widest: int = _WIDEST) -> Iterator[str]:
    """An empty line, and the rows under their columns; where they are too wide, what is widest loses its middle."""
    rows = [*rows]
    if not rows:
        return
    widths = [max(len(row[index]) for row in (tuple(columns), *rows)) for index in range(len(columns))]
    while sum(widths) + 2 * len(widths) > widest and max(widths) > _NARROWEST:
        widths[widths.index(max(widths))] -= 1
    yield ""
    for row in (tuple(columns), *rows):
        cells = (_fit(text, width) for text, width in zip(row, widths, strict=True))
        yield f"  {'  '.join(cells)}".rstrip()


def _fit(text: str, width: int) -> str:
    if len(text) <= width:
        return text.ljust(width)
    head = width // 2
    return f"{text[:head]}…{text[head + 1 - width :]}"


def _alert(row: AlertRow) -> tuple[str, ...]:
    return (row.title, _rule(row), _routed(row), _book(row.runbook), _boards(row.dashboards), _exercised(row))


def _rule(row: AlertRow) -> str:
    return "fails" if row.examined and row.examined.error else _RULE[row.has_rule]


def _routed(row: AlertRow) -> str:
    """To which receivers that tell anybody; a question mark where that depends on what is not known."""
    found = row.examined
    if found is None or found.receivers is None:
        return "unknown"
    if found.quiet:
        return "nobody"
    names = ", ".join(receiver.name for receiver in found.receivers if receiver.integrations)
    return f"{names}?" if found.doubts else names


def _wrong_with(rows: Iterable[AlertRow]) -> Iterator[str]:
    """Why nobody would be told, or perhaps nobody, and why a rule cannot be evaluated: an empty line first."""
    said = []
    for row in rows:
        if (found := row.examined) is not None:
            said += [f"{row.title}: {reason}" for reason in (*found.quiet, *found.doubts)]
            said += [f"{row.title}: its expression fails: {found.error}"] if found.error else []
    yield from ["", *(f"  {line}" for line in said)] if said else []


def _book(row: RunbookRow | None) -> str:
    if row is None:
        return "none"
    return row.name + (f" ({row.state})" if row.state in (RunbookState.MISSING, RunbookState.INCOMPLETE) else "")


def _boards(rows: Sequence[DashboardRow]) -> str:
    """The worst that is known of any of them, but one that moved is enough."""
    looks = [row.looked_at for row in rows if row.looked_at is not None and row.looked_at.found is not None]
    if not rows:
        return "none"
    if any(not look.found for look in looks):
        return "missing"
    if any(row.moved for row in rows):
        return "moved"
    return "never moved" if looks else "never looked at"


def _exercised(row: AlertRow) -> str:
    found = row.exercise
    if found is None:
        return "never" if row.expected_by else "never, nor expected"
    after = f", {format_duration(round(found.after_s, 1))}" if found.after_s is not None else ""
    cut = f" ({found.verdict})" if found.verdict in _CUT_SHORT and found.result is Result.MISSED else ""
    return f"{_day(found)} {_RESULTS[found.result]}{after}{cut}"


def _runbook(row: RunbookRow) -> tuple[str, ...]:
    lacks = f"lacks {', '.join(row.missing_sections)}" if row.missing_sections else ""
    state = "not read" if row.state is RunbookState.UNKNOWN else row.state.value
    return (row.name, lacks or state, _day(row.followed), _day(row.exercised))


def _dashboard(row: DashboardRow) -> tuple[str, ...]:
    look = row.looked_at
    seen = "never"
    if look is not None:
        what = ", could not be asked" if look.found is None else ", not there" if not look.found else ""
        seen = _day(look) + (what or (", some panels without data" if look.failing else ""))
    return (row.name, seen, _day(row.moved))


def _experiment(row: ExperimentRow) -> tuple[str, ...]:
    last = row.last
    return (row.path, "never" if last is None else f"{_day(last)} {last.verdict or 'not ended'}")


def _day(moment: Moment | None) -> str:
    return "never" if moment is None else f"{datetime.fromtimestamp(moment.at, UTC):%Y-%m-%d}"


# -- what is wanting


def _never_exercised(matrix: Sequence[ServiceCoverage]) -> Iterator[str]:
    names = dict.fromkeys(row.title for entry in matrix for row in entry.alerts if row.exercise is None)
    if names:
        yield f"Never exercised: {', '.join(names)}."


def _missing(matrix: Sequence[ServiceCoverage]) -> Iterator[str]:
    alerts = [row for entry in matrix for row in entry.alerts]
    rules = dict.fromkeys(row.title for row in alerts if row.has_rule is False)
    bare = dict.fromkeys(row.title for row in alerts if row.runbook is None)
    books = dict.fromkeys(row.name for entry in matrix for row in entry.runbooks if row.state is RunbookState.MISSING)
    boards = dict.fromkeys(
        row.name
        for entry in matrix
        for row in entry.dashboards
        if row.looked_at is not None and row.looked_at.found is False
    )
    for what, names in (("rule", rules), ("runbook", books), ("dashboard", boards)):
        if names:
            yield f"There is no {what} {', '.join(names)}."
    if bare:
        yield f"No runbook is named for {', '.join(bare)}."


def _unrouted(matrix: Sequence[ServiceCoverage]) -> Iterator[str]:
    alerts = [(row.title, row.examined) for entry in matrix for row in entry.alerts]
    if names := dict.fromkeys(name for name, found in alerts if found and found.quiet):
        yield f"Nobody would be told of {', '.join(names)}."
    if names := dict.fromkeys(name for name, found in alerts if found is None or found.receivers is None):
        yield f"Who would be told is not known of {', '.join(names)}."


WANTING: dict[str, Callable[[Sequence[ServiceCoverage]], Iterator[str]]] = {
    "never-exercised": _never_exercised,
    "missing": _missing,
    "unrouted": _unrouted,
}


# -- JSON


def as_document(
    matrix: Iterable[ServiceCoverage], history: History, rules: str, unanswered: Sequence[str] = ()
) -> JsonObject:
    """The matrix as docs/coverage.md describes it. Times are RFC 3339 in UTC."""
    return {
        "schema": SCHEMA,
        "rules": rules,
        "unanswered": list(unanswered),
        "runs": history.runs,
        "unread_runs": list(history.unread),
        "services": [
            {
                "service": entry.name,
                "owner": entry.owner,
                "alerts": [
                    {
                        "name": row.name,
                        "severity": row.severity,
                        "expected_by": list(row.expected_by),
                        "rule": row.has_rule,
                        "routed": _route(row.examined),
                        "runbook": row.runbook.name if row.runbook else None,
                        "dashboards": [board.name for board in row.dashboards],
                        "exercised": _exercise(row.exercise),
                    }
                    for row in entry.alerts
                ],
                "runbooks": [
                    {
                        "name": row.name,
                        "state": row.state.value,
                        "missing_sections": list(row.missing_sections),
                        "followed": _moment(row.followed),
                        "exercised": _moment(row.exercised),
                    }
                    for row in entry.runbooks
                ],
                "dashboards": [
                    {
                        "name": row.name,
                        "named_by": list(row.named_by),
                        "looked_at": _look(row.looked_at),
                        "moved": _moment(row.moved),
                    }
                    for row in entry.dashboards
                ],
                "experiments": [
                    {"path": row.path, "title": row.title, "last_run": _run(row.last)} for row in entry.experiments
                ],
            }
            for entry in matrix
        ],
    }


def _route(found: AlertExamination | None) -> JsonObject | None:
    if found is None or found.receivers is None:
        return None
    return {
        "receivers": [{"name": one.name, "integrations": list(one.integrations)} for one in found.receivers],
        "quiet": list(found.quiet),
        "doubts": list(found.doubts),
    }


def _moment(found: Moment | None) -> JsonObject | None:
    return None if found is None else {"run": found.run, "at": _iso(found.at)}


def _exercise(found: Exercise | None) -> Json:
    if found is None:
        return None
    more: JsonObject = {"result": found.result.value, "after_s": found.after_s, "verdict": found.verdict}
    return (_moment(found) or {}) | more


def _look(found: Look | None) -> Json:
    return None if found is None else (_moment(found) or {}) | {"found": found.found, "without_data": found.failing}


def _run(found: ExperimentRun | None) -> Json:
    return None if found is None else (_moment(found) or {}) | {"verdict": found.verdict}


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
