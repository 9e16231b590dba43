"""A stand-in for Grafana: dashboards, search, data sources, queries, library panels and annotations.

By https://grafana.com/docs/grafana/latest/developers/http_api/ (version 11) and the handlers of grafana/grafana:
shapes, parameters, limits, permissions and refusals. Queries are looked up as they are sent; what is left of a variable
in PromQL is an error, as it is to Prometheus. Nothing but annotations can be written, and every write is noted.
"""

import base64
import contextlib
import json
import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from serving import Serving, StandInHandler

type Body = dict[str, Any]
type Values = Callable[[float], float | None]  # by Unix time

_BACKEND_FILLS_IN = re.compile(r"\$\{?__(rate_interval|interval|interval_ms|range|range_s|range_ms)\}?")


class Refused(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Asked:
    method: str
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: Body | None

    def one(self, key: str, default: str = "") -> str:
        return dict(self.query).get(key, default)

    def all(self, key: str) -> list[str]:
        return [value for name, value in self.query if name == key]


@dataclass
class GrafanaServer:
    """`results`: by the expression of a query, its series, by name; or a status and an error; or frames.
    A trouble is, by the regular expression that a path begins with: a status, bytes in place of JSON, seconds to wait,
    or None: the line is cut."""

    token: str = "glsa_of-ours"
    password: str = "s3cret-of-ours"
    root: str = ""  # the sub-path that it is served from, such as "/grafana"
    is_editor: bool = True
    is_admin: bool = False
    may_query: bool = True
    dashboards: dict[str, Body] = field(default_factory=dict)
    newer: dict[str, Body] = field(default_factory=dict)  # dashboards of the second schema
    library: dict[str, Body] = field(default_factory=dict)
    sources: list[Body] = field(default_factory=list)
    labels: dict[tuple[str, str], list[str]] = field(default_factory=dict)  # values by selector and label
    results: dict[str, dict[str, Values] | tuple[int, str] | list[Body]] = field(default_factory=dict)
    annotations: list[Body] = field(default_factory=list)
    is_multi_status: bool = False  # 207, as some versions answer when a query fails
    troubles: dict[str, int | bytes | float | None] = field(default_factory=dict)
    requests: list[Asked] = field(default_factory=list)
    writes: list[str] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    url: str = ""

    @property
    def queries(self) -> list[Body]:
        return [query for asked in self.requests if asked.path.endswith("/ds/query") for query in asked.body["queries"]]

    def respond(self, asked: Asked) -> tuple[int, bytes] | None:
        if not asked.path.startswith(self.root):
            return 404, b"<html>another server's page</html>"
        asked.path = asked.path.removeprefix(self.root)
        self.requests.append(asked)
        trouble = next((what for path, what in self.troubles.items() if re.match(path, asked.path)), 200)
        match trouble:
            case None:
                return None
            case float():
                time.sleep(trouble)
            case bytes():
                return 200, trouble
            case int() if trouble != 200:
                return trouble, json.dumps({"message": "as the test wants it"}).encode()
        try:
            self._authorize(asked)
            status, found = self._answer(asked)
            return status, json.dumps(found).encode()
        except Refused as refused:
            return refused.status, json.dumps({"message": str(refused)}).encode()

    def _authorize(self, asked: Asked) -> None:
        basic = base64.b64encode(f"gameday:{self.password}".encode()).decode()
        if asked.headers.get("Authorization") not in (f"Bearer {self.token}", f"Basic {basic}"):
            raise Refused(401, "Invalid API key")

    def _answer(self, asked: Asked) -> tuple[int, object]:
        match (asked.method, *asked.path.strip("/").split("/")):
            case ("GET", "api", "dashboards", "uid", uid) if uid in self.newer:
                where = f"/apis/dashboard.grafana.app/v2beta1/namespaces/default/dashboards/{uid}"
                raise Refused(406, f"dashboard api version not supported, use {where} instead")
            case ("GET", "api", "dashboards", "uid", uid):
                dashboard = _get(self.dashboards, uid, "Dashboard not found")
                return 200, {"meta": {"url": f"{self.root}/d/{uid}/slug", "slug": "slug"}, "dashboard": dashboard}
            case ("GET", "apis", "dashboard.grafana.app", "v1beta1", "namespaces", "default", "dashboards", uid):
                spec = _get(self.newer, uid, "dashboards.dashboard.grafana.app not found")
                return 200, {"kind": "Dashboard", "metadata": {"name": uid}, "spec": spec}
            case ("GET", "api", "search"):
                return 200, self._search(asked)
            case ("GET", "api", "library-elements", uid):
                return 200, {"result": {"uid": uid, "kind": 1, "model": _get(self.library, uid, "not found")}}
            case ("GET", "api", "frontend", "settings"):
                default = next((one["name"] for one in self.sources if one["isDefault"]), "-- Grafana --")
                built_in = {"-- Grafana --": {"type": "datasource", "uid": "grafana", "name": "-- Grafana --"}}
                return 200, {
                    "defaultDatasource": default,
                    "datasources": {one["name"]: one for one in self.sources} | built_in,
                    "buildInfo": {"version": "11.4.0"},
                }
            case ("GET", "api", "datasources"):
                if not self.is_admin:
                    raise Refused(403, "You'll need additional permissions to perform this action")
                return 200, self.sources
            case ("GET", "api", "datasources", "uid", uid, "resources", *rest):
                return 200, self._resource(self._source(uid), rest, asked)
            case ("POST", "api", "ds", "query"):
                return self._query(asked.body or {})
            case (_, "api", "annotations", *rest):
                return 200, self._annotations(asked, rest)
        raise Refused(404, "Not found")

    def _search(self, asked: Asked) -> list[Body]:
        _allow(asked, "query", "tag", "type", "dashboardUIDs", "folderUIDs", "starred", "limit", "page")
        limit, page = min(5000, int(asked.one("limit", "1000"))), int(asked.one("page", "1"))
        found = [
            {"uid": uid, "title": one["title"], "type": "dash-db", "tags": one.get("tags", []), "url": f"/d/{uid}/slug"}
            for uid, one in self.dashboards.items()
            if set(asked.all("tag")) <= set(one.get("tags", []))
        ]
        return found[(page - 1) * limit : page * limit]

    def _source(self, uid: str) -> Body:
        if not self.may_query:
            raise Refused(403, "Access denied to data source")
        return _get({one["uid"]: one for one in self.sources}, uid, "Data source not found")

    def _resource(self, source: Body, path: list[str], asked: Asked) -> Body:
        assert source["type"] == "prometheus"
        match path:
            case ["api", "v1", "label", label, "values"]:
                _allow(asked, "match[]", "start", "end", "limit")
                float(asked.one("start")), float(asked.one("end"))
                data: object = self.labels.get((asked.one("match[]"), label), [])
            case ["api", "v1", "query"]:
                result = [
                    {"metric": {"__name__": asked.one("query"), "n": name}, "value": [1.5, str(value(1.5))]}
                    for name, value in self.results[asked.one("query")].items()  # type: ignore[union-attr]
                ]
                data = {"resultType": "vector", "result": result}
            case ["api", "v1", "series"]:
                data = [{"__name__": asked.one("match[]"), "job": "shop"}]
            case ["api", "v1", "labels"]:
                data = sorted({label for _, label in self.labels})
            case _:
                raise Refused(404, "Not found")
        return {"status": "success", "data": data}

    def _query(self, body: Body) -> tuple[int, object]:
        queries = body.get("queries", [])
        times = [int(body[key]) / 1000 for key in ("from", "to") if re.fullmatch(r"\d{13}", body.get(key, ""))]
        if not queries or len(times) != 2 or times[0] >= times[1]:
            raise Refused(400, "bad request data")
        if len({query["refId"] for query in queries}) != len(queries):
            raise Refused(400, "multiple queries using the same RefId is not allowed")
        uids = {query["datasource"]["uid"] for query in queries}
        if len(uids) > 1 and "__expr__" not in uids:
            raise Refused(400, "all queries must use the same datasource")
        results = {query["refId"]: self._result(query, times[0], times[1]) for query in queries}
        failed = any("error" in result for result in results.values())
        return (207 if self.is_multi_status else 400) if failed else 200, {"results": results}

    def _result(self, query: Body, start: float, end: float) -> Body:
        if query["datasource"]["uid"] == "__expr__":
            return {"status": 200, "frames": [_frame({"": lambda _: 1.0}, [end])]}
        source = self._source(query["datasource"]["uid"])
        if "meta-without-backend" in source:
            raise Refused(404, "Plugin not found")
        expression = query.get("expr") or query.get("rawSql") or query.get("query") or ""
        if source["type"] == "prometheus" and "$" in _BACKEND_FILLS_IN.sub("", expression):
            return {
                "error": 'bad_data: parse error: unexpected character: "$"',
                "status": 400,
                "errorSource": "downstream",
            }
        found = self.results.get(expression, {})
        if isinstance(found, tuple):
            return {"error": found[1], "status": found[0], "frames": []}
        if isinstance(found, list):
            return {"status": 200, "frames": found}
        step = query["intervalMs"] / 1000
        times = (
            [end] if query.get("instant") else [step * n for n in range(math.ceil(start / step), int(end / step) + 1)]
        )
        return {"status": 200, "frames": [_frame({name: value}, times) for name, value in found.items()]}

    def _annotations(self, asked: Asked, rest: list[str]) -> object:
        if asked.method != "GET":
            self.writes.append(f"{asked.method} {asked.path}")
            if not self.is_editor:
                raise Refused(403, "You'll need additional permissions to perform this action")
        match (asked.method, rest):
            case ("GET", []):
                _allow(asked, "from", "to", "limit", "tags", "type", "dashboardUID", "matchAny")
                tags, limit = set(asked.all("tags")), int(asked.one("limit", "100"))
                return [one for one in reversed(self.annotations) if tags <= set(one["tags"])][:limit]
            case ("POST", []):
                body = asked.body or {}
                if not body.get("text") or not all(isinstance(body.get(key, 0), int) for key in ("time", "timeEnd")):
                    raise Refused(400, "Failed to save annotation")
                if unknown := set(body) - {"time", "timeEnd", "tags", "text", "dashboardUID", "panelId"}:
                    raise Refused(400, f"unknown {sorted(unknown)}")
                number = 1 + max((one["id"] for one in self.annotations), default=0)
                self.annotations.append({"id": number, "timeEnd": body["time"], "alertId": 0, "data": {}, **body})
                return {"message": "Annotation added", "id": number}
            case ("DELETE", [number]):
                kept = [one for one in self.annotations if one["id"] != int(number)]
                if len(kept) == len(self.annotations):
                    raise Refused(404, "Could not find annotation to delete")
                self.annotations = kept
                return {"message": "Annotation deleted"}
        raise Refused(404, "Not found")

    def __enter__(self) -> Self:
        grafana = self

        class Handler(StandInHandler):
            def do_GET(self) -> None:
                target = urlsplit(self.path)
                raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                body = json.loads(raw) if raw else None
                if body is not None:
                    assert self.headers["Content-Type"] == "application/json"
                grafana.at_once += 1
                grafana.most_at_once = max(grafana.most_at_once, grafana.at_once)
                query = parse_qsl(target.query, keep_blank_values=True)
                found = grafana.respond(Asked(self.command, unquote(target.path), query, dict(self.headers), body))
                grafana.at_once -= 1
                if found is None:
                    self.close_connection = True
                    return
                status, answer = found
                with contextlib.suppress(ConnectionError):  # a client that has heard enough hangs up
                    self.send_response(status)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(answer)))
                    if status == 429:
                        self.send_header("Retry-After", "30")
                    self.end_headers()
                    self.wfile.write(answer)

            do_POST = do_DELETE = do_PUT = do_PATCH = do_GET

        self._serving = Serving(Handler)
        self.url = f"{self._serving.url}{self.root}"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._serving.close()
        if kind is None:
            assert all(re.fullmatch(r"(POST|DELETE) /api/annotations(/\d+)?", write) for write in self.writes)


def source(uid: str, kind: str = "prometheus", *, default: bool = False, interval: str | None = None) -> Body:
    json_data = {"timeInterval": interval} if interval else {}
    return {"uid": uid, "name": f"The {uid}", "type": kind, "isDefault": default, "jsonData": json_data, "meta": {}}


def _frame(series: dict[str, Values], times: list[float]) -> Body:
    """As Grafana writes a frame: what is no number is null, and said beside the values."""
    values = [[value(at) for at in times] for value in series.values()]
    fields = [
        {"name": name, "type": "number", "typeInfo": {"frame": "float64"}, "labels": {"n": name}} for name in series
    ]
    return {
        "schema": {
            "refId": "A",
            "meta": {"type": "timeseries-multi", "custom": {"resultType": "matrix"}},
            "fields": [{"name": "Time", "type": "time", "typeInfo": {"frame": "time.Time"}}, *fields],
        },
        "data": {"values": [[round(at * 1000) for at in times], *values]},
    }


def _get(found: dict[str, Body], uid: str, message: str) -> Body:
    if uid not in found:
        raise Refused(404, message)
    return found[uid]


def _allow(asked: Asked, *known: str) -> None:
    if unknown := {key for key, _ in asked.query} - set(known):
        raise Refused(400, f"unknown parameters {sorted(unknown)}")
