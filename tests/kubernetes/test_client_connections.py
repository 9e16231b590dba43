"""The client and connections that are refused, hang, are cut off or cannot be trusted."""

import contextlib
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripted import POD, PODS, Answer, Server, reference, refusal, says, serving, url_of

from gameday.kubernetes import client as module
from gameday.kubernetes.client import Client
from gameday.kubernetes.objects import Object


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(module, "_FIRST_PAUSE_S", 0.01)
    with serving() as own:
        yield own


@pytest.fixture
def client(server: Server, tmp_path: Path) -> Iterator[Client]:
    with Client(reference(tmp_path, url_of(server)), deadline_s=2) as own:
        yield own


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_a_refused_connection(tmp_path: Path) -> None:
    port = free_port()
    with Client(reference(tmp_path, f"http://127.0.0.1:{port}"), deadline_s=0.1) as own:
        assert f"(http://127.0.0.1:{port}{PODS}): cannot be reached" in str(refusal(own))


@pytest.mark.parametrize("through", ["server", "proxy-url"])
def test_what_was_never_sent_is_sent_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, through: str) -> None:
    """A connection that is refused has carried nothing, so that even what must not be done twice is tried again."""
    port = free_port()
    urls = {"server": f"http://127.0.0.1:{port}"}
    if through == "proxy-url":
        urls = {"server": "http://one.example", "proxy-url": f"http://127.0.0.1:{port}"}
    with contextlib.ExitStack() as stack:
        late: list[Server] = []

        def sleep(_: float) -> None:
            if not late:
                late.append(stack.enter_context(serving(port)))
                late[0].script = [says(201, POD)]

        monkeypatch.setattr(module.time, "sleep", sleep)
        with Client(reference(tmp_path, urls.pop("server"), **urls), deadline_s=2) as own:
            own.create(PODS, {}, Object)
        assert len(late[0].seen) == 1


# -- deadlines and limits


@pytest.mark.parametrize(
    "answer",
    [
        [5.0],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{", 5.0],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", *[b"x", 0.05] * 60],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfff\r\n", *[b"x", 0.05] * 60],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", *[b"1\r\nx\r\n", 0.05] * 60],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n", 0.2, b"{", 5.0],
    ],
    ids=["nothing", "half", "drops", "drops-of-a-chunk", "small-chunks", "stops-late"],
)
def test_a_server_that_hangs(server: Server, tmp_path: Path, answer: Answer) -> None:
    server.script = [answer] * 4
    began = time.monotonic()
    with Client(reference(tmp_path, url_of(server)), deadline_s=0.3) as own:
        assert "no answer in time" in str(refusal(own))
    assert time.monotonic() - began < 3


def test_a_deadline_of_one_request(server: Server, client: Client) -> None:
    server.script = [[5.0]] * 4
    began = time.monotonic()
    refusal(client, deadline_s=0.2)
    assert time.monotonic() - began < 3


def test_too_long_an_answer(server: Server, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_BYTES", 1 << 20)
    server.script = [says(200, b"x" * ((1 << 20) + 1)), says(200, b"x" * (1 << 20))]
    assert "the answer is longer than 1 MiB" in str(refusal(client))
    assert len(client.request("GET", PODS)) == 1 << 20


# -- TLS


def serve_raw(reset: bool) -> tuple[socket.socket, list[int]]:
    """A listener that ends each connection after the client's first bytes, or resets it."""
    listener, count = socket.create_server(("127.0.0.1", 0)), list[int]()

    def run() -> None:
        while True:
            try:
                connection = listener.accept()[0]
            except OSError:
                return
            connection.recv(1 << 16)
            count.append(1)
            if reset:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()

    threading.Thread(target=run, daemon=True).start()
    return listener, count


@pytest.mark.parametrize("reset", [False, True])
def test_a_handshake_that_is_cut_off_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reset: bool
) -> None:
    monkeypatch.setattr(module, "_FIRST_PAUSE_S", 0.01)
    listener, count = serve_raw(reset)
    with listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        with Client(reference(tmp_path, url), deadline_s=0.2) as own:
            assert "the connection was cut off" in str(refusal(own))
        listener.shutdown(socket.SHUT_RDWR)
    assert len(count) > 1


def test_a_server_without_tls(server: Server, tmp_path: Path) -> None:
    url = url_of(server).replace("http:", "https:")
    with Client(reference(tmp_path, url), deadline_s=2) as own:
        assert "no TLS connection" in str(refusal(own))


def test_a_server_that_is_not_trusted(server: Server, tmp_path: Path) -> None:
    options = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=other"]
    files = ["-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "crt")]
    extension = ["-addext", "subjectAltName=DNS:other"]
    subprocess.run(["openssl", "req", "-x509", *options, *extension, *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.script = [says(200, b"named"), says(200, b"careless")]
    url, authority = url_of(server).replace("http:", "https:"), {"certificate-authority": "crt"}
    for trust in ({}, authority):  # nobody's certificate, then another host's
        with Client(reference(tmp_path, url, **trust), deadline_s=2) as own:
            assert "its certificate is not trusted" in str(refusal(own))
    with Client(reference(tmp_path, url, **authority, **{"tls-server-name": "other"}), deadline_s=2) as own:
        assert own.request("GET", PODS) == b"named"
    with Client(reference(tmp_path, url, **{"insecure-skip-tls-verify": True}), deadline_s=2) as own:
        assert own.request("GET", PODS) == b"careless"
