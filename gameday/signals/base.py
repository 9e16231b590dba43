"""What a signal source is: something that can be asked for many signals at once, and that always answers in time."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from gameday.journal.events import Reading
from gameday.spec.model import SignalId, SignalsConfig, Unit


class SignalError(Exception):
    """A source or platform cannot be used as configured; the message says why, to a person."""


class Query(msgspec.Struct, frozen=True):
    """What to ask a source for one signal. `scale` turns the answer into the base unit (milliseconds: 0.001).

    `freshness` asks the same source for the age, in seconds, of the newest raw sample behind the answer; without it
    nobody can tell whether the answer is stale.
    """

    signal: SignalId
    expression: str
    unit: Unit
    scale: float = 1.0
    freshness: str | None = None


class SignalSource(Protocol):
    """Answers queries. Never raises for what the network or the server does: that is a reading's state."""

    async def read(self, queries: Sequence[Query]) -> tuple[Reading, ...]:
        """One reading for each query, in their order, all asked in parallel, each within the configured timeout."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class Platform(Protocol):
    """A catalogue from (service, signal) to a query."""

    name: str

    def query(self, signal: SignalId, config: SignalsConfig) -> Query:
        """Raises SignalError, naming the measures there are, when this platform does not know the signal."""
        ...
