"""A session and its experiments: what they are, phases, checks, what earlier runs left, findings and verdicts."""

from enum import StrEnum

import msgspec

from gameday.common.json import Json
from gameday.common.processes import ProcessRef
from gameday.journal.events.base import By, Event, Struct
from gameday.journal.events.coverage import AlertInfo, RunbookInfo
from gameday.journal.events.faults import StepInfo
from gameday.journal.events.people import PeopleInfo
from gameday.journal.events.signals import ConditionInfo


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


class CheckOutcome(StrEnum):
    """Of one preflight check."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


class Loss(StrEnum):
    """What does not hold any more."""

    VERDICT = "verdict"  # it held, and does not
    ALERT = "alert"  # it fired in time, and is late or missed
    RECOVERY = "recovery"  # it came back in time, and is late or does not


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
    document: dict[str, Json] = msgspec.field(default_factory=dict)
    owner: str | None = None  # of the service


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
