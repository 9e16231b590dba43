"""Who may do what: the roles and bindings that a test has made, evaluated as RBAC does.

https://kubernetes.io/docs/reference/access-authn-authz/rbac/
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from kinds import BY_PLURAL, Resource

MASTERS = "system:masters"
_REVIEWS = "selfsubjectaccessreviews"
# Kinds of what whoever has credentials may ask: https://kubernetes.io/docs/reference/access-authn-authz/rbac/#discovery-roles
_OPEN_PATHS = ("/api", "/apis", "/healthz", "/livez", "/openapi", "/readyz", "/version")
BUILT_IN = {
    "cluster-admin": [
        {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
        {"verbs": ["*"], "nonResourceURLs": ["*"]},
    ],
    "view": [
        {
            "verbs": ["get", "list", "watch"],
            "apiGroups": ["", "apps", "batch", "policy", "networking.k8s.io", "discovery.k8s.io", "autoscaling"],
            "resources": sorted({*BY_PLURAL, "deployments/scale", "pods/status"} - {"secrets", "nodes"}),
        }
    ],
}


@dataclass(frozen=True)
class User:
    name: str
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class Deed:
    """What somebody wants to do; without a resource it is a path that is none, such as "/version"."""

    verb: str
    group: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""


type ListAll = Callable[[Resource], Iterator[dict[str, Any]]]


def permission(user: User, deed: Deed, list_all: ListAll) -> str:
    """Why it is allowed; empty when it is not."""
    if MASTERS in user.groups:
        return "RBAC: allowed by the group system:masters"
    if not deed.resource and any(deed.path == path or deed.path.startswith(f"{path}/") for path in _OPEN_PATHS):
        return "RBAC: allowed by ClusterRoleBinding system:discovery"
    if deed.resource == _REVIEWS:
        return "RBAC: allowed by ClusterRoleBinding system:basic-user"
    for kind in ("clusterrolebindings", "rolebindings") if deed.namespace else ("clusterrolebindings",):
        for binding in list_all(BY_PLURAL[kind]):
            where = binding["metadata"].get("namespace", "")
            if where not in ("", deed.namespace) or not _is_bound(user, binding):
                continue
            role = binding["roleRef"]
            if any(_covers(rule, deed) for rule in _rules(role, where, list_all)):
                shown = f'"{binding["metadata"]["name"]}{"/" + where if where else ""}"'
                ruled = f'{role["kind"]} "{role["name"]}" to User "{user.name}"'
                return f"RBAC: allowed by {binding['kind']} {shown} of {ruled}"
    return ""


def _is_bound(user: User, binding: dict[str, Any]) -> bool:
    return any(
        (subject["kind"] == "User" and subject["name"] == user.name)
        or (subject["kind"] == "Group" and subject["name"] in user.groups)
        for subject in binding.get("subjects") or ()
    )


def _rules(role: dict[str, Any], namespace: str, list_all: ListAll) -> list[dict[str, Any]]:
    plural = "clusterroles" if role["kind"] == "ClusterRole" else "roles"
    for item in list_all(BY_PLURAL[plural]):
        metadata = item["metadata"]
        if metadata["name"] == role["name"] and metadata.get("namespace", namespace) == namespace:
            return item.get("rules") or []
    return BUILT_IN.get(role["name"], []) if plural == "clusterroles" else []


def _covers(rule: dict[str, Any], deed: Deed) -> bool:
    if not {"*", deed.verb} & set(rule.get("verbs") or ()):
        return False
    if not deed.resource:
        return any(fnmatchcase(deed.path, pattern) for pattern in rule.get("nonResourceURLs") or ())
    _, _, subresource = deed.resource.partition("/")
    resources = {"*", deed.resource} | ({f"*/{subresource}"} if subresource else set())
    return (
        bool({"*", deed.group} & set(rule.get("apiGroups") or ()))
        and bool(resources & set(rule.get("resources") or ()))
        and (not rule.get("resourceNames") or deed.name in rule["resourceNames"])
    )
