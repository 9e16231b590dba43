"""Sets fields of one object and puts them back: marked in the cluster itself, so that the undo outlives its journal,
and never over what somebody else has set meanwhile."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from gameday.common.json import Json, JsonObject
from gameday.faults.base import ConflictError, FaultError, Stamp
from gameday.faults.cluster.base import Place
from gameday.faults.cluster.pointers import escaped, place_of, setting, value_at
from gameday.kubernetes.client import ApiError, Client
from gameday.kubernetes.objects import CLUSTER_KINDS, Meta, Object, path_of

RUN_LABEL = "gameday.dev/run"  # by which what a run has changed is found
UNDO_PREFIX = "gameday.dev/undo-"  # and the fault's id: an annotation with all that the undo needs
_ABSENT = "absent"
_LONGEST_SHOWN = 200
_MOST_TRIES = 5  # when somebody else writes to the object at the same moment


class Field(msgspec.Struct, frozen=True):
    """One field, by its JSON pointer (see `pointers`), and its values: None where there is none.

    `place`: where in a list an element stood that the pointer names, to be put back there.
    """

    pointer: str
    before: Json
    after: Json
    place: int | None = None


class Change(msgspec.Struct, frozen=True):
    """One object and the fields that are set. The uid says that it is the object that was planned."""

    kind: str
    name: str
    uid: str
    fields: tuple[Field, ...]


class Undo(msgspec.Struct, frozen=True):
    """What the annotation holds: enough for an undo by somebody who has nothing but the cluster."""

    fault: str
    run: str
    until: float
    plan: msgspec.Raw


class _Raw(msgspec.Struct, frozen=True):
    metadata: Meta
    spec: Any = None
    data: Any = None


def annotation_of(stamp: Stamp) -> str:
    """The name of the annotation that a stage of a fault leaves on what it changes."""
    return f"{UNDO_PREFIX}{stamp.fault_id}"


def read_fields(client: Client, place: Place, kind: str, name: str, wanted: Mapping[str, Json]) -> Change:
    """The change that gives these fields these values, with what they are now.

    Where an earlier stage of ours has set a field already, what was before it is what is put back. Raises FaultError.
    """
    found = _find(client, place, kind, name)
    if found is None:
        raise FaultError(f"there is no {kind} `{name}` in {place.namespace}")
    undone = _earlier(found, place.stamp)
    fields = tuple(
        Field(pointer, undone.get(pointer, _value(found, pointer)), value, place_of(_document(found), pointer))
        for pointer, value in wanted.items()
    )
    return Change(kind, name, found.metadata.uid, fields)


def _earlier(found: _Raw, stamp: Stamp) -> dict[str, Json]:
    """What the fields were before the first stage of the same step of the same run. Raises FaultError.

    Another run's mark is that of a fault which is still in place: not to be built upon.
    """
    for key, text in sorted((found.metadata.annotations or {}).items()):
        undo = _decode(text) if key.startswith(UNDO_PREFIX) else None
        if key.startswith(UNDO_PREFIX) and (undo is None or undo.run != stamp.run):
            whose = f"run {undo.run}" if undo else "somebody"
            raise FaultError(
                f"{found.metadata.name} bears a fault of {whose} ({key}): undo that first, with `gameday recover`"
            )
    before: dict[str, Json] = {}
    for field in _ours(found, stamp):
        before.setdefault(field.pointer, field.before)
    return before


class _ChangePlan(msgspec.Struct, frozen=True):
    changes: tuple[Change, ...] = ()


def _decode(text: str) -> Undo | None:
    try:
        return msgspec.json.decode(text, type=Undo)
    except msgspec.MsgspecError:
        return None


def apply(client: Client, place: Place, change: Change, undo: Undo, *, dry_run: bool = False) -> None:
    """Set the fields, and the mark with them in the same request. Raises FaultError when they are not as planned."""
    for _ in range(_MOST_TRIES):
        found = _require(client, place, change)
        now = {field.pointer: _value(found, field.pointer) for field in change.fields}
        mark = annotation_of(place.stamp)
        marked = mark in (found.metadata.annotations or {})
        if marked and all(now[field.pointer] == field.after for field in change.fields):
            return  # an answer was lost, and this is the second time that we ask
        held = {field.pointer: field.after for field in _ours(found, place.stamp)}
        for field in change.fields:
            if now[field.pointer] not in (field.before, held.get(field.pointer, field.before)):
                raise FaultError(
                    f"{change.kind.lower()}/{change.name}: {field.pointer} is {_show(change, now[field.pointer])} now, "
                    f"and was {_show(change, field.before)} when it was planned; nothing was touched"
                )
        operations = _marks(found, {mark: msgspec.json.encode(undo).decode()}, {RUN_LABEL: place.stamp.run})
        for field in change.fields:
            if now[field.pointer] != field.after:
                operations += setting(_document(found), field.pointer, field.after)
        if _patch(client, place, change, found, operations, dry_run=dry_run):
            return
    raise FaultError(f"{change.kind.lower()}/{change.name} is written to all the time by somebody else")


def _ours(found: _Raw, stamp: Stamp) -> Iterator[Field]:
    """What the stages of the same step have set, the first stage first."""
    step = stamp.fault_id.rpartition(".")[0]
    for key, text in sorted((found.metadata.annotations or {}).items()):
        undo = _decode(text) if key.startswith(UNDO_PREFIX) else None
        if undo and undo.run == stamp.run and key.removeprefix(UNDO_PREFIX).rpartition(".")[0] == step:
            for change in msgspec.json.decode(undo.plan, type=_ChangePlan).changes:
                yield from change.fields


def revert(client: Client, place: Place, change: Change, *, keep_mark: bool = False) -> None:
    """Put the fields back and take our mark away, unless somebody else has set them meanwhile. Harmless when done.

    `keep_mark` is for an undo that has more to do then. Raises ConflictError when somebody has: theirs is left.
    """
    for _ in range(_MOST_TRIES):
        found = _find(client, place, change.kind, change.name)
        if found is None or found.metadata.uid != change.uid:
            return  # it went, and the fault with it
        annotations = found.metadata.annotations or {}
        mark = annotation_of(place.stamp)
        if mark not in annotations:
            return  # never injected, or undone already
        conflicts, operations = [], list[JsonObject]()
        for field in change.fields:
            now = _value(found, field.pointer)
            held = [other.after for other in _ours(found, place.stamp) if other.pointer == field.pointer]
            if now == field.before:
                continue
            if now == field.after or now in held:
                operations += setting(_document(found), field.pointer, field.before, field.place)
            else:
                conflicts.append(f"{field.pointer} is {_show(change, now)}, and neither was before nor by us")
        if conflicts:
            raise ConflictError(f"{change.kind.lower()}/{change.name}: {'; '.join(conflicts)}; it is not overwritten")
        others = any(key.startswith(UNDO_PREFIX) and key != mark for key in annotations)
        labels: dict[str, str | None] = {} if others else {RUN_LABEL: None}
        operations += [] if keep_mark else _marks(found, {mark: None}, labels)
        if not operations or _patch(client, place, change, found, operations):
            return
    raise FaultError(f"{change.kind.lower()}/{change.name} is written to all the time by somebody else")


def remains(client: Client, place: Place, change: Change) -> list[str]:
    """What is not as it was, while our mark is there."""
    found = _find(client, place, change.kind, change.name)
    if found is None or found.metadata.uid != change.uid:
        return []
    mark = annotation_of(place.stamp)
    if mark not in (found.metadata.annotations or {}):
        return []
    wrong = [
        f"{change.kind.lower()}/{change.name}: {field.pointer} is {_show(change, _value(found, field.pointer))}, "
        f"before {_show(change, field.before)}"
        for field in change.fields
        if _value(found, field.pointer) != field.before
    ]
    return wrong or [f"{change.kind.lower()}/{change.name} still bears the annotation {mark}"]


def by_hand(place: Place, change: Change) -> str:
    """The kubectl command that puts the fields back and takes the mark away."""
    from shlex import quote

    annotation = f"/metadata/annotations/{escaped(annotation_of(place.stamp))}"
    operations: list[JsonObject] = [
        {"op": "remove", "path": field.pointer}
        if field.before is None
        else {"op": "replace" if field.after is not None else "add", "path": field.pointer, "value": field.before}
        for field in change.fields
    ]
    patch = msgspec.json.encode([*operations, {"op": "remove", "path": annotation}]).decode()
    return f"{place.kubectl} patch {change.kind.lower()} {quote(change.name)} --type=json -p {quote(patch)}"


def is_marked(client: Client, place: Place, change: Change) -> bool:
    """Whether this stage has marked the very object, so that there is something to undo."""
    found = _find(client, place, change.kind, change.name)
    if found is None or found.metadata.uid != change.uid:
        return False
    return annotation_of(place.stamp) in (found.metadata.annotations or {})


def _find(client: Client, place: Place, kind: str, name: str) -> _Raw | None:
    return client.find(_path(place, kind, name), _Raw)


def _path(place: Place, kind: str, name: str) -> str:
    return path_of(kind, None if kind in CLUSTER_KINDS else place.namespace, name)


def _require(client: Client, place: Place, change: Change) -> _Raw:
    found = _find(client, place, change.kind, change.name)
    if found is None or found.metadata.uid != change.uid:
        raise FaultError(f"{change.kind.lower()}/{change.name} is no longer the one that was planned")
    return found


def _patch(
    client: Client, place: Place, change: Change, found: _Raw, operations: list[JsonObject], *, dry_run: bool = False
) -> bool:
    """Whether nobody came between: the patch is for exactly the version that was read."""
    version: JsonObject = {"op": "test", "path": "/metadata/resourceVersion", "value": found.metadata.resource_version}
    try:
        client.patch(_path(place, change.kind, change.name), [version, *operations], Object, dry_run=dry_run)
    except ApiError as error:
        if error.is_conflict or error.status == 422:  # a `test` that failed is an invalid patch to the API
            if error.status == 422 and _find(client, place, change.kind, change.name) == found:
                raise
            return False
        raise
    return True


def _marks(found: _Raw, annotations: Mapping[str, str | None], labels: Mapping[str, str | None]) -> list[JsonObject]:
    operations: list[JsonObject] = []
    for where, values, there in (
        ("annotations", annotations, found.metadata.annotations or {}),
        ("labels", labels, found.metadata.labels or {}),
    ):
        if not there and any(value is not None for value in values.values()):
            operations.append({"op": "add", "path": f"/metadata/{where}", "value": {}})
        for key, value in values.items():
            path = f"/metadata/{where}/{escaped(key)}"
            if value is not None:
                operations.append({"op": "add", "path": path, "value": value})
            elif key in there:
                operations.append({"op": "remove", "path": path})
    return operations


def _document(found: _Raw) -> JsonObject:
    return {"spec": found.spec, "data": found.data, "metadata": {"labels": found.metadata.labels}}


def _value(found: _Raw, pointer: str) -> Json:
    return value_at(_document(found), pointer)


def _show(change: Change, value: Json) -> str:
    """As messages have it: short, and of a Secret never anything."""
    if value is None:
        return _ABSENT
    if change.kind == "Secret":
        return "(not shown)"
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
