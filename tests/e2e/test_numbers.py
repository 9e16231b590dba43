"""What a report says, against what Prometheus says when asked directly: with other queries, by other code."""

import json
import urllib.parse
import urllib.request
from datetime import datetime
from typing import Any

import pytest
from e2etools import Desk
from shop import Shop

pytestmark = pytest.mark.lab

EXPERIMENT = """
title: Payments refuses
service: checkout
steady-state-hypothesis:
  title: Checkout answers
  signals:
    latency: {p99: "< 5s"}
    traffic: {rate: "> 1/s"}
method:
  - {fault: dependency/abort, target: {service: payments, from: checkout}, blast-radius: 40%, hold: 6s}
expect:
  alerts: [{name: PaymentsErrorsHigh, within: 20s}]
abort-when:
  errors: {ratio: "> 99%", for: 30s}
timing: {interval: 1s, baseline: 3s, steady: 2s, recovery: 30s}
"""
OF = 'envoy_http_conn_manager_prefix="checkout"'
FAILED = f'envoy_http_downstream_rq_xx{{{OF},envoy_response_code_class="5"}}'
COMPLETED, TIMES = f"envoy_http_downstream_rq_completed{{{OF}}}", f"envoy_http_downstream_rq_time_bucket{{{OF}}}"
OF_THE_SIGNAL = {
    "checkout.errors.ratio": f"sum(increase({FAILED}[5s])) / sum(increase({COMPLETED}[5s]))",
    "checkout.traffic.rate": f"sum(increase({COMPLETED}[5s])) / 5",
    "checkout.latency.p99": f"histogram_quantile(0.99, sum by (le) (increase({TIMES}[5s]))) / 1000",
}
# A sample is stamped when its answer is there, a moment after it was taken, and a scrape may lie between.
MOMENTS_BEFORE_S = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2)


def ask(shop: Shop, path: str, **parameters: str | float) -> list[dict[str, Any]]:
    address = f"{shop.url('prometheus')}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
    with urllib.request.urlopen(address, timeout=10) as answer:
        return json.load(answer)["data"]["result"]


def number(shop: Shop, query: str, time: float) -> float:
    (series,) = ask(shop, "query", query=query, time=time)
    return float(series["value"][1])


def test_the_report_agrees_with_prometheus(shop: Shop, desk: Desk) -> None:
    shop.wait_steady()
    path = desk.write("experiments/numbers.yaml", EXPERIMENT)
    run = desk.run("run", path, "--json")
    report = json.loads(run.printed)
    (experiment,) = report["experiments"]
    samples = desk.events("signals-sampled")

    differences: dict[str, list[float]] = {}
    for sample in samples:
        for signal, state, value, *_ in sample["readings"]:
            if state == "ok":
                told = [number(shop, OF_THE_SIGNAL[signal], sample["at"] - before) for before in MOMENTS_BEFORE_S]
                nearest = min(abs(value - other) / (abs(other) or 1) for other in told)
                differences.setdefault(signal, []).append(nearest)
    assert set(differences) == set(OF_THE_SIGNAL)
    for signal, found in differences.items():
        assert len(found) > 8, signal
        # While a counter is being born, extrapolation depends on the very moment that is asked about.
        assert max(found) < 0.005, (signal, found)
        assert sum(difference < 1e-6 for difference in found) >= 0.5 * len(found), (signal, found)

    injected = datetime.fromisoformat(experiment["injected"]).timestamp()
    ended = datetime.fromisoformat(experiment["ended"]).timestamp()
    for signal in experiment["signals"]:
        during = [
            reading[2]
            for sample in samples
            for reading in sample["readings"]
            if reading[0] == signal["signal"] and reading[1] == "ok" and injected <= sample["at"] <= injected + 6
        ]
        window = signal["windows"]["during"]
        assert window["highest"] == pytest.approx(max(during))
        assert window["lowest"] == pytest.approx(min(during))

    alert = next(found for found in experiment["alerts"] if found["name"] == "PaymentsErrorsHigh")
    query = 'ALERTS{alertname="PaymentsErrorsHigh",alertstate="firing"}'
    (series,) = ask(shop, "query_range", query=query, start=injected, end=ended, step=0.25)
    began, last = float(series["values"][0][0]), float(series["values"][-1][0])
    assert injected + alert["firing_after_s"] == pytest.approx(began, abs=1.5)
    assert injected + alert["resolved_after_s"] == pytest.approx(last, abs=2.5)
