"""A server on loopback that answers exactly what each test scripts, and how to reach it."""

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from gameday.kubernetes.client import Client
from gameday.kubernetes.objects import path_of
from gameday.kubernetes.reference import ClusterError, ClusterRef

SECRET = "hunter2-hunter2"
POD = {"metadata": {"name": "a"}}
PODS = path_of("Pod", "shop")

type Answer = tuple[int, dict[str, str], bytes] | list[bytes | float]


def says(status: int, body: object = None, **headers: str) -> Answer:
    content = body if isinstance(body, bytes) else json.dumps(body if body is not None else {}).encode()
    return status, {name.replace("_", "-"): value for name, value in headers.items()}, content


class Server(ThreadingHTTPServer):
    """Gives the scripted answers, one a request; a list is sent raw, a number in it is a pause in seconds."""

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.script: list[Answer] = []
        self.seen: list[tuple[str, str]] = []
        self.headers: list[Any] = []
        self.bodies: list[bytes] = []
        self.over = threading.Event()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def _answer(self) -> None:
        own = self.server
        own.seen.append((self.command, self.path))
        own.headers.append(self.headers)
        own.bodies.append(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        answer = own.script.pop(0) if own.script else says(599, b"more requests than scripted")
        if isinstance(answer, tuple):
            status, headers, body = answer
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
            return
        self.close_connection = True
        try:
            for part in answer:
                if isinstance(part, bytes):
                    self.wfile.write(part)
                elif own.over.wait(part):
                    return
        except OSError:
            pass

    do_GET = do_POST = do_PATCH = do_DELETE = _answer

    def log_message(self, *args: object) -> None:
        pass


@contextlib.contextmanager
def serving(port: int = 0) -> Iterator[Server]:
    own = Server(port)
    thread = threading.Thread(target=own.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield own
    finally:
        own.over.set()
        own.shutdown()
        thread.join(5)
        own.server_close()


def reference(directory: Path, url: str, user: dict[str, Any] | None = None, **cluster: Any) -> ClusterRef:
    document = {
        "contexts": [{"name": "staging", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": url} | cluster}],
        "users": [{"name": "u", "user": {"token": SECRET} if user is None else user}],
    }
    (directory / "config").write_text(yaml.safe_dump(document))
    return ClusterRef("staging", kubeconfig=str(directory / "config"))


def url_of(server: Server) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}"


def refusal(client: Client, method: str = "GET", **named: Any) -> ClusterError:
    with pytest.raises(ClusterError) as raised:
        client.request(method, PODS, **named)
    assert SECRET not in str(raised.value)
    return raised.value
