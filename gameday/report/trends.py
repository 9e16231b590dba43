"""What sessions show together: how often it held, how fast it was noticed and came back, what used to be better. Pure.

What is counted are runs of experiments. Only those that came to their end (held, or a weakness) count; those that were
aborted, interrupted, not started or whose undo failed say nothing of the service, neither way. Times are Unix times,
durations seconds. A duration is infinite where what was waited for never came: it is longer than any.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from itertools import groupby

import msgspec

from gameday.coverage.matrix import Result
from gameday.journal.events import Loss, Verdict
from gameday.report.past_run import ExperimentPast, SessionPast
from gameday.report.views import Status

LEAST = 3  # runs: of fewer no change is claimed
_JUDGED = (Verdict.HELD, Verdict.WEAKNESS)
_FIRED = (Result.IN_TIME, Result.LATE)

RUNNING = "running"
VERDICTS = (*(status.value for status in Status if status is not Status.NOT_RUN), RUNNING)


def verdict_of(session: SessionPast) -> str:
    """One of VERDICTS."""
    if session.verdict is not None:
        return session.verdict.value
    return RUNNING if session.is_running else Status.INTERRUPTED.value


class Trial(msgspec.Struct, frozen=True):
    """One run of one experiment."""

    session: SessionPast
    experiment: ExperimentPast

    @property
    def status(self) -> Status:
        """How it ended."""
        return self.session.status_of(self.experiment)

    @property
    def is_judged(self) -> bool:
        """Whether it counts."""
        return self.experiment.verdict in _JUDGED

    @property
    def subject(self) -> tuple[str, str]:
        """What it can be compared with: the same file in the same environment."""
        return self.experiment.path, self.session.environment


class Selection(msgspec.Struct, frozen=True):
    """Which sessions are asked for; what is None does not matter. `service`, `fault` and `experiment` (a path) are of
    one and the same experiment; `verdict` is the session's, one of VERDICTS; `since`: it began then or later."""

    service: str | None = None
    fault: str | None = None
    experiment: str | None = None
    environment: str | None = None
    verdict: str | None = None
    since: float | None = None

    def wants(self, session: SessionPast) -> bool:
        """Whether this one is asked for."""
        names_one = (self.service, self.fault, self.experiment) != (None, None, None)
        return (
            self.environment in (None, session.environment)
            and self.verdict in (None, verdict_of(session))
            and (self.since is None or session.started >= self.since)
            and (not names_one or any(map(self._wants, session.experiments)))
        )

    def trials(self, sessions: Iterable[SessionPast]) -> tuple[Trial, ...]:
        """The runs of experiments that are asked for, the oldest first. One whose turn never came was not run."""
        return tuple(
            trial
            for session in sorted(sessions, key=lambda one: (one.started, one.run))
            if self.wants(session)
            for trial in (Trial(session, item) for item in session.experiments if self._wants(item))
            if trial.status is not Status.NOT_RUN
        )

    def _wants(self, item: ExperimentPast) -> bool:
        return (
            self.service in (None, item.service)
            and (self.fault is None or self.fault in item.faults)
            and self.experiment in (None, item.path)
        )


# -- how long it took

type Measure = Callable[[ExperimentPast], float | None]


def detected(item: ExperimentPast) -> float | None:
    """From the injection until the first expected alert fired; None when none was put to the test: what might have
    fired, had the run not been aborted, never had the time to."""
    fired = [alert.after_s for alert in item.alerts if alert.result in _FIRED and alert.after_s is not None]
    was_tested = item.verdict in _JUDGED and any(alert.result is Result.MISSED for alert in item.alerts)
    return min(fired) if fired else math.inf if was_tested else None


def noticed(item: ExperimentPast) -> float | None:
    """From the injection until somebody said that they had detected it. That nobody said so is no sign either way."""
    return item.noticed_s


def recovered(item: ExperimentPast) -> float | None:
    """From the end of the undo until the hypothesis held again for good; None when that was not measured."""
    recovery = item.recovery
    if recovery is None:
        return None
    return recovery.seconds if recovery.recovered and recovery.seconds is not None else math.inf


class Standing(StrEnum):
    """Where the last run stands among those before it."""

    FASTER = "faster than all before"
    SLOWER = "slower than all before"
    WITHIN = "within what was seen before"


class Comparison(msgspec.Struct, frozen=True):
    """The last run beside those before it of the same experiment in the same environment. `median` is theirs, `runs`
    how many; `change` is None where one of the two is infinite. `standing` is None with fewer than LEAST in all."""

    runs: int
    median: float
    change: float | None
    standing: Standing | None


class Times(msgspec.Struct, frozen=True):
    """One duration over several runs. `runs`: those in which it was put to the test; `never`: those of them in which
    it never came. `median` and `last` are None when there are none."""

    runs: int = 0
    never: int = 0
    median: float | None = None
    last: float | None = None
    before: Comparison | None = None


def times(trials: Iterable[Trial], measure: Measure) -> Times:
    """Of these, the oldest first; only those that count."""
    found = [(trial.subject, taken) for trial, taken in _measured(trials, measure)]
    if not found:
        return Times()
    subject, last = found[-1]
    every = [taken for _, taken in found]
    before = [taken for other, taken in found[:-1] if other == subject]
    return Times(len(every), every.count(math.inf), _median(every), last, _compare(last, before))


def _measured(trials: Iterable[Trial], measure: Measure) -> Iterator[tuple[Trial, float]]:
    for trial in trials:
        if trial.is_judged and (taken := measure(trial.experiment)) is not None:
            yield trial, taken


def _median(durations: Sequence[float]) -> float:
    import statistics  # which a run that begins, and looks at what was well before, has no use for

    return statistics.median(durations)


def _compare(last: float, before: Sequence[float]) -> Comparison | None:
    if not before:
        return None
    median = _median(before)
    change = round(last - median, 3) if math.isfinite(last) and math.isfinite(median) else None
    standing = None
    if len(before) + 1 >= LEAST:
        standing = Standing.SLOWER if last > max(before) else Standing.WITHIN
        standing = Standing.FASTER if last < min(before) else standing
    return Comparison(len(before), median, change, standing)


# -- findings


class Balance(msgspec.Struct, frozen=True):
    """What one session has done to the findings: so many opened (or opened again) and closed, so many open after it."""

    session: SessionPast
    opened: int
    closed: int
    open: int


def balances(trials: Iterable[Trial]) -> tuple[Balance, ...]:
    """One a session, the oldest first. As with action items: a weakness is open from when it is found until its
    experiment, run to its end, does not find it any more. What was closed by hand counts as open until then."""
    open_now: dict[str, set[str]] = {}
    found = []
    for session, group in _by_session(trials):
        opened = closed = 0
        for path in dict.fromkeys(trial.experiment.path for trial in group):
            mine = [trial for trial in group if trial.experiment.path == path]
            seen = {weakness.id for trial in mine for weakness in trial.experiment.weaknesses}
            known = open_now.setdefault(path, set())
            gone = known - seen if any(trial.is_judged for trial in mine) else set()
            opened += len(seen - known)
            closed += len(gone)
            open_now[path] = (known | seen) - gone
        found.append(Balance(session, opened, closed, sum(map(len, open_now.values()))))
    return tuple(found)


def _by_session(trials: Iterable[Trial]) -> Iterator[tuple[SessionPast, list[Trial]]]:
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(trial.session.run, []).append(trial)
    return ((group[0].session, group) for group in groups.values())


# -- by service, by fault, by experiment


class By(StrEnum):
    """What runs are put together by."""

    SERVICE = "service"
    FAULT = "fault"
    EXPERIMENT = "experiment"

    def keys(self, item: ExperimentPast) -> tuple[str, ...]:
        """What it is counted under. One with several faults counts under each; one without a service, under ""."""
        match self:
            case By.SERVICE:
                return (item.service or "",)
            case By.FAULT:
                return item.faults
            case By.EXPERIMENT:
                return (item.path,)


class Trend(msgspec.Struct, frozen=True):
    """Of one service, fault or experiment. `trials` are all of its runs, the oldest first; `held` and `weak` of them
    count."""

    key: str
    trials: tuple[Trial, ...]
    held: int
    weak: int
    detect: Times
    notice: Times
    recover: Times
    findings: tuple[Balance, ...]

    @property
    def judged(self) -> int:
        """How many runs count."""
        return self.held + self.weak

    @property
    def uncounted(self) -> int:
        """How many were aborted, interrupted, not started, or could not be undone."""
        return len(self.trials) - self.judged


def trends(trials: Iterable[Trial], by: By) -> tuple[Trend, ...]:
    """One for each service, fault or experiment, that which was run last first."""
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        for key in dict.fromkeys(by.keys(trial.experiment)):
            groups.setdefault(key, []).append(trial)
    found = [trend(key, group) for key, group in groups.items()]
    return tuple(sorted(found, key=lambda one: (-one.trials[-1].session.started, one.key)))


def trend(key: str, trials: Sequence[Trial]) -> Trend:
    """Of these runs, the oldest first."""
    return Trend(
        key,
        tuple(trials),
        sum(trial.status is Status.HELD for trial in trials),
        sum(trial.status is Status.WEAKNESS for trial in trials),
        times(trials, detected),
        times(trials, noticed),
        times(trials, recovered),
        balances(trials),
    )


# -- what used to be better


class Regression(msgspec.Struct, frozen=True):
    """Something that was well in `good`, the last such run, and has not been since `first`; `last` is the newest that
    shows it, and `runs` how many do. `alert`: its name. `has_changed`: the experiment is not written as it was in
    `good`; None when that is not known."""

    loss: Loss
    good: Trial
    first: Trial
    last: Trial
    runs: int
    alert: str = ""

    @property
    def has_changed(self) -> bool | None:
        """See above."""
        before, after = self.good.experiment.document, self.first.experiment.document
        return before != after if before and after else None


def regressions(trials: Iterable[Trial]) -> tuple[Regression, ...]:
    """Of these runs, the oldest first: what was well and is not, of the same file in the same environment. The newest
    first. What a run does not show (an alert that fired before the fault, say) counts neither way."""
    subjects: dict[tuple[str, str], list[Trial]] = {}
    for trial in trials:
        if trial.is_judged and trial.experiment.path:
            subjects.setdefault(trial.subject, []).append(trial)
    found = [regression for group in subjects.values() for regression in _regressions(group)]
    order = list(Loss)
    return tuple(sorted(found, key=lambda one: (-one.first.session.started, one.first.subject, order.index(one.loss))))


def together(found: Iterable[Regression]) -> Iterator[tuple[Regression, ...]]:
    """Those that follow one another and were lost by the same experiment between the same runs."""
    for _, group in groupby(found, lambda one: (one.last.subject, one.good.session.run, one.first.session.run)):
        yield tuple(group)


class Wellness(msgspec.Struct, frozen=True):
    """Something was well in `good`, the last such run, and was not in `bad`, those after it. `alert`: its name."""

    loss: Loss
    good: Trial
    bad: tuple[Trial, ...]
    alert: str = ""


def last_well(trials: Sequence[Trial]) -> tuple[Wellness, ...]:
    """All that ever was, of these runs of one file in one environment, the oldest first. Only those that count do."""
    judged = [trial for trial in trials if trial.is_judged]
    return tuple(_wellness(judged, (alert.name for trial in judged for alert in trial.experiment.alerts)))


def _regressions(trials: Sequence[Trial]) -> Iterator[Regression]:
    for found in _wellness(trials, (alert.name for alert in trials[-1].experiment.alerts)):
        if bad := found.bad:
            yield Regression(found.loss, found.good, bad[0], bad[-1], len(bad), found.alert)


def _wellness(trials: Sequence[Trial], alerts: Iterable[str]) -> Iterator[Wellness]:
    if last := _last_good((trial, trial.status is Status.HELD) for trial in trials):
        yield Wellness(Loss.VERDICT, *last)
    for name in dict.fromkeys(alerts):
        if last := _last_good((trial, _is_in_time(trial.experiment, name)) for trial in trials):
            yield Wellness(Loss.ALERT, *last, name)
    if last := _last_good((trial, _came_back(trial.experiment)) for trial in trials):
        yield Wellness(Loss.RECOVERY, *last)


def _is_in_time(item: ExperimentPast, name: str) -> bool | None:
    result = next((alert.result for alert in item.alerts if alert.name == name), Result.BEFORE)
    return None if result is Result.BEFORE else result is Result.IN_TIME


def _came_back(item: ExperimentPast) -> bool | None:
    return None if item.recovery is None else item.recovery.recovered and not item.recovery.is_late


def _last_good(states: Iterable[tuple[Trial, bool | None]]) -> tuple[Trial, tuple[Trial, ...]] | None:
    """The last good run, and the bad ones after it; None when there was no good one."""
    good: Trial | None = None
    bad: list[Trial] = []
    for trial, is_good in states:
        if is_good:
            good, bad = trial, []
        elif is_good is False:
            bad.append(trial)
    return (good, tuple(bad)) if good is not None else None
