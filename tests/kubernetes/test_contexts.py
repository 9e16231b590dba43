"""Several contexts in one game day, and what activities take for the cluster: never the current context of a shell."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster import Cluster
from test_commands import Project

from gameday.faults.base import FaultError, FaultRequest, Radius, System, Where
from gameday.faults.registry import load_fault
from gameday.kubernetes.reference import ClusterRef


class Contexts(Project):
    """An environment with two clusters: a context each, and a namespace in which its user may do all and no more."""

    def __init__(self, root: Path, cluster: Cluster, here: str, there: str) -> None:
        super().__init__(root, cluster, here)
        self.users = [cluster.fresh_user(), cluster.fresh_user()]
        for namespace, user in zip((here, there), self.users, strict=True):
            cluster.allow(namespace, user, {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]})
        first, second = (
            {"context": user, "namespace": namespace, "kubeconfig": str(cluster.kubeconfig_for(user))}
            for namespace, user in zip((here, there), self.users, strict=True)
        )
        document = {
            "project": "shop",
            "environments": {"test": {"kubernetes": first, "clusters": {"eu": second}}},
        }
        (root / "gameday.yaml").write_text(yaml.safe_dump(document))

    def write(self, method: list[dict[str, Any]], **rest: Any) -> str:
        (self.root / "experiment.yaml").write_text(yaml.safe_dump({"title": "Two clusters", "method": method, **rest}))
        return "experiment.yaml"


@pytest.fixture
def other(cluster: Cluster) -> Iterator[str]:
    """A second namespace, which stands for a second cluster: what tells them apart is the user of the context."""
    with cluster.namespace() as name:
        yield name


def scale(**target: str) -> dict[str, Any]:
    target = {"service": "payments", **target}
    return {"fault": "deployment/scale", "target": target, "blast-radius": [1], "hold": "500ms"}


def activity(name: str, provider: dict[str, Any], tolerance: Any) -> dict[str, Any]:
    return {"type": "probe", "name": name, "tolerance": tolerance, "provider": provider}


def test_a_step_acts_in_the_cluster_that_it_names_and_in_no_other(
    cluster: Cluster, namespace: str, other: str, tmp_path: Path
) -> None:
    for place in (namespace, other):
        cluster.deploy(place, "payments", 3)
    project = Contexts(tmp_path / "project", cluster, namespace, other)
    since = cluster.mark()
    code, _, said = project.call("run", project.write([scale(cluster="eu")]), "--env", "test", "--yes")
    assert code == 0, said
    changes = [call for call in cluster.changes(since) if call.user in project.users and "selfsubject" not in call.path]
    assert changes
    assert {call.user for call in changes} == {project.users[1]}
    since = cluster.mark()
    code, _, said = project.call("run", project.write([scale(), scale(cluster="eu")]), "--env", "test", "--yes")
    assert code == 0, said
    for user, place, wrong in zip(project.users, (namespace, other), (other, namespace), strict=True):
        paths = [call.path for call in cluster.changes(since) if call.user == user]
        assert any(place in path for path in paths)
        assert not any(wrong in path for path in paths)


def test_what_a_dead_run_left_is_found_in_each(cluster: Cluster, namespace: str, other: str, tmp_path: Path) -> None:
    project = Contexts(tmp_path / "project", cluster, namespace, other)
    for place in (namespace, other):
        cluster.deploy(place, "payments", 3)
    references = [
        ClusterRef(user, place, str(cluster.kubeconfig_for(user)))
        for user, place in zip(project.users, (namespace, other), strict=True)
    ]
    system = System(cluster=references[0], clusters={"eu": references[1]})
    fault = load_fault("deployment/scale")
    for name in (None, "eu"):
        fault.inject(fault.plan(FaultRequest("payments", Radius(1), where=Where(cluster=name)), system))
    code, _, said = project.call("recover", "--env", "test")
    assert code == 0, said
    assert said.count("undone and verified") == 2
    for place in (namespace, other):
        assert (cluster.get("deployments", place, "payments") or {})["spec"]["replicas"] == 3


def test_a_cluster_that_is_not_there_is_said() -> None:
    request = FaultRequest("payments", Radius(1), where=Where(cluster="us"))
    with pytest.raises(FaultError, match=r"no cluster `us`; its further `clusters` are: eu$"):
        load_fault("pods/kill").plan(request, System(clusters={"eu": ClusterRef("eu")}))


def test_extensions_and_programs_mean_the_environments_context(
    cluster: Cluster, namespace: str, other: str, tmp_path: Path
) -> None:
    project = Contexts(tmp_path / "project", cluster, namespace, other)
    user, kubeconfig = project.users[0], str(cluster.kubeconfig_for(project.users[0]))
    getenv = {"type": "python", "module": "os", "func": "getenv"}
    shown = 'cat "${KUBECONFIG%%:*}"; echo; echo "$KUBECONFIG"'
    probes = [
        activity("context", {**getenv, "arguments": {"key": "KUBERNETES_CONTEXT"}}, user),
        activity("kubeconfig", {**getenv, "arguments": {"key": "KUBECONFIG"}}, kubeconfig),
        activity(
            "program",
            {"type": "process", "path": "sh", "arguments": ["-c", shown]},
            {"type": "regex", "target": "stdout", "pattern": f'"current-context": "{user}"(.|\\n)*:{kubeconfig}'},
        ),
    ]
    hypothesis = {"title": "The right one", "probes": probes}
    check = {"type": "process", "path": "sh", "arguments": ["-c", f'grep -q {user} "${{KUBECONFIG%%:*}}"']}
    rollback = {"type": "action", "name": "put back", "provider": check}  # whose failure is one of the run
    path = project.write([scale()], rollbacks=[rollback], **{"steady-state-hypothesis": hypothesis})
    cluster.deploy(namespace, "payments", 3)
    code, _, said = project.call("run", path, "--env", "test", "--yes")
    assert code == 0, said


def test_secrets_that_lead_elsewhere_keep_it_from_starting(
    cluster: Cluster, namespace: str, other: str, tmp_path: Path
) -> None:
    cluster.deploy(namespace, "payments", 3)
    project = Contexts(tmp_path / "project", cluster, namespace, other)
    for context, expected in (("production", 3), (project.users[1], 0)):
        path = project.write([scale()], secrets={"k8s": {"KUBERNETES_CONTEXT": context}})
        code, said, _ = project.call("plan", path, "--env", "test")
        assert code == expected, said
        assert ("lead to the context `production`, which `test` does not name" in said) == (expected == 3)
