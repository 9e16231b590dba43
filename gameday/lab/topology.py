"""The shop: its services, who calls whom, and the port of each process and link."""

import random
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

HOST = "127.0.0.1"

# Below the range from which Linux (32768) and macOS (49152) take the ports of outgoing connections: otherwise one of
# those could take the port of a process that waits to be restarted.
_FIRST_PORT, _LAST_PORT = 18_000, 32_000


@dataclass(frozen=True, slots=True)
class Call:
    """What a service asks of another while it answers a request.

    `give_up_s` is the caller's own patience in seconds. Without an optional callee it answers all the same.
    """

    callee: str
    give_up_s: float
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Upstream:
    """How Envoy calls a service: all times in seconds, `retries` on top of the first attempt."""

    timeout_s: float
    per_try_s: float
    retries: int
    retry_on: str


@dataclass(frozen=True, slots=True)
class Service:
    """A service of the shop. `work_s` is the median time it works on a request, in seconds."""

    name: str
    replicas: int
    work_s: float
    upstream: Upstream
    calls: tuple[Call, ...] = ()


# Retried only where no answer began, or where another replica may do better (a gateway error). What the callee itself
# answers is never retried: retries on every floor would multiply an overload.
_UNANSWERED = "connect-failure,refused-stream,reset"
_GATEWAY = f"{_UNANSWERED},gateway-error"

SERVICES = (
    Service(
        "edge",
        replicas=2,
        work_s=0.001,
        upstream=Upstream(timeout_s=3.0, per_try_s=2.8, retries=1, retry_on=_UNANSWERED),
        calls=(Call("checkout", give_up_s=2.5),),
    ),
    Service(
        "checkout",
        replicas=2,
        work_s=0.003,
        upstream=Upstream(timeout_s=2.0, per_try_s=1.5, retries=1, retry_on=_UNANSWERED),
        # A basket can be paid without knowing the exact stock; it cannot be paid without a payment.
        calls=(Call("payments", give_up_s=1.2), Call("inventory", give_up_s=0.25, optional=True)),
    ),
    Service(
        "payments",
        replicas=4,
        work_s=0.008,
        upstream=Upstream(timeout_s=1.0, per_try_s=0.3, retries=2, retry_on=_GATEWAY),
    ),
    Service(
        "inventory",
        replicas=2,
        work_s=0.005,
        upstream=Upstream(timeout_s=0.5, per_try_s=0.2, retries=1, retry_on=_GATEWAY),
    ),
)
BY_NAME = {service.name: service for service in SERVICES}


class Slot(msgspec.Struct, frozen=True):
    """The place of one replica: its name and port outlive the process that fills it."""

    service: str
    name: str
    port: int


class LinkSlot(msgspec.Struct, frozen=True):
    """The Envoy listener through which one replica calls one service; `runtime` prefixes its runtime keys."""

    caller: str
    instance: str
    callee: str
    port: int
    runtime: str


class Layout(msgspec.Struct, frozen=True):
    """Every port of a lab, fixed for its life."""

    slots: tuple[Slot, ...]
    links: tuple[LinkSlot, ...]
    front: int
    admin: int
    prometheus: int
    alertmanager: int
    receiver: int
    blackhole: int
    load: int

    def links_of(self, instance: str) -> dict[str, int]:
        """The ports through which `instance` reaches the services it calls, by service."""
        return {link.callee: link.port for link in self.links if link.instance == instance}


def url(port: int) -> str:
    """The base URL of a port of the lab."""
    return f"http://{HOST}:{port}"


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # What ended a moment ago must not make a port look taken (TIME_WAIT); a listener still does.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _free_ports() -> Iterator[int]:
    # One block from a random place: two labs that start at the same moment then hardly ever meet.
    start = random.randrange(_FIRST_PORT, _LAST_PORT)
    span = _LAST_PORT - _FIRST_PORT
    for step in range(span):
        port = _FIRST_PORT + (start - _FIRST_PORT + step) % span
        if _is_free(port):
            yield port
    raise OSError(f"no free port left between {_FIRST_PORT} and {_LAST_PORT}")


def plan_layout() -> Layout:
    """Find a free port for everything. Raises OSError when there are not enough."""
    ports = _free_ports()
    slots = tuple(
        Slot(service.name, f"{service.name}-{number}", next(ports))
        for service in SERVICES
        for number in range(1, service.replicas + 1)
    )
    links = tuple(
        LinkSlot(slot.service, slot.name, call.callee, next(ports), f"fault.{slot.name}.{call.callee}")
        for slot in slots
        for call in BY_NAME[slot.service].calls
    )
    front, admin, prometheus, alertmanager, receiver, blackhole, load = (next(ports) for _ in range(7))
    return Layout(slots, links, front, admin, prometheus, alertmanager, receiver, blackhole, load)
