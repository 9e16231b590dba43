"""Pods that hold what they read while a ConfigMap or a Secret was changed: found, and rolled as
`kubectl rollout restart` does."""

from collections.abc import Iterator

from gameday.faults.base import Remark
from gameday.faults.cluster.targets import Group, Pods, not_recovered, uids
from gameday.faults.config.changed import PatchPlan
from gameday.faults.config.readers import ROLLED, Reader, readers_of, workloads_of
from gameday.faults.deployment.rollout import RESTARTED_AT, RolledOut, roll, roll_time, unfinished
from gameday.journal.events import CheckOutcome
from gameday.kubernetes.client import Client
from gameday.kubernetes.objects import path_of

_SLACK_S = 5.0  # by which the clocks of a node and of this machine may differ


def _injected_at(plan: PatchPlan) -> str:
    return roll_time(plan.since)


def _undone_at(plan: PatchPlan) -> str:
    """Another one than the injection's, and the same at each attempt: whatever bears it was started since the undo."""
    return roll_time(plan.since + 0.001)


def roll_readers(client: Client, plan: PatchPlan, *, dry_run: bool) -> None:
    """What the injection rolls. Raises FaultError, ClusterError."""
    for group in plan.rolled:
        roll(client, plan.place.namespace, group.kind, group.name, _injected_at(plan), dry_run=dry_run)


def renew(client: Client, plan: PatchPlan) -> None:
    """Roll what holds the changed value; call it when the value is back. Raises FaultError, ClusterError."""
    for group in _holders(client, plan):
        if group is not None and group.kind in ROLLED:
            roll(client, plan.place.namespace, group.kind, group.name, _undone_at(plan))


def unrenewed(client: Client, plan: PatchPlan) -> Iterator[str]:
    """What holds the changed value yet, and what we have rolled and does not serve yet."""
    namespace, kubectl = plan.place.namespace, plan.place.kubectl
    for group, pods in _holders(client, plan).items():
        names = ", ".join(pod.metadata.name for pod in pods)
        text = f"{names}: started while {plan.wanted} was changed, and may hold the changed value"
        if group is None or group.kind not in ROLLED:
            text += f"; nothing rolls it: `{kubectl} delete pod {' '.join(pod.metadata.name for pod in pods)}`"
        yield text
    for group in plan.readers:
        found = client.find(path_of(group.kind, namespace, group.name), RolledOut)
        if found is None or found.restarted_at not in (_injected_at(plan), _undone_at(plan)):
            continue
        yield from (
            unfinished(client, namespace, group.name)
            if group.kind == "Deployment"
            else not_recovered(client, namespace, [group])
        )


def _holders(client: Client, plan: PatchPlan) -> dict[Group | None, list[Reader]]:
    """The pods that may hold the changed value, by what brings them."""
    entry, namespace = plan.entry, plan.place.namespace
    if entry is None:
        return {}
    found = [
        pod
        for pod in readers_of(client, namespace, entry)
        if (pod.metadata.annotations or {}).get(RESTARTED_AT) != _undone_at(plan)
        and pod.has_old(entry, plan.since - _SLACK_S)
    ]
    return workloads_of(client, namespace, found)


def remarks_on(client: Client, plan: PatchPlan, target: Pods) -> Iterator[Remark]:
    """Who reads it, how, and whether anybody of the target would see the change."""
    entry, check = plan.entry, "who reads it"
    assert entry is not None
    there, is_seen = uids(target.live), False
    for group, pods in workloads_of(
        client, plan.place.namespace, readers_of(client, plan.place.namespace, entry)
    ).items():
        ways = sorted({way for pod in pods for way in pod.ways(entry)})
        is_meant = any(pod.metadata.uid in there for pod in pods)
        is_renewed, is_rolled = any(way.is_renewed for way in ways), group in plan.rolled
        is_seen = is_seen or (is_meant and (is_renewed or is_rolled))
        text = f"{group or ', '.join(pod.metadata.name for pod in pods)} {' and '.join(ways)}"
        if not is_renewed:
            text += ": it is rolled, and sees the change" if is_rolled else ": only a restart sees the change"
            text += "; `restart: true`" if is_meant and not is_rolled else ""
        elif not is_rolled:
            text += ", which the kubelet renews within a minute or two"
        if not is_meant:
            text += "; it is none of the target, and the change is its, too"
        yield Remark(check, CheckOutcome.OK if is_meant else CheckOutcome.WARNING, text)
    if not is_seen:
        detail = f"no pod of the target would see the change of {entry.key} in {plan.wanted}"
        yield Remark(check, CheckOutcome.WARNING, detail)
