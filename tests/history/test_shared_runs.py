"""Real runs of two directories, as two machines have them, whose services are locked in one real PostgreSQL."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gameday.chaostoolkit.export import compile_experiment
from gameday.cli.load import SessionSpec
from gameday.cli.session import make_input, read_session
from gameday.cli.shared_locks import shared_locks
from gameday.engine.runs import Run, all_runs, new_run
from gameday.history.schema import locks
from gameday.history.store import open_store
from gameday.journal.events import By, FaultInjected, SessionEnded, UndoEnded
from gameday.spec.experiment import load_experiment
from gameday.spec.reader import read_document
from tests.engine.pretend import EXPERIMENT, PretendSystem, events_of
from tests.report import journals
from tests.shop import wait_for

pytestmark = pytest.mark.lab
LONG = EXPERIMENT.replace("hold: 300ms", "hold: 60s")
PROGRAMS = Path(sys.executable).parent


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

    def spec(self) -> SessionSpec:
        (self.root / "e.yaml").write_text(EXPERIMENT)
        with contextlib.chdir(self.root):
            return read_session(Path("e.yaml"), "pretend")

    def gameday(self) -> tuple[int, str]:
        return self.run("gameday", "run", "e.yaml", "--env", "pretend")

    def until(self, kind: type[Any]) -> Run:
        found = wait_for(
            lambda: next((run for run in all_runs(self.root) if events_of(run.directory, kind)), None), 60, str(kind)
        )
        assert found is not None
        return found


@pytest.fixture
def machines(tmp_path: Path, database: str) -> Iterator[tuple[Machine, Machine]]:
    both = Machine(tmp_path / "one", database), Machine(tmp_path / "two", database)
    yield both
    for process in (process for machine in both for process in machine.started):
        process.kill()
        process.communicate()


def test_nobody_else_breaks_the_same_until_a_killed_run_has_been_undone(machines: tuple[Machine, Machine]) -> None:
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
    # Whoever is told afterwards, the services are free as soon as nothing is left.
    wait_for(lambda: two.gameday()[0] == 0, 60, "a run that starts")


def test_where_nobody_could_free_them_they_are_free_in_the_same_directory(machines: tuple[Machine, Machine]) -> None:
    """The server is down as the guardian ends. From elsewhere nobody can see that nothing is left; here one can."""
    one, two = machines
    run = new_run(one.root, "dead")
    locks = shared_locks(make_input(one.spec(), start_lab=False))
    assert locks is not None
    locks.acquire(["shop", "stock"], run.name, 60)
    journals.not_started(run.directory)
    assert two.gameday()[0] == 3
    status, said = one.gameday()
    assert status == 0, said
    status, said = two.gameday()
    assert status == 0, said


def test_a_person_who_recovers_a_run_frees_its_services(machines: tuple[Machine, Machine]) -> None:
    one, two = machines
    running = one.start("gameday", "run", "e.yaml", "--env", "pretend", text=LONG)
    run = one.until(FaultInjected)
    kill_all(running)
    assert two.gameday()[0] == 3
    status, said = one.run("gameday", "recover", run.name)
    assert status == 0, said
    status, said = two.gameday()
    assert status == 0, said


def test_a_machine_that_is_gone(machines: tuple[Machine, Machine], database: str) -> None:
    """Whoever breaks its locks names the run, and says why; never while it may live."""
    one, two = machines
    running = one.start("gameday", "run", "e.yaml", "--env", "pretend", text=LONG)
    run = one.until(FaultInjected)
    by_hand = ("gameday", "recover", run.name, "--write-off", "its host has burnt down")
    status, said = two.run(*by_hand)
    assert status == 3, said
    assert f"`gameday abort {run.name}` there ends it" in said
    kill_all(running)
    store = open_store(database, one.root, project="shop")
    with store.database.writing() as connection:  # the database's clock goes on for ten minutes
        connection.execute(locks.update().values(renewed_at=locks.c.renewed_at - 600))
    store.close()
    status, said = two.gameday()
    assert status == 3, said
    assert " ".join(by_hand[:4]) in said
    status, said = two.run(*by_hand)
    assert status == 0, said
    assert "its host has burnt down. Free again: shop, stock" in said
    status, said = two.gameday()
    assert status == 0, said
    status, said = two.run(*by_hand)
    assert status == 2, "it holds nothing"


def kill_all(running: "subprocess.Popen[str]") -> None:
    """The runner, and its guardian too."""
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
    running.kill()
    for child in children:
        os.kill(int(child), signal.SIGKILL)
    running.wait()
