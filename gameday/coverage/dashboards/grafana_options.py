"""Fills in all variables of a dashboard: asks what values they have now, as Grafana does when somebody opens it.

The queries of Prometheus's variables: https://grafana.com/docs/grafana/latest/datasources/prometheus/template-variables/;
of Loki's: https://grafana.com/docs/grafana/latest/datasources/loki/template-variables/. They are asked through
`/api/datasources/uid/:uid/resources/…`, those of other data sources through `/api/ds/query`.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence

import msgspec

from gameday.common.json import Json, JsonObject
from gameday.coverage.dashboards.grafana_api import Api, GrafanaError
from gameday.coverage.dashboards.grafana_frames import Results, texts
from gameday.coverage.dashboards.grafana_model import Dashboard, Variable
from gameday.coverage.dashboards.grafana_sources import NoSourceError, Source, Sources
from gameday.coverage.dashboards.grafana_text import Filled, default_format, fill, fill_all, is_promql, is_sql, names_in
from gameday.coverage.dashboards.grafana_variables import (
    IGNORED,
    Range,
    choose,
    compile_regex,
    custom_options,
    select_options,
    simple,
)

_LABEL_VALUES = re.compile(r"\s*label_values\((?:(.+),\s*)?([a-zA-Z_]\w*)\s*\)\s*", re.DOTALL)
_LABEL_NAMES = re.compile(r"\s*label_names\(.*\)\s*", re.DOTALL)
_METRICS = re.compile(r"\s*metrics\((.+)\)\s*", re.DOTALL)
_RESULT = re.compile(r"\s*query_result\((.+)\)\s*", re.DOTALL)
_NEEDS = "datasources:query"


class _Values(msgspec.Struct, frozen=True):
    data: tuple[str, ...] | None = ()


class _Labels(msgspec.Struct, frozen=True):
    data: tuple[dict[str, str], ...]


class _Sample(msgspec.Struct, frozen=True):
    metric: dict[str, str]
    value: tuple[float, str]


class _Vector(msgspec.Struct, frozen=True):
    result: tuple[_Sample, ...]


class _Answer(msgspec.Struct, frozen=True):
    data: _Vector


class Filler:
    """Fills in the variables of one dashboard, for one service and time."""

    def __init__(self, api: Api, sources: Sources, asked: Range, service: str | None) -> None:
        self._api = api
        self._sources = sources
        self._asked = asked
        self._service = service

    async def fill(self, dashboard: Dashboard, given: Mapping[str, Sequence[str]]) -> dict[str, Filled]:
        """All of them by name. `given` are the values that a URL says. Never raises for what Grafana does."""
        filled = dict(self._built_in())
        waiting = [variable for variable in dashboard.variables if variable.kind not in IGNORED]
        while waiting:
            names = {variable.name for variable in waiting}
            ready = [one for one in waiting if not (names_in([one.query, one.regex, _name(one)]) & names) - {one.name}]
            ready = ready or waiting[:1]  # of those that wait for each other, one must begin
            values = await asyncio.gather(*(self._one(one, given.get(one.name, ()), filled) for one in ready))
            filled.update((value.name, value) for value in values)
            waiting = [one for one in waiting if one not in ready]
        return filled

    def _built_in(self) -> Mapping[str, Filled]:
        values = {"__from": str(self._asked.start_ms), "__to": str(self._asked.end_ms)}
        return {name: Filled(name, value) for name, value in values.items()}

    async def _one(self, variable: Variable, given: Sequence[str], filled: Mapping[str, Filled]) -> Filled:
        match variable.kind:
            case "custom":
                query = variable.query if isinstance(variable.query, str) else ""
                options: Sequence[str] | None = custom_options(fill(query, filled)) or variable.options
            case "datasource":
                return self._source(variable, given, filled)
            case "query":
                options = await self._options(variable, filled)
                if options is None:
                    options = variable.options or None
            case _:
                return simple(variable, given, self._service, self._asked)
        return choose(variable, options, given, self._service)

    def _source(self, variable: Variable, given: Sequence[str], filled: Mapping[str, Filled]) -> Filled:
        """The uid of a data source."""
        regex = compile_regex(fill(variable.regex, filled))
        kind = variable.query if isinstance(variable.query, str) else ""
        allowed = [source for source in self._sources.named(kind) if regex is None or regex.search(source.name)]
        wanted = [*(given or variable.chosen)]
        found = [source.uid for name in wanted for source in allowed if name in (source.uid, source.name)]
        if "default" in wanted and self._sources.default:
            found.append(self._sources.default.uid)
        # Where none is known, what was saved is all there is.
        found += [source.uid for source in allowed]
        return Filled(variable.name, next(iter([*found, *wanted]), ""))

    async def _options(self, variable: Variable, filled: Mapping[str, Filled]) -> tuple[str, ...] | None:
        """What its query gives now; None where it cannot be asked."""
        try:
            source = self._sources.find(variable.source, filled)
            scope = {**filled, **self._range()}
            query = fill_all(variable.query, scope, default_format(source.kind))
            if source.kind == "loki":
                found = await self._loki(source, query)
            elif is_promql(source.kind):
                found = await self._prometheus(source, query["query"] if isinstance(query, dict) else query)
            else:
                found = await self._frames(source, query)
        except (GrafanaError, NoSourceError, KeyError, TypeError):
            return None
        return None if found is None else select_options(variable, found, filled)

    def _range(self) -> Mapping[str, Filled]:
        seconds = round(self._asked.length_ms / 1000)
        values = {"__range": f"{seconds}s", "__range_s": f"{seconds}", "__range_ms": f"{self._asked.length_ms}"}
        return {name: Filled(name, value) for name, value in values.items()}

    async def _prometheus(self, source: Source, query: str) -> Sequence[str] | None:
        times = [("start", str(self._asked.start_ms // 1000)), ("end", str(-(-self._asked.end_ms // 1000)))]
        path = ("api", "datasources", "uid", source.uid, "resources", "api", "v1")
        if match := _LABEL_VALUES.fullmatch(query):
            of = (match[1] or "").strip()
            selector = [("match[]", of)] if of and of != "{}" else []
            return await self._values(*path, "label", match[2], "values", query=[*selector, *times])
        if _LABEL_NAMES.fullmatch(query):
            return await self._values(*path, "labels", query=times)
        if match := _METRICS.fullmatch(query):
            names = await self._values(*path, "label", "__name__", "values", query=times)
            pattern = compile_regex(f"/{match[1]}/")
            return [name for name in names if pattern and pattern.search(name)]
        if match := _RESULT.fullmatch(query):
            asked = [("query", match[1]), ("time", times[1][1])]
            answer = await self._api.get(_Answer, *path, "query", needs=_NEEDS, query=asked)
            return [f"{_write(one.metric)} {one.value[1]} {round(one.value[0] * 1000)}" for one in answer.data.result]
        if not query.strip():
            return None
        series = await self._api.get(_Labels, *path, "series", needs=_NEEDS, query=[("match[]", query), *times])
        return [_write(labels) for labels in series.data]

    async def _loki(self, source: Source, query: Json) -> Sequence[str] | None:
        if isinstance(query, dict):
            label, stream = query.get("label"), query.get("stream")
            query = f"label_values({stream or '{}'}, {label})" if label else "label_names()"
        times = [("start", f"{self._asked.start_ms}000000"), ("end", f"{self._asked.end_ms}000000")]
        path = ("api", "datasources", "uid", source.uid, "resources")
        if match := _LABEL_VALUES.fullmatch(query):
            of = (match[1] or "").strip()
            selector = [("query", of)] if of and of != "{}" else []
            return await self._values(*path, "label", match[2], "values", query=[*selector, *times])
        return await self._values(*path, "labels", query=times) if _LABEL_NAMES.fullmatch(query) else None

    async def _values(self, *path: str, query: Sequence[tuple[str, str]]) -> tuple[str, ...]:
        return (await self._api.get(_Values, *path, needs=_NEEDS, query=query)).data or ()

    async def _frames(self, source: Source, query: Json) -> Sequence[str] | None:
        if isinstance(query, str):
            if not is_sql(source.kind) or not query.strip():
                return None
            query = {"rawSql": query, "format": "table"}
        asked: JsonObject = {
            **query,
            "refId": "variable",
            "datasource": {"uid": source.uid, "type": source.kind},
            "intervalMs": 1000,
            "maxDataPoints": 1000,
        }
        body = {"from": str(self._asked.start_ms), "to": str(self._asked.end_ms), "queries": [asked]}
        answer = await self._api.send("POST", "api", "ds", "query", body=body)
        result = self._api.read(Results, answer, _NEEDS).results.get("variable")
        if result is None or result.error:
            return None
        return [text for frame in result.frames or () for text in texts(frame)]


def _name(variable: Variable) -> str:
    return variable.source.name if variable.source else ""


def _write(labels: Mapping[str, str]) -> str:
    others = ",".join(f'{name}="{value}"' for name, value in labels.items() if name != "__name__")
    return f"{labels.get('__name__', '')}{{{others}}}"
