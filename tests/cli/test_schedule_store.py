"""`gameday schedule run` on two machines with one PostgreSQL: two checkouts that share nothing else."""

import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from gameday.cli import schedule_run
from gameday.engine.runs import all_runs
from gameday.history.store import NoTablesError, open_store
from tests.history.postgresql import Server

pytestmark = pytest.mark.lab
PROGRAM = [sys.executable, "-P", "-m", "gameday.cli.main", "schedule"]
NAME = "experiments/g.yaml"


def machine(root: Path, url: str, due: str) -> Path:
    (root / "experiments").mkdir(parents=True)
    (root / "gameday.yaml").write_text(f"project: shop\nhistory: {url}\n")
    (root / "experiments/e.json").write_text('{"title": "T", "description": "D", "method": []}')
    (root / NAME).write_text(f"title: G\nwhen: {{dates: ['{due}']}}\nexperiments: [e.json]\n")
    return root


def start(root: Path, *words: str) -> "subprocess.Popen[str]":
    pipe = subprocess.PIPE
    return subprocess.Popen([*PROGRAM, *words], cwd=root, stdout=pipe, stderr=pipe, text=True)


def test_one_of_two_machines_runs_it(database: str, tmp_path: Path) -> None:
    due = f"{datetime.now(UTC):%Y-%m-%d %H:%M}"
    roots = [machine(tmp_path / name, database, due) for name in ("one", "two")]
    callers = [start(root, "run") for root in roots * 2]
    said = [caller.communicate(timeout=120) for caller in callers]
    assert ([caller.returncode for caller in callers], said) == ([0] * 4, [("", "")] * 4)
    [session] = [run for root in roots for run in all_runs(root)]
    store = open_store(database, roots[0])
    [claim] = store.claims("schedule", NAME, 0.0)
    store.close()
    assert (claim.outcome, claim.run) == ("everything held", session.name)
    for root in roots:
        assert "everything held" in start(root, "list").communicate(timeout=60)[0]
        assert not (root / ".gameday/schedule.jsonl").exists()


def test_whose_clock_is_wrong_starts_nothing(database: str, tmp_path: Path) -> None:
    """What it takes for due is tomorrow's; and what is due now somebody else starts, once."""
    now = datetime.now(UTC)
    wrong, right = (machine(tmp_path / name, database, f"{now:%Y-%m-%d %H:%M}") for name in ("wrong", "right"))
    dates = f"'{now:%Y-%m-%d %H:%M}', '{now + timedelta(hours=26):%Y-%m-%d %H:%M}'"
    (wrong / NAME).write_text(f"title: G\nwhen: {{dates: [{dates}]}}\nexperiments: [e.json]\n")
    skewed = "import time; real = time.time; time.time = lambda: real() + 26 * 3600\n"
    command = [sys.executable, "-P", "-c", skewed + "from gameday.cli.main import main; main()", "schedule", "run"]
    done = subprocess.run(command, cwd=wrong, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, all_runs(wrong)) == (3, ())
    assert "what is due cannot be told: this machine's clock is 26h ahead of the store's" in done.stderr
    assert start(right, "run").wait(120) == 0
    assert len(all_runs(right)) == 1


@pytest.mark.parametrize("ahead_s", [290, -290])
def test_who_is_killed_has_taken_it_from_those_whose_clocks_differ(database: str, tmp_path: Path, ahead_s: int) -> None:
    """Two machines, almost ten minutes apart: neither starts again what the other has begun, and nobody has ended."""
    due = f"{datetime.now(UTC):%Y-%m-%d %H:%M}"
    dead, other = (machine(tmp_path / name, database, due) for name in ("dead", "other"))
    caller = skewed(dead, ahead_s, "run")
    deadline = time.monotonic() + 60
    while not all_runs(dead):
        assert time.monotonic() < deadline, "it has not begun"
        assert caller.poll() is None, caller.communicate()
        time.sleep(0.01)
    caller.kill()
    caller.wait()
    callers = [skewed(root, -ahead_s, "run") for root in (other, other, dead)]
    said = [one.communicate(timeout=120) for one in callers]
    assert ([one.returncode for one in callers], said) == ([0] * 3, [("", "")] * 3)
    assert (len(all_runs(dead)), all_runs(other)) == (1, ())
    [session] = all_runs(dead)
    while session.state().ended is None:
        assert time.monotonic() < deadline, "its session goes on without its caller"
        time.sleep(0.05)
    listed = [start(root, "list").communicate(timeout=60)[0] for root in (dead, other)]
    assert f"everything held ({session.name})" in listed[0], "the journal is here, and says it"
    assert "started, no outcome yet" in listed[1], "it is not"


def skewed(root: Path, ahead_s: int, *words: str) -> "subprocess.Popen[str]":
    """On a machine whose clock is so much ahead; what it starts is, too: it is told through the environment."""
    (root / "skew").mkdir(exist_ok=True)
    text = "import os, time\nreal = time.time\ntime.time = lambda: real() + float(os.environ['AHEAD_S'])\n"
    (root / "skew/sitecustomize.py").write_text(text)
    path = os.pathsep.join(filter(None, (str(root / "skew"), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": path, "AHEAD_S": str(ahead_s)}
    pipe = subprocess.PIPE
    return subprocess.Popen([*PROGRAM, *words], cwd=root, env=environment, stdout=pipe, stderr=pipe, text=True)


def test_a_database_without_tables_is_one_in_which_nobody_has_claimed_anything(database: str, tmp_path: Path) -> None:
    """Whoever only looks is told what would be done, and makes nothing."""
    root = machine(tmp_path, database, f"{datetime.now(UTC):%Y-%m-%d %H:%M}")
    listed, due = (start(root, verb) for verb in ("list", "due"))
    assert "last" not in listed.communicate(timeout=60)[0]
    assert due.communicate(timeout=60)[0].startswith("due ")
    assert (listed.returncode, due.returncode) == (0, 0)
    with pytest.raises(NoTablesError):
        open_store(database, root, writes=False)


def test_however_long_it_stays_it_has_one_connection(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looks each minute, as long as a session takes; a server has a hundred for all."""
    monkeypatch.chdir(machine(tmp_path, database, "2999-01-01 10:00"))
    runs = schedule_run._Runs(())
    for _ in range(3):
        runs._look()
    asked = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'gameday' AND datname = current_database()"
    with psycopg.connect(database) as connection:
        assert connection.execute(asked).fetchone() == (1,)


def test_without_the_database_nothing_is_started(postgresql: Server, database: str, tmp_path: Path) -> None:
    root = machine(tmp_path, database, f"{datetime.now(UTC):%Y-%m-%d %H:%M}")
    postgresql.stop()
    caller = start(root, "run")
    _, said = caller.communicate(timeout=60)
    assert caller.returncode == 3
    assert "not started: what is due cannot be claimed" in said
    assert postgresql.password not in said
    assert not all_runs(root)
    assert start(root, "list").wait(60) == 2
