"""What is due: which game days start now, which are late, missed or kept back. Decides and claims; starts nothing."""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Protocol
from zoneinfo import ZoneInfo

import msgspec

from gameday.engine.freezes import Freeze, FreezeError, Freezes
from gameday.spec.model import Blackout, Schedule
from gameday.spec.schedule import last_due, next_due
from gameday.spec.units import format_duration

KIND = "schedule"
_SEEN = "schedule-seen"  # the first time that anybody asked about a schedule: what was before is nobody's
GRACE_S = 300.0  # so late is in time: cron comes every minute, a Pod takes its time


class Claim(Protocol):
    """An occurrence that somebody has taken. `due_at`, and `at`, when it was taken, are Unix time; `run`: the session's
    name, where there is one."""

    @property
    def due_at(self) -> float: ...
    @property
    def at(self) -> float: ...
    @property
    def outcome(self) -> str | None: ...
    @property
    def run(self) -> str | None: ...


class Claims(Protocol):
    """Where occurrences are taken: the store that all machines share."""

    def claim(self, kind: str, name: str, due_at: float, holder: str) -> bool:
        """True for exactly one caller, for ever."""
        ...

    def settle(self, kind: str, name: str, due_at: float, outcome: str, run: str | None) -> None:
        """Note what became of it."""
        ...

    def claims(self, kind: str, name: str, since: float) -> Sequence[Claim]:
        """Those from that time on."""
        ...

    def now(self) -> float:
        """Unix time, by the clock that all machines share."""
        ...


class ClockError(Exception):
    """A machine's clock is wrong, and with it what it takes for due; the message says by how much."""


class Scheduled(msgspec.Struct, frozen=True):
    """A game day with a schedule. `name` is its path within the project; `blackouts` are all that hold for it."""

    name: str
    title: str
    schedule: Schedule
    blackouts: tuple[Blackout, ...] = ()
    environment: str | None = None


class State(StrEnum):
    DUE = "due"
    BLACKOUT = "blackout"
    UNKNOWN = "unknown"  # whether there is a freeze cannot be told: not started, and asked again
    MISSED = "missed"
    CLAIMED = "claimed"  # somebody has taken it
    EARLIER = "earlier"  # it was before anybody asked about this schedule


class Occurrence(msgspec.Struct, frozen=True):
    """One time at which a game day was due, and what is to be made of it."""

    scheduled: Scheduled
    due_at: datetime
    state: State
    reason: str = ""


def agree_on_now(claims: Claims, own: float) -> datetime:
    """The time by which it is told what is due: the store's, from which `own`, this machine's, may differ a little.
    Raises ClockError when it does by more, for hours and blackouts could not be told either; and what the store raises.
    """
    now = claims.now()
    if abs(ahead_s := own - now) > GRACE_S:
        by, how = format_duration(round(abs(ahead_s))), "ahead of" if ahead_s > 0 else "behind"
        raise ClockError(f"this machine's clock is {by} {how} the store's: one of the two is wrong")
    return datetime.fromtimestamp(now, UTC)


def look(
    scheduled: Scheduled, freezes: Freezes, claims: Claims, now: datetime, holder: str | None = None
) -> Occurrence | None:
    """What is to be made of the last time at which it was due, at `now` (aware); None: it never was.

    With `holder` it is noted that the schedule has been asked about; without, nothing is. Raises what the store raises.
    """
    seen = _first_seen(scheduled, claims, now, holder)
    due_at = last_due(scheduled.schedule, now)
    if due_at is None:
        return None
    if (claim := claim_of(claims, scheduled.name, due_at)) is not None:
        return Occurrence(scheduled, due_at, State.CLAIMED, claim.outcome or "started, no outcome yet")
    if due_at.timestamp() < seen - GRACE_S:
        return Occurrence(scheduled, due_at, State.EARLIER, "before this schedule was first asked about")
    late_s = now.timestamp() - due_at.timestamp()
    if late_s > max(GRACE_S, scheduled.schedule.catch_up_s or 0.0):
        return Occurrence(scheduled, due_at, State.MISSED, f"nothing started it within {round(late_s / 60)} min")
    try:
        if freeze := _freeze(scheduled, freezes, (due_at, now)):
            return Occurrence(scheduled, due_at, State.BLACKOUT, freeze.reason)
    except FreezeError as error:
        return Occurrence(scheduled, due_at, State.UNKNOWN, str(error))
    return Occurrence(scheduled, due_at, State.DUE)


def look_at_all(
    game_days: Iterable[Scheduled], freezes: Freezes, claims: Claims, now: datetime, holder: str | None = None
) -> tuple[Occurrence, ...]:
    """What nobody has taken yet, of every game day, as `look` has it."""
    found = (look(scheduled, freezes, claims, now, holder) for scheduled in game_days)
    return tuple(item for item in found if item is not None and item.state not in (State.CLAIMED, State.EARLIER))


def next_start(scheduled: Scheduled, freezes: Freezes, after: datetime) -> Occurrence | None:
    """The next time after `after` (aware) at which it is due, with the blackout that it meets, if any."""
    due_at = next_due(scheduled.schedule, after)
    return None if due_at is None else foresee(scheduled, freezes, due_at)


def foresee(scheduled: Scheduled, freezes: Freezes, due_at: datetime) -> Occurrence:
    """What will be made of a time to come, as far as blackouts say."""
    try:
        freeze = _freeze(scheduled, freezes, (due_at,))
    except FreezeError as error:
        return Occurrence(scheduled, due_at, State.UNKNOWN, str(error))
    if freeze is not None:
        return Occurrence(scheduled, due_at, State.BLACKOUT, freeze.reason)
    return Occurrence(scheduled, due_at, State.DUE)


def take(occurrence: Occurrence, claims: Claims, holder: str) -> bool:
    """Claim it. True when this caller is to act on it; one that is not to start is settled at once."""
    if occurrence.state is State.UNKNOWN:
        return False
    name, due_at = occurrence.scheduled.name, occurrence.due_at.timestamp()
    if not claims.claim(KIND, name, due_at, holder):
        return False
    if occurrence.state is not State.DUE:
        claims.settle(KIND, name, due_at, f"{occurrence.state}: {occurrence.reason}", None)
    return True


def claim_of(claims: Claims, name: str, due_at: datetime) -> Claim | None:
    """The claim of whoever has taken that occurrence."""
    at = due_at.timestamp()
    return next((claim for claim in claims.claims(KIND, name, at - 1) if abs(claim.due_at - at) < 1), None)


def last_claim(claims: Claims, name: str, now: datetime) -> Claim | None:
    """The last occurrence that was taken, of a year."""
    found = claims.claims(KIND, name, (now - timedelta(days=366)).timestamp())
    return max(found, key=lambda claim: claim.due_at, default=None)


def _first_seen(scheduled: Scheduled, claims: Claims, now: datetime, holder: str | None) -> float:
    """When this very schedule was first asked about, in Unix time. A changed one is another."""
    schedule = scheduled.schedule
    words = f"{schedule.cron} {schedule.timezone} {[moment.isoformat() for moment in schedule.dates]}"
    name = f"{scheduled.name}#{hashlib.sha256(words.encode()).hexdigest()[:12]}"
    known = claims.claims(_SEEN, name, 0.0)
    if not known and holder is not None:
        claims.claim(_SEEN, name, float(int(now.timestamp())), holder)
        known = claims.claims(_SEEN, name, 0.0)
    return min((claim.due_at for claim in known), default=now.timestamp())


def _freeze(scheduled: Scheduled, freezes: Freezes, starts: Iterable[datetime]) -> Freeze | None:
    zone = ZoneInfo(scheduled.schedule.timezone)
    duration_s = scheduled.schedule.duration_s or 0.0
    return next(
        (
            freeze
            for start in starts
            if (freeze := freezes.find(scheduled.blackouts, start.astimezone(UTC), duration_s, zone))
        ),
        None,
    )
