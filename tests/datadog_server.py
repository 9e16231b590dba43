"""A stand-in for Datadog's HTTP API: metrics, monitors, downtimes, notification rules, dashboards, events.

By its OpenAPI description and the recorded answers in its official client (https://github.com/DataDog/datadog-api-client-python,
.generator/schemas and tests/*/cassettes), and https://docs.datadoghq.com/api/latest/rate-limits/: the shapes, the keys
in headers, the parameters, the pages, the limits and what refusals look like.
"""

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from serving import Serving, StandInHandler

type Body = Any
type Points = list[tuple[float, float | None]]  # Unix times in seconds, and values

API_KEY, APPLICATION_KEY = "0123456789abcdef-api", "0123456789abcdef-application"
GROUP_STATES = {"all", "alert", "warn", "no data"}
INTERVAL_S = 20


@dataclass
class Asked:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Body = None


class Refused(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class DatadogServer:
    """`metrics`: series by query; a query that is not there has none, one that holds `!!` cannot be parsed. `limits`:
    by the beginning of a path, how many requests there may be in a period of so many seconds. `troubles`: likewise, a
    status, bytes in place of JSON, seconds to wait, or None: the line is cut. `ahead_s`: of its clock. `denied`:
    beginnings of paths that the application key has no permission for."""

    metrics: dict[str, list[Points]] = field(default_factory=dict)
    monitors: list[Body] = field(default_factory=list)
    downtimes: list[Body] = field(default_factory=list)
    rules: list[Body] = field(default_factory=list)
    dashboards: dict[str, Body] = field(default_factory=dict)
    events: list[Body] = field(default_factory=list)
    limits: dict[str, tuple[int, int]] = field(default_factory=dict)
    troubles: dict[str, int | bytes | float | None] = field(default_factory=dict)
    denied: tuple[str, ...] = ()
    ahead_s: float = 0.0
    without_headers: bool = False  # on refusals of too many requests
    requests: list[Asked] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)  # what no client should have asked
    url: str = ""
    _used: dict[str, int] = field(default_factory=dict)

    def now(self) -> float:
        return time.time() + self.ahead_s

    def asked(self, path: str) -> list[Asked]:
        return [one for one in self.requests if one.path.startswith(path)]

    def respond(self, asked: Asked) -> tuple[int, dict[str, str], bytes] | None:
        self.requests.append(asked)
        headers = {"Content-Type": "application/json", "Date": formatdate(self.now(), usegmt=True)}
        trouble = next((what for path, what in self.troubles.items() if asked.path.startswith(path)), 200)
        match trouble:
            case None:
                return None
            case float():
                time.sleep(trouble)
            case bytes():
                return 200, headers, trouble
            case int() if trouble != 200:
                return trouble, headers, _json({"errors": ["as the test wants it"]})
        try:
            self._limit(asked.path, headers)
            self._let_in(asked)
            status, body = self._answer(asked)
            return status, headers, _json(body)
        except Refused as refused:
            if refused.status == 429 and self.without_headers:
                headers = {"Content-Type": "application/json"}
            return refused.status, headers, _json({"errors": [str(refused)]})

    def _limit(self, path: str, headers: dict[str, str]) -> None:
        for prefix, (limit, period) in self.limits.items():
            if path.startswith(prefix):
                used = self._used[prefix] = self._used.get(prefix, 0) + 1
                headers |= {
                    "X-RateLimit-Limit": str(limit),
                    "X-RateLimit-Period": str(period),
                    "X-RateLimit-Remaining": str(max(0, limit - used)),
                    "X-RateLimit-Reset": str(int(period - self.now() % period) + 1),  # periods go by the calendar
                    "X-RateLimit-Name": prefix.strip("/").replace("/", "_"),
                }
                if used > limit:
                    raise Refused(
                        429, f"Rate limit of {limit} requests in {period} seconds reached. Please try again later."
                    )

    def _let_in(self, asked: Asked) -> None:
        headers = {name.lower(): value for name, value in asked.headers.items()}
        needs_application = (asked.method, asked.path) != ("POST", "/api/v1/events")
        if headers.get("dd-api-key") != API_KEY:
            raise Refused(403, "Forbidden")
        if needs_application and headers.get("dd-application-key") != APPLICATION_KEY:
            raise Refused(403, "Forbidden")
        if asked.path.startswith(self.denied or ("/-",)):
            raise Refused(403, "Failed permission authorization checks")

    def _answer(self, asked: Asked) -> tuple[int, Body]:
        match asked.method, asked.path.strip("/").split("/")[1:]:
            case "GET", ["v1", "query"]:
                return 200, self._query(asked)
            case "POST", ["v2", "query", "timeseries"]:
                return 200, self._timeseries(asked.body)
            case "GET", ["v1", "monitor"]:
                return 200, self._monitors(asked)
            case "GET", ["v2", "downtime"]:
                self._allow(asked, "current_only", "include", "page[offset]", "page[limit]")
                offset, limit = int(asked.query.get("page[offset]", 0)), int(asked.query.get("page[limit]", 30))
                meta = {"page": {"total_filtered_count": len(self.downtimes)}}
                return 200, {"data": self.downtimes[offset : offset + limit], "meta": meta}
            case "GET", ["v2", "monitor", "notification_rule"]:
                self._allow(asked, "page", "per_page", "sort", "filters", "include")
                if not 1 <= int(asked.query.get("per_page", 100)) <= 1000:
                    raise self._bad("Invalid query parameters")
                return 200, {"data": self.rules[: int(asked.query.get("per_page", 100))]}
            case "GET", ["v1", "dashboard", one] if one in self.dashboards:
                return 200, self.dashboards[one]
            case "GET", ["v1", "dashboard", one]:
                raise Refused(404, f"Dashboard with ID {one} not found")
            case "POST", ["v1", "events"]:
                return 202, self._post(asked.body)
            case "GET", ["v1", "events"]:
                return 200, self._events(asked)
        raise Refused(404, "Not found")

    def _query(self, asked: Asked) -> Body:
        self._allow(asked, "from", "to", "query")
        start, end = int(asked.query["from"]), int(asked.query["to"])
        series = []
        for index, query in enumerate(_split(asked.query["query"])):
            if "!!" in query:
                raise Refused(400, f"Error parsing query: unable to parse {query}: Rule 'scope_expr' didn't match")
            for points in self.metrics.get(query, ()):
                shown = [[at * 1000.0, value] for at, value in points if start <= at <= end]
                if shown:
                    series.append(_series(query, index, shown))
        return {
            "status": "ok",
            "resp_version": 1,
            "series": series,
            "to_date": end * 1000,
            "query": asked.query["query"],
            "message": "",
            "res_type": "time_series",
            "times": [],
            "from_date": start * 1000,
            "group_by": [],
            "values": [],
        }

    def _timeseries(self, body: Body) -> Body:
        attributes = body["data"]["attributes"]
        if body["data"]["type"] != "timeseries_request" or not {"from", "to", "queries"} <= attributes.keys():
            raise self._bad("Invalid request")
        known: dict[str, list[Points]] = {}
        for query in attributes["queries"]:
            if query["data_source"] != "metrics":
                raise self._bad(f"the stand-in knows no {query['data_source']}")
            if "!!" in query["query"]:
                raise Refused(400, f"Error parsing query: unable to parse {query['query']}")
            known[query["name"]] = self.metrics.get(query["query"], [])
        times: set[float] = set()
        columns: list[tuple[int, dict[float, float | None]]] = []
        for index, item in enumerate(attributes["formulas"]):
            if item["formula"] not in known:
                raise self._bad(f"the stand-in computes nothing: {item['formula']}")
            for points in known[item["formula"]]:
                shown = {at * 1000: value for at, value in points if attributes["from"] <= at * 1000 < attributes["to"]}
                times |= shown.keys()
                columns.append((index, shown))
        ordered = sorted(times)
        content = {
            "series": [{"group_tags": [], "query_index": index, "unit": None} for index, _ in columns],
            "times": [int(at) for at in ordered],
            "values": [[shown.get(at) for at in ordered] for _, shown in columns],
        }
        return {"data": {"id": "0", "type": "timeseries_response", "attributes": content}}

    def _monitors(self, asked: Asked) -> Body:
        known = ("group_states", "name", "tags", "monitor_tags", "with_downtimes", "id_offset", "page", "page_size")
        self._allow(asked, *known)
        states = asked.query.get("group_states")
        if states is not None and not set(states.split(",")) <= GROUP_STATES:
            raise self._bad("Invalid group_state filters.")
        found = self.monitors
        if "page" in asked.query:
            page, size = int(asked.query["page"]), int(asked.query.get("page_size", 100))
            if size > 1000:
                raise self._bad("Invalid page_size")
            found = found[page * size : (page + 1) * size]
        return found if states else [{key: one[key] for key in one if key != "state"} for one in found]

    def _post(self, event: Body) -> Body:
        if not event.get("title") or not isinstance(event.get("text"), str) or len(event["text"]) > 4000:
            raise self._bad("Invalid payload")
        happened = event.get("date_happened", int(self.now()))
        if happened < self.now() - 18 * 3600:
            raise Refused(400, "Event too far in the past")
        number = 6327818702635911000 + len(self.events)
        kept = {"alert_type": "info", "priority": "normal", **event, "id": number, "id_str": str(number)}
        kept |= {"date_happened": happened, "url": f"/event/event?id={number}"}
        self.events.append(kept)
        return {"status": "ok", "event": kept}

    def _events(self, asked: Asked) -> Body:
        self._allow(asked, "start", "end", "priority", "sources", "tags", "unaggregated", "exclude_aggregate", "page")
        if "page" in asked.query and "true" not in (
            asked.query.get("unaggregated"),
            asked.query.get("exclude_aggregate"),
        ):
            raise self._bad("page needs unaggregated")
        start, end = int(asked.query["start"]), int(asked.query["end"])
        wanted = {tag for tag in asked.query.get("tags", "").split(",") if tag}
        found = [
            one for one in self.events if start <= one["date_happened"] <= end and wanted <= set(one.get("tags", ()))
        ]
        page = int(asked.query.get("page", 0))
        return {"events": found[page * 1000 : (page + 1) * 1000], "status": "ok"}

    def _allow(self, asked: Asked, *known: str) -> None:
        if unknown := asked.query.keys() - set(known):
            raise self._bad(f"unknown parameters {sorted(unknown)}")

    def _bad(self, message: str) -> Refused:
        self.wrong.append(message)
        return Refused(400, message)

    def __enter__(self) -> Self:
        respond = self.respond

        class Handler(StandInHandler):
            def do_GET(self) -> None:
                target = urlsplit(self.path)
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                asked = Asked(
                    self.command, unquote(target.path), dict(parse_qsl(target.query)), dict(self.headers), body
                )
                found = respond(asked)
                if found is None:
                    self.close_connection = True
                    return
                status, headers, content = found
                with contextlib.suppress(ConnectionError):  # a client that has heard enough hangs up
                    self.send_response_only(status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)

            do_POST = do_DELETE = do_GET

        self._serving = Serving(Handler)
        self.url = self._serving.url
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._serving.close()
        if kind is None:
            assert self.wrong == []


def points(now: float, *values: float | None, age_s: float = 40.0, interval_s: float = INTERVAL_S) -> Points:
    """Values one interval apart, the last one at the beginning of an interval, about so many seconds ago."""
    last = (now - age_s) // interval_s * interval_s
    return [(last - (len(values) - 1 - place) * interval_s, value) for place, value in enumerate(values)]


def monitor(number: int = 1, name: str = "PaymentsDown", **fields: Body) -> Body:
    """As `GET /api/v1/monitor` gives it."""
    return {
        "id": number,
        "org_id": 321813,
        "type": "query alert",
        "name": name,
        "message": "Payments is down. @slack-payments @pagerduty-Payments",
        "tags": ["service:payments", "severity:page", "team:payments"],
        "query": "min(last_5m):sum:trace.http.request.errors{service:payments}.as_rate() > 1",
        "options": {
            "notify_audit": False,
            "include_tags": True,
            "thresholds": {"critical": 1.0},
            "new_host_delay": 300,
            "notify_no_data": False,
            "silenced": {},
        },
        "multi": False,
        "created_at": 1620047024000,
        "created": "2021-05-03T13:03:44.905085+00:00",
        "modified": "2021-05-03T13:03:44.905085+00:00",
        "deleted": None,
        "restricted_roles": None,
        "priority": None,
        "overall_state_modified": "2021-05-03T13:06:23+00:00",
        "overall_state": "OK",
        "creator": {"name": None, "handle": "a@example.com", "email": "a@example.com", "id": 1445416},
        "matching_downtimes": [],
        **fields,
    }


def group(status: str, *, triggered: float = 0, notified: float = 0, name: str = "*") -> Body:
    return {
        "status": status,
        "name": name,
        "last_triggered_ts": int(triggered),
        "last_notified_ts": int(notified),
        "last_nodata_ts": 0,
        "last_resolved_ts": 0,
    }


def downtime(number: int = 1, *, scope: str = "*", status: str = "active", **identifier: Body) -> Body:
    return {
        "type": "downtime",
        "id": f"00000000-0000-1234-0000-{number:012}",
        "attributes": {
            "monitor_identifier": identifier or {"monitor_tags": ["*"]},
            "notify_end_states": ["warn", "no data", "alert"],
            "created": "2021-10-28T14:17:52.420429+00:00",
            "display_timezone": "UTC",
            "mute_first_recovery_notification": False,
            "notify_end_types": ["expired"],
            "message": None,
            "canceled": None,
            "modified": "2021-10-28T14:17:52.420429+00:00",
            "scope": scope,
            "schedule": {"end": None, "start": "2021-10-28T14:17:52.399817+00:00"},
            "status": status,
        },
    }


def rule(*recipients: str, tags: tuple[str, ...]) -> Body:
    return {
        "type": "monitor-notification-rule",
        "id": "dbb04d74-98e6-4f3b-905b-f42d7f0cd9e3",
        "attributes": {
            "name": "a rule",
            "created_at": "2025-05-29T02:36:21.133807+00:00",
            "modified_at": "2025-05-29T02:36:21.141964+00:00",
            "filter": {"tags": list(tags)},
            "recipients": list(recipients),
        },
    }


def dashboard(*widgets: Body, number: str = "abc-def-ghi", **fields: Body) -> Body:
    return {
        "id": number,
        "title": "Payments",
        "description": None,
        "layout_type": "ordered",
        "url": f"/dashboard/{number}/payments",
        "author_handle": "a@example.com",
        "author_name": None,
        "created_at": "2024-01-01T00:00:00+00:00",
        "modified_at": "2024-01-01T00:00:00+00:00",
        "notify_list": None,
        "restricted_roles": [],
        "template_variables": None,
        "tags": ["team:payments"],
        "widgets": list(widgets),
        **fields,
    }


def widget(number: int, kind: str = "timeseries", title: str = "", **definition: Body) -> Body:
    return {"id": number, "definition": {"type": kind, "title": title, **definition}}


def formula(*queries: str) -> Body:
    """A request of a widget in the newer form."""
    named = [{"data_source": "metrics", "name": f"query{n}", "query": query} for n, query in enumerate(queries)]
    formulas = [{"formula": query["name"]} for query in named]
    return {"response_format": "timeseries", "queries": named, "formulas": formulas}


def _split(text: str) -> Iterator[str]:
    """At the commas outside all brackets, as one request asks for several queries."""
    depth, begin = 0, 0
    for position, character in enumerate(text):
        depth += (character in "({[") - (character in ")}]")
        if character == "," and depth == 0:
            yield text[begin:position]
            begin = position + 1
    yield text[begin:]


def _series(query: str, index: int, shown: list[list[float | None]]) -> Body:
    metric = query.partition(":")[2].partition("{")[0] or query
    return {
        "metric": metric,
        "display_name": metric,
        "expression": query,
        "query_index": index,
        "aggr": None,
        "scope": "*",
        "tag_set": [],
        "unit": None,
        "attributes": {},
        "interval": INTERVAL_S,
        "start": int(shown[0][0] or 0),
        "end": int(shown[-1][0] or 0) + INTERVAL_S * 1000 - 1,
        "length": len(shown),
        "pointlist": shown,
    }


def _json(body: Body) -> bytes:
    return json.dumps(body).encode()
