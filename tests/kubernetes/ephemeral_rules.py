"""What the stand-in finds wrong with a pod's ephemeral containers.

In the words of k8s.io/kubernetes/pkg/apis/core/validation: validateEphemeralContainers and
ValidatePodEphemeralContainersUpdate.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

type Item = dict[str, Any]
type Problem = tuple[str, str, str]

_WHERE = "spec.ephemeralContainers"
_NOT_FOR_THEM = ("lifecycle", "livenessProbe", "ports", "readinessProbe", "resizePolicy", "resources", "startupProbe")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_NAME_RULE = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_FIELD = re.compile(
    r"metadata\.(name|namespace|uid|(annotations|labels)\['([a-z0-9.-]+/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?'\])"
    r"|spec\.(nodeName|serviceAccountName)|status\.(hostIPs?|podIPs?)"
)


def ephemeral_problems(pod: Item, before: Item | None, *, is_meant: bool) -> Iterator[Problem]:
    """`is_meant`: it is the subresource of them that is written to."""
    now = pod["spec"].get("ephemeralContainers") or []
    if before is None and now:
        yield _WHERE, "Forbidden: cannot be set on create", "FieldValueForbidden"
    if not is_meant or before is None:
        return
    if "kubernetes.io/config.mirror" in (before["metadata"].get("annotations") or {}):
        yield "", "Forbidden: static pods do not support ephemeral containers", "FieldValueForbidden"
        return
    names = {item["name"] for kind in ("containers", "initContainers") for item in pod["spec"].get(kind) or ()}
    others = frozenset(names)
    for number, item in enumerate(now):
        yield from _problems(f"{_WHERE}[{number}]", item, names, others)
        names.add(item.get("name", ""))
    by_name = {item.get("name"): item for item in now}
    for old in before["spec"].get("ephemeralContainers") or ():
        if by_name.get(old["name"]) != old:
            what = "changed" if old["name"] in by_name else "removed"
            why = f'Forbidden: existing ephemeral containers "{old["name"]}" may not be {what}\n'
            yield _WHERE, why, "FieldValueForbidden"


def _problems(field: str, item: Item, names: set[str], others: frozenset[str]) -> Iterator[Problem]:
    name = item.get("name", "")
    if not name:
        yield f"{field}.name", "Required value", "FieldValueRequired"
    elif not _NAME.fullmatch(name):
        yield f"{field}.name", f"Invalid value: {json.dumps(name)}: {_NAME_RULE}", "FieldValueInvalid"
    if not item.get("image"):
        yield f"{field}.image", "Required value", "FieldValueRequired"
    for number, variable in enumerate(item.get("env") or ()):
        yield from _env_problems(f"{field}.env[{number}]", variable)
    if name in names:
        yield f"{field}.name", f"Duplicate value: {json.dumps(name)}", "FieldValueDuplicate"
    if (target := item.get("targetContainerName")) and target not in others:
        yield f"{field}.targetContainerName", f"Not found: {json.dumps(target)}", "FieldValueNotFound"
    for key in _NOT_FOR_THEM:
        if item.get(key):
            yield f"{field}.{key}", "Forbidden: cannot be set for an Ephemeral Container", "FieldValueForbidden"


def _env_problems(field: str, variable: Item) -> Iterator[Problem]:
    if not variable.get("name"):
        yield f"{field}.name", "Required value", "FieldValueRequired"
    source = variable.get("valueFrom")
    if source is None:
        return
    if variable.get("value"):
        why = 'Invalid value: "": may not be specified when `value` is not empty'
        yield f"{field}.valueFrom", why, "FieldValueInvalid"
    path = (source.get("fieldRef") or {}).get("fieldPath", "")
    if "fieldRef" in source and not _FIELD.fullmatch(path):
        why = f"Invalid value: {json.dumps(path)}: error converting fieldPath: field label not supported: {path}"
        yield f"{field}.valueFrom.fieldRef.fieldPath", why, "FieldValueInvalid"
