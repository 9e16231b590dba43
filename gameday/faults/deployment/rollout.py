"""What faults that roll a workload's pods share: how that is asked for, how many pods it may take at once, and when
it is done.

Kubernetes' rules: https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#rolling-update-deployment
"""

from datetime import UTC, datetime
from fractions import Fraction

import msgspec

from gameday.common.json import JsonObject
from gameday.faults.base import FaultError, FaultRequest, Reach, allowed
from gameday.faults.cluster.base import Place
from gameday.faults.cluster.pointers import escaped
from gameday.faults.cluster.targets import Group, not_recovered
from gameday.kubernetes.client import ApiError, Client
from gameday.kubernetes.objects import Meta, Object, PodSpec, Workload, WorkloadSpec, path_of

RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"  # https://kubernetes.io/docs/reference/labels-annotations-taints/
_ANNOTATIONS = "/spec/template/metadata/annotations"
_DEFAULT_SHARE = "25%"
_MOST_TRIES = 5  # when somebody else writes to the object at the same moment


class _TemplateMeta(msgspec.Struct, frozen=True):
    annotations: dict[str, str] | None = None


class _Template(msgspec.Struct, frozen=True):
    metadata: _TemplateMeta = _TemplateMeta()
    spec: PodSpec = PodSpec()


class _Spec(msgspec.Struct, frozen=True):
    template: _Template = _Template()
    paused: bool = False


class RolledOut(msgspec.Struct, frozen=True):
    """Of a workload what says how its pods come to be."""

    metadata: Meta
    spec: _Spec = _Spec()

    @property
    def restarted_at(self) -> str:
        """When its pods were last asked to be rolled, as whoever asked has written it; empty when nobody has."""
        return (self.spec.template.metadata.annotations or {}).get(RESTARTED_AT, "")


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


def container_of(found: RolledOut, wanted: object) -> tuple[int, str]:
    """Which of its containers is wanted (else the first one), and its name. Raises FaultError when none has it."""
    names = [container.name for container in found.spec.template.spec.containers]
    if wanted is None:
        return 0, names[0]
    if wanted not in names:
        raise FaultError(f"deployment/{found.metadata.name} has no container `{wanted}`, but {', '.join(names)}")
    return names.index(str(wanted)), str(wanted)


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


def roll_time(at: float) -> str:
    """As `kubectl rollout restart` writes a time, from seconds since the Unix epoch; to the millisecond."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def roll(
    client: Client, namespace: str, kind: str, name: str, at: str, *, uid: str = "", dry_run: bool = False
) -> None:
    """Roll all pods of a Deployment, StatefulSet or DaemonSet, once for each `at`. Raises FaultError, ClusterError."""
    path, shown = path_of(kind, namespace, name), f"{kind.lower()}/{name}"
    for _ in range(_MOST_TRIES):
        found = client.find(path, RolledOut)
        if found is None or uid not in ("", found.metadata.uid):
            raise FaultError(f"{shown} is no longer the one that was planned")
        if found.restarted_at == at:
            return  # an answer was lost, and this is the second time that we ask
        try:
            client.patch(path, _rolling(found, at), Object, dry_run=dry_run)
        except ApiError as error:
            now = client.find(path, Object)
            # A `test` that failed is an invalid patch to the API.
            moved = now is None or now.metadata.resource_version != found.metadata.resource_version
            if not error.is_conflict and not (error.status == 422 and moved):
                raise
        else:
            return
    raise FaultError(f"{shown} is written to all the time by somebody else")


def _rolling(found: RolledOut, at: str) -> list[JsonObject]:
    tests: list[JsonObject] = [{"op": "test", "path": "/metadata/uid", "value": found.metadata.uid}]
    if found.spec.template.metadata.annotations:
        return [*tests, {"op": "add", "path": f"{_ANNOTATIONS}/{escaped(RESTARTED_AT)}", "value": at}]
    # The whole map is set: somebody's first annotation that came between must not be lost.
    tests.append({"op": "test", "path": "/metadata/resourceVersion", "value": found.metadata.resource_version})
    return [*tests, {"op": "add", "path": _ANNOTATIONS, "value": {RESTARTED_AT: at}}]
