"""pods/evict: pods are evicted one after another, as their budgets let them: as when nodes are drained."""

from typing import ClassVar

import msgspec

from gameday.faults.base import FaultRequest, Patience
from gameday.faults.cluster.base import Place
from gameday.faults.cluster.changing import READY_WITHIN
from gameday.faults.pods.evicting import GRACE_PERIOD, INJECT_SLACK_S, evict_patiently, patient_refusal, within
from gameday.faults.pods.kill import Kill, PodKillPlan
from gameday.journal.events import CheckOutcome
from gameday.kubernetes.client import Client


class Evict(Kill):
    """Asks again for what a PodDisruptionBudget refuses, until a deadline. What is evicted stays evicted."""

    name = "pods/evict"
    summary = "evict pods one after another, as their PodDisruptionBudgets let them"
    parameters: ClassVar = {"within": within("60s"), "grace-period": GRACE_PERIOD, "ready-within": READY_WITHIN}

    def prepare(self, client: Client, place: Place, request: FaultRequest) -> PodKillPlan:
        within_s = float(request.arguments.get("within", 60.0))
        return msgspec.structs.replace(super().prepare(client, place, request), within_s=within_s)

    def end(self, client: Client, plan: PodKillPlan) -> None:
        evict_patiently(
            client, [(plan.place.namespace, target) for target in plan.targets], plan.grace_s, plan.within_s
        )

    def refusal(self, plan: PodKillPlan, allowed: int) -> tuple[CheckOutcome, str]:
        return patient_refusal(allowed, plan.within_s)

    def describe(self, plan: PodKillPlan) -> str:
        return f"{super().describe(plan)}, within {plan.within_s:g} s"

    def patience(self, plan: PodKillPlan) -> Patience:
        return Patience(inject_s=plan.within_s + INJECT_SLACK_S, undo_s=plan.ready_within_s)
