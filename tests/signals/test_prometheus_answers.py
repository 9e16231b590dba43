"""What Prometheus, or whatever is found in its place, may answer: each is a reading, none an exception."""

import asyncio
import time

import pytest
from loopback import Loopback, Request, Respond, answer, serve, vector

from gameday.journal.events import Reading, ReadingState
from gameday.signals import Query, SignalError, open_source
from gameday.spec.model import Credentials, SignalId, SignalKind, SignalsConfig, Unit

SIGNAL = SignalId("payments", SignalKind.LATENCY, "p99")
TIMEOUT_S = 1.0


def query(expression: str = "value", *, scale: float = 1.0, freshness: str | None = None) -> Query:
    return Query(SIGNAL, expression, Unit.SECONDS, scale, freshness)


def read(
    respond: Respond, *queries: Query, url: str = "{}", servers: list[Loopback] | None = None
) -> tuple[Reading, ...]:
    async def run() -> tuple[Reading, ...]:
        async with serve(respond) as server:
            if servers is not None:
                servers.append(server)
            config = SignalsConfig("prometheus", url.format(server.url), "custom", timeout_s=TIMEOUT_S)
            source = open_source(config)
            try:
                return await source.read(queries or (query(),))
            finally:
                await source.close()

    return asyncio.run(run())


def by_query(**answers: object) -> Respond:
    return lambda request: answer(answers[request.query["query"]])


def test_a_value_is_scaled_to_the_base_unit() -> None:
    [reading] = read(lambda _: answer(vector("12.5")), query(scale=0.001))
    assert reading == Reading("payments.latency.p99", ReadingState.OK, 0.0125)


def test_a_scalar_is_a_value_too() -> None:
    scalar = {"status": "success", "data": {"resultType": "scalar", "result": [1.0, "3"]}}
    assert read(lambda _: answer(scalar))[0].value == 3


def test_a_clock_that_differs_from_ours_does_no_harm() -> None:
    # The server's time is 1970; the age of its data is what it says itself.
    respond = by_query(value=vector("7", at=3600.0), age=vector("0.5", at=3600.0))
    assert read(respond, query(freshness="age"))[0] == Reading("payments.latency.p99", ReadingState.OK, 7.0)


def test_a_warning_is_passed_on() -> None:
    [reading] = read(lambda _: answer(vector("7") | {"warnings": ["a store is down"]}))
    assert (reading.state, reading.detail) == (ReadingState.OK, "warning: a store is down")


def test_nothing_is_empty() -> None:
    assert read(lambda _: answer(vector()))[0] == Reading("payments.latency.p99", ReadingState.EMPTY)


@pytest.mark.parametrize(
    ("text", "detail"), [("NaN", ""), ("+Inf", "the value is +Inf"), ("-Inf", "the value is -Inf")]
)
def test_what_is_no_number_has_no_value(text: str, detail: str) -> None:
    assert read(lambda _: answer(vector(text)))[0] == Reading("payments.latency.p99", ReadingState.NAN, None, detail)


GARBAGE = {
    "an HTTP error": (answer("upstream\nis down", 502), "HTTP 502: upstream is down"),
    "Prometheus's error": (
        answer({"status": "error", "errorType": "bad_data", "error": "1:3: parse error"}, 400),
        "Prometheus says bad_data: 1:3: parse error",
    ),
    "an empty answer": (answer(""), "not of Prometheus's API"),
    "HTML": (answer("<html>Sign in</html>"), "<html>Sign in</html>"),
    "torn JSON": (answer('{"status":"succ'), "not of Prometheus's API"),
    "JSON of another kind": (answer([1, 2]), "not of Prometheus's API"),
    "bytes that are no text": (b"HTTP/1.1 200 X\r\nContent-Length: 3\r\n\r\n\xff\xfe\x00", "not of Prometheus's API"),
    "deep nesting": (answer("[" * 100_000), "not of Prometheus's API"),
    "no HTTP at all": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "no valid HTTP answer"),
    "more than one series": (answer(vector("1", "2")), "gives 2 series, and must give one"),
    "a matrix": (answer({"status": "success", "data": {"resultType": "matrix", "result": []}}), "gives a matrix"),
    "a histogram": (
        answer({"status": "success", "data": {"resultType": "vector", "result": [{"histogram": [1, {}]}]}}),
        "gives a histogram",
    ),
    "a value that is none": (answer(vector("many")), "is not valid"),
    "a vector that is none": (
        answer({"status": "success", "data": {"resultType": "vector", "result": {"a": 1}}}),
        "is not valid",
    ),
    "a redirect": (
        answer("", 302, "Location: https://sso.example.com/login?state=secret\r\n"),
        "HTTP 302, redirected to https://sso.example.com/login:",
    ),
    "too much": (answer("x" * 10_000_000), "larger than 262144 bytes"),
    "a promise not kept": (b"HTTP/1.1 200 X\r\nContent-Length: 99\r\n\r\n{", "no answer within 1 s"),
}


@pytest.mark.parametrize(("raw", "expected"), GARBAGE.values(), ids=GARBAGE.keys())
def test_garbage_is_unreachable_and_says_why(raw: bytes, expected: str) -> None:
    [reading] = read(lambda _: raw)
    assert (reading.state, reading.value) == (ReadingState.UNREACHABLE, None)
    assert expected in reading.detail
    assert "\n" not in reading.detail
    assert "secret" not in reading.detail
    assert len(reading.detail) <= 300


def test_a_server_that_hangs_up() -> None:
    async def run() -> Reading:
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        source = open_source(SignalsConfig("prometheus", f"http://127.0.0.1:{port}", "custom", timeout_s=TIMEOUT_S))
        [reading] = await source.read([query()])
        await source.close()
        server.close()
        return reading

    reading = asyncio.run(run())
    assert reading.state is ReadingState.UNREACHABLE
    assert "closed the connection" in reading.detail or "no valid HTTP answer" in reading.detail


def test_nobody_listens_and_the_password_stays_secret() -> None:
    [reading] = read(lambda _: None, url="http://reader:hunter2@127.0.0.1:1")
    assert reading.state is ReadingState.UNREACHABLE
    assert reading.detail == "cannot connect to 127.0.0.1:1: Connection refused"


def test_one_query_that_hangs_keeps_no_other_waiting() -> None:
    def respond(request: Request) -> bytes | None:
        return None if request.query["query"] == "slow" else answer(vector("1"))

    began = time.monotonic()
    readings = read(respond, *[query(f"fast{n}") for n in range(20)], query("slow"))
    assert time.monotonic() - began < TIMEOUT_S + 20.0
    assert [reading.state for reading in readings] == [ReadingState.OK] * 20 + [ReadingState.UNREACHABLE]
    assert readings[-1].detail == "no answer within 1 s"


def test_hundreds_of_queries_on_a_server_that_hangs_end_in_time() -> None:
    began = time.monotonic()
    readings = read(lambda _: None, *[query(f"slow{n}") for n in range(300)])
    assert time.monotonic() - began < TIMEOUT_S + 20.0
    assert {reading.state for reading in readings} == {ReadingState.UNREACHABLE}


@pytest.mark.parametrize(
    ("value", "age", "state", "detail"),
    [
        (vector("1"), vector("14"), ReadingState.OK, ""),
        (vector("1"), vector("42"), ReadingState.STALE, "the newest sample is 42 s old; 15 s are allowed"),
        (vector(), vector("42"), ReadingState.STALE, "the newest sample is 42 s old; 15 s are allowed"),
        (vector("NaN"), vector("1"), ReadingState.NAN, ""),
        (vector(), vector("1"), ReadingState.EMPTY, ""),
        (vector(), vector(), ReadingState.EMPTY, ""),
        (vector("1"), vector(), ReadingState.STALE, "the series behind it has ended: it has no current sample"),
        (
            vector("1"),
            {"status": "error", "error": "x"},
            ReadingState.UNREACHABLE,
            "the age of the data cannot be told",
        ),
        ({"status": "error", "error": "x"}, vector("42"), ReadingState.UNREACHABLE, "Prometheus says HTTP 200: x"),
    ],
)
def test_only_what_is_known_to_be_fresh_is_a_value(
    value: object, age: object, state: ReadingState, detail: str
) -> None:
    [reading] = read(by_query(value=value, age=age), query(freshness="age"))
    assert reading.state is state
    assert reading.value == (1.0 if state is ReadingState.OK else None)
    assert reading.detail.startswith(detail)


def test_the_age_of_one_service_is_asked_once_a_read() -> None:
    servers: list[Loopback] = []
    readings = read(
        lambda _: answer(vector("1")), *[query(f"q{n}", freshness="age") for n in range(5)], servers=servers
    )
    asked = sorted(request.query["query"] for request in servers[0].requests)
    assert asked == ["age", "q0", "q1", "q2", "q3", "q4"]
    assert len(readings) == 5


def test_the_path_of_the_url_is_kept_and_the_query_survives_it() -> None:
    servers: list[Loopback] = []
    text = 'a{b="c+d&e%f é"} > 1'
    read(lambda _: answer(vector("1")), query(text), url="{}/prometheus/", servers=servers)
    assert servers[0].requests[0].path == "/prometheus/api/v1/query"
    assert servers[0].requests[0].query == {"query": text}


def test_a_token_lets_us_in() -> None:
    async def run() -> list[str]:
        async with serve(lambda _: answer(vector("1"))) as server:
            credentials = Credentials(token="S3cret")
            source = open_source(SignalsConfig("prometheus", server.url, "custom", credentials=credentials))
            await source.read([query("a")])
            await source.close()
            return [request.headers["authorization"] for request in server.requests]

    assert asyncio.run(run()) == ["bearer s3cret"]  # the stand-in makes all that it hears small


def test_connections_are_kept() -> None:
    async def run() -> int:
        async with serve(lambda _: answer(vector("1"))) as server:
            source = open_source(SignalsConfig("prometheus", server.url, "custom", timeout_s=TIMEOUT_S))
            for _ in range(5):
                await source.read([query("a"), query("b")])
            await source.close()
            return server.connections

    assert asyncio.run(run()) == 2


@pytest.mark.parametrize("url", ["prometheus:9090", "ftp://prometheus", "http://", "http://[::1"])
def test_a_url_that_is_none(url: str) -> None:
    with pytest.raises(SignalError, match=r"expected (a URL like )?http://"):
        open_source(SignalsConfig("prometheus", url, "custom"))


def test_an_unknown_source_is_named_with_the_nearest() -> None:
    with pytest.raises(SignalError, match=r"no signal source `promethius`.*did you mean `prometheus`\?"):
        open_source(SignalsConfig("promethius", "http://localhost", "custom"))
