"""JSON pointers (RFC 6901) into an object as a fault sees it: what stands there, and the patch that sets it.

One addition: in a list, the part `name=FOO` is the element of that name, wherever it stands by then.
"""

from collections.abc import Iterable
from typing import Any

from gameday.common.json import Json, JsonObject

_NAME = "name="


def escaped(text: str) -> str:
    """As one part of a pointer."""
    return text.replace("~", "~0").replace("/", "~1")


def named(text: str) -> str:
    """The part that is the element of this name."""
    return f"{_NAME}{escaped(text)}"


def value_at(document: Any, pointer: str) -> Json:
    """What stands at the pointer; None when nothing does."""
    for part in _parts(pointer):
        if isinstance(document, dict):
            document = document.get(part)
        elif isinstance(document, list) and (index := _index(document, part)) is not None:
            document = document[index]
        else:
            return None
    return document


def place_of(document: Any, pointer: str) -> int | None:
    """Where in its list an element stands that is meant by its name; None for all else."""
    parent, _, part = pointer.rpartition("/")
    found = value_at(document, parent) if part.startswith(_NAME) else None
    return _index(found, _unescaped(part)) if isinstance(found, list) else None


def setting(document: Any, pointer: str, value: Json, place: int | None = None) -> list[JsonObject]:
    """The operations of a JSON patch that put the value there, or take away what is there if it is None.

    A map or a list that would hold it is made where there is none. `place`: where a new element goes in its list (at
    the end otherwise).
    """
    now, path = value_at(document, pointer), _resolved(document, pointer, place)
    if value is None:
        return [{"op": "remove", "path": path}]
    parent, _, part = pointer.rpartition("/")
    if value_at(document, parent) is None and not parent.startswith("/metadata"):  # that one comes with the mark
        holder: Json = [value] if part.startswith(_NAME) else {_unescaped(part): value}
        return [{"op": "add", "path": _resolved(document, parent, None), "value": holder}]
    return [{"op": "add" if now is None else "replace", "path": path, "value": value}]


def _resolved(document: Any, pointer: str, place: int | None) -> str:
    """With the indices of what is named."""
    path = ""
    for part in _parts(pointer):
        step = part
        if isinstance(document, list):
            index = _index(document, part)
            if index is None and part.startswith(_NAME):
                step = "-" if place is None or place >= len(document) else str(place)
            elif index is not None:
                step = str(index)
            document = None if index is None else document[index]
        else:
            document = document.get(part) if isinstance(document, dict) else None
        path += f"/{escaped(step)}"
    return path


def _parts(pointer: str) -> Iterable[str]:
    return map(_unescaped, pointer.removeprefix("/").split("/"))


def _unescaped(part: str) -> str:
    return part.replace("~1", "/").replace("~0", "~")


def _index(items: list[Any], part: str) -> int | None:
    if part.startswith(_NAME):
        name = part.removeprefix(_NAME)
        return next((index for index, item in enumerate(items) if item.get("name") == name), None)
    return int(part) if part.isdecimal() and int(part) < len(items) else None
