"""Every event a run can write. The journal is these, one JSON object a line, in the order they happened.

Times (`at`) are seconds since the Unix epoch; durations end in `_s`. `experiment` is the experiment's index in the
session, from 0. Fields are only ever added, with a default, so that an older journal still reads; FORMAT counts up when
a reader must know the difference.
"""

from gameday.journal.events.base import FORMAT, By, Event, Struct
from gameday.journal.events.coverage import (
    AlertExamination,
    AlertExamined,
    AlertInfo,
    AlertObserved,
    AlertRuleInfo,
    AlertRulesRead,
    AlertState,
    DashboardExamined,
    DashboardInfo,
    OnCallExamined,
    OnCallInfo,
    PanelInfo,
    PanelState,
    ReceiverInfo,
    RunbookExamined,
    RunbookInfo,
)
from gameday.journal.events.faults import (
    AbortRequested,
    ActivityEnded,
    ActivityStarted,
    FaultInjected,
    FaultPlanned,
    FaultRefused,
    FaultWrittenOff,
    GuardianStarted,
    GuardTripped,
    RollbacksArmed,
    RollbacksEnded,
    StageEnded,
    StageStarted,
    StepInfo,
    UndoEnded,
    UndoStarted,
)
from gameday.journal.events.people import (
    AlertPrediction,
    Mark,
    MarkSet,
    NoteAdded,
    Outlook,
    PeopleInfo,
    PredictionInfo,
    PredictionMade,
    Role,
    RunbookStep,
    RunbookStepInfo,
    SignalPrediction,
    StepOutcome,
)
from gameday.journal.events.session import (
    ActionRecalled,
    ActionWasClosed,
    CheckOutcome,
    ExperimentEnded,
    ExperimentInfo,
    ExperimentStarted,
    FindingKind,
    FindingRaised,
    Loss,
    Phase,
    PhaseEntered,
    PreflightChecked,
    SessionEnded,
    SessionStarted,
    SinkFailed,
    Verdict,
    WasWell,
)
from gameday.journal.events.signals import (
    TOLERANCE,
    BaselineRecorded,
    ConditionInfo,
    HypothesisJudged,
    Judgement,
    Outcome,
    Reading,
    ReadingState,
    RecoveryMeasured,
    SignalsSampled,
)

__all__ = [
    "FORMAT",
    "TOLERANCE",
    "AbortRequested",
    "ActionRecalled",
    "ActionWasClosed",
    "ActivityEnded",
    "ActivityStarted",
    "AlertExamination",
    "AlertExamined",
    "AlertInfo",
    "AlertObserved",
    "AlertPrediction",
    "AlertRuleInfo",
    "AlertRulesRead",
    "AlertState",
    "AnyEvent",
    "BaselineRecorded",
    "By",
    "CheckOutcome",
    "ConditionInfo",
    "DashboardExamined",
    "DashboardInfo",
    "Event",
    "ExperimentEnded",
    "ExperimentInfo",
    "ExperimentStarted",
    "FaultInjected",
    "FaultPlanned",
    "FaultRefused",
    "FaultWrittenOff",
    "FindingKind",
    "FindingRaised",
    "GuardTripped",
    "GuardianStarted",
    "HypothesisJudged",
    "Judgement",
    "Loss",
    "Mark",
    "MarkSet",
    "NoteAdded",
    "OnCallExamined",
    "OnCallInfo",
    "Outcome",
    "Outlook",
    "PanelInfo",
    "PanelState",
    "PeopleInfo",
    "Phase",
    "PhaseEntered",
    "PredictionInfo",
    "PredictionMade",
    "PreflightChecked",
    "Reading",
    "ReadingState",
    "ReceiverInfo",
    "RecoveryMeasured",
    "Role",
    "RollbacksArmed",
    "RollbacksEnded",
    "RunbookExamined",
    "RunbookInfo",
    "RunbookStep",
    "RunbookStepInfo",
    "SessionEnded",
    "SessionStarted",
    "SignalPrediction",
    "SignalsSampled",
    "SinkFailed",
    "StageEnded",
    "StageStarted",
    "StepInfo",
    "StepOutcome",
    "Struct",
    "UndoEnded",
    "UndoStarted",
    "Verdict",
    "WasWell",
]

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
