"""How fast the journal is written and read, and in how much memory, against Python's own json module in the same run.

A million events, as a long session writes them: nearly all are samples, and each thousand brings a fault, planned and
undone. Reading means replaying to the run's state, as `status`, the guardian and `recover` do. The peer reads the same
file, a line at a time or (as a program that knows no better) all at once. Goal: 40 MB of memory beyond what an idle
Python with the same imports takes, however long the journal. Run: `python benchmarks/journal.py [--events N]`.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from measure import HEADER, Row, as_line

EVENTS = 1_000_000
SYNCED = 500
GOAL_MB = 40.0

WRITE = """
import sys, time
from pathlib import Path
import msgspec
from gameday.journal.events import FaultPlanned, Reading, ReadingState, SignalsSampled, UndoEnded
from gameday.journal.log import JournalWriter

directory, count, sync = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "sync"
names = [f"checkout.latency.p{number}" for number in (50, 90, 99)]
writer = JournalWriter(directory)
began = time.perf_counter()
for number in range(count):
    at = 1.7e9 + number
    if number % 1000 == 500:
        event = FaultPlanned(at=at, experiment=0, fault_id=f"0.0.{number}", fault="process/kill", targets=("a", "b"),
                             affected=2, total=4, plan=msgspec.Raw(b"{}"), by_hand="start it", step=0, stage=0)
    elif number % 1000 == 999:
        event = UndoEnded(at=at, fault_id=f"0.0.{number - 499}", undone=True, attempts=1, took_s=0.1)
    else:
        readings = tuple([Reading(name, ReadingState.OK, 0.1 + number % 97 / 1000) for name in names])
        event = SignalsSampled(at=at, experiment=0, readings=readings)
    writer.append(event, sync=sync)
print(time.perf_counter() - began)
writer.close()
"""
WRITE_JSON = """
import json, os, sys, time

count, sync = int(sys.argv[2]), sys.argv[3] == "sync"
names = [f"checkout.latency.p{number}" for number in (50, 90, 99)]
os.makedirs(sys.argv[1], exist_ok=True)
with open(sys.argv[1] + "/peer.jsonl", "ab", buffering=0) as file:
    began = time.perf_counter()
    for number in range(count):
        readings = [[name, "ok", 0.1 + number % 97 / 1000] for name in names]
        event = {"event": "signals-sampled", "at": 1.7e9 + number, "experiment": 0, "readings": readings}
        file.write(json.dumps(event).encode() + b"\\n")
        if sync:
            os.fsync(file.fileno())
    print(time.perf_counter() - began)
"""
READ = """
import sys, time
from pathlib import Path
from gameday.journal.log import read_events
from gameday.journal.state import replay

began = time.perf_counter()
if len(sys.argv) > 1:
    assert replay(read_events(Path(sys.argv[1]))).is_clean
print(time.perf_counter() - began)
"""
READ_LINES = """
import json, sys, time

began = time.perf_counter()
if len(sys.argv) > 1:
    with open(sys.argv[1] + "/journal.jsonl") as file:
        for line in file:
            json.loads(line)
print(time.perf_counter() - began)
"""
READ_WHOLE = """
import json, sys, time

began = time.perf_counter()
if len(sys.argv) > 1:
    with open(sys.argv[1] + "/journal.jsonl") as file:
        events = [json.loads(line) for line in file]
print(time.perf_counter() - began)
"""


@dataclass(frozen=True, slots=True)
class Result:
    """Of one process: seconds of the work itself, and the most memory that the process held, in MB."""

    took_s: float
    peak_mb: float


def run(program: str, *arguments: str) -> Result:
    """Run a program that prints how long it took."""
    os.sync()  # what was written before is not its to wait for
    process = subprocess.Popen([sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"status {process.returncode}: {program}")
    return Result(float(output), usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3))


def rate(events: int, result: Result) -> str:
    """Events a second, as people read it."""
    return f"{events / result.took_s:,.0f} events/s"


def main() -> int:
    """Measure, print the table. 1 when the goal is missed."""
    parser = argparse.ArgumentParser(description="The journal: rates and memory.")
    parser.add_argument("--events", type=int, default=EVENTS)
    events: int = parser.parse_args().events
    rows = []
    with tempfile.TemporaryDirectory(prefix="gameday-journal-") as name:
        for count, how in ((SYNCED, "sync"), (events, "no")):
            ours = run(WRITE, f"{name}/{how}", str(count), how)
            theirs = run(WRITE_JSON, f"{name}/{how}", str(count), how)
            what = f"{count:,} events written" + (", each synced to disk" if how == "sync" else "")
            ratio = f"{ours.took_s / theirs.took_s:.2f} ×"
            rows.append(Row(what, "journal.py", rate(count, ours), f"{rate(count, theirs)}: json", ratio))
        size = Path(name, "no", "journal.jsonl").stat().st_size
        ours, lines, whole = (run(program, f"{name}/no") for program in (READ, READ_LINES, READ_WHOLE))
        idle, idle_json = run(READ), run(READ_LINES)
    rows.append(
        Row(
            f"a journal of {events:,} events ({size / 1e6:.0f} MB) replayed",
            "journal.py",
            rate(events, ours),
            f"{rate(events, lines)}: json, a line at a time; {rate(events, whole)}: json, all at once",
            f"{ours.took_s / lines.took_s:.2f} ×; {ours.took_s / whole.took_s:.2f} ×",
        )
    )
    grown = max(0.0, ours.peak_mb - idle.peak_mb)
    rows.append(
        Row(
            "the same, memory at most, beyond an idle process",
            "journal.py",
            f"{grown:.1f} MB",
            f"{lines.peak_mb - idle_json.peak_mb:.1f} MB; {whole.peak_mb - idle_json.peak_mb:,.0f} MB",
            "",
            f"≤ {GOAL_MB:g} MB",
            grown <= GOAL_MB,
        )
    )
    print(as_line(HEADER))
    print(as_line(["---"] * len(HEADER)))
    print("\n".join(map(str, rows)))
    return 0 if all(row.met in (None, True) for row in rows) else 1


if __name__ == "__main__":
    began = time.monotonic()
    status = main()
    print(f"{time.monotonic() - began:.0f} s")
    sys.exit(status)
