"""A webhook of one's own: each message of a session as JSON, signed.

A request is a POST. `X-Gameday-Timestamp` is its Unix time; `X-Gameday-Signature` is "sha256=" and the hexadecimal
HMAC-SHA256 (RFC 2104) of the timestamp, a dot and the body, by the secret. Whoever checks it refuses what is old.
"""

import hashlib
import hmac
import time

import msgspec
from yarl import URL

from gameday.common.http import HttpClient, HttpError, parse_url
from gameday.journal.events import SessionStarted
from gameday.notify.base import ChannelError, Detail, Picture, Session, Status
from gameday.spec.model import ChannelConfig

SCHEMA = 1  # docs/channels.md describes it
_MAX_ANSWER_BYTES = 64 * 1024
_SHORTEST_TOKEN = 6  # characters of a part of a URL


class Webhook:
    """Posts the details, and the status whenever it is another one."""

    name = "webhook"
    pace_s = 0.0
    has_status = True

    def __init__(self, config: ChannelConfig) -> None:
        """Raises ChannelError when the URL is none."""
        try:
            self._url = parse_url(config.webhook or "")
        except ValueError as error:
            raise ChannelError(str(error)) from error
        self._secret = (config.secret or "").encode()
        self._timeout_s = config.timeout_s
        self._client: HttpClient | None = None
        self._session: SessionStarted | None = None

    async def open(self, session: Session) -> None:
        """What it will be about."""
        self._session = session.started

    async def show(self, status: Status) -> None:
        """Where the session is."""
        await self._post({"type": "status", "status": msgspec.to_builtins(status)})

    async def say(self, details: tuple[Detail, ...]) -> None:
        """What has happened."""
        await self._post({"type": "messages", "messages": [msgspec.to_builtins(detail) for detail in details]})

    async def upload(self, picture: Picture) -> None:
        """Nothing: the report has them."""

    async def _post(self, content: dict[str, object]) -> None:
        session = self._session
        assert session is not None
        head = {"schema": SCHEMA, "session": session.session, "title": session.title}
        body = msgspec.json.encode({**head, "environment": session.environment, **content})
        client = self._client = self._client or HttpClient(self._timeout_s)
        await post_json(client, self._url, body, _signature(self._secret, body, time.time()))

    async def close(self) -> None:
        """Let go of connections."""
        if self._client is not None:
            await self._client.close()


def _signature(secret: bytes, body: bytes, now: float) -> dict[str, str]:
    stamp = str(int(now))
    headers = {"X-Gameday-Timestamp": stamp}
    if secret:
        signed = hmac.new(secret, stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
        headers["X-Gameday-Signature"] = f"sha256={signed}"
    return headers


async def post_json(client: HttpClient, url: URL, body: bytes, headers: dict[str, str]) -> None:
    """Post it. Raises ChannelError: what never left, and what is not taken for now (429), may be said again."""
    try:
        answer = await client.post(url, body, headers=headers, max_bytes=_MAX_ANSWER_BYTES)
    except HttpError as error:
        raise ChannelError(_hidden(url, str(error)), retry_after_s=None if error.may_be_done else 1.0) from error
    if answer.status == 429:
        after = answer.headers.get("Retry-After", "")
        raise ChannelError(
            "HTTP 429: not now", retry_after_s=float(after) if after.isdecimal() and after.isascii() else 5.0
        )
    if not 200 <= answer.status < 300:
        # Gone, forbidden, unknown: it will be so the next time.
        is_final = answer.status in (401, 403, 404, 410)
        raise ChannelError(f"HTTP {answer.status}: {_hidden(url, answer.excerpt())}", is_final=is_final)


def _hidden(url: URL, text: str) -> str:
    """The text without what is as good as a token: servers like to say which path it was that they do not know."""
    parts = {url.path, url.raw_path, *url.parts, *url.raw_parts, *url.query.values()}
    for part in sorted(parts, key=len, reverse=True):
        if len(part) >= _SHORTEST_TOKEN:
            text = text.replace(part, "…")
    return text
