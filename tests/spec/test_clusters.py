"""The clusters of an environment, and what its policy says about their nodes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from gameday.kubernetes.reference import ClusterRef
from gameday.spec.project import load_environment, load_project
from tests.spec.conftest import mistakes_of

Write = Callable[..., Path]


def environment(text: str) -> str:
    return f"project: shop\nenvironments:\n  staging:\n{text}"


def test_a_cluster_and_further_ones(write: Write) -> None:
    path = write(
        "gameday.yaml",
        environment(
            "    kubernetes: {context: us, namespace: shop, kubeconfig: keys/us.yaml}\n"
            "    clusters:\n"
            "      eu: {context: eu}\n"
            "      inside: {in-cluster: true}\n"
            '    policy: {namespaces: [shop], nodes: ["pool-a-*"]}\n'
        ),
    )
    staging = load_environment(load_project(path.parent), "staging")
    assert staging.cluster == ClusterRef("us", "shop", str(path.parent / "keys/us.yaml"))
    assert dict(staging.clusters) == {"eu": ClusterRef("eu"), "inside": ClusterRef(in_cluster=True)}
    assert (staging.policy.namespaces, staging.policy.nodes) == (("shop",), ("pool-a-*",))


@pytest.mark.parametrize(
    ("line", "found", "expected"),
    [
        ("    kubernetes: {namespace: shop}", "`context`", "the name of a context"),
        ("    clusters: {eu: {namespace: shop}}", "`context`", "the name of a context"),
        (
            "    clusters: {eu: {in-cluster: true, context: eu}}",
            "`context` beside `in-cluster: true`",
            "one of the two",
        ),
        ("    clusters: {eu: staging-eu}", "staging-eu", "a cluster, such as {context:"),
        ("    clusters: {eu: {context: eu, namepsace: shop}}", "namepsace", "namespace"),
        ("    clusters: [eu]", "list", "further clusters by name"),
    ],
)
def test_mistakes_in_clusters_are_said(write: Write, line: str, found: str, expected: str) -> None:
    path = write("gameday.yaml", environment(f"{line}\n"))
    (mistake,) = mistakes_of(lambda: load_project(path.parent))
    assert found in mistake
    assert expected in mistake
