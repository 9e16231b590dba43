"""One replica of a service of the shop: works, calls the services behind it, and says how it is."""

import asyncio
import json
import math
import os
import random
import resource
import sys
import time
from pathlib import Path

import aiohttp
from aiohttp import web

from gameday.lab.serving import serve
from gameday.lab.topology import BY_NAME, Call, Layout, Slot, url

# What the machine under a replica would give it. The first is about three times what it needs.
MEMORY_LIMIT_BYTES = 128 * 1024 * 1024
CONNECTIONS_LIMIT = 64
_SPREAD = 0.25  # sigma of the log-normal working time: p99 is 1.8 times the median


def resident_bytes() -> int:
    """The resident memory of this process, in bytes (its highest so far where there is no /proc)."""
    try:
        # proc(5): the second number of statm is the resident pages.
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return highest if sys.platform == "darwin" else highest * 1024


class Replica:
    """Answers requests: at most CONNECTIONS_LIMIT at a time, more are turned away with 503."""

    def __init__(self, slot: Slot, links: dict[str, int], client: aiohttp.ClientSession) -> None:
        self._slot = slot
        self._service = BY_NAME[slot.service]
        self._links = links
        self._client = client
        self._in_flight = 0
        self._started = time.time()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Any path but /health and /metrics is a request of the shop."""
        match request.path:
            case "/metrics":
                return web.Response(text=self._metrics())
            case "/health":
                return web.Response(text="ok\n")
        if self._in_flight >= CONNECTIONS_LIMIT:
            return self._answer(503, "too many requests in flight")
        self._in_flight += 1
        try:
            return await self._work(request.path)
        finally:
            self._in_flight -= 1

    async def _work(self, path: str) -> web.Response:
        await asyncio.sleep(random.lognormvariate(math.log(self._service.work_s), _SPREAD))
        calls = self._service.calls
        failures = await asyncio.gather(*(self._call(call, path) for call in calls))
        for call, failure in zip(calls, failures, strict=True):
            if failure and not call.optional:
                status, reason = failure
                return self._answer(status, reason)
        without = [call.callee for call, failure in zip(calls, failures, strict=True) if failure]
        return self._answer(200, f"without {', '.join(without)}" if without else "ok")

    async def _call(self, call: Call, path: str) -> tuple[int, str] | None:
        """None when it was answered, else the status this service answers with, and why."""
        try:
            async with (
                asyncio.timeout(call.give_up_s),
                self._client.get(url(self._links[call.callee]) + path) as response,
            ):
                await response.read()
        except TimeoutError:
            return 504, f"{call.callee} did not answer within {call.give_up_s:g} s"
        except aiohttp.ClientError as error:
            return 502, f"{call.callee}: {error}"
        return (502, f"{call.callee} answered {response.status}") if response.status >= 500 else None

    def _answer(self, status: int, detail: str) -> web.Response:
        body = json.dumps({"service": self._slot.service, "replica": self._slot.name, "detail": detail})
        return web.Response(status=status, text=body, content_type="application/json")

    def _metrics(self) -> str:
        values = (
            ("process_cpu_seconds_total", "counter", time.process_time()),
            ("process_resident_memory_bytes", "gauge", resident_bytes()),
            ("process_start_time_seconds", "gauge", self._started),
            ("gameday_memory_limit_bytes", "gauge", MEMORY_LIMIT_BYTES),
            ("gameday_connections", "gauge", self._in_flight),
            ("gameday_connections_limit", "gauge", CONNECTIONS_LIMIT),
        )
        return "".join(f"# TYPE {name} {kind}\n{name} {value}\n" for name, kind, value in values)


async def run_replica(layout: Layout, slot: Slot) -> None:
    """Serve until the process ends."""
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60)
    async with aiohttp.ClientSession(connector=connector) as client:
        await serve(Replica(slot, layout.links_of(slot.name), client).handle, slot.port)
