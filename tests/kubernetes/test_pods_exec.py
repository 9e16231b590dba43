"""pods/exec on an API server: commands run where they should and nowhere else, and what they did is put back."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from cluster import Cluster
from faulting import RUN, Trial, details, run_by_hand
from inside import lines, lone_pod, marked, pod_of, renew, rights_named, rights_used, run, statuses
from noding import allow_needed
from projects import Project

from gameday.common.codec import decode
from gameday.faults.base import FaultError, Reach
from gameday.faults.cluster.found import find_marks
from gameday.journal.events import CheckOutcome

BREAK: dict[str, Any] = {"command": "sh -c 'echo x >> broken'", "undo": "rm -f broken"}
OWNED: dict[str, Any] = {"owner": "deployment/payments", **BREAK}


@pytest.fixture
def trial(cluster: Cluster, namespace: str) -> Trial:
    cluster.need_commands()
    return Trial(cluster, namespace, "pods/exec")


@pytest.fixture
def payments(cluster: Cluster, namespace: str, trial: Trial) -> list[str]:
    """The pods' names."""
    cluster.deploy(namespace, "payments", 3, service=False)
    return cluster.pod_names(namespace)


def lone(**more: Any) -> dict[str, Any]:
    return {"selector": "app=lone", **BREAK, **more}


# -- what it does, and where


def test_it_runs_in_the_chosen_pods_alone_and_is_undone(
    cluster: Cluster, namespace: str, trial: Trial, payments: list[str]
) -> None:
    plan = trial.plan(2, **OWNED)
    assert trial.reach(plan) == Reach(2, 3, "pods")
    trial.fault.inject(plan)
    chosen = trial.fault.targets(plan)
    assert len(chosen) == 2
    assert lines(cluster, namespace, "broken") == dict.fromkeys(chosen, 1)
    assert marked(cluster, namespace) == set(chosen)
    assert len(trial.fault.verify(plan)) == 2
    assert trial.undo(plan) == ()
    assert (lines(cluster, namespace, "broken"), marked(cluster, namespace)) == ({}, set())
    since = cluster.mark()
    assert trial.undo(plan) == ()
    assert cluster.changes(since) == [], "twice is harmless"


@pytest.mark.parametrize(
    ("annotation", "named", "hit"), [("", {}, "main"), ("side", {}, "side"), ("side", {"container": "main"}, "main")]
)
def test_the_container_is_the_named_one_or_kubectls_choice(
    cluster: Cluster, namespace: str, trial: Trial, annotation: str, named: dict[str, str], hit: str
) -> None:
    lone_pod(cluster, namespace, "main", "side", annotations={"kubectl.kubernetes.io/default-container": annotation})
    plan = trial.inject(1, **lone(**named))
    other = {"main": "side", "side": "main"}[hit]
    assert lines(cluster, namespace, "broken", hit) == {"lone": 1}
    assert lines(cluster, namespace, "broken", other) == {}
    assert trial.undo(plan) == ()
    assert lines(cluster, namespace, "broken", hit) == {}


def test_stages_grow_and_each_undoes_its_own(
    cluster: Cluster, namespace: str, trial: Trial, payments: list[str]
) -> None:
    first = trial.inject(1, **OWNED)
    held = trial.fault.targets(first)
    second = trial.inject(1.0, stage=1, already=held, **OWNED)
    assert trial.fault.targets(second)[0] == held[0]
    assert trial.reach(second) == Reach(3, 3, "pods")
    assert lines(cluster, namespace, "broken") == dict.fromkeys(payments, 1)
    assert trial.undo(second) == ()
    assert lines(cluster, namespace, "broken") == dict.fromkeys(held, 1)
    assert trial.undo(first) == ()
    assert (lines(cluster, namespace, "broken"), marked(cluster, namespace)) == ({}, set())


def test_a_stage_that_adds_no_pod_is_in_place_all_the_same(
    cluster: Cluster, namespace: str, trial: Trial, payments: list[str]
) -> None:
    first = trial.inject(1, **OWNED)
    held = trial.fault.targets(first)
    second = trial.inject(0.5, stage=1, already=held, **OWNED)
    assert trial.fault.targets(second) == held
    assert trial.fault.verify(second) != ()
    assert trial.undo(second) == ()
    assert lines(cluster, namespace, "broken") == dict.fromkeys(held, 1)
    assert trial.undo(first) == ()
    assert (lines(cluster, namespace, "broken"), marked(cluster, namespace)) == ({}, set())


def test_an_injection_that_is_asked_for_again_runs_it_again(
    cluster: Cluster, namespace: str, trial: Trial, payments: list[str]
) -> None:
    plan = trial.inject(1, **OWNED)
    trial.fault.inject(plan)
    assert list(lines(cluster, namespace, "broken").values()) == [2]
    assert trial.undo(plan) == ()


def test_the_undo_of_what_was_never_injected_runs_nothing(
    cluster: Cluster, namespace: str, trial: Trial, payments: list[str]
) -> None:
    plan, since = trial.plan(2, **OWNED), cluster.mark()
    assert trial.undo(plan) == ()
    assert cluster.changes(since) == []


def test_the_commands_by_hand_do_the_same(cluster: Cluster, namespace: str, trial: Trial, payments: list[str]) -> None:
    plan = trial.inject(2, **OWNED)
    run_by_hand(trial, plan)
    assert lines(cluster, namespace, "broken") == {}
    assert trial.fault.verify(plan) == ()


# -- what goes wrong


def test_a_check_that_fails_keeps_it_from_being_undone(
    cluster: Cluster, namespace: str, trial: Trial, payments: list[str]
) -> None:
    plan = trial.inject(1, **OWNED | {"undo": "true", "check": "test ! -e broken"})
    (name,) = trial.fault.targets(plan)
    error, *left = trial.undo(plan)
    assert error == f"{name}: `test '!' -e broken` ended with 1"
    assert left == [f"pod/{name} still bears the annotation gameday.dev/undo-0.0.0"]
    run(cluster, namespace, name, "rm broken")
    assert trial.undo(plan) == ()
    assert marked(cluster, namespace) == set()


def test_an_undo_that_fails_in_one_pod_is_done_in_the_others(
    cluster: Cluster, namespace: str, trial: Trial, payments: list[str]
) -> None:
    plan = trial.inject(3, **OWNED | {"undo": "sh -c 'test ! -e stuck && rm -f broken'"})
    run(cluster, namespace, payments[1], "touch stuck")
    error, *left = trial.undo(plan)
    assert error.startswith(payments[1])
    assert left == [f"pod/{payments[1]} still bears the annotation gameday.dev/undo-0.0.0"]
    assert lines(cluster, namespace, "broken") == {payments[1]: 1}


def test_a_command_that_fails_is_an_error_and_its_traces_are_undone(
    cluster: Cluster, namespace: str, trial: Trial, payments: list[str]
) -> None:
    plan = trial.plan(3, **OWNED | {"command": "sh -c 'echo x > broken; test ! -e weak || { echo oops >&2; exit 3; }'"})
    order = [change.name for change in plan.changes]
    run(cluster, namespace, order[1], "touch weak")
    with pytest.raises(FaultError, match=rf"{order[1]}: `sh -c .*` ended with 3: oops"):
        trial.fault.inject(plan)
    assert lines(cluster, namespace, "broken") == dict.fromkeys(sorted(order[:2]), 1), "no other was touched any more"
    assert marked(cluster, namespace) == set(order[:2])
    assert trial.undo(plan) == ()
    assert (lines(cluster, namespace, "broken"), marked(cluster, namespace)) == ({}, set())


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"command": "no-such-program"}, r'exec: "no-such-program": executable file not found in \$PATH'),
        ({"command": "sleep 60", "timeout": 0.5}, "did not end within 0.5 s; it may go on there"),
    ],
    ids=["no program", "hangs"],
)
def test_a_command_that_cannot_be_run_or_hangs(
    cluster: Cluster, namespace: str, trial: Trial, payments: list[str], request_: dict[str, Any], message: str
) -> None:
    plan = trial.plan(1, **OWNED | request_)
    with pytest.raises(FaultError, match=message):
        trial.fault.inject(plan)
    assert trial.undo(msgspec.structs.replace(plan, timeout_s=15.0)) == ()
    assert marked(cluster, namespace) == set()


def test_another_pod_of_that_name_is_not_touched(cluster: Cluster, namespace: str, trial: Trial) -> None:
    cluster.deploy(namespace, "payments", 2, kind="StatefulSet", service=False)
    request = BREAK | {"owner": "statefulset/payments", "undo": "touch undone"}
    plan = trial.inject(1.0, **request)
    renew(cluster, namespace, "payments-0")
    assert trial.undo(plan) == ()
    assert lines(cluster, namespace, "undone") == {"payments-1": 0}
    plan = trial.plan(1.0, stage=1, **request)
    renew(cluster, namespace, "payments-1")
    with pytest.raises(FaultError, match="pod/payments-1 is no longer the one that was planned"):
        trial.fault.inject(plan)
    assert "payments-1" not in lines(cluster, namespace, "broken")


def test_pods_that_are_gone_need_no_undo(cluster: Cluster, namespace: str, trial: Trial, payments: list[str]) -> None:
    plan = trial.inject(2, **OWNED)
    for name in trial.fault.targets(plan):
        cluster.delete("pods", namespace, name, gracePeriodSeconds=0)
    assert trial.undo(plan) == ()


def main(cluster: Cluster, namespace: str, name: str) -> dict[str, Any]:
    """What a pod says of its container."""
    return statuses(pod_of(cluster, namespace, name))["main"]


def test_a_container_that_was_started_again_since(
    cluster: Cluster, namespace: str, trial: Trial, payments: list[str]
) -> None:
    plan = trial.inject(1, **OWNED | {"undo": "touch undone"})
    (name,) = trial.fault.targets(plan)
    run(cluster, namespace, name, "(sleep 0.1; kill 1) >/dev/null 2>&1 &")
    cluster.wait(lambda: main(cluster, namespace, name)["restartCount"] == 1, "it is another container")
    assert lines(cluster, namespace, "broken") == {}
    assert trial.undo(plan) == ()
    assert lines(cluster, namespace, "undone") == {name: 0}


def test_a_container_that_does_not_run_at_the_undo(
    cluster: Cluster, namespace: str, trial: Trial, payments: list[str]
) -> None:
    plan = trial.inject(1, **OWNED)
    (name,) = trial.fault.targets(plan)
    with cluster.crash(name):
        # Not before: an undo that is through is done for good.
        cluster.wait(lambda: "waiting" in main(cluster, namespace, name)["state"], "it has crashed")
        assert 'container not found ("main")' in trial.undo(plan)[0]
    cluster.wait(lambda: trial.undo(plan) == (), "it is undone once the container runs")


def test_another_runs_fault_is_not_built_upon(
    cluster: Cluster, namespace: str, trial: Trial, payments: list[str]
) -> None:
    trial.inject(1.0, **OWNED)
    with pytest.raises(FaultError, match=f"bears a fault of run {RUN}"):
        trial.plan(1, run="another", **OWNED)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"command": "sh -c 'echo"}, "`command` cannot be split into words: No closing quotation"),
        ({"command": " "}, "`command` is empty: a program and its arguments are expected"),
        ({"undo": ""}, "`undo` is empty"),
        ({"check": '"'}, "`check` cannot be split into words"),
        ({"container": "sidecar"}, "lone has no container `sidecar`, but main, side"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_words_that_make_no_sense(
    cluster: Cluster, namespace: str, trial: Trial, words: dict[str, str], message: str
) -> None:
    lone_pod(cluster, namespace, "main", "side")
    with pytest.raises(FaultError, match=message):
        trial.plan(1, **lone(**words))


# -- from the marks alone


def test_a_mark_holds_its_own_pod_alone_and_undoes_it(
    cluster: Cluster, namespace: str, trial: Trial, payments: list[str]
) -> None:
    trial.inject(3, **OWNED)
    found, _ = find_marks(trial.system)
    assert {item.what for item in found} == {f"pod/{name} in {namespace}" for name in payments}
    for item in found:
        plan = decode(item.plan, trial.fault.plan_type)
        assert len(plan.pods) == len(plan.containers) == len(plan.changes) == 1
        assert trial.undo(plan) == ()
    assert (lines(cluster, namespace, "broken"), marked(cluster, namespace)) == ({}, set())


def test_recovery_names_the_command_and_runs_it_when_told_which_run(
    cluster: Cluster, namespace: str, trial: Trial, payments: list[str], tmp_path: Path
) -> None:
    plan = trial.inject(1, **OWNED)
    (name,) = trial.fault.targets(plan)
    elsewhere = Project(tmp_path / "elsewhere", cluster, namespace)
    code, _, error = elsewhere.call("recover", "--env", "test")
    assert code == 5
    assert f"pod/{name} in {namespace}: pods/exec of run {RUN} is undone by what its mark says; left alone." in error
    assert f"exec {name} -c main -- rm -f broken && " in error
    assert f"gameday recover --env test {RUN}" in error
    assert lines(cluster, namespace, "broken") == {name: 1}
    code, _, error = elsewhere.call("recover", "--env", "test", RUN)
    assert (code, "undone and verified" in error) == (0, True)
    assert (lines(cluster, namespace, "broken"), marked(cluster, namespace)) == ({}, set())


# -- before anything is injected


def test_preflight_shows_the_pods_and_rehearses_the_marks(
    cluster: Cluster, namespace: str, trial: Trial, payments: list[str]
) -> None:
    plan, since = trial.plan(2, **OWNED), cluster.mark()
    found = trial.examine(2, plan, **OWNED)
    assert found.table is not None
    assert {row[0] for row in found.table.rows} == set(trial.fault.targets(plan))
    assert details(found) == ["1 of 3 pods are not touched", "the API server would accept each change"]
    assert [call.dry_run for call in cluster.audit(since) if call.verb == "patch"] == [True, True]
    assert cluster.changes(since) == []


def test_the_rules_that_it_names_are_enough_and_each_is_needed(
    cluster: Cluster, namespace: str, trial: Trial, payments: list[str]
) -> None:
    user = cluster.fresh_user()
    weak = Trial(cluster, namespace, "pods/exec", user=user)
    said = details(weak.examine(1, **OWNED))
    needed = rights_named(weak, **OWNED)
    for verb, resource in needed:
        assert any(text.startswith(f"may not {verb} {resource} in {namespace}, needed to ") for text in said)
    allow_needed(cluster, user, weak, **OWNED)
    since = cluster.mark()
    plan = weak.plan(1, **OWNED)
    assert {remark.outcome for remark in weak.examine(1, plan, **OWNED).remarks} == {CheckOutcome.OK}
    weak.reach(plan)
    weak.fault.inject(plan)
    assert weak.undo(plan) == ()
    assert rights_used(cluster, since, user) == needed
