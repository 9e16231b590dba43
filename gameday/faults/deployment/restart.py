"""deployment/restart: all pods of a Deployment are rolled, as `kubectl rollout restart` does."""

import time
from collections.abc import Iterator
from typing import ClassVar

from gameday.faults.base import FaultRequest, Patience, Permission, Reach
from gameday.faults.cluster.base import ClusterFault, ClusterPlan, Place, base_needs, namespaced
from gameday.faults.cluster.changing import READY_WITHIN, ready_within_s, wait_until_none
from gameday.faults.deployment.rollout import (
    check_rollout,
    deployment_of,
    roll,
    roll_time,
    rollout_reach,
    unfinished,
)
from gameday.kubernetes.client import Client


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
    target_keys: ClassVar = frozenset({"service", "owner", "namespace", "cluster"})
    parameters: ClassVar = {"ready-within": READY_WITHIN}
    plan_type = RestartPlan

    def prepare(self, client: Client, place: Place, request: FaultRequest) -> RestartPlan:
        found = check_rollout(client, place, request)
        at = roll_time(time.time())
        return RestartPlan(place, deployment_of(request), found.metadata.uid, at, ready_within_s(request))

    def targets(self, plan: RestartPlan) -> tuple[str, ...]:
        return (f"deployment/{plan.name}",)

    def measure(self, client: Client, plan: RestartPlan) -> Reach:
        return rollout_reach(client, plan.place.namespace, plan.name)

    def strike(self, client: Client, plan: RestartPlan) -> None:
        roll(client, plan.place.namespace, "Deployment", plan.name, plan.restarted_at, uid=plan.uid)

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
