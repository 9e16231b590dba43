"""nodes/cordon on an API server: which nodes it takes, which it never does, and that it gives back only its own."""

import time

import msgspec
import pytest
from cluster import Cluster
from faulting import RUN, Trial, details
from noding import allow_needed, cordoned, marks, next_stage, node, set_ready, under_policy

from gameday.common.codec import decode
from gameday.faults.base import FaultError, Pick, Reach
from gameday.faults.cluster.change import RUN_LABEL, UNDO_PREFIX
from gameday.faults.cluster.found import find_marks
from gameday.journal.events import CheckOutcome

MARK = f"{UNDO_PREFIX}0.0.0"


@pytest.fixture
def trial(cluster: Cluster, namespace: str) -> Trial:
    cluster.need_fake_nodes()
    return Trial(cluster, namespace, "nodes/cordon")


def test_it_cordons_and_uncordons(cluster: Cluster, namespace: str, trial: Trial) -> None:
    cluster.deploy(namespace, "payments", 3)
    before, pods = node(cluster, "node-1")["spec"], cluster.pod_names(namespace)
    plan = trial.inject(1, node="node-1")
    assert cordoned(cluster) == ["node-1"]
    assert marks(cluster) == sorted([RUN_LABEL, MARK])
    assert trial.fault.verify(plan) == ("node/node-1: /spec/unschedulable is true, before absent",)
    cluster.wait(lambda: node(cluster, "node-1")["spec"].get("taints"), "the taint of a cordoned node")
    cluster.deploy(namespace, "inventory", 4, service=False)
    assert not {item["spec"]["nodeName"] for item in cluster.pods(namespace, "app=inventory")} & {"node-1"}
    trial.fault.inject(plan)
    assert trial.undo(plan) == ()
    assert trial.undo(plan) == ()
    assert (cordoned(cluster), marks(cluster)) == ([], [])
    cluster.wait(lambda: node(cluster, "node-1")["spec"] == before, "it is as before")
    assert cluster.pod_names(namespace)[:0] == []
    assert set(pods) <= set(cluster.pod_names(namespace)), "the pods there stay"


def test_the_undo_of_what_was_never_injected_touches_nothing(cluster: Cluster, trial: Trial) -> None:
    plan, since = trial.plan(2, node="node-*"), cluster.mark()
    cluster.patch("nodes", "", "node-2", {"spec": {"unschedulable": True}})
    assert trial.undo(plan) == ()
    assert cluster.changes(since) == []
    assert cordoned(cluster) == ["node-2"]


@pytest.mark.parametrize(("radius", "number"), [(1, 1), (0.4, 1), (0.67, 2), (1.0, 3)])
def test_a_share_never_exceeds_itself(trial: Trial, radius: int | float, number: int) -> None:
    plan = trial.plan(radius, node="node-*")
    assert len(trial.fault.targets(plan)) == number
    assert trial.reach(plan) == Reach(number, 3, "nodes")


def test_a_share_of_less_than_one_node_is_an_error(trial: Trial) -> None:
    with pytest.raises(FaultError, match="25% of 3 is less than one"):
        trial.plan(0.25, node="node-*")


def test_targets_by_zone_service_and_pattern(cluster: Cluster, namespace: str, trial: Trial) -> None:
    cluster.deploy(namespace, "payments", 1)
    host = cluster.pods(namespace)[0]["spec"]["nodeName"]
    assert trial.fault.targets(trial.plan(1.0, zone="zone-b")) == ("node/node-2",)
    assert trial.fault.targets(trial.plan(1.0, service="payments")) == (f"node/{host}",)
    assert trial.fault.targets(trial.plan(1.0, owner="deployment/payments", node="*")) == (f"node/{host}",)
    with pytest.raises(FaultError, match=r"no node matches the target \(payments, other-\*\)"):
        trial.plan(1, service="payments", node="other-*")
    with pytest.raises(FaultError, match="`pick: one-per-node` is for pods"):
        trial.plan(1, node="node-*", pick=Pick.ONE_PER_NODE)


def test_the_pick_is_repeated_by_its_seed_or_goes_by_age(cluster: Cluster, trial: Trial) -> None:
    picks = [trial.fault.targets(trial.plan(1, node="node-*", seed=seed)) for seed in (1, 1, 2, 3, 4, 5, 6, 7, 8)]
    assert picks[0] == picks[1]
    assert len(set(picks)) > 1
    time.sleep(1.1)  # creation times are in whole seconds
    cluster.node("node-young")
    assert trial.fault.targets(trial.plan(1, node="node-*", pick=Pick.NEWEST)) == ("node/node-young",)
    assert trial.fault.targets(trial.plan(1, node="node-*", pick=Pick.OLDEST)) != ("node/node-young",)


def test_somebody_elses_cordon_is_neither_chosen_nor_taken_back_and_counts(cluster: Cluster, trial: Trial) -> None:
    cluster.patch("nodes", "", "node-2", {"spec": {"unschedulable": True}})
    set_ready(cluster, "node-3", "False")
    try:
        plan = trial.inject(1.0, node="node-*")
        assert trial.fault.targets(plan) == ("node/node-1",)
        assert trial.reach(plan) == Reach(3, 3, "nodes")
        assert trial.undo(plan) == ()
        assert cordoned(cluster) == ["node-2"]
        with pytest.raises(FaultError, match="none of the target's 1 node is ready and schedulable"):
            trial.plan(1, node="node-2")
    finally:
        set_ready(cluster, "node-3", "True")


def test_one_that_was_cordoned_since_the_plan_is_not_touched(cluster: Cluster, trial: Trial) -> None:
    plan = trial.plan(1, node="node-2")
    cluster.patch("nodes", "", "node-2", {"spec": {"unschedulable": True}})
    with pytest.raises(FaultError, match="/spec/unschedulable is true now, and was absent when it was planned"):
        trial.fault.inject(plan)
    assert trial.undo(plan) == ()
    assert (cordoned(cluster), marks(cluster)) == (["node-2"], [])


@pytest.mark.parametrize("order", [(1, 0), (0, 1)], ids=["last first", "first first"])
def test_stages_grow_and_go_back_in_any_order(cluster: Cluster, trial: Trial, order: tuple[int, int]) -> None:
    first = trial.inject(1, node="node-*")
    second = next_stage(trial, first, 2, node="node-*")
    assert set(first.nodes) < set(second.nodes)
    assert trial.reach(second) == Reach(2, 3, "nodes")
    trial.fault.inject(second)
    assert cordoned(cluster) == sorted(second.nodes)
    for number in order:
        trial.fault.undo((first, second)[number])
    assert [trial.fault.verify(plan) for plan in (first, second)] == [(), ()]
    assert (cordoned(cluster), marks(cluster)) == ([], [])


def test_a_node_that_somebody_uncordoned_is_left_so(cluster: Cluster, trial: Trial) -> None:
    plan = trial.inject(1, node="node-1")
    cluster.patch("nodes", "", "node-1", {"spec": {"unschedulable": False}})
    assert trial.undo(plan) == ()
    assert (cordoned(cluster), marks(cluster)) == ([], [])


def test_a_node_whose_mark_somebody_took_is_theirs(cluster: Cluster, trial: Trial) -> None:
    plan = trial.inject(1, node="node-1")
    cluster.patch("nodes", "", "node-1", {"metadata": {"annotations": {MARK: None}, "labels": {RUN_LABEL: None}}})
    assert trial.undo(plan) == ()
    assert cordoned(cluster) == ["node-1"]
    later = next_stage(trial, plan, 1, node="node-*")
    assert "node-1" not in later.nodes


def test_another_runs_cordon_is_not_built_upon(cluster: Cluster, trial: Trial) -> None:
    plan = trial.inject(1, node="node-1")
    cluster.patch("nodes", "", "node-1", {"spec": {"unschedulable": None}})
    with pytest.raises(FaultError, match=f"bears a fault of run {RUN}"):
        trial.plan(1, node="node-1", run="another")
    assert trial.undo(plan) == ()


def test_a_node_that_has_gone_needs_no_undo(cluster: Cluster, trial: Trial) -> None:
    cluster.node("node-short", "zone-a")
    plan = trial.inject(1, node="node-short")
    planned = trial.plan(1, node="node-2")
    cluster.delete("nodes", "", "node-short")
    assert trial.undo(plan) == ()
    cluster.delete("nodes", "", "node-2")
    cluster.node("node-2", "zone-b")
    with pytest.raises(FaultError, match="node/node-2 is no longer the one that was planned"):
        trial.fault.inject(planned)
    assert cordoned(cluster) == []


def test_the_policy_says_which_nodes(cluster: Cluster, namespace: str, trial: Trial) -> None:
    plan = trial.plan(1, node="node-1")
    for namespaces, nodes, why in (
        ((namespace,), (), "the policy keeps faults to namespaces, and a node is in none"),
        ((namespace,), ("node-2", "gpu-*"), "the policy keeps faults to the nodes node-2, gpu-*; node-1 may not"),
        ((), ("node-2",), "the policy keeps faults to the nodes node-2; node-1 may not"),
    ):
        kept = under_policy(Trial(cluster, namespace, "nodes/cordon"), namespaces=namespaces, nodes=nodes)
        for look in (lambda kept=kept: kept.plan(1, node="node-1"), lambda kept=kept: kept.reach(plan)):
            with pytest.raises(FaultError, match=why.replace("*", r"\*")):
                look()
    kept = under_policy(trial, namespaces=(namespace,), nodes=("node-*",))
    assert kept.reach(kept.plan(1, node="node-1")) == Reach(1, 1, "nodes")


def test_from_the_cluster_alone_it_is_found_and_undone(cluster: Cluster, namespace: str, trial: Trial) -> None:
    trial.inject(2, node="node-*")
    under_policy(trial, namespaces=(namespace,), nodes=("node-*",))
    found, _ = find_marks(trial.system)
    assert [(item.fault, item.problem) for item in found] == [("nodes/cordon", "")] * 2
    for item in found:
        plan = decode(item.plan, trial.fault.plan_type)
        trial.fault.undo(plan)
        assert trial.fault.verify(plan) == ()
    assert (cordoned(cluster), find_marks(trial.system)) == ([], ([], []))


def test_the_command_by_hand_does_the_same(cluster: Cluster, trial: Trial) -> None:
    plan = trial.inject(1, node="node-1")
    patch = msgspec.json.decode(trial.fault.by_hand(plan).partition("-p '")[2].rstrip("'"))
    assert cluster.request("PATCH", "/api/v1/nodes/node-1", patch, "application/json-patch+json")[0] == 200
    assert cordoned(cluster) == []
    assert trial.fault.verify(plan) == ()


def test_preflight_shows_the_nodes_and_says_what_is_left(cluster: Cluster, trial: Trial) -> None:
    plan, since = trial.plan(2, node="node-[12]"), cluster.mark()
    found = trial.examine(2, plan, node="node-[12]")
    assert found.table is not None
    assert [row[:2] + row[3:] for row in found.table.rows] == [
        ("node-1", "zone-a", "ready"),
        ("node-2", "zone-b", "ready"),
    ]
    assert details(found) == ["1 of 3 nodes stay ready and schedulable", "the API server would accept each change"]
    assert cluster.changes(since) == []
    everything = trial.plan(1.0, node="*")
    (left, _) = trial.examine(1.0, everything, node="*").remarks
    assert left.outcome is CheckOutcome.WARNING
    assert left.detail == "0 of 3 nodes stay ready and schedulable: new pods would have no node to go to"


@pytest.mark.parametrize("target", [{"node": "node-*"}, {"service": "payments"}], ids=["nodes", "service"])
def test_the_rules_that_it_names_are_enough(cluster: Cluster, namespace: str, target: dict[str, str]) -> None:
    cluster.need_fake_nodes()
    cluster.deploy(namespace, "payments", 2)
    user = cluster.fresh_user()
    trial = Trial(cluster, namespace, "nodes/cordon", user=user)
    allow_needed(cluster, user, trial, **target)
    assert {item.namespace for item in trial.examine(1, **target).permissions if item.resource == "nodes"} == {None}
    plan = trial.plan(1, **target)
    assert all(remark.outcome is CheckOutcome.OK for remark in trial.examine(1, plan, **target).remarks)
    trial.reach(plan)
    trial.fault.inject(plan)
    assert trial.undo(plan) == ()
    assert cordoned(cluster) == []
