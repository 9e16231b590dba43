"""The stand-in's answers that are no stored objects: a workload's Scale, and what a user may do."""

from typing import Any

from access_rules import Deed, permission
from ask import Ask
from kinds import Resource
from refusals import Refused, invalid, no_such_method
from selecting import as_query
from store import Item, Store

_SCALE = Resource("autoscaling", "v1", "scales", "Scale")


def scale_of(item: Item) -> Item:
    keys = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    replicas = item["spec"].get("replicas")
    status = {"replicas": item.get("status", {}).get("replicas", 0), "selector": as_query(item["spec"]["selector"])}
    head = {"kind": "Scale", "apiVersion": "autoscaling/v1"}
    metadata = {key: item["metadata"][key] for key in keys}
    return head | {"metadata": metadata, "spec": {"replicas": replicas} if replicas else {}, "status": status}


def replicas_of(scale: Item, name: str) -> int:
    """The count that a Scale asks for. Raises Refused."""
    replicas = (scale.get("spec") or {}).get("replicas", 0)
    if not isinstance(replicas, int):
        raise unreadable()
    if replicas < 0:
        problem = f"Invalid value: {replicas}: must be greater than or equal to 0"
        raise invalid(_SCALE, name, ("spec.replicas", problem, "FieldValueInvalid"))
    return replicas


def unreadable() -> Refused:
    """Of a patch after which a field is not of its type; the real server quotes the whole object."""
    problem = "Invalid value: …: json: cannot unmarshal into Go struct field"
    causes = [{"reason": "FieldValueInvalid", "message": problem, "field": "patch"}]
    return Refused(422, "Invalid", f' "" is invalid: patch: {problem}', {"causes": causes})


def review(ask: Ask, store: Store) -> tuple[int, Item]:
    """A SelfSubjectAccessReview. Raises Refused."""
    if ask.verb != "create":
        raise no_such_method()
    spec: Item = (ask.document() or {}).get("spec") or {}
    wanted, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if (wanted is None) == (path is None):
        why = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        problem = ("spec.resourceAttributes", f"Invalid value: null: {why}", "FieldValueInvalid")
        raise invalid(Resource("authorization.k8s.io", "v1", "", ""), "", problem)
    why = permission(ask.user, _deed(wanted, path or {}), store.all)
    status: dict[str, Any] = {"allowed": bool(why)}
    status |= {"reason": why} if "Binding" in why else {}
    head = {"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "metadata": {}}
    return 201, head | {"spec": spec, "status": status}


def _deed(wanted: Item | None, path: Item) -> Deed:
    if wanted is None:
        return Deed(path.get("verb", ""), path=path.get("path", ""))
    verb, group, namespace, name = (wanted.get(key, "") for key in ("verb", "group", "namespace", "name"))
    ruled = "/".join(filter(None, (wanted.get("resource", ""), wanted.get("subresource", ""))))
    return Deed(verb, group, ruled, namespace, name)
