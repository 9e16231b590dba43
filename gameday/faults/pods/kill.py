"""pods/kill: pods end, as when a node fails or a deployment goes wrong; their workload brings new ones."""

from collections.abc import Iterator
from contextlib import suppress
from typing import ClassVar

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
    Group,
    Pods,
    PodTarget,
    choose_pods,
    find_pods,
    groups_of,
    left_healthy,
    not_recovered,
    reach_of,
    ready_endpoints,
    table_of,
    uids,
)
from gameday.faults.pods.evicting import GRACE_PERIOD, BudgetError, budget_remarks, evict
from gameday.journal.events import CheckOutcome
from gameday.kubernetes.client import ApiError, Client
from gameday.kubernetes.objects import path_of


class PodKillPlan(ClusterPlan, frozen=True):
    """`endpoints`: how many of the service took traffic; None when the target names no service. `within_s`: how long
    is asked again for what a budget refuses."""

    selector: str
    request: FaultRequest
    targets: tuple[PodTarget, ...]
    groups: tuple[Group, ...]
    grace_s: int | None
    respect_budgets: bool
    service: str
    endpoints: int | None
    ready_within_s: float
    within_s: float = 0.0


class Kill(ClusterFault[PodKillPlan]):
    """Evicts pods, which PodDisruptionBudgets may refuse, or deletes them. The undo waits until all serve again."""

    name = "pods/kill"
    lasts = False  # their workload brings new ones
    summary = "end pods; their Deployment, StatefulSet or DaemonSet brings new ones"
    parameters: ClassVar = {
        "budgets": Parameter(
            ParameterKind.CHOICE,
            "whether PodDisruptionBudgets may refuse (eviction) or not (deletion)",
            default="respect",
            choices=("respect", "ignore"),
        ),
        "grace-period": GRACE_PERIOD,
        "force": Parameter(ParameterKind.BOOLEAN, "end at once, without a word to the containers", default="false"),
        "ready-within": READY_WITHIN,
    }
    plan_type = PodKillPlan

    def prepare(self, client: Client, place: Place, request: FaultRequest) -> PodKillPlan:
        pods = find_pods(client, place.namespace, request)
        groups = groups_of(client, place.namespace, pods.live)
        targets = choose_pods([pod for pod in pods.live if pod.is_ready] or pods.live, request, len(pods.live))
        arguments, grace_s = request.arguments, request.arguments.get("grace-period")
        if arguments.get("force") is True:
            grace_s = 0
        return PodKillPlan(
            place=place,
            selector=pods.selector,
            request=request,
            targets=targets,
            groups=groups,
            grace_s=None if grace_s is None else round(float(grace_s)),
            respect_budgets=arguments.get("budgets", "respect") == "respect",
            service=request.service,
            endpoints=ready_endpoints(client, place.namespace, request.service) if request.service else None,
            ready_within_s=ready_within_s(request),
        )

    def targets(self, plan: PodKillPlan) -> tuple[str, ...]:
        return tuple(target.name for target in plan.targets)

    def measure(self, client: Client, plan: PodKillPlan) -> Reach:
        return reach_of(_now(client, plan), plan.targets, plan.groups)

    def strike(self, client: Client, plan: PodKillPlan) -> None:
        there = uids(_now(client, plan).live)
        gone = [target.name for target in plan.targets if target.uid not in there]
        if gone:
            raise FaultError(f"{', '.join(gone)}: no longer the pods that were planned; nothing was touched")
        self.end(client, plan)

    def end(self, client: Client, plan: PodKillPlan) -> None:
        """End the targets. Raises FaultError and ClusterError."""
        for target in plan.targets:
            _end(client, plan, target)

    def rehearse(self, client: Client, plan: PodKillPlan) -> bool:
        for target in plan.targets:
            with suppress(BudgetError):  # the remark on budgets has it
                _end(client, plan, target, dry_run=True)
        return True

    def mend(self, client: Client, plan: PodKillPlan) -> None:
        wait_until_none(lambda: self.leftovers(client, plan))

    def leftovers(self, client: Client, plan: PodKillPlan) -> list[str]:
        wrong = not_recovered(client, plan.place.namespace, plan.groups)
        if plan.endpoints is not None and not wrong:
            ready = ready_endpoints(client, plan.place.namespace, plan.service)
            # Fewer are right when somebody wants fewer by now.
            if ready < plan.endpoints and ready < sum(group.desired for group in plan.groups):
                wrong.append(
                    f"the Service {plan.service} has {ready} endpoints that take traffic, before {plan.endpoints}"
                )
        return wrong

    def by_hand(self, plan: PodKillPlan) -> str:
        watched = " && ".join(
            f"{plan.place.kubectl} rollout status {group}"
            for group in plan.groups
            if group.kind in ("Deployment", "StatefulSet", "DaemonSet")
        )
        return watched or f"{plan.place.kubectl} get pods -l '{plan.selector}'"

    def describe(self, plan: PodKillPlan) -> str:
        verb = "evict" if plan.respect_budgets else "delete"
        grace = "" if plan.grace_s is None else f" with a grace period of {plan.grace_s} s"
        return f"{verb} {', '.join(self.targets(plan))} in {plan.place.namespace}{grace}"

    def patience(self, plan: PodKillPlan) -> Patience:
        return Patience(undo_s=plan.ready_within_s)

    def needs(self, namespace: str, request: FaultRequest) -> Iterator[Permission]:
        yield from base_needs(namespace)
        yield from namespaced(
            ("list", "", "pods"),
            ("get", "", "services"),
            ("get", "apps", "deployments"),
            ("get", "apps", "replicasets"),
            ("get", "apps", "statefulsets"),
            ("get", "apps", "daemonsets"),
            ("list", "policy", "poddisruptionbudgets"),
            ("list", "discovery.k8s.io", "endpointslices"),
            purpose="plan",
            namespace=namespace,
        )
        ignore = request.arguments.get("budgets") == "ignore"
        rule = ("delete", "", "pods") if ignore else ("create", "", "pods/eviction")
        yield from namespaced(rule, purpose="inject", namespace=namespace)
        yield from namespaced(("list", "", "pods"), purpose="undo", namespace=namespace)

    def look(self, client: Client, plan: PodKillPlan) -> tuple[Table, list[Remark]]:
        pods, names = _now(client, plan), set(self.targets(plan))
        chosen = [pod for pod in pods.live if pod.metadata.name in names]
        return table_of(pods, plan.targets), [
            left_healthy(pods, names),
            *budget_remarks(client, {plan.place.namespace: chosen}, lambda allowed: self.refusal(plan, allowed)),
        ]

    def refusal(self, plan: PodKillPlan, allowed: int) -> tuple[CheckOutcome, str]:
        """What it means that a budget allows fewer disruptions than are meant: the outcome, and more words on it."""
        if plan.respect_budgets:
            return CheckOutcome.FAILURE, ""
        return CheckOutcome.WARNING, "; it is ignored, as `budgets: ignore` says"


def _end(client: Client, plan: PodKillPlan, target: PodTarget, *, dry_run: bool = False) -> None:
    namespace = plan.place.namespace
    if plan.respect_budgets:
        evict(client, namespace, target, plan.grace_s, dry_run=dry_run)
        return
    path = path_of("Pod", namespace, target.name)
    try:
        client.delete(path, uid=target.uid, grace_s=plan.grace_s, dry_run=dry_run)
    except ApiError as error:
        if not error.is_missing and not error.is_conflict:  # it has ended by itself meanwhile
            raise


def _now(client: Client, plan: PodKillPlan) -> Pods:
    return find_pods(client, plan.place.namespace, plan.request, plan.selector)
