"""What faults that roll a Deployment's pods share: how many pods that may take at once, and when it is done.

Kubernetes' rules: https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#rolling-update-deployment
"""

from fractions import Fraction

import msgspec

from gameday.faults.base import FaultError, FaultRequest, Reach, allowed
from gameday.faults.cluster.base import Place
from gameday.faults.cluster.targets import Group, not_recovered
from gameday.kubernetes.client import Client
from gameday.kubernetes.objects import Meta, PodSpec, Workload, WorkloadSpec, path_of

_DEFAULT_SHARE = "25%"


class _TemplateMeta(msgspec.Struct, frozen=True):
    annotations: dict[str, str] | None = None


class _Template(msgspec.Struct, frozen=True):
    metadata: _TemplateMeta = _TemplateMeta()
    spec: PodSpec = PodSpec()


class _Spec(msgspec.Struct, frozen=True):
    template: _Template = _Template()
    paused: bool = False


class RolledOut(msgspec.Struct, frozen=True):
    """Of a Deployment what says how its pods come to be."""

    metadata: Meta
    spec: _Spec = _Spec()


def deployment_of(request: FaultRequest) -> str:
    """The name of the Deployment that is meant. Raises FaultError when the owner is something else."""
    kind, _, name = (request.where.owner or f"deployment/{request.service}").partition("/")
    if kind != "deployment":
        raise FaultError(f"`{request.where.owner}` is no Deployment")
    return name


def check_rollout(client: Client, place: Place, request: FaultRequest) -> RolledOut:
    """The Deployment, if its pods can be rolled within the blast radius. Raises FaultError and ClusterError."""
    name = deployment_of(request)
    path = path_of("Deployment", place.namespace, name)
    workload, found = client.find(path, Workload), client.find(path, RolledOut)
    if workload is None or found is None:
        raise FaultError(f"there is no Deployment `{name}` in {place.namespace}")
    if found.spec.paused:
        raise FaultError(f"deployment/{name} is paused, so nothing would be rolled out: `kubectl rollout resume` first")
    down, desired = most_unavailable(workload.spec, workload.desired), workload.desired
    if down > allowed(request.radius, desired):
        raise FaultError(
            f"the rollout may take down {down} of {desired} at once, more than the blast radius of {request.radius}"
        )
    return found


def most_unavailable(spec: WorkloadSpec, desired: int) -> int:
    """How many pods of a Deployment its strategy lets be unavailable at once."""
    strategy = spec.strategy
    if strategy is not None and strategy.type == "Recreate":
        return desired
    rolling = strategy.rolling_update if strategy is not None else None
    down = _resolved(rolling.max_unavailable if rolling else None, desired)
    # Both may be rounded to nothing, with which no rollout would ever get on: Kubernetes takes one down then. The
    # surge is rounded up, so that only 0 is nothing.
    surge = rolling.max_surge if rolling else None
    if down == 0 and surge in (0, "0", "0%"):
        down = 1
    return min(down, desired)


def _resolved(value: int | str | None, desired: int) -> int:
    """A count, or a share like "25%" rounded down."""
    if isinstance(value, int):
        return value
    share = (value or _DEFAULT_SHARE).removesuffix("%")
    return int(Fraction(int(share), 100) * desired)


def rollout_reach(client: Client, namespace: str, name: str) -> Reach:
    """How many pods may be down during a rollout now: pods that do not serve anyway are among them."""
    workload = client.get(path_of("Deployment", namespace, name), Workload)
    unready = max(0, workload.desired - workload.ready)
    return Reach(max(most_unavailable(workload.spec, workload.desired), unready), workload.desired, "pods")


def unfinished(client: Client, namespace: str, name: str) -> list[str]:
    """What keeps the newest rollout from being complete; empty when every pod is of the newest template, and serves."""
    wrong = not_recovered(client, namespace, [Group("Deployment", name, 0)])
    if wrong:
        return wrong
    workload = client.get(path_of("Deployment", namespace, name), Workload)
    status, desired = workload.status, workload.desired
    if status.updated_replicas < desired:
        return [f"deployment/{name} has rolled out {status.updated_replicas} of {desired} pods"]
    if status.replicas > status.updated_replicas:
        return [f"deployment/{name} has {status.replicas - status.updated_replicas} old pods yet"]
    return []
