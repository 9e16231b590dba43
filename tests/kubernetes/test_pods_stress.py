"""pods/stress on an API server: what is used up, by what, and that nothing of it goes on."""

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cluster import Cluster
from faulting import RUN, Trial, details, run_by_hand
from inside import lone_pod, marked, pod_of, rights_named, rights_used, statuses
from noding import allow_needed

from gameday.common.codec import decode
from gameday.faults.base import FaultError, Reach
from gameday.faults.cluster.found import find_marks
from gameday.journal.events import CheckOutcome
from gameday.kubernetes.client import Client

LIGHT: dict[str, Any] = {"selector": "app=lone", "memory": 1}
OWNED: dict[str, Any] = {"owner": "deployment/payments", "memory": 1}
IMAGE = "registry.test/stress:1"
JSON_PATCH = "application/json-patch+json"


@pytest.fixture
def trial(cluster: Cluster, namespace: str) -> Trial:
    cluster.need_commands()
    return Trial(cluster, namespace, "pods/stress")


class Stressed:
    """The container that a plan adds to a pod."""

    def __init__(self, cluster: Cluster, namespace: str, container: str, pod: str = "lone") -> None:
        self._cluster, self._namespace, self._pod, self.container = cluster, namespace, pod, container

    @property
    def processes(self) -> dict[int, str]:
        kubelet = self._cluster.need_commands()
        return kubelet.processes(pod_of(self._cluster, self._namespace, self._pod), self.container)

    @property
    def state(self) -> dict[str, Any]:
        pod = pod_of(self._cluster, self._namespace, self._pod)
        state: dict[str, Any] = statuses(pod, "ephemeralContainerStatuses").get(self.container, {}).get("state", {})
        return state

    def wait_ended(self) -> int:
        """Its exit status."""
        self._cluster.wait(lambda: "terminated" in self.state, "it has ended")
        return int(self.state["terminated"]["exitCode"])


def stressed(cluster: Cluster, namespace: str, plan: Any, pod: str = "lone") -> Stressed:
    return Stressed(cluster, namespace, plan.container, pod)


def figure(pid: int, file: str, line: str, field: int) -> int:
    """A figure that the kernel has about a process; 0 when it has just ended."""
    with contextlib.suppress(OSError):
        for text in Path(f"/proc/{pid}/{file}").read_text().splitlines():
            if text.startswith(line):
                return int(text.rpartition(")")[2].split()[field])
    return 0


def held_mib(pid: int) -> float:
    return figure(pid, "status", "VmRSS:", 1) / 1024


def cpu_ticks(pid: int) -> int:
    return figure(pid, "stat", str(pid), 11)


def alive(pids: Iterable[int]) -> list[int]:
    """A process that has ended has no working directory any more, even if nobody has asked for its status."""
    return [pid for pid in pids if Path(f"/proc/{pid}/cwd").exists()]


# -- what it does


def test_it_burns_and_holds_until_the_undo(cluster: Cluster, namespace: str, trial: Trial) -> None:
    cluster.deploy(namespace, "payments", 2, service=False)
    plan = trial.plan(1, owner="deployment/payments", cpu=2, memory=24)
    assert trial.reach(plan) == Reach(1, 2, "pods")
    trial.fault.inject(plan)
    (name,) = trial.fault.targets(plan)
    found = stressed(cluster, namespace, plan, name)

    def busy() -> list[int]:
        return [pid for pid in found.processes if cpu_ticks(pid) > 5]

    def holding() -> list[int]:
        return [pid for pid, words in found.processes.items() if words.startswith("tail") and held_mib(pid) > 24]

    cluster.wait(lambda: len(busy()) == 2, "two are busy")
    cluster.wait(lambda: len(holding()) == 1, "24 MiB are held")
    pids = found.processes
    assert marked(cluster, namespace) == {name}
    assert len(trial.fault.verify(plan)) == 1
    began = time.monotonic()
    assert trial.undo(plan) == ()
    assert time.monotonic() - began < 15, "seconds, and not until its time is over"
    assert alive(pids) == []
    assert (found.wait_ended(), found.processes, marked(cluster, namespace)) == (0, {}, set())
    (other,) = set(cluster.pod_names(namespace)) - {name}
    assert "ephemeralContainers" not in pod_of(cluster, namespace, other)["spec"]
    since = cluster.mark()
    assert trial.undo(plan) == ()
    assert cluster.changes(since) == [], "twice is harmless"


def test_it_is_nobody_and_may_do_nothing(cluster: Cluster, namespace: str, trial: Trial) -> None:
    """As a namespace asks for that enforces the Pod Security Standard "restricted"."""
    lone_pod(cluster, namespace, "main")
    plan = trial.inject(1, **LIGHT)
    (container,) = pod_of(cluster, namespace, "lone")["spec"]["ephemeralContainers"]
    context = container["securityContext"]
    assert (context["runAsNonRoot"], context["allowPrivilegeEscalation"]) == (True, False)
    assert (context["capabilities"], context["seccompProfile"]) == ({"drop": ["ALL"]}, {"type": "RuntimeDefault"})
    assert trial.undo(plan) == ()


def test_it_ends_by_itself(cluster: Cluster, namespace: str, trial: Trial) -> None:
    lone_pod(cluster, namespace, "main")
    plan = trial.inject(1, **LIGHT, at_most=300.0)
    found = stressed(cluster, namespace, plan)

    def sleeping() -> dict[int, int]:
        return {pid: int(words.split()[1]) for pid, words in found.processes.items() if words.startswith("sleep ")}

    cluster.wait(lambda: len(sleeping()) == 2, "it waits for its time")
    assert all(200 < seconds <= 301 for seconds in sleeping().values())  # of clocks that count whole seconds
    os.kill(max(sleeping()), signal.SIGTERM)  # now it is over
    os.kill(min(sleeping()), signal.SIGTERM)
    assert (found.wait_ended(), found.processes) == (0, {})
    assert trial.undo(plan) == ()


def test_stages_grow_and_each_ends_its_own(cluster: Cluster, namespace: str, trial: Trial) -> None:
    cluster.deploy(namespace, "payments", 2, service=False)
    first = trial.inject(1, **OWNED)
    (held,) = trial.fault.targets(first)
    second = trial.inject(1.0, stage=1, already=(held,), **OWNED)
    (_, fresh) = trial.fault.targets(second)
    assert first.container != second.container
    assert trial.undo(second) == ()
    assert stressed(cluster, namespace, first, held).processes
    assert stressed(cluster, namespace, second, fresh).processes == {}
    assert trial.undo(first) == ()
    assert stressed(cluster, namespace, first, held).processes == {}
    assert marked(cluster, namespace) == set()


def test_a_stage_that_adds_no_pod_is_in_place_all_the_same(cluster: Cluster, namespace: str, trial: Trial) -> None:
    cluster.deploy(namespace, "payments", 2, service=False)
    first = trial.inject(1, **OWNED)
    held = trial.fault.targets(first)
    second = trial.inject(0.5, stage=1, already=held, **OWNED)
    assert trial.fault.verify(second) != ()
    assert trial.undo(second) == ()
    assert stressed(cluster, namespace, first, held[0]).processes
    assert trial.undo(first) == ()
    assert stressed(cluster, namespace, first, held[0]).processes == {}


def test_pods_without_limits_are_named(cluster: Cluster, namespace: str, trial: Trial) -> None:
    cluster.deploy(namespace, "payments", 2, service=False)
    plan = trial.plan(1, **OWNED)
    (name,) = trial.fault.targets(plan)
    assert f"{name} have no limit on memory: what else runs on their nodes is hit, too" in details(
        trial.examine(1, plan, **OWNED)
    )


def test_an_injection_that_is_asked_for_again_adds_no_other(cluster: Cluster, namespace: str, trial: Trial) -> None:
    lone_pod(cluster, namespace, "main")
    plan = trial.inject(1, **LIGHT)
    trial.fault.inject(plan)
    assert len(pod_of(cluster, namespace, "lone")["spec"]["ephemeralContainers"]) == 1
    run_by_hand(trial, plan)
    assert stressed(cluster, namespace, plan).wait_ended() == 0
    assert trial.fault.verify(plan) == ()
    assert trial.undo(plan) == ()


def test_what_others_have_added_goes_on(cluster: Cluster, namespace: str, trial: Trial) -> None:
    lone_pod(cluster, namespace, "main")
    debugger = {"name": "debugger", "image": "registry.test/app:1", "command": ["sleep", "60"]}
    patch = [{"op": "add", "path": "/spec/ephemeralContainers", "value": [debugger]}]
    path = f"/api/v1/namespaces/{namespace}/pods/lone/ephemeralcontainers"
    assert cluster.request("PATCH", path, patch, JSON_PATCH)[0] == 200
    theirs = Stressed(cluster, namespace, "debugger")
    cluster.wait(lambda: theirs.processes, "theirs runs")
    plan = trial.inject(1, **LIGHT)
    assert trial.undo(plan) == ()
    assert [item["name"] for item in pod_of(cluster, namespace, "lone")["spec"]["ephemeralContainers"]] == [
        "debugger",
        plan.container,
    ]
    assert (list(theirs.state), list(theirs.processes.values())) == (["running"], ["sleep 60 "])


# -- an image that does not come, or comes late


def test_an_image_that_comes_after_the_undo_finds_nothing_to_do(
    cluster: Cluster, namespace: str, trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gameday.faults.pods.stress._LATE_S", 0.3)
    lone_pod(cluster, namespace, "main")
    with cluster.absent(IMAGE):
        plan = trial.plan(1, **LIGHT, image=IMAGE, starts_within=0.0)
        found = stressed(cluster, namespace, plan)
        with pytest.raises(FaultError, match=r"its container did not start within 0 s in lone"):
            trial.fault.inject(plan)
        cluster.wait(lambda: "waiting" in found.state, "it waits for its image")
        with pytest.raises(FaultError, match=r"did not start within 0 s in lone \(ImagePullBackOff\)"):
            trial.fault.inject(plan)
        assert trial.undo(plan) == ()
        assert marked(cluster, namespace) == set()
        assert list(found.state) == ["waiting"]
    assert (found.wait_ended(), found.processes) == (0, {})
    assert trial.fault.verify(plan) == ()


def test_an_image_that_comes_when_its_time_is_over_finds_nothing_to_do(
    cluster: Cluster, namespace: str, trial: Trial
) -> None:
    lone_pod(cluster, namespace, "main")
    with cluster.absent(IMAGE):
        plan = msgspec.structs.replace(trial.plan(1, **LIGHT, image=IMAGE, starts_within=0.0), until=time.time())
        with pytest.raises(FaultError, match="did not start"):
            trial.fault.inject(plan)
    assert (stressed(cluster, namespace, plan).wait_ended(), marked(cluster, namespace)) == (0, {"lone"})
    assert trial.undo(plan) == ()


def test_one_that_was_starting_while_it_was_undone_is_ended(cluster: Cluster, namespace: str, trial: Trial) -> None:
    """It has read its mark by then, and no status says yet that it runs."""
    lone_pod(cluster, namespace, "main")
    cluster.need_commands().set_tell_delay(2.5)
    plan = trial.plan(1, **LIGHT, starts_within=0.0)
    with pytest.raises(FaultError, match=r"did not start within 0 s in lone"):
        trial.fault.inject(plan)
    found = stressed(cluster, namespace, plan)
    cluster.wait(lambda: found.processes, "it has started")
    assert trial.undo(plan) == ()
    assert found.wait_ended() == 0
    assert found.processes == {}


def test_one_that_ends_at_once_is_an_error(cluster: Cluster, namespace: str, trial: Trial) -> None:
    lone_pod(cluster, namespace, "main")
    cluster.need_commands().set_tell_delay(60)  # it has ended before it is said to run
    plan = msgspec.structs.replace(trial.plan(1, **LIGHT), until=0.0)
    with pytest.raises(FaultError, match=r"its container has ended at once in lone: does busybox.* have all"):
        trial.fault.inject(plan)
    assert trial.undo(plan) == ()


# -- who else writes


class Meddling:
    """Somebody writes to the pod right before each of the first so many requests to add a container."""

    def __init__(self, cluster: Cluster, namespace: str, times: int) -> None:
        self._cluster, self._namespace, self._left = cluster, namespace, times
        self._request = Client.request

    def install(self, patching: pytest.MonkeyPatch) -> None:
        def request(client: Client, method: str, path: str, **rest: Any) -> bytes:
            if method == "PATCH" and path.endswith("/ephemeralcontainers") and self._left:
                self._left -= 1
                annotations = {"metadata": {"annotations": {"meddled": str(self._left)}}}
                self._cluster.patch("pods", self._namespace, "lone", annotations)
            return self._request(client, method, path, **rest)

        patching.setattr(Client, "request", request)


def test_what_somebody_else_writes_meanwhile_is_kept(
    cluster: Cluster, namespace: str, trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    lone_pod(cluster, namespace, "main")
    Meddling(cluster, namespace, 2).install(monkeypatch)
    plan = trial.inject(1, **LIGHT)
    assert pod_of(cluster, namespace, "lone")["metadata"]["annotations"]["meddled"] == "0"
    assert trial.undo(plan) == ()


def test_somebody_who_never_stops_is_an_error(
    cluster: Cluster, namespace: str, trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    lone_pod(cluster, namespace, "main")
    Meddling(cluster, namespace, 99).install(monkeypatch)
    plan = trial.plan(1, **LIGHT)
    with pytest.raises(FaultError, match="lone is written to all the time by somebody else"):
        trial.fault.inject(plan)
    assert trial.undo(plan) == ()
    assert marked(cluster, namespace) == set()


def test_a_pod_that_is_gone_needs_no_undo(cluster: Cluster, namespace: str, trial: Trial) -> None:
    lone_pod(cluster, namespace, "main")
    plan = trial.inject(1, **LIGHT)
    pids = stressed(cluster, namespace, plan).processes
    cluster.delete("pods", namespace, "lone", gracePeriodSeconds=0)
    assert trial.undo(plan) == ()
    cluster.wait(lambda: not alive(pids), "its processes went with it")


def test_from_the_cluster_alone_it_is_found_and_undone(cluster: Cluster, namespace: str, trial: Trial) -> None:
    cluster.deploy(namespace, "payments", 2, service=False)
    plan = trial.inject(2, **OWNED)
    found, _ = find_marks(trial.system)
    assert [(item.run, item.fault, item.problem) for item in found] == [(RUN, "pods/stress", "")] * 2
    for item in found:
        part = decode(item.plan, trial.fault.plan_type)
        assert len(part.pods) == len(part.changes) == 1
        assert trial.undo(part) == ()
    names = trial.fault.targets(plan)
    assert [stressed(cluster, namespace, plan, name).processes for name in names] == [{}, {}]
    assert marked(cluster, namespace) == set()


# -- before anything is injected


def test_nothing_to_be_stressed(cluster: Cluster, namespace: str, trial: Trial) -> None:
    with pytest.raises(FaultError, match="nothing would be stressed: give `cpu`, in processes, or `memory`, in MiB"):
        trial.plan(1, selector="app=lone", cpu=0, memory=0)


def test_the_rules_that_it_names_are_enough_and_each_is_needed(cluster: Cluster, namespace: str, trial: Trial) -> None:
    cluster.deploy(namespace, "payments", 2, service=False)
    user = cluster.fresh_user()
    weak = Trial(cluster, namespace, "pods/stress", user=user)
    said = details(weak.examine(1, **OWNED))
    needed = rights_named(weak, **OWNED)
    for verb, resource in needed:
        assert any(text.startswith(f"may not {verb} {resource} in {namespace}, needed to ") for text in said)
    allow_needed(cluster, user, weak, **OWNED)
    since = cluster.mark()
    plan = weak.plan(1, **OWNED)
    found = weak.examine(1, plan, **OWNED)
    assert [remark.check for remark in found.remarks if remark.outcome is not CheckOutcome.OK] == ["memory limits"]
    assert "the API server would accept each change" in details(found)
    dry = [call.path.rpartition("/")[2] for call in cluster.audit(since, user=user) if call.dry_run]
    assert dry == ["ephemeralcontainers", trial.fault.targets(plan)[0]]
    assert cluster.changes(since) == []
    weak.reach(plan)
    weak.fault.inject(plan)
    assert weak.undo(plan) == ()
    assert rights_used(cluster, since, user) == needed
