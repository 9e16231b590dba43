"""network/deny on an API server: which pods a policy of ours means, whom it lets in, and that it goes again."""

from typing import Any

import pytest
from cluster import Cluster
from faulting import RUN, Trial, details, die_after, run_by_hand
from world import is_ready

from gameday.common.codec import decode
from gameday.faults.base import ConflictError, FaultError, Reach
from gameday.faults.cluster.change import RUN_LABEL, UNDO_PREFIX
from gameday.faults.cluster.created import name_for
from gameday.faults.cluster.found import find_marks
from gameday.journal.events import CheckOutcome

LABEL = "gameday.dev/denied-0.0.0"


def policies(cluster: Cluster, namespace: str) -> list[dict[str, Any]]:
    return cluster.items("networkpolicies", namespace)


def denied(cluster: Cluster, namespace: str, label: str = LABEL) -> set[str]:
    return set(cluster.pod_names(namespace, label))


def policy(namespace: str, name: str, **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": spec}


def left_behind(cluster: Cluster, namespace: str) -> list[str]:
    found = [item["metadata"]["name"] for item in policies(cluster, namespace)]
    for pod in cluster.pods(namespace):
        metadata = pod["metadata"]
        keys = [*(metadata.get("labels") or {}), *(metadata.get("annotations") or {})]
        found += [key for key in keys if key.startswith("gameday.dev/")]
    return found


@pytest.fixture
def trial(cluster: Cluster, namespace: str) -> Trial:
    cluster.deploy(namespace, "payments", 4)
    return Trial(cluster, namespace, "network/deny")


def test_nobody_reaches_the_pods_that_are_planned(cluster: Cluster, namespace: str, trial: Trial) -> None:
    plan = trial.plan(0.5, service="payments")
    targets = set(trial.fault.targets(plan))
    assert trial.reach(plan) == Reach(2, 4, "pods")
    assert left_behind(cluster, namespace) == []
    trial.fault.inject(plan)
    trial.fault.inject(plan)
    (made,) = policies(cluster, namespace)
    assert made["metadata"]["name"] == name_for(plan.place.stamp)
    assert made["metadata"]["labels"] == {RUN_LABEL: RUN}
    label = {LABEL: name_for(plan.place.stamp)}
    assert made["spec"] == {"podSelector": {"matchLabels": label}, "policyTypes": ["Ingress"]}
    assert denied(cluster, namespace) == targets
    assert len(targets) == 2
    assert trial.fault.verify(plan) != ()
    assert trial.undo(plan) == ()
    assert trial.undo(plan) == ()
    assert left_behind(cluster, namespace) == []


@pytest.mark.parametrize(
    ("direction", "types", "said"),
    [
        ("ingress", ["Ingress"], "let nobody reach"),
        ("egress", ["Egress"], "reach nobody"),
        ("both", ["Ingress", "Egress"], "and these reach nobody"),
    ],
)
def test_each_direction(
    cluster: Cluster, namespace: str, trial: Trial, direction: str, types: list[str], said: str
) -> None:
    plan = trial.inject(1, service="payments", direction=direction)
    assert policies(cluster, namespace)[0]["spec"]["policyTypes"] == types
    assert {"ingress", "egress"}.isdisjoint(policies(cluster, namespace)[0]["spec"])
    assert said in trial.fault.describe(plan)
    assert trial.undo(plan) == ()


def test_the_undo_of_what_was_never_injected_touches_nothing(cluster: Cluster, namespace: str, trial: Trial) -> None:
    plan = trial.plan(1, service="payments")
    since = cluster.mark()
    assert trial.undo(plan) == ()
    assert cluster.changes(since) == []


# -- stages, and who does what meanwhile


@pytest.mark.parametrize("order", [(1, 0), (0, 1)], ids=["last first", "first first"])
def test_a_stage_grows_from_the_one_before(
    cluster: Cluster, namespace: str, trial: Trial, order: tuple[int, int]
) -> None:
    first = trial.inject(1, service="payments")
    (held,) = trial.fault.targets(first)
    second = trial.inject(0.75, service="payments", stage=1, already=(held,), seed=8)
    assert trial.reach(second) == Reach(3, 4, "pods")
    assert held in trial.fault.targets(second)
    assert len(trial.fault.targets(second)) == 3
    assert denied(cluster, namespace) == {held}
    assert denied(cluster, namespace, "gameday.dev/denied-0.0.1") == set(trial.fault.targets(second))
    assert len(policies(cluster, namespace)) == 2
    plans = (first, second)
    for number in order:
        assert trial.undo(plans[number]) == ()
    assert left_behind(cluster, namespace) == []


def test_a_stage_that_adds_no_pod_is_in_place_all_the_same(cluster: Cluster, namespace: str, trial: Trial) -> None:
    cluster.deploy(namespace, "checkout", 1)
    first = trial.inject(1, service="payments", caller="checkout")
    targets = trial.fault.targets(first)
    second = trial.inject(0.25, service="payments", caller="checkout", stage=1, already=targets)
    assert trial.fault.targets(second) == targets
    assert trial.fault.verify(second) != ()
    assert trial.undo(second) == ()
    assert trial.fault.verify(first) != ()
    assert trial.undo(first) == ()
    assert left_behind(cluster, namespace) == []


def test_what_does_not_serve_counts(cluster: Cluster, namespace: str, trial: Trial) -> None:
    plan = trial.plan(1, service="payments")
    (other, *_) = set(cluster.pod_names(namespace)) - set(trial.fault.targets(plan))
    with cluster.unready(other):
        cluster.wait(lambda: sum(map(is_ready, cluster.pods(namespace))) == 3, "one that is not ready")
        assert trial.reach(plan) == Reach(2, 4, "pods")


def test_pods_that_went_meanwhile_need_no_undo(cluster: Cluster, namespace: str, trial: Trial) -> None:
    plan = trial.inject(0.5, service="payments")
    gone = trial.fault.targets(plan)[0]
    cluster.delete("pods", namespace, gone)
    cluster.wait_well(namespace, "payments", 4)
    assert trial.undo(plan) == ()
    assert left_behind(cluster, namespace) == []


def test_a_pod_that_is_another_one_by_now_is_not_touched(cluster: Cluster, namespace: str) -> None:
    cluster.deploy(namespace, "db", 1, kind="StatefulSet")
    trial = Trial(cluster, namespace, "network/deny")
    plan, before = trial.plan(1, service="db"), cluster.pods(namespace)[0]["metadata"]["uid"]
    cluster.delete("pods", namespace, "db-0")
    cluster.wait(lambda: [pod["metadata"]["uid"] for pod in cluster.pods(namespace)] not in ([], [before]), "a new one")
    with pytest.raises(FaultError, match="pod/db-0 is no longer the one that was planned"):
        trial.fault.inject(plan)
    assert trial.undo(plan) == ()
    assert left_behind(cluster, namespace) == []


def test_the_undo_waits_until_pods_that_served_serve_again(
    cluster: Cluster, namespace: str, trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gameday.faults.cluster.changing._ATTEMPT_S", 0.5)
    plan = trial.inject(1, service="payments")
    (name,) = trial.fault.targets(plan)
    with cluster.unready(name):
        cluster.wait(lambda: sum(map(is_ready, cluster.pods(namespace))) == 3, "one that is not ready")
        (left, *_) = trial.undo(plan)
        assert f"{name} does not serve yet (not ready)" in left
    cluster.wait(lambda: trial.fault.verify(plan) == (), "the pod serves")


def test_a_policy_that_lost_its_mark_is_left_alone(cluster: Cluster, namespace: str, trial: Trial) -> None:
    plan = trial.inject(1, service="payments")
    name = policies(cluster, namespace)[0]["metadata"]["name"]
    cluster.patch("networkpolicies", namespace, name, {"metadata": {"annotations": {f"{UNDO_PREFIX}0.0.0": None}}})
    with pytest.raises(ConflictError, match="does not bear our mark"):
        trial.fault.undo(plan)
    assert trial.fault.verify(plan) == (f"networkpolicy/{name} is still there",)


@pytest.mark.parametrize("writes", [1, 2, 3])
@pytest.mark.parametrize("undo", [False, True])
def test_whatever_it_dies_between_is_undone_from_the_marks_alone(
    cluster: Cluster, namespace: str, trial: Trial, monkeypatch: pytest.MonkeyPatch, writes: int, undo: bool
) -> None:
    plan = trial.inject(0.5, service="payments") if undo else trial.plan(0.5, service="payments")
    with monkeypatch.context() as patching:
        die_after(writes, patching)
        with pytest.raises(ZeroDivisionError):
            (trial.fault.undo if undo else trial.fault.inject)(plan)
    found, unseen = find_marks(trial.system)
    assert unseen == []
    assert len(found) == (3 - writes if undo else writes)
    for mark in found:
        assert (mark.fault, mark.problem) == ("network/deny", "")
        assert trial.undo(decode(mark.plan, trial.fault.plan_type)) == ()
    assert left_behind(cluster, namespace) == []
    assert trial.undo(plan) == ()


def test_by_hand_it_is_undone_too(cluster: Cluster, namespace: str, trial: Trial) -> None:
    plan = trial.inject(0.5, service="payments")
    run_by_hand(trial, plan)
    assert policies(cluster, namespace) == []
    assert denied(cluster, namespace) == set()
    assert trial.fault.verify(plan) == ()


# -- what preflight hears


def test_preflight_says_whom_it_hits_and_on_what_it_depends(cluster: Cluster, namespace: str, trial: Trial) -> None:
    plan = trial.plan(1.0, service="payments")
    examination = trial.examine(1.0, plan, service="payments")
    assert examination.table is not None
    assert {row[0] for row in examination.table.rows} == set(cluster.pod_names(namespace))
    assert [(remark.outcome, remark.detail) for remark in examination.remarks] == [
        (CheckOutcome.WARNING, "0 of 4 pods stay ready and are not cut off"),
        (
            CheckOutcome.OK,
            "it works only where the cluster's network plugin enforces NetworkPolicies, which the API cannot tell",
        ),
        (CheckOutcome.OK, "the API server would accept each change"),
    ]
    assert left_behind(cluster, namespace) == []


def test_it_needs_what_it_says_and_no_more(cluster: Cluster, namespace: str, trial: Trial) -> None:
    cluster.deploy(namespace, "checkout", 1)
    user = cluster.fresh_user()
    trial = Trial(cluster, namespace, "network/deny", user=user)
    cluster.allow(namespace, user, "get namespaces")
    assert {text.partition(" in ")[0] for text in details(trial.examine(1, service="payments", caller="checkout"))} == {
        *(f"may not {verb} pods" for verb in ("get", "list", "patch")),
        *(f"may not {verb} networkpolicies" for verb in ("get", "list", "create", "delete")),
        *(f"may not get {plural}" for plural in ("services", "deployments", "statefulsets", "daemonsets")),
        "may not list endpointslices",
    }
    cluster.allow(
        namespace,
        user,
        "get,list,patch pods",
        "get,list,create,delete networkpolicies",
        "get services",
        "list endpointslices",
    )
    plan = trial.inject(1, service="payments", caller="checkout")
    assert trial.undo(plan) == ()
    assert left_behind(cluster, namespace) == []
