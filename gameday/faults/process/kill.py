"""process/kill: end processes at once, as a crash or the kernel's out-of-memory killer does."""

import signal
from typing import ClassVar

from gameday.common.processes import is_alive
from gameday.faults.base import Fault, FaultError, FaultRequest, Parameter, ParameterKind, Reach, System
from gameday.faults.process.targets import (
    ProcessPlan,
    deliver,
    is_up,
    plan_targets,
    reach_of,
    read_inventory,
    require_planned,
    wait_until,
)

_SIGNALS = ("KILL", "TERM", "INT", "QUIT", "ABRT")
_END_S = 3.0  # how long a killed process may take to be gone
_RESTART_S = 2.0  # one attempt of an undo; the engine makes more, and the undo of other faults must not wait longer


class Kill(Fault[ProcessPlan]):
    """Signals instances that are up. The supervisor restarts them; the undo waits until it has."""

    name = "process/kill"
    lasts = False  # a supervisor starts what has died again
    summary = "end processes of the service; their supervisor starts them again"
    parameters: ClassVar = {
        "signal": Parameter(ParameterKind.CHOICE, "the signal that ends the process", default="KILL", choices=_SIGNALS)
    }
    plan_type = ProcessPlan

    def plan(self, request: FaultRequest, system: System) -> ProcessPlan:
        return plan_targets(request, system, str(request.arguments.get("signal", "KILL")))

    def targets(self, plan: ProcessPlan) -> tuple[str, ...]:
        return plan.names()

    def reach(self, plan: ProcessPlan, system: System) -> Reach:
        return reach_of(plan, system)

    def inject(self, plan: ProcessPlan) -> None:
        require_planned(plan)
        number = signal.Signals[f"SIG{plan.signal}"]
        for target in plan.targets:
            if not deliver(target, number):
                raise FaultError(f"{target} ended by itself a moment before it was to be killed")
        # Until it is gone it would look as if it had been restarted. What shuts down in an orderly way may take longer.
        ended = wait_until(lambda: not any(is_alive(target.process) for target in plan.targets), _END_S)
        if not ended and number is signal.SIGKILL:
            raise FaultError(f"not all of {', '.join(map(str, plan.targets))} ended within {_END_S:g} s of SIGKILL")

    def undo(self, plan: ProcessPlan) -> None:
        if not wait_until(lambda: not self.verify(plan), _RESTART_S):
            raise FaultError(f"not restarted by their supervisor after {_RESTART_S:g} s")

    def verify(self, plan: ProcessPlan) -> tuple[str, ...]:
        up = {instance.name for instance in read_inventory(plan.inventory).instances if is_up(instance)}
        return tuple(f"{name} is still down" for name in plan.names() if name not in up)

    def by_hand(self, plan: ProcessPlan) -> str:
        return f"have the supervisor of {', '.join(plan.names())} start them again (was: {_pids(plan)})"

    def describe(self, plan: ProcessPlan) -> str:
        return f"send SIG{plan.signal} to {_pids(plan)}"


def _pids(plan: ProcessPlan) -> str:
    return ", ".join(map(str, plan.targets))
