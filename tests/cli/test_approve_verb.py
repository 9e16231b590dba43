"""`gameday approve`, and what `gameday run` makes of it."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gameday.cli.approve import command

PROJECT = """\
environments:
  prod:
    policy: {approval: {by: ["@leads"]}}
  free:
    policy: {confirm: true}
services: {shop: }
groups: {leads: ["@ada", "@lin"]}
"""
EXPERIMENT = """\
title: The shop survives
service: shop
method: [{fault: process/kill, target: {service: shop}, blast-radius: [1, 50%], hold: 1s}]
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "gameday.yaml").write_text(PROJECT)
    (tmp_path / "experiment.yaml").write_text(EXPERIMENT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOGNAME", "bo")
    return tmp_path


def approve(*words: str, answer: str | None = None) -> Result:
    return CliRunner().invoke(command, ("experiment.yaml", "--env", "prod", *words), input=answer)


def as_user(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", name)


def test_consent_is_shown_asked_for_and_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = approve("--list")
    assert (nobody.exit_code, "nobody has consented" in nobody.output) == (1, True)
    as_user("ada", monkeypatch)
    asked = approve("--comment", "not on a Friday", answer="y\n")
    assert asked.exit_code == 0, asked.output
    for word in (
        "process/kill on shop: 1, 50%",
        "Do you, ada, consent",
        "ada consents to “The shop survives” on `prod`",
    ):
        assert word in asked.output
    own = approve("--list")
    assert (own.exit_code, "it takes a second person" in own.output) == (1, True)
    as_user("bo", monkeypatch)
    other = approve("--list")
    assert (other.exit_code, "not on a Friday" in other.output) == (0, True)
    as_user("ada", monkeypatch)
    assert "no longer consents" in approve("--withdraw").output
    as_user("bo", monkeypatch)
    assert approve("--list").exit_code == 1


def test_no_is_no() -> None:
    assert approve("--author", "@ada", answer="n\n").exit_code == 3
    assert approve("--author", "@ada", answer="").exit_code == 3
    assert approve("--list").exit_code == 1


def test_where_no_consent_is_wanted() -> None:
    result = CliRunner().invoke(command, ("experiment.yaml", "--env", "free"))
    assert (result.exit_code, "wants no consent" in result.output) == (2, True)


def test_a_policy_that_names_what_nobody_knows(project: Path) -> None:
    (project / "gameday.yaml").write_text(
        PROJECT.replace("confirm: true", "services: [shpo], faults: {refuse: [process/kil], allow: [a.b, 'x/*']}")
    )
    result = CliRunner().invoke(command, ("experiment.yaml", "--env", "free"))
    assert result.exit_code == 2
    assert "gameday.yaml:5:" in result.output
    for word in ("`process/kil`", "did you mean `process/kill`", "`shpo`", "did you mean `shop`", "2 mistakes"):
        assert word in result.output


def test_who_takes_back_what_was_never_given_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """She has consented by the name that her chat has for her."""
    as_user("al", monkeypatch)
    assert approve("--author", "@ada", "--yes").exit_code == 0
    taken_back = approve("--withdraw")
    assert (taken_back.exit_code, "no consent of al" in taken_back.output) == (3, True)
    assert approve("--withdraw", "--author", "@ada").exit_code == 0


def test_a_game_day_that_lies_elsewhere(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path_factory.mktemp("elsewhere") / "day.yaml"
    path.with_name("experiment.yaml").write_text(EXPERIMENT)
    day = "title: A day\nenvironment: prod\nexperiments: [experiment.yaml]\npeople: {sres: ['@sre']}\n"
    path.write_text(day)

    def of_the_day(*words: str) -> int:
        return CliRunner().invoke(command, (str(path), *words)).exit_code

    as_user("bo", monkeypatch)
    assert of_the_day("--author", "@ada", "--yes") == 0
    as_user("cy", monkeypatch)
    assert of_the_day("--list") == 0
    path.write_text(day.replace("@sre", "@nobody"))
    assert of_the_day("--list") == 1
