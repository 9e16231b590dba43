"""Links to Prometheus's own graphs, taken for dashboards."""

import asyncio
from urllib.parse import quote

import pytest
from loopback import Loopback, Request, Respond, answer, serve

from gameday.coverage.dashboards import Named, Window
from gameday.coverage.dashboards.graph import examine_graphs, expressions_of
from gameday.journal.events import DashboardInfo, PanelState

WINDOW = Window(1000.0, 1100.0, injected=1060.0, undone=1100.0)


def link(base: str, *expressions: str, page: str = "graph") -> str:
    parameters = "&".join(
        f"g{number}.expr={quote(text, safe='')}&g{number}.tab=0" for number, text in enumerate(expressions)
    )
    return f"{base}/{page}?{parameters}"


def examine(
    respond: Respond, *expressions: str, path: str = "", servers: list[Loopback] | None = None
) -> DashboardInfo:
    async def run() -> DashboardInfo:
        async with serve(respond) as server:
            if servers is not None:
                servers.append(server)
            [found] = await examine_graphs([Named(link(server.url + path, *expressions), ("alert X",))], WINDOW)
            return found

    return asyncio.run(run())


def matrix(*series: list[float | str]) -> dict[str, object]:
    """One point a second from the window's start. Format: range queries of Prometheus's HTTP API."""
    result = [
        {"metric": {"n": str(n)}, "values": [[1000.0 + second, str(value)] for second, value in enumerate(values)]}
        for n, values in enumerate(series)
    ]
    return {"status": "success", "data": {"resultType": "matrix", "result": result}}


STEADY: list[float | str] = [10.0, 11.0, 9.0, 10.0] * 25
JUMPS: list[float | str] = [*STEADY[:62], *[50.0] * 38]


def by_query(**answers: object) -> Respond:
    return lambda request: answer(answers[request.query["query"]])


@pytest.mark.parametrize(
    ("name", "expressions"),
    [
        (link("http://p:9090", 'up{a="b&c"}', "rate(x[5m])"), ('up{a="b&c"}', "rate(x[5m])")),
        (link("https://p/prometheus", "up", page="query"), ("up",)),
        ("http://p:9090/graph?g1.expr=b&g0.expr=a&g10.expr=c", ("a", "b", "c")),
        ("http://p:9090/graph?g0.expr=%20&g0.tab=0", ()),
        ("http://p:9090/graph", ()),
        ("https://grafana/d/uid/name?g0.expr=up", ()),
        ("overview", ()),
        ("http://[::1/graph?g0.expr=up", ()),
        ("tag:shop", ()),
    ],
)
def test_which_links_they_are(name: str, expressions: tuple[str, ...]) -> None:
    assert expressions_of(name) == expressions


def test_each_expression_is_a_panel_that_moves_or_does_not() -> None:
    found = examine(by_query(a=matrix(STEADY, JUMPS), b=matrix(STEADY), c=matrix()), "a", "b", "c")
    assert (found.found, found.named_by) == (True, ("alert X",))
    assert [(panel.title, panel.state, panel.series, panel.moved) for panel in found.panels] == [
        ("a", PanelState.DATA, 2, True),
        ("b", PanelState.DATA, 1, False),
        ("c", PanelState.EMPTY, 0, None),
    ]


def test_what_is_asked() -> None:
    servers: list[Loopback] = []
    examine(by_query(up=matrix(STEADY)), "up", path="/prometheus", servers=servers)
    [request] = servers[0].requests
    assert request.path == "/prometheus/api/v1/query_range"
    assert request.query == {"query": "up", "start": "1000.000", "end": "1100.000", "step": "1.000"}


def test_numbers_that_are_none_are_gaps() -> None:
    [panel] = examine(by_query(a=matrix(["NaN"] * 100)), "a").panels
    assert panel.state is PanelState.EMPTY


def respond_wrong(request: Request) -> bytes:
    if request.query["query"] == "bad":
        return answer({"status": "error", "errorType": "bad_data", "error": "parse error"}, 400)
    if request.query["query"] == "late":
        return answer({"status": "error", "errorType": "timeout", "error": "query timed out"}, 503)
    return answer("<html>", 502)


def test_what_fails_is_told_from_what_could_not_be_asked() -> None:
    panels = examine(respond_wrong, "bad", "late", "html").panels
    assert [(panel.state, panel.detail) for panel in panels] == [
        (PanelState.ERROR, "bad_data: parse error"),
        (PanelState.UNKNOWN, "timeout: query timed out"),
        (PanelState.UNKNOWN, "HTTP 502: <html>"),
    ]


def test_a_server_that_is_away_has_not_lost_its_dashboard() -> None:
    async def run() -> DashboardInfo:
        [found] = await examine_graphs([Named(link("http://127.0.0.1:1", "up"), ("alert X",))], WINDOW)
        return found

    found = asyncio.run(run())
    assert found.found is None
    assert "cannot connect" in found.detail


@pytest.mark.parametrize("values", [[[1000.0, "x"]], [[1000.0]], [["x", "1"]], "x"])
def test_another_servers_answer_is_no_data(values: object) -> None:
    body = {"status": "success", "data": {"resultType": "matrix", "result": [{"metric": {}, "values": values}]}}
    [panel] = examine(by_query(a=body), "a").panels
    assert panel.state is PanelState.UNKNOWN
