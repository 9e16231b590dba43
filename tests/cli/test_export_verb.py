"""`gameday export`: files in, files out."""

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from gameday.cli.verbs import cli

NATIVE = """
title: Checkout survives
service: checkout
method:
  - {fault: process/kill, target: {service: payments}, blast-radius: 1, hold: 5s}
"""
PLAIN = """
title: Plain
description: Plain
method: [{type: action, name: a, provider: {type: process, path: "true"}}]
"""
GAME_DAY = "title: Day\nexperiments: [one.yaml, more/one.yaml, plain.yaml]\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "gameday.yaml").write_text("project: shop\n")
    (tmp_path / "experiments/more").mkdir(parents=True)
    (tmp_path / "experiments/one.yaml").write_text(NATIVE)
    (tmp_path / "experiments/more/one.yaml").write_text(NATIVE.replace("survives", "survives again"))
    (tmp_path / "experiments/plain.yaml").write_text(PLAIN)
    (tmp_path / "experiments/day.yaml").write_text(GAME_DAY)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def export(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["export", *arguments])


def test_to_stdout(project: Path) -> None:
    result = export("experiments/one.yaml")
    assert result.exit_code == 0, result.output
    document = yaml.safe_load(result.stdout)
    assert document["x-gameday"]["from"] == "experiments/one.yaml"
    assert "GAMEDAY_ENVIRONMENT" in result.stderr


@pytest.mark.parametrize(
    ("name", "options"), [("a.yaml", ()), ("a.yml", ()), ("a.json", ()), ("a", ("--format", "json"))]
)
def test_to_a_file_in_the_format_of_its_name(project: Path, name: str, options: tuple[str, ...]) -> None:
    result = export("experiments/one.yaml", "-o", f"out/{name}", *options)
    assert result.exit_code == 0, result.output
    text = (project / "out" / name).read_text()
    read = yaml.safe_load if name.startswith("a.y") else json.loads
    assert read(text)["title"] == "Checkout survives"


def test_a_name_that_says_no_format(project: Path) -> None:
    result = export("experiments/one.yaml", "-o", "a.txt")
    assert result.exit_code == 2
    assert ".yaml nor .json" in result.stderr


def test_it_never_writes_over_what_it_exports(project: Path) -> None:
    result = export("experiments/one.yaml", "-o", "experiments/one.yaml")
    assert result.exit_code == 2
    assert (project / "experiments/one.yaml").read_text() == NATIVE


def test_what_cannot_be_written(project: Path) -> None:
    (project / "file").write_text("")
    result = export("experiments/one.yaml", "-o", "file/one.yaml")
    assert result.exit_code == 2
    assert "cannot be written" in result.stderr


def test_a_plain_one_is_passed_through(project: Path) -> None:
    result = export("experiments/plain.yaml")
    assert result.exit_code == 0
    assert "plain experiment already" in result.stderr
    assert "GAMEDAY_ENVIRONMENT" not in result.stderr, "it needs nothing of ours"
    assert yaml.safe_load(result.stdout) == yaml.safe_load(PLAIN)


def test_a_game_day_becomes_files_that_do_not_collide(project: Path) -> None:
    result = export("experiments/day.yaml", "-o", "out")
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in (project / "out").iterdir()) == ["1-one.yaml", "2-one.yaml", "plain.yaml"]
    assert yaml.safe_load((project / "out/2-one.yaml").read_text())["title"] == "Checkout survives again"


def test_a_game_day_wants_a_directory(project: Path) -> None:
    result = export("experiments/day.yaml")
    assert result.exit_code == 2
    assert "-o DIRECTORY" in result.stderr


@pytest.mark.parametrize("text", ["title: [", NATIVE.replace("process/kill", "process/kil"), "a: 1\n"])
def test_mistakes_are_said_with_their_place(project: Path, text: str) -> None:
    (project / "experiments/one.yaml").write_text(text)
    result = export("experiments/one.yaml", "-o", "out.yaml")
    assert result.exit_code == 2
    assert "one.yaml:" in result.stderr
    assert not (project / "out.yaml").exists()
