"""nodes/drain: nodes are cordoned and emptied as by `kubectl drain`: for an upgrade, or before they fail."""

from collections.abc import Iterator
from contextlib import suppress
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
    System,
    Table,
    Where,
)
from gameday.faults.cluster.base import Place, namespaced
from gameday.faults.cluster.changing import READY_WITHIN, ready_within_s
from gameday.faults.cluster.targets import Group, PodTarget, find_pods, groups_of, reach_of
from gameday.faults.nodes.foreseen import left_healthy, lost, not_awaited, pod_table
from gameday.faults.nodes.residents import (
    Resident,
    Workload,
    by_namespace,
    by_workload,
    residents,
    strangers,
    unsettled,
    workloads_of,
)
from gameday.faults.nodes.targets import (
    NodeFault,
    NodePlan,
    choose_nodes,
    find_nodes,
    left_schedulable,
    node_needs,
    workload_needs,
)
from gameday.faults.pods.evicting import (
    INJECT_SLACK_S,
    BudgetError,
    budget_remarks,
    evict,
    evict_patiently,
    patient_refusal,
    within,
)
from gameday.kubernetes.client import Client
from gameday.kubernetes.objects import Pod

_WITHIN_S = 300.0
_ALL = "all"


class DrainPlan(NodePlan, frozen=True, kw_only=True):
    """`everywhere`: pods of all namespaces. `workloads`: whose pods are evicted. `service`: the workloads of the pods
    that the target names, if it does."""

    everywhere: bool
    workloads: tuple[Workload, ...]
    within_s: float
    evicted: int
    service: tuple[Group, ...] = ()

    @property
    def namespace(self) -> str | None:
        """Whose pods are evicted; None: those of all."""
        return None if self.everywhere else self.place.namespace


class Drain(NodeFault[DrainPlan]):
    """Cordons nodes and evicts what runs there. The undo uncordons them and waits until all workloads serve again."""

    name = "nodes/drain"
    summary = "cordon nodes and evict their pods, as `kubectl drain` does"
    parameters: ClassVar = {
        "pods": Parameter(
            ParameterKind.CHOICE,
            "whose pods are evicted: those of all namespaces, or of the target's alone",
            default=_ALL,
            choices=(_ALL, "namespace"),
        ),
        "within": within("5m"),
        "ready-within": READY_WITHIN,
    }
    plan_type = DrainPlan

    def prepare(self, client: Client, place: Place, request: FaultRequest) -> DrainPlan:
        found, changes = choose_nodes(client, place, request)
        plan = DrainPlan(
            place,
            changes,
            ready_within_s=ready_within_s(request),
            request=request,
            everywhere=_is_everywhere(request),
            workloads=(),
            within_s=float(request.arguments.get("within", _WITHIN_S)),
            evicted=0,
            service=groups_of(client, place.namespace, found.pods.live) if found.pods else (),
        )
        pods = residents(client, plan.nodes, plan.namespace)
        return msgspec.structs.replace(plan, workloads=workloads_of(client, pods), evicted=len(pods))

    def ensure_allowed(self, client: Client, plan: DrainPlan, system: System) -> None:
        super().ensure_allowed(client, plan, system)
        if not plan.everywhere or not system.namespaces:
            return
        foreign: dict[str, set[str]] = {}
        for pod in residents(client, plan.nodes, None):
            if pod.metadata.namespace not in system.namespaces:
                foreign.setdefault(pod.spec.node_name, set()).add(pod.metadata.namespace)
        if foreign:
            found = "; ".join(f"{node} runs pods of {', '.join(sorted(some))}" for node, some in foreign.items())
            raise FaultError(
                f"the policy keeps faults to the namespaces {', '.join(system.namespaces)}, and {found}: "
                f"`pods: namespace` evicts those of {plan.place.namespace} alone"
            )

    def measure(self, client: Client, plan: DrainPlan) -> Reach:
        nodes, there = super().measure(client, plan), {pod.metadata.uid for pod in _residents(client, plan)}
        if not plan.service:
            return nodes
        # All of the service, wherever it runs: that is what users lose a part of.
        pods = find_pods(client, plan.place.namespace, msgspec.structs.replace(plan.request, where=_anywhere(plan)))
        hit = [_target(pod) for pod in pods.live if pod.metadata.uid in there]
        return max(nodes, reach_of(pods, hit, plan.service), key=lambda reach: reach.share)

    def strike(self, client: Client, plan: DrainPlan) -> None:
        super().strike(client, plan)
        # Read anew: pods may have come until it was cordoned, and those are evicted as well.
        pods = [(pod.metadata.namespace, _target(pod)) for pod in _residents(client, plan)]
        evict_patiently(client, pods, None, plan.within_s)

    def rehearse(self, client: Client, plan: DrainPlan) -> bool:
        super().rehearse(client, plan)
        # The pods of a workload are alike, and there may be hundreds.
        for workload, (pod, *_) in by_workload(_residents(client, plan), plan.workloads).items():
            with suppress(BudgetError):  # the remark on budgets has it
                evict(client, workload.namespace, _target(pod), None, dry_run=True)
        return True

    def unsettled(self, client: Client, plan: DrainPlan) -> list[str]:
        return unsettled(client, plan.workloads)

    def describe(self, plan: DrainPlan) -> str:
        whose = "of all namespaces" if plan.everywhere else f"of {plan.place.namespace}"
        return f"drain {', '.join(plan.nodes)} of {plan.evicted} pods {whose}, within {plan.within_s:g} s"

    def patience(self, plan: DrainPlan) -> Patience:
        return Patience(inject_s=plan.within_s + INJECT_SLACK_S, undo_s=plan.ready_within_s)

    def needs(self, namespace: str, request: FaultRequest) -> Iterator[Permission]:
        where = None if _is_everywhere(request) else namespace
        yield from node_needs(namespace, request, where)
        for purpose in ("plan", "inject", "undo"):
            yield from workload_needs(purpose, where)
            yield from namespaced(("list", "", "pods"), purpose=purpose, namespace=where)
        yield from namespaced(("list", "policy", "poddisruptionbudgets"), purpose="plan", namespace=where)
        yield from namespaced(("create", "", "pods/eviction"), purpose="inject", namespace=where)

    def look(self, client: Client, plan: DrainPlan) -> tuple[Table, list[Remark]]:
        pods = _residents(client, plan)
        found = find_nodes(client, plan.place.namespace, plan.request, plan.nodes)
        return pod_table(pods), [
            left_schedulable(found, plan.nodes),
            left_healthy(client, by_workload(pods, plan.workloads)),
            *lost(pods),
            *not_awaited(plan.workloads),
            *budget_remarks(client, by_namespace(pods), lambda allowed: patient_refusal(allowed, plan.within_s)),
        ]


def _is_everywhere(request: FaultRequest) -> bool:
    return request.arguments.get("pods", _ALL) == _ALL


def _anywhere(plan: DrainPlan) -> Where:
    return msgspec.structs.replace(plan.request.where, node=None, zone=None)


def _target(pod: Pod) -> PodTarget:
    return PodTarget(pod.metadata.name, pod.metadata.uid, pod.spec.node_name)


def _residents(client: Client, plan: DrainPlan) -> list[Resident]:
    """What would be evicted now. Raises FaultError when the undo would not know what to wait for, and ClusterError."""
    found = residents(client, plan.nodes, plan.namespace)
    if unknown := strangers(client, found, plan.workloads):
        raise FaultError(
            f"pods of {', '.join(unknown)} have come to {', '.join(plan.nodes)} since the plan: plan again; "
            "none was evicted"
        )
    return found
