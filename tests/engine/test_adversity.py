"""What a session meets when its own parts fail: secrets that look like its own words, helpers and sources that die."""

import asyncio
import os
import signal
from pathlib import Path

import msgspec
import pytest
from pretend import PretendSystem, events_of
from test_session import When, run

from gameday.common.json import JsonObject
from gameday.common.redact import Redactor
from gameday.engine.abort import Abort, AbortedError
from gameday.engine.jobs import Job, JobKind
from gameday.engine.recorder import Recorder
from gameday.engine.recovery import recover
from gameday.engine.runs import Message, MessageKind, Run, all_runs
from gameday.engine.session import run_session
from gameday.engine.undo import Rollbacks, run_rollbacks, undo_all
from gameday.engine.workers import Workers
from gameday.journal.events import (
    ActivityEnded,
    By,
    FaultInjected,
    FaultPlanned,
    NoteAdded,
    RollbacksArmed,
    RollbacksEnded,
    UndoEnded,
    Verdict,
)
from gameday.journal.log import JournalError, JournalWriter, Unread, UnwritableJournal, read_events, read_journal


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
    assert [line for line in read_journal(result.run.directory) if isinstance(line, Unread)] == []


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


def test_rollbacks_stay_on_disk_while_no_journal_says_that_they_have_run(tmp_path: Path) -> None:
    definition: JsonObject = {
        "type": "action",
        "name": "back",
        "provider": {"type": "python", "module": "os", "func": "getpid"},
    }
    path = Rollbacks.path(tmp_path, 0)
    path.write_bytes(msgspec.json.encode(Rollbacks((definition,), {}, {})))

    async def roll_back() -> bool:
        journal = UnwritableJournal(tmp_path, JournalError("read-only"))
        workers = Workers(tmp_path, (), chaos_toolkit=True)
        await workers.start()
        try:
            return await run_rollbacks(Recorder(journal, Redactor()), workers, tmp_path, 0, By.GUARDIAN)
        finally:
            workers.close()

    assert asyncio.run(roll_back())
    assert path.exists()


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


def test_an_undo_does_not_wait_for_a_process_that_hangs(system: PretendSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gameday.engine.undo.ATTEMPT_TIMEOUT_S", 1.0)
    monkeypatch.setattr("gameday.engine.method.PLAN_TIMEOUT_S", 1.0)  # of the check that it has lasted, too

    def stop() -> None:
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                parent = int(stat.read_text().rpartition(")")[2].split()[1])
                command = stat.with_name("cmdline").read_bytes()
            except (OSError, IndexError):
                continue
            if parent == os.getpid() and b"gameday.engine.zygote" in command:
                os.kill(int(stat.parent.name), signal.SIGSTOP)

    last = When(lambda event: isinstance(event, FaultInjected) and event.fault_id == "0.0.1", stop)
    result = run(system, sinks=(last,))
    assert all(event.undone for event in events_of(result.run.directory, UndoEnded))
    assert system.broken == []
    assert result.run.state().is_clean


def test_an_undo_survives_any_error_of_the_machine(
    system: PretendSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = run(system)
    planned = events_of(result.run.directory, FaultPlanned)
    (system.directory / planned[-1].targets[-1]).write_text("broken")
    real = Workers.run
    failures = [OSError(24, "Too many open files"), ValueError("odd")]

    async def run_or_fail(self: Workers, job: object, timeout_s: float) -> object:
        if failures:
            raise failures.pop()
        return await real(self, job, timeout_s)  # type: ignore[arg-type]

    monkeypatch.setattr(Workers, "run", run_or_fail)

    async def undo() -> bool:
        recorder = Recorder(JournalWriter(tmp_path / "again"), Redactor())
        for event in planned:
            recorder.record(event)
        workers = Workers(tmp_path / "again", ["testkit/mark"], chaos_toolkit=False)
        await workers.start()
        try:
            return await undo_all(recorder, workers, By.RUNNER)
        finally:
            workers.close()

    assert asyncio.run(undo())
    assert system.broken == []


# -- aborts


@pytest.mark.parametrize("kind", [JobKind.PLAN, JobKind.INJECT, JobKind.CHECK])
def test_an_abort_waits_for_no_child(system: PretendSystem, monkeypatch: pytest.MonkeyPatch, kind: JobKind) -> None:
    """Whatever one is asked for while something is in place, and however long it takes."""
    real = Workers.run

    async def run_or_hang(self: Workers, job: Job, timeout_s: float) -> object:
        if job.kind is kind and system.broken:
            (found,) = all_runs(system.root)
            found.send(Message(MessageKind.ABORT, "test", "seen enough"))
            await asyncio.Event().wait()
        return await real(self, job, timeout_s)

    monkeypatch.setattr(Workers, "run", run_or_hang)
    result = asyncio.run(asyncio.wait_for(run_session(system.session(), ()), 60))
    assert (result.verdict, result.reason) == (Verdict.ABORTED, "seen enough")
    assert system.broken == []


def test_nothing_is_begun_once_an_abort_was_asked_for(tmp_path: Path) -> None:
    begun: list[bool] = []

    async def inject() -> None:
        begun.append(True)

    async def race() -> None:
        abort = Abort(Recorder(JournalWriter(tmp_path), Redactor()))
        abort.ask("journal", "test")
        for begin in (inject, lambda: asyncio.gather(inject(), inject()), lambda: asyncio.ensure_future(inject())):
            with pytest.raises(AbortedError):
                await abort.race(begin())
        await asyncio.sleep(0.01)

    asyncio.run(race())
    assert begun == []
