"""network/deny and the NetworkPolicies of an API server: one caller cut off, and policies that are in the way."""

import json
from typing import Any

import pytest
from cluster import Cluster
from faulting import Trial
from world import is_ready

from gameday.common.codec import decode
from gameday.faults.base import FaultError
from gameday.faults.network.policies import everybody_but
from gameday.kubernetes.objects import Pod, Selector


def policies(cluster: Cluster, namespace: str) -> list[dict[str, Any]]:
    return cluster.items("networkpolicies", namespace)


def policy(namespace: str, name: str, **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": spec}


@pytest.fixture
def trial(cluster: Cluster, namespace: str) -> Trial:
    cluster.deploy(namespace, "payments", 4)
    return Trial(cluster, namespace, "network/deny")


# -- one caller


def test_one_caller_is_cut_off_and_no_one_else(cluster: Cluster, namespace: str, trial: Trial) -> None:
    cluster.deploy(namespace, "checkout", 2)
    plan = trial.inject(1.0, service="payments", caller="checkout")
    assert f"let checkout not reach {plan.pods[0].name}, " in trial.fault.describe(plan)
    (made,) = policies(cluster, namespace)
    addresses = sorted(f"{pod['status']['podIP']}/32" for pod in cluster.pods(namespace, "app=checkout"))
    assert made["spec"]["ingress"] == [
        {
            "from": [
                {"podSelector": {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["checkout"]}]}},
                {
                    "namespaceSelector": {
                        "matchExpressions": [
                            {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": [namespace]}
                        ]
                    }
                },
                {"ipBlock": {"cidr": "0.0.0.0/0", "except": addresses}},
                {"ipBlock": {"cidr": "::/0"}},
            ]
        }
    ]
    assert trial.undo(plan) == ()
    assert policies(cluster, namespace) == []


def test_the_peers_are_all_pods_but_those_of_the_selector() -> None:
    """Every combination of labels is one of the two, never both."""
    selector = decode(
        json.dumps(
            {
                "matchLabels": {"app": "checkout"},
                "matchExpressions": [
                    {"key": "tier", "operator": "In", "values": ["a", "b"]},
                    {"key": "track", "operator": "NotIn", "values": ["canary"]},
                    {"key": "old", "operator": "DoesNotExist"},
                    {"key": "team", "operator": "Exists"},
                ],
            }
        ).encode(),
        Selector,
    )
    peers = [item["podSelector"] for item in everybody_but(selector, (), "shop") if "podSelector" in item]
    assert len(peers) == 5
    let_in = [decode(json.dumps(peer).encode(), Selector) for peer in peers]
    values: dict[str, list[str | None]] = {
        "app": [None, "checkout", "other"],
        "tier": [None, "a", "c"],
        "track": [None, "stable", "canary"],
        "old": [None, "x"],
        "team": [None, "x"],
    }
    combinations: list[dict[str, str]] = [{}]
    for key, options in values.items():
        combinations = [
            labels | ({key: value} if value is not None else {}) for labels in combinations for value in options
        ]
    assert len(combinations) == 108
    for labels in combinations:
        assert any(peer.matches(labels) for peer in let_in) is not selector.matches(labels), labels


def test_addresses_of_both_kinds_are_left_out() -> None:
    pod = {"metadata": {"name": "a"}, "status": {"podIPs": [{"ip": "10.0.0.7"}, {"ip": "fd00::7"}]}}
    peers = everybody_but(Selector({"app": "a"}), [decode(json.dumps(pod).encode(), Pod)], "shop")
    blocks = [peer["ipBlock"] for peer in peers if "ipBlock" in peer]
    assert blocks == [{"cidr": "0.0.0.0/0", "except": ["10.0.0.7/32"]}, {"cidr": "::/0", "except": ["fd00::7/128"]}]


@pytest.mark.parametrize("direction", ["egress", "both"])
def test_a_caller_is_denied_ingress_alone(trial: Trial, direction: str) -> None:
    with pytest.raises(FaultError, match=f"leave out `direction: {direction}`, or `from`"):
        trial.plan(1, service="payments", caller="checkout", direction=direction)


def test_a_caller_that_is_not_there_is_an_error(cluster: Cluster, namespace: str, trial: Trial) -> None:
    with pytest.raises(FaultError, match=r"neither a Service nor a .* `checkout`"):
        trial.plan(1, service="payments", caller="checkout")
    cluster.deploy(namespace, "checkout", 0)
    with pytest.raises(FaultError, match="no live pod of checkout"):
        trial.plan(1, service="payments", caller="checkout")


# -- what stands in the way


@pytest.mark.parametrize(
    ("spec", "direction", "refused"),
    [
        ({"podSelector": {}, "ingress": [{}]}, "ingress", "lets traffic in to"),
        ({"podSelector": {"matchLabels": {"app": "payments"}}, "ingress": [{}]}, "both", "lets traffic in to"),
        ({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]}, "egress", "lets traffic out of"),
        ({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]}, "ingress", ""),
        ({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}, "both", ""),
        ({"podSelector": {"matchLabels": {"app": "checkout"}}, "ingress": [{}]}, "ingress", ""),
    ],
)
def test_a_policy_that_would_let_it_through_anyway_is_named(
    cluster: Cluster, namespace: str, trial: Trial, spec: dict[str, Any], direction: str, refused: str
) -> None:
    cluster.create(policy(namespace, "theirs", **spec))
    if not refused:
        assert len(trial.plan(1, service="payments", direction=direction).changes) == 1
        return
    with pytest.raises(FaultError, match=f"the NetworkPolicy theirs {refused} these pods; policies add up"):
        trial.plan(1, service="payments", direction=direction)
    cluster.create(policy(namespace, "also", **spec))
    with pytest.raises(FaultError, match="the NetworkPolicies also, theirs let traffic"):
        trial.plan(1, service="payments", direction=direction)


def test_pods_in_the_network_of_their_node_are_refused(cluster: Cluster, namespace: str, trial: Trial) -> None:
    container = {"name": "main", "image": "registry.k8s.io/pause:3.10"}
    for name in ("agent", "caller"):
        metadata = {"name": name, "namespace": namespace, "labels": {"app": name}}
        spec = {"containers": [container], "hostNetwork": True}
        cluster.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
        service = {"selector": {"app": name}, "ports": [{"port": 80}]}
        head = {"name": name, "namespace": namespace}
        cluster.create({"apiVersion": "v1", "kind": "Service", "metadata": head, "spec": service})
    cluster.wait(lambda: all(map(is_ready, cluster.pods(namespace))), "all ready")
    with pytest.raises(FaultError, match="agent: in the node's own network"):
        trial.plan(1, name="agent")
    with pytest.raises(FaultError, match="caller: in the node's own network"):
        trial.plan(1, service="payments", caller="caller")
