"""Alerts in a whole session on a pretend system: examined before, acknowledged while it runs, told in the report."""

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from pretend import EXPERIMENT, PretendSystem, events_of

from gameday.cli.ack import command as ack
from gameday.engine.runs import all_runs
from gameday.engine.session import run_session
from gameday.journal.events import AlertExamined, AlertObserved, AlertState, AnyEvent, FaultInjected, PreflightChecked
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
