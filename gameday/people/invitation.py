"""Invitations as iCalendar (RFC 5545, https://www.rfc-editor.org/rfc/rfc5545): events, in UTC or a time zone. Pure."""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from urllib.parse import quote

import msgspec

from gameday import __version__

_LINE_OCTETS = 75  # without its CR LF; section 3.1
# What can stand in a mailto: URI and leads to somebody: a handle of a chat begins with its `@`.
_ADDRESS = re.compile(r"[^\s@<>()\[\],;:\\\"]+@[^\s@<>()\[\],;:\\\"]+\.[^\s@<>()\[\],;:\\\"]+")
_FORBIDDEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")  # CONTROL of section 3.1; a tab and a line feed may stand there


class Invitation(msgspec.Struct, frozen=True):
    """`uid` is the same each time that the same event is written; `stamp` is when it is. `start` and `stamp` are aware.

    `required` and `optional` are handles, `organizer` one; of these only e-mail addresses can be invited. With `rule`,
    an RRULE such as FREQ=WEEKLY, it comes again, but not at the times in `excluded`. With `timezone` all are times of
    that zone (IANA), which the document must describe.
    """

    uid: str
    title: str
    start: datetime
    duration_s: float
    description: str
    stamp: datetime
    organizer: str | None = None
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    rule: str | None = None
    excluded: tuple[datetime, ...] = ()
    timezone: str | None = None


def is_address(handle: str) -> bool:
    """Whether a handle is an e-mail address."""
    return _ADDRESS.fullmatch(handle) is not None


def render_invitation(invitation: Invitation) -> str:
    """The document, its lines ended by CR LF. Without an organizer's address nobody is invited: section 3.8.4.1."""
    return render_calendar((invitation,))


def render_calendar(invitations: Iterable[Invitation], timezones: Iterable[str] = ()) -> str:
    """One document of several. `timezones` are whole VTIMEZONE components, of the zones that invitations are in."""
    return "".join(f"{line}\r\n" for whole in _lines(invitations, timezones) for line in _fold(whole))


def _lines(invitations: Iterable[Invitation], timezones: Iterable[str]) -> Iterator[str]:
    yield "BEGIN:VCALENDAR"
    yield "VERSION:2.0"
    yield f"PRODID:-//gameday//gameday {__version__}//EN"
    for timezone in timezones:
        yield from timezone.replace("\r\n ", "").splitlines()
    for invitation in invitations:
        yield from _event(invitation)
    yield "END:VCALENDAR"


def _event(invitation: Invitation) -> Iterator[str]:
    yield "BEGIN:VEVENT"
    yield f"UID:{_text(invitation.uid)}"
    yield f"DTSTAMP:{_moment(invitation.stamp)}"
    yield f"DTSTART{_local(invitation.start, invitation.timezone)}"
    yield f"DURATION:{_duration(invitation.duration_s)}"
    if invitation.rule:
        yield f"RRULE:{invitation.rule}"
    for moment in invitation.excluded:
        yield f"EXDATE{_local(moment, invitation.timezone)}"
    yield f"SUMMARY:{_text(invitation.title)}"
    yield f"DESCRIPTION:{_text(invitation.description)}"
    if invitation.organizer is not None and is_address(invitation.organizer):
        yield f"ORGANIZER:{_mailto(invitation.organizer)}"
        invited = {invitation.organizer}
        for role, handles in (("REQ-PARTICIPANT", invitation.required), ("OPT-PARTICIPANT", invitation.optional)):
            for handle in handles:
                if is_address(handle) and handle not in invited:
                    invited.add(handle)
                    yield f"ATTENDEE;ROLE={role};PARTSTAT=NEEDS-ACTION;RSVP=TRUE:{_mailto(handle)}"
    yield "END:VEVENT"


def _fold(line: str) -> Iterator[str]:
    """The line in parts of at most 75 octets; all but the first begin with a space. No character is cut in two."""
    part, octets = "", 0
    for character in line:
        size = len(character.encode())
        if octets + size > _LINE_OCTETS:
            yield part
            part, octets = " ", 1
        part, octets = part + character, octets + size
    yield part


def _text(text: str) -> str:
    """A value of the type TEXT: section 3.3.11."""
    plain = _FORBIDDEN.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    for character in "\\;,":
        plain = plain.replace(character, f"\\{character}")
    return plain.replace("\n", "\\n")


def _moment(moment: datetime) -> str:
    """A date with UTC time: section 3.3.5."""
    return f"{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def _local(moment: datetime, timezone: str | None) -> str:
    """The parameter that names the zone, if any, and the value: section 3.3.5."""
    from zoneinfo import ZoneInfo

    if timezone is None or timezone == "UTC":
        return f":{_moment(moment)}"
    return f";TZID={timezone}:{moment.astimezone(ZoneInfo(timezone)):%Y%m%dT%H%M%S}"


def _duration(seconds: float) -> str:
    """A duration, in whole minutes, of which an hour has some behind it even if none: section 3.3.6."""
    hours, minutes = divmod(max(1, round(seconds / 60)), 60)
    return f"PT{hours}H{minutes}M" if hours else f"PT{minutes}M"


def _mailto(address: str) -> str:
    """The address as a URI: RFC 6068."""
    return f"mailto:{quote(address, safe='@!$*+~')}"
