"""Schedules as a calendar (iCalendar, RFC 5545): rules where they say the same as the cron expression."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import islice, takewhile

from gameday.cli.output import say
from gameday.cli.schedule_load import Found
from gameday.common.texts import one_line
from gameday.engine.freezes import Freezes
from gameday.engine.schedule import Scheduled, State, foresee
from gameday.people.invitation import Invitation, render_calendar
from gameday.spec.cron import allowed_values, either_day
from gameday.spec.schedule import occurrences

_DAYS = ("SU", "MO", "TU", "WE", "TH", "FR", "SA")
_AHEAD = timedelta(days=400)  # so far blackouts are looked for
_MOST_EXCLUDED = 10_000
_SHORTEST_S = 3600.0  # what is set aside where the game day does not say how long it takes
_LAST_CHANGE_H, _FIRST_CHANGE_H = 4, 23  # nowhere a clock changes between 04:00 and 23:00 of the day


def calendar_file(found: Found, count: int) -> dict[str, str]:
    """`gameday.ics`. `count`: so many single events where no rule says the same."""
    freezes, now = Freezes(found.project.root), datetime.now(UTC)
    unread: dict[str, None] = {}
    events: list[Invitation] = []
    for item in found.game_days:

        def is_kept_out(moment: datetime, item: Scheduled = item) -> bool:
            occurrence = foresee(item, freezes, moment)
            if occurrence.state is State.UNKNOWN:
                unread[f"{item.name}: its blackouts are not left out: {one_line(occurrence.reason)}"] = None
            return occurrence.state is State.BLACKOUT

        events += _events(item, found.project.name, is_kept_out, now, count)
    for text in unread:
        say(text)
    zones = sorted({item.schedule.timezone for item in found.game_days} - {"UTC"})
    return {"gameday.ics": render_calendar(events, map(describe_zone, zones))}


def describe_zone(name: str) -> str:
    """The VTIMEZONE of a zone (IANA), from this year on."""
    from icalendar import Timezone

    year = datetime.now(UTC).year
    zone = Timezone.from_tzid(name, first_date=date(year, 1, 1), last_date=date(year + 20, 1, 1))
    return bytes(zone.to_ical()).decode()


def _events(
    item: Scheduled, project: str, is_kept_out: Callable[[datetime], bool], now: datetime, count: int
) -> Iterator[Invitation]:
    """One that comes again; else the next single ones, without those in a blackout."""
    rule = rule_of(item, now)
    identity = f"{project}\n{item.name}"
    if rule is None:
        for moment in islice(occurrences(item.schedule, now), count):
            if not is_kept_out(moment):
                yield _event(item, f"{identity}\n{int(moment.timestamp())}", moment, now)
        return
    until = now + _AHEAD
    ahead = takewhile(lambda one: one.astimezone(UTC) < until, occurrences(item.schedule, now))
    excluded = tuple(one for one in islice(ahead, _MOST_EXCLUDED) if is_kept_out(one))
    for start in islice(occurrences(item.schedule, now), 1):
        yield _event(item, identity, start, now, rule, excluded)


def _event(
    item: Scheduled,
    identity: str,
    start: datetime,
    now: datetime,
    rule: str | None = None,
    excluded: tuple[datetime, ...] = (),
) -> Invitation:
    schedule = item.schedule
    owner = f"\nOwner: {schedule.owner}" if schedule.owner else ""
    return Invitation(
        uid=f"{hashlib.sha256(identity.encode()).hexdigest()[:32]}@gameday",
        title=item.title,
        start=start,
        duration_s=schedule.duration_s or _SHORTEST_S,
        description=f"gameday run {item.name}{owner}",
        stamp=now,
        rule=rule,
        excluded=excluded,
        timezone=schedule.timezone,
    )


def rule_of(item: Scheduled, now: datetime) -> str | None:
    """An RRULE that says the same as the cron expression, in its zone; None where there is none.

    None where one of two days is enough, and for times within the hours in which the zone's clock changes: RFC 5545
    passes over a time that is not on the clock (section 3.3.10), and gameday does not.
    """
    cron = item.schedule.cron
    if cron is None or either_day(cron):
        return None
    minutes, hours, days, months, week_days = allowed_values(cron)
    is_by_night = min(hours) < _LAST_CHANGE_H or max(hours) >= _FIRST_CHANGE_H
    if is_by_night and clock_changes(item.schedule.timezone, now):
        return None
    is_weekly = len(months) == 12 and len(days) == 31 and len(week_days) < 7
    parts = ["FREQ=WEEKLY" if is_weekly else "FREQ=DAILY"]
    if len(months) < 12:
        parts.append(f"BYMONTH={_list(months)}")
    if len(days) < 31:
        parts.append(f"BYMONTHDAY={_list(days)}")
    if len(week_days) < 7:
        parts.append(f"BYDAY={','.join(_DAYS[day] for day in sorted(week_days))}")
    if len(hours) > 1 or len(minutes) > 1:  # else the first time says it, and more calendars understand
        parts += [f"BYHOUR={_list(hours)}", f"BYMINUTE={_list(minutes)}"]
    return ";".join(parts)


def clock_changes(timezone: str, now: datetime) -> bool:
    """Whether the zone's offset from UTC is another at some time of the next five years."""
    from zoneinfo import ZoneInfo

    zone = ZoneInfo(timezone)
    return len({(now + timedelta(days=7 * week)).astimezone(zone).utcoffset() for week in range(5 * 53)}) > 1


def _list(values: Iterable[int]) -> str:
    return ",".join(map(str, sorted(values)))
