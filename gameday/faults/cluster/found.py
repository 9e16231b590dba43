"""Finds what runs have left in a cluster by the marks there alone, for an undo without their journals."""

from collections.abc import Iterator

import msgspec

from gameday.faults.base import System
from gameday.faults.cluster.base import ClusterPlan
from gameday.faults.cluster.change import RUN_LABEL, UNDO_PREFIX, Change, Undo
from gameday.kubernetes.client import ApiError, Client
from gameday.kubernetes.objects import Object, path_of
from gameday.kubernetes.reference import ClusterError

_KINDS = ("Deployment", "Service")  # whose fields faults change


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
    change: Change


def find_marks(system: System) -> tuple[list[Found], list[str]]:
    """All of them where the policy lets faults act, the last injected first; and what could not be looked through.

    Raises ClusterError."""
    if system.cluster is None:
        raise ClusterError("this environment has no cluster")
    found: list[Found] = []
    unseen: list[str] = []
    with Client(system.cluster) as client:
        for namespace in system.namespaces or (client.namespace,):
            for kind in _KINDS:
                try:
                    items = client.list(path_of(kind, namespace), Object, labels=RUN_LABEL)
                except ApiError as error:
                    if error.status != 403:
                        raise
                    unseen.append(f"the {kind}s in {namespace} (the user may not list them)")
                    continue
                for item in items:
                    found += _marks_of(item, kind, namespace, system)
    found.sort(key=lambda item: (item.run, [int(part) for part in item.fault_id.split(".")]), reverse=True)
    return found, unseen


def _marks_of(item: Object, kind: str, namespace: str, system: System) -> Iterator[Found]:
    what = f"{kind.lower()}/{item.metadata.name} in {namespace}"
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
        own = (plan.change.kind, plan.change.name, plan.change.uid, plan.place.namespace)
        if own != (kind, item.metadata.name, item.metadata.uid, namespace):
            yield Found(
                what, undo.run, fault_id, undo.fault, undo.until, problem=f"its mark {key} is of another object"
            )
            continue
        here = msgspec.structs.replace(plan.place, cluster=system.cluster)
        document["place"] = msgspec.Raw(msgspec.json.encode(here))
        yield Found(what, undo.run, fault_id, undo.fault, undo.until, msgspec.Raw(msgspec.json.encode(document)))
