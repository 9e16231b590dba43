"""What is done to a system and taken back: steps and stages, faults, activities, rollbacks, the abort, and the undo."""

import msgspec

from gameday.common.processes import ProcessRef
from gameday.journal.events.base import By, Event, Struct


class StepInfo(Struct, frozen=True, kw_only=True):
    """One step of the method. `kind` is "fault", "probe" or "action"; a fault has a ladder, target and hold."""

    kind: str
    name: str
    fault: str | None = None
    target: str | None = None
    ladder: tuple[str, ...] = ()
    hold_s: float | None = None


class StageStarted(Event, frozen=True, kw_only=True, tag="stage-started"):
    experiment: int
    step: int
    stage: int
    stages: int
    radius: str


class StageEnded(Event, frozen=True, kw_only=True, tag="stage-ended"):
    experiment: int
    step: int
    stage: int
    held: bool


class FaultPlanned(Event, frozen=True, kw_only=True, tag="fault-planned"):
    """The write-ahead: on disk before anything is touched. From here on the fault must be taken to be injected.

    `plan` is the fault's own, opaque to all but the fault; `by_hand` is how a person would undo it.
    """

    experiment: int
    fault_id: str
    fault: str
    targets: tuple[str, ...]
    affected: int
    total: int
    plan: msgspec.Raw
    by_hand: str
    step: int
    stage: int
    description: str = ""
    undo_within_s: float = 90.0
    unit: str = "instances"  # what `affected` and `total` count: instances or calls


class FaultInjected(Event, frozen=True, kw_only=True, tag="fault-injected"):
    experiment: int
    fault_id: str
    took_s: float = 0.0


class FaultRefused(Event, frozen=True, kw_only=True, tag="fault-refused"):
    """The injection failed or was refused; its undo runs all the same, for it may have happened in part."""

    experiment: int
    fault_id: str
    reason: str


class ActivityStarted(Event, frozen=True, kw_only=True, tag="activity-started"):
    experiment: int
    activity: int  # counts up through the session
    name: str
    kind: str  # "probe" or "action"
    section: str  # "hypothesis", "method" or "rollback"
    background: bool = False


class ActivityEnded(Event, frozen=True, kw_only=True, tag="activity-ended"):
    """`status` is "succeeded", "failed" or "killed". `output` is JSON text, redacted, possibly shortened."""

    experiment: int
    activity: int
    status: str
    took_s: float
    output: str = ""
    error: str = ""
    tolerance_met: bool | None = None
    interrupted: bool = False  # it asked for the end of the whole experiment


class RollbacksArmed(Event, frozen=True, kw_only=True, tag="rollbacks-armed"):
    """The experiment's rollbacks are on disk, in a file beside the journal that only its owner may read (they may name
    secrets); from here on they must run. `activities` are their names, `by_hand` how a person would do each."""

    experiment: int
    activities: tuple[str, ...]
    by_hand: tuple[str, ...] = ()


class RollbacksEnded(Event, frozen=True, kw_only=True, tag="rollbacks-ended"):
    """Each has had its turn. `failed` names those that did not succeed; with `left` they have still to be done."""

    experiment: int
    failed: tuple[str, ...] = ()
    by: By = By.RUNNER
    left: bool = False


class GuardTripped(Event, frozen=True, kw_only=True, tag="guard-tripped"):
    """`cause` is "abort-when" or "blind"."""

    experiment: int
    cause: str
    subject: str
    detail: str


class AbortRequested(Event, frozen=True, kw_only=True, tag="abort-requested"):
    """`source` is "guard", "signal", "command", "stop-switch", "locks", "activity", "journal" or "failure"."""

    source: str
    reason: str
    by: str = ""
    experiment: int | None = None


class UndoStarted(Event, frozen=True, kw_only=True, tag="undo-started"):
    fault_id: str
    by: By = By.RUNNER


class UndoEnded(Event, frozen=True, kw_only=True, tag="undo-ended"):
    """`left` names what is still broken when `undone` is False."""

    fault_id: str
    undone: bool
    attempts: int
    took_s: float
    by: By = By.RUNNER
    left: tuple[str, ...] = ()


class FaultWrittenOff(Event, frozen=True, kw_only=True, tag="fault-written-off"):
    """A person made sure that nothing is left of a fault that could not be undone or verified, and answers for it."""

    fault_id: str
    author: str
    reason: str


class GuardianStarted(Event, frozen=True, kw_only=True, tag="guardian-started"):
    """Somebody other than the runner took over: the guardian or `gameday recover`."""

    by: By
    reason: str
    process: ProcessRef
