"""Small controllers of workloads, where no kube-controller-manager runs: from Deployments and the like to pods."""

import copy
import hashlib
import random
import time
from typing import Any

import msgspec
from selecting import selects
from world import Item, World, is_ended, is_going, is_ready, owner_of, timestamp

_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
REVISION = "deployment.kubernetes.io/revision"
HASH = "pod-template-hash"
_SET_HASH = "controller-revision-hash"


def controls(owner: Item, *, kind: str, api_version: str = "apps/v1") -> list[Item]:
    """The references of what a controller has made."""
    metadata = owner["metadata"]
    reference = {"apiVersion": api_version, "kind": kind, "name": metadata["name"], "uid": metadata["uid"]}
    return [reference | {"controller": True, "blockOwnerDeletion": True}]


def hash_of(template: Item) -> str:
    """The same for the same template, as Kubernetes has it at the end of a ReplicaSet's name."""
    digest = hashlib.sha256(msgspec.json.encode(template, order="deterministic")).digest()
    return "".join(_LETTERS[byte % len(_LETTERS)] for byte in digest[:10])


def start(world: World) -> None:
    """Make what is missing, and delete what is too much."""
    for deployment in world["deployments"]:
        if not is_going(deployment):
            _start_deployment(world, deployment)
    for replicaset in world["replicasets"]:
        if not is_going(replicaset):
            _start_replicas(world, replicaset)
    for statefulset in world["statefulsets"]:
        if not is_going(statefulset):
            _start_stateful(world, statefulset)
    for daemonset in world["daemonsets"]:
        if not is_going(daemonset):
            _start_daemons(world, daemonset)
    for job in world["jobs"]:
        if not is_going(job) and not _is_complete(job):
            _start_job(world, job)


def tell(world: World) -> None:
    """Write each workload's status."""
    for replicaset in world["replicasets"]:
        world.set_status("replicasets", replicaset, _counts(replicaset, _live(world, replicaset)))
    for deployment in world["deployments"]:
        _tell_deployment(world, deployment)
    for statefulset in world["statefulsets"]:
        pods, at = _live(world, statefulset), hash_of(statefulset["spec"]["template"])
        new = [pod for pod in pods if pod["metadata"]["labels"].get(_SET_HASH) == at]
        status = _counts(statefulset, pods) | {"updatedReplicas": len(new) or None, "currentReplicas": len(new) or None}
        status["currentRevision"] = status["updateRevision"] = f"{statefulset['metadata']['name']}-{at}"
        status["availableReplicas"] = status["availableReplicas"] or 0
        world.set_status("statefulsets", statefulset, status)
    for daemonset in world["daemonsets"]:
        _tell_daemons(world, daemonset)
    for job in world["jobs"]:
        _tell_job(world, job)


def _live(world: World, owner: Item) -> list[Item]:
    """Pods that count: neither ended nor about to be."""
    return [pod for pod in world.owned("pods", owner) if not is_going(pod) and not is_ended(pod)]


def _counts(item: Item, pods: list[Item]) -> Item:
    """What the statuses have in common; the real ones leave out what is zero."""
    ready = sum(is_ready(pod) for pod in pods) or None
    counts = {"replicas": len(pods), "readyReplicas": ready, "availableReplicas": ready}
    return counts | {"observedGeneration": item["metadata"]["generation"]}


def _pod(owner: Item, kind: str, name: str, labels: dict[str, str], api_version: str = "apps/v1") -> Item:
    template = copy.deepcopy(owner["spec"]["template"])
    metadata: Item = {key: value for key, value in template["metadata"].items() if key in ("labels", "annotations")}
    metadata |= {"name": name, "generateName": f"{owner['metadata']['name']}-"}
    metadata["namespace"] = owner["metadata"]["namespace"]
    metadata["labels"] = metadata.get("labels", {}) | labels
    metadata["ownerReferences"] = controls(owner, kind=kind, api_version=api_version)
    return {"metadata": metadata, "spec": template["spec"]}


def _suffix() -> str:
    return "".join(random.choices(_LETTERS, k=5))


def _share(value: Any, whole: int, *, up: bool) -> int:
    """A count, or a percentage of the whole."""
    if isinstance(value, str) and value.endswith("%"):
        part = whole * int(value[:-1])
        return -(-part // 100) if up else part // 100
    return int(value)


# -- Deployments and ReplicaSets


def _start_deployment(world: World, deployment: Item) -> None:
    """Roll out: the new pods beside the old ones, which stay until the new ones are ready."""
    spec, metadata = deployment["spec"], deployment["metadata"]
    at = hash_of(spec["template"])
    sets = world.owned("replicasets", deployment)
    new = next((item for item in sets if item["metadata"]["labels"].get(HASH) == at), None)
    old = [item for item in sets if item is not new]
    if spec.get("paused"):
        if new is not None and not any(item["spec"]["replicas"] for item in old):
            world.merge("replicasets", new, {"spec": {"replicas": spec["replicas"]}})
        return
    revision = max([int(item["metadata"]["annotations"][REVISION]) for item in sets], default=0)
    if spec["strategy"]["type"] == "Recreate":
        for item in old:
            world.merge("replicasets", item, {"spec": {"replicas": 0}})
        if any(world.owned("pods", item) for item in old):
            return
    if new is None:
        template = copy.deepcopy(spec["template"])
        template["metadata"]["labels"] = template["metadata"]["labels"] | {HASH: at}
        selector = copy.deepcopy(spec["selector"])
        selector["matchLabels"] = selector.get("matchLabels", {}) | {HASH: at}
        revision += 1
        own: Item = {"name": f"{metadata['name']}-{at}", "namespace": metadata["namespace"]}
        own |= {"labels": template["metadata"]["labels"], "annotations": {REVISION: str(revision)}}
        own["ownerReferences"] = controls(deployment, kind="Deployment")
        body = {"replicas": spec["replicas"], "selector": selector, "template": template}
        world.create("replicasets", {"metadata": own, "spec": body})
    else:
        if old and int(new["metadata"]["annotations"][REVISION]) < revision:
            revision += 1
            world.merge("replicasets", new, {"metadata": {"annotations": {REVISION: str(revision)}}})
        world.merge("replicasets", new, {"spec": {"replicas": spec["replicas"]}})
        if sum(is_ready(pod) for pod in _live(world, new)) >= spec["replicas"]:
            for item in old:
                world.merge("replicasets", item, {"spec": {"replicas": 0}})
    world.merge("deployments", deployment, {"metadata": {"annotations": {REVISION: str(revision)}}})


def _start_replicas(world: World, replicaset: Item) -> None:
    _claim(world, replicaset)
    pods, wanted = _live(world, replicaset), replicaset["spec"]["replicas"]
    name = replicaset["metadata"]["name"]
    for _ in range(wanted - len(pods)):
        world.create("pods", _pod(replicaset, "ReplicaSet", f"{name}-{_suffix()}", {}))
    if len(pods) > wanted:
        # Those go first that serve least and are youngest.
        pods.sort(key=lambda pod: pod["metadata"]["creationTimestamp"], reverse=True)
        pods.sort(key=lambda pod: (bool(pod["spec"].get("nodeName")), is_ready(pod)))
        for pod in pods[: len(pods) - wanted]:
            world.delete("pods", pod)


def _claim(world: World, replicaset: Item) -> None:
    """Let go of pods whose labels no longer fit, and adopt orphans whose labels do."""
    for pod in world.namespaced("pods", replicaset):
        fits = selects(replicaset["spec"]["selector"], pod["metadata"].get("labels"))
        owner = owner_of(pod)
        if owner is None and fits and not is_going(pod) and not is_ended(pod):
            world.replace_field("pods", pod, "/metadata/ownerReferences", controls(replicaset, kind="ReplicaSet"))
        elif owner and owner["uid"] == replicaset["metadata"]["uid"] and not fits and not is_going(pod):
            world.replace_field("pods", pod, "/metadata/ownerReferences", [])


def _tell_deployment(world: World, deployment: Item) -> None:
    spec, at = deployment["spec"], hash_of(deployment["spec"]["template"])
    sets = world.owned("replicasets", deployment)
    pods = [pod for item in sets for pod in _live(world, item)]
    new = [pod for pod in pods if pod["metadata"]["labels"].get(HASH) == at]
    status, wanted = _counts(deployment, pods), spec["replicas"]
    available = status["availableReplicas"] or 0
    status |= {"replicas": len(pods) or None, "updatedReplicas": len(new) or None}
    status["unavailableReplicas"] = max(wanted, len(pods)) - available or None
    rolling = spec["strategy"].get("rollingUpdate") or {}
    slack = _share(rolling.get("maxUnavailable", 0), wanted, up=False)
    is_whole = len(new) == len(pods) == available == wanted
    before = {item["type"]: item for item in (deployment.get("status") or {}).get("conditions") or ()}
    status["conditions"] = [
        _condition(before, "Available", *_AVAILABLE[available >= wanted - slack]),
        _condition(before, "Progressing", *_progress(deployment, before.get("Progressing"), is_whole, new == pods)),
    ]
    world.set_status("deployments", deployment, status)


_AVAILABLE = {
    True: ("True", "MinimumReplicasAvailable", "Deployment has minimum availability."),
    False: ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability."),
}


def _progress(deployment: Item, before: Item | None, is_whole: bool, is_rolled_out: bool) -> tuple[str, str, str]:
    """Status, reason and message; what was rolled out once stays so, whatever becomes of its pods."""
    spec = deployment["spec"]
    shown = f'ReplicaSet "{deployment["metadata"]["name"]}-{hash_of(spec["template"])}"'
    was_whole = before is not None and before["reason"] == "NewReplicaSetAvailable"
    if is_whole or (was_whole and is_rolled_out):
        return "True", "NewReplicaSetAvailable", f"{shown} has successfully progressed."
    if not spec.get("paused") and _is_stuck(before, spec["progressDeadlineSeconds"]):
        return "False", "ProgressDeadlineExceeded", f"{shown} has timed out progressing."
    return "True", "ReplicaSetUpdated", f"{shown} is progressing."


def _is_stuck(condition: Item | None, deadline_s: int) -> bool:
    """Whether a roll-out that was under way has been so for too long."""
    if condition is None or condition["reason"] == "NewReplicaSetAvailable":
        return False
    if condition["reason"] == "ProgressDeadlineExceeded":
        return True
    since = time.strptime(condition["lastUpdateTime"], "%Y-%m-%dT%H:%M:%SZ")
    return time.mktime(time.gmtime()) - time.mktime(since) > deadline_s


def _condition(before: dict[str, Item], kind: str, status: str, reason: str, message: str = "") -> Item:
    at = timestamp()
    old = before.get(kind)
    if old and (old["status"], old["reason"], old["message"]) == (status, reason, message):
        return old
    same = old is not None and old["status"] == status
    since = old["lastTransitionTime"] if old is not None and same else at
    times = {"lastUpdateTime": at, "lastTransitionTime": since}
    return {"type": kind, "status": status, "reason": reason, "message": message} | times


# -- StatefulSets, DaemonSets, Jobs


def _start_stateful(world: World, statefulset: Item) -> None:
    spec, name = statefulset["spec"], statefulset["metadata"]["name"]
    at, in_order = hash_of(spec["template"]), spec["podManagementPolicy"] == "OrderedReady"
    pods = {int(pod["metadata"]["name"].rpartition("-")[2]): pod for pod in world.owned("pods", statefulset)}
    for number in range(spec["replicas"]):
        pod = pods.get(number)
        if pod is None:
            own = f"{name}-{number}"
            labels = {
                _SET_HASH: at,
                "statefulset.kubernetes.io/pod-name": own,
                "apps.kubernetes.io/pod-index": str(number),
            }
            world.create("pods", _pod(statefulset, "StatefulSet", own, labels))
        if in_order and not (pod and is_ready(pod) and not is_going(pod)):
            return
    surplus = sorted((number for number in pods if number >= spec["replicas"]), reverse=True)
    stale = [number for number in sorted(pods, reverse=True) if pods[number]["metadata"]["labels"].get(_SET_HASH) != at]
    if surplus and not any(is_going(pod) for pod in pods.values()):
        for number in surplus[: 1 if in_order else None]:
            world.delete("pods", pods[number])
    elif stale and all(is_ready(pod) and not is_going(pod) for pod in pods.values()):
        world.delete("pods", pods[stale[0]])


def nodes_for(world: World, spec: Item) -> list[Item]:
    wanted = spec.get("nodeSelector") or {}
    return [node for node in world["nodes"] if wanted.items() <= (node["metadata"].get("labels") or {}).items()]


def _start_daemons(world: World, daemonset: Item) -> None:
    name, at = daemonset["metadata"]["name"], hash_of(daemonset["spec"]["template"])
    pods = world.owned("pods", daemonset)
    taken = {pod["spec"].get("nodeName"): pod for pod in pods if not is_ended(pod)}
    names = [node["metadata"]["name"] for node in nodes_for(world, daemonset["spec"]["template"]["spec"])]
    for node in names:
        if node not in taken:
            pod = _pod(daemonset, "DaemonSet", f"{name}-{_suffix()}", {_SET_HASH: at})
            pod["spec"]["nodeName"] = node
            world.create("pods", pod)
    for node, pod in taken.items():
        if node not in names and not is_going(pod):
            world.delete("pods", pod)
    stale = [pod for pod in pods if pod["metadata"]["labels"].get(_SET_HASH) != at and not is_going(pod)]
    if stale and not any(is_going(pod) for pod in pods) and all(is_ready(pod) for pod in pods if pod not in stale):
        world.delete("pods", stale[0])


def _tell_daemons(world: World, daemonset: Item) -> None:
    pods, at = _live(world, daemonset), hash_of(daemonset["spec"]["template"])
    ready, wanted = sum(is_ready(pod) for pod in pods), len(nodes_for(world, daemonset["spec"]["template"]["spec"]))
    new = sum(pod["metadata"]["labels"].get(_SET_HASH) == at for pod in pods)
    status = {"desiredNumberScheduled": wanted, "currentNumberScheduled": len(pods), "numberReady": ready}
    status |= {"numberMisscheduled": 0, "observedGeneration": daemonset["metadata"]["generation"]}
    optional = {"numberAvailable": ready, "updatedNumberScheduled": new, "numberUnavailable": wanted - ready}
    world.set_status("daemonsets", daemonset, status | {key: value or None for key, value in optional.items()})


def _is_complete(job: Item) -> bool:
    return any(item["type"] == "Complete" for item in job.get("status", {}).get("conditions") or ())


def _start_job(world: World, job: Item) -> None:
    pods, spec = world.owned("pods", job), job["spec"]
    done = sum(pod["status"].get("phase") == "Succeeded" for pod in pods)
    wanted = 0 if spec.get("suspend") else min(spec["parallelism"], spec.get("completions", 1) - done)
    for _ in range(wanted - len(_live(world, job))):
        world.create("pods", _pod(job, "Job", f"{job['metadata']['name']}-{_suffix()}", {}, "batch/v1"))


def _tell_job(world: World, job: Item) -> None:
    pods, live = world.owned("pods", job), _live(world, job)
    done = sum(pod["status"].get("phase") == "Succeeded" for pod in pods)
    status: Item = {"active": len(live) or None, "ready": sum(is_ready(pod) for pod in live)}
    status["succeeded"] = done or None
    status["startTime"] = (job.get("status") or {}).get("startTime") or timestamp()
    if done >= job["spec"].get("completions", 1) and not _is_complete(job):
        kinds = ("SuccessCriteriaMet", "Complete")
        status["conditions"] = [_condition({}, kind, "True", "CompletionsReached") for kind in kinds]
        for condition in status["conditions"]:
            condition["lastProbeTime"] = condition.pop("lastUpdateTime")
        status["completionTime"] = timestamp()
    world.set_status("jobs", job, status)
