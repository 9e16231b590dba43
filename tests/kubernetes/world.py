"""What is in a cluster at one moment, for those who keep it going: read once, and written through."""

import time
from collections.abc import Iterable
from typing import Any

from kinds import BY_PLURAL
from patching import JSON_PATCH, MERGE_PATCH, merged
from plain_client import PlainClient

type Item = dict[str, Any]


def timestamp(at: float | None = None) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


def owner_of(item: Item) -> Item | None:
    """The reference to the controller of an object."""
    return next((owner for owner in item["metadata"].get("ownerReferences") or () if owner.get("controller")), None)


def is_going(item: Item) -> bool:
    return "deletionTimestamp" in item["metadata"]


def is_ended(pod: Item) -> bool:
    return pod["status"].get("phase") in ("Succeeded", "Failed")


def is_ready(pod: Item) -> bool:
    conditions = pod["status"].get("conditions") or ()
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


class World:
    """The objects of some kinds. A write that is refused, for the world has moved on, is left to the next look."""

    def __init__(self, client: PlainClient, token: str, plurals: Iterable[str]) -> None:
        self._client, self._token = client, token
        # Version 0 is whatever the server has at hand, with no wait for what is certainly the newest.
        self._items = {plural: self._list(plural) for plural in plurals}
        self.changed = False
        self.trouble: list[str] = []  # refusals that no race explains

    def _list(self, plural: str) -> list[Item]:
        status, document = self._client.request(
            "GET", f"{BY_PLURAL[plural].path()}?resourceVersion=0", token=self._token
        )
        return document["items"] if status == 200 else []

    def __getitem__(self, plural: str) -> list[Item]:
        return self._items.get(plural, [])

    def owned(self, plural: str, owner: Item) -> list[Item]:
        uid = owner["metadata"]["uid"]
        return [item for item in self[plural] if (reference := owner_of(item)) and reference["uid"] == uid]

    def namespaced(self, plural: str, like: Item) -> list[Item]:
        """Those in the same namespace."""
        namespace = like["metadata"]["namespace"]
        return [item for item in self[plural] if item["metadata"]["namespace"] == namespace]

    def _path(self, plural: str, item: Item, subresource: str = "") -> str:
        metadata = item["metadata"]
        return BY_PLURAL[plural].path(metadata.get("namespace", ""), metadata["name"], subresource)

    def _send(self, method: str, path: str, body: object, content_type: str = "application/json") -> Item | None:
        status, document = self._client.request(method, path, body, token=self._token, content_type=content_type)
        self.changed = True
        if status not in (403, 404, 409) and status >= 300:
            self.trouble.append(f"{method} {path}: {status} {document}")
        return document if status < 300 else None

    def create(self, plural: str, item: Item) -> Item | None:
        resource = BY_PLURAL[plural]
        head = {"apiVersion": resource.api_version, "kind": resource.kind}
        found = self._send("POST", resource.path(item["metadata"].get("namespace", "")), head | item)
        if found:
            self._items.setdefault(plural, []).append(found)
        return found

    def bind(self, pod: Item, node: str) -> None:
        metadata = {key: pod["metadata"][key] for key in ("name", "namespace", "uid")}
        target = {"apiVersion": "v1", "kind": "Node", "name": node}
        body = {"apiVersion": "v1", "kind": "Binding", "metadata": metadata, "target": target}
        if self._send("POST", self._path("pods", pod, "binding"), body):
            pod["spec"]["nodeName"] = node

    def set_status(self, plural: str, item: Item, status: Item) -> None:
        """Merge these fields into the status, without those that are None; no request when they are there already."""
        before = item.get("status") or {}
        if merged(before, status) == before:
            return
        found = self._send("PATCH", self._path(plural, item, "status"), {"status": status}, MERGE_PATCH)
        if found:
            item["status"] = found.get("status") or {}

    def merge(self, plural: str, item: Item, patch: Item) -> None:
        if merged(item, patch) == item:
            return
        found = self._send("PATCH", self._path(plural, item), patch, MERGE_PATCH)
        if found:
            item.update(found)

    def replace_field(self, plural: str, item: Item, path: str, value: object) -> None:
        """A field of exactly this version of an object."""
        version = {"op": "test", "path": "/metadata/resourceVersion", "value": item["metadata"]["resourceVersion"]}
        patch = [version, {"op": "add", "path": path, "value": value}]
        found = self._send("PATCH", self._path(plural, item), patch, JSON_PATCH)
        if found:
            item.update(found)

    def delete(self, plural: str, item: Item, *, grace_s: int | None = None) -> None:
        options: Item = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        options["preconditions"] = {"uid": item["metadata"]["uid"]}
        options |= {} if grace_s is None else {"gracePeriodSeconds": grace_s}
        self._send("DELETE", self._path(plural, item), options)
        found = self[plural]
        if plural == "pods" and grace_s != 0 and item["spec"].get("nodeName"):
            item["metadata"]["deletionTimestamp"] = timestamp()
        elif item in found:
            found.remove(item)

    def delete_all(self, plural: str, namespace: str) -> None:
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0, "propagationPolicy": "Background"}
        self._send("DELETE", BY_PLURAL[plural].path(namespace), body)
        self._items[plural] = [item for item in self[plural] if item["metadata"].get("namespace") != namespace]

    def finalize(self, namespace: Item) -> None:
        spec: Item = {"spec": {"finalizers": []}}
        head = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace["metadata"]["name"]}}
        self._send("PUT", self._path("namespaces", namespace, "finalize"), head | spec)
