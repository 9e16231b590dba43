"""Kills one session at one point, has it undone, and looks from the outside whether anything is left.

A `Place` is a system that sessions are run on, one at a time. Whoever calls sees to it that each try begins with a
whole system (`Place.prepare`). Linux only: processes are found through /proc.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import ClassVar

from measure import GAMEDAY, environment_of

from gameday.engine.locks import LockHeldError, ServiceLocks
from gameday.engine.runs import GUARDIAN_LOCK, Run, all_runs, runs_directory, unfinished_runs
from gameday.journal.events import AnyEvent, RollbacksEnded, UndoEnded
from gameday.journal.log import JournalWriter, Unread, read_events, read_journal

TESTS = Path(__file__).resolve().parent.parent / "tests"
sys.path[:0] = map(str, (TESTS, TESTS / "engine", TESTS / "testkit"))

PATIENCE_S = 60.0
_POLL_S = 0.02
_MOST_BEGINNINGS = 5
_NOT_STARTED = 3  # the exit status of `gameday run`
_LETTING_GO_S = 5.0
_MARK = "GAMEDAY_CRASH_POINT"  # in the environment of a run's processes, and so of all that they start

DOOR = """
import pathlib

STATE = pathlib.Path(__file__).parent / "door"

def shut():
    STATE.write_text("shut")

def let():
    STATE.write_text("open")
"""
# An action of the Chaos Toolkit, and its rollback.
SHUT_AND_OPEN = """
  - {type: action, name: shut, provider: {type: python, module: door, func: shut}}
rollbacks:
  - {type: action, name: open, provider: {type: python, module: door, func: let}}
"""


class Way(StrEnum):
    """Who is killed, and who is to undo."""

    GUARDIAN = "guardian"
    RECOVER = "recover"
    LOST_MACHINE = "lost machine"


@dataclass(frozen=True, slots=True)
class Point:
    """The `occurrence`-th event of a kind (from 1), `when` "before" or "after" it is written."""

    kind: str
    occurrence: int
    when: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.occurrence}:{self.when}"


@dataclass(frozen=True, slots=True)
class Moment:
    """Seconds after the start of the process."""

    after_s: float

    def __str__(self) -> str:
        return f"{self.after_s:.3f} s"


@dataclass(frozen=True, slots=True)
class Try:
    """What came of one crash. `undone_s`: from the kill to the last undo; None when nothing had to be undone."""

    point: Point | Moment
    way: Way
    reached: bool
    undone_s: float | None
    wrong: tuple[str, ...]


class Place(ABC):
    """A system, and the project at `root` whose sessions are run on it."""

    name: ClassVar[str]
    environment: ClassVar[str]
    services: ClassVar[tuple[str, ...]]  # that a session locks

    def __init__(self, root: Path) -> None:
        self.root = root

    def open(self) -> None:  # noqa: B027 - most are there once they are prepared
        """Begin with an empty directory."""

    def prepare(self) -> None:
        """Make the system whole and forget the last run. Raises AssertionError when that cannot be done."""
        shutil.rmtree(runs_directory(self.root), ignore_errors=True)
        shutil.rmtree(self.other, ignore_errors=True)
        for name in ("session.log", "killed-at"):
            (self.root / name).unlink(missing_ok=True)
        (self.root / "door.py").write_text(DOOR)
        (self.root / "door").write_text("open")

    @property
    def other(self) -> Path:
        """Another machine's project, which knows of no run. Not below this one, for a project is found upwards."""
        return self.root.with_name(f"{self.root.name}-elsewhere")

    @abstractmethod
    def run(self) -> int:
        """Run a session in this process, its exit status."""

    def broken(self) -> list[str]:
        """What is not as before."""
        door = (self.root / "door").read_text()
        return [] if door == "open" else ["door is broken"]

    def close(self) -> None:  # noqa: B027 - most have nothing to end
        """The system is no longer needed."""


# -- the process that is killed


def be_session(place: Place, wanted: str, way: Way) -> int:
    """Run the place's session; kill this process, and with it perhaps its guardian, at the point."""
    seen: Counter[str] = Counter()
    append = JournalWriter.append
    runner = os.getpid()  # which its helpers are forked from

    def strike_at(point: Point) -> None:
        if str(point) == wanted and os.getpid() == runner:
            (place.root / "killed-at").write_text(repr(time.time()))
            if way is not Way.GUARDIAN:
                kill_guardian(place.root)
            os.kill(os.getpid(), signal.SIGKILL)

    def append_or_die(writer: JournalWriter, event: AnyEvent, *, sync: bool = False) -> None:
        kind = type(event).__name__
        seen[kind] += 1
        strike_at(Point(kind, seen[kind], "before"))
        append(writer, event, sync=sync)
        strike_at(Point(kind, seen[kind], "after"))

    JournalWriter.append = append_or_die  # type: ignore[method-assign, assignment]
    return place.run()


def kill_guardian(root: Path) -> None:
    """The one that has said in its lock that it is there; one that has not yet, ends by itself."""
    for path in runs_directory(root).glob(f"*/{GUARDIAN_LOCK}"):
        _, _, pid = path.read_text().partition(" ")
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)


# -- from the outside


def processes_of(mark: str) -> list[int]:
    """All processes that come from the run, however they were started."""
    wanted = f"{_MARK}={mark}".encode()
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            with contextlib.suppress(OSError):
                if wanted in (path / "environ").read_bytes().split(b"\0"):
                    found.append(int(path.name))
    return found


def wait_for_silence(mark: str) -> list[int]:
    """Wait until no process of the run is left; those that are left after a minute, killed."""
    deadline = time.monotonic() + PATIENCE_S
    while (left := processes_of(mark)) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return left


def _environment(root: Path, mark: str) -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(root), str(TESTS / "testkit"), os.environ.get("PYTHONPATH")]))
    return environment_of(PYTHONPATH=path, **{_MARK: mark})


def start_session(place: Place, mark: str, point: Point | Moment | None, way: Way) -> subprocess.Popen[bytes]:
    """The session as a process of its own; what it prints is in `session.log`."""
    program = str(TESTS.parent / "benchmarks" / "crash_points.py")
    with (place.root / "session.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, program, "--session", place.name, str(place.root), str(point), way],
            env=_environment(place.root, mark),
            cwd=place.root,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _strike(process: subprocess.Popen[bytes], root: Path, moment: Moment, way: Way) -> bool:
    """Kill at the moment; False when the run was over before."""
    try:
        process.wait(moment.after_s)
    except subprocess.TimeoutExpired:
        (root / "killed-at").write_text(repr(time.time()))
        if way is not Way.GUARDIAN:
            process.send_signal(signal.SIGSTOP)
            kill_guardian(root)
        process.kill()
        process.wait()
        return True
    return False


def crash(place: Place, point: Point | Moment, way: Way) -> Try:
    """Run a session, kill it there, have it undone, and look at everything.

    One that its own preflight or baseline did not let begin has tried nothing, and is run again a few times.
    """
    for _ in range(_MOST_BEGINNINGS - 1):
        found, has_begun = _crash(place, point, way)
        if has_begun:
            return found
    return _crash(place, point, way)[0]


def _crash(place: Place, point: Point | Moment, way: Way) -> tuple[Try, bool]:
    """What came of it, and whether the session began."""
    mark = uuid.uuid4().hex
    place.prepare()
    root = place.root
    process = start_session(place, mark, point, way)
    if isinstance(point, Moment):
        reached = _strike(process, root, point, way)
    try:
        status = process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return Try(point, way, False, None, ("the session hung", *map(str, wait_for_silence(mark)))), True
    if isinstance(point, Point):
        reached = status == -signal.SIGKILL
    wrong = [f"process {pid} was left by the run" for pid in wait_for_silence(mark)]
    home = root
    if way is not Way.GUARDIAN and all_runs(root):
        home = _move(place) if way is Way.LOST_MACHINE else root
        wrong += recover_twice(home, root, mark)
    wrong += _what_is_wrong(place, home)
    has_begun = reached or status != _NOT_STARTED or bool(wrong)
    if not reached and status != 0:
        wrong.append(f"status {status}: {_end_of_log(root)}")
    return Try(point, way, reached, _undone_s(home, root) if reached else None, tuple(wrong)), has_begun


def _end_of_log(root: Path) -> str:
    return (root / "session.log").read_text(errors="replace")[-1500:]


def _move(place: Place) -> Path:
    """Another machine's project that has nothing but a copy of the run's directory."""
    (run,) = all_runs(place.root)
    shutil.copytree(run.directory, runs_directory(place.other) / run.name)
    shutil.rmtree(runs_directory(place.root))
    return place.other


def recover_twice(home: Path, root: Path, mark: str) -> Iterable[str]:
    """`gameday recover` in a new process, and once more; what is wrong with that."""
    (run,) = all_runs(home)
    before = b""
    for turn in ("first", "second"):
        done = _gameday(home, root, mark, "recover", run.name)
        if done.returncode:
            yield f"the {turn} recover ended with {done.returncode}: {done.stderr.decode(errors='replace')[-1000:]}"
        after = run.journal.read_bytes()
        if turn == "second" and after != before:
            yield "the second recover wrote to the journal"
        before = after
    for pid in wait_for_silence(mark):
        yield f"process {pid} was left by recover"


def _gameday(home: Path, root: Path, mark: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [GAMEDAY, *arguments],
        cwd=home,
        env=_environment(root, mark),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PATIENCE_S * 2,
        check=False,
    )


def _what_is_wrong(place: Place, home: Path) -> Iterable[str]:
    yield from place.broken()
    for run in all_runs(home):
        if not run.state().is_clean:
            yield f"the journal says that {', '.join(run.state().faults) or 'a rollback'} is left"
        if run.is_written() or run.has_guardian():
            yield "a lock on the run is held"
        for line in read_journal(run.journal):
            if isinstance(line, Unread):
                yield f"line {line.line} of the journal cannot be read: {line.reason}"
    if unfinished_runs(home):
        yield "a new session would be refused for an unfinished run"
    status = _gameday(home, place.root, "", "status")
    if status.returncode:
        yield f"status ended with {status.returncode}: {status.stderr.decode(errors='replace')[-1000:]}"
    if refused := _refused(place):
        yield f"a new session would be refused: {refused}"


def _refused(place: Place) -> str:
    """Why the services cannot be locked. A dying process has no environment some moments before it lets go of files."""
    locks = ServiceLocks(place.root / ".gameday" / "locks", place.environment)
    deadline = time.monotonic() + _LETTING_GO_S
    while True:
        try:
            locks.acquire(place.services, "a look from the outside")
        except LockHeldError as error:
            if time.monotonic() > deadline:
                return str(error)
            time.sleep(_POLL_S)
        else:
            locks.release()
            return ""


def _undone_s(home: Path, root: Path) -> float | None:
    killed_at = float((root / "killed-at").read_text())
    events = [event for run in all_runs(home) for event in _undos(run)]
    after = [event.at - killed_at for event in events if event.at > killed_at]
    return max(after, default=None)


def _undos(run: Run) -> Iterable[UndoEnded | RollbacksEnded]:
    return (event for event in read_events(run.directory) if isinstance(event, UndoEnded | RollbacksEnded))


def reference(place: Place) -> tuple[list[Point], float]:
    """Every point of an undisturbed run, in order, and how many seconds such a run takes."""
    mark = uuid.uuid4().hex
    place.prepare()
    began = time.monotonic()
    status = start_session(place, mark, None, Way.GUARDIAN).wait(PATIENCE_S)
    took_s = time.monotonic() - began
    wait_for_silence(mark)
    if status != 0:
        raise SystemExit(f"the undisturbed run ended with {status}: {_end_of_log(place.root)}")
    seen: Counter[str] = Counter()
    points = []
    (run,) = all_runs(place.root)
    for event in read_events(run.directory):
        kind = type(event).__name__
        seen[kind] += 1
        points += [Point(kind, seen[kind], "before"), Point(kind, seen[kind], "after")]
    return points, took_s
