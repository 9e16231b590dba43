"""What the store is told of a session beside its events: whoever feeds it says what a journal shows."""

from typing import Protocol

import msgspec

from gameday.journal.events import AnyEvent


class AlertSummary(msgspec.Struct, frozen=True):
    """An expected alert whose fault was injected. `detected_s`: from then until it fired; None: it did not."""

    name: str
    result: str
    detected_s: float | None = None


class ExperimentSummary(msgspec.Struct, frozen=True):
    """One experiment of a session. Durations are seconds, None where nothing was measured; `is_recovered`: whether it
    came back in time."""

    path: str
    title: str
    service: str | None
    verdict: str | None
    injected_at: float | None
    faults: tuple[str, ...]
    alerts: tuple[AlertSummary, ...]
    detected_s: float | None
    noticed_s: float | None
    recovered_s: float | None
    is_recovered: bool | None


class Summary(msgspec.Struct, frozen=True):
    """One session. `started`: Unix time, 0 when its journal says nothing. `document`, and `exercised`, of what it has
    put to use: JSON, given back as they are."""

    started: float
    title: str
    environment: str
    verdict: str | None
    experiments: tuple[ExperimentSummary, ...]
    document: str
    exercised: str


class Reading(Protocol):
    """A journal as it is read, event by event."""

    def apply(self, event: AnyEvent) -> None:
        """Take one event in."""
        ...

    def summary(self) -> Summary:
        """What it shows until here."""
        ...


class Reader(Protocol):
    """Reads journals. `version` counts up when what a document says, or how it is made, changes: then those of an
    older version are made anew."""

    version: int

    def begin(self, run: str) -> Reading:
        """A journal that nothing has been read of yet."""
        ...
