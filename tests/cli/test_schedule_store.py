"""`gameday schedule run` on two machines with one PostgreSQL: two checkouts that share nothing else."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gameday.engine.runs import all_runs
from gameday.history.store import open_store
from tests.history.postgresql import Missing, Server, start_postgresql

pytestmark = pytest.mark.lab
PROGRAM = [sys.executable, "-P", "-m", "gameday.cli.main", "schedule"]
NAME = "experiments/g.yaml"


@pytest.fixture
def server() -> Iterator[Server]:
    try:
        with start_postgresql(fsync=False) as started:
            yield started
    except Missing as error:
        pytest.fail(str(error))


def machine(root: Path, url: str, due: str) -> Path:
    (root / "experiments").mkdir(parents=True)
    (root / "gameday.yaml").write_text(f"project: shop\nhistory: {url}\n")
    (root / "experiments/e.json").write_text('{"title": "T", "description": "D", "method": []}')
    (root / NAME).write_text(f"title: G\nwhen: {{dates: ['{due}']}}\nexperiments: [e.json]\n")
    return root


def start(root: Path, *words: str) -> "subprocess.Popen[str]":
    pipe = subprocess.PIPE
    return subprocess.Popen([*PROGRAM, *words], cwd=root, stdout=pipe, stderr=pipe, text=True)


def test_one_of_two_machines_runs_it(server: Server, tmp_path: Path) -> None:
    due = f"{datetime.now(UTC):%Y-%m-%d %H:%M}"
    roots = [machine(tmp_path / name, server.url, due) for name in ("one", "two")]
    callers = [start(root, "run") for root in roots * 2]
    said = [caller.communicate(timeout=120) for caller in callers]
    assert ([caller.returncode for caller in callers], said) == ([0] * 4, [("", "")] * 4)
    [session] = [run for root in roots for run in all_runs(root)]
    store = open_store(server.url, roots[0])
    [claim] = store.claims("schedule", NAME, 0.0)
    store.close()
    assert (claim.outcome, claim.run) == ("everything held", session.name)
    for root in roots:
        assert "everything held" in start(root, "list").communicate(timeout=60)[0]
        assert not (root / ".gameday/schedule.jsonl").exists()


def test_whose_clock_is_wrong_starts_nothing(server: Server, tmp_path: Path) -> None:
    """What it takes for due is tomorrow's; and what is due now somebody else starts, once."""
    now = datetime.now(UTC)
    wrong, right = (machine(tmp_path / name, server.url, f"{now:%Y-%m-%d %H:%M}") for name in ("wrong", "right"))
    dates = f"'{now:%Y-%m-%d %H:%M}', '{now + timedelta(hours=26):%Y-%m-%d %H:%M}'"
    (wrong / NAME).write_text(f"title: G\nwhen: {{dates: [{dates}]}}\nexperiments: [e.json]\n")
    skewed = "import time; real = time.time; time.time = lambda: real() + 26 * 3600\n"
    command = [sys.executable, "-P", "-c", skewed + "from gameday.cli.main import main; main()", "schedule", "run"]
    done = subprocess.run(command, cwd=wrong, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, all_runs(wrong)) == (3, ())
    assert "what is due cannot be told: this machine's clock is 26h ahead of the store's" in done.stderr
    assert start(right, "run").wait(120) == 0
    assert len(all_runs(right)) == 1


def test_without_the_database_nothing_is_started(server: Server, tmp_path: Path) -> None:
    root = machine(tmp_path, server.url, f"{datetime.now(UTC):%Y-%m-%d %H:%M}")
    server.stop()
    caller = start(root, "run")
    _, said = caller.communicate(timeout=60)
    assert caller.returncode == 3
    assert "not started: what is due cannot be claimed" in said
    assert server.password not in said
    assert not all_runs(root)
    assert start(root, "list").wait(60) == 2
