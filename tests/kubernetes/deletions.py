"""The stand-in's deletions: preconditions, finalizers, and the grace that a running pod is given."""

import copy

from kinds import BY_PLURAL, Resource
from refusals import Refused, conflict
from store import Item, Store, stamp

_RETURNED = ("Pod", "Namespace", "PersistentVolumeClaim", "ServiceAccount")  # of others a Status is the answer
_WITH_DEPENDENTS = ("apps", "batch")
_CHECKED = {
    "uid": ("UID", "The object might have been deleted and then recreated"),
    "resourceVersion": ("ResourceVersion", "The object might have been modified"),
}


def delete(store: Store, resource: Resource, item: Item, options: Item, *, dry: bool) -> tuple[int, Item]:
    """Delete, or begin to; the HTTP status and the answer. Raises Refused."""
    _check_preconditions(resource, item, options.get("preconditions") or {})
    new, metadata = copy.deepcopy(item), item["metadata"]
    finalizers = _finalizers(resource, item, options.get("propagationPolicy"))
    grace = _grace(item, options) if resource.kind == "Pod" else 0
    if resource.kind == "Namespace":
        new["status"]["phase"] = "Terminating"
    elif finalizers:
        new["metadata"]["finalizers"] = finalizers
    if not grace and not finalizers:
        if not dry:
            store.remove(resource, item)
        return 200, item if resource.kind in _RETURNED else _deleted(resource, metadata)
    before = metadata.get("deletionGracePeriodSeconds")
    if "deletionTimestamp" not in metadata or (before is not None and grace < before):
        new["metadata"]["deletionTimestamp"] = stamp(grace)
        if resource.kind != "Namespace":
            new["metadata"]["deletionGracePeriodSeconds"] = grace
        if resource.has_generation and "deletionTimestamp" not in metadata:
            new["metadata"]["generation"] = metadata.get("generation", 0) + 1
    if not dry and new != item:
        store.put(resource, new)
    return 200, new


def _finalizers(resource: Resource, item: Item, policy: str | None) -> list[str]:
    found = list(item["metadata"].get("finalizers") or ())
    if resource.kind == "Namespace" and item["spec"].get("finalizers"):
        found.append("kubernetes")
    wanted = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}.get(policy or "")
    if wanted and wanted not in found and resource.group in _WITH_DEPENDENTS:
        found.append(wanted)
    return found


def _check_preconditions(resource: Resource, item: Item, wanted: dict[str, str]) -> None:
    for key, (shown, hint) in _CHECKED.items():
        found = item["metadata"][key]
        if wanted.get(key) not in (None, found):
            why = f"the {shown} in the precondition ({wanted[key]}) does not match the {shown} in record ({found})"
            raise conflict(resource, item["metadata"]["name"], f"{why}. {hint}", kind=True)


def _grace(pod: Item, options: Item) -> int:
    """For how many seconds a pod may still run."""
    if not pod["spec"].get("nodeName") or pod["status"].get("phase") in ("Succeeded", "Failed"):
        return 0
    grace = options.get("gracePeriodSeconds")
    grace = pod["spec"].get("terminationGracePeriodSeconds", 30) if grace is None else grace
    return 1 if grace < 0 else int(grace)


def success(code: int | None = None, details: Item | None = None) -> Item:
    status: Item = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    return status | ({"details": details} if details else {}) | ({"code": code} if code else {})


def _deleted(resource: Resource, metadata: Item) -> Item:
    group = {"group": resource.group} if resource.group else {}
    return success(None, {"name": metadata["name"]} | group | {"kind": resource.plural, "uid": metadata["uid"]})


def bind(store: Store, pod: Item, binding: Item, *, dry: bool) -> tuple[int, Item]:
    """Put a pod on a node, once. Raises Refused."""
    name, node = pod["metadata"]["name"], pod["spec"].get("nodeName")
    if node:
        why = f'pod {name} is already assigned to node "{node}"'
        message = f'Operation cannot be fulfilled on pods/binding "{name}": {why}'
        raise Refused(409, "Conflict", message, {"name": name, "kind": "pods/binding"})
    new = copy.deepcopy(pod)
    new["spec"]["nodeName"] = binding["target"]["name"]
    new["status"]["conditions"] = [{"type": "PodScheduled", "status": "True", "lastTransitionTime": stamp(0)}]
    if not dry:
        store.put(BY_PLURAL["pods"], new)
    return 201, success(201)
