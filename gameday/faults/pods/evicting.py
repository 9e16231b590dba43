"""Evictions, which PodDisruptionBudgets may refuse: once, or asked again until a deadline.

https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/
"""

import time
from collections.abc import Callable, Iterable, Mapping

from gameday.faults.base import FaultError, Parameter, ParameterKind, Remark
from gameday.faults.cluster.targets import PodTarget, budgets_over
from gameday.journal.events import CheckOutcome
from gameday.kubernetes.client import ApiError, Client
from gameday.kubernetes.objects import Pod, path_of

GRACE_PERIOD = Parameter(
    ParameterKind.DURATION, "how long a pod may take to end (default: its own)", minimum=0, maximum=3600, optional=True
)
INJECT_SLACK_S = 30.0  # beside the wait for budgets: what else an injection asks of the server
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 2.0


class BudgetError(FaultError):
    """A PodDisruptionBudget refuses, for now. `reason` names it, in the server's words."""

    def __init__(self, pod: str, reason: str) -> None:
        super().__init__(f"a PodDisruptionBudget keeps {pod} from being evicted: {reason}")
        self.reason = reason


def within(default: str) -> Parameter:
    """The setting: how long to ask again."""
    return Parameter(
        ParameterKind.DURATION,
        "how long an eviction that a budget refuses is asked for again",
        default=default,
        minimum=1,
        maximum=3600,
    )


def evict(client: Client, namespace: str, target: PodTarget, grace_s: int | None, *, dry_run: bool = False) -> None:
    """Evict exactly this pod; harmless when it has gone meanwhile. Raises ClusterError and BudgetError."""
    options: dict[str, object] = {"preconditions": {"uid": target.uid}}
    options |= {"gracePeriodSeconds": grace_s} if grace_s is not None else {}
    options |= {"dryRun": ["All"]} if dry_run else {}
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": target.name, "namespace": namespace},
        "deleteOptions": options,
    }
    # Webhooks learn of a dry run by the query alone.
    query = {"dryRun": "All"} if dry_run else None
    try:
        # The uid makes it harmless to ask twice.
        client.request("POST", path_of("Pod", namespace, target.name, "eviction"), body=body, query=query)
    except ApiError as error:
        if error.is_budget:
            reason = "; ".join(cause.message for cause in error.causes)
            raise BudgetError(target.name, reason) from None
        if not error.is_missing and not error.is_conflict:  # it has ended by itself
            raise


def evict_patiently(
    client: Client, pods: Iterable[tuple[str, PodTarget]], grace_s: int | None, within_s: float
) -> None:
    """Evict pods, each with its namespace, in this order; those that budgets refuse are asked for again.

    Raises ClusterError, and FaultError when some were not evicted within so many seconds: the others are.
    """
    deadline, pause, left = time.monotonic() + within_s, _FIRST_PAUSE_S, tuple(pods)
    while True:
        refused: dict[tuple[str, PodTarget], str] = {}
        for namespace, target in left:
            if time.monotonic() > deadline:
                refused[namespace, target] = "there was no time left to ask"
                continue
            try:
                evict(client, namespace, target, grace_s)
            except BudgetError as error:
                refused[namespace, target] = error.reason
        if not refused:
            return
        if time.monotonic() + pause > deadline:
            reasons: dict[str, list[str]] = {}
            for (_, target), reason in refused.items():
                reasons.setdefault(reason, []).append(target.name)
            said = "; ".join(f"{', '.join(names)} ({reason})" for reason, names in reasons.items())
            raise FaultError(f"not evicted within {within_s:g} s: {said}")
        time.sleep(pause)
        pause, left = min(pause * 2, _LONGEST_PAUSE_S), tuple(refused)


def budget_remarks(
    client: Client, pods: Mapping[str, Iterable[Pod]], refusal: Callable[[int], tuple[CheckOutcome, str]]
) -> Iterable[Remark]:
    """One remark on all budgets over these pods, by namespace. `refusal`: what it means that one allows so few."""
    said, outcomes = list[str](), set[CheckOutcome]()
    for namespace, some in pods.items():
        for budget, covered in budgets_over(client, namespace, some):
            allowed = budget.status.disruptions_allowed
            name = f"{namespace}/{budget.metadata.name}" if len(pods) > 1 else budget.metadata.name
            detail = f"{name} allows {allowed} disruption{'s' * (allowed != 1)} now, and {covered} are meant"
            outcome, more = refusal(allowed) if covered > allowed else (CheckOutcome.OK, "")
            said.append(detail + more)
            outcomes.add(outcome)
    order = (CheckOutcome.FAILURE, CheckOutcome.WARNING, CheckOutcome.OK)
    if said:
        yield Remark("disruption budget", next(item for item in order if item in outcomes), "; ".join(said))


def patient_refusal(allowed: int, within_s: float) -> tuple[CheckOutcome, str]:
    """What it means to those who ask again that a budget allows fewer than are meant."""
    if allowed:
        return CheckOutcome.WARNING, ": one after another, as the budget lets them"
    return CheckOutcome.WARNING, f": it is asked again for {within_s:g} s, as budgets recover"
