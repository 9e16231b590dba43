"""The server's side of a command in a container: channels on a WebSocket, as kubelets speak them.

The words and the order of what is sent are those of k8s.io/apiserver's streamtranslator.go and k8s.io/cri-streaming's
exec.go, version 1.36.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from queue import SimpleQueue
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from aiohttp import ClientError, WSMsgType, web
from containers import Containers, Process

V5, V4 = "v5.channel.k8s.io", "v4.channel.k8s.io"
_STDIN, _STDOUT, _STDERR, _STATUS = range(4)
_CLOSE = 255
_CHUNK_BYTES = 32 * 1024
_YES = ("1", "true")

type Item = dict[str, Any]


async def execute(
    request: web.BaseRequest, containers: Containers, namespace: str, pod: str, container: str
) -> web.StreamResponse:
    """Run the query's command; or say why not, as a kubelet does, in plain text."""
    found = containers.find(namespace, pod)
    if found is None:
        return web.Response(status=404, text="pod does not exist")
    entered = containers.enter(found, container)
    if entered is None:
        return web.Response(status=500, text=f'container not found ("{container}")')
    socket = web.WebSocketResponse(protocols=(V5, V4))
    if not socket.can_prepare(request).ok:
        return web.Response(status=400, text="Upgrade request required")
    await socket.prepare(request)
    query = parse_qsl(request.rel_url.raw_query_string, keep_blank_values=True)
    wanted = {key for key, value in query if value in _YES}
    session = _Session(socket, asyncio.get_running_loop(), has_stdin=bool({"stdin", "input"} & wanted))
    if socket.ws_protocol == V4:
        await socket.send_bytes(bytes((_STDOUT,)))  # so that the client knows that it is connected
    try:
        process = entered.start([value for key, value in query if key == "command"])
    except (OSError, IndexError, ValueError) as error:
        await socket.send_bytes(bytes((_STATUS,)) + msgspec.json.encode(_not_started(error)))
        await socket.close()
        return socket
    await session.run(process, entered.forget)
    return socket


class _Session:
    """Threads read the process's pipes, and wait for whatever they send to be sent."""

    def __init__(self, socket: web.WebSocketResponse, loop: asyncio.AbstractEventLoop, *, has_stdin: bool) -> None:
        self._socket, self._loop, self._has_stdin = socket, loop, has_stdin
        self._input: SimpleQueue[bytes] = SimpleQueue()

    async def run(self, process: Process, forget: Callable[[Process], None]) -> None:
        """Until the process has ended, or the client is gone: then it goes on alone, as in a real container."""
        threading.Thread(target=self._attend, args=(process, forget), daemon=True).start()
        async for message in self._socket:
            if message.type != WSMsgType.BINARY or not message.data:
                continue
            if message.data[0] == _STDIN and len(message.data) > 1:
                self._input.put(message.data[1:])
            elif message.data == bytes((_CLOSE, _STDIN)) and self._socket.ws_protocol == V5:
                self._input.put(b"")
        self._input.put(b"")

    def _attend(self, process: Process, forget: Callable[[Process], None]) -> None:
        if not self._has_stdin:
            self._input.put(b"")
        pipes = ((_STDOUT, process.stdout), (_STDERR, process.stderr))
        readers = [threading.Thread(target=self._pass_on, args=pair, daemon=True) for pair in pipes]
        writer = threading.Thread(target=self._feed, args=(process.stdin,), daemon=True)
        for thread in (*readers, writer):
            thread.start()
        for thread in readers:  # it is told to have ended when nobody holds its output any more, as by real ones
            thread.join()
        status = process.wait()
        self._send(_STATUS, msgspec.json.encode(_ended(status if status >= 0 else 128 - status)))
        self._do(self._socket.close())
        self._input.put(b"")
        writer.join()
        forget(process)

    def _pass_on(self, channel: int, pipe: Any) -> None:
        while (data := pipe.read(_CHUNK_BYTES)) and self._send(channel, data):
            pass

    def _feed(self, pipe: Any) -> None:
        with contextlib.suppress(OSError):
            while data := self._input.get():
                while data:
                    data = data[pipe.write(data) :]
        with contextlib.suppress(OSError):
            pipe.close()

    def _send(self, channel: int, data: bytes) -> bool:
        """Whether it was sent."""
        return self._do(self._socket.send_bytes(bytes((channel,)) + data))

    def _do(self, work: Any) -> bool:
        try:
            asyncio.run_coroutine_threadsafe(work, self._loop).result()
        except (ClientError, ConnectionError, CancelledError):
            return False
        except RuntimeError:  # the loop is closed
            work.close()
            return False
        return True


def _ended(status: int) -> Item:
    if status == 0:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: command terminated with exit code {status}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(status)}]},
    }


def _not_started(error: Exception) -> Item:
    """In containerd's and runc's words; "Internal error occurred" is said by the runtime and by who passes it on."""
    what = f'exec: "{error}": executable file not found in $PATH'
    if not isinstance(error, FileNotFoundError):
        what = str(error)
    runtime = f"OCI runtime exec failed: exec failed: unable to start container process: {what}: unknown"
    message = f"Internal error occurred: error executing command in container: failed to exec in container: {runtime}"
    cause = {"message": message}
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"Internal error occurred: {message}",
        "reason": "InternalError",
        "details": {"causes": [cause]},
        "code": 500,
    }
