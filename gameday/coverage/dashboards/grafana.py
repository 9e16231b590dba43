"""Looks at the dashboards of a Grafana: finds those that are named, and asks what their panels show.

API: https://grafana.com/docs/grafana/latest/developers/http_api/. Nothing is written but annotations.
"""

import asyncio
import re
from collections.abc import Coroutine, Mapping, Sequence

import msgspec
from yarl import URL

from gameday.common.http import parse_url
from gameday.common.json import Json
from gameday.coverage.dashboards import grafana_annotations
from gameday.coverage.dashboards.base import Annotation, Named, Window
from gameday.coverage.dashboards.grafana_api import Api, GrafanaError
from gameday.coverage.dashboards.grafana_model import Dashboard, Panel, read_dashboard
from gameday.coverage.dashboards.grafana_options import Filler
from gameday.coverage.dashboards.grafana_panels import Asker
from gameday.coverage.dashboards.grafana_sources import Sources, read_sources
from gameday.coverage.dashboards.grafana_variables import Range
from gameday.journal.events import DashboardInfo, PanelInfo, PanelState
from gameday.spec.model import DashboardsConfig

_TAG = "tag:"
_PAGE = 1000  # dashboards of one answer
_MOST_PAGES = 5
_MOST = 50  # dashboards that are looked at
_DEADLINE = 4  # times the timeout of one request
_LEAST_MS = 1000  # of the time that is asked for
_NEEDS = "dashboards:read"
# What Grafana says of a dashboard in a newer format than this API gives: where it is to be had.
_ELSEWHERE = re.compile(r"/apis/dashboard\.grafana\.app/v2\w*/namespaces/([^/\s]+)/dashboards/")


class _Hit(msgspec.Struct, frozen=True):
    uid: str = ""


class _Meta(msgspec.Struct, frozen=True):
    url: str = ""


class _Found(msgspec.Struct, frozen=True):
    dashboard: Json
    meta: _Meta = _Meta()


class _Resource(msgspec.Struct, frozen=True):
    spec: Json


class _Wanted(msgspec.Struct, frozen=True):
    """A dashboard to look at, as it was first named; `given` are the values of variables that its URL says."""

    uid: str
    name: str
    by: tuple[str, ...]
    given: Mapping[str, Sequence[str]] = {}


class Grafana:
    """The dashboards of one Grafana, and annotations on them."""

    def __init__(self, config: DashboardsConfig) -> None:
        """Raises DashboardError."""
        self._api = Api(config)
        self._tags = config.tags
        self._deadline_s = _DEADLINE * config.timeout_s

    def knows(self, name: str) -> bool:
        """Any name but the URL of something that is not below this Grafana's."""
        return not _is_url(name) or self._below(name) is not None

    async def examine(self, named: Sequence[Named], service: str | None, window: Window) -> tuple[DashboardInfo, ...]:
        """Every dashboard once, with all who name it. Never raises for what the network or Grafana does."""
        until = asyncio.get_running_loop().time() + self._deadline_s
        wanted, infos = await self._resolve(named, until)
        sources = Sources(why="there was no time to ask")
        if wanted and (read := await _before(until, read_sources(self._api))):
            sources = read
        looked = [self._look(one, sources, service, window, until) for one in wanted[:_MOST]]
        if left := wanted[_MOST:]:
            by = tuple(dict.fromkeys(name for one in left for name in one.by))
            detail = f"only {_MOST} dashboards are looked at"
            infos.append(DashboardInfo(name=f"{len(left)} more", named_by=by, found=None, detail=detail))
        return (*await asyncio.gather(*looked), *infos)

    async def annotate(self, annotation: Annotation) -> None:
        """Raises DashboardError when it is not taken."""
        await grafana_annotations.add(self._api, annotation)

    async def annotations(self, run: str) -> tuple[Annotation, ...]:
        """Those of a run that are there. Raises DashboardError."""
        return await grafana_annotations.of_run(self._api, run)

    async def remove_annotations(self, run: str) -> int:
        """Remove those of a run, and nothing else; how many were removed. Raises DashboardError."""
        return await grafana_annotations.remove(self._api, run)

    async def close(self) -> None:
        """Let go of connections."""
        await self._api.close()

    async def _resolve(self, named: Sequence[Named], until: float) -> tuple[list[_Wanted], list[DashboardInfo]]:
        """The dashboards that are meant, each once; and what is said of names that lead to none."""
        found: dict[str, _Wanted] = {}
        said: list[DashboardInfo] = []
        tags = [Named(f"{_TAG}{tag}", (f"tag {tag}",)) for tag in self._tags]
        for one in [*named, *tags]:
            for wanted in await self._meant(one, said, until):
                first = found.get(wanted.uid, wanted)
                by = tuple(dict.fromkeys((*first.by, *wanted.by)))
                found[wanted.uid] = msgspec.structs.replace(first, by=by)
        return [*found.values()], said

    async def _meant(self, named: Named, said: list[DashboardInfo], until: float) -> list[_Wanted]:
        if named.name.startswith(_TAG):
            tag = named.name.removeprefix(_TAG).strip()
            detail = f"was not asked within {self._deadline_s:g} s"
            try:
                uids = await _before(until, self._tagged(tag))
            except GrafanaError as error:
                uids, detail = None, str(error)
            if uids is None:
                said.append(DashboardInfo(name=named.name, named_by=named.by, found=None, detail=detail))
                return []
            if not uids:
                detail = f"no dashboard that may be seen has the tag `{tag}`"
                said.append(DashboardInfo(name=named.name, named_by=named.by, found=False, detail=detail))
            return [_Wanted(uid, uid, named.by) for uid in uids]
        below = self._below(named.name) if _is_url(named.name) else None
        if below is None:
            return [_Wanted(named.name.strip(), named.name, named.by)]
        match [part for part in below.split("/") if part]:
            case ["d" | "d-solo", uid, *_]:
                query = URL(named.name).query
                names = dict.fromkeys(key for key in query if key.startswith("var-"))
                given = {key.removeprefix("var-"): query.getall(key) for key in names}
                return [_Wanted(uid, named.name, named.by, given)]
            case ["goto", *_]:
                detail = "is a short link, which only a browser can follow; expected the dashboard's own, …/d/<uid>"
            case _:
                detail = "is no address of a dashboard, expected …/d/<uid>"
        said.append(DashboardInfo(name=named.name, named_by=named.by, found=None, url=named.name, detail=detail))
        return []

    async def _tagged(self, tag: str) -> list[str]:
        uids: dict[str, None] = {}
        for page in range(1, 1 + _MOST_PAGES):
            query = [("type", "dash-db"), ("tag", tag), ("limit", str(_PAGE)), ("page", str(page))]
            hits = await self._api.get(tuple[_Hit, ...], "api", "search", needs=_NEEDS, query=query)
            uids |= dict.fromkeys(hit.uid for hit in hits if hit.uid)
            if len(hits) < _PAGE:
                break
        return [*uids]

    async def _look(
        self, wanted: _Wanted, sources: Sources, service: str | None, window: Window, until: float
    ) -> DashboardInfo:
        try:
            fetched = await _before(until, self._fetch(wanted.uid))
        except GrafanaError as error:
            if error.status == 404:
                return _info(wanted, False, detail="Grafana has none of this uid, or none that may be seen")
            return _info(wanted, None, detail=str(error))
        if fetched is None:
            return _info(wanted, None, detail=f"was not asked within {self._deadline_s:g} s")
        dashboard, path = fetched
        start_ms, end_ms = round(window.start * 1000), round(window.end * 1000)
        asked = Range(min(start_ms, end_ms - _LEAST_MS), end_ms)
        filler = Filler(self._api, sources, asked, service)
        variables = await _before(until, filler.fill(dashboard, wanted.given)) or {}
        return _info(
            wanted,
            True,
            title=self._api.shorten(dashboard.title),
            url=self._api.address(path or f"/d/{wanted.uid}"),
            panels=tuple(await self._ask(Asker(self._api, sources, variables, asked, window), dashboard, until)),
        )

    async def _fetch(self, uid: str) -> tuple[Dashboard, str]:
        """The dashboard and the path of its page. Raises GrafanaError."""
        answer = await self._api.send("GET", "api", "dashboards", "uid", uid)
        elsewhere = _ELSEWHERE.search(answer.excerpt()) if answer.status == 406 else None
        if elsewhere:
            # Asked for in the older format, it is translated.
            path = ("apis", "dashboard.grafana.app", "v1beta1", "namespaces", elsewhere[1], "dashboards", uid)
            resource = await self._api.get(_Resource, *path, needs=_NEEDS)
            return read_dashboard(resource.spec), ""
        found = self._api.read(_Found, answer, _NEEDS)
        return read_dashboard(found.dashboard), found.meta.url

    async def _ask(self, asker: Asker, dashboard: Dashboard, until: float) -> list[PanelInfo]:
        """All panels, a few at a time, in their order."""
        late = f"was not asked within {self._deadline_s:g} s"

        async def one(panel: Panel) -> PanelInfo:
            return await _before(until, asker.ask(panel)) or asker.info(panel, PanelState.UNKNOWN, late)

        return await asyncio.gather(*map(one, dashboard.panels))

    def _below(self, address: str) -> str | None:
        """The path of a URL below Grafana's own, None for any other."""
        try:
            url = parse_url(address)
            if (url.host, url.port) != (self._api.url.host, self._api.url.port):
                return None
        except ValueError:
            return None
        own = self._api.url.path.rstrip("/")
        return url.path.removeprefix(own) if f"{url.path}/".startswith(f"{own}/") else None


def _is_url(name: str) -> bool:
    return name.startswith(("http://", "https://"))


def _info(
    wanted: _Wanted,
    found: bool | None,
    *,
    title: str = "",
    url: str = "",
    detail: str = "",
    panels: tuple[PanelInfo, ...] = (),
) -> DashboardInfo:
    return DashboardInfo(
        name=wanted.name, named_by=wanted.by, found=found, title=title, url=url, detail=detail, panels=panels
    )


async def _before[T](until: float, asked: Coroutine[None, None, T]) -> T | None:
    """What is asked, None when it takes longer than until this time of the event loop."""
    try:
        async with asyncio.timeout_at(until):
            return await asked
    except TimeoutError:
        return None
