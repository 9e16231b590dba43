"""When a cron expression comes round next: in its time zone, over changes of the clock, and never."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gameday.spec.cron import next_time, parse_cron

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"


def after(text: str, cron: str, timezone: str = "UTC") -> str | None:
    found = next_time(parse_cron(cron), timezone, datetime.fromisoformat(text).replace(tzinfo=UTC))
    return found.isoformat(timespec="minutes") if found else None


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("0 10 * * FRI", "2026-03-06T10:00+00:00"),
        ("0 10 * * 5", "2026-03-06T10:00+00:00"),
        ("30 8 * * *", "2026-03-05T08:30+00:00"),
        ("29 8 * * *", "2026-03-05T08:29+00:00"),
        ("28 8 * * *", "2026-03-06T08:28+00:00"),  # strictly after
        ("*/7 8 * * *", "2026-03-05T08:35+00:00"),
        ("5/20 8 * * *", "2026-03-05T08:45+00:00"),
        ("0 9-17/4 * * *", "2026-03-05T09:00+00:00"),
        ("0 0 1 * *", "2026-04-01T00:00+00:00"),
        ("0 0 1 JAN *", "2027-01-01T00:00+00:00"),
        ("0 0 * * 7", "2026-03-08T00:00+00:00"),
        ("0 0 * * 0", "2026-03-08T00:00+00:00"),
        ("0 0 * * 6-7", "2026-03-07T00:00+00:00"),
        ("0 0 29 2 *", "2028-02-29T00:00+00:00"),
        # Both days are given: one of them is enough. Where one field begins with `*`, both must be so.
        ("0 0 13 * FRI", "2026-03-06T00:00+00:00"),
        ("0 0 9 * SUN", "2026-03-08T00:00+00:00"),
        ("0 0 */13 * FRI", "2026-03-27T00:00+00:00"),
        ("0 0 31 2 *", None),
    ],
)
def test_next(cron: str, expected: str | None) -> None:
    assert after("2026-03-05T08:28", cron) == expected  # a Thursday


@pytest.mark.parametrize(
    ("start", "cron", "timezone", "expected"),
    [
        # Berlin is at +1 until 2026-03-29 02:00, which is 03:00 at once.
        ("2026-03-27T12:00", "0 10 * * *", BERLIN, "2026-03-28T10:00+01:00"),
        ("2026-03-28T12:00", "0 10 * * *", BERLIN, "2026-03-29T10:00+02:00"),
        ("2026-03-28T12:00", "30 2 * * *", BERLIN, "2026-03-29T03:30+02:00"),
        ("2026-03-29T01:30", "30 2 * * *", BERLIN, "2026-03-30T02:30+02:00"),
        # 2026-10-25 02:30 is twice: once at +2, which counts, and once at +1.
        ("2026-10-24T12:00", "30 2 * * *", BERLIN, "2026-10-25T02:30+02:00"),
        ("2026-10-25T00:30", "30 2 * * *", BERLIN, "2026-10-26T02:30+01:00"),
        ("2026-10-25T00:45", "30 2 * * *", BERLIN, "2026-10-26T02:30+01:00"),
        # The day is that of the zone, not of UTC.
        ("2026-03-06T03:00", "0 23 * * THU", NEW_YORK, "2026-03-05T23:00-05:00"),
        ("2026-03-06T04:00", "0 23 * * THU", NEW_YORK, "2026-03-12T23:00-04:00"),
        # Half an hour is leapt over, and a whole day (Samoa, 2011).
        ("2026-10-03T12:00", "15 2 * * *", "Australia/Lord_Howe", "2026-10-04T02:45+11:00"),
        ("2011-12-30T09:00", "0 12 30 12 *", "Pacific/Apia", "2011-12-31T12:00+14:00"),
    ],
)
def test_over_changes_of_the_clock(start: str, cron: str, timezone: str, expected: str) -> None:
    assert after(start, cron, timezone) == expected


MINUTES, HOURS, DAYS = st.integers(0, 59), st.integers(0, 23), st.integers(0, 6)


@settings(max_examples=60)
@given(MINUTES, st.sets(HOURS, min_size=1, max_size=3), st.sets(DAYS, min_size=1, max_size=3), st.integers(0, 525_600))
def test_no_time_is_passed_over(minute: int, hours: set[int], days: set[int], begin: int) -> None:
    """Walk through every minute of the time between."""
    cron = f"{minute} {','.join(map(str, hours))} * * {','.join(map(str, days))}"
    moment = start = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=begin)
    found = next_time(parse_cron(cron), "UTC", start)
    assert found is not None
    while (moment := moment + timedelta(minutes=1)) < found:
        assert not (moment.minute == minute and moment.hour in hours and moment.isoweekday() % 7 in days)
    assert found.minute == minute
    assert found.hour in hours
    assert found.isoweekday() % 7 in days
    assert found > start
