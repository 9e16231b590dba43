"""Reads signals from Datadog's metrics.

API: `GET /api/v1/query` (https://docs.datadoghq.com/api/latest/metrics/query-timeseries-points/). One request asks
several queries with commas between them; `query_index` of a series says whose it is. Datadog's own Cluster Agent asks
in this way for what a cluster is scaled by.

A point stands for the interval that begins at its time. The current interval is not whole, and that which has just
ended still lacks what Agents send every 10 to 15 s: of a count they would show too little. So the newest point is
taken whose interval ended a while ago. As nothing new comes within ten seconds, nothing is asked in that time: a
reading is repeated, and grows stale by the time of its point all the same.
"""

import asyncio
import math
import time
from collections.abc import Iterable, Sequence
from itertools import pairwise

import msgspec

from gameday.common.datadog import Api, DatadogError, MetricSeries
from gameday.journal.events import Reading, ReadingState
from gameday.signals.base import Query, SignalError
from gameday.spec.model import SignalsConfig

_LOOKBACK_S = 300.0
_SETTLED_S = 15.0  # after the end of an interval all of it is there, as a rule
_ASK_EVERY_S = 10.0
_RETRY_S = 3.0  # after a failure
_LEAST_STALE_S = 60.0  # Datadog's newest whole point is always tens of seconds old
_INTERVAL_S = 20.0  # of what is asked over less than an hour, where an answer does not show it
_MOST_QUERIES, _MOST_CHARACTERS = 35, 5000  # of one request
_FRESHNESS = "freshness"
_BRACKETS = {"(": 1, "{": 1, "[": 1, ")": -1, "}": -1, "]": -1}


class _Answer(msgspec.Struct, frozen=True):
    """What came of one expression. `until`: when it is asked again, by the monotonic clock."""

    until: float
    series: tuple[MetricSeries, ...] = ()
    failure: str = ""


class Datadog:
    """A SignalSource. All queries of a read go out in one request, at most once in ten seconds."""

    def __init__(self, config: SignalsConfig) -> None:
        """Raises SignalError."""
        if any(key == _FRESHNESS for key, _ in config.queries):
            raise SignalError(
                "signals: found the query `freshness`, expected none: Datadog's points bear their own times"
            )
        keys = config.credentials
        try:
            self._api = Api(config.url, keys.api_key, keys.application_key, config.timeout_s)
        except DatadogError as error:
            raise SignalError(f"signals: {error}") from error
        self._stale_after_s = max(config.stale_after_s, _LEAST_STALE_S)
        self._lookback_s = max(_LOOKBACK_S, 2 * self._stale_after_s, 5 * (config.window_s or 0.0))
        self._answers: dict[str, _Answer] = {}
        self._refused: set[str] = set()  # expressions that spoil a request for the others

    async def read(self, queries: Sequence[Query]) -> tuple[Reading, ...]:
        """One reading for each query, in their order. What has been asked within ten seconds is not asked again."""
        wanted = dict.fromkeys(query.expression for query in queries)
        due = [expression for expression in wanted if self._is_due(expression)]
        await asyncio.gather(*map(self._ask_together, self._requests(due)))
        return tuple(self._reading(query, self._answers[query.expression]) for query in queries)

    async def close(self) -> None:
        """Let go of connections."""
        await self._api.close()

    def _is_due(self, expression: str) -> bool:
        answer = self._answers.get(expression)
        return answer is None or time.monotonic() >= answer.until

    def _requests(self, expressions: Iterable[str]) -> list[list[str]]:
        """Which expressions go out together."""
        requests: list[list[str]] = []
        together: list[str] = []
        for expression in expressions:
            if expression in self._refused or not _is_one(expression):
                requests.append([expression])
                continue
            length = sum(map(len, together)) + len(expression)
            if not together or len(together) == _MOST_QUERIES or length > _MOST_CHARACTERS:
                together = []
                requests.append(together)
            together.append(expression)
        return requests

    async def _ask_together(self, expressions: Sequence[str]) -> None:
        try:
            series = await self._ask(expressions)
        except DatadogError as error:
            is_refused = error.status == 400
            if is_refused and len(expressions) > 1:  # by one of them: that one is found by asking each alone
                await asyncio.gather(*(self._ask_together([expression]) for expression in expressions))
                return
            if is_refused:
                self._refused.update(expressions)
            until = time.monotonic() + _RETRY_S
            self._answers |= {expression: _Answer(until, failure=str(error)) for expression in expressions}
            return
        until = time.monotonic() + _ASK_EVERY_S
        for index, expression in enumerate(expressions):
            mine = tuple(one for one in series if len(expressions) == 1 or one.query_index == index)
            self._answers[expression] = _Answer(until, mine)

    async def _ask(self, expressions: Sequence[str]) -> tuple[MetricSeries, ...]:
        now = self._api.now()
        series = await self._api.query(",".join(expressions), now - self._lookback_s, now)
        if len(expressions) > 1 and any(one.query_index is None for one in series):
            raise DatadogError("Datadog's answer does not say which query each series belongs to", 400)
        return series

    def _reading(self, query: Query, answer: _Answer) -> Reading:
        name = str(query.signal)
        if answer.failure:
            return Reading(name, ReadingState.UNREACHABLE, None, answer.failure)
        state, value, detail = _judge(answer.series, self._api.now(), self._stale_after_s)
        return Reading(name, state, None if value is None else value * query.scale, detail)


def _judge(series: Sequence[MetricSeries], now: float, stale_after_s: float) -> tuple[ReadingState, float | None, str]:
    """The state, value and detail of a query's answer. `now`: by Datadog's clock."""
    if not series:
        return ReadingState.EMPTY, None, ""
    if len(series) > 1:
        return ReadingState.UNREACHABLE, None, f"the query gives {len(series)} series, and must give one: aggregate it"
    interval_s = _interval_s(series[0])
    if not series[0].points:
        return ReadingState.NAN, None, "none of its points has a value"
    whole = [(at, value) for at, value in series[0].points if at + interval_s + _SETTLED_S <= now]
    if not whole:
        return ReadingState.EMPTY, None, "there is no point yet whose interval is over"
    at, value = max(whole)
    if now - at > stale_after_s + interval_s:
        limit = f"{stale_after_s:g} s and its interval of {interval_s:g} s are allowed"
        return ReadingState.STALE, None, f"the newest point is {now - at:.0f} s old; {limit}"
    if not math.isfinite(value):
        return ReadingState.NAN, None, f"the value is {value}"
    return ReadingState.OK, value, ""


def _interval_s(series: MetricSeries) -> float:
    if series.interval:
        return series.interval / 1000 if series.interval >= 1000 else series.interval
    times = sorted(at / 1000 for at, _ in series.pointlist)
    return min((after - before for before, after in pairwise(times) if after > before), default=_INTERVAL_S)


def _is_one(expression: str) -> bool:
    """Whether it is one query: a comma outside all brackets would make it two, and those after it another's."""
    depth = 0
    for character in expression:
        depth += _BRACKETS.get(character, 0)
        if depth < 0 or (character == "," and depth == 0):
            return False
    return depth == 0
