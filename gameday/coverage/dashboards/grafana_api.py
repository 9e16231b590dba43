"""How Grafana is asked: what its API refuses becomes a sentence that says what is to be done.

API: https://grafana.com/docs/grafana/latest/developers/http_api/ (a service account's token, or basic authentication).
"""

import asyncio
from collections.abc import Sequence
from urllib.parse import quote

import msgspec
from yarl import URL

from gameday.common.codec import decode
from gameday.common.http import Answer, HttpClient, HttpError, parse_url
from gameday.common.texts import one_line
from gameday.coverage.dashboards.base import DashboardError
from gameday.spec.model import DashboardsConfig

MAX_BYTES = 16 * 1024 * 1024  # of one answer
AT_ONCE = 4  # requests under way; others wait, without their timeout running
_MAX_DETAIL = 300

type Query = Sequence[tuple[str, str]]


class GrafanaError(DashboardError):
    """Grafana did not do what it was asked; the message says why."""


class _Said(msgspec.Struct, frozen=True):
    message: str = ""


class Api:
    """One Grafana, with what lets us in."""

    def __init__(self, config: DashboardsConfig) -> None:
        """Raises DashboardError."""
        if not config.url:
            raise DashboardError(
                "found no `url` of dashboards, expected Grafana's, such as https://grafana.example.com"
            )
        try:
            self.url = parse_url(config.url)
        except ValueError as error:
            raise DashboardError(str(error)) from error
        self._root = str(self.url.with_user(None).with_query(None).with_fragment(None)).rstrip("/")
        self._secrets = [text for text in (config.credentials.token, config.credentials.password) if text]
        self._places = asyncio.Semaphore(AT_ONCE)
        self._client = HttpClient(config.timeout_s, config.credentials.headers())

    def address(self, path: str) -> str:
        """The URL for people of a path that Grafana gives, which may begin with its own sub-path."""
        own = self.url.path.rstrip("/")
        return self._root + (path.removeprefix(own) if own and path.startswith(f"{own}/") else path)

    async def get[T](self, kind: type[T], *path: str, needs: str, query: Query = ()) -> T:
        """The answer at a path, which is given in parts. `needs`: the permission that it takes, for people.

        Raises GrafanaError.
        """
        return self.read(kind, await self.send("GET", *path, query=query), needs)

    async def send(self, method: str, *path: str, query: Query = (), body: object = None) -> Answer:
        """The answer to a request, of whatever status; `body` becomes JSON. Raises GrafanaError without an answer."""
        where = "/".join(quote(part, safe="") for part in path)
        url = URL(f"{self._root}/{where}", encoded=True).with_query(list(query))
        try:
            encoded = None if body is None else msgspec.json.encode(body)
            async with self._places:
                return await self._client.send(method, url, encoded, max_bytes=MAX_BYTES)
        except HttpError as error:
            raise GrafanaError(f"Grafana cannot be asked: {self.shorten(str(error))}") from error
        except (msgspec.EncodeError, UnicodeEncodeError) as error:
            raise GrafanaError(f"what is to be asked is no JSON: {error}") from error

    def read[T](self, kind: type[T], answer: Answer, needs: str) -> T:
        """What an answer holds. Raises GrafanaError for any that is none."""
        if answer.status != 200:
            raise self.refusal(answer, needs)
        try:
            return decode(answer.body, kind)
        except msgspec.DecodeError as error:
            raise GrafanaError(f"Grafana's answer is not as expected: {self.shorten(str(error))}") from error

    def refusal(self, answer: Answer, needs: str) -> GrafanaError:
        """What an answer that is not 200 means. Its status counts only where it is Grafana that speaks: a 404 of
        another server says nothing of dashboards."""
        try:
            said = decode(answer.body, _Said).message
        except msgspec.DecodeError:
            said = ""
        text = f" ({self.shorten(said or answer.excerpt())})" if answer.body else ""
        if not said and answer.status == 404:
            return GrafanaError(f"{self._root} is no Grafana: HTTP 404{text}")
        match answer.status:
            case 401:
                text = f"Grafana does not take the credentials: HTTP 401{text}"
            case 403:
                text = f"Grafana does not let these credentials do it: HTTP 403{text}; they need `{needs}`"
            case 429:
                text = f"Grafana has been asked more often than it allows: HTTP 429{text}"
            case status:
                text = f"Grafana answers HTTP {status}{text}"
        return GrafanaError(text, answer.status)

    def shorten(self, text: str) -> str:
        """What a server says, on one line, without our secrets."""
        for secret in self._secrets:
            text = text.replace(secret, "…")
        line = " ".join(one_line(text).split())
        return line if len(line) <= _MAX_DETAIL else f"{line[: _MAX_DETAIL - 1]}…"

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()
