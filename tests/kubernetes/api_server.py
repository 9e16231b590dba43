"""A real kube-apiserver with its etcd, on loopback, started and stopped by pid: what envtest does, in Python.

https://book.kubebuilder.io/reference/envtest
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from http.client import HTTPException
from pathlib import Path

import yaml
from audit import FIXTURE_AGENT, Call, read_log
from backing import CONTROLLERS, FIXTURE, KUBELET, Backing, Keys, make_keys
from containers import Containers
from kubelet_server import OLDEST, KubeletServer
from loops import LoopThread
from manifests import kubeconfig
from plain_client import PlainClient

USUAL = Path("/usr/local/kubebuilder/bin")
_READY_S = 90.0  # a machine with other work
_STOP_S = 10.0
# Nobody is behind the fake nodes, and nobody's metrics are there.
_NO_CONTROLLERS = (
    "node-lifecycle-controller",
    "node-ipam-controller",
    "horizontal-pod-autoscaler-controller",
    "persistentvolume-attach-detach-controller",
    "certificatesigningrequest-signing-controller",
    "bootstrap-signer-controller",
    "token-cleaner-controller",
)
_QUIET = ["system:apiserver", "system:anonymous", FIXTURE, KUBELET, CONTROLLERS]
_AUDIT = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived", "ResponseStarted", "Panic"],
    "rules": [
        # The one that is looked for to know that all before it are written.
        {"level": "Metadata", "users": [FIXTURE], "nonResourceURLs": ["/version"]},
        {"level": "None", "users": _QUIET},
        # Whether a deletion or an eviction is a dry run stands in its body.
        {"level": "Request", "verbs": ["delete", "deletecollection"]},
        {"level": "Request", "verbs": ["create"], "resources": [{"group": "", "resources": ["pods/eviction"]}]},
        {"level": "Metadata"},
    ],
}


def find_binaries() -> Path | None:
    """Where kube-apiserver and etcd are, by envtest's convention."""
    for directory in (Path(os.environ.get("KUBEBUILDER_ASSETS") or USUAL), USUAL):
        if all(os.access(directory / name, os.X_OK) for name in ("kube-apiserver", "etcd")):
            return directory
    return None


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for found in sockets:
            found.bind(("127.0.0.1", 0))
        return [found.getsockname()[1] for found in sockets]


class Processes:
    """Programs that end with the tests, however the tests end."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._running: list[tuple[str, subprocess.Popen[bytes]]] = []

    def start(self, name: str, *command: str) -> None:
        # The kernel kills it when the thread that starts it is gone, as after a kill -9 of the tests.
        leash = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        assert not leash or threading.current_thread() is threading.main_thread()
        with self.log(name).open("wb") as log:
            process = subprocess.Popen([*leash, *command], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self._running.append((name, process))

    def log(self, name: str) -> Path:
        return self._directory / f"{name}.log"

    def check(self) -> None:
        """Raises RuntimeError when one has ended."""
        for name, process in self._running:
            if process.poll() is not None:
                tail = self.log(name).read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{name} ended with status {process.returncode}:\n{tail}")

    def stop(self) -> None:
        """The last one first, for those before it are what it stands on."""
        for _, process in reversed(self._running):
            # Nothing of it is kept, so that it need not be let down gently; the API server would take its time.
            process.send_signal(signal.SIGTERM if process is self._running[0][1] else signal.SIGKILL)
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def start_api_server(directory: Path, binaries: Path, why: str) -> Backing:
    """Ready in some seconds; with the controllers if kube-controller-manager is there."""
    keys = make_keys(directory)
    client_port, peer_port, port = free_ports(3)
    processes, url = Processes(directory), f"https://127.0.0.1:{port}"
    client = PlainClient(url, keys.client)
    try:
        _start_etcd(processes, binaries, directory, client_port, peer_port)
        _start_server(processes, binaries, keys, client_port, port)
        _wait_ready(processes, client, keys)
        has_controllers = (binaries / "kube-controller-manager").exists()
        if has_controllers:
            _start_controllers(processes, binaries, keys, url)
        _, version = client.request("GET", "/version", token=keys.tokens[FIXTURE])
    except BaseException:
        processes.stop()
        raise
    loop, log = LoopThread(), _AuditLog(directory / "audit.log", client, keys.tokens[FIXTURE])
    kind = f"real API server {version['gitVersion']}"
    kind += "" if has_controllers else " without kube-controller-manager"

    containers = Containers()
    kubelets = KubeletServer(loop, keys.server, containers)

    def close() -> None:
        kubelets.close()
        loop.close()
        processes.stop()

    backing = Backing(kind, why, url, keys, loop, url, log.read, close, has_controllers, containers=containers)
    backing.poll_s = 0.05 if has_controllers else 0.2
    backing.kubelet_port = kubelets.port
    backing.runs_commands = (int(version["major"]), int(version["minor"].rstrip("+"))) >= OLDEST
    return backing


def _start_etcd(processes: Processes, binaries: Path, directory: Path, client_port: int, peer_port: int) -> None:
    client, peer = f"http://127.0.0.1:{client_port}", f"http://127.0.0.1:{peer_port}"
    processes.start(
        "etcd",
        str(binaries / "etcd"),
        "--name=default",
        f"--data-dir={directory / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    )


def _start_server(processes: Processes, binaries: Path, keys: Keys, etcd_port: int, port: int) -> None:
    directory, service_key = keys.directory, keys.directory / "service-accounts.key"
    subprocess.run(["openssl", "genrsa", "-out", str(service_key), "2048"], check=True, capture_output=True, timeout=30)
    lines = [
        f'{token},{user.name},{user.name},"{",".join(user.groups)}"'
        if user.groups
        else f"{token},{user.name},{user.name}"
        for token, user in keys.users.items()
    ]
    (directory / "tokens.csv").write_text("\n".join(lines) + "\n")
    (directory / "audit-policy.yaml").write_text(json.dumps(_AUDIT))
    processes.start(
        "kube-apiserver",
        str(binaries / "kube-apiserver"),
        f"--etcd-servers=http://127.0.0.1:{etcd_port}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--secure-port={port}",
        f"--cert-dir={directory / 'certificates'}",
        f"--tls-cert-file={keys.certificate}",
        f"--tls-private-key-file={keys.key}",
        "--service-cluster-ip-range=10.0.0.0/16",
        "--authorization-mode=RBAC",
        "--anonymous-auth=false",
        f"--token-auth-file={directory / 'tokens.csv'}",
        "--allow-privileged=true",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={service_key}",
        f"--service-account-signing-key-file={service_key}",
        "--api-audiences=https://kubernetes.default.svc",
        # Pods need no account where nobody runs them, and no controller is there to see that a node has become ready.
        "--disable-admission-plugins=ServiceAccount,TaintNodesByCondition",
        "--endpoint-reconciler-type=none",
        "--kubelet-preferred-address-types=InternalIP",
        f"--audit-policy-file={directory / 'audit-policy.yaml'}",
        f"--audit-log-path={directory / 'audit.log'}",
        "--audit-log-mode=blocking",
    )


def _start_controllers(processes: Processes, binaries: Path, keys: Keys, url: str) -> None:
    config = keys.directory / "controllers.yaml"
    token = keys.tokens[CONTROLLERS]
    config.write_text(yaml.safe_dump(kubeconfig(url, str(keys.certificate), CONTROLLERS, token, "")))
    processes.start(
        "kube-controller-manager",
        str(binaries / "kube-controller-manager"),
        f"--kubeconfig={config}",
        "--bind-address=127.0.0.1",
        "--secure-port=0",
        "--leader-elect=false",
        "--use-service-account-credentials=false",
        f"--service-account-private-key-file={keys.directory / 'service-accounts.key'}",
        "--controllers=" + ",".join(["*", *(f"-{name}" for name in _NO_CONTROLLERS)]),
        # By default it holds itself back, and tests would wait.
        "--kube-api-qps=2000",
        "--kube-api-burst=2000",
    )


def _wait_ready(processes: Processes, client: PlainClient, keys: Keys) -> None:
    deadline = time.monotonic() + _READY_S
    while True:
        processes.check()
        with contextlib.suppress(OSError, HTTPException):
            status, text = client.request("GET", "/readyz", token=keys.tokens[FIXTURE], timeout_s=5)
            if status == 200 and text == "ok":
                return
        if time.monotonic() > deadline:
            raise RuntimeError(f"the API server is not ready within {_READY_S:g} s: {processes.log('kube-apiserver')}")
        time.sleep(0.1)


class _AuditLog:
    def __init__(self, path: Path, client: PlainClient, token: str) -> None:
        self._path, self._client, self._token = path, client, token
        self._number = 0

    def read(self, since: int) -> tuple[list[Call], int]:
        """The calls after a place in the file, and where it ends now: after everything that was asked until now."""
        self._number += 1
        sign = f"/version?sync={self._number}"
        self._client.request("GET", sign, token=self._token)
        deadline, text = time.monotonic() + 10, b""
        while f'"{sign}"'.encode() not in text:
            assert time.monotonic() < deadline, "the audit log does not follow"
            with self._path.open("rb") as file:
                file.seek(since)
                text = file.read()
        text = text[: text.rindex(b"\n") + 1]
        return read_log(text, lambda call: call.agent != FIXTURE_AGENT), since + len(text)
