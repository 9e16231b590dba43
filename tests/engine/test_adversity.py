"""What a session meets when its own parts fail: secrets that look like its own words, helpers and sources that die."""

import asyncio
from pathlib import Path

import pytest
from pretend import PretendSystem

from gameday.common.redact import Redactor
from gameday.engine.recorder import Recorder
from gameday.engine.session import run_session
from gameday.journal.events import (
    NoteAdded,
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


# -- the guard


# -- helpers that die or hang
