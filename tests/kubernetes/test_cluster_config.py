"""What faults on configuration and networks count on, of whatever cluster the tests run against."""

from typing import Any

import pytest
from cluster import Cluster
from manifests import path_for, pod_template


def stored(cluster: Cluster, namespace: str, kind: str, **rest: Any) -> tuple[int, Any]:
    """What the server answers to such a new object, as a dry run."""
    version = {"NetworkPolicy": "networking.k8s.io/v1", "Deployment": "apps/v1"}.get(kind, "v1")
    metadata = {"name": "a", "namespace": namespace} | rest.pop("metadata", {})
    item = {"apiVersion": version, "kind": kind, "metadata": metadata, **rest}
    return cluster.request("POST", f"{path_for(item)}?dryRun=All", item)


@pytest.mark.parametrize("kind", ["ConfigMap", "Secret"])
def test_a_map_that_is_empty_is_not_stored(cluster: Cluster, namespace: str, kind: str) -> None:
    status, found = stored(cluster, namespace, kind, data={})
    assert status == 201
    assert "data" not in found


def test_an_environment_that_is_empty_is_not_stored(cluster: Cluster, namespace: str) -> None:
    template = pod_template({"app": "a"})
    template["spec"]["containers"][0] |= {"env": [], "envFrom": []}
    spec = {"selector": {"matchLabels": {"app": "a"}}, "template": template}
    status, found = stored(cluster, namespace, "Deployment", spec=spec)
    assert status == 201
    assert {"env", "envFrom"}.isdisjoint(found["spec"]["template"]["spec"]["containers"][0])


@pytest.mark.parametrize(
    ("kind", "rest", "field"),
    [
        ("ConfigMap", {"data": {"a/b": ""}}, "data[a/b]"),
        ("Secret", {"data": {"a b": ""}}, "data[a b]"),
        ("ConfigMap", {"metadata": {"labels": {"gameday.dev/-x": ""}}}, "metadata.labels"),
        ("ConfigMap", {"metadata": {"labels": {f"gameday.dev/{'x' * 64}": ""}}}, "metadata.labels"),
    ],
)
def test_a_key_that_is_none_is_refused(
    cluster: Cluster, namespace: str, kind: str, rest: dict[str, Any], field: str
) -> None:
    status, found = stored(cluster, namespace, kind, **rest)
    assert status == 422
    assert [cause["field"] for cause in found["details"]["causes"]] == [field]


def test_a_label_of_ours_is_one(cluster: Cluster, namespace: str) -> None:
    labels = {"gameday.dev/denied-0.12.3": "gameday-0-12-3-0123456789"}
    assert stored(cluster, namespace, "ConfigMap", metadata={"labels": labels})[0] == 201


@pytest.mark.parametrize(
    ("peer", "field"),
    [
        ({"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.1/32"]}}, ""),
        ({"ipBlock": {"cidr": "::/0", "except": ["fd00::1/128"]}}, ""),
        ({"ipBlock": {"cidr": "::/0"}}, ""),
        ({"podSelector": {"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["b"]}]}}, ""),
        ({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.1/32"]}}, ".ipBlock.except[0]"),
        ({"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}}, ""),
        ({}, ""),
    ],
)
def test_the_peers_of_a_policy(cluster: Cluster, namespace: str, peer: dict[str, Any], field: str) -> None:
    spec = {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": [peer]}]}
    status, found = stored(cluster, namespace, "NetworkPolicy", spec=spec)
    if len(peer) == 1 and not field:
        assert status == 201
        assert found["spec"] == spec
    else:
        assert status == 422
        assert [cause["field"] for cause in found["details"]["causes"]] == [f"spec.ingress[0].from[0]{field}"]
