"""The lab's shop as Envoy and the kernel see it, for tests and benchmarks.

Nothing here asks gameday what is so: the overrides come from Envoy's /runtime, the processes and ports from /proc.
"""

import contextlib
import json
import os
import signal
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


def wait_for[T](look: Callable[[], T], seconds: float, what: str | Callable[[], str]) -> T:
    """The first true answer of `look` within `seconds`."""
    deadline = time.monotonic() + seconds
    while not (answer := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what if isinstance(what, str) else what()}")
        time.sleep(0.05)
    return answer


def kernel_state(pid: int | None) -> str | None:
    """The kernel's one-letter state of a process; None when there is none. A zombie counts as none."""
    if not pid:
        return None
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    state = stat[stat.rindex(")") + 2]
    return None if state in "ZX" else state


def processes_with(text: str) -> dict[int, str]:
    """The processes that have this text in their command line, by pid."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if text in line:
                found[int(path.parent.name)] = line
    return found


@dataclass(frozen=True)
class Shop:
    """The lab of the project at `root`."""

    root: Path

    @property
    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads((self.root / ".gameday/lab/lab.json").read_text())
        return state

    def pid(self, part: str) -> int | None:
        """The process that fills a part now, or None while it is down."""
        process = next(item for item in self.state["parts"] if item["name"] == part)["process"]
        return process["pid"] if process else None

    def pids(self) -> dict[str, int | None]:
        return {part["name"]: part["process"]["pid"] if part["process"] else None for part in self.state["parts"]}

    def url(self, part: str) -> str:
        return f"http://127.0.0.1:{self.state['layout'][part]}"

    def call(self, runtime: str) -> tuple[int, float]:
        """One call through Envoy, on the link with this runtime prefix: its status, and how many seconds it took."""
        port = next(link["port"] for link in self.state["layout"]["links"] if link["runtime"] == runtime)
        began = time.monotonic()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=8) as response:
                response.read()
                status = response.status
        except urllib.error.HTTPError as error:
            status = error.code
        return status, time.monotonic() - began

    def overrides(self) -> dict[str, str]:
        """What is set in Envoy's runtime over its admin interface."""
        with urllib.request.urlopen(f"{self.url('admin')}/runtime?format=json", timeout=5) as response:
            runtime = json.load(response)
        admin = runtime["layers"].index("admin")
        values = {key: entry["layer_values"][admin] for key, entry in runtime["entries"].items()}
        return {key: value for key, value in values.items() if value}

    def override(self, **values: str) -> None:
        """Set overrides behind gameday's back; an empty value removes one."""
        request = urllib.request.Request(
            f"{self.url('admin')}/runtime_modify?{urllib.parse.urlencode(values)}", method="POST", data=b""
        )
        urllib.request.urlopen(request, timeout=5).close()

    def stopped(self) -> list[str]:
        """The parts that a signal has stopped, as the kernel says."""
        return [name for name, pid in self.pids().items() if kernel_state(pid) in ("T", "t")]

    def down(self) -> list[str]:
        return [name for name, pid in self.pids().items() if kernel_state(pid) is None]

    def silent(self) -> list[str]:
        """The ports of the lab that nobody listens on, as the kernel says."""
        listening = set()
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            if state == "0A":  # TCP_LISTEN of the kernel's tcp_states.h
                listening.add(int(local.rpartition(":")[2], 16))
        layout = self.state["layout"]
        ports = {slot["name"]: slot["port"] for slot in layout["slots"]}
        ports |= {link["runtime"]: link["port"] for link in layout["links"]}
        ports |= {name: port for name, port in layout.items() if isinstance(port, int)}
        return [f"nobody listens on {port} of {name}" for name, port in ports.items() if port not in listening]

    def still_set(self) -> list[str]:
        """What an undo alone takes back: overrides, and stopped processes."""
        try:
            overrides = [f"{key}={value}" for key, value in self.overrides().items()]
        except OSError as error:
            overrides = [f"Envoy does not answer: {error}"]
        return [*overrides, *(f"{name} is stopped" for name in self.stopped())]

    def broken(self) -> list[str]:
        """Everything that is not as it should be; empty when nothing is left of any fault."""
        return [*self.still_set(), *(f"{name} is down" for name in self.down())]

    def has_two_faults(self) -> bool:
        """Whether TWO_FAULTS is in place, all of it."""
        return [name.split("-")[0] for name in self.stopped()] == ["payments"] and sorted(self.overrides()) == [
            f"fault.checkout-{number}.payments.abort.{key}" for number in (1, 2) for key in ("percent", "status")
        ]

    def query(self, expression: str) -> list[float]:
        """Ask Prometheus itself; no values while it does not answer."""
        query = urllib.parse.urlencode({"query": expression})
        try:
            with urllib.request.urlopen(f"{self.url('prometheus')}/api/v1/query?{query}", timeout=3) as response:
                return [float(row["value"][1]) for row in json.load(response)["data"]["result"]]
        except OSError:
            return []

    def wait_steady(self, seconds: float = 30.0) -> None:
        """Until Prometheus has a full window of every service, and not an error in it."""
        errors = "service:request_errors:ratio_rate5s"
        full = 'count(count_over_time(envoy_http_downstream_rq_completed{service!=""}[5s]) >= 5)'

        def steady() -> bool:
            return self.query(full) == [4.0] and self.query(errors) == [0.0] * 4

        wait_for(steady, seconds, lambda: f"steady signals; errors are {self.query(errors)}")

    def wait_whole(self, seconds: float = 10.0) -> None:
        """Until nothing is broken."""
        wait_for(lambda: not self.broken(), seconds, lambda: f"the shop whole again; left: {self.broken()}")

    def mend(self) -> None:
        """Whatever a failed test has left, so that the next one starts well."""
        for pid in self.pids().values():
            if kernel_state(pid) in ("T", "t"):
                os.kill(pid, signal.SIGCONT)  # type: ignore[arg-type]
        self.wait_envoy()
        if left := self.overrides():
            self.override(**dict.fromkeys(left, ""))
        self.wait_whole()

    def wait_envoy(self) -> None:
        def answers() -> bool:
            try:
                self.overrides()
            except OSError:
                return False
            return True

        wait_for(answers, 10, "an answer of Envoy")
