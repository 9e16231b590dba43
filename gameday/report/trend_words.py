"""How the history says what it has found: durations of several runs, changes, regressions. Plain text."""

import math
from collections.abc import Iterable

from gameday.coverage.matrix import Result
from gameday.report.format import clean, date, duration, plural
from gameday.report.past_run import SessionPast
from gameday.report.trends import LEAST, Loss, Measure, Regression, Standing, Times, Trend, Trial

NEVER = "never"
NONE = "—"


def taken(seconds: float | None) -> str:
    """One duration; infinite is never, and None was not put to the test."""
    return NONE if seconds is None else NEVER if math.isinf(seconds) else duration(seconds)


def taken_in(session: SessionPast, measure: Measure) -> str:
    """Of all experiments of a session: "3.0 s", or "3.0 s to 12.9 s, 1 never"."""
    found = [seconds for item in session.experiments if (seconds := measure(item)) is not None]
    came = sorted(seconds for seconds in found if math.isfinite(seconds))
    never = len(found) - len(came)
    if not came:
        return NEVER if never else NONE
    span = duration(came[0]) if came[0] == came[-1] else f"{duration(came[0])} to {duration(came[-1])}"
    return f"{span}, {never} {NEVER}" if never else span


def median(times: Times) -> str:
    """ "12.9 s of 10, 1 never"."""
    if not times.runs:
        return NONE
    never = f", {times.never} {NEVER}" if times.never and times.never < times.runs else ""
    return f"{taken(times.median)} of {times.runs}{never}"


def last(times: Times) -> str:
    """ "14 s (+1.1 s)": the last, and how much it differs from the median of those before it; of fewer than LEAST runs
    in all no change is said."""
    before = times.before
    if before is None or before.change is None or before.standing is None:
        return taken(times.last)
    sign = "+" if before.change > 0 else "±" if not before.change else ""
    return f"{taken(times.last)} ({sign}{duration(before.change)})"


def share(trend: Trend) -> str:
    """ "8 of 10 (80 %)"; of none that count, nothing."""
    if not trend.judged:
        return NONE
    percent = f" ({trend.held / trend.judged * 100:.0f}\N{NO-BREAK SPACE}%)" if trend.judged >= LEAST else ""
    return f"{trend.held} of {trend.judged}{percent}"


def findings(trend: Trend) -> str:
    """ "2 open (+5 −3)": open now, and so many opened and closed in all."""
    if not any(item.opened for item in trend.findings):
        return "none"
    opened, closed = (sum(getattr(item, name) for item in trend.findings) for name in ("opened", "closed"))
    return f"{trend.findings[-1].open} open (+{opened} \N{MINUS SIGN}{closed})"


def claims(trend: Trend, name: str) -> Iterable[str]:
    """What of it stands out: a last run that was faster or slower than all before."""
    for what, times in (("detection", trend.detect), ("recovery", trend.recover)):
        before = times.before
        if before is None or before.standing in (None, Standing.WITHIN):
            continue
        how = "faster" if before.standing is Standing.FASTER else "slower"
        came = taken(times.last) if times.last != math.inf else "it never came"
        yield f"{name}: the last {what} ({came}) was {how} than all {before.runs} before it"


def regression(found: Regression) -> str:
    """In one sentence, without its runs."""
    experiment = found.last.experiment
    where = f"“{clean(experiment.title, 120)}” on {clean(found.last.session.environment, 60)}"
    well, since = date(found.good.session.started), date(found.first.session.started)
    match found.loss:
        case Loss.VERDICT:
            text = f"{where} held on {well}, and has not since {since}"
        case Loss.ALERT:
            name = clean(found.alert, 120)
            text = (
                f"{name} fired in time for {where} on {well}, and has {_alert(found.last, found.alert)} since {since}"
            )
        case Loss.RECOVERY:
            text = f"{where} came back in time on {well}, and {_recovery(found.last)} since {since}"
    return text + (f" ({plural(found.runs, 'run')})" if found.runs > 1 else "")


def _alert(trial: Trial, name: str) -> str:
    results = {alert.name: alert.result for alert in trial.experiment.alerts}
    return "been late" if results.get(name) is Result.LATE else "been missed"


def _recovery(trial: Trial) -> str:
    recovery = trial.experiment.recovery
    if recovery is not None and recovery.recovered and recovery.seconds is not None:
        return f"has been late (last {duration(recovery.seconds)})"
    return "has not come back"


CHANGED = "the experiment is written otherwise since: it may ask for more than it did"
COUNTING = (
    "What counts are runs of an experiment that came to their end: held, or a weakness. "
    "Aborted, interrupted and not started ones count neither way."
)


def run_id(run: str) -> str:
    """The end of a run's name, which is enough to name it."""
    return run.rpartition("-")[2]
