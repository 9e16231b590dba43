"""What tests see and do inside of pretended containers, and which rights were made use of."""

from collections.abc import Iterable
from typing import Any

from cluster import Cluster
from faulting import Trial
from kinds import target_of

from gameday.faults.cluster.change import RUN_LABEL, UNDO_PREFIX
from gameday.kubernetes.client import Client
from gameday.kubernetes.execution import run_in_container
from gameday.kubernetes.reference import ClusterRef

type Item = dict[str, Any]


def pod_of(cluster: Cluster, namespace: str, name: str) -> Item:
    pod = cluster.get("pods", namespace, name)
    assert pod is not None
    return pod


def run(cluster: Cluster, namespace: str, pod: str, script: str, container: str = "main") -> str:
    """What a script says that goes well."""
    return run_in_each(cluster, namespace, [pod], script, container)[pod]


def run_in_each(
    cluster: Cluster, namespace: str, pods: Iterable[str], script: str, container: str = "main"
) -> dict[str, str]:
    """What it says in each pod."""
    said = {}
    with Client(ClusterRef("admin", kubeconfig=str(cluster.kubeconfig))) as client:
        for pod in pods:
            done = run_in_container(client, namespace, pod, container, ["sh", "-c", script], timeout_s=20)
            assert done.exit_code == 0, done
            said[pod] = done.stdout.decode()
    return said


def lines(cluster: Cluster, namespace: str, path: str, container: str = "main") -> dict[str, int]:
    """How many lines a file in the container's home directory has, of those pods that have it."""
    script = f"test ! -e {path} || wc -l < {path}"
    said = run_in_each(cluster, namespace, cluster.pod_names(namespace), script, container)
    return {name: int(text) for name, text in said.items() if text}


def marked(cluster: Cluster, namespace: str) -> set[str]:
    """The pods that bear a mark."""
    found = set()
    for pod in cluster.pods(namespace):
        keys = [*(pod["metadata"].get("annotations") or {}), *(pod["metadata"].get("labels") or {})]
        if any(key.startswith(UNDO_PREFIX) or key == RUN_LABEL for key in keys):
            found.add(pod["metadata"]["name"])
    return found


def lone_pod(cluster: Cluster, namespace: str, *containers: str, **more: Any) -> Item:
    """A pod of no workload, labelled app=lone, that is ready; `annotations`, and further fields of its spec."""
    metadata = {"name": "lone", "namespace": namespace, "labels": {"app": "lone"}}
    metadata["annotations"] = more.pop("annotations", {})
    spec = {"containers": [{"name": name, "image": "registry.test/app:1"} for name in containers]}
    created = cluster.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec | more})
    cluster.wait(lambda: "containerStatuses" in pod_of(cluster, namespace, "lone")["status"], "it runs")
    return created


def renew(cluster: Cluster, namespace: str, name: str) -> None:
    """Another pod in the place of a StatefulSet's."""
    before = pod_of(cluster, namespace, name)["metadata"]["uid"]
    cluster.delete("pods", namespace, name, gracePeriodSeconds=0)

    def is_new() -> bool:
        pod = cluster.get("pods", namespace, name)
        return pod is not None and pod["metadata"]["uid"] != before and "containerStatuses" in pod["status"]

    cluster.wait(is_new, f"a new {name}")


def statuses(pod: Item, kind: str = "containerStatuses") -> dict[str, Item]:
    """Of a pod's containers, by their names; `kind` is the field's name."""
    return {item["name"]: item for item in pod["status"].get(kind) or ()}


def rights_used(cluster: Cluster, since: int, user: str) -> set[tuple[str, str]]:
    """Verb and resource, as RBAC has them. What one may ask about oneself needs none."""
    found = set()
    for call in cluster.audit(since, user=user):
        target = target_of(call.path)
        assert target is not None
        assert call.code < 300 or call.code == 101, call
        found.add((call.verb, target.ruled))
        if target.subresource == "exec":  # the server asks for both
            found.add(("create", target.ruled))
    return {used for used in found if used[1] != "selfsubjectaccessreviews"}


def rights_named(trial: Trial, **request: Any) -> set[tuple[str, str]]:
    """Those that the fault says it needs."""
    return {(item.verb, item.resource) for item in trial.examine(1, **request).permissions}
