"""What a report shows, as frozen values: everything in it comes from the journal, and the signatures beside it.

Times (`at`, `start`, `end`, ...) are seconds since the Unix epoch; fields that end in `_s` are durations in seconds;
values of signals are in their base unit (see gameday.spec.model.Unit).
"""

from enum import StrEnum

import msgspec

from gameday.faults.base import Reach
from gameday.journal.events import (
    ActionRecalled,
    ActionWasClosed,
    AlertExamination,
    AlertInfo,
    AlertRuleInfo,
    By,
    CheckOutcome,
    ConditionInfo,
    DashboardInfo,
    ExperimentInfo,
    FaultWrittenOff,
    FindingKind,
    GuardTripped,
    MarkSet,
    OnCallInfo,
    Outcome,
    PanelInfo,
    PanelState,
    PeopleInfo,
    PredictionMade,
    Role,
    RunbookStep,
    Verdict,
    WasWell,
)
from gameday.journal.log import Unread
from gameday.journal.signatures import Signed
from gameday.people.predicting import Question
from gameday.spec.model import Unit


class Window(StrEnum):
    """The three times at which a hypothesis is looked at."""

    BEFORE = "before"
    DURING = "during"
    AFTER = "after"


class Bucket(msgspec.Struct, frozen=True):
    """What one stretch of a chart's time axis holds: its lowest and highest readable value, each with its moment, and
    the first and last moment at which the signal could not be read (`unread`: how often, `why`: the latest reason)."""

    start: float
    end: float  # the last reading's time
    readable: int
    low: float = 0.0
    low_at: float = 0.0
    high: float = 0.0
    high_at: float = 0.0
    unread: int = 0
    unread_from: float = 0.0
    unread_to: float = 0.0
    readable_to: float = 0.0
    why: str = ""


class Extent(msgspec.Struct, frozen=True):
    """The raw readings of one window, before any downsampling."""

    readable: int
    unread: int
    low: float | None
    high: float | None


class Series(msgspec.Struct, frozen=True):
    """One signal of one experiment, downsampled by lowest and highest value a bucket, so that spikes stay."""

    signal: str
    unit: Unit
    width_s: float  # of a bucket
    buckets: tuple[Bucket, ...]
    baseline: float | None
    conditions: tuple[ConditionInfo, ...]  # the ones on this signal
    windows: tuple[tuple[Window, Extent], ...]

    def extent(self, window: Window) -> Extent | None:
        """Of that window, or None when no reading was taken in it."""
        return dict(self.windows).get(window)


class Cell(msgspec.Struct, frozen=True):
    """One judgement, as a table shows it. `outcome` is None when nothing was judged."""

    outcome: Outcome | None = None
    worst: float | None = None
    breached_for_s: float = 0.0
    detail: str = ""


class Row(msgspec.Struct, frozen=True):
    """One condition or probe of the hypothesis. `stages` are its judgements stage by stage, in order."""

    subject: str
    condition: str
    unit: Unit | None  # None for a probe
    before: Cell
    during: Cell
    after: Cell
    stages: tuple[Cell, ...] = ()

    @property
    def is_broken(self) -> bool:
        """Whether it was not known to hold, at any time that it was judged."""
        return any(
            cell.outcome in (Outcome.BROKEN, Outcome.UNREADABLE) for cell in (self.before, self.during, self.after)
        )


class Stage(msgspec.Struct, frozen=True):
    """One rung of a fault's ladder. `end` and `held` are None when it was cut short."""

    step: int
    stage: int
    stages: int
    radius: str
    start: float
    end: float | None
    held: bool | None


class Fault(msgspec.Struct, frozen=True):
    """One injection. `refused` says why it was not (wholly) injected; `written_off`: who answers for that nothing is
    left of one that could not be undone or verified."""

    fault_id: str
    experiment: int
    fault: str
    description: str
    targets: tuple[str, ...]
    aim: str  # the service, or the calls, that the step names
    affected: int
    total: int
    unit: str  # of the two: "instances" or "calls"
    by_hand: str
    step: int
    stage: int
    planned_at: float
    injected_at: float | None  # when the injection began, if it succeeded
    took_s: float | None
    refused: str | None
    undone_at: float | None  # None while it is not known to be undone
    attempts: int
    undo_took_s: float | None
    undone_by: By | None
    left: tuple[str, ...]
    written_off: FaultWrittenOff | None = None

    @property
    def is_open(self) -> bool:
        """Whether it may still be in place, as far as is known."""
        return self.undone_at is None and self.written_off is None

    @property
    def reach(self) -> str:
        """ "2 of 4 instances", "30% of the calls"."""
        return str(Reach(self.affected, self.total, self.unit))

    @property
    def share(self) -> float:
        """Of what there is, how much was hit."""
        return self.affected / max(self.total, 1)

    @property
    def start(self) -> float:
        """From when on it may have been in place."""
        return self.planned_at if self.injected_at is None else self.injected_at


class Activity(msgspec.Struct, frozen=True):
    """One Chaos Toolkit activity. `status` is "succeeded", "failed", "killed", or "unfinished"."""

    name: str
    kind: str
    section: str
    start: float
    took_s: float | None
    status: str
    error: str = ""


class AlertOutcome(StrEnum):
    """What became of one alert."""

    IN_TIME = "in time"
    LATE = "late"
    MISSED = "missed"
    BEFORE = "fired before the fault"
    UNEXPECTED = "not expected"
    NOT_TESTED = "not tested"  # nothing was injected, or the run was over before it had to fire


class Alert(msgspec.Struct, frozen=True):
    """One alert by name: the first time it reached each state after the injection, by whichever source said so.
    `examined`: what was found out of it before; None for one that nobody expected, or that has no rule.

    `resolved_at` is when the last of its instances was seen to be gone at every source; None when it was not.
    `has_rule` is None when no rules could be read; `rule`, the first of its name, is kept of expected alerts alone.
    """

    name: str
    outcome: AlertOutcome
    expected: AlertInfo | None
    pending_at: float | None
    firing_at: float | None
    notified_at: float | None
    acknowledged_at: float | None
    resolved_at: float | None
    existed_before: bool
    severities: tuple[str, ...]
    instances: tuple[str, ...]  # label sets, as text
    acknowledged_by: str = ""
    examined: AlertExamination | None = None
    has_rule: bool | None = None
    rule: AlertRuleInfo | None = None


class Dashboard(msgspec.Struct, frozen=True):
    """A dashboard as it was last looked at. `looked_again`: over the time of the faults, when all was undone."""

    info: DashboardInfo
    looked_again: bool = False

    @property
    def label(self) -> str:
        """Its title, else the name that it was given."""
        return self.info.title or self.info.name

    @property
    def asked(self) -> tuple[PanelInfo, ...]:
        """The panels that could be asked what they show."""
        return tuple(panel for panel in self.info.panels if panel.state is not PanelState.UNKNOWN)

    @property
    def compared(self) -> tuple[PanelInfo, ...]:
        """The panels of which it is known whether they moved."""
        return tuple(panel for panel in self.info.panels if panel.moved is not None)

    @property
    def moved(self) -> tuple[PanelInfo, ...]:
        """The panels that changed while a fault was in place."""
        return tuple(panel for panel in self.info.panels if panel.moved)

    def in_state(self, state: PanelState) -> tuple[PanelInfo, ...]:
        """The panels that show this."""
        return tuple(panel for panel in self.info.panels if panel.state == state)  # a template says it as text


class Note(msgspec.Struct, frozen=True):
    at: float
    author: str
    text: str
    experiment: int | None


class Recovery(msgspec.Struct, frozen=True):
    recovered: bool
    seconds: float | None
    within_s: float | None

    @property
    def is_late(self) -> bool:
        """Whether it recovered, but not as soon as was expected."""
        return self.seconds is not None and self.within_s is not None and self.seconds > self.within_s


class Predictions(msgspec.Struct, frozen=True):
    """What was said before the injection beside what happened. `made`: the word of each person that counts; `late`:
    what was said after it, and does not; `questions`: those on which builders and SREs did not agree first."""

    made: tuple[PredictionMade, ...]
    late: tuple[PredictionMade, ...]
    questions: tuple[Question, ...]


class Finding(msgspec.Struct, frozen=True):
    """`action`: the id of the action item that it is; None for what is no weakness."""

    experiment: int
    kind: FindingKind
    title: str
    detail: str
    weakness: bool
    owner: str | None
    action: str | None


class Check(msgspec.Struct, frozen=True):
    """One thing looked at before the session."""

    check: str
    outcome: CheckOutcome
    detail: str
    experiment: int | None


class PhaseSpan(msgspec.Struct, frozen=True):
    """From when to when one phase of an experiment lasted."""

    phase: str
    start: float
    end: float


class Entry(msgspec.Struct, frozen=True):
    """One line of a timeline. `tone` is "plain", "bad", "good", "fault", "alert" or "note"."""

    at: float
    kind: str
    text: str
    tone: str = "plain"


class Status(StrEnum):
    """How an experiment or a session ended: the journal's verdicts, and what the journal cannot say itself."""

    HELD = "held"
    WEAKNESS = "weakness"
    NOT_STARTED = "not-started"
    ABORTED = "aborted"
    UNDO_FAILED = "undo-failed"
    INTERRUPTED = "interrupted"  # the journal ends before the session does
    NOT_RUN = "not-run"  # an experiment whose turn never came

    @classmethod
    def of(cls, verdict: Verdict) -> "Status":
        """The same, by its name."""
        return cls(verdict.value)


class ExperimentReport(msgspec.Struct, frozen=True):
    """One experiment. `start` and `end` are None when its turn never came or never ended."""

    index: int
    info: ExperimentInfo
    status: Status
    reason: str
    start: float | None
    end: float | None
    injected_at: float | None  # the first injection: what alerts are measured from
    rows: tuple[Row, ...]
    series: tuple[Series, ...]
    phases: tuple[PhaseSpan, ...]
    stages: tuple[Stage, ...]
    faults: tuple[Fault, ...]
    activities: tuple[Activity, ...]
    alerts: tuple[Alert, ...]
    dashboards: tuple[Dashboard, ...]
    on_call: tuple[OnCallInfo, ...]
    notes: tuple[Note, ...]
    followed: tuple[RunbookStep, ...]
    predictions: Predictions
    marks: tuple[MarkSet, ...]
    recovery: Recovery | None
    findings: tuple[Finding, ...]
    guards: tuple[GuardTripped, ...]
    timeline: tuple[Entry, ...]
    timeline_left_out: int
    rollbacks_failed: tuple[str, ...]
    rollbacks_open: tuple[str, ...]
    saw_alerts: bool = False  # whether alerts could be seen, also those that nobody expected


class Takeover(msgspec.Struct, frozen=True):
    """Somebody other than the runner went to work on the run."""

    at: float
    by: By
    reason: str


class AbortInfo(msgspec.Struct, frozen=True):
    at: float
    source: str
    reason: str
    by: str
    experiment: int | None


class Report(msgspec.Struct, frozen=True):
    """One session."""

    session: str
    kind: str
    title: str
    path: str
    environment: str
    host: str
    gameday: str
    by: str
    people: PeopleInfo
    status: Status
    exit_code: int | None  # None when the journal does not say that the session ended
    reason: str
    ended_by: By | None
    start: float
    end: float  # of the journal
    experiments: tuple[ExperimentReport, ...]
    aborts: tuple[AbortInfo, ...]
    checks: tuple[Check, ...]
    checks_left_out: int
    notes: tuple[Note, ...]
    takeovers: tuple[Takeover, ...]
    sink_failures: tuple[tuple[str, str, int], ...]  # sink, latest detail, how often
    unread: tuple[Unread, ...]
    unread_count: int
    recalled: tuple[ActionRecalled, ...]  # what earlier sessions had left to be done
    closed: tuple[ActionWasClosed, ...]  # what its experiments had found before, and was closed as it began
    was_well: tuple[WasWell, ...]  # what earlier runs of its experiments have shown
    signatures: tuple[Signed, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Of all experiments, weaknesses first."""
        found = [finding for experiment in self.experiments for finding in experiment.findings]
        return tuple(sorted(found, key=lambda finding: not finding.weakness))

    @property
    def faults(self) -> tuple[Fault, ...]:
        """Of all experiments, in the order of injection."""
        return tuple(fault for experiment in self.experiments for fault in experiment.faults)

    @property
    def open_faults(self) -> tuple[Fault, ...]:
        """Those that are not known to be undone, the last injected first: the order in which to undo them."""
        return tuple(fault for fault in reversed(self.faults) if fault.is_open)

    @property
    def is_anything_left(self) -> bool:
        """Whether faults or rollbacks may still have to be undone."""
        rollbacks = any(one.rollbacks_open or one.rollbacks_failed for one in self.experiments)
        return bool(self.open_faults) or rollbacks

    @property
    def unsigned(self) -> tuple[Role, ...]:
        """The sides that have not signed the journal as it is."""
        signed = {one.signature.role for one in self.signatures if one.is_valid}
        return tuple(role for role in (Role.BUILDER, Role.SRE) if role not in signed)
