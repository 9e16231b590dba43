"""What faults share that stay in pods until they are undone: each pod bears the mark of the stage that hit it, and a
stage keeps the pods of the one before."""

from collections.abc import Iterable, Iterator
from typing import ClassVar

import msgspec

from gameday.faults.base import FaultRequest, Permission, Radius, Reach, Remark, Table
from gameday.faults.cluster.base import TARGET_KEYS, Place, namespaced
from gameday.faults.cluster.change import Change, Undo, read_fields
from gameday.faults.cluster.changing import ChangeFault, ChangePlan, change_needs
from gameday.faults.cluster.created import Created
from gameday.faults.cluster.targets import Pods, PodTarget, choose_pods, find_needs, find_pods, reach_of, table_of
from gameday.faults.pods.commands import exec_needs
from gameday.journal.events import CheckOutcome
from gameday.kubernetes.client import Client
from gameday.kubernetes.objects import Pod, path_of


class HeldPodsPlan(ChangePlan, frozen=True):
    """`pods` are all that are hit, those of earlier stages among them, and `changes` mark each. `fresh`: the names of
    those that this stage is the first to hit; with the others it has nothing to do but to mark them."""

    request: FaultRequest = FaultRequest("", Radius())
    selector: str = ""
    pods: tuple[PodTarget, ...] = ()
    fresh: tuple[str, ...] = ()

    @property
    def hit(self) -> tuple[Change, ...]:
        """The marks of the fresh ones."""
        return tuple(change for change in self.changes if change.name in self.fresh)


class HeldPodsFault[P: HeldPodsPlan](ChangeFault[P]):
    """Does something in pods that it has marked first, and undoes it before it takes the mark away."""

    target_keys: ClassVar = TARGET_KEYS

    def targets(self, plan: P) -> tuple[str, ...]:
        return tuple(target.name for target in plan.pods)

    def undo_for(self, plan: P, *, changes: tuple[Change, ...] = (), created: tuple[Created, ...] = ()) -> Undo:
        """Without the other pods: each bears a mark, and a list of all in each would soon be too long for one."""
        names = {change.name for change in changes}
        own = tuple(target for target in plan.pods if target.name in names)
        fresh = tuple(name for name in plan.fresh if name in names)
        part = msgspec.structs.replace(plan, pods=own, fresh=fresh)
        return super().undo_for(part, changes=changes, created=created)

    def measure(self, client: Client, plan: P) -> Reach:
        return reach_of(_now(client, plan), plan.pods, ())

    def look(self, client: Client, plan: P) -> tuple[Table, Iterable[Remark]]:
        pods, names = _now(client, plan), set(self.targets(plan))
        left = sum(pod.is_ready and pod.metadata.name not in names for pod in pods.live)
        detail = f"{left} of {len(pods.live)} pods are not touched"
        return table_of(pods, plan.pods), [
            Remark("left healthy", CheckOutcome.OK if left else CheckOutcome.WARNING, detail)
        ]

    def needs(self, namespace: str, request: FaultRequest) -> Iterator[Permission]:
        yield from find_needs(namespace, request)
        yield from change_needs("Pod", namespace)
        for purpose in ("inject", "undo"):
            yield from namespaced(("list", "", "pods"), purpose=purpose, namespace=namespace)
            yield from exec_needs(namespace, purpose)


class Held(msgspec.Struct, frozen=True):
    """The pods that a target means, and those of them that are hit: `chosen`, of which `fresh` by this stage first."""

    pods: Pods
    chosen: tuple[PodTarget, ...]
    fresh: tuple[Pod, ...]


def hold_pods(client: Client, place: Place, request: FaultRequest) -> Held:
    """Which pods a stage takes. Raises FaultError and ClusterError."""
    pods = find_pods(client, place.namespace, request)
    held = frozenset(request.already)
    serving = [pod for pod in pods.live if pod.is_ready or pod.metadata.name in held]
    targets = choose_pods(serving or pods.live, request, len(pods.live), held=held)
    fresh = {target.name for target in targets} - held
    return Held(pods, targets, tuple(pod for pod in pods.live if pod.metadata.name in fresh))


def marks_of(client: Client, place: Place, targets: Iterable[PodTarget]) -> tuple[Change, ...]:
    """Changes that do no more than mark these. Raises FaultError for a pod that bears another run's mark."""
    return tuple(read_fields(client, place, "Pod", target.name, {}) for target in targets)


def find_same(client: Client, place: Place, change: Change) -> Pod | None:
    """The pod that was marked, if it is still there and has not ended."""
    pod = client.find(path_of("Pod", place.namespace, change.name), Pod)
    return pod if pod is not None and pod.metadata.uid == change.uid and pod.is_live else None


def _now(client: Client, plan: HeldPodsPlan) -> Pods:
    return find_pods(client, plan.place.namespace, plan.request, plan.selector)
