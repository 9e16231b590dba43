"""pods/kill: pods end, as when a node fails or a deployment goes wrong; their workload brings new ones."""

from collections.abc import Iterable, Iterator
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
    budgets_over,
    choose_pods,
    find_pods,
    groups_of,
    not_recovered,
    reach_of,
    ready_endpoints,
    table_of,
    uids,
)
from gameday.journal.events import CheckOutcome
from gameday.kubernetes.client import ApiError, Client
from gameday.kubernetes.objects import Pod, path_of


class PodKillPlan(ClusterPlan, frozen=True):
    """`endpoints`: how many of the service took traffic; None when the target names no service."""

    selector: str
    request: FaultRequest
    targets: tuple[PodTarget, ...]
    groups: tuple[Group, ...]
    grace_s: int | None
    respect_budgets: bool
    service: str
    endpoints: int | None
    ready_within_s: float


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
        "grace-period": Parameter(
            ParameterKind.DURATION,
            "how long a pod may take to end (default: its own)",
            minimum=0,
            maximum=3600,
            optional=True,
        ),
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
        for target in plan.targets:
            try:
                self._end(client, plan, target)
            except ApiError as error:
                if not error.is_missing and not error.is_conflict:  # it has ended by itself meanwhile
                    raise

    def _end(self, client: Client, plan: PodKillPlan, target: PodTarget) -> None:
        namespace = plan.place.namespace
        if not plan.respect_budgets:
            client.delete(path_of("Pod", namespace, target.name), uid=target.uid, grace_s=plan.grace_s)
            return
        evict(client, namespace, target, plan.grace_s)

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
        left = sum(pod.is_ready and pod.metadata.name not in names for pod in pods.live)
        outcome = CheckOutcome.OK if left else CheckOutcome.WARNING
        chosen = [pod for pod in pods.live if pod.metadata.name in names]
        return table_of(pods, plan.targets), [
            Remark("left healthy", outcome, f"{left} of {len(pods.live)} pods stay ready"),
            *refusals(client, plan.place.namespace, chosen, plan),
        ]


def refusals(client: Client, namespace: str, chosen: Iterable[Pod], plan: PodKillPlan) -> Iterator[Remark]:
    """The PodDisruptionBudgets that stand in the way."""
    for budget, covered in budgets_over(client, namespace, chosen):
        allowed = budget.status.disruptions_allowed
        detail = (
            f"{budget.metadata.name} allows {allowed} disruption{'s' * (allowed != 1)} now, and {covered} are meant"
        )
        if covered > allowed:
            outcome = CheckOutcome.FAILURE if plan.respect_budgets else CheckOutcome.WARNING
            ignored = "" if plan.respect_budgets else "; it is ignored, as `budgets: ignore` says"
            yield Remark("disruption budget", outcome, detail + ignored)
        else:
            yield Remark("disruption budget", CheckOutcome.OK, detail)


def evict(client: Client, namespace: str, target: PodTarget, grace_s: int | None) -> None:
    """Evict exactly this pod. Raises ClusterError, FaultError when a budget refuses."""
    options: dict[str, object] = {"preconditions": {"uid": target.uid}}
    options |= {"gracePeriodSeconds": grace_s} if grace_s is not None else {}
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": target.name, "namespace": namespace},
        "deleteOptions": options,
    }
    try:
        # The uid makes it harmless to ask twice.
        client.request("POST", path_of("Pod", namespace, target.name, "eviction"), body=body)
    except ApiError as error:
        if error.is_budget:
            reason = "; ".join(cause.message for cause in error.causes)
            raise FaultError(f"a PodDisruptionBudget keeps {target.name} from being evicted: {reason}") from None
        raise


def _now(client: Client, plan: PodKillPlan) -> Pods:
    return find_pods(client, plan.place.namespace, plan.request, plan.selector)
