"""Dashboards in Datadog: which are found, what their widgets show, and the notes of a run."""

import asyncio
from collections.abc import Callable, Coroutine

import pytest
from datadog_server import (
    API_KEY,
    APPLICATION_KEY,
    DatadogServer,
    Points,
    dashboard,
    formula,
    points,
    widget,
)

from gameday.coverage.dashboards import Annotation, DashboardError, Moment, Named, Window, open_dashboards
from gameday.coverage.dashboards.datadog import Datadog
from gameday.journal.events import DashboardInfo, PanelInfo, PanelState
from gameday.spec.model import Credentials, DashboardsConfig, Environment, EnvironmentKind

TIMEOUT_S = 1.0
KEYS = Credentials(api_key=API_KEY, application_key=APPLICATION_KEY)
ID = "abc-def-ghi"
RUN = "20260307T101112-checkout"
QUERY = "avg:latency{service:payments}"


def open_at(url: str | None, keys: Credentials = KEYS, tags: tuple[str, ...] = ()) -> Datadog:
    config = DashboardsConfig("datadog", url, tags=tags, timeout_s=TIMEOUT_S, credentials=keys)
    source: object = open_dashboards(Environment("test", EnvironmentKind.DECLARED, dashboards=config))
    assert isinstance(source, Datadog)
    return source


def ask[T](
    server: DatadogServer,
    question: Callable[[Datadog], Coroutine[None, None, T]],
    keys: Credentials = KEYS,
    tags: tuple[str, ...] = (),
) -> T:
    async def run() -> T:
        source = open_at(server.url, keys, tags)
        try:
            return await question(source)
        finally:
            await source.close()

    return asyncio.run(run())


def examine(
    server: DatadogServer, *names: str, service: str | None = "payments", tags: tuple[str, ...] = ()
) -> tuple[DashboardInfo, ...]:
    named = [Named(name, (f"user {number}",)) for number, name in enumerate(names or (ID,))]
    window = Window(server.now() - 600, server.now())
    return ask(server, lambda source: source.examine(named, service, window), tags=tags)


def panels(server: DatadogServer, **settings: str | None) -> tuple[PanelInfo, ...]:
    [found] = examine(server, **settings)  # type: ignore[arg-type]
    assert found.found is True, found.detail
    return found.panels


def shown(server: DatadogServer) -> Points:
    return points(server.now(), 1.0, 2.0, None, 3.0)


@pytest.mark.parametrize(
    ("name", "known"),
    [
        (ID, True),
        ("tag:team:payments", True),
        (f"https://app.datadoghq.eu/dashboard/{ID}/payments?from_ts=1", True),
        (f"https://acme.datadoghq.eu/dashboard/{ID}", True),
        (f"https://app.datadoghq.com/dashboard/{ID}", False),
        (f"https://datadoghq.eu.example.com/dashboard/{ID}", False),
        ("https://app.datadoghq.eu/dashboard/lists", False),
        ("https://app.datadoghq.eu/monitors/1", False),
        ("payments", False),
        ("https://[", False),
    ],
)
def test_which_names_are_known(name: str, known: bool) -> None:
    assert open_at("https://api.datadoghq.eu").knows(name) is known


def test_the_address_for_people() -> None:
    pages = [open_at(f"https://api.{site}")._api.page("/x") for site in ("datadoghq.eu", "us3.datadoghq.com")]
    assert pages == ["https://app.datadoghq.eu/x", "https://us3.datadoghq.com/x"]


def test_what_widgets_show() -> None:
    widgets = [
        widget(1, title="Old", requests=[{"q": QUERY}]),
        widget(2, "query_value", "New", requests=[formula(QUERY)]),
        widget(3, "toplist", "Empty", requests=[{"q": "avg:none{*}"}]),
        widget(4, "query_table", "Empty too", requests=[formula("avg:none{*}")]),
        widget(5, title="Broken", requests=[{"q": "avg:!!{*}"}]),
        widget(6, title="Broken too", requests=[formula("avg:!!{*}")]),
        widget(7, "note", "", content="Hello"),
        widget(
            8, title="Logs", requests=[{"queries": [{"data_source": "logs", "name": "a", "search": {"query": "*"}}]}]
        ),
        widget(9, title="Old logs", requests=[{"log_query": {"index": "*"}}]),
        widget(10, "hostmap", "Map", requests={"fill": {"q": QUERY}, "size": {"q": QUERY}, "no_group_hosts": True}),
        widget(11, title="Both", requests=[{"q": "avg:none{*}"}, {"log_query": {"index": "*"}}]),
        widget(12, title="Two series", requests=[{"q": "avg:two{*}"}, {"q": QUERY}]),
        {"id": 13},
    ]
    with DatadogServer(dashboards={ID: dashboard(*widgets)}) as server:
        server.metrics |= {QUERY: [shown(server)], "avg:two{*}": [shown(server), shown(server)]}
        [found] = examine(server)
    states = {panel.title or panel.id: (panel.state, panel.series) for panel in found.panels}
    assert states == {
        "Old": (PanelState.DATA, 1),
        "New": (PanelState.DATA, 1),
        "Empty": (PanelState.EMPTY, 0),
        "Empty too": (PanelState.EMPTY, 0),
        "Broken": (PanelState.ERROR, 0),
        "Broken too": (PanelState.ERROR, 0),
        "note": (PanelState.UNKNOWN, 0),
        "Logs": (PanelState.UNKNOWN, 0),
        "Old logs": (PanelState.UNKNOWN, 0),
        "Map": (PanelState.DATA, 2),
        "Both": (PanelState.UNKNOWN, 0),
        "Two series": (PanelState.DATA, 3),
        "13": (PanelState.UNKNOWN, 0),
    }
    details = {panel.title: panel.detail for panel in found.panels}
    assert "Error parsing query" in details["Broken"]
    assert details["note"] == "a widget of the type note"
    assert details["Logs"] == "it asks for logs"
    assert (found.title, found.url) == ("Payments", f"{server.url}/dashboard/{ID}/payments")


def test_widgets_in_groups_and_split_graphs() -> None:
    inner = widget(2, title="Inner", requests=[{"q": QUERY}])
    group = widget(1, "group", "Group", layout_type="ordered", widgets=[inner])
    source = {"type": "timeseries", "title": "Source", "requests": [{"q": QUERY}]}
    split = widget(3, "split_group", source_widget_definition=source, size="md", split_config={})
    with DatadogServer(dashboards={ID: dashboard(group, split)}) as server:
        server.metrics[QUERY] = [shown(server)]
        assert [(panel.id, panel.title, panel.state) for panel in panels(server)] == [
            ("2", "Inner", PanelState.DATA),
            ("3", "Source", PanelState.DATA),
        ]


VARIABLES = [
    {"name": "service", "prefix": "service", "default": "*", "available_values": []},
    {"name": "env", "prefix": "env", "defaults": ["prod"]},
    {"name": "environment", "prefix": "env", "defaults": ["prod", "dev"]},
    {"name": "by", "type": "group", "defaults": ["host", "zone"]},
    {"name": "any", "prefix": "any"},
    {"name": "plain", "prefix": None, "default": "x:y"},
]


@pytest.mark.parametrize(
    ("query", "service", "address", "asked"),
    [
        ("avg:m{$service,$env}", "Payments", "", "avg:m{service:payments,env:prod}"),
        ("avg:m{$service}", None, "", "avg:m{*}"),
        ("avg:m{host:$env.value,$any,$environment}", None, "", "avg:m{host:prod,*,*}"),
        ("avg:m{$plain} by {$by}", None, "", "avg:m{x:y} by {host,zone}"),
        ("avg:m{$env.key:$env.value,$unknown}", None, "", "avg:m{env:prod,$unknown}"),
        ("avg:m{$service,$env}", "payments", "?tpl_var_env%5B0%5D=dev&tpl_var_service=x", "avg:m{service:x,env:dev}"),
        ("avg:m{$env}", None, "?tpl_var_env%5B0%5D=dev&tpl_var_env%5B1%5D=prod", "avg:m{*}"),
    ],
)
@pytest.mark.parametrize("is_new", [False, True])
def test_variables(query: str, service: str | None, address: str, asked: str, is_new: bool) -> None:
    one = widget(1, title="$env", requests=[formula(query) if is_new else {"q": query}])
    board = dashboard(one, template_variables=VARIABLES)
    with DatadogServer(dashboards={ID: board}) as server:
        server.metrics[asked] = [shown(server)]
        [found] = examine(server, f"{server.url}/dashboard/{ID}/x{address}" if address else ID, service=service)
    assert [panel.state for panel in found.panels] == [PanelState.DATA], server.requests[-1]


def test_whether_a_widget_moved() -> None:
    widgets = [
        widget(1, title="Moved", requests=[{"q": "avg:moved{*}"}]),
        widget(2, title="Moved too", requests=[formula("avg:moved{*}")]),
        widget(3, title="Still", requests=[{"q": "avg:still{*}"}]),
    ]
    with DatadogServer(dashboards={ID: dashboard(*widgets)}) as server:
        now = server.now()
        window = Window(now - 600, now, injected=now - 200, undone=now)
        server.metrics["avg:moved{*}"] = [points(now, *([1.0, 1.1] * 10), *([9.0] * 9), age_s=20)]
        server.metrics["avg:still{*}"] = [points(now, *([1.0, 1.1] * 14), 1.0, age_s=20)]
        [found] = ask(server, lambda source: source.examine([Named(ID, ("x",))], None, window))
    assert [panel.moved for panel in found.panels] == [True, True, False]


def test_each_dashboard_once_by_whoever_names_it() -> None:
    with DatadogServer(dashboards={ID: dashboard()}) as server:
        found = examine(server, ID, f"{server.url}/dashboard/{ID}/payments", "zzz-zzz-zzz")
        assert len(server.requests) == 2
    assert [(one.name, one.named_by, one.found) for one in found] == [
        (ID, ("user 0", "user 1"), True),
        ("zzz-zzz-zzz", ("user 2",), False),
    ]
    assert "HTTP 404" in found[1].detail


def test_tags_cannot_be_looked_up_which_is_said() -> None:
    with DatadogServer(dashboards={ID: dashboard()}) as server:
        found = examine(server, "tag:team:payments", tags=("team:payments",))
        assert server.requests == []
    [one] = found
    assert (one.name, one.named_by, one.found) == ("tag:team:payments", ("user 0", "tag team:payments"), None)
    assert "does not say which tags" in one.detail


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        (500, "HTTP 500"),
        (b"<html>", "is not as expected"),
        (None, "closed the connection"),
        (2.0, "no answer within 1 s"),
    ],
)
def test_a_dashboard_that_cannot_be_read(trouble: int | bytes | float | None, reason: str) -> None:
    with DatadogServer(troubles={"/api/v1/dashboard": trouble}) as server:
        [found] = examine(server)
    assert found.found is None
    assert reason in found.detail


@pytest.mark.parametrize("path", ["/api/v1/query", "/api/v2/query/timeseries"])
@pytest.mark.parametrize(("trouble", "reason"), [(500, "HTTP 500"), (b"{]", "is not as expected"), (2.0, "no answer")])
def test_a_widget_that_cannot_be_asked(path: str, trouble: int | bytes | float, reason: str) -> None:
    widgets = [widget(1, requests=[{"q": QUERY}]), widget(2, requests=[formula(QUERY)])]
    with DatadogServer(dashboards={ID: dashboard(*widgets)}, troubles={path: trouble}) as server:
        server.metrics[QUERY] = [shown(server)]
        found = panels(server)
    failing = found[0 if path == "/api/v1/query" else 1]
    assert sorted(panel.state for panel in found) == [PanelState.DATA, PanelState.UNKNOWN]
    assert failing.state is PanelState.UNKNOWN
    assert reason in failing.detail


def test_all_of_it_ends_in_time() -> None:
    widgets = [widget(number, requests=[{"q": f"avg:m{number}{{*}}"}]) for number in range(100)]
    with DatadogServer(dashboards={ID: dashboard(*widgets)}, troubles={"/api/v1/query": 0.4}) as server:
        [found] = examine(server)
    assert (found.found, found.detail) == (None, "Datadog took longer than 4 s")


def test_the_rate_limit() -> None:
    widgets = [widget(number, requests=[{"q": QUERY}]) for number in range(50)]
    with DatadogServer(dashboards={ID: dashboard(*widgets)}, limits={"/api/v1/query": (10, 3600)}) as server:
        server.metrics[QUERY] = [shown(server)]
        found = panels(server)
        assert len(server.asked("/api/v1/query")) < 10 + 10
    assert [panel.state for panel in found].count(PanelState.DATA) == 10
    assert "HTTP 429" in found[-1].detail


def test_keys_without_permission() -> None:
    with DatadogServer(dashboards={ID: dashboard()}, denied=("/api/v1/dashboard",)) as server:
        [found] = examine(server)
    assert found.found is None
    assert "`dashboards_read`" in found.detail


@pytest.mark.parametrize(
    ("url", "keys", "reason"),
    [(None, KEYS, "expected http"), ("https://api.datadoghq.eu", Credentials(), "found no `api-key`")],
)
def test_mistakes_are_named(url: str | None, keys: Credentials, reason: str) -> None:
    with pytest.raises(DashboardError) as caught:
        open_at(url, keys)
    assert reason in str(caught.value)


def note(at: float, moment: Moment = Moment.INJECTION, **fields: object) -> Annotation:
    return Annotation(RUN, moment, "Injected pods/kill: payments-1", at, **fields)  # type: ignore[arg-type]


def test_notes_come_back_as_they_were_posted() -> None:
    with DatadogServer() as server:
        now = float(int(server.now()))
        notes = (
            note(now - 60.5, service="payments"),
            note(now - 50, Moment.STAGE, until=now - 20.25, service="payments"),
            note(now - 10, Moment.UNDO),
            note(now - 5, Moment.ABORT),
        )

        async def post_and_read(source: Datadog) -> tuple[Annotation, ...]:
            for one in notes:
                await source.annotate(one)
            await source.annotate(Annotation("another-run", Moment.UNDO, "x", now))
            return await source.annotations(RUN)

        assert ask(server, post_and_read) == notes
    first = server.events[0]
    assert {"gameday", f"gameday_run:{RUN.lower()}", "service:payments"} <= set(first["tags"])
    assert [event["alert_type"] for event in server.events[:4]] == ["warning", "info", "success", "error"]


def test_other_events_with_the_runs_tag_are_no_notes() -> None:
    with DatadogServer() as server:
        happened = int(server.now())
        server.events.append({"date_happened": happened, "tags": [f"gameday_run:{RUN.lower()}"], "text": "by hand"})
        assert ask(server, lambda source: source.annotations(RUN)) == ()


def test_many_notes_are_read_by_pages() -> None:
    with DatadogServer() as server:
        tags = [f"gameday_run:{RUN.lower()}", "gameday_moment:stage"]
        event = {"date_happened": int(server.now()), "tags": tags, "text": "x"}
        server.events += [event] * 2500
        assert len(ask(server, lambda source: source.annotations(RUN))) == 2500


def test_a_long_note_is_cut() -> None:
    with DatadogServer() as server:
        long = Annotation(RUN, Moment.UNDO, "x" * 5000, server.now())
        ask(server, lambda source: source.annotate(long))
    assert len(server.events[0]["title"]) == 100
    assert len(server.events[0]["text"]) == 4000


def test_notes_that_are_not_taken() -> None:
    with DatadogServer() as server:
        with pytest.raises(DashboardError, match=r"does not take the event: .*HTTP 400 .*too far in the past"):
            ask(server, lambda source: source.annotate(note(server.now() - 86400)))
        wrong = Credentials(api_key="another", application_key=APPLICATION_KEY)
        with pytest.raises(DashboardError, match="HTTP 403"):
            ask(server, lambda source: source.annotate(note(server.now())), wrong)
    with DatadogServer(denied=("/api/v1/events",)) as server, pytest.raises(DashboardError, match="`events_read`"):
        ask(server, lambda source: source.annotations(RUN))


def test_notes_cannot_be_removed_which_is_said() -> None:
    with DatadogServer() as server:
        with pytest.raises(DashboardError, match=f"removes no events: those of {RUN} stay"):
            ask(server, lambda source: source.remove_annotations(RUN))
        assert server.requests == []
