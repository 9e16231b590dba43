"""Label and field selectors, of queries and of objects.

https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors
"""

import re
from collections.abc import Callable
from typing import Any

from refusals import bad_request

type Labels = dict[str, str]
type Test = Callable[[dict[str, Any]], bool]

_NAME = r"[A-Za-z0-9]([A-Za-z0-9_./-]*[A-Za-z0-9])?"
_SET = re.compile(rf"\s*(?P<key>{_NAME})\s+(?P<op>in|notin)\s*\((?P<values>[^()]*)\)\s*")
_EQUAL = re.compile(rf"\s*(?P<key>{_NAME})\s*(?P<op>==|!=|=)\s*(?P<value>[A-Za-z0-9_.-]*)\s*")
_EXISTS = re.compile(rf"\s*(?P<not>!?)\s*(?P<key>{_NAME})\s*")

# Fields by which one may choose, besides name and namespace.
_FIELDS = {
    "pods": {"spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "status.phase", "status.podIP"},
    "nodes": {"spec.unschedulable"},
    "namespaces": {"status.phase"},
    "secrets": {"type"},
    "jobs": {"status.successful"},
    "replicasets": {"status.replicas"},
    "events": {"involvedObject.kind", "involvedObject.name", "involvedObject.uid", "reason", "type"},
}


def label_test(text: str) -> Test:
    """Whether an object's labels meet a query's `labelSelector`. Raises Refused."""
    tests = [_requirement(part) for part in re.split(r",(?![^(]*\))", text)] if text.strip() else []
    return lambda item: all(test(item["metadata"].get("labels") or {}) for test in tests)


def _requirement(text: str) -> Callable[[Labels], bool]:
    if found := _SET.fullmatch(text):
        key, values = found["key"], [value.strip() for value in found["values"].split(",")]
        if found["op"] == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if found := _EQUAL.fullmatch(text):
        key, value = found["key"], found["value"]
        if found["op"] == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if found := _EXISTS.fullmatch(text):
        key, wanted = found["key"], not found["not"]
        return lambda labels: (key in labels) is wanted
    raise bad_request(f"unable to parse requirement: {text}")


def field_test(text: str, plural: str) -> Test:
    """Whether an object's fields meet a query's `fieldSelector`. Raises Refused."""
    tests = []
    for part in filter(None, text.split(",")):
        found = re.fullmatch(r"(?P<field>[\w.]+)(?P<op>==|!=|=)(?P<value>.*)", part)
        if not found:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{part}'")
        field = found["field"]
        known = {"metadata.name", "metadata.namespace"} | _FIELDS.get(plural, set())
        if field not in known and plural in _FIELDS:
            raise bad_request(f"field label not supported: {field}")
        if field not in known:
            names = '"metadata.name", "metadata.namespace"'
            raise bad_request(f'"{field}" is not a known field selector: only {names}')
        tests.append((field.split("."), found["op"] != "!=", found["value"]))

    def matches(item: dict[str, Any]) -> bool:
        return all((_field(item, path) == value) is wanted for path, wanted, value in tests)

    return matches


def _field(item: Any, path: list[str]) -> str:
    for part in path:
        item = item.get(part) if isinstance(item, dict) else None
    if item is None:
        return "false" if path == ["spec", "unschedulable"] else ""
    return str(item).lower() if isinstance(item, bool) else str(item)


def selects(selector: dict[str, Any] | None, labels: Labels | None) -> bool:
    """Whether the selector of a workload or a budget matches; an empty one matches everything, none nothing."""
    if selector is None:
        return False
    labels = labels or {}
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    for wanted in selector.get("matchExpressions") or ():
        value, values = labels.get(wanted["key"]), wanted.get("values") or ()
        holds = {
            "In": value in values,
            "NotIn": value not in values,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }
        if not holds[wanted["operator"]]:
            return False
    return True


def as_query(selector: dict[str, Any] | None) -> str:
    """The selector of an object as a query has it."""
    parts = [f"{key}={value}" for key, value in sorted(((selector or {}).get("matchLabels") or {}).items())]
    for wanted in (selector or {}).get("matchExpressions") or ():
        word = {"In": "{} in ({})", "NotIn": "{} notin ({})", "Exists": "{}", "DoesNotExist": "!{}"}
        parts.append(word[wanted["operator"]].format(wanted["key"], ",".join(wanted.get("values") or ())))
    return ",".join(parts)
