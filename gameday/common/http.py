"""Asks HTTP servers for JSON: always in time, never more than can be held, every failure in one sentence."""

import os
import re
import ssl
from collections.abc import Mapping

import aiohttp
import msgspec
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

REDIRECTS = (301, 302, 303, 307, 308)
MOST_REDIRECTS = 5  # that are followed, where any are
LOGIN = re.compile(r"log-?in|sign-?in|sso|oauth|saml|openid|\bauth", re.IGNORECASE)  # in an address
_EXCERPT = 200  # characters of a body that are worth repeating in a message


class HttpError(Exception):
    """No usable answer; the message says why, without credentials. `may_be_done`: the request may have arrived."""

    def __init__(self, message: str, *, may_be_done: bool = True) -> None:
        super().__init__(message)
        self.may_be_done = may_be_done


class Answer(msgspec.Struct, frozen=True):
    """What a server said, of whatever status. Names of `headers` are found in capitals and in small letters."""

    status: int
    body: bytes
    headers: Mapping[str, str] = {}

    def excerpt(self) -> str:
        """The beginning of the body on one line, for a message."""
        return " ".join(self.body[: 4 * _EXCERPT].decode(errors="replace").split())[:_EXCERPT]


def parse_url(text: str) -> URL:
    """An absolute http or https URL. Raises ValueError, saying what was expected, without repeating credentials."""
    try:
        url = URL(text)
    except ValueError as error:
        raise ValueError(f"expected a URL like http://prometheus:9090: {error}") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError(f"found the URL `{text.rpartition('@')[2]}`, expected http:// or https:// and a host")
    return url


class HttpClient:
    """Requests over kept-alive connections. Bound to the event loop of its first request.

    Redirects are not followed: where they occur, it is mostly a login page, which would be taken for an answer.
    """

    def __init__(
        self, timeout_s: float, headers: Mapping[str, str] | None = None, *, gives_redirects: bool = False
    ) -> None:
        """`timeout_s`: for each request, from waiting for a connection to the last byte; `headers`: of every one.
        With `gives_redirects`, one is an answer like any other, otherwise an error."""
        self._timeout_s = timeout_s
        self._gives_redirects = gives_redirects
        self._headers = dict(headers or {})
        self._session: aiohttp.ClientSession | None = None

    async def get(self, url: URL, *, max_bytes: int) -> Answer:
        """One answer of at most `max_bytes`. Raises HttpError, and nothing else for what network and server do."""
        return await self._request("GET", url, None, max_bytes)

    async def post(self, url: URL, body: bytes, *, max_bytes: int, headers: Mapping[str, str] | None = None) -> Answer:
        """The answer to a POST of JSON; likewise. `headers`: of this request besides."""
        return await self._request("POST", url, body, max_bytes, headers)

    async def send(self, method: str, url: URL, body: bytes | None = None, *, max_bytes: int) -> Answer:
        """The answer to a request of any method, with JSON or without; likewise."""
        return await self._request(method, url, body, max_bytes)

    async def _request(
        self, method: str, url: URL, body: bytes | None, max_bytes: int, more: Mapping[str, str] | None = None
    ) -> Answer:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self._timeout_s),
                headers={
                    "User-Agent": "gameday",
                    "Accept": "application/json",
                    "Accept-Encoding": "identity",
                    **self._headers,
                },
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        try:
            headers = {**({"Content-Type": "application/json"} if body is not None else {}), **(more or {})}
            async with self._session.request(
                method, url, data=body, headers=headers, allow_redirects=False
            ) as response:
                received = bytearray()
                async for chunk in response.content.iter_any():
                    received += chunk
                    if len(received) > max_bytes:
                        raise HttpError(f"the answer is larger than {max_bytes} bytes")
                if response.status in REDIRECTS and not self._gives_redirects:
                    to = response.headers.get("Location", "nowhere").partition("?")[0]
                    raise HttpError(f"HTTP {response.status}, redirected to {to}: expected the API itself")
                return Answer(response.status, bytes(received), response.headers)
        except TimeoutError as error:
            raise HttpError(f"no answer within {self._timeout_s:g} s") from error
        except aiohttp.ClientConnectorError as error:
            errno = error.os_error.errno  # asyncio's own text repeats the address
            is_system = bool(errno and errno > 0) and not isinstance(error.os_error, ssl.SSLError)
            reason = os.strerror(errno) if is_system and errno else str(error.os_error)
            raise HttpError(f"cannot connect to {url.host}:{url.port}: {reason}", may_be_done=False) from error
        except aiohttp.ServerDisconnectedError as error:
            raise HttpError("the server closed the connection without an answer") from error
        except (aiohttp.ClientError, HttpProcessingError, OSError, ValueError) as error:
            what = error.message if isinstance(error, aiohttp.ClientResponseError) else str(error)
            raise HttpError(
                f"no valid HTTP answer: {' '.join(what.split())[:_EXCERPT] or type(error).__name__}"
            ) from error

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None
