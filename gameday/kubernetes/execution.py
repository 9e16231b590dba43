"""Runs a command in a container of a pod, over a WebSocket, within a deadline.

Who does it needs `get` on pods/exec, for the request is a GET, and from Kubernetes 1.35 on `create` as well (the
feature AuthorizePodWebsocketUpgradeCreatePermission, on by default): ask for both. Older servers want `get` alone.

Channels: https://github.com/kubernetes/enhancements/tree/master/keps/sig-api-machinery/4006-transition-spdy-to-websockets
"""

import base64
import hashlib
import os
import time
from collections.abc import Sequence
from http.client import HTTPException
from typing import TYPE_CHECKING, cast

import msgspec
import urllib3

from gameday.kubernetes.client import ApiError, Client, Status, join
from gameday.kubernetes.reference import ClusterError

if TYPE_CHECKING:
    import socket

KEPT_BYTES = 64 * 1024  # of each output
_V5, _V4 = "v5.channel.k8s.io", "v4.channel.k8s.io"
_STDIN, _STDOUT, _STDERR, _STATUS = range(4)
_CLOSE_STDIN = bytes((255, _STDIN))  # since v5
_CHUNK_BYTES = 32 * 1024
_GOODBYE_S = 1.0  # between the command's status and the end of the connection
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
_DOUBT = "; whether the command ran is not known"


class Executed(msgspec.Struct, frozen=True):
    """What a command that has ended gave back. Its status is 126 or 127 where a shell could not start a program.

    Of each output the first 64 KiB are kept; how many bytes came after that, the `lost` ones say.
    """

    exit_code: int
    stdout: bytes
    stderr: bytes
    stdout_lost: int = 0
    stderr_lost: int = 0


def run_in_container(
    client: Client,
    namespace: str,
    pod: str,
    container: str,
    command: Sequence[str],
    *,
    timeout_s: float,
    stdin: bytes = b"",
) -> Executed:
    """Run it, with all that this takes within `timeout_s` seconds. A status other than 0 is no error.

    Never tried again once the command may have started. One that does not end in time may go on in the container.
    `stdin` is meant to be small: none of the outputs is read before it is sent.
    Raises ClusterError, whose message says so where nobody knows whether the command ran; ApiError where the server or
    the node says no, with its own words: no such pod, no such container, not permitted, no such program in the image.
    """
    deadline = time.monotonic() + timeout_s
    what = f"`{command[0]}` in the container {container} of the pod {namespace}/{pod} ({client.reference})"
    query = [*(("command", part) for part in command), ("container", container), ("stdout", "true"), ("stderr", "true")]
    protocols = [_V5, _V4]
    if stdin:  # a v4 server cannot be told where it ends
        query.append(("stdin", "true"))
        protocols = [_V5]
    key = base64.b64encode(os.urandom(16))
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": key.decode(),
        "Sec-WebSocket-Protocol": ", ".join(protocols),
    }
    path = join("api", "v1", "namespaces", namespace, "pods", pod, "exec")
    response = client.upgrade(path, query, headers, deadline_s=timeout_s, doubt=_DOUBT)
    try:
        _check(response, key, protocols, client)
        return _Session(_Stream(response, deadline), what).run(stdin)
    except TimeoutError:
        raise ClusterError(f"{what} did not end within {timeout_s:g} s; it may go on there") from None
    finally:
        response.close()


def _check(response: urllib3.BaseHTTPResponse, key: bytes, protocols: Sequence[str], client: Client) -> None:
    expected = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest()).decode()
    accepted = response.headers.get("Sec-WebSocket-Accept") == expected
    if not accepted or response.headers.get("Sec-WebSocket-Protocol") not in protocols:
        raise ClusterError(f"the API server of {client.reference} does not speak Kubernetes' protocol for commands")


class _Stream:
    """The connection as `websocket` wants a socket, with a deadline for every wait. Raises TimeoutError after it."""

    def __init__(self, response: urllib3.BaseHTTPResponse, deadline: float) -> None:
        inner = response._original_response  # type: ignore[attr-defined]
        assert inner is not None
        assert response.connection is not None
        self._reader = inner.fp  # it may have read on, beyond the headers
        self._socket: socket.socket = response.connection.sock  # type: ignore[attr-defined]
        self.deadline = deadline

    def gettimeout(self) -> float:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def recv(self, size: int) -> bytes:
        self._socket.settimeout(self.gettimeout())
        return cast("bytes", self._reader.read1(size))

    def send(self, data: bytes) -> int:
        self._socket.settimeout(self.gettimeout())
        return self._socket.send(data)

    def close(self) -> None:
        """Whoever has the answer closes it."""


class _Output:
    def __init__(self) -> None:
        self.kept, self.lost = bytearray(), 0

    def take(self, data: bytes) -> None:
        room = KEPT_BYTES - len(self.kept)
        self.kept += data[:room]
        self.lost += max(len(data) - room, 0)


class _Session:
    """One command, from its start to its status."""

    def __init__(self, stream: _Stream, what: str) -> None:
        import websocket  # few runs need it

        self._stream, self._what = stream, what
        self._socket = websocket.WebSocket(enable_multithread=False)
        self._socket.sock = cast("socket.socket", stream)  # connected already, as the client connects
        self._socket.connected = True
        self._outputs = {_STDOUT: _Output(), _STDERR: _Output()}
        self._said = bytearray()

    def run(self, stdin: bytes) -> Executed:
        """Raises TimeoutError, ClusterError."""
        import websocket

        try:
            self._send(stdin)
            while self._receive():
                pass
        except (websocket.WebSocketTimeoutException, TimeoutError):
            if not self._said:
                raise TimeoutError from None
        except (websocket.WebSocketException, HTTPException, OSError, ValueError):
            pass  # ValueError: of a reader that is closed; cut off, unless the command's status is there
        if not self._said:
            raise ClusterError(f"{self._what}: the connection was cut off{_DOUBT}")
        out, err = self._outputs.values()
        return Executed(self._exit_code(), bytes(out.kept), bytes(err.kept), out.lost, err.lost)

    def _send(self, stdin: bytes) -> None:
        for start in range(0, len(stdin), _CHUNK_BYTES):
            self._socket.send_binary(bytes((_STDIN,)) + stdin[start : start + _CHUNK_BYTES])
        if stdin:
            self._socket.send_binary(_CLOSE_STDIN)

    def _receive(self) -> bool:
        """Whether there is more to come."""
        import websocket

        kind, data = self._socket.recv_data()
        if kind == websocket.ABNF.OPCODE_CLOSE:
            return False
        channel, content = data[0] if data else -1, data[1:]
        if channel in self._outputs:
            self._outputs[channel].take(content)
        elif channel == _STATUS and content:
            self._said += content
            # It comes last; a connection that is left open then keeps nobody waiting.
            self._stream.deadline = min(self._stream.deadline, time.monotonic() + _GOODBYE_S)
        return True

    def _exit_code(self) -> int:
        try:
            said = msgspec.json.decode(self._said, type=Status)
        except (ValueError, RecursionError):
            raise ClusterError(f"{self._what}: its status cannot be read{_DOUBT}") from None
        causes = said.details.causes if said.details else ()
        if said.status == "Success":
            return 0
        for cause in causes:
            if said.reason == "NonZeroExitCode" and cause.reason == "ExitCode" and cause.message.isdecimal():
                return int(cause.message)
        message = said.message or "the node gives no reason"
        raise ApiError(f"{self._what} could not be run: {message}", said.code or 500, said.reason, causes)
