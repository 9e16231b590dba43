"""config/patch on ConfigMaps and Deployments of an API server: what changes, who notices, and that all is as before."""

import time
from typing import Any

import pytest
from cluster import Cluster
from faulting import RUN, Trial, details, die_after, run_by_hand
from manifests import workload

from gameday.common.codec import decode
from gameday.faults.base import ConflictError, FaultError, Reach
from gameday.faults.cluster.change import RUN_LABEL, UNDO_PREFIX
from gameday.faults.cluster.found import find_marks
from gameday.faults.deployment.rollout import RESTARTED_AT
from gameday.journal.events import CheckOutcome

READS = {"valueFrom": {"configMapKeyRef": {"name": "settings", "key": "LEVEL"}}}
MOUNT = {"volumeMounts": [{"name": "v", "mountPath": "/etc/x"}]}
ONE_FILE = {"volumeMounts": [{"name": "v", "mountPath": "/etc/x/f", "subPath": "LEVEL"}]}
VOLUME = {"volumes": [{"name": "v", "configMap": {"name": "settings"}}]}


def config_map(namespace: str, name: str = "settings", **rest: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata} | rest


def deploy(
    cluster: Cluster,
    namespace: str,
    name: str = "payments",
    *,
    replicas: int = 2,
    kind: str = "Deployment",
    container: dict[str, Any] | None = None,
    pod: dict[str, Any] | None = None,
) -> None:
    """A workload that reads what the container and the pod say."""
    item = workload(kind, namespace, name, replicas, {"app": name})
    spec = item["spec"]["template"]["spec"]
    spec["containers"][0] |= container or {}
    spec |= pod or {}
    cluster.create(item)
    cluster.wait_well(namespace, name, None if kind == "DaemonSet" else replicas, kind=kind)


def settings(cluster: Cluster, namespace: str) -> dict[str, Any]:
    found = cluster.get("configmaps", namespace, "settings")
    assert found is not None
    return found


def env(cluster: Cluster, namespace: str) -> Any:
    found = cluster.get("deployments", namespace, "payments")
    assert found is not None
    return found["spec"]["template"]["spec"]["containers"][0].get("env")


def marks(item: dict[str, Any]) -> list[str]:
    metadata = item["metadata"]
    annotations = [key for key in metadata.get("annotations") or {} if key.startswith(UNDO_PREFIX)]
    return sorted(annotations + [key for key in metadata.get("labels") or {} if key == RUN_LABEL])


def names(cluster: Cluster, namespace: str, app: str = "payments") -> set[str]:
    return set(cluster.pod_names(namespace, f"app={app}"))


LEVEL = {"service": "payments", "object": "configmap/settings", "key": "LEVEL"}


@pytest.fixture
def trial(cluster: Cluster, namespace: str) -> Trial:
    """Of pods that mount it, so that nothing is rolled."""
    cluster.create(config_map(namespace, data={"LEVEL": "info"}))
    deploy(cluster, namespace, container=MOUNT, pod=VOLUME)
    return Trial(cluster, namespace, "config/patch")


# -- ConfigMaps


def test_a_value_is_changed_and_put_back(cluster: Cluster, namespace: str, trial: Trial) -> None:
    before, pods = settings(cluster, namespace), names(cluster, namespace)
    plan = trial.plan(1.0, value="debug", **LEVEL)
    assert trial.reach(plan) == Reach(2, 2, "pods")
    assert settings(cluster, namespace) == before
    assert trial.fault.describe(plan) == f'set LEVEL of configmap/settings in {namespace} from "info" to "debug"'
    trial.fault.inject(plan)
    trial.fault.inject(plan)
    assert settings(cluster, namespace)["data"] == {"LEVEL": "debug"}
    assert marks(settings(cluster, namespace)) == [RUN_LABEL, f"{UNDO_PREFIX}0.0.0"]
    assert trial.fault.verify(plan) == ('configmap/settings: /data/LEVEL is "debug", before "info"',)
    assert trial.undo(plan) == ()
    assert trial.undo(plan) == ()
    after = settings(cluster, namespace)
    assert (after["data"], marks(after)) == ({"LEVEL": "info"}, [])
    assert names(cluster, namespace) == pods


@pytest.mark.parametrize(
    ("data", "key", "asked"),
    [
        ({"LEVEL": "info"}, "LEVEL", {"absent": True}),
        ({"LEVEL": "info", "b": "2"}, "LEVEL", {"absent": True}),
        ({"LEVEL": "info"}, "new.key", {"value": ""}),
        (None, "LEVEL", {"value": "debug"}),
        ({"LEVEL": 'a\n"b"\'$'}, "LEVEL", {"value": "`$(x)'"}),
    ],
    ids=["the only key goes", "a key goes", "a key comes", "the first key comes", "quotes"],
)
@pytest.mark.parametrize("by_hand", [False, True])
def test_it_is_restored_exactly(
    cluster: Cluster, namespace: str, trial: Trial, data: dict[str, str] | None, key: str, asked: Any, by_hand: bool
) -> None:
    cluster.delete("configmaps", namespace, "settings")
    before = cluster.create(config_map(namespace, **({"data": data} if data else {})))
    plan = trial.inject(1.0, **(LEVEL | {"key": key}), **asked)
    assert (settings(cluster, namespace).get("data") or {}).get(key) == asked.get("value")
    if by_hand:
        run_by_hand(trial, plan)
    assert trial.undo(plan) == ()
    assert settings(cluster, namespace).get("data") == before.get("data")


def test_the_undo_of_what_was_never_injected_touches_nothing(cluster: Cluster, namespace: str, trial: Trial) -> None:
    plan = trial.plan(1.0, value="debug", **LEVEL)
    since = cluster.mark()
    assert trial.undo(plan) == ()
    assert cluster.changes(since) == []


def test_somebody_elses_value_is_not_overwritten(cluster: Cluster, namespace: str, trial: Trial) -> None:
    plan = trial.inject(1.0, value="debug", **LEVEL)
    cluster.patch("configmaps", namespace, "settings", {"data": {"LEVEL": "theirs"}})
    with pytest.raises(ConflictError, match="theirs"):
        trial.fault.undo(plan)
    assert settings(cluster, namespace)["data"] == {"LEVEL": "theirs"}


@pytest.mark.parametrize(
    ("patch", "asked", "said"),
    [
        ({"immutable": True}, {"value": "x"}, "immutable"),
        ({"binaryData": {"BLOB": "AAAA"}}, {"key": "BLOB", "value": "x"}, "binaryData"),
        ({}, {"value": "info"}, "has this value in `LEVEL` already"),
        ({}, {"key": "NONE", "absent": True}, "has no `NONE` already"),
        ({}, {"object": "configmap/none", "value": "x"}, "no ConfigMap `none`"),
        ({}, {"object": "job/none", "value": "x"}, "none of configmap/NAME"),
        ({}, {"value": "x", "absent": True}, "either `value`"),
        ({}, {}, "either `value`"),
        ({}, {"value": "x", "container": "main"}, "`container` is for"),
        ({}, {"object": "deployment/payments", "value": "x", "restart": True}, "leave out `restart`"),
        ({}, {"service": "none", "value": "x"}, "neither a Service nor"),
    ],
)
def test_what_cannot_be_changed_is_refused(
    cluster: Cluster, namespace: str, trial: Trial, patch: Any, asked: Any, said: str
) -> None:
    if patch:
        cluster.patch("configmaps", namespace, "settings", patch)
    with pytest.raises(FaultError, match=said):
        trial.plan(1.0, **(LEVEL | asked))


@pytest.mark.parametrize(("radius", "shown"), [(1, "1"), (0.5, "50%")])
def test_a_configuration_changes_as_a_whole(trial: Trial, radius: int | float, shown: str) -> None:
    with pytest.raises(FaultError, match=f"for all of the 2 pods: the blast radius must be 100%, not {shown}$"):
        trial.plan(radius, value="x", **LEVEL)
    assert trial.reach(trial.plan(2, value="x", **LEVEL)) == Reach(2, 2, "pods")


def test_there_is_one_stage_alone_and_one_run(trial: Trial) -> None:
    plan = trial.inject(1.0, value="debug", **LEVEL)
    with pytest.raises(FaultError, match="one stage will do"):
        trial.plan(1.0, value="other", stage=1, already=trial.fault.targets(plan), **LEVEL)
    with pytest.raises(FaultError, match=f"bears a fault of run {RUN}"):
        trial.plan(1.0, value="other", run="another", **LEVEL)
    assert trial.undo(plan) == ()


# -- what pods have read


@pytest.fixture
def no_slack(monkeypatch: pytest.MonkeyPatch) -> None:
    """All clocks are this machine's, whose seconds are all that pods tell."""
    monkeypatch.setattr("gameday.faults.config.renewal._SLACK_S", 1.0)


def settle() -> None:
    """Until what was started is surely older than a plan."""
    time.sleep(2.1)


def reading(cluster: Cluster, namespace: str, **rest: Any) -> Trial:
    cluster.create(config_map(namespace, data={"LEVEL": "info"}))
    deploy(cluster, namespace, container={"env": [{"name": "LEVEL", **READS}]}, **rest)
    settle()
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
    count = 3 if kind == "DaemonSet" else 1
    cluster.wait_well(namespace, "payments", count if kind != "DaemonSet" else None, kind=kind)
    started = {pod["metadata"]["uid"] for pod in cluster.pods(namespace)}
    assert any("may hold the changed value" in text for text in trial.fault.verify(plan))
    undone(cluster, trial, plan)
    assert started.isdisjoint(pod["metadata"]["uid"] for pod in cluster.pods(namespace))
    assert marks(settings(cluster, namespace)) == []
    since = cluster.mark()
    assert trial.undo(plan) == ()
    assert cluster.changes(since) == []


def undone(cluster: Cluster, trial: Trial, plan: Any) -> None:
    """As the engine does it, with as many attempts as it takes."""
    cluster.wait(lambda: trial.undo(plan) == (), "the undo", 60)


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
    with cluster.unready("nobody"):
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


def test_preflight_names_readers_outside_the_target(cluster: Cluster, namespace: str, trial: Trial) -> None:
    deploy(cluster, namespace, "checkout", container={"env": [{"name": "LEVEL", **READS}]})
    plan = trial.plan(1.0, value="debug", restart=True, **LEVEL)
    assert plan.rolled == ()
    texts = list(details(trial.examine(1.0, plan, value="debug", **LEVEL)))
    assert any(text.startswith("deployment/checkout") and "none of the target" in text for text in texts)


# -- a Deployment's environment

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


# -- the marks, and permissions


@pytest.mark.usefixtures("no_slack")
@pytest.mark.parametrize(("undo", "writes"), [(False, 1), (False, 2), (True, 1), (True, 2), (True, 3)])
def test_whatever_it_dies_between_is_undone_from_the_marks_alone(
    cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch, undo: bool, writes: int
) -> None:
    """Injection: the value, the roll. Undo: the value, the roll, the mark."""
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


def test_it_needs_what_it_says_and_no_more(cluster: Cluster, namespace: str, trial: Trial) -> None:
    user = cluster.fresh_user()
    trial = Trial(cluster, namespace, "config/patch", user=user)
    cluster.allow(namespace, user, "get namespaces")
    workloads = ("deployments", "statefulsets", "daemonsets")
    assert {text.partition(" in ")[0] for text in details(trial.examine(1.0, value="x", **LEVEL))} == {
        *(f"may not {verb} configmaps" for verb in ("get", "list", "patch")),
        *(f"may not {verb} {plural}" for verb in ("get", "patch") for plural in workloads),
        "may not get services",
        "may not get replicasets",
        "may not list pods",
    }
    workload_rules = [f"get,patch {plural}" for plural in workloads]
    cluster.allow(
        namespace, user, "get,list,patch configmaps", "get services", "get replicasets", "list pods", *workload_rules
    )
    plan = trial.inject(1.0, value="x", **LEVEL)
    assert trial.undo(plan) == ()


def test_a_deployment_needs_its_own(cluster: Cluster, namespace: str, trial: Trial) -> None:
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
