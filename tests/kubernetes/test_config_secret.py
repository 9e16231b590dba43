"""config/patch on Secrets of an API server: the value goes into a backup and back, and is seen nowhere else."""

import json
from base64 import b64encode
from typing import Any

import pytest
from cluster import Cluster
from faulting import RUN, Trial, details, die_after, encode_raw, run_by_hand

from gameday.common.codec import decode
from gameday.faults.base import ConflictError, FaultError
from gameday.faults.cluster.change import RUN_LABEL, UNDO_PREFIX
from gameday.faults.cluster.created import name_for
from gameday.faults.cluster.found import find_marks

HIDDEN = "correct-horse-battery"
ASKED = {"service": "payments", "object": "secret/credentials", "key": "tls.pass_word"}
CHANGE = {"value": "wrong"} | ASKED


def encoded(text: str) -> str:
    return b64encode(text.encode()).decode()


def secret(cluster: Cluster, namespace: str, name: str = "credentials") -> dict[str, Any]:
    found = cluster.get("secrets", namespace, name)
    assert found is not None
    return found


def value(cluster: Cluster, namespace: str) -> str | None:
    found = (secret(cluster, namespace).get("data") or {}).get("tls.pass_word")
    return None if found is None else str(found)


def ours(cluster: Cluster, namespace: str) -> list[str]:
    """What is there of us: backups, and marked Secrets."""
    return [item["metadata"]["name"] for item in cluster.items("secrets", namespace, RUN_LABEL)]


def is_seen(text: str) -> bool:
    """Whether a text has the value, in clear or encoded."""
    return HIDDEN in text or encoded(HIDDEN) in text


def create(cluster: Cluster, namespace: str, data: dict[str, str] | None = None, **rest: Any) -> dict[str, Any]:
    metadata = {"name": "credentials", "namespace": namespace}
    values = {"tls.pass_word": HIDDEN, "user": "shop"} if data is None else data
    item: dict[str, Any] = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata}
    return cluster.create(item | {"data": {key: encoded(text) for key, text in values.items()}} | rest)


@pytest.fixture
def trial(cluster: Cluster, namespace: str) -> Trial:
    create(cluster, namespace)
    cluster.deploy(namespace, "payments", 2)
    return Trial(cluster, namespace, "config/patch")


def test_a_value_goes_into_a_backup_and_back(cluster: Cluster, namespace: str, trial: Trial) -> None:
    before = secret(cluster, namespace)
    plan = trial.plan(1.0, **CHANGE)
    assert trial.fault.targets(plan) == ("secret/credentials",)
    trial.fault.inject(plan)
    trial.fault.inject(plan)
    assert secret(cluster, namespace)["data"] == {"tls.pass_word": encoded("wrong"), "user": encoded("shop")}
    backup = secret(cluster, namespace, name_for(plan.place.stamp))
    assert (backup["type"], backup["immutable"]) == ("Opaque", True)
    assert backup["data"] == {"tls.pass_word": encoded(HIDDEN)}
    assert backup["metadata"]["labels"] == {RUN_LABEL: RUN}
    assert trial.fault.verify(plan) == ("secret/credentials: /data/tls.pass_word is (not shown), before (not shown)",)
    assert trial.undo(plan) == ()
    assert trial.undo(plan) == ()
    after = secret(cluster, namespace)
    for item in (before, after):
        item["metadata"].pop("resourceVersion")
        item["metadata"].pop("managedFields", None)
        for key in ("annotations", "labels"):
            assert not item["metadata"].pop(key, None)
    assert after == before
    assert ours(cluster, namespace) == []


@pytest.mark.parametrize("asked", [{"value": "wrong"}, {"absent": True}])
def test_its_value_is_seen_nowhere(cluster: Cluster, namespace: str, trial: Trial, asked: dict[str, Any]) -> None:
    plan = trial.plan(1.0, **ASKED, **asked)
    said = [trial.fault.describe(plan), trial.fault.by_hand(plan), bytes(encode_raw(plan)).decode()]
    examination = trial.examine(1.0, plan, **ASKED, **asked)
    said += [repr(examination)]
    trial.fault.inject(plan)
    for item in cluster.items("secrets", namespace, RUN_LABEL):
        said.append(json.dumps(item["metadata"]["annotations"]))
    assert len(ours(cluster, namespace)) == 2
    said += trial.fault.verify(plan)
    cluster.patch("secrets", namespace, "credentials", {"data": {"tls.pass_word": encoded(f"{HIDDEN}-2")}})
    said += trial.undo(plan)
    with pytest.raises(ConflictError) as conflict:
        trial.fault.undo(plan)
    said.append(str(conflict.value))
    with pytest.raises(FaultError) as refused:
        trial.fault.inject(plan)
    said.append(str(refused.value))
    assert [text for text in said if is_seen(text)] == []
    assert value(cluster, namespace) == encoded(f"{HIDDEN}-2")
    assert is_seen(json.dumps(secret(cluster, namespace, name_for(plan.place.stamp)))), "the backup has it"


def test_the_asked_value_is_in_no_message(cluster: Cluster, namespace: str, trial: Trial) -> None:
    with pytest.raises(FaultError) as refused:
        trial.plan(1.0, value=HIDDEN, **ASKED)
    assert not is_seen(str(refused.value))
    assert "has this value in `tls.pass_word` already" in str(refused.value)


@pytest.mark.parametrize(
    ("data", "asked"),
    [
        (None, {"absent": True}),
        ({"tls.pass_word": HIDDEN}, {"absent": True}),
        ({"user": "shop"}, {"value": "new"}),
        ({}, {"value": "new"}),
        ({"tls.pass_word": ""}, {"value": "new"}),
    ],
    ids=["a key goes", "the only key goes", "a key comes", "the first key comes", "it was empty"],
)
@pytest.mark.parametrize("by_hand", [False, True])
def test_it_is_restored_exactly(
    cluster: Cluster, namespace: str, trial: Trial, data: Any, asked: dict[str, Any], by_hand: bool
) -> None:
    cluster.delete("secrets", namespace, "credentials")
    before = create(cluster, namespace, data)
    plan = trial.inject(1.0, **ASKED, **asked)
    assert value(cluster, namespace) == (encoded(asked["value"]) if "value" in asked else None)
    if by_hand:
        run_by_hand(trial, plan)
        assert trial.fault.verify(plan) == ()
    assert trial.undo(plan) == ()
    assert secret(cluster, namespace).get("data") == before.get("data")
    assert cluster.get("secrets", namespace, name_for(plan.place.stamp)) is None


def test_the_undo_of_what_was_never_injected_touches_nothing(cluster: Cluster, namespace: str, trial: Trial) -> None:
    plan = trial.plan(1.0, **CHANGE)
    since = cluster.mark()
    assert trial.undo(plan) == ()
    assert cluster.changes(since) == []


@pytest.mark.parametrize(("undo", "writes"), [(False, 1), (False, 2), (True, 1), (True, 2), (True, 3)])
@pytest.mark.parametrize("last", [False, True], ids=["first mark", "last mark"])
def test_whatever_it_dies_between_is_undone_from_one_mark_alone(
    cluster: Cluster,
    namespace: str,
    trial: Trial,
    monkeypatch: pytest.MonkeyPatch,
    undo: bool,
    writes: int,
    last: bool,
) -> None:
    """Injection: the backup, the value. Undo: the value, the mark, the backup."""
    plan = trial.inject(1.0, **CHANGE) if undo else trial.plan(1.0, **CHANGE)
    with monkeypatch.context() as patching:
        die_after(writes, patching)
        with pytest.raises(ZeroDivisionError):
            (trial.fault.undo if undo else trial.fault.inject)(plan)
    found, unseen = find_marks(trial.system)
    assert unseen == []
    assert [mark.problem for mark in found] == [""] * {(False, 1): 1, (True, 2): 1, (True, 3): 0}.get((undo, writes), 2)
    for mark in found[-1:] if last else found[:1]:
        assert trial.undo(decode(mark.plan, trial.fault.plan_type)) == ()
    assert value(cluster, namespace) == encoded(HIDDEN)
    assert ours(cluster, namespace) == []
    for mark in found:
        assert trial.undo(decode(mark.plan, trial.fault.plan_type)) == ()
    assert trial.undo(plan) == ()


def test_what_comes_between_the_backup_and_the_change_is_not_overwritten(
    cluster: Cluster, namespace: str, trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = trial.plan(1.0, **CHANGE)
    with monkeypatch.context() as patching:
        die_after(1, patching)
        with pytest.raises(ZeroDivisionError):
            trial.fault.inject(plan)
    cluster.patch("secrets", namespace, "credentials", {"data": {"tls.pass_word": encoded("rotated")}})
    with pytest.raises(FaultError, match="nothing was touched"):
        trial.fault.inject(plan)
    assert trial.undo(plan) == ()
    assert value(cluster, namespace) == encoded("rotated")
    assert ours(cluster, namespace) == []


def test_without_its_backup_it_says_what_is_lost(cluster: Cluster, namespace: str, trial: Trial) -> None:
    plan = trial.inject(1.0, **CHANGE)
    cluster.delete("secrets", namespace, name_for(plan.place.stamp))
    with pytest.raises(FaultError, match=r"bears our mark, but its backup secret/gameday-0-0-0-.* is gone"):
        trial.fault.undo(plan)
    assert len(trial.undo(plan)) == 2
    with pytest.raises(FaultError, match="is gone"):
        trial.fault.inject(plan)
    assert ours(cluster, namespace) == ["credentials"]


def test_a_backup_outlives_a_mark_that_somebody_took_away(cluster: Cluster, namespace: str, trial: Trial) -> None:
    plan = trial.inject(1.0, **CHANGE)
    metadata = {"annotations": {f"{UNDO_PREFIX}0.0.0": None}}
    cluster.patch("secrets", namespace, "credentials", {"metadata": metadata})
    with pytest.raises(ConflictError, match="keeps what it was"):
        trial.fault.undo(plan)
    backup = name_for(plan.place.stamp)
    assert trial.fault.verify(plan) == (f"secret/{backup} is still there",)
    cluster.patch("secrets", namespace, "credentials", {"data": {"tls.pass_word": encoded("theirs")}})
    assert trial.undo(plan) == ()
    assert value(cluster, namespace) == encoded("theirs")


def test_a_secret_that_is_another_one_by_now_is_left_alone(cluster: Cluster, namespace: str, trial: Trial) -> None:
    plan = trial.inject(1.0, **CHANGE)
    cluster.delete("secrets", namespace, "credentials")
    create(cluster, namespace, {"tls.pass_word": "anew"})
    assert trial.undo(plan) == ()
    assert value(cluster, namespace) == encoded("anew")
    assert cluster.get("secrets", namespace, name_for(plan.place.stamp)) is None


def test_what_cannot_be_changed_is_refused(cluster: Cluster, namespace: str, trial: Trial) -> None:
    with pytest.raises(FaultError, match="no Secret `none`"):
        trial.plan(1.0, **(CHANGE | {"object": "secret/none"}))
    plan = trial.inject(1.0, **CHANGE)
    with pytest.raises(FaultError, match=f"bears a fault of run {RUN}"):
        trial.plan(1.0, run="another", **(CHANGE | {"value": "other"}))
    with pytest.raises(FaultError, match="one stage will do"):
        trial.plan(1.0, already=trial.fault.targets(plan), **CHANGE)
    assert trial.undo(plan) == ()
    late = trial.plan(1.0, **(ASKED | {"key": "late", "value": "x"}))
    cluster.patch("secrets", namespace, "credentials", {"data": {"late": encoded("theirs")}})
    with pytest.raises(FaultError, match="`late` has come or gone since it was planned"):
        trial.fault.inject(late)
    assert ours(cluster, namespace) == []
    cluster.patch("secrets", namespace, "credentials", {"immutable": True})
    with pytest.raises(FaultError, match="immutable"):
        trial.plan(1.0, **CHANGE)


def test_preflight_stores_nothing(cluster: Cluster, namespace: str, trial: Trial) -> None:
    plan, since = trial.plan(1.0, **CHANGE), cluster.mark()
    texts = list(details(trial.examine(1.0, plan, **CHANGE)))
    assert texts[-1] == "the API server would accept each change"
    assert {call.path for call in cluster.changes(since)} <= {"/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"}
    assert ours(cluster, namespace) == []


def test_it_needs_what_it_says_and_no_more(cluster: Cluster, namespace: str, trial: Trial) -> None:
    user = cluster.fresh_user()
    trial = Trial(cluster, namespace, "config/patch", user=user)
    cluster.allow(namespace, user, "get namespaces")
    workloads = ("deployments", "statefulsets", "daemonsets")
    assert {text.partition(" in ")[0] for text in details(trial.examine(1.0, **CHANGE))} == {
        *(f"may not {verb} secrets" for verb in ("get", "list", "patch", "create", "delete")),
        *(f"may not {verb} {plural}" for verb in ("get", "patch") for plural in workloads),
        "may not get services",
        "may not get replicasets",
        "may not list pods",
    }
    rules = [f"get,patch {plural}" for plural in workloads]
    cluster.allow(
        namespace,
        user,
        "get,list,patch,create,delete secrets",
        "get services",
        "get replicasets",
        "list pods",
        *rules,
    )
    plan = trial.inject(1.0, **CHANGE)
    assert trial.undo(plan) == ()
