"""Cron expressions of five fields: checked, and when they come round next, in a time zone."""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta

from gameday.spec.units import UnitError, excerpt

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
# crontab(5): the range of each field, and the names it may use. Sunday is 0 and 7.
_CRON = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    ("month", 1, 12, ("", *_MONTHS)),
    ("day of the week", 0, 7, _DAYS),
)
_CRON_ITEM = re.compile(r"(?:\*|([0-9]{1,2}|[A-Z]{3})(?:-([0-9]{1,2}|[A-Z]{3}))?)(?:/([1-9][0-9]?))?")
_HORIZON_DAYS = 40 * 366  # in which the 29th of February has been every day of the week, around 2100 too


def parse_cron(text: str) -> str:
    """A cron expression of five fields, normalised: crontab(5), without its shortcuts. Raises UnitError."""
    fields = text.upper().split()
    if len(fields) != len(_CRON):
        raise UnitError(excerpt(text), 'a cron expression of five fields, such as "0 10 * * FRI"')
    for field, (name, low, high, names) in zip(fields, _CRON, strict=True):
        for item in field.split(","):
            match = _CRON_ITEM.fullmatch(item)
            bounds = [_cron_number(part, names) for part in match.groups()[:2] if part] if match else [-1]
            if not all(low <= number <= high for number in bounds) or bounds != sorted(bounds):
                raise UnitError(excerpt(item), f"for the {name}: {low} to {high}, a range such as {low}-{high}, or *")
    return " ".join(fields)


def next_time(cron: str, timezone: str, after: datetime) -> datetime | None:
    """The first time after `after` (aware) at which the expression (of `parse_cron`) comes round, in that time zone.

    Of days of the month and of the week one is enough where neither field begins with `*`, as crontab(5) has it; `5/10`
    is `5-59/10`. A time that the clock leaps over is that much later, one that it shows twice is the first of the two.
    None when it never comes: on the 30th of February.
    """
    from zoneinfo import ZoneInfo

    zone = ZoneInfo(timezone)
    minutes, hours, month_days, months, week_days = allowed_values(cron)
    either = either_day(cron)
    times = [time(hour, minute) for hour in sorted(hours) for minute in sorted(minutes)]
    for day in _days_from(after.astimezone(zone).date()):
        on_month_day, on_week_day = day.day in month_days, day.isoweekday() % 7 in week_days
        if day.month in months and (on_month_day or on_week_day if either else on_month_day and on_week_day):
            # By way of UTC a time that is not on the clock becomes one that is (PEP 495).
            moments = (datetime.combine(day, at, zone).astimezone(UTC) for at in times)
            if (found := min((moment for moment in moments if moment > after), default=None)) is not None:
                return found.astimezone(zone)
    return None


def allowed_values(cron: str) -> tuple[set[int], ...]:
    """All minutes, hours, days of the month, months and days of the week (Sunday is 0) of a result of `parse_cron`."""
    minutes, hours, month_days, months, week_days = map(_values, cron.split(), _CRON)
    return minutes, hours, month_days, months, {day % 7 for day in week_days}


def either_day(cron: str) -> bool:
    """Whether one of the two, day of the month and day of the week, is enough: crontab(5)."""
    return not any(field.startswith("*") for field in (cron.split()[2], cron.split()[4]))


def _days_from(first: date) -> Iterator[date]:
    # From the day before: what the clock leaps over at its end is on the next.
    return (first + timedelta(days=number) for number in range(-1, _HORIZON_DAYS))


def _values(field: str, kind: tuple[str, int, int, tuple[str, ...]]) -> set[int]:
    """All that a field allows."""
    _, low, high, names = kind
    values: set[int] = set()
    for item in field.split(","):
        match = _CRON_ITEM.fullmatch(item)
        assert match is not None
        first, last, step = match.groups()
        begin = _cron_number(first, names) if first else low
        end = _cron_number(last, names) if last else begin if first and not step else high
        values |= set(range(begin, end + 1, int(step or 1)))
    return values


def _cron_number(text: str, names: tuple[str, ...]) -> int:
    if text.isdigit():
        return int(text)
    return names.index(text) if text in names else -1
