"""What a tracker is: something that keeps issues, and finds again those that were made for an action."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from gameday.common.texts import one_line

# Characters of what was found, and of a fact: however badly they need escaping, they are within every tracker's limit.
_LONGEST_TEXT, _LONGEST_VALUE = 15_000, 500
_COLUMNS = 100


class TrackerError(Exception):
    """What was asked for has not been done; the message says why, without credentials.

    `stops`: nothing else can be done now either. `uncertain`: it may have been done all the same.
    """

    def __init__(self, message: str, *, stops: bool = False, uncertain: bool = False) -> None:
        super().__init__(message)
        self.stops = stops
        self.uncertain = uncertain


class Issue(msgspec.Struct, frozen=True):
    """What an issue is to say. Texts are plain: the tracker escapes them, cuts them to its limits, and adds the mark by
    which it finds the issue again.

    `id`: of the action; `facts`: names and values; `rerun`: the command that shows whether it is still so; `assignee`:
    an account of the tracker's.
    """

    id: str
    title: str
    detail: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    rerun: str = ""
    assignee: str | None = None


class Delivered(msgspec.Struct, frozen=True):
    """An issue in a tracker. `closed_at`: Unix time, where it is closed and the tracker says when; `wanting`: what the
    tracker has left out of one that was made, so that no more should be."""

    key: str  # "acme/shop#12", "SHOP-12"
    url: str
    is_open: bool = True
    closed_at: float | None = None
    wanting: str = ""


class Tracker(Protocol):
    """Keeps issues. Used within one event loop, one request after the other. All that asks raises TrackerError."""

    lag_s: float  # how long, in seconds, an issue that has been made may not be found yet

    def has(self, key: str) -> bool:
        """Whether an issue of this key is kept where new ones go."""
        ...

    async def find_issues(self, ids: Sequence[str]) -> Mapping[str, tuple[Delivered, ...]]:
        """Those that bear the marks of these actions, open or closed, by the actions' ids, the oldest first."""
        ...

    async def create_issue(self, issue: Issue) -> Delivered:
        """Make one, with the action's mark. Never sent a second time by itself."""
        ...

    async def close_issue(self, key: str, why: str) -> None:
        """Close it, and say why in a comment."""
        ...

    async def reopen_issue(self, key: str, why: str) -> None:
        """Open it again, and say why in a comment."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


def shorten(text: str, length: int) -> str:
    """At most so many characters of the text, with an ellipsis where it has been cut."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def wrap(text: str) -> str:
    """What was found, in lines that can be read where they are shown as they are."""
    lines = (
        textwrap.fill(line, _COLUMNS, break_long_words=False) for line in shorten(text, _LONGEST_TEXT).splitlines()
    )
    return "\n".join(lines).strip("\n")


def value_of(text: str) -> str:
    """The value of a fact: one line that is not too long."""
    return shorten(one_line(text).strip(), _LONGEST_VALUE)
