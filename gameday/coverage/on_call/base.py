"""What a source of on-call is: something that knows who would be paged, and perhaps what has been acknowledged."""

from typing import Protocol, runtime_checkable

import msgspec

from gameday.journal.events import OnCallInfo


class OnCallError(Exception):
    """The source cannot be used as configured; the message says why."""


class Acknowledgement(msgspec.Struct, frozen=True):
    """Somebody has taken an incident on. `text`: all that it says of itself, in which the alert's name stands.

    `at`: Unix time, by the source's clock; None where it does not say."""

    text: str
    by: str
    at: float | None = None


class OnCallSource(Protocol):
    """Knows who is on call. Used within one event loop."""

    async def look_up(self, service: str | None, schedule: str | None, now: float) -> OnCallInfo:
        """Who would be paged for the service now (a Unix time), and the holes within the configured time ahead.

        `schedule` is the one that the service, else the environment, names. Never raises for what the network or a
        server does: that is in `detail`.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


@runtime_checkable
class Acknowledging(Protocol):
    """What a source of on-call may do besides: say which incidents have been acknowledged."""

    async def acknowledgements(self, since: float) -> tuple[Acknowledgement, ...]:
        """Of incidents that began at or after this Unix time. Raises OnCallError when it cannot be asked."""
        ...
