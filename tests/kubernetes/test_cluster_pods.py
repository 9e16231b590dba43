"""The fixture's pods, nodes and controllers: what is promised of them holds on a stand-in as on a real API server."""

import time
from typing import Any

import manifests
import pytest
from cluster import Cluster
from kinds import BY_PLURAL
from patching import MERGE_PATCH, STRATEGIC_PATCH

PODS, DEPLOYMENTS = BY_PLURAL["pods"], BY_PLURAL["deployments"]


def test_a_deployment_comes_to_life(cluster: Cluster, namespace: str) -> None:
    cluster.deploy(namespace, "web", 3, {"tier": "front"}, min_available=2)
    pods = cluster.pods(namespace, "app=web,tier=front")
    (replicaset,) = cluster.items("replicasets", namespace)
    assert {pod["metadata"]["ownerReferences"][0]["uid"] for pod in pods} == {replicaset["metadata"]["uid"]}
    assert replicaset["metadata"]["ownerReferences"][0]["name"] == "web"
    assert all(pod["status"]["phase"] == "Running" and pod["status"]["podIP"] for pod in pods)
    if cluster.kubelet is not None:
        assert {pod["spec"]["nodeName"] for pod in pods} == {"node-1", "node-2", "node-3"}
    budget = cluster.get("poddisruptionbudgets", namespace, "web")
    assert budget is not None
    wanted = {"currentHealthy": 3, "desiredHealthy": 2, "disruptionsAllowed": 1, "expectedPods": 3}
    assert budget["status"].items() >= wanted.items()
    status, scale = cluster.request("GET", DEPLOYMENTS.path(namespace, "web", "scale"))
    assert (status, scale["kind"]) == (200, "Scale")
    assert (scale["spec"], scale["status"]) == ({"replicas": 3}, {"replicas": 3, "selector": "app=web"})


def test_a_budget_refuses_an_eviction(cluster: Cluster, namespace: str) -> None:
    cluster.deploy(namespace, "web", 2, min_available=1)
    first, second = cluster.pod_names(namespace)
    cluster.set_stop_delay(0.2)
    with cluster.hold("web"):
        status, said = cluster.request(
            "POST", PODS.path(namespace, first, "eviction"), manifests.eviction(namespace, first)
        )
        assert (status, said["status"]) == (201, "Success")
        path = PODS.path(namespace, second, "eviction")
        status, said = cluster.request("POST", path, manifests.eviction(namespace, second))
        assert status == 429
        assert said["reason"] == "TooManyRequests"
        assert said["message"] == "Cannot evict pod as it would violate the pod's disruption budget."
        assert said["details"]["causes"][0]["reason"] == "DisruptionBudget"
        status, said = cluster.request("POST", f"{path}?dryRun=All", manifests.eviction(namespace, second))
        assert status == 429
    cluster.wait_well(namespace, "web")
    status, said = cluster.request("POST", path, manifests.eviction(namespace, first))
    assert (status, said["message"]) == (400, "name in URL does not match name in Eviction object")
    path = PODS.path(namespace, "none", "eviction")
    assert cluster.request("POST", path, manifests.eviction(namespace, "none"))[0] == 404


def test_a_deleted_pod_ends_and_another_takes_its_place(cluster: Cluster, namespace: str) -> None:
    cluster.deploy(namespace, "web", 2)
    (first, second) = cluster.pods(namespace)
    cluster.set_stop_delay(0.3)
    status, found = cluster.request("DELETE", PODS.path(namespace, first["metadata"]["name"]))
    assert (status, found["metadata"]["deletionGracePeriodSeconds"]) == (200, 5)
    assert cluster.get("pods", namespace, first["metadata"]["name"])["metadata"]["deletionTimestamp"]  # type: ignore[index]
    cluster.wait_well(namespace, "web")
    cluster.wait(lambda: cluster.get("pods", namespace, first["metadata"]["name"]) is None, "its end")
    names = cluster.pod_names(namespace)
    assert len(names) == 2
    assert second["metadata"]["name"] in names
    status, found = cluster.request("DELETE", PODS.path(namespace, names[0]), {"gracePeriodSeconds": 0})
    assert (status, cluster.get("pods", namespace, names[0])) == (200, None)
    cluster.wait_well(namespace, "web")


def test_scaling_down_and_up(cluster: Cluster, namespace: str) -> None:
    cluster.deploy(namespace, "web", 3)
    path = DEPLOYMENTS.path(namespace, "web", "scale")
    for replicas in (1, 4, 0):
        assert cluster.request("PATCH", path, {"spec": {"replicas": replicas}}, MERGE_PATCH)[0] == 200
        cluster.wait_well(namespace, "web", replicas)


def test_a_new_template_is_rolled_out_and_a_bad_one_leaves_the_old_pods(cluster: Cluster, namespace: str) -> None:
    cluster.need_fake_nodes()
    cluster.deploy(namespace, "web", 2)
    before = set(cluster.pod_names(namespace))

    def set_image(image: str) -> None:
        container = {"name": "main", "image": image}
        patch = {"spec": {"template": {"spec": {"containers": [container]}}}}
        assert cluster.request("PATCH", DEPLOYMENTS.path(namespace, "web"), patch, STRATEGIC_PATCH)[0] == 200

    set_image("registry.example/web:does-not-exist")

    def waiting() -> set[str]:
        return {
            item["state"]["waiting"]["reason"]
            for pod in cluster.pods(namespace)
            for item in pod["status"].get("containerStatuses") or ()
            if "waiting" in item["state"]
        }

    assert cluster.wait(waiting, "a pod without its image") == {"ImagePullBackOff"}
    assert before & set(cluster.pod_names(namespace))
    set_image("registry.example/web:2")
    cluster.wait_well(namespace, "web")
    assert not before & set(cluster.pod_names(namespace))


def test_pods_crash_and_get_well_when_told(cluster: Cluster, namespace: str) -> None:
    cluster.need_fake_nodes()
    cluster.deploy(namespace, "web", 1)
    with cluster.crash("web"):
        pod = cluster.wait(lambda: next((pod for pod in cluster.pods(namespace) if not _ready(pod)), None), "a crash")
        (container,) = pod["status"]["containerStatuses"]
        assert container["state"]["waiting"]["reason"] == "CrashLoopBackOff"
        assert container["restartCount"] == 1
    cluster.wait_well(namespace, "web")


def _ready(pod: dict[str, Any]) -> bool:
    return any(item["type"] == "Ready" and item["status"] == "True" for item in pod["status"].get("conditions", ()))


def test_pods_are_held_and_let_go(cluster: Cluster, namespace: str) -> None:
    cluster.need_fake_nodes()
    with cluster.hold("web"):
        cluster.deploy(namespace, "web", 1, wait=False)
        (pod,) = cluster.wait(lambda: cluster.pods(namespace), "a pod")
        time.sleep(0.1)
        assert cluster.get("pods", namespace, pod["metadata"]["name"])["status"]["phase"] == "Pending"  # type: ignore[index]
    cluster.wait_well(namespace, "web")


def test_a_cordoned_node_gets_no_pods(cluster: Cluster, namespace: str) -> None:
    cluster.need_fake_nodes()
    cluster.node(f"{namespace}-n", "zone-d")
    for name in ("node-1", "node-2", "node-3"):
        cluster.patch("nodes", "", name, {"spec": {"unschedulable": True}})
    cluster.deploy(namespace, "web", 2)
    assert {pod["spec"]["nodeName"] for pod in cluster.pods(namespace)} == {f"{namespace}-n"}


@pytest.mark.parametrize("kind", ["StatefulSet", "DaemonSet"])
def test_other_workloads_come_to_life(cluster: Cluster, namespace: str, kind: str) -> None:
    cluster.deploy(namespace, "db", 2, kind=kind)
    names = cluster.pod_names(namespace)
    assert kind == "DaemonSet" or names == ["db-0", "db-1"]
    cluster.delete("pods", namespace, names[0])
    cluster.wait(lambda: names[0] not in cluster.pod_names(namespace), "its end") if kind == "DaemonSet" else None
    cluster.wait_well(namespace, "db", None, kind=kind)


def test_a_job_runs_until_told(cluster: Cluster, namespace: str) -> None:
    cluster.need_fake_nodes()
    template = manifests.pod_template({"app": "once"})
    template["spec"]["restartPolicy"] = "Never"
    metadata = {"name": "once", "namespace": namespace}
    cluster.create({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {"template": template}})
    cluster.wait(lambda: [pod for pod in cluster.pods(namespace) if _ready(pod)], "its pod")
    cluster.finish("once")
    look = lambda: (cluster.get("jobs", namespace, "once") or {}).get("status", {}).get("succeeded")  # noqa: E731
    assert cluster.wait(look, "its end") == 1


def test_what_a_deleted_deployment_owned_goes_too(cluster: Cluster, namespace: str) -> None:
    cluster.deploy(namespace, "web", 2)
    cluster.delete("deployments", namespace, "web", propagationPolicy="Foreground")
    cluster.wait(
        lambda: not cluster.items("pods", namespace) and not cluster.items("replicasets", namespace), "all gone"
    )
    assert cluster.wait(lambda: cluster.get("deployments", namespace, "web") is None, "its end")


def test_a_namespace_goes_with_what_is_in_it(cluster: Cluster) -> None:
    with cluster.namespace() as name:
        cluster.deploy(name, "web", 1)
    cluster.wait(lambda: cluster.get("namespaces", "", name) is None, "its end")
    assert cluster.items("pods", name) == []
