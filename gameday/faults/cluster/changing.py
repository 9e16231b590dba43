"""The base of faults that set fields of objects or create some, and what all whose undo waits for pods have in
common."""

import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import msgspec

from gameday.common.codec import encode
from gameday.faults.base import (
    ConflictError,
    FaultError,
    FaultRequest,
    Parameter,
    ParameterKind,
    Patience,
    Permission,
)
from gameday.faults.cluster.base import ClusterFault, ClusterPlan, base_needs, namespaced
from gameday.faults.cluster.change import Change, Undo, apply, by_hand, remains, revert
from gameday.faults.cluster.created import Created, create, left_of, remove, remove_by_hand
from gameday.kubernetes.client import Client
from gameday.kubernetes.objects import CLUSTER_KINDS, resource_of
from gameday.kubernetes.reference import ClusterError

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
    """The base of their plans. An object bears a mark with a plan that has this one object alone."""

    changes: tuple[Change, ...] = ()
    created: tuple[Created, ...] = ()
    ready_within_s: float = 180.0

    @property
    def change(self) -> Change:
        """The first one, of a plan that has but one."""
        return self.changes[0]


class ChangeFault[P: ChangePlan](ClusterFault[P]):
    """Sets fields and creates objects, each with a mark that holds its part of the plan; the undo puts the fields back,
    deletes what was created, and waits for what `unsettled` says."""

    def unsettled(self, client: Client, plan: P) -> Iterable[str]:
        """What is not as it was although the fields are: pods that do not serve yet."""
        return ()

    def targets(self, plan: P) -> tuple[str, ...]:
        return tuple(f"{change.kind.lower()}/{change.name}" for change in plan.changes)

    def strike(self, client: Client, plan: P) -> None:
        self._strike(client, plan, dry_run=False)

    def rehearse(self, client: Client, plan: P) -> bool:
        self._strike(client, plan, dry_run=True)
        return True

    def _strike(self, client: Client, plan: P, *, dry_run: bool) -> None:
        for change in plan.changes:
            undo = self.undo_for(plan, changes=(change,))
            apply(client, plan.place, change, undo, dry_run=dry_run)
        for created in plan.created:
            undo = self.undo_for(plan, created=(created,))
            create(client, plan.place, created, undo, dry_run=dry_run)

    def undo_for(self, plan: P, *, changes: tuple[Change, ...] = (), created: tuple[Created, ...] = ()) -> Undo:
        """The mark of one object: what undoes this part of the plan."""
        part = msgspec.structs.replace(plan, changes=changes, created=created)
        return Undo(self.name, plan.place.stamp.run, plan.place.stamp.until, msgspec.Raw(encode(part)))

    def mend(self, client: Client, plan: P) -> None:
        place = plan.place
        steps: list[Callable[[], None]] = [partial(remove, client, place, item) for item in reversed(plan.created)]
        steps += [partial(revert, client, place, item) for item in reversed(plan.changes)]
        do_all(steps)
        wait_until_none(lambda: self.leftovers(client, plan))

    def leftovers(self, client: Client, plan: P) -> tuple[str, ...]:
        left = [text for item in plan.created for text in left_of(client, plan.place, item)]
        left += [text for item in plan.changes for text in remains(client, plan.place, item)]
        return tuple(left) or tuple(self.unsettled(client, plan))

    def by_hand(self, plan: P) -> str:
        commands = [remove_by_hand(plan.place, item) for item in plan.created]
        return " && ".join(commands + [by_hand(plan.place, item) for item in plan.changes])

    def patience(self, plan: P) -> Patience:
        return Patience(undo_s=plan.ready_within_s)


def do_all(steps: Iterable[Callable[[], None]]) -> None:
    """Do each, whatever another one raised. Raises then: ConflictError when there are only such, else FaultError."""
    failed: list[Exception] = []
    for step in steps:
        try:
            step()
        except (FaultError, ClusterError) as error:
            failed.append(error)
    if failed:
        kind = ConflictError if all(isinstance(error, ConflictError) for error in failed) else FaultError
        raise kind("; ".join(map(str, failed))) from failed[0]


def change_needs(kind: str, namespace: str) -> Iterator[Permission]:
    """What it takes to change an object of this kind, to change it back, and to find the mark from elsewhere."""
    group, plural = resource_of(kind)
    yield from base_needs(namespace)
    for purpose, verbs in (("plan", "get"), ("inject", "get patch"), ("undo", "get list patch")):
        for verb in verbs.split():
            yield Permission(verb, group, plural, None if kind in CLUSTER_KINDS else namespace, purpose)
    yield from namespaced(("list", "", "pods"), purpose="undo", namespace=namespace)


def create_needs(kind: str, namespace: str) -> Iterator[Permission]:
    """What it takes to create an object of this kind, to delete it, and to find the mark from elsewhere."""
    group, plural = resource_of(kind)
    yield from base_needs(namespace)
    for purpose, verbs in (("inject", "create get"), ("undo", "get list delete")):
        yield from namespaced((verbs, group, plural), purpose=purpose, namespace=namespace)
