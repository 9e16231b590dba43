"""Finds the pods that a target means, and what brings them back when they are gone."""

from collections.abc import Container, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from random import Random

import msgspec

from gameday.faults.base import FaultError, FaultRequest, Permission, Pick, Reach, Remark, Table, allowed
from gameday.journal.events import CheckOutcome
from gameday.kubernetes.client import Client
from gameday.kubernetes.objects import (
    Budget,
    EndpointSlice,
    Node,
    Object,
    Pod,
    Selector,
    Service,
    Workload,
    path_of,
    resource_of,
)

_KIND_OF = {
    "deployment": "Deployment",
    "statefulset": "StatefulSet",
    "daemonset": "DaemonSet",
    "replicaset": "ReplicaSet",
    "job": "Job",
}
# In whose name a service's pods are looked for when there is no Service of that name.
_WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet")


class Group(msgspec.Struct, frozen=True):
    """The workload that brings pods back: its kind and name, and how many it wanted."""

    kind: str
    name: str
    desired: int

    def __str__(self) -> str:
        return f"{self.kind.lower()}/{self.name}"


class PodTarget(msgspec.Struct, frozen=True):
    """One pod. Its uid says that it is the one that was planned, and not another of its name."""

    name: str
    uid: str
    node: str


class Pods(msgspec.Struct, frozen=True):
    """The pods that a target means, live ones alone, and the label selector with which the server finds them."""

    selector: str
    live: tuple[Pod, ...]


def selector_of(client: Client, namespace: str, request: FaultRequest) -> str:
    """The label selector that the target comes down to; empty when only names, nodes or zones are given.

    A service is the Service of that name, else the workload. Raises FaultError and ClusterError.
    """
    where, selectors = request.where, list[str]()
    if request.service:
        selectors.append(str(selector_of_service(client, namespace, request.service)))
    if where.owner:
        kind, _, name = where.owner.partition("/")
        selectors.append(_selector_of_owner(client, namespace, _KIND_OF[kind], name))
    selectors += [where.selector] if where.selector else []
    return ",".join(dict.fromkeys(selectors))


def selector_of_service(client: Client, namespace: str, name: str) -> Selector:
    """Of the Service of that name, else of the workload. Raises FaultError and ClusterError."""
    service = client.find(path_of("Service", namespace, name), Service)
    if service is not None:
        labels = service.spec.selector or {}
        if not labels:
            raise FaultError(f"the Service `{name}` in {namespace} selects no pods: name an `owner` or a `selector`")
        return Selector(match_labels=labels)
    for kind in _WORKLOADS:
        workload = client.find(path_of(kind, namespace, name), Workload)
        if workload is not None and workload.spec.selector is not None:
            return workload.spec.selector
    raise FaultError(
        f"{namespace} has neither a Service nor a {', '.join(_WORKLOADS[:-1])} or {_WORKLOADS[-1]} `{name}`"
    )


def _selector_of_owner(client: Client, namespace: str, kind: str, name: str) -> str:
    workload = client.find(path_of(kind, namespace, name), Workload)
    if workload is None:
        raise FaultError(f"there is no {kind} `{name}` in {namespace}")
    if workload.spec.selector is None:
        raise FaultError(f"the {kind} `{name}` in {namespace} has no selector")
    return str(workload.spec.selector)


def find_pods(client: Client, namespace: str, request: FaultRequest, selector: str | None = None) -> Pods:
    """The live pods that a target means now: none that has ended or is about to. Raises FaultError, ClusterError."""
    where = request.where
    if selector is None:
        selector = selector_of(client, namespace, request)
    pods = client.list(path_of("Pod", namespace), Pod, labels=selector)
    if where.name:
        pods = [pod for pod in pods if fnmatchcase(pod.metadata.name, where.name)]
    if where.node:
        pods = [pod for pod in pods if fnmatchcase(pod.spec.node_name, where.node)]
    if where.zone:
        nodes = {node.metadata.name for node in client.list(path_of("Node"), Node) if node.zone == where.zone}
        pods = [pod for pod in pods if pod.spec.node_name in nodes]
    return Pods(selector, tuple(pod for pod in pods if pod.is_live))


def find_needs(namespace: str, request: FaultRequest, *services: str) -> Iterator[Permission]:
    """What it takes to find the pods of a target, and the selectors of further services."""
    yield Permission("list", "", "pods", namespace, "plan")
    if request.service or services:
        for kind in ("Service", *_WORKLOADS):
            yield Permission("get", *resource_of(kind), namespace, "plan")
    if request.where.owner:
        kind = _KIND_OF[request.where.owner.partition("/")[0]]
        yield Permission("get", *resource_of(kind), namespace, "plan")
    if request.where.zone:
        yield Permission("list", "", "nodes", None, "plan")


def choose_pods(
    pods: Sequence[Pod], request: FaultRequest, total: int, *, held: Container[str] = ()
) -> tuple[PodTarget, ...]:
    """As many as the radius allows of `total`, picked as the target says. Raises FaultError when it allows none.

    `held`: the names of those that earlier stages have and keep, which come first.
    """
    if not pods:
        raise FaultError(f"no live pod matches the target{_shown(request)}")
    number = min(allowed(request.radius, total), len(pods))
    by_name = sorted(pods, key=lambda pod: pod.metadata.name)
    match request.where.pick:
        case Pick.OLDEST | Pick.NEWEST:
            newest = request.where.pick is Pick.NEWEST
            by_name.sort(key=_created, reverse=newest)
        case Pick.RANDOM | Pick.ONE_PER_NODE:
            Random(request.seed).shuffle(by_name)
            if request.where.pick is Pick.ONE_PER_NODE:
                by_name = _round_robin(by_name)
    by_name.sort(key=lambda pod: pod.metadata.name not in held)
    return tuple(PodTarget(pod.metadata.name, pod.metadata.uid, pod.spec.node_name) for pod in by_name[:number])


def _round_robin(pods: Iterable[Pod]) -> list[Pod]:
    turn: dict[str, int] = {}
    numbered = []
    for pod in pods:
        turn[pod.spec.node_name] = turn.get(pod.spec.node_name, 0) + 1
        numbered.append((turn[pod.spec.node_name], pod))
    numbered.sort(key=lambda item: item[0])
    return [pod for _, pod in numbered]


def _created(pod: Pod) -> float:
    return pod.metadata.creation_timestamp.timestamp() if pod.metadata.creation_timestamp else 0.0


def _shown(request: FaultRequest) -> str:
    named = [request.service, *(getattr(request.where, key) for key in ("owner", "selector", "name", "node", "zone"))]
    return f" ({', '.join(filter(None, named))})" if any(named) else ""


def groups_of(client: Client, namespace: str, pods: Iterable[Pod]) -> tuple[Group, ...]:
    """The workloads behind these pods. Raises FaultError when a pod has none: nothing would bring it back."""
    found: dict[str, Group] = {}
    count: dict[str, int] = {}
    for pod in pods:
        owner = pod.metadata.controller
        if owner is None:
            raise FaultError(f"the pod {pod.metadata.name} has no controller: nothing would bring it back")
        count[owner.uid] = count.get(owner.uid, 0) + 1
        if owner.uid not in found:
            found[owner.uid] = _group(client, namespace, owner.kind, owner.name)
    # Of a controller that we do not know, what there is must do for what it wants.
    groups = (
        msgspec.structs.replace(group, desired=max(group.desired, count[uid] if group.desired < 0 else 0))
        for uid, group in found.items()
    )
    return tuple(dict.fromkeys(groups))


def _group(client: Client, namespace: str, kind: str, name: str) -> Group:
    if kind not in _KIND_OF.values() or kind == "Job":
        return Group(kind, name, -1)
    workload = client.find(path_of(kind, namespace, name), Workload)
    if workload is None:
        return Group(kind, name, -1)
    parent = workload.metadata.controller
    if kind == "ReplicaSet" and parent is not None:
        return _group(client, namespace, parent.kind, parent.name)
    return Group(kind, name, workload.desired)


def reach_of(pods: Pods, targets: Iterable[PodTarget], groups: Iterable[Group]) -> Reach:
    """The targets and what does not serve anyway, of all that there are or should be."""
    wanted = sum(group.desired for group in groups)
    total = max(len(pods.live), wanted)
    names = {target.name for target in targets}
    down = {pod.metadata.name for pod in pods.live if not pod.is_ready}
    return Reach(len(names | down) + max(0, wanted - len(pods.live)), total, "pods")


def not_recovered(client: Client, namespace: str, groups: Iterable[Group]) -> list[str]:
    """What keeps the workloads from being as they were: too few ready pods, and why.

    The pods count as well as the workload's status, which its controller writes a while after a pod has gone.
    """
    wrong = []
    for group in groups:
        if group.kind not in _KIND_OF.values() or group.kind == "Job":
            continue
        workload = client.find(path_of(group.kind, namespace, group.name), Workload)
        if workload is None:
            wrong.append(f"{group} is gone")
            continue
        pods = client.list(path_of("Pod", namespace), Pod, labels=str(workload.spec.selector))
        ready = min(workload.ready, sum(pod.is_ready for pod in pods))
        if ready < workload.desired or workload.status.observed_generation < workload.metadata.generation:
            troubles = [f"{pod.metadata.name}: {pod.trouble}" for pod in pods if pod.is_live and pod.trouble]
            detail = f" ({'; '.join(troubles[:3])}{', …' if len(troubles) > 3 else ''})" if troubles else ""
            wrong.append(f"{group} has {ready} of {workload.desired} pods ready{detail}")
    return wrong


def ready_endpoints(client: Client, namespace: str, service: str) -> int:
    """How many endpoints of the Service take traffic."""
    slices = client.list(
        path_of("EndpointSlice", namespace), EndpointSlice, labels=f"kubernetes.io/service-name={service}"
    )
    return sum(item.ready for item in slices)


def budgets_over(client: Client, namespace: str, pods: Iterable[Pod]) -> list[tuple[Budget, int]]:
    """The PodDisruptionBudgets that cover any of these pods, and how many of them."""
    chosen = list(pods)
    found = []
    for budget in client.list(path_of("PodDisruptionBudget", namespace), Budget):
        selector = budget.spec.selector
        covered = sum(selector.matches(pod.metadata.labels) for pod in chosen) if selector else 0
        if covered:
            found.append((budget, covered))
    return found


def table_of(pods: Pods, targets: Iterable[PodTarget]) -> Table:
    """A row for each target."""
    now = datetime.now(UTC)
    by_uid = {pod.metadata.uid: pod for pod in pods.live}
    rows = []
    for target in targets:
        pod = by_uid.get(target.uid)
        if pod is not None:
            owner = pod.metadata.controller
            rows.append(
                (
                    pod.metadata.name,
                    pod.spec.node_name or "-",
                    f"{owner.kind}/{owner.name}" if owner else "-",
                    age(pod.metadata.creation_timestamp, now),
                    "ready" if pod.is_ready else pod.trouble,
                )
            )
    return Table(("pod", "node", "owner", "age", "state"), tuple(rows))


def left_healthy(pods: Pods, names: Container[str]) -> Remark:
    """How many pods stay ready that bear none of these names."""
    left = sum(pod.is_ready and pod.metadata.name not in names for pod in pods.live)
    outcome = CheckOutcome.OK if left else CheckOutcome.WARNING
    return Remark("left healthy", outcome, f"{left} of {len(pods.live)} pods stay ready")


def age(created: datetime | None, now: datetime) -> str:
    """As kubectl says it: "3d", "4h", "12m", "7s"."""
    if created is None:
        return "-"
    seconds = max(0, int((now - created).total_seconds()))
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def uids(objects: Iterable[Object | Pod]) -> frozenset[str]:
    """Their uids."""
    return frozenset(item.metadata.uid for item in objects)
