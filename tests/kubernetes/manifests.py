"""The objects that the fixture makes in a cluster, small and valid for a real one."""

from typing import Any

from kinds import BY_PLURAL
from kubelet_server import FEATURE

type Item = dict[str, Any]

IMAGE = "registry.k8s.io/pause:3.10"  # exists, so that a real kubelet can run it
ZONE = "topology.kubernetes.io/zone"
_PLURALS = {row.kind: row for row in BY_PLURAL.values()}


def path_for(item: Item) -> str:
    """Where an object is created."""
    return _PLURALS[item["kind"]].path(item["metadata"].get("namespace", ""))


def pod_template(labels: dict[str, str], image: str = IMAGE) -> Item:
    container = {"name": "main", "image": image, "ports": [{"containerPort": 8080}]}
    # A real pause container obeys TERM at once.
    return {"metadata": {"labels": labels}, "spec": {"containers": [container], "terminationGracePeriodSeconds": 5}}


def workload(kind: str, namespace: str, name: str, replicas: int, labels: dict[str, str], image: str = IMAGE) -> Item:
    """A Deployment, StatefulSet, DaemonSet or ReplicaSet."""
    spec: Item = {"selector": {"matchLabels": {"app": name}}, "template": pod_template(labels, image)}
    spec |= {} if kind == "DaemonSet" else {"replicas": replicas}
    spec |= {"serviceName": name} if kind == "StatefulSet" else {}
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": spec}


def service(namespace: str, name: str) -> Item:
    ports = [{"name": "http", "port": 80, "targetPort": 8080}]
    metadata = {"name": name, "namespace": namespace, "labels": {"app": name}}
    spec = {"selector": {"app": name}, "ports": ports}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def budget(namespace: str, name: str, min_available: int | str) -> Item:
    spec = {"minAvailable": min_available, "selector": {"matchLabels": {"app": name}}}
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata, "spec": spec}


def node(name: str, zone: str, labels: dict[str, str], kubelet_port: int = 0) -> Item:
    """One that says it is ready; nobody is behind it but, with a port, who runs commands."""
    metadata = {"name": name, "labels": {"kubernetes.io/hostname": name, **({ZONE: zone} if zone else {}), **labels}}
    conditions = [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]
    room = {"cpu": "64", "memory": "256Gi", "pods": "250"}
    addresses = [{"type": "InternalIP", "address": "127.0.0.1"}]
    status = {"conditions": conditions, "capacity": room, "allocatable": room, "addresses": addresses}
    if kubelet_port:
        status |= {"daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet_port}}, "declaredFeatures": [FEATURE]}
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": {}, "status": status}


def eviction(namespace: str, pod: str, **options: object) -> Item:
    metadata = {"name": pod, "namespace": namespace}
    found: Item = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
    return found | ({"deleteOptions": options} if options else {})


def rule(text: str) -> Item:
    """RBAC's rule for "get,list pods" or "create pods/eviction"; the API group goes without saying."""
    verbs, _, resource = text.partition(" ")
    row = BY_PLURAL[resource.partition("/")[0]]
    return {"verbs": verbs.split(","), "apiGroups": [row.group], "resources": [resource]}


def role_and_binding(namespace: str, user: str, rules: list[Item]) -> tuple[Item, Item]:
    """For one namespace, or without one for the cluster."""
    prefix, group = "" if namespace else "Cluster", "rbac.authorization.k8s.io"
    own: Item = {"generateName": f"{user}-"} | ({"namespace": namespace} if namespace else {})
    role: Item = {"apiVersion": f"{group}/v1", "kind": f"{prefix}Role", "metadata": own, "rules": rules}
    subject = {"kind": "User", "name": user, "apiGroup": group}
    reference = {"kind": f"{prefix}Role", "apiGroup": group}
    binding = {"apiVersion": f"{group}/v1", "kind": f"{prefix}RoleBinding", "metadata": own, "roleRef": reference}
    return role, binding | {"subjects": [subject]}


def kubeconfig(url: str, certificate: str, user: str, token: str, namespace: str) -> Item:
    """One context, named after the user."""
    cluster = {"server": url} | ({"certificate-authority": certificate} if url.startswith("https:") else {})
    context = {"cluster": "test", "user": user} | ({"namespace": namespace} if namespace else {})
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": user,
        "clusters": [{"name": "test", "cluster": cluster}],
        "contexts": [{"name": user, "context": context}],
        "users": [{"name": user, "user": {"token": token}}],
    }
