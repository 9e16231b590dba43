"""config/patch and the pods of an API server: who reads what is changed, who notices, and who is rolled in the end."""

import json
from typing import Any

import pytest
from cluster import Cluster
from configuring import LEVEL, MOUNT, ONE_FILE, READS, VOLUME, config_map, deploy, marks, names, settings, undone
from faulting import Trial, die_after

from gameday.common.codec import decode
from gameday.faults.cluster.found import find_marks
from gameday.faults.config.readers import Entry, Reader, Way
from gameday.faults.deployment.rollout import RESTARTED_AT
from gameday.journal.events import CheckOutcome


@pytest.fixture
def no_slack(monkeypatch: pytest.MonkeyPatch) -> None:
    """All clocks are this machine's, whose seconds are all that pods tell."""
    monkeypatch.setattr("gameday.faults.config.renewal._SLACK_S", 1.0)


def part(path: str) -> dict[str, Any]:
    return {"volumeMounts": [{"name": "v", "mountPath": "/etc/x", "subPath": path}]}


def secret_env(name: str, key: str) -> dict[str, Any]:
    return {"name": f"{name}_{key}", "valueFrom": {"secretKeyRef": {"name": name, "key": key}}}


def reading(cluster: Cluster, namespace: str, **rest: Any) -> Trial:
    """Of pods that are surely older than any plan."""
    cluster.create(config_map(namespace, data={"LEVEL": "info"}))
    with cluster.older(2.1):
        deploy(cluster, namespace, container={"env": [{"name": "LEVEL", **READS}]}, **rest)
    return Trial(cluster, namespace, "config/patch")


@pytest.mark.usefixtures("no_slack")
def test_pods_that_started_before_are_left_alone(cluster: Cluster, namespace: str) -> None:
    trial = reading(cluster, namespace)
    pods = names(cluster, namespace)
    plan = trial.inject(1.0, value="debug", **LEVEL)
    assert trial.undo(plan) == ()
    assert names(cluster, namespace) == pods


@pytest.mark.usefixtures("no_slack")
@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet"])
def test_a_pod_that_started_meanwhile_is_rolled(cluster: Cluster, namespace: str, kind: str) -> None:
    trial = reading(cluster, namespace, kind=kind, replicas=1)
    plan = trial.inject(1.0, value="debug", **LEVEL)
    for name in names(cluster, namespace):
        cluster.delete("pods", namespace, name)
    cluster.wait_well(namespace, "payments", None if kind == "DaemonSet" else 1, kind=kind)
    started = {pod["metadata"]["uid"] for pod in cluster.pods(namespace)}
    assert any("may hold the changed value" in text for text in trial.fault.verify(plan))
    undone(cluster, trial, plan)
    assert started.isdisjoint(pod["metadata"]["uid"] for pod in cluster.pods(namespace))
    assert marks(settings(cluster, namespace)) == []
    since = cluster.mark()
    assert trial.undo(plan) == ()
    assert cluster.changes(since) == []


@pytest.mark.usefixtures("no_slack")
def test_a_restart_lets_them_see_it_and_the_undo_rolls_them_back(cluster: Cluster, namespace: str) -> None:
    trial = reading(cluster, namespace)
    before = names(cluster, namespace)
    plan = trial.plan(1.0, value="debug", restart=True, **LEVEL)
    assert trial.fault.describe(plan).endswith("and roll deployment/payments")
    trial.fault.inject(plan)
    trial.fault.inject(plan)
    cluster.wait(lambda: before.isdisjoint(names(cluster, namespace)), "rolled pods")
    cluster.wait_well(namespace, "payments", 2)
    changed = names(cluster, namespace)
    undone(cluster, trial, plan)
    assert changed.isdisjoint(names(cluster, namespace))
    assert len(names(cluster, namespace)) == 2
    annotations = {pod["metadata"]["annotations"][RESTARTED_AT] for pod in cluster.pods(namespace)}
    assert len(annotations) == 1


@pytest.mark.usefixtures("no_slack")
def test_a_pod_that_nothing_rolls_is_left_and_named(
    cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gameday.faults.cluster.changing._ATTEMPT_S", 0.5)
    trial = reading(cluster, namespace)
    plan = trial.inject(1.0, value="debug", **LEVEL)
    container = {"name": "main", "image": "registry.k8s.io/pause:3.10", "env": [{"name": "LEVEL", **READS}]}
    metadata = {"name": "lonely", "namespace": namespace}
    cluster.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}})
    (left, *_) = trial.undo(plan)
    assert f"nothing rolls it: `{plan.place.kubectl} delete pod lonely`" in left
    assert settings(cluster, namespace)["data"] == {"LEVEL": "info"}
    ((found,), _) = find_marks(trial.system)
    cluster.delete("pods", namespace, "lonely", gracePeriodSeconds=0)
    assert trial.undo(decode(found.plan, trial.fault.plan_type)) == ()
    assert marks(settings(cluster, namespace)) == []


def reader(container: dict[str, Any], **spec: Any) -> Reader:
    pod = {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "main"} | container], **spec}}
    return decode(json.dumps(pod).encode(), Reader)


@pytest.mark.parametrize(
    ("container", "volume", "ways"),
    [
        (MOUNT, {"secret": {"secretName": "s"}}, {Way.FILES}),
        (MOUNT, {"secret": {"secretName": "t"}}, set()),
        (MOUNT, {"configMap": {"name": "s"}}, set()),
        (MOUNT, {"projected": {"sources": [{"secret": {"name": "s"}}]}}, {Way.FILES}),
        (MOUNT, {"secret": {"secretName": "s", "items": [{"key": "j", "path": "k"}]}}, set()),
        (part("k"), {"secret": {"secretName": "s"}}, {Way.SUBPATH}),
        (part("j"), {"secret": {"secretName": "s"}}, set()),
        (part("d"), {"secret": {"secretName": "s", "items": [{"key": "k", "path": "d/k"}]}}, {Way.SUBPATH}),
        ({"envFrom": [{"prefix": "A_", "secretRef": {"name": "s"}}]}, {"emptyDir": {}}, {Way.ENVIRONMENT}),
        ({"env": [secret_env("s", "k")]}, {"emptyDir": {}}, {Way.ENVIRONMENT}),
        ({"env": [secret_env("s", "j"), secret_env("t", "k")]}, {"emptyDir": {}}, set()),
    ],
)
def test_how_a_secrets_key_is_read(container: dict[str, Any], volume: dict[str, Any], ways: set[Way]) -> None:
    found = reader(container, volumes=[{"name": "v", **volume}])
    assert found.ways(Entry("Secret", "s", "k")) == ways
    inner = reader({}, initContainers=[{"name": "first"} | container], volumes=[{"name": "v", **volume}])
    assert inner.ways(Entry("Secret", "s", "k")) == ways


@pytest.mark.parametrize(
    ("container", "pod", "said", "seen"),
    [
        (MOUNT, VOLUME, "mounts it as files, which the kubelet renews within a minute or two", True),
        (ONE_FILE, VOLUME, "mounts a single file of it (subPath): only a restart sees the change", False),
        ({"env": [{"name": "A", **READS}]}, {}, "reads it into its environment: only a restart sees", False),
        ({"envFrom": [{"configMapRef": {"name": "settings"}}]}, {}, "reads it into its environment", False),
        (
            MOUNT,
            {"volumes": [{"name": "v", "projected": {"sources": [{"configMap": {"name": "settings"}}]}}]},
            "mounts it as files",
            True,
        ),
        (
            MOUNT,
            {"volumes": [{"name": "v", "configMap": {"name": "settings", "items": [{"key": "X", "path": "x"}]}}]},
            "",
            False,
        ),
        ({"envFrom": [{"secretRef": {"name": "settings"}}]}, {}, "", False),
        ({}, {}, "", False),
    ],
    ids=["mount", "subPath", "env", "envFrom", "projected", "another key", "a secret", "nothing"],
)
def test_preflight_says_who_reads_it_and_how(
    cluster: Cluster, namespace: str, container: Any, pod: Any, said: str, seen: bool
) -> None:
    cluster.create(config_map(namespace, data={"LEVEL": "info"}))
    deploy(cluster, namespace, container=container, pod=pod)
    trial = Trial(cluster, namespace, "config/patch")
    plan = trial.plan(1.0, value="debug", **LEVEL)
    examination = trial.examine(1.0, plan, value="debug", **LEVEL)
    remarks = [remark for remark in examination.remarks if remark.check == "who reads it"]
    texts = [remark.detail for remark in remarks]
    assert any(text.startswith(f"deployment/payments {said}") for text in texts) is bool(said)
    assert any("no pod of the target would see" in text for text in texts) is not seen
    assert [remark.outcome is CheckOutcome.WARNING for remark in remarks] == [False] * bool(said) + [True] * (not seen)
    assert examination.table is not None
    assert len(examination.table.rows) == 2


@pytest.mark.usefixtures("no_slack")
@pytest.mark.parametrize(("undo", "writes"), [(False, 1), (False, 2), (True, 1), (True, 2), (True, 3)])
def test_whatever_it_dies_between_is_undone_from_the_marks_alone(
    cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch, undo: bool, writes: int
) -> None:
    """Injection: the value, the roll. Undo: the value, the roll, the mark."""
    # A pod that comes of the roll while it is undone is rolled by the next attempt.
    monkeypatch.setattr("gameday.faults.cluster.changing._ATTEMPT_S", 0.5)
    trial = reading(cluster, namespace, replicas=1)
    plan = trial.plan(1.0, value="debug", restart=True, **LEVEL)
    if undo:
        before = names(cluster, namespace)
        trial.fault.inject(plan)
        cluster.wait(lambda: before.isdisjoint(names(cluster, namespace)), "rolled pods")
        cluster.wait_well(namespace, "payments", 1)
    with monkeypatch.context() as patching:
        die_after(writes, patching)
        with pytest.raises(ZeroDivisionError):
            (trial.fault.undo if undo else trial.fault.inject)(plan)
    found, unseen = find_marks(trial.system)
    assert unseen == []
    assert len(found) == ((undo, writes) != (True, 3))
    for mark in found:
        assert (mark.what, mark.problem) == (f"configmap/settings in {namespace}", "")
        undone(cluster, trial, decode(mark.plan, trial.fault.plan_type))
    assert settings(cluster, namespace)["data"] == {"LEVEL": "info"}
    assert marks(settings(cluster, namespace)) == []
    assert trial.undo(plan) == ()
