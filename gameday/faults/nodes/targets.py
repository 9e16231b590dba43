"""Finds the nodes that a target means, and what faults on nodes have in common: whom they take, how much that is."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from random import Random
from typing import ClassVar

import msgspec

from gameday.faults.base import FaultError, FaultRequest, Permission, Pick, Reach, Remark, System, Table, allowed
from gameday.faults.cluster.base import Place, base_needs, ensure_nodes_allowed, namespaced
from gameday.faults.cluster.change import Change, read_fields
from gameday.faults.cluster.changing import ChangeFault, ChangePlan
from gameday.faults.cluster.targets import Pods, age, find_pods
from gameday.journal.events import CheckOutcome
from gameday.kubernetes.client import Client
from gameday.kubernetes.objects import Node, path_of, resource_of

UNSCHEDULABLE = "/spec/unschedulable"  # the API leaves it out when it is false
_WORKLOADS = ("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet")


class Nodes(msgspec.Struct, frozen=True):
    """What a target means now. `every`: all of the cluster; `pods`: the target's, None when it names nodes alone."""

    every: tuple[Node, ...]
    meant: tuple[Node, ...]
    pods: Pods | None


class NodePlan(ChangePlan, frozen=True, kw_only=True):
    """A change for each node, those of earlier stages too."""

    request: FaultRequest

    @property
    def nodes(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(change.name for change in self.changes)


class NodeFault[P: NodePlan](ChangeFault[P]):
    """Cordons nodes, at the least. Nodes that somebody else has cordoned are neither chosen nor uncordoned."""

    target_keys: ClassVar = frozenset({"service", "selector", "owner", "node", "zone", "namespace", "cluster", "pick"})

    def ensure_allowed(self, client: Client, plan: P, system: System) -> None:
        ensure_nodes_allowed(plan.nodes, system)

    def measure(self, client: Client, plan: P) -> Reach:
        return node_reach(find_nodes(client, plan.place.namespace, plan.request, plan.nodes), plan.nodes)


def is_free(node: Node) -> bool:
    """Whether pods may be put there."""
    return node.is_ready and not node.spec.unschedulable


def find_nodes(client: Client, namespace: str, request: FaultRequest, held: Iterable[str]) -> Nodes:
    """The nodes that a target means. `held`: names of those that we have taken: what ran there may have gone elsewhere.

    Raises FaultError when there is none, and ClusterError.
    """
    where, held = request.where, frozenset(held)
    every = tuple(client.list(path_of("Node"), Node))
    meant = [
        node
        for node in every
        if (not where.node or fnmatchcase(node.metadata.name, where.node))
        and (not where.zone or node.zone == where.zone)
    ]
    pods = None
    if _names_pods(request):
        anywhere = msgspec.structs.replace(request, where=msgspec.structs.replace(where, node=None, zone=None))
        pods = find_pods(client, namespace, anywhere)
        hosts = held.union(pod.spec.node_name for pod in pods.live)
        meant = [node for node in meant if node.metadata.name in hosts]
    if not meant:
        named = filter(None, (request.service, where.owner, where.selector, where.node, where.zone))
        raise FaultError(f"no node matches the target ({', '.join(named)})")
    return Nodes(every, tuple(meant), pods)


def _names_pods(request: FaultRequest) -> bool:
    return bool(request.service or request.where.owner or request.where.selector)


def choose_nodes(client: Client, place: Place, request: FaultRequest) -> tuple[Nodes, tuple[Change, ...]]:
    """What the target means, and the change that cordons each node of this stage: those of earlier stages come first.

    Raises FaultError when the radius allows none, or none is free.
    """
    already = {name.removeprefix("node/") for name in request.already}
    found = find_nodes(client, place.namespace, request, already)
    number = allowed(request.radius, len(found.meant))

    def cordoned(nodes: Sequence[Node]) -> list[Change]:
        return [
            read_fields(client, place, "Node", node.metadata.name, {UNSCHEDULABLE: True})
            for node in sorted(nodes, key=lambda node: node.metadata.name)
        ]

    changes = cordoned([node for node in found.meant if node.metadata.name in already])
    # One that was cordoned before our first stage is somebody's, or our mark is no longer there to tell.
    changes = [change for change in changes if not change.fields[0].before][:number]
    kept = {change.name for change in changes}
    fresh = _picked([node for node in found.meant if is_free(node) and node.metadata.name not in kept], request)
    changes += cordoned(fresh[: number - len(changes)])
    if not changes:
        raise FaultError(
            f"none of the target's {len(found.meant)} node{'s' * (len(found.meant) != 1)} is ready and schedulable"
        )
    return found, tuple(changes)


def _picked(nodes: Sequence[Node], request: FaultRequest) -> list[Node]:
    by_name = sorted(nodes, key=lambda node: node.metadata.name)
    match request.where.pick:
        case Pick.OLDEST | Pick.NEWEST:
            newest = request.where.pick is Pick.NEWEST
            epoch = datetime.fromtimestamp(0, UTC)
            by_name.sort(key=lambda node: node.metadata.creation_timestamp or epoch, reverse=newest)
        case Pick.RANDOM:
            Random(request.seed).shuffle(by_name)
        case Pick.ONE_PER_NODE:
            raise FaultError("`pick: one-per-node` is for pods: nodes are picked random, oldest or newest")
    return by_name


def node_reach(found: Nodes, names: Iterable[str]) -> Reach:
    """The targets and the nodes that take no pods anyway, of the target's."""
    meant = {node.metadata.name for node in found.meant}
    taken = {node.metadata.name for node in found.meant if not is_free(node)}
    return Reach(len(taken.union(names)), len(meant.union(names)), "nodes")


def node_table(found: Nodes, names: Sequence[str]) -> Table:
    """A row for each target."""
    now, by_name = datetime.now(UTC), {node.metadata.name: node for node in found.every}
    rows = [
        (name, by_name[name].zone or "-", age(by_name[name].metadata.creation_timestamp, now), _state(by_name[name]))
        for name in names
        if name in by_name
    ]
    return Table(("node", "zone", "age", "state"), tuple(rows))


def _state(node: Node) -> str:
    states = ["ready" if node.is_ready else "not ready"]
    return ", ".join(states + ["cordoned"] * node.spec.unschedulable)


def left_schedulable(found: Nodes, names: Sequence[str]) -> Remark:
    """Whether there is another node for pods to go to."""
    left = sum(is_free(node) and node.metadata.name not in names for node in found.every)
    detail = f"{left} of {len(found.every)} nodes stay ready and schedulable"
    if left:
        return Remark("left schedulable", CheckOutcome.OK, detail)
    return Remark("left schedulable", CheckOutcome.WARNING, f"{detail}: new pods would have no node to go to")


def node_needs(namespace: str, request: FaultRequest, pods_in: str | None) -> Iterator[Permission]:
    """What it takes to find nodes, to cordon them and to uncordon them. `pods_in`: where pods are looked for, None:
    everywhere."""
    yield from base_needs(namespace)
    for purpose, verbs in (("plan", "get list"), ("inject", "get list patch"), ("undo", "get list patch")):
        yield from namespaced((verbs, "", "nodes"), purpose=purpose, namespace=None)
    if _names_pods(request):
        yield from namespaced(("get", "", "services"), purpose="plan", namespace=namespace)
        yield from workload_needs("plan", pods_in)
        yield from namespaced(("list", "", "pods"), purpose="plan", namespace=pods_in)


def workload_needs(purpose: str, namespace: str | None) -> Iterator[Permission]:
    """What it takes to look at workloads."""
    for kind in _WORKLOADS:
        yield from namespaced(("get", *resource_of(kind)), purpose=purpose, namespace=namespace)
