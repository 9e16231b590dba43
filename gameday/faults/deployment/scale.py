"""deployment/scale: a Deployment has fewer replicas, as when somebody, or an autoscaler, got it wrong."""

import time
from collections.abc import Iterator
from typing import ClassVar

import msgspec

from gameday.common.codec import encode
from gameday.faults.base import FaultError, FaultRequest, Parameter, ParameterKind, Patience, Permission, Reach, allowed
from gameday.faults.cluster.base import ClusterFault, ClusterPlan, Place, base_needs, namespaced
from gameday.faults.cluster.change import Change, Undo, apply, by_hand, read_fields, remains, revert
from gameday.faults.cluster.targets import Group, not_recovered
from gameday.kubernetes.client import Client
from gameday.kubernetes.objects import Anything, Workload, path_of

_REPLICAS = "/spec/replicas"
_ATTEMPT_S = 8.0
_POLL_S = 0.25


class ScalePlan(ClusterPlan, frozen=True):
    """`change.fields` has the replicas before and after."""

    change: Change
    ready_within_s: float

    @property
    def before(self) -> int:
        """How many replicas it has without us."""
        return _number(self.change.fields[0].before)

    @property
    def after(self) -> int:
        """How many the fault leaves."""
        return _number(self.change.fields[0].after)


class Scale(ClusterFault[ScalePlan]):
    """Takes replicas away: as many as the blast radius says. The undo gives them back and waits until they serve."""

    name = "deployment/scale"
    summary = "take replicas away from a Deployment"
    target_keys: ClassVar = frozenset({"service", "owner", "namespace"})
    parameters: ClassVar = {
        "ready-within": Parameter(
            ParameterKind.DURATION, "how long the undo waits for pods to serve", default="3m", minimum=1, maximum=7200
        ),
    }
    plan_type = ScalePlan

    def prepare(self, client: Client, place: Place, request: FaultRequest) -> ScalePlan:
        name = _deployment(request)
        _refuse_autoscaler(client, place, name)
        # Once to learn the replicas, which an earlier stage may have changed, and once for what is wanted.
        before = _number(read_fields(client, place, "Deployment", name, {_REPLICAS: 0}).fields[0].before)
        after = before - allowed(request.radius, before)
        change = read_fields(client, place, "Deployment", name, {_REPLICAS: after})
        return ScalePlan(place, change, float(request.arguments.get("ready-within", 180.0)))

    def targets(self, plan: ScalePlan) -> tuple[str, ...]:
        return (f"deployment/{plan.change.name}",)

    def measure(self, client: Client, plan: ScalePlan) -> Reach:
        workload = client.get(path_of("Deployment", plan.place.namespace, plan.change.name), Workload)
        # What does not serve for another reason might be among those that stay.
        unready = max(0, workload.desired - workload.ready)
        return Reach(min(plan.before, plan.before - plan.after + unready), plan.before, "pods")

    def strike(self, client: Client, plan: ScalePlan) -> None:
        stamp = plan.place.stamp
        apply(client, plan.place, plan.change, Undo(self.name, stamp.run, stamp.until, msgspec.Raw(encode(plan))))

    def mend(self, client: Client, plan: ScalePlan) -> None:
        revert(client, plan.place, plan.change)
        deadline = time.monotonic() + _ATTEMPT_S
        while self.leftovers(client, plan):
            if time.monotonic() > deadline:
                raise FaultError(f"not all pods serve again after {_ATTEMPT_S:g} s")
            time.sleep(_POLL_S)

    def leftovers(self, client: Client, plan: ScalePlan) -> list[str]:
        wrong = remains(client, plan.place, plan.change)
        return wrong or not_recovered(
            client, plan.place.namespace, [Group("Deployment", plan.change.name, plan.before)]
        )

    def by_hand(self, plan: ScalePlan) -> str:
        return by_hand(plan.place, plan.change)

    def describe(self, plan: ScalePlan) -> str:
        return f"scale deployment/{plan.change.name} in {plan.place.namespace} from {plan.before} to {plan.after}"

    def patience(self, plan: ScalePlan) -> Patience:
        return Patience(undo_s=plan.ready_within_s)

    def needs(self, namespace: str, request: FaultRequest) -> Iterator[Permission]:
        yield from base_needs(namespace)
        yield from namespaced(
            ("get", "apps", "deployments"),
            ("list", "autoscaling", "horizontalpodautoscalers"),
            purpose="plan",
            namespace=namespace,
        )
        for purpose in ("inject", "undo"):
            yield from namespaced(("get patch", "apps", "deployments"), purpose=purpose, namespace=namespace)
        yield from namespaced(("list", "", "pods"), purpose="undo", namespace=namespace)


def _deployment(request: FaultRequest) -> str:
    kind, _, name = (request.where.owner or f"deployment/{request.service}").partition("/")
    if kind != "deployment":
        raise FaultError(f"`{request.where.owner}` is no Deployment")
    return name


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
