"""How Datadog's HTTP API is asked: with which keys, how often, and what its refusals mean.

API: https://docs.datadoghq.com/api/latest/ (keys in the headers DD-API-KEY and DD-APPLICATION-KEY; errors as
`{"errors": ["…"]}`), rate limits: https://docs.datadoghq.com/api/latest/rate-limits/.
"""

import asyncio
import re
import time
from collections.abc import Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import msgspec
from yarl import URL

from gameday.common.codec import decode
from gameday.common.http import Answer, HttpClient, HttpError, parse_url
from gameday.common.json import Json
from gameday.common.texts import one_line

_AT_ONCE = 8  # requests under way; others wait, without their timeout running
_DEADLINE = 4  # times the timeout of one request: a look takes several
_MAX_BYTES = 32 * 1024 * 1024  # of one answer: a thousand monitors with the states of their groups
_MAX_DETAIL = 300
_WAIT_S = 60.0  # until it is asked again, where a refusal does not say when
_SKEW_S = 2.0  # by which clocks may differ without being corrected: Date has whole seconds
_TAG = re.compile(r"[^\w\-:./]+")
_LONGEST_TAG = 200  # characters
_APP_SITES = ("datadoghq.com", "datadoghq.eu", "ddog-gov.com")  # whose pages are at app.<site>, others' at <site>

METRICS_NEED = "timeseries_query"

type Query = Sequence[tuple[str, str]]


class DatadogError(Exception):
    """Datadog did not do what it was asked; the message says why, without keys. `status` is None without an answer."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class _Limit(msgspec.Struct, frozen=True):
    """What the X-RateLimit headers of an answer say; seconds."""

    limit: str = ""
    period: str = ""
    reset_s: float = _WAIT_S


class _Hold(msgspec.Struct, frozen=True):
    """Nothing is asked until then, by the monotonic clock. `why` says it to a person."""

    until: float
    why: str


class MetricSeries(msgspec.Struct, frozen=True):
    """`pointlist`: Unix times in milliseconds, and values. `interval`, between two points, is documented in
    milliseconds and comes in seconds. `query_index`: which of the queries of a request it belongs to."""

    pointlist: tuple[tuple[float, float | None], ...] = ()
    interval: float | None = None
    query_index: int | None = None

    @property
    def points(self) -> tuple[tuple[float, float], ...]:
        """Unix times in seconds, and values, where there are any."""
        return tuple((at / 1000, value) for at, value in self.pointlist if value is not None)


class _Metrics(msgspec.Struct, frozen=True):
    status: str = "ok"
    error: str | None = None
    series: tuple[MetricSeries, ...] | None = None


class _Said(msgspec.Struct, frozen=True):
    errors: Json = None  # a text, or a list of texts or of objects with a `detail` or a `title`


class Api:
    """One Datadog site, with the keys that let us in. Once it has refused to be asked so often, it is not asked again
    before the time that it names."""

    def __init__(self, url: str | None, api_key: str | None, application_key: str | None, timeout_s: float) -> None:
        """`timeout_s`: for each request. Raises DatadogError."""
        missing = [name for name, key in (("api-key", api_key), ("application-key", application_key)) if not key]
        if missing:
            names = " and ".join(f"`{name}`" for name in missing)
            raise DatadogError(f"found no {names}, expected both of Datadog's keys, such as api-key: ${{DD_API_KEY}}")
        try:
            self.url = parse_url(url or "")
        except ValueError as error:
            raise DatadogError(f"{error}, such as https://api.datadoghq.eu") from error
        self._timeout_s = timeout_s
        self._root = str(self.url.with_user(None).with_query(None).with_fragment(None)).rstrip("/")
        self._keys = [key for key in (api_key, application_key) if key]
        self._limits: dict[str, _Limit] = {}
        self._ahead_s = 0.0  # by which Datadog's clock is ahead of ours
        self._client = HttpClient(timeout_s, {"DD-API-KEY": api_key or "", "DD-APPLICATION-KEY": application_key or ""})
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._held: dict[str, _Hold] = {}

    def now(self) -> float:
        """Unix time by Datadog's clock, as far as its answers have told it."""
        return time.time() + self._ahead_s

    @property
    def site(self) -> str:
        """Its name, such as `datadoghq.eu` or `us3.datadoghq.com`."""
        return (self.url.host or "").removeprefix("api.")

    def page(self, path: str) -> str:
        """The address for people of a path that Datadog gives."""
        if not (self.url.host or "").startswith("api."):
            return f"{self._root}{path}"
        return f"https://{'app.' if self.site in _APP_SITES else ''}{self.site}{path}"

    async def get[T](self, kind: type[T], path: str, query: Query = (), *, needs: str) -> T:
        """The answer at a path. `needs`: the permission that the application key must have. Raises DatadogError."""
        return self._read(kind, await self._send("GET", path, query, None), path, needs)

    async def post[T](self, kind: type[T], path: str, body: object, *, needs: str = "") -> T:
        """The answer to a POST of what becomes JSON; likewise."""
        return self._read(kind, await self._send("POST", path, (), body), path, needs)

    async def query(self, query: str, start: float, end: float) -> tuple[MetricSeries, ...]:
        """The series of a query, or of several with commas between them, from one Unix time to another
        (https://docs.datadoghq.com/api/latest/metrics/query-timeseries-points/).

        Raises DatadogError, with the status 400 where the query is what is wrong.
        """
        span = (("from", str(int(start))), ("to", str(int(end))), ("query", query))
        found = await self.get(_Metrics, "/api/v1/query", span, needs=METRICS_NEED)
        if found.status != "ok":
            raise DatadogError(f"Datadog says: {self.shorten(found.error or found.status)}", 400)
        return found.series or ()

    async def within_deadline[T](self, asked: Coroutine[None, None, T]) -> T:
        """What has been asked for, in several requests, within few times the timeout of one. Raises DatadogError."""
        try:
            async with asyncio.timeout(_DEADLINE * self._timeout_s):
                return await asked
        except TimeoutError as error:
            raise DatadogError(f"Datadog took longer than {_DEADLINE * self._timeout_s:g} s") from error

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def _send(self, method: str, path: str, query: Query, body: object) -> Answer:
        bucket = _bucket(path)
        url = URL(f"{self._root}{path}", encoded=True).with_query(list(query))
        encoded = None if body is None else msgspec.json.encode(body)
        async with self._places:
            held = self._held.get(bucket)
            if held and time.monotonic() < held.until:
                raise DatadogError(held.why, 429)
            try:
                answer = await self._client.send(method, url, encoded, max_bytes=_MAX_BYTES)
            except HttpError as error:
                raise DatadogError(f"Datadog cannot be asked: {self.shorten(str(error))}") from error
        self._note(bucket, answer.headers)
        if answer.status == 429:
            self._held[bucket] = held = self._hold(bucket)
            raise DatadogError(held.why, 429)
        return answer

    def _note(self, bucket: str, headers: Mapping[str, str]) -> None:
        limit, period = headers.get("X-RateLimit-Limit", ""), headers.get("X-RateLimit-Period", "")
        reset = _number(headers.get("X-RateLimit-Reset")) or _number(period) or _WAIT_S
        self._limits[bucket] = _Limit(limit, period, max(reset, 1.0))
        try:
            ahead_s = parsedate_to_datetime(headers.get("Date", "")).timestamp() - time.time()
        except ValueError:
            return
        self._ahead_s = ahead_s if abs(ahead_s) > _SKEW_S else 0.0

    def _hold(self, bucket: str) -> _Hold:
        limit = self._limits.get(bucket, _Limit())
        of = f" of {limit.limit} requests in {limit.period} s" if limit.limit and limit.period else ""
        again = datetime.fromtimestamp(self.now() + limit.reset_s, UTC)
        used_up = f"HTTP 429: Datadog's rate limit{of} for {bucket} is used up"
        why = f"{used_up}; it is not asked again before {again:%H:%M:%S} UTC"
        return _Hold(time.monotonic() + limit.reset_s, self.shorten(why))

    def _read[T](self, kind: type[T], answer: Answer, path: str, needs: str) -> T:
        if not 200 <= answer.status < 300:
            raise DatadogError(self._refusal(answer, path, needs), answer.status)
        try:
            return decode(answer.body, kind)
        except msgspec.DecodeError as error:
            raise DatadogError(f"Datadog's answer at {path} is not as expected: {self.shorten(str(error))}") from error

    def _refusal(self, answer: Answer, path: str, needs: str) -> str:
        try:
            said = _texts(decode(answer.body, _Said).errors)
        except msgspec.DecodeError:
            said = answer.excerpt()
        said = f" ({self.shorten(said)})" if said else ""
        if answer.status in (401, 403):
            must = f", and the application key must have `{needs}`" if needs else ""
            return (
                f"Datadog does not let these keys ask {path}: HTTP {answer.status}{said}; "
                f"they must be of the site {self.site}{must}"
            )
        return f"Datadog answers HTTP {answer.status} at {path}{said}"

    def shorten(self, text: str) -> str:
        """What a server says, on one line, without our keys."""
        for key in self._keys:
            text = text.replace(key, "…")
        line = " ".join(one_line(text).split())
        return line if len(line) <= _MAX_DETAIL else f"{line[: _MAX_DETAIL - 1]}…"


def tag_value(text: str) -> str:
    """As Datadog keeps a tag's value: in small letters, with an underscore for what may not be in it
    (https://docs.datadoghq.com/getting_started/tagging/)."""
    return _TAG.sub("_", text.lower())[:_LONGEST_TAG]


def split_tags(tags: Sequence[str]) -> dict[str, str]:
    """Tags (`team:sre`) by their keys. Of several of one key, the first."""
    found: dict[str, str] = {}
    for tag in tags:
        key, _, value = tag.strip().partition(":")
        if key:
            found.setdefault(key, value)
    return found


def _bucket(path: str) -> str:
    """What is limited as one: a resource, whichever of its members is asked for."""
    return "/".join(path.split("/")[:4])


def _texts(errors: Json) -> str:
    if isinstance(errors, list):
        return "; ".join(filter(None, map(_texts, errors)))
    if isinstance(errors, dict):
        return str(errors.get("detail") or errors.get("title") or "")
    return "" if errors is None else str(errors)


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None
