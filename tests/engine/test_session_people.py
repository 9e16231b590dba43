"""Whoever is on call takes part: looked up before a session, and said where that cannot be told."""

import asyncio
import json
from pathlib import Path

import msgspec
import pytest
from pretend import PretendSystem

from gameday.engine.preparation import SessionInput
from gameday.engine.roles import check_people, resolve_people
from gameday.spec.model import OnCallConfig, People

PEOPLE = People(builders=("@b",), sres=("on-call:shop", "@lin"))


def session(root: Path, on_call: dict[str, object] | None) -> SessionInput:
    """One whose environment has a source that says this; None: has none."""
    system = PretendSystem(root)
    given = system.session()
    environment = given.environment
    if on_call is not None:
        (system.directory / "on-call.json").write_text(json.dumps({"on_call": on_call, "acknowledged": []}))
        config = OnCallConfig("testkit", f"http://pretend{system.directory}")
        environment = msgspec.structs.replace(environment, on_call=config)
    return msgspec.structs.replace(given, people=PEOPLE, environment=environment)


def resolve(root: Path, on_call: dict[str, object] | None) -> People:
    return asyncio.run(resolve_people(session(root, on_call), 1.0))


def test_the_first_level_takes_part(tmp_path: Path) -> None:
    people = resolve(tmp_path, {"people": [["@ada", "@lin"], ["@boss"]]})
    assert people.sres == ("@ada", "@lin")
    assert check_people(people) == ()


@pytest.mark.parametrize("on_call", [None, {"people": []}, {"people": None}, {"people": "broken"}])
def test_where_it_cannot_be_told_that_is_said(tmp_path: Path, on_call: dict[str, object] | None) -> None:
    people = resolve(tmp_path, on_call)
    assert people == PEOPLE
    [check] = check_people(people)
    assert check.detail == "`on-call:shop` takes part, and who that is is not known"


def test_nobody_is_asked_where_nobody_is_named_so(tmp_path: Path) -> None:
    given = msgspec.structs.replace(session(tmp_path, {"people": "broken"}), people=People(sres=("@lin",)))
    assert asyncio.run(resolve_people(given, 1.0)) is given.people
