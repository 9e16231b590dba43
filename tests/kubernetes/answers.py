"""What the stand-in answers to a request for objects: the rules of Kubernetes' API, without HTTP.

https://kubernetes.io/docs/reference/using-api/api-concepts/
"""

import copy
import random
from collections.abc import Callable
from dataclasses import replace

from access_rules import Deed, permission
from ask import Ask
from defaults import begin, check, fill
from deletions import bind, delete
from evictions import evict
from kinds import BY_PLURAL, Resource, Target
from patching import JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, patched
from refusals import (
    Refused,
    bad_request,
    conflict,
    exists,
    forbidden,
    invalid,
    missing,
    modified,
    no_such_method,
    not_authorised,
    terminating,
)
from selecting import field_test, label_test
from special import replicas_of, review, scale_of
from store import Item, Store

_GENERATED = "bcdfghjklmnpqrstvwxz2456789"
_KEPT = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "namespace")
_PATCHES = (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH)


class Answers:
    """The verbs, on a store."""

    def __init__(self) -> None:
        self.store = Store()
        for name in ("default", "kube-system"):
            item: Item = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            self.store.prepare(BY_PLURAL["namespaces"], item)
            begin(BY_PLURAL["namespaces"], item)
            self.store.put(BY_PLURAL["namespaces"], item)

    def allows(self, ask: Ask) -> bool:
        target = ask.target
        deed = Deed(ask.verb, target.resource.group, target.ruled, target.namespace, target.name)
        return bool(permission(ask.user, deed, self.store.all))

    def container_of(self, ask: Ask) -> str:
        """Where a command shall run, if it may. Raises Refused.

        In the order of the real server: pkg/registry/core/pod/rest/subresources.go and ../strategy.go.
        """
        if not self.allows(ask):
            raise forbidden(ask.target, ask.verb, ask.user.name)
        if not self.allows(replace(ask, verb="create")):
            raise not_authorised(ask.target)
        pod, named = self._found(ask.target), ask.query.get("container", "")
        kinds = ("initContainers", "containers", "ephemeralContainers")
        names = [container["name"] for kind in kinds for container in pod["spec"].get(kind) or ()]
        first, *others = (container["name"] for container in pod["spec"]["containers"])
        if not named and others:
            shown = f"choose one of: [{' '.join(names)}]"
            raise bad_request(f"a container name must be specified for pod {ask.target.name}, {shown}")
        if named and named not in names:
            raise bad_request(f"container {named} is not valid for pod {ask.target.name}")
        if not pod["spec"].get("nodeName"):
            raise bad_request(f"pod {ask.target.name} does not have a host assigned")
        return named or first

    def answer(self, ask: Ask) -> tuple[int, Item]:
        """The HTTP status and the document. Raises Refused."""
        target = ask.target
        if not self.allows(ask):
            raise forbidden(target, ask.verb, ask.user.name)
        ask.check_dry_run()
        if target.resource.kind == "SelfSubjectAccessReview":
            return review(ask, self.store)
        match ask.verb, target.subresource:
            case "list", "":
                return 200, self._list(ask)
            case "get", "" | "status" | "ephemeralcontainers":
                return 200, self._found(target)
            case "get", "scale" if "scale" in target.resource.subresources:
                return 200, scale_of(self._found(target))
            case "create", "" if not target.name:
                return self._create(ask)
            case "create", "binding":
                return bind(self.store, self._found(target), ask.document() or {}, dry=ask.is_dry)
            case "create", "eviction":
                return evict(self.store, ask)
            case "update", "finalize":
                return self._finalize(ask)
            case (("update" | "patch"), "" | "status" | "scale" | "ephemeralcontainers") if target.name:
                return self._update(ask)
            case "delete", "":
                options = ask.options()
                is_dry = "All" in (options.get("dryRun") or ())
                return delete(self.store, target.resource, self._found(target), options, dry=is_dry)
            case "deletecollection", "":
                return self._delete_all(ask)
        raise no_such_method()

    # -- reading

    def _found(self, target: Target) -> Item:
        namespace = target.namespace if target.resource.namespaced else ""
        item = self.store.get(target.resource, namespace, target.name)
        if item is None:
            raise missing(target.resource, target.name)
        return item

    def test(self, ask: Ask) -> Callable[[Item], bool]:
        """Whether a query's selectors choose an object. Raises Refused."""
        by_label = label_test(ask.query.get("labelSelector", ""))
        by_field = field_test(ask.query.get("fieldSelector", ""), ask.target.resource.plural)
        return lambda item: by_label(item) and by_field(item)

    def selected(self, ask: Ask) -> list[Item]:
        namespace = ask.target.namespace if ask.target.resource.namespaced else ""
        return self.store.select(ask.target.resource, namespace, self.test(ask))

    def _list(self, ask: Ask) -> Item:
        resource, query = ask.target.resource, ask.query
        try:
            limit = int(query.get("limit") or 0)
        except ValueError:
            raise bad_request(f'strconv.ParseInt: parsing "{query["limit"]}": invalid syntax') from None
        countable = not query.get("labelSelector") and not query.get("fieldSelector")
        if token := query.get("continue"):
            items, metadata = self.store.next_page(token, limit, countable=countable)
        else:
            items, metadata = self.store.page(self.selected(ask), limit, countable=countable)
        plain = [{key: value for key, value in item.items() if key not in ("kind", "apiVersion")} for item in items]
        head = {"kind": f"{resource.kind}List", "apiVersion": resource.api_version}
        return head | {"metadata": metadata, "items": plain}

    # -- writing

    def _sent(self, ask: Ask) -> Item:
        """The object that was sent, if it is of the path's kind and namespace. Raises Refused."""
        resource, document = ask.target.resource, ask.document()
        if not isinstance(document, dict):
            raise bad_request(f"the object provided is unrecognized (must be of type {resource.kind})")
        kind, version = (
            document.setdefault("kind", resource.kind),
            document.setdefault("apiVersion", resource.api_version),
        )
        if (kind, version) != (resource.kind, resource.api_version):
            raise bad_request(f'{kind} in version "{version}" cannot be handled as a {resource.kind}')
        self._place(ask, document)
        return document

    def _place(self, ask: Ask, document: Item) -> None:
        metadata, target = document.setdefault("metadata", {}), ask.target
        if not target.resource.namespaced:
            metadata.pop("namespace", None)
        elif metadata.setdefault("namespace", target.namespace) != target.namespace:
            raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
        if target.name and metadata.setdefault("name", target.name) != target.name:
            shown = f"the name of the object ({metadata['name']}) does not match the name on the URL ({target.name})"
            raise bad_request(shown)

    def _create(self, ask: Ask) -> tuple[int, Item]:
        resource, item = ask.target.resource, self._sent(ask)
        metadata = item["metadata"]
        if metadata.get("resourceVersion"):
            raise Refused(500, "", "resourceVersion should not be set on objects to be created")
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = metadata["generateName"] + "".join(random.choices(_GENERATED, k=5))
        self._check_namespace(ask, metadata.get("name", ""))
        self.store.prepare(resource, item)
        fill(resource, item)
        check(resource, item)
        begin(resource, item)
        if self.store.get(resource, metadata.get("namespace", ""), metadata["name"]):
            raise exists(resource, metadata["name"])
        return 201, item if ask.is_dry else self.store.put(resource, item)

    def _check_namespace(self, ask: Ask, name: str) -> None:
        resource, namespace = ask.target.resource, ask.target.namespace
        if not resource.namespaced:
            return
        found = self.store.get(BY_PLURAL["namespaces"], "", namespace)
        if found is None:
            raise missing(BY_PLURAL["namespaces"], namespace)
        if "deletionTimestamp" in found["metadata"]:
            raise terminating(resource, name, namespace)

    def _update(self, ask: Ask) -> tuple[int, Item]:
        resource, subresource = ask.target.resource, ask.target.subresource
        current = self._found(ask.target)
        seen = scale_of(current) if subresource == "scale" else current
        if ask.verb == "patch":
            if ask.content_type not in _PATCHES:
                raise Refused(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})
            document = patched(seen, ask.document(), ask.content_type)
            if not isinstance(document, dict):
                raise bad_request("the patched document is no object")
            self._place(ask, document)
        elif subresource == "scale":
            document = ask.document() or {}
            self._place(ask, document)
        else:
            document = self._sent(ask)
        metadata = document["metadata"]
        if metadata.get("resourceVersion") not in (None, "", current["metadata"]["resourceVersion"]):
            raise modified(resource, ask.target.name)
        uid = current["metadata"]["uid"]
        if ask.verb == "patch" and metadata.get("uid") not in (None, "", uid):
            problem = f'Invalid value: "{metadata["uid"]}": field is immutable'
            raise invalid(resource, ask.target.name, ("metadata.uid", problem, "FieldValueInvalid"))
        if metadata.get("uid") not in (None, "", uid):
            why = f"Precondition failed: UID in precondition: {metadata['uid']}, UID in object meta: {uid}"
            raise conflict(resource, ask.target.name, f"StorageError: invalid object, Code: 4, {why}")
        new = copy.deepcopy(current)
        if subresource == "status":
            new["status"] = document.get("status") or {}
        elif subresource == "scale":
            new["spec"]["replicas"] = replicas_of(document, ask.target.name)
        elif subresource == "ephemeralcontainers":  # all other changes are dropped without a word
            added = (document.get("spec") or {}).get("ephemeralContainers")
            new["spec"] |= {"ephemeralContainers": added}
        else:
            new = copy.deepcopy(document)
            if "status" in resource.subresources and "status" in current:
                new["status"] = copy.deepcopy(current["status"])
        item = self.replace(resource, current, new, dry=ask.is_dry, subresource=subresource)
        return 200, scale_of(item) if subresource == "scale" else item

    def replace(
        self, resource: Resource, current: Item, new: Item, *, dry: bool = False, subresource: str = ""
    ) -> Item:
        """Put a changed copy in an object's place, if anything has changed. Raises Refused."""
        for key in _KEPT:
            new["metadata"].pop(key, None)
            if key in current["metadata"]:
                new["metadata"][key] = current["metadata"][key]
        fill(resource, new)
        check(resource, new, current, subresource)
        new["metadata"]["resourceVersion"] = current["metadata"]["resourceVersion"]
        if new == current:
            return current
        if resource.has_generation and _content(new) != _content(current):
            new["metadata"]["generation"] = current["metadata"].get("generation", 0) + 1
        if dry:
            return new
        stored = self.store.put(resource, new)
        metadata = new["metadata"]
        is_held = metadata.get("finalizers") or (new.get("spec") or {}).get("finalizers")
        if "deletionTimestamp" in metadata and not is_held and not metadata.get("deletionGracePeriodSeconds"):
            self.store.remove(resource, new)
        return stored

    def _finalize(self, ask: Ask) -> tuple[int, Item]:
        current = self._found(ask.target)
        new = copy.deepcopy(current)
        new["spec"]["finalizers"] = (self._sent(ask).get("spec") or {}).get("finalizers") or []
        return 200, self.replace(ask.target.resource, current, new, dry=ask.is_dry)

    def _delete_all(self, ask: Ask) -> tuple[int, Item]:
        options = ask.options()
        dry = "All" in (options.get("dryRun") or ())
        found = self.selected(ask)
        for item in found:
            delete(self.store, ask.target.resource, item, options, dry=dry)
        head = {"kind": f"{ask.target.resource.kind}List", "apiVersion": ask.target.resource.api_version}
        return 200, head | {"metadata": {"resourceVersion": str(self.store.version)}, "items": found}


def _content(item: Item) -> Item:
    """What a generation counts the changes of."""
    return {key: value for key, value in item.items() if key not in ("metadata", "status")}
