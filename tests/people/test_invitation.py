"""The invitation: what RFC 5545 asks of its bytes, and who is invited."""

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gameday.people.invitation import Invitation, is_address, render_invitation

START = datetime(2026, 3, 6, 10, 0, tzinfo=timezone(timedelta(hours=1)))
STAMP = datetime(2026, 3, 1, 8, 30, 15, tzinfo=UTC)


def invitation(**changed: object) -> Invitation:
    fields = {
        "uid": "abc@gameday",
        "title": "Checkout",
        "start": START,
        "duration_s": 7200.0,
        "description": "",
        "stamp": STAMP,
    }
    return Invitation(**(fields | changed))  # type: ignore[arg-type]


def unfold(text: str) -> list[str]:
    """Its content lines: section 3.1."""
    assert text.endswith("\r\n")
    return text.replace("\r\n ", "").split("\r\n")[:-1]


def value_of(text: str, name: str) -> str:
    """A TEXT as it was before it was escaped: section 3.3.11."""
    [line] = [line for line in unfold(text) if line.startswith(f"{name}:")]
    return re.sub(r"\\(.)", lambda match: "\n" if match[1] in "nN" else match[1], line[len(name) + 1 :])


def test_the_whole() -> None:
    text = render_invitation(
        invitation(
            title="Checkout, payments; and \\ more",
            description="one\ntwo",
            organizer="eve@example.com",
            required=("@ada", "bo@example.com", "eve@example.com", "bo@example.com"),
            optional=("cto+x@example.com", "bo@example.com"),
        )
    )
    lines = unfold(text)
    assert lines[2].startswith("PRODID:-//gameday//gameday ")
    assert [*lines[:2], *lines[3:]] == [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "BEGIN:VEVENT",
        "UID:abc@gameday",
        "DTSTAMP:20260301T083015Z",
        "DTSTART:20260306T090000Z",
        "DURATION:PT2H0M",
        r"SUMMARY:Checkout\, payments\; and \\ more",
        r"DESCRIPTION:one\ntwo",
        "ORGANIZER:mailto:eve@example.com",
        "ATTENDEE;ROLE=REQ-PARTICIPANT;PARTSTAT=NEEDS-ACTION;RSVP=TRUE:mailto:bo@example.com",
        "ATTENDEE;ROLE=OPT-PARTICIPANT;PARTSTAT=NEEDS-ACTION;RSVP=TRUE:mailto:cto+x@example.com",
        "END:VEVENT",
        "END:VCALENDAR",
    ]


@pytest.mark.parametrize("organizer", [None, "@eve", "on-call:checkout"])
def test_without_an_organizer_nobody_is_invited(organizer: str | None) -> None:
    text = render_invitation(invitation(organizer=organizer, required=("bo@example.com",)))
    assert "ATTENDEE" not in text
    assert "ORGANIZER" not in text


@given(st.text(max_size=400), st.text(max_size=2000))
def test_any_text(title: str, description: str) -> None:
    text = render_invitation(invitation(title=title, description=description))
    data = text.encode()
    lines = data.split(b"\r\n")
    assert lines.pop() == b""
    for line in lines:
        assert len(line) <= 75
        line.decode()  # no character is cut in two
        assert not re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", line)
    forbidden = "[\x00-\x08\x0b-\x0c\x0e-\x1f\x7f]"
    for name, wanted in (("SUMMARY", title), ("DESCRIPTION", description)):
        plain = re.sub(forbidden, "", wanted).replace("\r\n", "\n").replace("\r", "\n")
        assert value_of(text, name) == plain
    assert text.count("BEGIN:VEVENT\r\n") == 1


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1.0, "PT1M"), (1800.0, "PT30M"), (3600.0, "PT1H0M"), (5400.0, "PT1H30M"), (90000.0, "PT25H0M")],
)
def test_durations(seconds: float, text: str) -> None:
    assert f"DURATION:{text}" in unfold(render_invitation(invitation(duration_s=seconds)))


@pytest.mark.parametrize(
    ("handle", "expected"),
    [
        ("ada@example.com", True),
        ("ada.l+x@mail.example.co", True),
        ("@ada", False),
        ("ada", False),
        ("ada@host", False),
        ("@ada@example.com", False),
        ("a b@example.com", False),
        ("a@example.com\r\nX:1", False),
        ("a@example.com,b@example.com", False),
        ('"a;b"@example.com', False),
    ],
)
def test_what_is_an_address(handle: str, expected: bool) -> None:
    assert is_address(handle) is expected


def test_an_address_is_a_uri() -> None:
    text = render_invitation(invitation(organizer="a%b?c#d&é@example.com"))
    assert "ORGANIZER:mailto:a%25b%3Fc%23d%26%C3%A9@example.com" in unfold(text)
