"""Hands for the tests of the lab: ask it, touch it, wait for it."""

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from gameday.common.inventory import Inventory, load_inventory
from gameday.lab import Lab, LabInfo
from gameday.lab.state import Paths, State, read_state


def wait_for[T](look: Callable[[], T], seconds: float, what: str) -> T:
    """The first true answer of `look` within `seconds`."""
    deadline = time.monotonic() + seconds
    while not (answer := look()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
        time.sleep(0.1)
    return answer


@dataclass(frozen=True)
class Answer:
    status: int
    took_s: float


@dataclass(frozen=True)
class RunningLab:
    """A lab that is up, and hands to touch it with."""

    lab: Lab
    info: LabInfo
    paths: Paths

    @property
    def state(self) -> State:
        state = read_state(self.paths)
        assert state
        return state

    @property
    def inventory(self) -> Inventory:
        return load_inventory(self.info.inventory)

    def link_port(self, runtime: str) -> int:
        return next(link.port for link in self.state.layout.links if link.runtime == runtime)

    def set_runtime(self, **values: str) -> None:
        query = urllib.parse.urlencode(values)
        request = urllib.request.Request(f"{self.info.envoy_admin}/runtime_modify?{query}", method="POST", data=b"")
        with urllib.request.urlopen(request, timeout=5) as response:
            assert response.status == 200

    def runtime(self) -> dict[str, str]:
        with urllib.request.urlopen(f"{self.info.envoy_admin}/runtime", timeout=5) as response:
            entries = json.load(response)["entries"]
        return {key: entry["final_value"] for key, entry in entries.items() if entry["final_value"]}

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        query = urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(f"{self.info.prometheus_url}/api/v1/query?{query}", timeout=5) as response:
            return [(row["metric"], float(row["value"][1])) for row in json.load(response)["data"]["result"]]

    def notifications(self) -> list[dict[str, object]]:
        with urllib.request.urlopen(f"{self.info.receiver_url}/notifications", timeout=5) as response:
            answer = json.load(response)
        assert isinstance(answer, list)
        return answer


def get(url: str) -> Answer:
    """One request, timed; whatever the status."""
    started = time.monotonic()
    try:
        with urllib.request.urlopen(url, timeout=8) as response:
            response.read()
            status = response.status
    except urllib.error.HTTPError as error:
        status = error.code
    return Answer(status, time.monotonic() - started)


def get_many(url: str, count: int) -> list[Answer]:
    """`count` requests, ten at a time."""
    with ThreadPoolExecutor(10) as pool:
        return list(pool.map(get, [url] * count))
