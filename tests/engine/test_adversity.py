"""What a session meets when its own parts fail: secrets that look like its own words, helpers and sources that die."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from pretend import PretendSystem, events_of
from test_session import run

from gameday.common.redact import Redactor
from gameday.engine.recorder import Recorder
from gameday.engine.recovery import recover
from gameday.engine.runs import Run
from gameday.engine.session import run_session
from gameday.engine.undo import Rollbacks
from gameday.journal.events import (
    ActivityEnded,
    By,
    NoteAdded,
    RollbacksArmed,
    RollbacksEnded,
    Verdict,
)
from gameday.journal.log import JournalWriter, read_events


@pytest.fixture
def system(tmp_path: Path) -> PretendSystem:
    return PretendSystem(tmp_path)


# -- secrets


def test_a_secret_of_digits_leaves_numbers_and_the_journal_whole(tmp_path: Path) -> None:
    recorder = Recorder(JournalWriter(tmp_path), Redactor(["1234"]))
    recorder.record(NoteAdded(at=1234.5, author="@s", text="the pin is 1234"))
    (event,) = read_events(tmp_path)
    assert event == NoteAdded(at=1234.5, author="@s", text="the pin is •••")


@pytest.mark.parametrize("secret", ["held", "testkit", "mark", "errors", "fault-planned", "runner"])
def test_a_secret_that_is_a_word_of_ours_keeps_no_undo_from_running(system: PretendSystem, secret: str) -> None:
    result = asyncio.run(run_session(system.session(secrets=(secret,)), ()))
    assert result.verdict is Verdict.HELD
    assert system.broken == []
    assert result.run.state().is_clean


def test_rollbacks_that_recover_runs_are_written_without_secrets(tmp_path: Path) -> None:
    Rollbacks.path(tmp_path, 0).write_bytes(
        msgspec.json.encode(
            Rollbacks(
                (
                    {
                        "type": "action",
                        "name": "leak hunter2hunter2",
                        "provider": {
                            "type": "python",
                            "module": "os.path",
                            "func": "basename",
                            "arguments": {"p": "x"},
                        },
                    },
                ),
                {},
                {"shop": {"password": "hunter2hunter2"}},
            )
        )
    )
    writer = JournalWriter(tmp_path)
    writer.append(RollbacksArmed(at=1.0, experiment=0, activities=("leak",)), sync=True)
    writer.close()
    recorder_free = asyncio.run(recover(Run(tmp_path), By.RECOVER, "test"))
    assert recorder_free.is_clean
    assert "hunter2" not in (tmp_path / "journal.jsonl").read_text()
    assert events_of(tmp_path, ActivityEnded)


# -- the guard


# -- helpers that die or hang

KILLER = """
title: The process that runs faults dies
service: shop
method:
  - type: action
    name: kill the parent
    provider: {type: python, module: gameday_testkit, func: kill_parent}
rollbacks:
  - {type: action, name: back, provider: {type: python, module: os, func: getpid}}
"""


def test_rollbacks_run_when_the_process_that_runs_them_has_died(system: PretendSystem) -> None:
    result = run(system, KILLER)
    (ended,) = events_of(result.run.directory, RollbacksEnded)
    assert ended.failed == ()
