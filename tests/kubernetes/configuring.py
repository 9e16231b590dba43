"""Configuration for tests: ConfigMaps, and workloads that read them in this way or that."""

from typing import Any

from cluster import Cluster
from faulting import Trial
from manifests import workload

from gameday.faults.cluster.change import RUN_LABEL, UNDO_PREFIX

LEVEL = {"service": "payments", "object": "configmap/settings", "key": "LEVEL"}


READS = {"valueFrom": {"configMapKeyRef": {"name": "settings", "key": "LEVEL"}}}
MOUNT = {"volumeMounts": [{"name": "v", "mountPath": "/etc/x"}]}
ONE_FILE = {"volumeMounts": [{"name": "v", "mountPath": "/etc/x/f", "subPath": "LEVEL"}]}
VOLUME = {"volumes": [{"name": "v", "configMap": {"name": "settings"}}]}


def config_map(namespace: str, name: str = "settings", **rest: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata} | rest


def deploy(
    cluster: Cluster,
    namespace: str,
    name: str = "payments",
    *,
    replicas: int = 2,
    kind: str = "Deployment",
    container: dict[str, Any] | None = None,
    pod: dict[str, Any] | None = None,
) -> None:
    """A workload that reads what the container and the pod say."""
    item = workload(kind, namespace, name, replicas, {"app": name})
    spec = item["spec"]["template"]["spec"]
    spec["containers"][0] |= container or {}
    spec |= pod or {}
    cluster.create(item)
    cluster.wait_well(namespace, name, None if kind == "DaemonSet" else replicas, kind=kind)


def settings(cluster: Cluster, namespace: str) -> dict[str, Any]:
    found = cluster.get("configmaps", namespace, "settings")
    assert found is not None
    return found


def env(cluster: Cluster, namespace: str) -> Any:
    found = cluster.get("deployments", namespace, "payments")
    assert found is not None
    return found["spec"]["template"]["spec"]["containers"][0].get("env")


def marks(item: dict[str, Any]) -> list[str]:
    metadata = item["metadata"]
    annotations = [key for key in metadata.get("annotations") or {} if key.startswith(UNDO_PREFIX)]
    return sorted(annotations + [key for key in metadata.get("labels") or {} if key == RUN_LABEL])


def names(cluster: Cluster, namespace: str, app: str = "payments") -> set[str]:
    return set(cluster.pod_names(namespace, f"app={app}"))


def undone(cluster: Cluster, trial: Trial, plan: Any) -> None:
    """As the engine does it, with as many attempts as it takes."""
    cluster.wait(lambda: trial.undo(plan) == (), "the undo", 60)
