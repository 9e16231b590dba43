"""Who is on call by Opsgenie, and what has been acknowledged there.

API: Opsgenie's REST API v2 (https://docs.opsgenie.com/docs/who-is-on-call-api, /schedule-api, /escalation-api,
/alert-api; https://github.com/opsgenie/opsgenie-oas), read only. EU: `url: https://api.eu.opsgenie.com`.
"""

import asyncio
import math

import msgspec

from gameday.coverage.on_call.asking import Api, Moment, iso, pick
from gameday.coverage.on_call.base import Acknowledgement, OnCallError
from gameday.coverage.on_call.shifts import ALWAYS, Shift, tell
from gameday.journal.events import OnCallInfo
from gameday.spec.model import OnCallConfig

_DAY_S = 86400.0
_LIMIT = 100  # alerts of a page: what Opsgenie gives at most
_MOST_ALERTS = 1000
_SECONDS = {"minutes": 60, "hours": 3600, "days": 86400}


class _Recipient(msgspec.Struct, frozen=True):
    """A `type` is user, schedule, team, escalation, group, all or none; of users, some answers give `username`."""

    type: str = ""
    id: str = ""
    name: str = ""
    username: str = ""

    @property
    def label(self) -> str:
        name = self.name or self.username or self.id
        return name if self.type == "user" else f"{self.type} {name}".strip()


class _Schedule(msgspec.Struct, frozen=True):
    id: str
    name: str
    enabled: bool = True

    @property
    def kind(self) -> str:
        return "a schedule"


class _Delay(msgspec.Struct, frozen=True, rename="camel"):
    time_amount: int = 0
    time_unit: str = "minutes"

    @property
    def seconds(self) -> int:
        return self.time_amount * _SECONDS.get(self.time_unit, 60)


class _Rule(msgspec.Struct, frozen=True, rename="camel"):
    recipient: _Recipient
    delay: _Delay = _Delay()
    notify_type: str = "default"


class _Escalation(msgspec.Struct, frozen=True):
    id: str
    name: str
    rules: tuple[_Rule, ...] = ()

    @property
    def kind(self) -> str:
        return "an escalation"


class _Schedules(msgspec.Struct, frozen=True):
    data: tuple[_Schedule, ...]


class _Escalations(msgspec.Struct, frozen=True):
    data: tuple[_Escalation, ...]


class _OnCall(msgspec.Struct, frozen=True, rename="camel"):
    on_call_recipients: tuple[str, ...] = ()  # users' names, with `flat`


class _OnCalls(msgspec.Struct, frozen=True):
    data: _OnCall


class _Period(msgspec.Struct, frozen=True, rename="camel"):
    start_date: Moment
    end_date: Moment
    recipient: _Recipient | None = None


class _Rotation(msgspec.Struct, frozen=True):
    periods: tuple[_Period, ...] = ()


class _Timeline(msgspec.Struct, frozen=True):
    rotations: tuple[_Rotation, ...] = ()


class _ScheduleTimeline(msgspec.Struct, frozen=True, rename="camel"):
    end_date: Moment
    final_timeline: _Timeline = _Timeline()


class _Timelines(msgspec.Struct, frozen=True):
    data: _ScheduleTimeline


class _Report(msgspec.Struct, frozen=True, rename="camel"):
    ack_time: int | None = None  # milliseconds since the alert was created
    acknowledged_by: str = ""


class _Alert(msgspec.Struct, frozen=True, rename="camel"):
    created_at: Moment
    message: str = ""
    alias: str = ""
    tags: tuple[str, ...] = ()
    acknowledged: bool = False
    owner: str = ""
    report: _Report = _Report()


class _Paging(msgspec.Struct, frozen=True):
    next: str | None = None


class _Alerts(msgspec.Struct, frozen=True):
    data: tuple[_Alert, ...]
    paging: _Paging = _Paging()


class _Known(msgspec.Struct, frozen=True):
    """What is known of a schedule: who is on call now, and its shifts until then."""

    people: tuple[str, ...]
    shifts: tuple[Shift, ...]
    until: float


class Opsgenie:
    """Looks up schedules and escalations, by id or name, and acknowledged alerts."""

    def __init__(self, config: OnCallConfig) -> None:
        """Raises OnCallError."""
        self._api = Api(
            config,
            name="Opsgenie",
            url="https://api.opsgenie.com",
            authorization="GenieKey ",
            permission=lambda where: "read access" + ("" if where == "v2/alerts" else " and configuration access"),
        )
        self._within_s = config.within_s

    async def look_up(self, service: str | None, schedule: str | None, now: float) -> OnCallInfo:
        """Who is on call by the schedule or escalation, else by the one that is called as the service is."""
        info = OnCallInfo(service=service, source="opsgenie", schedule=schedule or service or "")
        return await self._api.look_up(info, self._look_up(info, now))

    async def acknowledgements(self, since: float) -> tuple[Acknowledgement, ...]:
        """Of alerts that were created at or after this Unix time."""
        return await self._api.within_deadline(self._acknowledgements(since))

    async def close(self) -> None:
        """Let go of connections."""
        await self._api.close()

    async def _get[T](self, kind: type[T], *path: str, query: tuple[tuple[str, str], ...] = ()) -> T:
        answer = await self._api.get(kind, "v2", *path, query=query)
        if answer is None:
            raise OnCallError(f"Opsgenie has nothing at /v2/{'/'.join(path)}: HTTP 404")
        return answer

    async def _look_up(self, info: OnCallInfo, now: float) -> OnCallInfo:
        schedules, escalations = await asyncio.gather(
            self._get(_Schedules, "schedules"), self._get(_Escalations, "escalations")
        )
        named: list[_Schedule | _Escalation] = [*schedules.data, *escalations.data]
        found = pick(info.schedule, named)
        info = msgspec.structs.replace(info, schedule=found.name)
        by_id = {schedule.id: schedule for schedule in schedules.data}
        if isinstance(found, _Schedule):
            rules = [[_Rule(_Recipient("schedule", found.id, found.name))]]
        else:
            rules = _levels(found)
        if not rules:
            raise OnCallError(f"Opsgenie's escalation `{found.name}` has no rules")
        levels = await asyncio.gather(*(self._level(level, by_id, now) for level in rules))
        first, until = levels[0], min(now + self._within_s, levels[0].until)
        details = [] if until == now + self._within_s else [f"Opsgenie shows the schedule until {iso(until)} only"]
        if isinstance(found, _Schedule):
            details.insert(0, "a schedule is one level: name an escalation to see the others")
        names = {rule.recipient.id for level in rules for rule in level} & by_id.keys()
        details += [f"the schedule {by_id[one].name} is disabled" for one in sorted(names) if not by_id[one].enabled]
        told = tell(info, [first.shifts], now, until)
        return msgspec.structs.replace(
            told,
            people=tuple(level.people for level in levels),
            # Of now, who is on call is a better witness than the timeline.
            holes=tuple(hole for hole in told.holes if hole[0] > now or not first.people),
            detail="; ".join(details),
        )

    async def _level(self, rules: list[_Rule], schedules: dict[str, _Schedule], now: float) -> _Known:
        known = await asyncio.gather(*(self._recipient(rule, schedules, now) for rule in rules))
        return _Known(
            people=tuple(dict.fromkeys(who for one in known for who in one.people)),
            shifts=tuple(shift for one in known for shift in one.shifts),
            until=min(one.until for one in known),
        )

    async def _recipient(self, rule: _Rule, schedules: dict[str, _Schedule], now: float) -> _Known:
        recipient = rule.recipient
        schedule = schedules.get(recipient.id) if recipient.type == "schedule" else None
        if recipient.type == "none" or (schedule and not schedule.enabled):
            return _Known((), (), math.inf)
        if schedule is None or rule.notify_type != "default":
            # Whom a team or the next in a rotation comes to is Opsgenie's to say when it pages.
            who = recipient.label if rule.notify_type == "default" else f"{rule.notify_type} of {recipient.label}"
            return _Known((who,), (Shift(who, *ALWAYS),), math.inf)
        days = math.ceil(self._within_s / _DAY_S) + 1  # it may begin with today's
        on_calls, timeline = await asyncio.gather(
            self._get(
                _OnCalls,
                "schedules",
                schedule.id,
                "on-calls",
                query=(("scheduleIdentifierType", "id"), ("flat", "true"), ("date", iso(now))),
            ),
            self._get(
                _Timelines,
                "schedules",
                schedule.id,
                "timeline",
                query=(
                    ("identifierType", "id"),
                    ("interval", str(days)),
                    ("intervalUnit", "days"),
                    ("date", iso(now)),
                ),
            ),
        )
        shifts = tuple(
            Shift(period.recipient.label, period.start_date.timestamp(), period.end_date.timestamp())
            for rotation in timeline.data.final_timeline.rotations
            for period in rotation.periods
            if period.recipient and period.recipient.type != "none"
        )
        return _Known(on_calls.data.on_call_recipients, shifts, timeline.data.end_date.timestamp())

    async def _acknowledgements(self, since: float) -> tuple[Acknowledgement, ...]:
        found: list[_Alert] = []
        for offset in range(0, _MOST_ALERTS, _LIMIT):
            query = (
                ("query", f"createdAt >= {int(since * 1000)}"),
                ("sort", "createdAt"),
                ("order", "desc"),
                ("limit", str(_LIMIT)),
                ("offset", str(offset)),
            )
            page = await self._get(_Alerts, "alerts", query=query)
            found += page.data
            if not page.data or not page.paging.next:
                break
        return tuple(
            Acknowledgement(
                text=" ".join(filter(None, (alert.message, alert.alias, *alert.tags))),
                by=alert.report.acknowledged_by or alert.owner or "somebody",
                at=_acknowledged_at(alert),
            )
            for alert in found
            # One that has been closed since may only say so in its report.
            if alert.acknowledged or alert.report.acknowledged_by
        )


def _levels(escalation: _Escalation) -> list[list[_Rule]]:
    """Its rules, those of one delay together, the shortest first."""
    levels: dict[int, list[_Rule]] = {}
    for rule in sorted(escalation.rules, key=lambda rule: rule.delay.seconds):
        levels.setdefault(rule.delay.seconds, []).append(rule)
    return list(levels.values())


def _acknowledged_at(alert: _Alert) -> float | None:
    took_ms = alert.report.ack_time
    return None if took_ms is None else alert.created_at.timestamp() + took_ms / 1000
