"""Every event a run can write. The journal is these, one JSON object a line, in the order they happened.

Times (`at`) are seconds since the Unix epoch; durations end in `_s`. `experiment` is the experiment's index in the
session, from 0. Fields are only ever added, with a default, so that an older journal still reads; FORMAT counts up when
a reader must know the difference.
"""

from enum import StrEnum

import msgspec

from gameday.common.json import Json
from gameday.common.processes import ProcessRef

FORMAT = 1
TOLERANCE = "tolerance"  # the condition of a judgement on a probe


class Phase(StrEnum):
    BRIEF = "brief"
    PREFLIGHT = "preflight"
    BASELINE = "baseline"
    INJECT = "inject"
    HOLD = "hold"
    JUDGE = "judge"
    UNDO = "undo"
    RECOVERY = "recovery"
    DEBRIEF = "debrief"


class ReadingState(StrEnum):
    """What came of asking for a signal. Only OK has a value, and only a value can be good or bad."""

    OK = "ok"
    EMPTY = "empty"  # answered, with no series
    NAN = "nan"  # answered, with a number that is none (0/0)
    STALE = "stale"  # answered, with data that is too old
    UNREACHABLE = "unreachable"  # not answered, or with an error


class Outcome(StrEnum):
    """Of one judgement."""

    HELD = "held"
    BROKEN = "broken"
    UNREADABLE = "unreadable"


class Loss(StrEnum):
    """What does not hold any more."""

    VERDICT = "verdict"  # it held, and does not
    ALERT = "alert"  # it fired in time, and is late or missed
    RECOVERY = "recovery"  # it came back in time, and is late or does not


class CheckOutcome(StrEnum):
    """Of one preflight check."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


class AlertState(StrEnum):
    PENDING = "pending"
    FIRING = "firing"
    NOTIFIED = "notified"
    ACKNOWLEDGED = "acknowledged"  # somebody has taken it on
    RESOLVED = "resolved"


class FindingKind(StrEnum):
    HYPOTHESIS_BROKEN = "hypothesis-broken"
    NOT_RECOVERED = "not-recovered"
    RECOVERED_LATE = "recovered-late"
    ACTIVITY_FAILED = "activity-failed"
    FAULT_VANISHED = "fault-vanished"  # it was gone before it was undone, so less was shown than was meant
    ALERT_MISSED = "alert-missed"
    ALERT_LATE = "alert-late"
    ALERT_UNEXPECTED = "alert-unexpected"
    ALERT_NOT_RESOLVED = "alert-not-resolved"
    ALERT_FIRED_BEFORE = "alert-fired-before"
    ALERT_SEVERITY = "alert-severity"
    ALERT_FLAPPING = "alert-flapping"  # it fired more than once while one stage was held
    ALERT_NOT_ROUTED = "alert-not-routed"  # had it fired, nobody would have been told
    RULE_MISSING = "rule-missing"
    RULE_FAILS = "rule-fails"  # its server cannot evaluate it
    RULE_WITHOUT_LABELS = "rule-without-labels"
    RULE_WITHOUT_RUNBOOK = "rule-without-runbook"
    RULE_WITHOUT_DASHBOARD = "rule-without-dashboard"
    RUNBOOK_MISSING = "runbook-missing"
    RUNBOOK_INCOMPLETE = "runbook-incomplete"
    RUNBOOK_WRONG = "runbook-wrong"  # whoever followed it said that a step is wrong, or missing
    RUNBOOK_STUCK = "runbook-stuck"  # or did not know how to go on
    DASHBOARD_MISSING = "dashboard-missing"  # it is named, and not there
    DASHBOARD_EMPTY = "dashboard-empty"  # panels of it have no data, or fail
    DASHBOARD_UNMOVED = "dashboard-unmoved"  # no panel of it showed what was broken
    ON_CALL_HOLE = "on-call-hole"  # nobody is on call, now or soon
    NOT_STARTED = "not-started"  # this experiment, in a session where others ran


class Role(StrEnum):
    """What somebody is in a session."""

    FACILITATOR = "facilitator"
    BUILDER = "builder"
    SRE = "sre"
    SCRIBE = "scribe"
    OBSERVER = "observer"


class Outlook(StrEnum):
    """What somebody thinks will become of a condition."""

    HOLDS = "holds"
    BREAKS = "breaks"
    UNSURE = "unsure"


class Mark(StrEnum):
    """What people say they have come to, as an incident goes on."""

    DETECTED = "detected"
    DIAGNOSED = "diagnosed"
    MITIGATED = "mitigated"
    ALL_CLEAR = "all-clear"


class StepOutcome(StrEnum):
    """What whoever follows a runbook says of a step; the first and the last are of the runbook as a whole."""

    OPENED = "opened"
    DONE = "done"
    SKIPPED = "skipped"
    STUCK = "stuck"
    WRONG = "wrong"
    MISSING = "missing"  # a step that should stand here
    NOTE = "note"
    CHECKED = "checked"  # its code was run
    CLOSED = "closed"


class Verdict(StrEnum):
    """Of an experiment and of a session, from best to worst."""

    HELD = "held"
    WEAKNESS = "weakness"
    NOT_STARTED = "not-started"
    ABORTED = "aborted"
    UNDO_FAILED = "undo-failed"

    @property
    def exit_code(self) -> int:
        """The exit status of `gameday run` (the design, §3)."""
        return {"held": 0, "weakness": 1, "not-started": 3, "aborted": 4, "undo-failed": 5}[self.value]


class By(StrEnum):
    """Which process acted."""

    RUNNER = "runner"
    GUARDIAN = "guardian"
    RECOVER = "recover"


class Struct(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A value inside an event."""


class Reading(msgspec.Struct, frozen=True, array_like=True):
    """One sample of one signal, in its base unit. `signal` is "<service>.<kind>.<measure>"."""

    signal: str
    state: ReadingState
    value: float | None = None
    detail: str = ""


class ConditionInfo(Struct, frozen=True, kw_only=True):
    """A condition of the experiment, as judged. `role` is "hypothesis" or "abort-when"."""

    signal: str
    text: str
    comparator: str
    threshold: float
    unit: str
    for_s: float
    role: str
    relative: bool = False


class AlertInfo(Struct, frozen=True, kw_only=True):
    """An alert that the experiment expects."""

    name: str
    within_s: float
    severity: str | None = None
    runbook: str | None = None


class StepInfo(Struct, frozen=True, kw_only=True):
    """One step of the method. `kind` is "fault", "probe" or "action"; a fault has a ladder, target and hold."""

    kind: str
    name: str
    fault: str | None = None
    target: str | None = None
    ladder: tuple[str, ...] = ()
    hold_s: float | None = None


class RunbookInfo(Struct, frozen=True, kw_only=True):
    """A runbook that an expected alert or the service names, by its file's name or by a URL.

    `found` is False when no such file exists, and None where it is not known: what is at the URL could not be read
    (`detail` says why), or has not been asked for. With `detail`, its sections and review could not be looked at.
    """

    name: str
    found: bool | None
    path: str | None = None
    title: str | None = None
    owner: str | None = None
    reviewed: str | None = None
    missing_sections: tuple[str, ...] = ()
    stale: bool = False
    detail: str = ""


class RunbookStepInfo(Struct, frozen=True, kw_only=True):
    """One step of a runbook as it was followed. Steps count from 1 in their section; 0 is the section, or the whole.

    `text` is the step's own, `note` what was said of it; `seconds` have passed since it was shown. Of its code that was
    run, `output` may be shortened, and `status` is None when it was ended for taking too long.
    """

    runbook: str
    outcome: StepOutcome
    section: str = ""
    step: int = 0
    text: str = ""
    note: str = ""
    seconds: float = 0.0
    output: str = ""
    status: int | None = None
    owner: str | None = None


class ExperimentInfo(Struct, frozen=True, kw_only=True):
    """What an experiment says, as far as its report needs it. `document` is all of it as it was written, with every
    value masked that may be secret."""

    title: str
    path: str
    service: str | None = None
    description: str = ""
    hypothesis: str = ""
    conditions: tuple[ConditionInfo, ...] = ()
    probes: tuple[str, ...] = ()
    steps: tuple[StepInfo, ...] = ()
    alerts: tuple[AlertInfo, ...] = ()
    runbooks: tuple[RunbookInfo, ...] = ()
    recovers_within_s: float | None = None
    builder: str | None = None
    sre: str | None = None
    interval_s: float = 1.0
    document: dict[str, Json] = {}
    owner: str | None = None  # of the service


class PeopleInfo(Struct, frozen=True, kw_only=True):
    """Who takes part, by role."""

    facilitator: str | None = None
    builders: tuple[str, ...] = ()
    sres: tuple[str, ...] = ()
    scribe: str | None = None
    observers: tuple[str, ...] = ()


class AlertRuleInfo(Struct, frozen=True, kw_only=True):
    """An alerting rule as the rules' server has it; None where an annotation or label is absent.

    `interval_s`: between two evaluations; None where the server does not say. `error`: why it cannot be evaluated.
    """

    name: str
    expression: str
    for_s: float
    severity: str | None = None
    service: str | None = None
    runbook_url: str | None = None
    dashboard: str | None = None
    state: str = "inactive"
    interval_s: float | None = None
    keep_firing_for_s: float = 0.0
    error: str = ""
    labels: dict[str, str] = {}


class ReceiverInfo(Struct, frozen=True, kw_only=True):
    """A receiver of Alertmanager, and what it tells people by ("webhook", say): with nothing, it tells nobody."""

    name: str
    integrations: tuple[str, ...] = ()


class AlertExamination(Struct, frozen=True, kw_only=True):
    """What could be found out of an expected alert before anything was injected; None is what could not.

    It fires between `at_best_s` and `at_most_s` after its cause shows in what is scraped, `because` says the sum in
    words; Alertmanager then waits for `group_wait_s`. After its cause has gone it may fire for `clears_s` more.
    """

    name: str
    fires: bool = False  # already
    at_best_s: float | None = None
    at_most_s: float | None = None
    because: str = ""
    clears_s: float | None = None
    group_wait_s: float | None = None
    receivers: tuple[ReceiverInfo, ...] | None = None
    quiet: tuple[str, ...] = ()  # why nobody would be told
    doubts: tuple[str, ...] = ()  # why perhaps nobody would be, or somebody else
    missing_series: tuple[str, ...] = ()  # selectors without which its expression cannot come true
    error: str = ""  # why its expression cannot be evaluated


class PanelState(StrEnum):
    """What a panel of a dashboard shows."""

    DATA = "data"
    EMPTY = "empty"
    ERROR = "error"  # its queries fail
    UNKNOWN = "unknown"  # it has none, or none that can be asked


class PanelInfo(Struct, frozen=True, kw_only=True):
    """A panel of a dashboard. `moved`: whether it changed while the fault was in place; None before, or unknown."""

    id: str
    title: str
    state: PanelState
    series: int = 0
    detail: str = ""
    moved: bool | None = None


class DashboardInfo(Struct, frozen=True, kw_only=True):
    """A dashboard, by the name that it was given, and by whom ("alert PaymentsDown", "service checkout").

    `found` is None when that could not be asked, and `detail` says why. Of a plain page there are no panels.
    """

    name: str
    named_by: tuple[str, ...]
    found: bool | None
    title: str = ""
    url: str = ""
    detail: str = ""
    panels: tuple[PanelInfo, ...] = ()


class OnCallInfo(Struct, frozen=True, kw_only=True):
    """Who would be paged for a service. `people`: the levels of escalation, the first first; None when that could not
    be asked, and `detail` says why. `until`: when the first level changes; `holes`: times at which nobody is on call,
    from and to. Unix times."""

    service: str | None
    source: str
    schedule: str = ""
    people: tuple[tuple[str, ...], ...] | None = None
    until: float | None = None
    holes: tuple[tuple[float, float], ...] = ()
    url: str = ""
    detail: str = ""


class SignalPrediction(Struct, frozen=True, kw_only=True):
    """What somebody thinks of a condition of the hypothesis. `signal` is the signal's id; `note` in their words."""

    signal: str
    outlook: Outlook
    note: str = ""


class AlertPrediction(Struct, frozen=True, kw_only=True):
    """Which alert somebody thinks will fire, or not, and how soon after the injection."""

    name: str
    fires: bool
    within_s: float | None = None


class PredictionInfo(Struct, frozen=True, kw_only=True):
    """What somebody says before the injection. `users_notice` is None when they do not know."""

    signals: tuple[SignalPrediction, ...] = ()
    alerts: tuple[AlertPrediction, ...] = ()
    users_notice: bool | None = None
    note: str = ""


class Judgement(Struct, frozen=True, kw_only=True):
    """One condition or probe over one window. `worst` is the reading furthest from the threshold (base unit)."""

    subject: str  # signal id, or the probe's name
    condition: str
    outcome: Outcome
    worst: float | None = None
    breached_for_s: float = 0.0
    readable: int = 0
    samples: int = 0
    detail: str = ""


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="event"):
    """The base of all events. `at`: when, in seconds since the Unix epoch."""

    at: float


class SessionStarted(Event, frozen=True, kw_only=True, tag="session-started"):
    format: int
    gameday: str  # version
    session: str
    kind: str  # "game-day" or "experiment"
    title: str
    path: str
    environment: str
    host: str
    runner: ProcessRef
    experiments: tuple[ExperimentInfo, ...]
    people: PeopleInfo = PeopleInfo()
    by: str = ""  # who ran it


class PhaseEntered(Event, frozen=True, kw_only=True, tag="phase-entered"):
    phase: Phase
    experiment: int | None = None


class ExperimentStarted(Event, frozen=True, kw_only=True, tag="experiment-started"):
    experiment: int


class PreflightChecked(Event, frozen=True, kw_only=True, tag="preflight-checked"):
    check: str
    outcome: CheckOutcome
    detail: str
    experiment: int | None = None


class AlertRulesRead(Event, frozen=True, kw_only=True, tag="alert-rules-read"):
    rules: tuple[AlertRuleInfo, ...]
    experiment: int


class AlertExamined(Event, frozen=True, kw_only=True, tag="alert-examined"):
    """An expected alert that has a rule was looked at before anything was injected."""

    experiment: int
    alert: AlertExamination


class RunbookExamined(Event, frozen=True, kw_only=True, tag="runbook-examined"):
    """A runbook at a URL was read, after the session had begun: this is what is known of it."""

    experiment: int
    runbook: RunbookInfo


class DashboardExamined(Event, frozen=True, kw_only=True, tag="dashboard-examined"):
    """A dashboard was looked at: before anything was injected, or (`after`) when all was undone, over all that time."""

    experiment: int
    dashboard: DashboardInfo
    after: bool = False


class OnCallExamined(Event, frozen=True, kw_only=True, tag="on-call-examined"):
    """Who is on call was looked up before anything was injected."""

    experiment: int
    on_call: OnCallInfo


class SignalsSampled(Event, frozen=True, kw_only=True, tag="signals-sampled"):
    """All signals of one tick, one event."""

    experiment: int
    readings: tuple[Reading, ...]


class BaselineRecorded(Event, frozen=True, kw_only=True, tag="baseline-recorded"):
    """The median of each signal over the baseline, in its base unit."""

    experiment: int
    values: dict[str, float]


class HypothesisJudged(Event, frozen=True, kw_only=True, tag="hypothesis-judged"):
    """`when` is "before", "during" or "after"; during, step and stage say where. `ended`: the method had ended, and
    nothing was undone yet."""

    experiment: int
    when: str
    held: bool
    judgements: tuple[Judgement, ...]
    step: int | None = None
    stage: int | None = None
    ended: bool = False


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


class AlertObserved(Event, frozen=True, kw_only=True, tag="alert-observed"):
    """An alert was seen in a state for the first time since the experiment began.

    `at` is when we saw it; `since` is when its source says that the state began. `by`: who has acknowledged it.
    """

    experiment: int
    name: str
    state: AlertState
    expected: bool
    labels: dict[str, str]
    source: str
    since: float | None = None
    existed_before: bool = False  # already pending or firing before the first injection
    summary: str = ""
    by: str = ""


class RunbookStep(Event, frozen=True, kw_only=True, tag="runbook-step"):
    """Somebody follows a runbook and came to a step of it, or said something of one."""

    author: str
    step: RunbookStepInfo
    experiment: int | None = None


class ActionRecalled(Event, frozen=True, kw_only=True, tag="action-recalled"):
    """An action item of an earlier session that is still open as this one begins. `links`: where it is tracked."""

    action: str
    title: str
    service: str
    opened_at: float
    opened_by: str
    owner: str | None = None
    reopened: int = 0
    links: tuple[str, ...] = ()


class ActionWasClosed(Event, frozen=True, kw_only=True, tag="action-was-closed"):
    """An action item of one of this session's experiments that was closed as it began: should its finding come back,
    that is a regression. `closed_by` is a session or a person."""

    action: str
    title: str
    opened_at: float
    closed_at: float
    closed_by: str
    owner: str | None = None


class WasWell(Event, frozen=True, kw_only=True, tag="was-well"):
    """What was well in an earlier run of this experiment in this environment: `good_run`, which began at `good_at`, is
    the last such run. It has not been since the run that began at `lost_at`; None where it was well until now. `alert`
    is its name; `document` a fingerprint of the experiment as it was written."""

    experiment: int
    loss: Loss
    good_run: str
    good_at: float
    lost_at: float | None = None
    lost_runs: int = 0
    alert: str = ""
    document: str = ""


class PredictionMade(Event, frozen=True, kw_only=True, tag="prediction-made"):
    """Somebody has said what will happen, before it could be seen. A later one of the same author counts instead."""

    author: str
    experiment: int
    prediction: PredictionInfo
    role: Role | None = None


class MarkSet(Event, frozen=True, kw_only=True, tag="mark-set"):
    """Somebody says that they have come this far."""

    author: str
    mark: Mark
    text: str = ""
    experiment: int | None = None


class NoteAdded(Event, frozen=True, kw_only=True, tag="note-added"):
    author: str
    text: str
    experiment: int | None = None


class RecoveryMeasured(Event, frozen=True, kw_only=True, tag="recovery-measured"):
    """`seconds`: from the end of the last undo until the hypothesis held again for good; None when it did not."""

    experiment: int
    recovered: bool
    seconds: float | None = None
    within_s: float | None = None


class FindingRaised(Event, frozen=True, kw_only=True, tag="finding-raised"):
    """Something the session found, stated once. Only a weakness changes the verdict."""

    experiment: int
    kind: FindingKind
    title: str
    detail: str = ""
    weakness: bool = True
    suggested_owner: str | None = None


class SinkFailed(Event, frozen=True, kw_only=True, tag="sink-failed"):
    sink: str
    detail: str


class ExperimentEnded(Event, frozen=True, kw_only=True, tag="experiment-ended"):
    experiment: int
    verdict: Verdict
    reason: str = ""


class SessionEnded(Event, frozen=True, kw_only=True, tag="session-ended"):
    verdict: Verdict
    exit_code: int
    by: By = By.RUNNER
    reason: str = ""


class GuardianStarted(Event, frozen=True, kw_only=True, tag="guardian-started"):
    """Somebody other than the runner took over: the guardian or `gameday recover`."""

    by: By
    reason: str
    process: ProcessRef


AnyEvent = (
    SessionStarted
    | PhaseEntered
    | ExperimentStarted
    | PreflightChecked
    | AlertRulesRead
    | AlertExamined
    | RunbookExamined
    | DashboardExamined
    | OnCallExamined
    | SignalsSampled
    | BaselineRecorded
    | HypothesisJudged
    | StageStarted
    | StageEnded
    | FaultPlanned
    | FaultInjected
    | FaultRefused
    | ActivityStarted
    | ActivityEnded
    | RollbacksArmed
    | RollbacksEnded
    | GuardTripped
    | AbortRequested
    | UndoStarted
    | UndoEnded
    | FaultWrittenOff
    | AlertObserved
    | RunbookStep
    | ActionRecalled
    | ActionWasClosed
    | WasWell
    | PredictionMade
    | MarkSet
    | NoteAdded
    | RecoveryMeasured
    | FindingRaised
    | SinkFailed
    | ExperimentEnded
    | SessionEnded
    | GuardianStarted
)
