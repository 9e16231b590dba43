"""Datadog's monitors as a source of alerts: which there are, which alert, and whether anybody is told.

API: https://docs.datadoghq.com/api/latest/monitors/ and https://docs.datadoghq.com/api/latest/downtimes/. Every look
asks for all monitors, so that an alert that nobody expected is seen, too; it is repeated for ten seconds, for monitors
are evaluated once a minute and the API may not be asked at will.
"""

import asyncio
import time
from collections.abc import Coroutine, Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from gameday.common.datadog import Api, DatadogError, Query
from gameday.coverage.base import AlertSourceError, AlertsSeen, Expression, SeenAlert, Silence, Survey
from gameday.coverage.matchers import Matcher
from gameday.coverage.routing import Route, Routing
from gameday.coverage.sources.datadog_monitors import (
    ALERT,
    Monitor,
    NotificationRule,
    Raised,
    Told,
    covers,
    kind_of,
    metric_of,
    raised,
    read_scope,
    rule_of,
    told,
)
from gameday.journal.events import AlertRuleInfo, AlertState
from gameday.spec.model import AlertsConfig

SOURCE = "datadog"

_LOOK_EVERY_S = 10.0
_NOTICES_EVERY_S = 60.0  # downtimes and notification rules, which change when people change them
_MONITORS, _DOWNTIMES = 1000, 100  # of a page; the most that is documented, and for downtimes none is
_MOST_PAGES = 20
_SHOWN_S = 3600.0  # over which a monitor's metrics are looked for
_NO_END = datetime(9999, 12, 31, tzinfo=UTC).timestamp()
_NOBODY = "a message without an @-handle"
_DRAFT = "nobody, for it is a draft"
_UNKNOWN = "whoever a notification rule names"
_MAX_MESSAGE = 60


class _Span(msgspec.Struct, frozen=True):
    start: datetime | None = None
    end: datetime | None = None


class _Schedule(_Span, frozen=True):
    """Of one that recurs, `current_downtime` is the one that is on, or comes next."""

    current_downtime: _Span | None = None


class _Identifier(msgspec.Struct, frozen=True):
    """Of one monitor, or of all that have these tags; `*` for all."""

    monitor_id: int | None = None
    monitor_tags: tuple[str, ...] | None = None


class _Attributes(msgspec.Struct, frozen=True):
    monitor_identifier: _Identifier | None = None
    scope: str | None = None
    schedule: _Schedule | None = None
    message: str | None = None
    status: str = ""


class _Downtime(msgspec.Struct, frozen=True):
    id: str
    attributes: _Attributes

    @property
    def starts(self) -> float:
        """Unix time."""
        start = self._span.start
        return start.timestamp() if start else 0.0

    @property
    def ends(self) -> float:
        """Unix time."""
        end = self._span.end
        return end.timestamp() if end else _NO_END

    @property
    def _span(self) -> _Span:
        schedule = self.attributes.schedule or _Schedule()
        return schedule.current_downtime or schedule

    def is_of(self, monitor: Monitor) -> bool:
        """Whether it is of this monitor, or of some of its groups."""
        wanted = self.attributes.monitor_identifier or _Identifier()
        if wanted.monitor_id is not None:
            return wanted.monitor_id == monitor.id
        tags = wanted.monitor_tags or ()
        return bool(tags) and (tags == ("*",) or set(tags) <= set(monitor.tags or ()))


class _Page(msgspec.Struct, frozen=True):
    total_filtered_count: int = 0


class _Meta(msgspec.Struct, frozen=True):
    page: _Page = _Page()


class _Downtimes(msgspec.Struct, frozen=True):
    data: tuple[_Downtime, ...] = ()
    meta: _Meta = _Meta()


class _Rules(msgspec.Struct, frozen=True):
    data: tuple[NotificationRule, ...] = ()


class _Notices(msgspec.Struct, frozen=True):
    """What says who is told besides the monitors; None, and in `unanswered` why, where it could not be asked."""

    downtimes: tuple[_Downtime, ...] | None = None
    rules: tuple[NotificationRule, ...] | None = None
    unanswered: tuple[tuple[str, str], ...] = ()


class Datadog:
    """An AlertSource and a Surveyor. The name of an alert is its monitor's."""

    def __init__(self, config: AlertsConfig, rules_url: str | None) -> None:
        """`rules_url` is not used: monitors are rules. Raises AlertSourceError."""
        keys = config.credentials
        try:
            self._api = Api(config.url, keys.api_key, keys.application_key, config.timeout_s)
        except DatadogError as error:
            raise AlertSourceError(f"alerts: {error}") from error
        self._seen: tuple[float, AlertsSeen] | None = None  # a look, and until when it is repeated (monotonic)
        self._known: tuple[float, _Notices] | None = None  # likewise

    async def rules(self) -> tuple[AlertRuleInfo, ...]:
        """All monitors. Raises AlertSourceError."""
        try:
            return tuple(map(rule_of, await self._api.within_deadline(self._monitors())))
        except DatadogError as error:
            raise AlertSourceError(f"the monitors cannot be read from Datadog: {error}") from error

    async def look(self) -> AlertsSeen:
        """All groups of monitors that are not well, as they were within the last ten seconds."""
        if self._seen is not None and time.monotonic() < self._seen[0]:
            return self._seen[1]
        try:
            seen, _ = await self._api.within_deadline(self._look())
        except DatadogError as error:
            return AlertsSeen((), unreachable=((SOURCE, str(error)),))
        self._seen = time.monotonic() + _LOOK_EVERY_S, seen
        return seen

    async def survey(self, rules: Sequence[AlertRuleInfo]) -> Survey:
        """Whom the monitors of these names tell, their downtimes, and whether there are any of their metrics."""
        try:
            seen, monitors = await self._api.within_deadline(self._look())
            notices = await self._api.within_deadline(self._notices())
        except DatadogError as error:
            return Survey(AlertsSeen((), ((SOURCE, str(error)),)), unanswered=((SOURCE, str(error)),))
        names = {rule.name for rule in rules}
        mine = [monitor for monitor in monitors if monitor.name in names]
        expressions = await asyncio.gather(*map(self._expression, mine))
        firing = (alert for alert in seen.alerts if alert.state is AlertState.FIRING)
        return Survey(
            seen=seen,
            routing=_routing(mine, notices.rules),
            silences=None
            if notices.downtimes is None
            else tuple(silence for monitor in mine for silence in _silences(monitor, notices.downtimes)),
            active=tuple({**dict(alert.labels), "alertname": alert.name} for alert in firing),
            expressions={
                monitor.query: found for monitor, found in zip(mine, expressions, strict=True) if found is not None
            },
            unanswered=notices.unanswered,
        )

    async def close(self) -> None:
        """Let go of connections."""
        await self._api.close()

    async def _look(self) -> tuple[AlertsSeen, tuple[Monitor, ...]]:
        monitors = await self._monitors(("group_states", "all"))
        found = [one for monitor in monitors for one in raised(monitor) if one.alert_state is not None]
        # Who is told is asked for where there is something to tell.
        notices = await self._notices() if found else _Notices((), ())
        alerts: list[SeenAlert] = []
        suppressed: list[tuple[str, str]] = []
        for one in found:
            assert one.alert_state is not None
            alerts.append(_seen(one, one.alert_state, one.since))
            if one.alert_state is AlertState.FIRING:
                why = _why_quiet(one, notices, self._api.now())
                if why is None:
                    alerts.append(_seen(one, AlertState.NOTIFIED, one.notified))
                elif why:
                    suppressed.append((one.monitor.name, why))
        return AlertsSeen(tuple(alerts), suppressed=tuple(suppressed)), monitors

    async def _monitors(self, *query: tuple[str, str]) -> tuple[Monitor, ...]:
        found: list[Monitor] = []
        for page in range(_MOST_PAGES):
            paging = (("page", str(page)), ("page_size", str(_MONITORS)))
            got = await self._api.get(tuple[Monitor, ...], "/api/v1/monitor", (*query, *paging), needs="monitors_read")
            found += got
            if len(got) < _MONITORS:
                return tuple(found)
        raise DatadogError(f"there are more than {_MOST_PAGES * _MONITORS} monitors")

    async def _notices(self) -> _Notices:
        """As they were within the last minute; what could not be asked is asked again."""
        if self._known is not None and time.monotonic() < self._known[0]:
            return self._known[1]
        unanswered: dict[str, str] = {}

        async def part[T](name: str, asking: Coroutine[None, None, T]) -> T | None:
            try:
                return await asking
            except DatadogError as error:
                unanswered[name] = str(error)
                return None

        downtimes, rules = await asyncio.gather(
            part("Datadog's downtimes", self._downtimes()), part("Datadog's notification rules", self._rules())
        )
        notices = _Notices(downtimes, rules, tuple(sorted(unanswered.items())))
        self._known = time.monotonic() + (_LOOK_EVERY_S if unanswered else _NOTICES_EVERY_S), notices
        return notices

    async def _downtimes(self) -> tuple[_Downtime, ...]:
        """Those that are on or will be."""
        found: list[_Downtime] = []
        for _ in range(_MOST_PAGES):
            paging = (("page[offset]", str(len(found))), ("page[limit]", str(_DOWNTIMES)))
            answer = await self._api.get(_Downtimes, "/api/v2/downtime", paging, needs="monitors_downtime")
            found += answer.data
            if not answer.data or len(found) >= answer.meta.page.total_filtered_count:
                return tuple(one for one in found if one.attributes.status in ("active", "scheduled"))
        raise DatadogError(f"there are more than {len(found)} downtimes")

    async def _rules(self) -> tuple[NotificationRule, ...]:
        query: Query = (("per_page", str(_MONITORS)),)
        path = "/api/v2/monitor/notification_rule"
        return (await self._api.get(_Rules, path, query, needs="monitors_read")).data

    async def _expression(self, monitor: Monitor) -> Expression | None:
        """Whether there are any data of a monitor's metrics; None where that cannot be told."""
        metric = metric_of(monitor)
        if metric is None:
            return None
        now = self._api.now()
        try:
            series = await self._api.query(metric, now - _SHOWN_S, now)
        except DatadogError:
            return None
        return Expression(missing=() if any(one.points for one in series) else (metric,))


def _seen(one: Raised, state: AlertState, since: float | None) -> SeenAlert:
    return SeenAlert(one.monitor.name, tuple(sorted(one.labels.items())), state, SOURCE, since or None, one.summary)


def _why_quiet(one: Raised, notices: _Notices, now: float) -> str | None:
    """Why nobody is told of it; None when somebody is, and nothing when that is about to happen."""
    if one.monitor.draft_status == "draft":
        return "its monitor is a draft"
    whom = _told(one.monitor, one.labels, one.status, notices.rules or ())
    unanswered = "; ".join(f"{part} cannot be asked: {why}" for part, why in notices.unanswered)
    if not (whom.certain or whom.perhaps):
        return (
            f"it has {_NOBODY}, and {unanswered if notices.rules is None else 'there is no notification rule for it'}"
        )
    muted, doubt = _muted(one, notices.downtimes or (), now)
    if muted:
        return muted
    if one.notified is not None:  # Datadog says when it told somebody; a time before this alert is about another one
        return None if one.notified and one.notified >= (one.since or 0.0) else ""
    if notices.downtimes is None:
        return unanswered
    if doubt:
        return doubt
    return None if whom.certain else f"told only if conditions of its message hold: {_say(whom.perhaps)}"


def _muted(one: Raised, downtimes: Sequence[_Downtime], now: float) -> tuple[str, str]:
    """By what it is muted, and by what perhaps."""
    for group, until in one.monitor.muted.items():
        if group in ("*", one.group) and (until is None or until > now):
            return "its monitor is muted" if group == "*" else f"its monitor is muted for {group}", ""
    doubt = ""
    for downtime in downtimes:
        if downtime.starts <= now < downtime.ends and downtime.is_of(one.monitor):
            scope = downtime.attributes.scope or ""
            applies = covers(read_scope(scope), one.labels)
            if applies:
                return f"in a downtime (downtime {downtime.id})", ""
            if applies is None:
                doubt = f"perhaps in a downtime (downtime {downtime.id}, of {scope})"
    return "", doubt


def _told(monitor: Monitor, labels: Mapping[str, str], status: str, rules: Sequence[NotificationRule]) -> Told:
    return told(monitor.message or "", status, labels, rules)


def _say(handles: Sequence[str]) -> str:
    return ", ".join(f"@{handle}" for handle in handles)


def _routing(monitors: Sequence[Monitor], rules: Sequence[NotificationRule] | None) -> Routing:
    """Each monitor as a route for the alert of its name, which goes to everybody whom it tells."""
    routes: list[Route] = []
    receivers: dict[str, tuple[str, ...]] = {_NOBODY: (), _DRAFT: (), _UNKNOWN: ("not known",)}

    def route(monitor: Monitor, receiver: str, *conditions: Matcher) -> None:
        matchers = (Matcher("alertname", "=", monitor.name), *conditions)
        routes.append(Route(receiver, 0.0, matchers, goes_on=True))

    for monitor in monitors:
        if monitor.draft_status == "draft":
            route(monitor, _DRAFT)
            continue
        whom = _told(monitor, monitor.labels, ALERT, rules or ())
        for handle in whom.certain or whom.perhaps:
            receivers[f"@{handle}"] = (kind_of(handle),)
            route(monitor, f"@{handle}")
        if whom.perhaps:
            # Never matched, and so said as a doubt.
            route(monitor, _UNKNOWN, Matcher("a condition of its message", "=", "true"))
        elif rules is None and not whom.certain:
            route(monitor, _UNKNOWN)
    return Routing(Route(_NOBODY, 0.0, routes=tuple(routes)), receivers)


def _silences(monitor: Monitor, downtimes: Sequence[_Downtime]) -> list[Silence]:
    alert = Matcher("alertname", "=", monitor.name)
    found = []
    for group, until in monitor.muted.items():
        pairs = tuple(part.partition(":") for part in group.split(",")) if group != "*" else ()
        matchers = (alert, *(Matcher(key, "=", value) for key, _, value in pairs))
        found.append(_silence("its monitor is muted", matchers, 0.0, until or _NO_END, ""))
    for downtime in downtimes:
        if downtime.is_of(monitor):
            text = downtime.attributes.scope or ""
            scope = read_scope(text)
            wanted = [("scope", text)] if scope is None else [*scope]
            matchers = (alert, *(Matcher(key, "=", value) for key, value in wanted))
            comment = (downtime.attributes.message or "")[:_MAX_MESSAGE]
            found.append(_silence(f"downtime {downtime.id}", matchers, downtime.starts, downtime.ends, comment))
    return found


def _silence(name: str, matchers: tuple[Matcher, ...], starts: float, ends: float, comment: str) -> Silence:
    said = "; ".join(filter(None, ["it has no end" if ends == _NO_END else "", comment]))
    return Silence(name, matchers, starts, ends, said)
