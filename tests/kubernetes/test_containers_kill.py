"""containers/kill on an API server: which main process is ended, what is refused, and when it is over."""

from typing import Any

import pytest
from cluster import Cluster
from faulting import Trial, details
from inside import lone_pod, pod_of, rights_named, rights_used, run, statuses
from noding import allow_needed
from world import is_ready

from gameday.faults.base import FaultError, Reach
from gameday.journal.events import CheckOutcome
from gameday.kubernetes.execution import Executed, run_in_container
from gameday.kubernetes.reference import ClusterError

OWNED: dict[str, Any] = {"owner": "deployment/payments"}
LONE: dict[str, Any] = {"selector": "app=lone"}


@pytest.fixture
def trial(cluster: Cluster, namespace: str) -> Trial:
    cluster.need_commands()
    return Trial(cluster, namespace, "containers/kill")


def restarts(cluster: Cluster, namespace: str) -> dict[str, int]:
    """Of each container, as "pod/container"."""
    return {
        f"{pod['metadata']['name']}/{name}": status["restartCount"]
        for pod in cluster.pods(namespace)
        for name, status in statuses(pod).items()
    }


def end_code(cluster: Cluster, namespace: str, container: str = "main") -> int:
    """With which status the container of the lone pod ended last."""
    last = statuses(pod_of(cluster, namespace, "lone"))[container]["lastState"]
    return int(last["terminated"]["exitCode"])


# -- what it ends


def test_the_chosen_containers_are_started_again_and_no_others(cluster: Cluster, namespace: str, trial: Trial) -> None:
    cluster.deploy(namespace, "payments", 3, service=False)
    before = restarts(cluster, namespace)
    plan = trial.plan(2, **OWNED)
    assert trial.reach(plan) == Reach(2, 3, "pods")
    trial.fault.inject(plan)
    hit = trial.fault.targets(plan)
    assert restarts(cluster, namespace) == before | dict.fromkeys(hit, 1)
    assert trial.undo(plan) == ()
    cluster.wait_well(namespace, "payments", 3)
    assert restarts(cluster, namespace) == before | dict.fromkeys(hit, 1), "an undo ends nothing"


def test_stages_end_more_of_them(cluster: Cluster, namespace: str, trial: Trial) -> None:
    cluster.deploy(namespace, "payments", 2, service=False)
    first = trial.inject(1, **OWNED)
    assert trial.undo(first) == ()
    second = trial.inject(1.0, stage=1, already=trial.fault.targets(first), **OWNED)
    assert sorted(restarts(cluster, namespace).values()) == [1, 2]
    assert trial.undo(second) == ()


@pytest.mark.parametrize(
    ("request_", "hit", "code"),
    [
        ({}, "main", 143),
        ({"container": "side", "signal": "INT"}, "side", 143),
        ({"command": "kill -9 1"}, "main", 137),
    ],
    ids=["default", "side", "command"],
)
def test_one_container_of_a_pod_in_the_way_that_is_asked_for(
    cluster: Cluster, namespace: str, trial: Trial, request_: dict[str, str], hit: str, code: int
) -> None:
    lone_pod(cluster, namespace, "main", "side")
    plan = trial.inject(1, **LONE, **request_)
    assert trial.fault.targets(plan) == (f"lone/{hit}",)
    assert restarts(cluster, namespace) == {"lone/main": 0, "lone/side": 0} | {f"lone/{hit}": 1}
    assert end_code(cluster, namespace, hit) == code
    assert trial.undo(plan) == ()


def test_a_connection_that_ends_with_the_container_is_no_error(
    cluster: Cluster, namespace: str, trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(*words: Any, **named: Any) -> Executed:
        run_in_container(*words, **named)
        raise ClusterError("the connection was cut off")

    monkeypatch.setattr("gameday.faults.containers.kill.run_in_container", cut)
    lone_pod(cluster, namespace, "main")
    trial.inject(1, **LONE)
    assert restarts(cluster, namespace) == {"lone/main": 1}
    cluster.wait(lambda: is_ready(pod_of(cluster, namespace, "lone")), "it serves again, and can be hit")
    with pytest.raises(FaultError, match=r"did not end within 0.3 s: the connection was cut off"):
        trial.inject(1, **LONE, stage=1, command="true", within=0.3)


def test_it_is_over_when_the_pod_serves_again(
    cluster: Cluster, namespace: str, trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    lone_pod(cluster, namespace, "main")
    plan = trial.plan(1, **LONE)
    with cluster.unready("lone"):
        trial.fault.inject(plan)
        assert trial.fault.verify(plan) == ("lone does not serve yet (not ready)",)
        monkeypatch.setattr("gameday.faults.cluster.changing._ATTEMPT_S", 0.1)
        assert trial.undo(plan) == ("lone does not serve yet (not ready) after 0.1 s", *trial.fault.verify(plan))
    monkeypatch.undo()
    assert trial.undo(plan) == ()
    cluster.delete("pods", namespace, "lone", gracePeriodSeconds=0)
    assert trial.undo(plan) == (), "a pod that has gone is nobody's to wait for"


# -- what does not end


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        ({"signal": "QUIT"}, "its process 1 may ignore the signal; `command` can end it in another way"),
        ({"command": "sh -c 'echo no >&2; exit 4'"}, "`sh -c 'echo no >&2; exit 4'` ended with 4: no"),
        ({"command": "no-such-program"}, "executable file not found"),
    ],
    ids=["ignored", "failed", "no program"],
)
def test_one_that_does_not_end_is_an_error_that_says_why(
    cluster: Cluster, namespace: str, trial: Trial, request_: dict[str, str], why: str
) -> None:
    lone_pod(cluster, namespace, "main")
    plan = trial.plan(1, **LONE, **request_, within=0.5)
    with pytest.raises(FaultError) as raised:
        trial.fault.inject(plan)
    assert str(raised.value).startswith("the container main of lone did not end within 0.5 s: ")
    assert why in str(raised.value)
    assert trial.undo(plan) == ()
    assert restarts(cluster, namespace) == {"lone/main": 0}


@pytest.mark.parametrize(
    ("spec", "request_", "why"),
    [
        ({"shareProcessNamespace": True}, {}, "the containers of lone share their processes, and 1 is none of theirs"),
        ({"hostPID": True}, {}, r"lone sees its node's processes \(hostPID\), and 1 is the node's own"),
        ({"restartPolicy": "Never"}, {"command": "true"}, "lone is never restarted"),
        ({}, {"container": "sidecar"}, "lone has no container `sidecar`, but main"),
        ({}, {"command": "'"}, "`command` cannot be split into words"),
        ({}, {"command": ""}, "`command` is empty"),
    ],
    ids=["shared", "host", "never", "container", "quote", "empty"],
)
def test_what_is_refused(
    cluster: Cluster, namespace: str, trial: Trial, spec: dict[str, Any], request_: dict[str, str], why: str
) -> None:
    lone_pod(cluster, namespace, "main", **spec)
    with pytest.raises(FaultError, match=why):
        trial.plan(1, **LONE, **request_)
    if not request_:  # whose process is ended is then the user's word
        trial.plan(1, **LONE, command="pkill app")


def test_a_container_that_was_started_again_since_the_plan(cluster: Cluster, namespace: str, trial: Trial) -> None:
    lone_pod(cluster, namespace, "main")
    plan = trial.plan(1, **LONE)
    run(cluster, namespace, "lone", "(sleep 0.1; kill 1) >/dev/null 2>&1 &")
    cluster.wait(lambda: restarts(cluster, namespace) == {"lone/main": 1}, "it is another container")
    with pytest.raises(FaultError, match="lone: no longer the containers that were planned; nothing was touched"):
        trial.fault.inject(plan)
    assert restarts(cluster, namespace) == {"lone/main": 1}


def test_none_that_is_ready(cluster: Cluster, namespace: str, trial: Trial) -> None:
    lone_pod(cluster, namespace, "main")
    with cluster.unready("lone"), pytest.raises(FaultError, match="none of the pods is ready"):
        cluster.wait(lambda: trial.plan(1, **LONE) is None, "it is refused")


# -- before anything is injected


def test_the_rules_that_it_names_are_enough_and_each_is_needed(cluster: Cluster, namespace: str, trial: Trial) -> None:
    cluster.deploy(namespace, "payments", 2, service=False)
    user = cluster.fresh_user()
    weak = Trial(cluster, namespace, "containers/kill", user=user)
    said = details(weak.examine(1, **OWNED))
    needed = rights_named(weak, **OWNED)
    for verb, resource in needed:
        assert any(text.startswith(f"may not {verb} {resource} in {namespace}, needed to ") for text in said)
    allow_needed(cluster, user, weak, **OWNED)
    since = cluster.mark()
    plan = weak.plan(1, **OWNED)
    found = weak.examine(1, plan, **OWNED)
    assert cluster.changes(since) == []
    assert {remark.outcome for remark in found.remarks} == {CheckOutcome.OK}
    assert details(found) == ["1 of 2 pods stay ready"]
    weak.reach(plan)
    weak.fault.inject(plan)
    assert weak.undo(plan) == ()
    assert rights_used(cluster, since, user) == needed
