"""Follows the steps of CONTRIBUTING.md: the package written there is installed, found by name, and keeps its word."""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import yaml
from faulttools import Supervisor, ask  # type: ignore[import-not-found]

from gameday.faults import registry
from gameday.faults.base import Fault

DOCUMENT = Path(__file__).parents[2] / "CONTRIBUTING.md"
NAME = "process/open-files"

pytestmark = pytest.mark.skipif(not hasattr(__import__("resource"), "prlimit"), reason="the example is for Linux")


def blocks() -> dict[str, str]:
    """The fenced blocks that bear a file's name, by that name."""
    found = re.findall(r"^```\w+ (\S+)\n(.*?)^```$", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    return dict(found)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A directory with the package as an installer would put it there."""
    files = blocks()
    project = tomllib.loads(files["pyproject.toml"])["project"]
    directory = tmp_path / "site"
    metadata = directory / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    lines = []
    for group, entries in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in entries.items())]
    (metadata / "entry_points.txt").write_text("\n".join(lines) + "\n")
    for name, text in files.items():
        if name.endswith(".py"):
            (directory / name).write_text(text)
    return directory


@pytest.fixture
def fault(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fault[msgspec.Struct]]:
    registry._entries.cache_clear()
    assert NAME not in registry.fault_names()
    monkeypatch.syspath_prepend(str(site))
    registry._entries.cache_clear()
    yield registry.load_fault(NAME)
    sys.modules.pop("gameday_open_files")
    registry._entries.cache_clear()
    registry.load_fault.cache_clear()


def test_the_fault_keeps_its_word_on_real_processes(fault: Fault[msgspec.Struct], tmp_path: Path) -> None:
    import gameday_open_files as example  # type: ignore[import-not-found]

    with Supervisor(tmp_path) as supervisor:
        refs = {f"payments-{number}": supervisor.ref(f"payments-{number}") for number in range(1, 5)}
        before = {name: example.soft_limit(ref) for name, ref in refs.items()}
        plans: list[msgspec.Struct] = []
        for radius in (1, 0.5):
            already = fault.targets(plans[-1]) if plans else ()
            plan = fault.plan(ask("payments", radius, already=already, limit=9), supervisor.system)
            # As the engine does: everything from here on comes from the journal.
            plans.append(msgspec.json.decode(msgspec.json.encode(plan), type=fault.plan_type))
            fault.inject(plans[-1])
        assert set(fault.targets(plans[0])) < set(fault.targets(plans[1]))
        assert fault.reach(plans[1], supervisor.system).share == 0.5
        assert sorted(example.soft_limit(ref) for ref in refs.values())[:2] == [9, 9]
        assert all(len(fault.verify(plan)) == 1 for plan in plans), "each stage answers for what it changed"
        for plan in reversed(plans):
            fault.undo(plan)
        assert all(fault.verify(plan) == () for plan in plans)
        assert {name: example.soft_limit(ref) for name, ref in refs.items()} == before


def test_its_own_test_passes(site: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, str(site)],
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_the_experiment_uses_the_fault_as_it_is(fault: Fault[msgspec.Struct]) -> None:
    (name,) = (name for name in blocks() if name.endswith(".yaml"))
    (step,) = yaml.safe_load(blocks()[name])["method"]
    assert step["fault"] == fault.name
    assert set(step) - {"fault", "target", "blast-radius", "hold"} <= set(fault.parameters)


def test_the_verbs_of_make_are_there() -> None:
    targets = set(re.findall(r"^(\w+):", (DOCUMENT.parent / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"^make (\w+)", DOCUMENT.read_text(), re.MULTILINE))
    assert named
    assert named <= targets
