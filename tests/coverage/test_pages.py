"""Whether plain pages are there."""

import asyncio
from collections.abc import Callable

import pytest
from loopback import Request, answer, serve

from gameday.coverage.dashboards.base import Named
from gameday.coverage.dashboards.pages import examine_pages
from gameday.journal.events import DashboardInfo


def look(respond: Callable[[Request], bytes | None], *paths: str, timeout_s: float = 5.0) -> list[DashboardInfo]:
    async def run() -> list[DashboardInfo]:
        async with serve(respond) as server:
            named = [Named(server.url + path, ("service shop",)) for path in paths]
            return [*await examine_pages(named, timeout_s)]

    return asyncio.run(run())


def redirect(to: str, status: int = 302) -> bytes:
    return answer("", status, f"Location: {to}\r\n")


@pytest.mark.parametrize(
    ("response", "found", "detail"),
    [
        (answer("<title>Shop</title>"), True, ""),
        (answer("", 204), True, ""),
        (answer("no", 404), False, "HTTP 404"),
        (answer("no", 410), False, "HTTP 410"),
        (answer("no", 401), True, "asks for a login (HTTP 401)"),
        (answer("no", 403), True, "asks for a login (HTTP 403)"),
        (answer("no", 429), None, "HTTP 429"),
        (answer("no", 500), None, "HTTP 500"),
        (answer("no", 503), None, "HTTP 503"),
        (b"garbage\r\n\r\n", None, "no valid HTTP answer"),
        (redirect("https://sso.example.com/realms/x?client=1"), True, "asks for a login"),
        (redirect("/login?next=%2F"), True, "asks for a login"),
        (redirect("https://elsewhere.example.com/x"), True, "leads to elsewhere.example.com, which was not followed"),
        (redirect("/page"), None, "HTTP 302, redirected to itself"),
        (redirect("http://[bad"), None, "no valid HTTP answer"),
    ],
)
def test_what_an_answer_means(response: bytes, found: bool | None, detail: str) -> None:
    (info,) = look(lambda _: response, "/page")
    assert (info.found, info.named_by, info.title) == (found, ("service shop",), "")
    assert info.detail == detail or (detail and info.detail.startswith(detail))
    assert info.name == info.url
    assert info.panels == ()


def test_redirects_on_the_same_host_are_followed() -> None:
    def respond(request: Request) -> bytes:
        return answer("gone", 404) if request.path == "/b" else redirect("/b")

    (info,) = look(respond, "/a")
    assert (info.found, info.detail) == (False, "HTTP 404")


def test_redirects_end() -> None:
    (info,) = look(lambda request: redirect(request.path + "x"), "/a")
    assert (info.found, info.detail) == (None, "redirects more than 5 times")


def test_a_server_that_keeps_silent_holds_nobody_up() -> None:
    slow, quick = look(lambda request: None if request.path == "/slow" else answer("ok"), "/slow", "/", timeout_s=0.3)
    assert (slow.found, slow.detail) == (None, "no answer within 0.3 s")
    assert quick.found is True


def test_a_long_page_is_not_read() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nthe beginning"
    (info,) = look(lambda _: head, "/", timeout_s=2.0)
    assert info.found is True


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/x", "http://", "https://[::1", "http://a:99999/"])
def test_what_cannot_be_reached_is_not_known(url: str) -> None:
    (info,) = asyncio.run(examine_pages([Named(url, ("alert X",))]))
    assert info.found is None
    assert info.detail


def test_of_no_pages_nothing_is_said() -> None:
    assert asyncio.run(examine_pages([])) == ()
