"""deployment/restart: all pods of a Deployment are rolled, as `kubectl rollout restart` does."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import ClassVar

from gameday.common.json import JsonObject
from gameday.faults.base import FaultError, FaultRequest, Patience, Permission, Reach
from gameday.faults.cluster.base import ClusterFault, ClusterPlan, Place, base_needs, namespaced
from gameday.faults.cluster.changing import READY_WITHIN, ready_within_s, wait_until_none
from gameday.faults.deployment.rollout import RolledOut, check_rollout, deployment_of, rollout_reach, unfinished
from gameday.kubernetes.client import ApiError, Client
from gameday.kubernetes.objects import Object, path_of

RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"  # https://kubernetes.io/docs/reference/labels-annotations-taints/
_ANNOTATIONS = "/spec/template/metadata/annotations"
_MOST_TRIES = 5  # when somebody else writes to the object at the same moment


class RestartPlan(ClusterPlan, frozen=True):
    """`restarted_at`: an ISO 8601 time, fixed here so that to inject twice rolls the pods once."""

    name: str
    uid: str
    restarted_at: str
    ready_within_s: float


class Restart(ClusterFault[RestartPlan]):
    """Rolls all pods, as many at once as the Deployment's strategy says. The undo waits until all are new and serve.

    The annotation stays, as it does after kubectl: to take it away would roll the pods once more.
    """

    name = "deployment/restart"
    lasts = False  # the Deployment brings new pods
    summary = "roll all pods of a Deployment, as `kubectl rollout restart` does"
    target_keys: ClassVar = frozenset({"service", "owner", "namespace"})
    parameters: ClassVar = {"ready-within": READY_WITHIN}
    plan_type = RestartPlan

    def prepare(self, client: Client, place: Place, request: FaultRequest) -> RestartPlan:
        found = check_rollout(client, place, request)
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        return RestartPlan(place, deployment_of(request), found.metadata.uid, now, ready_within_s(request))

    def targets(self, plan: RestartPlan) -> tuple[str, ...]:
        return (f"deployment/{plan.name}",)

    def measure(self, client: Client, plan: RestartPlan) -> Reach:
        return rollout_reach(client, plan.place.namespace, plan.name)

    def strike(self, client: Client, plan: RestartPlan) -> None:
        path = path_of("Deployment", plan.place.namespace, plan.name)
        for _ in range(_MOST_TRIES):
            found = client.find(path, RolledOut)
            if found is None or found.metadata.uid != plan.uid:
                raise FaultError(f"deployment/{plan.name} is no longer the one that was planned")
            if (found.spec.template.metadata.annotations or {}).get(RESTARTED_AT) == plan.restarted_at:
                return  # an answer was lost, and this is the second time that we ask
            try:
                client.patch(path, _operations(plan, found), Object)
            except ApiError as error:
                now = client.find(path, Object)
                # A `test` that failed is an invalid patch to the API.
                moved = now is None or now.metadata.resource_version != found.metadata.resource_version
                if not error.is_conflict and not (error.status == 422 and moved):
                    raise
            else:
                return
        raise FaultError(f"deployment/{plan.name} is written to all the time by somebody else")

    def mend(self, client: Client, plan: RestartPlan) -> None:
        wait_until_none(lambda: self.leftovers(client, plan))

    def leftovers(self, client: Client, plan: RestartPlan) -> list[str]:
        return unfinished(client, plan.place.namespace, plan.name)

    def by_hand(self, plan: RestartPlan) -> str:
        return f"{plan.place.kubectl} rollout status deployment/{plan.name}"

    def describe(self, plan: RestartPlan) -> str:
        return f"restart all pods of deployment/{plan.name} in {plan.place.namespace}"

    def patience(self, plan: RestartPlan) -> Patience:
        return Patience(undo_s=plan.ready_within_s)

    def needs(self, namespace: str, request: FaultRequest) -> Iterator[Permission]:
        yield from base_needs(namespace)
        for purpose, verbs in (("plan", "get"), ("inject", "get patch"), ("undo", "get")):
            yield from namespaced((verbs, "apps", "deployments"), purpose=purpose, namespace=namespace)
        yield from namespaced(("list", "", "pods"), purpose="undo", namespace=namespace)


def _operations(plan: RestartPlan, found: RolledOut) -> list[JsonObject]:
    tests: list[JsonObject] = [{"op": "test", "path": "/metadata/uid", "value": plan.uid}]
    if found.spec.template.metadata.annotations:
        escaped = RESTARTED_AT.replace("/", "~1")
        return [*tests, {"op": "add", "path": f"{_ANNOTATIONS}/{escaped}", "value": plan.restarted_at}]
    # The whole map is set: somebody's first annotation that came between must not be lost.
    tests.append({"op": "test", "path": "/metadata/resourceVersion", "value": found.metadata.resource_version})
    return [*tests, {"op": "add", "path": _ANNOTATIONS, "value": {RESTARTED_AT: plan.restarted_at}}]
