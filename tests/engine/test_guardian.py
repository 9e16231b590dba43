"""The runner dies: whatever was injected is undone, by the guardian or by `recover`."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pretend import EXPERIMENT, PretendSystem, events_of

from gameday.common.processes import ref_of
from gameday.engine.guardian import Guardian, GuardianError
from gameday.engine.launch import launch_guardian
from gameday.engine.locks import FileLock, LockHeldError, is_locked
from gameday.engine.recovery import recover, write_off
from gameday.engine.runs import WRITER_LOCK, Run, RunLife, all_runs, new_run, unfinished_runs
from gameday.journal.events import (
    AbortRequested,
    By,
    FaultWrittenOff,
    GuardianStarted,
    SessionEnded,
    UndoEnded,
    Verdict,
)
from gameday.journal.log import JournalError

LONG = EXPERIMENT.replace("hold: 300ms", "hold: 60s")


@pytest.fixture
def system(tmp_path: Path) -> PretendSystem:
    return PretendSystem(tmp_path)


@pytest.fixture
def runner(system: PretendSystem) -> Iterator[subprocess.Popen[str]]:
    """A session held in its first stage."""
    (system.root / "given-0.yaml").write_text(LONG)
    command = [sys.executable, str(Path(__file__).parent / "runner.py"), str(system.root)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def wait_until(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdout is not None
    printed = []
    for line in process.stdout:
        printed.append(line)
        if line.startswith(word):
            return
    raise AssertionError(f"{word} never came: {''.join(printed)}")


def wait_for_end(system: PretendSystem, timeout_s: float = 15.0) -> Run:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        (run,) = all_runs(system.root)
        if run.state().ended and not run.has_guardian():
            return run
        time.sleep(0.02)
    raise AssertionError("the run did not end")


def test_the_guardian_undoes_when_the_runner_is_killed(system: PretendSystem, runner: subprocess.Popen[str]) -> None:
    wait_until(runner, "FaultInjected")
    assert len(system.broken) == 1
    killed_at = time.time()
    runner.kill()
    run = wait_for_end(system)
    assert system.broken == []
    (undone,) = events_of(run.directory, UndoEnded)
    assert (undone.by, undone.undone) == (By.GUARDIAN, True)
    assert undone.at - killed_at < 5
    assert events_of(run.directory, GuardianStarted)[0].reason == "the runner died"
    assert events_of(run.directory, SessionEnded)[0].verdict is Verdict.ABORTED


def test_the_guardian_hears_no_signals(system: PretendSystem, runner: subprocess.Popen[str]) -> None:
    wait_until(runner, "FaultInjected")
    (run,) = all_runs(system.root)
    guardian = int((run.directory / "guardian.lock").read_text().split()[1])
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(guardian, number)
    time.sleep(0.2)
    runner.kill()
    wait_for_end(system)
    assert system.broken == []


def test_the_guardian_holds_any_number_of_locks(tmp_path: Path) -> None:
    locks = [FileLock(tmp_path / f"{number}.lock") for number in range(450)]
    for lock in locks:
        lock.acquire("the runner")

    async def main() -> None:
        run = new_run(tmp_path, "many services")
        held = tuple(lock.fd for lock in locks if lock.fd is not None)
        guardian = await Guardian.start(
            run, [], chaos_toolkit=False, secrets=(), locks=held, lost=lambda: pytest.fail("the guardian is gone")
        )
        for lock in locks:
            lock.release()
        assert all(is_locked(lock.path) for lock in locks)
        await asyncio.to_thread(guardian.dismiss)
        assert not any(is_locked(lock.path) for lock in locks)

    asyncio.run(main())


def test_a_guardian_that_died_before_there_was_a_run_is_no_guardian(tmp_path: Path) -> None:
    launched = launch_guardian()
    launched.process.kill()
    launched.process.wait(10)

    async def main() -> None:
        with pytest.raises(GuardianError, match="did not start"):
            await Guardian.start(
                new_run(tmp_path, "x"), [], chaos_toolkit=False, secrets=(), locks=(), lost=str, launched=launched
            )

    asyncio.run(main())


def test_a_run_does_not_go_on_without_its_guardian(system: PretendSystem, runner: subprocess.Popen[str]) -> None:
    wait_until(runner, "FaultInjected")
    (run,) = all_runs(system.root)
    os.kill(int((run.directory / "guardian.lock").read_text().split()[1]), signal.SIGKILL)
    assert runner.wait(20) == 4
    assert system.broken == []
    assert "guardian is gone" in events_of(run.directory, AbortRequested)[0].reason


def test_a_runner_killed_before_the_injection_leaves_nothing(
    system: PretendSystem, runner: subprocess.Popen[str]
) -> None:
    wait_until(runner, "BaselineRecorded")
    runner.kill()
    run = wait_for_end(system)
    assert run.state().is_clean
    assert system.broken == []


def kill_both(system: PretendSystem, runner: subprocess.Popen[str]) -> Run:
    (run,) = all_runs(system.root)
    guardian = ref_of(int((run.directory / "guardian.lock").read_text().split()[1]))
    assert guardian is not None
    runner.send_signal(signal.SIGSTOP)
    os.kill(guardian.pid, signal.SIGKILL)
    runner.kill()
    runner.wait()
    deadline = time.monotonic() + 5
    while (run.has_guardian() or run.is_written()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return run


def test_recover_undoes_when_both_are_dead_and_twice_is_harmless(
    system: PretendSystem, runner: subprocess.Popen[str]
) -> None:
    wait_until(runner, "FaultInjected")
    run = kill_both(system, runner)
    assert len(system.broken) == 1
    assert run.life(run.state()) is RunLife.DEAD
    assert [found.name for found, _ in unfinished_runs(system.root)] == [run.name]
    state = asyncio.run(recover(run, By.RECOVER, "test"))
    assert state.is_clean
    assert system.broken == []
    size = run.journal.stat().st_size
    assert asyncio.run(recover(run, By.RECOVER, "test")).is_clean
    assert run.journal.stat().st_size == size
    assert unfinished_runs(system.root) == ()


def test_recover_keeps_away_from_a_run_that_lives(
    system: PretendSystem, runner: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gameday.engine.recovery._LOCK_TIMEOUT_S", 0.1)
    wait_until(runner, "FaultInjected")
    (run,) = all_runs(system.root)
    with pytest.raises(LockHeldError, match="runner"):
        asyncio.run(recover(run, By.RECOVER, "test"))
    assert len(system.broken) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_signals_abort_and_undo(system: PretendSystem, runner: subprocess.Popen[str], number: signal.Signals) -> None:
    wait_until(runner, "FaultInjected")
    runner.send_signal(number)
    assert runner.wait(20) == 4
    assert system.broken == []
    (run,) = all_runs(system.root)
    assert events_of(run.directory, UndoEnded)[0].by is By.RUNNER


def test_signals_do_not_cut_the_undo_short(system: PretendSystem, runner: subprocess.Popen[str]) -> None:
    system.behave(undo_seconds=1.0)
    wait_until(runner, "FaultInjected")
    runner.send_signal(signal.SIGINT)
    wait_until(runner, "UndoStarted")
    runner.send_signal(signal.SIGTERM)
    runner.send_signal(signal.SIGINT)
    wait_until(runner, "TELL The undo is under way")
    assert runner.wait(20) == 4
    assert system.broken == []


def test_who_insists_leaves_the_undo_to_the_guardian(system: PretendSystem, runner: subprocess.Popen[str]) -> None:
    system.behave(undo_seconds=1.0)
    wait_until(runner, "FaultInjected")
    runner.send_signal(signal.SIGINT)
    wait_until(runner, "UndoStarted")
    runner.send_signal(signal.SIGINT)
    wait_until(runner, "TELL The undo is under way")
    runner.send_signal(signal.SIGINT)
    assert runner.wait(20) == 5
    run = wait_for_end(system)
    assert system.broken == []
    assert events_of(run.directory, UndoEnded)[-1].by is By.GUARDIAN


def test_what_is_beyond_undoing_can_be_written_off(system: PretendSystem, runner: subprocess.Popen[str]) -> None:
    wait_until(runner, "FaultInjected")
    run = kill_both(system, runner)
    for name in system.names:
        (system.directory / name).unlink()
    assert write_off(run, "@s", "the system is gone").is_clean
    assert unfinished_runs(system.root) == ()
    (event,) = events_of(run.directory, FaultWrittenOff)
    assert (event.author, event.reason) == ("@s", "the system is gone")


def test_an_undo_is_tried_again_when_its_process_cannot_be_started_at_once(
    system: PretendSystem, runner: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine is short of something, which may be why the runner died."""
    popen = subprocess.Popen
    failures = [OSError(11, "Resource temporarily unavailable")]

    def popen_or_fail(*arguments: Any, **keywords: Any) -> subprocess.Popen[bytes]:
        if failures:
            raise failures.pop()
        return popen(*arguments, **keywords)

    wait_until(runner, "FaultInjected")
    run = kill_both(system, runner)
    monkeypatch.setattr("gameday.engine.workers.subprocess.Popen", popen_or_fail)
    assert asyncio.run(recover(run, By.RECOVER, "test")).is_clean
    assert failures == []
    assert system.broken == []


@pytest.mark.parametrize(("holder", "undoes"), [("runner", True), ("recover", False)])
def test_the_guardian_does_not_wait_for_a_dead_runner_that_hangs_in_the_kernel(
    system: PretendSystem,
    runner: subprocess.Popen[str],
    monkeypatch: pytest.MonkeyPatch,
    holder: str,
    undoes: bool,
) -> None:
    """On a disk that does not answer it keeps its lock though it is killed; somebody else's lock counts."""
    monkeypatch.setattr("gameday.engine.recovery._LOCK_TIMEOUT_S", 0.1)
    wait_until(runner, "FaultInjected")
    run = kill_both(system, runner)
    lock = FileLock(run.directory / WRITER_LOCK)
    session = run.state().session
    assert session is not None
    lock.acquire(f"{holder} {session.runner.pid}")
    try:
        if undoes:
            assert asyncio.run(recover(run, By.GUARDIAN, "test")).is_clean
            assert system.broken == []
        else:
            with pytest.raises(LockHeldError, match="recover"):
                asyncio.run(recover(run, By.GUARDIAN, "test"))
            assert len(system.broken) == 1
    finally:
        lock.release()


def test_the_guardian_undoes_even_when_nothing_can_be_written(
    system: PretendSystem, runner: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(*_arguments: object, **_keywords: object) -> None:
        raise JournalError("cannot write the journal: Read-only file system")

    wait_until(runner, "FaultInjected")
    run = kill_both(system, runner)
    size = run.journal.stat().st_size
    monkeypatch.setattr("gameday.engine.recovery.JournalWriter", read_only)
    state = asyncio.run(recover(run, By.GUARDIAN, "test"))
    assert state.is_clean
    assert system.broken == []
    assert run.journal.stat().st_size == size
