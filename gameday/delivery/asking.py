"""How a tracker's API is asked: one request at a time, patient with limits of its rate, every refusal a sentence.

What HTTP says in its headers counts here (how long to wait, where the next page is), which HttpClient does not give.
"""

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import aiohttp
import msgspec
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from gameday.common.codec import decode
from gameday.common.http import parse_url
from gameday.common.texts import one_line
from gameday.delivery.base import TrackerError, shorten
from gameday.spec.units import format_duration

_PATIENCE_S = 90.0  # how long one request may be put off altogether; a tracker that wants more is left alone
_PAUSE_S = 60.0  # where it does not say how long: GitHub asks for a minute at least
_LONGEST_PAUSE_S = 7 * 86400.0  # what is believed
_MAX_BYTES = 32 * 1024 * 1024  # of one answer: a page of a hundred issues with the longest bodies
_LIMITED = (403, 429)
_LONGEST_SAID = 300


class Reply(msgspec.Struct, frozen=True):
    """What a server answered. Names of headers are in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Api:
    """One tracker's HTTP API. Bound to the event loop of its first request."""

    def __init__(
        self,
        name: str,
        url: str,
        headers: Mapping[str, str],
        *,
        token: str,
        timeout_s: float,
        tell: Callable[[str], None],
        pace_s: float = 0.0,
    ) -> None:
        """`name`: for people; `token` is kept out of messages; `timeout_s`: for each request; `pace_s`: between two
        with a body, which may change something. Raises TrackerError."""
        try:
            self.url = parse_url(url)
        except ValueError as error:
            raise TrackerError(str(error)) from error
        self.name = name
        self._headers = {"User-Agent": "gameday", "Accept": "application/json", **headers}
        self._token = token
        self._timeout_s = timeout_s
        self._tell = tell
        self._pace_s = pace_s
        self._changed_at = float("-inf")
        self._session: aiohttp.ClientSession | None = None

    async def send(
        self, method: str, path: str, body: object = None, *, query: Mapping[str, str] | None = None
    ) -> Reply:
        """The answer to a request, of any status; `body` is made JSON. It is sent again only where the tracker has said
        that it was not taken, for there were too many. Raises TrackerError."""
        url = URL(f"{str(self.url).rstrip('/')}/{path}", encoded=True).update_query(query or {})
        data = None if body is None else msgspec.json.encode(body)
        patience = _PATIENCE_S
        while True:
            if data is not None and (early := self._changed_at + self._pace_s - time.monotonic()) > 0:
                await asyncio.sleep(early)
            reply = await self._request(method, url, data)
            if data is not None:
                self._changed_at = time.monotonic()
            pause = _pause(reply)
            if pause is None:
                return reply
            patience -= pause
            if patience < 0:
                until = datetime.fromtimestamp(time.time() + pause, UTC)
                raise TrackerError(
                    f"{self.name} has been asked more often than it allows (HTTP {reply.status}): "
                    f"not again before {until:%Y-%m-%d %H:%M:%S} UTC",
                    stops=True,
                )
            self._tell(f"{self.name} asks to wait {format_duration(pause)} (HTTP {reply.status})")
            await asyncio.sleep(pause)

    def read[T](self, reply: Reply, kind: type[T]) -> T:
        """The answer's body. Raises TrackerError."""
        try:
            return decode(reply.body, kind)
        except msgspec.DecodeError as error:
            raise TrackerError(
                f"{self.name}'s answer is not as expected: {error}", stops=True, uncertain=reply.status < 300
            ) from error

    def said(self, text: str) -> str:
        """What a tracker has said, for a message: in brackets, after a blank; nothing where it said nothing."""
        clean = shorten(one_line(text.replace(self._token, "…")).strip(), _LONGEST_SAID)
        return f" ({clean})" if clean else ""

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _request(self, method: str, url: URL, data: bytes | None) -> Reply:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self._timeout_s),
                headers=self._headers,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        headers = None if data is None else {"Content-Type": "application/json"}
        try:
            async with self._session.request(method, url, data=data, headers=headers, allow_redirects=False) as answer:
                received = bytearray()
                async for chunk in answer.content.iter_any():
                    received += chunk
                    if len(received) > _MAX_BYTES:
                        raise ValueError(f"it is larger than {_MAX_BYTES} bytes")
                names = {name.lower(): value for name, value in answer.headers.items()}
                return Reply(answer.status, names, bytes(received))
        except TimeoutError as error:
            raise self._failed(f"no answer within {self._timeout_s:g} s") from error
        except aiohttp.ClientConnectorError as error:
            errno = error.os_error.errno
            reason = os.strerror(errno) if errno and errno > 0 else str(error.os_error)
            raise self._failed(f"cannot connect to {url.host}:{url.port}: {reason}", uncertain=False) from error
        except aiohttp.ServerDisconnectedError as error:
            raise self._failed("the server closed the connection without an answer") from error
        except (aiohttp.ClientError, HttpProcessingError, OSError, ValueError) as error:
            what = error.message if isinstance(error, aiohttp.ClientResponseError) else str(error)
            raise self._failed(f"no valid HTTP answer{self.said(what or type(error).__name__)}") from error

    def _failed(self, why: str, *, uncertain: bool = True) -> TrackerError:
        return TrackerError(f"{self.name}: {why}", stops=True, uncertain=uncertain)


def _pause(reply: Reply) -> float | None:
    """How long to wait before the request is sent again, in seconds; None: it has been taken, or refused for another
    reason.

    GitHub: https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api (403 or 429). Jira:
    https://developer.atlassian.com/cloud/jira/platform/rate-limiting/ and, for Data Center,
    https://confluence.atlassian.com/adminjiraserver/adjusting-your-code-for-rate-limiting-987143384.html (429).
    """
    if reply.status not in _LIMITED:
        return None
    after, reset = reply.headers.get("retry-after", ""), reply.headers.get("x-ratelimit-reset", "")
    if after.isdecimal():
        return min(max(float(after), 1.0), _LONGEST_PAUSE_S)
    if reply.headers.get("x-ratelimit-remaining") == "0" and reset.isdecimal():
        return min(max(float(reset) - time.time(), 0.0) + 1.0, _LONGEST_PAUSE_S)
    if reply.status == 429 or b"rate limit" in reply.body[:4096].lower():
        return _PAUSE_S
    return None
