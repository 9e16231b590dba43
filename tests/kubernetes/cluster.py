"""The cluster that tests run against, whatever it is: objects made and looked at past the code under test."""

import contextlib
import itertools
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import manifests
import pytest
import yaml
from audit import FIXTURE_AGENT, Call
from backing import ADMIN, FIXTURE, KUBELET, Backing
from kinds import BY_PLURAL
from kubelet import Kubelet, asking
from plain_client import Answer, PlainClient
from proxy import Proxy
from world import is_going, is_ready

type Item = dict[str, Any]

_NODES = {"node-1": "zone-a", "node-2": "zone-b", "node-3": "zone-c"}
_PATIENCE_S = 20.0
_LABEL = "gameday-test"
_namespaces = itertools.count(1)


class Refusal(AssertionError):
    """The fixture itself was refused something."""


class Cluster:
    """One API server, three nodes, and pods that come and go as if somebody ran them."""

    def __init__(self, backing: Backing) -> None:
        self._backing, self._keys = backing, backing.keys
        self.kind, self.url = backing.kind, backing.url
        inner_tls = backing.keys.client if backing.inner_url.startswith("https:") else None
        self._client = PlainClient(backing.inner_url, inner_tls)
        self.directory = backing.keys.directory
        self.kubeconfig = self.kubeconfig_for(ADMIN)
        self._fresh = itertools.count(1)
        self._everywhere: list[Item] = []  # what no namespace takes along
        self.kubelet: Kubelet | None = None
        if not backing.has_nodes:
            client = PlainClient(backing.inner_url, inner_tls)
            token, plays = self.token(KUBELET), not backing.has_controllers
            self.kubelet = Kubelet(client, token, backing.containers, controllers=plays, poll_s=backing.poll_s)
            for name, zone in _NODES.items():
                self.node(name, zone)
            self.kubelet.start()

    def close(self) -> None:
        """Stop everything that the fixture has started."""
        if self.kubelet is not None:
            self.kubelet.stop()
        self._backing.containers.close()
        self._backing.close()

    # -- asking

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        content_type: str = "application/json",
        user: str = ADMIN,
        *,
        agent: str = FIXTURE_AGENT,
    ) -> Answer:
        """HTTP status, and the document or the text. No audit lists it, unless it comes under another agent's name."""
        token = self.token(user) if user else ""
        answer = self._client.request(method, path, body, token=token, content_type=content_type, agent=agent)
        if method != "GET" and self.kubelet is not None:
            self.kubelet.nudge()
        return answer

    def get(self, plural: str, namespace: str, name: str) -> Item | None:
        """An object, or None."""
        status, document = self.request("GET", BY_PLURAL[plural].path(namespace, name), user=FIXTURE)
        return document if status == 200 else None

    def items(self, plural: str, namespace: str = "", selector: str = "") -> list[Item]:
        path = f"{BY_PLURAL[plural].path(namespace)}?labelSelector={quote(selector)}"
        found: list[Item] = self._do("GET", path)["items"]
        return found

    def create(self, item: Item) -> Item:
        """Any object that says its kind, and its namespace if it has one."""
        found: Item = self._do("POST", manifests.path_for(item), item)
        return found

    def patch(self, plural: str, namespace: str, name: str, patch: Item, subresource: str = "") -> Item:
        """A merge patch."""
        path = BY_PLURAL[plural].path(namespace, name, subresource)
        found: Item = self._do("PATCH", path, patch, "application/merge-patch+json")
        return found

    def delete(self, plural: str, namespace: str, name: str, **options: object) -> None:
        """With DeleteOptions, such as gracePeriodSeconds=0."""
        body = {"apiVersion": "v1", "kind": "DeleteOptions", **options}
        self._do("DELETE", BY_PLURAL[plural].path(namespace, name), body)

    def _do(self, method: str, path: str, body: object = None, content_type: str = "application/json") -> Any:
        status, document = self.request(method, path, body, content_type, FIXTURE)
        if status >= 300:
            raise Refusal(f"{method} {path}: {status} {document}")
        return document

    # -- who

    def token(self, user: str) -> str:
        return self._keys.tokens[user]

    def fresh_user(self) -> str:
        """Somebody who may do nothing, and whom no other test has met."""
        return f"user-{next(self._fresh)}"

    def allow(self, namespace: str, user: str, *rules: Item | str) -> None:
        """Rules of RBAC, or texts like "get,list pods" or "create pods/eviction"; no namespace is everywhere."""
        found = [manifests.rule(rule) if isinstance(rule, str) else rule for rule in rules]
        role, binding = manifests.role_and_binding(namespace, user, found)
        made = [self.create(role)]
        binding["roleRef"]["name"] = made[0]["metadata"]["name"]
        made.append(self.create(binding))
        if not namespace:
            self._everywhere += made
        last = found[-1]
        if "resources" in last:
            resource, _, subresource = last["resources"][-1].partition("/")
            attributes = {"namespace": namespace, "verb": last["verbs"][-1], "group": last["apiGroups"][-1]}
            attributes |= {"resource": resource, "subresource": subresource}
            attributes |= {"name": last["resourceNames"][0]} if last.get("resourceNames") else {}
            self.wait(lambda: self.may(user, **attributes), f"{user} may {last}")

    def may(self, user: str, **attributes: str) -> bool:
        """What a SelfSubjectAccessReview says of the attributes of a resource."""
        head = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
        path = BY_PLURAL["selfsubjectaccessreviews"].path()
        _, review = self.request("POST", path, head | {"spec": {"resourceAttributes": attributes}}, user=user)
        return bool(review["status"]["allowed"])

    def kubeconfig_for(self, user: str, namespace: str = "", *, url: str = "") -> Path:
        """A file with one context, named after the user."""
        document = manifests.kubeconfig(url or self.url, str(self._keys.certificate), user, self.token(user), namespace)
        path = self.directory / f"kubeconfig-{user}-{namespace}-{(url or self.url).rpartition(':')[2]}"
        path.write_text(yaml.safe_dump(document))
        path.chmod(0o600)
        return path

    # -- what is there

    @contextlib.contextmanager
    def namespace(self) -> Iterator[str]:
        """A namespace of its own, removed afterwards."""
        worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
        name = f"{_LABEL}-{worker}-{os.getpid()}-{next(_namespaces)}"
        self.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {_LABEL: "yes"}}})
        try:
            yield name
        finally:
            self.request("DELETE", BY_PLURAL["namespaces"].path(name=name), user=FIXTURE)

    def need_fake_nodes(self) -> Kubelet:
        """Skip the test where real kubelets run the pods."""
        if self.kubelet is None:
            pytest.skip("this cluster's nodes are real ones")
        return self.kubelet

    def need_commands(self) -> Kubelet:
        """Skip the test where no command can be run in pretended containers."""
        kubelet = self.need_fake_nodes()
        if not self._backing.runs_commands:
            pytest.skip("this API server speaks SPDY to kubelets: it is older than 1.36")
        return kubelet

    def node(self, name: str, zone: str = "", labels: dict[str, str] | None = None) -> Item:
        """A node that is ready; gone after the test."""
        self.need_fake_nodes()
        return self.create(manifests.node(name, zone, labels or {}, self._backing.kubelet_port))

    def deploy(
        self,
        namespace: str,
        name: str,
        replicas: int = 1,
        labels: dict[str, str] | None = None,
        *,
        service: bool = True,
        min_available: int | str | None = None,
        kind: str = "Deployment",
        image: str = manifests.IMAGE,
        wait: bool = True,
    ) -> Item:
        """A workload labelled app=<name>, and so its pods, with a Service and a budget, all of them well."""
        labels = {"app": name} | (labels or {})
        item = self.create(manifests.workload(kind, namespace, name, replicas, labels, image))
        if service:
            self.create(manifests.service(namespace, name))
        if min_available is not None:
            self.create(manifests.budget(namespace, name, min_available))
        if wait:
            self.wait_well(namespace, name, None if kind == "DaemonSet" else replicas, kind=kind)
        return item

    def wait_well(self, namespace: str, name: str, replicas: int | None = None, *, kind: str = "Deployment") -> None:
        """Until its pods are ready and everybody has noticed: the controllers, the service and the budget."""
        plural = f"{kind.lower()}s"

        def is_well() -> bool:
            item = self.get(plural, namespace, name)
            if item is None:
                return False
            status = item.get("status") or {}
            counted, ready = status.get("readyReplicas", 0), status.get("replicas", 0)
            # A change that was seen in the middle of a look is observed before it is rolled out.
            rolled_out = status.get("updatedReplicas", 0)
            wanted = item["spec"].get("replicas", 0) if replicas is None else replicas
            if kind == "DaemonSet":
                wanted = status.get("desiredNumberScheduled", -1)
                counted = ready = status.get("numberReady", 0)
                rolled_out = status.get("updatedNumberScheduled", 0)
            pods = self.pods(namespace, f"app={name}")
            is_whole = counted == ready == rolled_out == wanted == len(pods) and all(is_ready(pod) for pod in pods)
            if not is_whole or status.get("observedGeneration", 0) < item["metadata"]["generation"]:
                return False
            return self._is_noticed(namespace, name, wanted)

        self.wait(is_well, f"{kind} {namespace}/{name} is well")

    def _is_noticed(self, namespace: str, name: str, wanted: int) -> bool:
        budget = self.get("poddisruptionbudgets", namespace, name)
        if budget is not None and (budget.get("status") or {}).get("currentHealthy") != wanted:
            return False
        if self.get("services", namespace, name) is None:
            return True
        slices = self.items("endpointslices", namespace, f"kubernetes.io/service-name={name}")
        ready = [end for item in slices for end in item.get("endpoints") or () if end["conditions"].get("ready")]
        return len(ready) == wanted

    def pods(self, namespace: str, selector: str = "", *, going: bool = False) -> list[Item]:
        """Those that are not about to go, unless asked for."""
        return [pod for pod in self.items("pods", namespace, selector) if going or not is_going(pod)]

    def pod_names(self, namespace: str, selector: str = "") -> list[str]:
        return [pod["metadata"]["name"] for pod in self.pods(namespace, selector)]

    def wait[T](self, look: Callable[[], T], what: str, seconds: float = _PATIENCE_S) -> T:
        """The first true answer of `look`."""
        deadline = time.monotonic() + seconds
        while not (answer := look()):
            if time.monotonic() > deadline:
                trouble = self.kubelet.trouble[-3:] if self.kubelet is not None else []
                raise AssertionError(f"not within {seconds:g} s: {what}" + "".join(f"\n{text}" for text in trouble))
            time.sleep(0.01)
        return answer

    # -- what becomes of pods; a prefix is one of a pod's name, of a label's value, or of an image

    def hold(self, prefix: str) -> AbstractContextManager[None]:
        """New pods stay Pending, until the block ends."""
        kubelet = self.need_fake_nodes()
        return asking(kubelet, kubelet.held, prefix)

    def crash(self, prefix: str) -> AbstractContextManager[None]:
        """Pods are in CrashLoopBackOff, until the block ends."""
        kubelet = self.need_fake_nodes()
        return asking(kubelet, kubelet.crashing, prefix)

    def unready(self, prefix: str) -> AbstractContextManager[None]:
        """Pods run, but are not ready, until the block ends."""
        kubelet = self.need_fake_nodes()
        return asking(kubelet, kubelet.unready, prefix)

    def absent(self, image: str) -> AbstractContextManager[None]:
        """This very image cannot be pulled, until the block ends."""
        kubelet = self.need_fake_nodes()
        return asking(kubelet, kubelet.absent, image)

    def finish(self, prefix: str) -> None:
        """Pods succeed, as those of a Job do, until the test ends."""
        kubelet = self.need_fake_nodes()
        kubelet.done.add(prefix)
        kubelet.nudge()

    @contextlib.contextmanager
    def older(self, seconds: float) -> Iterator[None]:
        """What starts in the block has run for so long when it ends: pretended pods say so, real ones take the time."""
        if self.kubelet is None:
            yield
            time.sleep(seconds)
            return
        self.kubelet.age_s = seconds
        try:
            yield
        finally:
            self.kubelet.age_s = 0.0

    def set_stop_delay(self, seconds: float) -> None:
        """How long a pod takes to end, for the rest of the test."""
        self.need_fake_nodes().stop_delay_s = seconds

    def reset(self) -> None:
        """As it was at first, but for namespaces: roles for everywhere, the nodes, and what the kubelet was told."""
        for item in reversed(self._everywhere):
            self._do("DELETE", f"{manifests.path_for(item)}/{item['metadata']['name']}")
        self._everywhere.clear()
        if self.kubelet is None:
            return
        self.kubelet.reset()
        for node in self.items("nodes"):
            name = node["metadata"]["name"]
            if name not in _NODES:
                self.delete("nodes", "", name)
            elif node["spec"].get("unschedulable") or node["spec"].get("taints"):
                self.patch("nodes", "", name, {"spec": {"unschedulable": None, "taints": None}})
        for name in _NODES.keys() - {node["metadata"]["name"] for node in self.items("nodes")}:
            self.node(name, _NODES[name])

    # -- what was asked of it

    def mark(self) -> int:
        """A moment, for `audit`."""
        return self._backing.read_calls(0)[1]

    def audit(self, since: int = 0, *, user: str = "") -> list[Call]:
        """Every request since then, of anybody but the fixture and the controllers."""
        calls, _ = self._backing.read_calls(since)
        return [call for call in calls if call.agent != FIXTURE_AGENT and user in ("", call.user)]

    def changes(self, since: int = 0) -> list[Call]:
        """The requests since then that may have changed something."""
        return [call for call in self.audit(since) if call.changes]

    # -- bad days

    @contextlib.contextmanager
    def proxy(self) -> Iterator[Proxy]:
        """A reverse proxy before the server, with kubeconfigs that lead there."""
        keys, backing = self._keys, self._backing

        def write(user: str, namespace: str, url: str) -> Path:
            return self.kubeconfig_for(user, namespace, url=url)

        proxy = Proxy(backing.loop, backing.url, keys.client, keys.server, users=keys.name_of, kubeconfig=write)
        try:
            yield proxy
        finally:
            proxy.close()
