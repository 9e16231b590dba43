"""Feeds inputs that nobody wrote to everything that reads a file: none may end in a traceback or take long.

Every file that users write (gameday.yaml, experiments, game days, runbooks) through what `check` and `run` make of it,
and all that a run's directory holds (journal, messages, locks, rollbacks, marks of children, the guardian's setup)
through replay, reports, the terminal, `status`, `report` and `recover`. Inputs are valid ones that are changed by a
seeded generator, so that the same seed makes the same inputs. Goals: no traceback, no input longer than 2 s.
Run: `python benchmarks/fuzz.py [--inputs N] [--seed S] [--only KIND]`.
"""

import argparse
import hashlib
import random
import signal
import sys
import tempfile
import time
import traceback
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "testkit"))

from measure import as_line

from tests.fuzzing.targets import TARGETS, Target, without_killing

INPUTS = 100_000
LONGEST_S = 2.0
_HANGS_S = 60
_AT_ONCE = 2
_CHUNK = 250
_HEADER = ("input", "inputs", "rejected cleanly", "accepted", "tracebacks", "slowest")


@dataclass(slots=True)
class Count:
    """What came of the inputs of one kind."""

    inputs: int = 0
    accepted: int = 0
    failures: dict[str, tuple[str, bytes]] = field(default_factory=dict)  # by where it was raised: text and input
    failed: int = 0
    slowest_s: float = 0.0  # of processor time: the machine may be busy
    slowest: bytes = b""

    def add(self, other: "Count") -> None:
        """Take another count of the same kind in."""
        self.inputs += other.inputs
        self.accepted += other.accepted
        self.failed += other.failed
        self.failures = other.failures | self.failures
        if other.slowest_s > self.slowest_s:
            self.slowest_s, self.slowest = other.slowest_s, other.slowest


def _hang(*_: object) -> None:
    raise TimeoutError(f"it took more than {_HANGS_S} s")


def fuzz(target: Target, seed: str, inputs: int) -> Count:
    """So many inputs of one kind."""
    count = Count()
    dice = random.Random(seed)
    signal.signal(signal.SIGALRM, _hang)
    with tempfile.TemporaryDirectory(prefix="gameday-fuzz-") as name, without_killing():
        for _ in range(inputs):
            data = target.mutate(dice, target.seeds)
            count.inputs += 1
            signal.alarm(_HANGS_S)
            began = time.process_time()
            try:
                count.accepted += target.feed(Path(name) / "root", data, random.Random(dice.random()))
            except Exception as error:
                count.failed += 1
                frames = traceback.extract_tb(error.__traceback__)
                where = next((frame for frame in reversed(frames) if "/gameday/" in frame.filename), frames[-1])
                key = f"{type(error).__name__} at {where.filename.rpartition('/gameday/')[2]}:{where.lineno}"
                text = "".join(traceback.format_exception(error, limit=-8))[-3000:]
                if key not in count.failures or len(data) < len(count.failures[key][1]):
                    count.failures[key] = (text, data)
            finally:
                signal.alarm(0)
            took_s = time.process_time() - began
            if took_s > count.slowest_s:
                count.slowest_s, count.slowest = took_s, data
    return count


def _share(job: tuple[str, str, int]) -> tuple[str, Count]:
    name, seed, inputs = job
    target = next(target for target in TARGETS if target.name == name)
    return name, fuzz(target, f"{seed} {name}", inputs)


def jobs_for(inputs: int, seed: int, only: str | None) -> list[tuple[str, str, int]]:
    """The inputs shared out among the kinds, a few hundred to a job."""
    targets = [target for target in TARGETS if only is None or only in target.name]
    weights = sum(target.weight for target in targets)
    jobs = []
    for target in targets:
        left, number = -(-inputs * target.weight // weights), 0
        while left > 0:
            jobs.append((target.name, f"{seed}.{number}", min(left, _CHUNK)))
            left, number = left - _CHUNK, number + 1
    return jobs


def main() -> int:
    """Fuzz, print the table and what was found. 1 when anything was."""
    parser = argparse.ArgumentParser(description="Inputs that nobody wrote.")
    parser.add_argument("--inputs", type=int, default=INPUTS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="kinds whose name holds this")
    parser.add_argument(
        "--keep", type=Path, help="a directory for the inputs that failed, and the slowest of each kind"
    )
    options = parser.parse_args()
    counts = {target.name: Count() for target in TARGETS if options.only is None or options.only in target.name}
    began = time.monotonic()
    with ProcessPoolExecutor(_AT_ONCE) as pool:
        for name, count in pool.map(_share, jobs_for(options.inputs, options.seed, options.only)):
            for where in count.failures.keys() - counts[name].failures.keys():
                print(f"{name}: {where}", flush=True)
            counts[name].add(count)
    print(f"{sum(count.inputs for count in counts.values()):,} inputs in {time.monotonic() - began:.0f} s")
    print(as_line(_HEADER))
    print(as_line(["---"] * len(_HEADER)))
    for name, count in counts.items():
        rejected = count.inputs - count.accepted - count.failed
        cells = (f"{count.inputs:,}", f"{rejected:,}", f"{count.accepted:,}", f"{count.failed}")
        print(as_line((name, *cells, f"{count.slowest_s * 1000:.0f} ms")))
    for name, count in counts.items():
        for where, (text, data) in count.failures.items():
            print(f"\n{name}: {where}\n{text}\n{data[:300]!r}")
        if options.keep:
            options.keep.mkdir(parents=True, exist_ok=True)
            for data in (count.slowest, *(data for _, data in count.failures.values())):
                (options.keep / f"{name.replace(' ', '-')}-{hashlib.sha256(data).hexdigest()[:8]}").write_bytes(data)
    slow = any(count.slowest_s > LONGEST_S for count in counts.values())
    return 1 if slow or any(count.failed for count in counts.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
