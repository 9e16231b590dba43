"""Dashboards and on-call in a whole session on a pretend system: looked at before and after, and judged."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pretend import EXPERIMENT, PretendSystem, events_of

from gameday.engine.session import run_session
from gameday.journal.events import (
    AlertObserved,
    AlertState,
    CheckOutcome,
    DashboardExamined,
    FindingKind,
    FindingRaised,
    OnCallExamined,
    PreflightChecked,
    SinkFailed,
    Verdict,
)
from gameday.spec.model import DashboardsConfig, OnCallConfig

EXPECTS = """expect:
  alerts: [{name: ShopDown, within: 10s, severity: page}]
  dashboards: [shop-overview, tills]
abort-when:"""
LONG = EXPERIMENT.replace("hold: 300ms", "hold: 600ms").replace("abort-when:", EXPECTS)
HEALTHY = {"people": [["@ada"], ["@lin"]], "until": 4e9}


def panel(number: int, state: str, *, moved: bool | None = None) -> dict[str, Any]:
    return {"id": str(number), "title": f"Panel {number}", "state": state, "moved": moved}


def shown(*panels: dict[str, Any]) -> dict[str, Any]:
    return {"found": True, "title": "Shop", "panels": panels}


ALL_WELL = {
    "shop-overview": shown(panel(1, "data")),
    "shop-overview, after": shown(panel(1, "data", moved=True)),
    "tills": shown(panel(1, "data"), panel(2, "unknown")),
    "tills, after": shown(panel(1, "data", moved=False)),
}


def run(
    root: Path, dashboards: dict[str, Any], on_call: dict[str, Any], acknowledged: Sequence[dict[str, Any]] | None = ()
) -> tuple[Path, Verdict]:
    """A session in which ShopDown fires all the time that anybody looks after the baseline."""
    system = PretendSystem(root)
    (system.directory / "dashboards.json").write_text(json.dumps(dashboards))
    (system.directory / "on-call.json").write_text(json.dumps({"on_call": on_call, "acknowledged": acknowledged}))
    session = system.session(LONG)
    url = f"http://pretend{system.directory}"
    environment = msgspec.structs.replace(
        session.environment, dashboards=DashboardsConfig("testkit", url), on_call=OnCallConfig("testkit", url)
    )
    result = asyncio.run(run_session(msgspec.structs.replace(session, environment=environment), []))
    return result.run.directory, result.verdict


def findings_of(directory: Path, *kinds: FindingKind) -> list[tuple[FindingKind, bool]]:
    events = [event for event in events_of(directory, FindingRaised) if event.kind in kinds]
    return [(event.kind, event.weakness) for event in events]


OURS = (
    FindingKind.DASHBOARD_EMPTY,
    FindingKind.DASHBOARD_MISSING,
    FindingKind.DASHBOARD_UNMOVED,
    FindingKind.ON_CALL_HOLE,
)


def test_looked_at_before_and_after(tmp_path: Path) -> None:
    directory, _ = run(tmp_path, ALL_WELL, HEALTHY)
    looks = events_of(directory, DashboardExamined)
    named = {(look.dashboard.name, look.after) for look in looks}
    # The rule of the alert that is expected has an annotation, a page that no source knows.
    page = "http://localhost/d/shop"
    assert named == {(name, after) for name in ("shop-overview", "tills", page) for after in (False, True)}
    [moved] = [look.dashboard for look in looks if look.dashboard.name == "shop-overview" and look.after]
    assert moved.named_by == ("the experiment",)
    assert moved.panels[0].moved is True
    [page_look] = [look.dashboard for look in looks if look.dashboard.name == page and not look.after]
    assert page_look.named_by == ("alert ShopDown",)
    [on_call] = events_of(directory, OnCallExamined)
    assert (on_call.on_call.service, on_call.on_call.people) == ("shop", (("@ada",), ("@lin",)))
    assert findings_of(directory, *OURS) == []


def test_what_is_wanting_is_warned_of_and_found(tmp_path: Path) -> None:
    half_empty = shown(panel(1, "data", moved=False), panel(2, "empty"))
    nobody = {"people": [], "holes": [[0, 4e9]]}
    served = {
        "shop-overview": {"found": False, "detail": "there is none"},
        "shop-overview, after": {"found": False, "detail": "there is none"},
        "tills": half_empty,
        "tills, after": half_empty,
    }
    directory, verdict = run(tmp_path, served, nobody)
    assert verdict is Verdict.WEAKNESS
    checks = {
        check.check: check.detail
        for check in events_of(directory, PreflightChecked)
        if check.outcome is CheckOutcome.WARNING
    }
    assert checks["dashboard shop-overview"] == "is not there: there is none (named by the experiment)"
    assert checks["dashboard Shop"] == "1 of 2 panels have no data: “Panel 2”"
    assert checks["on-call shop"].startswith("nobody is on call until ")
    assert findings_of(directory, *OURS) == [
        (FindingKind.DASHBOARD_MISSING, True),
        (FindingKind.DASHBOARD_EMPTY, True),  # half of its panels
        (FindingKind.DASHBOARD_UNMOVED, False),  # the steady state held: there may have been nothing to see
        (FindingKind.ON_CALL_HOLE, True),
    ]


def test_a_source_that_fails_is_named_and_nothing_is_concluded(tmp_path: Path) -> None:
    directory, _ = run(tmp_path, {}, HEALTHY)
    assert {look.dashboard.name for look in events_of(directory, DashboardExamined)} == set()
    [check] = [check for check in events_of(directory, PreflightChecked) if check.check == "dashboards"]
    assert check.outcome is CheckOutcome.WARNING
    assert "KeyError" in check.detail
    assert findings_of(directory, *OURS) == []


def test_a_source_that_is_not_configured_as_it_must_be_lets_nothing_start(tmp_path: Path) -> None:
    system = PretendSystem(tmp_path)
    session = system.session(LONG)
    environment = msgspec.structs.replace(session.environment, dashboards=DashboardsConfig("graphana", "http://x"))
    result = asyncio.run(run_session(msgspec.structs.replace(session, environment=environment), []))
    assert result.verdict is Verdict.NOT_STARTED
    assert "did you mean `grafana`?" in result.reason
    assert system.calls == []


@pytest.mark.parametrize("at", [None, 1.0])
def test_who_acknowledges_where_people_are_paged_is_in_the_journal(tmp_path: Path, at: float | None) -> None:
    said = [
        {"text": "[FIRING:1] ShopDown (page)", "by": "Ada", "at": at},
        {"text": "[FIRING:1] ShopDownstairs", "by": "Lin", "at": at},
    ]
    directory, _ = run(tmp_path, ALL_WELL, HEALTHY, said)
    events = [event for event in events_of(directory, AlertObserved) if event.state is AlertState.ACKNOWLEDGED]
    assert [(event.name, event.by, event.source, event.expected, event.since) for event in events] == [
        ("ShopDown", "Ada", "testkit", True, at)
    ]


def test_acknowledgements_that_cannot_be_read_are_said_once_and_end_nothing(tmp_path: Path) -> None:
    directory, verdict = run(tmp_path, ALL_WELL, HEALTHY, None)
    [failed] = events_of(directory, SinkFailed)
    assert (failed.sink, failed.detail) == ("testkit", "acknowledgements cannot be read: HTTP 500: it is broken")
    assert verdict is Verdict.WEAKNESS  # the alert did not fire
