"""containers/kill: the main process of a container is told to end, as when it crashes; the kubelet starts it again."""

import shlex
import time
from collections.abc import Iterable, Iterator
from typing import ClassVar

import msgspec

from gameday.faults.base import (
    FaultError,
    FaultRequest,
    Parameter,
    ParameterKind,
    Patience,
    Permission,
    Reach,
    Remark,
    Table,
)
from gameday.faults.cluster.base import ClusterFault, ClusterPlan, Place, base_needs, namespaced
from gameday.faults.cluster.changing import READY_WITHIN, ready_within_s, wait_until_none
from gameday.faults.cluster.targets import (
    Pods,
    PodTarget,
    choose_pods,
    find_needs,
    find_pods,
    left_healthy,
    reach_of,
    table_of,
)
from gameday.faults.pods.commands import complaint_of, container_of, exec_needs, words_of
from gameday.kubernetes.client import ApiError, Client
from gameday.kubernetes.execution import run_in_container
from gameday.kubernetes.objects import Pod, path_of, status_of
from gameday.kubernetes.reference import ClusterError

_COMMAND_S = 10.0
_POLL_S = 0.25


class ContainerTarget(msgspec.Struct, frozen=True):
    """One container of one pod. `id` is the runtime's: another one is in its place once it has been started again."""

    pod: PodTarget
    container: str
    id: str


class ContainerKillPlan(ClusterPlan, frozen=True):
    request: FaultRequest
    selector: str
    containers: tuple[ContainerTarget, ...]
    command: tuple[str, ...]
    within_s: float
    ready_within_s: float


class ContainerKill(ClusterFault[ContainerKillPlan]):
    """Runs `kill` in a container, and makes sure that it ended. The undo waits until its pod serves again.

    Process 1 gets only those signals that it handles, and never a SIGKILL from within: one that ignores SIGTERM is not
    ended so, and that is an error which says so. `command` ends it in another way, in an image without a shell too.
    """

    name = "containers/kill"
    lasts = False  # the kubelet starts it again
    summary = "end the main process of containers; the kubelet starts it again"
    parameters: ClassVar = {
        "container": Parameter(ParameterKind.TEXT, "which one (default: kubectl's choice)", optional=True),
        "signal": Parameter(
            ParameterKind.CHOICE, "what its process 1 gets", default="TERM", choices=("TERM", "INT", "QUIT", "ABRT")
        ),
        "command": Parameter(ParameterKind.TEXT, "what ends it, in place of a signal", optional=True),
        "within": Parameter(
            ParameterKind.DURATION, "how long it may take to end", default="30s", minimum=1, maximum=300
        ),
        "ready-within": READY_WITHIN,
    }
    plan_type = ContainerKillPlan

    def prepare(self, client: Client, place: Place, request: FaultRequest) -> ContainerKillPlan:
        arguments = request.arguments
        pods = find_pods(client, place.namespace, request)
        ready = [pod for pod in pods.live if pod.is_ready]
        if pods.live and not ready:
            raise FaultError("none of the pods is ready: there is no container to be ended")
        targets = choose_pods(ready, request, len(pods.live))
        by_name = {pod.metadata.name: pod for pod in ready}
        if "command" not in arguments:
            _ensure_own_processes([by_name[target.name] for target in targets])
        command = words_of("command", arguments.get("command", f"sh -c 'kill -{arguments.get('signal', 'TERM')} 1'"))
        wanted = arguments.get("container")
        containers = tuple(_target(by_name[target.name], target, wanted) for target in targets)
        return ContainerKillPlan(
            place,
            request,
            pods.selector,
            containers,
            command,
            float(arguments.get("within", 30.0)),
            ready_within_s(request),
        )

    def targets(self, plan: ContainerKillPlan) -> tuple[str, ...]:
        return tuple(f"{target.pod.name}/{target.container}" for target in plan.containers)

    def measure(self, client: Client, plan: ContainerKillPlan) -> Reach:
        return reach_of(_now(client, plan), [target.pod for target in plan.containers], ())

    def strike(self, client: Client, plan: ContainerKillPlan) -> None:
        gone = [target.pod.name for target in plan.containers if _id_now(client, plan, target) != target.id]
        if gone:
            raise FaultError(f"{', '.join(gone)}: no longer the containers that were planned; nothing was touched")
        complaints = {target: _end(client, plan, target) for target in plan.containers}
        deadline, waiting = time.monotonic() + plan.within_s, list(plan.containers)
        while waiting := [target for target in waiting if _id_now(client, plan, target) == target.id]:
            if time.monotonic() > deadline:
                raise FaultError("; ".join(_not_ended(plan, target, complaints[target]) for target in waiting))
            time.sleep(_POLL_S)

    def mend(self, client: Client, plan: ContainerKillPlan) -> None:
        wait_until_none(lambda: self.leftovers(client, plan))

    def leftovers(self, client: Client, plan: ContainerKillPlan) -> Iterable[str]:
        for target in plan.containers:
            pod = client.find(path_of("Pod", plan.place.namespace, target.pod.name), Pod)
            # A pod that has gone since is no longer ours to wait for.
            if pod is not None and pod.metadata.uid == target.pod.uid and pod.is_live and not pod.is_ready:
                yield f"{pod.metadata.name} does not serve yet ({pod.trouble})"

    def by_hand(self, plan: ContainerKillPlan) -> str:
        names = " ".join(dict.fromkeys(f"pod/{target.pod.name}" for target in plan.containers))
        return f"{plan.place.kubectl} wait --for=condition=Ready {names}"

    def describe(self, plan: ContainerKillPlan) -> str:
        return f"run `{shlex.join(plan.command)}` in {', '.join(self.targets(plan))} in {plan.place.namespace}"

    def patience(self, plan: ContainerKillPlan) -> Patience:
        return Patience(_COMMAND_S * (1 + len(plan.containers)) + plan.within_s, plan.ready_within_s)

    def needs(self, namespace: str, request: FaultRequest) -> Iterator[Permission]:
        yield from base_needs(namespace)
        yield from find_needs(namespace, request)
        yield from namespaced(("list get", "", "pods"), purpose="inject", namespace=namespace)
        yield from exec_needs(namespace, "inject")
        yield from namespaced(("get", "", "pods"), purpose="undo", namespace=namespace)

    def look(self, client: Client, plan: ContainerKillPlan) -> tuple[Table, list[Remark]]:
        pods, chosen = _now(client, plan), [target.pod for target in plan.containers]
        return table_of(pods, chosen), [left_healthy(pods, {target.name for target in chosen})]


def _ensure_own_processes(pods: Iterable[Pod]) -> None:
    """Raises FaultError where process 1 is not the container's: in the node's processes it is the node's `init`."""
    for pod in pods:
        name = pod.metadata.name
        if pod.spec.host_pid:
            raise FaultError(f"{name} sees its node's processes (hostPID), and 1 is the node's own: give a `command`")
        if pod.spec.share_process_namespace:
            why = "share their processes, and 1 is none of theirs: give a `command`"
            raise FaultError(f"the containers of {name} {why}")


def _target(pod: Pod, target: PodTarget, wanted: object) -> ContainerTarget:
    name = container_of(pod, wanted)
    if pod.spec.restart_policy == "Never":
        raise FaultError(f"{pod.metadata.name} is never restarted (restartPolicy: Never): nothing would start it again")
    status = status_of(pod.status.container_statuses, name)
    if status is None or not status.container_id:
        raise FaultError(f"the container `{name}` of {pod.metadata.name} does not run")
    return ContainerTarget(target, name, status.container_id)


def _id_now(client: Client, plan: ContainerKillPlan, target: ContainerTarget) -> str:
    """The runtime's name of what runs there now; empty when nothing does."""
    pod = client.find(path_of("Pod", plan.place.namespace, target.pod.name), Pod)
    if pod is None or pod.metadata.uid != target.pod.uid or not pod.is_live:
        return ""
    status = status_of(pod.status.container_statuses, target.container)
    return status.container_id if status is not None and status.state.running is not None else ""


def _end(client: Client, plan: ContainerKillPlan, target: ContainerTarget) -> str:
    """What went wrong, if anything: the command may well be ended with its container, whose end is what counts."""
    try:
        done = run_in_container(
            client, plan.place.namespace, target.pod.name, target.container, plan.command, timeout_s=_COMMAND_S
        )
    except ClusterError as error:
        if isinstance(error, ApiError) and error.status in (401, 403):
            raise
        return str(error)
    return complaint_of(plan.command, done)


def _not_ended(plan: ContainerKillPlan, target: ContainerTarget, complaint: str) -> str:
    where = f"the container {target.container} of {target.pod.name}"
    why = complaint or "its process 1 may ignore the signal; `command` can end it in another way"
    return f"{where} did not end within {plan.within_s:g} s: {why}"


def _now(client: Client, plan: ContainerKillPlan) -> Pods:
    return find_pods(client, plan.place.namespace, plan.request, plan.selector)
