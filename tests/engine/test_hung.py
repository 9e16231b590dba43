"""A runner that hangs: its guardian notices by the silence, ends it, and undoes what it left."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from pretend import PretendSystem, events_of
from test_guardian import LONG, wait_until

from gameday.common.processes import ProcessRef, ref_of
from gameday.engine import guardian
from gameday.engine.guardian import Setup, _watch
from gameday.engine.runs import Run, all_runs
from gameday.engine.workers import WorkersError
from gameday.journal.events import By, GuardianStarted, SessionEnded, UndoEnded, Verdict

# As the runner launches it, but with less patience.
IMPATIENT = """
import sys
from gameday.engine import guardian
guardian.BEAT_S, guardian.HUNG_AFTER_BEATS, guardian._WARM_AFTER_S = 0.05, 4, 0.0
sys.exit(guardian.main(sys.argv[1:]))
"""


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int]]:
    """What the guardian reads and the runner writes; beats are short, and few may be missed."""
    monkeypatch.setattr("gameday.engine.guardian.BEAT_S", 0.01)
    monkeypatch.setattr("gameday.engine.guardian.HUNG_AFTER_BEATS", 3)
    read, write = os.pipe()
    yield read, write
    os.close(read)
    os.close(write)


@pytest.mark.parametrize("last", [b".", b"bb."])
def test_a_runner_that_is_done_leaves_nothing_to_do(pipe: tuple[int, int], last: bytes) -> None:
    read, write = pipe
    os.write(write, last)
    assert _watch(read, 30) is None


@pytest.mark.parametrize("last", [b"", b"bb"])
def test_a_runner_that_is_gone_without_a_word_has_died(last: bytes) -> None:
    read, write = os.pipe()
    with open(read, "rb"):  # noqa: PTH123
        os.write(write, last)
        os.close(write)
        assert _watch(read, 30) == "the runner died"


def test_silence_is_a_reason(pipe: tuple[int, int]) -> None:
    assert _watch(pipe[0], 30) == "the runner gave no sign of life for 0.03 s"


def test_each_beat_starts_the_count_anew(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """As many silences as would be too many in a row, with a beat after each two."""
    read, write = pipe
    silences = iter([False, False, True] * 3 + [False] * 3)

    class Selector:
        def __enter__(self) -> "Selector":
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def register(self, *_arguments: object) -> None:
            pass

        def select(self, _timeout: float) -> bool:
            if heard := next(silences):
                os.write(write, b"b")
            return heard

    monkeypatch.setattr("gameday.engine.guardian.selectors.DefaultSelector", Selector)
    assert "no sign of life" in str(_watch(read, 30))
    assert list(silences) == []


@pytest.mark.parametrize(("is_clean", "status"), [(True, 0), (False, 5)])
def test_a_guardian_whose_helper_cannot_be_started_watches_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_clean: bool, status: int
) -> None:
    """The undo tries that again; that the runner is gone must be noticed all the same."""
    heard = iter([guardian._STILL_WATCHING, "the runner died"])
    did: list[tuple[object, ...]] = []

    async def fail(_workers: object) -> None:
        raise WorkersError("out of memory")

    async def recover(run: Run, by: By, reason: str, *, secrets: tuple[str, ...], **_: object) -> SimpleNamespace:
        did.append((run, by, reason, secrets))
        return SimpleNamespace(is_clean=is_clean)

    monkeypatch.setattr(guardian, "_watch", lambda *_: next(heard))
    monkeypatch.setattr(guardian.Workers, "start", fail)
    monkeypatch.setattr(guardian, "recover", recover)
    monkeypatch.setattr(guardian, "send_signal", lambda *ended: did.append(ended))
    runner = ProcessRef(4_000_000, "never")
    ours, theirs = socket.socketpair()
    with ours:
        setup = Setup(str(tmp_path), runner, (), False, ("hunter2",))
        assert asyncio.run(guardian._guard(Run(tmp_path), setup, theirs)) == status
        assert ours.recv(100) == b"watching\n"
    # It is ended before anything is undone: there must not be two.
    assert did == [(runner, signal.SIGKILL), (Run(tmp_path), By.GUARDIAN, "the runner died", ("hunter2",))]


def test_a_runner_that_hangs_is_ended_and_what_it_left_is_undone(tmp_path: Path) -> None:
    system = PretendSystem(tmp_path)
    (system.root / "given-0.yaml").write_text(LONG)
    command = [sys.executable, str(Path(__file__).parent / "runner.py"), str(system.root)]
    runner = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    ours, theirs = socket.socketpair()
    read, write = os.pipe()
    with runner, ours, theirs:
        try:
            wait_until(runner, "FaultInjected")
            (run,) = all_runs(system.root)
            reference = ref_of(runner.pid)
            assert reference is not None
            runner.send_signal(signal.SIGSTOP)
            os.kill(int((run.directory / "guardian.lock").read_text().split()[1]), signal.SIGKILL)
            watcher = subprocess.Popen(
                [sys.executable, "-c", IMPATIENT, str(theirs.fileno())], pass_fds=[theirs.fileno()]
            )
            setup = Setup(str(run.directory), reference, ("testkit/mark",), False, ())
            with (run.directory / "guardian.log").open("ab") as log:
                socket.send_fds(ours, [b" "], [read, log.fileno()])
            ours.sendall(msgspec.json.encode(setup) + b"\n")
            assert watcher.wait(60) == 0
            assert runner.wait(10) == -signal.SIGKILL
        finally:
            runner.kill()
            os.close(read)
            os.close(write)
    assert system.broken == []
    (began,) = events_of(run.directory, GuardianStarted)
    assert (began.by, "no sign of life" in began.reason) == (By.GUARDIAN, True)
    assert [event.undone for event in events_of(run.directory, UndoEnded)] == [True]
    assert events_of(run.directory, SessionEnded)[0].verdict is Verdict.ABORTED
