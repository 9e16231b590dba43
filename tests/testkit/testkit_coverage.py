"""Sources of dashboards and of on-call that read `dashboards.json` and `on-call.json` in the directory of a URL."""

import json
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from gameday.coverage.dashboards import Named, Window
from gameday.coverage.on_call import Acknowledgement, OnCallError
from gameday.journal.events import DashboardInfo, OnCallInfo


def read(url: str | None, name: str) -> bytes:
    return (Path(urlsplit(url or "").path) / name).read_bytes()


class Dashboards:
    """Each dashboard under its name, as a DashboardInfo; of a window that compares, under `<name>, after`."""

    def __init__(self, config: object) -> None:
        self._url = config.url  # type: ignore[attr-defined]

    def knows(self, name: str) -> bool:
        return not name.startswith("http")

    async def examine(self, named: Sequence[Named], service: str | None, window: Window) -> tuple[DashboardInfo, ...]:
        assert window.start < window.end
        after = ", after" if window.injected is not None else ""
        served = json.loads(read(self._url, "dashboards.json"))
        return tuple(
            msgspec.convert({"name": one.name, "named_by": one.by, **served[one.name + after]}, DashboardInfo)
            for one in named
        )

    async def close(self) -> None:
        return None


class OnCall:
    """What the file says: `on_call` is an OnCallInfo; `acknowledged` a list of Acknowledgements, or null: it fails."""

    def __init__(self, config: object) -> None:
        self._url = config.url  # type: ignore[attr-defined]

    async def look_up(self, service: str | None, schedule: str | None, now: float) -> OnCallInfo:
        said = json.loads(read(self._url, "on-call.json"))["on_call"]
        return msgspec.convert(
            {"service": service, "schedule": schedule or "", "source": "testkit", **said}, OnCallInfo
        )

    async def acknowledgements(self, since: float) -> tuple[Acknowledgement, ...]:
        said = json.loads(read(self._url, "on-call.json"))["acknowledged"]
        if said is None:
            raise OnCallError("HTTP 500: it is broken")
        return msgspec.convert(said, tuple[Acknowledgement, ...])

    async def close(self) -> None:
        return None
