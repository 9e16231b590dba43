"""The reference of files: its examples are valid, and it names every key that is read."""

import re
from pathlib import Path

import pytest

from gameday.spec.conditions import ABORT_FOR_S, HYPOTHESIS_FOR_S
from gameday.spec.game_day import load_game_day
from gameday.spec.location import SpecError
from gameday.spec.project import load_project
from gameday.spec.runbook import load_runbook
from gameday.spec.units import format_duration

DOCS = (Path(__file__).parents[2] / "docs" / "files.md").read_text()


def examples(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", DOCS, re.MULTILINE | re.DOTALL)


def test_the_examples_are_valid(tmp_path: Path) -> None:
    project, experiment, game_day = examples("yaml")
    (runbook,) = examples("markdown")
    for name, text in {
        "gameday.yaml": project,
        "runbooks/replica-down.md": runbook,
        "checkout-loses-payments.yaml": experiment,
        "gamedays/checkout.yaml": game_day,
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    loaded = load_project(tmp_path)
    assert len(load_game_day(tmp_path / "gamedays/checkout.yaml", loaded).experiments) == 1
    assert load_runbook(tmp_path / "runbooks/replica-down.md").missing_sections == ()


def test_the_defaults_are_right() -> None:
    assert f"default `{format_duration(HYPOTHESIS_FOR_S)}`" in DOCS
    assert f"(default\n`{format_duration(ABORT_FOR_S)}`)" in DOCS


@pytest.mark.parametrize(
    "text",
    [
        "KEY: {}",
        "environments: {e: {KEY: 1}}",
        "environments: {e: {signals: {url: 'http://x', platform: envoy, KEY: 1}}}",
        "environments: {e: {alerts: {url: 'http://x', KEY: 1}}}",
        "environments: {e: {policy: {KEY: 1}}}",
        "services: {s: {KEY: 1}}",
    ],
)
def test_every_key_is_explained(tmp_path: Path, text: str) -> None:
    """A mistake about a key lists those there are; each of them must stand in the reference."""
    (tmp_path / "gameday.yaml").write_text(text.replace("KEY", "zzzzzzzz"))
    with pytest.raises(SpecError) as caught:
        load_project(tmp_path)
    listed = re.search(r"\((.*)\)", caught.value.mistakes[0].expected)
    assert listed
    for key in listed[1].split(", "):
        assert re.search(rf"\b{key}\b", DOCS), key
