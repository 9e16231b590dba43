"""Kills runs at every event that they write to their journal, and at random moments, and looks whether a fault is left.

`--on pretend`: sessions of two experiments on a system made of files. `--on lab`: a game day on the embedded lab
(Envoy, Prometheus, the shop's processes) with every fault, each in two stages, and an action with a rollback. At each
crash point, right before and right after an event is written, the runner kills itself (SIGKILL); at a random moment it
is killed from outside:

- `guardian`: the runner alone dies; its guardian undoes.
- `recover`: the guardian is killed first; `gameday recover` undoes in a new process, and a second one changes nothing.
- `lost machine`: both die, the run's directory is copied, the original is deleted, and the copy is recovered in a
  project that knows of no other run.

Each time, from the outside: the system is as before, no process is left, every line of the journal can be read and it
says clean, `gameday status` says so too, and a new session could start. Exit status 1 when anything is not so.
"""

import argparse
import math
import random
import re
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from queue import SimpleQueue

from crash_harness import Moment, Place, Point, Try, Way, be_session, crash, reference
from measure import as_line, seconds

_HEADER = ("killed at", "who undoes", "points tried", "not reached", "with undo", "faults left", "median", "p99")
_AT_ONCE = {"pretend": 4, "lab": 2}
_EACH = 50  # how many tries between two words on how far it is


def place_at(system: str, root: Path) -> Place:
    """The place of that system whose project is there already."""
    if system == "lab":
        from crash_lab import OnLab

        return OnLab(root)
    from crash_pretend import Pretend

    return Pretend(root)


@contextmanager
def places(system: str, count: int) -> Iterator[list[Place]]:
    """So many new places, each in a directory of its own; gone afterwards."""
    with ExitStack() as stack:
        opened: list[Place] = []
        for _ in range(count):
            parent = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gameday-crash-")))
            (parent / "project").mkdir()
            place = place_at(system, parent / "project")
            stack.callback(place.close)
            place.open()
            opened.append(place)
        yield opened


def campaign(
    where: Sequence[Place], tries: Sequence[tuple[Point | Moment, Way]], within_s: float = math.inf
) -> list[Try]:
    """All of them that can be begun within so many seconds, one at a time in each place; what went wrong is printed as
    it is found."""
    free: SimpleQueue[Place] = SimpleQueue()
    for place in where:
        free.put(place)
    began = time.monotonic()

    def one(number: int, item: tuple[Point | Moment, Way]) -> Try | None:
        if time.monotonic() - began > within_s:
            return None
        place = free.get()
        try:
            result = crash(place, *item)
        finally:
            free.put(place)
        for text in result.wrong:
            print(f"{result.way}, {result.point}: {text}", flush=True)
        if not number % _EACH:
            print(f"{number} of {len(tries)} after {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        return result

    with ThreadPoolExecutor(len(where)) as pool:
        try:
            return [result for result in pool.map(one, range(1, len(tries) + 1), tries) if result]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


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


def plan(
    points: Sequence[Point], took_s: float, moments: int, every: int, seed: int
) -> list[tuple[Point | Moment, Way]]:
    """Every point each way, and the random moments dealt to the ways in turn.

    In as many rounds as there are ways: each has every point once and its share of the moments, shuffled, so that what
    a campaign has done that must end early is like the whole.
    """
    dice = random.Random(seed)
    ways = list(Way)
    # A few at a time, everything takes longer than in the undisturbed run.
    at_random = [(Moment(dice.uniform(0, took_s * 1.1)), ways[number % len(ways)]) for number in range(moments)]
    tries: list[tuple[Point | Moment, Way]] = []
    for turn in range(len(ways)):
        some: list[tuple[Point | Moment, Way]] = [
            (point, ways[(number + turn) % len(ways)]) for number, point in enumerate(points[::every])
        ]
        some += at_random[len(at_random) * turn // len(ways) : len(at_random) * (turn + 1) // len(ways)]
        dice.shuffle(some)
        tries += some
    return tries


def tries_of(output: str) -> list[tuple[Point | Moment, Way]]:
    """Those in which an earlier campaign, of which this is the output, found something wrong."""
    ways = "|".join(Way)
    wrong: dict[tuple[Point | Moment, Way], None] = {}
    for way, kind, occurrence, when in re.findall(rf"^({ways}), (\w+):(\d+):(\w+): ", output, re.MULTILINE):
        wrong[Point(kind, int(occurrence), when), Way(way)] = None
    for way, after_s in re.findall(rf"^({ways}), ([\d.]+) s: ", output, re.MULTILINE):
        wrong[Moment(float(after_s)), Way(way)] = None
    return list(wrong)


def main(arguments: list[str]) -> int:
    """Measure, print the table. 1 when anything was left."""
    if arguments[:1] == ["--session"]:
        _, system, root, wanted, way = arguments
        return be_session(place_at(system, Path(root)), wanted, Way(way))
    parser = argparse.ArgumentParser(description="Kill runs at every event and at random moments.")
    parser.add_argument("--on", choices=_AT_ONCE, default="pretend", help="which system (default: pretend)")
    parser.add_argument("--random", type=int, default=90, metavar="N", help="random moments in all (default: 90)")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only every Nth event (default: 1)")
    parser.add_argument(
        "--minutes", type=float, default=math.inf, metavar="N", help="then begin no more (default: all)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the random moments")
    parser.add_argument(
        "--again", type=Path, metavar="FILE", help="only what went wrong in the campaign whose output this is"
    )
    parser.add_argument("--at-once", type=int, metavar="N", help="how many systems; default: 4, or 2 labs")
    options = parser.parse_args(arguments)
    at_once = options.at_once or _AT_ONCE[options.on]
    # Whoever ends it must not leave labs behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with places(options.on, at_once) as where:
        points, took_s = reference(where[0])
        print(f"{len(points)} points; an undisturbed run takes {seconds(took_s)}", flush=True)
        began = time.monotonic()
        tries = plan(points, took_s, options.random, options.every, options.seed)
        if options.again:
            tries = tries_of(options.again.read_text())
        results = campaign(where, tries, options.minutes * 60)
    took = f"{time.monotonic() - began:.0f} s, {at_once} at a time"
    print(f"{len(results)} runs of {len(tries)} in {took}; seed {options.seed}")
    print(as_line(_HEADER))
    print(as_line(["---"] * len(_HEADER)))
    for kind in (Point, Moment):
        for way in Way:
            print(row(kind, way, results))
    return 1 if any(result.wrong for result in results) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
