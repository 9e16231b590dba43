"""`gameday check`: names that lead nowhere, and what cannot be looked into, are said once, and no more is concluded."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from gameday.cli.verbs import cli

EXPERIMENT = """\
title: T
service: a
steady-state-hypothesis:
  signals:
    errors: {ratio: "< 1%"}
method: []
"""
GAME_DAY = "title: G\nenvironment: e\nexperiments: [a.yaml]\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "experiments" / "gamedays").mkdir(parents=True)
    (tmp_path / "runbooks").mkdir()
    (tmp_path / "gameday.yaml").write_text("environments: {e: {kind: lab}}\n")
    (tmp_path / "experiments" / "a.yaml").write_text(EXPERIMENT)
    (tmp_path / "experiments" / "gamedays" / "g.yaml").write_text(GAME_DAY)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check(*arguments: str, status: int = 2) -> list[str]:
    """The mistakes, without the lines of the files and how many there are."""
    done = CliRunner().invoke(cli, ["check", *arguments])
    assert done.exit_code == status, done.output
    return [line for line in click.unstyle(done.stderr).splitlines() if ": found " in line]


def test_all_is_well(project: Path) -> None:
    assert check(status=0) == []


def test_a_wrong_runbook_is_one_mistake(project: Path) -> None:
    (project / "runbooks" / "r.md").write_text("---\ntitle: [x]\n---\n")
    assert check() == ["runbooks/r.md:2:8: found a list, expected a text"]


@pytest.mark.parametrize(
    ("environment", "mistake"),
    [
        ("{channels: [{kind: team, webhook: 'http://x'}]}", "expected one of teams, webhook; did you mean `teams`?"),
        ("{signals: {url: 'http://p'}}", "found signals without `platform`"),
        ("{signals: {url: 'http://p', platform: custom}}", "found `custom` without `queries`"),
    ],
)
def test_a_wrong_environment_is_one_mistake(project: Path, environment: str, mistake: str) -> None:
    (project / "gameday.yaml").write_text(f"environments: {{e: {environment}}}\n")
    (found,) = check()
    assert found.startswith("gameday.yaml:1:")
    assert mistake in found


def test_a_tracker_that_is_not_installed(project: Path) -> None:
    with (project / "gameday.yaml").open("a") as file:
        file.write("actions: {tracker: githb}\n")
    expected = "found the tracker `githb`, expected one of github, jira; did you mean `github`?"
    assert check() == [f"gameday.yaml:2:20: {expected}"]
    # No run needs it.
    assert CliRunner().invoke(cli, ["plan", "experiments/a.yaml"]).exit_code == 3


@pytest.mark.parametrize(
    ("old", "new", "mistake"),
    [
        ("a.yaml", "g.yaml", "3:15: found the game day `g.yaml`, expected an experiment"),
        (
            "title: G",
            "title: G\nwhen: {cron: 0 10 30 2 *}",
            "2:14: found `0 10 30 2 *`, expected a day that there is: it never comes",
        ),
    ],
)
def test_a_game_day_that_cannot_be_meant(project: Path, old: str, new: str, mistake: str) -> None:
    path = project / "experiments" / "gamedays" / "g.yaml"
    path.write_text(path.read_text().replace(old, new))
    assert check() == [f"experiments/gamedays/g.yaml:{mistake}"]


def test_a_file_that_is_not_there_has_a_neighbour(project: Path) -> None:
    (found,) = check("experiments/b.yaml")
    assert found.endswith("(No such file or directory), expected a readable file; did you mean `a.yaml`?")


@pytest.mark.parametrize("name", ["experiments", "runbooks"])
def test_a_directory_that_cannot_be_read_is_no_empty_one(project: Path, name: str) -> None:
    (project / name).rename(project / "elsewhere")
    (project / name).symlink_to(name)  # a circle, which root cannot read either
    assert check() == [
        f"{name}:1:1: found a directory that cannot be read (Too many levels of symbolic links), "
        "expected a readable directory"
    ]


@pytest.mark.parametrize("verb", ["check", "plan", "run", "export"])
def test_a_name_that_no_file_can_have(project: Path, verb: str) -> None:
    done = CliRunner().invoke(cli, [verb, "a" * 300])
    assert done.exit_code == 2, done.output
    assert "found a file that cannot be read (File name too long)" in done.stderr
