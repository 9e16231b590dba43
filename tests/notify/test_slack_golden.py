"""Each message of a session as a member of the channel reads it: by its events, in golden files that people review.

One file for each kind of message, with all of that kind that were said in a day on which everything happens, and one
for the session's own message. `GAMEDAY_GOLDEN=1` writes them anew.
"""

import json
import os
from collections import defaultdict
from pathlib import Path

import msgspec
import pytest

from gameday.common.processes import ProcessRef
from gameday.journal.events import (
    AbortRequested,
    ActivityEnded,
    ActivityStarted,
    AlertObserved,
    AlertState,
    AnyEvent,
    By,
    CheckOutcome,
    ConditionInfo,
    ExperimentEnded,
    ExperimentInfo,
    ExperimentStarted,
    FaultInjected,
    FaultPlanned,
    FaultRefused,
    FindingKind,
    FindingRaised,
    GuardianStarted,
    HypothesisJudged,
    Judgement,
    Mark,
    MarkSet,
    NoteAdded,
    Outcome,
    PeopleInfo,
    Phase,
    PhaseEntered,
    PreflightChecked,
    Reading,
    ReadingState,
    RecoveryMeasured,
    RollbacksEnded,
    SessionEnded,
    SessionStarted,
    SignalsSampled,
    StageEnded,
    StageStarted,
    UndoEnded,
    Verdict,
)
from gameday.notify.base import Detail, Kind, Status
from gameday.notify.narrator import Narrator
from gameday.notify.slack.blocks import fallback, message_of, status_blocks, status_text
from gameday.notify.slack.channel import Voice
from gameday.spec.model import SlackConfig

GOLDEN = Path(__file__).parent / "golden"
PODS = tuple(f"payments-7d9f8b6c4-{number:05d}" for number in range(300))
REFUSED = "payments.pods: 60% would be affected, and the policy's ceiling is 50%"


def condition(signal: str, text: str, unit: str) -> ConditionInfo:
    return ConditionInfo(
        signal=signal, text=text, comparator="<", threshold=0.3, unit=unit, for_s=0.0, role="hypothesis"
    )


def planned(at: float, fault_id: str, stage: int, targets: tuple[str, ...]) -> FaultPlanned:
    return FaultPlanned(
        at=at,
        experiment=0,
        fault_id=fault_id,
        fault="pods/kill",
        targets=targets,
        affected=len(targets),
        total=300,
        plan=msgspec.Raw(b"{}"),
        by_hand="",
        step=0,
        stage=stage,
        description="pods/kill on payments",
    )


def sampled(at: float, latency: float | None, errors: float) -> SignalsSampled:
    state = ReadingState.OK if latency is not None else ReadingState.UNREACHABLE
    readings = (
        Reading("checkout.latency.p99", state, latency),
        Reading("checkout.errors.ratio", ReadingState.OK, errors),
    )
    return SignalsSampled(at=at, experiment=0, readings=readings)


def alert(
    at: float, state: AlertState, name: str = "PaymentsDown", *, expected: bool = True, summary: str = "", by: str = ""
) -> AlertObserved:
    return AlertObserved(
        at=at, experiment=0, name=name, state=state, expected=expected, labels={}, source="a", summary=summary, by=by
    )


DAY: tuple[AnyEvent, ...] = (
    SessionStarted(
        at=0.0,
        format=1,
        gameday="0",
        session="20260306-100000-checkout-ab12",
        kind="game-day",
        title="Checkout game day",
        path="day.yaml",
        environment="staging",
        host="ops-1",
        runner=ProcessRef(1, "1"),
        experiments=(
            ExperimentInfo(
                title="Checkout survives the loss of payments pods",
                path="a.yaml",
                hypothesis="Customers can pay",
                conditions=(
                    condition("checkout.latency.p99", "< 300ms", "s"),
                    condition("checkout.errors.ratio", "< 1%", "ratio"),
                ),
                builder="@checkout-dev",
                sre="@sre-oncall",
            ),
            ExperimentInfo(title="Checkout survives a slow inventory", path="b.yaml"),
        ),
        people=PeopleInfo(
            facilitator="@lead", builders=("@checkout-dev",), sres=("@sre-oncall",), observers=("@eve", "@mallory")
        ),
    ),
    *(
        PreflightChecked(at=1.0, check=check, outcome=outcome, detail=detail, experiment=experiment)
        for experiment in (0, 1)
        for check, outcome, detail in (
            ("signals", CheckOutcome.OK, "4 are read"),
            ("alert PaymentsDown", CheckOutcome.WARNING, "cannot fire within 60s: it waits for 5m"),
            ("runbook payments-down", CheckOutcome.FAILURE, "there is none"),
        )
    ),
    ExperimentStarted(at=2.0, experiment=0),
    PhaseEntered(at=2.0, phase=Phase.BASELINE, experiment=0),
    sampled(5.0, 0.1, 0.0),
    sampled(10.0, 0.12, 0.0),
    StageStarted(at=14.0, experiment=0, step=0, stage=0, stages=3, radius="1"),
    planned(14.0, "0.0.0", 0, PODS[:1]),
    FaultInjected(at=14.2, experiment=0, fault_id="0.0.0"),
    PhaseEntered(at=14.2, phase=Phase.HOLD, experiment=0),
    sampled(15.0, None, 0.002),
    StageEnded(at=74.0, experiment=0, step=0, stage=0, held=True),
    StageStarted(at=74.0, experiment=0, step=0, stage=1, stages=3, radius="100%"),
    planned(74.0, "0.0.1", 1, PODS),
    FaultInjected(at=75.0, experiment=0, fault_id="0.0.1"),
    PhaseEntered(at=75.0, phase=Phase.HOLD, experiment=0),
    sampled(80.0, 0.35, 0.03),
    alert(105.2, AlertState.FIRING, summary="300 of 300 payments are gone"),
    alert(106.2, AlertState.NOTIFIED),
    alert(107.0, AlertState.FIRING, "DiskFull", expected=False),
    alert(109.0, AlertState.ACKNOWLEDGED, by="@sre-oncall"),
    NoteAdded(
        at=110.0, author="@eve", text="the <dashboard> of *payments* is late, see https://grafana.example.com/d/x"
    ),
    MarkSet(at=111.0, author="@sre-oncall", mark=Mark.DETECTED),
    MarkSet(at=112.0, author="@sre-oncall", mark=Mark.ALL_CLEAR, text="after a restart"),
    HypothesisJudged(
        at=134.0,
        experiment=0,
        when="during",
        held=False,
        judgements=(
            Judgement(subject="checkout.latency.p99", condition="< 300ms", outcome=Outcome.BROKEN),
            Judgement(subject="checkout.errors.ratio", condition="< 1%", outcome=Outcome.UNREADABLE),
        ),
    ),
    StageEnded(at=134.0, experiment=0, step=0, stage=1, held=False),
    StageStarted(at=134.0, experiment=0, step=0, stage=2, stages=3, radius="100%"),
    planned(134.0, "0.0.2", 2, PODS[:2]),
    FaultRefused(at=134.5, experiment=0, fault_id="0.0.2", reason=REFUSED),
    ActivityStarted(at=135.0, experiment=0, activity=1, name="scale-down", kind="action", section="method"),
    ActivityEnded(at=136.0, experiment=0, activity=1, status="succeeded", took_s=1.0),
    ActivityStarted(at=137.0, experiment=0, activity=2, name="scale-up", kind="action", section="method"),
    ActivityEnded(at=138.0, experiment=0, activity=2, status="failed", took_s=1.0, error="no such deployment"),
    AbortRequested(at=140.0, source="guard", reason="checkout.errors.ratio was > 10% for 5s"),
    UndoEnded(at=141.0, fault_id="0.0.1", undone=False, attempts=3, took_s=1.0, left=PODS[:7]),
    UndoEnded(at=141.4, fault_id="0.0.0", undone=True, attempts=1, took_s=0.4),
    RollbacksEnded(at=142.0, experiment=0, failed=("scale-up",)),
    RecoveryMeasured(at=160.0, experiment=0, recovered=True, seconds=12.0),
    RecoveryMeasured(at=160.0, experiment=0, recovered=False, seconds=None),
    FindingRaised(
        at=161.0,
        experiment=0,
        kind=FindingKind.ALERT_MISSED,
        title="PaymentsDown fired 1.2 s too late",
        detail="it fired 31.2 s after the injection, and was expected within 30 s",
    ),
    FindingRaised(at=161.0, experiment=0, kind=FindingKind.RUNBOOK_MISSING, title="There is no runbook payments-down"),
    ExperimentEnded(at=162.0, experiment=0, verdict=Verdict.WEAKNESS, reason="PaymentsDown fired 1.2 s too late"),
    AbortRequested(at=163.0, source="command", reason="asked for in Slack by U0EVE", by="@eve"),
    GuardianStarted(at=170.0, by=By.GUARDIAN, reason="the runner died", process=ProcessRef(2, "2")),
    SessionEnded(at=175.0, verdict=Verdict.UNDO_FAILED, exit_code=5, reason="1 fault is still in place"),
)
VOICE = Voice(SlackConfig(people=(("@checkout-dev", "U0DEV"), ("@sre-oncall", "U0SRE"))), pytest.fail)


def told(*, until: float = float("inf")) -> tuple[list[Detail], Status | None]:
    narrator, details = Narrator(), []
    for event in DAY:
        if event.at <= until:
            details += narrator.take(event)
    return details, narrator.status(min(until, DAY[-1].at))


def messages() -> dict[str, list[dict[str, object]]]:
    """By the names of the files."""
    report = Detail(
        Kind.REPORT, "The report is written", 0.0, 0.0, link="https://reports.example.com/_a/~day.html?x=1&y"
    )
    found: dict[str, list[dict[str, object]]] = defaultdict(list)
    for detail in (*told()[0], report):
        text = VOICE.say(detail)
        found[detail.kind].append({"text": fallback([text]), "blocks": message_of([text])})
    for at in (0.0, 104.0, 108.0, 150.0, 175.0):
        status = told(until=at)[1]
        assert status is not None
        found["status"].append({"text": status_text(status), "blocks": status_blocks(status, has_buttons=True)})
    return found


@pytest.mark.parametrize("kind", [*Kind, "status"])
def test_each_message_is_as_it_was_read(kind: str) -> None:
    path = GOLDEN / f"{kind}.json"
    made = json.dumps(messages()[kind], indent=1, ensure_ascii=False) + "\n"
    if os.environ.get("GAMEDAY_GOLDEN"):
        path.write_text(made)
    assert path.read_text() == made


def test_there_is_a_file_for_each_message_and_no_other() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == {*Kind, "status"}
