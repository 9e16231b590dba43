"""The golden signals of a target that we control, read from a real Prometheus."""

import asyncio
import json
import signal
import time
from collections.abc import Callable, Iterator, Sequence

import msgspec
import pytest
from monitoring_stack import Stack, ask, start_stack, wait_for

from gameday.journal.events import Reading, ReadingState
from gameday.signals import Query, open_source, plan_queries
from gameday.spec.model import SignalId, SignalKind, SignalsConfig

pytestmark = pytest.mark.lab

OK, EMPTY, NAN = ReadingState.OK, ReadingState.EMPTY, ReadingState.NAN
STALE, UNREACHABLE = ReadingState.STALE, ReadingState.UNREACHABLE
P50, P99 = (SignalKind.LATENCY, "p50"), (SignalKind.LATENCY, "p99")
TRAFFIC, ERRORS = (SignalKind.TRAFFIC, "rate"), (SignalKind.ERRORS, "ratio")
CPU, MEMORY = (SignalKind.SATURATION, "cpu"), (SignalKind.SATURATION, "memory")
CONNECTIONS = (SignalKind.SATURATION, "connections")
ALL = (P50, P99, TRAFFIC, ERRORS, CPU, MEMORY, CONNECTIONS)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with start_stack(tmp_path_factory.mktemp("signals")) as stack:
        exporter = stack.exporter
        exporter.rates = {"payments": (100, 5), "new": (50, None), "idle": (0, 0)}
        for instance, used in (("a", 30), ("b", 60)):
            labels = f'service="payments",instance="{instance}"'
            exporter.gauges |= {
                f"process_resident_memory_bytes{{{labels}}}": used * 1e6,
                f"gameday_memory_limit_bytes{{{labels}}}": 120e6,
                f"gameday_connections{{{labels}}}": used,
                f"gameday_connections_limit{{{labels}}}": 100,
            }
        exporter.gauges['level{service="payments"}'] = 7
        # A rate over a window that is not full of samples yet is too low.
        scrapes = f"{stack.prometheus}/api/v1/query?query=count_over_time(up%5B10s%5D)%20%3E%206"
        wait_for(lambda: '"value"' in json.dumps(ask(scrapes)), 30, "seven scrapes")
        yield stack


def config(stack: Stack, *queries: tuple[str, str], platform: str = "envoy") -> SignalsConfig:
    return SignalsConfig("prometheus", stack.prometheus, platform, queries, timeout_s=10.0)


def read(config: SignalsConfig, queries: Sequence[Query]) -> tuple[Reading, ...]:
    async def run() -> tuple[Reading, ...]:
        source = open_source(config)
        try:
            return await source.read(queries)
        finally:
            await source.close()

    return asyncio.run(run())


def read_all(stack: Stack, service: str, *measures: tuple[SignalKind, str]) -> list[Reading]:
    signals = [SignalId(service, *measure) for measure in measures or ALL]
    return list(read(config(stack), plan_queries(config(stack), signals)))


def until(look: Callable[[], list[Reading]], *states: ReadingState, seconds: float = 20.0) -> list[Reading]:
    deadline = time.monotonic() + seconds
    readings = look()
    while [reading.state for reading in readings] != list(states):
        assert time.monotonic() < deadline, f"wanted {states}, have {readings}"
        time.sleep(0.3)
        readings = look()
    return readings


def test_the_numbers_are_those_of_the_target(stack: Stack) -> None:
    readings = until(lambda: read_all(stack, "payments"), *[OK] * len(ALL))
    p50, p99, traffic, errors, cpu, memory, connections = (reading.value for reading in readings)
    assert p50 == pytest.approx(0.010, rel=0.05)  # half of all take at most 10 ms
    assert p99 == pytest.approx(0.095, rel=0.05)  # the 99th of a hundred is nine tenths up the bucket from 50 to 100 ms
    assert traffic == pytest.approx(100, rel=0.1)
    assert errors == pytest.approx(0.05, rel=0.05)
    assert cpu == pytest.approx(0.25, rel=0.1)
    assert memory == pytest.approx(0.5)  # of the fullest instance
    assert connections == pytest.approx(0.6)


def test_a_service_that_never_failed_has_no_errors(stack: Stack) -> None:
    [errors] = until(lambda: read_all(stack, "new", ERRORS), OK)
    assert errors.value == 0.0


def test_without_traffic_nothing_can_be_said(stack: Stack) -> None:
    readings = until(lambda: read_all(stack, "idle", P99, ERRORS, TRAFFIC), NAN, NAN, OK)
    assert readings[2].value == 0.0


def test_a_service_that_is_not_there_is_empty_not_zero(stack: Stack) -> None:
    until(lambda: read_all(stack, "payments", TRAFFIC), OK)
    assert {reading.state for reading in read_all(stack, "absent")} == {EMPTY}


def test_a_name_full_of_quotes(stack: Stack) -> None:
    # Its text in the exposition format: \\ and \" are escaped there as in PromQL.
    stack.exporter.rates['q\\"x\\\\'] = (10, 0)
    [traffic] = until(lambda: read_all(stack, 'q"x\\', TRAFFIC), OK)
    assert traffic.value
    assert traffic.value > 0


def test_what_prometheus_refuses_is_told_in_its_words(stack: Stack) -> None:
    own = config(stack, ("traffic.rate", "sum(("), ("errors.ratio", "{__name__=~'process.*'}"), platform="custom")
    signals = [SignalId("payments", *TRAFFIC), SignalId("payments", *ERRORS)]
    refused, several = read(own, plan_queries(own, signals))
    assert refused.state is UNREACHABLE
    assert "bad_data" in refused.detail
    assert "parse error" in refused.detail
    assert several.state is UNREACHABLE
    assert "must give one: aggregate it" in several.detail


def test_old_data_passes_for_new_unless_its_age_is_asked(stack: Stack) -> None:
    level = SignalId("batch", SignalKind.SATURATION, "level")
    value = ("saturation.level", 'pushed{service="$service"}')
    age = ("freshness", 'time() - max(timestamp(pushed{service="$service"}))')
    trusting, careful = config(stack, value, platform="custom"), config(stack, value, age, platform="custom")
    stack.exporter.pushed['pushed{service="batch"}'] = (3.0, time.time() - 60)
    # This is the trap: a value of a minute ago, within Prometheus's look-back of five.
    [reading] = until(lambda: list(read(trusting, plan_queries(trusting, [level]))), OK)
    assert reading.value == 3.0
    [reading] = until(lambda: list(read(careful, plan_queries(careful, [level]))), STALE)
    assert reading.value is None
    age_s = float(reading.detail.removeprefix("the newest sample is ").split(" ")[0])
    assert 60 <= age_s < 90


def test_a_stopped_prometheus_is_unreachable_in_time(stack: Stack) -> None:
    until(lambda: read_all(stack, "payments", TRAFFIC), OK)
    stack.prometheus_process.send_signal(signal.SIGSTOP)
    try:
        impatient = msgspec.structs.replace(config(stack), timeout_s=1.0)
        [reading] = read(impatient, plan_queries(impatient, [SignalId("payments", *TRAFFIC)]))
        assert (reading.state, reading.detail) == (UNREACHABLE, "no answer within 1 s")
    finally:
        stack.prometheus_process.send_signal(signal.SIGCONT)
    until(lambda: read_all(stack, "payments", TRAFFIC), OK)


def test_a_target_that_is_gone_is_never_good(stack: Stack) -> None:
    """What Prometheus still computes from the samples of the last seconds is not a value."""
    own = config(stack, ("saturation.level", 'level{service="$service"}'), platform="custom")
    [level] = plan_queries(own, [SignalId("payments", SignalKind.SATURATION, "level")])
    until(lambda: [*read_all(stack, "payments", TRAFFIC), *read(own, [level])], OK, OK)
    stack.exporter.is_down = True
    try:
        # Prometheus marks the end of the series at the first failed scrape: the rate lives on, and is seen to be stale.
        [traffic] = until(lambda: read_all(stack, "payments", TRAFFIC), STALE, seconds=4)
        assert "has ended" in traffic.detail
        until(lambda: [*read_all(stack, "payments", TRAFFIC), *read(own, [level])], EMPTY, EMPTY, seconds=10)
    finally:
        stack.exporter.is_down = False
    until(lambda: read_all(stack, "payments", TRAFFIC), OK)
