"""pods/evict on an API server: budgets that refuse at first, or for good; and what it and pods/kill rehearse."""

import pytest
from cluster import Cluster
from faulting import Trial, details

from gameday.faults.base import FaultError, Reach
from gameday.journal.events import CheckOutcome


@pytest.fixture
def trial(cluster: Cluster, namespace: str) -> Trial:
    return Trial(cluster, namespace, "pods/evict")


def test_it_asks_again_until_the_budget_lets_each_go(cluster: Cluster, namespace: str, trial: Trial) -> None:
    cluster.deploy(namespace, "payments", 3, min_available=2)
    before, since = set(cluster.pod_names(namespace)), cluster.mark()
    plan = trial.inject(3, service="payments", within=30.0)
    evictions = [call for call in cluster.audit(since) if call.path.endswith("/eviction")]
    assert [call.code for call in evictions].count(201) == 3
    assert 429 in [call.code for call in evictions], "the budget refused at first"
    assert trial.undo(plan) == ()
    assert trial.undo(plan) == ()
    assert not before & set(cluster.pod_names(namespace))


def test_when_the_deadline_passes_it_names_the_budget_and_the_pods(
    cluster: Cluster, namespace: str, trial: Trial
) -> None:
    cluster.deploy(namespace, "payments", 3, min_available=2)
    before = cluster.pod_names(namespace)
    plan = trial.plan(2, service="payments", within=1.0)
    with cluster.hold("payments"):
        with pytest.raises(FaultError, match="not evicted within 1 s") as caught:
            trial.fault.inject(plan)
        left = [name for name in trial.fault.targets(plan) if name in cluster.pod_names(namespace)]
        assert len(left) == 1, "what was evicted stays so"
        assert f"{left[0]} (The disruption budget payments needs 2 healthy pods and has 2 currently)" in str(
            caught.value
        )
    assert trial.undo(plan) == ()
    assert len(set(before) & set(cluster.pod_names(namespace))) == 2


def test_the_injection_is_given_the_time_that_it_may_take(cluster: Cluster, namespace: str, trial: Trial) -> None:
    cluster.deploy(namespace, "payments", 1)
    plan = trial.plan(1, service="payments", within=600.0)
    assert trial.fault.patience(plan).inject_s > 600
    assert trial.fault.describe(plan).endswith(", within 600 s")
    assert trial.reach(plan) == Reach(1, 1, "pods")
    assert trial.plan(1, service="payments").within_s == 60


@pytest.mark.parametrize(
    ("least", "said"),
    [
        (2, "payments allows 1 disruption now, and 2 are meant: one after another, as the budget lets them"),
        (
            3,
            "payments allows 0 disruptions now, and 2 are meant: it is asked again for 60 s, as budgets recover",
        ),
    ],
)
def test_a_budget_that_is_in_the_way_is_a_warning_said_once(
    cluster: Cluster, namespace: str, trial: Trial, least: int, said: str
) -> None:
    cluster.deploy(namespace, "payments", 3, min_available=least)
    plan = trial.plan(2, service="payments")
    found = trial.examine(2, plan, service="payments")
    by_check = {remark.check: remark for remark in found.remarks}
    assert (by_check["disruption budget"].outcome, by_check["disruption budget"].detail) == (CheckOutcome.WARNING, said)
    assert by_check["dry run"].outcome is CheckOutcome.OK
    assert len(found.remarks) == len(by_check) == 3


@pytest.mark.parametrize(
    ("fault", "arguments", "verb"),
    [
        ("pods/kill", {}, "create"),
        ("pods/kill", {"budgets": "ignore"}, "delete"),
        ("pods/evict", {}, "create"),
    ],
)
def test_each_eviction_is_rehearsed_and_nothing_is_stored(
    cluster: Cluster, namespace: str, fault: str, arguments: dict[str, str], verb: str
) -> None:
    cluster.deploy(namespace, "payments", 3, min_available=3)
    trial = Trial(cluster, namespace, fault)
    plan, before, since = trial.plan(2, service="payments", **arguments), cluster.pod_names(namespace), cluster.mark()
    examination = trial.examine(2, plan, service="payments", **arguments)
    assert "the API server would accept each change" in details(examination)
    dry = [call for call in cluster.audit(since) if call.dry_run]
    assert [call.verb for call in dry] == [verb] * 2
    assert cluster.changes(since) == []
    assert cluster.pod_names(namespace) == before


def test_one_who_may_not_evict_is_told_by_the_review_alone(cluster: Cluster, namespace: str) -> None:
    cluster.deploy(namespace, "payments", 2)
    user = cluster.fresh_user()
    trial = Trial(cluster, namespace, "pods/evict", user=user)
    needed = trial.examine(1, service="payments").permissions
    rules = {(item.group, item.resource, item.verb) for item in needed if item.resource != "pods/eviction"}
    cluster.allow(
        namespace, user, *({"apiGroups": [group], "resources": [what], "verbs": [verb]} for group, what, verb in rules)
    )
    plan = trial.plan(1, service="payments")
    (said,) = details(trial.examine(1, plan, service="payments"))
    assert "may not create pods/eviction" in said
    cluster.allow(namespace, user, "create pods/eviction")
    assert all(item.outcome is CheckOutcome.OK for item in trial.examine(1, plan, service="payments").remarks)
    trial.fault.inject(plan)
    assert trial.undo(plan) == ()
