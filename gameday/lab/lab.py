"""Brings the lab up and down, and says how it is."""

import contextlib
import fcntl
import http.client
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

from gameday.common.processes import ProcessRef, is_alive, kill_family, python_command, ref_of, send_signal, state_of
from gameday.lab.base import LabError, LabInfo, LabStatus, PartStatus
from gameday.lab.monitoring import WINDOW
from gameday.lab.programs import find_programs
from gameday.lab.state import Part, Paths, State, read_state
from gameday.lab.topology import SERVICES, url

type Progress = Callable[[str], None]

_UP_S = 30.0  # usually three; a machine busy with something else gets its time
_DOWN_S = 10.0
_LOCK_S = 45.0
_POLL_S = 0.05
_ANSWER_S = 1.0


class Lab:
    """The lab of the project at `root`; its state is under `.gameday/lab` there.

    Any number of these may look at one lab, from any process.
    """

    def __init__(self, root: Path) -> None:
        self._paths = Paths(root.resolve() / ".gameday" / "lab")

    def up(self, progress: Progress = lambda _: None, *, signals: bool = True) -> LabInfo:
        """Start what is not running; return once every part answers and, with `signals`, Prometheus has data of all.

        The parts answer within a second or two. Prometheus scrapes nothing in the first five seconds of its life, and
        a rate needs five more, so that signals take about ten. Harmless when the lab is up; one that is half up, or has
        a part that was given up, is started anew. Raises LabError when a program is missing, a part does not start or
        all is not ready within 30 s; what this call started is then ended again.
        """
        find_programs()
        try:
            return self._up(progress, signals=signals)
        except OSError as error:
            where, why = error.filename or self._paths.directory, error.strerror or error
            raise LabError(f"the lab cannot use {where}: {why}") from error
        except subprocess.TimeoutExpired as error:
            raise LabError(f"the lab's supervisor has not started within {_UP_S:g} s") from error

    def down(self) -> tuple[str, ...]:
        """End every process and return the names of those that ran. Raises LabError when one cannot be ended."""
        if not self._paths.directory.exists():
            return ()
        with self._lock():
            state = read_state(self._paths)
            return self._end(state) if state else ()

    def status(self) -> LabStatus:
        """How each part is now. Never raises for a lab that is half up or dead."""
        state = read_state(self._paths)
        if state is None:
            return LabStatus(running=False, parts=())
        supervisor = self._part_status(Part("supervisor", 0, process=state.supervisor), supervised=True)
        parts = tuple(self._part_status(part, supervised=supervisor.alive) for part in state.parts)
        return LabStatus(running=any(is_alive(ref) for ref in state.processes()), parts=(supervisor, *parts))

    def info(self) -> LabInfo | None:
        """Where the lab answers, or None when it is not up."""
        state = read_state(self._paths)
        return state.info(self._paths) if state and state.complete and is_alive(state.supervisor) else None

    def _up(self, progress: Progress, *, signals: bool) -> LabInfo:
        with self._lock():
            state = read_state(self._paths)
            if state and _is_whole(state):
                # Not for the shop: somebody may be breaking it at this very moment.
                waiting = _machinery(state)
                self._wait_ready(progress, waiting | _first_signals(state) if signals else waiting)
                return state.info(self._paths)
            if state:
                self._end(state)
            try:
                state = self._start(progress)
                waiting = _machinery(state) | _shop(state)
                self._wait_ready(progress, waiting | _first_signals(state) if signals else waiting)
            except BaseException:
                if left := read_state(self._paths):
                    self._end(left)
                raise
            return state.info(self._paths)

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        self._paths.directory.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + _LOCK_S
        with self._paths.lock.open("w") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise LabError(f"another `gameday lab` command has held {self._paths.lock} for 45 s") from None
                    time.sleep(_POLL_S)
            yield

    def _start(self, progress: Progress) -> State:
        progress("starting Envoy, Prometheus, Alertmanager, the shop and its load")
        for directory in (self._paths.logs, self._paths.data):
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir(parents=True)
        self._paths.inventory.unlink(missing_ok=True)
        done = subprocess.run(
            python_command("gameday.lab.supervisor", str(self._paths.directory)),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_UP_S,
            check=False,
            start_new_session=True,
        )
        if done.returncode != 0:
            raise LabError(f"the lab's supervisor did not start:\n{_indent(done.stderr.splitlines()[-5:])}")
        daemon = ref_of(int(done.stdout))
        deadline = time.monotonic() + _UP_S
        while not ((state := read_state(self._paths)) and state.supervisor == daemon and state.complete):
            if daemon is None or not is_alive(daemon):
                raise LabError(self._epitaph())
            if time.monotonic() > deadline:
                raise LabError(f"the lab's supervisor has not started its parts within {_UP_S:g} s")
            time.sleep(_POLL_S)
        return state

    def _wait_ready(self, progress: Progress, waiting: dict[str, str]) -> None:
        """Until each of these URLs has answered. Raises LabError."""
        deadline = time.monotonic() + _UP_S
        told = len(waiting)
        while True:
            waiting = {name: address for name, address in waiting.items() if not _answers(address)}
            if not waiting:
                return
            if len(waiting) < told:
                told = len(waiting)
                progress(f"waiting for {', '.join(waiting)}")
            self._raise_if_dead()
            if time.monotonic() > deadline:
                raise LabError(self._not_ready(waiting))
            time.sleep(_POLL_S)

    def _epitaph(self) -> str:
        lines, log = self._paths.last_lines("supervisor"), self._paths.log("supervisor")
        return "the lab's supervisor died" + (f":\n{_indent(lines)}" if lines else f"; {log} is empty")

    def _raise_if_dead(self) -> None:
        state = read_state(self._paths)
        if state is None or not is_alive(state.supervisor):
            raise LabError(self._epitaph())
        for part in state.parts:
            if part.gave_up:
                raise LabError(f"{part.name} {self._part_status(part, supervised=True).detail}")

    def _not_ready(self, waiting: dict[str, str]) -> str:
        lines = [f"the lab is not ready after {_UP_S:g} s; still waiting for {', '.join(waiting)}."]
        for name in waiting:
            if tail := self._paths.last_lines(name):
                lines.append(f"{name}'s log ends:\n{_indent(tail)}")
        return "\n".join(lines)

    def _part_status(self, part: Part, *, supervised: bool) -> PartStatus:
        state = state_of(part.process) if part.process else None
        alive = state not in (None, "Z", "X")
        pid = part.process.pid if part.process and alive else None
        if alive:
            detail = "paused (stopped by a signal)" if state in ("T", "t") else "up"
            if part.deaths:
                detail += f", restarted {part.deaths}×, last {part.ended}"
        else:
            tail = _indent(self._paths.last_lines(part.name))
            detail = "\n".join(filter(None, (self._why_dead(part, supervised=supervised), tail)))
        return PartStatus(part.name, alive, pid, part.port or None, detail)

    def _why_dead(self, part: Part, *, supervised: bool) -> str:
        if part.name == "supervisor":
            return f"died; `gameday lab up` starts the lab anew. Its log: {self._paths.log('supervisor')}"
        if not supervised:
            return "died with its supervisor"
        if part.gave_up:
            return f"{part.ended} as soon as it was started, {part.deaths} times; given up. Its log ends:"
        return f"{part.ended or 'died'}; it is started again in a moment"

    def _end(self, state: State) -> tuple[str, ...]:
        names = {state.supervisor: "supervisor"} | {part.process: part.name for part in state.parts if part.process}
        ended = tuple(name for ref, name in names.items() if ref and is_alive(ref))
        # The supervisor ends its children itself; what it leaves, or what outlived it, is ended one by one.
        supervised = send_signal(state.supervisor, signal.SIGTERM)
        if not _wait_gone((state.supervisor,), _DOWN_S / 2):
            send_signal(state.supervisor, signal.SIGKILL)
            _wait_gone((state.supervisor,), _DOWN_S / 2)
        if supervised:  # its group was its own a moment ago; that of one long dead may be anyone's
            kill_family(state.supervisor)
        # What was restarted while we waited is in the newest record.
        left = {*state.processes(), *(read_state(self._paths) or state).processes()}
        for ref in left:
            send_signal(ref, signal.SIGKILL)
        if not _wait_gone(tuple(left), _DOWN_S):
            pids = ", ".join(str(ref.pid) for ref in left if is_alive(ref))
            raise LabError(f"these processes of the lab do not end: {pids}; end them with `kill -9`")
        self._paths.inventory.unlink(missing_ok=True)
        self._paths.state.unlink(missing_ok=True)
        return ended


def _is_whole(state: State) -> bool:
    return state.complete and is_alive(state.supervisor) and not any(part.gave_up for part in state.parts)


def _machinery(state: State) -> dict[str, str]:
    """Names of the parts around the shop, and the URLs that answer 200 once they are ready."""
    layout = state.layout
    return {
        "envoy": f"{url(layout.admin)}/ready",
        "prometheus": f"{url(layout.prometheus)}/-/ready",
        "alertmanager": f"{url(layout.alertmanager)}/-/ready",
        "receiver": f"{url(layout.receiver)}/notifications",
        "load": f"{url(layout.load)}/metrics",
    }


def _shop(state: State) -> dict[str, str]:
    replicas = {part.name: f"{url(part.port)}/health" for part in state.parts if part.service}
    return replicas | {"the shop": f"{url(state.layout.front)}/"}


def _first_signals(state: State) -> dict[str, str]:
    # A whole window of every service: a rate over less would be too low, and a baseline with it.
    counts = f'count_over_time(envoy_http_downstream_rq_completed{{service!=""}}[{WINDOW}])'
    query = f"count({counts} >= 5) == {len(SERVICES)}"
    return {f"{WINDOW} of signals": f"{url(state.layout.prometheus)}/api/v1/query?query={quote(query)}"}


def _answers(address: str) -> bool:
    parts = urlsplit(address)
    assert parts.hostname
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=_ANSWER_S)
    try:
        connection.request("GET", f"{parts.path}?{parts.query}")
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return response.status == 200 and b'"result":[]' not in body


def _wait_gone(refs: tuple[ProcessRef, ...], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while any(is_alive(ref) for ref in refs):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S / 5)
    return True


def _indent(lines: tuple[str, ...] | list[str]) -> str:
    return "\n".join(f"    {line}" for line in lines)
