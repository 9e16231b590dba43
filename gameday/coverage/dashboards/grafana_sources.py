"""Which data sources a Grafana has, and which of them a dashboard means.

`GET /api/frontend/settings` is what every user's browser asks; `GET /api/datasources` takes a permission that viewers
lack (https://grafana.com/docs/grafana/latest/developers/http_api/data_source/).
"""

from collections.abc import Mapping, Sequence

import msgspec

from gameday.common.json import Json
from gameday.coverage.dashboards.grafana_api import Api, GrafanaError
from gameday.coverage.dashboards.grafana_model import SourceRef
from gameday.coverage.dashboards.grafana_text import Filled, fill

_BUILT_IN = ("-- Grafana --", "-- Mixed --", "-- Dashboard --")


class Source(msgspec.Struct, frozen=True):
    """A data source. `interval`: at least, between two points ("15s"); empty where it does not say."""

    uid: str
    name: str
    kind: str
    interval: str = ""


class NoSourceError(Exception):
    """There is no such data source; the message names it."""


class Sources(msgspec.Struct, frozen=True):
    """All data sources; none are known where Grafana would not list them, and `why` says why."""

    all: tuple[Source, ...] = ()
    default: Source | None = None
    why: str = ""

    def find(self, ref: SourceRef | None, variables: Mapping[str, Filled]) -> Source:
        """The one that is meant; None is the default one. Raises NoSourceError, or GrafanaError where it is not known
        whether there is such a one."""
        name = fill(ref.name, variables, lambda variable: next(iter(variable.values), "")) if ref else ""
        kind = ref.kind if ref else ""
        if self.why:
            if ref and name and kind and "$" not in name:
                return Source(name, name, kind)
            raise GrafanaError(f"it is not known which data source `{name or 'default'}` is: {self.why}")
        if name in ("", "default"):
            of_kind = [source for source in self.all if source.kind == kind]
            if self.default and kind in ("", self.default.kind):
                return self.default
            if of_kind:
                return of_kind[0]
        for source in self.all:
            if name in (source.uid, source.name):
                return source
        raise NoSourceError(f"there is no data source `{name or 'default'}`")

    def named(self, kind: str) -> Sequence[Source]:
        """Those of a kind, in the order of their names."""
        return sorted((source for source in self.all if source.kind == kind), key=lambda source: source.name.lower())


class _Found(msgspec.Struct, frozen=True, rename="camel"):
    uid: str = ""
    name: str = ""
    type: str = ""
    is_default: bool = False
    json_data: Json = None


class _Settings(msgspec.Struct, frozen=True, rename="camel"):
    datasources: dict[str, _Found]
    default_datasource: str = ""


async def read_sources(api: Api) -> Sources:
    """The data sources that we may use. Never raises for what Grafana does."""
    try:
        settings = await api.get(_Settings, "api", "frontend", "settings", needs="datasources:query")
        found = {name: _source(one, name) for name, one in settings.datasources.items() if name not in _BUILT_IN}
        return Sources(tuple(found.values()), found.get(settings.default_datasource))
    except GrafanaError as error:
        try:
            listed = await api.get(tuple[_Found, ...], "api", "datasources", needs="datasources:read")
        except GrafanaError:
            return Sources(why=str(error))
        return Sources(
            tuple(_source(one, one.name) for one in listed),
            next((_source(one, one.name) for one in listed if one.is_default), None),
        )


def _source(found: _Found, name: str) -> Source:
    # Before version 8, data sources had names alone.
    interval = found.json_data.get("timeInterval") if isinstance(found.json_data, dict) else None
    return Source(found.uid or name, name, found.type, interval if isinstance(interval, str) else "")
