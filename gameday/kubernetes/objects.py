"""The parts of Kubernetes' objects that faults look at; the rest is skipped while an answer is read.

Reference: https://kubernetes.io/docs/reference/kubernetes-api/
"""

from datetime import datetime
from typing import Any

import msgspec

from gameday.kubernetes.client import join

ZONE = "topology.kubernetes.io/zone"  # https://kubernetes.io/docs/reference/labels-annotations-taints/


class OwnerReference(msgspec.Struct, frozen=True, rename="camel"):
    kind: str
    name: str
    uid: str
    api_version: str = ""
    controller: bool | None = None


class Meta(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    uid: str = ""
    namespace: str = ""
    resource_version: str = ""
    generation: int = 0
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    owner_references: tuple[OwnerReference, ...] | None = None
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None

    @property
    def controller(self) -> OwnerReference | None:
        """Who brings it back, or None."""
        return next((owner for owner in self.owner_references or () if owner.controller), None)


class Object(msgspec.Struct, frozen=True):
    """Anything that has metadata."""

    metadata: Meta


class Condition(msgspec.Struct, frozen=True):
    type: str
    status: str


class _Waiting(msgspec.Struct, frozen=True):
    reason: str = ""


class _Running(msgspec.Struct, frozen=True, rename="camel"):
    started_at: datetime | None = None


class _State(msgspec.Struct, frozen=True):
    waiting: _Waiting | None = None
    running: _Running | None = None


class ContainerStatus(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    ready: bool = False
    restart_count: int = 0
    container_id: str = msgspec.field(name="containerID", default="")
    state: _State = _State()


class _Resources(msgspec.Struct, frozen=True):
    limits: dict[str, str | int | float] | None = None


class Container(msgspec.Struct, frozen=True):
    name: str
    image: str = ""
    resources: _Resources | None = None

    def is_limited(self, resource: str) -> bool:
        """Whether it may use only so much of the resource: "cpu", "memory"."""
        limits = self.resources.limits if self.resources else None
        return resource in (limits or {})


def status_of(statuses: tuple[ContainerStatus, ...] | None, name: str) -> ContainerStatus | None:
    """That of the container of this name, if there is one."""
    return next((status for status in statuses or () if status.name == name), None)


class PodSpec(msgspec.Struct, frozen=True, rename="camel"):
    node_name: str = ""
    host_network: bool = False
    host_pid: bool = msgspec.field(name="hostPID", default=False)
    share_process_namespace: bool = False
    restart_policy: str = "Always"
    containers: tuple[Container, ...] = ()
    ephemeral_containers: tuple[Container, ...] | None = None


class _PodIP(msgspec.Struct, frozen=True):
    ip: str = ""


class PodStatus(msgspec.Struct, frozen=True, rename="camel"):
    phase: str = ""
    pod_ips: tuple[_PodIP, ...] | None = msgspec.field(name="podIPs", default=None)
    conditions: tuple[Condition, ...] | None = None
    container_statuses: tuple[ContainerStatus, ...] | None = None
    ephemeral_container_statuses: tuple[ContainerStatus, ...] | None = None


class Pod(msgspec.Struct, frozen=True):
    metadata: Meta
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def is_live(self) -> bool:
        """Neither ended nor about to be."""
        return self.metadata.deletion_timestamp is None and self.status.phase not in ("Succeeded", "Failed")

    @property
    def is_ready(self) -> bool:
        """Whether it is live and serves."""
        conditions = self.status.conditions or ()
        return self.is_live and any(item.type == "Ready" and item.status == "True" for item in conditions)

    @property
    def trouble(self) -> str:
        """Why it does not serve, in Kubernetes' words: "CrashLoopBackOff", "Pending"; empty when it does."""
        if self.is_ready:
            return ""
        waiting = [
            item.state.waiting.reason
            for item in self.status.container_statuses or ()
            if item.state.waiting and item.state.waiting.reason
        ]
        return ", ".join(dict.fromkeys(waiting)) or (
            "not ready" if self.status.phase == "Running" else self.status.phase
        )


class Selector(msgspec.Struct, frozen=True, rename="camel"):
    """A label selector of a workload or a budget."""

    match_labels: dict[str, str] | None = None
    match_expressions: tuple["Requirement", ...] | None = None

    def __str__(self) -> str:
        """As a query has it: "app=payments,tier in (a,b)"."""
        parts = [f"{key}={value}" for key, value in sorted((self.match_labels or {}).items())]
        return ",".join(parts + [str(item) for item in self.match_expressions or ()])

    def matches(self, labels: dict[str, str] | None) -> bool:
        """Whether an object with these labels is selected."""
        labels = labels or {}
        return all(labels.get(key) == value for key, value in (self.match_labels or {}).items()) and all(
            item.matches(labels) for item in self.match_expressions or ()
        )


class Requirement(msgspec.Struct, frozen=True):
    key: str
    operator: str
    values: tuple[str, ...] | None = None

    def __str__(self) -> str:
        match self.operator:
            case "In" | "NotIn":
                return f"{self.key} {self.operator.lower()} ({','.join(self.values or ())})"
            case "Exists":
                return self.key
            case _:
                return f"!{self.key}"

    def matches(self, labels: dict[str, str]) -> bool:
        """Whether these labels meet it."""
        match self.operator:
            case "In":
                return labels.get(self.key) in (self.values or ())
            case "NotIn":
                return labels.get(self.key) not in (self.values or ())
            case "Exists":
                return self.key in labels
            case _:
                return self.key not in labels


class _RollingUpdate(msgspec.Struct, frozen=True, rename="camel"):
    max_unavailable: int | str | None = None
    max_surge: int | str | None = None


class Strategy(msgspec.Struct, frozen=True, rename="camel"):
    type: str = "RollingUpdate"
    rolling_update: _RollingUpdate | None = None


class Template(msgspec.Struct, frozen=True):
    spec: PodSpec = PodSpec()


class WorkloadSpec(msgspec.Struct, frozen=True, rename="camel"):
    replicas: int | None = None
    selector: Selector | None = None
    strategy: Strategy | None = None
    template: Template = Template()


class WorkloadStatus(msgspec.Struct, frozen=True, rename="camel"):
    """What the controllers of Deployment, ReplicaSet, StatefulSet and DaemonSet say."""

    observed_generation: int = 0
    replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    updated_replicas: int = 0
    desired_number_scheduled: int = 0
    number_ready: int = 0
    updated_number_scheduled: int = 0


class Workload(msgspec.Struct, frozen=True):
    """A Deployment, ReplicaSet, StatefulSet or DaemonSet."""

    metadata: Meta
    spec: WorkloadSpec = WorkloadSpec()
    status: WorkloadStatus = WorkloadStatus()

    @property
    def desired(self) -> int:
        """How many pods it wants."""
        return self.spec.replicas if self.spec.replicas is not None else self.status.desired_number_scheduled

    @property
    def ready(self) -> int:
        """How many of them serve."""
        return self.status.ready_replicas + self.status.number_ready


class ServiceSpec(msgspec.Struct, frozen=True):
    selector: dict[str, str] | None = None


class Service(msgspec.Struct, frozen=True):
    metadata: Meta
    spec: ServiceSpec = ServiceSpec()


class NodeSpec(msgspec.Struct, frozen=True):
    unschedulable: bool = False


class NodeStatus(msgspec.Struct, frozen=True):
    conditions: tuple[Condition, ...] | None = None


class Node(msgspec.Struct, frozen=True):
    metadata: Meta
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()

    @property
    def is_ready(self) -> bool:
        """Whether pods can run there."""
        return any(item.type == "Ready" and item.status == "True" for item in self.status.conditions or ())

    @property
    def zone(self) -> str:
        """Its zone; empty when it has none."""
        return (self.metadata.labels or {}).get(ZONE, "")


class BudgetSpec(msgspec.Struct, frozen=True):
    selector: Selector | None = None


class BudgetStatus(msgspec.Struct, frozen=True, rename="camel"):
    disruptions_allowed: int = 0
    current_healthy: int = 0
    desired_healthy: int = 0


class Budget(msgspec.Struct, frozen=True):
    """A PodDisruptionBudget."""

    metadata: Meta
    spec: BudgetSpec = BudgetSpec()
    status: BudgetStatus = BudgetStatus()


class _EndpointConditions(msgspec.Struct, frozen=True):
    ready: bool | None = None


class Endpoint(msgspec.Struct, frozen=True):
    conditions: _EndpointConditions = _EndpointConditions()


class EndpointSlice(msgspec.Struct, frozen=True):
    metadata: Meta
    endpoints: tuple[Endpoint, ...] | None = None

    @property
    def ready(self) -> int:
        """How many endpoints take traffic; `ready` unknown counts as so."""
        return sum(item.conditions.ready is not False for item in self.endpoints or ())


class Anything(msgspec.Struct, frozen=True):
    """An object of which any field may be asked for."""

    metadata: Meta
    spec: Any = None
    data: Any = None


# Where each kind lives: API group and version, and the plural.
_KINDS = {
    "Pod": ("api/v1", "pods"),
    "Service": ("api/v1", "services"),
    "Node": ("api/v1", "nodes"),
    "ConfigMap": ("api/v1", "configmaps"),
    "Secret": ("api/v1", "secrets"),
    "Namespace": ("api/v1", "namespaces"),
    "Deployment": ("apis/apps/v1", "deployments"),
    "ReplicaSet": ("apis/apps/v1", "replicasets"),
    "StatefulSet": ("apis/apps/v1", "statefulsets"),
    "DaemonSet": ("apis/apps/v1", "daemonsets"),
    "Job": ("apis/batch/v1", "jobs"),
    "NetworkPolicy": ("apis/networking.k8s.io/v1", "networkpolicies"),
    "PodDisruptionBudget": ("apis/policy/v1", "poddisruptionbudgets"),
    "EndpointSlice": ("apis/discovery.k8s.io/v1", "endpointslices"),
    "HorizontalPodAutoscaler": ("apis/autoscaling/v2", "horizontalpodautoscalers"),
}
KINDS = tuple(_KINDS)
CLUSTER_KINDS = ("Node", "Namespace")  # which are in no namespace


def path_of(kind: str, namespace: str | None = None, name: str = "", subresource: str = "") -> str:
    """The path of an object, or without a name of all of a kind: in a namespace, or everywhere."""
    base, plural = _KINDS[kind]
    parts = [*base.split("/"), *(("namespaces", namespace) if namespace else ()), plural]
    return join(*parts, *((name,) if name else ()), *((subresource,) if subresource else ()))


def resource_of(kind: str) -> tuple[str, str]:
    """API group and plural, as RBAC names them: ("apps", "deployments")."""
    base, plural = _KINDS[kind]
    group = base.split("/")[1] if base.startswith("apis/") else ""
    return group, plural


def api_version_of(kind: str) -> str:
    """As a manifest says it: "networking.k8s.io/v1", "v1"."""
    return _KINDS[kind][0].partition("/")[2]
