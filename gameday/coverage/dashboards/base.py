"""What a source of dashboards is: it finds dashboards, asks what their panels show, and takes annotations."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol, runtime_checkable

import msgspec

from gameday.journal.events import DashboardInfo


class DashboardError(Exception):
    """The source cannot be used as configured, or refuses what was asked; the message says why. `status`: of the
    answer to HTTP, where there was one."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Named(msgspec.Struct, frozen=True):
    """A dashboard that somebody names: `name` is its URL, its uid or `tag:…`; `by` says who, for people."""

    name: str
    by: tuple[str, ...]


class Window(msgspec.Struct, frozen=True):
    """The time over which panels are asked, in Unix times. What they show from `start` to `injected` is compared with
    what they show from there to `undone`; without these two nothing is compared."""

    start: float
    end: float
    injected: float | None = None
    undone: float | None = None


class Moment(StrEnum):
    """What of a run is noted on dashboards."""

    INJECTION = "injection"
    STAGE = "stage"
    UNDO = "undo"
    ABORT = "abort"


class Annotation(msgspec.Struct, frozen=True):
    """A note at a moment, or over a time, of a run. Unix times. `service`: whose signals are watched."""

    run: str
    moment: Moment
    text: str
    at: float
    until: float | None = None
    service: str | None = None


class DashboardSource(Protocol):
    """Looks at dashboards. Used within one event loop. Every call ends within few times the configured timeout."""

    def knows(self, name: str) -> bool:
        """Whether the name, as a user writes it, may be one of its dashboards. No I/O."""
        ...

    async def examine(self, named: Sequence[Named], service: str | None, window: Window) -> tuple[DashboardInfo, ...]:
        """Find the dashboards that these names, and the configured tags, lead to, each once, and ask their panels.

        `service` fills in their variables. Never raises for what the network or a server does.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


@runtime_checkable
class Annotator(Protocol):
    """What a source of dashboards may do besides: take notes. Every annotation bears the run's name."""

    async def annotate(self, annotation: Annotation) -> None:
        """Raises DashboardError when it is not taken."""
        ...

    async def annotations(self, run: str) -> tuple[Annotation, ...]:
        """Those of a run that are there. Raises DashboardError."""
        ...

    async def remove_annotations(self, run: str) -> int:
        """Remove those of a run, and nothing else; how many were removed. Raises DashboardError."""
        ...
