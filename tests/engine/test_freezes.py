"""Calendars of change freezes: which times they cover, and what becomes of one that cannot be read."""

import contextlib
import os
import socket
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from gameday.engine.freezes import FreezeError, Freezes, fetch_calendar
from gameday.spec.model import Blackout
from tests.serving import Serving, StandInHandler

BERLIN = ZoneInfo("Europe/Berlin")
URL = "https://calendar.example.com/private-${TOKEN}/freeze.ics"


def calendar(*events: str) -> bytes:
    body = "".join(f"BEGIN:VEVENT\nUID:{n}\nDTSTAMP:20260101T000000Z\n{e}\nEND:VEVENT\n" for n, e in enumerate(events))
    text = f"BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:x\n{body}END:VCALENDAR\n"
    return text.replace("\n", "\r\n").encode()


def is_frozen(tmp_path: Path, data: bytes, start: str, duration_s: float = 7200) -> bool:
    path = tmp_path / "freeze.ics"
    path.write_bytes(data)
    moment = datetime.fromisoformat(start).replace(tzinfo=BERLIN).astimezone(UTC)
    return Freezes(tmp_path).find([Blackout(calendar=str(path))], moment, duration_s, BERLIN) is not None


ALL_DAY = "DTSTART;VALUE=DATE:20261224\nDTEND;VALUE=DATE:20261227\nSUMMARY:Christmas"
TIMED = "DTSTART;TZID=America/New_York:20261127T060000\nDTEND;TZID=America/New_York:20261127T070000"
WEEKLY = (
    "DTSTART;TZID=Europe/Berlin:20260904T090000\nDTEND;TZID=Europe/Berlin:20260904T170000\n"
    "RRULE:FREQ=WEEKLY\nEXDATE;TZID=Europe/Berlin:20261106T090000"
)


@pytest.mark.parametrize(
    ("event", "start", "expected"),
    [
        (ALL_DAY, "2026-12-24T00:00", True),
        (ALL_DAY, "2026-12-23T22:30", True),  # it would run into it
        (ALL_DAY, "2026-12-23T21:59", False),
        (ALL_DAY, "2026-12-26T23:59", True),
        (ALL_DAY, "2026-12-27T00:00", False),  # DTEND is not in it
        (f"{ALL_DAY}\nSTATUS:CANCELLED", "2026-12-25T10:00", False),
        # Calendars mark whole days as free of their own accord: what is in a calendar of freezes is one.
        (f"{ALL_DAY}\nTRANSP:TRANSPARENT", "2026-12-25T10:00", True),
        ("DTSTART:20261127T120000\nDURATION:PT1H", "2026-11-27T12:59", True),  # no zone: the schedule's
        ("DTSTART:20261127T120000\nDURATION:PT1H", "2026-11-27T13:00", False),
        ("DTSTART:20261127T120000Z\nDURATION:PT1H", "2026-11-27T13:30", True),
        (TIMED, "2026-11-27T12:30", True),  # 06:00 there is 12:00 here
        (TIMED, "2026-11-27T06:00", False),
        (WEEKLY, "2026-10-30T16:00", True),  # after the clock has changed
        (WEEKLY, "2026-10-30T17:00", False),
        (WEEKLY, "2026-11-06T10:00", False),
        (WEEKLY, "2026-11-13T10:00", True),
    ],
)
def test_which_times_an_event_covers(tmp_path: Path, event: str, start: str, expected: bool) -> None:
    assert is_frozen(tmp_path, calendar(event), start) is expected


def test_one_of_many_may_be_moved_or_cancelled(tmp_path: Path) -> None:
    moved = "DTSTART;TZID=Europe/Berlin:20261112T090000\nDTEND;TZID=Europe/Berlin:20261112T100000"
    cancelled = "DTSTART;TZID=Europe/Berlin:20261120T090000\nDTEND;TZID=Europe/Berlin:20261120T170000\nSTATUS:CANCELLED"
    data = calendar(
        WEEKLY,
        f"{moved}\nRECURRENCE-ID;TZID=Europe/Berlin:20261113T090000",
        f"{cancelled}\nRECURRENCE-ID;TZID=Europe/Berlin:20261120T090000",
    )
    data = data.replace(b"UID:1", b"UID:0").replace(b"UID:2", b"UID:0")
    days = ("2026-11-12", "2026-11-13", "2026-11-20", "2026-11-27")
    found = [is_frozen(tmp_path, data, f"{day}T09:30", 60) for day in days]
    assert found == [True, False, False, True]


def test_a_zone_of_the_calendars_own(tmp_path: Path) -> None:
    zone = (
        b"BEGIN:VTIMEZONE\r\nTZID:Head office\r\nBEGIN:STANDARD\r\nDTSTART:19700101T000000\r\nTZOFFSETFROM:+0500\r\n"
        b"TZOFFSETTO:+0500\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\nBEGIN:VEVENT"
    )
    data = calendar("DTSTART;TZID=Head office:20261127T120000\nDURATION:PT1H").replace(b"BEGIN:VEVENT", zone, 1)
    assert is_frozen(tmp_path, data, "2026-11-27T08:30", 60)  # 12:30 there
    assert not is_frozen(tmp_path, data, "2026-11-27T12:30", 60)


def test_days_are_those_of_the_zone(tmp_path: Path) -> None:
    blackouts, freezes = [Blackout(date(2026, 12, 24), date(2026, 12, 26))], Freezes(tmp_path)
    assert freezes.find(blackouts, datetime(2026, 12, 23, 23, 30, tzinfo=UTC), 60, BERLIN)
    assert not freezes.find(blackouts, datetime(2026, 12, 26, 23, 0, tzinfo=UTC), 60, BERLIN)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>Log in</html>",
        b"BEGIN:VCALENDAR\r\n",
        calendar(f"{ALL_DAY}\nRRULE:FREQ=SECONDLY"),
        calendar(f"{ALL_DAY}\nRRULE:FREQ=DAILY;BYHOUR=9,10;BYMINUTE=0,1,2,3,4,5,6,7,8,9,10,11,12"),
        calendar("DTSTART:nonsense"),
        os.urandom(200),
    ],
)
def test_what_cannot_be_read_is_not_taken_for_no_freeze(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(FreezeError):
        is_frozen(tmp_path, data, "2026-12-25T10:00")


def test_a_copy_serves_for_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "hush")
    clock, asked, answers = [1_800_000_000.0], [], [calendar(ALL_DAY)]

    def fetch(url: str) -> bytes:
        asked.append(url)
        if not answers:
            raise OSError("no answer")
        return answers[0]

    def find() -> bool:
        freezes = Freezes(tmp_path, fetch, lambda: clock[0])
        return freezes.find([Blackout(calendar=URL)], datetime(2026, 12, 25, tzinfo=UTC), 60, BERLIN) is not None

    assert find()
    assert find()
    assert asked == ["https://calendar.example.com/private-hush/freeze.ics"]
    answers[0] = b"<html>Log in</html>"
    clock[0] += 600
    assert find()
    assert len(asked) == 2
    answers.clear()
    clock[0] += 86_000
    with pytest.raises(FreezeError) as caught:
        find()
    assert "calendar.example.com" in str(caught.value)
    assert "hush" not in str(caught.value)


class Handler(StandInHandler):
    """A web server with calendars, and with what is none."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        status = {"/freeze.ics": 200, "/large.ics": 200, "/moved.ics": 302}.get(path, 404)
        body = b"x" * (4 * 1024 * 1024 + 1) if path == "/large.ics" else calendar(ALL_DAY)
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/freeze.ics")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(OSError):  # who has heard enough hangs up
            self.wfile.write(body)


def test_fetching(monkeypatch: pytest.MonkeyPatch) -> None:
    serving = Serving(Handler)
    try:
        assert fetch_calendar(f"{serving.url}/freeze.ics") == calendar(ALL_DAY)
        for path, why in (("large.ics", "longer than"), ("moved.ics", "302"), ("secret-path.ics", "404")):
            with pytest.raises(OSError, match=why) as caught:
                fetch_calendar(f"{serving.url}/{path}?key=hush")
            assert "hush" not in str(caught.value)
            assert "secret" not in str(caught.value)
    finally:
        serving.close()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr("gameday.engine.freezes._TIMEOUT_S", 0.05)
        with pytest.raises(OSError, match="no answer within"):
            fetch_calendar(f"http://127.0.0.1:{silent.getsockname()[1]}/freeze.ics")
