"""deployment/scale on an API server: stages, marks in the cluster, and what somebody else does meanwhile."""

import json
from typing import Any

import msgspec
import pytest
from cluster import Cluster
from faulting import RUN, Trial, details

from gameday.common.codec import decode
from gameday.faults.base import ConflictError, FaultError, Reach
from gameday.faults.cluster.change import RUN_LABEL, UNDO_PREFIX
from gameday.faults.cluster.found import find_marks


def deployment(cluster: Cluster, namespace: str) -> dict[str, Any]:
    found = cluster.get("deployments", namespace, "payments")
    assert found is not None
    return found


def replicas(cluster: Cluster, namespace: str) -> int:
    return int(deployment(cluster, namespace)["spec"]["replicas"])


def marks(cluster: Cluster, namespace: str) -> list[str]:
    metadata = deployment(cluster, namespace)["metadata"]
    annotations = [key for key in metadata.get("annotations") or {} if key.startswith(UNDO_PREFIX)]
    return sorted(annotations + [key for key in metadata.get("labels") or {} if key == RUN_LABEL])


@pytest.fixture
def trial(cluster: Cluster, namespace: str) -> Trial:
    cluster.deploy(namespace, "payments", 4)
    return Trial(cluster, namespace, "deployment/scale")


def test_it_takes_replicas_away_and_gives_them_back(cluster: Cluster, namespace: str, trial: Trial) -> None:
    before = deployment(cluster, namespace)
    plan = trial.inject(0.5, service="payments")
    assert replicas(cluster, namespace) == 2
    assert marks(cluster, namespace) == [RUN_LABEL, f"{UNDO_PREFIX}0.0.0"]
    assert trial.undo(plan) == ()
    assert trial.undo(plan) == ()
    after = deployment(cluster, namespace)
    assert after["spec"] == before["spec"]
    assert marks(cluster, namespace) == []
    assert len(cluster.pods(namespace)) == 4


@pytest.mark.parametrize("order", [(1, 0), (0, 1)], ids=["last first", "first first"])
def test_stages_go_back_to_the_first_of_all_in_any_order(
    cluster: Cluster, namespace: str, trial: Trial, order: tuple[int, int]
) -> None:
    plans = [trial.inject(1, service="payments"), trial.inject(0.75, service="payments", stage=1)]
    assert replicas(cluster, namespace) == 1
    assert trial.reach(plans[1]).affected >= 3
    for number in order:
        trial.fault.undo(plans[number])
    assert [trial.fault.verify(plan) for plan in plans] == [(), ()]
    assert replicas(cluster, namespace) == 4
    assert marks(cluster, namespace) == []


def test_to_ask_twice_is_harmless(cluster: Cluster, namespace: str, trial: Trial) -> None:
    plan = trial.inject(1, service="payments")
    trial.fault.inject(plan)
    assert replicas(cluster, namespace) == 3
    assert trial.undo(plan) == ()
    assert replicas(cluster, namespace) == 4


def test_the_undo_of_what_was_never_injected_touches_nothing(cluster: Cluster, namespace: str, trial: Trial) -> None:
    plan = trial.plan(1, service="payments")
    since = cluster.mark()
    assert trial.undo(plan) == ()
    assert cluster.changes(since) == []


def test_what_somebody_else_has_set_is_reported_and_not_overwritten(
    cluster: Cluster, namespace: str, trial: Trial
) -> None:
    plan = trial.inject(2, service="payments")
    cluster.patch("deployments", namespace, "payments", {"spec": {"replicas": 7}})
    with pytest.raises(
        ConflictError, match="/spec/replicas is 7, and neither was before nor by us; it is not overwritten"
    ):
        trial.fault.undo(plan)
    assert replicas(cluster, namespace) == 7
    assert any("/spec/replicas is 7, before 4" in text for text in trial.fault.verify(plan))


def test_what_has_changed_since_the_plan_is_not_touched(cluster: Cluster, namespace: str, trial: Trial) -> None:
    plan = trial.plan(1, service="payments")
    cluster.patch("deployments", namespace, "payments", {"spec": {"replicas": 9}})
    with pytest.raises(FaultError, match="/spec/replicas is 9 now, and was 4 when it was planned; nothing was touched"):
        trial.fault.inject(plan)
    assert marks(cluster, namespace) == []


def test_another_runs_fault_is_not_built_upon(cluster: Cluster, namespace: str, trial: Trial) -> None:
    plan = trial.inject(1, service="payments")
    with pytest.raises(FaultError, match=f"bears a fault of run {RUN}"):
        trial.plan(1, service="payments", run="another")
    assert trial.undo(plan) == ()


def test_an_autoscaler_is_refused(cluster: Cluster, namespace: str, trial: Trial) -> None:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "payments"}
    cluster.create(
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "payments", "namespace": namespace},
            "spec": {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 9},
        }
    )
    with pytest.raises(FaultError, match="the HorizontalPodAutoscaler `payments` scales deployment/payments"):
        trial.plan(1, service="payments")


def test_a_deployment_that_is_gone_needs_no_undo(
    cluster: Cluster, namespace: str, trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gameday.faults.cluster.changing._ATTEMPT_S", 0.5)
    plan = trial.inject(1, service="payments")
    cluster.delete("deployments", namespace, "payments")
    cluster.wait(lambda: cluster.get("deployments", namespace, "payments") is None, "it is gone")
    trial.fault.verify(plan)
    with pytest.raises(FaultError):
        trial.fault.undo(plan)  # its pods will not come back: that is said


def test_from_the_cluster_alone_it_is_found_and_undone(cluster: Cluster, namespace: str, trial: Trial) -> None:
    trial.inject(1, service="payments")
    trial.inject(2, service="payments", stage=1)
    found, _ = find_marks(trial.system)
    assert [(item.run, item.fault_id, item.fault, item.problem) for item in found] == [
        (RUN, "0.0.1", "deployment/scale", ""),
        (RUN, "0.0.0", "deployment/scale", ""),
    ]
    for item in found:
        plan = decode(item.plan, trial.fault.plan_type)
        trial.fault.undo(plan)
        assert trial.fault.verify(plan) == ()
    assert replicas(cluster, namespace) == 4
    assert find_marks(trial.system) == ([], [])


def test_a_mark_that_is_about_another_object_is_not_followed(cluster: Cluster, namespace: str, trial: Trial) -> None:
    trial.inject(1, service="payments")
    cluster.deploy(namespace, "inventory", 1, service=False)
    metadata = deployment(cluster, namespace)["metadata"]
    copied = {key: text for key, text in metadata["annotations"].items() if key.startswith(UNDO_PREFIX)}
    cluster.patch(
        "deployments", namespace, "inventory", {"metadata": {"annotations": copied, "labels": {RUN_LABEL: RUN}}}
    )
    problems = {item.what.split()[0]: item.problem for item in find_marks(trial.system)[0]}
    assert problems["deployment/payments"] == ""
    assert problems["deployment/inventory"].endswith("is of another object")


def test_a_mark_that_cannot_be_read_is_said(cluster: Cluster, namespace: str, trial: Trial) -> None:
    broken = {f"{UNDO_PREFIX}0.0.0": json.dumps({"fault": 1})}
    cluster.patch(
        "deployments", namespace, "payments", {"metadata": {"annotations": broken, "labels": {RUN_LABEL: "gone"}}}
    )
    ((found,), _) = find_marks(trial.system)
    assert (found.run, found.fault_id) == ("gone", "0.0.0")
    assert "cannot be read" in found.problem


def test_the_command_by_hand_does_the_same(cluster: Cluster, namespace: str, trial: Trial) -> None:
    plan = trial.inject(0.5, service="payments")
    words = trial.fault.by_hand(plan)
    patch = msgspec.json.decode(words.partition("-p '")[2].rstrip("'"))
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/payments"
    assert cluster.request("PATCH", path, patch, "application/json-patch+json")[0] == 200
    assert replicas(cluster, namespace) == 4
    cluster.wait_well(namespace, "payments", 4)
    assert trial.fault.verify(plan) == ()
    assert trial.undo(plan) == ()


def test_reach_counts_what_does_not_serve_anyway(cluster: Cluster, namespace: str, trial: Trial) -> None:
    plan = trial.plan(1, service="payments")
    assert trial.reach(plan) == Reach(1, 4, "pods")
    with cluster.unready(cluster.pod_names(namespace)[0]):
        cluster.wait(lambda: trial.reach(plan) == Reach(2, 4, "pods"), "one is not ready")


def test_each_change_is_rehearsed_by_the_server_which_stores_nothing(
    cluster: Cluster, namespace: str, trial: Trial
) -> None:
    plan, since = trial.plan(1, service="payments"), cluster.mark()
    examination = trial.examine(1, plan, service="payments")
    assert "the API server would accept each change" in details(examination)
    assert [call.dry_run for call in cluster.audit(since) if call.verb == "patch"] == [True]
    assert cluster.changes(since) == []
    cluster.patch("deployments", namespace, "payments", {"spec": {"replicas": 2}})
    assert any("/spec/replicas is 2 now" in text for text in details(trial.examine(1, plan, service="payments")))
