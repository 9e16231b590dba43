"""Reads a dashboard as Grafana keeps it, of any age: what it lacks, or has otherwise than expected, counts as absent.

Format: https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/; before version 5
(schemaVersion 16), panels lay in `rows`; before 8.3, data sources were named and had no reference with a uid. Pure.
"""

import itertools
from collections.abc import Iterable, Iterator

import msgspec

from gameday.common.json import Json, JsonObject

MIXED = "-- Mixed --"
OTHER_PANEL = "-- Dashboard --"
OWN = ("grafana", "-- Grafana --")
EXPRESSION = "__expr__"
_MOST_PANELS = 500

ALL = "$__all"


class SourceRef(msgspec.Struct, frozen=True):
    """A data source as a dashboard names it: by uid, by name, or by a variable; `name` is empty for the default one."""

    name: str = ""
    kind: str = ""  # such as "prometheus"


class Target(msgspec.Struct, frozen=True):
    """A query of a panel. `query` is all of it, to be passed on."""

    ref_id: str
    source: SourceRef | None
    is_hidden: bool
    query: JsonObject

    @property
    def is_expression(self) -> bool:
        return self.source is not None and EXPRESSION in (self.source.name, self.source.kind)


class Panel(msgspec.Struct, frozen=True):
    """A panel, without what it looks like. `repeats`: variables for whose values it, or its row, is shown once each."""

    id: str
    title: str
    kind: str
    source: SourceRef | None = None
    targets: tuple[Target, ...] = ()
    repeats: tuple[str, ...] = ()
    library: str = ""  # the uid of the library's panel that this one is, where its model is not here
    interval: str = ""  # at least, between two points
    max_points: int | None = None
    is_shifted: bool = False  # it shows another time than the dashboard


class Variable(msgspec.Struct, frozen=True):
    """A variable of a dashboard. `chosen`: the values that it was saved with."""

    name: str
    kind: str
    query: Json = ""
    source: SourceRef | None = None
    chosen: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    regex: str = ""
    sort: int = 0
    is_multi: bool = False
    includes_all: bool = False
    all_value: str = ""
    auto_count: int = 30
    auto_min: str = "10s"


class Dashboard(msgspec.Struct, frozen=True):
    """A dashboard's panels, rows opened, and its variables in their order."""

    uid: str
    title: str
    panels: tuple[Panel, ...]
    variables: tuple[Variable, ...]


def read_dashboard(found: Json) -> Dashboard:
    """A dashboard's JSON. Whatever it is, it gives a dashboard, perhaps without panels."""
    dashboard = _mapping(found)
    variables = [_variable(one) for one in _mappings(_mapping(dashboard.get("templating")).get("list"))]
    return Dashboard(
        uid=_text(dashboard.get("uid")),
        title=_text(dashboard.get("title")),
        panels=tuple(itertools.islice(_panels(dashboard), _MOST_PANELS)),
        variables=tuple(variable for variable in variables if variable.name),
    )


def read_panel(found: Json, panel: Panel) -> Panel:
    """A library panel's model, as the panel that stands for it in a dashboard."""
    model = _panel(_mapping(found), panel.id, panel.repeats)
    return msgspec.structs.replace(model, id=panel.id, title=panel.title or model.title, library="")


def _panels(dashboard: JsonObject) -> Iterator[Panel]:
    numbers = itertools.count(1)  # for those without an id
    for row in _mappings(dashboard.get("rows")):
        for panel in _mappings(row.get("panels")):
            yield _panel(panel, str(next(numbers)), _repeat(row))
    of_row: tuple[str, ...] = ()
    for panel in _mappings(dashboard.get("panels")):
        if panel.get("type") == "row":
            # What is in a closed row lies in it; what is in an open one follows it.
            of_row = _repeat(panel)
            for inner in _mappings(panel.get("panels")):
                yield _panel(inner, str(next(numbers)), of_row)
        elif not panel.get("repeatPanelId"):  # a copy that was saved by mistake
            yield _panel(panel, str(next(numbers)), of_row)


def _panel(panel: JsonObject, number: str, of_row: tuple[str, ...]) -> Panel:
    library = _mapping(panel.get("libraryPanel"))
    model = _mapping(library.get("model"))
    if model:
        panel = {**model, "id": panel.get("id"), "title": panel.get("title") or model.get("title")}
    targets = _mappings(panel.get("targets"))
    points = panel.get("maxDataPoints")
    return Panel(
        id=_text(panel.get("id")) or number,
        title=_text(panel.get("title")) or _text(library.get("name")),
        kind=_text(panel.get("type")),
        source=_source(panel.get("datasource")),
        targets=tuple(_target(one, index) for index, one in enumerate(targets)),
        repeats=(*of_row, *_repeat(panel)),
        library="" if model or targets else _text(library.get("uid")),
        interval=_text(panel.get("interval")),
        max_points=int(points) if isinstance(points, int | float) and 0 < points < 1e6 else None,
        is_shifted=bool(panel.get("timeShift")),
    )


def _target(target: JsonObject, index: int) -> Target:
    return Target(
        ref_id=_text(target.get("refId")) or chr(ord("A") + index % 26) + ("" if index < 26 else str(index)),
        source=_source(target.get("datasource")),
        is_hidden=target.get("hide") is True,
        query=target,
    )


def _repeat(panel: JsonObject) -> tuple[str, ...]:
    name = _text(panel.get("repeat"))
    return (name,) if name else ()


def _source(found: Json) -> SourceRef | None:
    if isinstance(found, str):
        return SourceRef("" if found == "default" else found)
    if isinstance(found, dict):
        name = _text(found.get("uid"))
        return SourceRef("" if name == "default" else name, _text(found.get("type")))
    return None


def _variable(variable: JsonObject) -> Variable:
    kind = _text(variable.get("type"))
    current = _mapping(variable.get("current"))
    query = variable.get("query")
    if kind == "query" and not query:
        query = variable.get("definition")
    # What is asked for anew whenever the dashboard is opened is no longer what was saved.
    options = [] if variable.get("refresh") in (1, 2) and kind == "query" else _mappings(variable.get("options"))
    return Variable(
        name=_text(variable.get("name")),
        kind=kind,
        query=query if isinstance(query, dict) else _text(query),
        source=_source(variable.get("datasource")),
        chosen=_texts(current.get("value")),
        options=tuple(text for one in options if (text := _text(one.get("value"))) and text != ALL),
        regex=_text(variable.get("regex")),
        sort=_number(variable.get("sort"), 0),
        is_multi=variable.get("multi") is True,
        includes_all=variable.get("includeAll") is True,
        all_value=_text(variable.get("allValue")),
        auto_count=_number(variable.get("auto_count"), 30) or 30,
        auto_min=_text(variable.get("auto_min")) or "10s",
    )


def _mapping(found: Json) -> JsonObject:
    return found if isinstance(found, dict) else {}


def _mappings(found: Json) -> list[JsonObject]:
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _text(found: Json) -> str:
    if isinstance(found, bool):
        return str(found).lower()
    return found if isinstance(found, str) else str(found) if isinstance(found, int | float) else ""


def _texts(found: Json) -> tuple[str, ...]:
    several: Iterable[Json] = found if isinstance(found, list) else [found]
    return tuple(text for text in map(_text, several) if text)


def _number(found: Json, default: int) -> int:
    return int(found) if isinstance(found, int | float) and abs(found) < 1e9 else default
