"""A small HTTP server on loopback, and a port that never answers."""

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from gameday.lab.topology import HOST

type Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


async def serve(handler: Handler, port: int) -> None:
    """Answer every request on `port` with `handler` until cancelled. Raises OSError when the port is taken."""
    runner = web.ServerRunner(web.Server(handler, access_log=None))
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, port).start()
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


async def _swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while await reader.read(65536):
            pass
    except ConnectionError:
        pass
    finally:
        writer.close()


async def run_blackhole(port: int) -> None:
    """Accept every connection, read whatever comes, and never answer."""
    server = await asyncio.start_server(_swallow, HOST, port)
    async with server:
        await server.serve_forever()
