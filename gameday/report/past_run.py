"""What one run has shown, read event by event in bounded memory: for the history, and for what was ever exercised."""

import hashlib

import msgspec

from gameday.coverage.matrix import Exercise, ExperimentRun, Look, Moment, Past, Result, merge
from gameday.engine.runs import Run
from gameday.journal.events import (
    ActivityStarted,
    AlertExamination,
    AlertExamined,
    AlertObserved,
    AnyEvent,
    DashboardExamined,
    ExperimentEnded,
    ExperimentInfo,
    ExperimentStarted,
    FaultInjected,
    FaultPlanned,
    FindingKind,
    FindingRaised,
    Mark,
    MarkSet,
    PanelState,
    Phase,
    PhaseEntered,
    RecoveryMeasured,
    RunbookStep,
    SessionEnded,
    SessionStarted,
    SignalsSampled,
    Verdict,
)
from gameday.journal.log import read_events
from gameday.people.actions import action_id
from gameday.report.alerts import summarise_alerts
from gameday.report.views import AlertOutcome, Recovery, Status

_MAX_OBSERVED = 10_000  # of an experiment
_MAX_KEPT = 200  # findings, names of faults and marks of an experiment
_LONGEST = 200  # characters of a title
_RESULTS = {
    AlertOutcome.IN_TIME: Result.IN_TIME,
    AlertOutcome.LATE: Result.LATE,
    AlertOutcome.MISSED: Result.MISSED,
    AlertOutcome.BEFORE: Result.BEFORE,
}


class Weakness(msgspec.Struct, frozen=True):
    """A weakness that was found. `id`: that of its action item; the same finding of a later run has the same."""

    id: str
    kind: FindingKind
    title: str


class AlertPast(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of an expected alert whose fault was injected. `after_s`: from then until it fired."""

    name: str
    result: Result
    after_s: float | None = None


class ExperimentPast(msgspec.Struct, frozen=True, omit_defaults=True):
    """One experiment of a session. `started` and `injected_at` are Unix times; None when that never happened.

    `faults`: the names of those that were planned, and of the Chaos Toolkit's actions. `noticed_s`: from the injection
    until somebody said that they had detected it. `others`: findings that are no weaknesses. `document`: a fingerprint
    of the experiment as it was written; empty when that is not known.
    """

    path: str
    title: str
    service: str | None = None
    started: float | None = None
    injected_at: float | None = None
    verdict: Verdict | None = None
    faults: tuple[str, ...] = ()
    alerts: tuple[AlertPast, ...] = ()
    noticed_s: float | None = None
    recovery: Recovery | None = None
    weaknesses: tuple[Weakness, ...] = ()
    others: int = 0
    document: str = ""


class SessionPast(msgspec.Struct, frozen=True, omit_defaults=True):
    """One session. `run` is its directory's name; `started` a Unix time, 0 when nothing of its journal can be read;
    `verdict` is None when its journal does not say that it ended, and `is_running` that somebody still writes it."""

    run: str
    started: float = 0.0
    title: str = ""
    environment: str = ""
    verdict: Verdict | None = None
    experiments: tuple[ExperimentPast, ...] = ()
    is_running: bool = False

    def status_of(self, experiment: ExperimentPast) -> Status:
        """How this one of its experiments ended."""
        if experiment.verdict is not None:
            return Status.of(experiment.verdict)
        if experiment.started is not None:
            return Status.INTERRUPTED
        return Status.NOT_STARTED if self.verdict is Verdict.NOT_STARTED else Status.NOT_RUN


class RunPast(msgspec.Struct, frozen=True):
    """What one run has shown: of itself, and of what was exercised."""

    session: SessionPast
    past: Past = Past()


def fingerprint(info: ExperimentInfo) -> str:
    """Of the experiment as it was written; empty when that is not known."""
    if not info.document:
        return ""
    return hashlib.sha256(msgspec.json.encode(info.document, order="deterministic")).hexdigest()[:8]


def read_run(run: Run) -> RunPast:
    """What one run has shown. Raises JournalError."""
    reading = RunReading(run.name)
    for event in read_events(run.journal):
        reading.apply(event)
    return RunPast(reading.session(), reading.past())


class _Experiment(msgspec.Struct):
    """One experiment of a run; grows by one event at a time."""

    run: str
    info: ExperimentInfo
    started: float | None = None
    injected_at: float | None = None
    undo_at: float | None = None
    examined: list[AlertExamination] = []
    verdict: Verdict | None = None
    faults: dict[str, None] = {}
    observed: list[AlertObserved] = []
    detected_at: list[float] = []
    recovery: Recovery | None = None
    weaknesses: dict[str, Weakness] = {}
    others: int = 0
    looks: dict[str, Look] = {}
    moved: dict[str, Moment] = {}

    def apply(self, event: AnyEvent) -> None:
        """Take one event of this experiment in."""
        match event:
            case ExperimentStarted():
                self.started = event.at
            case FaultPlanned():
                self._broke(event.fault)
            case FaultInjected():
                self._injected(event.at - event.took_s)
            case ActivityStarted() if event.section == "method" and event.kind == "action":
                self._broke(event.name)
                self._injected(event.at)
            case PhaseEntered() if event.phase is Phase.UNDO and self.undo_at is None:
                self.undo_at = event.at
            case AlertObserved() if event.expected and len(self.observed) < _MAX_OBSERVED:
                self.observed.append(event)
            case MarkSet() if event.mark is Mark.DETECTED and len(self.detected_at) < _MAX_KEPT:
                self.detected_at.append(event.at)
            case AlertExamined() | DashboardExamined():
                self._looked(event)
            case RecoveryMeasured():
                self.recovery = Recovery(event.recovered, event.seconds, event.within_s)
            case FindingRaised():
                self._found(event)
            case ExperimentEnded():
                self.verdict = event.verdict
            case _:
                pass

    def _broke(self, name: str) -> None:
        if len(self.faults) < _MAX_KEPT:
            self.faults[name[:_LONGEST]] = None

    def _injected(self, at: float) -> None:
        self.injected_at = at if self.injected_at is None else min(self.injected_at, at)

    def _looked(self, event: AlertExamined | DashboardExamined) -> None:
        if isinstance(event, AlertExamined):
            if len(self.examined) < _MAX_KEPT:
                self.examined.append(event.alert)
            return
        board = event.dashboard
        failing = any(panel.state in (PanelState.EMPTY, PanelState.ERROR) for panel in board.panels)
        self.looks[board.name] = Look(self.run, event.at, board.found, failing)
        if any(panel.moved for panel in board.panels):
            self.moved[board.name] = Moment(self.run, event.at)

    def _found(self, event: FindingRaised) -> None:
        if not event.weakness:
            self.others += 1
        elif len(self.weaknesses) < _MAX_KEPT:
            identity = action_id(self.info.path, event.kind, event.title)
            self.weaknesses[identity] = Weakness(identity, event.kind, event.title[:_LONGEST])

    def _alerts(self) -> tuple[AlertPast, ...]:
        began = self.injected_at
        if began is None:
            return ()
        is_whole = self.verdict in (Verdict.HELD, Verdict.WEAKNESS)
        cut_at = None if is_whole else began if self.undo_at is None else self.undo_at
        return tuple(
            AlertPast(
                alert.name,
                _RESULTS[alert.outcome],
                None if alert.firing_at is None else round(alert.firing_at - began, 3),
            )
            for alert in summarise_alerts(self.info.alerts, self.observed, began, self.examined, cut_at=cut_at)
            if alert.outcome in _RESULTS
        )

    def session(self) -> ExperimentPast:
        """How it went."""
        began = self.injected_at
        seen = [at for at in self.detected_at if began is not None and at >= began]
        return ExperimentPast(
            path=self.info.path,
            title=self.info.title[:_LONGEST],
            service=self.info.service,
            started=self.started,
            injected_at=began,
            verdict=self.verdict,
            faults=tuple(self.faults),
            alerts=self._alerts(),
            noticed_s=round(min(seen) - began, 3) if seen and began is not None else None,
            recovery=self.recovery,
            weaknesses=tuple(self.weaknesses.values()),
            others=self.others,
            document=fingerprint(self.info),
        )

    def past(self) -> Past:
        """What it has exercised."""
        past = Past(dashboards=self.looks, dashboards_moved=self.moved)
        if self.started is not None and self.verdict is not Verdict.NOT_STARTED:
            past.experiments[self.info.path] = ExperimentRun(self.run, self.started, self.verdict)
        if self.injected_at is None:
            return past
        for alert in self._alerts():
            past.alerts[alert.name] = Exercise(self.run, self.injected_at, alert.result, alert.after_s, self.verdict)
        names = [book.name for book in self.info.runbooks]
        names += [alert.runbook for alert in self.info.alerts if alert.runbook]
        past.runbooks_exercised.update(dict.fromkeys(names, Moment(self.run, self.injected_at)))
        return past


class RunReading(msgspec.Struct):
    """One run; grows by one event at a time."""

    name: str
    started: float | None = None
    title: str = ""
    environment: str = ""
    verdict: Verdict | None = None
    experiments: dict[int, _Experiment] = {}
    followed: dict[str, Moment] = {}

    def apply(self, event: AnyEvent) -> None:
        """Take one event in."""
        if self.started is None:
            self.started = event.at
        match event:
            case SignalsSampled():  # most are
                return
            case SessionStarted():
                self.started, self.title, self.environment = event.at, event.title[:_LONGEST], event.environment
                self.experiments = {index: _Experiment(self.name, info) for index, info in enumerate(event.experiments)}
            case SessionEnded():
                self.verdict = event.verdict
            case RunbookStep():
                self.followed[event.step.runbook] = Moment(self.name, event.at)
            case (
                ExperimentStarted()
                | FaultPlanned()
                | FaultInjected()
                | ActivityStarted()
                | AlertObserved()
                | MarkSet()
                | AlertExamined()
                | DashboardExamined()
                | PhaseEntered()
                | RecoveryMeasured()
                | FindingRaised()
                | ExperimentEnded()
            ):
                experiment = self.experiments.get(event.experiment) if event.experiment is not None else None
                if experiment:
                    experiment.apply(event)
            case _:
                pass

    def session(self) -> SessionPast:
        """How it went."""
        experiments = [experiment.session() for experiment in self.experiments.values()]
        if self.verdict is Verdict.ABORTED:  # what a later recover has undone is no longer in place
            experiments = [
                msgspec.structs.replace(item, verdict=Verdict.ABORTED) if item.verdict is Verdict.UNDO_FAILED else item
                for item in experiments
            ]
        return SessionPast(
            self.name, self.started or 0.0, self.title or self.name, self.environment, self.verdict, tuple(experiments)
        )

    def past(self) -> Past:
        """What it has exercised."""
        each = (experiment.past() for experiment in self.experiments.values())
        return merge([*each, Past(runbooks_followed=self.followed)])
