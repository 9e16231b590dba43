"""The dependency faults on a real Envoy with the lab's configuration: what the caller of a service sees."""

import http.client
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import pytest
from faulttools import ask, wait_for  # type: ignore[import-not-found]

from gameday.common.blocking_http import HttpError, request
from gameday.common.inventory import Inventory, Link
from gameday.faults.base import FaultError, System
from gameday.faults.dependency.abort import Abort
from gameday.faults.dependency.blackhole import Blackhole
from gameday.faults.dependency.delay import Delay
from gameday.faults.dependency.runtime import RuntimePlan, read_runtime
from gameday.lab.envoy import build_envoy_config
from gameday.lab.programs import find_programs
from gameday.lab.topology import HOST, plan_layout, url

pytestmark = pytest.mark.lab

EARLY_S = 0.005  # Envoy counts in whole milliseconds, and may be early by one


class _Upstream(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *args: object) -> None:
        pass


class Mesh:
    """Envoy with the lab's configuration, before upstreams that always answer; a black hole that never does."""

    def __init__(self, directory: Path) -> None:
        self.layout = plan_layout()
        self.admin = url(self.layout.admin)
        self._config = directory / "envoy.json"
        self._config.write_bytes(msgspec.json.encode(build_envoy_config(self.layout)))
        inventory = directory / "inventory.json"
        links = tuple(Link(link.caller, link.instance, link.callee, link.runtime) for link in self.layout.links)
        inventory.write_bytes(msgspec.json.encode(Inventory(links=links, envoy_admin=self.admin)))
        self.system = System(inventory=inventory)
        self._servers = [
            ThreadingHTTPServer((HOST, slot.port), _Upstream)
            for slot in self.layout.slots
            if slot.service in ("payments", "inventory")
        ]
        self._hole = ThreadingHTTPServer((HOST, self.layout.blackhole), _Upstream, bind_and_activate=False)
        self._hole.server_bind()
        self._hole.server_activate()  # accepts by the kernel's backlog alone: nobody ever answers
        self._threads = [threading.Thread(target=server.serve_forever, args=(0.05,)) for server in self._servers]
        for thread in self._threads:
            thread.start()
        self.start()

    def start(self) -> None:
        self._envoy = subprocess.Popen(
            [find_programs().envoy, "-c", self._config, "--disable-hot-restart", "--log-level", "off"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(self._ready, "Envoy is ready", 20)

    def _ready(self) -> bool:
        try:
            if request("GET", f"{self.admin}/ready", 1).status != 200:
                return False
        except HttpError:
            return False
        return self.call("checkout-1")[0] == 200 and self.call("checkout-2")[0] == 200

    def kill(self) -> None:
        self._envoy.send_signal(signal.SIGKILL)
        self._envoy.wait(5)

    def close(self) -> None:
        self.kill()
        for server, thread in zip(self._servers, self._threads, strict=True):
            server.shutdown()
            thread.join()
            server.server_close()
        self._hole.server_close()

    def call(self, instance: str, callee: str = "payments") -> tuple[int, float]:
        """One call as the instance makes it: the status, and the seconds it took."""
        port = next(link.port for link in self.layout.links if (link.instance, link.callee) == (instance, callee))
        connection = http.client.HTTPConnection(HOST, port, timeout=10)
        began = time.monotonic()
        try:
            connection.request("GET", "/")
            status = connection.getresponse().status
        finally:
            connection.close()
        return status, time.monotonic() - began

    def overrides(self) -> dict[str, str]:
        runtime = read_runtime(self.admin)
        return {key: value for key in runtime.entries if (value := runtime.override(key)) is not None}


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    running = Mesh(tmp_path_factory.mktemp("mesh"))
    try:
        yield running
    finally:
        running.close()


@pytest.fixture(autouse=True)
def _as_found(mesh: Mesh) -> Iterator[None]:
    yield
    left = mesh.overrides()
    for key in left:  # else every test after a failed one would fail, too
        request("POST", f"{mesh.admin}/runtime_modify?{key}=", 2)
    assert left == {}, "a fault was left behind"


def test_delay_is_really_waited_on_one_caller_alone(mesh: Mesh) -> None:
    fault = Delay()
    plan = fault.plan(ask("payments", 1, delay=0.4), mesh.system)
    hit, other = (
        ("checkout-1", "checkout-2") if "checkout-1" in fault.targets(plan)[0] else ("checkout-2", "checkout-1")
    )
    fault.inject(plan)
    assert len(fault.verify(plan)) == 2
    assert mesh.call(hit)[1] >= 0.4 - EARLY_S
    assert mesh.call(other)[1] < 0.3
    assert mesh.call(hit, "inventory")[1] < 0.3
    fault.undo(plan)
    assert fault.verify(plan) == ()
    assert mesh.call(hit)[1] < 0.3


def test_abort_answers_with_the_status(mesh: Mesh) -> None:
    fault = Abort()
    plan = fault.plan(ask("payments", 1.0, status=418), mesh.system)
    fault.inject(plan)
    assert {mesh.call("checkout-1")[0], mesh.call("checkout-2")[0]} == {418}
    fault.undo(plan)
    assert mesh.call("checkout-1")[0] == 200


def test_abort_of_a_share_hits_about_that_share(mesh: Mesh) -> None:
    fault = Abort()
    plan = fault.plan(ask("payments", 0.3, caller="checkout"), mesh.system)
    assert fault.reach(plan, mesh.system).share == 0.3
    fault.inject(plan)
    try:
        failed = sum(mesh.call("checkout-1")[0] == 503 for _ in range(300))
    finally:
        fault.undo(plan)
    assert 50 <= failed <= 130  # 90 expected; five standard deviations to either side


def test_blackhole_gets_no_answer_until_the_routes_timeout(mesh: Mesh) -> None:
    fault = Blackhole()
    plan = fault.plan(ask("payments", 1.0), mesh.system)
    fault.inject(plan)
    status, took_s = mesh.call("checkout-1")
    fault.undo(plan)
    assert status == 504
    assert took_s >= 0.9
    assert mesh.call("checkout-1")[0] == 200


@pytest.mark.parametrize("order", [(1, 0), (0, 1)])
def test_growing_stages(mesh: Mesh, order: tuple[int, int]) -> None:
    fault = Delay()
    first = fault.plan(ask("payments", 1, delay=0.1), mesh.system)
    fault.inject(first)
    second = fault.plan(ask("payments", 2, already=fault.targets(first), delay=0.1), mesh.system)
    fault.inject(second)
    assert fault.reach(second, mesh.system).share == 1
    plans: tuple[RuntimePlan, RuntimePlan] = (first, second)
    for index in order:
        fault.undo(plans[index])
    assert fault.verify(first) == fault.verify(second) == ()


def test_an_override_from_before_is_refused_and_kept(mesh: Mesh) -> None:
    key = "fault.checkout-1.payments.abort.percent"
    request("POST", f"{mesh.admin}/runtime_modify?{key}=5", 2)
    try:
        with pytest.raises(FaultError, match="already has an override"):
            Abort().plan(ask("payments", 1.0), mesh.system)
        reach = Delay().reach(Delay().plan(ask("payments", 0.5, delay=0.1), mesh.system), mesh.system)
        assert reach.share == pytest.approx((55 + 50) / 200)
        assert mesh.overrides() == {key: "5"}
    finally:
        request("POST", f"{mesh.admin}/runtime_modify?{key}=", 2)


def test_by_hand_works_as_printed(mesh: Mesh) -> None:
    fault = Abort()
    plan = fault.plan(ask("payments", 1.0), mesh.system)
    fault.inject(plan)
    subprocess.run(fault.by_hand(plan), shell=True, check=True, stdout=subprocess.DEVNULL, timeout=10)
    assert fault.verify(plan) == ()


def test_an_envoy_that_dies_and_comes_back(mesh: Mesh) -> None:
    fault = Delay()
    plan = fault.plan(ask("payments", 1.0, delay=0.1), mesh.system)
    fault.inject(plan)
    mesh.kill()
    try:
        for attempt in (fault.undo, fault.verify):
            with pytest.raises(FaultError):
                attempt(plan)
    finally:
        mesh.start()
    assert fault.verify(plan) == (), "a restarted Envoy has forgotten its overrides"
    fault.undo(plan)
    assert fault.verify(plan) == ()
