"""pods/kill on an API server: whom it hits, whom it never does, who may refuse, and when it is over."""

import pytest
from cluster import Cluster
from faulting import Trial, details

from gameday.faults.base import FaultError, Pick, Reach
from gameday.journal.events import CheckOutcome
from gameday.kubernetes.client import Client
from gameday.kubernetes.objects import path_of


def pod(namespace: str, name: str, **labels: str) -> dict[str, object]:
    container = {"name": "main", "image": "registry.test/app:1"}
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}}


def test_it_kills_as_many_as_planned_and_is_over_when_all_serve_again(cluster: Cluster, namespace: str) -> None:
    cluster.deploy(namespace, "payments", 4)
    before = set(cluster.pod_names(namespace))
    trial = Trial(cluster, namespace, "pods/kill")
    plan = trial.inject(0.5, service="payments")
    targets = set(trial.fault.targets(plan))
    assert len(targets) == 2
    assert targets < before
    assert trial.undo(plan) == ()
    after = set(cluster.pod_names(namespace))
    assert before - after == targets
    assert len(after) == 4


def test_planning_changes_nothing(cluster: Cluster, namespace: str) -> None:
    cluster.deploy(namespace, "payments", 3, min_available=1)
    trial, since = Trial(cluster, namespace, "pods/kill"), cluster.mark()
    plan = trial.plan(1, service="payments")
    trial.reach(plan)
    assert trial.examine(1, plan, service="payments").table is not None
    # A review is asked with a POST, and stored nowhere.
    assert {call.path for call in cluster.changes(since)} <= {"/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"}
    assert len(cluster.audit(since)) > 5


@pytest.mark.parametrize(("share", "number"), [(0.25, 1), (0.49, 1), (0.5, 2), (0.99, 3), (1.0, 4)])
def test_a_share_never_exceeds_itself(cluster: Cluster, namespace: str, share: float, number: int) -> None:
    cluster.deploy(namespace, "payments", 4, service=False)
    trial = Trial(cluster, namespace, "pods/kill")
    assert len(trial.fault.targets(trial.plan(share, owner="deployment/payments"))) == number


def test_less_than_one_is_an_error_that_says_why(cluster: Cluster, namespace: str) -> None:
    cluster.deploy(namespace, "payments", 3)
    with pytest.raises(FaultError, match="25% of 3 is less than one"):
        Trial(cluster, namespace, "pods/kill").plan(0.25, service="payments")


def test_what_does_not_serve_counts_against_the_ceiling(cluster: Cluster, namespace: str) -> None:
    cluster.deploy(namespace, "payments", 4)
    trial = Trial(cluster, namespace, "pods/kill")
    plan = trial.plan(1, service="payments")
    assert trial.reach(plan) == Reach(1, 4, "pods")
    victim = trial.fault.targets(plan)[0]
    other = next(name for name in cluster.pod_names(namespace) if name != victim)
    with cluster.unready(other):
        cluster.wait(lambda: trial.reach(plan) == Reach(2, 4, "pods"), "one is not ready")


def test_pods_that_end_or_have_ended_are_never_hit(cluster: Cluster, namespace: str) -> None:
    cluster.deploy(namespace, "payments", 3)
    names = cluster.pod_names(namespace)
    cluster.set_stop_delay(60)
    cluster.delete("pods", namespace, names[0])
    cluster.finish(names[1])
    trial = Trial(cluster, namespace, "pods/kill")
    done = cluster.wait(
        lambda: (cluster.get("pods", namespace, names[1]) or {}).get("status", {}).get("phase") == "Succeeded",
        "it ends",
    )
    assert done
    hit = set(trial.fault.targets(trial.plan(1.0, service="payments")))
    assert not hit & set(names[:2])
    assert hit


def test_a_pod_that_nothing_would_bring_back_is_refused(cluster: Cluster, namespace: str) -> None:
    cluster.create(pod(namespace, "alone", app="alone"))
    trial = Trial(cluster, namespace, "pods/kill")
    with pytest.raises(FaultError, match="the pod alone has no controller"):
        trial.plan(1, selector="app=alone")


def test_no_match_is_an_error(cluster: Cluster, namespace: str) -> None:
    trial = Trial(cluster, namespace, "pods/kill")
    with pytest.raises(FaultError, match=r"no live pod matches the target \(app=nobody\)"):
        trial.plan(1, selector="app=nobody")
    with pytest.raises(FaultError, match="neither a Service nor a Deployment, StatefulSet or DaemonSet `nobody`"):
        trial.plan(1, service="nobody")


def test_targets_by_node_zone_name_and_owner(cluster: Cluster, namespace: str) -> None:
    cluster.need_fake_nodes()
    cluster.deploy(namespace, "payments", 6, service=False)
    cluster.deploy(namespace, "inventory", 3, service=False)
    trial = Trial(cluster, namespace, "pods/kill")
    pods = {item["metadata"]["name"]: item["spec"]["nodeName"] for item in cluster.pods(namespace)}
    on_first = {name for name, node in pods.items() if node == "node-1"}
    assert set(trial.fault.targets(trial.plan(1.0, node="node-1"))) == on_first
    assert set(trial.fault.targets(trial.plan(1.0, zone="zone-a"))) == on_first
    assert set(trial.fault.targets(trial.plan(1.0, zone="zone-a", name="payments-*"))) == {
        name for name in on_first if name.startswith("payments-")
    }
    assert all(
        name.startswith("inventory-") for name in trial.fault.targets(trial.plan(1.0, owner="deployment/inventory"))
    )


def test_the_pick_is_repeated_by_its_seed_and_spreads_over_nodes(cluster: Cluster, namespace: str) -> None:
    cluster.need_fake_nodes()
    cluster.deploy(namespace, "payments", 6)
    trial = Trial(cluster, namespace, "pods/kill")

    def picked(seed: int, pick: Pick = Pick.RANDOM) -> tuple[str, ...]:
        return trial.fault.targets(trial.plan(3, service="payments", seed=seed, pick=pick))

    assert picked(1) == picked(1)
    assert len({picked(seed) for seed in range(8)}) > 1
    nodes = {item["metadata"]["name"]: item["spec"]["nodeName"] for item in cluster.pods(namespace)}
    for seed in range(4):
        assert len({nodes[name] for name in picked(seed, Pick.ONE_PER_NODE)}) == 3


def test_a_budget_refuses_in_preflight_and_at_the_moment(cluster: Cluster, namespace: str) -> None:
    cluster.deploy(namespace, "payments", 3, min_available=2)
    trial = Trial(cluster, namespace, "pods/kill")
    plan = trial.plan(2, service="payments")
    found = trial.examine(2, plan, service="payments")
    assert [remark.outcome for remark in found.remarks if remark.check == "disruption budget"] == [CheckOutcome.FAILURE]
    assert "payments allows 1 disruption now, and 2 are meant" in details(found)
    before = set(cluster.pod_names(namespace))
    with pytest.raises(FaultError, match=r"a PodDisruptionBudget keeps payments-.* from being evicted"):
        trial.fault.inject(plan)
    assert trial.undo(plan) == ()
    assert len(before - set(cluster.pod_names(namespace))) == 1


def test_a_budget_is_ignored_when_told_so(cluster: Cluster, namespace: str) -> None:
    cluster.deploy(namespace, "payments", 3, min_available=3)
    trial = Trial(cluster, namespace, "pods/kill")
    before = set(cluster.pod_names(namespace))
    plan = trial.inject(2, service="payments", budgets="ignore")
    assert trial.undo(plan) == ()
    assert len(before - set(cluster.pod_names(namespace))) == 2


def test_another_pod_of_that_name_is_not_touched(cluster: Cluster, namespace: str) -> None:
    cluster.deploy(namespace, "payments", 2, kind="StatefulSet")
    trial = Trial(cluster, namespace, "pods/kill")
    plan = trial.plan(1.0, owner="statefulset/payments")
    uid = {item["metadata"]["name"]: item["metadata"]["uid"] for item in cluster.pods(namespace)}
    cluster.delete("pods", namespace, "payments-0", gracePeriodSeconds=0)

    def is_new() -> bool:
        new = cluster.get("pods", namespace, "payments-0")
        return new is not None and new["metadata"]["uid"] != uid["payments-0"]

    cluster.wait(is_new, "a new payments-0")
    with pytest.raises(FaultError, match="payments-0: no longer the pods that were planned; nothing was touched"):
        trial.fault.inject(plan)
    assert {item["metadata"]["uid"] for item in cluster.pods(namespace)} >= {uid["payments-1"]}


def test_it_is_not_over_while_a_new_pod_does_not_serve(cluster: Cluster, namespace: str) -> None:
    cluster.deploy(namespace, "payments", 2)
    trial = Trial(cluster, namespace, "pods/kill")
    with cluster.hold("payments"):
        plan = trial.inject(1, service="payments")
        cluster.wait(lambda: trial.fault.verify(plan), "one is missing")
        cluster.wait(lambda: any("Pending" in text for text in trial.fault.verify(plan)), "it is said to be Pending")
    assert trial.undo(plan) == ()


def test_a_namespace_made_anew_is_another_one(cluster: Cluster, namespace: str) -> None:
    cluster.deploy(namespace, "payments", 1)
    trial = Trial(cluster, namespace, "pods/kill")
    plan = trial.plan(1, service="payments")
    import msgspec

    elsewhere = msgspec.structs.replace(plan, place=msgspec.structs.replace(plan.place, uid="another"))
    with pytest.raises(FaultError, match="now leads to another cluster"):
        trial.fault.inject(elsewhere)
    assert trial.reach(plan) == Reach(1, 1, "pods")


def test_the_policy_keeps_it_to_its_namespaces(cluster: Cluster, namespace: str) -> None:
    cluster.deploy(namespace, "payments", 1)
    plan = Trial(cluster, namespace, "pods/kill").plan(1, service="payments")
    kept = Trial(cluster, namespace, "pods/kill", allowed="elsewhere")
    for look in (lambda: kept.plan(1, service="payments"), lambda: kept.reach(plan)):
        with pytest.raises(FaultError, match="the policy keeps faults to the namespaces elsewhere"):
            look()


def test_each_missing_permission_is_named_with_its_rule(cluster: Cluster, namespace: str) -> None:
    cluster.deploy(namespace, "payments", 2)
    user = cluster.fresh_user()
    cluster.allow(namespace, user, "list pods", "get namespaces")
    trial = Trial(cluster, namespace, "pods/kill", user=user)
    said = details(trial.examine(1, service="payments"))
    assert (
        f"may not create pods/eviction in {namespace}, needed to inject; this rule grants it: "
        '{apiGroups: [""], resources: [pods/eviction], verbs: [create]}' in said
    )
    assert not any("list pods " in text for text in said)
    with pytest.raises(FaultError, match=r"cannot get resource .services."):
        trial.plan(1, service="payments")


def test_the_rules_that_it_names_are_enough(cluster: Cluster, namespace: str) -> None:
    cluster.deploy(namespace, "payments", 2, min_available=1)
    user = cluster.fresh_user()
    trial = Trial(cluster, namespace, "pods/kill", user=user)
    needed = trial.examine(1, service="payments").permissions
    cluster.allow(
        namespace,
        user,
        *({"apiGroups": [item.group], "resources": [item.resource], "verbs": [item.verb]} for item in needed),
    )
    plan = trial.plan(1, service="payments")
    found = trial.examine(1, plan, service="payments")
    assert all(remark.outcome is CheckOutcome.OK for remark in found.remarks)
    trial.fault.inject(plan)
    assert trial.undo(plan) == ()


def test_a_dry_deletion_deletes_nothing(cluster: Cluster, namespace: str) -> None:
    cluster.create(pod(namespace, "alone", app="alone"))
    reference = Trial(cluster, namespace, "pods/kill").system.cluster
    assert reference is not None
    with Client(reference) as client:
        client.delete(path_of("Pod", namespace, "alone"), dry_run=True)
        assert cluster.pod_names(namespace) == ["alone"]
        client.delete(path_of("Pod", namespace, "alone"), grace_s=0)
    assert cluster.pod_names(namespace) == []


def test_a_pod_that_has_just_gone_is_missed_before_its_controller_notices(cluster: Cluster, namespace: str) -> None:
    cluster.deploy(namespace, "payments", 3)
    trial = Trial(cluster, namespace, "pods/kill")
    with cluster.hold("payments"):
        plan = trial.inject(1, service="payments")
        (left, *_) = trial.fault.verify(plan)  # at once: the Deployment's status still says 3
        assert "has 2 of 3 pods ready" in left
    cluster.wait(lambda: trial.fault.verify(plan) == (), "it serves again")
