"""Finds what runs have left in a cluster by the marks there alone, for an undo without their journals."""

from collections.abc import Iterator

import msgspec

from gameday.faults.base import System
from gameday.faults.cluster.base import ClusterPlan, may_touch_nodes
from gameday.faults.cluster.change import RUN_LABEL, UNDO_PREFIX, Change, Undo
from gameday.faults.cluster.created import Created
from gameday.kubernetes.client import ApiError, Client
from gameday.kubernetes.objects import CLUSTER_KINDS, Object, path_of, resource_of
from gameday.kubernetes.reference import ClusterError, ClusterRef

# Whose fields faults change, or which they create.
_KINDS = ("Deployment", "Service", "Pod", "ConfigMap", "Secret", "NetworkPolicy", "Node")


class Found(msgspec.Struct, frozen=True):
    """A mark of a fault. `until`: when its run is over for certain, in seconds since the Unix epoch. `plan` is ready to
    be undone from here. `problem` says why it cannot be, if it cannot."""

    what: str
    run: str
    fault_id: str
    fault: str = ""
    until: float = 0.0
    plan: msgspec.Raw = msgspec.Raw()
    problem: str = ""


class _Plan(ClusterPlan, frozen=True):
    changes: tuple[Change, ...] = ()
    created: tuple[Created, ...] = ()

    @property
    def objects(self) -> list[tuple[str, str, str]]:
        """Kind, name and uid; none where we have created it."""
        return [(item.kind, item.name, item.uid) for item in self.changes] + [
            (item.kind, item.name, "") for item in self.created
        ]


def find_marks(system: System) -> tuple[list[Found], list[str]]:
    """All of them where the policy lets faults act, the last injected first; and what could not be looked through.

    Raises ClusterError."""
    clusters = [*filter(None, [system.cluster]), *system.clusters.values()]
    if not clusters:
        raise ClusterError("this environment has no cluster")
    found: list[Found] = []
    unseen: list[str] = []
    for cluster in clusters:
        _look_through(cluster, system, found, unseen)
    found.sort(key=lambda item: (item.run, [int(part) for part in item.fault_id.split(".")]), reverse=True)
    return found, unseen


def _look_through(cluster: ClusterRef, system: System, found: list[Found], unseen: list[str]) -> None:
    with Client(cluster) as client:
        for kind, namespace in _places(system, client.namespace):
            where = f" in {namespace}" if namespace else ""
            try:
                items = client.list(path_of(kind, namespace), Object, labels=RUN_LABEL)
            except ApiError as error:
                if error.status != 403:
                    raise
                unseen.append(f"{resource_of(kind)[1]}{where} (the user may not list them)")
                continue
            for item in items:
                found += _marks_of(item, kind, namespace, cluster)


def _places(system: System, namespace: str) -> Iterator[tuple[str, str | None]]:
    for kind in _KINDS:
        if kind not in CLUSTER_KINDS:
            yield from ((kind, name) for name in system.namespaces or (namespace,))
        elif may_touch_nodes(system):
            yield kind, None


def _marks_of(item: Object, kind: str, namespace: str | None, cluster: ClusterRef) -> Iterator[Found]:
    what = f"{kind.lower()}/{item.metadata.name}" + (f" in {namespace}" if namespace else "")
    for key, text in (item.metadata.annotations or {}).items():
        fault_id = key.removeprefix(UNDO_PREFIX)
        if not key.startswith(UNDO_PREFIX) or not all(part.isdecimal() for part in fault_id.split(".")):
            continue
        try:
            undo = msgspec.json.decode(text, type=Undo)
            plan = msgspec.json.decode(undo.plan, type=_Plan)
            document = msgspec.json.decode(undo.plan, type=dict[str, msgspec.Raw])
        except msgspec.MsgspecError as error:
            run = (item.metadata.labels or {}).get(RUN_LABEL, "")
            yield Found(what, run, fault_id, problem=f"its mark {key} cannot be read: {error}")
            continue
        # Whoever may write to this object could have written a plan for another one, which we may change and they not.
        own = [(kind, item.metadata.name, item.metadata.uid if plan.changes else "")]
        if plan.objects != own or (namespace and plan.place.namespace != namespace):
            yield Found(
                what, undo.run, fault_id, undo.fault, undo.until, problem=f"its mark {key} is of another object"
            )
            continue
        here = msgspec.structs.replace(plan.place, cluster=cluster)
        document["place"] = msgspec.Raw(msgspec.json.encode(here))
        yield Found(what, undo.run, fault_id, undo.fault, undo.until, msgspec.Raw(msgspec.json.encode(document)))
