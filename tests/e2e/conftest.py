"""One real lab for all tests; each begins with a whole shop, and must end with one."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2etools import PROGRAM, PROJECT, TWO_FAULTS, Desk
from shop import Shop, wait_for


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The file that takes longest comes first, so that it is not what all but one worker wait for in the end."""
    items.sort(key=lambda item: item.path.name != "test_round_trip.py")


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    root = tmp_path_factory.mktemp("project")
    (root / "gameday.yaml").write_text(PROJECT)
    (root / "experiments").mkdir()
    (root / "experiments/two-faults.yaml").write_text(TWO_FAULTS)
    done = subprocess.run([PROGRAM, "lab", "up"], cwd=root, capture_output=True, text=True, timeout=60, check=False)
    try:
        assert done.returncode == 0, done.stderr
        shop = Shop(root)
        shop.wait_steady()
        yield shop
    finally:
        subprocess.run([PROGRAM, "lab", "down"], cwd=root, capture_output=True, timeout=60, check=True)


@pytest.fixture
def shop(lab: Shop) -> Iterator[Shop]:
    """The shop, whole. Whatever the test did, nothing may be left when it ends: no test repeats that."""
    lab.wait_whole()
    try:
        yield lab
        left = lab.broken()
        assert not left, f"left behind: {left}"
    finally:
        lab.mend()


@pytest.fixture
def desk(shop: Shop, tmp_path: Path) -> Iterator[Desk]:
    """The lab's project, at a shell. No helper of a run may outlive it."""
    shutil.rmtree(shop.root / ".gameday/runs", ignore_errors=True)  # what an earlier, failed test has left
    desk = Desk(shop.root, tmp_path)
    try:
        yield desk
    finally:
        desk.close()
    wait_for(lambda: not desk.helpers(), 10, lambda: f"the end of {desk.helpers()}")


@pytest.fixture
def somewhere(tmp_path: Path) -> Iterator[Desk]:
    """A project without a lab."""
    root = tmp_path / "project"
    root.mkdir()
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    desk = Desk(root, scratch)
    desk.write("gameday.yaml", PROJECT)
    try:
        yield desk
    finally:
        desk.close()
