"""How the history says what it has found: durations of several runs, changes, regressions. Plain text."""

import math
from collections.abc import Iterator

from gameday.coverage.matrix import Result
from gameday.journal.events import Loss
from gameday.report.format import clean, date, duration
from gameday.report.past_run import SessionPast
from gameday.report.trends import LEAST, Measure, Regression, Standing, Times, Trend, Trial

NEVER = "never"
NONE = "—"
CHANGED = "the experiment is written otherwise since: it may ask for more than it did"
COUNTING = (
    "What counts are runs of an experiment that came to their end: held, or a weakness. "
    "Aborted, interrupted and not started ones count neither way."
)


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
    """ "12.9 s of 10"."""
    return f"{taken(times.median)} of {times.runs}" if times.runs else NONE


def change(times: Times) -> str:
    """ "+1.1 s": how much the last differs from the median of those before it; of fewer than LEAST runs in all nothing
    is said."""
    before = times.before
    if before is None or before.change is None or before.standing is None:
        return ""
    sign = "+" if before.change > 0 else "±" if not before.change else ""
    return f"{sign}{duration(before.change)}"


def share(trend: Trend) -> str:
    """ "8 of 10"; of none that count, nothing."""
    return f"{trend.held} of {trend.judged}" if trend.judged else NONE


def percent(trend: Trend) -> str:
    """ "80 %"; of fewer than LEAST runs nothing is said."""
    return f"{trend.held / trend.judged * 100:.0f}\N{NO-BREAK SPACE}%" if trend.judged >= LEAST else ""


def still_open(trend: Trend) -> str:
    """ "2 open"."""
    return f"{trend.findings[-1].open} open" if any(item.opened for item in trend.findings) else "none"


def flow(trend: Trend) -> str:
    """ "+5 −3": so many findings opened and closed in all."""
    opened, closed = (sum(getattr(item, name) for item in trend.findings) for name in ("opened", "closed"))
    return f"+{opened} \N{MINUS SIGN}{closed}" if opened else ""


def with_remark(text: str, remark: str) -> str:
    """ "8 of 10 (80 %)"."""
    return f"{text} ({remark})" if remark else text


def claims(trend: Trend, name: str) -> Iterator[str]:
    """What of it stands out: a last run that was faster or slower than all before."""
    for what, times in (("detection", trend.detect), ("recovery", trend.recover)):
        before = times.before
        if before is None or before.standing in (None, Standing.WITHIN):
            continue
        how = "faster" if before.standing is Standing.FASTER else "slower"
        came = taken(times.last) if times.last != math.inf else "it never came"
        yield f"{name}: the last {what} ({came}) was {how} than all {before.runs} before it"


def regression(found: Regression) -> str:
    """What does not hold any more, in one clause without dates."""
    where = f"“{clean(found.last.experiment.title, 120)}” on {clean(found.last.session.environment, 60)}"
    match found.loss:
        case Loss.VERDICT:
            return f"{where} held, and does not any more"
        case Loss.ALERT:
            return f"{clean(found.alert, 120)} fired in time for {where}, and now {_alert(found.last, found.alert)}"
        case Loss.RECOVERY:
            return f"{where} came back in time, and now {_recovery(found.last)}"


def since(found: Regression) -> str:
    """Between which days it was lost."""
    many = f", {found.runs} runs" if found.runs > 1 else ""
    return f"last well on {date(found.good.session.started)}, not since {date(found.first.session.started)}{many}"


def _alert(trial: Trial, name: str) -> str:
    results = {alert.name: alert.result for alert in trial.experiment.alerts}
    return "is late" if results.get(name) is Result.LATE else "is missed"


def _recovery(trial: Trial) -> str:
    recovery = trial.experiment.recovery
    if recovery is not None and recovery.recovered and recovery.seconds is not None:
        return f"comes back late ({duration(recovery.seconds)})"
    return "does not come back"
