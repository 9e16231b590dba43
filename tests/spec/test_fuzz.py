"""Whatever stands in a file, reading it gives a value or mistakes: never another exception."""

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gameday.spec.experiment import load_experiment
from gameday.spec.game_day import load_game_day
from gameday.spec.location import SpecError
from gameday.spec.project import load_environment, load_project
from gameday.spec.runbook import load_runbook
from tests.fuzzing.mutations import SPICE, paths
from tests.spec.test_experiment import DESIGN, PLAIN
from tests.spec.test_project import GAME_DAY, PROJECT, RUNBOOK

quick = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
VALID = (DESIGN, GAME_DAY, PROJECT, RUNBOOK, json.dumps(PLAIN))
spice = st.sampled_from(SPICE)


def read_all(path: Path, content: bytes) -> None:
    """Read the content as each of the files that users write."""
    for name in ("a.yaml", "a.json"):
        (path / name).write_bytes(content)
        for load in (load_experiment, load_game_day):
            with contextlib.suppress(SpecError):
                load(path / name)
    (path / "gameday.yaml").write_bytes(content)
    (path / "runbooks").mkdir(exist_ok=True)
    (path / "runbooks" / "a.md").write_bytes(content)
    with contextlib.suppress(SpecError):
        load_runbook(path / "runbooks" / "a.md")
    with contextlib.suppress(SpecError):
        project = load_project(path)
        for environment in project.environments:
            with contextlib.suppress(SpecError):
                load_environment(project, environment.name)


@quick
@given(
    content=st.one_of(st.binary(max_size=300), st.text(max_size=300).map(lambda text: text.encode("utf-8", "replace")))
)
def test_any_bytes(tmp_path: Path, content: bytes) -> None:
    read_all(tmp_path, content)


@quick
@given(content=st.lists(spice, max_size=40).map("".join))
def test_any_punctuation(tmp_path: Path, content: str) -> None:
    read_all(tmp_path, content.encode())


@settings(quick, max_examples=400)
@given(data=st.data(), text=st.sampled_from(VALID))
def test_valid_files_with_changes(tmp_path: Path, data: st.DataObject, text: str) -> None:
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        cut = data.draw(st.integers(0, 8))
        text = text[:at] + data.draw(st.one_of(spice, st.text(max_size=5), st.just(""))) + text[at + cut :]
    read_all(tmp_path, text.encode("utf-8", "replace"))


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["< 1%", "5s", "50%"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@settings(quick, max_examples=400)
@given(data=st.data(), name=st.sampled_from(["experiment", "plain", "game day", "project"]))
def test_valid_files_with_a_value_of_another_kind(tmp_path: Path, data: st.DataObject, name: str) -> None:
    import yaml

    document = {
        "experiment": lambda: yaml.safe_load(DESIGN),
        "plain": lambda: json.loads(json.dumps(PLAIN)),
        "game day": lambda: yaml.safe_load(GAME_DAY),
        "project": lambda: yaml.safe_load(PROJECT),
    }[name]()
    *way, last = data.draw(st.sampled_from(paths(document)[1:]))
    holder = document
    for key in way:
        holder = holder[key]
    holder[last] = data.draw(values)
    read_all(tmp_path, json.dumps(document).encode())


@pytest.mark.parametrize("text", VALID, ids=["experiment", "game day", "project", "runbook", "plain"])
def test_what_is_changed_is_valid_to_begin_with(tmp_path: Path, text: str) -> None:
    read = 0
    path = tmp_path / "a.yaml"
    path.write_text(text)
    (tmp_path / "checkout-loses-payments.yaml").write_text(DESIGN)
    (tmp_path / "checkout-slow-inventory.yaml").write_text(DESIGN)
    if text == PROJECT:
        path = path.rename(tmp_path / "gameday.yaml")
        (tmp_path / "runbooks").mkdir()
        (tmp_path / "runbooks" / "checkout-errors.md").write_text(RUNBOOK)
    for load in (load_experiment, load_game_day, load_runbook, lambda path: load_project(path.parent)):
        with contextlib.suppress(SpecError):
            load(path)
            read += 1
    assert read
