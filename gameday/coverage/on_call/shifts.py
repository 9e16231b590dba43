"""Times at which people are on call, and the arithmetic of their intervals: exact, nothing is sampled. Pure; no I/O."""

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

from gameday.journal.events import OnCallInfo
from gameday.spec.model import Hours
from gameday.spec.on_call import Layer, OnCallSchedule

type Interval = tuple[float, float]

ALWAYS: Interval = (-math.inf, math.inf)
_DAY = timedelta(days=1)


class Shift(msgspec.Struct, frozen=True):
    """Somebody is on call from `start` until just before `end`: Unix times, infinite where it has no such bound."""

    who: str
    start: float
    end: float


def people_at(shifts: Iterable[Shift], moment: float) -> tuple[str, ...]:
    """Who is on call then: each once, in the order of the shifts."""
    return tuple(dict.fromkeys(shift.who for shift in shifts if shift.start <= moment < shift.end))


def find_holes(shifts: Iterable[Shift], start: float, end: float) -> tuple[Interval, ...]:
    """The times between `start` and `end` at which nobody is on call."""
    return tuple(_subtract((start, end), _union((shift.start, shift.end) for shift in shifts)))


def next_change(shifts: Iterable[Shift], now: float, end: float) -> float | None:
    """When, before `end`, others are on call than are now; None when that stays as it is."""
    times: dict[str, list[Interval]] = {}
    for shift in shifts:
        times.setdefault(shift.who, []).append((shift.start, shift.end))
    bounds = (moment for intervals in times.values() for interval in _union(intervals) for moment in interval)
    return min((moment for moment in bounds if now < moment < end), default=None)


def tell(info: OnCallInfo, levels: Sequence[Sequence[Shift]], now: float, until: float) -> OnCallInfo:
    """What is on call, by the shifts of each level, of which those of the first are known until then."""
    return msgspec.structs.replace(
        info,
        people=tuple(people_at(shifts, now) for shifts in levels),
        until=next_change(levels[0], now, until),
        holes=find_holes(levels[0], now, until),
    )


def shifts_of(schedule: OnCallSchedule, start: float, end: float) -> tuple[Shift, ...]:
    """Who is on call by a schedule of a file between two Unix times: never more than one person at a time.

    Wall-clock times are those of its time zone. One that a change of clocks leaves out is read as if it had not yet
    changed, and of two that are alike the first counts (PEP 495).
    """
    zone, window = ZoneInfo(schedule.timezone), (start, end)
    shifts: list[Shift] = []
    for layer in schedule.layers:
        shifts = _lay_over(shifts, _shifts_of_layer(layer, zone, window))
    overrides: list[Shift] = []
    for override in schedule.overrides:
        if both := _intersect((_unix(override.start, zone), _unix(override.end, zone)), window):
            overrides = _lay_over(overrides, [Shift(override.who, *both)])
    return tuple(_lay_over(shifts, overrides))


def _shifts_of_layer(layer: Layer, zone: ZoneInfo, window: Interval) -> list[Shift]:
    bounds = _intersect(
        window,
        (
            _unix(layer.start, zone) if layer.start else -math.inf,
            _unix(layer.end, zone) if layer.end else math.inf,
        ),
    )
    if bounds is None or not layer.people:
        return []
    closed = _subtract(bounds, _union(_weekly(layer.hours, zone, bounds))) if layer.hours else []
    return [
        Shift(turn.who, *rest)
        for turn in _turns(layer, zone, bounds)
        for rest in _subtract((turn.start, turn.end), closed)
    ]


def _turns(layer: Layer, zone: ZoneInfo, bounds: Interval) -> list[Shift]:
    """The turns of a layer's people that overlap the bounds, in their order."""
    if layer.every_s is None or layer.start is None:
        return [Shift(layer.people[0], *bounds)]
    every = timedelta(seconds=layer.every_s)
    # A turn that by its local time has begun may not have, when clocks leave that time out: begin a day earlier.
    number = max(0, (_local(bounds[0], zone) - _DAY - layer.start) // every)
    turns: list[Shift] = []
    begins = _unix(layer.start + number * every, zone)
    while begins < bounds[1]:
        ends = _unix(layer.start + (number + 1) * every, zone)
        if both := _intersect((begins, ends), bounds):
            turns.append(Shift(layer.people[number % len(layer.people)], *both))
        begins, number = ends, number + 1
    return turns


def _weekly(weekly: Sequence[Hours], zone: ZoneInfo, bounds: Interval) -> Iterable[Interval]:
    """The times within the bounds at which weekly hours hold."""
    midnight = _local(bounds[0], zone).replace(hour=0, minute=0, second=0, microsecond=0)
    while _unix(midnight, zone) < bounds[1]:
        for hours in weekly:
            if midnight.weekday() in hours.days:
                opens = _unix(midnight + timedelta(minutes=hours.start_minute), zone)
                closes = _unix(midnight + timedelta(minutes=hours.end_minute), zone)
                if both := _intersect((opens, closes), bounds):
                    yield both
        midnight += _DAY


def _unix(local: datetime, zone: ZoneInfo) -> float:
    return local.replace(tzinfo=zone).timestamp()


def _local(moment: float, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(moment, UTC).astimezone(zone).replace(tzinfo=None)


def _lay_over(below: Sequence[Shift], above: Sequence[Shift]) -> list[Shift]:
    """Both, where those above count before those below."""
    covered = _union((shift.start, shift.end) for shift in above)
    left = [Shift(shift.who, *rest) for shift in below for rest in _subtract((shift.start, shift.end), covered)]
    return sorted([*left, *above], key=lambda shift: shift.start)


def _intersect(one: Interval, other: Interval) -> Interval | None:
    start, end = max(one[0], other[0]), min(one[1], other[1])
    return (start, end) if start < end else None


def _union(intervals: Iterable[Interval]) -> list[Interval]:
    """The same times, as intervals that neither overlap nor touch, in their order."""
    union: list[Interval] = []
    for start, end in sorted(intervals):
        if start >= end:
            continue
        if union and start <= union[-1][1]:
            union[-1] = (union[-1][0], max(union[-1][1], end))
        else:
            union.append((start, end))
    return union


def _subtract(interval: Interval, union: Sequence[Interval]) -> list[Interval]:
    """What is left of the interval outside a union as `_union` makes it."""
    start, end = interval
    left = []
    for index in range(max(0, bisect_right(union, (start, math.inf)) - 1), len(union)):
        begins, ends = union[index]
        if begins >= end:
            break
        if begins > start:
            left.append((start, begins))
        start = max(start, ends)
    return [*left, (start, end)] if start < end else left
