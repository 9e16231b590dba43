"""What it costs to sample 100 golden signals once a second, in CPU time of the process that samples.

Against a real Prometheus with 20 services behind Envoy; the ages of the data are asked as well. Beside it, in the same
run, the same 100 questions as Chaos Toolkit HTTP probes, one after the other, as its hypothesis asks them (without
the ages). Goal: at most 5 % of one core. Exit status 1 when it is missed.
"""

import asyncio
import logging
import multiprocessing
import resource
import sys
import tempfile
import time
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path
from urllib.parse import urlencode

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

SERVICES = [f"service-{number}" for number in range(20)]
TICKS = 20
WARM_UP_S = 12.0  # until Prometheus has scraped for longer than the rates' window
GOAL = 0.05


def run_prometheus(pipe: Connection) -> None:
    """Prometheus, and the target that it scrapes, away from the process that is measured."""
    from monitoring_stack import start_stack

    with tempfile.TemporaryDirectory() as directory, start_stack(Path(directory)) as stack:
        stack.exporter.rates = dict.fromkeys(SERVICES, (100, 1))
        pipe.send(stack.prometheus)
        pipe.recv()


def cpu_s() -> float:
    """CPU seconds of this process so far, in user and kernel mode."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def sample(url: str) -> tuple[float, float, Counter[str]]:
    """CPU seconds per tick, the longest tick in seconds, and what came of the readings."""
    from gameday.signals import open_source, plan_queries
    from gameday.spec.model import SignalId, SignalKind, SignalsConfig

    measures = [
        (SignalKind.LATENCY, "p50"),
        (SignalKind.LATENCY, "p99"),
        (SignalKind.TRAFFIC, "rate"),
        (SignalKind.ERRORS, "ratio"),
        (SignalKind.SATURATION, "cpu"),
    ]
    config = SignalsConfig("prometheus", url, "envoy")
    queries = plan_queries(config, [SignalId(service, *measure) for service in SERVICES for measure in measures])
    source = open_source(config)
    await source.read(queries)
    states: Counter[str] = Counter()
    longest, before, due = 0.0, cpu_s(), time.monotonic()
    for _ in range(TICKS):
        began = time.monotonic()
        states.update(str(reading.state) for reading in await source.read(queries))
        longest = max(longest, time.monotonic() - began)
        due += 1.0
        await asyncio.sleep(due - time.monotonic())
    used = cpu_s() - before
    await source.close()
    return used / TICKS, longest, states


def probe(url: str, expressions: list[str]) -> tuple[float, float]:
    """The same as probes: CPU seconds per round, and the longest round in seconds."""
    from chaoslib.provider.http import run_http_activity

    logging.disable()
    activities = [
        {
            "type": "probe",
            "name": "signal",
            "provider": {"type": "http", "url": f"{url}/api/v1/query?{urlencode({'query': text})}", "timeout": 3},
        }
        for text in expressions
    ]
    rounds, longest = TICKS // 4, 0.0
    run_http_activity(activities[0], {}, {})
    before = cpu_s()
    for _ in range(rounds):
        began = time.monotonic()
        for activity in activities:
            run_http_activity(activity, {}, {})
        longest = max(longest, time.monotonic() - began)
    return (cpu_s() - before) / rounds, longest


def main() -> int:
    """Measure, print, and say whether the goal was met."""
    from gameday.signals import plan_queries
    from gameday.spec.model import SignalId, SignalKind, SignalsConfig

    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=run_prometheus, args=(theirs,))
    server.start()
    try:
        if not ours.poll(60):
            raise SystemExit("Prometheus did not start within 60 s")
        url = ours.recv()
        time.sleep(WARM_UP_S)
        cost, longest, states = asyncio.run(sample(url))
        config = SignalsConfig("prometheus", url, "envoy")
        signals = [SignalId(service, SignalKind.LATENCY, f"p{p}") for service in SERVICES for p in (50, 75, 90, 95, 99)]
        probed, probes_longest = probe(url, [query.expression for query in plan_queries(config, signals)])
    finally:
        ours.send("end")
        server.join(30)
    print(f"gameday: 100 signals and the ages of their data: {cost:.1%} of a core at 1 Hz (goal: {GOAL:.0%})")
    print(f"         the longest tick took {longest * 1000:.0f} ms; readings: {dict(states)}")
    print(f"chaos:   100 HTTP probes: {probed:.1%} of a core at 1 Hz")
    print(f"         the longest round took {probes_longest * 1000:.0f} ms")
    print(f"ratio:   {probed / cost:.1f} times the CPU time, {probes_longest / longest:.1f} times as long")
    if states.keys() != {"ok"}:
        print("not every reading was ok: the measurement says nothing")
        return 1
    return 0 if cost <= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
