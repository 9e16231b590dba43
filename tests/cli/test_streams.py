"""What becomes of a verb whose streams are closed or full, whose directory is gone, and that Ctrl-C ends."""

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import gameday.cli.load
from gameday.cli.verbs import cli

GAMEDAY = (sys.executable, "-m", "gameday.cli.main")
PLAIN = {
    "title": "T",
    "description": "D",
    "method": [{"type": "action", "name": "a", "provider": {"type": "process", "path": "true"}}],
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "e.json").write_text(json.dumps(PLAIN))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*arguments: str, redirect: str = "") -> "subprocess.CompletedProcess[str]":
    command = ["sh", "-c", f'exec "$@" {redirect}', "sh", *GAMEDAY, *arguments]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("redirect", ["2>&-", "<&- >&- 2>&-"])
def test_closed_streams(project: Path, redirect: str) -> None:
    assert call("run", "e.json", redirect=redirect).returncode == 0
    assert call("check", "e.json", redirect=redirect).returncode == 0
    assert call("check", "nowhere.yaml", redirect=redirect).returncode == 2
    (journal,) = (project / ".gameday" / "runs").glob("*/journal.jsonl")
    assert [json.loads(line)["event"] for line in journal.read_text().splitlines()][-1] == "session-ended"


def test_a_verdict_outlives_whoever_reads_it(project: Path) -> None:
    done = call("run", "e.json", "--json", redirect="| true")
    assert done.stderr.count("report: ") == 1
    full = call("run", "e.json", "--json", redirect="> /dev/full")
    assert full.returncode == 0
    assert "the report could not be printed: No space left on device; it is in " in full.stderr


@pytest.mark.parametrize("arguments", [("plan", "e.json"), ("--help",), ("status", "--json")])
def test_a_full_disk_is_no_mistake_of_ours(project: Path, arguments: tuple[str, ...]) -> None:
    done = call(*arguments, redirect="> /dev/full")
    assert (done.returncode, done.stderr) == (3, "error: No space left on device\n")


def test_a_directory_that_is_gone(project: Path) -> None:
    here = project / "gone"
    here.mkdir()
    for verb in ("status", "check", "stop"):
        done = subprocess.run(
            ["sh", "-c", 'cd gone && rmdir ../gone && exec "$@"', "sh", *GAMEDAY, verb],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        here.mkdir()
        assert (done.returncode, done.stderr) == (2, "error: the current directory is gone: go to one that is there\n")


@pytest.mark.parametrize(
    ("verb", "status", "said"),
    [
        (("status",), 130, "error: interrupted\n"),
        (("run", "e.json"), 3, "error: interrupted before the session began; nothing was injected\n"),
    ],
)
def test_ctrl_c_is_no_weakness(
    project: Path, verb: tuple[str, ...], status: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_arguments: object, **_named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gameday.spec.project.read_project", interrupt)
    monkeypatch.setattr(gameday.cli.load, "read_project", interrupt)
    done = CliRunner().invoke(cli, verb)
    assert (done.exit_code, click.unstyle(done.stderr)) == (status, said)


def test_ctrl_c_before_anything_is_imported(project: Path) -> None:
    code = (
        "import builtins, sys\n"
        "from gameday.cli.main import main\n"
        "real = builtins.__import__\n"
        "def imports(name, *rest):\n"
        "    if name == 'gameday.cli.verbs': raise KeyboardInterrupt\n"
        "    return real(name, *rest)\n"
        "builtins.__import__ = imports\n"
        "main()\n"
    )
    for verb, status in (("run", 3), ("check", 130)):
        done = subprocess.run(
            [sys.executable, "-c", code, verb, "e.json"], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == status
        assert done.stderr.startswith("error: interrupted")
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("no_color", ["", "1"])
def test_colours_are_for_terminals_that_want_them(project: Path, no_color: str) -> None:
    ours, theirs = os.openpty()
    try:
        environment = {**os.environ, "NO_COLOR": no_color}
        for arguments in (("check", "nowhere.yaml"), ("note", "x")):
            subprocess.run([*GAMEDAY, *arguments], stderr=theirs, env=environment, timeout=60, check=False)
            assert (b"\x1b[" in os.read(ours, 65536)) is not bool(no_color)
    finally:
        os.close(ours)
        os.close(theirs)


@pytest.mark.parametrize("text", ["60", "nan", "-1s", "0s"])
def test_a_timeout_is_a_duration(project: Path, text: str) -> None:
    for verb in ("abort", "stop"):
        done = CliRunner().invoke(cli, [verb, "--timeout", text])
        assert done.exit_code == 2
        assert "expected a duration" in done.output
    assert not os.path.lexists(".gameday/stop")
