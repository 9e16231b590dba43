"""Writes the Roles that grant what faults need, for `gameday plan --rbac`."""

from collections.abc import Iterable

from gameday.common.json import JsonObject
from gameday.faults.base import Permission

_NAME = "gameday"
_ORDER = ("get", "list", "watch", "create", "update", "patch", "delete")


def roles_for(permissions: Iterable[Permission]) -> str:
    """A Role for each namespace, and a ClusterRole for what lies in none, as YAML; nothing is granted beyond need.

    Format: https://kubernetes.io/docs/reference/access-authn-authz/rbac/
    """
    import yaml

    by_place: dict[tuple[str, str], list[Permission]] = {}
    for permission in sorted(set(permissions), key=lambda item: (item.group, item.resource)):
        by_place.setdefault((permission.cluster, permission.namespace or ""), []).append(permission)
    written = []
    for (cluster, namespace), some in sorted(by_place.items()):
        comment = f"# in the cluster {cluster}\n" if cluster else ""
        written.append(f"---\n{comment}{yaml.safe_dump(_role(namespace, some), sort_keys=False)}")
    return "".join(written)


def _role(namespace: str, permissions: Iterable[Permission]) -> JsonObject:
    verbs: dict[tuple[str, str], set[str]] = {}
    for permission in permissions:
        verbs.setdefault((permission.group, permission.resource), set()).add(permission.verb)
    # What takes the same verbs of the same group stands in one rule.
    rules: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (group, resource), some in verbs.items():
        rules.setdefault((group, tuple(sorted(some, key=_ORDER.index))), []).append(resource)
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role" if namespace else "ClusterRole",
        "metadata": {"name": _NAME} | ({"namespace": namespace} if namespace else {}),
        "rules": [
            {"apiGroups": [group], "resources": list(resources), "verbs": list(some)}
            for (group, some), resources in rules.items()
        ],
    }
