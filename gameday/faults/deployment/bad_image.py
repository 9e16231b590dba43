"""deployment/bad-image: a Deployment is given an image that does not exist, as when a release went wrong."""

from collections.abc import Iterator
from typing import ClassVar

from gameday.faults.base import FaultError, FaultRequest, Parameter, ParameterKind, Permission, Reach
from gameday.faults.cluster.base import Place
from gameday.faults.cluster.change import read_fields
from gameday.faults.cluster.changing import READY_WITHIN, ChangeFault, ChangePlan, change_needs, ready_within_s
from gameday.faults.deployment.rollout import check_rollout, container_of, deployment_of, rollout_reach, unfinished
from gameday.kubernetes.client import Client

_NO_IMAGE = "gameday.invalid/does-not-exist:gameday"  # .invalid resolves nowhere: RFC 6761


class BadImagePlan(ChangePlan, frozen=True):
    """`change.fields` has the image before and after."""

    container: str = ""


class BadImage(ChangeFault[BadImagePlan]):
    """Sets a container's image to one that cannot be pulled: the rollout hangs, with as many pods down as the strategy
    lets be. The undo gives the image back and waits until all pods are of it and serve."""

    name = "deployment/bad-image"
    summary = "give a Deployment an image that does not exist: its rollout hangs"
    target_keys: ClassVar = frozenset({"service", "owner", "namespace", "cluster"})
    parameters: ClassVar = {
        "image": Parameter(ParameterKind.TEXT, "an image that cannot be pulled", default=_NO_IMAGE),
        "container": Parameter(ParameterKind.TEXT, "whose image it is (default: the first one's)", optional=True),
        "ready-within": READY_WITHIN,
    }
    plan_type = BadImagePlan

    def prepare(self, client: Client, place: Place, request: FaultRequest) -> BadImagePlan:
        name, arguments = deployment_of(request), request.arguments
        index, container = container_of(check_rollout(client, place, request), arguments.get("container"))
        image = str(arguments.get("image", _NO_IMAGE))
        pointer = f"/spec/template/spec/containers/{index}/image"
        change = read_fields(client, place, "Deployment", name, {pointer: image})
        if change.fields[0].before == image:
            raise FaultError(f"the container `{container}` of deployment/{name} has the image `{image}` already")
        return BadImagePlan(place, (change,), ready_within_s=ready_within_s(request), container=container)

    def measure(self, client: Client, plan: BadImagePlan) -> Reach:
        return rollout_reach(client, plan.place.namespace, plan.change.name)

    def unsettled(self, client: Client, plan: BadImagePlan) -> list[str]:
        return unfinished(client, plan.place.namespace, plan.change.name)

    def describe(self, plan: BadImagePlan) -> str:
        field = plan.change.fields[0]
        where = f"the container {plan.container} of deployment/{plan.change.name} in {plan.place.namespace}"
        return f"set the image of {where} from {field.before} to {field.after}"

    def needs(self, namespace: str, request: FaultRequest) -> Iterator[Permission]:
        return change_needs("Deployment", namespace)
