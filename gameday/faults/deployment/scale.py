"""deployment/scale: a Deployment has fewer replicas, as when somebody, or an autoscaler, got it wrong."""

from collections.abc import Iterator
from typing import ClassVar

import msgspec

from gameday.faults.base import FaultError, FaultRequest, Permission, Reach, allowed
from gameday.faults.cluster.base import Place, namespaced
from gameday.faults.cluster.change import read_fields
from gameday.faults.cluster.changing import READY_WITHIN, ChangeFault, ChangePlan, change_needs, ready_within_s
from gameday.faults.cluster.targets import Group, not_recovered
from gameday.faults.deployment.rollout import deployment_of
from gameday.kubernetes.client import Client
from gameday.kubernetes.objects import Anything, Workload, path_of

_REPLICAS = "/spec/replicas"


class ScalePlan(ChangePlan, frozen=True):
    """`change.fields` has the replicas before and after."""

    @property
    def before(self) -> int:
        """How many replicas it has without us."""
        return _number(self.change.fields[0].before)

    @property
    def after(self) -> int:
        """How many the fault leaves."""
        return _number(self.change.fields[0].after)


class Scale(ChangeFault[ScalePlan]):
    """Takes replicas away: as many as the blast radius says. The undo gives them back and waits until they serve."""

    name = "deployment/scale"
    summary = "take replicas away from a Deployment"
    target_keys: ClassVar = frozenset({"service", "owner", "namespace", "cluster"})
    parameters: ClassVar = {"ready-within": READY_WITHIN}
    plan_type = ScalePlan

    def prepare(self, client: Client, place: Place, request: FaultRequest) -> ScalePlan:
        name = deployment_of(request)
        _refuse_autoscaler(client, place, name)
        change = read_fields(client, place, "Deployment", name, {_REPLICAS: 0})
        before = _number(change.fields[0].before)
        field = msgspec.structs.replace(change.fields[0], after=before - allowed(request.radius, before))
        change = msgspec.structs.replace(change, fields=(field,))
        return ScalePlan(place, (change,), ready_within_s=ready_within_s(request))

    def measure(self, client: Client, plan: ScalePlan) -> Reach:
        workload = client.get(path_of("Deployment", plan.place.namespace, plan.change.name), Workload)
        # What does not serve for another reason might be among those that stay.
        unready = max(0, workload.desired - workload.ready)
        return Reach(min(plan.before, plan.before - plan.after + unready), plan.before, "pods")

    def unsettled(self, client: Client, plan: ScalePlan) -> list[str]:
        return not_recovered(client, plan.place.namespace, [Group("Deployment", plan.change.name, plan.before)])

    def describe(self, plan: ScalePlan) -> str:
        return f"scale deployment/{plan.change.name} in {plan.place.namespace} from {plan.before} to {plan.after}"

    def needs(self, namespace: str, request: FaultRequest) -> Iterator[Permission]:
        yield from change_needs("Deployment", namespace)
        yield from namespaced(("list", "autoscaling", "horizontalpodautoscalers"), purpose="plan", namespace=namespace)


def _refuse_autoscaler(client: Client, place: Place, name: str) -> None:
    """An autoscaler would give the replicas back at once, and the undo would take it for somebody's wish."""
    for found in client.list(path_of("HorizontalPodAutoscaler", place.namespace), Anything):
        target = (found.spec or {}).get("scaleTargetRef") or {}
        if (target.get("kind"), target.get("name")) == ("Deployment", name):
            raise FaultError(
                f"the HorizontalPodAutoscaler `{found.metadata.name}` scales deployment/{name}: it would work against "
                "this fault; use pods/kill"
            )


def _number(value: object) -> int:
    return value if isinstance(value, int) else 1  # the API's default
