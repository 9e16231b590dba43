"""process/pause: stop processes where they stand, as a long garbage collection or a starved machine does."""

import signal

from gameday.faults.base import Fault, FaultError, FaultRequest, Reach, System
from gameday.faults.process.targets import (
    ProcessPlan,
    deliver,
    is_stopped,
    plan_targets,
    reach_of,
    require_planned,
    wait_until,
)

_STOP_S = 2.0  # all threads must have noticed


class Pause(Fault[ProcessPlan]):
    """Stops instances with SIGSTOP: their connections stay open and nothing answers. Undone with SIGCONT."""

    name = "process/pause"
    summary = "stop processes of the service with SIGSTOP: they are there, and do not answer"
    plan_type = ProcessPlan

    def plan(self, request: FaultRequest, system: System) -> ProcessPlan:
        return plan_targets(request, system, "STOP")

    def targets(self, plan: ProcessPlan) -> tuple[str, ...]:
        return plan.names()

    def reach(self, plan: ProcessPlan, system: System) -> Reach:
        return reach_of(plan, system)

    def inject(self, plan: ProcessPlan) -> None:
        require_planned(plan)
        for target in plan.targets:
            if not deliver(target, signal.SIGSTOP):
                raise FaultError(f"{target} ended a moment before it was to be stopped")
        if not wait_until(lambda: all(is_stopped(target.process) for target in plan.targets), _STOP_S):
            raise FaultError(f"not all of {', '.join(map(str, plan.targets))} stopped within {_STOP_S:g} s")

    def undo(self, plan: ProcessPlan) -> None:
        # Those of earlier stages too: whichever stage is undone first, nothing stays stopped.
        refused = []
        for target in plan.targets:
            try:
                deliver(target, signal.SIGCONT)
            except FaultError as error:
                refused.append(str(error))
        if refused:
            raise FaultError("; ".join(refused))
        wait_until(lambda: not self.verify(plan), _STOP_S)

    def verify(self, plan: ProcessPlan) -> tuple[str, ...]:
        return tuple(f"{target} is still stopped" for target in plan.targets if is_stopped(target.process))

    def by_hand(self, plan: ProcessPlan) -> str:
        return f"kill -CONT {' '.join(str(target.process.pid) for target in plan.targets)}"

    def describe(self, plan: ProcessPlan) -> str:
        return f"stop {', '.join(map(str, plan.targets))} with SIGSTOP"
