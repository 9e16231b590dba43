"""Handover readiness: from evidence only, and no evidence is no readiness."""

from pathlib import Path

import msgspec
import pytest

from gameday.journal.events import (
    AlertInfo,
    DashboardInfo,
    ExperimentInfo,
    OnCallInfo,
    PanelInfo,
    PanelState,
    RunbookInfo,
    RunbookStep,
    RunbookStepInfo,
    StepOutcome,
)
from gameday.report.handover import Handover, Need, Readiness, handovers
from gameday.report.model import load_report
from gameday.report.views import Alert, AlertOutcome, Dashboard, ExperimentReport, Recovery

FIXTURES = Path(__file__).parent.parent / "journal" / "fixtures"
[BARE] = load_report(FIXTURES / "format-1-people.jsonl").experiments
INFO = ExperimentInfo(title="T", path="e.yaml", service="shop", owner="team-shop")


def experiment(**changes: object) -> ExperimentReport:
    """One of `shop` that has shown nothing, but for these."""
    nothing = {"alerts": (), "dashboards": (), "on_call": (), "followed": (), "recovery": None, "info": INFO}
    return msgspec.structs.replace(BARE, injected_at=100.0, **(nothing | changes))


def alert(outcome: AlertOutcome, **changes: object) -> Alert:
    values: dict[str, object] = {
        "name": "ShopDown",
        "outcome": outcome,
        "expected": AlertInfo(name="ShopDown", within_s=30.0),
        "pending_at": None,
        "firing_at": 112.0,
        "notified_at": 113.0,
        "acknowledged_at": None,
        "resolved_at": 150.0,
        "existed_before": False,
        "severities": (),
        "instances": (),
    }
    return Alert(**(values | changes))  # type: ignore[arg-type]


def dashboard(*moved: bool | None, found: bool | None = True) -> Dashboard:
    panels = tuple(PanelInfo(id=str(n), title="P", state=PanelState.DATA, moved=one) for n, one in enumerate(moved))
    return Dashboard(DashboardInfo(name="overview", named_by=(), found=found, panels=panels))


def step(outcome: StepOutcome, runbook: str = "shop-down") -> RunbookStep:
    return RunbookStep(at=120.0, author="@s", step=RunbookStepInfo(runbook=runbook, outcome=outcome))


def runbook(*, found: bool | None = True, missing: tuple[str, ...] = ()) -> ExperimentInfo:
    book = RunbookInfo(name="shop-down", found=found, missing_sections=missing)
    return msgspec.structs.replace(INFO, runbooks=(book,))


def on_call(*levels: tuple[str, ...]) -> OnCallInfo:
    return OnCallInfo(service="shop", source="file", people=levels)


def said(need: Need, one: ExperimentReport, *others: ExperimentReport) -> Readiness:
    [handover] = handovers([one, *others])
    return next(line.readiness for line in handover.lines if line.need is need)


@pytest.mark.parametrize(
    ("need", "one", "readiness"),
    [
        (Need.DETECT, experiment(), Readiness.NOT_SHOWN),
        (Need.DETECT, experiment(alerts=(alert(AlertOutcome.IN_TIME),)), Readiness.READY),
        (Need.DETECT, experiment(alerts=(alert(AlertOutcome.IN_TIME, notified_at=None),)), Readiness.NOT_YET),
        (Need.DETECT, experiment(alerts=(alert(AlertOutcome.LATE),)), Readiness.NOT_YET),
        (Need.DETECT, experiment(alerts=(alert(AlertOutcome.MISSED, firing_at=None),)), Readiness.NOT_YET),
        (Need.DETECT, experiment(alerts=(alert(AlertOutcome.NOT_TESTED, firing_at=None),)), Readiness.NOT_SHOWN),
        (Need.DETECT, experiment(alerts=(alert(AlertOutcome.UNEXPECTED, expected=None),)), Readiness.NOT_SHOWN),
        (Need.UNDERSTAND, experiment(), Readiness.NOT_SHOWN),
        (Need.UNDERSTAND, experiment(dashboards=(dashboard(None),)), Readiness.NOT_SHOWN),
        (Need.UNDERSTAND, experiment(dashboards=(dashboard(False), dashboard(True, False))), Readiness.READY),
        (Need.UNDERSTAND, experiment(dashboards=(dashboard(False),)), Readiness.NOT_YET),
        (Need.UNDERSTAND, experiment(dashboards=(dashboard(True), dashboard(found=False))), Readiness.NOT_YET),
        (Need.UNDERSTAND, experiment(dashboards=(dashboard(found=None),)), Readiness.NOT_SHOWN),
        (Need.ACT, experiment(info=runbook()), Readiness.NOT_SHOWN),  # nobody has followed it
        (Need.ACT, experiment(info=runbook(), followed=(step(StepOutcome.DONE),)), Readiness.READY),
        (Need.ACT, experiment(info=runbook(), followed=(step(StepOutcome.OPENED),)), Readiness.NOT_SHOWN),
        (
            Need.ACT,
            experiment(info=runbook(), followed=(step(StepOutcome.DONE), step(StepOutcome.STUCK))),
            Readiness.NOT_YET,
        ),
        (Need.ACT, experiment(info=runbook(), followed=(step(StepOutcome.DONE, "other"),)), Readiness.NOT_SHOWN),
        (Need.ACT, experiment(info=runbook(found=False)), Readiness.NOT_YET),
        (Need.ACT, experiment(info=runbook(found=None)), Readiness.NOT_SHOWN),
        (Need.ACT, experiment(info=runbook(missing=("Rollback",))), Readiness.NOT_YET),
        (Need.ESCALATE, experiment(), Readiness.NOT_SHOWN),  # an owner, and who is on call is not known
        (Need.ESCALATE, experiment(on_call=(on_call(("@a",), ("@b",)),)), Readiness.READY),
        (Need.ESCALATE, experiment(on_call=(on_call((), ("@b",)),)), Readiness.NOT_YET),
        (Need.ESCALATE, experiment(on_call=(on_call(),)), Readiness.NOT_YET),
        (
            Need.ESCALATE,
            experiment(info=msgspec.structs.replace(INFO, owner=None), on_call=(on_call(("@a",)),)),
            Readiness.NOT_YET,
        ),
        (Need.RECOVER, experiment(), Readiness.NOT_SHOWN),
        (Need.RECOVER, experiment(recovery=Recovery(True, 4.0, 10.0)), Readiness.READY),
        (Need.RECOVER, experiment(recovery=Recovery(True, 14.0, 10.0)), Readiness.NOT_YET),
        (Need.RECOVER, experiment(recovery=Recovery(False, None, 10.0)), Readiness.NOT_YET),
        (
            Need.RECOVER,
            experiment(recovery=Recovery(True, 4.0, 10.0), alerts=(alert(AlertOutcome.IN_TIME, resolved_at=None),)),
            Readiness.NOT_YET,
        ),
    ],
)
def test_a_need(need: Need, one: ExperimentReport, readiness: Readiness) -> None:
    assert said(need, one) is readiness


def test_one_experiment_that_speaks_against_it_is_enough() -> None:
    well, ill = experiment(alerts=(alert(AlertOutcome.IN_TIME),)), experiment(alerts=(alert(AlertOutcome.LATE),))
    assert said(Need.DETECT, well, ill) is Readiness.NOT_YET
    assert said(Need.DETECT, well, experiment()) is Readiness.READY


def test_each_service_has_its_own() -> None:
    other = experiment(info=msgspec.structs.replace(INFO, service="stock"))
    nameless = experiment(info=msgspec.structs.replace(INFO, service=None))
    assert [one.service for one in handovers([experiment(), other, experiment(), nameless])] == ["shop", "stock"]


def whole(**changes: object) -> Handover:
    shown: dict[str, object] = {
        "alerts": (alert(AlertOutcome.IN_TIME),),
        "dashboards": (dashboard(True),),
        "info": runbook(),
        "followed": (step(StepOutcome.DONE),),
        "on_call": (on_call(("@a",)),),
        "recovery": Recovery(True, 4.0, 10.0),
    }
    [handover] = handovers([experiment(**(shown | changes))])
    return handover


def test_the_whole_is_as_good_as_its_weakest_line() -> None:
    assert whole().readiness is Readiness.READY
    assert whole(followed=()).readiness is Readiness.NOT_SHOWN
    assert whole(followed=(), recovery=Recovery(False, None, None)).readiness is Readiness.NOT_YET
    assert all(line.evidence for line in whole().lines)
