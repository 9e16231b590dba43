"""NetworkPolicies: those that are there already, and the rules of ours.

https://kubernetes.io/docs/concepts/services-networking/network-policies/
"""

from collections.abc import Collection, Iterable, Iterator
from ipaddress import ip_address
from typing import Any

import msgspec

from gameday.common.json import JsonObject
from gameday.faults.base import FaultError
from gameday.kubernetes.client import Client
from gameday.kubernetes.objects import Meta, Pod, Requirement, Selector, path_of

INGRESS, EGRESS = "Ingress", "Egress"
_OPPOSITE = {"In": "NotIn", "NotIn": "In", "Exists": "DoesNotExist", "DoesNotExist": "Exists"}


class _Spec(msgspec.Struct, frozen=True, rename="camel"):
    pod_selector: Selector = Selector()
    policy_types: tuple[str, ...] | None = None
    ingress: tuple[Any, ...] | None = None
    egress: tuple[Any, ...] | None = None


class _Policy(msgspec.Struct, frozen=True):
    metadata: Meta
    spec: _Spec = _Spec()

    def allows(self, direction: str) -> bool:
        """Whether it lets anything through that way."""
        rules = self.spec.ingress if direction == INGRESS else self.spec.egress
        return bool(rules) and direction in (self.spec.policy_types or (INGRESS, EGRESS))


def refuse_allowing(
    client: Client, namespace: str, pods: Iterable[Pod], directions: Iterable[str], own: Collection[str]
) -> None:
    """Policies add up: what another one allows, ours could not take away. Raises FaultError when there is one.

    `own`: the names of those of earlier stages, which allow the same.
    """
    labels = [pod.metadata.labels for pod in pods]
    policies = client.list(path_of("NetworkPolicy", namespace), _Policy)
    for direction in directions:
        names = [
            policy.metadata.name
            for policy in policies
            if policy.metadata.name not in own
            and policy.allows(direction)
            and any(map(policy.spec.pod_selector.matches, labels))
        ]
        if names:
            one, way = len(names) == 1, "in to" if direction == INGRESS else "out of"
            raise FaultError(
                f"the NetworkPolic{'y' if one else 'ies'} {', '.join(sorted(names))} let{'s' * one} traffic {way} "
                "these pods; policies add up, so ours could not take it away"
            )


def everybody_but(selector: Selector, pods: Iterable[Pod], namespace: str) -> list[JsonObject]:
    """The peers of an ingress rule: all but the pods of this namespace that the selector means.

    By de Morgan a pod is not meant if one of the selector's requirements is not met; peers are alternatives. What is no
    pod is any address; plugins differ in whether an address may be a pod's, so those of these pods are left out there.
    """
    peers: list[JsonObject] = [
        {"podSelector": {"matchExpressions": [_opposite(requirement)]}} for requirement in _requirements(selector)
    ]
    elsewhere = {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": [namespace]}
    peers.append({"namespaceSelector": {"matchExpressions": [elsewhere]}})
    addresses = sorted({item.ip for pod in pods for item in pod.status.pod_ips or () if item.ip})
    for version, everywhere, length in ((4, "0.0.0.0/0", 32), (6, "::/0", 128)):
        left_out = [f"{ip}/{length}" for ip in addresses if ip_address(ip).version == version]
        peers.append({"ipBlock": {"cidr": everywhere, **({"except": left_out} if left_out else {})}})
    return peers


def _requirements(selector: Selector) -> Iterator[Requirement]:
    for key, value in sorted((selector.match_labels or {}).items()):
        yield Requirement(key, "In", (value,))
    yield from selector.match_expressions or ()


def _opposite(requirement: Requirement) -> JsonObject:
    """What holds of a pod's labels when the requirement does not: "not in" holds without the label, too."""
    found: JsonObject = {"key": requirement.key, "operator": _OPPOSITE[requirement.operator]}
    return found | ({"values": list(requirement.values)} if requirement.values else {})
