"""service/break-selector: a Service selects nothing, as after a typing error: a dependency is gone, and its pods are
well."""

from collections.abc import Iterator
from typing import ClassVar

from gameday.faults.base import FaultError, FaultRequest, Parameter, ParameterKind, Permission, Radius, Reach
from gameday.faults.cluster.base import Place, namespaced
from gameday.faults.cluster.change import read_fields
from gameday.faults.cluster.changing import ChangeFault, ChangePlan, change_needs, ready_within_s
from gameday.faults.cluster.targets import ready_endpoints
from gameday.kubernetes.client import Client
from gameday.kubernetes.objects import Pod, Selector, Service, path_of

_BROKEN = "/spec/selector/gameday.dev~1broken"  # a label that no pod has


class BreakSelectorPlan(ChangePlan, frozen=True):
    """`endpoints`: how many took traffic before. `selector`: the labels that the Service's pods have."""

    endpoints: int = 0
    selector: str = ""


class BreakSelector(ChangeFault[BreakSelectorPlan]):
    """Adds a label that no pod has to a Service's selector. The undo takes it away and waits for the endpoints."""

    name = "service/break-selector"
    summary = "let a Service select nothing: a dependency vanishes, though its pods are well"
    target_keys: ClassVar = frozenset({"service", "namespace", "cluster"})
    parameters: ClassVar = {
        "ready-within": Parameter(
            ParameterKind.DURATION, "how long the undo waits for endpoints", default="3m", minimum=1, maximum=7200
        ),
    }
    plan_type = BreakSelectorPlan

    def prepare(self, client: Client, place: Place, request: FaultRequest) -> BreakSelectorPlan:
        name = request.service
        service = client.find(path_of("Service", place.namespace, name), Service)
        if service is None:
            raise FaultError(f"there is no Service `{name}` in {place.namespace}")
        if not service.spec.selector:
            raise FaultError(f"the Service `{name}` in {place.namespace} has no selector that could be broken")
        if f"service/{name}" in request.already:
            raise FaultError(f"a Service breaks as a whole, and an earlier stage has broken {name}: one stage will do")
        change = read_fields(client, place, "Service", name, {_BROKEN: place.stamp.run})
        if change.fields[0].before is not None:
            raise FaultError(f"the selector of the Service `{name}` in {place.namespace} is broken already")
        endpoints = ready_endpoints(client, place.namespace, name)
        _check_radius(name, request.radius, endpoints)
        selector = str(Selector(match_labels=service.spec.selector))
        return BreakSelectorPlan(
            place, (change,), ready_within_s=ready_within_s(request), endpoints=endpoints, selector=selector
        )

    def measure(self, client: Client, plan: BreakSelectorPlan) -> Reach:
        total = max(plan.endpoints, ready_endpoints(client, plan.place.namespace, plan.change.name))
        return Reach(total, total, "endpoints")

    def unsettled(self, client: Client, plan: BreakSelectorPlan) -> list[str]:
        namespace, name = plan.place.namespace, plan.change.name
        ready = ready_endpoints(client, namespace, name)
        if ready >= plan.endpoints:
            return []
        # Fewer are right when there are fewer pods by now.
        pods = sum(pod.is_live for pod in client.list(path_of("Pod", namespace), Pod, labels=plan.selector))
        if ready >= pods:
            return []
        return [f"the Service {name} has {ready} endpoints that take traffic, before {plan.endpoints}"]

    def describe(self, plan: BreakSelectorPlan) -> str:
        return f"let service/{plan.change.name} in {plan.place.namespace} select none of its {plan.endpoints} endpoints"

    def needs(self, namespace: str, request: FaultRequest) -> Iterator[Permission]:
        yield from change_needs("Service", namespace)
        for purpose in ("plan", "inject", "undo"):
            yield from namespaced(("list", "discovery.k8s.io", "endpointslices"), purpose=purpose, namespace=namespace)


def _check_radius(name: str, radius: Radius, endpoints: int) -> None:
    if not endpoints:
        raise FaultError(f"the Service `{name}` has no endpoint that takes traffic: nothing would be hit")
    whole = radius.count >= endpoints if radius.count is not None else radius.share == 1
    if not whole:
        raise FaultError(
            f"a Service breaks as a whole, with all of its {endpoints} endpoints: the blast radius must be 100%, "
            f"not {radius}"
        )
