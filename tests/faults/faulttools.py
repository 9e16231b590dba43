"""Real processes under a small supervisor, and a stand-in for Envoy's admin interface that can misbehave."""

import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, urlsplit

import msgspec

from gameday.common.files import write_atomically
from gameday.common.inventory import Instance, Inventory, Link
from gameday.common.processes import ProcessRef, ref_of
from gameday.faults.base import FaultRequest, Radius, System, Value


def wait_for(look: Callable[[], bool], what: str, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
        time.sleep(0.02)


def ask(
    service: str,
    radius: int | float,
    *,
    caller: str | None = None,
    already: tuple[str, ...] = (),
    **arguments: Value,
) -> FaultRequest:
    """A request; an integer radius is a count, a float a share."""
    wanted = Radius(count=radius) if isinstance(radius, int) else Radius(share=radius)
    return FaultRequest(service, wanted, caller, arguments, already, seed=7)


class Supervisor:
    """Keeps `sleep` processes running, one a slot, and the inventory that tells of them."""

    def __init__(self, directory: Path, service: str = "payments", replicas: int = 4) -> None:
        self.path = directory / "inventory.json"
        self.system = System(inventory=self.path)
        self._service = service
        self._slots: dict[str, subprocess.Popen[bytes] | None] = {
            f"{service}-{number}": None for number in range(1, replicas + 1)
        }
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self.restarting = True

    def __enter__(self) -> Self:
        self._tend()
        self._thread = threading.Thread(target=self._loop)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        for process in filter(None, self._slots.values()):
            process.kill()
            process.wait()

    def _loop(self) -> None:
        while not self._stop.wait(0.05):
            self._tend()

    def _tend(self) -> None:
        with self._lock:
            changed = False
            for name, process in self._slots.items():
                if process is not None and process.poll() is not None:
                    process, changed = None, True
                if process is None and self.restarting:
                    process, changed = subprocess.Popen(["sleep", "600"]), True
                self._slots[name] = process
            if changed:
                self._write()

    def _write(self) -> None:
        instances = tuple(
            Instance(self._service, name, ref_of(process.pid) if process else None)
            for name, process in self._slots.items()
        )
        write_atomically(self.path, msgspec.json.encode(Inventory(instances=instances)))

    def ref(self, name: str) -> ProcessRef:
        with self._lock:  # one that has died is there until it has been replaced
            process = self._slots[name]
            assert process
            ref = ref_of(process.pid)
        assert ref
        return ref

    def signal(self, name: str, number: signal.Signals) -> None:
        """What somebody else does to a process."""
        process = self._slots[name]
        assert process
        process.send_signal(number)

    def take_down(self, name: str) -> None:
        """End a process for good: nothing is restarted from now on."""
        self.restarting = False
        self.signal(name, signal.SIGKILL)
        wait_for(lambda: self._slots[name] is None, f"{name} is down")


class Admin:
    """A loopback stand-in for Envoy's admin interface with one admin layer. `mode` says how it misbehaves."""

    def __init__(self) -> None:
        self.overrides: dict[str, str] = {}
        self.mode = "well"  # well, 500, hang, garbage, ignore
        self.fail_after: int | None = None  # this many more calls of runtime_modify succeed
        self.calls: list[str] = []
        admin = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if admin.mode == "garbage":
                    return self.answer(200, b"<html>")
                entries = {
                    key: {"layer_values": ["", value], "final_value": value} for key, value in admin.overrides.items()
                }
                return self.answer(200, json.dumps({"layers": ["base", "admin"], "entries": entries}).encode())

            def do_POST(self) -> None:
                admin.calls.append(self.path)
                if admin.fail_after is not None:
                    if admin.fail_after == 0:
                        return self.answer(500, b"no")
                    admin.fail_after -= 1
                for key, value in parse_qsl(urlsplit(self.path).query, keep_blank_values=True):
                    if admin.mode == "ignore":
                        break
                    if value:
                        admin.overrides[key] = value
                    else:
                        admin.overrides.pop(key, None)
                return self.answer(200, b"OK\n")

            def answer(self, status: int, body: bytes) -> None:
                if admin.mode == "500":
                    status = 500
                if admin.mode == "hang":
                    time.sleep(1)
                    return
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Go away: connections are refused from now on."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()


def write_links(directory: Path, admin: str | None, callers: int = 4) -> System:
    """An inventory with links of checkout instances to payments, and one of edge's."""
    links = [
        Link("checkout", f"checkout-{number}", "payments", f"fault.checkout-{number}.payments")
        for number in range(1, callers + 1)
    ]
    links.append(Link("edge", "edge-1", "checkout", "fault.edge-1.checkout"))
    path = directory / "inventory.json"
    path.write_bytes(msgspec.json.encode(Inventory(links=tuple(links), envoy_admin=admin)))
    return System(inventory=path)
