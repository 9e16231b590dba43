"""Grafana's dashboards by their names, against a stand-in that holds to its documented API."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

import pytest
from grafana_server import GrafanaServer, source

from gameday.coverage.dashboards import DashboardError, DashboardSource, Named, Window, open_dashboards
from gameday.coverage.dashboards.grafana import Grafana
from gameday.journal.events import DashboardInfo
from gameday.spec.model import Credentials, DashboardsConfig, Environment, EnvironmentKind

NOW = 1_772_712_000.0
WINDOW = Window(NOW - 900, NOW)


def dashboard(title: str, *tags: str) -> dict[str, Any]:
    panel = {"id": 1, "type": "timeseries", "title": "Up", "targets": [{"refId": "A", "expr": "up"}]}
    return {"title": title, "tags": [*tags], "panels": [panel]}


@pytest.fixture
def server() -> Iterator[GrafanaServer]:
    with GrafanaServer() as server:
        server.sources = [source("main", default=True)]
        server.results = {"up": {"a": lambda _: 1.0}}
        server.dashboards = {
            "shop": dashboard("Shop", "checkout", "slo"),
            "tills": dashboard("Tills", "checkout"),
            "other": dashboard("Other"),
        }
        yield server


def ask[T](
    url: str,
    question: Callable[[DashboardSource], Coroutine[None, None, T]],
    credentials: Credentials = Credentials(token="glsa_of-ours"),
    timeout_s: float = 3.0,
    tags: tuple[str, ...] = (),
) -> T:
    async def run() -> T:
        config = DashboardsConfig("grafana", url, tags=tags, timeout_s=timeout_s, credentials=credentials)
        source = open_dashboards(Environment("test", EnvironmentKind.DECLARED, dashboards=config))
        assert source
        try:
            return await question(source)
        finally:
            await source.close()

    return asyncio.run(run())


def examine(server: GrafanaServer, *names: str | Named, **more: Any) -> Sequence[DashboardInfo]:
    named = [one if isinstance(one, Named) else Named(one, ("the experiment",)) for one in names]
    return ask(server.url, lambda source: source.examine(named, "checkout", WINDOW), **more)


def test_a_dashboard_by_its_uid(server: GrafanaServer) -> None:
    (info,) = examine(server, "shop")
    assert (info.name, info.named_by, info.found, info.title) == ("shop", ("the experiment",), True, "Shop")
    assert info.url == f"{server.url}/d/shop/slug"
    assert [panel.title for panel in info.panels] == ["Up"]


@pytest.mark.parametrize(
    "path", ["/d/shop", "/d/shop/", "/d/shop/any-slug?orgId=1&refresh=5s", "/d-solo/shop/x?panelId=1"]
)
def test_a_dashboard_by_its_url(server: GrafanaServer, path: str) -> None:
    (info,) = examine(server, server.url + path)
    assert (info.name, info.found, info.title) == (server.url + path, True, "Shop")


def test_each_is_looked_at_once_with_all_who_name_it(server: GrafanaServer) -> None:
    infos = examine(
        server,
        Named("shop", ("the experiment", "service shop")),
        Named(f"{server.url}/d/shop/slug", ("alert ShopDown",)),
        Named("tag:checkout", ("runbook shop-down", "service shop")),
        tags=("slo",),
    )
    assert [(info.name, info.title, info.named_by) for info in infos] == [
        ("shop", "Shop", ("the experiment", "service shop", "alert ShopDown", "runbook shop-down", "tag slo")),
        ("tills", "Tills", ("runbook shop-down", "service shop")),
    ]
    assert len([asked for asked in server.requests if "/dashboards/" in asked.path]) == 2


def test_a_tag_that_no_dashboard_has(server: GrafanaServer) -> None:
    (info,) = examine(server, "tag:nowhere")
    assert (info.name, info.found) == ("tag:nowhere", False)
    assert info.detail == "no dashboard that may be seen has the tag `nowhere`"


def test_tags_of_more_dashboards_than_a_page_has(server: GrafanaServer) -> None:
    server.dashboards = {f"d{number}": dashboard(f"D{number}", "many") | {"panels": []} for number in range(1004)}
    infos = examine(server, "tag:many")
    assert [info.found for info in infos] == [True] * 50 + [None]
    assert (infos[-1].name, infos[-1].detail) == ("954 more", "only 50 dashboards are looked at")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/goto/abc?orgId=1", "is a short link"),
        ("/explore?left=x", "is no address of a dashboard"),
        ("/dashboard/db/shop", "is no address of a dashboard"),
        ("/", "is no address of a dashboard"),
    ],
)
def test_what_else_is_below_grafana(server: GrafanaServer, path: str, said: str) -> None:
    (info,) = examine(server, server.url + path)
    assert info.found is None
    assert info.detail.startswith(said)


def test_below_a_path_of_its_own() -> None:
    with GrafanaServer(root="/grafana") as server:
        server.sources = [source("main", default=True)]
        server.results = {"up": {"a": lambda _: 1.0}}
        server.dashboards = {"shop": dashboard("Shop")}
        (info,) = examine(server, f"{server.url}/d/shop/x")
        assert (info.found, info.url, info.panels[0].state) == (True, f"{server.url}/d/shop/slug", "data")


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("shop", True),
        ("tag:checkout", True),
        ("https://host.example.com/grafana/d/shop", True),
        ("http://host.example.com:443/grafana/d/shop", True),
        ("https://host.example.com/grafana", True),
        ("https://host.example.com/grafana-old/d/shop", False),
        ("https://host.example.com/d/shop", False),
        ("https://other.example.com/grafana/d/shop", False),
        ("https://host.example.com:3000/grafana/d/shop", False),
        ("http://[bad", False),
    ],
)
def test_what_it_knows(name: str, known: bool) -> None:
    async def question(source: DashboardSource) -> bool:
        return source.knows(name)

    assert ask("https://host.example.com/grafana/", question) is known


def test_without_a_url_it_cannot_be_used() -> None:
    for url in (None, "grafana"):
        with pytest.raises(DashboardError, match="expected"):
            Grafana(DashboardsConfig("grafana", url))


def test_a_user_and_a_password(server: GrafanaServer) -> None:
    credentials = Credentials(user="gameday", password=server.password)
    (info,) = examine(server, "shop", credentials=credentials)
    assert info.found is True


@pytest.mark.parametrize(
    ("trouble", "found", "said"),
    [
        (404, False, "Grafana has none of this uid"),
        (401, None, "does not take the credentials: HTTP 401"),
        (403, None, "they need `dashboards:read`"),
        (429, None, "asked more often than it allows"),
        (500, None, "Grafana answers HTTP 500"),
        (b"garbage", None, "not as expected"),
        (b'{"dashboard": ', None, "not as expected"),
        (b"<html>a login</html>", None, "not as expected"),
        (None, None, "closed the connection"),
        (b" " * (17 * 1024 * 1024), None, "larger than"),
        (1.5, None, "no answer within 0.4 s"),
    ],
)
def test_what_may_go_wrong(
    server: GrafanaServer, trouble: int | bytes | float | None, found: bool | None, said: str
) -> None:
    server.troubles = {"/api/dashboards": trouble}
    (info,) = examine(server, "shop", timeout_s=0.4 if isinstance(trouble, float) else 10.0)
    assert info.found is found
    assert said in info.detail


def test_a_wrong_token_is_said_and_never_shown(server: GrafanaServer) -> None:
    token = "glsa_of-somebody-else"
    infos = examine(server, "shop", "tag:checkout", credentials=Credentials(token=token))
    assert [info.found for info in infos] == [None, None]
    assert all("HTTP 401 (Invalid API key)" in info.detail and token not in info.detail for info in infos)


def test_what_a_server_repeats_of_our_token_is_not_shown(server: GrafanaServer) -> None:
    server.token = "glsa_secret"
    server.results = {"up": (400, "glsa_secret is no metric " + "x" * 1000)}
    (info,) = examine(server, "shop", credentials=Credentials(token="glsa_secret"))
    detail = info.panels[0].detail
    assert detail.startswith("query A: … is no metric")
    assert len(detail) == 300


def test_another_server_that_knows_no_dashboards_says_nothing_of_them(server: GrafanaServer) -> None:
    server.root = "/grafana"
    (info,) = examine(server, "shop")
    assert (info.found, info.detail) == (
        None,
        f"{server.url} is no Grafana: HTTP 404 (<html>another server's page</html>)",
    )


def test_nobody_there() -> None:
    named = [Named("shop", ("the experiment",)), Named("tag:x", ("service shop",))]
    infos = ask("http://127.0.0.1:1", lambda source: source.examine(named, None, WINDOW))
    assert [info.found for info in infos] == [None, None]
    assert all("cannot connect to 127.0.0.1:1" in info.detail for info in infos)


def test_it_ends_in_time_whatever_is_slow(server: GrafanaServer) -> None:
    server.troubles = {"/api/(datasources|ds|frontend|search)": 0.9}
    server.dashboards["shop"]["templating"] = {
        "list": [{"name": "job", "type": "query", "query": "label_values(up, job)", "refresh": 1}]
    }
    began = time.monotonic()
    infos = examine(server, "shop", "tills", "tag:checkout", timeout_s=0.25)
    assert time.monotonic() - began < 1.6
    assert all(panel.state == "unknown" for info in infos for panel in info.panels)


@pytest.mark.parametrize("is_admin", [True, False])
def test_where_data_sources_cannot_be_listed_those_with_a_uid_are_asked(server: GrafanaServer, is_admin: bool) -> None:
    server.troubles = {"/api/frontend": 403}
    server.is_admin = is_admin
    server.dashboards["shop"]["panels"][0]["datasource"] = {"uid": "main", "type": "prometheus"}
    server.dashboards["tills"]["panels"][0]["datasource"] = "The main"
    with_uid, by_name = examine(server, "shop", "tills")
    assert with_uid.panels[0].state == "data"
    assert by_name.panels[0].state == ("data" if is_admin else "unknown")
    if not is_admin:
        assert "not known which data source `The main` is" in by_name.panels[0].detail


def test_one_that_may_not_ask_data_sources_says_what_it_needs(server: GrafanaServer) -> None:
    server.may_query = False
    (info,) = examine(server, "shop")
    assert (info.found, info.panels[0].state) == (True, "unknown")
    assert "they need `datasources:query`" in info.panels[0].detail


def test_dashboards_of_the_second_schema_are_had_in_the_first(server: GrafanaServer) -> None:
    server.newer["dynamic"] = dashboard("Dynamic")
    (info,) = examine(server, "dynamic")
    assert (info.found, info.title, info.panels[0].state) == (True, "Dynamic", "data")
    assert info.url == f"{server.url}/d/dynamic"
    server.troubles = {"/apis/": 500}
    (info,) = examine(server, "dynamic")
    assert info.found is None


def test_a_name_is_never_more_than_one_part_of_a_path(server: GrafanaServer) -> None:
    (info,) = examine(server, "../search?x=y#z")
    assert info.found is False
    assert [asked.path for asked in server.requests if "search" in asked.path] == [
        "/api/dashboards/uid/../search?x=y#z"
    ]


def test_nothing_is_written(server: GrafanaServer) -> None:
    examine(server, "shop", "tag:checkout")
    assert server.writes == []
    assert {(asked.method, asked.path) for asked in server.requests if asked.method != "GET"} == {
        ("POST", "/api/ds/query")
    }
