"""Which resources the stand-in serves, and what the path of a request means."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]


@dataclass(frozen=True)
class Resource:
    """One row of Kubernetes' table of resources: https://kubernetes.io/docs/reference/kubernetes-api/."""

    group: str
    version: str
    plural: str
    kind: str
    subresources: tuple[str, ...] = ()
    namespaced: bool = True
    has_generation: bool = False

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def base(self) -> str:
        return f"/apis/{self.api_version}" if self.group else f"/api/{self.version}"

    @property
    def qualified(self) -> str:
        """As messages name it: "deployments.apps"."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def qualified_kind(self) -> str:
        return f"{self.kind}.{self.group}" if self.group else self.kind

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        parts = [self.base, *(("namespaces", namespace) if namespace and self.namespaced else ()), self.plural]
        return "/".join([*parts, *((name,) if name else ()), *((subresource,) if subresource else ())])


_RBAC = ("rbac.authorization.k8s.io", "v1")
_OF_PODS = ("status", "binding", "ephemeralcontainers", "eviction", "exec")
_TABLE = [
    Resource("", "v1", "namespaces", "Namespace", ("status", "finalize"), namespaced=False),
    Resource("", "v1", "nodes", "Node", ("status",), namespaced=False),
    Resource("", "v1", "persistentvolumes", "PersistentVolume", ("status",), namespaced=False),
    Resource("", "v1", "pods", "Pod", _OF_PODS, has_generation=True),
    Resource("", "v1", "services", "Service", ("status",)),
    Resource("", "v1", "endpoints", "Endpoints"),
    Resource("", "v1", "configmaps", "ConfigMap"),
    Resource("", "v1", "secrets", "Secret"),
    Resource("", "v1", "serviceaccounts", "ServiceAccount"),
    Resource("", "v1", "events", "Event"),
    Resource("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", ("status",)),
    Resource("apps", "v1", "deployments", "Deployment", ("status", "scale"), has_generation=True),
    Resource("apps", "v1", "replicasets", "ReplicaSet", ("status", "scale"), has_generation=True),
    Resource("apps", "v1", "statefulsets", "StatefulSet", ("status", "scale"), has_generation=True),
    Resource("apps", "v1", "daemonsets", "DaemonSet", ("status",), has_generation=True),
    Resource("batch", "v1", "jobs", "Job", ("status",), has_generation=True),
    Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", ("status",), has_generation=True),
    Resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", has_generation=True),
    Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", has_generation=True),
    Resource("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", ("status",)),
    Resource("coordination.k8s.io", "v1", "leases", "Lease"),
    Resource(*_RBAC, "roles", "Role"),
    Resource(*_RBAC, "rolebindings", "RoleBinding"),
    Resource(*_RBAC, "clusterroles", "ClusterRole", namespaced=False),
    Resource(*_RBAC, "clusterrolebindings", "ClusterRoleBinding", namespaced=False),
    Resource("authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", namespaced=False),
]
RESOURCES = {(row.group, row.version, row.plural): row for row in _TABLE}
BY_PLURAL = {row.plural: row for row in _TABLE}
GROUPS = sorted({(row.group, row.version) for row in _TABLE if row.group})


@dataclass(frozen=True)
class Target:
    """What a path names: a collection when there is no name; in every namespace when there is no namespace."""

    resource: Resource
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def ruled(self) -> str:
        """As RBAC names it: "pods/eviction"."""
        return f"{self.resource.plural}/{self.subresource}" if self.subresource else self.resource.plural


def target_of(path: str) -> Target | None:
    """None when the path is no resource's."""
    parts = [unquote(part) for part in path.strip("/").split("/")]
    if parts[0] == "api" and len(parts) > 2:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and (group or rest[2] not in ("status", "finalize")):
        namespace, rest = rest[1], rest[2:]
    resource = RESOURCES.get((group, version, rest[0]))
    name, subresource = [*rest[1:], "", ""][:2]
    if resource is None or len(rest) > 3 or (namespace and not resource.namespaced):
        return None
    if resource.namespaced and name and not namespace:
        return None
    if subresource and subresource not in resource.subresources:
        return None
    if resource.plural == "namespaces":
        namespace = name  # so that a rule of a namespace's Role holds for the namespace itself
    return Target(resource, namespace, name, subresource)


def is_known_group(path: str) -> bool:
    match path.strip("/").split("/"):
        case ["api", "v1", _, *_]:
            return True
        case ["apis", group, version, _, *_]:
            return (group, version) in GROUPS
        case _:
            return False


def discovery(path: str) -> dict[str, Any] | None:
    """The documents by which kubectl finds out what there is."""
    versions = {group: {"groupVersion": f"{group}/{version}", "version": version} for group, version in GROUPS}
    match path.strip("/").split("/"):
        case ["api"]:
            return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
        case ["apis"]:
            groups = [{"name": group, "versions": [at], "preferredVersion": at} for group, at in versions.items()]
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
        case ["apis", group] if group in versions:
            at = versions[group]
            return {"kind": "APIGroup", "apiVersion": "v1", "name": group, "versions": [at], "preferredVersion": at}
        case ["api", version]:
            return _resources("", version)
        case ["apis", group, version]:
            return _resources(group, version)
        case _:
            return None


def _resources(group: str, version: str) -> dict[str, Any] | None:
    rows = [row for row in _TABLE if (row.group, row.version) == (group, version)]
    if not rows:
        return None
    found = []
    for row in rows:
        facts = {"singularName": row.kind.lower(), "namespaced": row.namespaced, "kind": row.kind}
        found.append({"name": row.plural, "verbs": VERBS, **facts})
        found += [{"name": f"{row.plural}/{sub}", "verbs": ["get", "update"], **facts} for sub in row.subresources]
    at = rows[0].api_version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": at, "resources": found}
