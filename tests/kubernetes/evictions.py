"""The stand-in's eviction of a pod, which a PodDisruptionBudget may refuse.

https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/
"""

import copy

from ask import Ask
from deletions import delete, success
from kinds import BY_PLURAL
from refusals import Refused, bad_request, missing, over_budget
from selecting import selects
from store import Item, Store, stamp

_PODS, _BUDGETS = BY_PLURAL["pods"], BY_PLURAL["poddisruptionbudgets"]


def evict(store: Store, ask: Ask) -> tuple[int, Item]:
    """Raises Refused."""
    eviction = ask.document() or {}
    target = ask.target
    if (eviction.get("metadata") or {}).get("name") != target.name:
        raise bad_request("name in URL does not match name in Eviction object")
    pod = store.get(_PODS, target.namespace, target.name)
    if pod is None:
        raise missing(_PODS, target.name)
    options = dict(eviction.get("deleteOptions") or {})
    asked = ask.query.get("dryRun")
    if asked and options.setdefault("dryRun", [asked]) != [asked]:
        shown = f"[{asked}] and [{' '.join(options['dryRun'])}]"
        raise Refused(500, "", f"Non-matching dry-run options in request and content: {shown}")
    dry = "All" in (options.get("dryRun") or ())
    if not _is_ended(pod):
        _ask_budgets(store, pod, dry=dry)
    delete(store, _PODS, pod, options, dry=dry)
    return 201, success(201)


def _is_ended(pod: Item) -> bool:
    """Whether its budget no longer counts, or does not yet count."""
    return pod["status"]["phase"] in ("Succeeded", "Failed", "Pending") or "deletionTimestamp" in pod["metadata"]


def _is_ready(pod: Item) -> bool:
    conditions = pod["status"].get("conditions") or ()
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def _ask_budgets(store: Store, pod: Item, *, dry: bool) -> None:
    namespace, labels = pod["metadata"]["namespace"], pod["metadata"].get("labels")
    budgets = store.select(_BUDGETS, namespace, lambda item: selects(item["spec"].get("selector"), labels))
    if not budgets:
        return
    if len(budgets) > 1:
        message = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        raise Refused(500, "", message)
    budget = budgets[0]
    name, status = budget["metadata"]["name"], budget.get("status") or {}
    healthy, wanted = status.get("currentHealthy", 0), status.get("desiredHealthy", 0)
    if not _is_ready(pod) and (
        budget["spec"].get("unhealthyPodEvictionPolicy") == "AlwaysAllow" or (healthy >= wanted and wanted > 0)
    ):
        return
    if status.get("observedGeneration", 0) < budget["metadata"]["generation"]:
        raise over_budget(f"The disruption budget {name} is still being processed by the server.", 10)
    if not status.get("disruptionsAllowed"):
        if healthy <= wanted:
            raise over_budget(f"The disruption budget {name} needs {wanted} healthy pods and has {healthy} currently")
        raise over_budget(f"The disruption budget {name} does not allow evicting pods currently")
    if not dry:
        new = copy.deepcopy(budget)
        new["status"]["disruptionsAllowed"] -= 1
        new["status"].setdefault("disruptedPods", {})[pod["metadata"]["name"]] = stamp(0)
        store.put(_BUDGETS, new)
