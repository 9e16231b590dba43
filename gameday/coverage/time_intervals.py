"""Alertmanager's time intervals, in which a route tells nobody, or in which alone it does.

Format: https://prometheus.io/docs/alerting/latest/configuration/#time_interval_spec. Weekdays count from Sunday = 0,
times are minutes of the day with an open end, days of a month may count from its end, and all other ranges are closed.
"""

from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from gameday.coverage.served_config import Fields, items, mapping

type _Range = tuple[int, int]

_WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip


class TimeInterval(msgspec.Struct, frozen=True):
    """All that is given must hold; of each list, one range. An empty list holds always."""

    times: tuple[_Range, ...] = ()
    weekdays: tuple[_Range, ...] = ()
    days_of_month: tuple[_Range, ...] = ()
    months: tuple[_Range, ...] = ()
    years: tuple[_Range, ...] = ()
    location: str = "UTC"

    def contains(self, moment: datetime) -> bool:
        """Whether an aware moment lies in it."""
        from zoneinfo import ZoneInfo

        local = moment.astimezone(UTC if self.location == "UTC" else ZoneInfo(self.location))
        minute = local.hour * 60 + local.minute
        return (
            (not self.times or any(begin <= minute < end for begin, end in self.times))
            and _within(self.weekdays, local.isoweekday() % 7)
            and (not self.days_of_month or any(_is_day(local, *days) for days in self.days_of_month))
            and _within(self.months, local.month)
            and _within(self.years, local.year)
        )


def _within(ranges: tuple[_Range, ...], value: int) -> bool:
    return not ranges or any(begin <= value <= end for begin, end in ranges)


def _is_day(local: datetime, begin: int, end: int) -> bool:
    from calendar import monthrange

    days = monthrange(local.year, local.month)[1]
    first, last = (day + days + 1 if day < 0 else day for day in (begin, end))
    return first <= local.day <= last


def parse_interval(fields: Fields) -> TimeInterval:
    """One interval of Alertmanager's configuration, whose scalars are all texts. Raises ValueError."""
    from zoneinfo import ZoneInfo

    location = str(fields.get("location") or "UTC")
    try:
        ZoneInfo(location)  # `Local` is that of Alertmanager's machine, and fails here as it should
    except (KeyError, OSError) as error:
        raise ValueError("a time zone that is not known here") from error
    return TimeInterval(
        times=tuple(_times(item) for item in items(fields, "times")),
        weekdays=_ranges(fields, "weekdays", _named(_WEEKDAYS, 0)),
        days_of_month=_ranges(fields, "days_of_month", int),
        months=_ranges(fields, "months", _named(_MONTHS, 1)),
        years=_ranges(fields, "years", int),
        location=location,
    )


def _times(item: object) -> _Range:
    fields = mapping(item)
    return _minute(str(fields.get("start_time"))), _minute(str(fields.get("end_time")))


def _minute(text: str) -> int:
    hour, _, minute = text.partition(":")
    return int(hour) * 60 + int(minute)


def _named(names: tuple[str, ...], first: int) -> Callable[[str], int]:
    numbers = {name: number for number, name in enumerate(names, first)}
    return lambda text: numbers[text.lower()] if text.lower() in numbers else int(text)


def _ranges(fields: Fields, key: str, parse: Callable[[str], int]) -> tuple[_Range, ...]:
    ranges = []
    for item in items(fields, key):
        begin, _, end = str(item).partition(":")
        ranges.append((parse(begin.strip()), parse((end or begin).strip())))
    return tuple(ranges)
