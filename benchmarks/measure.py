"""What the benchmarks share: running two commands by turns, medians, and the rows of the table."""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PROGRAMS = Path(sys.executable).parent  # not resolved: the programs of this environment, beside its Python
GAMEDAY = str(PROGRAMS / "gameday")
# Another installation of the Chaos Toolkit may be named, one with extensions, say. Without the option it asks PyPI for
# a newer version, and the network would be measured.
CHAOS = (os.environ.get("CHAOS") or str(PROGRAMS / "chaos"), "--no-version-check")
HEADER = ("what", "command", "gameday", "chaos", "ratio", "goal", "met")
_TIMEOUT_S = 120.0
_UNWANTED = ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "PYTHONPYCACHEPREFIX")  # a developer's, not a user's


@cache
def _bytecode() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="gameday-bytecode-")


def environment_of(**more: str) -> dict[str, str]:
    """The environment for a command: every Python keeps its bytecode, as it does for users, but none of it here.

    The first run of a command compiles what it imports, so it is a warm-up.
    """
    inherited = {name: value for name, value in os.environ.items() if name not in _UNWANTED}
    return {**inherited, "PYTHONPYCACHEPREFIX": _bytecode().name, **more}


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one whole process, with all descendants that it waited for; seconds."""

    wall_s: float
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `ratio` is gameday's figure over chaos's: less is better. `met` is None without a goal."""

    what: str
    command: str
    ours: str
    theirs: str
    ratio: str
    goal: str = "none"
    met: bool | None = None

    def __str__(self) -> str:
        met = {True: "yes", False: "**no**", None: ""}[self.met]
        return as_line((self.what, f"`{self.command}`", self.ours, self.theirs, self.ratio, self.goal, met))


def as_line(cells: Sequence[str]) -> str:
    """A line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def _cpu_s() -> float:
    """CPU seconds of all processes waited for so far, in user and kernel mode."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def run(
    command: Sequence[str], directory: Path, *, environment: Mapping[str, str] | None = None, status: int = 0
) -> Cost:
    """Run a command to its end. Raises SystemExit, with what it printed, when it ends in another status than `status`
    or takes longer than two minutes: what was measured would say nothing."""
    before = _cpu_s()
    began = time.perf_counter()
    try:
        done = subprocess.run(
            command,
            cwd=directory,
            env=environment_of(**(environment or {})),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise SystemExit(f"{Path(command[0]).name} took longer than {_TIMEOUT_S:g} s") from error
    wall = time.perf_counter() - began
    cpu = _cpu_s() - before
    if done.returncode != status:
        shown = done.stdout.decode(errors="replace")[-2000:]
        raise SystemExit(f"{Path(command[0]).name} ended with status {done.returncode}, not {status}:\n{shown}")
    return Cost(wall, cpu)


def by_turns(ours: Callable[[], Cost], theirs: Callable[[], Cost], rounds: int, warm_ups: int = 1) -> tuple[Cost, Cost]:
    """The medians of both, run A B A B so that whatever else the machine does hits both alike."""
    found: tuple[list[Cost], list[Cost]] = ([], [])
    for number in range(warm_ups + rounds):
        costs = (ours(), theirs())
        if number >= warm_ups:
            for costs_of_one, cost in zip(found, costs, strict=True):
                costs_of_one.append(cost)
    medians = [
        Cost(statistics.median(c.wall_s for c in costs), statistics.median(c.cpu_s for c in costs)) for costs in found
    ]
    return medians[0], medians[1]


def compare(what: str, command: str, ours: float, theirs: float, goal: float | None = None) -> Row:
    """A row for two durations in seconds. `goal` is the largest ratio that meets it."""
    ratio = ours / theirs
    return Row(
        what,
        command,
        seconds(ours),
        seconds(theirs),
        f"{ratio:.2f} ×",
        "none" if goal is None else f"≤ {goal:g} ×",
        None if goal is None else ratio <= goal,
    )


def seconds(duration_s: float) -> str:
    """As people read it."""
    return f"{duration_s:.2f} s" if duration_s >= 1 else f"{duration_s * 1000:.0f} ms"


@contextmanager
def project(files: Mapping[str, str]) -> Iterator[Path]:
    """A project directory with these files, by name, until the end of the block."""
    with tempfile.TemporaryDirectory(prefix="gameday-benchmark-") as name:
        root = Path(name)
        for path, text in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        yield root


def show(*rows: Row) -> int:
    """Print the rows as a table. The exit status: 1 when a goal was missed."""
    print(as_line(HEADER))
    print(as_line(["---"] * len(HEADER)))
    for row in rows:
        print(row)
    return 1 if any(row.met is False for row in rows) else 0
