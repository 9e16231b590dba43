"""What an alert source is: something that says which rules exist and which alerts are in which state."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Protocol, runtime_checkable

import msgspec

from gameday.coverage.matchers import Matcher
from gameday.coverage.routing import Routing
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


class Expression(msgspec.Struct, frozen=True):
    """What a rule's expression says now. `series`: how many; with any, its alert is pending or fires. `missing`:
    selectors that find none, though it needs them. `scrape_s`: the longest interval at which what it is about is
    scraped; None when that is not known. `labels`: the names of all that its series may have; None likewise. `error`:
    why it cannot be evaluated; then the rest says nothing."""

    series: int = 0
    missing: tuple[str, ...] = ()
    scrape_s: float | None = None
    error: str = ""
    labels: frozenset[str] | None = None


class Silence(msgspec.Struct, frozen=True):
    """A silence of Alertmanager that has not ended. Unix times."""

    id: str
    matchers: tuple[Matcher, ...]
    starts_at: float
    ends_at: float
    comment: str = ""


class Survey(msgspec.Struct, frozen=True):
    """What the parts of the pipeline said before the session. `unanswered`: what could not be asked, and why; what it
    would have said is None or empty. `active`: the labels of all alerts that Alertmanager has."""

    seen: AlertsSeen
    routing: Routing | None = None
    silences: tuple[Silence, ...] | None = ()
    active: tuple[dict[str, str], ...] = ()
    external_labels: dict[str, str] = {}  # what every alert gets on its way to Alertmanager
    expressions: dict[str, Expression] = {}  # by their text
    unanswered: tuple[tuple[str, str], ...] = ()


class PingOutcome(StrEnum):
    """What became of an alert that was sent to see whether alerts arrive."""

    ARRIVED = "arrived"  # the receiver has recorded it
    SENT = "sent"  # a notification was sent meanwhile, to all appearances this one; nobody saw it arrive
    UNSEEN = "unseen"


class PingResult(msgspec.Struct, frozen=True):
    """`took_s`: from sending it. `receivers`: where Alertmanager routed it. `left`: why it could not be ended."""

    outcome: PingOutcome
    took_s: float
    receivers: tuple[str, ...] = ()
    detail: str = ""
    left: str = ""


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


@runtime_checkable
class Surveyor(Protocol):
    """What an alert source may do besides: say before the session what it takes for an alert to fire and be heard."""

    async def survey(self, rules: Sequence[AlertRuleInfo]) -> Survey:
        """Ask all parts about these rules, within few times the configured timeout. Never raises for what the network
        or a server does."""
        ...


@runtime_checkable
class Pinger(Protocol):
    """What an alert source may do besides: send an alert of our own the whole way."""

    async def ping(self, labels: Mapping[str, str], wait_s: float) -> PingResult:
        """Send it with these labels and one that is unique, watch it arrive for so many seconds, and end it again.
        Raises AlertSourceError when it is not taken."""
        ...
