"""`when` of a game day: what it may say, its mistakes, and when it comes round over changes of the clock."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gameday.spec.game_day import load_game_day
from gameday.spec.model import Blackout, Schedule
from gameday.spec.project import load_project
from gameday.spec.schedule import last_due, next_due, occurrences, parse_blackout
from gameday.spec.units import UnitError
from tests.spec.conftest import mistakes_of

EXPERIMENT = "title: T\nmethod: []\nsteady-state-hypothesis: {title: H, probes: []}\n"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def load(write: Callable[..., Path], when: str) -> Schedule:
    write("e.yaml", EXPERIMENT)
    schedule = load_game_day(write("g.yaml", f"title: G\nexperiments: [e.yaml]\nwhen: {when}\n")).schedule
    assert schedule
    return schedule


def test_all_of_it(write: Callable[..., Path], tmp_path: Path) -> None:
    schedule = load(
        write,
        "{dates: [2027-03-28 02:30, 2026-12-01 10:00], timezone: Europe/Berlin, duration: 2h, missed: catch-up,"
        " blackouts: [2026-12-20..2027-01-03, 2026-12-24, freeze.ics, 'https://example.com/${TOKEN}.ics'],"
        " owner: '@shop'}",
    )
    # In their order; 02:30 is leapt over on that day.
    assert [moment.isoformat() for moment in schedule.dates] == [
        "2026-12-01T10:00:00+01:00",
        "2027-03-28T03:30:00+02:00",
    ]
    assert schedule.blackouts == (
        Blackout(date(2026, 12, 20), date(2027, 1, 3)),
        Blackout(date(2026, 12, 24), date(2026, 12, 24)),
        Blackout(calendar=str(tmp_path / "freeze.ics")),
        Blackout(calendar="https://example.com/${TOKEN}.ics"),
    )
    assert (schedule.owner, schedule.catch_up_s) == ("@shop", 6 * 3600)
    assert load(write, '{cron: "0 10 * * FRI"}').catch_up_s is None


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("{dates: [2026-02-30 10:00]}", "`2026-02-30 10:00`, expected a date and a time"),
        ("{dates: [2026-12-01]}", "`2026-12-01`, expected a date and a time"),
        ("{dates: []}", "no dates"),
        ('{cron: "0 10 * * FRI", dates: [2026-12-01 10:00]}', "`dates` beside `cron`"),
        ("{blackouts: [2026-12-20..2026-12-01]}", "expected the first day before the last"),
        ("{blackouts: ['ftp://u:secret@host/x.ics']}", "found a URL that is none of https"),
        ("{blackouts: [christmas]}", "`christmas`, expected a day"),
        ("{missed: never}", "`never`, expected one of skip, catch-up"),
        ("{missed: skip, within: 6h}", "`within` without `missed: catch-up`"),
        ("{within: 6h}", "`within` without `missed: catch-up`"),
        ("{blackout: [2026-12-24]}", "did you mean"),
    ],
)
def test_mistakes(write: Callable[..., Path], when: str, expected: str) -> None:
    (mistake,) = mistakes_of(lambda: load(write, when))
    assert expected in mistake
    assert "secret" not in mistake


def test_a_project_has_blackouts(write: Callable[..., Path], tmp_path: Path) -> None:
    write("gameday.yaml", "blackouts: [2026-12-24, ops/freeze.ics]\n")
    first, second = load_project(tmp_path).blackouts
    assert first.first == date(2026, 12, 24)
    assert second.calendar == str(tmp_path.resolve() / "ops/freeze.ics")


@pytest.mark.parametrize(
    ("zone", "cron", "start", "expected"),
    [
        # Forwards: what is leapt over comes that much later, once.
        ("Europe/Berlin", "30 2 * * *", "2026-03-28T00:00", ["28T02:30+01:00", "29T03:30+02:00", "30T02:30+02:00"]),
        ("America/New_York", "30 2 * * *", "2026-03-07T06:00", ["07T02:30-05:00", "08T03:30-04:00", "09T02:30-04:00"]),
        ("Australia/Lord_Howe", "15 2 * * *", "2026-10-02T12:00", ["03T02:15+10:30", "04T02:45+11:00", "05T02:15+11:00"]),  # noqa: E501
        # Back: what is shown twice comes once, the first time.
        ("Europe/Berlin", "30 2 * * *", "2026-10-24T00:00", ["24T02:30+02:00", "25T02:30+02:00", "26T02:30+01:00"]),
        ("America/New_York", "30 1 * * *", "2026-10-31T05:00", ["31T01:30-04:00", "01T01:30-04:00", "02T01:30-05:00"]),
        ("Australia/Lord_Howe", "45 1 * * *", "2026-04-03T12:00", ["04T01:45+11:00", "05T01:45+11:00", "06T01:45+10:30"]),  # noqa: E501
    ],
)  # fmt: skip
def test_both_edges_of_summer_time(zone: str, cron: str, start: str, expected: list[str]) -> None:
    schedule = Schedule(cron, zone, None)
    found = list(islice(occurrences(schedule, at(start)), 3))
    assert [moment.isoformat(timespec="minutes")[8:] for moment in found] == expected
    for moment in found:  # and backwards
        assert last_due(schedule, moment.astimezone(UTC)) == moment


@settings(max_examples=40)
@given(st.integers(0, 59), st.integers(0, 23), st.integers(0, 525_600), st.sampled_from(["Europe/Berlin", "UTC"]))
def test_the_last_is_before_the_next(minute: int, hour: int, begin: int, zone: str) -> None:
    schedule = Schedule(f"{minute} {hour} * * *", zone, None)
    now = datetime.fromtimestamp(1767225600 + begin * 60, UTC)
    last, following = last_due(schedule, now), next_due(schedule, now)
    assert last
    assert following
    assert last <= now < following
    assert next_due(schedule, last.astimezone(UTC)) == following


@given(st.text(max_size=40))
def test_any_text_is_a_blackout_or_a_mistake(text: str) -> None:
    try:
        parse_blackout(text, Path("/x"))
    except UnitError as error:
        assert error.expected  # noqa: PT017 - most texts are mistakes, some are not
