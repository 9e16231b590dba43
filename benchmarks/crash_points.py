"""Kills a run at every event that it writes to its journal, and at random moments, and looks whether a fault is left.

Sessions on a pretend system made of files: an experiment with two stages, an action and its rollback, then another
experiment. At each crash point, right before and right after an event is written, the runner kills itself (SIGKILL):

- `guardian`: the runner alone dies; its guardian undoes.
- `recover`: the guardian is killed first; `gameday recover` undoes in a new process, and a second one changes nothing.
- `lost machine`: both die, the run's directory is copied, the original is deleted, and the copy is recovered in a
  project that knows of no other run.

Each time, from the outside: every file of the system is as before, no process is left, the journal says clean, and a
new session could start. Exit status 1 when anything is not so. Linux only: processes are found through /proc.
"""

import argparse
import contextlib
import math
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from measure import GAMEDAY, as_line, seconds

from gameday.engine.locks import LockHeldError, ServiceLocks
from gameday.engine.runs import GUARDIAN_LOCK, Run, all_runs, unfinished_runs
from gameday.journal.events import AnyEvent, RollbacksEnded, UndoEnded
from gameday.journal.log import JournalWriter, read_events

TESTS = Path(__file__).resolve().parent.parent / "tests"
sys.path[:0] = [str(TESTS / "engine"), str(TESTS / "testkit")]

AT_ONCE = 4
PATIENCE_S = 60.0
_POLL_S = 0.02
_MARK = "GAMEDAY_CRASH_POINT"  # in the environment of a run's processes, and so of all that they start
_HEADER = ("killed at", "who undoes", "points tried", "not reached", "with undo", "faults left", "median", "p99")

_TIMING = "timing: {interval: 50ms, baseline: 150ms, steady: 100ms, recovery: 1s}"
_HYPOTHESIS = 'steady-state-hypothesis: {title: It answers, signals: {errors: {ratio: "< 1%", for: 1s}}}'
FIRST = f"""
title: Two stages and a rollback
service: shop
{_HYPOTHESIS}
method:
  - {{fault: testkit/mark, target: {{service: shop}}, blast-radius: [1, 50%], hold: 100ms}}
  - {{type: action, name: shut, provider: {{type: python, module: door, func: shut}}}}
rollbacks:
  - {{type: action, name: open, provider: {{type: python, module: door, func: let}}}}
{_TIMING}
"""
SECOND = f"""
title: One stage
service: shop
{_HYPOTHESIS}
method:
  - {{fault: testkit/mark, target: {{service: shop}}, blast-radius: 1, hold: 100ms}}
{_TIMING}
"""
DOOR = """
import pathlib

STATE = pathlib.Path(__file__).parent / "system" / "door"

def shut():
    STATE.write_text("shut")

def let():
    STATE.write_text("open")
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


# -- the process that is killed


def be_session(root: Path, wanted: str, way: Way) -> int:
    """Run the session of the two experiments; kill this process, and with it perhaps its guardian, at the point."""
    import asyncio

    from pretend import PretendSystem

    from gameday.engine.session import run_session

    seen: Counter[str] = Counter()
    append = JournalWriter.append

    def strike_at(point: Point) -> None:
        if str(point) == wanted:
            (root / "killed-at").write_text(repr(time.time()))
            if way is not Way.GUARDIAN:
                kill_guardian(root)
            os.kill(os.getpid(), signal.SIGKILL)

    def append_or_die(writer: JournalWriter, event: AnyEvent, *, sync: bool = False) -> None:
        kind = type(event).__name__
        seen[kind] += 1
        strike_at(Point(kind, seen[kind], "before"))
        append(writer, event, sync=sync)
        strike_at(Point(kind, seen[kind], "after"))

    JournalWriter.append = append_or_die  # type: ignore[method-assign, assignment]
    system = PretendSystem(root, create=False)
    return asyncio.run(run_session(system.session(FIRST, SECOND), [])).verdict.exit_code


def kill_guardian(root: Path) -> None:
    """The one that has said in its lock that it is there; one that has not yet, ends by itself."""
    for path in (root / ".gameday" / "runs").glob(f"*/{GUARDIAN_LOCK}"):
        _, _, pid = path.read_text().partition(" ")
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)


# -- from the outside


def make_system(root: Path) -> None:
    """The pretend system, all well."""
    from pretend import PretendSystem

    PretendSystem(root)
    (root / "door.py").write_text(DOOR)
    (root / "system" / "door").write_text("open")


def broken(root: Path) -> list[str]:
    """What is not as before in the system."""
    from pretend import PretendSystem

    door = (root / "system" / "door").read_text()
    return [*PretendSystem(root, create=False).broken, *(["door"] if door != "open" else [])]


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
    return {**os.environ, "PYTHONPATH": path, _MARK: mark}


def start_session(root: Path, mark: str, point: Point | Moment | None, way: Way) -> subprocess.Popen[bytes]:
    """The session as a process of its own; what it prints is in `session.log`."""
    with (root / "session.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve()), "--session", str(root), str(point), way],
            env=_environment(root, mark),
            cwd=root,
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


def crash(point: Point | Moment, way: Way) -> Try:
    """Run a session, kill it there, have it undone, and look at everything."""
    with tempfile.TemporaryDirectory(prefix="gameday-crash-") as name:
        root, mark = Path(name), uuid.uuid4().hex
        make_system(root)
        process = start_session(root, mark, point, way)
        if isinstance(point, Moment):
            reached = _strike(process, root, point, way)
        else:
            try:
                reached = process.wait(PATIENCE_S) == -signal.SIGKILL
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                return Try(point, way, False, None, ("the session hung", *map(str, wait_for_silence(mark))))
        wrong = [f"process {pid} was left by the run" for pid in wait_for_silence(mark)]
        home = root
        if way is not Way.GUARDIAN and all_runs(root):
            home = _move(root) if way is Way.LOST_MACHINE else root
            wrong += _recover_twice(home, root, mark)
        wrong += _what_is_wrong(home, root)
        if not reached and process.returncode != 0:
            wrong.append(f"status {process.returncode}: {(root / 'session.log').read_text()[-1000:]}")
        return Try(point, way, reached, _undone_s(home, root) if reached else None, tuple(wrong))


def _move(root: Path) -> Path:
    """Another machine's project that has nothing but a copy of the run's directory."""
    other = root / "other"
    (run,) = all_runs(root)
    shutil.copytree(run.directory, other / ".gameday" / "runs" / run.name)
    shutil.rmtree(root / ".gameday")
    return other


def _recover_twice(home: Path, root: Path, mark: str) -> Iterable[str]:
    (run,) = all_runs(home)
    before = b""
    for turn in ("first", "second"):
        done = subprocess.run(
            [GAMEDAY, "recover", run.name],
            cwd=home,
            env=_environment(root, mark),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE_S * 2,
            check=False,
        )
        if done.returncode:
            yield f"the {turn} recover ended with {done.returncode}: {done.stderr.decode(errors='replace')[-1000:]}"
        after = run.journal.read_bytes()
        if turn == "second" and after != before:
            yield "the second recover wrote to the journal"
        before = after
    for pid in wait_for_silence(mark):
        yield f"process {pid} was left by recover"


def _what_is_wrong(home: Path, root: Path) -> Iterable[str]:
    for name in broken(root):
        yield f"{name} is broken"
    for run in all_runs(home):
        if not run.state().is_clean:
            yield f"the journal says that {', '.join(run.state().faults) or 'a rollback'} is left"
        if run.is_written() or run.has_guardian():
            yield "a lock on the run is held"
    if unfinished_runs(home):
        yield "a new session would be refused for an unfinished run"
    locks = ServiceLocks(home / ".gameday" / "locks", "pretend")
    try:
        locks.acquire(("shop", "stock"), "a look from the outside")
    except LockHeldError as error:
        yield f"a new session would be refused: {error}"
    locks.release()


def _undone_s(home: Path, root: Path) -> float | None:
    killed_at = float((root / "killed-at").read_text())
    events = [event for run in all_runs(home) for event in _undos(run)]
    after = [event.at - killed_at for event in events if event.at > killed_at]
    return max(after, default=None)


def _undos(run: Run) -> Iterable[UndoEnded | RollbacksEnded]:
    return (event for event in read_events(run.directory) if isinstance(event, UndoEnded | RollbacksEnded))


# -- the campaign


def reference() -> tuple[list[Point], float]:
    """Every point of an undisturbed run, in order, and how many seconds such a run takes."""
    with tempfile.TemporaryDirectory(prefix="gameday-crash-") as name:
        root, mark = Path(name), uuid.uuid4().hex
        make_system(root)
        began = time.monotonic()
        status = start_session(root, mark, None, Way.GUARDIAN).wait(PATIENCE_S)
        took_s = time.monotonic() - began
        if status != 0:
            raise SystemExit(f"the undisturbed run ended with {status}: {(root / 'session.log').read_text()[-2000:]}")
        wait_for_silence(mark)
        seen: Counter[str] = Counter()
        points = []
        (run,) = all_runs(root)
        for event in read_events(run.directory):
            kind = type(event).__name__
            seen[kind] += 1
            points += [Point(kind, seen[kind], "before"), Point(kind, seen[kind], "after")]
        return points, took_s


def campaign(tries: Sequence[tuple[Point | Moment, Way]]) -> list[Try]:
    """All of them, a few at a time; what went wrong is printed as it is found."""

    def one(item: tuple[Point | Moment, Way]) -> Try:
        result = crash(*item)
        for text in result.wrong:
            print(f"{result.way}, {result.point}: {text}", flush=True)
        return result

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(one, tries))


def row(kind: type[Point] | type[Moment], way: Way, tries: Sequence[Try]) -> str:
    """A line of the table."""
    mine = [item for item in tries if isinstance(item.point, kind) and item.way is way]
    times = sorted(item.undone_s for item in mine if item.undone_s is not None)
    p99 = times[math.ceil(len(times) * 0.99) - 1] if times else None
    cells = (
        "an event" if kind is Point else "a random moment",
        way,
        str(len(mine)),
        str(sum(not item.reached for item in mine)),
        str(len(times)),
        str(sum(bool(item.wrong) for item in mine)),
        seconds(statistics.median(times)) if times else "",
        seconds(p99) if p99 is not None else "",
    )
    return as_line(cells)


def main(arguments: list[str]) -> int:
    """Measure, print the table. 1 when anything was left."""
    if arguments[:1] == ["--session"]:
        return be_session(Path(arguments[1]), arguments[2], Way(arguments[3]))
    parser = argparse.ArgumentParser(description="Kill runs at every event and at random moments.")
    parser.add_argument("--random", type=int, default=30, metavar="N", help="random moments, each way (default: 30)")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only every Nth event (default: all)")
    parser.add_argument("--seed", type=int, default=1, help="of the random moments")
    options = parser.parse_args(arguments)
    points, took_s = reference()
    dice = random.Random(options.seed)
    # A few at a time, everything takes longer than in the undisturbed run.
    moments = [Moment(dice.uniform(0, took_s * 1.5)) for _ in range(options.random)]
    tries: list[tuple[Point | Moment, Way]] = []
    for way in Way:
        tries += [(point, way) for point in points[:: options.every]]
        tries += [(moment, way) for moment in moments]
    began = time.monotonic()
    results = campaign(tries)
    print(f"{len(results)} runs in {time.monotonic() - began:.0f} s, {AT_ONCE} at a time; seed {options.seed}")
    print(as_line(_HEADER))
    print(as_line(["---"] * len(_HEADER)))
    for kind in (Point, Moment):
        for way in Way:
            print(row(kind, way, results))
    return 1 if any(result.wrong for result in results) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
