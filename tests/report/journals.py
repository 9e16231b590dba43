"""Writes journals of sessions that never were, through the real writer and the real events."""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from gameday.common.processes import ProcessRef
from gameday.journal.events import (
    FORMAT,
    AbortRequested,
    ActionRecalled,
    AlertExamination,
    AlertExamined,
    AlertInfo,
    AlertObserved,
    AlertPrediction,
    AlertRuleInfo,
    AlertRulesRead,
    AlertState,
    AnyEvent,
    BaselineRecorded,
    By,
    CheckOutcome,
    ConditionInfo,
    DashboardExamined,
    DashboardInfo,
    ExperimentEnded,
    ExperimentInfo,
    ExperimentStarted,
    FaultInjected,
    FaultPlanned,
    FaultWrittenOff,
    FindingKind,
    FindingRaised,
    GuardianStarted,
    GuardTripped,
    HypothesisJudged,
    Judgement,
    Mark,
    MarkSet,
    NoteAdded,
    OnCallExamined,
    OnCallInfo,
    Outcome,
    Outlook,
    PanelInfo,
    PanelState,
    PeopleInfo,
    Phase,
    PhaseEntered,
    PredictionInfo,
    PredictionMade,
    PreflightChecked,
    Reading,
    ReadingState,
    ReceiverInfo,
    RecoveryMeasured,
    Role,
    RunbookInfo,
    RunbookStep,
    RunbookStepInfo,
    SessionEnded,
    SessionStarted,
    SignalPrediction,
    SignalsSampled,
    SinkFailed,
    StageEnded,
    StageStarted,
    StepInfo,
    StepOutcome,
    UndoEnded,
    UndoStarted,
    Verdict,
)
from gameday.journal.log import JournalWriter
from gameday.journal.signatures import Signature, add_signature, journal_hash
from gameday.people.actions import action_id

T0 = 1_772_791_200.0  # 6 March 2026, 10:00:00 UTC
LATENCY, TRAFFIC, ERRORS, CPU = (
    "checkout.latency.p99",
    "checkout.traffic.rate",
    "checkout.errors.ratio",
    "checkout.saturation.cpu",
)


def condition(signal: str, text: str, threshold: float, unit: str, **more: object) -> ConditionInfo:
    settings = {"comparator": text.split(maxsplit=1)[0], "for_s": 0.0, "role": "hypothesis"} | more
    return msgspec.convert(
        {"signal": signal, "text": text, "threshold": threshold, "unit": unit} | settings, ConditionInfo
    )


CONDITIONS = (
    condition(LATENCY, "< 300ms", 0.3, "s"),
    condition(TRAFFIC, "< 30%", 0.3, "ratio", relative=True),
    condition(ERRORS, "< 1%", 0.01, "ratio"),
    condition(CPU, "< 85%", 0.85, "ratio"),
    condition(ERRORS, "> 20%", 0.2, "ratio", role="abort-when", for_s=3.0),
)


def experiment(title: str = "Checkout survives the loss of payments replicas", **changes: object) -> ExperimentInfo:
    info = ExperimentInfo(
        title=title,
        path="experiments/checkout-loses-payments.yaml",
        service="checkout",
        description="One of the four replicas of payments dies, then half of them at once, as in a bad rollout.",
        hypothesis="Customers can pay",
        conditions=CONDITIONS,
        steps=(
            StepInfo(
                kind="fault",
                name="replicas die",
                fault="process/kill",
                target="payments",
                ladder=("1", "50%"),
                hold_s=6.0,
            ),
        ),
        alerts=(AlertInfo(name="PaymentsReplicaDown", within_s=10.0, severity="page", runbook="replica-down"),),
        runbooks=(
            RunbookInfo(
                name="replica-down",
                found=True,
                path="runbooks/replica-down.md",
                title="A replica is down",
                owner="team-payments",
                reviewed="2026-01-12",
            ),
        ),
        recovers_within_s=15.0,
        builder="@checkout-dev",
        sre="@sre-oncall",
    )
    return msgspec.structs.replace(info, **changes)


@dataclass
class Journal:
    """A journal being written; `now` is the time of the next event."""

    directory: Path
    now: float = T0
    events: list[AnyEvent] = field(default_factory=list)
    noise: random.Random = field(default_factory=lambda: random.Random(7))

    def __post_init__(self) -> None:
        self._writer = JournalWriter(self.directory)

    def add(self, event_type: Callable[..., AnyEvent], /, **values: object) -> None:
        event = event_type(**({"at": self.now} | values))
        self.events.append(event)
        self._writer.append(event)

    def close(self) -> Path:
        self._writer.close()
        return self.directory

    # -- parts of a session

    def start(self, infos: Sequence[ExperimentInfo], **values: object) -> None:
        defaults = {
            "format": FORMAT,
            "gameday": "0.1.0",
            "session": self.directory.name,
            "kind": "game-day",
            "title": "Checkout game day",
            "path": "experiments/gamedays/checkout.yaml",
            "environment": "staging",
            "host": "runner-1",
            "runner": ProcessRef(4242, "17"),
            "experiments": tuple(infos),
            "people": PeopleInfo(facilitator="@lead", builders=("@checkout-dev",), sres=("@sre-oncall",)),
            "by": "sam",
        }
        self.add(SessionStarted, **(defaults | values))
        self.add(PhaseEntered, phase=Phase.BRIEF)
        self.now += 0.02
        self.add(PhaseEntered, phase=Phase.PREFLIGHT)
        self.add(PreflightChecked, check="guardian", outcome=CheckOutcome.OK, detail="watching")
        self.now += 0.5

    def samples(self, index: int, seconds: float, **values: Callable[[float], float | None] | float | None) -> None:
        """One tick a second; each signal is a number, a function of the seconds since the first tick, or None."""
        shapes = {LATENCY: 0.012, TRAFFIC: 52.0, ERRORS: 0.001, CPU: 0.31}
        named = {"latency": LATENCY, "traffic": TRAFFIC, "errors": ERRORS, "cpu": CPU}
        shapes |= {named.get(name, name): value for name, value in values.items()}
        for tick in range(round(seconds)):
            readings = []
            for signal, shape in shapes.items():
                value = shape(float(tick)) if callable(shape) else shape
                if value is None:
                    readings.append(Reading(signal, ReadingState.UNREACHABLE, None, "no answer within 3 s"))
                else:
                    readings.append(Reading(signal, ReadingState.OK, max(0.0, value * (1 + self.noise.gauss(0, 0.05)))))
            self.add(SignalsSampled, experiment=index, readings=tuple(readings))
            self.now += 1.0

    def begin(self, index: int) -> None:
        """Its start and its baseline, which holds."""
        self.add(ExperimentStarted, experiment=index)
        self.add(PhaseEntered, phase=Phase.BASELINE, experiment=index)
        self.samples(index, 10)
        self.add(BaselineRecorded, experiment=index, values={LATENCY: 0.012, TRAFFIC: 52.0, ERRORS: 0.001, CPU: 0.31})
        self.judge(index, "before", {LATENCY: 0.013, ERRORS: 0.0012, CPU: 0.33})

    def judge(self, index: int, when: str, worst: dict[str, float | None], **where: int) -> bool:
        judgements = []
        for info in CONDITIONS:
            if info.role != "hypothesis" or info.signal not in worst:
                continue
            value = worst[info.signal]
            outcome = Outcome.UNREADABLE if value is None else Outcome.HELD
            if value is not None and value >= info.threshold:
                outcome = Outcome.BROKEN
            judgements.append(
                Judgement(
                    subject=info.signal,
                    condition=("change " if info.relative else "") + info.text,
                    outcome=outcome,
                    worst=value,
                    breached_for_s=4.0 if outcome is Outcome.BROKEN else 0.0,
                    readable=6,
                    samples=6,
                    detail="unreachable: no answer within 3 s" if value is None else "",
                )
            )
        held = all(judgement.outcome is Outcome.HELD for judgement in judgements)
        self.add(HypothesisJudged, experiment=index, when=when, held=held, judgements=tuple(judgements), **where)
        return held

    def inject(self, index: int, stage: int, targets: Sequence[str], **changes: object) -> None:
        values = {
            "experiment": index,
            "fault_id": f"{index}.0.{stage}",
            "fault": "process/kill",
            "targets": tuple(targets),
            "affected": len(targets),
            "total": 4,
            "plan": msgspec.Raw(b"{}"),
            "by_hand": f"have the supervisor start {', '.join(targets)} again",
            "step": 0,
            "stage": stage,
            "description": f"send SIGKILL to {', '.join(targets)}",
        }
        self.add(StageStarted, experiment=index, step=0, stage=stage, stages=2, radius="1" if stage == 0 else "50%")
        self.add(PhaseEntered, phase=Phase.INJECT, experiment=index)
        self.add(FaultPlanned, **(values | changes))
        self.now += 0.03
        self.add(FaultInjected, experiment=index, fault_id=f"{index}.0.{stage}", took_s=0.02)
        self.add(PhaseEntered, phase=Phase.HOLD, experiment=index)

    def end_stage(self, index: int, stage: int, worst: dict[str, float | None]) -> None:
        self.add(PhaseEntered, phase=Phase.JUDGE, experiment=index)
        held = self.judge(index, "during", worst, step=0, stage=stage)
        self.add(StageEnded, experiment=index, step=0, stage=stage, held=held)

    def alert(self, index: int, name: str, state: AlertState, source: str = "prometheus", **changes: object) -> None:
        values = {
            "experiment": index,
            "name": name,
            "state": state,
            "expected": True,
            "labels": {"service": "payments", "severity": "page"},
            "source": source,
        }
        self.add(AlertObserved, **(values | changes))

    def undo(self, index: int, stages: int, *, undone: bool = True, by: By = By.RUNNER) -> None:
        self.add(PhaseEntered, phase=Phase.UNDO, experiment=index)
        for stage in reversed(range(stages)):
            fault = f"{index}.0.{stage}"
            self.add(UndoStarted, fault_id=fault, by=by)
            self.now += 0.4
            left = () if undone else ("payments-1 is still down",)
            self.add(
                UndoEnded, fault_id=fault, undone=undone, attempts=1 if undone else 7, took_s=0.4, by=by, left=left
            )

    def recover(self, index: int, seconds: float | None) -> None:
        self.add(PhaseEntered, phase=Phase.RECOVERY, experiment=index)
        self.samples(index, 8, latency=lambda t: 0.012 + 0.2 * math.exp(-t))
        self.add(RecoveryMeasured, experiment=index, recovered=seconds is not None, seconds=seconds, within_s=15.0)
        self.judge(index, "after", {LATENCY: 0.014, TRAFFIC: 0.04, ERRORS: 0.001, CPU: 0.34})

    def end(self, index: int, verdict: Verdict, reason: str = "") -> None:
        self.add(ExperimentEnded, experiment=index, verdict=verdict, reason=reason)
        self.now += 0.2

    def close_session(self, verdict: Verdict, reason: str = "", by: By = By.RUNNER) -> Path:
        self.add(SessionEnded, verdict=verdict, exit_code=verdict.exit_code, reason=reason, by=by)
        return self.close()


def held(journal: Journal, index: int) -> None:
    """An experiment in which everything is as it should be."""
    journal.begin(index)
    began = journal.now
    for stage, targets in enumerate((["payments-1"], ["payments-1", "payments-3"])):
        journal.inject(index, stage, targets)
        journal.samples(index, 3, latency=lambda t: 0.05 - 0.01 * t)
        if stage == 0:
            name = "PaymentsReplicaDown"
            journal.alert(index, name, AlertState.PENDING, since=began + 1.4)
            journal.alert(index, name, AlertState.FIRING, since=began + 3.7)
            journal.now += 0.3
            journal.alert(index, name, AlertState.FIRING, "alertmanager")
            journal.now += 0.5
            journal.alert(index, name, AlertState.NOTIFIED, "receiver")
        journal.samples(index, 3, latency=0.02)
        worst = {LATENCY: 0.052, TRAFFIC: 0.06, ERRORS: 0.0013, CPU: 0.41}
        journal.end_stage(index, stage, worst)
    journal.undo(index, 2)
    journal.add(NoteAdded, author="sam", text="retries hid it from customers", experiment=index)
    journal.recover(index, 1.2)
    for source in ("prometheus", "alertmanager"):
        journal.alert(index, "PaymentsReplicaDown", AlertState.RESOLVED, source)
    journal.end(index, Verdict.HELD)


def broken(journal: Journal, index: int) -> None:
    """An experiment whose hypothesis breaks in stage 2, with an alert missed, a late one, and a gap in the readings."""
    journal.begin(index)
    began = journal.now
    journal.inject(index, 0, ["payments-2"])
    journal.samples(index, 8, latency=lambda t: 0.05 + 0.02 * t, errors=lambda t: 0.002 * t)
    journal.end_stage(index, 0, {LATENCY: 0.21, TRAFFIC: 0.09, ERRORS: 0.0091, CPU: 0.52})
    journal.inject(index, 1, ["payments-2", "payments-4"])
    journal.samples(index, 3, latency=lambda t: 0.3 + 0.06 * t, errors=lambda t: 0.02 + 0.01 * t, traffic=44.0)
    journal.alert(index, "PaymentsErrorsHigh", AlertState.PENDING, since=began + 9.2)
    journal.samples(index, 3, latency=None, errors=None, traffic=40.0, cpu=0.6)
    journal.alert(index, "PaymentsErrorsHigh", AlertState.FIRING, since=began + 12.9)
    journal.alert(index, "EdgeSlow", AlertState.FIRING, expected=False, labels={"severity": "ticket"})
    stuck = RunbookStepInfo(
        runbook="payments-errors", outcome=StepOutcome.STUCK, section="Diagnosis", step=2, text="Which replica?",
        note="the query gives nothing", seconds=12.0, owner="team-payments",
    )  # fmt: skip
    journal.add(RunbookStep, author="@sre-oncall", step=stuck, experiment=index)
    journal.add(NoteAdded, author="@sre-oncall", text="the dashboard shows nothing for payments", experiment=index)
    journal.samples(index, 6, latency=lambda t: 0.48 - 0.02 * t, errors=0.06, traffic=38.0, cpu=0.7)
    journal.alert(index, "PaymentsErrorsHigh", AlertState.NOTIFIED, "receiver")
    journal.end_stage(index, 1, {LATENCY: 0.482, TRAFFIC: 0.27, ERRORS: 0.063, CPU: 0.72})
    journal.undo(index, 2)
    for dashboard in (moved(CHECKOUT, "3"), PAYMENTS):
        journal.add(DashboardExamined, experiment=index, dashboard=dashboard, after=True)
    journal.recover(index, 6.5)
    journal.alert(index, "PaymentsErrorsHigh", AlertState.RESOLVED)
    for kind, title, detail in (
        (
            FindingKind.HYPOTHESIS_BROKEN,
            "The steady state did not hold: “Customers can pay”",
            f"{LATENCY} was not < 300ms",
        ),
        (FindingKind.ALERT_LATE, "PaymentsErrorsHigh fired 2.9 s too late", "it fired 12.9 s after the injection"),
        (FindingKind.ALERT_MISSED, "CheckoutErrorsHigh did not fire", "expected within 10 s of the injection"),
        (FindingKind.RUNBOOK_MISSING, "There is no runbook checkout-errors", "whoever is paged has nowhere to start"),
    ):
        journal.add(
            FindingRaised, experiment=index, kind=kind, title=title, detail=detail, suggested_owner="team-checkout"
        )
    journal.add(
        FindingRaised,
        experiment=index,
        kind=FindingKind.ALERT_UNEXPECTED,
        title="EdgeSlow fired, and nobody expected it",
        weakness=False,
    )
    journal.end(index, Verdict.WEAKNESS, "The steady state did not hold: “Customers can pay”")


def aborted(journal: Journal, index: int) -> None:
    """An experiment that the guard ends."""
    journal.begin(index)
    journal.inject(index, 0, ["payments-1"])
    journal.samples(index, 5, latency=lambda t: 0.1 + 0.3 * t, errors=lambda t: 0.1 * t, traffic=21.0)
    reason = f"{ERRORS} was > 20% for 3.0 s"
    journal.add(AbortRequested, source="guard", reason=reason, experiment=index)
    journal.add(GuardTripped, experiment=index, cause="abort-when", subject=ERRORS, detail=reason)
    journal.now += 0.01
    journal.undo(index, 1)
    journal.recover(index, 3.4)
    journal.end(index, Verdict.ABORTED, reason)


BROKEN_ALERTS = (
    AlertInfo(name="PaymentsErrorsHigh", within_s=10.0, severity="page", runbook="payments-errors"),
    AlertInfo(name="CheckoutErrorsHigh", within_s=10.0, severity="page", runbook="checkout-errors"),
)
BROKEN_RUNBOOKS = (
    RunbookInfo(
        name="payments-errors",
        found=True,
        path="runbooks/payments-errors.md",
        title="Payments answers with errors",
        owner="team-payments",
        reviewed="2024-02-01",
        stale=True,
        missing_sections=("Rollback", "Escalation"),
    ),
    RunbookInfo(name="checkout-errors", found=False),
)


CHECKOUT = DashboardInfo(
    name="checkout-overview",
    named_by=("service checkout",),
    found=True,
    title="Checkout overview",
    url="https://grafana.example.com/d/checkout-overview?from=1&to=2",
    panels=(
        PanelInfo(id="2", title="Requests", state=PanelState.DATA, series=3),
        PanelInfo(id="3", title="Errors by route", state=PanelState.DATA, series=5),
        PanelInfo(id="4", title="Queue depth", state=PanelState.EMPTY, detail="no data since 15m"),
        PanelInfo(id="5", title="", state=PanelState.ERROR, detail="the metric payment_latency is not known"),
        PanelInfo(id="6", title="Notes", state=PanelState.UNKNOWN),
    ),
)
PAYMENTS = DashboardInfo(
    name="payments",
    named_by=("alert PaymentsErrorsHigh", "runbook payments-errors"),
    found=False,
    detail="there is no dashboard of this uid",
)
WIKI = DashboardInfo(
    name="https://wiki.example.com/payments",
    named_by=("the experiment",),
    found=None,
    url="https://wiki.example.com/payments",
    detail="no answer within 10 s",
)
ON_CALL = OnCallInfo(
    service="checkout",
    source="pagerduty",
    schedule="Checkout primary",
    people=(("Ada Lovelace",), ("Grace Hopper", "Lin Zhou")),
    until=T0 + 6 * 3600,
    holes=((T0 + 86400, T0 + 90000), (T0 + 200_000, T0 + 300_000)),
    url="https://example.pagerduty.com/schedules/P1",
)


def moved(dashboard: DashboardInfo, *ids: str) -> DashboardInfo:
    """As it was looked at again: these panels moved, and the others with data did not."""
    panels = [
        msgspec.structs.replace(panel, moved=panel.id in ids if panel.state is PanelState.DATA else None)
        for panel in dashboard.panels
    ]
    return msgspec.structs.replace(dashboard, panels=tuple(panels))


def examine(journal: Journal, index: int) -> None:
    """What is found out of the alerts of BROKEN_ALERTS, of dashboards and of who is on call."""
    rule = AlertRuleInfo(name="PaymentsErrorsHigh", expression="errors > 0.05", for_s=5.0)
    journal.add(AlertRulesRead, rules=(rule,), experiment=index)
    found = AlertExamination(
        name="PaymentsErrorsHigh",
        at_best_s=6.0,
        at_most_s=12.0,
        because="scrape 5s + evaluation 1s + for 5s",
        receivers=(ReceiverInfo(name="sre-pager", integrations=("pagerduty", "slack")),),
        doubts=("its route depends on `zone`, which its rule does not set",),
    )
    journal.add(AlertExamined, experiment=index, alert=found)
    for dashboard in (CHECKOUT, PAYMENTS, WIKI):
        journal.add(DashboardExamined, experiment=index, dashboard=dashboard)
    journal.add(OnCallExamined, experiment=index, on_call=ON_CALL)


def rich(directory: Path) -> Journal:
    """A whole game day: one experiment held, one broken, one aborted. Closed."""
    journal = Journal(directory)
    journal.start(
        [
            experiment(),
            experiment("Checkout refuses politely", alerts=BROKEN_ALERTS, runbooks=BROKEN_RUNBOOKS),
            experiment("Checkout survives everything at once"),
        ]
    )
    journal.add(
        PreflightChecked,
        check="alert CheckoutErrorsHigh",
        outcome=CheckOutcome.WARNING,
        detail="its rule has no runbook",
        experiment=1,
    )
    rule = AlertRuleInfo(name="PaymentsReplicaDown", expression="up == 0", for_s=2.0)
    journal.add(AlertRulesRead, rules=(rule,), experiment=0)
    examine(journal, 1)
    held(journal, 0)
    broken(journal, 1)
    journal.add(SinkFailed, sink="slack", detail="no answer within 5 s")
    aborted(journal, 2)
    journal.close_session(Verdict.ABORTED, f"{ERRORS} was > 20% for 3.0 s")
    return journal


LATE = "PaymentsErrorsHigh fired 2.9 s too late"  # as `broken` finds it


def predict(journal: Journal, index: int, author: str, role: Role | None, **said: object) -> None:
    """`signals`: outlooks; `alerts`: within how many seconds, or None for never; the rest as PredictionInfo has it."""
    signals = said.pop("signals", {})
    alerts = said.pop("alerts", {})
    assert isinstance(signals, dict)
    assert isinstance(alerts, dict)
    info = PredictionInfo(
        signals=tuple(SignalPrediction(signal=signal, outlook=outlook) for signal, outlook in signals.items()),
        alerts=tuple(
            AlertPrediction(name=name, fires=within is not None, within_s=within) for name, within in alerts.items()
        ),
        **said,  # type: ignore[arg-type]
    )
    journal.add(PredictionMade, author=author, role=role, experiment=index, prediction=info)


def recall(journal: Journal, action: str, title: str, **changes: object) -> None:
    values = {"service": "checkout", "opened_at": T0 - 9 * 86400, "opened_by": "20260225-100000-checkout-0a0b"}
    journal.add(ActionRecalled, action=action, title=title, **(values | changes))


def partnership(directory: Path) -> Journal:
    """A session in which people have said what will happen, and how far they had come, and to which earlier ones have
    left something. The experiments are those of `broken` and `aborted`. Closed."""
    journal = Journal(directory)
    weak, ended = "experiments/weak.yaml", "experiments/ended.yaml"
    alerts = {"alerts": BROKEN_ALERTS, "runbooks": BROKEN_RUNBOOKS, "owner": "team-checkout"}
    journal.start(
        [
            experiment("Checkout refuses politely", path=weak, **alerts),
            experiment("Checkout survives everything at once", path=ended, owner="team-checkout"),
        ]
    )
    late = FindingKind.ALERT_LATE
    links = ("https://github.com/example/shop/issues/12", "javascript:alert(1)")
    again = {"owner": "team-payments", "reopened": 2, "links": links}
    recall(journal, action_id(weak, late, LATE), LATE.replace("2.9", "40"), **again)
    gone = "CheckoutErrorsHigh resolved never"
    recall(journal, action_id(weak, FindingKind.ALERT_NOT_RESOLVED, gone), gone)
    untested = "The steady state did not come back"
    recall(journal, action_id(ended, FindingKind.NOT_RECOVERED, untested), untested, owner="@ada")
    recall(journal, "0badcafe", "Write down who may restart payments")
    outlooks = {LATENCY: Outlook.HOLDS, CPU: Outlook.HOLDS, ERRORS: Outlook.HOLDS}
    names = {"PaymentsErrorsHigh": 10.0, "CheckoutErrorsHigh": 10.0}
    note = {"note": "retries hide it, up to two replicas"}
    predict(journal, 0, "@checkout-dev", Role.BUILDER, signals=outlooks, alerts=names, users_notice=False, **note)
    journal.now += 0.1
    names = {"PaymentsErrorsHigh": 20.0, "CheckoutErrorsHigh": None}
    outlooks = outlooks | {LATENCY: Outlook.BREAKS, ERRORS: Outlook.UNSURE}
    predict(journal, 0, "@sre-oncall", Role.SRE, signals=outlooks, alerts=names, users_notice=True)
    predict(journal, 0, "@lead", None, users_notice=True, signals={TRAFFIC: Outlook.BREAKS})
    predict(journal, 1, "@checkout-dev", Role.BUILDER, signals={ERRORS: Outlook.HOLDS}, alerts={"EdgeSlow": None})
    journal.now += 0.1
    broken(journal, 0)
    journal.now = T0 + 24
    journal.add(MarkSet, author="@sre-oncall", mark=Mark.DETECTED, text="the error graph", experiment=0)
    predict(journal, 0, "@sam", Role.SRE, signals={LATENCY: Outlook.BREAKS}, note="I said so")
    journal.now += 9.5
    journal.add(MarkSet, author="@sre-oncall", mark=Mark.DIAGNOSED, text="two replicas are gone", experiment=0)
    journal.now += 5
    journal.add(MarkSet, author="@checkout-dev", mark=Mark.MITIGATED, experiment=0)
    journal.now += 14
    journal.add(MarkSet, author="@lead", mark=Mark.ALL_CLEAR)  # between two experiments
    journal.now = max(event.at for event in journal.events) + 1
    aborted(journal, 1)
    journal.close_session(Verdict.ABORTED, f"{ERRORS} was > 20% for 3.0 s")
    return journal


def undo_failed(directory: Path) -> Journal:
    """The guardian takes over, and cannot undo either."""
    journal = Journal(directory)
    journal.start([experiment()], kind="experiment")
    journal.begin(0)
    journal.inject(0, 0, ["payments-1"])
    journal.samples(0, 4)
    journal.add(GuardianStarted, by=By.GUARDIAN, reason="the runner is gone", process=ProcessRef(1, "1"))
    journal.undo(0, 1, undone=False, by=By.GUARDIAN)
    journal.close_session(Verdict.UNDO_FAILED, "the runner is gone", By.GUARDIAN)
    return journal


def written_off(directory: Path) -> Journal:
    """What the guardian could not undo, a person answers for."""
    journal = undo_failed(directory)
    journal = Journal(directory, now=journal.now + 600)
    reason = "the node is gone"
    journal.add(FaultWrittenOff, fault_id="0.0.0", author="@ada", reason=reason)
    journal.close()
    return journal


def not_started(directory: Path) -> Journal:
    """Preflight fails."""
    journal = Journal(directory)
    journal.start([experiment()])
    reason = "locks: checkout is held by run 20260306-090000-other: one run at a time"
    journal.add(PreflightChecked, check="locks", outcome=CheckOutcome.FAILURE, detail=reason)
    journal.close_session(Verdict.NOT_STARTED, reason)
    return journal


def interrupted(directory: Path) -> Journal:
    """The runner is killed in the middle of a stage, and nobody has recovered it."""
    journal = Journal(directory)
    journal.start([experiment(), experiment("Never reached")])
    journal.begin(0)
    journal.inject(0, 0, ["payments-1"])
    journal.samples(0, 4)
    journal.close()
    return journal


HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'--></style></script></title></svg><svg onload=alert(1)>",
    "{{ 7 * 7 }} {% raw %} \\u003cb\\u003e",
    "https://evil.example/x.js javascript:alert(1) @everyone #1 [a](http://b) ![](http://c) | `code` **b**",
    "\u202egnp.exe\u2066 \u200fשלום مرحبا",
    "nul \x00 bell \x07 escape \x1b[31m vertical \x0b \ufffe \U0001f4a5",
    "a" * 10_000,
)


def hostile(directory: Path, text: str) -> Journal:
    """A session with this text wherever text may stand."""
    journal = Journal(directory)
    info = experiment(
        text,
        path=text,
        service=text,
        description=text,
        hypothesis=text,
        conditions=(
            condition(text, "< 1", 1.0, text),
            condition(LATENCY, f"< {text}", 0.3, "s"),
            condition(LATENCY, f"> {text}", 0.9, "s", role="abort-when"),
        ),
        probes=(text,),
        steps=(),
        alerts=(AlertInfo(name=text, within_s=1.0, severity=text, runbook=text),),
        runbooks=(
            RunbookInfo(
                name=text, found=True, path=text, title=text, owner=text, reviewed=text, missing_sections=(text,)
            ),
        ),
        builder=text,
        sre=text,
    )
    people = PeopleInfo(facilitator=text, builders=(text,), sres=(text,), scribe=text, observers=(text,))
    fields = dict.fromkeys(("gameday", "session", "title", "path", "environment", "host", "by", "kind"), text)
    journal.start([info], people=people, **fields)
    journal.add(PreflightChecked, check=text, outcome=CheckOutcome.WARNING, detail=text, experiment=0)
    rule = AlertRuleInfo(name=text, expression=text, for_s=1.0, runbook_url=text, dashboard=text)
    journal.add(AlertRulesRead, rules=(rule,), experiment=0)
    found = AlertExamination(
        name=text,
        at_best_s=1.0,
        at_most_s=2.0,
        because=text,
        receivers=(ReceiverInfo(name=text, integrations=(text,)),),
        doubts=(text,),
        missing_series=(text,),
    )
    journal.add(AlertExamined, experiment=0, alert=found)
    panels = [PanelInfo(id=text, title=text, state=state, detail=text, moved=True) for state in PanelState]
    board = DashboardInfo(
        name=text, named_by=(text,), found=True, title=text, url=text, detail=text, panels=tuple(panels)
    )
    lost = DashboardInfo(name=text[:-1], named_by=(), found=None, url=f"https://{text}", detail=text)
    for dashboard in (board, lost):
        journal.add(DashboardExamined, experiment=0, dashboard=dashboard)
    people = ((text,), (text, text))
    journal.add(
        OnCallExamined,
        experiment=0,
        on_call=OnCallInfo(
            service=text, source=text, schedule=text, people=people, url=text, detail=text, until=1e30, holes=((0, 1),)
        ),
    )
    recall(journal, text, text, service=text, opened_by=text, owner=text, reopened=1, links=(text, f"https://{text}"))
    recall(journal, action_id(text, FindingKind.RUNBOOK_MISSING, text), text, opened_at=1e30, owner=text, reopened=3)
    for author, role in ((text, Role.BUILDER), (text[:-1], Role.SRE), (text[:-2], None)):
        predict(journal, 0, author, role, signals={text: Outlook.HOLDS}, alerts={text: 1.0}, note=text)
    journal.add(ExperimentStarted, experiment=0)
    for tick in range(12):
        bad = Reading(text, ReadingState.UNREACHABLE, None, text)
        readings = (bad, Reading(LATENCY, ReadingState.OK, tick / 10))
        journal.add(SignalsSampled, experiment=0, readings=readings)
        journal.now += 1
    judgement = Judgement(subject=text, condition=text, outcome=Outcome.BROKEN, worst=2.0, detail=text)
    changes = {"fault": text, "description": text, "by_hand": text}
    journal.inject(0, 0, [text], **changes)
    journal.add(HypothesisJudged, experiment=0, when="during", held=False, judgements=(judgement,), step=0, stage=0)
    labels = {"severity": text, text: text}
    journal.alert(0, text, AlertState.FIRING, text, labels=labels, summary=text)
    journal.add(NoteAdded, author=text, text=text, experiment=0)
    predict(journal, 0, text, Role.SRE, signals={text: Outlook.BREAKS}, note=text)
    for mark in Mark:
        journal.add(MarkSet, author=text, mark=mark, text=text, experiment=0)
    journal.add(AbortRequested, source=text, reason=text, by=text)
    journal.add(GuardTripped, experiment=0, cause=text, subject=text, detail=text)
    journal.add(SinkFailed, sink=text, detail=text)
    journal.add(GuardianStarted, by=By.GUARDIAN, reason=text, process=ProcessRef(1, text))
    journal.add(UndoEnded, fault_id="0.0.0", undone=False, attempts=3, took_s=1.0, left=(text,))
    journal.add(
        FindingRaised,
        experiment=0,
        kind=FindingKind.RUNBOOK_MISSING,
        title=text,
        detail=text,
        suggested_owner=text,
    )
    journal.add(ExperimentEnded, experiment=0, verdict=Verdict.UNDO_FAILED, reason=text)
    journal.close_session(Verdict.UNDO_FAILED, text)
    for role in (Role.BUILDER, Role.SRE):
        sha256 = journal_hash(directory) if role is Role.SRE else ""
        add_signature(directory, Signature(text, role, 1e30, sha256, text))
    return journal
