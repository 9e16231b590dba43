"""A stand-in for Opsgenie's REST API v2: who is on call, timelines, escalations and alerts.

By https://github.com/opsgenie/opsgenie-oas and https://docs.opsgenie.com: shapes, parameters, at most 100 alerts a
page, timelines in whole days from midnight on, in which a rotation's `none` is a participant like any other.
"""

import re
from dataclasses import dataclass, field

from on_call_server import Asked, Body, OnCallServer, Refused, allow, iso, unix

_DAY_S = 86400


@dataclass
class OpsgenieServer(OnCallServer):
    """`schedules`: by id, its name and periods (who, or `none`; from, to). `escalations`: by id, its name and rules
    (minutes, kind of recipient, its id or name, the kind of notification). `alerts` are as they are answered."""

    now: float = 0.0
    schedules: dict[str, tuple[str, list[tuple[str, float, float]]]] = field(default_factory=dict)
    disabled: set[str] = field(default_factory=set)
    escalations: dict[str, tuple[str, list[tuple[int, str, str, str]]]] = field(default_factory=dict)
    alerts: list[Body] = field(default_factory=list)
    longest_days: int = 400  # of a timeline

    def alert(self, message: str, at: float, *tags: str, alias: str = "") -> Body:
        number = len(self.alerts)
        self.alerts.append(
            {
                "id": f"alert-{number}",
                "tinyId": str(number),
                "alias": alias or f"alias-{number}",
                "message": message,
                "status": "open",
                "acknowledged": False,
                "isSeen": True,
                "tags": [*tags],
                "createdAt": iso(at),
                "updatedAt": iso(at),
                "owner": "",
                "responders": [],
                "report": {},
            }
        )
        return self.alerts[-1]

    def acknowledge(self, alert: Body, who: str, at: float) -> None:
        took_ms = round((at - unix(alert["createdAt"])) * 1000)
        report = alert["report"] | {"ackTime": took_ms, "acknowledgedBy": who}
        alert.update({"acknowledged": True, "owner": who, "report": report})

    def authorization(self) -> str:
        return f"GenieKey {self.key}"

    def refusal(self, status: int, message: str) -> Body:
        return {"message": message, "code": status * 100, "took": 0.001, "requestId": "request"}

    def answer(self, asked: Asked) -> Body:
        match asked.path.strip("/").split("/"):
            case ["v2", "schedules"]:
                allow(asked, "expand")
                return self._data([self._schedule(one) for one in self.schedules], expandable=["rotation"])
            case ["v2", "escalations"]:
                allow(asked)
                return self._data([self._escalation(one) for one in self.escalations])
            case ["v2", "schedules", one, "on-calls"]:
                allow(asked, "scheduleIdentifierType", "flat", "date")
                one = self._find(one, asked.one("scheduleIdentifierType", "id"))
                at = self._date(asked)
                on_call = [who for who, start, end in self.schedules[one][1] if start <= at < end and who != "none"]
                on_call = [] if one in self.disabled else on_call
                if asked.one("flat") == "true":
                    return self._data({"_parent": self._schedule(one), "onCallRecipients": on_call})
                participants = [{"id": who, "name": who, "type": "user"} for who in on_call]
                return self._data({"_parent": self._schedule(one), "onCallParticipants": participants})
            case ["v2", "schedules", one, "timeline"]:
                allow(asked, "identifierType", "expand", "interval", "intervalUnit", "date")
                return self._data(
                    self._timeline(self._find(one, asked.one("identifierType", "id")), asked),
                    expandable=["base", "forwarding", "override"],
                )
            case ["v2", "alerts"]:
                return self._list_alerts(asked)
        raise Refused(404, "Entity cannot be found")

    def _data(self, data: object, **more: object) -> Body:
        return {"data": data, "took": 0.01, "requestId": "request", **more}

    def _schedule(self, one: str) -> Body:
        return {"id": one, "name": self.schedules[one][0], "timezone": "UTC", "enabled": one not in self.disabled}

    def _find(self, name: str, kind: str) -> str:
        found = [one for one in self.schedules if name == (one if kind == "id" else self.schedules[one][0])]
        if not found:
            raise Refused(404, "Schedule does not exist")
        return found[0]

    def _escalation(self, one: str) -> Body:
        name, rules = self.escalations[one]
        return {
            "id": one,
            "name": name,
            "rules": [
                {
                    "condition": "if-not-acked",
                    "notifyType": notify,
                    "delay": {"timeAmount": minutes, "timeUnit": "minutes"},
                    "recipient": {"type": kind, "id": who, "name": self.schedules.get(who, (who,))[0]}
                    if kind != "user"
                    else {"type": kind, "id": f"id-{who}", "username": who},
                }
                for minutes, kind, who, notify in rules
            ],
        }

    def _date(self, asked: Asked) -> float:
        if not (date := asked.one("date")):
            return self.now
        if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?(Z|[+-]\d\d:\d\d)", date):
            raise Refused(400, f"{date} is no date")
        return unix(date)

    def _timeline(self, one: str, asked: Asked) -> Body:
        if asked.one("intervalUnit", "weeks") not in ("days", "weeks", "months"):
            raise Refused(400, "intervalUnit")
        days = int(asked.one("interval", "1")) * {"days": 1, "weeks": 7}[asked.one("intervalUnit", "weeks")]
        start = self._date(asked) // _DAY_S * _DAY_S
        end = start + min(days, self.longest_days) * _DAY_S
        periods = []
        for who, begins, ends in self.schedules[one][1]:
            recipient = {"type": "none"} if who == "none" else {"id": f"id-{who}", "type": "user", "name": who}
            # What is over is told apart from what is to come.
            for since, until, kind in (
                (begins, min(ends, self.now), "historical"),
                (max(begins, self.now), ends, "default"),
            ):
                if since < until and since < end and until > start:
                    bounds = {"startDate": iso(max(since, start)), "endDate": iso(min(until, end))}
                    periods.append(bounds | {"type": kind, "recipient": recipient})
        rotations = [{"id": "rotation", "name": "Rotation", "order": 1.0, "periods": periods}]
        return {
            "_parent": self._schedule(one),
            "startDate": iso(start),
            "endDate": iso(end),
            "finalTimeline": {"rotations": rotations},
        }

    def _list_alerts(self, asked: Asked) -> Body:
        allow(asked, "query", "searchIdentifier", "searchIdentifierType", "offset", "limit", "sort", "order")
        limit, offset = int(asked.one("limit", "20")), int(asked.one("offset", "0"))
        since = re.fullmatch(r"createdAt ?>= ?(\d{13})", asked.one("query", "createdAt >= 0000000000000"))
        if not 1 <= limit <= 100 or since is None:
            raise Refused(400, "limit or query")
        found = [one for one in self.alerts if unix(one["createdAt"]) * 1000 >= int(since[1])]
        if asked.one("sort") == "createdAt":
            found.sort(key=lambda one: str(one["createdAt"]), reverse=asked.one("order", "desc") == "desc")
        paging = {"first": f"{self.url}/v2/alerts?offset=0"}
        if offset + limit < len(found):
            paging["next"] = f"{self.url}/v2/alerts?offset={offset + limit}"
        return self._data(found[offset : offset + limit], paging=paging)
