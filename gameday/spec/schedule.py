"""Reads when a game day is due, and when it must not start; and says when it comes round."""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from gameday.spec.cron import next_time, parse_cron
from gameday.spec.model import Blackout, Schedule
from gameday.spec.nodes import Mapping
from gameday.spec.reader import Fields
from gameday.spec.timezones import read_timezone
from gameday.spec.units import UnitError, excerpt, parse_positive_duration

_SOME_TIME = datetime(2000, 1, 1, tzinfo=UTC)
_CATCH_UP_S = 6 * 3600.0  # where `missed: catch-up` does not say within what
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_RANGE = re.compile(r"\s*(\S+?)\s*\.\.\s*(\S+)\s*")
_A_DATE = "a date and a time, such as 2026-12-01 10:00"
_A_BLACKOUT = "a day, days such as 2026-12-20..2027-01-03, or the path or https URL of an .ics calendar"
_STEPS = tuple(timedelta(hours=hours) for hours in (1, 25, 8 * 24, 62 * 24))


def read_schedule(root: Fields, directory: Path) -> Schedule | None:
    """`when` of a game day; mistakes are noted. `directory`: the project's, to which calendars' paths are relative."""
    fields = root.mapping("when", 'a schedule, such as {cron: "0 10 * * FRI", duration: 2h}')
    if fields is None:
        return None
    timezone = read_timezone(fields, "timezone") or "UTC"
    cron = fields.scalar("cron", parse_cron, 'a cron expression such as "0 10 * * FRI"')
    if cron and next_time(cron, "UTC", _SOME_TIME) is None:
        fields.file.mistake(fields.get("cron"), excerpt(cron), "a day that there is: it never comes")
    if fields.has("cron") and fields.has("dates"):
        fields.file.mistake(fields.key("dates"), "`dates` beside `cron`", "one of the two")
    schedule = Schedule(
        cron=cron,
        timezone=timezone,
        duration_s=fields.scalar("duration", parse_positive_duration, "a duration such as 2h"),
        dates=_dates(fields, timezone),
        blackouts=read_blackouts(fields, directory),
        catch_up_s=_catch_up(fields),
        owner=fields.text("owner", 'who answers for it, such as "@checkout-dev"'),
    )
    fields.close()
    return schedule


def read_blackouts(fields: Fields, directory: Path) -> tuple[Blackout, ...]:
    """`blackouts` of a game day or of gameday.yaml. Paths are relative to `directory`, the project's."""
    found = []
    for node in fields.items("blackouts", f"a list: {_A_BLACKOUT}", single=True):
        if isinstance(node, Mapping):
            fields.file.mistake(node, "a mapping", _A_BLACKOUT)
            continue
        if blackout := fields.parse(node, lambda text: parse_blackout(text, directory), _A_BLACKOUT):
            found.append(blackout)
    return tuple(found)


def parse_blackout(text: str, directory: Path) -> Blackout:
    """A day, a range of days, or a calendar, whose path is relative to the directory. Raises UnitError."""
    stripped = text.strip()
    if "://" in stripped:
        try:
            parts = urlsplit(stripped)
        except ValueError:
            raise UnitError("a URL that is none", _A_BLACKOUT) from None
        if parts.scheme != "https" or not parts.netloc or not stripped.isprintable() or " " in stripped:
            raise UnitError("a URL that is none of https", _A_BLACKOUT)  # it may hold a token
        return Blackout(calendar=stripped)
    if stripped.lower().endswith(".ics"):
        return Blackout(calendar=str((directory / Path(stripped).expanduser()).absolute()))
    ends = _RANGE.fullmatch(stripped)
    first, last = (_day(ends[1]), _day(ends[2])) if ends else (_day(stripped),) * 2
    if first > last:
        raise UnitError(excerpt(text), "the first day before the last")
    return Blackout(first, last)


def next_due(schedule: Schedule, after: datetime) -> datetime | None:
    """The first time after `after` (aware) at which it is due, in its time zone; None when it is never again."""
    if schedule.dates:
        return next((moment for moment in schedule.dates if moment.astimezone(UTC) > after), None)
    return next_time(schedule.cron, schedule.timezone, after) if schedule.cron else None


def occurrences(schedule: Schedule, after: datetime) -> Iterator[datetime]:
    """All times after `after` (aware) at which it is due, in their order."""
    while (found := next_due(schedule, after)) is not None:
        yield found
        after = found.astimezone(UTC)


def last_due(schedule: Schedule, now: datetime) -> datetime | None:
    """The last time at or before `now` (aware) at which it was due, of the last two months; None when there is none."""
    for step in _STEPS:
        last = None
        for moment in occurrences(schedule, now - step):
            if moment.astimezone(UTC) > now:
                break
            last = moment
        if last is not None:
            return last
    return None


def _day(text: str) -> date:
    try:
        if _DAY.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:  # the 30th of February
        pass
    raise UnitError(excerpt(text), _A_BLACKOUT)


def _dates(fields: Fields, timezone: str) -> tuple[datetime, ...]:
    from zoneinfo import ZoneInfo

    zone, found = ZoneInfo(timezone), set()
    nodes = fields.items("dates", f"a list of dates with times: {_A_DATE}", single=True)
    if fields.has("dates") and not nodes:
        fields.file.mistake(fields.key("dates"), "no dates", f"a list of dates with times: {_A_DATE}")
    for node in nodes:
        if (moment := fields.parse(node, _moment, _A_DATE)) is not None:
            try:
                # By way of UTC a time that is not on the clock becomes one that is (PEP 495).
                found.add(moment.replace(tzinfo=zone).astimezone(UTC))
            except OverflowError:
                fields.file.mistake(node, "a date at the end of time", _A_DATE)
    return tuple(moment.astimezone(zone) for moment in sorted(found))


def _moment(text: str) -> datetime:
    try:
        if _MOMENT.fullmatch(text.strip()) and 1970 <= int(text.strip()[:4]) <= 9000:
            return datetime.fromisoformat(text.strip())
    except ValueError:
        pass
    raise UnitError(excerpt(text), _A_DATE)


def _catch_up(fields: Fields) -> float | None:
    missed = fields.choice("missed", ("skip", "catch-up"))
    within = fields.scalar("within", parse_positive_duration, "a duration such as 6h")
    if missed == "catch-up":
        return within or _CATCH_UP_S
    if fields.has("within") and (missed == "skip" or not fields.has("missed")):
        fields.file.mistake(fields.key("within"), "`within` without `missed: catch-up`", "both, or none")
    return None
