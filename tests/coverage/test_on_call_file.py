"""Who is on call by a file: rotations by the wall clock, layers, overrides, escalation, and holes, to the second."""

import asyncio
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gameday.coverage.on_call import OnCallError, OnCallSource, open_on_call
from gameday.coverage.on_call.shifts import Shift, find_holes, next_change, people_at, shifts_of
from gameday.journal.events import OnCallInfo
from gameday.spec.location import Location
from gameday.spec.model import Environment, EnvironmentKind, Hours, OnCallConfig
from gameday.spec.on_call import Layer, OnCallSchedule, Override, load_on_call_file

BERLIN, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")
DAY_S = 86400.0

FILE = """\
schedules:
  primary:
    timezone: Europe/Berlin
    layers:
      - {people: ["@ada", "@grace"], every: 1w, from: "2026-01-05 09:00"}
    overrides:
      - {who: "@lin", from: "2026-03-07 09:00", to: "2026-03-07 17:00"}
    escalation: [secondary, "@lead"]
  secondary:
    layers: [{people: ["@joan"], hours: "Mon-Fri 09:00-17:00"}]
"""


def at(text: str, zone: ZoneInfo = BERLIN) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


def open_file(path: Path, within_s: float = 14 * DAY_S) -> OnCallSource:
    config = OnCallConfig("file", path=path, within_s=within_s)
    source = open_on_call(Environment("test", EnvironmentKind.DECLARED, on_call=config))
    assert source
    return source


def look_up(path: Path, now: float, schedule: str | None = "primary", within_s: float = 14 * DAY_S) -> OnCallInfo:
    return asyncio.run(open_file(path, within_s).look_up("checkout", schedule, now))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "on-call.yaml"
    path.write_text(FILE)
    return path


def schedule(tmp_path: Path, text: str) -> OnCallSchedule:
    path = tmp_path / "on-call.yaml"
    path.write_text(f"schedules:\n  it:\n{text}")
    found = load_on_call_file(path).schedule("it")
    assert found
    return found


def test_levels_and_when_the_first_changes(path: Path) -> None:
    info = look_up(path, at("2026-03-05 12:00"))  # a Thursday; 13:00 in UTC is 14:00 in Berlin
    assert info.people == (("@ada",), ("@joan",), ("@lead",))
    assert info.until == at("2026-03-07 09:00")  # the override
    assert info.holes == ()
    assert (info.service, info.source, info.schedule, info.detail) == ("checkout", "file", "primary", "")


def test_an_override_counts_before_the_rotation_and_ends(path: Path) -> None:
    info = look_up(path, at("2026-03-07 10:00"))
    assert info.people == (("@lin",), (), ("@lead",))  # the secondary's Saturday
    assert info.until == at("2026-03-07 17:00")
    after = look_up(path, at("2026-03-07 17:00"))
    assert after.people == (("@ada",), (), ("@lead",))
    assert after.until == at("2026-03-09 09:00")


def test_holes_between_hours_to_the_second(path: Path) -> None:
    now = at("2026-03-05 12:00", ZoneInfo("UTC"))
    info = look_up(path, now, "secondary", within_s=5 * DAY_S)
    utc = ZoneInfo("UTC")
    assert info.people == (("@joan",),)
    assert info.until == at("2026-03-05 17:00", utc)
    assert info.holes == (
        (at("2026-03-05 17:00", utc), at("2026-03-06 09:00", utc)),
        (at("2026-03-06 17:00", utc), at("2026-03-09 09:00", utc)),
        (at("2026-03-09 17:00", utc), at("2026-03-10 09:00", utc)),
    )


def test_a_hole_that_is_now_begins_now_and_until_says_when_it_ends(path: Path) -> None:
    now = at("2026-03-07 12:34", ZoneInfo("UTC"))
    info = look_up(path, now, "secondary", within_s=DAY_S)
    assert (info.people, info.holes) == (((),), ((now, now + DAY_S),))
    assert info.until is None  # further away than is looked
    assert look_up(path, now, "secondary").until == at("2026-03-09 09:00", ZoneInfo("UTC"))


def test_a_schedule_is_named_by_the_service_where_nothing_else_names_one(path: Path) -> None:
    path.write_text(FILE.replace("primary:", "checkout:"))
    assert look_up(path, at("2026-03-05 12:00"), None).schedule == "checkout"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("primry", "on-call.yaml has no schedule `primry`; did you mean `primary`?"),
        ("@ada", "on-call.yaml has no schedule `@ada`"),
    ],
)
def test_no_such_schedule(path: Path, name: str, said: str) -> None:
    info = look_up(path, 0.0, name)
    assert info.people is None
    assert info.detail.endswith(said)


def test_nothing_is_named(path: Path) -> None:
    info = asyncio.run(open_file(path).look_up(None, None, 0.0))
    assert (info.people, "neither" in info.detail) == (None, True)


def test_the_file_is_read_at_every_look_up(path: Path) -> None:
    source = open_file(path)
    now = at("2026-03-05 12:00")
    path.write_text(FILE.replace("@ada", "@edsger"))
    info = asyncio.run(source.look_up(None, "primary", now))
    assert info.people == (("@edsger",), ("@joan",), ("@lead",))
    path.write_text(FILE.replace("every: 1w", "every: 1x"))
    info = asyncio.run(source.look_up(None, "primary", now))
    assert info.people is None
    assert info.detail.startswith(f"{path}:5:45: found `1x`, expected a duration")
    path.unlink()
    assert "a readable file" in asyncio.run(source.look_up(None, "primary", now)).detail


def test_a_mistake_keeps_it_from_being_opened_and_says_where(path: Path) -> None:
    path.write_text(FILE.replace("layers:", "layer:").replace("1w", "1x").replace("who:", "whom:"))
    with pytest.raises(OnCallError) as raised:
        open_file(path)
    first, second, third = str(raised.value).split("; found")[0].split(f"; {path}")
    assert first.startswith(f"{path}:4:5: found the key `layer`, expected a key of a schedule; did you mean `layers`?")
    assert second.startswith(":7:10: found the key `whom`")
    assert third.startswith(":10:5: found the key `layer`")
    path.write_text("schedules: {a: {layers: [{people: [b], every: x, from: y, to: z, hours: w}]}}")
    with pytest.raises(OnCallError, match=r"found `z`.*; and 1 more mistakes?$"):
        open_file(path)


def test_no_path() -> None:
    with pytest.raises(OnCallError, match="path"):
        open_on_call(Environment("test", EnvironmentKind.DECLARED, on_call=OnCallConfig("file")))


@pytest.mark.parametrize(
    ("zone", "spring", "autumn"),
    [(BERLIN, "2026-03-29", "2026-10-25"), (NEW_YORK, "2026-03-08", "2026-11-01")],
    ids=["Berlin", "New York"],
)
class TestClocksThatChange:
    def test_a_handover_stays_at_its_hour(self, tmp_path: Path, zone: ZoneInfo, spring: str, autumn: str) -> None:
        text = f'    timezone: {zone.key}\n    layers: [{{people: [a, b], every: 1d, from: "2026-01-01 09:00"}}]\n'
        read = schedule(tmp_path, text)
        for day, hours in ((spring, 23), (autumn, 25)):
            noon_before = at(f"{day} 09:00", zone) - 20 * 3600
            shifts = shifts_of(read, noon_before, noon_before + 4 * DAY_S)
            starts = [datetime.fromtimestamp(shift.start, zone).strftime("%H:%M") for shift in shifts[1:]]
            assert starts == ["09:00"] * 4
            assert shifts[0].end == at(f"{day} 09:00", zone)
            assert shifts[1].end - shifts[1].start == DAY_S
            before = shifts_of(read, noon_before - 3 * DAY_S, noon_before + DAY_S)
            changing = next(shift for shift in before if shift.end == at(f"{day} 09:00", zone))
            assert changing.end - changing.start == hours * 3600.0

    def test_turns_shorter_than_a_day_go_by_the_wall_clock(
        self, tmp_path: Path, zone: ZoneInfo, spring: str, autumn: str
    ) -> None:
        text = f'    timezone: {zone.key}\n    layers: [{{people: [a, b], every: 12h, from: "2026-01-01 08:00"}}]\n'
        read = schedule(tmp_path, text)
        for day, hours in ((spring, 11), (autumn, 13)):
            end = at(f"{day} 08:00", zone)
            night = next(shift for shift in shifts_of(read, end - DAY_S, end + DAY_S) if shift.end == end)
            assert (night.who, night.end - night.start) == ("b", hours * 3600.0)

    def test_hours_in_the_night_of_the_change(self, tmp_path: Path, zone: ZoneInfo, spring: str, autumn: str) -> None:
        text = f'    timezone: {zone.key}\n    layers: [{{people: [a], hours: "00:00-04:00"}}]\n'
        read = schedule(tmp_path, text)
        for day, hours in ((spring, 3), (autumn, 5)):
            midnight = at(f"{day} 00:00", zone)
            [shift] = shifts_of(read, midnight - 3600, midnight + 20 * 3600)
            assert (shift.start, shift.end) == (midnight, midnight + hours * 3600.0)
            assert find_holes([shift], midnight - 3600, midnight + 6 * 3600) == (
                (midnight - 3600, midnight),
                (midnight + hours * 3600.0, midnight + 6 * 3600),
            )

    def test_an_hour_that_is_not_there_has_no_shift(
        self, tmp_path: Path, zone: ZoneInfo, spring: str, autumn: str
    ) -> None:
        text = f'    timezone: {zone.key}\n    layers: [{{people: [a], hours: "02:00-03:00"}}]\n'
        read = schedule(tmp_path, text)
        midnight = at(f"{spring} 00:00", zone)
        assert shifts_of(read, midnight, midnight + 20 * 3600) == ()
        assert len(shifts_of(read, midnight + DAY_S, midnight + 2 * DAY_S)) == 1


def test_what_clocks_leave_out_is_read_as_if_they_had_not_changed(tmp_path: Path) -> None:
    text = (
        "    timezone: Europe/Berlin\n    layers: [{people: [a]}]\n"
        '    overrides: [{who: b, from: "2026-03-29 02:30", to: "2026-03-29 04:00"}]\n'
    )
    shifts = shifts_of(schedule(tmp_path, text), at("2026-03-29 00:00"), at("2026-03-29 06:00"))
    assert [shift.start for shift in shifts if shift.who == "b"] == [at("2026-03-29 03:30")]


def test_a_handover_that_clocks_leave_out_leaves_no_hole(tmp_path: Path) -> None:
    text = '    timezone: Europe/Berlin\n    layers: [{people: [a, b], every: 1d, from: "2026-01-01 02:30"}]\n'
    shifts = shifts_of(schedule(tmp_path, text), at("2026-03-29 03:10"), at("2026-03-29 12:00"))
    assert [(shift.start, shift.end) for shift in shifts] == [
        (at("2026-03-29 03:10"), at("2026-03-29 03:30")),
        (at("2026-03-29 03:30"), at("2026-03-29 12:00")),
    ]


def test_a_later_layer_counts_before_an_earlier_one(tmp_path: Path) -> None:
    text = '    layers: [{people: [night]}, {people: [day], hours: "Mon-Fri 09:00-17:00"}]\n'
    utc = ZoneInfo("UTC")
    shifts = shifts_of(schedule(tmp_path, text), at("2026-03-05 12:00", utc), at("2026-03-06 12:00", utc))
    assert [(shift.who, shift.start) for shift in shifts] == [
        ("day", at("2026-03-05 12:00", utc)),
        ("night", at("2026-03-05 17:00", utc)),
        ("day", at("2026-03-06 09:00", utc)),
    ]


def test_a_layer_begins_and_ends(tmp_path: Path) -> None:
    text = '    layers: [{people: [a], from: "2026-03-05 12:00", to: "2026-03-06 12:00"}]\n'
    utc = ZoneInfo("UTC")
    start, end = at("2026-03-05 00:00", utc), at("2026-03-07 00:00", utc)
    shifts = shifts_of(schedule(tmp_path, text), start, end)
    assert find_holes(shifts, start, end) == ((start, start + DAY_S / 2), (end - DAY_S / 2, end))


# An oracle that looks at one moment at a time, and knows nothing of intervals.

moments = st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 1)).map(
    lambda moment: moment.replace(second=0, microsecond=0)
)
names = st.sampled_from(["a", "b", "c"])
weekly = st.builds(
    lambda days, start, length: Hours(frozenset(days), start, min(24 * 60, start + length), "-", "-"),
    st.sets(st.integers(0, 6), min_size=1),
    st.integers(0, 23 * 60),
    st.integers(30, 12 * 60),
)


@st.composite
def layers(draw: st.DrawFn) -> Layer:
    start = draw(moments)
    return Layer(
        people=tuple(draw(st.lists(names, min_size=1, max_size=3))),
        every_s=draw(st.sampled_from([3600.0, 5 * 3600.0, DAY_S, 7 * DAY_S])),
        start=start,
        end=draw(st.none() | st.integers(1, 60).map(lambda days: start + timedelta(days=days))),
        hours=tuple(draw(st.lists(weekly, max_size=2))),
    )


overrides = st.builds(
    lambda who, start, minutes: Override(who, start, start + timedelta(minutes=minutes)),
    names,
    moments,
    st.integers(1, 5000),
)
schedules = st.builds(
    lambda zone, layers, overrides: OnCallSchedule(
        "it", zone, tuple(layers), tuple(overrides), (), Location(Path("on-call.yaml"))
    ),
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
    st.lists(layers(), max_size=3),
    st.lists(overrides, max_size=3),
)


def who_at(schedule: OnCallSchedule, moment: float) -> str | None:
    zone = ZoneInfo(schedule.timezone)

    def unix(local: datetime) -> float:
        return local.replace(tzinfo=zone).timestamp()

    for override in reversed(schedule.overrides):
        if unix(override.start) <= moment < unix(override.end):
            return override.who
    for layer in reversed(schedule.layers):
        assert layer.start
        assert layer.every_s
        if moment < unix(layer.start) or (layer.end and moment >= unix(layer.end)):
            continue
        today = datetime.fromtimestamp(moment, zone).replace(hour=0, minute=0, tzinfo=None)
        open_now = [
            hours
            for hours in layer.hours
            for day in (today - timedelta(days=1), today, today + timedelta(days=1))
            if day.weekday() in hours.days
            and unix(day + timedelta(minutes=hours.start_minute))
            <= moment
            < unix(day + timedelta(minutes=hours.end_minute))
        ]
        if layer.hours and not open_now:
            continue
        turn = 0
        while unix(layer.start + timedelta(seconds=(turn + 1) * layer.every_s)) <= moment:
            turn += 1
        return layer.people[turn % len(layer.people)]
    return None


@settings(max_examples=120)
@given(schedule=schedules, start=moments, minutes=st.integers(10, 4000), offset=st.integers(0, 59))
def test_every_moment_is_as_the_oracle_has_it(
    schedule: OnCallSchedule, start: datetime, minutes: int, offset: int
) -> None:
    begin = start.replace(tzinfo=ZoneInfo("UTC")).timestamp()
    end = begin + minutes * 60
    shifts = shifts_of(schedule, begin, end)
    assert all(begin <= shift.start < shift.end <= end for shift in shifts)
    holes = find_holes(shifts, begin, end)
    now = begin + offset
    changes = next_change(shifts, now, end)
    first = who_at(schedule, now)
    changed = None
    for moment in range(int(begin), int(end), max(60, minutes // 60 * 60)):
        who = who_at(schedule, moment)
        assert people_at(shifts, moment) == (() if who is None else (who,))
        assert any(start <= moment < end for start, end in holes) == (who is None)
        if moment > now and who != first and changed is None:
            changed = moment
    assert changed is None or (changes is not None and changes <= changed)
    if changes is not None:
        assert who_at(schedule, changes) != first
        assert who_at(schedule, changes - 1) == first


def test_several_people_at_a_time_change_when_any_of_them_does() -> None:
    shifts = [Shift("a", 0, 100), Shift("b", 0, 50), Shift("a", 100, 200), Shift("b", 50, 60)]
    assert people_at(shifts, 10) == ("a", "b")
    assert next_change(shifts, 10, 1000) == 60
    assert next_change(shifts, 60, 1000) == 200  # a's two shifts are one
    assert next_change(shifts, 60, 200) is None
    assert find_holes(shifts, -10, 210) == ((-10, 0), (200, 210))
