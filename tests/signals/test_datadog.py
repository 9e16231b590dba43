"""What Datadog may answer when it is asked for signals, and what is made of it."""

import asyncio
import time
from collections.abc import Callable, Coroutine

import pytest
from datadog_server import API_KEY, APPLICATION_KEY, DatadogServer, points

from gameday.journal.events import Reading, ReadingState
from gameday.signals import SignalError, SignalSource, open_source, plan_queries
from gameday.signals.base import Query
from gameday.signals.sources import datadog
from gameday.spec.model import Credentials, SignalId, SignalKind, SignalsConfig, Unit

TIMEOUT_S = 1.0
KEYS = Credentials(api_key=API_KEY, application_key=APPLICATION_KEY)
P99 = "p99:trace.http.request{service:payments}"
RATE = "sum:trace.http.request.hits{service:payments}.as_rate()"
SERVICES = [
    SignalId("payments", SignalKind.LATENCY, "p99"),
    SignalId("payments", SignalKind.TRAFFIC, "rate"),
    SignalId("payments", SignalKind.ERRORS, "ratio"),
    SignalId("payments", SignalKind.SATURATION, "cpu"),
    SignalId("payments", SignalKind.SATURATION, "memory"),
]


def config(url: str, **settings: object) -> SignalsConfig:
    given = {"platform": "datadog-apm", "timeout_s": TIMEOUT_S, "credentials": KEYS, **settings}
    return SignalsConfig("datadog", url, **given)  # type: ignore[arg-type]


def query(expression: str, scale: float = 1.0) -> Query:
    return Query(SignalId("payments", SignalKind.LATENCY, "p99"), expression, Unit.SECONDS, scale)


def ask[T](
    server: DatadogServer, question: Callable[[SignalSource], Coroutine[None, None, T]], **settings: object
) -> T:
    async def run() -> T:
        source = open_source(config(server.url, **settings))
        try:
            return await question(source)
        finally:
            await source.close()

    return asyncio.run(run())


def read(server: DatadogServer, *expressions: str, **settings: object) -> tuple[Reading, ...]:
    return ask(server, lambda source: source.read([query(one) for one in expressions]), **settings)


def read_one(server: DatadogServer, expression: str = P99, **settings: object) -> Reading:
    [reading] = read(server, expression, **settings)
    return reading


def test_the_newest_whole_point_of_one_series() -> None:
    with DatadogServer() as server:
        server.metrics[P99] = [points(server.now(), 0.1, 0.2, 0.3, None)]
        [reading] = ask(server, lambda source: source.read([query(P99, scale=0.5)]))
    assert reading == Reading("payments.latency.p99", ReadingState.OK, 0.15)


def test_an_interval_that_is_not_over_or_only_just_is_left_out() -> None:
    with DatadogServer() as server:
        whole = points(server.now(), 100.0, age_s=45)
        server.metrics[RATE] = [[*whole, *points(server.now(), 3.0, age_s=0)]]
        reading = read_one(server, RATE)
    assert reading.value == 100.0


def test_all_signals_of_the_platform_in_one_request() -> None:
    with DatadogServer() as server:
        queries = plan_queries(config(server.url), SERVICES)
        for number, one in enumerate(queries):
            server.metrics[one.expression] = [points(server.now(), float(number))]
        readings = ask(server, lambda source: source.read(queries))
    assert [reading.value for reading in readings] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert [reading.signal for reading in readings] == [str(one) for one in SERVICES]
    assert len(server.requests) == 1
    asked = server.requests[0]
    assert asked.headers["DD-API-KEY"] == API_KEY
    assert asked.headers["DD-APPLICATION-KEY"] == APPLICATION_KEY


def test_what_a_query_lacks_is_not_taken_from_the_next() -> None:
    with DatadogServer() as server:
        server.metrics[RATE] = [points(server.now(), 7.0)]
        empty, full = read(server, P99, RATE)
    assert (empty.state, empty.value) == (ReadingState.EMPTY, None)
    assert full.value == 7.0


def test_many_queries_are_several_requests() -> None:
    expressions = [f"avg:m{number}{{*}}" for number in range(80)]
    with DatadogServer() as server:
        server.metrics |= {one: [points(server.now(), float(n))] for n, one in enumerate(expressions)}
        readings = read(server, *expressions)
    assert [reading.value for reading in readings] == [float(number) for number in range(80)]
    assert len(server.requests) == 3


def test_the_states_without_a_value() -> None:
    with DatadogServer() as server:
        now = server.now()
        server.metrics |= {
            "avg:two{*}": [points(now, 1.0), points(now, 2.0)],
            "avg:null{*}": [points(now, None, None)],
            "avg:old{*}": [points(now, 1.0, age_s=150)],
            "avg:new{*}": [points(now, 1.0, age_s=0)],
        }
        found = read(server, "avg:two{*}", "avg:null{*}", "avg:old{*}", "avg:new{*}", "avg:none{*}")
    states = [reading.state for reading in found]
    assert states == [
        ReadingState.UNREACHABLE,
        ReadingState.NAN,
        ReadingState.STALE,
        ReadingState.EMPTY,
        ReadingState.EMPTY,
    ]
    assert all(reading.value is None for reading in found)
    assert "gives 2 series, and must give one" in found[0].detail
    assert "60 s and its interval of 20 s are allowed" in found[2].detail


def test_stale_after_may_be_longer_and_not_shorter() -> None:
    with DatadogServer() as server:
        server.metrics[P99] = [points(server.now(), 1.0, age_s=150)]
        assert read_one(server, stale_after_s=200.0).state is ReadingState.OK
        server.metrics[P99] = [points(server.now(), 1.0, age_s=50)]
        assert read_one(server, stale_after_s=1.0).state is ReadingState.OK


def test_a_query_that_is_refused_spoils_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datadog, "_ASK_EVERY_S", 0.0)
    monkeypatch.setattr(datadog, "_RETRY_S", 0.0)

    async def twice(source: SignalSource) -> tuple[Reading, ...]:
        await source.read([query("avg:!!{*}"), query(RATE)])
        server.requests.clear()
        return await source.read([query("avg:!!{*}"), query(RATE)])

    with DatadogServer() as server:
        server.metrics[RATE] = [points(server.now(), 7.0)]
        refused, fine = ask(server, twice)
        assert sorted(one.query["query"] for one in server.requests) == sorted(["avg:!!{*}", RATE])
    assert refused.state is ReadingState.UNREACHABLE
    assert "HTTP 400 at /api/v1/query (Error parsing query: unable to parse avg:!!{*}" in refused.detail
    assert fine.value == 7.0


def test_two_queries_of_a_user_are_not_mixed_with_the_others() -> None:
    both = "avg:a{*},avg:b{*}"
    with DatadogServer() as server:
        now = server.now()
        server.metrics |= {"avg:a{*}": [points(now, 1.0)], "avg:b{*}": [points(now, 2.0)], RATE: [points(now, 7.0)]}
        wrong, fine = read(server, both, RATE)
    assert "gives 2 series" in wrong.detail
    assert fine.value == 7.0


def test_commas_within_brackets_are_one_query() -> None:
    expression = "avg:a{service:x,env:prod}.rollup(avg, 20)"
    with DatadogServer() as server:
        server.metrics |= {expression: [points(server.now(), 1.0)], RATE: [points(server.now(), 7.0)]}
        assert [reading.value for reading in read(server, expression, RATE)] == [1.0, 7.0]
        assert len(server.requests) == 1


def test_a_reading_is_repeated_for_ten_seconds() -> None:
    async def often(source: SignalSource) -> list[float | None]:
        return [(await source.read([query(P99)]))[0].value for _ in range(20)]

    with DatadogServer() as server:
        server.metrics[P99] = [points(server.now(), 1.0)]
        assert ask(server, often) == [1.0] * 20
        assert len(server.requests) == 1


def test_a_repeated_reading_grows_stale_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datadog, "_ASK_EVERY_S", 1000.0)

    async def later(source: SignalSource) -> list[Reading]:
        [first] = await source.read([query(P99)])
        monkeypatch.setattr(source._api, "now", lambda: time.time() + 60.0)  # type: ignore[attr-defined]
        [second] = await source.read([query(P99)])
        return [first, second]

    with DatadogServer() as server:
        server.metrics[P99] = [points(server.now(), 1.0)]
        first, second = ask(server, later)
    assert (first.state, second.state) == (ReadingState.OK, ReadingState.STALE)
    assert len(server.requests) == 1


def test_what_is_asked_anew_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datadog, "_ASK_EVERY_S", 0.0)

    async def twice(source: SignalSource) -> list[float | None]:
        server.metrics[P99] = [points(server.now(), 1.0)]
        [first] = await source.read([query(P99)])
        server.metrics[P99] = [points(server.now(), 2.0)]
        [second] = await source.read([query(P99)])
        return [first.value, second.value]

    with DatadogServer() as server:
        assert ask(server, twice) == [1.0, 2.0]


@pytest.mark.parametrize("ahead_s", [-900.0, 900.0])
def test_our_clock_may_be_wrong(ahead_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first answer tells; what is taken for the newest then is not fresh, and not said to be."""
    monkeypatch.setattr(datadog, "_ASK_EVERY_S", 0.0)

    async def twice(source: SignalSource) -> list[ReadingState]:
        return [(await source.read([query(P99)]))[0].state for _ in range(2)]

    with DatadogServer(ahead_s=ahead_s) as server:
        server.metrics[P99] = [points(server.now(), *([1.0] * 60))]
        first, second = ask(server, twice)
    assert first in (ReadingState.STALE, ReadingState.EMPTY)
    assert second is ReadingState.OK


def test_the_rate_limit_is_kept_to_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datadog, "_ASK_EVERY_S", 0.0)
    monkeypatch.setattr(datadog, "_RETRY_S", 0.0)

    async def often(source: SignalSource) -> list[Reading]:
        return [(await source.read([query(P99)]))[0] for _ in range(20)]

    with DatadogServer(limits={"/api/v1/query": (2, 3600)}) as server:
        server.metrics[P99] = [points(server.now(), 1.0)]
        readings = ask(server, often)
        assert len(server.requests) == 3
    assert [reading.state for reading in readings[:3]] == [ReadingState.OK, ReadingState.OK, ReadingState.UNREACHABLE]
    said = "HTTP 429: Datadog's rate limit of 2 requests in 3600 s for /api/v1/query is used up; it is not asked again"
    assert all(reading.detail.startswith(said) and reading.detail.endswith(" UTC") for reading in readings[2:])


def test_it_is_asked_again_once_the_period_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datadog, "_ASK_EVERY_S", 0.0)
    monkeypatch.setattr(datadog, "_RETRY_S", 0.0)

    async def wait(source: SignalSource) -> list[ReadingState]:
        states = [(await source.read([query(P99)]))[0].state for _ in range(2)]
        await asyncio.sleep(1.1)
        server.limits.clear()
        return [*states, (await source.read([query(P99)]))[0].state]

    with DatadogServer(limits={"/api/v1/query": (1, 1)}) as server:
        server.metrics[P99] = [points(server.now(), 1.0)]
        monkeypatch.setattr(server, "_limit", _resets_in_a_second(server))
        assert ask(server, wait) == [ReadingState.OK, ReadingState.UNREACHABLE, ReadingState.OK]


def _resets_in_a_second(server: DatadogServer) -> Callable[[str, dict[str, str]], None]:
    limit = server._limit

    def limited(path: str, headers: dict[str, str]) -> None:
        try:
            limit(path, headers)
        finally:
            if "X-RateLimit-Reset" in headers:
                headers["X-RateLimit-Reset"] = "1"

    return limited


def test_a_refusal_without_headers_holds_for_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datadog, "_RETRY_S", 0.0)

    async def often(source: SignalSource) -> list[str]:
        return [(await source.read([query(P99)]))[0].detail for _ in range(5)]

    with DatadogServer(limits={"/api/v1/query": (0, 3600)}, without_headers=True) as server:
        details = ask(server, often)
        assert len(server.requests) == 1
    assert details[0].startswith("HTTP 429: Datadog's rate limit for /api/v1/query is used up; it is not asked again")


@pytest.mark.parametrize(
    ("keys", "denied"),
    [
        (Credentials(api_key="wrong-api-key", application_key=APPLICATION_KEY), ()),
        (Credentials(api_key=API_KEY, application_key="wrong-application-key"), ()),
        (KEYS, ("/api/v1/query",)),
    ],
)
def test_keys_that_do_not_let_in(keys: Credentials, denied: tuple[str, ...]) -> None:
    with DatadogServer(denied=denied) as server:
        reading = read_one(server, credentials=keys)
    assert reading.state is ReadingState.UNREACHABLE
    assert "does not let these keys ask /api/v1/query: HTTP 403" in reading.detail
    assert "the application key must have `timeseries_query`" in reading.detail
    assert not any(key in reading.detail for key in (keys.api_key or "", keys.application_key or ""))


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        (500, "Datadog answers HTTP 500 at /api/v1/query (as the test wants it)"),
        (404, "Datadog answers HTTP 404"),
        (b"<html>", "is not as expected"),
        (b'{"series": 7}', "is not as expected"),
        (b'{"status": "error", "error": "Timeout"}', "Datadog says: Timeout"),
        (b"[" * 100_000, "is not as expected"),
        (None, "Datadog cannot be asked: the server closed the connection"),
        (2.0, "Datadog cannot be asked: no answer within 1 s"),
    ],
)
def test_what_cannot_be_read_is_unreachable(trouble: int | bytes | float | None, reason: str) -> None:
    with DatadogServer(troubles={"/api/v1/query": trouble}) as server:
        began = time.monotonic()
        reading = read_one(server)
        assert time.monotonic() - began < TIMEOUT_S + 20.0
    assert reading.state is ReadingState.UNREACHABLE
    assert reason in reading.detail


def test_nobody_is_there() -> None:
    with DatadogServer() as server:
        pass
    assert "cannot connect" in read_one(server).detail


def test_a_key_that_is_repeated_is_masked() -> None:
    body = f'{{"status": "error", "error": "no {APPLICATION_KEY} here"}}'.encode()
    with DatadogServer(troubles={"/api/v1/query": body}) as server:
        assert read_one(server).detail == "Datadog says: no … here"


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"credentials": Credentials()}, "found no `api-key` and `application-key`, expected both"),
        ({"credentials": Credentials(api_key=API_KEY)}, "found no `application-key`"),
        ({"url": "api.datadoghq.eu"}, "expected http:// or https://"),
        ({"queries": (("freshness", "avg:age{*}"),)}, "found the query `freshness`, expected none"),
    ],
)
def test_mistakes_are_named(settings: dict[str, object], reason: str) -> None:
    url = str(settings.pop("url", "https://api.datadoghq.eu"))
    with pytest.raises(SignalError) as caught:
        open_source(config(url, **settings))
    assert reason in str(caught.value)
    assert API_KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("measure", "expression"),
    [
        ((SignalKind.LATENCY, "p50"), "p50:trace.http.request{service:payments}"),
        ((SignalKind.LATENCY, "p99.9"), "p99.9:trace.http.request{service:payments}"),
        ((SignalKind.TRAFFIC, "rate"), "sum:trace.http.request.hits{service:payments}.as_rate()"),
        ((SignalKind.SATURATION, "memory"), "max:container.memory.usage{service:payments}"),
    ],
)
def test_the_platform_asks_as_datadog_is_asked(measure: tuple[SignalKind, str], expression: str) -> None:
    [planned] = plan_queries(config("https://api.datadoghq.eu"), [SignalId("payments", *measure)])
    assert planned.expression.startswith(expression)
    assert "$" not in planned.expression
    assert (planned.scale, planned.freshness) == (1.0, None)


def test_own_queries_are_filled_in_in_datadogs_language() -> None:
    own = (("latency.p99", "$quantile:servlet{service:$service}.rollup($window)"),)
    settings = config("https://api.datadoghq.eu", platform="custom", queries=own, window_s=30.0)
    [planned] = plan_queries(settings, [SignalId("payments", SignalKind.LATENCY, "p99")])
    assert planned.expression == "p99:servlet{service:payments}.rollup(30)"


def test_a_service_is_written_as_datadog_keeps_tags() -> None:
    name = "Pay ments},{env:*"
    [planned] = plan_queries(config("https://api.datadoghq.eu"), [SignalId(name, SignalKind.TRAFFIC, "rate")])
    assert planned.expression == "sum:trace.http.request.hits{service:pay_ments_env:_}.as_rate()"
