"""What `gameday lab` says of a lab that is not as it should be."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from gameday.cli.verbs import cli
from gameday.lab.base import LabStatus, PartStatus


def lab(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["lab", *arguments])


@pytest.fixture(autouse=True)
def nothing_is_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_what_cannot_be_started_is_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("GAMEDAY_TOOLS", "/nowhere")
    done = lab("up")
    assert done.exit_code == 3  # as of a run that needs it
    assert click.unstyle(done.stderr).startswith("error: the lab needs Prometheus and Alertmanager")
    assert "/nowhere ($GAMEDAY_TOOLS)" in done.stderr


@pytest.mark.parametrize("verb", [("status",), ("url", "shop")])
def test_a_lab_that_is_not_there(verb: tuple[str, ...]) -> None:
    done = lab(*verb)
    assert (done.exit_code, done.stderr) == (3, "The lab is not running; `gameday lab up` starts it.\n")


def test_every_name_is_whole_on_any_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = (
        PartStatus("alertmanager", True, 123456, 30766, "up"),
        PartStatus(
            "payments-1", False, None, 30751, "ended with 1, 3 times; given up. Its log ends:\n    [red]\x1b[2J"
        ),
    )
    monkeypatch.setattr("gameday.lab.Lab.status", lambda _: LabStatus(True, parts))
    monkeypatch.setenv("COLUMNS", "30")
    done = lab("status")
    assert done.exit_code == 1
    assert click.unstyle(done.stderr).splitlines() == [
        "PART          STATE  PORT      PID",
        "alertmanager  up    30766   123456",
        "payments-1    dead  30751           ended with 1, 3 times; given up. Its log ends:",
        "    [red] [2J",
    ]
