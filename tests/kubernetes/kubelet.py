"""A thread that plays what is not there in a cluster of tests: scheduler, kubelets and, if need be, the controllers."""

import contextlib
import http.client
import itertools
import threading
import time
import traceback
from collections.abc import Iterator

import housekeeping
import workloads
from containers import Containers, ephemeral_of
from ephemeral import Ephemeral
from kinds import BY_PLURAL
from plain_client import PlainClient
from world import Item, World, is_ended, is_going, is_ready, timestamp

_PODS_AND_NODES = ("pods", "nodes")
_ALL = (
    *_PODS_AND_NODES,
    *("deployments", "replicasets", "statefulsets", "daemonsets", "jobs"),
    *("services", "endpointslices", "poddisruptionbudgets", "namespaces"),
)
_LEAST_OFTEN_S = 1.0
_RESTART_S = 0.3  # until a container that was started again is ready
_NO_IMAGE = ":does-not-exist"
_KEPT_OUT = ("NoSchedule", "NoExecute")


def _fits(prefix: str, pod: Item) -> bool:
    metadata = pod["metadata"]
    texts = [metadata["name"], *(metadata.get("labels") or {}).values()]
    texts += [container["image"] for container in pod["spec"]["containers"]]
    return any(text.startswith(prefix) for text in texts)


class Kubelet:
    """Looks after pods until it is stopped. A prefix is one of a pod's name, of a label's value, or of an image."""

    def __init__(
        self, client: PlainClient, token: str, containers: Containers, *, controllers: bool, poll_s: float
    ) -> None:
        self._client, self._token, self._containers = client, token, containers
        containers.on_end = self.nudge
        self._plurals = _ALL if controllers else _PODS_AND_NODES
        self._controllers = controllers
        self._poll_s = poll_s
        self._addresses = itertools.count(10)
        self._going: dict[str, float] = {}  # when a pod's end was first seen, by its uid
        self._starting: dict[tuple[str, str], float] = {}  # until when a pod's container is not ready
        self._restarted: dict[str, list[Item]] = {}  # what was told last of pods whose containers have ended
        self._ephemeral = Ephemeral(containers)
        self._seen = ""
        self._looked = 0.0
        self._kick, self._stopped = threading.Event(), False
        self.stop_delay_s = 0.05  # between a pod's deletion and its end
        self.age_s = 0.0  # how long ago pods say that they have started
        self.held: set[str] = set()
        self.crashing: set[str] = set()
        self.unready: set[str] = set()
        self.done: set[str] = set()
        self.absent: set[str] = set()  # images that cannot be pulled
        self.trouble: list[str] = []  # what went wrong in here
        self._thread = threading.Thread(target=self._run, name="kubelet of the tests", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped = True
        self._kick.set()
        self._thread.join(10)

    def nudge(self) -> None:
        """Look at once, whether or not anything has changed."""
        self._seen = ""
        self._kick.set()

    def set_tell_delay(self, seconds: float) -> None:
        """How long after its start an ephemeral container is said to run."""
        self._ephemeral.tell_delay_s = seconds

    def processes(self, pod: Item, container: str) -> dict[int, str]:
        """What runs in a container, by pid, with its command line."""
        return self._containers.processes(pod, container)

    def reset(self) -> None:
        """Forget what tests have asked for."""
        for asked in (self.held, self.crashing, self.unready, self.done, self.absent):
            asked.clear()
        self.stop_delay_s, self.age_s, self._ephemeral.tell_delay_s = 0.05, 0.0, 0.0
        self.nudge()

    def _run(self) -> None:
        pause = 0.0
        while not self._stopped:
            self._kick.wait(pause)
            self._kick.clear()
            try:
                pause = 0.0 if self._look() else self._poll_s
            except (OSError, http.client.HTTPException) as error:
                self.trouble.append(repr(error))
                pause = 0.2
            except Exception:  # a mistake in here would look like one of what is tested
                self.trouble.append(traceback.format_exc())
                pause = 0.5

    def _look(self) -> bool:
        """Whether there was something to do."""
        version = self._version()
        is_due = time.monotonic() - self._looked > _LEAST_OFTEN_S  # a deadline may have passed
        is_busy = self._going or self._starting or self._ephemeral.is_busy or is_due
        if version and version == self._seen and not is_busy:
            return False
        self._looked = time.monotonic()
        world = World(self._client, self._token, self._plurals)
        if self._controllers:
            workloads.start(world)
        self._tend(world)
        if self._controllers:
            workloads.tell(world)
            housekeeping.keep(world)
        self.trouble += world.trouble
        if not world.changed:
            self._seen = version
        return world.changed

    def _version(self) -> str:
        """The whole store's version, where one short list tells it: only without a cache in the server."""
        if not self._controllers:
            return ""
        status, found = self._client.request("GET", f"{BY_PLURAL['pods'].path()}?limit=1", token=self._token)
        return found["metadata"]["resourceVersion"] if status == 200 else ""

    # -- pods

    def _tend(self, world: World) -> None:
        now = time.monotonic()
        there = {pod["metadata"]["uid"] for pod in world["pods"]}
        self._going = {uid: since for uid, since in self._going.items() if uid in there}
        self._starting = {key: until for key, until in self._starting.items() if key[0] in there and until > now}
        self._restarted = {uid: found for uid, found in self._restarted.items() if uid in there}
        self._ephemeral.keep(there)
        for pod in list(world["pods"]):
            if is_going(pod):
                since = self._going.setdefault(pod["metadata"]["uid"], now)
                if now - since >= self.stop_delay_s:
                    world.delete("pods", pod, grace_s=0)
                continue
            if not pod["spec"].get("nodeName"):
                if self._asked(self.held, pod) or not (node := self._node_for(world, pod)):
                    continue
                world.bind(pod, node)
            if pod["spec"].get("nodeName") and not is_ended(pod):
                self._tell(world, pod)
        self._containers.tend(world["pods"])

    def _asked(self, prefixes: set[str], pod: Item) -> bool:
        return any(_fits(prefix, pod) for prefix in tuple(prefixes))

    def _node_for(self, world: World, pod: Item) -> str:
        """The node with the fewest pods of the same labels, then with the fewest at all."""
        spec, labels = pod["spec"], pod["metadata"].get("labels")
        terms = (spec.get("affinity") or {}).get("nodeAffinity") or {}
        required = (terms.get("requiredDuringSchedulingIgnoredDuringExecution") or {}).get("nodeSelectorTerms") or ()
        # So does the real DaemonSet controller choose a node.
        pinned = {value for term in required for field in term.get("matchFields") or () for value in field["values"]}
        found = []
        for number, node in enumerate(workloads.nodes_for(world, spec)):
            name = node["metadata"]["name"]
            if pinned and name not in pinned:
                continue
            if not pinned and not (_is_usable(node) and _tolerates(spec, node)):
                continue
            pods = [item for item in world["pods"] if item["spec"].get("nodeName") == name and not is_going(item)]
            alike = sum(item["metadata"].get("labels") == labels for item in pods)
            found.append((alike, len(pods), number, name))
        return min(found)[-1] if found else ""

    def _tell(self, world: World, pod: Item) -> None:
        """The status that it should have, if it does not have it."""
        before, containers = pod["status"], pod["spec"]["containers"]
        phase, ready, reason = "Running", True, ""
        if any(self._lacks(container["image"]) for container in containers):
            phase, ready, reason = "Pending", False, "ImagePullBackOff"
        elif self._asked(self.crashing, pod):
            ready, reason = False, "CrashLoopBackOff"
        elif self._asked(self.unready, pod):
            ready = False
        elif self._asked(self.done, pod):
            phase, ready = "Succeeded", False
        uid, statuses = pod["metadata"]["uid"], before.get("containerStatuses") or ()
        ended = self._containers.take_ended(uid)
        added = {item["name"] for item in ephemeral_of(pod)}
        if added and phase == "Running":
            self._tell_ephemeral(world, pod, {name: ended.pop(name) for name in added & ended.keys()})
        self._starting |= {(uid, name): time.monotonic() + _RESTART_S for name in ended}
        starting = {name for pod_uid, name in self._starting if pod_uid == uid}
        well, ready = ready, ready and not starting
        waiting = {(item.get("state", {}).get("waiting") or {}).get("reason", "") for item in statuses}
        if before.get("phase") == phase and is_ready(pod) is ready and waiting == {reason} and not ended:
            return
        at, found = timestamp(time.time() - self.age_s), []
        for item in containers:
            name = item["name"]
            known = [status for status in (*statuses, *self._restarted.get(uid, ())) if status["name"] == name]
            # The server may not show yet what it was told last.
            earlier = max(known, key=lambda status: status["restartCount"], default={})
            found.append(
                _container(item, pod, well and name not in starting, phase, reason, earlier, ended.get(name), at)
            )
        if ended:
            self._restarted[uid] = found
        number = next(self._addresses)
        address = before.get("podIP") or f"10.1.{number // 250 % 250}.{number % 250 + 1}"
        flag = {True: "True", False: "False"}
        conditions = [
            {"type": "PodScheduled", "status": "True", "lastTransitionTime": at},
            {"type": "Initialized", "status": "True", "lastTransitionTime": at},
            {"type": "ContainersReady", "status": flag[ready], "lastTransitionTime": at},
            {"type": "Ready", "status": flag[ready], "lastTransitionTime": at},
        ]
        status: Item = {"phase": phase, "conditions": conditions, "containerStatuses": found}
        status |= {"podIP": address, "podIPs": [{"ip": address}], "hostIP": "127.0.0.1"}
        status["startTime"] = before.get("startTime") or at
        self._containers.know(pod | {"status": before | status})  # before anybody reads that it runs
        world.set_status("pods", pod, status)

    def _lacks(self, image: str) -> bool:
        return image.endswith(_NO_IMAGE) or image in self.absent

    def _tell_ephemeral(self, world: World, pod: Item, ended: dict[str, int]) -> None:
        found = self._ephemeral.statuses(pod, ended, self._lacks)
        shown = pod["status"].get("ephemeralContainerStatuses") or ()
        if [list(item["state"]) for item in found] != [list(item["state"]) for item in shown]:
            world.set_status("pods", pod, {"ephemeralContainerStatuses": found})


def _container(
    item: Item, pod: Item, ready: bool, phase: str, reason: str, before: Item, status: int | None, at: str
) -> Item:
    """The status of one that was `before`, and whose main process has ended with `status`, if it has."""
    uid, name = pod["metadata"]["uid"], item["name"]
    running = (before.get("state") or {}).get("running") if status is None else None
    restarts = before.get("restartCount", 0) + (reason == "CrashLoopBackOff" or status is not None)
    state: Item = {"running": running or {"startedAt": at}}
    if reason:
        state = {"waiting": {"reason": reason, "message": f"back-off: {name}"}}
    elif phase == "Succeeded":
        state = {"terminated": {"exitCode": 0, "reason": "Completed", "finishedAt": at}}
    found: Item = {"name": name, "image": item["image"], "imageID": "", "ready": ready, "started": not reason}
    found |= {"restartCount": restarts, "state": state}
    if reason != "ImagePullBackOff":
        found["containerID"] = f"containerd://{uid.replace('-', '')}{restarts:032x}"
    if restarts > before.get("restartCount", 0):
        code = 1 if status is None else status
        since = ((before.get("state") or {}).get("running") or {}).get("startedAt", at)
        ended = {"exitCode": code, "reason": "Error" if code else "Completed", "startedAt": since, "finishedAt": at}
        found["lastState"] = {"terminated": ended}
    elif restarts:
        found["lastState"] = before.get("lastState") or {}
    return found


def _is_usable(node: Item) -> bool:
    conditions = node["status"].get("conditions") or ()
    is_up = any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)
    return is_up and not node["spec"].get("unschedulable")


def _tolerates(spec: Item, node: Item) -> bool:
    tolerations = spec.get("tolerations") or ()
    return all(
        taint["effect"] not in _KEPT_OUT or any(_bears(toleration, taint) for toleration in tolerations)
        for taint in node["spec"].get("taints") or ()
    )


def _bears(toleration: Item, taint: Item) -> bool:
    if toleration.get("effect") not in (None, "", taint["effect"]):
        return False
    if toleration.get("operator") == "Exists":
        return toleration.get("key") in (None, "", taint["key"])
    same_value = toleration.get("value", "") == taint.get("value", "")
    return bool(toleration.get("key") == taint["key"] and same_value)


@contextlib.contextmanager
def asking(kubelet: Kubelet, prefixes: set[str], prefix: str) -> Iterator[None]:
    """Ask for something until the block ends."""
    prefixes.add(prefix)
    kubelet.nudge()
    try:
        yield
    finally:
        prefixes.discard(prefix)
        kubelet.nudge()
