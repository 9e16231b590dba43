"""What past runs have exercised: each journal is read once, and what it says of coverage is kept beside the runs."""

from pathlib import Path

import msgspec

from gameday import __version__
from gameday.common.files import replace_file
from gameday.coverage.matrix import Exercise, ExperimentRun, Look, Moment, Past, Result, merge
from gameday.engine.runs import Run, all_runs
from gameday.journal.events import (
    ActivityStarted,
    AlertObserved,
    AnyEvent,
    DashboardExamined,
    ExperimentEnded,
    ExperimentInfo,
    ExperimentStarted,
    FaultInjected,
    PanelState,
    RunbookStep,
    SessionStarted,
    SignalsSampled,
    Verdict,
)
from gameday.journal.log import JournalError, read_events
from gameday.report.alerts import summarise_alerts
from gameday.report.views import AlertOutcome

CACHE = "coverage-cache.json"
_VERSION = f"{__version__}/1"  # the number counts up when what is kept, or how it is made, changes
_MAX_OBSERVED = 10_000  # of an experiment
_RESULTS = {
    AlertOutcome.IN_TIME: Result.IN_TIME,
    AlertOutcome.LATE: Result.LATE,
    AlertOutcome.MISSED: Result.MISSED,
    AlertOutcome.BEFORE: Result.BEFORE,
}


class RunPast(msgspec.Struct, frozen=True):
    """What one run has shown. `started`: a Unix time."""

    environment: str = ""
    started: float = 0.0
    past: Past = Past()


class History(msgspec.Struct, frozen=True):
    """What all runs together have shown. `runs`: how many count; `unread`: those whose journals cannot be read."""

    past: Past
    runs: int
    unread: tuple[str, ...] = ()


class _Kept(msgspec.Struct, frozen=True):
    size: int
    mtime_ns: int
    run: RunPast


class _Cache(msgspec.Struct, frozen=True):
    version: str = ""
    runs: dict[str, _Kept] = {}


def read_history(root: Path, *, since: float | None = None, environment: str | None = None) -> History:
    """What the runs of this project have shown: those that began since then (a Unix time) and in this environment.

    Journals that have not changed are not read again. Raises nothing: what cannot be read or kept is left out.
    """
    known = _read_cache(root)
    kept: dict[str, _Kept] = {}
    unread = []
    for run in all_runs(root):
        try:
            status = run.journal.stat()
            found = known.get(run.name)
            if found is None or (found.size, found.mtime_ns) != (status.st_size, status.st_mtime_ns):
                found = _Kept(status.st_size, status.st_mtime_ns, read_run(run))
            kept[run.name] = found
        except (OSError, JournalError):
            unread.append(run.name)
    if kept != known:
        _write_cache(root, kept)
    counted = [
        item.run
        for item in kept.values()
        if (since is None or item.run.started >= since) and environment in (None, item.run.environment)
    ]
    return History(merge(run.past for run in counted), len(counted), tuple(unread))


def _read_cache(root: Path) -> dict[str, _Kept]:
    try:
        cache = msgspec.json.decode((root / ".gameday" / CACHE).read_bytes(), type=_Cache)
    except (OSError, ValueError, RecursionError):  # there is none yet, or it is damaged
        return {}
    return cache.runs if cache.version == _VERSION else {}


def _write_cache(root: Path, runs: dict[str, _Kept]) -> None:
    try:
        replace_file(root / ".gameday" / CACHE, msgspec.json.encode(_Cache(_VERSION, runs)))
    except OSError:  # where nothing can be written, journals are read again each time
        return


def read_run(run: Run) -> RunPast:
    """What one run has shown, read event by event in bounded memory. Raises JournalError."""
    reading = _Reading(run.name)
    for event in read_events(run.journal):
        reading.apply(event)
    return RunPast(reading.environment, reading.started, reading.past())


class _Experiment(msgspec.Struct):
    """One experiment of a run; grows by one event at a time."""

    run: str
    info: ExperimentInfo
    started: float | None = None
    injected_at: float | None = None
    verdict: Verdict | None = None
    observed: list[AlertObserved] = []
    looks: dict[str, Look] = {}
    moved: dict[str, Moment] = {}

    def apply(self, event: AnyEvent) -> None:
        """Take one event of this experiment in."""
        match event:
            case ExperimentStarted():
                self.started = event.at
            case FaultInjected():
                self._injected(event.at - event.took_s)
            case ActivityStarted() if event.section == "method" and event.kind == "action":
                self._injected(event.at)
            case AlertObserved() if event.expected and len(self.observed) < _MAX_OBSERVED:
                self.observed.append(event)
            case DashboardExamined():
                self._looked(event)
            case ExperimentEnded():
                self.verdict = event.verdict
            case _:
                pass

    def _injected(self, at: float) -> None:
        self.injected_at = at if self.injected_at is None else min(self.injected_at, at)

    def _looked(self, event: DashboardExamined) -> None:
        board = event.dashboard
        failing = any(panel.state in (PanelState.EMPTY, PanelState.ERROR) for panel in board.panels)
        self.looks[board.name] = Look(self.run, event.at, board.found, failing)
        if any(panel.moved for panel in board.panels):
            self.moved[board.name] = Moment(self.run, event.at)

    def past(self) -> Past:
        """What it has shown."""
        past = Past(dashboards=self.looks, dashboards_moved=self.moved)
        if self.started is not None and self.verdict is not Verdict.NOT_STARTED:
            past.experiments[self.info.path] = ExperimentRun(self.run, self.started, self.verdict)
        if self.injected_at is None:
            return past
        for alert in summarise_alerts(self.info.alerts, self.observed, self.injected_at):
            if alert.outcome in _RESULTS:
                after_s = None if alert.firing_at is None else round(alert.firing_at - self.injected_at, 3)
                result = _RESULTS[alert.outcome]
                past.alerts[alert.name] = Exercise(self.run, self.injected_at, result, after_s, self.verdict)
        names = [book.name for book in self.info.runbooks]
        names += [alert.runbook for alert in self.info.alerts if alert.runbook]
        past.runbooks_exercised.update(dict.fromkeys(names, Moment(self.run, self.injected_at)))
        return past


class _Reading(msgspec.Struct):
    """One run; grows by one event at a time."""

    name: str
    environment: str = ""
    started: float = 0.0
    experiments: dict[int, _Experiment] = {}
    followed: dict[str, Moment] = {}

    def apply(self, event: AnyEvent) -> None:
        """Take one event in."""
        match event:
            case SignalsSampled():  # most are
                return
            case SessionStarted():
                self.environment, self.started = event.environment, event.at
                self.experiments = {index: _Experiment(self.name, info) for index, info in enumerate(event.experiments)}
            case RunbookStep():
                self.followed[event.step.runbook] = Moment(self.name, event.at)
            case (
                ExperimentStarted()
                | FaultInjected()
                | ActivityStarted()
                | AlertObserved()
                | DashboardExamined()
                | ExperimentEnded()
            ):
                if experiment := self.experiments.get(event.experiment):
                    experiment.apply(event)
            case _:
                pass

    def past(self) -> Past:
        """What it has shown."""
        each = (experiment.past() for experiment in self.experiments.values())
        return merge([*each, Past(runbooks_followed=self.followed)])
