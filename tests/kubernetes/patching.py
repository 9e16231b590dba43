"""The patches that Kubernetes takes: JSON patch, merge patch, and its own strategic merge patch."""

import copy
from typing import Any

from refusals import bad_request, unprocessable

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"

# Lists that the strategic patch merges, and the key by which it tells their items apart. All others are replaced.
_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "ephemeralContainers": "name",
    "volumes": "name",
    "env": "name",
    "imagePullSecrets": "name",
    "volumeMounts": "mountPath",
    "ports": "containerPort",
    "conditions": "type",
    "ownerReferences": "uid",
    "addresses": "type",
}


def patched(current: Any, patch: Any, content_type: str) -> Any:
    """A copy with the patch applied, all of it. Raises Refused."""
    if content_type == JSON_PATCH:
        return _json_patch(current, patch)
    if not isinstance(patch, dict):
        raise bad_request(
            "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}"
        )
    if content_type == MERGE_PATCH:
        return merged(current, patch)
    return _strategic(copy.deepcopy(current), patch)


def merged(current: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    found = dict(current) if isinstance(current, dict) else {}
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = merged(found.get(key), value)
    return found


# -- RFC 6902


def _json_patch(current: Any, patch: Any) -> Any:
    if not isinstance(patch, list):
        raise bad_request(
            "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp"
        )
    document = copy.deepcopy(current)
    try:
        for operation in patch:
            document = _apply(document, operation)
    except (LookupError, ValueError, TypeError):
        raise unprocessable() from None
    return document


def _apply(document: Any, operation: dict[str, Any]) -> Any:
    parts = _parts(operation["path"])
    match operation["op"]:
        case "test":
            if _get(document, parts, lenient=True) != operation.get("value"):
                raise ValueError("testing value failed")
        case "add":
            document = _add(document, parts, operation["value"])
        case "replace":
            document = _replace(document, parts, operation["value"])
        case "remove":
            _remove(document, parts)
        case "copy":
            document = _add(document, parts, copy.deepcopy(_get(document, _parts(operation["from"]))))
        case "move":
            origin = _parts(operation["from"])
            value = _get(document, origin)
            _remove(document, origin)
            document = _add(document, parts, value)
        case other:
            raise ValueError(other)
    return document


def _parts(pointer: str) -> list[str]:
    if pointer and not pointer.startswith("/"):
        raise ValueError(pointer)
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def _index(container: list[Any], part: str, *, end: bool = False) -> int:
    if part == "-" and end:
        return len(container)
    index = int(part)
    if not 0 <= index < len(container) + end:
        raise IndexError(part)
    return index


def _get(document: Any, parts: list[str], *, lenient: bool = False) -> Any:
    for number, part in enumerate(parts):
        if lenient and isinstance(document, dict) and number == len(parts) - 1:
            return document.get(part)  # a test for null holds where there is nothing
        document = document[_index(document, part)] if isinstance(document, list) else document[part]
    return document


def _add(document: Any, parts: list[str], value: Any) -> Any:
    if not parts:
        return value
    parent = _get(document, parts[:-1])
    if isinstance(parent, list):
        parent.insert(_index(parent, parts[-1], end=True), value)
    else:
        parent[parts[-1]] = value
    return document


def _replace(document: Any, parts: list[str], value: Any) -> Any:
    if not parts:
        return value
    parent = _get(document, parts[:-1])
    # The real server, too, takes this for an addition where there is nothing.
    parent[_index(parent, parts[-1]) if isinstance(parent, list) else parts[-1]] = value
    return document


def _remove(document: Any, parts: list[str]) -> None:
    parent = _get(document, parts[:-1])
    del parent[_index(parent, parts[-1]) if isinstance(parent, list) else parts[-1]]


# -- https://kubernetes.io/docs/tasks/manage-kubernetes-objects/update-api-object-kubectl-patch/


def _strategic(current: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    if patch.get("$patch") == "replace":
        return {key: value for key, value in patch.items() if key != "$patch"}
    for key, value in patch.items():
        if key.startswith("$"):
            continue
        if value is None:
            current.pop(key, None)
        elif isinstance(value, dict):
            before = current.get(key)
            if value.get("$patch") == "delete":
                current.pop(key, None)
            else:
                current[key] = _strategic(before if isinstance(before, dict) else {}, value)
        elif isinstance(value, list) and key in _KEYS and all(_KEYS[key] in item for item in value):
            current[key] = _merge_list(current.get(key) or [], value, _KEYS[key])
        else:
            current[key] = copy.deepcopy(value)
    return current


def _merge_list(current: list[dict[str, Any]], patch: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    found = {item.get(key): item for item in current}
    for item in patch:
        if item.get("$patch") == "delete":
            found.pop(item[key], None)
        else:
            found[item[key]] = _strategic(found.get(item[key], {}), item)
    return list(found.values())
