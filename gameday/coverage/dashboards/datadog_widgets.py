"""Datadog's dashboards: which metrics their widgets ask for, with the variables filled in. Pure; no I/O.

Format: https://docs.datadoghq.com/api/latest/dashboards/ (widgets, template variables), how variables are filled in:
https://docs.datadoghq.com/dashboards/template_variables/.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from gameday.common.codec import decode
from gameday.common.datadog import tag_value
from gameday.common.json import Json

_METRICS = "metrics"
_SERVICE = "service"
_DEEPEST = 5  # groups within groups


class _Query(msgspec.Struct, frozen=True):
    """`query` is a text where metrics are asked for."""

    data_source: str = _METRICS
    name: str = ""
    query: Json = None


class _Formula(msgspec.Struct, frozen=True):
    formula: str


class _Request(msgspec.Struct, frozen=True):
    """`q` is the older form. Whatever else it has asks for logs, traces and the like."""

    q: str | None = None
    queries: tuple[_Query, ...] | None = None
    formulas: tuple[_Formula, ...] | None = None


class _Definition(msgspec.Struct, frozen=True):
    type: str = ""
    title: str | None = None
    requests: Json = None  # a list, or an object (a host map's `fill` and `size`, a scatter plot's `x` and `y`)
    widgets: tuple[msgspec.Raw, ...] | None = None  # of a group
    source_widget_definition: "_Definition | None" = None  # of a split graph


class _Widget(msgspec.Struct, frozen=True):
    definition: _Definition
    id: int | None = None


class Variable(msgspec.Struct, frozen=True):
    """A template variable. `prefix`: the tag whose values it takes; a `type` of "group" stands in `by {$variable}`."""

    name: str
    prefix: str | None = None
    default: str | None = None
    defaults: tuple[str, ...] | None = None
    type: str | None = None


class Dashboard(msgspec.Struct, frozen=True):
    id: str
    title: str = ""
    url: str | None = None  # the path of its page
    widgets: tuple[msgspec.Raw, ...] = ()
    template_variables: tuple[Variable, ...] | None = None


class MetricsQuery(msgspec.Struct, frozen=True):
    """One of the queries that formulas refer to by name, as `/api/v2/query/timeseries` takes it."""

    name: str
    query: str
    data_source: str = _METRICS


class Ask(msgspec.Struct, frozen=True):
    """What one request of a widget asks: a query in the older form, or queries and formulas over them."""

    q: str = ""
    queries: tuple[MetricsQuery, ...] = ()
    formulas: tuple[str, ...] = ()


class Panel(msgspec.Struct, frozen=True):
    """A widget. `unasked`: what of it was not asked for, and why."""

    id: str
    title: str
    asks: tuple[Ask, ...] = ()
    unasked: str = ""


type Values = Mapping[str, tuple[Variable, tuple[str, ...]]]


def fill_in(variables: Sequence[Variable], service: str | None, given: Mapping[str, Sequence[str]]) -> Values:
    """The values of variables: those that the dashboard's address gives, else the service, else their defaults."""
    found = {}
    for variable in variables:
        values = tuple(given.get(variable.name, ()))
        if not values and service and _SERVICE in (variable.prefix, None if variable.prefix else variable.name):
            values = (tag_value(service),)
        found[variable.name] = variable, values or variable.defaults or (variable.default or "*",)
    return found


def panels_of(dashboard: Dashboard, values: Values) -> tuple[Panel, ...]:
    """Its widgets, those in groups too, in their order."""
    return tuple(_panels(dashboard.widgets, values, "", 0))


def _panels(widgets: Sequence[msgspec.Raw], values: Values, within: str, depth: int) -> Iterator[Panel]:
    for position, raw in enumerate(widgets, 1):
        number = f"{within}{position}"
        try:
            widget = decode(raw, _Widget)
        except msgspec.DecodeError as error:
            yield Panel(number, "", unasked=f"it is not as expected: {error}")
            continue
        definition = widget.definition
        if definition.widgets is not None and depth < _DEEPEST:
            yield from _panels(definition.widgets, values, f"{number}.", depth + 1)
            continue
        if inner := definition.source_widget_definition:
            definition = msgspec.structs.replace(inner, title=definition.title or inner.title)
        yield _panel(number if widget.id is None else str(widget.id), definition, values)


def _panel(number: str, definition: _Definition, values: Values) -> Panel:
    title = _fill(definition.title or "", values)
    requests = definition.requests
    if isinstance(requests, dict):
        requests = [*requests.values()]
    asks: list[Ask] = []
    unasked: dict[str, None] = {}
    for request in requests if isinstance(requests, list) else ():
        try:
            found = _ask(msgspec.convert(request, _Request), values)
        except msgspec.ValidationError:
            continue  # part of the settings of a request, and no request
        if isinstance(found, Ask):
            asks.append(found)
        else:
            unasked[found] = None
    if not asks and not unasked:
        unasked[f"a widget of the type {definition.type or '?'}"] = None
    return Panel(number, title or definition.type, tuple(asks), "; ".join(unasked))


def _ask(request: _Request, values: Values) -> Ask | str:
    """What it asks of metrics; else what it asks for."""
    if request.q:
        return Ask(q=_fill(request.q, values))
    queries = request.queries or ()
    others = [
        query.data_source for query in queries if query.data_source != _METRICS or not isinstance(query.query, str)
    ]
    if others or not queries:
        return f"it asks for {', '.join(dict.fromkeys(others)) or 'something else than metrics'}"
    return Ask(
        queries=tuple(MetricsQuery(query.name, _fill(str(query.query), values)) for query in queries),
        formulas=tuple(item.formula for item in request.formulas or ()),
    )


def _fill(text: str, values: Values) -> str:
    if not values or "$" not in text:
        return text
    names = "|".join(map(re.escape, sorted(values, key=len, reverse=True)))

    def fill(found: re.Match[str]) -> str:
        variable, chosen = values[found[1]]
        if found[2] == ".key":
            return variable.prefix or variable.name
        if variable.type == "group":
            return ",".join(chosen)
        # Of several, any: how they are put together depends on the rest of the scope.
        value = chosen[0] if len(chosen) == 1 else "*"
        return value if found[2] or value == "*" or not variable.prefix else f"{variable.prefix}:{value}"

    return re.sub(rf"\$({names})(\.value|\.key)?(?![\w-])", fill, text)
