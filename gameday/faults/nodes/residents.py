"""The pods on nodes that a drain evicts, by the rules of `kubectl drain`, and the workloads that bring them back.

https://kubernetes.io/docs/tasks/administer-cluster/safely-drain-node/
"""

from collections.abc import Collection, Iterable
from socket import gethostname
from typing import Any

import msgspec

from gameday.faults.base import FaultError
from gameday.faults.cluster.targets import Group, groups_of, not_recovered
from gameday.kubernetes.client import Client
from gameday.kubernetes.objects import Pod, PodSpec, path_of

_MIRROR = "kubernetes.io/config.mirror"  # https://kubernetes.io/docs/reference/labels-annotations-taints/
_AWAITED = ("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet")  # which say how many pods they want


class _Volume(msgspec.Struct, frozen=True, rename="camel"):
    empty_dir: Any = None


class _Spec(PodSpec, frozen=True, rename="camel"):
    volumes: tuple[_Volume, ...] | None = None


class Resident(Pod, frozen=True):
    """A pod, and of its volumes what an eviction would lose."""

    spec: _Spec = _Spec()

    @property
    def full_name(self) -> str:
        """With its namespace."""
        return f"{self.metadata.namespace}/{self.metadata.name}"

    @property
    def is_evictable(self) -> bool:
        """Neither ended, nor a kubelet's own, nor a DaemonSet's, which would put it there again at once."""
        owner = self.metadata.controller
        is_daemon = owner is not None and owner.kind == "DaemonSet"
        return self.is_live and not is_daemon and _MIRROR not in (self.metadata.annotations or {})

    @property
    def has_scratch(self) -> bool:
        """Whether it has an emptyDir, whose content goes with it."""
        return any(volume.empty_dir is not None for volume in self.spec.volumes or ())


class Workload(msgspec.Struct, frozen=True):
    """What brings evicted pods back. `owners`: uids of the pods' controllers, such as a Deployment's ReplicaSets.
    `was_well`: whether it had all its pods before, and can be waited for."""

    namespace: str
    group: Group
    owners: tuple[str, ...] = ()
    was_well: bool = True

    def __str__(self) -> str:
        return f"{self.namespace}/{self.group}"


def residents(client: Client, nodes: Iterable[str], namespace: str | None) -> list[Resident]:
    """The pods that a drain of these nodes evicts: of one namespace, or of all. Raises ClusterError.

    FaultError when nothing would bring some of them back (`kubectl drain` wants --force then), or we are among them.
    """
    path = path_of("Pod", namespace)
    there = [pod for node in nodes for pod in client.list(path, Resident, fields=f"spec.nodeName={node}")]
    found = [pod for pod in there if pod.is_evictable]
    alone = [f"{pod.full_name} on {pod.spec.node_name}" for pod in found if pod.metadata.controller is None]
    if alone:
        raise FaultError(f"no controller would bring these pods back: {', '.join(alone)}")
    # Whoever is to undo it would go with it.
    ours = [pod for pod in found if client.reference.in_cluster and pod.metadata.name == gethostname()]
    if ours:
        raise FaultError(f"gameday itself runs there, in {ours[0].full_name} on {ours[0].spec.node_name}")
    return found


def by_namespace(pods: Iterable[Resident]) -> dict[str, list[Resident]]:
    """The pods of each."""
    found: dict[str, list[Resident]] = {}
    for pod in pods:
        found.setdefault(pod.metadata.namespace, []).append(pod)
    return found


def workloads_of(client: Client, pods: Iterable[Resident]) -> tuple[Workload, ...]:
    """What brings them back, as it is now. Raises ClusterError."""
    owners: dict[tuple[str, Group], list[str]] = {}
    for uid, some in _by_owner(pods).items():
        namespace = some[0].metadata.namespace
        (group,) = groups_of(client, namespace, some)
        owners.setdefault((namespace, group), []).append(uid)
    return tuple(
        Workload(namespace, group, tuple(uids), not not_recovered(client, namespace, [group]))
        for (namespace, group), uids in owners.items()
    )


def by_workload(pods: Iterable[Resident], workloads: Iterable[Workload]) -> dict[Workload, list[Resident]]:
    """The pods of each that has any."""
    of = {uid: workload for workload in workloads for uid in workload.owners}
    found: dict[Workload, list[Resident]] = {}
    for uid, some in _by_owner(pods).items():
        if uid in of:
            found.setdefault(of[uid], []).extend(some)
    return found


def strangers(client: Client, pods: Iterable[Resident], planned: Collection[Workload]) -> list[str]:
    """The workloads that no plan knows, so that no undo would wait for them. New Jobs come all the time, and end.

    Raises ClusterError.
    """
    uids = {uid for item in planned for uid in item.owners}
    known, namespaces = {str(item) for item in planned}, {item.namespace for item in planned}
    new = (pod for pod in pods if (owner := pod.metadata.controller) and owner.uid not in uids)
    return [
        str(item)
        for item in workloads_of(client, new)
        if str(item) not in known and not (item.group.kind == "Job" and item.namespace in namespaces)
    ]


def _by_owner(pods: Iterable[Resident]) -> dict[str, list[Resident]]:
    found: dict[str, list[Resident]] = {}
    for pod in pods:
        owner = pod.metadata.controller
        found.setdefault(owner.uid if owner else "", []).append(pod)
    return found


def unsettled(client: Client, workloads: Iterable[Workload]) -> list[str]:
    """What keeps those that were well from being so: too few ready pods, or pods that found no place."""
    wrong = []
    for item in workloads:
        if not item.was_well:
            continue
        namespace, group = item.namespace, item.group
        wrong += [f"{namespace}: {text}" for text in not_recovered(client, namespace, [group])]
        if group.kind not in _AWAITED:
            wrong += [
                f"{namespace}: {pod.metadata.name} of {group} is Pending"
                for pod in client.list(path_of("Pod", namespace), Pod, fields="status.phase=Pending")
                if (owner := pod.metadata.controller) and (owner.kind, owner.name) == (group.kind, group.name)
            ]
    return wrong
