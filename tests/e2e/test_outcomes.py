"""Runs that come to their end by themselves: statuses 0 and 1, the JSON document, what each fault really does."""

import json
import urllib.request

import pytest
from e2etools import Desk
from shop import Shop, kernel_state

pytestmark = pytest.mark.lab

HOLDS = """
title: Checkout bears a slow warehouse
service: checkout
steady-state-hypothesis:
  title: Customers can pay
  signals:
    errors: {ratio: "< 1%"}
    latency: {p99: "< 2s"}
method:
  - {fault: dependency/delay, target: {service: inventory, from: checkout}, delay: 20ms, blast-radius: 50%, hold: 2s}
abort-when:
  errors: {ratio: "> 20%", for: 3s}
timing: {interval: 500ms, baseline: 2s, steady: 1s, recovery: 20s}
"""
BREAKS = """
title: Customers cannot bear the loss of payments
service: checkout
steady-state-hypothesis:
  title: Customers can pay
  signals:
    errors: {ratio: "< 1%"}
method:
  - {fault: dependency/abort, target: {service: payments, from: checkout}, blast-radius: 40%, hold: 3s}
expect:
  alerts:
    - {name: PaymentsErrorsHigh, within: 1s, severity: page}
timing: {interval: 500ms, baseline: 2s, steady: 1s, recovery: 30s}
"""
DAY = """
title: A day of two
environment: lab
people: {builders: ["@grace"], sres: ["@ken"]}
experiments: [holds.yaml, breaks.yaml]
"""
ALL_FAULTS = """
title: Five faults at once
service: checkout
method:
  - {fault: process/kill, target: {service: edge}, blast-radius: 1, hold: 100ms}
  - {fault: process/pause, target: {service: inventory}, blast-radius: 1, hold: 100ms}
  - {fault: dependency/delay, target: {service: inventory, from: checkout}, delay: 170ms, blast-radius: 1, hold: 100ms}
  - {fault: dependency/blackhole, target: {service: checkout, from: edge}, blast-radius: 1, hold: 100ms}
  - {fault: dependency/abort, target: {service: payments, from: checkout}, status: 418, blast-radius: 100%, hold: 6s}
abort-when:
  errors: {ratio: "> 100%", for: 30s}
timing: {baseline: 500ms, steady: 1s, recovery: 5s}
"""


def test_game_day_that_holds_and_breaks(desk: Desk, shop: Shop) -> None:
    shop.wait_steady()
    desk.write("experiments/holds.yaml", HOLDS)
    desk.write("experiments/breaks.yaml", BREAKS)
    program = desk.run("run", desk.write("experiments/day.yaml", DAY), "--json")
    assert program.process.returncode == 1, program.said
    report = json.loads(program.printed)  # one document, and nothing beside it
    assert (report["verdict"], report["exit_code"]) == ("weakness", 1)
    assert [experiment["verdict"] for experiment in report["experiments"]] == ["held", "weakness"]
    assert report["left_behind"] == []
    # What the report says was worst must be what Envoy did: four in ten calls refused, no retry that hid it.
    during = report["experiments"][1]["hypothesis"]["conditions"][0]["during"]
    assert 0.1 < during["worst"] < 0.6
    assert shop.broken() == []
    assert list((desk.root / "reports").glob("*.html"))


def test_held_run(desk: Desk, shop: Shop) -> None:
    shop.wait_steady()
    program = desk.run("run", desk.write("experiments/holds.yaml", HOLDS), "--json")
    assert program.process.returncode == 0, program.said
    assert json.loads(program.printed)["verdict"] == "held"
    assert shop.broken() == []


def test_every_fault_has_its_effect_and_none_afterwards(desk: Desk, shop: Shop) -> None:
    links = ("checkout-1.payments", "checkout-2.payments", "checkout-1.inventory", "checkout-2.inventory")
    before = shop.pids()
    program = desk.start("run", desk.write("experiments/all-faults.yaml", ALL_FAULTS))
    program.wait_said("injected: answer 418")

    [killed] = [name for name, pid in shop.pids().items() if pid != before[name]]
    assert killed.startswith("edge-")
    assert kernel_state(before[killed]) is None

    [paused] = shop.stopped()
    assert paused.startswith("inventory-")
    port = next(part["port"] for part in shop.state["parts"] if part["name"] == paused)
    with pytest.raises(TimeoutError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=0.3)

    for link in links[:2]:
        assert shop.call(f"fault.{link}")[0] == 418

    prefixes = {key.rpartition(".percent")[0] for key in shop.overrides() if key.endswith(".percent")}
    [slow] = [prefix.removesuffix(".delay") for prefix in prefixes if prefix.endswith(".delay")]
    assert shop.call(slow)[1] >= 0.165  # Envoy counts in whole milliseconds, and may be early by one

    [swallowed] = [prefix.removesuffix(".blackhole") for prefix in prefixes if prefix.endswith(".blackhole")]
    status, took_s = shop.call(swallowed)
    assert status == 504
    assert took_s > 1.5  # until Envoy's own timeout on the way to checkout

    assert program.end() == 0, program.said
    assert shop.broken() == []
    assert shop.pids()[killed] not in (None, before[killed])
    for link in (*links, swallowed.removeprefix("fault.")):
        status, took_s = shop.call(f"fault.{link}")
        assert status == 200
        assert took_s < 0.15
