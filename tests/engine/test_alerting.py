"""Alerts in a whole session on a pretend system: examined before, acknowledged while it runs, told in the report."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from pretend import EXPERIMENT, PretendSystem, events_of

from gameday.cli.ack import command as ack
from gameday.engine.alerting import Alerting, check_alerts, open_alerting, survey_alerting
from gameday.engine.preflight import Check, check_sources, examine_runbooks
from gameday.engine.preparation import SessionInput, prepare
from gameday.engine.runs import all_runs
from gameday.engine.session import run_session
from gameday.journal.events import (
    AlertExamined,
    AlertObserved,
    AlertState,
    AnyEvent,
    CheckOutcome,
    FaultInjected,
    PreflightChecked,
)
from gameday.report.json_document import document
from gameday.report.model import load_report

EXPECTS = "expect: {alerts: [{name: ShopDown, within: 10s, severity: page}]}\nabort-when:"


class Acknowledge:
    """A sink that says `gameday ack` once the fault is in place and the alert was seen, and keeps what it was told."""

    name = "acknowledge"

    def __init__(self, root: Path) -> None:
        self.root = root
        self.said: list[str] = []

    def handle(self, event: AnyEvent) -> None:
        if isinstance(event, FaultInjected) and not self.said:
            for words in (["ShopDown", "--author", "@s"], ["ShopDwn"]):
                result = CliRunner().invoke(ack, [*words, "--run", str(all_runs(self.root)[0].directory)])
                self.said.append(f"{result.exit_code} {result.output.strip()}")

    def close(self) -> None:
        return None


def test_examined_acknowledged_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = PretendSystem(tmp_path)
    monkeypatch.chdir(tmp_path)
    sink = Acknowledge(tmp_path)
    text = EXPERIMENT.replace("hold: 300ms", "hold: 1s").replace("abort-when:", EXPECTS)
    result = asyncio.run(run_session(system.session(text), [sink]))
    assert sink.said[0].startswith("0 acknowledged ShopDown in ")
    assert sink.said[0].endswith("though it has not been seen to fire yet")
    assert sink.said[1].startswith("2 ")
    assert "did you mean `ShopDown`?" in sink.said[1]

    directory = result.run.directory
    [examined] = events_of(directory, AlertExamined)
    assert (examined.alert.name, examined.alert.at_best_s, examined.alert.receivers) == ("ShopDown", 1.0, None)
    checks = [check.detail for check in events_of(directory, PreflightChecked) if check.check == "alert ShopDown"]
    assert checks[0].startswith("its rule exists (")
    [event] = [event for event in events_of(directory, AlertObserved) if event.state is AlertState.ACKNOWLEDGED]
    assert (event.name, event.by, event.expected, event.experiment, event.source) == (
        "ShopDown",
        "@s",
        True,
        0,
        "gameday",
    )

    [alert] = json.loads(json.dumps(document(load_report(directory))))["experiments"][0]["alerts"]
    assert alert["acknowledged_by"] == "@s"
    assert 0 <= alert["acknowledged_after_s"] < 30
    assert alert["before"]["at_best_s"] == 1.0
    assert CliRunner().invoke(ack, ["ShopDown"]).exit_code == 3, "it has ended"


RULES = """\
groups:
- name: g
  rules:
  - alert: ShopDown
    expr: up==0
    for: 1s
    labels: {severity: page, service: shop}
    annotations: {runbook_url: "https://r", dashboard: "https://d"}
  - {alert: ShopSlow, expr: up, for: 1h}
"""
TWO = "expect: {alerts: [{name: ShopDown, within: 10s}, {name: ShopSlow, within: 10s, runbook: 'http://127.0.0.1:1/x'}]}\n"


def look(system: PretendSystem, rules: str, *, alerts: bool) -> tuple[Alerting, tuple[Check, ...]]:
    """What is found out of the alerts, with these rules in the repository."""
    (system.root / "rules.yaml").write_text(rules)
    session = system.session(EXPERIMENT + TWO)
    project = msgspec.structs.replace(session.project, rules=(system.root / "rules.yaml",))
    environment = session.environment
    environment = environment if alerts else msgspec.structs.replace(environment, alerts=None)
    session = msgspec.structs.replace(session, project=project, environment=environment)

    async def run() -> tuple[Alerting, tuple[Check, ...]]:
        [item] = prepare(session, datetime.now(UTC))
        alerting = await open_alerting(environment, project)
        alerting = await survey_alerting(alerting, environment, [item])
        checks = (*alerting.checks, *check_sources(item, environment), *check_alerts(alerting, item, ()))
        if alerting.source:
            await alerting.source.close()
        return alerting, tuple(check for check in checks if "alert" in check.name)

    return asyncio.run(run())


def test_rules_in_the_repository_where_no_server_has_any(tmp_path: Path) -> None:
    alerting, checks = look(PretendSystem(tmp_path), RULES, alerts=False)
    assert not alerting.is_known
    assert [(check.name, check.outcome) for check in checks] == [
        ("alerts", CheckOutcome.FAILURE),
        ("alert ShopDown, rule file", CheckOutcome.OK),
        ("alert ShopSlow, rule file", CheckOutcome.WARNING),
    ]
    assert checks[0].detail == "the environment `pretend` has no alerts"
    assert "cannot fire within 10s: it takes 1h" in checks[2].detail


def test_rules_in_the_repository_and_on_the_server(tmp_path: Path) -> None:
    system = PretendSystem(tmp_path)
    _, checks = look(system, RULES, alerts=True)
    said = {check.name: (check.outcome, check.detail) for check in checks}
    differ = "the repository and the server differ"
    assert said["alert ShopDown, rule file"] == (CheckOutcome.OK, "the server has it as it is at rules.yaml:4")
    assert said["alert ShopSlow, rule file"] == (CheckOutcome.WARNING, f"{differ}: rules.yaml:9: not loaded")
    assert said["alert rules, files"] == (CheckOutcome.WARNING, f"{differ}: ShopSlow (not loaded); of 2 rules in files")
    _, checks = look(system, RULES.replace("up==0", "up==1"), alerts=True)
    said = {check.name: (check.outcome, check.detail) for check in checks}
    assert said["alert ShopDown, rule file"][1] == f"{differ}: rules.yaml:4: another expression"


def test_runbooks_at_urls_are_looked_at_for_all_experiments(tmp_path: Path) -> None:
    session: SessionInput = PretendSystem(tmp_path).session(EXPERIMENT + TWO)
    now = datetime.now(UTC)
    [before] = prepare(session, now)
    [after] = asyncio.run(examine_runbooks([before], now.date()))
    assert [(book.name, book.found, bool(book.detail)) for book in before.runbooks] == [
        ("http://127.0.0.1:1/x", None, False)
    ]
    assert [(book.name, book.found, bool(book.detail)) for book in after.runbooks] == [
        ("http://127.0.0.1:1/x", None, True)
    ]
