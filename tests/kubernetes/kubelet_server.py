"""The pretended kubelets' own server, to which a real API server passes on what a client sends to a command.

From 1.36 it passes WebSockets on as they come, to nodes that say they know them (ExtendWebSocketsToKubelet, on by
default; pkg/registry/core/pod/rest/subresources.go). Older ones translate to SPDY, which this does not speak.
"""

import ssl

from aiohttp import web
from containers import Containers
from executing import execute
from loops import LoopThread

FEATURE = "ExtendWebSocketsToKubelet"
OLDEST = (1, 36)


class KubeletServer:
    """One for all nodes, on loopback, with TLS."""

    def __init__(self, loop: LoopThread, tls: ssl.SSLContext, containers: Containers) -> None:
        self._loop, self._containers = loop, containers
        self.port: int = loop.run(self._start(tls))

    async def _start(self, tls: ssl.SSLContext) -> int:
        self._runner = web.ServerRunner(web.Server(self._handle, access_log=None), shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=tls).start()
        port: int = self._runner.addresses[-1][1]
        return port

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        match request.path.strip("/").split("/"):
            case ["exec", namespace, pod, container]:
                return await execute(request, self._containers, namespace, pod, container)
        return web.Response(status=404, text="404 page not found\n")

    def close(self) -> None:
        self._loop.run(self._runner.cleanup())
