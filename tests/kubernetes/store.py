"""The stand-in's objects: versioned, listed in pages, watched, and never changed where they lie."""

import base64
import copy
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from kinds import Resource
from refusals import Refused, bad_request

type Item = dict[str, Any]
type Key = tuple[str, str]  # namespace and name

_MOST_PAGES = 64
_MOST_CHANGES = 4000


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def stamp(seconds: float) -> str:
    """The time that many seconds from now."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))


class Store:
    """All objects. Whoever gets one to change it takes a copy."""

    def __init__(self) -> None:
        self.version = 1
        self._items: dict[Resource, dict[Key, Item]] = {}
        self._pages: dict[str, tuple[int, list[Item]]] = {}
        self.changes: deque[tuple[int, str, Resource, Item]] = deque(maxlen=_MOST_CHANGES)
        self.listeners: list[Callable[[], None]] = []

    def get(self, resource: Resource, namespace: str, name: str) -> Item | None:
        return self._items.get(resource, {}).get((namespace, name))

    def all(self, resource: Resource) -> Iterator[Item]:
        yield from self._items.get(resource, {}).values()

    def select(self, resource: Resource, namespace: str, test: Callable[[Item], bool]) -> list[Item]:
        """In the order of their keys, as etcd has them."""
        found = self._items.get(resource, {})
        return [found[key] for key in sorted(found) if namespace in ("", key[0]) and test(found[key])]

    def prepare(self, resource: Resource, item: Item) -> None:
        """What the server gives a new object."""
        metadata = item["metadata"]
        for key in ("deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion", "selfLink"):
            metadata.pop(key, None)
        metadata["uid"] = str(uuid.uuid4())
        metadata["creationTimestamp"] = now()
        if resource.has_generation:
            metadata["generation"] = 1

    def put(self, resource: Resource, item: Item) -> Item:
        """Keep a new object, or the changed copy of one."""
        metadata = item["metadata"]
        key = (metadata.get("namespace", ""), metadata["name"])
        items = self._items.setdefault(resource, {})
        self._change("MODIFIED" if key in items else "ADDED", resource, item)
        items[key] = item
        return item

    def remove(self, resource: Resource, item: Item) -> None:
        metadata = item["metadata"]
        del self._items[resource][(metadata.get("namespace", ""), metadata["name"])]
        gone = copy.copy(item) | {"metadata": dict(metadata)}
        self._change("DELETED", resource, gone)

    def _change(self, kind: str, resource: Resource, item: Item) -> None:
        self.version += 1
        item["metadata"]["resourceVersion"] = str(self.version)
        self.changes.append((self.version, kind, resource, item))
        for listener in self.listeners:
            listener()

    def page(self, found: list[Item], limit: int, *, countable: bool) -> tuple[list[Item], dict[str, Any]]:
        """The first `limit` of what was found, and the list's metadata. What is left is kept as it is now."""
        return self._cut(self.version, found, limit, countable)

    def next_page(self, token: str, limit: int, *, countable: bool) -> tuple[list[Item], dict[str, Any]]:
        """Raises Refused when it is too late for that."""
        try:
            base64.urlsafe_b64decode(token)
        except ValueError:
            raise bad_request("invalid continue token: continue key is not valid: illegal base64 data") from None
        if token not in self._pages:
            message = "The provided continue parameter is too old to display a consistent list result."
            raise Refused(410, "Expired", message)
        version, found = self._pages[token]
        return self._cut(version, found, limit, countable)

    def _cut(self, version: int, found: list[Item], limit: int, countable: bool) -> tuple[list[Item], dict[str, Any]]:
        metadata: dict[str, Any] = {"resourceVersion": str(version)}
        if not limit or len(found) <= limit:
            return found, metadata
        last = found[limit - 1]["metadata"]
        start = {"v": "meta.k8s.io/v1", "rv": version, "start": f"{last.get('namespace', '')}/{last['name']}\0"}
        token = base64.urlsafe_b64encode(msgspec.json.encode(start) + uuid.uuid4().bytes).decode()
        self._pages[token] = (version, found[limit:])
        while len(self._pages) > _MOST_PAGES:
            del self._pages[next(iter(self._pages))]
        metadata["continue"] = token
        if countable:
            metadata["remainingItemCount"] = len(found) - limit
        return found[:limit], metadata
