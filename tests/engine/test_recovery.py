"""Taking over a dead run, by itself: what comes first, what a part that fails does to the whole, and writing off."""

import asyncio
from pathlib import Path

import pytest

from gameday.engine.locks import FileLock, LockHeldError
from gameday.engine.recovery import recover, write_off
from gameday.engine.runs import WRITER_LOCK, Run
from gameday.journal.events import By, RollbacksArmed, SessionEnded, Verdict
from gameday.journal.log import JournalWriter, read_events
from tests.journal.test_log import planned


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """It left a fault and the rollbacks of two experiments."""
    writer = JournalWriter(tmp_path)
    for event in (planned("0.0.0"), *(RollbacksArmed(at=1.0, experiment=item, activities=("x",)) for item in (0, 1))):
        writer.append(event)
    writer.close()
    return Run(tmp_path)


@pytest.fixture
def did(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What is done, in order; `faults` and `rollbacks` say whether that goes well."""
    done: list[object] = []
    monkeypatch.setattr("gameday.engine.recovery.kill_leftovers", lambda _directory: done.append("leftovers"))
    monkeypatch.setattr("gameday.engine.recovery.Workers.start", lambda _workers: asyncio.sleep(0))
    return done


def outcome(monkeypatch: pytest.MonkeyPatch, did: list[object], faults: bool, failing: int | None) -> None:
    async def undo_all(*_: object, **__: object) -> bool:
        did.append("faults")
        return faults

    async def run_rollbacks(*arguments: object) -> bool:
        did.append(arguments[3])
        return arguments[3] != failing

    monkeypatch.setattr("gameday.engine.recovery.undo_all", undo_all)
    monkeypatch.setattr("gameday.engine.recovery.run_rollbacks", run_rollbacks)


@pytest.mark.parametrize(
    ("faults", "failing", "verdict"),
    [
        (True, None, Verdict.ABORTED),
        (False, None, Verdict.UNDO_FAILED),
        (True, 0, Verdict.UNDO_FAILED),
        (True, 1, Verdict.UNDO_FAILED),
    ],
)
def test_all_of_it_is_tried_the_last_first_and_one_failure_is_the_verdict(
    run: Run,
    did: list[object],
    monkeypatch: pytest.MonkeyPatch,
    faults: bool,
    failing: int | None,
    verdict: Verdict,
) -> None:
    outcome(monkeypatch, did, faults, failing)
    asyncio.run(recover(run, By.RECOVER, "test"))
    assert did == ["leftovers", "faults", 1, 0]
    assert [event.verdict for event in read_events(run.journal) if isinstance(event, SessionEnded)] == [verdict]


@pytest.mark.parametrize(("by", "undoes"), [(By.GUARDIAN, True), (By.RECOVER, False)])
def test_without_a_lock_only_who_knows_that_the_runner_is_dead_goes_on(
    run: Run, did: list[object], monkeypatch: pytest.MonkeyPatch, by: By, undoes: bool
) -> None:
    outcome(monkeypatch, did, True, None)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(FileLock, "acquire", refuse)
    if undoes:
        asyncio.run(recover(run, by, "test"))
    else:
        with pytest.raises(OSError, match="Read-only"):
            asyncio.run(recover(run, by, "test"))
    assert ("faults" in did) is undoes


def test_all_that_is_left_can_be_written_off_but_not_of_a_run_that_lives(run: Run) -> None:
    lock = FileLock(run.directory / WRITER_LOCK)
    lock.acquire("runner 1")
    with pytest.raises(LockHeldError):
        write_off(run, "@s", "the system is gone")
    lock.release()
    assert write_off(run, "@s", "the system is gone").is_clean
    assert run.state().is_clean
