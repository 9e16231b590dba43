"""Looks whether plain web pages that somebody calls dashboards are there: nothing on them is read."""

import asyncio
import os
from collections.abc import Sequence

import aiohttp
from yarl import URL

from gameday.common.http import LOGIN, MOST_REDIRECTS, REDIRECTS
from gameday.coverage.dashboards.base import Named
from gameday.journal.events import DashboardInfo

_TIMEOUT_S = 10.0  # for each page, with all its redirects
_AT_ONCE = 8
_GONE = (404, 410)
# Some servers answer robots otherwise than browsers.
_HEADERS = {"User-Agent": "Mozilla/5.0 (compatible; gameday)", "Accept": "text/html,*/*"}


async def examine_pages(named: Sequence[Named], timeout_s: float = _TIMEOUT_S) -> tuple[DashboardInfo, ...]:
    """Whether each of these http(s) URLs leads to a page. Never raises for what the network or a server does.

    Redirects are followed on the same host alone; one that leads elsewhere, or to a login, shows that there is
    something. An answer of 404 or 410 says that there is no such page, any other failure says nothing.
    """
    places = asyncio.Semaphore(_AT_ONCE)

    async def one(named: Named) -> DashboardInfo:
        async with places:
            found, detail = await _look(session, named.name, timeout_s)
        return DashboardInfo(name=named.name, named_by=named.by, found=found, url=named.name, detail=detail)

    async with aiohttp.ClientSession(headers=_HEADERS, cookie_jar=aiohttp.DummyCookieJar()) as session:
        return tuple(await asyncio.gather(*map(one, named)))


async def _look(session: aiohttp.ClientSession, address: str, timeout_s: float) -> tuple[bool | None, str]:
    try:
        url = URL(address)
        async with asyncio.timeout(timeout_s):
            for _ in range(MOST_REDIRECTS + 1):
                # The body is not waited for: leaving this block hangs up.
                async with session.get(url, allow_redirects=False) as response:
                    if response.status not in REDIRECTS:
                        return _judge(response.status)
                    to = url.join(URL(response.headers.get("Location", "")))
                if LOGIN.search(f"{to.host}{to.path}"):
                    return True, "asks for a login"
                if to.host != url.host:
                    return True, f"leads to {to.host}, which was not followed"
                if to == url:
                    return None, f"HTTP {response.status}, redirected to itself"
                url = to
            return None, f"redirects more than {MOST_REDIRECTS} times"
    except TimeoutError:
        return None, f"no answer within {timeout_s:g} s"
    except aiohttp.ClientConnectorError as error:
        errno = error.os_error.errno
        reason = os.strerror(errno) if errno and errno > 0 else str(error.os_error)
        return None, f"cannot connect to {error.host}:{error.port}: {reason}"
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return None, f"no valid HTTP answer ({type(error).__name__})"


def _judge(status: int) -> tuple[bool | None, str]:
    if 200 <= status < 300:
        return True, ""
    if status in (401, 403):
        return True, f"asks for a login (HTTP {status})"
    return (False if status in _GONE else None), f"HTTP {status}"
