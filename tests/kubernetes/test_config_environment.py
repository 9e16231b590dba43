"""config/patch on a Deployment of an API server: one variable of its environment, wherever that stands."""

from typing import Any

import pytest
from cluster import Cluster
from configuring import deploy, env, marks, names, undone
from faulting import Trial, details, run_by_hand

from gameday.faults.base import FaultError, Reach

VARIABLES: list[dict[str, Any]] = [
    {"name": "A", "value": "1"},
    {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "optional": True}}},
    {"name": "B", "value": "$(A)"},
]


@pytest.mark.parametrize("by_hand", [False, True])
@pytest.mark.parametrize(
    ("there", "key", "asked", "after"),
    [
        (VARIABLES, "A", {"value": "2"}, [{"name": "A", "value": "2"}, *VARIABLES[1:]]),
        (VARIABLES, "SECRET", {"value": "x"}, [VARIABLES[0], {"name": "SECRET", "value": "x"}, VARIABLES[2]]),
        (VARIABLES, "A", {"absent": True}, VARIABLES[1:]),
        (VARIABLES, "NEW", {"value": "x"}, [*VARIABLES, {"name": "NEW", "value": "x"}]),
        (None, "NEW", {"value": "x"}, [{"name": "NEW", "value": "x"}]),
    ],
    ids=["changed", "no reference any more", "taken away", "added", "the first one"],
)
def test_a_variable_is_changed_and_restored_exactly(
    cluster: Cluster, namespace: str, there: Any, key: str, asked: Any, after: Any, by_hand: bool
) -> None:
    deploy(cluster, namespace, container={"env": there} if there else {})
    trial, pods = Trial(cluster, namespace, "config/patch"), names(cluster, namespace)
    plan = trial.plan(1.0, owner="deployment/payments", object="deployment/payments", key=key, **asked)
    assert trial.reach(plan) == Reach(2, 2, "pods")
    trial.fault.inject(plan)
    trial.fault.inject(plan)
    assert env(cluster, namespace) == after
    cluster.wait(lambda: pods.isdisjoint(names(cluster, namespace)), "new pods")
    if by_hand:
        run_by_hand(trial, plan)
        back = {item["name"]: item for item in env(cluster, namespace) or ()}  # what was gone may be the last one now
        assert back == {item["name"]: item for item in there or ()}
        return
    undone(cluster, trial, plan)
    assert env(cluster, namespace) == there
    found = cluster.get("deployments", namespace, "payments")
    assert found is not None
    assert marks(found) == []


def test_a_variable_is_found_wherever_it_stands_by_then(cluster: Cluster, namespace: str) -> None:
    deploy(cluster, namespace, container={"env": VARIABLES})
    trial = Trial(cluster, namespace, "config/patch")
    plan = trial.inject(1.0, owner="deployment/payments", object="deployment/payments", key="A", value="2")
    path = {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "registry.k8s.io/pause:3.10"}]}}}}
    changed = [{"name": "FIRST", "value": "0"}, {"name": "A", "value": "2"}]
    path["spec"]["template"]["spec"]["containers"][0]["env"] = changed  # type: ignore[assignment]
    cluster.patch("deployments", namespace, "payments", path)
    undone(cluster, trial, plan)
    assert env(cluster, namespace) == [{"name": "FIRST", "value": "0"}, {"name": "A", "value": "1"}]


def test_no_other_variable_is_in_the_plan(cluster: Cluster, namespace: str) -> None:
    deploy(cluster, namespace, container={"env": [*VARIABLES, {"name": "PASSWORD", "value": "hunter2"}]})
    trial = Trial(cluster, namespace, "config/patch")
    plan = trial.plan(1.0, owner="deployment/payments", object="deployment/payments", key="A", value="2")
    assert "hunter2" not in repr(plan) + trial.fault.by_hand(plan)


def test_what_of_an_environment_cannot_be_changed_is_refused(cluster: Cluster, namespace: str) -> None:
    deploy(cluster, namespace, container={"env": VARIABLES})
    deploy(cluster, namespace, "checkout", replicas=1)
    trial = Trial(cluster, namespace, "config/patch")
    ask: dict[str, Any] = {"object": "deployment/payments", "key": "A", "value": "2"}
    with pytest.raises(FaultError, match="has no container `other`"):
        trial.plan(1.0, owner="deployment/payments", container="other", **ask)
    with pytest.raises(FaultError, match="has pods that are not of the target: payments-"):
        trial.plan(1.0, owner="deployment/checkout", **ask)
    with pytest.raises(FaultError, match="blast radius must be 100%"):
        trial.plan(1, owner="deployment/payments", **ask)
    cluster.patch("deployments", namespace, "payments", {"spec": {"paused": True}})
    with pytest.raises(FaultError, match="paused"):
        trial.plan(1.0, owner="deployment/payments", **ask)


def test_a_deployment_needs_its_own(cluster: Cluster, namespace: str) -> None:
    deploy(cluster, namespace)
    user = cluster.fresh_user()
    trial = Trial(cluster, namespace, "config/patch", user=user)
    cluster.allow(namespace, user, "get namespaces")
    ask: dict[str, Any] = {"owner": "deployment/payments", "object": "deployment/payments", "key": "A", "value": "2"}
    assert {text.partition(" in ")[0] for text in details(trial.examine(1.0, **ask))} == {
        *(f"may not {verb} deployments" for verb in ("get", "list", "patch")),
        "may not list pods",
    }
    cluster.allow(namespace, user, "get,list,patch deployments", "list pods")
    plan = trial.inject(1.0, **ask)
    undone(cluster, trial, plan)
