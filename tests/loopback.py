"""An HTTP server on loopback that answers exactly the bytes a test wants, or none."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

type Respond = Callable[["Request"], bytes | None]


@dataclass(frozen=True)
class Request:
    path: str
    query: dict[str, str]
    headers: dict[str, str]


@dataclass
class Loopback:
    url: str
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    close: Callable[[], None] = lambda: None  # hang up on everybody, and listen no more; from any thread


def answer(body: object, status: int = 200, headers: str = "") -> bytes:
    """A whole HTTP answer; `body` is text, or is made JSON."""
    raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(raw)}\r\n{headers}\r\n".encode() + raw


def vector(*values: str, at: float = 1.0) -> dict[str, object]:
    """Prometheus's answer to an instant query, with one series a value."""
    result = [{"metric": {"n": str(n)}, "value": [at, value]} for n, value in enumerate(values)]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


@contextlib.asynccontextmanager
async def serve(respond: Respond) -> AsyncIterator[Loopback]:
    """Serve on a free port. `respond` gives the bytes to send, or None: then nothing is sent, and the line is kept."""
    loopback = Loopback("")
    writers = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        loopback.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                first, *lines = head.split("\r\n")
                target = urlsplit(first.split(" ")[1])
                headers = dict(line.lower().split(": ", 1) for line in lines if line)
                query = {key: values[0] for key, values in parse_qs(target.query).items()}
                request = Request(target.path, query, headers)
                loopback.requests.append(request)
                if (raw := respond(request)) is not None:
                    writer.write(raw)
                    await writer.drain()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    loopback.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    loop = asyncio.get_running_loop()

    def close() -> None:
        server.close()
        for writer in writers:
            writer.close()

    loopback.close = lambda: (loop.call_soon_threadsafe(close), None)[1]
    try:
        yield loopback
    finally:
        close()
