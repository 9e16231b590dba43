"""The lab while it runs: what the faults and the signals stand on."""

import json
import os
import signal
import socket
import time
import urllib.request
from collections.abc import Iterator
from statistics import median
from urllib.parse import urlsplit

import pytest
from labtools import Answer, RunningLab, get, get_many, wait_for

from gameday.common.inventory import Instance
from gameday.common.processes import is_alive

pytestmark = pytest.mark.lab

LINK = "fault.checkout-1.payments"
OTHER = "fault.checkout-2.payments"


@pytest.fixture
def whole(running: RunningLab) -> Iterator[RunningLab]:
    """The lab, put back afterwards: no runtime override, everything alive."""
    yield running
    if keys := running.runtime():
        running.set_runtime(**dict.fromkeys(keys, ""))
    wait_for(lambda: running.lab.status().healthy and is_well(get_many(running.info.shop_url, 10)), 15, "all is well")


def instance_of(running: RunningLab, name: str) -> Instance:
    return next(instance for instance in running.inventory.instances if instance.name == name)


def is_refused(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_is_up(running: RunningLab) -> None:
    assert running.lab.status().healthy


def test_up_twice_changes_nothing(running: RunningLab) -> None:
    before = running.state
    assert running.lab.up() == running.info
    assert running.state.processes() == before.processes()


def test_every_service_has_replicas_of_its_own_process_and_port(running: RunningLab) -> None:
    instances = running.inventory.instances
    assert {service: sum(one.service == service for one in instances) for service in running.inventory.services()} == {
        "edge": 2,
        "checkout": 2,
        "payments": 4,
        "inventory": 2,
    }
    assert all(one.process and is_alive(one.process) for one in instances)
    assert len({one.process.pid for one in instances if one.process}) == len(instances)
    for one in instances:
        with urllib.request.urlopen(f"http://127.0.0.1:{one.port}/metrics", timeout=5) as response:
            assert b"process_cpu_seconds_total" in response.read()


def test_the_four_golden_signals_can_be_read(running: RunningLab) -> None:
    for service in ("edge", "checkout", "payments", "inventory"):
        prefix = f'envoy_http_conn_manager_prefix="{service}"'
        ((_, traffic),) = running.query(f"sum(rate(envoy_http_downstream_rq_completed{{{prefix}}}[5s]))")
        assert 30 < traffic < 50
        ((_, p99_ms),) = running.query(
            f"histogram_quantile(0.99, sum by (le) (rate(envoy_http_downstream_rq_time_bucket{{{prefix}}}[5s])))"
        )
        assert 1 < p99_ms < 300
        ((_, errors),) = running.query(
            f'sum(rate(envoy_http_downstream_rq_xx{{{prefix},envoy_response_code_class="5"}}[5s]))'
        )
        assert errors < 2
        selector = f'{{service="{service}"}}'
        ((_, cpu),) = running.query(f"max(rate(process_cpu_seconds_total{selector}[5s]))")
        ((_, memory),) = running.query(
            f"max(process_resident_memory_bytes{selector} / gameday_memory_limit_bytes{selector})"
        )
        ((_, connections),) = running.query(f"max(gameday_connections{selector} / gameday_connections_limit{selector})")
        assert 0 < cpu < 1
        assert 0 < memory < 1
        assert 0 <= connections < 1


def test_every_alert_has_severity_service_runbook_and_dashboard(running: RunningLab) -> None:
    with urllib.request.urlopen(f"{running.info.prometheus_url}/api/v1/rules?type=alert", timeout=5) as response:
        rules = [rule for group in json.load(response)["data"]["groups"] for rule in group["rules"]]
    named = {rule["name"]: rule for rule in rules if rule["name"] != "Watchdog"}
    assert {f"{service}{what}" for service in ("Checkout", "Payments", "Inventory") for what in WHAT} <= set(named)
    for name, rule in named.items():
        assert rule["health"] == "ok", name
        assert rule["labels"]["severity"] in ("page", "ticket"), name
        assert name.lower().startswith(rule["labels"]["service"]), name
        assert rule["annotations"]["runbook_url"].startswith("runbooks/"), name
        assert get(rule["annotations"]["dashboard"]).status == 200, name


WHAT = ("ErrorsHigh", "LatencyHigh", "ReplicaDown")


def test_a_killed_replica_is_really_dead_then_back_on_its_port(whole: RunningLab) -> None:
    before = instance_of(whole, "payments-1")
    assert before.process
    assert before.port
    os.kill(before.process.pid, signal.SIGKILL)
    died = time.monotonic()
    wait_for(lambda: instance_of(whole, "payments-1").process is None, 1, "the inventory shows the death")
    assert is_refused(before.port)
    part = next(part for part in whole.lab.status().parts if part.name == "payments-1")
    assert not part.alive
    assert "SIGKILL" in part.detail
    after = wait_for(lambda: instance_of(whole, "payments-1").process, 20, "it is started again")
    assert time.monotonic() - died > 1.5
    assert after != before.process
    wait_for(lambda: not is_refused(before.port), 20, "it listens where it did")
    wait_for(
        lambda: ("PaymentsReplicaDown", "firing") in {(one["name"], one["status"]) for one in whole.notifications()},
        6,
        "the alert arrives",
    )


def test_the_shop_survives_two_of_four_payments_replicas(whole: RunningLab) -> None:
    for name in ("payments-2", "payments-3"):
        process = instance_of(whole, name).process
        assert process
        os.kill(process.pid, signal.SIGKILL)
    answers = get_many(f"{whole.info.shop_url}/basket/pay", 100)
    assert sum(answer.status == 200 for answer in answers) >= 98


def test_a_paused_replica_is_said_to_be_paused(whole: RunningLab) -> None:
    process = instance_of(whole, "inventory-1").process
    assert process
    os.kill(process.pid, signal.SIGSTOP)
    try:

        def is_paused() -> bool:
            part = next(part for part in whole.lab.status().parts if part.name == "inventory-1")
            return part.alive and "paused" in part.detail

        wait_for(is_paused, 20, "status says so")
    finally:
        os.kill(process.pid, signal.SIGCONT)


def measure(running: RunningLab, values: dict[str, str], count: int = 20) -> tuple[list[Answer], list[Answer]]:
    """The answers of a link with these keys set, and of the same link once they are taken back.

    The other caller's link must not feel a thing.
    """
    url, other = (f"http://127.0.0.1:{running.link_port(link)}/" for link in (LINK, OTHER))
    keys = {f"{LINK}.{key}": value for key, value in values.items()}
    running.set_runtime(**keys)
    hit = get_many(url, count)
    assert is_well(get_many(other, 10))
    running.set_runtime(**dict.fromkeys(keys, ""))
    assert not running.runtime()
    return hit, get_many(url, count)


def is_well(answers: list[Answer]) -> bool:
    return all(answer.status == 200 for answer in answers) and median(answer.took_s for answer in answers) < 0.28


def test_delay_is_really_waited(whole: RunningLab) -> None:
    hit, after = measure(whole, {"delay.percent": "100", "delay.ms": "400"})
    assert all(answer.status == 200 and answer.took_s >= 0.4 for answer in hit)
    assert is_well(after)


def test_delay_hits_only_its_share(whole: RunningLab) -> None:
    hit, _ = measure(whole, {"delay.percent": "50", "delay.ms": "400"}, count=200)
    assert 60 < sum(answer.took_s >= 0.4 for answer in hit) < 140  # 50 % ± 5.6 standard deviations


def test_abort_answers_with_its_status(whole: RunningLab) -> None:
    hit, after = measure(whole, {"abort.percent": "100", "abort.status": "429"})
    assert {answer.status for answer in hit} == {429}
    assert is_well(after)


def test_blackhole_never_answers(whole: RunningLab) -> None:
    hit, after = measure(whole, {"blackhole.percent": "100"})
    # Envoy's own timeout for payments, nothing else, ends it.
    assert all(answer.status == 504 and 0.9 < answer.took_s < 5 for answer in hit)
    assert is_well(after)


def test_aborts_make_the_alert_fire_and_reach_the_receiver(whole: RunningLab) -> None:
    links = [link.runtime for link in whole.inventory.links if link.callee == "payments"]
    injected = time.time()
    for link in links:
        whole.set_runtime(**{f"{link}.abort.percent": "30", f"{link}.abort.status": "503"})

    def arrived(status: str, since: float) -> object:
        return next(
            (
                one
                for one in whole.notifications()
                if (one["name"], one["status"]) == ("PaymentsErrorsHigh", status)
                and isinstance(one["received_at"], float)
                and one["received_at"] > since
            ),
            None,
        )

    one = wait_for(lambda: arrived("firing", injected), 12, "PaymentsErrorsHigh reaches the receiver")
    assert isinstance(one, dict)
    assert one["labels"]["severity"] == "page"
    ((_, errors),) = whole.query('service:request_errors:ratio_rate5s{service="payments"}')
    assert errors > 0.05
    # What breaks payments breaks what needs it, and only that.
    wait_for(lambda: whole.query('ALERTS{alertname="CheckoutErrorsHigh"}'), 20, "checkout's alert is seen too")
    assert not whole.query('ALERTS{alertname=~"Inventory.*"}')
    undone = time.time()
    for link in links:
        whole.set_runtime(**{f"{link}.abort.percent": "", f"{link}.abort.status": ""})
    wait_for(lambda: arrived("resolved", undone), 15, "its end reaches the receiver")


def test_the_watchdog_reaches_the_receiver(running: RunningLab) -> None:
    wait_for(
        lambda: "Watchdog" in {one["name"] for one in running.notifications()}, 20, "the always-firing alert arrives"
    )


def test_a_killed_envoy_is_back_without_its_overrides(whole: RunningLab) -> None:
    whole.set_runtime(**{f"{LINK}.delay.percent": "100"})
    envoy = next(part for part in whole.state.parts if part.name == "envoy")
    assert envoy.process
    os.kill(envoy.process.pid, signal.SIGKILL)
    wait_for(
        lambda: next(part for part in whole.state.parts if part.name == "envoy").process not in (None, envoy.process),
        6,
        "Envoy is started again",
    )
    whole.lab.up()
    wait_for(lambda: get(f"{whole.info.shop_url}/").status == 200, 20, "the shop answers again")
    assert not whole.runtime()


def test_the_pager_remembers_over_its_own_death(whole: RunningLab) -> None:
    before = wait_for(whole.notifications, 20, "the watchdog at least has arrived")
    receiver = next(part.process for part in whole.state.parts if part.name == "receiver")
    assert receiver
    os.kill(receiver.pid, signal.SIGKILL)
    wait_for(lambda: not is_alive(receiver), 20, "it dies")
    wait_for(lambda: whole.lab.status().healthy, 6, "it is started again")
    whole.lab.up()
    assert whole.notifications()[: len(before)] == before


def test_the_load_keeps_its_schedule_while_the_shop_hangs(whole: RunningLab) -> None:
    for link in (LINK, OTHER):
        whole.set_runtime(**{f"{link}.blackhole.percent": "100"})
    sent = 'sum(rate(shop_load_requests_total{result!="dropped"}[3s]))'
    waiting = 'max(gameday_connections{service="edge"})'
    wait_for(lambda: whole.query(waiting)[0][1] > 10, 6, "requests pile up in the edge")
    time.sleep(4)  # a second until the first are given up, and a whole window of the rate
    ((_, rate),) = whole.query(sent)
    assert 36 < rate < 44


def test_servers_outlive_clients_that_go_away_in_mid_answer(whole: RunningLab) -> None:
    before = {part.name: part.process for part in whole.state.parts}
    ports = [urlsplit(whole.info.receiver_url).port, urlsplit(whole.info.shop_url).port]
    for _ in range(100):
        for port in ports:
            with socket.create_connection(("127.0.0.1", port or 0), timeout=2) as client:
                # The first answer is met with a reset, and each after it with a broken pipe.
                client.sendall(b"GET /notifications HTTP/1.1\r\nHost: lab\r\n\r\n" * 20)
    time.sleep(0.5)
    whole.lab.up()
    assert {part.name: part.process for part in whole.state.parts} == before
