"""What the stand-in fills into an object that it is sent, and what it finds wrong with it.

Only what tests and tools meet: all else passes as it came.
"""

import base64
import itertools
import json
import re
from ipaddress import ip_network
from typing import Any

from ephemeral_rules import ephemeral_problems
from kinds import Resource
from refusals import invalid
from selecting import selects

_LABEL_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_LABEL_RULE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_LABEL_KEY = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_KEY_RULE = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_CONFIG_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_CONFIG_KEY_RULE = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  "
    "or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)
_POD_FIELDS = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
_WORKLOADS = ("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job")
_addresses = itertools.count(10)


def fill(resource: Resource, item: dict[str, Any]) -> None:
    """The defaults of a new or a changed object."""
    _drop_nulls(item)
    spec = item.get("spec") or {}
    match resource.kind:
        case "Pod":
            _fill_pod(spec)
        case "Node":
            for key in ("unschedulable", "taints"):
                if not spec.get(key):
                    spec.pop(key, None)
        case "Deployment":
            spec.setdefault("replicas", 1)
            spec.setdefault("revisionHistoryLimit", 10)
            spec.setdefault("progressDeadlineSeconds", 600)
            strategy = spec.setdefault("strategy", {})
            if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
                rolling = strategy.setdefault("rollingUpdate", {})
                rolling.setdefault("maxUnavailable", "25%")
                rolling.setdefault("maxSurge", "25%")
        case "ReplicaSet":
            spec.setdefault("replicas", 1)
        case "StatefulSet":
            spec.setdefault("replicas", 1)
            spec.setdefault("podManagementPolicy", "OrderedReady")
            spec.setdefault("updateStrategy", {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}})
        case "DaemonSet":
            rolling = {"maxSurge": 0, "maxUnavailable": 1}
            spec.setdefault("updateStrategy", {"type": "RollingUpdate", "rollingUpdate": rolling})
        case "Job":
            spec.setdefault("parallelism", 1)
            spec.setdefault("completions", 1)
            spec.setdefault("backoffLimit", 6)
        case "Service":
            spec.setdefault("type", "ClusterIP")
            if spec["type"] != "ExternalName" and not spec.get("clusterIP"):
                spec["clusterIP"] = f"10.0.{next(_addresses) // 250 % 250}.{next(_addresses) % 250 + 1}"
            for port in spec.get("ports") or ():
                port.setdefault("protocol", "TCP")
                port.setdefault("targetPort", port["port"])
        case "Secret":
            item.setdefault("type", "Opaque")
            for key, value in (item.pop("stringData", None) or {}).items():
                item.setdefault("data", {})[key] = base64.b64encode(value.encode()).decode()
            _drop_empty(item, "data")
        case "ConfigMap":
            _drop_empty(item, "data", "binaryData")
        case "NetworkPolicy":
            kinds = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]
            spec.setdefault("policyTypes", kinds)
    if resource.kind in _WORKLOADS and isinstance(spec.get("template"), dict):
        spec["template"].setdefault("metadata", {})
        _fill_pod(spec["template"].setdefault("spec", {}))


def _drop_nulls(item: Any) -> None:
    """What is null is not there: kubectl sends such a creationTimestamp with each template."""
    if isinstance(item, dict):
        for key in [key for key, value in item.items() if value is None]:
            del item[key]
    for value in item.values() if isinstance(item, dict) else item if isinstance(item, list) else ():
        _drop_nulls(value)


def _drop_empty(item: dict[str, Any], *keys: str) -> None:
    """What is empty is not stored."""
    for key in keys:
        if key in item and not item[key]:
            del item[key]


def _fill_pod(spec: dict[str, Any]) -> None:
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("schedulerName", "default-scheduler")
    for container in (*(spec.get("containers") or ()), *(spec.get("ephemeralContainers") or ())):
        always = container.get("image", "").endswith(":latest") or ":" not in container.get("image", "")
        container.setdefault("imagePullPolicy", "Always" if always else "IfNotPresent")
        container.setdefault("resources", {})
        _drop_empty(container, "env", "envFrom")
        for variable in container.get("env") or ():
            if reference := (variable.get("valueFrom") or {}).get("fieldRef"):
                reference.setdefault("apiVersion", "v1")
        for port in container.get("ports") or ():
            port.setdefault("protocol", "TCP")


def begin(resource: Resource, item: dict[str, Any]) -> None:
    """What only a new object gets; nobody brings a status along, except a node."""
    name = item["metadata"]["name"]
    if "status" in resource.subresources and resource.kind != "Node":
        item.pop("status", None)
    match resource.kind:
        case "Namespace":
            item.setdefault("spec", {})["finalizers"] = ["kubernetes"]
            item["status"] = {"phase": "Active"}
            item["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = name
        case "Pod":
            item["status"] = {"phase": "Pending", "qosClass": "BestEffort"}
        case "ReplicaSet":
            item["status"] = {"replicas": 0}
        case "Deployment":
            item["status"] = {}
        case "StatefulSet":
            item["status"] = {"replicas": 0, "availableReplicas": 0}
        case "DaemonSet":
            keys = ("currentNumberScheduled", "desiredNumberScheduled", "numberMisscheduled", "numberReady")
            item["status"] = dict.fromkeys(keys, 0)
        case "PodDisruptionBudget":
            keys = ("currentHealthy", "desiredHealthy", "disruptionsAllowed", "expectedPods")
            item["status"] = dict.fromkeys(keys, 0)
        case "Job" if not item["spec"].get("manualSelector"):
            own = {"batch.kubernetes.io/controller-uid": item["metadata"]["uid"], "batch.kubernetes.io/job-name": name}
            item["spec"]["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": item["metadata"]["uid"]}}
            labels = item["spec"]["template"]["metadata"].get("labels") or {}
            item["spec"]["template"]["metadata"]["labels"] = labels | own | {"job-name": name}


def check(
    resource: Resource, item: dict[str, Any], before: dict[str, Any] | None = None, subresource: str = ""
) -> None:
    """Raises Refused when the object, or the change of it, is not valid."""
    metadata = item["metadata"]
    name = metadata.get("name") or ""
    problems: list[tuple[str, str, str]] = []
    if not name:
        problems.append(("metadata.name", "Required value: name or generateName is required", "FieldValueRequired"))
    elif resource.group != "rbac.authorization.k8s.io" and not _is_name(resource.kind, name):
        problems.append(_wrong("metadata.name", name, _SUBDOMAIN_RULE))
    for value in (metadata.get("labels") or {}).values():
        if not isinstance(value, str) or not _LABEL_VALUE.fullmatch(value):
            problems.append(_wrong("metadata.labels", value, _LABEL_RULE))
    for key in metadata.get("labels") or {}:
        prefix, _, own = key.rpartition("/")
        if not _LABEL_KEY.fullmatch(own) or (prefix and not _SUBDOMAIN.fullmatch(prefix)):
            problems.append(_wrong("metadata.labels", key, _KEY_RULE))
    spec = item.get("spec")
    if resource.kind in ("ConfigMap", "Secret"):
        keys = [(field, key) for field in ("data", "binaryData") for key in item.get(field) or {}]
        problems += [_wrong(f"{field}[{key}]", key, _CONFIG_KEY_RULE) for field, key in keys if not _is_config_key(key)]
    if resource.kind == "NetworkPolicy":
        problems += _policy_problems(spec or {})
    if resource.kind in _WORKLOADS:
        problems += _workload_problems(resource.kind, spec or {})
    if resource.kind == "Pod" and not (spec or {}).get("containers"):
        problems.append(("spec.containers", "Required value", "FieldValueRequired"))
    if resource.kind == "Pod":
        problems += ephemeral_problems(item, before, is_meant=subresource == "ephemeralcontainers")
    if before is not None and subresource != "ephemeralcontainers":
        problems += _change_problems(resource.kind, item, before)
    if problems:
        raise invalid(resource, name, *problems)


def _is_config_key(key: str) -> bool:
    return len(key) <= 253 and bool(_CONFIG_KEY.fullmatch(key)) and key not in (".", "..")


def _policy_problems(spec: dict[str, Any]) -> list[tuple[str, str, str]]:
    problems: list[tuple[str, str, str]] = []
    for way, side in (("ingress", "from"), ("egress", "to")):
        for number, rule in enumerate(spec.get(way) or ()):
            for index, peer in enumerate(rule.get(side) or ()):
                field, block = f"spec.{way}[{number}].{side}[{index}]", peer.get("ipBlock")
                if not peer:
                    problems.append((field, "Required value: must specify a peer", "FieldValueRequired"))
                elif block and len(peer) > 1:
                    why = "Forbidden: may not specify both ipBlock and another peer"
                    problems.append((field, why, "FieldValueForbidden"))
                elif block:
                    whole = ip_network(block["cidr"])
                    for at, text in enumerate(block.get("except") or ()):
                        inner = ip_network(text)
                        # Strictly within: https://kubernetes.io/docs/reference/kubernetes-api/policy-resources/network-policy-v1/
                        is_in = inner.version == whole.version and inner != whole and inner.subnet_of(whole)  # type: ignore[arg-type]
                        if not is_in:
                            why = "must be a strict subset of `cidr`"
                            problems.append(_wrong(f"{field}.ipBlock.except[{at}]", text, why))
    return problems


def _is_name(kind: str, name: str) -> bool:
    if kind in ("Namespace", "Service"):
        return bool(_LABEL_NAME.fullmatch(name))
    return len(name) <= 253 and bool(_SUBDOMAIN.fullmatch(name))


def _wrong(field: str, value: object, why: str) -> tuple[str, str, str]:
    shown = json.dumps(value, separators=(",", ":"))
    return field, f"Invalid value: {shown}: {why}", "FieldValueInvalid"


def _workload_problems(kind: str, spec: dict[str, Any]) -> list[tuple[str, str, str]]:
    problems: list[tuple[str, str, str]] = []
    template = spec.get("template") or {}
    if kind != "Job" and not spec.get("selector"):
        problems.append(("spec.selector", "Required value", "FieldValueRequired"))
    elif kind != "Job" and not selects(spec["selector"], (template.get("metadata") or {}).get("labels")):
        shown = (template.get("metadata") or {}).get("labels")
        problems.append(_wrong("spec.template.metadata.labels", shown, "`selector` does not match template `labels`"))
    if not (template.get("spec") or {}).get("containers"):
        problems.append(("spec.template.spec.containers", "Required value", "FieldValueRequired"))
    replicas = spec.get("replicas", 0)
    if replicas < 0:
        problems.append(_wrong("spec.replicas", replicas, "must be greater than or equal to 0"))
    return problems


def _change_problems(kind: str, item: dict[str, Any], before: dict[str, Any]) -> list[tuple[str, str, str]]:
    new, old = item.get("spec") or {}, before.get("spec") or {}
    if kind in _WORKLOADS and new.get("selector") != old.get("selector"):
        return [_wrong("spec.selector", new.get("selector"), "field is immutable")]
    if kind == "Job" and new.get("template") != old.get("template"):
        return [_wrong("spec.template", "…", "field is immutable")]
    if kind == "Pod" and _fixed(new) != _fixed(old):
        return [("spec", f"Forbidden: {_POD_FIELDS}", "FieldValueForbidden")]
    if kind in ("ConfigMap", "Secret") and before.get("immutable"):
        changed = next((key for key in ("data", "binaryData") if item.get(key) != before.get(key)), None)
        if changed:
            why = "Forbidden: field is immutable when `immutable` is set"
            return [(changed, why, "FieldValueForbidden")]
    return []


def _fixed(spec: dict[str, Any]) -> dict[str, Any]:
    """What of a pod may not change."""
    free = ("activeDeadlineSeconds", "tolerations")
    found = {key: value for key, value in spec.items() if key not in free}
    for kind in ("containers", "initContainers"):
        found[kind] = [item | {"image": "", "imagePullPolicy": ""} for item in spec.get(kind) or ()]
    return found
