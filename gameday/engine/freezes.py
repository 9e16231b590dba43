"""Calendars of change freezes (iCalendar, RFC 5545): fetched or read, kept as a copy, and asked about a time."""

import hashlib
import math
import os
import time
from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from gameday.spec.model import Blackout
from gameday.spec.variables import VARIABLE

if TYPE_CHECKING:
    from icalendar import Calendar
    from recurring_ical_events import CalendarQuery  # type: ignore[import-untyped]

_TIMEOUT_S = 10.0
_MAX_BYTES = 4 * 1024 * 1024
_FRESH_S = 300.0  # so old a copy is not fetched anew: `schedule run` comes every minute
_STALE_S = 24 * 3600.0  # so old a copy still counts when the calendar cannot be fetched
_MOST_A_DAY = 24
_TOO_OFTEN = {"SECONDLY", "MINUTELY", "HOURLY"}  # no freeze does, and to count it out takes for ever

type Fetch = Callable[[str], bytes]  # raises OSError


class FreezeError(Exception):
    """A calendar cannot be read: nobody knows whether there is a freeze. The message holds no part of a URL's path."""


class Freeze(msgspec.Struct, frozen=True):
    """Why nothing may start."""

    reason: str


class Freezes:
    """Asks blackouts about a time; each calendar is read once."""

    def __init__(self, root: Path, fetch: Fetch | None = None, now: Callable[[], float] = time.time) -> None:
        """Copies of what is fetched are kept in `.gameday/calendars` of the project's `root`."""
        self._copies = root / ".gameday" / "calendars"
        self._fetch = fetch or fetch_calendar
        self._now = now
        self._read: dict[str, CalendarQuery] = {}

    def find(self, blackouts: Iterable[Blackout], start: datetime, duration_s: float, zone: tzinfo) -> Freeze | None:
        """The first blackout that the time from `start` (aware) on meets, for `duration_s`; days are those of `zone`.

        Raises FreezeError when none does, and a calendar cannot be read.
        """
        end = start + timedelta(seconds=max(duration_s, 1.0))
        unread: FreezeError | None = None
        for blackout in sorted(blackouts, key=lambda item: item.calendar is not None):
            if blackout.calendar is None:
                if blackout.first and blackout.last and _meets(start, end, blackout.first, blackout.last, zone):
                    span = f"{blackout.first}" + (f" to {blackout.last}" if blackout.last != blackout.first else "")
                    return Freeze(f"blackout {span}")
                continue
            try:
                if (title := self._event(blackout.calendar, start, end, zone)) is not None:
                    return Freeze(f"change freeze “{title}” ({shown(blackout.calendar)})")
            except FreezeError as error:
                unread = error
        if unread is not None:
            raise unread
        return None

    def _event(self, source: str, start: datetime, end: datetime, zone: tzinfo) -> str | None:
        """The title of an event that lies in that time."""
        query = self._query(source)
        try:
            around = (start - timedelta(days=2), end + timedelta(days=2))
            for event in query.between(*around):
                if str(event.get("STATUS", "")).upper() == "CANCELLED":
                    continue
                first, last = event["DTSTART"].dt, event["DTEND"].dt
                begin, finish = _moment(first, zone), _moment(last, zone)
                if begin < end and (finish > start or begin == finish == start):
                    return " ".join(str(event.get("SUMMARY", "without a title")).split())[:80]
        except Exception as error:  # what a calendar may hold, its library answers with anything
            raise FreezeError(f"{shown(source)}: its events cannot be told ({type(error).__name__})") from error
        return None

    def _query(self, source: str) -> "CalendarQuery":
        if source not in self._read:
            import recurring_ical_events

            calendar = _parse(source, self._bytes(source))
            try:
                self._read[source] = recurring_ical_events.of(calendar)
            except Exception as error:
                raise FreezeError(f"{shown(source)}: its events cannot be told ({type(error).__name__})") from error
        return self._read[source]

    def _bytes(self, source: str) -> bytes:
        if "://" not in source:
            try:
                with Path(source).open("rb") as file:
                    data = file.read(_MAX_BYTES + 1)
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or error
                raise FreezeError(f"{source} cannot be read: {reason}") from error
            if len(data) > _MAX_BYTES:
                raise FreezeError(f"{source} is larger than 4 MiB")
            return data
        return self._fetched(source)

    def _fetched(self, source: str) -> bytes:
        """What the URL has; where it cannot be fetched, the copy, if it is not old."""
        copy = self._copies / f"{hashlib.sha256(source.encode()).hexdigest()[:32]}.ics"
        try:
            age_s = abs(self._now() - copy.stat().st_mtime)
        except OSError:
            age_s = float("inf")
        if age_s < _FRESH_S:
            return copy.read_bytes()
        try:
            data = self._fetch(_filled_in(source))
            _parse(source, data)  # a page that asks for a password is no calendar, and must not replace one
        except (OSError, FreezeError) as error:
            if age_s < _STALE_S:
                return copy.read_bytes()
            reason = str(error) if isinstance(error, FreezeError) else f"{shown(source)} cannot be fetched: {error}"
            raise FreezeError(reason) from error
        try:
            from gameday.common.files import write_atomically

            write_atomically(copy, data)
            os.utime(copy, (self._now(), self._now()))
        except OSError:  # it is fetched again, then
            pass
        return data


def fetch_calendar(url: str) -> bytes:
    """The body that the URL answers with, within 10 s and 4 MiB; no redirects. Raises OSError, without the path."""
    from gameday.common.blocking_http import HttpError, request

    try:
        response = request("GET", url, _TIMEOUT_S, headers={"Accept": "text/calendar"}, max_bytes=_MAX_BYTES)
    except HttpError as error:
        # Who knows the address of a private calendar can read it.
        raise OSError(str(error).rpartition(": ")[2] or "no answer") from None
    if response.status != 200:
        raise OSError(f"it answered with status {response.status}")
    return response.body


def shown(source: str) -> str:
    """A calendar's path, or the host of its URL: the rest may be secret."""
    return (urlsplit(source).hostname or "a URL") if "://" in source else Path(source).name


def _filled_in(url: str) -> str:
    for name in VARIABLE.findall(url):
        if name not in os.environ:
            raise FreezeError(f"the variable ${{{name}}} of a calendar's URL is not set")
    return VARIABLE.sub(lambda match: os.environ[match[1]], url)


def _parse(source: str, data: bytes) -> "Calendar":
    from icalendar import Calendar

    try:
        calendar = Calendar.from_ical(data)
        if not isinstance(calendar, Calendar):
            raise FreezeError(f"{shown(source)} is no calendar")
        rules = [rule for event in calendar.walk("VEVENT") for rule in _rules(event.get("RRULE"))]
    except FreezeError:
        raise
    except Exception as error:
        raise FreezeError(f"{shown(source)} is no calendar that can be read ({type(error).__name__})") from error
    if any(_is_too_often(rule) for rule in rules):
        raise FreezeError(f"{shown(source)} has an event that repeats every hour or more often")
    return calendar


def _is_too_often(rule: dict[str, list[str]]) -> bool:
    times_a_day = math.prod(len(rule.get(part) or (0,)) for part in ("BYHOUR", "BYMINUTE", "BYSECOND"))
    return times_a_day > _MOST_A_DAY or bool(_TOO_OFTEN & {str(name).upper() for name in rule.get("FREQ", ())})


def _rules(value: object) -> list[dict[str, list[str]]]:
    return [rule for rule in (value if isinstance(value, list) else [value]) if isinstance(rule, dict)]


def _moment(value: date | datetime, zone: tzinfo) -> datetime:
    """A day begins in the zone of the schedule, and there a time without a zone is meant."""
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=zone)
    return datetime(value.year, value.month, value.day, tzinfo=zone)


def _meets(start: datetime, end: datetime, first: date, last: date, zone: tzinfo) -> bool:
    return start.astimezone(zone).date() <= last and (end - timedelta(microseconds=1)).astimezone(zone).date() >= first
