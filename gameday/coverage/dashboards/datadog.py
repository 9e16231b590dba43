"""Looks at dashboards in Datadog: are they there, and what do the metrics of their widgets show?

API: https://docs.datadoghq.com/api/latest/dashboards/; metrics of the older form are asked by `/api/v1/query`, those
with formulas by `/api/v2/query/timeseries` (https://docs.datadoghq.com/api/latest/metrics/).
"""

import asyncio
import re
from collections.abc import Mapping, Sequence

import msgspec
from yarl import URL

from gameday.common.datadog import METRICS_NEED, Api, DatadogError
from gameday.coverage.dashboards.base import Annotation, DashboardError, Named, Window
from gameday.coverage.dashboards.datadog_notes import post, read
from gameday.coverage.dashboards.datadog_widgets import Ask, Dashboard, MetricsQuery, Panel, fill_in, panels_of
from gameday.coverage.dashboards.movement import Series, has_moved, make_series
from gameday.journal.events import DashboardInfo, PanelInfo, PanelState
from gameday.spec.model import DashboardsConfig

_ID = re.compile(r"[a-z0-9]{3}-[a-z0-9]{3}-[a-z0-9]{3}")
_TAG = "tag:"
_VARIABLE = re.compile(r"tpl_var_(.+?)(?:\[\d*\])?")  # of an address: tpl_var_env=prod, tpl_var_env[0]=prod
_MOST_POINTS = 500  # of a series
_LEAST_STEP_S = 10.0
_UNTAGGED = "Datadog's list of dashboards does not say which tags they have: name the dashboards themselves"
_KEPT = "Datadog's API removes no events: those of {run} stay until Datadog's own retention ends"


class _Formula(msgspec.Struct, frozen=True):
    formula: str


class _Attributes(msgspec.Struct, frozen=True, rename={"start": "from"}):
    """Times and the interval in milliseconds."""

    start: int
    to: int
    interval: int
    queries: tuple[MetricsQuery, ...]
    formulas: tuple[_Formula, ...]


class _Request(msgspec.Struct, frozen=True):
    attributes: _Attributes
    type: str = "timeseries_request"


class _Body(msgspec.Struct, frozen=True):
    data: _Request


class _Columns(msgspec.Struct, frozen=True):
    """A list of values for each series, one for each of the times (Unix, milliseconds)."""

    times: tuple[float, ...] = ()
    values: tuple[tuple[float | None, ...], ...] = ()


class _Response(msgspec.Struct, frozen=True):
    attributes: _Columns


class _Timeseries(msgspec.Struct, frozen=True):
    data: _Response | None = None
    errors: str | None = None


class Datadog:
    """A DashboardSource and an Annotator."""

    def __init__(self, config: DashboardsConfig) -> None:
        """Raises DashboardError."""
        keys = config.credentials
        try:
            self._api = Api(config.url, keys.api_key, keys.application_key, config.timeout_s)
        except DatadogError as error:
            raise DashboardError(f"dashboards: {error}") from error
        self._tags = config.tags

    def knows(self, name: str) -> bool:
        """An id, the address of a dashboard of the configured site, or `tag:…`."""
        return name.startswith(_TAG) or self._id_of(name) is not None

    async def examine(self, named: Sequence[Named], service: str | None, window: Window) -> tuple[DashboardInfo, ...]:
        """Find the dashboards that these names and the configured tags lead to, and ask their widgets."""
        named = [*named, *(Named(f"{_TAG}{tag}", (f"tag {tag}",)) for tag in self._tags)]
        tags: dict[str, list[Named]] = {}
        known: dict[str, list[Named]] = {}
        for one in named:
            dashboard_id = self._id_of(one.name)
            (tags if dashboard_id is None else known).setdefault(dashboard_id or one.name, []).append(one)
        looks = (self._look(dashboard_id, one, service, window) for dashboard_id, one in known.items())
        found = await asyncio.gather(*looks)
        return (*found, *(_info(names, None, detail=_UNTAGGED) for names in tags.values()))

    async def annotate(self, annotation: Annotation) -> None:
        """Raises DashboardError."""
        await post(self._api, annotation)

    async def annotations(self, run: str) -> tuple[Annotation, ...]:
        """Those of a run within the last 30 days. Raises DashboardError."""
        return await read(self._api, run)

    async def remove_annotations(self, run: str) -> int:
        """Raises DashboardError: it cannot be done."""
        raise DashboardError(_KEPT.format(run=run))

    async def close(self) -> None:
        """Let go of connections."""
        await self._api.close()

    def _id_of(self, name: str) -> str | None:
        if _ID.fullmatch(name):
            return name
        try:
            url = URL(name)
        except ValueError:
            return None
        is_ours = url.host == self._api.url.host and url.port == self._api.url.port
        is_ours = is_ours or f".{url.host or ''}".endswith(f".{self._api.site}")
        parts = url.path.split("/")
        if url.scheme in ("http", "https") and is_ours and len(parts) > 2 and parts[1] == "dashboard":
            return parts[2] if _ID.fullmatch(parts[2]) else None
        return None

    async def _look(
        self, dashboard_id: str, named: Sequence[Named], service: str | None, window: Window
    ) -> DashboardInfo:
        try:
            return await self._api.within_deadline(self._examine(dashboard_id, named, service, window))
        except DatadogError as error:
            return _info(named, False if error.status == 404 else None, detail=str(error))

    async def _examine(
        self, dashboard_id: str, named: Sequence[Named], service: str | None, window: Window
    ) -> DashboardInfo:
        path = f"/api/v1/dashboard/{dashboard_id}"
        dashboard = await self._api.get(Dashboard, path, needs="dashboards_read")
        values = fill_in(dashboard.template_variables or (), service, _given(named))
        panels = await asyncio.gather(*(self._panel(panel, window) for panel in panels_of(dashboard, values)))
        url = self._api.page(dashboard.url or f"/dashboard/{dashboard_id}")
        return _info(named, True, title=dashboard.title, url=url, panels=panels)

    async def _panel(self, panel: Panel, window: Window) -> PanelInfo:
        def info(state: PanelState, detail: str = "", series: Sequence[Series] = ()) -> PanelInfo:
            moved = has_moved(series, window) if series else None
            title = self._api.shorten(panel.title)
            detail = self._api.shorten(detail)
            return PanelInfo(id=panel.id, title=title, state=state, series=len(series), detail=detail, moved=moved)

        if not panel.asks:
            return info(PanelState.UNKNOWN, panel.unasked)
        try:
            answers = await asyncio.gather(*(self._ask(ask, window) for ask in panel.asks))
        except DatadogError as error:
            return info(PanelState.ERROR if error.status == 400 else PanelState.UNKNOWN, str(error))
        series = [one for answer in answers for one in answer if one.values]
        if series:
            return info(PanelState.DATA, panel.unasked, series)
        # What was not asked may have data.
        return info(PanelState.UNKNOWN if panel.unasked else PanelState.EMPTY, panel.unasked)

    async def _ask(self, ask: Ask, window: Window) -> list[Series]:
        if ask.q:
            return [make_series(line.points) for line in await self._api.query(ask.q, window.start, window.end + 1)]
        step_s = max(_LEAST_STEP_S, (window.end - window.start) / _MOST_POINTS)
        formulas = ask.formulas or tuple(query.name for query in ask.queries)
        attributes = _Attributes(
            start=int(window.start * 1000),
            to=int(window.end * 1000) + 1,
            interval=int(step_s * 1000),
            queries=ask.queries,
            formulas=tuple(map(_Formula, formulas)),
        )
        body, path = _Body(_Request(attributes)), "/api/v2/query/timeseries"
        found = await self._api.post(_Timeseries, path, body, needs=METRICS_NEED)
        if found.data is None:
            raise DatadogError(f"Datadog says {found.errors or 'nothing'}", 400)
        columns = found.data.attributes
        times = [at / 1000 for at in columns.times]
        return [make_series(zip(times, values, strict=False)) for values in columns.values]


def _given(named: Sequence[Named]) -> Mapping[str, Sequence[str]]:
    """The values of variables that the first of the addresses gives."""
    for one in named:
        if "://" in one.name:
            given: dict[str, list[str]] = {}
            for key, value in URL(one.name).query.items():
                if found := _VARIABLE.fullmatch(key):
                    given.setdefault(found[1], []).append(value)
            return given
    return {}


def _info(
    named: Sequence[Named],
    found: bool | None,
    *,
    title: str = "",
    url: str = "",
    detail: str = "",
    panels: Sequence[PanelInfo] = (),
) -> DashboardInfo:
    by = tuple(dict.fromkeys(by for one in named for by in one.by))
    return DashboardInfo(
        name=named[0].name, named_by=by, found=found, title=title, url=url, detail=detail, panels=tuple(panels)
    )
