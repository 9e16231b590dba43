"""What the lab keeps in its state directory: files, ports, and which process fills which part."""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from gameday.common.codec import decode
from gameday.common.files import write_atomically
from gameday.common.inventory import Instance, Inventory, Link
from gameday.common.processes import ProcessRef
from gameday.lab.base import LabInfo
from gameday.lab.topology import Layout, url

_LOG_TAIL_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Paths:
    """The files under the state directory (`.gameday/lab`)."""

    directory: Path

    @property
    def state(self) -> Path:
        return self.directory / "lab.json"

    @property
    def inventory(self) -> Path:
        return self.directory / "inventory.json"

    @property
    def lock(self) -> Path:
        return self.directory / "lock"

    @property
    def logs(self) -> Path:
        return self.directory / "logs"

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def notifications(self) -> Path:
        return self.data / "notifications.jsonl"

    def log(self, part: str) -> Path:
        """The log of one part."""
        return self.logs / f"{part}.log"

    def last_lines(self, part: str, count: int = 5) -> tuple[str, ...]:
        """The last lines of a part's log; none when there is no log."""
        try:
            with self.log(part).open("rb") as file:
                size = file.seek(0, 2)
                file.seek(max(0, size - _LOG_TAIL_BYTES))
                text = file.read().decode(errors="replace")
        except OSError:
            return ()
        return tuple(line for line in text.splitlines() if line.strip())[-count:]


class Part(msgspec.Struct, frozen=True):
    """One process of the lab. `process` is None while it is down; `ended` says how the last one ended."""

    name: str
    port: int
    service: str | None = None  # of the shop; None for the machinery around it
    process: ProcessRef | None = None
    deaths: int = 0
    ended: str = ""
    gave_up: bool = False  # it kept ending by itself and is not started again


class State(msgspec.Struct, frozen=True):
    """The lab as its supervisor last saw it."""

    supervisor: ProcessRef
    layout: Layout
    parts: tuple[Part, ...] = ()
    complete: bool = False  # every part has been started once

    def processes(self) -> tuple[ProcessRef, ...]:
        """Every recorded process, the supervisor first: once it is gone nothing is started again."""
        return (self.supervisor, *(part.process for part in self.parts if part.process))

    def inventory(self) -> Inventory:
        """What the faults may reach."""
        layout = self.layout
        return Inventory(
            instances=tuple(
                Instance(part.service, part.name, part.process, part.port) for part in self.parts if part.service
            ),
            links=tuple(Link(link.caller, link.instance, link.callee, link.runtime) for link in layout.links),
            envoy_admin=url(layout.admin),
        )

    def info(self, paths: Paths) -> LabInfo:
        """Where it answers."""
        return LabInfo(
            prometheus_url=url(self.layout.prometheus),
            alertmanager_url=url(self.layout.alertmanager),
            receiver_url=url(self.layout.receiver),
            shop_url=url(self.layout.front),
            envoy_admin=url(self.layout.admin),
            inventory=paths.inventory,
        )


def read_state(paths: Paths) -> State | None:
    """The recorded state, or None when there is none or it was written by another version."""
    try:
        return decode(paths.state.read_bytes(), State)
    except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
        return None


def write_state(paths: Paths, state: State) -> None:
    """Record the state, and the inventory once every part has been started. Raises OSError."""
    write_atomically(paths.state, msgspec.json.encode(state))
    if state.complete:
        write_atomically(paths.inventory, msgspec.json.format(msgspec.json.encode(state.inventory())))
