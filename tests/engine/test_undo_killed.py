"""Whoever undoes a dead run is killed too, wherever that may be: the next one comes to a good end."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pretend import PretendSystem, events_of
from test_guardian import kill_both, wait_until

from gameday.engine.recovery import recover
from gameday.engine.runs import Run, unfinished_runs
from gameday.journal.events import By, GuardianStarted, RollbacksEnded, UndoEnded
from gameday.journal.log import read_events

EXPERIMENT = """
title: Two stages and a rollback
service: shop
method:
  - {fault: testkit/mark, target: {service: shop}, blast-radius: [1, 50%], hold: 50ms}
  - {type: action, name: shut, provider: {type: python, module: door, func: shut}}
  - {type: action, name: wait, provider: {type: python, module: door, func: wait}}
rollbacks:
  - {type: action, name: open, provider: {type: python, module: door, func: let}}
"""
DOOR = """
import pathlib, time

STATE = pathlib.Path(__file__).parent / "door"

def shut():
    STATE.write_text("shut")

def wait():
    time.sleep(60)

def let():
    STATE.write_text("open")
"""
# What a recovery of such a run writes: its beginning, two undos, a rollback (an activity), and the end.
EVENTS = 9


class DeadRun:
    """A run whose processes were all killed, with everything in place; as often as one likes."""

    def __init__(self, root: Path) -> None:
        self.system = PretendSystem(root)
        self._kept = root.parent / "kept"
        (root / "door.py").write_text(DOOR)
        (root / "given-0.yaml").write_text(EXPERIMENT)
        process = subprocess.Popen(
            [sys.executable, str(Path(__file__).parent / "runner.py"), str(root)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        with process:
            try:
                wait_until(process, "ActivityEnded")
                wait_until(process, "ActivityStarted")
            finally:
                process.send_signal(signal.SIGSTOP)
                self.run = kill_both(self.system, process)
        assert len(self.broken) == 3
        shutil.copytree(root, self._kept)

    @property
    def broken(self) -> list[str]:
        door = self.system.root / "door"
        return [*self.system.broken, *(["door"] if door.exists() and door.read_text() != "open" else [])]

    def again(self) -> Run:
        """Everything as it was right after its death."""
        shutil.rmtree(self.system.root)
        shutil.copytree(self._kept, self.system.root)
        return self.run


@pytest.fixture(scope="module")
def dead(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeadRun]:
    root = tmp_path_factory.mktemp("dead") / "project"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(root), os.environ["PYTHONPATH"]]))
        yield DeadRun(root)


# Recover a run; die at the event of that number.
RECOVER = """
import asyncio, os, signal, sys
from pathlib import Path

from gameday.engine.recovery import recover
from gameday.engine.runs import Run
from gameday.journal.events import By
from gameday.journal.log import JournalWriter

directory, number, when = sys.argv[1], int(sys.argv[2]), sys.argv[3]
append = JournalWriter.append
begun = 0

def append_or_die(writer, event, *, sync=False):
    global begun
    begun += 1
    if begun != number or when == "after":
        append(writer, event, sync=sync)
    if begun == number:
        os.kill(os.getpid(), signal.SIGKILL)

JournalWriter.append = append_or_die
sys.exit(0 if asyncio.run(recover(Run(Path(directory)), By.GUARDIAN, "test")).is_clean else 5)
"""


def recover_and_die(run: Run, number: int, when: str = "before") -> int:
    """The status of a process that recovers the run, and dies at that event; 0 stands for none."""
    command = [sys.executable, "-c", RECOVER, str(run.directory), str(number), when]
    return subprocess.run(command, timeout=60, check=False).returncode


# What is done before an event is written, is done; after one, only the end of the rollbacks leaves something to do.
@pytest.mark.parametrize(("number", "when"), [*((number, "before") for number in range(1, EVENTS + 1)), (8, "after")])
def test_killed_at_any_event_the_next_recovery_finishes(dead: DeadRun, number: int, when: str) -> None:
    run = dead.again()
    assert recover_and_die(run, number, when) == -signal.SIGKILL
    assert asyncio.run(recover(run, By.RECOVER, "test")).is_clean
    assert dead.broken == []
    assert unfinished_runs(dead.system.root) == ()
    assert all(event.undone for event in events_of(run.directory, UndoEnded))
    assert [event.failed for event in events_of(run.directory, RollbacksEnded)] == [()]
    size = run.journal.stat().st_size
    assert asyncio.run(recover(run, By.RECOVER, "once more")).is_clean
    assert run.journal.stat().st_size == size


def test_these_are_all_the_events_there_are(dead: DeadRun) -> None:
    run = dead.again()
    assert recover_and_die(run, 0) == 0
    events = list(read_events(run.directory))
    began = next(index for index, event in enumerate(events) if isinstance(event, GuardianStarted))
    kinds = [type(event).__name__ for event in events[began:]]
    undo = ["UndoStarted", "UndoEnded"]
    rollback = ["ActivityStarted", "ActivityEnded", "RollbacksEnded"]
    assert kinds == ["GuardianStarted", *undo, *undo, *rollback, "SessionEnded"]
    assert len(kinds) == EVENTS
