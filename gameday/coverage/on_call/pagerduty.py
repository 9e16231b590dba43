"""Who is on call by PagerDuty, and what has been acknowledged there.

API: PagerDuty's REST API v2 (https://developer.pagerduty.com/api-reference/, its openapiv3.json), read only. EU:
`url: https://api.eu.pagerduty.com`.
"""

import asyncio
import re
from collections.abc import Iterator

import msgspec

from gameday.common.json import Json
from gameday.coverage.on_call.asking import Api, Moment, Query, iso, pick
from gameday.coverage.on_call.base import Acknowledgement, OnCallError
from gameday.coverage.on_call.shifts import Shift, tell
from gameday.journal.events import OnCallInfo
from gameday.spec.model import OnCallConfig
from gameday.spec.units import format_duration

_ID = re.compile(r"[A-Z0-9]{6,20}")
_KINDS = {"schedule": "a schedule", "escalation_policy": "an escalation policy", "service": "a service"}
_LISTS = ("schedules", "escalation_policies", "services")
_LIMIT = 100  # records of a page: what PagerDuty gives at most
_MOST_RECORDS = 10_000  # what it lets one page through
_FURTHEST_S = 89 * 86400.0  # it knows shifts 90 days ahead
_MOST_INCIDENTS = 50  # whose alerts are read, the latest first
_MOST_TEXT = 64 * 1024  # characters of one alert


class _Reference(msgspec.Struct, frozen=True):
    id: str = ""
    summary: str | None = None  # its name


class _Entry(msgspec.Struct, frozen=True):
    """A shift of a rendered schedule. Without an end it does not end."""

    start: Moment
    end: Moment | None
    user: _Reference | None = None


class _Rendered(msgspec.Struct, frozen=True):
    rendered_schedule_entries: tuple[_Entry, ...] = ()


class _Resource(msgspec.Struct, frozen=True):
    """A schedule, an escalation policy or a service, each with its own among these fields."""

    id: str
    type: str
    name: str = ""
    html_url: str | None = None
    final_schedule: _Rendered | None = None
    escalation_policies: tuple[_Reference, ...] = ()  # that use the schedule
    escalation_rules: tuple[msgspec.Raw, ...] = ()
    escalation_policy: _Reference | None = None  # of the service

    @property
    def kind(self) -> str:
        return _KINDS.get(self.type, f"a {self.type}")


class _One(msgspec.Struct, frozen=True):
    schedule: _Resource | None = None
    escalation_policy: _Resource | None = None
    service: _Resource | None = None

    @property
    def resource(self) -> _Resource | None:
        return self.schedule or self.escalation_policy or self.service


class _Page(msgspec.Struct, frozen=True):
    more: bool = False


class _Resources(_Page, frozen=True):
    schedules: tuple[_Resource, ...] = ()
    escalation_policies: tuple[_Resource, ...] = ()
    services: tuple[_Resource, ...] = ()


class _OnCall(msgspec.Struct, frozen=True):
    """Without a start or an end, the user is always on call."""

    escalation_level: int
    user: _Reference | None = None
    start: Moment | None = None
    end: Moment | None = None


class _OnCalls(_Page, frozen=True):
    oncalls: tuple[_OnCall, ...] = ()


class _Acknowledged(msgspec.Struct, frozen=True):
    at: Moment
    acknowledger: _Reference


class _Counts(msgspec.Struct, frozen=True):
    all: int = 0


class _Incident(msgspec.Struct, frozen=True):
    """`acknowledgements` is empty unless its status is "acknowledged"."""

    id: str
    status: str
    title: str | None = None
    acknowledgements: tuple[_Acknowledged, ...] = ()
    alert_counts: _Counts = _Counts()


class _Incidents(_Page, frozen=True):
    incidents: tuple[_Incident, ...] = ()


class _LogEntry(msgspec.Struct, frozen=True):
    type: str
    created_at: Moment
    agent: _Reference | None = None


class _LogEntries(_Page, frozen=True):
    log_entries: tuple[_LogEntry, ...] = ()


class _Body(msgspec.Struct, frozen=True):
    details: Json = None  # an object or a text: whatever the alert's sender gave


class _Alert(msgspec.Struct, frozen=True):
    summary: str | None = None
    body: _Body | None = None


class _Alerts(_Page, frozen=True):
    alerts: tuple[_Alert, ...] = ()


type _Who = tuple[str, float]  # who acknowledged, and when


class PagerDuty:
    """Looks up schedules, escalation policies and services, by id or name, and acknowledged incidents."""

    def __init__(self, config: OnCallConfig) -> None:
        """Raises OnCallError."""
        self._api = Api(
            config,
            name="PagerDuty",
            url="https://api.pagerduty.com",
            authorization="Token token=",
            accept="application/vnd.pagerduty+json;version=2",
            permission=lambda where: f"read access ({where.partition('/')[0]}.read, where it is an OAuth token)",
        )
        self._within_s = min(config.within_s, _FURTHEST_S)
        self._capped = config.within_s > _FURTHEST_S
        self._alerts: dict[tuple[str, int], tuple[str, ...]] = {}  # what they say, by incident and how many they are
        self._resolved: dict[str, tuple[_Who, ...]] = {}  # who had acknowledged it

    async def look_up(self, service: str | None, schedule: str | None, now: float) -> OnCallInfo:
        """Who is on call by the schedule, else by the service of PagerDuty's that is called as ours is."""
        info = OnCallInfo(service=service, source="pagerduty", schedule=schedule or service or "")
        return await self._api.look_up(info, self._look_up(info, now))

    async def acknowledgements(self, since: float) -> tuple[Acknowledgement, ...]:
        """Of incidents that were triggered at or after this Unix time, one for each of their alerts."""
        return await self._api.within_deadline(self._acknowledgements(since))

    async def close(self) -> None:
        """Let go of connections."""
        await self._api.close()

    async def _look_up(self, info: OnCallInfo, now: float) -> OnCallInfo:
        found = await self._find(info.schedule)
        until = now + self._within_s
        info = msgspec.structs.replace(info, schedule=found.name or info.schedule, url=found.html_url or "")
        details = [f"PagerDuty knows no further than {format_duration(self._within_s)} ahead"] if self._capped else []
        if found.type == "schedule":
            levels = [await self._shifts_of_schedule(found.id, now, until)]
            policies = ", ".join(policy.summary or policy.id for policy in found.escalation_policies)
            details += [
                "a schedule is one level: "
                + (f"name its escalation policy ({policies}) to see the others" if policies else "no policy uses it")
            ]
        else:
            policy = found if found.type == "escalation_policy" else await self._policy_of(found)
            levels = await self._shifts_of_policy(policy, now, until)
        return msgspec.structs.replace(tell(info, levels, now, until), detail="; ".join(details))

    async def _find(self, name: str) -> _Resource:
        if _ID.fullmatch(name):
            answers = await asyncio.gather(*(self._api.get(_One, kind, name) for kind in _LISTS))
            if found := [answer.resource for answer in answers if answer and answer.resource]:
                return pick(name, found)
        matching = await self._resources(("query", name))
        exact = [one for one in matching if one.name == name]
        # What is misspelt matches nothing: then all names are wanted, for the one that was meant.
        return pick(name, exact or [*matching, *await self._resources()])

    async def _resources(self, *query: tuple[str, str]) -> list[_Resource]:
        lists = await asyncio.gather(*(self._pages(_Resources, kind, query=query) for kind in _LISTS))
        pages = [page for pages in lists for page in pages]
        return [one for page in pages for one in (*page.schedules, *page.escalation_policies, *page.services)]

    async def _policy_of(self, service: _Resource) -> _Resource:
        if service.escalation_policy is None:
            raise OnCallError(f"PagerDuty's service `{service.name}` has no escalation policy")
        answer = await self._api.get(_One, "escalation_policies", service.escalation_policy.id)
        if answer is None or answer.escalation_policy is None:
            raise OnCallError(f"PagerDuty does not show the escalation policy of its service `{service.name}`")
        return answer.escalation_policy

    async def _shifts_of_schedule(self, schedule: str, now: float, until: float) -> list[Shift]:
        answer = await self._api.get(_One, "schedules", schedule, query=_range(now, until))
        if answer is None or answer.schedule is None or answer.schedule.final_schedule is None:
            raise OnCallError("PagerDuty does not show the shifts of the schedule")
        entries = answer.schedule.final_schedule.rendered_schedule_entries
        return [_shift(entry, entry.user) for entry in entries if entry.user]

    async def _shifts_of_policy(self, policy: _Resource, now: float, until: float) -> list[list[Shift]]:
        query = [("escalation_policy_ids[]", policy.id), *_range(now, until)]
        pages = await self._pages(_OnCalls, "oncalls", query=query)
        on_calls = [on_call for page in pages for on_call in page.oncalls]
        # A level at which nobody is ever on call is in no answer.
        levels = max(1, len(policy.escalation_rules), *(on_call.escalation_level for on_call in on_calls))
        return [
            [_shift(one, one.user) for one in on_calls if one.escalation_level == level and one.user]
            for level in range(1, levels + 1)
        ]

    async def _acknowledgements(self, since: float) -> tuple[Acknowledgement, ...]:
        statuses = [("statuses[]", status) for status in ("triggered", "acknowledged", "resolved")]
        query = [*statuses, ("since", iso(since)), ("time_zone", "UTC"), ("sort_by", "created_at:desc")]
        pages = await self._pages(_Incidents, "incidents", query=query)
        incidents = [incident for page in pages for incident in page.incidents][:_MOST_INCIDENTS]
        found = await asyncio.gather(*map(self._acknowledgements_of, incidents))
        return tuple(acknowledgement for one in found for acknowledgement in one)

    async def _acknowledgements_of(self, incident: _Incident) -> list[Acknowledgement]:
        who = [
            (one.acknowledger.summary or one.acknowledger.id, one.at.timestamp()) for one in incident.acknowledgements
        ]
        if incident.status == "resolved":
            who += await self._acknowledged_before(incident.id)
        if not who:
            return []
        texts = (incident.title or "", *await self._texts(incident))
        return [Acknowledgement(text, by, at) for text in texts if text for by, at in who]

    async def _acknowledged_before(self, incident: str) -> tuple[_Who, ...]:
        """By whom an incident that is resolved had been acknowledged; it forgets that when it is."""
        if incident not in self._resolved:
            pages = await self._pages(
                _LogEntries, "incidents", incident, "log_entries", query=[("is_overview", "true")]
            )
            self._resolved[incident] = tuple(
                (entry.agent.summary or entry.agent.id, entry.created_at.timestamp())
                for page in pages
                for entry in page.log_entries
                if entry.type in ("acknowledge_log_entry", "acknowledgement_log_entry") and entry.agent
            )
        return self._resolved[incident]

    async def _texts(self, incident: _Incident) -> tuple[str, ...]:
        key = (incident.id, incident.alert_counts.all)
        if key not in self._alerts:
            pages = await self._pages(_Alerts, "incidents", incident.id, "alerts")
            self._alerts[key] = tuple(_text(alert) for page in pages for alert in page.alerts)
        return self._alerts[key]

    async def _pages[P: _Page](self, kind: type[P], *path: str, query: Query = ()) -> list[P]:
        pages: list[P] = []
        while True:
            paging = [("limit", str(_LIMIT)), ("offset", str(len(pages) * _LIMIT))]
            page = await self._api.get(kind, *path, query=[*query, *paging])
            if page is None:
                raise OnCallError(f"PagerDuty has nothing at /{'/'.join(path)}: HTTP 404")
            pages.append(page)
            if not page.more:
                return pages
            if len(pages) * _LIMIT >= _MOST_RECORDS:
                raise OnCallError(f"PagerDuty has more than {_MOST_RECORDS} records at /{'/'.join(path)}")


def _range(now: float, until: float) -> Query:
    return [("since", iso(now)), ("until", iso(until + 1)), ("time_zone", "UTC")]


def _shift(entry: _Entry | _OnCall, user: _Reference) -> Shift:
    return Shift(
        user.summary or user.id,
        entry.start.timestamp() if entry.start else float("-inf"),
        entry.end.timestamp() if entry.end else float("inf"),
    )


def _text(alert: _Alert) -> str:
    """All that an alert says of itself: among it, where it came from Prometheus, the names of what fires."""
    details = _strings(alert.body.details) if alert.body else ()
    return " ".join(filter(None, (alert.summary, *details)))[:_MOST_TEXT]


def _strings(value: Json) -> Iterator[str]:
    values = [value]
    while values:
        match values.pop():
            case str(text):
                yield text
            case list(items):
                values += items
            case dict(fields):
                values += fields.values()
