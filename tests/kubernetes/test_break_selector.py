"""service/break-selector on an API server: a Service without endpoints, whose pods are well."""

from typing import Any

import pytest
from cluster import Cluster
from faulting import RUN, Trial, details
from world import is_ready

from gameday.common.codec import decode
from gameday.faults.base import ConflictError, FaultError, Reach
from gameday.faults.cluster.change import RUN_LABEL, UNDO_PREFIX
from gameday.faults.cluster.found import find_marks

BROKEN = "gameday.dev/broken"


def service(cluster: Cluster, namespace: str) -> dict[str, Any]:
    found = cluster.get("services", namespace, "payments")
    assert found is not None
    return found


def endpoints(cluster: Cluster, namespace: str) -> int:
    slices = cluster.items("endpointslices", namespace, "kubernetes.io/service-name=payments")
    return sum(end["conditions"].get("ready") is True for item in slices for end in item.get("endpoints") or ())


def marks(cluster: Cluster, namespace: str) -> list[str]:
    metadata = service(cluster, namespace)["metadata"]
    annotations = [key for key in metadata.get("annotations") or {} if key.startswith(UNDO_PREFIX)]
    return sorted(annotations + [key for key in metadata.get("labels") or {} if key == RUN_LABEL])


def break_it(cluster: Cluster, namespace: str, trial: Trial) -> Any:
    """Until its controller has noticed: else that might be said when it is undone already."""
    plan = trial.inject(1.0, service="payments")
    cluster.wait(lambda: endpoints(cluster, namespace) == 0, "its endpoints are gone")
    return plan


@pytest.fixture
def trial(cluster: Cluster, namespace: str) -> Trial:
    cluster.deploy(namespace, "payments", 3)
    return Trial(cluster, namespace, "service/break-selector")


def test_a_service_loses_its_endpoints_and_gets_them_back(cluster: Cluster, namespace: str, trial: Trial) -> None:
    before, pods = service(cluster, namespace), set(cluster.pod_names(namespace))
    plan = trial.plan(1.0, service="payments")
    assert trial.reach(plan) == Reach(3, 3, "endpoints")
    trial.fault.inject(plan)
    trial.fault.inject(plan)
    assert service(cluster, namespace)["spec"]["selector"] == {"app": "payments", BROKEN: RUN}
    assert marks(cluster, namespace) == [RUN_LABEL, f"{UNDO_PREFIX}0.0.0"]
    cluster.wait(lambda: endpoints(cluster, namespace) == 0, "no endpoints")
    assert trial.fault.verify(plan) != ()
    assert trial.undo(plan) == ()
    assert trial.undo(plan) == ()
    assert endpoints(cluster, namespace) == 3
    assert service(cluster, namespace)["spec"] == before["spec"]
    assert marks(cluster, namespace) == []
    assert set(cluster.pod_names(namespace)) == pods


def test_the_undo_of_what_was_never_injected_touches_nothing(cluster: Cluster, namespace: str, trial: Trial) -> None:
    plan = trial.plan(1.0, service="payments")
    since = cluster.mark()
    assert trial.undo(plan) == ()
    assert cluster.changes(since) == []


@pytest.mark.parametrize(("radius", "shown"), [(2, "2"), (0.5, "50%")])
def test_a_part_of_a_service_cannot_be_broken(trial: Trial, radius: int | float, shown: str) -> None:
    with pytest.raises(FaultError, match=f"breaks as a whole, with all of its 3 endpoints.*not {shown}$"):
        trial.plan(radius, service="payments")


@pytest.mark.parametrize("radius", [3, 4, 1.0])
def test_a_radius_of_all_its_endpoints_will_do(trial: Trial, radius: int | float) -> None:
    assert trial.reach(trial.plan(radius, service="payments")) == Reach(3, 3, "endpoints")


def test_what_cannot_be_broken_is_refused(cluster: Cluster, namespace: str, trial: Trial) -> None:
    with pytest.raises(FaultError, match="no Service `orders`"):
        trial.plan(1.0, service="orders")
    cluster.patch("services", namespace, "payments", {"spec": {"selector": {"app": "nobody"}}})
    cluster.wait(lambda: endpoints(cluster, namespace) == 0, "no endpoints")
    with pytest.raises(FaultError, match="no endpoint that takes traffic"):
        trial.plan(1.0, service="payments")
    cluster.patch("services", namespace, "payments", {"spec": {"selector": None}})
    with pytest.raises(FaultError, match="no selector"):
        trial.plan(1.0, service="payments")


def test_a_service_that_another_run_broke_is_left_alone(cluster: Cluster, namespace: str, trial: Trial) -> None:
    plan = break_it(cluster, namespace, trial)
    with pytest.raises(FaultError, match=f"bears a fault of run {RUN}"):
        trial.plan(1.0, service="payments", run="another")
    assert trial.undo(plan) == ()


def test_somebody_elses_label_of_that_name_is_not_overwritten(cluster: Cluster, namespace: str, trial: Trial) -> None:
    plan = break_it(cluster, namespace, trial)
    cluster.patch("services", namespace, "payments", {"spec": {"selector": {BROKEN: "on-purpose"}}})
    with pytest.raises(ConflictError, match="on-purpose"):
        trial.fault.undo(plan)
    assert service(cluster, namespace)["spec"]["selector"][BROKEN] == "on-purpose"


def test_fewer_endpoints_are_right_when_there_are_fewer_pods(cluster: Cluster, namespace: str, trial: Trial) -> None:
    plan = break_it(cluster, namespace, trial)
    cluster.patch("deployments", namespace, "payments", {"spec": {"replicas": 1}})
    cluster.wait(lambda: len(cluster.pods(namespace)) == 1, "one pod")
    assert trial.undo(plan) == ()
    assert endpoints(cluster, namespace) == 1


def test_endpoints_that_do_not_come_back_are_left(
    cluster: Cluster, namespace: str, trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gameday.faults.cluster.changing._ATTEMPT_S", 0.5)
    plan = break_it(cluster, namespace, trial)
    with cluster.unready("payments"):
        cluster.wait(lambda: not any(map(is_ready, cluster.pods(namespace))), "pods that are not ready")
        (left, *_) = trial.undo(plan)
        assert "the Service payments has 0 endpoints that take traffic, before 3" in left
    cluster.wait(lambda: trial.fault.verify(plan) == (), "the endpoints")


def test_it_is_undone_from_its_mark_alone(cluster: Cluster, namespace: str, trial: Trial) -> None:
    break_it(cluster, namespace, trial)
    ((found,), _) = find_marks(trial.system)
    assert (found.what, found.fault, found.problem) == (
        f"service/payments in {namespace}",
        "service/break-selector",
        "",
    )
    assert trial.undo(decode(found.plan, trial.fault.plan_type)) == ()
    assert BROKEN not in service(cluster, namespace)["spec"]["selector"]
    assert find_marks(trial.system) == ([], [])


def test_it_needs_what_it_says_and_no_more(cluster: Cluster, namespace: str, trial: Trial) -> None:
    user = cluster.fresh_user()
    trial = Trial(cluster, namespace, "service/break-selector", user=user)
    cluster.allow(namespace, user, "get namespaces")
    assert {text.partition(" in ")[0] for text in details(trial.examine(1.0, service="payments"))} == {
        "may not get services",
        "may not patch services",
        "may not list services",
        "may not list endpointslices",
        "may not list pods",
    }
    cluster.allow(namespace, user, "get,list,patch services", "list endpointslices", "list pods")
    plan = break_it(cluster, namespace, trial)
    assert trial.undo(plan) == ()
