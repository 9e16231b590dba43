"""`gameday plan` in a namespace of 5,000 pods against `kubectl get pods` on the same API server, in the same run.

The server is a real kube-apiserver with its etcd, as the tests start it (tests/kubernetes/README.md); where there is
none nothing is measured. A plan names each pod that it would hit, asks for every permission and looks at budgets;
kubectl prints a table that the server has made. Goals: twice kubectl's time for a target that matches all 5,000;
200 MB; and that the server selects, a page at a time, which its audit log says. `KUBECTL` names another kubectl.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from measure import GAMEDAY, Cost, Row, by_turns, compare, environment_of, project, run, seconds, show

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "kubernetes"))

from api_server import find_binaries, start_api_server
from audit import Call
from backing import ADMIN, FIXTURE, Backing
from manifests import budget, kubeconfig, path_for, service, workload
from plain_client import PlainClient

type Item = dict[str, Any]

COMMAND = "cluster_plan.py"
NAMESPACE = "crowd"
WORKLOADS, PODS_EACH, NODES = 50, 100, 100
PODS = WORKLOADS * PODS_EACH
ONE = "app-00"
ROUNDS = 5
GOAL = 2.0
GOAL_MB = 200.0
PAGE = 500
THREADS = 8
KUBECTL = os.environ.get("KUBECTL") or shutil.which("kubectl") or ""
# A process is charged with the memory of the one that starts it, so that must be a small one.
PEAK = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(done.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def pod(owner: Item, app: str, number: int) -> tuple[Item, Item]:
    """A pod that runs, of the size that pods have, and its status: with a sidecar, probes, limits and volumes."""

    def container(name: str) -> Item:
        probe = {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 10, "failureThreshold": 3}
        return {
            "name": name,
            "image": f"registry.example.com/shop/{name}:2026.11.24-1f0c5a7",
            "ports": [{"name": "http", "containerPort": 8080}],
            "env": [{"name": f"SETTING_{index}", "value": f"a value of {app}, number {index}"} for index in range(10)],
            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"cpu": "1", "memory": "512Mi"}},
            "livenessProbe": probe,
            "readinessProbe": probe,
            "volumeMounts": [{"name": "settings", "mountPath": "/etc/settings", "readOnly": True}],
        }

    containers = [container(app), container("proxy")]
    reference = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "controller": True, "blockOwnerDeletion": True}
    reference |= {key: owner["metadata"][key] for key in ("name", "uid")}
    metadata = {
        "name": f"{owner['metadata']['name']}-{number:05}",
        "namespace": NAMESPACE,
        "labels": {"app": app, "crowd": "yes", "pod-template-hash": "5d8c7b9f4d"},
        "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "8080"},
        "ownerReferences": [reference],
    }
    volumes = [{"name": "settings", "configMap": {"name": f"{app}-settings"}}]
    spec = {"nodeName": f"node-{number % NODES}", "containers": containers, "volumes": volumes}
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    conditions = ("PodScheduled", "Initialized", "ContainersReady", "Ready")
    status = {
        "phase": "Running",
        "podIP": f"10.1.{number // 250}.{number % 250 + 1}",
        "startTime": since,
        "conditions": [{"type": name, "status": "True", "lastTransitionTime": since} for name in conditions],
        "containerStatuses": [
            {
                "name": item["name"],
                "image": item["image"],
                "imageID": f"{item['image']}@sha256:{number:064x}",
                "containerID": f"containerd://{number:064x}",
                "ready": True,
                "started": True,
                "restartCount": 0,
                "state": {"running": {"startedAt": since}},
            }
            for item in containers
        ],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}, {"status": status}


class Crowd:
    """The namespace, made as fast as some threads can."""

    def __init__(self, backing: Backing) -> None:
        self._client = PlainClient(backing.inner_url, backing.keys.client)
        self._token = backing.keys.tokens[FIXTURE]

    def make(self) -> None:
        """All of it: for each workload a Deployment, its ReplicaSet, a Service, a budget and its pods."""
        self._create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(self._workload, range(WORKLOADS)))

    def _workload(self, number: int) -> None:
        app = f"app-{number:02}"
        labels = {"app": app}
        deployment = self._create(workload("Deployment", NAMESPACE, app, PODS_EACH, labels))
        self._settle(deployment, replicas=PODS_EACH, readyReplicas=PODS_EACH, availableReplicas=PODS_EACH)
        replica_set = workload("ReplicaSet", NAMESPACE, app, PODS_EACH, labels)
        reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": app, "controller": True}
        reference |= {"uid": deployment["metadata"]["uid"]}
        replica_set["metadata"] |= {"name": f"{app}-5d8c7b9f4d", "ownerReferences": [reference]}
        owner = self._create(replica_set)
        self._settle(owner, replicas=PODS_EACH, readyReplicas=PODS_EACH, availableReplicas=PODS_EACH)
        self._create(service(NAMESPACE, app))
        half = PODS_EACH // 2
        guard = self._create(budget(NAMESPACE, app, half))
        self._settle(
            guard, expectedPods=PODS_EACH, currentHealthy=PODS_EACH, desiredHealthy=half, disruptionsAllowed=half
        )
        for index in range(PODS_EACH):
            item, status = pod(owner, app, number * PODS_EACH + index)
            made = self._create(item)
            self._send("PATCH", f"{path_for(made)}/{made['metadata']['name']}/status", status)

    def _settle(self, item: Item, **counts: int) -> None:
        """As its controller would say."""
        status = {"status": counts | {"observedGeneration": item["metadata"]["generation"]}}
        self._send("PATCH", f"{path_for(item)}/{item['metadata']['name']}/status", status)

    def _create(self, item: Item) -> Item:
        return self._send("POST", path_for(item), item)

    def _send(self, method: str, path: str, body: Item) -> Item:
        kind = "application/json" if method == "POST" else "application/merge-patch+json"
        status, answer = self._client.request(method, path, body, token=self._token, content_type=kind)
        if status >= HTTPStatus.BAD_REQUEST:
            raise SystemExit(f"{method} {path}: {status} {answer}")
        found: Item = answer
        return found


def experiment(target: Item, radius: str) -> str:
    step = {"fault": "pods/kill", "target": target, "blast-radius": radius, "hold": "1s"}
    return json.dumps({"title": "Pods end", "method": [step]})


def peak_mb(command: list[str], directory: Path, environment: dict[str, str]) -> float:
    """The most memory that any one process of a command held at a time."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *command],
        cwd=directory,
        env=environment_of(**environment),
        capture_output=True,
        text=True,
        check=True,
    )
    status, size = map(int, done.stdout.split())
    if status:
        raise SystemExit(f"{Path(command[0]).name} ended with status {status}")
    return size / (1024 if sys.platform != "darwin" else 1024**2)  # bytes on macOS


def wrong_lists(calls: list[Call]) -> list[str]:
    """Requests for pods that were not selected by the server, or not a page at a time."""
    lists = [call for call in calls if call.path == f"/api/v1/namespaces/{NAMESPACE}/pods" and call.verb == "list"]
    if not any("continue=" in call.query for call in lists):
        return ["no list was long enough for a second page"]
    wanted = {"limit": [str(PAGE)], "labelSelector": ["crowd=yes"]}
    return [str(call) for call in lists if not wanted.items() <= parse_qs(call.query).items()]


def measure(backing: Backing, root: Path) -> int:
    """Both targets, and the rows."""
    admin = {"HOME": str(root), "KUBECONFIG": str(root / "kubeconfig")}
    get = [KUBECTL, "-n", NAMESPACE, "get", "pods"]
    plan_one = [GAMEDAY, "plan", "one.json", "--env", "crowd"]
    plan_all = [GAMEDAY, "plan", "all.json", "--env", "crowd"]

    def call(command: list[str]) -> Callable[[], Cost]:
        return lambda: run(command, root, environment=admin)

    all_ours, all_theirs = by_turns(call(plan_all), call(get), ROUNDS)
    one_ours, one_theirs = by_turns(call(plan_one), call([*get, "-l", f"app={ONE}"]), ROUNDS)
    _, since = backing.read_calls(0)
    peak_ours = peak_mb(plan_all, root, admin)
    wrong = wrong_lists([item for item in backing.read_calls(since)[0] if item.agent == "gameday"])
    peak_theirs = peak_mb(get, root, admin)
    peak_one = peak_mb(plan_one, root, admin)
    status = show(
        compare(f"a plan for a selector of {PODS:,} pods, wall", COMMAND, all_ours.wall_s, all_theirs.wall_s, GOAL),
        compare("the same, CPU of the command", COMMAND, all_ours.cpu_s, all_theirs.cpu_s),
        Row(
            "the same, memory of its largest process",
            COMMAND,
            f"{peak_ours:.0f} MB; {peak_one:.0f} MB for {PODS_EACH} pods",
            f"{peak_theirs:.0f} MB",
            f"{peak_ours / peak_theirs:.2f} ×",
            f"≤ {GOAL_MB:g} MB",
            peak_ours <= GOAL_MB,
        ),
        compare(f"a plan for a service of {PODS_EACH} pods among them", COMMAND, one_ours.wall_s, one_theirs.wall_s),
    )
    print("chaos: here `kubectl get pods`, of all and of one service's")
    for line in wrong:
        print(f"not as it should be: {line}")
    return 1 if wrong else status


def main() -> int:
    """Start the server, fill it, measure, print."""
    binaries = find_binaries()
    if binaries is None or not KUBECTL:
        print(
            "cluster_plan: skipped, nothing was measured: it needs kubectl, and kube-apiserver and etcd in "
            "KUBEBUILDER_ASSETS or /usr/local/kubebuilder/bin (tests/kubernetes/README.md)"
        )
        return show(Row(f"a plan for a selector of {PODS:,} pods", COMMAND, "not measured", "", "", f"≤ {GOAL:g} ×"))
    with tempfile.TemporaryDirectory(prefix="gameday-benchmark-") as name:
        directory, alone = Path(name), Path(name) / "binaries"
        alone.mkdir()
        for program in ("kube-apiserver", "etcd"):  # without the controllers, which would make a crowd of their own
            (alone / program).symlink_to(binaries / program)
        backing = start_api_server(directory, alone, f"binaries of {binaries}")
        try:
            return fill_and_measure(backing, directory)
        finally:
            backing.close()


def fill_and_measure(backing: Backing, directory: Path) -> int:
    began = time.monotonic()
    Crowd(backing).make()
    keys = backing.keys
    document = kubeconfig(backing.url, str(keys.certificate), ADMIN, keys.tokens[ADMIN], NAMESPACE)
    kubernetes = {"context": ADMIN, "namespace": NAMESPACE, "kubeconfig": "kubeconfig"}
    files = {
        "gameday.yaml": json.dumps({"project": "crowd", "environments": {"crowd": {"kubernetes": kubernetes}}}),
        "kubeconfig": json.dumps(document),
        "all.json": experiment({"selector": "crowd=yes"}, "1%"),
        "one.json": experiment({"service": ONE}, "10%"),
    }
    print(f"{backing.kind}: {PODS:,} pods of {WORKLOADS} Deployments made in {seconds(time.monotonic() - began)}")
    with project(files) as root:
        return measure(backing, root)


if __name__ == "__main__":
    sys.exit(main())
