"""What is read of a dashboard, of any age of Grafana."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gameday.coverage.dashboards.grafana_model import Panel, SourceRef, read_dashboard, read_panel


def panels(*found: dict[str, object], **more: object) -> tuple[Panel, ...]:
    return read_dashboard({"panels": [*found], **more}).panels


def query(ref_id: str = "A", **more: object) -> dict[str, object]:
    return {"refId": ref_id, "expr": "up", **more}


def test_a_panel() -> None:
    (panel,) = panels(
        {
            "id": 7,
            "type": "timeseries",
            "title": "Errors of $job",
            "datasource": {"type": "prometheus", "uid": "main"},
            "targets": [query(), query("B", hide=True, datasource={"type": "loki", "uid": "logs"})],
            "interval": "1m",
            "maxDataPoints": 100,
            "timeShift": "1d",
            "repeat": "job",
        }
    )
    assert (panel.id, panel.title, panel.kind, panel.source) == (
        "7",
        "Errors of $job",
        "timeseries",
        SourceRef("main", "prometheus"),
    )
    assert [(target.ref_id, target.is_hidden, target.source) for target in panel.targets] == [
        ("A", False, None),
        ("B", True, SourceRef("logs", "loki")),
    ]
    assert (panel.interval, panel.max_points, panel.is_shifted, panel.repeats) == ("1m", 100, True, ("job",))


def test_what_is_in_rows_is_found_be_they_open_or_closed() -> None:
    found = panels(
        {"id": 1, "type": "graph"},
        {"id": 2, "type": "row", "repeat": "node", "panels": [{"id": 3, "type": "stat", "repeat": "disk"}]},
        {"id": 4, "type": "row", "repeat": "job", "collapsed": False, "panels": []},
        {"id": 5, "type": "graph"},
        {"id": 6, "type": "row"},
        {"id": 7, "type": "graph"},
        {"id": 8, "type": "graph", "repeatPanelId": 5},  # a copy
    )
    assert [(panel.id, panel.repeats) for panel in found] == [
        ("1", ()),
        ("3", ("node", "disk")),
        ("5", ("job",)),
        ("7", ()),
    ]


def test_before_version_5_panels_lay_in_rows() -> None:
    dashboard = read_dashboard(
        {
            "title": "Old",
            "rows": [
                {"repeat": "job", "panels": [{"id": 1, "type": "graph", "datasource": "Prom", "targets": [query()]}]},
                {"panels": [{"type": "singlestat", "datasource": "default"}, {"type": "text", "datasource": None}]},
            ],
        }
    )
    assert [(panel.id, panel.source, panel.repeats) for panel in dashboard.panels] == [
        ("1", SourceRef("Prom"), ("job",)),
        ("2", SourceRef(""), ()),
        ("3", None, ()),
    ]


def test_panels_of_the_library() -> None:
    model = {
        "type": "stat",
        "title": "Shared",
        "targets": [query()],
        "datasource": {"uid": "main", "type": "prometheus"},
    }
    with_model, without = panels(
        {"id": 1, "libraryPanel": {"uid": "lib", "name": "Shared", "model": model}},
        {"id": 2, "libraryPanel": {"uid": "lib", "name": "The shared one"}, "type": "library-panel-ref"},
    )
    assert (with_model.id, with_model.title, with_model.kind, with_model.library) == ("1", "Shared", "stat", "")
    assert len(with_model.targets) == 1
    assert (without.title, without.library, without.targets) == ("The shared one", "lib", ())
    fetched = read_panel(model, without)
    assert (fetched.id, fetched.title, fetched.kind, fetched.library) == ("2", "The shared one", "stat", "")
    assert fetched.source == SourceRef("main", "prometheus")


def test_variables() -> None:
    listed: list[dict[str, object]] = [
        {
            "name": "job",
            "type": "query",
            "datasource": "${DS_PROMETHEUS}",
            "query": {"query": "label_values(up, job)", "refId": "x"},
            "current": {"text": ["a", "b"], "value": ["a", "b"]},
            "options": [{"value": "$__all"}, {"value": "a"}],
            "refresh": 0,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "regex": "/a/",
            "sort": 1,
        },
        {
            "name": "node",
            "type": "query",
            "definition": "label_values(node)",
            "refresh": 2,
            "options": [{"value": "x"}],
        },
        {"name": "every", "type": "interval", "query": "1m,5m", "auto": True, "auto_count": 10, "auto_min": "30s"},
        {"name": "none", "type": "custom", "current": {}, "allValue": None, "query": None},
        {"type": "constant"},
    ]
    job, node, every, none = read_dashboard({"templating": {"list": listed}}).variables
    assert (job.source, job.chosen, job.options) == (SourceRef("${DS_PROMETHEUS}"), ("a", "b"), ("a",))
    assert (job.is_multi, job.includes_all, job.all_value, job.regex, job.sort) == (True, True, ".*", "/a/", 1)
    assert (node.query, node.options) == ("label_values(node)", ())  # they are asked for anew
    assert (every.auto_count, every.auto_min) == (10, "30s")
    assert (none.chosen, none.query, none.all_value) == ((), "", "")


@pytest.mark.parametrize(
    "found",
    [
        None,
        [],
        "text",
        {},
        {"panels": None, "rows": 3, "templating": []},
        {"panels": [None, 1, {"targets": [None, 2, {}], "datasource": 3, "id": None, "maxDataPoints": "many"}]},
        {"panels": [{"type": "row", "panels": [{"libraryPanel": 3}]}], "templating": {"list": [{}, 3]}},
        {"panels": [{"id": True, "title": 3.5, "targets": {}, "libraryPanel": {"model": []}}]},
    ],
)
def test_whatever_it_is_something_is_read(found: object) -> None:
    dashboard = read_dashboard(found)
    assert all(panel.id for panel in dashboard.panels)


KEYS = ["panels", "rows", "type", "targets", "datasource", "uid", "id", "title", "libraryPanel", "model"]
KEYS += ["templating", "list", "name", "current", "value", "options", "query", "repeat", "maxDataPoints"]
json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.just("row"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=20,
)


@given(json_values)
def test_nothing_makes_it_stumble(found: object) -> None:
    read_dashboard(found)
