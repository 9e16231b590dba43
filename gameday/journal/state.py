"""What the journal says of a run at any moment: which faults may still be in place, and how it ended. Pure replay."""

from collections.abc import Iterable

import msgspec

from gameday.journal.events import (
    AbortRequested,
    ActivityStarted,
    AnyEvent,
    ExperimentEnded,
    FaultPlanned,
    FaultWrittenOff,
    FindingRaised,
    PhaseEntered,
    RollbacksArmed,
    RollbacksEnded,
    RunbookStep,
    SessionEnded,
    SessionStarted,
    StepOutcome,
    UndoEnded,
    Verdict,
)

_COMPLAINTS = (StepOutcome.STUCK, StepOutcome.WRONG, StepOutcome.MISSING)
_MOST_COMPLAINTS = 1000


class RunState(msgspec.Struct):
    """Grows by one event at a time; the same events always give the same state."""

    session: SessionStarted | None = None
    phase: PhaseEntered | None = None
    faults: dict[str, FaultPlanned] = {}  # not undone, in the order of injection
    undo_failed: dict[str, UndoEnded] = {}  # the last word on a fault that is still open
    rollbacks: dict[int, RollbacksArmed] = {}  # by experiment: those not all done
    rollbacks_failed: dict[int, tuple[str, ...]] = {}  # of these, which failed when they ran
    abort: AbortRequested | None = None
    verdicts: dict[int, Verdict] = {}
    weaknesses: int = 0
    activities: int = 0  # how many were begun
    complaints: list[RunbookStep] = []  # what people found wanting in runbooks, and no finding says yet
    ended: SessionEnded | None = None

    def apply(self, event: AnyEvent) -> None:  # noqa: PLR0912 - one flat match reads best
        """Take one event in."""
        match event:
            case SessionStarted():
                self.session = event
            case PhaseEntered():
                self.phase = event
            case FaultPlanned():
                self.faults[event.fault_id] = event
            case UndoEnded(undone=True) | FaultWrittenOff():
                self.faults.pop(event.fault_id, None)
                self.undo_failed.pop(event.fault_id, None)
            case UndoEnded():
                self.undo_failed[event.fault_id] = event
            case RollbacksArmed():
                self.rollbacks[event.experiment] = event
                self.rollbacks_failed.pop(event.experiment, None)
            case RollbacksEnded(left=True):
                self.rollbacks_failed[event.experiment] = event.failed
            case RollbacksEnded():
                self.rollbacks.pop(event.experiment, None)
                self.rollbacks_failed.pop(event.experiment, None)
            case ActivityStarted():
                self.activities += 1
            case AbortRequested():
                self.abort = self.abort or event
            case RunbookStep() if event.step.outcome in _COMPLAINTS and len(self.complaints) < _MOST_COMPLAINTS:
                self.complaints.append(event)
            case ExperimentEnded():
                self.verdicts[event.experiment] = event.verdict
                self.complaints = []  # its findings have been raised
            case FindingRaised():
                self.weaknesses += event.weakness
            case SessionEnded():
                self.ended = event
            case _:
                pass

    @property
    def is_clean(self) -> bool:
        """Whether nothing is left to undo."""
        return not self.faults and not self.rollbacks


def replay(events: Iterable[AnyEvent]) -> RunState:
    """The state after all these events."""
    state = RunState()
    for event in events:
        state.apply(event)
    return state
