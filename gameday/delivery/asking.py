"""How a tracker's API is asked: one request at a time, patient with limits of its rate, every refusal a sentence."""

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import msgspec
from yarl import URL

from gameday.common.codec import decode
from gameday.common.http import Answer, HttpClient, HttpError, parse_url
from gameday.common.texts import one_line
from gameday.delivery.base import TrackerError, shorten
from gameday.spec.units import format_duration

_PATIENCE_S = 90.0  # how long one request may be put off altogether; a tracker that wants more is left alone
_PAUSE_S = 60.0  # where it does not say how long: GitHub asks for a minute at least
_LONGEST_PAUSE_S = 7 * 86400.0  # what is believed
_MAX_BYTES = 32 * 1024 * 1024  # of one answer: a page of a hundred issues with the longest bodies
_LIMITED = (403, 429)
_LONGEST_SAID = 300


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
        self._client = HttpClient(timeout_s, headers, gives_redirects=True)
        self._token = token
        self._tell = tell
        self._pace_s = pace_s
        self._changed_at = float("-inf")

    async def send(
        self, method: str, path: str, body: object = None, *, query: Mapping[str, str] | None = None
    ) -> Answer:
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

    def read[T](self, reply: Answer, kind: type[T]) -> T:
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
        await self._client.close()

    async def _request(self, method: str, url: URL, data: bytes | None) -> Answer:
        try:
            return await self._client.send(method, url, data, max_bytes=_MAX_BYTES)
        except HttpError as error:
            why = self.said(str(error)).strip(" ()")
            raise TrackerError(f"{self.name}: {why}", stops=True, uncertain=error.may_be_done) from error


def _pause(reply: Answer) -> float | None:
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
