"""Small controllers beside the workloads: budgets, endpoints, what is left of what was deleted, and namespaces."""

import time

from kinds import BY_PLURAL
from selecting import selects
from workloads import _share, controls
from world import Item, World, is_ended, is_going, is_ready, owner_of, timestamp

_DEPENDENTS = ("replicasets", "pods", "jobs", "endpointslices")
_OWNERS = ("deployments", "replicasets", "statefulsets", "daemonsets", "jobs", "services")
_HELD = ("foregroundDeletion", "orphan")
_CONTENT = [plural for plural, row in BY_PLURAL.items() if row.namespaced]
_DELETION_S = 120  # for so long an evicted pod is expected to go


def keep(world: World) -> None:
    """Everything but the workloads."""
    _collect(world)
    for node in world["nodes"]:
        _tell_taint(world, node)
    for budget in world["poddisruptionbudgets"]:
        _tell_budget(world, budget)
    for service in world["services"]:
        if service["spec"].get("selector") and not is_going(service):
            _tell_endpoints(world, service)
    for namespace in world["namespaces"]:
        if is_going(namespace):
            for plural in _CONTENT:
                world.delete_all(plural, namespace["metadata"]["name"])
            world.finalize(namespace)


def _collect(world: World) -> None:
    """What a garbage collector does, for controllers and what they have made."""
    there = {item["metadata"]["uid"]: item for plural in _OWNERS for item in world[plural]}
    for plural in _DEPENDENTS:
        for item in list(world[plural]):
            if not (reference := owner_of(item)) or is_going(item):
                continue
            owner = there.get(reference["uid"])
            held = (owner or {}).get("metadata", {}).get("finalizers") or ()
            if owner is None or "foregroundDeletion" in held:
                world.delete(plural, item)
            elif "orphan" in held:
                world.replace_field(plural, item, "/metadata/ownerReferences", [])
    for plural in _OWNERS:
        for item in list(world[plural]):
            held = item["metadata"].get("finalizers") or []
            waits = "foregroundDeletion" in held and any(world.owned(kind, item) for kind in _DEPENDENTS)
            if is_going(item) and set(held) & set(_HELD) and not waits:
                left = [finalizer for finalizer in held if finalizer not in _HELD]
                world.replace_field(plural, item, "/metadata/finalizers", left)


# -- nodes


def _tell_taint(world: World, node: Item) -> None:
    """A cordoned node's taint: https://kubernetes.io/docs/reference/labels-annotations-taints/."""
    taint = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
    taints = node["spec"].get("taints") or []
    others = [item for item in taints if item["key"] != taint["key"]]
    wanted = bool(node["spec"].get("unschedulable"))
    if (len(taints) > len(others)) is not wanted:
        at = {"timeAdded": timestamp()}
        world.merge("nodes", node, {"spec": {"taints": [*others, *([taint | at] if wanted else [])] or None}})


# -- PodDisruptionBudgets


def _tell_budget(world: World, budget: Item) -> None:
    spec, status, metadata = budget["spec"], budget.get("status") or {}, budget["metadata"]
    pods = [
        pod
        for pod in world.namespaced("pods", budget)
        if selects(spec.get("selector"), pod["metadata"].get("labels")) and not is_ended(pod)
    ]
    expected = _expected(world, pods)
    if (most := spec.get("maxUnavailable")) is not None:
        wanted = max(expected - _share(most, expected, up=True), 0)
    else:
        least = spec.get("minAvailable", 0)
        wanted = _share(least, expected, up=True)
        expected = expected if isinstance(least, str) else len(pods)
    names = {pod["metadata"]["name"] for pod in pods if not is_going(pod)}
    going = {
        name: since
        for name, since in (status.get("disruptedPods") or {}).items()
        if name in names and _age_s(since) < _DELETION_S
    }
    healthy = sum(is_ready(pod) and not is_going(pod) and pod["metadata"]["name"] not in going for pod in pods)
    allowed = max(healthy - wanted, 0) if expected else 0
    dropped = {name: None for name in status.get("disruptedPods") or {} if name not in going}
    found: Item = {"currentHealthy": healthy, "desiredHealthy": wanted, "expectedPods": expected}
    found |= {"disruptionsAllowed": allowed, "observedGeneration": metadata["generation"]}
    found |= {"disruptedPods": going | dropped if going else None}
    before = next(iter(status.get("conditions") or ()), None)
    reason = ("True", "SufficientPods") if allowed else ("False", "InsufficientPods")
    if before is None or (before["status"], before["reason"]) != reason:
        at = timestamp()
        condition = {"type": "DisruptionAllowed", "status": reason[0], "reason": reason[1], "message": ""}
        found["conditions"] = [condition | {"lastTransitionTime": at, "observedGeneration": metadata["generation"]}]
    world.set_status("poddisruptionbudgets", budget, found)


def _expected(world: World, pods: list[Item]) -> int:
    """How many pods their controllers want; a pod without one counts for itself."""
    wanted, alone = {}, 0
    owners = {item["metadata"]["uid"]: item for plural in _OWNERS for item in world[plural]}
    for pod in pods:
        owner = owners.get((owner_of(pod) or {}).get("uid", ""))
        if owner is not None and (above := owner_of(owner)) and above["uid"] in owners:
            owner = owners[above["uid"]]
        if owner is None or "replicas" not in owner["spec"]:
            alone += 1
        else:
            wanted[owner["metadata"]["uid"]] = owner["spec"]["replicas"]
    return int(alone + sum(wanted.values()))


def _age_s(stamp: str) -> float:
    return time.mktime(time.gmtime()) - time.mktime(time.strptime(stamp, "%Y-%m-%dT%H:%M:%SZ"))


# -- EndpointSlices


def _tell_endpoints(world: World, service: Item) -> None:
    metadata, spec = service["metadata"], service["spec"]
    selector = {"matchLabels": spec["selector"]}
    zones = {
        node["metadata"]["name"]: (node["metadata"].get("labels") or {}).get("topology.kubernetes.io/zone")
        for node in world["nodes"]
    }
    endpoints = []
    for pod in world.namespaced("pods", service):
        if not selects(selector, pod["metadata"].get("labels")) or is_ended(pod) or not pod["status"].get("podIP"):
            continue
        ready, going, node = is_ready(pod), is_going(pod), pod["spec"].get("nodeName")
        reference = {key: pod["metadata"][key] for key in ("name", "namespace", "uid")} | {"kind": "Pod"}
        endpoint: Item = {"addresses": [pod["status"]["podIP"]], "nodeName": node, "targetRef": reference}
        endpoint["conditions"] = {"ready": ready and not going, "serving": ready, "terminating": going}
        endpoints.append(endpoint | ({"zone": zones[node]} if zones.get(node) else {}))
    endpoints.sort(key=lambda item: item["targetRef"]["name"])
    ports = [
        {"name": port.get("name", ""), "port": port["targetPort"], "protocol": port["protocol"]}
        for port in spec.get("ports") or ()
        if isinstance(port.get("targetPort"), int)
    ]
    found = next(iter(world.owned("endpointslices", service)), None)
    if found is None:
        own: Item = {"name": f"{metadata['name']}-{metadata['uid'][:5]}", "namespace": metadata["namespace"]}
        own["labels"] = {"kubernetes.io/service-name": metadata["name"]}
        own["ownerReferences"] = controls(service, kind="Service", api_version="v1")
        body: Item = {"addressType": "IPv4", "endpoints": endpoints, "ports": ports}
        world.create("endpointslices", {"metadata": own, **body})
    elif (found.get("endpoints") or []) != endpoints or (found.get("ports") or []) != ports:
        world.merge("endpointslices", found, {"endpoints": endpoints, "ports": ports})
