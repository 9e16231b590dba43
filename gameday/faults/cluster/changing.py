"""The base of faults that set fields of one object, and what all whose undo waits for pods have in common."""

import time
from collections.abc import Callable, Iterable, Iterator

import msgspec

from gameday.common.codec import encode
from gameday.faults.base import FaultError, FaultRequest, Parameter, ParameterKind, Patience, Permission
from gameday.faults.cluster.base import ClusterFault, ClusterPlan, base_needs, namespaced
from gameday.faults.cluster.change import Change, Undo, apply, by_hand, remains, revert
from gameday.kubernetes.client import Client
from gameday.kubernetes.objects import resource_of

READY_WITHIN = Parameter(
    ParameterKind.DURATION, "how long the undo waits for pods to serve", default="3m", minimum=1, maximum=7200
)
_ATTEMPT_S = 8.0  # one attempt of an undo; the engine makes more, and others' undos must not wait longer
_POLL_S = 0.25


def ready_within_s(request: FaultRequest) -> float:
    """What the user set, or the default."""
    return float(request.arguments.get("ready-within", 180.0))


def wait_until_none(left: Callable[[], Iterable[str]]) -> None:
    """One attempt of an undo: wait until nothing is left. Raises FaultError when that takes too long."""
    deadline = time.monotonic() + _ATTEMPT_S
    while wrong := tuple(left()):
        if time.monotonic() > deadline:
            raise FaultError(f"{wrong[0]} after {_ATTEMPT_S:g} s")
        time.sleep(_POLL_S)


class ChangePlan(ClusterPlan, frozen=True):
    """The base of their plans."""

    change: Change
    ready_within_s: float


class ChangeFault[P: ChangePlan](ClusterFault[P]):
    """Sets fields, with a mark that holds the plan; the undo puts them back, and waits for what `unsettled` says."""

    def unsettled(self, client: Client, plan: P) -> Iterable[str]:
        """What is not as it was although the fields are: pods that do not serve yet."""
        return ()

    def targets(self, plan: P) -> tuple[str, ...]:
        return (f"{plan.change.kind.lower()}/{plan.change.name}",)

    def strike(self, client: Client, plan: P) -> None:
        stamp = plan.place.stamp
        apply(client, plan.place, plan.change, Undo(self.name, stamp.run, stamp.until, msgspec.Raw(encode(plan))))

    def mend(self, client: Client, plan: P) -> None:
        revert(client, plan.place, plan.change)
        wait_until_none(lambda: self.leftovers(client, plan))

    def leftovers(self, client: Client, plan: P) -> tuple[str, ...]:
        return tuple(remains(client, plan.place, plan.change)) or tuple(self.unsettled(client, plan))

    def by_hand(self, plan: P) -> str:
        return by_hand(plan.place, plan.change)

    def patience(self, plan: P) -> Patience:
        return Patience(undo_s=plan.ready_within_s)


def change_needs(kind: str, namespace: str) -> Iterator[Permission]:
    """What it takes to change an object of this kind, to change it back, and to find the mark from elsewhere."""
    group, plural = resource_of(kind)
    yield from base_needs(namespace)
    for purpose, verbs in (("plan", "get"), ("inject", "get patch"), ("undo", "get list patch")):
        yield from namespaced((verbs, group, plural), purpose=purpose, namespace=namespace)
    yield from namespaced(("list", "", "pods"), purpose="undo", namespace=namespace)
