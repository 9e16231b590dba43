"""The process faults on the lab: its supervisor restarts what is killed, and does not mind what is paused."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from faulttools import ask, wait_for  # type: ignore[import-not-found]

from gameday.common.inventory import load_inventory
from gameday.common.processes import is_alive, state_of
from gameday.faults.base import System
from gameday.faults.process.kill import Kill
from gameday.faults.process.pause import Pause
from gameday.lab import Lab

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    lab = Lab(tmp_path_factory.mktemp("shop"))
    try:
        yield System(inventory=lab.up(signals=False).inventory)
    finally:
        lab.down()


def up(path: Path | None, service: str) -> int:
    assert path
    found = [instance for instance in load_inventory(path).instances if instance.service == service]
    return sum(instance.process is not None and is_alive(instance.process) for instance in found)


def test_kill_is_undone_by_the_labs_supervisor(system: System) -> None:
    fault = Kill()
    plan = fault.plan(ask("payments", 0.5), system)
    assert fault.reach(plan, system).share == 0.5
    fault.inject(plan)
    wait_for(lambda: fault.verify(plan) == (), "restarted", 15)
    fault.undo(plan)
    assert up(system.inventory, "payments") == 4


def test_pause_holds_and_is_undone(system: System) -> None:
    fault = Pause()
    plan = fault.plan(ask("payments", 2), system)
    fault.inject(plan)
    assert {state_of(target.process) for target in plan.targets} == {"T"}
    assert fault.reach(plan, system).share == 0.5
    fault.undo(plan)
    assert fault.verify(plan) == ()
    assert up(system.inventory, "payments") == 4
