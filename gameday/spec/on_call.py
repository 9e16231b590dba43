"""Reads a file that says who is on call: schedules of layers, overrides of them, and who comes after."""

import re
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from gameday.spec.location import Location
from gameday.spec.model import Hours
from gameday.spec.nodes import Node
from gameday.spec.nodes import Sequence as SequenceNode
from gameday.spec.policy import parse_hours
from gameday.spec.reader import Fields, File, read_document
from gameday.spec.timezones import read_timezone
from gameday.spec.units import UnitError, excerpt, parse_duration

_MOMENT = re.compile(r"(\d{4})-(\d\d)-(\d\d)[ T](\d\d):(\d\d)", re.ASCII)
_YEARS = range(2000, 2200)
_A_MOMENT = "a date and a time, such as 2026-01-05 09:00"
_SHORTEST_TURN_S = 3600.0
_TURN = "a duration of at least 1h, such as 12h, 1d or 1w"
_HOURS = 'hours such as "Mon-Fri 09:00-17:00", in the time zone of the schedule'
_MOST_LAYERS = 20


class Layer(msgspec.Struct, frozen=True):
    """People who take turns of `every_s` seconds of wall-clock time, from `start` on; a single one needs no turns.

    `start` and `end` are wall-clock times (naive) in the schedule's zone; without them the layer was, or will be,
    always there. With `hours`, somebody is on call only then.
    """

    people: tuple[str, ...]
    every_s: float | None = None
    start: datetime | None = None
    end: datetime | None = None
    hours: tuple[Hours, ...] = ()


class Override(msgspec.Struct, frozen=True):
    """Somebody who is on call in place of whoever else would be, between two wall-clock times of the schedule."""

    who: str
    start: datetime
    end: datetime


class OnCallSchedule(msgspec.Struct, frozen=True):
    """One schedule: of layers, and of overrides, a later one counts before those above it. `escalation`: who is paged
    next, a level each: the name of another schedule, or a person, whose name begins with `@`."""

    name: str
    timezone: str
    layers: tuple[Layer, ...]
    overrides: tuple[Override, ...]
    escalation: tuple[str, ...]
    location: Location


class OnCallFile(msgspec.Struct, frozen=True):
    """A file of schedules."""

    path: Path
    schedules: tuple[OnCallSchedule, ...]

    def schedule(self, name: str) -> OnCallSchedule | None:
        """The schedule of that name, or None."""
        return next((schedule for schedule in self.schedules if schedule.name == name), None)


def load_on_call_file(path: Path) -> OnCallFile:
    """Read a file that says who is on call (docs/on-call.md). Raises SpecError with all its mistakes."""
    file = File(path)
    root = Fields(file, read_document(path), "a file that says who is on call")
    root.require("schedules", "schedules by name")
    named = root.mapping("schedules", "schedules by name, such as {checkout-primary: {layers: […]}}")
    found = named.rest() if named else []
    if named and not found:
        file.mistake(root.key("schedules"), "no schedules", "at least one")
    names = [name for name, _, _ in found]
    read = []
    for name, _, node in found:
        fields = named.as_mapping(node, "a schedule, such as {timezone: Europe/Berlin, layers: […]}") if named else None
        if fields is not None:
            read.append(_schedule(fields, name, names))
    root.close()
    file.check()
    return OnCallFile(path, tuple(read))


def _schedule(fields: Fields, name: str, names: list[str]) -> OnCallSchedule:
    timezone = read_timezone(fields, "timezone") or "UTC"
    fields.require("layers", 'a list of layers, such as [{people: ["@ada", "@grace"], every: 1w, from: …}]')
    nodes = fields.items("layers", "a list of layers")
    if len(nodes) > _MOST_LAYERS:
        fields.file.mistake(fields.key("layers"), f"{len(nodes)} layers", f"at most {_MOST_LAYERS}")
    layers = [fields.as_mapping(node, 'a layer, such as {people: ["@ada"]}') for node in nodes[:_MOST_LAYERS]]
    expected = 'an override, such as {who: "@lin", from: "2026-03-07 09:00", to: "2026-03-07 17:00"}'
    overrides = [fields.as_mapping(node, expected) for node in fields.items("overrides", "a list of overrides")]
    schedule = OnCallSchedule(
        name=name,
        timezone=timezone,
        layers=tuple(_layer(layer, timezone) for layer in layers if layer is not None),
        overrides=tuple(read for fields in overrides if fields is not None and (read := _override(fields))),
        escalation=_escalation(fields, name, names),
        location=fields.file.location(fields.node),
    )
    fields.close()
    return schedule


def _layer(fields: Fields, timezone: str) -> Layer:
    fields.require("people", "a list of people")
    people = tuple(
        who for text, node in fields.texts("people", "a list of people") if (who := _who(fields, node, text))
    )
    if isinstance(node := fields.get("people"), SequenceNode) and not node.items:
        fields.file.mistake(node, "nobody", "at least one")
    if len(people) > 1:
        fields.require("every", f"how long a turn is: {_TURN}")
    if fields.has("every"):
        fields.require("from", f"when the first turn begins: {_A_MOMENT}")
    start, end = _span(fields)
    layer = Layer(
        people=people,
        every_s=fields.scalar("every", _parse_turn, _TURN),
        start=start,
        end=end,
        hours=tuple(
            hours
            for text, node in fields.texts("hours", _HOURS)
            if (hours := fields.parse(node, lambda text: _parse_hours(text, timezone), _HOURS))
        ),
    )
    fields.close()
    return layer


def _override(fields: Fields) -> Override | None:
    fields.require("who", "a person")
    fields.require("from", _A_MOMENT)
    fields.require("to", _A_MOMENT)
    who, (start, end) = fields.text("who", "a person"), _span(fields)
    fields.close()
    return Override(who, start, end) if who and start and end else None


def _who(fields: Fields, node: Node, text: str) -> str | None:
    if text.strip():
        return text
    fields.file.mistake(node, "an empty text", "a person")
    return None


def _span(fields: Fields) -> tuple[datetime | None, datetime | None]:
    start = fields.scalar("from", _parse_moment, _A_MOMENT)
    end = fields.scalar("to", _parse_moment, _A_MOMENT)
    if start and end and end <= start:
        node = fields.get("to")
        fields.file.mistake(node, f"{end:%Y-%m-%d %H:%M}, not after `from`", f"a time after {start:%Y-%m-%d %H:%M}")
    return start, end


def _escalation(fields: Fields, name: str, names: list[str]) -> tuple[str, ...]:
    levels = []
    for text, node in fields.texts("escalation", "a list of schedules and people, one a level"):
        if text == name:
            fields.file.mistake(node, "the schedule itself, which is the first level", "another schedule, or a person")
        elif text in names or (text.startswith("@") and len(text) > 1):
            levels.append(text)
        else:
            others = [other for other in names if other != name]
            fields.file.unknown(node, "schedule (a person begins with `@`)", text, others)
    return tuple(levels)


def _parse_moment(text: str) -> datetime:
    """A wall-clock time, to the minute. Raises UnitError."""
    match = _MOMENT.fullmatch(text.strip())
    try:
        moment = datetime(*map(int, match.groups())) if match else None  # type: ignore[arg-type]
    except ValueError:  # the 30th of February
        moment = None
    if moment is None or moment.year not in _YEARS:
        raise UnitError(excerpt(text), _A_MOMENT)
    return moment


def _parse_turn(text: str) -> float:
    seconds = parse_duration(text)
    if seconds < _SHORTEST_TURN_S or timedelta(seconds=seconds) % timedelta(minutes=1):
        raise UnitError(excerpt(text), f"{_TURN}, in whole minutes")
    return seconds


def _parse_hours(text: str, timezone: str) -> Hours:
    try:
        return parse_hours(f"{text} {timezone}")
    except UnitError:
        raise UnitError(excerpt(text), _HOURS) from None
