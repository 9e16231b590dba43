"""Real runs of two directories, as two machines have them, whose services are locked in one real PostgreSQL."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from gameday.chaostoolkit.export import compile_experiment
from gameday.engine.runs import Run, all_runs
from gameday.journal.events import By, FaultInjected, SessionEnded, UndoEnded
from gameday.spec.experiment import load_experiment
from gameday.spec.reader import read_document
from tests.engine.pretend import EXPERIMENT, PretendSystem, events_of
from tests.history.postgresql import Missing, Server, start_postgresql

pytestmark = pytest.mark.lab
LONG = EXPERIMENT.replace("hold: 300ms", "hold: 60s")
PROGRAMS = Path(sys.executable).parent
_NUMBERS = count()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    try:
        with start_postgresql(fsync=False) as started:
            yield started
    except Missing as missing:
        pytest.fail(str(missing))


class Machine:
    """A checkout of the project, with its own system."""

    def __init__(self, root: Path, url: str) -> None:
        self.root = root
        self.system = PretendSystem(root)
        self.system.write_project()
        path = root / "gameday.yaml"
        path.write_text(f"project: shop\nhistory: {url}\n{path.read_text()}")
        self.started: list[subprocess.Popen[str]] = []

    def start(self, *command: str, text: str = EXPERIMENT) -> subprocess.Popen[str]:
        (self.root / "e.yaml").write_text(text)
        process = subprocess.Popen(
            [str(PROGRAMS / command[0]), *command[1:]],
            cwd=self.root,
            env=os.environ | {"GAMEDAY_ENVIRONMENT": "pretend"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.started.append(process)
        return process

    def run(self, *command: str, text: str = EXPERIMENT) -> tuple[int, str]:
        process = self.start(*command, text=text)
        output, _ = process.communicate(timeout=120)
        return process.returncode, output

    def gameday(self) -> tuple[int, str]:
        return self.run("gameday", "run", "e.yaml", "--env", "pretend")

    def until(self, kind: type[Any]) -> Run:
        return wait_for(lambda: next((run for run in all_runs(self.root) if events_of(run.directory, kind)), None))


def wait_for[T](look: Callable[[], T | None]) -> T:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.02)
    raise AssertionError("it never came")


@pytest.fixture
def machines(tmp_path: Path, server: Server) -> Iterator[tuple[Machine, Machine]]:
    url = server.create(f"shared{next(_NUMBERS)}")
    both = Machine(tmp_path / "one", url), Machine(tmp_path / "two", url)
    yield both
    for process in (process for machine in both for process in machine.started):
        process.kill()
        process.communicate()


def test_killed_and_undone_it_keeps_other_machines_away_until_it_is_known_that_nothing_is_left(
    machines: tuple[Machine, Machine],
) -> None:
    one, two = machines
    running = one.start("gameday", "run", "e.yaml", "--env", "pretend", text=LONG)
    run = one.until(FaultInjected)
    status, said = two.gameday()
    assert status == 3, said
    assert f"as {run.name}" in said
    assert two.system.calls == []
    # What `chaos run` does is held to the same locks.
    two.system.experiment(EXPERIMENT, "native.yaml")
    native = two.root / "native.yaml"
    document = compile_experiment(load_experiment(native), read_document(native), "native.yaml")
    (two.root / "plain.json").write_text(json.dumps(document))
    status, said = two.run("chaos", "run", "plain.json")
    assert f"as {run.name}" in said
    assert (status, two.system.calls) == (1, [])
    running.kill()
    running.wait()
    one.until(SessionEnded)
    assert [event.by for event in events_of(run.directory, UndoEnded)] == [By.GUARDIAN]
    # From elsewhere nobody can see that; here, its journal says so.
    assert two.gameday()[0] == 3
    status, said = one.gameday()
    assert status == 0, said
    status, said = two.gameday()
    assert status == 0, said


def test_a_person_who_recovers_a_run_frees_its_services(machines: tuple[Machine, Machine]) -> None:
    one, two = machines
    running = one.start("gameday", "run", "e.yaml", "--env", "pretend", text=LONG)
    run = one.until(FaultInjected)
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
    running.kill()
    for child in children:  # the guardian too
        os.kill(int(child), signal.SIGKILL)
    running.wait()
    assert two.gameday()[0] == 3
    status, said = one.run("gameday", "recover", run.name)
    assert status == 0, said
    status, said = two.gameday()
    assert status == 0, said
