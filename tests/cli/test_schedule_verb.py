"""`gameday schedule list, next, due, run`: with real processes, real sessions, and the clock of this machine."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gameday.cli.brief import command as brief
from gameday.cli.check import command as check
from gameday.cli.schedule import command
from gameday.engine.claims import FileClaims
from gameday.engine.runs import all_runs

PROGRAM = [sys.executable, "-P", "-m", "gameday.cli.main", "schedule", "run"]
NAME = "experiments/gamedays/g.yaml"
FREEZE = (
    b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:1\r\nDTSTAMP:20200101T000000Z\r\n"
    b"DTSTART;VALUE=DATE:20201224\r\nDTEND;VALUE=DATE:20201227\r\nRRULE:FREQ=YEARLY\r\nSUMMARY:Freeze\r\n"
    b"END:VEVENT\r\nEND:VCALENDAR\r\n"
)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "gameday.yaml").write_text("project: shop\n")
    (tmp_path / "experiments/gamedays").mkdir(parents=True)
    write_experiment(tmp_path, "true")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_experiment(root: Path, program: str, *arguments: str) -> None:
    provider = {"type": "process", "path": program, "arguments": list(arguments)}
    document = {
        "title": "T",
        "description": "D",
        "method": [{"type": "action", "name": "act", "provider": provider}],
        "rollbacks": [
            {
                "type": "action",
                "name": "undo",
                "provider": {"type": "process", "path": "touch", "arguments": ["undone"]},
            }
        ],
    }
    (root / "experiments/e.json").write_text(json.dumps(document))


def test_two_of_one_title_in_one_minute_both_run_once(project: Path) -> None:
    """Though their paths differ by little; each has a log of its own."""
    (project / "experiments/f.json").write_bytes((project / "experiments/e.json").read_bytes())
    (project / "experiments/a").mkdir()
    for name, experiment in (("a-b", "e.json"), ("a/b", "f.json")):
        text = f"title: G\nwhen: {{dates: ['{datetime.now(UTC):%Y-%m-%d %H:%M}']}}\nexperiments: [{experiment}]\n"
        (project / f"experiments/{name}.yaml").write_text(text)
    callers = [subprocess.Popen(PROGRAM, cwd=project) for _ in range(2)]
    assert [caller.wait(120) for caller in callers] == [0, 0]
    assert len(all_runs(project)) == 2
    assert len(list((project / ".gameday/schedule").iterdir())) == 2


def write_game_day(root: Path, when: str, *, name: str = NAME) -> None:
    (root / name).write_text(f"title: Checkout\nwhen: {when}\nexperiments: [e.json]\n")


def ago(**how: float) -> str:
    """A whole minute, so long ago at least."""
    return f"{datetime.now(UTC) - timedelta(**how):%Y-%m-%d %H:%M}"


def schedule(*words: str) -> Result:
    return CliRunner().invoke(command, words, catch_exceptions=False)


def run() -> "subprocess.CompletedProcess[str]":
    return subprocess.run(PROGRAM, capture_output=True, text=True, timeout=120, check=False)


def outcomes(root: Path) -> list[str | None]:
    return [claim.outcome for claim in FileClaims(root).claims("schedule", NAME, 0.0)]


def test_what_is_due_runs_once_though_four_ask_at_the_same_moment(project: Path) -> None:
    write_game_day(project, f"{{dates: ['{ago(minutes=0)}'], owner: '@shop'}}")
    assert json.loads(schedule("due", "--json").stdout)["due"][0]["state"] == "due"
    assert not (project / ".gameday").exists(), "to ask changes nothing"
    callers = [subprocess.Popen(PROGRAM, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for _ in range(4)]
    said = [caller.communicate(timeout=120)[0].decode() for caller in callers]
    assert ([caller.returncode for caller in callers], said) == ([0] * 4, [""] * 4)
    [session] = all_runs(project)
    [claim] = FileClaims(project).claims("schedule", NAME, 0.0)
    assert (claim.outcome, claim.run) == ("everything held", session.name)
    [log] = (project / ".gameday/schedule").iterdir()
    assert log.name.startswith("gamedays-g-2")
    assert "report:" in log.read_text()
    listed = schedule("list").stdout
    assert "owner  @shop" in listed
    assert "next   never again" in listed
    assert "everything held" in listed
    [due] = json.loads(schedule("due", "--json").stdout)["due"]
    assert (due["state"], due["reason"]) == ("claimed", "everything held")


def test_while_one_runs_the_next_is_not_missed(project: Path) -> None:
    """As under systemd, whose timer starts no second service: the first looks again."""
    write_experiment(project, "sleep", "4")
    write_game_day(project, f"{{dates: ['{ago(minutes=0)}']}}")
    program = "import sys; from gameday.cli import schedule_run as m; m._AGAIN_S = 0.1; sys.exit(m.run_due(()))"
    caller = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True)
    wait_for(lambda: all_runs(project))
    (project / "experiments/e2.json").write_text('{"title": "T2", "description": "D", "method": []}')
    for name, experiment in (("other", "e2.json"), ("same", "e.json")):
        when = f"{{dates: ['{ago(minutes=0)}']}}"
        (project / f"experiments/{name}.yaml").write_text(f"title: G\nwhen: {when}\nexperiments: [{experiment}]\n")
    [line] = caller.communicate(timeout=60)[1].splitlines()
    assert caller.returncode == 3
    assert line.startswith("experiments/same.yaml")
    assert "not started: locks: " in line
    claims = FileClaims(project)
    [other] = claims.claims("schedule", "experiments/other.yaml", 0.0)
    assert (other.outcome, other.holder.endswith(f":{caller.pid}")) == ("everything held", True)
    [same] = claims.claims("schedule", "experiments/same.yaml", 0.0)
    assert "is held by run" in (same.outcome or "")


def test_what_cannot_start_is_said_in_one_line_in_the_status_and_in_the_claim(project: Path) -> None:
    write_game_day(project, f"{{dates: ['{ago(minutes=0)}']}}")
    (project / "experiments/e.json").write_text('{"title": "T", "method": [{"type": "nonsense"}]}')
    ended = run()
    assert ended.returncode == 2
    [line] = ended.stderr.splitlines()
    assert line.startswith(NAME)
    assert "not started: the input is wrong" in line
    assert ".log" in line
    [outcome] = outcomes(project)
    assert outcome
    assert re.match(r"not started: the input is wrong: .*e\.json:1:\d+: found ", outcome), (
        "the first mistake, not how many"
    )
    assert run().returncode == 0, "it is not tried again"


def test_sigterm_is_handed_on_and_waited_for(project: Path) -> None:
    write_experiment(project, "sleep", "60")
    write_game_day(project, f"{{dates: ['{ago(minutes=0)}']}}")
    caller = subprocess.Popen(PROGRAM, stderr=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: any("activity-started" in journal.read_text() for journal in project.rglob("journal.jsonl")))
        caller.send_signal(signal.SIGTERM)
        _, said = caller.communicate(timeout=60)
    finally:
        caller.kill()
    assert caller.returncode == 4
    assert "aborted, everything undone" in said
    assert (project / "undone").exists()
    [outcome] = outcomes(project)
    assert outcome
    assert outcome.startswith("aborted")


def wait_for(condition: object) -> None:
    assert callable(condition)
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def test_a_caller_that_is_killed_has_taken_it_for_good(project: Path) -> None:
    """At most once: nobody knows how far it has come. The session itself goes on without the caller."""
    gate = project / "gate"
    gate.write_text("#!/bin/sh\nwhile [ ! -e open ]; do sleep 0.05; done\n")
    gate.chmod(0o755)
    write_experiment(project, str(gate))
    write_game_day(project, f"{{dates: ['{ago(minutes=0)}']}}")
    caller = subprocess.Popen(PROGRAM, stderr=subprocess.DEVNULL)
    wait_for(lambda: all_runs(project))
    caller.kill()
    caller.wait()
    assert run().returncode == 0
    assert outcomes(project) == [None]
    assert "started, no outcome yet (" in schedule("list").stdout
    (project / "open").touch()
    wait_for(lambda: "session-ended" in all_runs(project)[0].journal.read_text())
    [session] = all_runs(project)
    last = json.loads(schedule("list", "--json").stdout)["game_days"][0]["last"]
    assert (last["outcome"], last["verdict"], last["run"]) == ("everything held", "held", session.name)
    assert outcomes(project) == [None], "the journal says it, and nobody has noted it"
    assert f"everything held ({session.name})" in schedule("list").stdout


def test_a_session_that_is_killed_went_as_its_guardian_says(project: Path) -> None:
    """When its process has ended, its journal has not: `list` says what the guardian has made of it."""
    write_experiment(project, "sleep", "60")
    write_game_day(project, f"{{dates: ['{ago(minutes=0)}']}}")
    caller = subprocess.Popen(PROGRAM, stderr=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: any("activity-started" in journal.read_text() for journal in project.rglob("journal.jsonl")))
        [session] = all_runs(project)
        began = session.state().session
        assert began is not None
        os.kill(began.runner.pid, signal.SIGKILL)
        _, said = caller.communicate(timeout=60)
    finally:
        caller.kill()
    assert caller.returncode == 128 + signal.SIGKILL
    assert NAME in said
    wait_for(lambda: "session-ended" in session.journal.read_text())
    ended = session.state().ended
    assert ended is not None
    [line] = [line for line in schedule("list").stdout.splitlines() if line.startswith("  last")]
    assert f"aborted, everything undone: {ended.reason} ({session.name})" in line
    last = json.loads(schedule("list", "--json").stdout)["game_days"][0]["last"]
    assert (last["verdict"], last["reason"], last["run"]) == ("aborted", ended.reason, session.name)


@pytest.mark.parametrize(
    ("when", "said", "outcome"),
    [
        ("missed: skip", "missed", "missed: "),
        ("missed: catch-up, within: 1h", "missed", "missed: "),
        ("missed: catch-up, within: 6h", None, "everything held"),
        ("missed: catch-up, blackouts: [{day}]", "blackout {day}", "blackout: "),
    ],
)
def test_missed_ones(project: Path, when: str, said: str | None, outcome: str) -> None:
    """Two hours late: the schedule was asked about before, or it would not be its business."""
    moment, day = ago(hours=2), ago(hours=2)[:10]
    write_game_day(project, f"{{dates: ['{moment}'], {when.format(day=day)}}}")
    known_for_days(project)
    ended = run()
    assert ended.returncode == 0, ended.stderr
    assert (said is None) == (ended.stderr == "")
    assert (said or "").format(day=day) in ended.stderr
    [found] = outcomes(project)
    assert found
    assert found.startswith(outcome)


def known_for_days(root: Path) -> None:
    """As if `schedule run` had been called before: its first call notes that, and nothing else."""
    assert run().returncode == 0
    path = root / ".gameday/schedule.jsonl"
    [line] = [json.loads(line) for line in path.read_text().splitlines()]
    assert line["kind"] == "schedule-seen", "nothing of the past is started"
    path.write_text(json.dumps(line | {"due_at": line["due_at"] - 7 * 86400}) + "\n")


def test_a_calendar_that_cannot_be_read_is_a_blackout(project: Path) -> None:
    write_game_day(project, f"{{dates: ['{ago(minutes=0)}'], blackouts: [freeze.ics]}}")
    ended = run()
    assert ended.returncode == 3
    assert "freeze.ics" in ended.stderr
    assert "not started" in ended.stderr
    assert not all_runs(project)
    assert "freeze.ics" in schedule("due").stdout


def test_one_wrong_file_keeps_no_other_from_starting(project: Path) -> None:
    write_game_day(project, f"{{dates: ['{ago(minutes=0)}']}}")
    write_game_day(project, "{cron: nonsense}", name="experiments/wrong.yaml")
    ended = run()
    assert ended.returncode == 2
    assert "experiments/wrong.yaml:2:" in ended.stderr
    assert outcomes(project) == ["everything held"]
    assert schedule("list").exit_code == 2


def test_next_in_the_zone_of_each_with_blackouts(project: Path) -> None:
    write_game_day(project, '{cron: "0 10 25 12 *", timezone: Europe/Berlin, blackouts: [freeze.ics]}')
    write_game_day(project, "{dates: [2999-07-01 10:00], timezone: America/New_York}", name="experiments/late.yaml")
    (project / "freeze.ics").write_bytes(FREEZE)
    lines = schedule("next", "--count", "2").stdout.splitlines()
    assert len(lines) == 2
    assert "-12-25 10:00 +0100 Europe/Berlin (not then: change freeze “Freeze” (freeze.ics))" in lines[0]
    document = json.loads(schedule("next", "--json").stdout)
    assert [one["state"] for one in document["next"]] == ["blackout"] * 5
    [late] = [one for one in json.loads(schedule("list", "--json").stdout)["game_days"] if "late" in one["path"]]
    assert late["next"]["at"] == "2999-07-01T10:00:00-04:00"
    assert schedule("due", "--at", "2999-07-01T10:00-04:00").stdout.splitlines()[-1].startswith("due")
    assert "expected a time" in schedule("due", "--at", "noon").stderr


def test_a_brief_says_that_it_lies_in_a_blackout(project: Path) -> None:
    write_game_day(project, '{cron: "0 10 25 12 *", blackouts: [freeze.ics, "https://127.0.0.1:1/never-asked.ics"]}')
    for text in ("cannot be read", "change freeze “Freeze”"):
        said = CliRunner().invoke(brief, [NAME], catch_exceptions=False).stdout
        assert "It would not start by itself then" in said
        assert text in said
        (project / "freeze.ics").write_bytes(FREEZE)
    write_game_day(project, '{cron: "0 10 27 12 *", blackouts: [freeze.ics, "https://127.0.0.1:1/never-asked.ics"]}')
    assert "by itself" not in CliRunner().invoke(brief, [NAME], catch_exceptions=False).stdout


def test_check_warns_of_a_calendar_that_cannot_be_read(project: Path) -> None:
    write_game_day(project, '{cron: "0 10 25 12 *", blackouts: [freeze.ics]}')
    for warned in (True, False):
        checked = CliRunner().invoke(check, [], catch_exceptions=False)
        assert checked.exit_code == 0
        assert ("freeze.ics cannot be read" in checked.stderr) is warned
        (project / "freeze.ics").write_bytes(FREEZE)


@pytest.fixture(autouse=True)
def _nothing_is_left(tmp_path: Path) -> Iterator[None]:
    """No process of a test outlives it."""
    yield
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (path / "cwd").resolve() == tmp_path.resolve() and int(path.name) != os.getpid():
                wait_for(lambda path=path: not path.exists())
