"""A run takes down what was well before it, and says at its end, and in its report, what is not any more."""

import asyncio
import sys
import time
from pathlib import Path

import click
import pytest

from gameday.cli import run as run_verb
from gameday.cli.recalling import recall
from gameday.engine.runs import Run
from gameday.engine.session import run_session
from gameday.journal.events import ActionWasClosed, Loss, WasWell
from gameday.people.action_log import remember_session
from gameday.report.model import load_report
from gameday.report.past import keep_run
from gameday.report.render import Format, render

sys.path.insert(0, str(Path(__file__).parent.parent / "engine"))
from pretend import EXPERIMENT, PretendSystem, events_of

EXPECTS = "expect: {alerts: [{name: ShopDown, within: 10s, severity: page}]}\nabort-when:"
WEAK = EXPERIMENT.replace("abort-when:", EXPECTS)  # the alert does not fire


def session(system: PretendSystem, text: str) -> Path:
    """As `gameday run` does it."""
    given = recall(system.session(text))
    directory = asyncio.run(run_session(given, [])).run.directory
    remember_session(system.root, directory, time.time())
    keep_run(Run(directory), system.root)
    return directory


def test_what_is_well_and_then_is_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    system = PretendSystem(tmp_path)
    weak, good, again = session(system, WEAK), session(system, EXPERIMENT), session(system, WEAK)
    assert events_of(weak, WasWell) == []
    assert events_of(good, ActionWasClosed) == []
    verdict = next(one for one in events_of(again, WasWell) if one.loss is Loss.VERDICT)
    assert (verdict.good_run, verdict.lost_at) == (good.name, None)
    assert verdict.at > verdict.good_at > 0
    [closed] = events_of(again, ActionWasClosed)
    assert (closed.title, closed.closed_by) == ("ShopDown did not fire", good.name)
    for directory, expected in ((weak, []), (good, []), (again, ["“The shop survives marks” held", closed.action])):
        document = tmp_path / "report.json"
        document.write_text(render(load_report(directory), Format.JSON))
        run_verb._say_regressions(document)
        lines = click.unstyle(capsys.readouterr().err).splitlines()
        assert len(lines) == len(expected)
        for line, part in zip(lines, expected, strict=True):
            assert line.startswith("REGRESSION: ")
            assert part in line


def test_a_document_that_cannot_be_read_is_no_mishap(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "torn.json").write_text('{"regressions": [')
    for name in ("torn.json", "none.json"):
        run_verb._say_regressions(tmp_path / name)
    assert capsys.readouterr() == ("", "")
