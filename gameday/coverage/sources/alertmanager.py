"""Sees alerts on their whole way: in Prometheus, in Alertmanager, and at the receiver where that keeps a record.

Formats: Prometheus's HTTP API (/api/v1/rules, /api/v1/alerts), Alertmanager's API v2 (/api/v2/alerts), and the
receiver's record: GET <receiver>/notifications is a list, oldest first, of {"name", "labels", "status": "firing" or
"resolved", "received_at": Unix time}.
"""

import asyncio
from collections.abc import Coroutine, Iterable
from datetime import datetime
from typing import Literal

import msgspec
from yarl import URL

from gameday.common.http import HttpClient, HttpError, parse_url
from gameday.coverage.base import AlertSourceError, AlertsSeen, SeenAlert
from gameday.journal.events import AlertRuleInfo, AlertState
from gameday.spec.model import AlertsConfig

PROMETHEUS, ALERTMANAGER, RECEIVER = "prometheus", "alertmanager", "receiver"

_MAX_BYTES = 16 * 1024 * 1024  # thousands of alerts, or the rules of a large organisation
_MAX_SUMMARY = 300

type _Labels = dict[str, str]


class _Rule(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    query: str
    duration: float = 0.0  # seconds
    labels: _Labels = {}
    annotations: _Labels = {}
    state: str = "inactive"
    type: str = "alerting"


class _Group(msgspec.Struct, frozen=True):
    rules: tuple[_Rule, ...] = ()


class _Groups(msgspec.Struct, frozen=True):
    groups: tuple[_Group, ...] = ()


class _ActiveAlert(msgspec.Struct, frozen=True, rename="camel"):
    """`active_at` is when it became pending, also of an alert that fires."""

    labels: _Labels
    state: Literal["pending", "firing", "inactive"]
    annotations: _Labels = {}
    active_at: datetime | None = None


class _ActiveAlerts(msgspec.Struct, frozen=True):
    alerts: tuple[_ActiveAlert, ...] = ()


class _Body[T](msgspec.Struct, frozen=True, rename="camel"):
    """The envelope of Prometheus's answers."""

    status: str
    data: T | None = None
    error_type: str = ""
    error: str = ""


class _Receiver(msgspec.Struct, frozen=True):
    name: str


class _Status(msgspec.Struct, frozen=True, rename="camel"):
    state: str  # "active", "suppressed" or "unprocessed"
    silenced_by: tuple[str, ...] = ()
    inhibited_by: tuple[str, ...] = ()


class _RoutedAlert(msgspec.Struct, frozen=True, rename="camel"):
    """An alert in Alertmanager; `starts_at` is when Prometheus says that it began to fire."""

    labels: _Labels
    starts_at: datetime
    status: _Status
    receivers: tuple[_Receiver, ...] = ()
    annotations: _Labels = {}


class _Notification(msgspec.Struct, frozen=True):
    name: str
    labels: _Labels
    status: Literal["firing", "resolved"]
    received_at: float


_rules = msgspec.json.Decoder(_Body[_Groups])
_active = msgspec.json.Decoder(_Body[_ActiveAlerts])
_routed = msgspec.json.Decoder(tuple[_RoutedAlert, ...])
_notifications = msgspec.json.Decoder(tuple[_Notification, ...])


class _Part(msgspec.Struct, frozen=True):
    """What one part of the pipeline said."""

    alerts: tuple[SeenAlert, ...] = ()
    routed: tuple[_RoutedAlert, ...] = ()
    unreachable: tuple[tuple[str, str], ...] = ()


class Alertmanager:
    """An AlertSource. Every look asks all parts at once over kept-alive connections."""

    def __init__(self, config: AlertsConfig, rules_url: str | None) -> None:
        """`rules_url` is the base URL of the Prometheus that evaluates the rules. Raises AlertSourceError."""
        if rules_url is None:
            raise AlertSourceError("alerts: `rules-url` is missing: expected the URL of the Prometheus with the rules")
        try:
            prometheus, alertmanager = parse_url(rules_url), parse_url(config.url)
            receiver = parse_url(config.receiver_url) if config.receiver_url else None
        except ValueError as error:
            raise AlertSourceError(f"alerts: {error}") from error
        self._rules_url = prometheus.joinpath("api", "v1", "rules").with_query(type="alert")
        self._active_url = prometheus.joinpath("api", "v1", "alerts")
        self._routed_url = alertmanager.joinpath("api", "v2", "alerts")
        self._record_url = receiver.joinpath("notifications") if receiver else None
        self._client = HttpClient(config.timeout_s)

    async def rules(self) -> tuple[AlertRuleInfo, ...]:
        """All alerting rules. Raises AlertSourceError."""
        try:
            groups = _data(await self._get(self._rules_url, _rules))
        except HttpError as error:
            raise AlertSourceError(f"the alerting rules cannot be read from Prometheus: {error}") from error
        return tuple(_rule_info(rule) for group in groups.groups for rule in group.rules if rule.type == "alerting")

    async def look(self) -> AlertsSeen:
        """All alerts now. What a part did not answer is in `unreachable`."""
        prometheus, alertmanager, receiver = await asyncio.gather(
            self._part(PROMETHEUS, self._look_at_prometheus()),
            self._part(ALERTMANAGER, self._look_at_alertmanager()),
            self._part(RECEIVER, self._look_at_receiver()),
        )
        routed = alertmanager.routed
        notified = () if self._record_url else tuple(_notified(alert) for alert in routed if not _why_quiet(alert))
        return AlertsSeen(
            alerts=(*(_dated(alert, routed) for alert in prometheus.alerts), *notified, *receiver.alerts),
            unreachable=(*prometheus.unreachable, *alertmanager.unreachable, *receiver.unreachable),
            suppressed=tuple((_name(alert.labels), why) for alert in routed if (why := _why_quiet(alert))),
        )

    async def close(self) -> None:
        """Let go of connections."""
        await self._client.close()

    async def _part(self, name: str, looking: Coroutine[None, None, _Part]) -> _Part:
        try:
            return await looking
        except HttpError as error:
            return _Part(unreachable=((name, str(error)),))

    async def _look_at_prometheus(self) -> _Part:
        alerts = _data(await self._get(self._active_url, _active)).alerts
        return _Part(alerts=tuple(_seen(alert) for alert in alerts if alert.state != "inactive"))

    async def _look_at_alertmanager(self) -> _Part:
        return _Part(routed=await self._get(self._routed_url, _routed))

    async def _look_at_receiver(self) -> _Part:
        if self._record_url is None:
            return _Part()
        record = await self._get(self._record_url, _notifications)
        return _Part(alerts=tuple(_still_firing(record)))

    async def _get[T](self, url: URL, decoder: msgspec.json.Decoder[T]) -> T:
        answer = await self._client.get(url, max_bytes=_MAX_BYTES)
        try:
            if answer.status == 200:
                return decoder.decode(answer.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise HttpError(f"the answer is not as expected ({error}): {answer.excerpt() or 'empty'}") from error
        raise HttpError(f"HTTP {answer.status}: {answer.excerpt() or 'an empty answer'}")


def _data[T](body: _Body[T]) -> T:
    if body.data is None:
        raise HttpError(f"Prometheus says {body.error_type or body.status}: {body.error or 'no reason'}")
    return body.data


def _rule_info(rule: _Rule) -> AlertRuleInfo:
    notes = rule.annotations
    return AlertRuleInfo(
        name=rule.name,
        expression=rule.query,
        for_s=rule.duration,
        severity=rule.labels.get("severity"),
        service=rule.labels.get("service"),
        runbook_url=notes.get("runbook_url") or notes.get("runbook"),
        dashboard=notes.get("dashboard") or notes.get("dashboard_url"),
        state=rule.state,
    )


def _name(labels: _Labels) -> str:
    return labels.get("alertname", "")


def _label_set(labels: _Labels) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((key, value) for key, value in labels.items() if key != "alertname"))


def _summary(annotations: _Labels) -> str:
    return (annotations.get("summary") or annotations.get("description") or "")[:_MAX_SUMMARY]


def _seen(alert: _ActiveAlert) -> SeenAlert:
    is_pending = alert.state == "pending"
    return SeenAlert(
        name=_name(alert.labels),
        labels=_label_set(alert.labels),
        state=AlertState.PENDING if is_pending else AlertState.FIRING,
        source=PROMETHEUS,
        # Prometheus does not say since when an alert fires; Alertmanager may (see `_dated`).
        since=alert.active_at.timestamp() if is_pending and alert.active_at else None,
        summary=_summary(alert.annotations),
    )


def _dated(alert: SeenAlert, routed: Iterable[_RoutedAlert]) -> SeenAlert:
    """A firing alert with the moment it began to fire, which Prometheus tells Alertmanager alone.

    The labels there are the same and more: Prometheus adds its external ones on the way.
    """
    if alert.state is not AlertState.FIRING:
        return alert
    wanted = {*alert.labels, ("alertname", alert.name)}
    starts = (other.starts_at.timestamp() for other in routed if wanted <= other.labels.items())
    return msgspec.structs.replace(alert, since=min(starts, default=None))


def _why_quiet(alert: _RoutedAlert) -> str | None:
    """Why Alertmanager tells nobody of this alert; None when it does."""
    if alert.status.silenced_by:
        return f"silenced in Alertmanager (silence {', '.join(alert.status.silenced_by)})"
    if alert.status.inhibited_by:
        return "inhibited in Alertmanager by another alert"
    if alert.status.state != "active":
        return f"{alert.status.state} in Alertmanager"
    return None if alert.receivers else "routed to no receiver"


def _notified(alert: _RoutedAlert) -> SeenAlert:
    # `since` stays open: Alertmanager says when the alert began to fire, not when it told anyone.
    return SeenAlert(
        _name(alert.labels),
        _label_set(alert.labels),
        AlertState.NOTIFIED,
        ALERTMANAGER,
        None,
        _summary(alert.annotations),
    )


def _still_firing(record: Iterable[_Notification]) -> Iterable[SeenAlert]:
    """The alerts whose last notification was not "resolved", since their first one."""
    since: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    for entry in record:
        key = (entry.name, _label_set(entry.labels))
        if entry.status == "firing":
            since.setdefault(key, entry.received_at)
        else:
            since.pop(key, None)
    return (SeenAlert(name, labels, AlertState.NOTIFIED, RECEIVER, at) for (name, labels), at in since.items())
