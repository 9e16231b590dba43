"""The lab's supervisor: a daemon that starts every part, notices at once when one dies, and starts it again.

Run as `python -m gameday.lab.supervisor <state-dir>`: prints the daemon's pid and returns. One thread and no event
loop, because it forks.
"""

import contextlib
import gc
import math
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec

from gameday.common.files import write_atomically
from gameday.common.json import JsonObject
from gameday.common.processes import ref_of
from gameday.lab.children import become, describe_end, ended_by_itself, fork, redirect_output
from gameday.lab.envoy import build_envoy_config
from gameday.lab.monitoring import build_alertmanager_config, build_prometheus_config, build_rules
from gameday.lab.programs import Programs, find_programs
from gameday.lab.state import Part, Paths, State, read_state, write_state
from gameday.lab.topology import HOST, Layout, plan_layout

BACK_OFF_S = 2.0  # long enough for a death to show in the signals
_QUICK_S = 5.0  # a part that ends by itself sooner than this after its start has failed to start
_ATTEMPTS = 3
_FAREWELL_S = 2.0
_LOOK_S = 2.0  # how often it looks whether it is still wanted

type Run = Callable[[], None]


@dataclass(slots=True)
class _Child:
    """A part as it is kept here. `run` never returns when it is a program (exec)."""

    part: Part
    run: Run
    pid: int = 0
    started: float = 0.0
    restart_at: float | None = None
    failures: int = 0


def _run_program(program: Path, *arguments: str) -> Run:
    return partial(become, program, *arguments)


def _write_configs(paths: Paths, layout: Layout) -> None:
    configs: dict[str, JsonObject] = {
        "envoy.json": build_envoy_config(layout),
        "prometheus.yml": build_prometheus_config(layout),
        "rules.yml": build_rules(layout),
        "alertmanager.yml": build_alertmanager_config(layout),
    }
    for name, config in configs.items():
        write_atomically(paths.directory / name, msgspec.json.format(msgspec.json.encode(config)))


def _programs(paths: Paths, layout: Layout, programs: Programs) -> list[_Child]:
    directory = paths.directory
    envoy = _run_program(
        programs.envoy,
        *("-c", str(directory / "envoy.json"), "--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"),
    )
    prometheus = _run_program(
        programs.prometheus,
        f"--config.file={directory / 'prometheus.yml'}",
        f"--storage.tsdb.path={paths.data / 'prometheus'}",
        "--storage.tsdb.retention.time=6h",
        f"--web.listen-address={HOST}:{layout.prometheus}",
        # What fires before Alertmanager is discovered, or while it is down, is sent again after this, not a minute.
        "--rules.alert.resend-delay=5s",
        "--log.level=warn",
    )
    alertmanager = _run_program(
        programs.alertmanager,
        f"--config.file={directory / 'alertmanager.yml'}",
        f"--storage.path={paths.data / 'alertmanager'}",
        f"--web.listen-address={HOST}:{layout.alertmanager}",
        "--cluster.listen-address=",
        "--log.level=warn",
    )
    return [
        _Child(Part("envoy", layout.admin), envoy),
        _Child(Part("prometheus", layout.prometheus), prometheus),
        _Child(Part("alertmanager", layout.alertmanager), alertmanager),
    ]


def _python_parts(paths: Paths, layout: Layout) -> list[_Child]:
    # Imported after the programs were started, and before the forks: it takes as long as they need to get ready, and
    # the children find it done.
    import asyncio

    from gameday.lab.load import run_load
    from gameday.lab.receiver import run_receiver
    from gameday.lab.serving import run_blackhole
    from gameday.lab.shop import run_replica

    def forked[**P](serve: Callable[P, Coroutine[None, None, None]], *args: P.args, **kwargs: P.kwargs) -> Run:
        return lambda: asyncio.run(serve(*args, **kwargs))

    replicas = [
        _Child(Part(slot.name, slot.port, service=slot.service), forked(run_replica, layout, slot))
        for slot in layout.slots
    ]
    return [
        *replicas,
        _Child(Part("receiver", layout.receiver), forked(run_receiver, layout.receiver, paths.notifications)),
        _Child(Part("blackhole", layout.blackhole), forked(run_blackhole, layout.blackhole)),
        _Child(Part("load", layout.load), forked(run_load, layout.load, layout.front)),
    ]


class Supervisor:
    """Keeps the parts alive until SIGTERM. Records each change in the state file and the inventory."""

    def __init__(self, directory: Path) -> None:
        self._paths = Paths(directory)
        self._stopping = False
        self._complete = False
        self._children: list[_Child] = []
        own = ref_of(os.getpid())
        assert own
        self._ref = own
        self._layout = plan_layout()
        self._wake_read, self._wake_write = os.pipe()
        for fd in (self._wake_read, self._wake_write):
            os.set_blocking(fd, False)

    def run(self) -> None:
        """Start everything, then watch."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # only so that it wakes the loop
        signal.set_wakeup_fd(self._wake_write)
        self._record()
        try:
            self._start_all()
            while not self._stopping:
                self._wait()
                if self._is_disowned():
                    break
                changed = self._reap()
                if self._restart() or changed:
                    self._record()
        finally:
            self._end_all()

    def _stop(self, *_: object) -> None:
        self._stopping = True

    def _start_all(self) -> None:
        _write_configs(self._paths, self._layout)
        self._start(_programs(self._paths, self._layout, find_programs()))
        parts = _python_parts(self._paths, self._layout)
        gc.collect()
        gc.freeze()  # the collector would otherwise touch, and so copy, every page the children share
        self._start(parts)
        self._complete = True
        self._record()

    def _start(self, children: list[_Child]) -> None:
        self._children += children
        for child in children:
            self._launch(child)

    def _launch(self, child: _Child) -> None:
        part = child.part
        pid = fork(part.name, self._paths.log(part.name), (self._wake_read, self._wake_write), child.run)
        child.part = msgspec.structs.replace(part, process=ref_of(pid))
        child.pid = pid
        child.started = time.monotonic()
        child.restart_at = None

    def _record(self) -> None:
        parts = tuple(child.part for child in self._children)
        try:
            write_state(self._paths, State(self._ref, self._layout, parts, self._complete))
        except OSError as error:  # a full disk must not end the lab; the next change is written again
            print(f"cannot record the state: {error}", file=sys.stderr, flush=True)

    def _wait(self) -> None:
        due = [child.restart_at for child in self._children if child.restart_at is not None]
        timeout = min(_LOOK_S, max(0.0, min(due, default=math.inf) - time.monotonic()))
        select.select([self._wake_read], [], [], timeout)
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_read, 4096)

    def _is_disowned(self) -> bool:
        """Whether the state file is gone or another's: nobody could find this lab any more, so it must end itself."""
        try:
            state = read_state(self._paths)
        except OSError:
            return False
        return state is None or state.supervisor != self._ref

    def _reap(self) -> bool:
        changed = False
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return changed
            if pid == 0:
                return changed
            for child in self._children:
                if child.pid == pid:
                    self._bury(child, status)
                    changed = True

    def _bury(self, child: _Child, status: int) -> None:
        now = time.monotonic()
        child.pid = 0
        failed = ended_by_itself(status) and now - child.started < _QUICK_S
        child.failures = child.failures + 1 if failed else 0
        gave_up = child.failures >= _ATTEMPTS
        child.restart_at = None if gave_up else now + BACK_OFF_S
        child.part = msgspec.structs.replace(
            child.part, process=None, deaths=child.part.deaths + 1, ended=describe_end(status), gave_up=gave_up
        )

    def _restart(self) -> bool:
        now = time.monotonic()
        due = [child for child in self._children if child.restart_at is not None and child.restart_at <= now]
        for child in due:
            try:
                self._launch(child)
            except OSError as error:  # no process or memory to spare: the rest of the lab must not die of it
                print(f"cannot start {child.part.name}: {error}", file=sys.stderr, flush=True)
                child.restart_at = now + BACK_OFF_S
        return bool(due)

    def _end_all(self) -> None:
        # Nothing of a lab is kept, so nothing needs a gentle end; a paused process would not even hear one.
        for child in self._children:
            if child.pid:
                os.kill(child.pid, signal.SIGKILL)  # our own child, not reaped yet: the pid is its
        deadline = time.monotonic() + _FAREWELL_S
        while any(child.pid for child in self._children) and time.monotonic() < deadline:
            self._reap()
            time.sleep(0.01)


def main(arguments: list[str]) -> int:
    """Become a daemon. The first process prints the daemon's pid and ends."""
    directory = Path(arguments[0])
    pid = os.fork()
    if pid:
        print(pid, flush=True)
        return 0
    os.setsid()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    redirect_output(Paths(directory).log("supervisor"))
    Supervisor(directory).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
