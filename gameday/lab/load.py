"""A steady open-loop load on the shop's front door: a fixed schedule that does not wait for answers."""

import asyncio
import time

import aiohttp
from aiohttp import web

from gameday.lab.serving import serve
from gameday.lab.topology import url

RATE = 40.0  # requests per second
IN_FLIGHT_LIMIT = 400  # ten seconds' worth: a shop that hangs must not make the load eat the machine
_PATIENCE_S = 5.0
_LATE_S = 1.0  # further behind the schedule than this (a suspended machine), and the schedule starts anew


class Load:
    """Sends requests and counts what came of them."""

    def __init__(self, target: str, client: aiohttp.ClientSession) -> None:
        self._target = target
        self._client = client
        self._tasks: set[asyncio.Task[None]] = set()
        self._results = {"ok": 0, "error": 0, "unanswered": 0, "dropped": 0}

    async def handle(self, _request: web.BaseRequest) -> web.StreamResponse:
        """Metrics, on any path."""
        lines = [f'shop_load_requests_total{{result="{result}"}} {count}\n' for result, count in self._results.items()]
        return web.Response(text="# TYPE shop_load_requests_total counter\n" + "".join(lines))

    async def run(self) -> None:
        """Wait until the shop answers, then send for ever."""
        while not await self._is_open():  # noqa: ASYNC110 - it opens in another process
            await asyncio.sleep(0.05)
        due = time.monotonic()
        while True:
            if len(self._tasks) < IN_FLIGHT_LIMIT:
                task = asyncio.create_task(self._send())
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            else:
                self._results["dropped"] += 1
            due += 1 / RATE
            now = time.monotonic()
            if now - due > _LATE_S:
                due = now
            await asyncio.sleep(max(0.0, due - now))

    async def _is_open(self) -> bool:
        try:
            async with self._client.get(self._target) as response:
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def _send(self) -> None:
        try:
            async with self._client.get(self._target) as response:
                await response.read()
                result = "ok" if response.status < 500 else "error"
        except (aiohttp.ClientError, TimeoutError):
            result = "unanswered"
        self._results[result] += 1


async def run_load(port: int, front: int) -> None:
    """Load the front door on port `front`, with metrics on `port`, until the process ends."""
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60)
    timeout = aiohttp.ClientTimeout(total=_PATIENCE_S)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as client, asyncio.TaskGroup() as group:
        load = Load(f"{url(front)}/basket/pay", client)
        group.create_task(serve(load.handle, port))
        group.create_task(load.run())
