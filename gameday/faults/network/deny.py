"""network/deny: pods that nobody reaches, or not this one caller, or that reach nobody, by a NetworkPolicy."""

from collections.abc import Iterable, Iterator
from typing import ClassVar

from gameday.common.json import JsonObject
from gameday.faults.base import (
    FaultError,
    FaultRequest,
    Parameter,
    ParameterKind,
    Patience,
    Permission,
    Radius,
    Reach,
    Remark,
    Table,
)
from gameday.faults.cluster.base import TARGET_KEYS, Place, namespaced
from gameday.faults.cluster.change import annotation_of, read_fields
from gameday.faults.cluster.changing import (
    READY_WITHIN,
    ChangeFault,
    ChangePlan,
    change_needs,
    create_needs,
    ready_within_s,
)
from gameday.faults.cluster.created import Created, earlier_names, name_for, remove_by_hand
from gameday.faults.cluster.pointers import escaped
from gameday.faults.cluster.targets import (
    Pods,
    PodTarget,
    choose_pods,
    find_needs,
    find_pods,
    reach_of,
    ready_endpoints,
    selector_of_service,
    table_of,
)
from gameday.faults.network.policies import EGRESS, INGRESS, everybody_but, refuse_allowing
from gameday.journal.events import CheckOutcome
from gameday.kubernetes.client import Client
from gameday.kubernetes.objects import Pod, path_of

_DIRECTIONS = {"ingress": (INGRESS,), "egress": (EGRESS,), "both": (INGRESS, EGRESS)}
_INJECT_S, _POD_S = 30.0, 0.5  # for all, and for each pod


class DenyPlan(ChangePlan, frozen=True):
    """`changes` label the pods, and `created` is the policy for that label. `pods` are all that are hit,
    those of earlier stages among them; `ready`: the names of those that served before."""

    request: FaultRequest = FaultRequest("", Radius())
    selector: str = ""
    pods: tuple[PodTarget, ...] = ()
    ready: tuple[str, ...] = ()
    direction: str = "ingress"


class Deny(ChangeFault[DenyPlan]):
    """Labels pods and creates a NetworkPolicy for the label; works only where the network plugin enforces these.

    Pods that the workload brings meanwhile do not bear the label, and are reached. So may, where the plugin takes an
    `ipBlock` for pods too, a pod of the caller (`from`) that comes with a new address. Whether connections that are
    open already end is up to the plugin. Policies for the whole cluster (AdminNetworkPolicy) are not looked at.
    """

    name = "network/deny"
    summary = "cut pods off: nobody reaches them, or not one caller, or they reach nobody"
    target_keys: ClassVar = TARGET_KEYS | {"from"}
    parameters: ClassVar = {
        "direction": Parameter(
            ParameterKind.CHOICE,
            "which traffic ends: to the pods, from them, or both",
            default="ingress",
            choices=tuple(_DIRECTIONS),
        ),
        "ready-within": READY_WITHIN,
    }
    plan_type = DenyPlan

    def prepare(self, client: Client, place: Place, request: FaultRequest) -> DenyPlan:
        direction = str(request.arguments.get("direction", "ingress"))
        if request.caller and direction != "ingress":
            raise FaultError(f"what is denied to one caller is ingress: leave out `direction: {direction}`, or `from`")
        pods = find_pods(client, place.namespace, request)
        held = frozenset(request.already)
        serving = [pod for pod in pods.live if pod.is_ready or pod.metadata.name in held]
        targets = choose_pods(serving or pods.live, request, len(pods.live), held=held)
        names = {target.name for target in targets}
        hit = [pod for pod in pods.live if pod.metadata.name in names]
        _refuse_host_network(hit)
        refuse_allowing(client, place.namespace, hit, _DIRECTIONS[direction], earlier_names(place.stamp))
        label = {_label(place): name_for(place.stamp)}
        pointer = f"/metadata/labels/{escaped(_label(place))}"
        changes = [read_fields(client, place, "Pod", name, {pointer: name_for(place.stamp)}) for name in sorted(names)]
        spec: JsonObject = {"podSelector": {"matchLabels": label}, "policyTypes": list(_DIRECTIONS[direction])}
        if request.caller:
            spec["ingress"] = [{"from": _all_but(client, place, request.caller)}]
        policy = Created("NetworkPolicy", name_for(place.stamp), {"spec": spec})
        return DenyPlan(
            place,
            tuple(changes),
            (policy,),
            ready_within_s(request),
            request,
            pods.selector,
            targets,
            tuple(pod.metadata.name for pod in hit if pod.is_ready),
            direction,
        )

    def targets(self, plan: DenyPlan) -> tuple[str, ...]:
        return tuple(target.name for target in plan.pods)

    def measure(self, client: Client, plan: DenyPlan) -> Reach:
        return reach_of(_now(client, plan), plan.pods, ())

    def unsettled(self, client: Client, plan: DenyPlan) -> Iterable[str]:
        """Of the pods that this plan changes, and which served before: those that are there, and do not."""
        if not plan.changes:
            return  # a part of the plan, from the policy's mark
        uids, pods = {change.uid for change in plan.changes}, _now(client, plan).live
        for pod in pods:
            if pod.metadata.uid in uids and pod.metadata.name in plan.ready and not pod.is_ready:
                yield f"{pod.metadata.name} does not serve yet ({pod.trouble})"
        if service := plan.request.service:
            endpoints, serving = (
                ready_endpoints(client, plan.place.namespace, service),
                sum(pod.is_ready for pod in pods),
            )
            if 0 < endpoints < serving:  # none: there may be no Service of that name
                yield f"the Service {service} has {endpoints} endpoints that take traffic, and {serving} pods are ready"

    def describe(self, plan: DenyPlan) -> str:
        names, namespace = ", ".join(self.targets(plan)), plan.place.namespace
        if plan.request.caller:
            return f"let {plan.request.caller} not reach {names} in {namespace}"
        return {
            "ingress": f"let nobody reach {names} in {namespace}",
            "egress": f"let {names} in {namespace} reach nobody",
            "both": f"let nobody reach {names} in {namespace}, and these reach nobody",
        }[plan.direction]

    def by_hand(self, plan: DenyPlan) -> str:
        label, mark = _label(plan.place), annotation_of(plan.place.stamp)
        pods = f"pods -l {label}={name_for(plan.place.stamp)}"
        kubectl = plan.place.kubectl
        return " && ".join(
            [
                remove_by_hand(plan.place, Created("NetworkPolicy", name_for(plan.place.stamp))),
                f"{kubectl} annotate {pods} {mark}-",
                f"{kubectl} label {pods} {label}-",
            ]
        )

    def patience(self, plan: DenyPlan) -> Patience:
        more = _POD_S * len(plan.changes)
        return Patience(_INJECT_S + more, plan.ready_within_s + more)

    def needs(self, namespace: str, request: FaultRequest) -> Iterator[Permission]:
        yield from change_needs("Pod", namespace)
        yield from create_needs("NetworkPolicy", namespace)
        yield from find_needs(namespace, request, *filter(None, [request.caller]))
        yield from namespaced(("list", "networking.k8s.io", "networkpolicies"), purpose="plan", namespace=namespace)
        for purpose in ("inject", "undo"):
            yield from namespaced(("list", "", "pods"), purpose=purpose, namespace=namespace)
        if request.service:
            yield from namespaced(("list", "discovery.k8s.io", "endpointslices"), purpose="undo", namespace=namespace)

    def look(self, client: Client, plan: DenyPlan) -> tuple[Table, list[Remark]]:
        pods, names = _now(client, plan), set(self.targets(plan))
        left = sum(pod.is_ready and pod.metadata.name not in names for pod in pods.live)
        outcome = CheckOutcome.OK if left or plan.request.caller else CheckOutcome.WARNING
        plugin = "it works only where the cluster's network plugin enforces NetworkPolicies, which the API cannot tell"
        return table_of(pods, plan.pods), [
            Remark("left healthy", outcome, f"{left} of {len(pods.live)} pods stay ready and are not cut off"),
            Remark("network plugin", CheckOutcome.OK, plugin),
        ]


def _label(place: Place) -> str:
    """By which the policy of a stage finds its pods."""
    return f"gameday.dev/denied-{place.stamp.fault_id}"


def _all_but(client: Client, place: Place, caller: str) -> list[JsonObject]:
    """The peers that are let in. Raises FaultError when there is no caller."""
    selector = selector_of_service(client, place.namespace, caller)
    pods = [pod for pod in client.list(path_of("Pod", place.namespace), Pod, labels=str(selector)) if pod.is_live]
    if not pods:
        raise FaultError(f"no live pod of {caller} is there that could be denied anything")
    _refuse_host_network(pods)
    return everybody_but(selector, pods, place.namespace)


def _refuse_host_network(pods: Iterable[Pod]) -> None:
    names = [pod.metadata.name for pod in pods if pod.spec.host_network]
    if names:
        raise FaultError(
            f"{', '.join(names)}: in the node's own network (hostNetwork), to which no NetworkPolicy applies"
        )


def _now(client: Client, plan: DenyPlan) -> Pods:
    return find_pods(client, plan.place.namespace, plan.request, plan.selector)
