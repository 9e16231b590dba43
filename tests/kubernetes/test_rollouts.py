"""deployment/restart and deployment/bad-image on an API server: whom a rollout takes down, and when it is over."""

import json
from typing import Any

import pytest
from cluster import Cluster
from faulting import RUN, Trial, details

from gameday.common.codec import decode
from gameday.faults.base import ConflictError, FaultError, Reach
from gameday.faults.cluster.change import RUN_LABEL, UNDO_PREFIX
from gameday.faults.cluster.found import find_marks
from gameday.faults.deployment.rollout import RESTARTED_AT, most_unavailable
from gameday.kubernetes.objects import WorkloadSpec

BOTH = ["deployment/restart", "deployment/bad-image"]


def deployment(cluster: Cluster, namespace: str) -> dict[str, Any]:
    found = cluster.get("deployments", namespace, "payments")
    assert found is not None
    return found


def image(cluster: Cluster, namespace: str) -> str:
    return str(deployment(cluster, namespace)["spec"]["template"]["spec"]["containers"][0]["image"])


def marks(cluster: Cluster, namespace: str) -> list[str]:
    metadata = deployment(cluster, namespace)["metadata"]
    annotations = [key for key in metadata.get("annotations") or {} if key.startswith(UNDO_PREFIX)]
    return sorted(annotations + [key for key in metadata.get("labels") or {} if key == RUN_LABEL])


@pytest.fixture
def restart(cluster: Cluster, namespace: str) -> Trial:
    cluster.deploy(namespace, "payments", 4)
    return Trial(cluster, namespace, "deployment/restart")


@pytest.fixture
def bad_image(cluster: Cluster, namespace: str) -> Trial:
    cluster.deploy(namespace, "payments", 4)
    return Trial(cluster, namespace, "deployment/bad-image")


# -- whom it takes down


@pytest.mark.parametrize(
    ("strategy", "desired", "down"),
    [
        (None, 8, 2),
        ({"type": "RollingUpdate"}, 7, 1),
        ({"type": "RollingUpdate"}, 3, 0),
        ({"rollingUpdate": {"maxUnavailable": "29%", "maxSurge": 1}}, 100, 29),
        ({"rollingUpdate": {"maxUnavailable": "10%", "maxSurge": 0}}, 4, 1),
        ({"rollingUpdate": {"maxUnavailable": 0, "maxSurge": "0%"}}, 4, 1),
        ({"rollingUpdate": {"maxUnavailable": 0, "maxSurge": "1%"}}, 4, 0),
        ({"rollingUpdate": {"maxUnavailable": 9}}, 4, 4),
        ({"rollingUpdate": {"maxUnavailable": "100%"}}, 4, 4),
        ({"type": "Recreate"}, 5, 5),
        ({"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 0}}, 0, 0),
    ],
)
def test_how_many_may_be_down_at_once(strategy: dict[str, Any] | None, desired: int, down: int) -> None:
    spec = decode(json.dumps({"strategy": strategy}).encode(), WorkloadSpec)
    assert most_unavailable(spec, desired) == down


@pytest.mark.parametrize("fault", BOTH)
def test_a_rollout_beyond_the_blast_radius_is_refused(cluster: Cluster, namespace: str, fault: str) -> None:
    cluster.deploy(namespace, "payments", 8)
    trial = Trial(cluster, namespace, fault)
    with pytest.raises(FaultError, match=r"may take down 2 of 8 at once, more than the blast radius of 1$"):
        trial.plan(1, service="payments")
    assert trial.reach(trial.plan(2, service="payments")) == Reach(2, 8, "pods")
    patch = {"spec": {"strategy": {"type": "Recreate", "rollingUpdate": None}}}
    cluster.patch("deployments", namespace, "payments", patch)
    with pytest.raises(FaultError, match=r"may take down 8 of 8 at once, more than the blast radius of 50%$"):
        trial.plan(0.5, service="payments")
    assert trial.reach(trial.plan(1.0, service="payments")) == Reach(8, 8, "pods")


@pytest.mark.parametrize("fault", BOTH)
def test_what_cannot_be_rolled_is_refused(cluster: Cluster, namespace: str, fault: str) -> None:
    trial = Trial(cluster, namespace, fault)
    with pytest.raises(FaultError, match="no Deployment `payments`"):
        trial.plan(1, service="payments")
    with pytest.raises(FaultError, match="is no Deployment"):
        trial.plan(1, owner="statefulset/payments")
    cluster.deploy(namespace, "payments", 4)
    cluster.patch("deployments", namespace, "payments", {"spec": {"paused": True}})
    with pytest.raises(FaultError, match="paused"):
        trial.plan(1, service="payments")


# -- restart


def test_a_restart_brings_new_pods_alone(cluster: Cluster, namespace: str, restart: Trial) -> None:
    before = set(cluster.pod_names(namespace))
    plan = restart.inject(1, service="payments")
    assert restart.undo(plan) == ()
    after = set(cluster.pod_names(namespace))
    assert len(after) == 4
    assert not before & after
    template = deployment(cluster, namespace)["spec"]["template"]
    assert template["metadata"]["annotations"] == {RESTARTED_AT: plan.restarted_at}
    assert marks(cluster, namespace) == []


def test_to_restart_twice_by_one_plan_is_one_restart(cluster: Cluster, namespace: str, restart: Trial) -> None:
    plan = restart.inject(1, service="payments")
    generation = deployment(cluster, namespace)["metadata"]["generation"]
    since = cluster.mark()
    restart.fault.inject(plan)
    assert cluster.changes(since) == []
    assert deployment(cluster, namespace)["metadata"]["generation"] == generation
    assert restart.undo(plan) == ()


def test_a_restart_keeps_the_annotations_of_others(cluster: Cluster, namespace: str, restart: Trial) -> None:
    template = {"metadata": {"annotations": {"team": "payments"}}}
    cluster.patch("deployments", namespace, "payments", {"spec": {"template": template}})
    for _ in range(2):
        plan = restart.inject(1, service="payments")
        assert restart.undo(plan) == ()
        found = deployment(cluster, namespace)["spec"]["template"]["metadata"]["annotations"]
        assert found == {"team": "payments", RESTARTED_AT: plan.restarted_at}


def test_a_deployment_made_anew_is_not_restarted(cluster: Cluster, namespace: str, restart: Trial) -> None:
    plan = restart.plan(1, service="payments")
    cluster.delete("deployments", namespace, "payments", propagationPolicy="Background")
    cluster.wait(lambda: cluster.get("deployments", namespace, "payments") is None, "its end")
    cluster.deploy(namespace, "payments", 4, service=False, wait=False)
    with pytest.raises(FaultError, match="no longer the one that was planned"):
        restart.fault.inject(plan)


def test_a_restart_whose_pods_do_not_come_is_not_over(
    cluster: Cluster, namespace: str, restart: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gameday.faults.cluster.changing._ATTEMPT_S", 0.5)
    with cluster.hold("payments"):
        plan = restart.inject(1, service="payments")
        (left, *_) = restart.undo(plan)
        assert "deployment/payments has" in left
    cluster.wait(lambda: restart.fault.verify(plan) == (), "the end of the rollout")


# -- a bad image


def test_a_bad_image_hangs_the_rollout_until_it_is_undone(cluster: Cluster, namespace: str, bad_image: Trial) -> None:
    cluster.need_fake_nodes()
    before = deployment(cluster, namespace)["spec"]
    old = set(cluster.pod_names(namespace))
    plan = bad_image.inject(1, service="payments", image="registry.example/web:does-not-exist")
    assert image(cluster, namespace) == "registry.example/web:does-not-exist"
    assert marks(cluster, namespace) == [RUN_LABEL, f"{UNDO_PREFIX}0.0.0"]
    cluster.wait(lambda: set(cluster.pod_names(namespace)) - old, "a pod without its image")
    assert bad_image.fault.verify(plan) != ()
    assert bad_image.reach(plan) == Reach(1, 4, "pods")
    assert bad_image.undo(plan) == ()
    assert bad_image.undo(plan) == ()
    assert deployment(cluster, namespace)["spec"] == before
    assert marks(cluster, namespace) == []
    assert len(old & set(cluster.pod_names(namespace))) >= 3, "those of the old image stayed, but for one at most"


def test_the_default_image_does_not_exist_anywhere(cluster: Cluster, namespace: str, bad_image: Trial) -> None:
    plan = bad_image.inject(1, owner="deployment/payments")
    assert image(cluster, namespace) == "gameday.invalid/does-not-exist:gameday"
    assert bad_image.undo(plan) == ()


def test_the_container_that_is_named_is_meant(cluster: Cluster, namespace: str, bad_image: Trial) -> None:
    containers = [{"name": "main", "image": "web:1"}, {"name": "proxy", "image": "proxy:1"}]
    patch = {"spec": {"template": {"spec": {"containers": containers}}}}
    cluster.patch("deployments", namespace, "payments", patch)
    plan = bad_image.inject(1, service="payments", container="proxy")
    found = deployment(cluster, namespace)["spec"]["template"]["spec"]["containers"]
    assert [item["image"] for item in found] == ["web:1", "gameday.invalid/does-not-exist:gameday"]
    bad_image.fault.undo(plan)
    with pytest.raises(FaultError, match="no container `sidecar`, but main, proxy"):
        bad_image.plan(1, service="payments", container="sidecar")
    with pytest.raises(FaultError, match="has the image `web:1` already"):
        bad_image.plan(1, service="payments", image="web:1")


def test_a_release_during_the_fault_is_not_overwritten(cluster: Cluster, namespace: str, bad_image: Trial) -> None:
    plan = bad_image.inject(1, service="payments")
    containers = [{"name": "main", "image": "web:2"}]
    cluster.patch("deployments", namespace, "payments", {"spec": {"template": {"spec": {"containers": containers}}}})
    with pytest.raises(ConflictError, match="web:2"):
        bad_image.fault.undo(plan)
    assert image(cluster, namespace) == "web:2"


def test_a_bad_image_is_undone_from_its_mark_alone(cluster: Cluster, namespace: str, bad_image: Trial) -> None:
    before = image(cluster, namespace)
    bad_image.inject(1, service="payments")
    ((found,), _) = find_marks(bad_image.system)
    assert (found.run, found.fault, found.problem) == (RUN, "deployment/bad-image", "")
    assert bad_image.undo(decode(found.plan, bad_image.fault.plan_type)) == ()
    assert image(cluster, namespace) == before
    assert find_marks(bad_image.system) == ([], [])


# -- who may


@pytest.mark.parametrize("fault", BOTH)
def test_it_needs_what_it_says_and_no_more(cluster: Cluster, namespace: str, fault: str) -> None:
    cluster.deploy(namespace, "payments", 4)
    user = cluster.fresh_user()
    trial = Trial(cluster, namespace, fault, user=user)
    cluster.allow(namespace, user, "get namespaces")
    wanted = set(details(trial.examine(1, service="payments")))
    assert {text.partition(" in ")[0] for text in wanted} == {
        "may not get deployments",
        "may not patch deployments",
        "may not list pods",
    } | ({"may not list deployments"} if fault == "deployment/bad-image" else set())
    cluster.allow(namespace, user, "get,list,patch deployments", "list pods")
    plan = trial.inject(1, service="payments")
    assert trial.undo(plan) == ()
