"""What an alert source is: something that says which rules exist and which alerts are in which state."""

from typing import Protocol

import msgspec

from gameday.journal.events import AlertRuleInfo, AlertState, FindingKind


class SeenAlert(msgspec.Struct, frozen=True):
    """One alert in one state, as its source says now. `since`: Unix time at which the source says the state began."""

    name: str
    labels: tuple[tuple[str, str], ...]  # sorted
    state: AlertState  # PENDING, FIRING or NOTIFIED; RESOLVED is found by its absence
    source: str  # "prometheus", "alertmanager", "receiver"
    since: float | None = None
    summary: str = ""


class AlertsSeen(msgspec.Struct, frozen=True):
    """One look at all sources. `unreachable` names those that did not answer, with the reason: about their alerts
    this look says nothing, not that they are silent. `suppressed`: names of alerts that nobody is told of, and why."""

    alerts: tuple[SeenAlert, ...]
    unreachable: tuple[tuple[str, str], ...] = ()
    suppressed: tuple[tuple[str, str], ...] = ()


class Finding(msgspec.Struct, frozen=True):
    """Something found, before it is written to the journal as FindingRaised (same fields)."""

    kind: FindingKind
    title: str
    detail: str = ""
    weakness: bool = True
    suggested_owner: str | None = None


class AlertSourceError(Exception):
    """The source cannot be used as configured, or did not say which rules exist; the message says why."""


class AlertSource(Protocol):
    """Looks at alerts. `look` never raises for what the network or a server does."""

    async def rules(self) -> tuple[AlertRuleInfo, ...]:
        """All alerting rules. Raises AlertSourceError when they cannot be read."""
        ...

    async def look(self) -> AlertsSeen:
        """All alerts now, from every part of the pipeline, in parallel, within the configured timeout."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
