"""What runs in pretended containers: local processes, each container's in a directory and with programs of its own.

A container's main process is started when a first command is run in it, an ephemeral one's when the pretended kubelet
says so: that one runs the command of its spec. When it ends, so does all else in there, and the kubelet is told.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

type Item = dict[str, Any]
type Process = subprocess.Popen[bytes]

_NOBODY = 65534
# Ends on SIGTERM, as a well-behaved server does, and when the tests are gone, for then its input ends.
_MAIN = "trap 'exit 143' TERM INT; exec 3<&0; cat <&3 >/dev/null & wait $!"
# In a real container the main process is number 1. No text of a command is changed: this is the container's `kill`,
# as a program on its PATH and as a function in its `sh`.
_KILL = """#!/bin/sh
for part do
    shift
    [ "$part" = 1 ] && part=$GAMEDAY_MAIN_PID
    set -- "$@" "$part"
done
kill "$@"
"""
_DOLLAR = re.compile(r"\$(\$|\(([^)]*)\))")


class _Container:
    """`on_end` is called with the main process's exit status, from another thread, unless it is closed before."""

    def __init__(
        self, hostname: str, on_end: Callable[[int], None], main: Sequence[str] = (), more: Item | None = None
    ) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="gameday-container-"))
        programs = self._directory / "bin"
        programs.mkdir()
        (programs / "kill").write_text(_KILL)
        (programs / "kill").chmod(0o755)
        (programs / "sh").symlink_to(shutil.which("bash") or "/bin/bash")
        if os.geteuid() == 0:  # else a command that goes astray could signal anybody
            self._user: Item = {"user": _NOBODY, "group": _NOBODY, "extra_groups": ()}
            os.chown(self._directory, _NOBODY, _NOBODY)
        else:
            self._user = {}
        self._environment = {
            "PATH": f"{programs}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self._directory),
            "TMPDIR": str(self._directory),  # /tmp is the machine's
            "HOSTNAME": hostname,
            **(more or {}),
            "BASH_FUNC_kill%%": f'() {{ "{programs}/kill" "$@"; }}',
        }
        self._running: set[Process] = set()
        self._lock, self._closed, self._on_end = threading.Lock(), False, on_end
        try:
            self._main = self.start(main or ["sh", "-c", _MAIN])
        except OSError:
            self.close()
            raise
        self._environment["GAMEDAY_MAIN_PID"] = str(self._main.pid)
        threading.Thread(target=self._wait, daemon=True).start()

    def start(self, command: Sequence[str]) -> Process:
        """Raises OSError when there is no such program."""
        program = shutil.which(command[0], path=self._environment["PATH"])
        if program is None:
            raise FileNotFoundError(command[0])
        with self._lock:
            if self._closed:
                raise ProcessLookupError("the container has ended")
            process = subprocess.Popen(
                command,
                executable=program,
                cwd=self._directory,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                bufsize=0,
                **self._user,
            )
            self._running.add(process)
        return process

    def processes(self) -> dict[int, str]:
        """Whatever runs in here, by its pid: the command line."""
        with self._lock:
            sessions = {process.pid for process in self._running}
        found = {}
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) in sessions and fields[0] != "Z":
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        return found

    def forget(self, process: Process) -> None:
        """Of a process that has ended; its pipes are closed."""
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
        with self._lock, contextlib.suppress(OSError):
            os.killpg(process.pid, 0)
            return  # it has left some behind
        self._running.discard(process)

    def _wait(self) -> None:
        status = self._main.wait()
        if not self._closed:
            self.close()
            self._on_end(status if status >= 0 else 128 - status)
        self.forget(self._main)

    def close(self) -> None:
        """End everything in here."""
        with self._lock:
            self._closed = True
            running = tuple(self._running)
        for process in running:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
        shutil.rmtree(self._directory, ignore_errors=True)


class Containers:
    """Those of all pods on pretended nodes. For any thread."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._pods: dict[tuple[str, str], Item] = {}
        self._there: dict[tuple[str, str], _Container] = {}  # by the pod's uid and the container's name
        self._ended: dict[tuple[str, str], int] = {}  # not yet told by the kubelet
        self.on_end: Callable[[], None] = lambda: None

    def tend(self, pods: Iterable[Item]) -> None:
        """These are the pods now: end what ran in others, or in containers that run no more."""
        with self._lock:
            self._pods = {(pod["metadata"]["namespace"], pod["metadata"]["name"]): pod for pod in pods}
            running = {
                (pod["metadata"]["uid"], name)
                for pod in self._pods.values()
                for name in _running(pod) | {item["name"] for item in ephemeral_of(pod)}
            }
            self._ended = {key: status for key, status in self._ended.items() if key in running}
            for key in self._there.keys() - running:
                self._there.pop(key).close()

    def know(self, pod: Item) -> None:
        """This pod is so now."""
        with self._lock:
            self._pods[pod["metadata"]["namespace"], pod["metadata"]["name"]] = pod

    def take_ended(self, uid: str) -> dict[str, int]:
        """The exit statuses of those of a pod's containers whose main process has ended; each is told once."""
        with self._lock:
            found = {name: status for (pod, name), status in self._ended.items() if pod == uid}
            for name in found:
                del self._ended[uid, name]
            return found

    def find(self, namespace: str, name: str) -> Item | None:
        with self._lock:
            return self._pods.get((namespace, name))

    def enter(self, pod: Item, name: str) -> _Container | None:
        """A container of a pod, None when it does not run."""
        key = (pod["metadata"]["uid"], name)
        with self._lock:
            if key in self._ended or not (name in _running(pod) or key in self._there):
                return None
            if key not in self._there:
                self._there[key] = _Container(pod["metadata"]["name"], lambda status: self._end(key, status))
            return self._there[key]

    def run(self, pod: Item, spec: Item) -> int | None:
        """Start an ephemeral container, with what the pod says now; its exit status if it cannot be started."""
        key, environment = (pod["metadata"]["uid"], spec["name"]), _environment(pod, spec)
        words = [_expanded(word, environment) for word in (*(spec.get("command") or ()), *(spec.get("args") or ()))]
        with self._lock:
            try:
                self._there[key] = _Container(
                    pod["metadata"]["name"], lambda status: self._end(key, status), words, environment
                )
            except OSError:
                return 128  # as runc's StartError
        return None

    def processes(self, pod: Item, name: str) -> dict[int, str]:
        """What runs in a container, by pid, with its command line."""
        with self._lock:
            container = self._there.get((pod["metadata"]["uid"], name))
        return container.processes() if container is not None else {}

    def _end(self, key: tuple[str, str], status: int) -> None:
        with self._lock:
            if self._there.pop(key, None) is not None:
                self._ended[key] = status
        self.on_end()

    def close(self) -> None:
        """End everything everywhere."""
        self.tend(())


def ephemeral_of(pod: Item) -> list[Item]:
    """The ephemeral containers that a pod asks for."""
    return (pod.get("spec") or {}).get("ephemeralContainers") or []


def _environment(pod: Item, spec: Item) -> dict[str, str]:
    """As the kubelet has it for a container at its start: an annotation that is not there is empty."""
    found = {}
    for item in spec.get("env") or ():
        path = ((item.get("valueFrom") or {}).get("fieldRef") or {}).get("fieldPath")
        found[item["name"]] = item.get("value", "") if path is None else _field(pod, path)
    return found


def _field(pod: Item, path: str) -> str:
    """https://kubernetes.io/docs/concepts/workloads/pods/downward-api/"""
    head, bracket, key = path.partition("['")
    value: Any = pod
    for part in head.split("."):
        value = value.get(part) or {}
    return str(value.get(key.removesuffix("']"), "") if bracket else value or "")


def _expanded(word: str, environment: Mapping[str, str]) -> str:
    """As the kubelet hands on a part of a command: k8s.io/kubernetes/third_party/forked/golang/expansion."""

    def replace(found: re.Match[str]) -> str:
        return "$" if found[1] == "$" else environment.get(found[2], found[0])

    return _DOLLAR.sub(replace, word)


def _running(pod: Item) -> set[str]:
    statuses = pod["status"].get("containerStatuses") or ()
    return {item["name"] for item in statuses if "running" in (item.get("state") or {})}
