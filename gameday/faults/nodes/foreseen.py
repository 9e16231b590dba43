"""What preflight says of a drain: the pods that it evicts, and what these would leave behind."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime

from gameday.faults.base import Remark, Table
from gameday.faults.cluster.targets import age
from gameday.faults.nodes.residents import Resident, Workload
from gameday.journal.events import CheckOutcome
from gameday.kubernetes import objects
from gameday.kubernetes.client import Client
from gameday.kubernetes.objects import path_of


def left_healthy(client: Client, pods: Mapping[Workload, Iterable[Resident]]) -> Remark:
    """Which workloads would have no ready pod left. Raises ClusterError."""
    bare = []
    for workload, some in pods.items():
        group = workload.group
        if group.kind in ("Deployment", "ReplicaSet", "StatefulSet"):
            found = client.find(path_of(group.kind, workload.namespace, group.name), objects.Workload)
            if found is not None and found.ready <= sum(pod.is_ready for pod in some):
                bare.append(str(workload))
    if bare:
        return Remark("left healthy", CheckOutcome.WARNING, f"no ready pod would be left of {', '.join(bare)}")
    return Remark("left healthy", CheckOutcome.OK, "every workload keeps a ready pod")


def lost(pods: Iterable[Resident]) -> Iterator[Remark]:
    """Whose files are gone with them."""
    names = [pod.full_name for pod in pods if pod.has_scratch]
    if names:
        yield Remark("emptyDir", CheckOutcome.WARNING, f"what {', '.join(names)} keep in an emptyDir would be lost")


def not_awaited(workloads: Iterable[Workload]) -> Iterator[Remark]:
    """Those that were not well before."""
    names = [str(workload) for workload in workloads if not workload.was_well]
    if names:
        detail = f"{', '.join(names)} lack pods already: the undo does not wait for them"
        yield Remark("not well", CheckOutcome.WARNING, detail)


def pod_table(pods: Iterable[Resident]) -> Table:
    """A row for each pod, by node."""
    now = datetime.now(UTC)
    rows = []
    for pod in sorted(pods, key=lambda pod: (pod.spec.node_name, pod.full_name)):
        owner = pod.metadata.controller
        rows.append(
            (
                pod.spec.node_name,
                pod.metadata.name,
                pod.metadata.namespace,
                f"{owner.kind}/{owner.name}" if owner else "-",
                age(pod.metadata.creation_timestamp, now),
                pod.trouble or "ready",
            )
        )
    return Table(("node", "pod", "namespace", "owner", "age", "state"), tuple(rows))
