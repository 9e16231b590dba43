"""`gameday schedule export kubernetes` asks the cluster which Roles the game days need, and changes nothing in it."""

from pathlib import Path

import yaml
from cluster import Cluster
from projects import Project

WHEN = '{cron: "0 10 * * FRI", timezone: Europe/Berlin}'


def test_the_roles_are_those_of_the_plans(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    cluster.deploy(namespace, "payments", 2)
    user = cluster.fresh_user()
    project = Project(tmp_path / "project", cluster, namespace, user)
    path = project.experiment("pods/kill", ["50%"], "500ms")
    game_day = project.root / "g.yaml"
    game_day.write_text(f"title: G\nenvironment: test\nwhen: {WHEN}\nexperiments: [{path}]\n")
    since = cluster.mark()
    code, said, error = project.call("schedule", "export", "kubernetes", "g.yaml")
    assert code == 0, error
    assert "in-cluster: true" in error, "the context of its environment is not in a Pod"
    assert {call.path for call in cluster.changes(since)} <= {"/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"}
    documents = {document["kind"]: document for document in yaml.safe_load_all(said)}
    _, planned, _ = project.call("plan", path, "--env", "test", "--rbac")
    assert documents["Role"] == next(yaml.safe_load_all(planned))
    assert documents["RoleBinding"]["metadata"]["namespace"] == namespace
    assert documents["RoleBinding"]["subjects"][0]["namespace"] == documents["CronJob"]["metadata"]["namespace"]
