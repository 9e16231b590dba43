"""Reads signals from Prometheus, or whatever speaks its HTTP API (Thanos, Mimir, VictoriaMetrics).

Format: https://prometheus.io/docs/prometheus/latest/querying/api/ (instant queries).

An instant query's answer carries the time of the evaluation, not that of the data, and looks back five minutes for a
sample: what a dead target or a stalled remote write left behind would pass for the present. Hence each query's
`freshness` is asked beside it. It is evaluated by the server's clock against the server's timestamps, so that a clock
that differs from ours does no harm. One that jumps does: set back, the server takes old samples for the newest. So its
evaluation times are compared with our own monotonic clock.
"""

import asyncio
import math
import time
from collections.abc import Iterable, Sequence

import msgspec
from yarl import URL

from gameday.common.http import Answer, HttpClient, HttpError, parse_url
from gameday.journal.events import Reading, ReadingState
from gameday.signals.base import Query, SignalError
from gameday.spec.model import SignalsConfig

_MAX_BYTES = 256 * 1024  # one series is a few hundred bytes; more than this is a query for something else
_MAX_DETAIL = 300


class _Series(msgspec.Struct, frozen=True):
    value: tuple[float, str] | None = None  # absent for a native histogram


class _Data(msgspec.Struct, frozen=True, rename="camel"):
    result_type: str
    result: msgspec.Raw


class _Body(msgspec.Struct, frozen=True, rename="camel"):
    status: str
    data: _Data | None = None
    error_type: str = ""
    error: str = ""
    warnings: tuple[str, ...] = ()


_body = msgspec.json.Decoder(_Body)
_vector = msgspec.json.Decoder(tuple[_Series, ...])
_scalar = msgspec.json.Decoder(tuple[float, str])


class _Result(msgspec.Struct, frozen=True):
    """What came of one expression, unscaled."""

    state: ReadingState
    value: float | None = None
    detail: str = ""
    at: float | None = None  # when it was evaluated, by the server's clock


class Prometheus:
    """A SignalSource. All queries of a read go out at once over kept-alive connections."""

    def __init__(self, config: SignalsConfig) -> None:
        """Raises SignalError when the URL is none."""
        try:
            self._base = parse_url(config.url).joinpath("api", "v1", "query")
        except ValueError as error:
            raise SignalError(f"signals: {error}") from error
        self._stale_after_s = config.stale_after_s
        self._client = HttpClient(config.timeout_s, config.credentials.headers())
        self._urls: dict[str, URL] = {}
        self._clock_offset: float | None = None  # the server's clock less ours, when it was first asked

    async def read(self, queries: Sequence[Query]) -> tuple[Reading, ...]:
        """One reading for each query, in their order. Each expression, of values and freshness, is asked once."""
        wanted = dict.fromkeys(query.expression for query in queries)
        wanted |= dict.fromkeys(query.freshness for query in queries if query.freshness)
        results = dict(zip(wanted, await asyncio.gather(*map(self._ask, wanted)), strict=True))
        jump_s = self._jump(result.at for result in results.values())
        if abs(jump_s) > self._stale_after_s:
            detail = f"the server's clock has jumped by {jump_s:+.0f} s: old data may pass for new"
            results = {
                expression: _Result(ReadingState.STALE, detail=detail) if result.at is not None else result
                for expression, result in results.items()
            }
        return tuple(
            self._reading(query, results[query.expression], results[query.freshness] if query.freshness else None)
            for query in queries
        )

    async def close(self) -> None:
        """Let go of connections."""
        await self._client.close()

    def _jump(self, evaluated: Iterable[float | None]) -> float:
        """By how many seconds the server's clock has moved against ours since it was first asked."""
        at = next((at for at in evaluated if at is not None), None)
        if at is None:
            return 0.0
        offset = at - time.monotonic()
        if self._clock_offset is None:
            self._clock_offset = offset
        return offset - self._clock_offset

    def _reading(self, query: Query, result: _Result, age: _Result | None) -> Reading:
        if age is not None and result.state is not ReadingState.UNREACHABLE:
            result = self._check_age(result, age)
        value = None if result.value is None else result.value * query.scale
        return Reading(str(query.signal), result.state, value, result.detail)

    def _check_age(self, result: _Result, age: _Result) -> _Result:
        if age.value is not None:
            if age.value <= self._stale_after_s:
                return result
            limit = f"{self._stale_after_s:g} s are allowed"
            return _Result(ReadingState.STALE, detail=f"the newest sample is {age.value:.0f} s old; {limit}")
        if result.state is not ReadingState.OK:
            return result
        if age.state is ReadingState.STALE:
            return age
        # A value whose age nobody knows is not one to rely on.
        if age.state is ReadingState.UNREACHABLE:
            return _Result(ReadingState.UNREACHABLE, detail=f"the age of the data cannot be told: {age.detail}")
        return _Result(ReadingState.STALE, detail="the series behind it has ended: it has no current sample")

    async def _ask(self, expression: str) -> _Result:
        url = self._urls.get(expression)
        if url is None:
            url = self._urls[expression] = self._base.with_query(query=expression)
        try:
            return _understand(await self._client.get(url, max_bytes=_MAX_BYTES))
        except HttpError as error:
            return _unreachable(str(error))


def _unreachable(why: str) -> _Result:
    return _Result(ReadingState.UNREACHABLE, detail=why[:_MAX_DETAIL])


def _understand(answer: Answer) -> _Result:
    try:
        body = _body.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if answer.status != 200:
            return _unreachable(f"HTTP {answer.status}: {answer.excerpt() or 'an empty answer'}")
        return _unreachable(f"the answer is not of Prometheus's API ({error}): {answer.excerpt() or 'empty'}")
    if body.status != "success" or body.data is None:
        return _unreachable(
            f"Prometheus says {body.error_type or f'HTTP {answer.status}'}: {body.error or 'no reason'}"
        )
    try:
        return _value_of(body.data, body.warnings)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        return _unreachable(f"the answer's {body.data.result_type} is not valid: {error}")


def _value_of(data: _Data, warnings: Sequence[str]) -> _Result:
    detail = f"warning: {warnings[0]}"[:_MAX_DETAIL] if warnings else ""
    if data.result_type == "vector":
        series = _vector.decode(data.result)
        if not series:
            return _Result(ReadingState.EMPTY, detail=detail)
        if len(series) > 1:
            return _unreachable(f"the query gives {len(series)} series, and must give one: aggregate it")
        sample = series[0].value
        if sample is None:
            return _unreachable("the query gives a histogram, and must give a number")
    elif data.result_type == "scalar":
        sample = _scalar.decode(data.result)
    else:
        return _unreachable(f"the query gives a {data.result_type}, and must give an instant vector of one series")
    value = float(sample[1])
    if not math.isfinite(value):
        return _Result(ReadingState.NAN, None, detail if math.isnan(value) else f"the value is {sample[1]}", sample[0])
    return _Result(ReadingState.OK, value, detail, sample[0])
