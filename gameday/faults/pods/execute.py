"""pods/exec: a command is run in pods, and another one undoes what it did."""

import random
import shlex
from functools import partial
from typing import ClassVar

import msgspec

from gameday.faults.base import FaultRequest, Parameter, ParameterKind, Patience
from gameday.faults.cluster.base import Place
from gameday.faults.cluster.change import Change, Undo, apply, by_hand, is_marked, revert
from gameday.faults.cluster.changing import do_all
from gameday.faults.cluster.created import Created
from gameday.faults.pods.commands import container_of, run_or_fail, words_of
from gameday.faults.pods.held import HeldPodsFault, HeldPodsPlan, find_same, hold_pods, marks_of
from gameday.kubernetes.client import Client

_SLACK_S = 30.0  # beside the commands


class ExecPlan(HeldPodsPlan, frozen=True):
    """`containers`: in which container of each pod. `check` ends with 0 when nothing is left; none: nobody asks."""

    containers: dict[str, str] = {}  # noqa: RUF012 - msgspec copies it
    command: tuple[str, ...] = ()
    undo: tuple[str, ...] = ()
    check: tuple[str, ...] = ()
    timeout_s: float = 10.0


class Exec(HeldPodsFault[ExecPlan]):
    """Runs `command` in pods that it has marked, and `undo` in each that bears the mark: more than once, if need be.

    An injection that is asked for again runs `command` again: nobody else knows whether it was done.
    Neither goes through a shell unless it says so (`sh -c '…'`). What is to go on in the pod puts itself into the
    background there, and lets go of its output: `sh -c 'burn >/dev/null 2>&1 &'`.
    """

    name = "pods/exec"
    summary = "run a command in pods, and another one that undoes it"
    undo_is_said_by_mark = True
    parameters: ClassVar = {
        "command": Parameter(ParameterKind.TEXT, "what breaks something"),
        "undo": Parameter(ParameterKind.TEXT, "what puts it back; harmless when it is run twice"),
        "check": Parameter(ParameterKind.TEXT, "what ends with 0 when all is as before", optional=True),
        "container": Parameter(ParameterKind.TEXT, "in which container (default: kubectl's choice)", optional=True),
        "timeout": Parameter(ParameterKind.DURATION, "how long each may take", default="10s", minimum=1, maximum=15),
    }
    plan_type = ExecPlan

    def prepare(self, client: Client, place: Place, request: FaultRequest) -> ExecPlan:
        arguments = request.arguments
        held = hold_pods(client, place, request)
        return ExecPlan(
            place,
            marks_of(client, place, held.chosen),
            request=request,
            selector=held.pods.selector,
            pods=held.chosen,
            fresh=tuple(pod.metadata.name for pod in held.fresh),
            containers={pod.metadata.name: container_of(pod, arguments.get("container")) for pod in held.fresh},
            command=words_of("command", arguments.get("command")),
            undo=words_of("undo", arguments.get("undo")),
            check=words_of("check", arguments["check"]) if "check" in arguments else (),
            timeout_s=float(arguments.get("timeout", 10.0)),
        )

    def strike(self, client: Client, plan: ExecPlan) -> None:
        for change in plan.changes:
            apply(client, plan.place, change, self.undo_for(plan, changes=(change,)))
            if change.name in plan.fresh:
                self._run(client, plan, change, plan.command)

    def undo_for(self, plan: ExecPlan, *, changes: tuple[Change, ...] = (), created: tuple[Created, ...] = ()) -> Undo:
        names = {change.name for change in changes}
        own = {name: container for name, container in plan.containers.items() if name in names}
        return super().undo_for(msgspec.structs.replace(plan, containers=own), changes=changes, created=created)

    def mend(self, client: Client, plan: ExecPlan) -> None:
        # In another order each time: an attempt may end before it comes to all, where commands hang in some.
        order = random.sample(plan.changes, len(plan.changes))
        do_all([partial(self._mend, client, plan, change) for change in order])

    def _mend(self, client: Client, plan: ExecPlan, change: Change) -> None:
        if not is_marked(client, plan.place, change):
            return  # never injected, undone already, or gone
        if change.name in plan.fresh and find_same(client, plan.place, change) is not None:
            self._run(client, plan, change, plan.undo)
            if plan.check:
                self._run(client, plan, change, plan.check)
        revert(client, plan.place, change)

    @staticmethod
    def _run(client: Client, plan: ExecPlan, change: Change, command: tuple[str, ...]) -> None:
        container = plan.containers[change.name]
        run_or_fail(client, plan.place.namespace, change.name, container, command, plan.timeout_s)

    def by_hand(self, plan: ExecPlan) -> str:
        commands = []
        for name, container in plan.containers.items():
            commands.append(f"{plan.place.kubectl} exec {name} -c {container} -- {shlex.join(plan.undo)}")
        commands += [by_hand(plan.place, change) for change in plan.changes]
        return " && ".join(commands)

    def describe(self, plan: ExecPlan) -> str:
        where = f"{', '.join(self.targets(plan))} in {plan.place.namespace}"
        return f"run `{shlex.join(plan.command)}` in {where}, undone by `{shlex.join(plan.undo)}`"

    def patience(self, plan: ExecPlan) -> Patience:
        number = len(plan.fresh)
        return Patience(_SLACK_S + number * plan.timeout_s, max(90.0, 2 * number * plan.timeout_s))
