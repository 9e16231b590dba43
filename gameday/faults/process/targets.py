"""What the process faults share: which processes they may hit, and how many are affected already."""

import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from gameday.common.inventory import Instance, Inventory, InventoryError, load_inventory
from gameday.common.processes import ProcessRef, is_alive, send_signal, state_of
from gameday.faults.base import FaultError, FaultRequest, Reach, System, choose

_POLL_S = 0.05


class Target(msgspec.Struct, frozen=True):
    """One instance, and the very process that fills it."""

    name: str
    process: ProcessRef

    def __str__(self) -> str:
        return f"{self.name} (pid {self.process.pid})"


class ProcessPlan(msgspec.Struct, frozen=True):
    """The processes of one stage. `held` names those that an earlier stage has hit and that are still so."""

    inventory: str
    service: str
    signal: str
    targets: tuple[Target, ...]
    held: tuple[str, ...] = ()

    def names(self) -> tuple[str, ...]:
        """The names of the instances that are hit."""
        return tuple(target.name for target in self.targets)


def is_stopped(process: ProcessRef) -> bool:
    """Whether exactly this process is stopped by a signal (state T of proc(5))."""
    return state_of(process) == "T"


def is_up(instance: Instance) -> bool:
    """Whether the instance's process is there, and runs."""
    return instance.process is not None and is_alive(instance.process) and not is_stopped(instance.process)


def read_inventory(path: Path | str | None) -> Inventory:
    """The inventory as it is now. Raises FaultError."""
    if path is None:
        raise FaultError("this environment has no inventory of processes; process faults need one")
    try:
        return load_inventory(Path(path))
    except InventoryError as error:
        raise FaultError(str(error)) from error


def instances_of(inventory: Inventory, service: str) -> tuple[Instance, ...]:
    """All instances of a service, up or down. Raises FaultError when there is none."""
    found = tuple(instance for instance in inventory.instances if instance.service == service)
    if not found:
        known = ", ".join(inventory.services()) or "none at all"
        raise FaultError(f"the inventory has no instance of the service `{service}`; it has {known}")
    return found


def plan_targets(request: FaultRequest, system: System, signal: str) -> ProcessPlan:
    """Choose among the instances that are up, and those that earlier stages have stopped. Raises FaultError."""
    if request.caller is not None:
        raise FaultError("a process fault hits a whole process, whoever calls it: it takes no `from`")
    everything = instances_of(read_inventory(system.inventory), request.service)
    candidates: list[Target] = []
    held: list[str] = []
    for instance in everything:
        if instance.process is None or not is_alive(instance.process):
            continue
        stopped = is_stopped(instance.process)
        if stopped and instance.name not in request.already:
            continue  # by somebody else, who has reasons: neither ours to hit nor to wake
        candidates.append(Target(instance.name, instance.process))
        if stopped:
            held.append(instance.name)
    if not candidates:
        raise FaultError(f"none of the {len(everything)} instances of `{request.service}` is up")
    targets = choose(candidates, [target.name for target in candidates], request)
    assert system.inventory is not None
    return ProcessPlan(
        inventory=str(Path(system.inventory).absolute()),
        service=request.service,
        signal=signal,
        targets=targets,
        held=tuple(target.name for target in targets if target.name in held),
    )


def reach_of(plan: ProcessPlan, system: System) -> Reach:
    """The planned instances and those that are down or stopped anyway, of all the service's. Raises FaultError."""
    everything = instances_of(read_inventory(system.inventory), plan.service)
    down = {instance.name for instance in everything if not is_up(instance)}
    return Reach(affected=len(down.union(plan.names())), total=len({i.name for i in everything}.union(plan.names())))


def require_planned(plan: ProcessPlan) -> None:
    """Raises FaultError when a process is gone or stopped that the plan found running: then nothing must be touched."""
    for target in plan.targets:
        if not is_alive(target.process):
            raise FaultError(f"{target} is no longer the process that was planned: it has ended since")
        if target.name not in plan.held and is_stopped(target.process):
            raise FaultError(f"{target} has been stopped by somebody else since it was planned")


def deliver(target: Target, number: int) -> bool:
    """Signal exactly the planned process; False when it is gone. Raises FaultError when that is not permitted."""
    import signal

    try:
        return send_signal(target.process, signal.Signals(number))
    except PermissionError as error:
        raise FaultError(f"not permitted to signal {target}; it belongs to another user") from error


def wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Whether the condition came true within `timeout_s` seconds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_S)
    return True
