"""gameday itself in a cluster: plan, run, a runner and a guardian that are killed, and a recovery from elsewhere."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from cluster import Cluster
from projects import Project


@pytest.fixture
def project(cluster: Cluster, namespace: str, tmp_path: Path) -> Project:
    cluster.deploy(namespace, "payments", 4, min_available=1)
    return Project(tmp_path / "project", cluster, namespace)


def replicas(cluster: Cluster, namespace: str) -> int:
    return int((cluster.get("deployments", namespace, "payments") or {})["spec"]["replicas"])


def test_a_plan_names_each_pod_and_changes_nothing(cluster: Cluster, namespace: str, project: Project) -> None:
    path, since = project.experiment("pods/kill", [1, "50%"], "1s"), cluster.mark()
    code, said, error = project.call("plan", path, "--env", "test")
    assert code == 0, error
    named = [name for name in cluster.pod_names(namespace) if name in said]
    assert 2 <= len(named) <= 3
    assert "OWNER" in said
    assert "stays ready" in said or "stay ready" in said
    assert "payments allows 3 disruptions now, and 2 are meant" in said
    reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    assert {call.path for call in cluster.changes(since)} <= {reviews}
    code, said, _ = project.call("plan", path, "--env", "test", "--json")
    (first, second) = json.loads(said)["stages"]
    assert [row["pod"] for row in first["table"]] == first["targets"]
    assert (second["affected"], second["total"]) == (2, 4)


def test_a_stranger_learns_what_is_missing_and_the_role_suffices(
    cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    cluster.deploy(namespace, "payments", 2)
    user = cluster.fresh_user()
    project = Project(tmp_path / "project", cluster, namespace, user)
    path = project.experiment("pods/kill", ["50%"], "500ms")
    code, said, _ = project.call("plan", path, "--env", "test")
    assert code == 3
    assert "may not create pods/eviction" in said
    code, role, _ = project.call("plan", path, "--env", "test", "--rbac")
    assert code == 0
    (document,) = yaml.safe_load_all(role)
    assert (document["kind"], document["metadata"]["namespace"]) == ("Role", namespace)
    cluster.allow(namespace, user, *document["rules"])
    code, _, error = project.call("plan", path, "--env", "test")
    assert code == 0, error
    assert project.call("run", path, "--env", "test", "--yes")[0] == 0


def test_the_ceiling_is_the_policys(cluster: Cluster, namespace: str, project: Project) -> None:
    path, since = project.experiment("deployment/scale", ["100%"], "500ms"), cluster.mark()
    code, _, error = project.call("run", path, "--env", "test", "--yes")
    assert code == 3
    assert "the policy's ceiling is 75%" in error
    assert [call for call in cluster.changes(since) if "reviews" not in call.path] == []


def test_what_two_killed_processes_left_is_undone_from_elsewhere(
    cluster: Cluster, namespace: str, project: Project, tmp_path: Path
) -> None:
    path = project.experiment("deployment/scale", [1, "50%"], "20s")
    run = subprocess.Popen(
        project.command("run", path, "--env", "test", "--yes"),
        cwd=project.root,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        cluster.wait(lambda: replicas(cluster, namespace) == 3, "the first stage", 30)
        (name,) = [item.name for item in (project.root / ".gameday/runs").iterdir() if item.is_dir()]
        guardian = _guardian_of(name)
        os.kill(guardian, signal.SIGKILL)
    finally:
        run.kill()
        run.wait(10)
    time.sleep(0.3)  # whoever was to undo would have begun
    assert replicas(cluster, namespace) == 3
    elsewhere = Project(tmp_path / "elsewhere", cluster, namespace)
    code, _, error = elsewhere.call("recover", "--env", "test")
    assert (code, replicas(cluster, namespace)) == (0, 3)
    assert "which may be alive until" in error
    code, _, error = elsewhere.call("recover", "--env", "test", name)
    assert code == 0, error
    assert "undone and verified" in error
    assert replicas(cluster, namespace) == 4
    assert "Nothing to recover" in elsewhere.call("recover", "--env", "test", name)[2]
    assert project.call("recover")[0] == 0


def _guardian_of(run: str) -> int:
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            try:
                words = (process / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if "gameday.engine.guardian" in words and run in words:
                return int(process.name)
    raise AssertionError(f"no guardian of {run}")
