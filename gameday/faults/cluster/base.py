"""The base of every fault in a cluster: it connects, makes sure that this is the cluster that was planned, and asks
what the user may do there."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import ClassVar

import msgspec

from gameday.faults.base import (
    ConflictError,
    Examination,
    Fault,
    FaultError,
    FaultRequest,
    Permission,
    Reach,
    Remark,
    Stamp,
    System,
    Table,
)
from gameday.journal.events import CheckOutcome
from gameday.kubernetes.client import ApiError, Client
from gameday.kubernetes.objects import Object, path_of
from gameday.kubernetes.reference import ClusterError, ClusterRef

TARGET_KEYS = frozenset({"service", "selector", "owner", "name", "node", "zone", "namespace", "cluster", "pick"})
_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


class Place(msgspec.Struct, frozen=True):
    """Where a plan holds. `uid` is the namespace's: another cluster, or a namespace made anew, has another one.

    A context's name says too little: a kubeconfig may have been changed since, so that it leads elsewhere.
    """

    cluster: ClusterRef
    namespace: str
    uid: str
    stamp: Stamp

    @property
    def kubectl(self) -> str:
        """How a command of a person's begins."""
        return self.cluster.kubectl(self.namespace)


class ClusterPlan(msgspec.Struct, frozen=True):
    """The base of their plans."""

    place: Place


class _Attributes(msgspec.Struct, frozen=True):
    allowed: bool = False


class _Review(msgspec.Struct, frozen=True):
    status: _Attributes = _Attributes()


class ClusterFault[P: ClusterPlan](Fault[P]):
    """A fault in one namespace of a cluster. What its methods raise as ClusterError is a FaultError to the engine."""

    target_keys: ClassVar[frozenset[str]] = TARGET_KEYS
    # Its mark says what the undo does, not only what was before: whoever may write marks could have anything done.
    undo_is_said_by_mark: ClassVar[bool] = False

    # -- what a fault of a cluster says

    @abstractmethod
    def prepare(self, client: Client, place: Place, request: FaultRequest) -> P:
        """The plan; see Fault.plan. Raises FaultError and ClusterError, as all of these do."""

    @abstractmethod
    def measure(self, client: Client, plan: P) -> Reach:
        """See Fault.reach."""

    @abstractmethod
    def strike(self, client: Client, plan: P) -> None:
        """See Fault.inject."""

    @abstractmethod
    def mend(self, client: Client, plan: P) -> None:
        """See Fault.undo."""

    @abstractmethod
    def leftovers(self, client: Client, plan: P) -> Iterable[str]:
        """See Fault.verify."""

    @abstractmethod
    def needs(self, namespace: str, request: FaultRequest) -> Iterable[Permission]:
        """What the user must be allowed to do, for the plan, the injection and the undo."""

    def ensure_allowed(self, client: Client, plan: P, system: System) -> None:
        """Raise FaultError when the policy keeps it from what it would hit now. The plan's namespace is seen to."""

    def rehearse(self, client: Client, plan: P) -> bool:
        """Ask the server to do all that an injection does, as a dry run: nothing is stored. False: nothing to ask."""
        return False

    def look(self, client: Client, plan: P) -> tuple[Table | None, Iterable[Remark]]:
        """What would be hit, a row each, and what else preflight should know."""
        return None, ()

    # -- what the engine calls

    def plan(self, request: FaultRequest, system: System) -> P:
        with _connected(_cluster(request, system)) as client:
            plan = self.prepare(client, _place(client, request, system), request)
            self.ensure_allowed(client, plan, system)
            return plan

    def reach(self, plan: P, system: System) -> Reach:
        _ensure_allowed(plan.place.namespace, system)
        with _at(plan) as client:
            self.ensure_allowed(client, plan, system)
            return self.measure(client, plan)

    def inject(self, plan: P) -> None:
        with _at(plan) as client:
            self.strike(client, plan)

    def undo(self, plan: P) -> None:
        with _at(plan) as client:
            self.mend(client, plan)

    def verify(self, plan: P) -> tuple[str, ...]:
        with _at(plan) as client:
            return tuple(self.leftovers(client, plan))

    def examine(self, request: FaultRequest, plan: P | None, system: System) -> Examination:
        with _connected(_cluster(request, system)) as client:
            namespace = request.where.namespace or client.namespace
            name = request.where.cluster or ""
            needs = (msgspec.structs.replace(need, cluster=name) for need in self.needs(namespace, request))
            permissions = tuple(sorted(set(needs), key=lambda need: (need.namespace or "", need.group, need.resource)))
            remarks = list(_missing(client, permissions))
            table = None
            if plan is not None and not remarks:
                table, more = self.look(client, plan)
                remarks += [*more, *self._rehearsed(client, plan)]
            return Examination(table, tuple(remarks), permissions)

    def _rehearsed(self, client: Client, plan: P) -> Iterator[Remark]:
        check = "dry run"
        try:
            if self.rehearse(client, plan):
                yield Remark(check, CheckOutcome.OK, "the API server would accept each change")
        except ApiError as error:
            # https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#side-effects
            blind = error.status == 400 and "does not support dry run" in str(error)
            yield Remark(check, CheckOutcome.WARNING if blind else CheckOutcome.FAILURE, str(error))
        except (FaultError, ClusterError) as error:
            yield Remark(check, CheckOutcome.FAILURE, str(error))


@contextmanager
def _connected(cluster: ClusterRef) -> Iterator[Client]:
    try:
        with Client(cluster) as client:
            yield client
    except ClusterError as error:
        raise FaultError(str(error)) from error


@contextmanager
def _at(plan: ClusterPlan) -> Iterator[Client]:
    """A client for the very cluster and namespace that were planned. Raises ConflictError when it is another one."""
    place = plan.place
    with _connected(place.cluster) as client:
        if _uid(client, place.namespace) != place.uid:
            raise ConflictError(
                f"{place.cluster} now leads to another cluster, or the namespace `{place.namespace}` was made anew: "
                "it is not the one that was planned, and nothing there is touched"
            )
        yield client


def _cluster(request: FaultRequest, system: System) -> ClusterRef:
    if name := request.where.cluster:
        if name not in system.clusters:
            known = ", ".join(system.clusters) or "none"
            raise FaultError(f"this environment has no cluster `{name}`; its further `clusters` are: {known}")
        return system.clusters[name]
    if system.cluster is None:
        raise FaultError("this environment has no cluster: say which, with `kubernetes: {context: …}` in gameday.yaml")
    return system.cluster


def _place(client: Client, request: FaultRequest, system: System) -> Place:
    namespace = request.where.namespace or client.namespace
    _ensure_allowed(namespace, system)
    return Place(_cluster(request, system), namespace, _uid(client, namespace), request.stamp)


def _ensure_allowed(namespace: str, system: System) -> None:
    if system.namespaces and namespace not in system.namespaces:
        allowed = ", ".join(system.namespaces)
        raise FaultError(
            f"the policy keeps faults to the namespaces {allowed}; `{namespace}` is none of them"
            f"{system.place('namespaces')}"
        )


def ensure_nodes_allowed(names: Iterable[str], system: System) -> None:
    """A policy that keeps faults to namespaces keeps them from nodes, too, unless it names these. Raises FaultError."""
    if not may_touch_nodes(system):
        raise FaultError(
            "the policy keeps faults to namespaces, and a node is in none: `nodes: [NAME or PATTERN, …]` in the policy "
            f"allows some{system.place('namespaces')}"
        )
    refused = [name for name in names if system.nodes and not any(fnmatchcase(name, one) for one in system.nodes)]
    if refused:
        allowed = ", ".join(system.nodes)
        raise FaultError(
            f"the policy keeps faults to the nodes {allowed}; {', '.join(refused)} may not be touched"
            f"{system.place('nodes')}"
        )


def may_touch_nodes(system: System) -> bool:
    """Whether the policy lets faults touch any node."""
    return bool(system.nodes) or not system.namespaces


def _uid(client: Client, namespace: str) -> str:
    """The namespace's. Raises ConflictError when it is gone, and ClusterError."""
    try:
        metadata = client.get(path_of("Namespace", name=namespace), Object).metadata
    except ApiError as error:
        if error.is_missing:
            raise ConflictError(f"there is no namespace `{namespace}` (any more)") from None
        raise
    return metadata.uid


def namespaced(*rules: tuple[str, str, str], purpose: str, namespace: str | None) -> Iterator[Permission]:
    """Permissions from (verbs with blanks between them, API group, resource); without a namespace in all of them."""
    for verbs, group, resource in rules:
        for verb in verbs.split():
            yield Permission(verb, group, resource, namespace, purpose)


def base_needs(namespace: str) -> Iterator[Permission]:
    """What every fault of a cluster needs."""
    yield Permission("get", "", "namespaces", namespace, "plan")


def _missing(client: Client, permissions: Iterable[Permission]) -> Iterator[Remark]:
    """Those that the API server says the user lacks. A review is asked of it and stored nowhere."""
    purposes: dict[Permission, list[str]] = {}
    for permission in permissions:
        purposes.setdefault(msgspec.structs.replace(permission, purpose=""), []).append(permission.purpose)
    for permission, purpose in purposes.items():
        resource, _, subresource = permission.resource.partition("/")
        attributes = {"verb": permission.verb, "group": permission.group, "resource": resource}
        attributes |= {"subresource": subresource} if subresource else {}
        attributes |= {"namespace": permission.namespace} if permission.namespace else {}
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        review = client.create(_REVIEWS, body, _Review)
        if not review.status.allowed:
            where = f"in {permission.namespace}" if permission.namespace else "in the cluster"
            rule = (
                f'{{apiGroups: ["{permission.group}"], resources: [{permission.resource}], verbs: [{permission.verb}]}}'
            )
            detail = f"may not {permission.verb} {permission.resource} {where}, needed to {' and '.join(purpose)}"
            yield Remark("permission", CheckOutcome.FAILURE, f"{detail}; this rule grants it: {rule}")
