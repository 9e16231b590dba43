"""The inventory: which instances of which services run on this machine, and through which mesh they call one another.

A supervisor (the lab's, or a user's own) keeps it current in one JSON file; the process and dependency faults read it.
"""

from pathlib import Path

import msgspec

from gameday.common.codec import decode
from gameday.common.processes import ProcessRef


class Instance(msgspec.Struct, frozen=True):
    """One replica of a service. `process` is None while it is down and waits to be restarted."""

    service: str
    name: str  # unique: "payments-1"
    process: ProcessRef | None = None
    port: int | None = None


class Link(msgspec.Struct, frozen=True):
    """The calls from one instance to another service, as the mesh routes them.

    `runtime` is the prefix of the mesh's runtime keys for them: `<runtime>.delay.percent`, `<runtime>.delay.ms`,
    `<runtime>.abort.percent`, `<runtime>.abort.status`, `<runtime>.blackhole.percent`.
    """

    caller: str  # service
    instance: str  # of the caller
    callee: str  # service
    runtime: str


class Inventory(msgspec.Struct, frozen=True):
    """All of it. `envoy_admin` is the base URL of the Envoy admin interface that carries the links."""

    version: int = 1
    instances: tuple[Instance, ...] = ()
    links: tuple[Link, ...] = ()
    envoy_admin: str | None = None

    def services(self) -> tuple[str, ...]:
        """Names of all services that have an instance, sorted."""
        return tuple(sorted({instance.service for instance in self.instances}))


class InventoryError(Exception):
    """The inventory cannot be read; the message says which file and why."""


def load_inventory(path: Path) -> Inventory:
    """Read an inventory file. Raises InventoryError."""
    try:
        return decode(path.read_bytes(), Inventory)
    except OSError as error:
        raise InventoryError(f"cannot read the inventory {path}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise InventoryError(f"the inventory {path} is not valid: {error}") from error
