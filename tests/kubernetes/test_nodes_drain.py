"""nodes/drain on an API server: whom it evicts and whom never, who may refuse, and when it is over."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster import Cluster
from faulting import Trial, details
from manifests import IMAGE
from noding import allow_needed, cordoned, marks, next_stage, pods_on, under_policy
from projects import Project

from gameday.common.codec import decode
from gameday.faults.base import FaultError, Reach
from gameday.faults.cluster.found import find_marks
from gameday.faults.nodes.residents import residents
from gameday.journal.events import CheckOutcome
from gameday.kubernetes.client import Client
from gameday.kubernetes.reference import ClusterRef


@pytest.fixture
def trial(cluster: Cluster, namespace: str) -> Trial:
    """With nobody else's pods anywhere: those of earlier tests may be about to go."""
    cluster.need_fake_nodes()
    cluster.wait(lambda: not cluster.items("pods"), "the pods of earlier tests are gone")
    return Trial(cluster, namespace, "nodes/drain")


def pod(namespace: str, name: str, node: str, **annotations: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, "annotations": annotations}
    spec = {"containers": [{"name": "main", "image": IMAGE}], "nodeName": node, "terminationGracePeriodSeconds": 1}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def ready_replicas(cluster: Cluster, namespace: str) -> int:
    return int((cluster.get("deployments", namespace, "payments") or {})["status"].get("readyReplicas", 0))


def test_it_empties_the_node_and_all_serve_again(cluster: Cluster, namespace: str, trial: Trial) -> None:
    cluster.deploy(namespace, "payments", 6)
    before = set(pods_on(cluster, namespace, "node-1"))
    assert before
    plan = trial.inject(1, node="node-1")
    assert cordoned(cluster) == ["node-1"]
    cluster.wait_well(namespace, "payments", 6)
    assert pods_on(cluster, namespace, "node-1") == []
    trial.fault.inject(plan)
    assert trial.undo(plan) == ()
    assert trial.undo(plan) == ()
    assert (cordoned(cluster), marks(cluster)) == ([], [])
    assert not before & set(cluster.pod_names(namespace))


def test_the_undo_of_what_was_never_injected_touches_nothing(cluster: Cluster, namespace: str, trial: Trial) -> None:
    cluster.deploy(namespace, "payments", 3)
    plan, since = trial.plan(1, node="node-1"), cluster.mark()
    assert trial.undo(plan) == ()
    assert cluster.changes(since) == []


def test_daemons_mirrors_and_what_has_ended_are_left(cluster: Cluster, namespace: str, trial: Trial) -> None:
    cluster.deploy(namespace, "agent", kind="DaemonSet", service=False)
    cluster.deploy(namespace, "payments", 3)
    cluster.create(pod(namespace, "static-node-1", "node-1", **{"kubernetes.io/config.mirror": "hash"}))
    cluster.create(pod(namespace, "over", "node-1"))
    cluster.finish("over")

    def has_ended() -> bool:
        return (cluster.get("pods", namespace, "over") or {})["status"]["phase"] == "Succeeded"

    cluster.wait(has_ended, "one has ended")
    since = cluster.mark()
    plan = trial.inject(1, node="node-1")
    evicted = [call.path.split("/")[-2] for call in cluster.audit(since) if call.path.endswith("/eviction")]
    assert {name.partition("-")[0] for name in evicted} == {"payments"}
    left = {name.partition("-")[0] for name in pods_on(cluster, namespace, "node-1") if not name.startswith("payments")}
    assert left == {"agent", "static", "over"}
    assert trial.undo(plan) == ()


def test_pods_that_nothing_would_bring_back_are_refused_by_name(cluster: Cluster, namespace: str, trial: Trial) -> None:
    cluster.create(pod(namespace, "alone-1", "node-1"))
    cluster.create(pod(namespace, "alone-2", "node-2"))
    with pytest.raises(FaultError) as caught:
        trial.plan(2, node="node-[12]")
    assert f"{namespace}/alone-1 on node-1, {namespace}/alone-2 on node-2" in str(caught.value)
    assert trial.reach(trial.plan(1, node="node-3")) == Reach(1, 1, "nodes")


def test_gameday_does_not_evict_itself(
    cluster: Cluster, namespace: str, trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.deploy(namespace, "gameday", 1, service=False)
    (own,) = cluster.pods(namespace)
    name, host = own["metadata"]["name"], own["spec"]["nodeName"]
    monkeypatch.setattr("gameday.faults.nodes.residents.gethostname", lambda: name)
    assert trial.system.cluster is not None
    with Client(trial.system.cluster) as client:
        assert [pod.metadata.name for pod in residents(client, [host], None)] == [name], "a name alone says nothing"
        client.reference = ClusterRef(in_cluster=True)
        with pytest.raises(FaultError, match=f"gameday itself runs there, in {namespace}/{name} on {host}"):
            residents(client, [host], None)


def test_what_has_come_since_the_plan_is_evicted_too(cluster: Cluster, namespace: str, trial: Trial) -> None:
    cluster.deploy(namespace, "payments", 3)
    plan = trial.plan(1, node="node-1")
    planned = set(pods_on(cluster, namespace, "node-1"))
    cluster.patch("deployments", namespace, "payments", {"spec": {"replicas": 9}})
    cluster.wait_well(namespace, "payments", 9)
    assert set(pods_on(cluster, namespace, "node-1")) > planned
    trial.fault.inject(plan)
    cluster.wait_well(namespace, "payments", 9)
    assert pods_on(cluster, namespace, "node-1") == []
    assert trial.undo(plan) == ()


def test_workloads_that_the_undo_would_not_know_are_refused_before_and_after_the_cordon(
    cluster: Cluster, namespace: str, trial: Trial
) -> None:
    cluster.deploy(namespace, "payments", 3)
    plan = trial.plan(1, node="node-1")
    cluster.deploy(namespace, "inventory", 3, service=False)
    before = set(cluster.pod_names(namespace))
    why = rf"pods of {namespace}/deployment/inventory have come to node-1 since the plan: plan again; none was evicted"
    with pytest.raises(FaultError, match=why):
        trial.reach(plan)
    assert marks(cluster) == []
    with pytest.raises(FaultError, match=why):
        trial.fault.inject(plan)
    assert trial.undo(plan) == ()
    assert (cordoned(cluster), set(cluster.pod_names(namespace))) == ([], before)


def test_a_budget_that_refuses_at_first_is_asked_again(cluster: Cluster, namespace: str, trial: Trial) -> None:
    cluster.deploy(namespace, "payments", 6, min_available=5)
    since = cluster.mark()
    plan = trial.inject(1, node="node-1", within=30.0)
    codes = [call.code for call in cluster.audit(since) if call.path.endswith("/eviction")]
    assert codes.count(201) == 2
    assert 429 in codes
    assert trial.undo(plan) == ()


def test_when_the_deadline_passes_it_is_an_error_and_undone(cluster: Cluster, namespace: str, trial: Trial) -> None:
    cluster.deploy(namespace, "payments", 3, min_available=3)
    plan, before = trial.plan(1, node="node-1", within=1.0), set(cluster.pod_names(namespace))
    assert trial.fault.patience(plan).inject_s > 1
    assert trial.fault.patience(trial.plan(1, node="node-1")).inject_s > 300
    with pytest.raises(
        FaultError, match=r"not evicted within 1 s: payments-\S+ \(The disruption budget payments needs"
    ):
        trial.fault.inject(plan)
    assert cordoned(cluster) == ["node-1"]
    assert trial.undo(plan) == ()
    assert (cordoned(cluster), set(cluster.pod_names(namespace))) == ([], before)


@contextlib.contextmanager
def impatient() -> Iterator[None]:
    """An undo in vain takes half a second."""
    with pytest.MonkeyPatch.context() as patching:
        patching.setattr("gameday.faults.cluster.changing._ATTEMPT_S", 0.5)
        yield


def test_it_is_not_over_while_a_pod_finds_no_place(cluster: Cluster, namespace: str, trial: Trial) -> None:
    cluster.deploy(namespace, "payments", 3)
    with cluster.hold("payments"):
        plan = trial.inject(1, node="node-1")
        cluster.wait(lambda: ready_replicas(cluster, namespace) == 2, "its controller has noticed")
        failing = pytest.raises(FaultError, match=rf"{namespace}: deployment/payments has 2 of 3 pods ready")
        with impatient(), failing:
            trial.fault.undo(plan)
        assert cordoned(cluster) == [], "it is uncordoned at once"
        cluster.wait(lambda: any("Pending" in text for text in trial.fault.verify(plan)), "it is said to be Pending")
    assert trial.undo(plan) == ()


def test_a_job_is_waited_for_until_its_pod_has_a_place(cluster: Cluster, namespace: str, trial: Trial) -> None:
    template = {"spec": {"containers": [{"name": "main", "image": IMAGE}], "restartPolicy": "Never"}}
    metadata = {"name": "report", "namespace": namespace}
    cluster.create({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {"template": template}})
    (host,) = cluster.wait(
        lambda: [item["spec"]["nodeName"] for item in cluster.pods(namespace) if item["spec"].get("nodeName")],
        "it runs",
    )
    with cluster.hold("report"):
        plan = trial.inject(1, node=host)
        cluster.wait(lambda: any(not item["spec"].get("nodeName") for item in cluster.pods(namespace)), "a new pod")
        failing = pytest.raises(FaultError, match=rf"{namespace}: report-\S+ of job/report is Pending")
        with impatient(), failing:
            trial.fault.undo(plan)
    assert trial.undo(plan) == ()


def test_a_workload_that_lacked_pods_before_is_not_waited_for(cluster: Cluster, namespace: str, trial: Trial) -> None:
    cluster.deploy(namespace, "payments", 3)
    cluster.deploy(namespace, "broken", 3, service=False)
    with cluster.crash("broken"):
        cluster.wait(
            lambda: not (cluster.get("deployments", namespace, "broken") or {})["status"].get("readyReplicas"), "it is"
        )
        plan = trial.plan(1, node="node-1")
        said = details(trial.examine(1, plan, node="node-1"))
        assert f"{namespace}/deployment/broken lack pods already: the undo does not wait for them" in said
        trial.fault.inject(plan)
        assert trial.undo(plan) == ()


def test_the_policys_namespaces_are_kept_to_at_the_plan_and_at_the_moment(
    cluster: Cluster, namespace: str, trial: Trial
) -> None:
    cluster.deploy(namespace, "payments", 3)
    under_policy(trial, namespaces=(namespace,), nodes=("node-*",))
    plan = trial.plan(1, node="node-1")
    with cluster.namespace() as other:
        cluster.deploy(other, "monitor", 3, service=False)
        why = rf"node-1 runs pods of {other}: `pods: namespace` evicts those of {namespace} alone"
        for look in (lambda: trial.plan(1, node="node-1"), lambda: trial.reach(plan)):
            with pytest.raises(FaultError, match=why):
                look()
        kept = trial.plan(1, node="node-1", pods="namespace")
        trial.reach(kept)
        before = set(pods_on(cluster, other, "node-1"))
        trial.fault.inject(kept)
        cluster.wait_well(namespace, "payments", 3)
        assert (pods_on(cluster, namespace, "node-1"), set(pods_on(cluster, other, "node-1"))) == ([], before)
        assert trial.undo(kept) == ()
        under_policy(trial, namespaces=(namespace, other), nodes=("node-*",))
        both = trial.inject(1, node="node-1")
        cluster.wait_well(other, "monitor", 3)
        assert pods_on(cluster, other, "node-1") == []
        assert trial.undo(both) == ()


def test_the_policy_says_which_nodes(cluster: Cluster, namespace: str, trial: Trial) -> None:
    plan = trial.plan(1, node="node-1")
    under_policy(trial, nodes=("node-2",))
    for look in (lambda: trial.plan(1, node="node-1"), lambda: trial.reach(plan)):
        with pytest.raises(FaultError, match="the policy keeps faults to the nodes node-2; node-1 may not be touched"):
            look()


def test_of_nodes_and_pods_the_larger_share_counts(cluster: Cluster, namespace: str, trial: Trial) -> None:
    cluster.deploy(namespace, "payments", 3)
    plan = trial.plan(1, service="payments")
    assert trial.reach(plan) == Reach(1, 3, "nodes")
    (host,) = plan.nodes
    others = [item["metadata"]["name"] for item in cluster.pods(namespace) if item["spec"]["nodeName"] != host]
    with cluster.unready(others[0]):
        cluster.wait(lambda: trial.reach(plan) == Reach(2, 3, "pods"), "one does not serve")
    # A zone's only node is all of the target's nodes, whatever share of the service runs there.
    assert trial.reach(trial.plan(1, service="payments", node=host)) == Reach(1, 1, "nodes")


def test_stages_grow(cluster: Cluster, namespace: str, trial: Trial) -> None:
    cluster.deploy(namespace, "payments", 6)
    first = trial.inject(1, service="payments")
    cluster.wait_well(namespace, "payments", 6)
    second = next_stage(trial, first, 0.67, service="payments")
    assert len(second.nodes) == 2
    assert set(first.nodes) < set(second.nodes)
    trial.reach(second)
    trial.fault.inject(second)
    cluster.wait_well(namespace, "payments", 6)
    assert {item["spec"]["nodeName"] for item in cluster.pods(namespace)}.isdisjoint(second.nodes)
    assert [trial.undo(plan) for plan in (second, first)] == [(), ()]
    assert (cordoned(cluster), marks(cluster)) == ([], [])


def test_from_the_cluster_alone_it_is_found_and_undone(cluster: Cluster, namespace: str, trial: Trial) -> None:
    cluster.deploy(namespace, "payments", 6)
    trial.inject(2, node="node-[12]")
    found, _ = find_marks(trial.system)
    assert [(item.fault, item.problem) for item in found] == [("nodes/drain", "")] * 2
    for item in found:
        plan = decode(item.plan, trial.fault.plan_type)
        assert [str(workload) for workload in plan.workloads] == [f"{namespace}/deployment/payments"]
        assert trial.undo(plan) == ()
    assert (cordoned(cluster), find_marks(trial.system)) == ([], ([], []))


def test_a_node_that_has_gone_needs_no_undo(cluster: Cluster, namespace: str, trial: Trial) -> None:
    cluster.node("node-short")
    cluster.deploy(namespace, "payments", 4)
    plan = trial.inject(1, node="node-short")
    cluster.delete("nodes", "", "node-short")
    assert trial.undo(plan) == ()


def test_preflight_names_the_pods_and_what_they_leave(cluster: Cluster, namespace: str, trial: Trial) -> None:
    cluster.deploy(namespace, "payments", 3, min_available=3)
    cluster.deploy(namespace, "cache", 1, service=False, wait=False)
    volume: dict[str, Any] = {"volumes": [{"name": "scratch", "emptyDir": {}}]}
    cluster.patch("deployments", namespace, "cache", {"spec": {"template": {"spec": volume}}})
    cluster.wait_well(namespace, "cache", 1)
    (cache,) = cluster.pods(namespace, "app=cache")
    host, name = cache["spec"]["nodeName"], cache["metadata"]["name"]
    plan, since = trial.plan(1, node=host), cluster.mark()
    found = trial.examine(1, plan, node=host)
    assert found.table is not None
    assert found.table.columns == ("node", "pod", "namespace", "owner", "age", "state")
    assert {(row[0], row[1], row[2], row[5]) for row in found.table.rows} == {
        (host, pod_name, namespace, "ready") for pod_name in pods_on(cluster, namespace, host)
    }
    assert [(remark.check, remark.outcome, remark.detail) for remark in found.remarks] == [
        ("left schedulable", CheckOutcome.OK, "2 of 3 nodes stay ready and schedulable"),
        ("left healthy", CheckOutcome.WARNING, f"no ready pod would be left of {namespace}/deployment/cache"),
        ("emptyDir", CheckOutcome.WARNING, f"what {namespace}/{name} keep in an emptyDir would be lost"),
        (
            "disruption budget",
            CheckOutcome.WARNING,
            "payments allows 0 disruptions now, and 1 are meant: it is asked again for 300 s, as budgets recover",
        ),
        ("dry run", CheckOutcome.OK, "the API server would accept each change"),
    ]
    assert cluster.changes(since) == []
    assert len([call for call in cluster.audit(since) if call.dry_run and call.path.endswith("/eviction")]) == 2


@pytest.mark.parametrize("pods", ["all", "namespace"])
@pytest.mark.parametrize("target", [{"node": "node-1"}, {"service": "payments"}], ids=["node", "service"])
def test_the_rules_that_it_names_are_enough(
    cluster: Cluster, namespace: str, trial: Trial, target: dict[str, str], pods: str
) -> None:
    cluster.deploy(namespace, "payments", 3, min_available=1)
    user = cluster.fresh_user()
    weak = Trial(cluster, namespace, "nodes/drain", user=user)
    request: dict[str, Any] = {**target, "pods": pods}
    allow_needed(cluster, user, weak, **request)
    needed = weak.examine(1, **request).permissions
    assert {item.namespace for item in needed if item.resource == "pods/eviction"} == {
        None if pods == "all" else namespace
    }
    plan = weak.plan(1, **request)
    assert [remark.outcome for remark in weak.examine(1, plan, **request).remarks] == [CheckOutcome.OK] * 4
    weak.reach(plan)
    weak.fault.inject(plan)
    assert weak.undo(plan) == ()
    assert cordoned(cluster) == []


def test_the_command_line_checks_plans_grants_and_runs_it(
    cluster: Cluster, namespace: str, trial: Trial, tmp_path: Path
) -> None:
    cluster.deploy(namespace, "payments", 3)
    user = cluster.fresh_user()
    project = Project(tmp_path / "project", cluster, namespace, user)
    document = yaml.safe_load((project.root / "gameday.yaml").read_text())
    document["environments"]["test"]["policy"]["nodes"] = ["node-*"]
    (project.root / "gameday.yaml").write_text(yaml.safe_dump(document))
    step = {"fault": "nodes/drain", "target": {"node": "node-*"}, "blast-radius": [1, "67%"], "hold": "200ms"}
    path = project.root / "experiment.yaml"
    path.write_text(yaml.safe_dump({"title": "A loss", "method": [step]}))
    code, _, error = project.call("check", path.name)
    assert code == 0, error
    code, roles, error = project.call("plan", path.name, "--env", "test", "--rbac")
    assert code == 0, error
    for role in yaml.safe_load_all(roles):
        cluster.allow(role["metadata"].get("namespace", ""), user, *role["rules"])
    assert [role["kind"] for role in yaml.safe_load_all(roles)] == ["ClusterRole", "Role"]
    code, said, error = project.call("plan", path.name, "--env", "test")
    assert code == 0, error + said
    assert "NAMESPACE" in said
    assert "2 of 3 nodes stay ready and schedulable" in said
    code, said, error = project.call("run", path.name, "--env", "test", "--yes")
    assert code == 0, error + said
    assert (cordoned(cluster), marks(cluster)) == ([], [])
