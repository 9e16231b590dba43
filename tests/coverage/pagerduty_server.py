"""A stand-in for PagerDuty's REST API v2: the parts that say who is on call and what has been acknowledged.

By its openapiv3.json (https://github.com/PagerDuty/api-schema): the shapes, the parameters, at most 100 records a page,
shifts at most 90 days ahead, and that an incident forgets its acknowledgements when it is resolved.
"""

from dataclasses import dataclass, field
from typing import Any

from on_call_server import Asked, Body, OnCallServer, Refused, allow, iso, unix

_PAGING = ("limit", "offset", "total")
_RANGE = ("since", "until", "time_zone")


@dataclass
class PagerDutyServer(OnCallServer):
    """`schedules`: by id, its name and its shifts (who, from, to, in Unix times). `policies`: by id, its name and its
    levels, each a list of schedules' ids and users' names. `services`: by id, its name and its policy's id."""

    now: float = 0.0
    schedules: dict[str, tuple[str, list[tuple[str, float, float]]]] = field(default_factory=dict)
    policies: dict[str, tuple[str, list[list[str]]]] = field(default_factory=dict)
    services: dict[str, tuple[str, str]] = field(default_factory=dict)
    incidents: dict[str, Body] = field(default_factory=dict)
    alerts: dict[str, list[Body]] = field(default_factory=dict)
    log: dict[str, list[Body]] = field(default_factory=dict)

    def trigger(self, title: str, at: float, *alerts: tuple[str, object]) -> str:
        """An incident, with alerts (each a summary and its details); its id."""
        incident = f"PINC{len(self.incidents):03}"
        self.incidents[incident] = {
            **self._reference("incident", incident, f"[#{len(self.incidents)}] {title}"),
            "title": title,
            "created_at": iso(at),
            "status": "triggered",
            "acknowledgements": [],
            "alert_counts": {"all": len(alerts), "triggered": len(alerts), "resolved": 0},
        }
        self.log[incident] = [self._log_entry("trigger", "PSERVICE", "Prometheus", at)]
        self.alerts[incident] = []
        for summary, details in alerts:
            self.add_alert(incident, summary, details)
        return incident

    def add_alert(self, incident: str, summary: str, details: object) -> None:
        """Another alert, as grouping adds it to an incident."""
        alerts = self.alerts[incident]
        body = {"type": "alert_body", "contexts": [], "details": details}
        alerts.append({**self._reference("alert", f"{incident}A{len(alerts)}", summary), "body": body})
        self.incidents[incident]["alert_counts"]["all"] = len(alerts)

    def acknowledge(self, incident: str, who: str, at: float) -> None:
        self.incidents[incident]["status"] = "acknowledged"
        acknowledger = self._reference("user_reference", _id(who), who)
        self.incidents[incident]["acknowledgements"].append({"at": iso(at), "acknowledger": acknowledger})
        self.log[incident].append(self._log_entry("acknowledge", _id(who), who, at))

    def resolve(self, incident: str, at: float) -> None:
        self.incidents[incident] |= {"status": "resolved", "acknowledgements": [], "resolved_at": iso(at)}
        self.log[incident].append(self._log_entry("resolve", "PSERVICE", "Prometheus", at))

    def authorization(self) -> str:
        return f"Token token={self.key}"

    def refusal(self, status: int, message: str) -> Body:
        return {"error": {"message": message, "code": 2000 + status, "errors": [message]}}

    def answer(self, asked: Asked) -> Body:
        if "version=2" not in asked.headers.get("Accept", ""):
            raise Refused(400, "no version is accepted")
        match asked.path.strip("/").split("/"):
            case [("schedules" | "escalation_policies" | "services") as kind]:
                allow(asked, "query", "include[]", "team_ids[]", "sort_by", "name", *_PAGING, *_RANGE)
                query = asked.one("query").lower()
                matching = [one for one in self._resources(kind) if query in one["name"].lower()]
                return self._page(asked, kind, matching)
            case [("schedules" | "escalation_policies" | "services") as kind, one_id]:
                allow(asked, "overflow", "include[]", *_RANGE)
                one = next((one for one in self._resources(kind) if one["id"] == one_id), None)
                if one is None:
                    raise Refused(404, "Not Found")
                if kind == "schedules" and asked.one("since"):
                    one["final_schedule"] = self._rendered(one_id, asked)
                return {one["type"]: one}
            case ["oncalls"]:
                filters = ("escalation_policy_ids[]", "schedule_ids[]", "user_ids[]", "earliest", "include[]")
                allow(asked, *filters, *_PAGING, *_RANGE)
                return self._page(asked, "oncalls", self._on_calls(asked))
            case ["incidents"]:
                allow(asked, "statuses[]", "sort_by", "include[]", "service_ids[]", "date_range", *_PAGING, *_RANGE)
                statuses, since = asked.all("statuses[]"), unix(asked.one("since"))
                found = [one for one in self.incidents.values() if one["status"] in statuses]
                found = [one for one in found if unix(one["created_at"]) >= since]
                backwards = asked.one("sort_by") == "created_at:desc"
                found.sort(key=lambda one: unix(one["created_at"]), reverse=backwards)
                return self._page(asked, "incidents", found)
            case ["incidents", incident, ("alerts" | "log_entries") as kind] if incident in self.incidents:
                allow(asked, "is_overview", "statuses[]", "sort_by", "include[]", *_PAGING, *_RANGE)
                return self._page(asked, kind, (self.alerts if kind == "alerts" else self.log)[incident])
        raise Refused(404, "Not Found")

    def _page(self, asked: Asked, key: str, records: list[Body]) -> Body:
        limit, offset = int(asked.one("limit", "25")), int(asked.one("offset", "0"))
        if not 0 < limit <= 100 or limit + offset > 10_000:
            raise Refused(400, "Invalid Input Provided")
        more = offset + limit < len(records)
        return {
            key: records[offset : offset + limit],
            "limit": limit,
            "offset": offset,
            "more": more,
            "total": len(records) if asked.one("total") == "true" else None,
        }

    def _resources(self, kind: str) -> list[Body]:
        match kind:
            case "schedules":
                return [
                    {
                        **self._reference("schedule", one, name),
                        "name": name,
                        "time_zone": "UTC",
                        "escalation_policies": [
                            self._reference("escalation_policy_reference", policy, policy_name)
                            for policy, (policy_name, levels) in self.policies.items()
                            if any(one in level for level in levels)
                        ],
                    }
                    for one, (name, _) in self.schedules.items()
                ]
            case "escalation_policies":
                return [
                    {
                        **self._reference("escalation_policy", one, name),
                        "name": name,
                        "num_loops": 0,
                        "escalation_rules": [
                            {"id": f"{one}R{n}", "escalation_delay_in_minutes": 15, "targets": self._targets(level)}
                            for n, level in enumerate(levels)
                        ],
                    }
                    for one, (name, levels) in self.policies.items()
                ]
        return [
            {
                **self._reference("service", one, name),
                "name": name,
                "status": "active",
                "escalation_policy": self._reference("escalation_policy_reference", policy, self.policies[policy][0]),
            }
            for one, (name, policy) in self.services.items()
        ]

    def _targets(self, level: list[str]) -> list[Body]:
        return [
            self._reference("schedule_reference", target, self.schedules[target][0])
            if target in self.schedules
            else self._reference("user_reference", _id(target), target)
            for target in level
        ]

    def _rendered(self, schedule: str, asked: Asked) -> Body:
        since, until = self._range(asked)
        entries = [
            {
                "start": iso(max(start, since)),
                "end": iso(min(end, until)),
                "user": self._reference("user_reference", _id(who), who),
            }
            for who, start, end in self.schedules[schedule][1]
            if start < until and end > since
        ]
        return {"name": "Final Schedule", "rendered_schedule_entries": entries, "rendered_coverage_percentage": 50.0}

    def _on_calls(self, asked: Asked) -> list[Body]:
        since, until = self._range(asked)
        found: list[Body] = []
        for policy in asked.all("escalation_policy_ids[]") or [*self.policies]:
            if policy not in self.policies:
                continue
            name, levels = self.policies[policy]
            for number, level in enumerate(levels, 1):
                common = {
                    "escalation_policy": self._reference("escalation_policy_reference", policy, name),
                    "escalation_level": number,
                }
                for target in level:
                    shifts: list[Any] = (
                        self.schedules[target][1] if target in self.schedules else [(target, None, None)]
                    )
                    found += [
                        common
                        | {
                            "user": self._reference("user_reference", _id(who), who),
                            "schedule": target if target in self.schedules else None,
                            "start": iso(start) if start is not None else None,
                            "end": iso(end) if end is not None else None,
                        }
                        for who, start, end in shifts
                        if start is None or (start < until and end > since)
                    ]
        return found

    def _range(self, asked: Asked) -> tuple[float, float]:
        since, until = unix(asked.one("since", iso(self.now))), unix(asked.one("until", iso(self.now)))
        if until < since or until > self.now + 90 * 86400:
            raise Refused(400, "Invalid Input Provided: until")
        return since, until

    def _reference(self, kind: str, one: str, summary: str) -> Body:
        path = kind.removesuffix("_reference")
        return {
            "id": one,
            "type": kind,
            "summary": summary,
            "self": f"{self.url}/{path}s/{one}",
            "html_url": f"https://shop.pagerduty.example/{path}s/{one}",
        }

    def _log_entry(self, what: str, agent: str, name: str, at: float) -> Body:
        return {
            **self._reference(f"{what}_log_entry", f"R{what.upper()}", f"{what} by {name}"),
            "created_at": iso(at),
            "agent": self._reference("user_reference", agent, name),
            "channel": {"type": "api"},
        }


def _id(who: str) -> str:
    return f"PU{''.join(filter(str.isalnum, who)).upper()}"
