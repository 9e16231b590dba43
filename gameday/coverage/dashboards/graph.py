"""Takes a link to Prometheus's own graphs for a dashboard: each of its expressions is a panel.

Rules often have such a link for want of a dashboard. Format of the link: its parameters `g0.expr`, `g1.expr` and so on
(web/ui of prometheus/prometheus); of what is asked: https://prometheus.io/docs/prometheus/latest/querying/api/ (range
queries).
"""

import asyncio
import re
from collections.abc import Sequence

import msgspec
from yarl import URL

from gameday.common.http import HttpClient, HttpError
from gameday.coverage.dashboards.base import Named, Window
from gameday.coverage.dashboards.movement import Series, has_moved, make_series
from gameday.journal.events import DashboardInfo, PanelInfo, PanelState

_EXPRESSION = re.compile(r"g(\d{1,3})\.expr")
_PAGES = ("graph", "query")  # the second since Prometheus 3
_MAX_BYTES = 16 * 1024 * 1024
_MOST_EXPRESSIONS = 30
_MOST_POINTS = 500  # of a series; Prometheus gives 11,000 at most
_LEAST_STEP_S = 1.0
_TIMEOUT_S = 10.0
_MAX_DETAIL = 300


class _Matrix(msgspec.Struct, frozen=True):
    values: tuple[tuple[float, str], ...] = ()  # none where it is a histogram


class _Data(msgspec.Struct, frozen=True):
    result: tuple[_Matrix, ...]


class _Body(msgspec.Struct, frozen=True, rename="camel"):
    status: str
    data: _Data | None = None
    error_type: str = ""
    error: str = ""


_body = msgspec.json.Decoder(_Body)


def expressions_of(name: str) -> tuple[str, ...]:
    """The expressions of a link to Prometheus's graphs, in their order; none of any other text."""
    try:
        url = URL(name)
    except ValueError:
        return ()
    if url.scheme not in ("http", "https") or not url.host or url.name not in _PAGES:
        return ()
    found = {int(match[1]): text for key, text in url.query.items() if (match := _EXPRESSION.fullmatch(key))}
    return tuple(found[number] for number in sorted(found) if found[number].strip())[:_MOST_EXPRESSIONS]


async def examine_graphs(named: Sequence[Named], window: Window) -> tuple[DashboardInfo, ...]:
    """What each of these links shows. Never raises for what the network or a server does."""
    client = HttpClient(_TIMEOUT_S)
    try:
        return tuple(await asyncio.gather(*(_examine(client, one, window) for one in named)))
    finally:
        await client.close()


async def _examine(client: HttpClient, named: Named, window: Window) -> DashboardInfo:
    url = URL(named.name)
    api = url.parent / "api" / "v1" / "query_range"
    panels = await asyncio.gather(
        *(_panel(client, api, number, text, window) for number, text in enumerate(expressions_of(named.name)))
    )
    silent = [panel.detail for panel in panels if panel.state is PanelState.UNKNOWN]
    return DashboardInfo(
        name=named.name,
        named_by=named.by,
        found=None if panels and len(silent) == len(panels) else True,
        title=f"graphs of {url.host}:{url.port}",
        url=named.name,
        detail=silent[0] if silent else "",
        panels=tuple(panels),
    )


async def _panel(client: HttpClient, api: URL, number: int, expression: str, window: Window) -> PanelInfo:
    step_s = max(_LEAST_STEP_S, (window.end - window.start) / _MOST_POINTS)
    url = api.with_query(query=expression, start=f"{window.start:.3f}", end=f"{window.end:.3f}", step=f"{step_s:.3f}")

    def panel(state: PanelState, detail: str = "", series: Sequence[Series] = ()) -> PanelInfo:
        moved = has_moved(series, window) if series else None
        return PanelInfo(
            id=str(number), title=expression, state=state, series=len(series), detail=detail[:_MAX_DETAIL], moved=moved
        )

    try:
        answer = await client.get(url, max_bytes=_MAX_BYTES)
        body = _body.decode(answer.body)
    except HttpError as error:
        return panel(PanelState.UNKNOWN, str(error))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return panel(PanelState.UNKNOWN, f"HTTP {answer.status}: {answer.excerpt() or 'an empty answer'}")
    if body.data is None:
        state = PanelState.ERROR if 400 <= answer.status < 500 else PanelState.UNKNOWN
        return panel(state, f"{body.error_type or f'HTTP {answer.status}'}: {body.error or 'no reason'}")
    try:
        with_data = [series for series in map(_series, body.data.result) if series.values]
    except ValueError as error:
        return panel(PanelState.UNKNOWN, f"the answer is not of Prometheus's API: {error}")
    return panel(PanelState.DATA, series=with_data) if with_data else panel(PanelState.EMPTY)


def _series(matrix: _Matrix) -> Series:
    return make_series((at, float(text)) for at, text in matrix.values)
