"""The reference of the journal names every event, every field with its type, and every word, as the code has them."""

import inspect
import re
import types
import typing
from enum import Enum
from pathlib import Path

import msgspec
import pytest

from gameday.common.json import Json
from gameday.common.processes import ProcessRef
from gameday.journal import events
from gameday.journal.events import AnyEvent, Event, Reading, Struct

DOCS = (Path(__file__).parents[2] / "docs" / "journal.md").read_text()
KINDS = typing.get_args(AnyEvent)
VALUES = [
    value
    for _, value in [*inspect.getmembers(events, inspect.isclass), ("ProcessRef", ProcessRef)]
    if value in (Reading, ProcessRef) or (issubclass(value, Struct) and value is not Struct)
]
WORDS = [value for _, value in inspect.getmembers(events, inspect.isclass) if issubclass(value, Enum)]
PLAIN = {str: "text", int: "integer", float: "number", bool: "boolean", types.NoneType: "null"}
PLAIN |= {msgspec.Raw: "JSON", Json: "JSON"}


def name_of(value: object) -> str:
    """A type in words."""
    if value in PLAIN:
        return PLAIN[value]
    arguments = typing.get_args(value)
    if typing.get_origin(value) is tuple:
        return f"[{name_of(arguments[0])}]"
    if typing.get_origin(value) is dict:
        return f"{{text: {name_of(arguments[1])}}}"
    if arguments:
        return " or ".join(map(name_of, arguments))
    assert isinstance(value, type)
    return value.__name__


def fields_of(kind: type[msgspec.Struct]) -> str:
    """The fields of an event or a value; one with a default, which may be left out, has a question mark."""
    hints = typing.get_type_hints(kind)
    return ", ".join(
        f"`{field.encode_name}{'' if field.required else '?'}` {name_of(hints[field.name])}"
        for field in msgspec.structs.fields(kind)
        if not (issubclass(kind, Event) and field.name == "at")
    )


def row(name: str) -> list[str]:
    """The cells of the row that begins with this name."""
    (found,) = re.findall(rf"^\| `{name}` \|(.*)\|$", DOCS, re.MULTILINE)
    return [cell.strip() for cell in found.split(" | ")]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_event_is_explained(kind: type[Event]) -> None:
    meaning, fields = row(str(kind.__struct_config__.tag))
    assert meaning
    assert fields == fields_of(kind)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: value.__name__)
def test_every_value_is_explained(value: type[msgspec.Struct]) -> None:
    assert row(value.__name__)[-1] == fields_of(value)


@pytest.mark.parametrize("words", WORDS, ids=lambda words: words.__name__)
def test_every_word_is_explained(words: type[Enum]) -> None:
    assert row(words.__name__) == [", ".join(f"`{word.value}`" for word in words)]


def test_nothing_is_explained_that_is_not_there() -> None:
    known = {str(kind.__struct_config__.tag) for kind in KINDS} | {value.__name__ for value in [*VALUES, *WORDS]}
    assert set(re.findall(r"^\| `([^`]+)` \|", DOCS, re.MULTILINE)) == known


def test_the_format_is_the_one_that_is_written() -> None:
    assert f"This is format {events.FORMAT}." in DOCS
