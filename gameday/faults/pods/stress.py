"""pods/stress: pods are short of CPU or memory, for an ephemeral container in each uses these up.

https://kubernetes.io/docs/concepts/workloads/pods/ephemeral-containers/
"""

import random
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import ClassVar

from gameday.common.json import Json, JsonObject
from gameday.faults.base import (
    FaultError,
    FaultRequest,
    Parameter,
    ParameterKind,
    Patience,
    Permission,
    Remark,
    Table,
)
from gameday.faults.cluster.base import Place, namespaced
from gameday.faults.cluster.change import Change, annotation_of, apply, by_hand, revert
from gameday.faults.cluster.changing import do_all
from gameday.faults.cluster.created import name_for
from gameday.faults.pods.commands import run_or_fail
from gameday.faults.pods.held import HeldPodsFault, HeldPodsPlan, find_same, hold_pods, marks_of
from gameday.journal.events import CheckOutcome
from gameday.kubernetes.client import ApiError, Client
from gameday.kubernetes.objects import Object, path_of, status_of
from gameday.kubernetes.reference import ClusterError

_IMAGE = "busybox:1.37"
_PID = '"${TMPDIR:-/tmp}/gameday.pid"'
_STOP = ("sh", "-c", f'kill -TERM "$(cat {_PID})"')
_COMMAND_S, _STOP_S, _POLL_S, _SLACK_S = 4.0, 8.0, 0.25, 30.0
_LATE_S = 4.0  # a container that read its mark before it went shows as running by then
_MOST_TRIES = 5  # when somebody else writes to the pod at the same moment
# An ephemeral container cannot be taken from its pod. One that starts late, its image having come at last, must do
# nothing by then: it looks for the mark and at the time. A line that does not end is kept in memory by tail, of which
# busybox's counts to 2 GiB.
_SCRIPT = f"""
for program in cat date head sleep tail; do command -v "$program" > /dev/null || exit 127; done
left=$((GAMEDAY_UNTIL - $(date +%s)))
[ -n "$GAMEDAY_MARK" ] && [ "$left" -gt 0 ] || exit 0
trap 'trap "" TERM; kill -TERM 0; exit 0' TERM INT
echo $$ > {_PID}
cpu=$GAMEDAY_CPU
while [ "$cpu" -gt 0 ]; do
    (while :; do :; done) &
    cpu=$((cpu - 1))
done
mib=$GAMEDAY_MEMORY
while [ "$mib" -gt 0 ]; do
    part=$((mib > 1024 ? 1024 : mib))
    {{ head -c "$((part * 1048576))" /dev/zero; sleep "$left"; }} | tail > /dev/null &
    mib=$((mib - part))
done
sleep "$left" &
wait $!
trap "" TERM
kill -TERM 0
"""
# What the Pod Security Standard "restricted" asks for; whoever stresses needs no more.
_SECURITY: JsonObject = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "runAsUser": 65534,
    "seccompProfile": {"type": "RuntimeDefault"},
}


class StressPlan(HeldPodsPlan, frozen=True):
    """`cpu`: how many processes run all the time; `until`: when it ends by itself, in seconds since the Unix epoch."""

    container: str = ""
    image: str = _IMAGE
    cpu: int = 0
    memory_mib: int = 0
    until: float = 0.0
    starts_within_s: float = 60.0


class Stress(HeldPodsFault[StressPlan]):
    """Adds a container to running pods, which shares their limits on CPU and memory. The undo ends it.

    The pod lists it as ended from then on, until the pod itself goes: Kubernetes lets nobody take it away.
    """

    name = "pods/stress"
    summary = "use up the CPU or the memory of pods"
    parameters: ClassVar = {
        "cpu": Parameter(ParameterKind.INTEGER, "processes that run all the time", default="0", minimum=0, maximum=256),
        "memory": Parameter(ParameterKind.INTEGER, "MiB that are held", default="0", minimum=0, maximum=1 << 20),
        "image": Parameter(ParameterKind.TEXT, "an image with sh, cat, date, head, sleep and tail", default=_IMAGE),
        "at-most": Parameter(
            ParameterKind.DURATION, "after which it ends by itself", default="15m", minimum=1, maximum=86400
        ),
        "starts-within": Parameter(
            ParameterKind.DURATION, "how long the image may take to come", default="1m", minimum=1, maximum=600
        ),
    }
    plan_type = StressPlan

    def prepare(self, client: Client, place: Place, request: FaultRequest) -> StressPlan:
        arguments = request.arguments
        cpu, memory_mib = int(arguments.get("cpu", 0)), int(arguments.get("memory", 0))
        if not cpu and not memory_mib:
            raise FaultError("nothing would be stressed: give `cpu`, in processes, or `memory`, in MiB")
        held = hold_pods(client, place, request)
        return StressPlan(
            place,
            marks_of(client, place, held.chosen),
            request=request,
            selector=held.pods.selector,
            pods=held.chosen,
            fresh=tuple(pod.metadata.name for pod in held.fresh),
            container=name_for(place.stamp),
            image=str(arguments.get("image", _IMAGE)),
            cpu=cpu,
            memory_mib=memory_mib,
            until=time.time() + float(arguments.get("at-most", 900.0)),
            starts_within_s=float(arguments.get("starts-within", 60.0)),
        )

    def strike(self, client: Client, plan: StressPlan) -> None:
        for change in plan.changes:
            apply(client, plan.place, change, self.undo_for(plan, changes=(change,)))
            if change.name in plan.fresh:
                _add(client, plan, change)
        deadline = time.monotonic() + plan.starts_within_s
        while waiting := _not_running(client, plan):
            if time.monotonic() > deadline:
                where = ", ".join(waiting)
                raise FaultError(f"its container did not start within {plan.starts_within_s:g} s in {where}")
            time.sleep(_POLL_S)

    def rehearse(self, client: Client, plan: StressPlan) -> bool:
        for change in plan.hit:
            _add(client, plan, change, dry_run=True)
        return super().rehearse(client, plan)

    def look(self, client: Client, plan: StressPlan) -> tuple[Table, list[Remark]]:
        table, remarks = super().look(client, plan)
        return table, [*remarks, *_unlimited(client, plan)]

    def mend(self, client: Client, plan: StressPlan) -> None:
        _end(client, plan, plan.changes)
        starting = [change for change in plan.hit if _may_start(client, plan, change)]
        deadline = time.monotonic() + _LATE_S
        while starting and time.monotonic() < deadline:
            time.sleep(_POLL_S)
            begun = [change for change in starting if not _may_start(client, plan, change)]
            _end(client, plan, begun)
            starting = [change for change in starting if change not in begun]

    def unsettled(self, client: Client, plan: StressPlan) -> Iterator[str]:
        for change in plan.hit:
            if _is_running(client, plan, change):
                yield _still_runs(plan, change)

    def by_hand(self, plan: StressPlan) -> str:
        kubectl, stop = plan.place.kubectl, f"{_STOP[0]} -c '{_STOP[2]}'"
        commands = [f"{kubectl} exec {name} -c {plan.container} -- {stop}" for name in plan.fresh]
        commands += [by_hand(plan.place, change) for change in plan.changes]
        return " && ".join(commands)

    def describe(self, plan: StressPlan) -> str:
        what = [f"{plan.cpu} busy processes"] * bool(plan.cpu) + [f"{plan.memory_mib} MiB held"] * bool(plan.memory_mib)
        where = f"{', '.join(self.targets(plan))} in {plan.place.namespace}"
        return f"add a container ({plan.image}) to {where}: {' and '.join(what)}"

    def patience(self, plan: StressPlan) -> Patience:
        number = len(plan.fresh)
        return Patience(_SLACK_S + number + plan.starts_within_s, max(90.0, _SLACK_S + number * _STOP_S))

    def needs(self, namespace: str, request: FaultRequest) -> Iterator[Permission]:
        yield from super().needs(namespace, request)
        rule = ("patch", "", "pods/ephemeralcontainers")
        yield from namespaced(rule, purpose="inject", namespace=namespace)


def _unlimited(client: Client, plan: StressPlan) -> Iterator[Remark]:
    """Pods that may use all that their node has: their neighbours would be hit as well."""
    pods = [pod for change in plan.hit if (pod := find_same(client, plan.place, change)) is not None]
    for resource, amount in (("cpu", plan.cpu), ("memory", plan.memory_mib)):
        names = [
            pod.metadata.name
            for pod in pods
            if amount and not all(container.is_limited(resource) for container in pod.spec.containers)
        ]
        if names:
            detail = f"{', '.join(names)} have no limit on {resource}: what else runs on their nodes is hit, too"
            yield Remark(f"{resource} limits", CheckOutcome.WARNING, detail)


def _container(plan: StressPlan) -> JsonObject:
    mark = f"metadata.annotations['{annotation_of(plan.place.stamp)}']"
    values = {"UNTIL": round(plan.until), "CPU": plan.cpu, "MEMORY": plan.memory_mib}
    environment: list[Json] = [{"name": "GAMEDAY_MARK", "valueFrom": {"fieldRef": {"fieldPath": mark}}}]
    environment += [{"name": f"GAMEDAY_{name}", "value": str(value)} for name, value in values.items()]
    script = _SCRIPT.replace("$", "$$")  # the kubelet takes $$ for an escaped $, and $(NAME) for a variable
    command: list[Json] = ["sh", "-c", script]
    return {
        "name": plan.container,
        "image": plan.image,
        "command": command,
        "env": environment,
        "securityContext": _SECURITY,
    }


def _add(client: Client, plan: StressPlan, change: Change, *, dry_run: bool = False) -> None:
    """Harmless when it is there already. Raises FaultError, ClusterError."""
    path = path_of("Pod", plan.place.namespace, change.name, "ephemeralcontainers")
    for _ in range(_MOST_TRIES):
        pod = find_same(client, plan.place, change)
        if pod is None:
            raise FaultError(f"{change.name} is no longer the pod that was planned")
        there = pod.spec.ephemeral_containers or ()
        if any(container.name == plan.container for container in there):
            return
        version: JsonObject = {
            "op": "test",
            "path": "/metadata/resourceVersion",
            "value": pod.metadata.resource_version,
        }
        where, added = "/spec/ephemeralContainers", _container(plan)
        operation: JsonObject = {"op": "add", "path": f"{where}/-", "value": added}
        if not there:
            operation = {"op": "add", "path": where, "value": [added]}
        try:
            client.patch(path, [version, operation], Object, dry_run=dry_run)
        except ApiError as error:
            now = find_same(client, plan.place, change)
            moved = now is None or now.metadata.resource_version != pod.metadata.resource_version
            if not error.is_conflict and not (error.status == 422 and moved):
                raise
        else:
            return
    raise FaultError(f"{change.name} is written to all the time by somebody else")


def _end(client: Client, plan: StressPlan, changes: Iterable[Change]) -> None:
    """End the containers, and take the mark away from each pod whose one has ended. Raises FaultError, ClusterError."""
    waiting, deadline = list(changes), time.monotonic() + _STOP_S
    running = [change for change in waiting if _is_running(client, plan, change)]
    # In another order each time: an attempt may end before it comes to all, where commands hang in some.
    for change in random.sample(running, len(running)):
        if time.monotonic() < deadline:
            with suppress(FaultError, ClusterError):  # what ends the container ends the command, too
                run_or_fail(client, plan.place.namespace, change.name, plan.container, _STOP, _COMMAND_S)
    while True:
        ended = [change for change in waiting if not _is_running(client, plan, change)]
        do_all([partial(revert, client, plan.place, change) for change in ended])
        waiting = [change for change in waiting if change not in ended]
        if not waiting:
            return
        if time.monotonic() > deadline:
            raise FaultError("; ".join(_still_runs(plan, change) for change in waiting))
        time.sleep(_POLL_S)


def _still_runs(plan: StressPlan, change: Change) -> str:
    return f"the container {plan.container} of {change.name} still runs"


def _not_running(client: Client, plan: StressPlan) -> list[str]:
    """The pods where it does not run yet, and why. Raises FaultError where it never will, and ClusterError."""
    waiting = []
    for change in plan.hit:
        pod = find_same(client, plan.place, change)
        if pod is None:
            raise FaultError(f"{change.name} is no longer the pod that was planned")
        status = status_of(pod.status.ephemeral_container_statuses, plan.container)
        if status is None or status.state.waiting is not None:
            reason = status.state.waiting.reason if status is not None and status.state.waiting is not None else ""
            waiting.append(change.name + (f" ({reason})" if reason else ""))
        elif status.state.running is None:
            raise FaultError(f"its container has ended at once in {change.name}: does {plan.image} have all it needs?")
    return waiting


def _is_running(client: Client, plan: StressPlan, change: Change) -> bool:
    pod = find_same(client, plan.place, change)
    status = status_of(pod.status.ephemeral_container_statuses, plan.container) if pod is not None else None
    return status is not None and status.state.running is not None


def _may_start(client: Client, plan: StressPlan, change: Change) -> bool:
    """Whether it was added and has not been seen to run or to have ended."""
    pod = find_same(client, plan.place, change)
    if pod is None or all(item.name != plan.container for item in pod.spec.ephemeral_containers or ()):
        return False
    status = status_of(pod.status.ephemeral_container_statuses, plan.container)
    return status is None or status.state.waiting is not None
