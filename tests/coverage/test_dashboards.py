"""Which dashboards belong to an experiment, and what is said of them."""

from pathlib import Path

import msgspec
import pytest

from gameday.coverage.dashboards import Named
from gameday.coverage.dashboards.judging import check_dashboard, judge_dashboards
from gameday.coverage.dashboards.naming import name_dashboards
from gameday.journal.events import (
    AlertRuleInfo,
    CheckOutcome,
    DashboardInfo,
    FindingKind,
    PanelInfo,
    PanelState,
)
from gameday.spec.experiment import load_experiment
from gameday.spec.project import load_project

EXPERIMENT = """
title: T
service: shop
method: []
expect:
  alerts:
    - {name: ShopDown, within: 10s, runbook: shop-down}
    - {name: TillsDown, within: 10s}
  dashboards: [overview, tills]
"""
PROJECT = """
services:
  shop: {dashboards: [overview, "tag:shop"], runbooks: [shop-slow]}
"""


def runbook(root: Path, name: str, dashboards: str) -> None:
    (root / "runbooks").mkdir(exist_ok=True)
    (root / "runbooks" / f"{name}.md").write_text(f"---\ntitle: {name}\ndashboards: {dashboards}\n---\n")


def rule(name: str, dashboard: str | None) -> AlertRuleInfo:
    return AlertRuleInfo(name=name, expression="up == 0", for_s=0.0, dashboard=dashboard)


def test_all_who_name_one_are_said(tmp_path: Path) -> None:
    (tmp_path / "gameday.yaml").write_text(PROJECT)
    runbook(tmp_path, "shop-down", '["https://grafana/d/overview", overview]')
    runbook(tmp_path, "shop-slow", "[slow]")
    (tmp_path / "e.yaml").write_text(EXPERIMENT)
    project = load_project(tmp_path)
    rules = [
        rule("ShopDown", "overview"),
        rule("TillsDown", "https://grafana/d/{{ $labels.till }}"),  # known only once it fires
        rule("TillsDown", None),
        rule("Others", "others"),
    ]
    assert name_dashboards(project, load_experiment(tmp_path / "e.yaml", project), rules) == (
        Named("overview", ("the experiment", "service shop", "runbook shop-down", "alert ShopDown")),
        Named("tills", ("the experiment",)),
        Named("tag:shop", ("service shop",)),
        Named("https://grafana/d/overview", ("runbook shop-down",)),
        Named("slow", ("runbook shop-slow",)),
    )


def panels(*states: str, moved: bool | None = None) -> tuple[PanelInfo, ...]:
    return tuple(
        PanelInfo(id=str(n), title=f"P{n}", state=PanelState(state), moved=moved if state == "data" else None)
        for n, state in enumerate(states, 1)
    )


def dashboard(*states: str, moved: bool | None = None, found: bool | None = True, detail: str = "") -> DashboardInfo:
    return DashboardInfo(
        name="overview",
        named_by=("service shop",),
        found=found,
        title="Shop" if found else "",
        detail=detail,
        panels=panels(*states, moved=moved),
    )


@pytest.mark.parametrize(
    ("looked_at", "outcome", "detail"),
    [
        (dashboard("data", "data", "unknown"), "ok", "2 panels, all with data (named by service shop)"),
        (dashboard(), "ok", "found (named by service shop)"),
        (dashboard("data", "empty"), "warning", "1 of 2 panels have no data: “P2”"),
        (dashboard("error", "empty"), "warning", "1 of 2 panels have no data: “P2”; 1 of 2 panels fail: “P1”"),
        (dashboard(found=False), "warning", "is not there: its source has none of this name (named by service shop)"),
        (dashboard(found=None, detail="HTTP 500"), "warning", "cannot be looked at: HTTP 500 (named by service shop)"),
    ],
)
def test_what_is_said_before(looked_at: DashboardInfo, outcome: str, detail: str) -> None:
    result = check_dashboard(looked_at)
    assert (result.outcome, result.detail) == (CheckOutcome(outcome), detail)
    assert result.check == f"dashboard {looked_at.title or 'overview'}"


def test_many_panels_are_not_all_named() -> None:
    detail = check_dashboard(dashboard(*["empty"] * 12)).detail
    assert detail.endswith("“P7”, “P8” and 4 more")


def kinds(*after: DashboardInfo, before: tuple[DashboardInfo, ...] = (), was_broken: bool = False) -> list[object]:
    found = judge_dashboards(before, after, was_broken=was_broken, owner="team-shop")
    assert all(finding.suggested_owner == "team-shop" for finding in found)
    return [(finding.kind, finding.weakness) for finding in found]


def test_one_that_shows_what_happens_is_no_finding() -> None:
    assert kinds(dashboard("data", "unknown", moved=True), was_broken=True) == []


def test_one_that_moved_is_enough() -> None:
    assert kinds(dashboard("data", moved=False), dashboard("data", moved=True), was_broken=True) == []


def test_where_nothing_could_be_compared_nothing_is_concluded() -> None:
    assert kinds(dashboard("data", "unknown", moved=None), was_broken=True) == []


@pytest.mark.parametrize("was_broken", [False, True])
def test_none_that_moved_is_a_weakness_where_there_was_something_to_see(was_broken: bool) -> None:
    assert kinds(dashboard("data", moved=False), was_broken=was_broken) == [(FindingKind.DASHBOARD_UNMOVED, was_broken)]


@pytest.mark.parametrize(
    ("states", "weakness"),
    [
        (("data", "data", "empty"), False),
        (("data", "empty"), True),
        (("data", "data", "data", "error"), True),
        (("data", "empty", "unknown", "data"), False),
    ],
)
def test_empty_panels(states: tuple[str, ...], weakness: bool) -> None:
    assert kinds(dashboard(*states, moved=True)) == [(FindingKind.DASHBOARD_EMPTY, weakness)]


def test_what_was_not_looked_at_again_is_judged_by_what_was_seen_before() -> None:
    gone = dashboard(found=False)
    assert kinds(before=(gone,)) == [(FindingKind.DASHBOARD_MISSING, True)]
    unreachable = msgspec.structs.replace(gone, found=None)
    assert kinds(unreachable, before=(gone,)) == []
