"""The faults' HTTP client against servers that send exactly these bytes."""

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from gameday.common.blocking_http import HttpError, request

type Serve = Callable[..., str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    threads: list[threading.Thread] = []

    def start(*parts: bytes, pause_s: float = 0.0) -> str:
        listener = socket.create_server(("127.0.0.1", 0))

        def answer() -> None:
            with listener, listener.accept()[0] as connection:
                connection.recv(65536)
                for part in parts:
                    try:
                        connection.sendall(part)
                    except OSError:
                        return
                    time.sleep(pause_s)

        threads.append(threading.Thread(target=answer))
        threads[-1].start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/path?token=hidden"

    yield start
    for thread in threads:
        thread.join(5)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 418 No\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 418 No\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.0 418 No\r\n\r\nhello",
        b"HTTP/1.1 418 No\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ],
    ids=["length", "length-and-close", "until-close", "chunked"],
)
def test_every_framing_of_a_body(serve: Serve, answer: bytes) -> None:
    response = request("GET", serve(answer), 2)
    assert (response.status, response.body) == (418, b"hello")


def test_an_empty_body(serve: Serve) -> None:
    assert request("POST", serve(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), 2).body == b""


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello", "cut off"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\nhello", "cut off"),
        (b"SSH-2.0-OpenSSH\r\n", "not HTTP"),
        (b"", "not HTTP|cut off|reset"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + b"x" * 2000, "longer than 1000 bytes"),
    ],
    ids=["short", "short-chunk", "ssh", "nothing", "long"],
)
def test_what_is_no_answer(serve: Serve, answer: bytes, message: str) -> None:
    with pytest.raises(HttpError, match=message) as raised:
        request("GET", serve(answer), 2, max_bytes=1000)
    assert "hidden" not in str(raised.value)


def test_a_server_that_never_answers(serve: Serve) -> None:
    with pytest.raises(HttpError, match=r"no answer within 0\.2 s"):
        request("GET", serve(b"HTTP/1.1 200 OK\r\n", pause_s=0.6), 0.2)


def test_a_body_that_trickles_is_bounded_as_a_whole(serve: Serve) -> None:
    # Read to its end, it would be one that is cut off.
    with pytest.raises(HttpError, match="no answer within"):
        request("GET", serve(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", *[b"x"] * 10, pause_s=0.1), 0.3)


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(HttpError, match="Connection refused"):
        request("GET", f"http://127.0.0.1:{port}/", 1)


def test_proxies_of_the_environment_are_not_used(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert request("GET", serve(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), 2).body == b"ok"


@pytest.mark.parametrize("url", ["file:///etc/passwd", "http://", "localhost:80", "http://a:b/", "http://[::1"])
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(HttpError, match="not a URL"):
        request("GET", url, 1)


def test_a_control_character_is_not_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(HttpError):
        request("GET", f"http://127.0.0.1:{listener.getsockname()[1]}/a b", 1)
