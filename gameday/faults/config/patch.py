"""config/patch: one value of a ConfigMap, a Secret or a Deployment's environment is wrong, as after a bad release."""

from collections.abc import Iterator
from typing import ClassVar

from gameday.faults.base import FaultError, FaultRequest, Parameter, ParameterKind, Permission, Reach, Remark, Table
from gameday.faults.cluster.base import Place
from gameday.faults.cluster.change import Change, is_marked, remains, revert
from gameday.faults.cluster.changing import (
    READY_WITHIN,
    ChangeFault,
    change_needs,
    create_needs,
    wait_until_none,
)
from gameday.faults.cluster.targets import PodTarget, find_needs, find_pods, table_of
from gameday.faults.config.changed import PatchPlan, by_kind, in_words, read_wanted, undone_by_kubectl
from gameday.faults.config.readers import reader_needs
from gameday.faults.config.renewal import remarks_on, renew, roll_readers, unrenewed
from gameday.faults.config.secret import (
    forget_secret,
    left_of_secret,
    restore_secret,
    secret_by_hand,
    strike_secret,
)
from gameday.faults.deployment.rollout import unfinished
from gameday.kubernetes.client import Client


class Patch(ChangeFault[PatchPlan]):
    """Changes one value and restores it exactly. A Deployment's variable rolls its pods, both ways.

    A pod that reads a ConfigMap or a Secret into its environment sees a change only when it is started anew: with
    `restart` the target's workloads are rolled. Whatever was started while the value was wrong holds it, whoever
    started it: the undo rolls that, and only then is it done.
    """

    name = "config/patch"
    summary = "change one value of a ConfigMap, of a Secret, or of a Deployment's environment"
    target_keys: ClassVar = frozenset({"service", "owner", "namespace", "cluster"})
    parameters: ClassVar = {
        "object": Parameter(ParameterKind.TEXT, "whose value it is: configmap/NAME, secret/NAME or deployment/NAME"),
        "key": Parameter(ParameterKind.TEXT, "which value; the name of a Deployment's variable"),
        "value": Parameter(ParameterKind.TEXT, "what it becomes", optional=True),
        "absent": Parameter(ParameterKind.BOOLEAN, "take the key away", default="false"),
        "container": Parameter(
            ParameterKind.TEXT, "of a Deployment: whose variable it is (default: the first one's)", optional=True
        ),
        "restart": Parameter(
            ParameterKind.BOOLEAN, "roll the workloads that see a change only when they are started", default="false"
        ),
        "ready-within": READY_WITHIN,
    }
    plan_type = PatchPlan

    def prepare(self, client: Client, place: Place, request: FaultRequest) -> PatchPlan:
        wanted = read_wanted(request)
        if str(wanted) in request.already:
            raise FaultError(f"{wanted} changes as a whole, and an earlier stage has changed it: one stage will do")
        pods = find_pods(client, place.namespace, request)
        if not pods.live:
            raise FaultError("no live pod matches the target")
        radius, number = request.radius, len(pods.live)
        whole = radius.count >= number if radius.count is not None else radius.share == 1
        if not whole:
            raise FaultError(
                f"a configuration changes for all of the {number} pods: the blast radius must be 100%, not {radius}"
            )
        return by_kind(client, place, request, wanted, pods)

    def targets(self, plan: PatchPlan) -> tuple[str, ...]:
        return (str(plan.wanted),)

    def measure(self, client: Client, plan: PatchPlan) -> Reach:
        total = len(find_pods(client, plan.place.namespace, plan.request, plan.selector).live)
        return Reach(total, total, "pods")

    # -- the change and its undo

    def _strike(self, client: Client, plan: PatchPlan, *, dry_run: bool) -> None:
        if plan.secret is None:
            super()._strike(client, plan, dry_run=dry_run)
        else:
            undo = self.undo_for(plan, changes=plan.changes)
            undo_backup = self.undo_for(plan, created=plan.created)
            strike_secret(client, plan.place, plan.secret, undo, undo_backup, dry_run=dry_run)
        roll_readers(client, plan, dry_run=dry_run)

    def mend(self, client: Client, plan: PatchPlan) -> None:
        if plan.entry is None:
            super().mend(client, plan)
            return
        place, secret = plan.place, plan.secret
        if secret is not None:
            is_ours = restore_secret(client, place, secret)
        else:
            revert(client, place, plan.change, keep_mark=True)
            is_ours = is_marked(client, place, plan.change)
        if is_ours:  # the mark stays until nothing holds the wrong value
            renew(client, plan)
            wait_until_none(lambda: unrenewed(client, plan))
        if secret is not None:
            forget_secret(client, place, secret)
        else:
            revert(client, place, plan.change)
        wait_until_none(lambda: self.leftovers(client, plan))

    def leftovers(self, client: Client, plan: PatchPlan) -> tuple[str, ...]:
        if plan.entry is None:
            return super().leftovers(client, plan)
        if plan.secret is not None:
            left = tuple(left_of_secret(client, plan.place, plan.secret))
        else:
            left = tuple(remains(client, plan.place, plan.change))
        return (*left, *unrenewed(client, plan)) if self._is_marked(client, plan) else left

    def _is_marked(self, client: Client, plan: PatchPlan) -> bool:
        marked: Change = plan.secret.marked if plan.secret is not None else plan.change
        return is_marked(client, plan.place, marked)

    def unsettled(self, client: Client, plan: PatchPlan) -> list[str]:
        """Of a Deployment, whose change is undone when its pods are rolled."""
        return unfinished(client, plan.place.namespace, plan.change.name)

    def by_hand(self, plan: PatchPlan) -> str:
        if plan.secret is not None:
            return secret_by_hand(plan.place, plan.secret)
        return undone_by_kubectl(plan)

    # -- what there is to know before

    def describe(self, plan: PatchPlan) -> str:
        return in_words(plan)

    def look(self, client: Client, plan: PatchPlan) -> tuple[Table, list[Remark]]:
        pods = find_pods(client, plan.place.namespace, plan.request, plan.selector)
        hit = [PodTarget(pod.metadata.name, pod.metadata.uid, pod.spec.node_name) for pod in pods.live]
        remarks = remarks_on(client, plan, pods) if plan.entry is not None else ()
        return table_of(pods, hit), list(remarks)

    def needs(self, namespace: str, request: FaultRequest) -> Iterator[Permission]:
        kind = read_wanted(request).kind
        yield from change_needs(kind, namespace)
        yield from find_needs(namespace, request)
        yield Permission("list", "", "pods", namespace, "inject")
        if kind == "Deployment":
            return
        yield from reader_needs(namespace, "plan", rolls=False)
        yield from reader_needs(namespace, "undo", rolls=True)
        if request.arguments.get("restart") is True:
            yield from reader_needs(namespace, "inject", rolls=True)
        if kind == "Secret":
            yield from create_needs(kind, namespace)
