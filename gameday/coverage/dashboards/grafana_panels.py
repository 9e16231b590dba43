"""Asks what the panels of a dashboard show: the queries that Grafana's page would send, to where it would send them.

API: `POST /api/ds/query` (https://grafana.com/docs/grafana/latest/developers/http_api/data_source/#query-a-data-source).
"""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from gameday.common.codec import decode
from gameday.common.http import Answer
from gameday.common.json import Json, JsonObject
from gameday.coverage.dashboards.base import Window
from gameday.coverage.dashboards.grafana_api import Api, GrafanaError
from gameday.coverage.dashboards.grafana_frames import Result, Results, Shown, read_frames
from gameday.coverage.dashboards.grafana_model import (
    EXPRESSION,
    MIXED,
    OTHER_PANEL,
    OWN,
    Panel,
    SourceRef,
    Target,
    read_panel,
)
from gameday.coverage.dashboards.grafana_sources import NoSourceError, Source, Sources
from gameday.coverage.dashboards.grafana_text import Filled, default_format, fill, fill_all, is_promql, write
from gameday.coverage.dashboards.grafana_time import interval_ms, step_ms, write_interval
from gameday.coverage.dashboards.grafana_variables import Range
from gameday.coverage.dashboards.movement import has_moved
from gameday.journal.events import PanelInfo, PanelState

_WITHOUT_DATA = frozenset(
    {"text", "news", "dashlist", "alertlist", "alertGroups", "annolist", "pluginlist", "welcome", "gettingstarted"}
)
_POINTS = 500  # of a series, where a panel does not say
_COMPARED_POINTS = 100  # at least, to see whether it moved: some panels ask for a single one
_SCRAPED = "15s"  # what Grafana takes a Prometheus to be scraped at that does not say
_BUSY = (429, 502, 503, 504)  # what a data source answers that cannot be reached, or not now
_NEEDS = "datasources:query"
_EXPRESSIONS = {"type": EXPRESSION, "uid": EXPRESSION, "name": "Expression"}


class _Model(msgspec.Struct, frozen=True):
    model: Json = None


class _Element(msgspec.Struct, frozen=True):
    result: _Model


class _Query(msgspec.Struct, frozen=True):
    """A query as it is sent. `uid`: of its data source."""

    uid: str
    body: JsonObject


class _Said(msgspec.Struct, frozen=True):
    """What became of a query."""

    state: PanelState
    detail: str = ""
    shown: Shown = Shown(0, ())


class Asker(msgspec.Struct, frozen=True):
    """Asks the panels of one dashboard, with its variables filled in."""

    api: Api
    sources: Sources
    variables: Mapping[str, Filled]
    asked: Range
    window: Window

    async def ask(self, panel: Panel) -> PanelInfo:
        """What a panel shows. Never raises for what Grafana does."""
        try:
            return await self._ask(await self._model(panel))
        except GrafanaError as error:
            return self.info(panel, PanelState.UNKNOWN, str(error))
        except NoSourceError as error:
            return self.info(panel, PanelState.ERROR, str(error))

    def info(self, panel: Panel, state: PanelState, detail: str = "", series: int = 0) -> PanelInfo:
        """A panel in a state, its title filled in."""
        title = fill(panel.title, self._variables_of(panel), _as_text)
        detail = self.api.shorten(detail)
        return PanelInfo(id=panel.id, title=self.api.shorten(title), state=state, series=series, detail=detail)

    async def _model(self, panel: Panel) -> Panel:
        if not panel.library:
            return panel
        element = await self.api.get(_Element, "api", "library-elements", panel.library, needs="library.panels:read")
        return read_panel(element.result.model, panel)

    async def _ask(self, panel: Panel) -> PanelInfo:
        variables = self._variables_of(panel)
        if panel.kind in _WITHOUT_DATA:
            return self.info(panel, PanelState.UNKNOWN, f"a panel of kind `{panel.kind}` shows no data")
        name = panel.source.name if panel.source else ""
        if name == OTHER_PANEL:
            return self.info(panel, PanelState.UNKNOWN, "shows what another panel has asked for")
        if name in OWN or (panel.source and panel.source.kind == "grafana"):
            return self.info(panel, PanelState.UNKNOWN, "shows Grafana's own data, which are not asked")
        queries = [*self._queries(panel, variables)]
        if not queries:
            return self.info(panel, PanelState.UNKNOWN, "has no query that is shown")
        hidden = {target.ref_id for target in panel.targets if target.is_hidden}
        said: list[_Said] = []
        for batch in _batches(queries):
            said += await self._send(batch, hidden)
        return self._conclude(panel, said)

    def _variables_of(self, panel: Panel) -> Mapping[str, Filled]:
        """Of panels that are repeated for each value of a variable, the first one is looked at."""
        first = {
            name: msgspec.structs.replace(variable, value=variable.values[0], text="")
            for name in panel.repeats
            if (variable := self.variables.get(name)) and variable.values and not variable.is_raw
        }
        return {**self.variables, **first}

    def _queries(self, panel: Panel, variables: Mapping[str, Filled]) -> Iterator[_Query]:
        has_expressions = any(target.is_expression for target in panel.targets)
        # What is hidden may still be what an expression works with.
        targets = [target for target in panel.targets if has_expressions or not target.is_hidden]
        for target in targets:
            if target.is_expression:
                yield _Query(EXPRESSION, {**target.query, "refId": target.ref_id, "datasource": _EXPRESSIONS})
                continue
            source = self.sources.find(_source_of(panel, target), variables)
            if source.kind == "grafana" or source.uid in OWN:
                continue
            for query in self._prepare(panel, target, source, variables):
                yield _Query(source.uid, query)

    def _prepare(
        self, panel: Panel, target: Target, source: Source, variables: Mapping[str, Filled]
    ) -> Iterator[JsonObject]:
        promql = is_promql(source.kind)
        least = fill(panel.interval, variables) or source.interval or (_SCRAPED if promql else "")
        points = panel.max_points or _POINTS
        if self.window.injected is not None:
            points = max(points, _COMPARED_POINTS)
        step = step_ms(self.asked.length_ms, points, interval_ms(least) or 1)
        if not promql:
            # Prometheus and Loki fill these in themselves, for they know better.
            steps = {"__interval": write_interval(step), "__interval_ms": str(step)}
            variables = {**variables, **{name: Filled(name, value) for name, value in steps.items()}}
        query: JsonObject = {
            **fill_all(target.query, variables, default_format(source.kind)),
            "refId": target.ref_id,
            "datasource": {"uid": source.uid, "type": source.kind},
            "intervalMs": step,
            "maxDataPoints": points,
        }
        if not promql:
            yield query
        elif query.get("expr"):
            yield from self._promql(query) if source.kind != "loki" else [query]

    def _promql(self, query: JsonObject) -> Iterator[JsonObject]:
        query |= {"exemplar": False, "utcOffsetSec": 0}
        if not query.get("instant"):
            yield query
        elif self.window.injected is not None:
            # One number at the end of the time says nothing of whether it changed meanwhile.
            yield {**query, "instant": False, "range": True, "format": "time_series"}
        elif query.get("range"):
            yield {**query, "instant": False}
            yield {**query, "range": False, "refId": f"{query['refId']}-Instant"}
        else:
            yield query

    async def _send(self, queries: Sequence[JsonObject], hidden: set[str]) -> list[_Said]:
        body = {"from": str(self.asked.start_ms), "to": str(self.asked.end_ms), "queries": queries}
        try:
            answer = await self.api.send("POST", "api", "ds", "query", body=body)
        except GrafanaError as error:
            return [_Said(PanelState.UNKNOWN, str(error))]
        # Where a query fails, that is in an answer of status 200, 207 or 400, depending on Grafana's version.
        try:
            results = decode(answer.body, Results).results
        except msgspec.DecodeError:
            return [self._refused(answer)]
        return [self._judge(ref_id, result) for ref_id, result in results.items() if ref_id not in hidden]

    def _refused(self, answer: Answer) -> _Said:
        if answer.status == 200:
            return _Said(PanelState.UNKNOWN, "Grafana's answer is not as expected")
        refusal = self.api.refusal(answer, _NEEDS)
        # A data source that is not there is the dashboard's mistake; one without a backend is asked by browsers alone.
        is_ours = refusal.status == 400 or (refusal.status == 404 and "plugin" not in str(refusal).lower())
        return _Said(PanelState.ERROR if is_ours else PanelState.UNKNOWN, str(refusal))

    def _judge(self, ref_id: str, result: Result) -> _Said:
        if result.error:
            state = PanelState.UNKNOWN if result.status in _BUSY else PanelState.ERROR
            return _Said(state, f"query {ref_id}: {result.error}")
        shown = read_frames(result)
        return _Said(PanelState.DATA if shown.count else PanelState.EMPTY, "", shown)

    def _conclude(self, panel: Panel, said: Sequence[_Said]) -> PanelInfo:
        """The worst that was said of a panel that nobody can see through; else the best that it shows."""
        for state in (PanelState.ERROR, PanelState.DATA, PanelState.UNKNOWN):
            if found := [one for one in said if one.state is state]:
                break
        else:
            return self.info(panel, PanelState.EMPTY)
        detail = next((one.detail for one in (*found, *said) if one.detail), "")
        info = self.info(panel, state, detail, sum(one.shown.count for one in found))
        if state is not PanelState.DATA or panel.is_shifted:
            return info
        series = [line for one in said for line in one.shown.series]
        return msgspec.structs.replace(info, moved=has_moved(series, self.window))


def _source_of(panel: Panel, target: Target) -> SourceRef | None:
    """One data source is that of all queries, unless the panel says that each has its own."""
    named = [panel.source, *(one.source for one in panel.targets if not one.is_expression)]
    source = next((one for one in named if one is not None), None)
    return target.source if source and MIXED in (source.name, f"-- {source.kind.capitalize()} --") else source


def _as_text(variable: Filled) -> str:
    return write(variable, "text")


def _batches(queries: Sequence[_Query]) -> list[list[JsonObject]]:
    """What can be sent at once: expressions with all that they may work with, else the queries of one data source."""
    if any(query.uid == EXPRESSION for query in queries):
        return [[query.body for query in queries]]
    by_source: dict[str, list[JsonObject]] = {}
    for query in queries:
        by_source.setdefault(query.uid, []).append(query.body)
    return [*by_source.values()]
