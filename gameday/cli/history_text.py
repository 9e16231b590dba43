"""The history as text and as JSON; docs/history.md describes both."""

import math
import shutil
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from gameday.cli.coverage_text import table
from gameday.common.json import JsonObject
from gameday.report import trend_words as words
from gameday.report.format import clean, iso, listing, moment
from gameday.report.past_run import ExperimentPast, SessionPast
from gameday.report.trends import (
    Balance,
    By,
    Comparison,
    Regression,
    Times,
    Trend,
    Trial,
    balances,
    detected,
    noticed,
    recovered,
    together,
    trends,
    verdict_of,
)
from gameday.report.views import Status

SCHEMA = 1
_COLUMNS = 120  # at least, and where there is no terminal
_MONTHS = 12


# -- text


def session_lines(sessions: Iterable[SessionPast]) -> Iterator[str]:
    """One line a session."""
    columns = ("WHEN", "RUN", "SESSION", "WHERE", "VERDICT", "HELD", "BROKEN", "FOUND")
    yield from table((*columns, "DETECTED", "BY PEOPLE", "RECOVERED"), map(_session, sessions), _width())


def _session(session: SessionPast) -> tuple[str, ...]:
    states = [session.status_of(item) for item in session.experiments]
    faults = [clean(name, 60) for name in dict.fromkeys(name for item in session.experiments for name in item.faults)]
    weaknesses = sum(len(item.weaknesses) for item in session.experiments)
    return (
        f"{moment(session.started):%Y-%m-%d}",
        session.run.rpartition("-")[2],  # enough to name it
        clean(session.title, 100),
        clean(session.environment, 60) or words.NONE,
        verdict_of(session),
        f"{states.count(Status.HELD)} of {len(states)}",
        listing(faults, 2) or "nothing",
        str(weaknesses) if weaknesses else words.NONE,
        *(_plain(words.taken_in(session, measure)) for measure in (detected, noticed, recovered)),
    )


def _width() -> int:
    return max(_COLUMNS, shutil.get_terminal_size((_COLUMNS, 0)).columns)


def _plain(text: str) -> str:
    """As terminals have durations elsewhere: 12.9s."""
    return text.replace("\N{NO-BREAK SPACE}", "")


def trend_lines(trials: Sequence[Trial], kinds: Iterable[By]) -> Iterator[str]:
    """A table for each kind, what stands out in it, and the findings by month."""
    for by in kinds:
        found = trends(trials, by)
        columns = (by.upper(), "RUNS", "HELD", "DETECTED", "NEVER", "LAST", "RECOVERED", "LAST", "FINDINGS")
        yield from table(columns, map(_trend, found), _width())
        for one in found:
            for claim in words.claims(one, _name(one)):
                yield f"  {_plain(claim)}"
    rows = [*_months(balances(trials))][-_MONTHS:]
    yield from table(("FINDINGS IN", "OPENED", "CLOSED", "OPEN AT THE END"), rows)


def _name(trend: Trend) -> str:
    return clean(trend.key, 100) or "of none"


def _trend(trend: Trend) -> tuple[str, ...]:
    detect, recover = trend.detect, trend.recover
    cells = (
        str(len(trend.trials)),
        words.with_remark(words.share(trend), words.percent(trend)),
        words.median(detect),
        str(detect.never or words.NONE),
        words.with_remark(words.taken(detect.last), words.change(detect)),
        words.median(recover),
        words.with_remark(words.taken(recover.last), words.change(recover)),
        words.with_remark(words.still_open(trend), words.flow(trend)),
    )
    return (_name(trend), *map(_plain, cells))


def _months(found: Iterable[Balance]) -> Iterator[tuple[str, ...]]:
    for month, group in groupby(found, lambda item: f"{moment(item.session.started):%Y-%m}"):
        items = [*group]
        counts = (sum(item.opened for item in items), sum(item.closed for item in items), items[-1].open)
        yield (month, *map(str, counts))


def regression_lines(lost: Iterable[Regression]) -> Iterator[str]:
    """What, since when, and which runs show it."""
    for group in together(lost):
        for one in group:
            yield f"REGRESSION: {_plain(words.regression(one))}: {_plain(words.since(one))}"
        one = group[0]
        yield f"  {clean(one.last.experiment.path, 200)}"
        yield f"  last well in {one.good.session.run}"
        yield f"  first not in {one.first.session.run}"
        if one.has_changed:
            yield f"  {words.CHANGED}"


# -- JSON


def as_document(
    unread: Iterable[str],
    lost: Iterable[Regression],
    *,
    sessions: Iterable[SessionPast] | None = None,
    left_out: int = 0,
    trials: Sequence[Trial] | None = None,
    by: Iterable[By] = (),
) -> JsonObject:
    """Of the view of sessions, or of that of trends."""
    document: JsonObject = {"schema": SCHEMA, "unread_runs": list(unread)}
    if sessions is not None:
        document |= {"sessions": [_session_json(one) for one in sessions], "sessions_left_out": left_out}
    if trials is not None:
        document["trends"] = {kind.value: [_trend_json(one) for one in trends(trials, kind)] for kind in by}
        document["findings"] = [_balance(item) for item in balances(trials)]
    return document | {"regressions": [_regression(one) for one in lost]}


def _session_json(session: SessionPast) -> JsonObject:
    return {
        "run": session.run,
        "at": iso(session.started),
        "title": session.title,
        "environment": session.environment,
        "verdict": verdict_of(session),
        "experiments": [_experiment(session, item) for item in session.experiments],
    }


def _experiment(session: SessionPast, item: ExperimentPast) -> JsonObject:
    recovery = item.recovery
    return {
        "path": item.path,
        "title": item.title,
        "service": item.service,
        "verdict": session.status_of(item).value,
        "faults": list(item.faults),
        "injected": None if item.injected_at is None else iso(item.injected_at),
        "detected_s": _finite(detected(item)),
        "noticed_s": item.noticed_s,
        "recovered_s": _finite(recovered(item)),
        "recovers_within_s": recovery.within_s if recovery else None,
        "is_recovered": recovery.recovered if recovery else None,
        "alerts": [
            {"name": alert.name, "result": alert.result.value, "after_s": alert.after_s} for alert in item.alerts
        ],
        "weaknesses": [{"id": one.id, "kind": one.kind.value, "title": one.title} for one in item.weaknesses],
        "other_findings": item.others,
    }


def _finite(seconds: float | None) -> float | None:
    return seconds if seconds is not None and math.isfinite(seconds) else None


def _trend_json(trend: Trend) -> JsonObject:
    return {
        "name": trend.key or None,
        "runs": len(trend.trials),
        "held": trend.held,
        "weakness": trend.weak,
        "uncounted": trend.uncounted,
        "detected": _times(trend.detect),
        "noticed": _times(trend.notice),
        "recovered": _times(trend.recover),
        "findings": [_balance(item) for item in trend.findings],
    }


def _times(times: Times) -> JsonObject:
    return {
        "runs": times.runs,
        "never": times.never,
        "median_s": _finite(times.median),
        "last_s": _finite(times.last),
        "before": _comparison(times.before),
    }


def _comparison(before: Comparison | None) -> JsonObject | None:
    if before is None:
        return None
    return {
        "runs": before.runs,
        "median_s": _finite(before.median),
        "change_s": _finite(before.change) if before.standing else None,
        "standing": before.standing.value if before.standing else None,
    }


def _balance(item: Balance) -> JsonObject:
    return _run(item.session) | {"opened": item.opened, "closed": item.closed, "open": item.open}


def _regression(one: Regression) -> JsonObject:
    experiment = one.last.experiment
    return {
        "loss": one.loss.value,
        "alert": one.alert or None,
        "experiment": experiment.path,
        "title": experiment.title,
        "service": experiment.service,
        "environment": one.last.session.environment,
        "good": _run(one.good.session),
        "first": _run(one.first.session),
        "last": _run(one.last.session),
        "runs": one.runs,
        "has_changed": one.has_changed,
    }


def _run(session: SessionPast) -> JsonObject:
    return {"run": session.run, "at": iso(session.started)}
