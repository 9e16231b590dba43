"""Nodes as tests look at them: cordoned or not, marked or not, and whose pods run there."""

from typing import Any

import msgspec
from cluster import Cluster
from faulting import Trial, encode_raw

from gameday.common.codec import decode
from gameday.faults.cluster.change import RUN_LABEL, UNDO_PREFIX


def node(cluster: Cluster, name: str) -> dict[str, Any]:
    found = cluster.get("nodes", "", name)
    assert found is not None
    return found


def cordoned(cluster: Cluster) -> list[str]:
    return sorted(item["metadata"]["name"] for item in cluster.items("nodes") if item["spec"].get("unschedulable"))


def marks(cluster: Cluster) -> list[str]:
    """All that is left of ours on any node."""
    found = []
    for item in cluster.items("nodes"):
        metadata = item["metadata"]
        found += [key for key in metadata.get("annotations") or {} if key.startswith(UNDO_PREFIX)]
        found += [key for key in metadata.get("labels") or {} if key == RUN_LABEL]
    return sorted(found)


def pods_on(cluster: Cluster, namespace: str, name: str) -> list[str]:
    return sorted(item["metadata"]["name"] for item in cluster.pods(namespace) if item["spec"].get("nodeName") == name)


def next_stage(trial: Trial, plan: Any, radius: int | float, *, stage: int = 1, **rest: Any) -> Any:
    """A later stage's plan, as it comes back from the journal."""
    request = msgspec.structs.replace(trial.request(radius, stage=stage, **rest), already=trial.fault.targets(plan))
    return decode(encode_raw(trial.fault.plan(request, trial.system)), trial.fault.plan_type)


def under_policy(trial: Trial, *, namespaces: tuple[str, ...] = (), nodes: tuple[str, ...] = ()) -> Trial:
    trial.system = msgspec.structs.replace(trial.system, namespaces=namespaces, nodes=nodes)
    return trial


def set_ready(cluster: Cluster, name: str, ready: str) -> None:
    """What the node says of itself: "True" or "False"."""
    conditions = [{"type": "Ready", "status": ready, "reason": "Test"}]
    cluster.patch("nodes", "", name, {"status": {"conditions": conditions}}, "status")


def allow_needed(cluster: Cluster, user: str, trial: Trial, **request: Any) -> None:
    """Exactly the permissions that the fault names, for this request."""
    for item in trial.examine(1, **request).permissions:
        rule = {"apiGroups": [item.group], "resources": [item.resource], "verbs": [item.verb]}
        cluster.allow(item.namespace or "", user, rule)
