"""Commands in containers, against an API server that has them run, and against one that speaks WebSocket badly."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import websocket
import yaml
from aiohttp import web
from cluster import Cluster
from containers import Containers
from executing import V4, V5
from kubelet_server import KubeletServer
from loops import LoopThread, make_certificate, server_tls
from proxy import Proxy
from scripted import reference

from gameday.kubernetes.client import ApiError, Client
from gameday.kubernetes.execution import KEPT_BYTES, Executed, run_in_container
from gameday.kubernetes.reference import ClusterError, ClusterRef

type Item = dict[str, Any]
NOT_KNOWN = "whether the command ran is not known"


class Pod:
    """A pod with one container, and who runs commands in there."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        cluster.need_commands()
        cluster.deploy(namespace, "shop", service=False)
        self.cluster, self.namespace = cluster, namespace
        [self.name] = cluster.pod_names(namespace)

    def run(
        self,
        *command: str,
        kubeconfig: Path | None = None,
        context: str = "admin",
        pod: str = "",
        container: str = "main",
        timeout_s: float = 10,
        stdin: bytes = b"",
    ) -> Executed:
        config = kubeconfig or self.cluster.kubeconfig_for(context)
        with Client(ClusterRef(context, kubeconfig=str(config))) as client:
            return run_in_container(
                client, self.namespace, pod or self.name, container, command, timeout_s=timeout_s, stdin=stdin
            )

    def refused(self, *command: str, **named: Any) -> ApiError:
        with pytest.raises(ApiError) as raised:
            self.run(*command, **named)
        return raised.value

    def failed(self, *command: str, **named: Any) -> str:
        with pytest.raises(ClusterError) as raised:
            self.run(*command, **named)
        assert not isinstance(raised.value, ApiError)
        return str(raised.value)

    def status(self) -> Item:
        pod = self.cluster.get("pods", self.namespace, self.name)
        assert pod is not None
        [found] = pod["status"]["containerStatuses"]
        return found | {
            "pod is ready": any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"]["conditions"])
        }


@pytest.fixture
def pod(cluster: Cluster, namespace: str) -> Pod:
    return Pod(cluster, namespace)


# -- what a command gives back


def test_output_and_status(pod: Pod) -> None:
    done = pod.run("sh", "-c", "echo out; echo oops >&2; exit 3")
    assert done == Executed(3, b"out\n", b"oops\n")
    assert pod.run("true") == Executed(0, b"", b"")
    assert pod.run("sh", "-c", "kill -9 $$").exit_code == 137
    assert pod.run("sh", "-c", "no-such-program").exit_code == 127


def test_arguments_arrive_as_they_are(pod: Pod) -> None:
    arguments = ["a b", "", "&x=1", "ü%2F+", "$HOME", "line\nline"]
    assert pod.run("printf", "%s|", *arguments).stdout.decode() == "".join(f"{text}|" for text in arguments)


def test_a_megabyte_of_output_is_drained_and_counted(pod: Pod) -> None:
    done = pod.run("sh", "-c", "head -c 1000000 /dev/zero | tr '\\0' x; head -c 70000 /dev/zero >&2; echo end >&2")
    assert (done.exit_code, done.stdout, done.stdout_lost) == (0, b"x" * KEPT_BYTES, 1_000_000 - KEPT_BYTES)
    assert (len(done.stderr), done.stderr_lost) == (KEPT_BYTES, 70_004 - KEPT_BYTES)


def test_standard_input_has_an_end(pod: Pod) -> None:
    text = b"0123456789" * 5000
    assert pod.run("cat", stdin=text).stdout == text
    assert pod.run("wc", "-c").stdout.strip() == b"0"


def test_one_that_does_not_end(pod: Pod) -> None:
    began = time.monotonic()
    message = pod.failed("sleep", "30", timeout_s=0.7)
    assert time.monotonic() - began < 15
    assert message.startswith(
        f"`sleep` in the container main of the pod {pod.namespace}/{pod.name} (the context `admin`)"
    )
    assert message.endswith("did not end within 0.7 s; it may go on there")
    assert "did not end" in pod.failed("yes", timeout_s=0.7)


def test_a_command_is_a_change_and_asked_for_once(pod: Pod) -> None:
    mark = pod.cluster.mark()
    pod.run("true")
    [call] = pod.cluster.wait(lambda: pod.cluster.changes(mark), "the audit has it")
    assert (call.verb, call.path.rpartition("/")[2], call.code) == ("get", "exec", 101)


# -- who says no


def test_a_program_that_is_not_in_the_image(pod: Pod) -> None:
    error = pod.refused("no-such-program", "--help")
    assert (error.status, error.reason) == (500, "InternalError")
    assert str(error).startswith("`no-such-program` in the container main of the pod")
    assert "could not be run: Internal error" in str(error)
    assert 'exec: "no-such-program": executable file not found in $PATH' in str(error)


def test_what_is_not_there(pod: Pod) -> None:
    error = pod.refused("true", pod="nobody")
    assert (error.is_missing, str(error)) == (True, 'the context `admin`: pods "nobody" not found')
    error = pod.refused("true", container="side")
    assert (error.status, error.reason) == (400, "BadRequest")
    assert str(error) == f"the context `admin`: container side is not valid for pod {pod.name}"


def test_a_container_that_does_not_run(pod: Pod) -> None:
    with pod.cluster.crash("shop"):
        pod.cluster.wait(lambda: "waiting" in pod.status()["state"], "it has crashed")
        error = pod.refused("true")
    assert error.status == 500
    assert 'container not found ("main")' in str(error)


def test_a_pod_without_a_node(cluster: Cluster, namespace: str, pod: Pod) -> None:
    with cluster.hold("late"):
        cluster.deploy(namespace, "late", service=False, wait=False)
        name = cluster.wait(lambda: cluster.pod_names(namespace, "app=late"), "there is a pod")[0]
        error = pod.refused("true", pod=name)
    assert (error.status, str(error)) == (400, f"the context `admin`: pod {name} does not have a host assigned")


def test_both_verbs_are_needed(cluster: Cluster, namespace: str, pod: Pod) -> None:
    user = cluster.fresh_user()
    error = pod.refused("true", context=user)
    assert error.status == 403
    assert f'User "{user}" cannot get resource "pods/exec" in API group "" in the namespace "{namespace}"' in str(error)
    cluster.allow(namespace, user, "get pods/exec")
    error = pod.refused("true", context=user)
    assert (error.status, error.reason) == (403, "Forbidden")
    assert str(error).rstrip() == f'the context `{user}`: pods "{pod.name}" is forbidden:'
    cluster.allow(namespace, user, "create pods/exec")
    assert pod.run("true", context=user).exit_code == 0


# -- the same access as all other requests


def changed(pod: Pod, directory: Path, user: Item | None = None, **cluster: Any) -> Path:
    """The administrator's kubeconfig, with another user or more about the cluster."""
    document = yaml.safe_load(pod.cluster.kubeconfig.read_text())
    document["clusters"][0]["cluster"] |= cluster
    document["users"][0]["user"] = user or document["users"][0]["user"]
    path = directory / "kubeconfig"
    path.write_text(yaml.safe_dump(document))
    return path


def test_refused_credentials_are_renewed_once(pod: Pod, tmp_path: Path) -> None:
    plugin, runs, token = tmp_path / "plugin", tmp_path / "runs", pod.cluster.token("admin")
    plugin.write_text(
        f"#!/bin/sh\necho x >> '{runs}'\ntoken=stale\n[ $(wc -l < '{runs}') = 1 ] || token={token}\n"
        'echo "{\\"status\\": {\\"token\\": \\"$token\\"}}"\n'
    )
    plugin.chmod(0o700)
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(plugin)}}
    assert pod.run("echo", "x", kubeconfig=changed(pod, tmp_path, user)).stdout == b"x\n"
    assert runs.read_text() == "x\nx\n"


def test_refused_credentials_that_cannot_be_renewed(pod: Pod, tmp_path: Path) -> None:
    error = pod.refused("true", kubeconfig=changed(pod, tmp_path, {"token": "stale"}))
    assert (error.status, "they may have expired" in str(error)) == (401, True)


def test_an_impersonated_user(cluster: Cluster, pod: Pod, tmp_path: Path) -> None:
    user = cluster.fresh_user()
    config = changed(pod, tmp_path, {"token": cluster.token("admin"), "as": user})
    assert f'User "{user}" cannot get resource "pods/exec"' in str(pod.refused("true", kubeconfig=config))


def test_a_server_that_is_not_trusted(pod: Pod, tmp_path: Path) -> None:
    if not pod.cluster.url.startswith("https:"):
        pytest.skip("a server without TLS")
    message = pod.failed("true", kubeconfig=changed(pod, tmp_path, **{"tls-server-name": "elsewhere"}))
    assert "no TLS connection: hostname 'elsewhere' doesn't match" in message
    assert NOT_KNOWN not in message
    assert pod.run("true", kubeconfig=changed(pod, tmp_path, **{"tls-server-name": "localhost"})).exit_code == 0


@contextlib.contextmanager
def connecting() -> Iterator[tuple[str, list[str]]]:
    """The URL of a proxy that knows CONNECT, and the first lines that it was sent."""
    lines: list[str] = []

    def pump(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def serve(near: socket.socket) -> None:
        with near:
            head = b""
            while b"\r\n\r\n" not in head:
                head += near.recv(1 << 16)
            lines.append(head.split(b"\r\n")[0].decode())
            host, _, port = lines[-1].split()[1].rpartition(":")
            with socket.create_connection((host, int(port))) as far:
                near.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                back = threading.Thread(target=pump, args=(far, near), daemon=True)
                back.start()
                pump(near, far)
                back.join(5)

    def listen(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=listen, args=(listener,), daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", lines
        listener.shutdown(socket.SHUT_RDWR)


def test_through_a_proxy(pod: Pod, tmp_path: Path) -> None:
    with connecting() as (url, lines):
        done = pod.run("cat", stdin=b"through", kubeconfig=changed(pod, tmp_path, **{"proxy-url": url}))
    assert done.stdout == b"through"
    assert lines == [f"CONNECT {pod.cluster.url.rpartition('/')[2]} HTTP/1.1"]


def test_proxies_of_the_environment_are_not_used(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
        monkeypatch.setenv(name.upper(), "http://127.0.0.1:1")
    assert pod.run("true").exit_code == 0


# -- bad days: it is never asked for again once it may have run


def test_through_a_proxy_before_the_server(pod: Pod, proxy: Proxy) -> None:
    done = pod.run("sh", "-c", "cat; exit 4", stdin=b"x" * 40_000, kubeconfig=proxy.kubeconfig)
    assert (done.exit_code, done.stdout) == (4, b"x" * 40_000)


@pytest.mark.parametrize(("what", "runs"), [("cut", 1), ("lose", 1), ("drop", 0)])
def test_a_connection_that_is_cut_off(pod: Pod, proxy: Proxy, what: str, runs: int) -> None:
    getattr(proxy, what)(times=None)
    message = pod.failed("sh", "-c", "echo x >>runs; echo y; sleep 0.2", kubeconfig=proxy.kubeconfig)
    assert message.endswith(f"the connection was cut off; {NOT_KNOWN}")
    assert pod.run("sh", "-c", "sleep 0.2; touch runs; cat runs").stdout == b"x\n" * runs


def test_a_server_that_does_not_answer(pod: Pod, proxy: Proxy) -> None:
    proxy.hang(times=None)
    message = pod.failed("true", kubeconfig=proxy.kubeconfig, timeout_s=0.5)
    assert message.endswith(f"no answer in time; {NOT_KNOWN}")
    proxy.mend()
    assert len(proxy.calls) == 1


def test_a_server_that_goes_away_in_the_middle(pod: Pod, proxy: Proxy) -> None:
    def leave() -> None:
        pod.cluster.wait(lambda: pod.run("test", "-e", "begun").exit_code == 0, "the command has begun")
        proxy.gone()

    leaving = threading.Thread(target=leave)
    leaving.start()
    message = pod.failed("sh", "-c", "touch begun; sleep 60", kubeconfig=proxy.kubeconfig, timeout_s=30)
    assert message.endswith(f"the connection was cut off; {NOT_KNOWN}")
    leaving.join()


def test_a_server_that_is_not_there(pod: Pod, proxy: Proxy) -> None:
    proxy.gone()
    message = pod.failed("true", kubeconfig=proxy.kubeconfig, timeout_s=0.3)
    assert message.endswith("cannot be reached")


def test_only_what_was_surely_not_done_is_asked_for_again(pod: Pod, proxy: Proxy) -> None:
    proxy.answer(429, retry_after_s=0)
    assert pod.run("true", kubeconfig=proxy.kubeconfig).exit_code == 0
    proxy.answer(503, message="the server is tired")
    error = pod.refused("true", kubeconfig=proxy.kubeconfig)
    assert (error.status, str(error)) == (503, "the context `admin`: the server is tired")
    assert len(proxy.calls) == 3


# -- servers that speak otherwise

type Talk = Callable[[web.WebSocketResponse], Awaitable[None]]
SUCCESS = b'\x03{"status":"Success"}'


@contextlib.contextmanager
def talking(directory: Path, talk: Talk, *protocols: str) -> Iterator[Client]:
    """A client of a server that does with each WebSocket what the test says."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        answer = web.WebSocketResponse(protocols=protocols, timeout=0.1)
        await answer.prepare(request)
        await talk(answer)
        return answer

    async def start() -> web.ServerRunner:
        runner = web.ServerRunner(web.Server(handle), shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner

    loop = LoopThread()
    runner = loop.run(start())
    try:
        with Client(reference(directory, f"http://127.0.0.1:{runner.addresses[0][1]}")) as client:
            yield client
    finally:
        loop.run(runner.cleanup())
        loop.close()


def run(client: Client, timeout_s: float = 3, stdin: bytes = b"") -> Executed:
    return run_in_container(client, "shop", "a", "main", ["true"], timeout_s=timeout_s, stdin=stdin)


def sends(*frames: bytes) -> Talk:
    async def talk(answer: web.WebSocketResponse) -> None:
        for frame in frames:
            await answer.send_bytes(frame)

    return talk


def test_the_older_protocol(tmp_path: Path) -> None:
    with talking(tmp_path, sends(b"\x01", b"\x01out", b"\x02err", SUCCESS), V4) as client:
        assert run(client) == Executed(0, b"out", b"err")
        with pytest.raises(ClusterError, match="does not speak Kubernetes' protocol for commands"):
            run(client, stdin=b"x")  # its end could not be told


def test_a_server_that_speaks_another_protocol(tmp_path: Path) -> None:
    with (
        talking(tmp_path, sends(SUCCESS), "chat") as client,
        pytest.raises(ClusterError, match="does not speak Kubernetes' protocol for commands"),
    ):
        run(client)


def test_odd_frames_are_passed_over(tmp_path: Path) -> None:
    async def talk(answer: web.WebSocketResponse) -> None:
        await answer.ping(b"are you there")
        for frame in (b"", b"\x09what", b"\x03", b"\x01a", b"\x03", b'\x03{"status":', b'\x03"Success"}'):
            await answer.send_bytes(frame)

    with talking(tmp_path, talk, V5) as client:
        assert run(client) == Executed(0, b"a", b"")


def test_a_connection_that_is_left_open_keeps_nobody_waiting(tmp_path: Path) -> None:
    async def talk(answer: web.WebSocketResponse) -> None:
        await answer.send_bytes(SUCCESS)
        await answer.send_bytes(b"\x01late")
        await asyncio.sleep(20)

    began = time.monotonic()
    with talking(tmp_path, talk, V5) as client:
        assert run(client, timeout_s=15) == Executed(0, b"late", b"")
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (b"\x03{", f"its status cannot be read; {NOT_KNOWN}"),
        (b"\x03[]", f"its status cannot be read; {NOT_KNOWN}"),
        (b"\x03\xff", f"its status cannot be read; {NOT_KNOWN}"),
        (b"\x03{}", "could not be run: the node gives no reason"),
        (b'\x03{"status":"Failure","message":"boom"}', "could not be run: boom"),
        (b'\x03{"status":"Failure","reason":"NonZeroExitCode","message":"?"}', "could not be run: ?"),
        (b"\x01half", f"the connection was cut off; {NOT_KNOWN}"),
    ],
)
def test_a_status_that_says_nothing(tmp_path: Path, frame: bytes, message: str) -> None:
    with talking(tmp_path, sends(frame), V5) as client, pytest.raises(ClusterError) as raised:
        run(client)
    assert str(raised.value).endswith(message)


def test_drops_of_a_frame_do_not_prolong_the_deadline(tmp_path: Path) -> None:
    async def talk(answer: web.WebSocketResponse) -> None:
        transport = answer._req.transport  # type: ignore[union-attr]
        transport.write(b"\x82\x7d")
        with contextlib.suppress(ConnectionError):
            for _ in range(100):
                transport.write(b"x")
                await asyncio.sleep(0.05)

    began = time.monotonic()
    with talking(tmp_path, talk, V5) as client, pytest.raises(ClusterError, match="did not end within"):
        run(client, timeout_s=0.5)
    assert time.monotonic() - began < 4


# -- the pretended containers


def test_the_main_process_is_number_1_to_kill(pod: Pod) -> None:
    before = pod.status()
    assert (before["restartCount"], before["pod is ready"]) == (0, True)
    assert pod.run("sh", "-c", "touch there; kill -0 1").exit_code == 0
    for number, command in enumerate((["kill", "-TERM", "1"], ["sh", "-c", "kill -s TERM 1; sleep 20"]), 1):
        with contextlib.suppress(ClusterError):  # the command ends with its container, perhaps before it is seen to end
            pod.run(*command)
        after = pod.cluster.wait(lambda at=number: (s := pod.status())["restartCount"] == at and s, "it is restarted")
        assert after["lastState"]["terminated"]["exitCode"] == 143
        assert after["containerID"] != before["containerID"]
        assert (after["ready"], after["pod is ready"]) == (False, False)
        pod.cluster.wait(lambda: pod.status()["pod is ready"], "it is ready again")
        assert pod.status()["restartCount"] == number
    assert pod.run("ls").stdout == b"bin\n"


def test_nothing_goes_on_after_its_pod(cluster: Cluster, namespace: str, pod: Pod) -> None:
    pid = int(pod.run("sh", "-c", "sleep 60 >/dev/null 2>&1 & echo $!").stdout)
    assert Path(f"/proc/{pid}").exists()
    cluster.delete("deployments", namespace, "shop", propagationPolicy="Background")
    cluster.wait(lambda: not Path(f"/proc/{pid}").exists(), "it is gone")


def test_a_container_has_little_of_its_own(pod: Pod) -> None:
    assert pod.run("sh", "-c", "echo $HOSTNAME").stdout.decode() == f"{pod.name}\n"
    assert b"VIRTUAL_ENV" not in pod.run("env").stdout
    assert pod.run("/bin/sh", "-c", "kill -0 1").exit_code != 0  # never a process that is not the container's


def test_what_a_real_api_server_asks_of_the_kubelets(tmp_path: Path) -> None:
    """As registry/core/pod/strategy.go has it, with no API server between."""
    certificate, key = make_certificate(tmp_path)
    metadata = {"namespace": "shop", "name": "a", "uid": "1"}
    status = {"containerStatuses": [{"name": "main", "state": {"running": {}}}]}
    loop, containers = LoopThread(), Containers()
    server = KubeletServer(loop, server_tls(certificate, key), containers)
    containers.tend([{"metadata": metadata, "status": status}])
    url = f"wss://127.0.0.1:{server.port}/exec/shop"
    try:
        asked = websocket.create_connection(
            f"{url}/a/main?command=cat&error=1&input=1&output=1",
            subprotocols=[V5],
            sslopt={"ca_certs": str(certificate)},
            timeout=5,
        )
        asked.send_binary(b"\x00text")
        asked.send_binary(b"\xff\x00")
        assert [asked.recv(), asked.recv()] == [b"\x01text", b'\x03{"metadata":{},"status":"Success"}']
        asked.close()
        for path, said in {"b/main": "pod does not exist", "a/side": 'container not found ("side")'}.items():
            with pytest.raises(websocket.WebSocketBadStatusException) as raised:
                websocket.create_connection(f"{url}/{path}", sslopt={"ca_certs": str(certificate)}, timeout=5)
            assert raised.value.resp_body == said.encode()
    finally:
        containers.close()
        server.close()
        loop.close()
