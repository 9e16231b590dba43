"""What the panels of Grafana's dashboards show, against a stand-in that holds to its documented API."""

import asyncio
import math
from collections.abc import Iterator
from typing import Any

import pytest
from grafana_server import GrafanaServer, source

from gameday.coverage.dashboards import Named, Window
from gameday.coverage.dashboards.grafana import Grafana
from gameday.journal.events import DashboardInfo, PanelInfo, PanelState
from gameday.spec.model import Credentials, DashboardsConfig

NOW = 1_772_712_000.0
BEFORE = Window(NOW - 900, NOW)
INJECTED = NOW - 300
AFTER = Window(NOW - 600, NOW, injected=INJECTED, undone=NOW)

type Json = dict[str, Any]


def flat(at: float) -> float:
    return 1.0


def breaks(at: float) -> float:
    return 1.0 if at < INJECTED else 9.0


@pytest.fixture
def server() -> Iterator[GrafanaServer]:
    with GrafanaServer() as server:
        server.sources = [source("main", default=True), source("other"), source("logs", "loki"), source("db", "mysql")]
        server.results = {
            "up": {"a": flat, "b": flat},
            "errors": {"a": breaks},
            "nan": {"a": lambda _: None},
            "bad": (400, "bad_data: parse error"),
            "away": (502, "connection refused"),
        }
        yield server


def examine(
    server: GrafanaServer, name: str = "shop", window: Window = BEFORE, service: str | None = "checkout", **more: Any
) -> DashboardInfo:
    async def run() -> tuple[DashboardInfo, ...]:
        config = DashboardsConfig(
            "grafana", server.url, credentials=Credentials(token=server.token), **({"timeout_s": 5.0} | more)
        )
        grafana = Grafana(config)
        try:
            return await grafana.examine([Named(name, ("the experiment",))], service, window)
        finally:
            await grafana.close()

    (info,) = asyncio.run(run())
    return info


def show(server: GrafanaServer, *panels: Json, window: Window = BEFORE, **dashboard: Any) -> tuple[PanelInfo, ...]:
    server.dashboards["shop"] = {"uid": "shop", "title": "Shop", "panels": [*panels], **dashboard}
    info = examine(server, window=window)
    assert info.found is True, info.detail
    return info.panels


def panel(*expressions: str, **more: Any) -> Json:
    targets = [{"refId": chr(65 + index), "expr": text} for index, text in enumerate(expressions)]
    return {"id": 1, "title": "Panel", "type": "timeseries", "targets": targets, **more}


@pytest.mark.parametrize(
    ("expressions", "state", "series", "detail"),
    [
        (("up",), "data", 2, ""),
        (("up", "errors"), "data", 3, ""),
        (("nothing",), "empty", 0, ""),
        (("nan",), "empty", 0, ""),
        (("nan", "up"), "data", 2, ""),
        (("bad",), "error", 0, "query A: bad_data: parse error"),
        (("up", "bad"), "error", 0, "query B: bad_data: parse error"),
        (("away",), "unknown", 0, "query A: connection refused"),
        (("up", "away"), "data", 2, "query B: connection refused"),
        (("nothing", "away"), "unknown", 0, "query B: connection refused"),
        (("away", "bad"), "error", 0, "query B: bad_data: parse error"),
        ((), "unknown", 0, "has no query that is shown"),
        (("",), "unknown", 0, "has no query that is shown"),
    ],
)
@pytest.mark.parametrize("is_multi_status", [False, True])
def test_states(
    server: GrafanaServer, expressions: tuple[str, ...], state: str, series: int, detail: str, is_multi_status: bool
) -> None:
    server.is_multi_status = is_multi_status
    (found,) = show(server, panel(*expressions))
    assert (found.state, found.series, found.detail) == (PanelState(state), series, detail)
    assert (found.id, found.title, found.moved) == ("1", "Panel", None)


@pytest.mark.parametrize("kind", ["text", "news", "dashlist", "alertlist"])
def test_what_shows_no_data_is_not_asked(server: GrafanaServer, kind: str) -> None:
    (found,) = show(server, panel("up", type=kind))
    assert (found.state, found.detail) == (PanelState.UNKNOWN, f"a panel of kind `{kind}` shows no data")
    assert server.queries == []


def test_a_query_is_sent_as_grafana_sends_it(server: GrafanaServer) -> None:
    show(server, panel("rate(x[$__rate_interval])", interval="1m", maxDataPoints=300))
    (asked,) = [asked for asked in server.requests if asked.path == "/api/ds/query"]
    assert asked.body == {
        "from": f"{NOW - 900:.0f}000",
        "to": f"{NOW:.0f}000",
        "queries": [
            {
                "refId": "A",
                "expr": "rate(x[$__rate_interval])",
                "datasource": {"uid": "main", "type": "prometheus"},
                "intervalMs": 60000,
                "maxDataPoints": 300,
                "exemplar": False,
                "utcOffsetSec": 0,
            }
        ],
    }


@pytest.mark.parametrize(("interval", "step"), [(None, 15000), ("30s", 30000), ("1s", 2000)])
def test_the_step_is_at_least_that_of_the_data_source(server: GrafanaServer, interval: str | None, step: int) -> None:
    server.sources = [source("main", default=True, interval=interval)]
    show(server, panel("up"))
    assert server.queries[0]["intervalMs"] == step


@pytest.mark.parametrize(
    ("named", "uid"),
    [
        (None, "main"),
        ("default", "main"),
        ("The other", "other"),
        ("other", "other"),
        ({"type": "prometheus", "uid": "other"}, "other"),
        ({"type": "prometheus", "uid": "${ds}"}, "other"),
        ("$ds", "other"),
        ({"type": "loki"}, "logs"),
        ({"type": "prometheus"}, "main"),
    ],
)
def test_data_sources_are_found_however_they_are_named(server: GrafanaServer, named: object, uid: str) -> None:
    variables = [{"name": "ds", "type": "datasource", "query": "prometheus", "current": {"value": "The other"}}]
    show(server, panel("up", datasource=named), templating={"list": variables})
    assert [query["datasource"]["uid"] for query in server.queries] == [uid]


@pytest.mark.parametrize("named", ["gone", {"type": "prometheus", "uid": "gone"}, {"uid": "${DS_PROMETHEUS}"}])
def test_a_data_source_that_is_not_there_is_an_error(server: GrafanaServer, named: object) -> None:
    (found,) = show(server, panel("up", datasource=named))
    name = named["uid"] if isinstance(named, dict) else named
    assert (found.state, found.detail) == (PanelState.ERROR, f"there is no data source `{name}`")


def test_queries_of_their_own_data_sources_are_sent_apart(server: GrafanaServer) -> None:
    mixed = panel("up", "errors", datasource={"type": "datasource", "uid": "-- Mixed --"})
    mixed["targets"][0]["datasource"] = {"type": "prometheus", "uid": "main"}
    mixed["targets"][1]["datasource"] = {"type": "prometheus", "uid": "other"}
    (found,) = show(server, mixed)
    assert (found.state, found.series) == (PanelState.DATA, 3)
    assert [query["datasource"]["uid"] for query in server.queries] == ["main", "other"]


def test_without_a_mixed_one_the_panels_data_source_is_that_of_all(server: GrafanaServer) -> None:
    of_target = panel("up", "errors", datasource=None)
    of_target["targets"][0]["datasource"] = {"type": "prometheus", "uid": "other"}
    show(server, of_target)
    assert [query["datasource"]["uid"] for query in server.queries] == ["other", "other"]


def test_expressions_are_sent_with_what_they_work_with(server: GrafanaServer) -> None:
    computed = panel("up", "errors", datasource={"type": "prometheus", "uid": "main"})
    computed["targets"][0]["hide"] = True
    computed["targets"].append(
        {"refId": "C", "datasource": {"type": "__expr__", "uid": "__expr__"}, "type": "math", "expression": "$A + $B"}
    )
    (found,) = show(server, computed)
    assert (found.state, found.series) == (PanelState.DATA, 2)  # that of B, and of C
    assert [query["refId"] for query in server.queries] == ["A", "B", "C"]
    assert server.queries[2]["expression"] == "$A + $B"


def test_hidden_queries_are_not_asked(server: GrafanaServer) -> None:
    hidden = panel("up", "bad")
    hidden["targets"][1]["hide"] = True
    (found,) = show(server, hidden)
    assert found.state is PanelState.DATA
    assert [query["refId"] for query in server.queries] == ["A"]


def test_what_another_panel_asked_is_not_asked_again(server: GrafanaServer) -> None:
    copied = panel(datasource={"type": "datasource", "uid": "-- Dashboard --"})
    copied["targets"] = [{"refId": "A", "panelId": 2}]
    own = panel("x", datasource={"type": "datasource", "uid": "grafana"})
    assert [found.state for found in show(server, copied, own)] == [PanelState.UNKNOWN] * 2
    assert server.queries == []


def test_a_panel_of_the_library_is_fetched(server: GrafanaServer) -> None:
    server.library["lib"] = panel("up", title="Shared", datasource={"type": "prometheus", "uid": "other"})
    here, gone = (
        {"id": number, "title": "", "libraryPanel": {"uid": uid, "name": "Shared"}}
        for number, uid in ((3, "lib"), (4, "gone"))
    )
    found, missing = show(server, here, gone)
    assert (found.id, found.title, found.state) == ("3", "Shared", PanelState.DATA)
    assert missing.state is PanelState.UNKNOWN
    assert "HTTP 404" in missing.detail


def test_of_a_repeated_panel_the_first_is_asked(server: GrafanaServer) -> None:
    server.labels = {("up", "pod"): ["a", "b", "c"]}
    variables = [
        {
            "name": "pod",
            "type": "query",
            "query": "label_values(up, pod)",
            "refresh": 1,
            "multi": True,
            "includeAll": True,
            "current": {"value": ["$__all"]},
        }
    ]
    repeated, single = show(
        server,
        panel('up{pod=~"$pod"}', title="Pod $pod", repeat="pod"),
        panel('sum(up{pod=~"$pod"})', title="All of $pod"),
        templating={"list": variables},
    )
    assert (repeated.title, single.title) == ("Pod a", "All of All")
    assert {query["expr"] for query in server.queries} == {'up{pod=~"a"}', 'sum(up{pod=~"(a|b|c)"})'}


def test_variables_are_filled_in(server: GrafanaServer) -> None:
    server.labels = {
        ("up", "job"): ["cart", "checkout"],
        ('up{job="checkout"}', "instance"): ["10.0.0.1:80", "10.0.0.2:80"],
        ("", "region"): ["eu", "us"],
    }
    server.results["count(up)"] = {"eu": flat}
    queries = {
        "instance": 'label_values(up{job="$job"}, instance)',  # before what it depends on
        "job": {"query": "label_values(up, job)", "refId": "x"},
        "region": "label_values(region)",
        "metric": "metrics(reg.*)",
        "result": "query_result(count(up))",
        "series": "up",
        "names": "label_names()",
    }
    variables: list[Json] = [
        {"name": name, "type": "query", "query": query, "refresh": 2} for name, query in queries.items()
    ]
    variables[0] |= {"includeAll": True, "current": {"value": "$__all"}}
    variables[4] |= {"regex": '/n="([^"]*)"/'}
    variables += [
        {"name": "every", "type": "interval", "query": "5m", "current": {"value": "$__auto"}, "auto_count": 30},
        {"name": "level", "type": "custom", "query": "Warnings : warn, error", "current": {"value": "error"}},
        {"name": "filters", "type": "adhoc", "datasource": {"uid": "main"}, "filters": []},
    ]
    text = "$job $instance $region [[result]] ${series} $names $every ${level:raw} $__range"
    show(server, panel(text), templating={"list": variables})
    assert server.queries[0]["expr"] == (
        r'checkout (10\\.0\\.0\\.1:80|10\\.0\\.0\\.2:80) eu eu up{job="shop"} instance 30s error $__range'
    )


def test_a_url_says_values_of_variables(server: GrafanaServer) -> None:
    server.labels = {("up", "job"): ["cart", "checkout", "search"]}
    job = {"name": "job", "type": "query", "query": "label_values(up, job)", "refresh": 1, "multi": True}
    server.dashboards["shop"] = {"title": "Shop", "panels": [panel("up{$job}")], "templating": {"list": [job]}}
    url = f"{server.url}/d/shop/slug?orgId=1&var-job=search&var-job=cart&from=now-1h"
    assert examine(server, url).found is True
    assert server.queries[0]["expr"] == "up{(search|cart)}"


def test_where_options_cannot_be_asked_the_service_is_taken(server: GrafanaServer) -> None:
    server.troubles = {"/api/datasources/uid/main/resources": 500}
    job = {"name": "job", "type": "query", "query": "label_values(up, job)", "refresh": 1, "current": {"value": "cart"}}
    node = {
        "name": "node",
        "type": "query",
        "query": "label_values(up, node)",
        "refresh": 1,
        "current": {"value": "n1"},
    }
    show(server, panel("$job $node"), templating={"list": [job, node]})
    assert server.queries[0]["expr"] == "checkout n1"


def test_other_data_sources_have_steps_filled_in_and_their_own_formats(server: GrafanaServer) -> None:
    host = {
        "name": "host",
        "type": "query",
        "query": "SELECT host",
        "datasource": "The db",
        "refresh": 1,
        "multi": True,
    }
    host["current"] = {"value": ["it's", "b"]}
    column = {"schema": {"fields": [{"name": "host", "type": "string"}]}, "data": {"values": [["it's", "b", None]]}}
    server.results["SELECT host"] = [column]
    asked = panel(datasource="The db")
    asked["targets"] = [{"refId": "A", "rawSql": "SELECT $__interval, $__timeFilter(t) WHERE host IN ($host)"}]
    show(server, asked, templating={"list": [host]}, window=BEFORE)
    assert server.queries[-1]["rawSql"] == "SELECT 2s, $__timeFilter(t) WHERE host IN ('it''s','b')"


@pytest.mark.parametrize(
    ("frames", "state", "series"),
    [
        ([], "empty", 0),
        ([{"schema": {"fields": []}, "data": {"values": []}}], "empty", 0),
        ([{"schema": {"fields": [{"name": "Line", "type": "string"}]}, "data": {"values": [["a log"]]}}], "data", 1),
        ([{"schema": {"fields": [{"name": "Line", "type": "string"}]}, "data": {"values": [[]]}}], "empty", 0),
        (
            [
                {
                    "schema": {"meta": {"custom": {"resultType": "exemplar"}}, "fields": [{"type": "number"}]},
                    "data": {"values": [[1]]},
                }
            ],
            "empty",
            0,
        ),
        (
            [{"schema": {"fields": [{"type": "number"}, {"type": "number"}]}, "data": {"values": [[1], [None]]}}],
            "data",
            1,
        ),
        ([{"schema": {"fields": [{"type": "number"}]}}], "empty", 0),
        ([{"schema": {"fields": None}, "data": {"values": None}}], "empty", 0),
    ],
)
def test_frames(server: GrafanaServer, frames: list[Json], state: str, series: int) -> None:
    server.results["framed"] = frames
    (found,) = show(server, panel("framed"))
    assert (found.state, found.series) == (PanelState(state), series)


@pytest.mark.parametrize(
    ("trouble", "state", "said"),
    [
        (429, "unknown", "asked more often than it allows: HTTP 429"),
        (500, "unknown", "Grafana answers HTTP 500"),
        (503, "unknown", "Grafana answers HTTP 503"),
        (401, "unknown", "does not take the credentials: HTTP 401"),
        (403, "unknown", "they need `datasources:query`"),
        (400, "error", "Grafana answers HTTP 400"),
        (404, "error", "Grafana answers HTTP 404"),
        (b"garbage", "unknown", "not as expected"),
        (b'{"results": {"A": {"frames": 3}}}', "unknown", "not as expected"),
        (None, "unknown", "closed the connection"),
        (b" " * (17 * 1024 * 1024), "unknown", "larger than"),
    ],
)
def test_what_cannot_be_read_is_neither_good_nor_bad(
    server: GrafanaServer, trouble: int | bytes | None, state: str, said: str
) -> None:
    server.troubles = {"/api/ds/query": trouble}
    (found,) = show(server, panel("up"))
    assert found.state is PanelState(state)
    assert said in found.detail
    assert server.token not in found.detail


def test_a_data_source_that_only_browsers_ask_is_unknown(server: GrafanaServer) -> None:
    server.sources = [source("main", "old", default=True) | {"meta-without-backend": True}]
    (found,) = show(server, panel("up"))
    assert (found.state, "Plugin not found" in found.detail) == (PanelState.UNKNOWN, True)


@pytest.mark.parametrize(
    ("expression", "more", "moved"),
    [
        ("up", {}, False),
        ("errors", {}, True),
        ("nothing", {}, None),
        ("bad", {}, None),
        ("errors", {"timeShift": "1d"}, None),
        ("errors", {"maxDataPoints": 1}, True),
    ],
)
@pytest.mark.parametrize("instant", [False, True])
def test_movement(server: GrafanaServer, expression: str, more: Json, moved: bool | None, instant: bool) -> None:
    asked = panel(expression, **more)
    asked["targets"][0]["instant"] = instant
    (found,) = show(server, asked, window=AFTER)
    assert found.moved is moved


def test_long_tables_are_taken_apart(server: GrafanaServer) -> None:
    times = [round((NOW - 600 + 15 * n) * 1000) for n in range(41) for _ in "ab"]
    values = [value for n in range(41) for value in (1.0, 100.0 if n < 20 else 900.0)]
    fields = [{"name": "Time", "type": "time"}, {"name": "n", "type": "string"}, {"name": "Value", "type": "number"}]
    frame = {"schema": {"fields": fields}, "data": {"values": [times, ["a", "b"] * 41, values]}}
    server.results["long"] = [frame]
    (found,) = show(server, panel("long"), window=AFTER)
    assert (found.series, found.moved) == (1, True)


def test_an_instant_query_is_asked_as_it_is_where_nothing_is_compared(server: GrafanaServer) -> None:
    both = panel("up")
    both["targets"][0] |= {"instant": True, "range": True}
    (found,) = show(server, both)
    assert [(query["refId"], query["instant"], query["range"]) for query in server.queries] == [
        ("A", False, True),
        ("A-Instant", True, False),
    ]
    assert found.series == 4


def test_few_are_asked_at_once_and_all_in_time(server: GrafanaServer) -> None:
    server.troubles = {"/api/ds/query": 0.2}
    panels = [{**panel("up"), "id": number} for number in range(1, 31)]
    server.dashboards["shop"] = {"title": "Shop", "panels": panels}
    info = examine(server, timeout_s=0.25)  # a second in all
    states = [found.state for found in info.panels]
    assert [found.id for found in info.panels] == [str(number) for number in range(1, 31)]
    assert 8 <= states.count(PanelState.DATA) <= 20
    assert states.count(PanelState.UNKNOWN) == 30 - states.count(PanelState.DATA)
    assert info.panels[-1].detail == "was not asked within 1 s"
    assert server.most_at_once <= 4


def test_infinities_are_no_data(server: GrafanaServer) -> None:
    server.results["inf"] = [
        {"schema": {"fields": [{"type": "number"}]}, "data": {"values": [[None]], "entities": [{"Inf": [0]}]}}
    ]
    (found,) = show(server, panel("inf"))
    assert found.state is PanelState.EMPTY
    assert math.inf not in (found.series,)
