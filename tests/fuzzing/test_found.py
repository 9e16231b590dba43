"""What the fuzzing campaign has found, one small test each."""

import asyncio
import io
import json
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from gameday.cli.left import say_what_is_left
from gameday.common.codec import decode
from gameday.common.inventory import InventoryError, load_inventory
from gameday.common.processes import ProcessRef
from gameday.engine.recovery import recover
from gameday.engine.runs import Message, Run
from gameday.engine.undo import Rollbacks
from gameday.engine.workers import Workers, kill_leftovers
from gameday.journal.events import (
    ActivityEnded,
    ActivityStarted,
    By,
    ExperimentInfo,
    ExperimentStarted,
    Reading,
    ReadingState,
    RecoveryMeasured,
    RollbacksArmed,
    SignalsSampled,
)
from gameday.journal.log import JournalWriter
from gameday.notify.terminal import Terminal
from gameday.report.axis import value_axis
from gameday.report.model import load_report
from gameday.report.render import VIEWS, render
from gameday.report.toolkit_journal import toolkit_journals
from gameday.spec.model import Unit
from gameday.spec.runbook import load_runbook
from gameday.spec.units import format_value
from tests.journal.test_log import started

# Neither is what msgspec calls a DecodeError.
DAMAGED = [
    b'{"kind":"note","author":"\xc1","text":"","pid":4242,"started":"\xc1","activities":[{"\xc1":1}],"envoy_admin":"\xc1"}',
    b'{"x":' + b"[" * 20_000,
]


@pytest.mark.parametrize("data", DAMAGED, ids=["no UTF-8", "nested too deeply"])
class TestDamagedFiles:
    def test_is_one_kind_of_error(self, data: bytes) -> None:
        for kind in (Message, ProcessRef, Rollbacks, object):
            with pytest.raises(msgspec.DecodeError):
                decode(data, kind)

    def test_a_message_is_thrown_away(self, tmp_path: Path, data: bytes) -> None:
        """It ended the reading of messages, and with that the run."""
        (tmp_path / "inbox").mkdir()
        (tmp_path / "inbox" / "1.json").write_bytes(data)
        assert Run(tmp_path).receive() == ()
        assert not list((tmp_path / "inbox").iterdir())

    def test_a_mark_keeps_no_undo_from_running(self, tmp_path: Path, data: bytes) -> None:
        """It ended the recovery before it had begun."""
        (tmp_path / "children").mkdir()
        (tmp_path / "children" / "1").write_bytes(data)
        assert kill_leftovers(tmp_path) == 0
        assert not list((tmp_path / "children").iterdir())

    def test_rollbacks_that_cannot_be_read_are_said(self, tmp_path: Path, data: bytes) -> None:
        """They ended the recovery, with a traceback, before the session was said to be over."""
        writer = JournalWriter(tmp_path)
        writer.append(RollbacksArmed(at=1.0, experiment=0, activities=("a",)))
        writer.close()
        Rollbacks.path(tmp_path, 0).write_bytes(data)
        workers = Workers(tmp_path, (), chaos_toolkit=False)  # never started: nothing is to be run
        state = asyncio.run(recover(Run(tmp_path), By.RECOVER, "test", workers=workers))
        assert state.ended is not None
        assert state.ended.exit_code == 5

    def test_an_inventory_is_one_clear_error(self, tmp_path: Path, data: bytes) -> None:
        (tmp_path / "inventory.json").write_bytes(data)
        with pytest.raises(InventoryError, match="is not valid"):
            load_inventory(tmp_path / "inventory.json")


@pytest.mark.parametrize(
    ("line", "title"),
    [
        ("# Words", "Words"),
        ("   ## Words ##  ", "Words"),
        ("# Words #5", "Words #5"),
        ("# Words#", "Words#"),
        ("# #", "a"),
        ("#  ", "a"),
        ("####### Words", "a"),
        ("#Words", "a"),
        ("# a" + " " * 200_000 + "b" + "\r" * 200_000 + "#" * 200_000, "a" + " " * 200_000 + "b"),  # took for ever
    ],
)
def test_headings(tmp_path: Path, line: str, title: str) -> None:
    (tmp_path / "a.md").write_text(f"{line}\n", newline="")
    assert load_runbook(tmp_path / "a.md").title == title


def test_what_is_left_is_said_of_an_experiment_that_the_journal_does_not_know(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    writer = JournalWriter(tmp_path)
    writer.append(started())
    writer.append(RollbacksArmed(at=1.0, experiment=7, activities=("a",)))
    assert say_what_is_left(tmp_path)
    assert "rollbacks of “7” that have not run" in capsys.readouterr().err


def test_a_value_of_an_unknown_unit_is_a_number() -> None:
    assert (format_value(1.5, "parsec"), format_value(1.5, "s"), format_value(0.5, Unit.RATIO)) == (
        "1.5",
        "1.5s",
        "50%",
    )


def test_the_terminal_takes_what_does_not_fit_together() -> None:
    terminal = Terminal(live=False)
    terminal._console = Console(file=io.StringIO())
    terminal.handle(msgspec.structs.replace(started(), experiments=(ExperimentInfo(title="t", path="p"),)))
    for experiment in (3, 0):
        terminal.handle(ExperimentStarted(at=2.0, experiment=experiment))
        terminal.handle(RecoveryMeasured(at=3.0, experiment=experiment, recovered=True))
        readings = (Reading("x.y.z", ReadingState.OK, 1.0),)
        terminal.handle(SignalsSampled(at=4.0, experiment=experiment, readings=readings))
        assert terminal._render()


@pytest.mark.parametrize("amounts", [[1.7e308], [-1.7e308, 1.7e308], [1e-320], [-1e-323, 0.0], [0.0], [1e300, 1.0]])
@pytest.mark.parametrize("unit", Unit)
def test_an_axis_has_room_for_any_number(amounts: list[float], unit: Unit) -> None:
    axis = value_axis(amounts, unit)
    assert 2 <= len(axis.ticks()) < 12
    assert all(0 <= axis.at(amount) <= 100 for amount in amounts)


def test_a_report_takes_times_that_are_none(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path)
    writer.append(started())
    readings = (Reading("x.latency.p99", ReadingState.OK, 1.7e308),)
    for at in (-1.7e308, 0.0, 1.0, 2.0, 1e300, 1.7e308):
        writer.append(SignalsSampled(at=at, experiment=0, readings=readings))
        writer.append(ExperimentStarted(at=at, experiment=0))
    for kind in VIEWS:
        assert render(load_report(tmp_path), kind)


def test_the_toolkits_journal_takes_times_and_experiments_that_are_none(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path)
    writer.append(started())
    for at, experiment in ((1e300, 0), (-1.7e308, -1), (9e15, 7)):
        writer.append(
            ActivityStarted(at=at, experiment=experiment, activity=1, name="a", kind="probe", section="method")
        )
        writer.append(ActivityEnded(at=at, experiment=experiment, activity=1, status="succeeded", took_s=1.0))
        writer.append(RollbacksArmed(at=at, experiment=experiment, activities=("a",)))
    assert json.dumps(toolkit_journals(tmp_path))
