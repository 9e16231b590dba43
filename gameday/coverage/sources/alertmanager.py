"""Sees alerts on their whole way: in Prometheus, in Alertmanager, and at the receiver where that keeps a record."""

import asyncio
from collections.abc import Coroutine, Iterable, Mapping, Sequence

import msgspec

from gameday.common.http import HttpClient, HttpError, parse_url
from gameday.coverage.base import AlertSourceError, AlertsSeen, PingResult, SeenAlert, Survey
from gameday.coverage.sources.answers import (
    ACTIVE,
    NOTIFICATIONS,
    ROUTED,
    RULES,
    ActiveAlert,
    Group,
    Labels,
    Notification,
    RoutedAlert,
    Rule,
    ask,
    data_of,
)
from gameday.coverage.sources.pinging import Pinging
from gameday.coverage.sources.surveying import Surveying
from gameday.journal.events import AlertRuleInfo, AlertState
from gameday.spec.model import AlertsConfig

PROMETHEUS, ALERTMANAGER, RECEIVER = "prometheus", "alertmanager", "receiver"

_MAX_SUMMARY = 300


class _Part(msgspec.Struct, frozen=True):
    """What one part of the pipeline said."""

    alerts: tuple[SeenAlert, ...] = ()
    routed: tuple[RoutedAlert, ...] = ()
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
        self._client = HttpClient(config.timeout_s, config.credentials.headers())
        self._surveying = Surveying(self._client, prometheus, alertmanager, config.timeout_s)
        self._pinging = Pinging(self._client, alertmanager, self._record_url)
        self._dumb: frozenset[str] = frozenset()  # receivers that tell nobody, as far as is known

    async def rules(self) -> tuple[AlertRuleInfo, ...]:
        """All alerting rules. Raises AlertSourceError."""
        try:
            groups = data_of(await ask(self._client, self._rules_url, RULES))
        except HttpError as error:
            raise AlertSourceError(f"the alerting rules cannot be read from Prometheus: {error}") from error
        return tuple(
            _rule_info(rule, group) for group in groups.groups for rule in group.rules if rule.type == "alerting"
        )

    async def look(self) -> AlertsSeen:
        """All alerts now. What a part did not answer is in `unreachable`."""
        seen, _ = await self._look()
        return seen

    async def survey(self, rules: Sequence[AlertRuleInfo]) -> Survey:
        """What all parts say about these rules; from now on a receiver that tells nobody counts for none."""
        (seen, routed), survey = await asyncio.gather(self._look(), self._surveying.ask(rules))
        if survey.routing:
            receivers = survey.routing.receivers
            self._dumb = frozenset(name for name, integrations in receivers.items() if not integrations)
        return msgspec.structs.replace(
            survey,
            seen=seen,
            active=tuple(alert.labels for alert in routed),
            unanswered=(*seen.unreachable, *survey.unanswered),
        )

    async def ping(self, labels: Mapping[str, str], wait_s: float) -> PingResult:
        """Send an alert with these labels and watch it arrive. Raises AlertSourceError when it is not taken."""
        try:
            return await self._pinging.ping(labels, wait_s)
        except HttpError as error:
            raise AlertSourceError(f"Alertmanager does not take the alert: {error}") from error

    async def _look(self) -> tuple[AlertsSeen, tuple[RoutedAlert, ...]]:
        prometheus, alertmanager, receiver = await asyncio.gather(
            self._part(PROMETHEUS, self._look_at_prometheus()),
            self._part(ALERTMANAGER, self._look_at_alertmanager()),
            self._part(RECEIVER, self._look_at_receiver()),
        )
        routed = alertmanager.routed
        quiet = [(alert, _why_quiet(alert, self._dumb)) for alert in routed]
        notified = () if self._record_url else tuple(_notified(alert) for alert, why in quiet if not why)
        seen = AlertsSeen(
            alerts=(*(_dated(alert, routed) for alert in prometheus.alerts), *notified, *receiver.alerts),
            unreachable=(*prometheus.unreachable, *alertmanager.unreachable, *receiver.unreachable),
            suppressed=tuple((_name(alert.labels), why) for alert, why in quiet if why),
        )
        return seen, routed

    async def close(self) -> None:
        """Let go of connections."""
        await self._client.close()

    async def _part(self, name: str, looking: Coroutine[None, None, _Part]) -> _Part:
        try:
            return await looking
        except HttpError as error:
            return _Part(unreachable=((name, str(error)),))

    async def _look_at_prometheus(self) -> _Part:
        alerts = data_of(await ask(self._client, self._active_url, ACTIVE)).alerts
        return _Part(alerts=tuple(_seen(alert) for alert in alerts if alert.state != "inactive"))

    async def _look_at_alertmanager(self) -> _Part:
        return _Part(routed=await ask(self._client, self._routed_url, ROUTED))

    async def _look_at_receiver(self) -> _Part:
        if self._record_url is None:
            return _Part()
        record = await ask(self._client, self._record_url, NOTIFICATIONS)
        return _Part(alerts=tuple(_still_firing(record)))


def _rule_info(rule: Rule, group: Group) -> AlertRuleInfo:
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
        interval_s=group.interval,
        keep_firing_for_s=rule.keep_firing_for,
        error=(rule.last_error or "its server does not say why") if rule.health == "err" else "",
        labels=rule.labels,
    )


def _name(labels: Labels) -> str:
    return labels.get("alertname", "")


def _label_set(labels: Labels) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((key, value) for key, value in labels.items() if key != "alertname"))


def _summary(annotations: Labels) -> str:
    return (annotations.get("summary") or annotations.get("description") or "")[:_MAX_SUMMARY]


def _seen(alert: ActiveAlert) -> SeenAlert:
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


def _dated(alert: SeenAlert, routed: Iterable[RoutedAlert]) -> SeenAlert:
    """A firing alert with the moment it began to fire, which Prometheus tells Alertmanager alone.

    The labels there are the same and more: Prometheus adds its external ones on the way.
    """
    if alert.state is not AlertState.FIRING:
        return alert
    wanted = {*alert.labels, ("alertname", alert.name)}
    starts = (other.starts_at.timestamp() for other in routed if wanted <= other.labels.items())
    return msgspec.structs.replace(alert, since=min(starts, default=None))


def _why_quiet(alert: RoutedAlert, dumb: frozenset[str]) -> str | None:
    """Why Alertmanager tells nobody of this alert; None when it does. `dumb`: receivers that tell nobody."""
    if alert.status.silenced_by:
        return f"silenced in Alertmanager (silence {', '.join(alert.status.silenced_by)})"
    if alert.status.inhibited_by:
        return "inhibited in Alertmanager by another alert"
    if alert.status.state != "active":
        return f"{alert.status.state} in Alertmanager"
    names = [receiver.name for receiver in alert.receivers]
    if names and dumb.issuperset(names):
        return f"routed to {', '.join(f'`{name}`' for name in names)}, which tells nobody"
    return None if names else "routed to no receiver"


def _notified(alert: RoutedAlert) -> SeenAlert:
    # `since` stays open: Alertmanager says when the alert began to fire, not when it told anyone.
    return SeenAlert(
        _name(alert.labels),
        _label_set(alert.labels),
        AlertState.NOTIFIED,
        ALERTMANAGER,
        None,
        _summary(alert.annotations),
    )


def _still_firing(record: Iterable[Notification]) -> Iterable[SeenAlert]:
    """The alerts whose last notification was not "resolved", since their first one."""
    since: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    for entry in record:
        key = (entry.name, _label_set(entry.labels))
        if entry.status == "firing":
            since.setdefault(key, entry.received_at)
        else:
            since.pop(key, None)
    return (SeenAlert(name, labels, AlertState.NOTIFIED, RECEIVER, at) for (name, labels), at in since.items())
