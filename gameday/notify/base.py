"""What a channel is: something that people read, where a session says what happens.

Adding one is one file: a class that is registered under the entry points `gameday.channels`. It is made with its
configuration, and used within one event loop. What there is to say comes as it was found, plain, from `narrator`; each
channel shows it in its own way, within its own limits.
"""

from enum import StrEnum
from pathlib import Path
from typing import Protocol

import msgspec

from gameday.journal.events import SessionStarted, Verdict

VERDICTS = {
    Verdict.HELD: "everything held",
    Verdict.WEAKNESS: "a weakness was found",
    Verdict.NOT_STARTED: "not started, nothing was injected",
    Verdict.ABORTED: "aborted, everything undone",
    Verdict.UNDO_FAILED: "an undo FAILED",
}


class ChannelError(Exception):
    """Something could not be said; the message says why, without tokens.

    `retry_after_s`: it was not taken, and may be after so many seconds. `is_final`: nothing will ever be taken again.
    Without either, nobody knows whether it was taken, or it never will be: it is not said again.
    """

    def __init__(self, message: str, *, retry_after_s: float | None = None, is_final: bool = False) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.is_final = is_final


class Kind(StrEnum):
    """What a message is about; templates go by these names."""

    BRIEF = "brief"
    PREFLIGHT = "preflight"
    EXPERIMENT = "experiment"
    INJECTION = "injection"
    ACTION = "action"
    REFUSAL = "refusal"
    STAGE = "stage"
    ALERT = "alert"
    NOTE = "note"
    MARK = "mark"
    ABORT = "abort"
    UNDO = "undo"
    RECOVERY = "recovery"
    VERDICT = "verdict"
    END = "end"
    REPORT = "report"


QUIET = frozenset({Kind.ABORT, Kind.END, Kind.REPORT})  # what is said even so


class Level(StrEnum):
    """How it bears on the people who read it."""

    INFO = "info"
    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"


class Detail(msgspec.Struct, frozen=True):
    """One thing that happened. Texts are plain, as long as they came. `at`: Unix time; `after_s`: since the session
    began; `mentions`: handles of those whose moment it is; `link`: a URL, or a path on the machine that ran it."""

    kind: Kind
    title: str
    at: float
    after_s: float
    lines: tuple[str, ...] = ()
    level: Level = Level.INFO
    mentions: tuple[str, ...] = ()
    link: str | None = None


class SignalBar(msgspec.Struct, frozen=True):
    """A signal: its last values (None: unreadable), the last one in words, and what is wanted of it."""

    name: str
    values: tuple[float | None, ...]
    shown: str
    wanted: str
    is_well: bool = True


class Status(msgspec.Struct, frozen=True):
    """Where a session is. `key`: what must not wait to be shown is in it; `experiment`: which one is on, in words;
    `lead`: who leads, and the pair."""

    session: str
    title: str
    environment: str
    state: str
    elapsed_s: float
    level: Level
    key: tuple[str, ...]
    experiment: str = ""
    stage: str = ""
    in_place: tuple[str, ...] = ()
    signals: tuple[SignalBar, ...] = ()
    alerts: tuple[str, ...] = ()
    lead: str = ""
    verdict: Verdict | None = None


def is_said_quietly(detail: Detail) -> bool:
    """Whether it is said even so: what has been left behind is everybody's business, too."""
    return detail.kind in QUIET or (detail.kind is Kind.UNDO and detail.level is Level.BAD)


class Picture(Protocol):
    """A chart, as PNG."""

    @property
    def title(self) -> str: ...
    @property
    def alt(self) -> str: ...
    @property
    def file_name(self) -> str: ...
    @property
    def png(self) -> bytes: ...


class Session(msgspec.Struct, frozen=True):
    """What a channel is told at first: the session, and where its run lies."""

    started: SessionStarted
    directory: Path


class Channel(Protocol):
    """Says things, one after the other. All that asks raises ChannelError, and nothing else for what a network or a
    server does."""

    name: str
    pace_s: float  # at least so long between two things that are said
    has_status: bool  # it shows where the session is, in a message that changes

    async def open(self, session: Session) -> None:
        """What it will be about. Nothing is said yet."""
        ...

    async def show(self, status: Status) -> None:
        """Show this in place of what was shown before."""
        ...

    async def say(self, details: tuple[Detail, ...]) -> None:
        """Say all of these, in one message."""
        ...

    async def upload(self, picture: Picture) -> None:
        """Show a picture. A channel that can show none does nothing."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
