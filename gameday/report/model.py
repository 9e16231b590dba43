"""Reads a run's journal once, in bounded memory, into the report's view of it."""

from collections import Counter
from pathlib import Path

import msgspec

from gameday.common.processes import ProcessRef
from gameday.journal.events import (
    FORMAT,
    AbortRequested,
    ActionRecalled,
    ActionWasClosed,
    ActivityEnded,
    ActivityStarted,
    AlertExamined,
    AlertObserved,
    AlertRulesRead,
    AnyEvent,
    BaselineRecorded,
    CheckOutcome,
    DashboardExamined,
    ExperimentEnded,
    ExperimentInfo,
    ExperimentStarted,
    FaultInjected,
    FaultPlanned,
    FaultRefused,
    FaultWrittenOff,
    FindingRaised,
    GuardianStarted,
    GuardTripped,
    HypothesisJudged,
    MarkSet,
    NoteAdded,
    OnCallExamined,
    PhaseEntered,
    PredictionMade,
    PreflightChecked,
    RecoveryMeasured,
    RollbacksArmed,
    RollbacksEnded,
    RunbookExamined,
    RunbookStep,
    SessionEnded,
    SessionStarted,
    SignalsSampled,
    SinkFailed,
    StageEnded,
    StageStarted,
    UndoEnded,
    WasWell,
)
from gameday.journal.log import Unread, read_journal
from gameday.journal.signatures import Signed, read_signatures
from gameday.report.experiment import ExperimentBuilder
from gameday.report.views import AbortInfo, Check, Note, Report, Status, Takeover

_MAX_KEPT = 1000  # of each kind of thing that a run could write without end


class _Session(msgspec.Struct):
    """Grows by one event at a time."""

    session: SessionStarted | None = None
    ended: SessionEnded | None = None
    start: float | None = None
    end: float = 0.0
    experiments: dict[int, ExperimentBuilder] = {}
    current: ExperimentBuilder | None = None
    latest: ExperimentBuilder | None = None  # also when it has ended
    faults: dict[str, ExperimentBuilder] = {}
    aborts: list[AbortInfo] = []
    checks: list[Check] = []
    checks_left_out: int = 0
    notes: list[Note] = []
    takeovers: list[Takeover] = []
    sinks: dict[str, str] = {}
    sink_failures: Counter[str] = msgspec.field(default_factory=Counter)
    recalled: list[ActionRecalled] = []
    closed: list[ActionWasClosed] = []
    was_well: list[WasWell] = []
    unread: list[Unread] = []
    unread_count: int = 0

    def damaged(self, line: Unread) -> None:
        """Note a line that cannot be read."""
        self.unread_count += 1
        if len(self.unread) < 20:
            self.unread.append(line)

    def of(self, index: int) -> ExperimentBuilder:
        """The experiment with this index, also where the session's own line is lost."""
        if index not in self.experiments:
            self.experiments[index] = ExperimentBuilder(index, ExperimentInfo(title=f"Experiment {index + 1}", path=""))
        return self.experiments[index]

    def apply(self, event: AnyEvent) -> None:  # noqa: PLR0912, PLR0915 - one flat match reads best
        """Take one event in."""
        self.start = event.at if self.start is None else self.start
        self.end = max(self.end, event.at)
        match event:
            case SignalsSampled():
                self.of(event.experiment).sampled(event)
            case SessionStarted():
                self.session = event
                for index, info in enumerate(event.experiments):
                    self.of(index).info = info
            case ExperimentStarted():
                self.current = self.latest = self.of(event.experiment)
                self.current.started(event)
            case PhaseEntered():
                builder = self.current if event.experiment is None else self.of(event.experiment)
                if builder:
                    builder.entered(event)
            case PreflightChecked():
                self._checked(event)
            case BaselineRecorded():
                self.of(event.experiment).baseline = event.values
            case HypothesisJudged():
                self.of(event.experiment).judged(event)
            case StageStarted() | StageEnded():
                self.of(event.experiment).staged(event)
            case FaultPlanned():
                self.faults[event.fault_id] = self.of(event.experiment)
                self.of(event.experiment).planned(event)
            case FaultInjected() | FaultRefused() | UndoEnded() | FaultWrittenOff():
                if builder := self.faults.get(event.fault_id):
                    builder.fault_event(event)
            case ActivityStarted() | ActivityEnded():
                self.of(event.experiment).activity(event)
            case RollbacksArmed() | RollbacksEnded():
                self.of(event.experiment).rollbacks(event)
            case AlertRulesRead() | AlertExamined() | RunbookExamined() | DashboardExamined() | OnCallExamined():
                self.of(event.experiment).examined(event)
            case AlertObserved():
                self.of(event.experiment).alerted(event)
            case RunbookStep():
                if builder := self.current if event.experiment is None else self.of(event.experiment):
                    builder.followed(event)
            case PredictionMade():
                self.of(event.experiment).predicted(event)
            case MarkSet():
                self._marked(event)
            case ActionRecalled() if len(self.recalled) < _MAX_KEPT:
                self.recalled.append(event)
            case ActionWasClosed() if len(self.closed) < _MAX_KEPT:
                self.closed.append(event)
            case WasWell() if len(self.was_well) < _MAX_KEPT:
                self.was_well.append(event)
            case NoteAdded():
                self._noted(event)
            case RecoveryMeasured():
                self.of(event.experiment).recovered(event)
            case FindingRaised():
                self.of(event.experiment).found(event)
            case GuardTripped():
                self.of(event.experiment).tripped(event)
            case AbortRequested():
                self._abort(event)
            case GuardianStarted():
                self.takeovers.append(Takeover(event.at, event.by, event.reason))
                if self.current:
                    self.current.say(event.at, f"{event.by}", f"takes over: {event.reason}", "bad")
            case SinkFailed():
                self.sinks[event.sink] = event.detail
                self.sink_failures[event.sink] += 1
            case ExperimentEnded():
                self.of(event.experiment).ended(event)
                self.current = None
            case SessionEnded():
                self.ended = event
            case _:
                pass

    def _checked(self, event: PreflightChecked) -> None:
        if len(self.checks) >= _MAX_KEPT and event.outcome is CheckOutcome.OK:
            self.checks_left_out += 1
            return
        self.checks.append(Check(event.check, event.outcome, event.detail, event.experiment))

    def _noted(self, event: NoteAdded) -> None:
        note = Note(event.at, event.author, event.text, event.experiment)
        self.notes.append(note)
        if event.experiment is not None:
            self.of(event.experiment).noted(note)

    def _marked(self, event: MarkSet) -> None:
        # What is said between two experiments is of the one that has ended.
        builder = self.latest if event.experiment is None else self.of(event.experiment)
        if builder:
            builder.marked(event)
        else:
            text = ": ".join(filter(None, (event.mark, event.text)))
            self.notes.append(Note(event.at, event.author, text, None))

    def _abort(self, event: AbortRequested) -> None:
        self.aborts.append(AbortInfo(event.at, event.source, event.reason, event.by, event.experiment))
        builder = self.current if event.experiment is None else self.of(event.experiment)
        if builder:
            by = f" (by {event.by})" if event.by else ""
            builder.say(event.at, "Abort", f"{event.reason}{by}", "bad")

    def report(self, name: str, signatures: tuple[Signed, ...] = ()) -> Report:
        """All of it, frozen."""
        known = self.session
        session = known or SessionStarted(
            at=self.start or 0.0, format=FORMAT, gameday="", session=name, kind="experiment", title=name, path="",
            environment="unknown", host="", runner=ProcessRef(0, ""), experiments=(),
        )  # fmt: skip
        experiments = tuple(self.experiments[index].frozen(self.end) for index in sorted(self.experiments))
        ended = self.ended
        return Report(
            session=session.session,
            kind=session.kind,
            title=session.title,
            path=session.path,
            environment=session.environment,
            host=session.host,
            gameday=session.gameday,
            by=session.by,
            people=session.people,
            status=Status.of(ended.verdict) if ended else Status.INTERRUPTED,
            exit_code=ended.exit_code if ended else None,
            reason=ended.reason if ended else "",
            ended_by=ended.by if ended else None,
            start=session.at,
            end=self.end,
            experiments=experiments,
            aborts=tuple(self.aborts),
            checks=tuple(self.checks),
            checks_left_out=self.checks_left_out,
            notes=tuple(self.notes),
            takeovers=tuple(self.takeovers),
            sink_failures=tuple((sink, detail, self.sink_failures[sink]) for sink, detail in self.sinks.items()),
            unread=tuple(self.unread),
            unread_count=self.unread_count,
            recalled=tuple(self.recalled),
            closed=tuple(self.closed),
            was_well=tuple(self.was_well),
            signatures=signatures,
        )


def empty_report() -> Report:
    """Of a run that has not begun."""
    return _Session().report("")


def load_report(run_directory: Path) -> Report:
    """The report's view of the run in this directory (or of this journal file), and of the signatures there.

    A journal may end anywhere; lines that cannot be read are counted. Raises JournalError.
    """
    session = _Session()
    for item in read_journal(run_directory):
        if isinstance(item, Unread):
            session.damaged(item)
        else:
            session.apply(item)
    directory = run_directory if run_directory.is_dir() else run_directory.parent
    return session.report(directory.name, read_signatures(directory))
