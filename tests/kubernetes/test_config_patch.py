"""config/patch on the ConfigMaps of an API server: what it changes, and that all is as before."""

from typing import Any

import pytest
from cluster import Cluster
from configuring import LEVEL, MOUNT, READS, VOLUME, config_map, deploy, marks, names, settings
from faulting import RUN, Trial, details, run_by_hand

from gameday.faults.base import ConflictError, FaultError, Reach
from gameday.faults.cluster.change import RUN_LABEL, UNDO_PREFIX


@pytest.fixture
def trial(cluster: Cluster, namespace: str) -> Trial:
    """Of pods that mount it, so that nothing is rolled."""
    cluster.create(config_map(namespace, data={"LEVEL": "info"}))
    deploy(cluster, namespace, container=MOUNT, pod=VOLUME)
    return Trial(cluster, namespace, "config/patch")


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


def test_preflight_names_readers_outside_the_target(cluster: Cluster, namespace: str, trial: Trial) -> None:
    deploy(cluster, namespace, "checkout", container={"env": [{"name": "LEVEL", **READS}]})
    plan = trial.plan(1.0, value="debug", restart=True, **LEVEL)
    assert plan.rolled == ()
    texts = list(details(trial.examine(1.0, plan, value="debug", **LEVEL)))
    assert any(text.startswith("deployment/checkout") and "none of the target" in text for text in texts)


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
