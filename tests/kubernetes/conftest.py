"""The cluster of the tests: one that is named, a real API server's, or a stand-in's; see README.md."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from api_server import find_binaries, start_api_server
from backing import Backing, start_stand_in
from cluster import Cluster
from external import start_external
from kubernetes_summary import PROPERTY, register
from proxy import Proxy


def pytest_configure(config: pytest.Config) -> None:
    register(config)


def _start(directory: Path) -> Backing:
    if os.environ.get("GAMEDAY_TEST_STAND_IN") == "1":
        return start_stand_in(directory, "GAMEDAY_TEST_STAND_IN=1")
    if named := os.environ.get("GAMEDAY_TEST_KUBECONFIG"):
        return start_external(directory, Path(named), "GAMEDAY_TEST_KUBECONFIG")
    if binaries := find_binaries():
        return start_api_server(directory, binaries, f"binaries of {binaries}")
    return start_stand_in(directory, "no KUBEBUILDER_ASSETS, no GAMEDAY_TEST_KUBECONFIG")


@pytest.fixture(scope="session")
def cluster_of_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cluster, str]]:
    backing = _start(tmp_path_factory.mktemp("kubernetes"))
    cluster = Cluster(backing)
    try:
        yield cluster, f"{backing.kind}: {backing.why}"
    finally:
        cluster.close()


@pytest.fixture
def cluster(cluster_of_session: tuple[Cluster, str], request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """The cluster, in which nothing is left of what earlier tests have told its nodes and its kubelet."""
    cluster, kind = cluster_of_session
    request.node.user_properties.append((PROPERTY, kind))
    yield cluster
    cluster.reset()
    if cluster.kubelet is not None:
        broken = [text for text in cluster.kubelet.trouble if text.startswith("Traceback")]
        assert not broken, broken[0]


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace of the test's own."""
    with cluster.namespace() as name:
        yield name


@pytest.fixture
def proxy(cluster: Cluster) -> Iterator[Proxy]:
    """A way to the cluster that can have bad days."""
    with cluster.proxy() as proxy:
        yield proxy
