"""How fast `gameday history` reads a project's past, in how much memory, and how large its page is.

A thousand sessions in two years, each a real journal of about a thousand samples, written anew in a temporary
directory. Each figure is of a process of its own. Goals: less than a second from what is kept of journals that have not
changed, and a page of at most 1 MB. Run: `python benchmarks/history.py [--sessions N] [--keep DIRECTORY]`.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
from measure import HEADER, Row, as_line

from gameday.common.processes import ProcessRef
from gameday.journal.events import (
    FORMAT,
    AlertInfo,
    AlertObserved,
    AlertState,
    AnyEvent,
    ExperimentEnded,
    ExperimentInfo,
    ExperimentStarted,
    FaultInjected,
    FaultPlanned,
    FindingKind,
    FindingRaised,
    Mark,
    MarkSet,
    Reading,
    ReadingState,
    RecoveryMeasured,
    SessionEnded,
    SessionStarted,
    SignalsSampled,
    UndoEnded,
    Verdict,
)
from gameday.journal.log import JournalWriter

SESSIONS = 1000
SAMPLES = 1000
GOAL_S = 1.0
GOAL_BYTES = 1_000_000
FIRST = 1_710_000_000.0
EVERY_S = 63_000.0
SERVICES = ("checkout", "payments", "inventory", "search", "cart", "accounts", "shipping", "mail")
FAULTS = ("pods/kill", "dependency/delay", "dependency/abort", "network/deny", "containers/kill")
WITHIN_S = 60.0

READ = """
import sys, time
from pathlib import Path
from gameday.report.past import read_sessions

began = time.perf_counter()
if len(sys.argv) > 1:
    assert read_sessions(Path(sys.argv[1])).sessions
print(time.perf_counter() - began)
"""
PAGE = """
import sys, time
from pathlib import Path

began = time.perf_counter()
from gameday.report.index import write_index
from gameday.report.past import read_sessions
write_index(read_sessions(Path(sys.argv[1])), Path(sys.argv[1], "reports"))
print(time.perf_counter() - began)
"""


AFTER_A_RUN = """
import sys, time
from pathlib import Path
import subprocess
from gameday.cli.history_feeding import refresh_page

began = time.perf_counter()
refresh_page(Path(sys.argv[1]), Path(sys.argv[1], "reports"))
print(time.perf_counter() - began)
"""


def write_session(root: Path, number: int, noise: random.Random) -> None:
    """One session of one experiment, as a service that slowly learns, and now and then forgets, would give it."""
    service = noise.choice(SERVICES)
    fault = FAULTS[(SERVICES.index(service) + noise.randrange(2)) % len(FAULTS)]
    at = FIRST + number * EVERY_S
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(at))
    name = fault.replace("/", "-")
    title = f"{service.capitalize()} survives {fault}"
    run = f"{stamp}-{service}-survives-{name}-{number:04x}"
    alert = AlertInfo(name=f"{service.capitalize()}Down", within_s=WITHIN_S, severity="page")
    info = ExperimentInfo(title=title, path=f"experiments/{service}-{name}.yaml", service=service, alerts=(alert,))
    fate = noise.random()
    is_weak = fate < 0.45 - 0.25 * number / SESSIONS
    slow_s = noise.uniform(61, 110) if is_weak and fate < 0.2 else noise.uniform(8, 50)
    writer = JournalWriter(root / ".gameday" / "runs" / run, reserve=False)

    def add(event: type[AnyEvent], /, **values: object) -> None:
        writer.append(event(at=at, **values))  # type: ignore[arg-type]

    add(SessionStarted, format=FORMAT, gameday="0.1.0", session=run, kind="experiment", title=title, path=info.path,
        environment=noise.choice(("staging", "staging", "lab")), host="runner", runner=ProcessRef(1, "1"),
        experiments=(info,))  # fmt: skip
    if fate > 0.96:
        add(SessionEnded, verdict=Verdict.NOT_STARTED, exit_code=3)
        writer.close()
        return
    add(ExperimentStarted, experiment=0)
    add(FaultPlanned, experiment=0, fault_id="0.0.0", fault=fault, targets=("a",), affected=1, total=4,
        plan=msgspec.Raw(b"{}"), by_hand="start it", step=0, stage=0)  # fmt: skip
    add(FaultInjected, experiment=0, fault_id="0.0.0")
    for tick in range(SAMPLES):
        readings = tuple(
            Reading(f"{service}.latency.p{share}", ReadingState.OK, 0.1 + tick % 97 / 1000) for share in (50, 99)
        )
        writer.append(SignalsSampled(at=at + tick / 10, experiment=0, readings=readings))
    is_aborted = fate > 0.9
    if fate > 0.05 and not is_aborted:
        at += slow_s
        add(AlertObserved, experiment=0, name=alert.name, state=AlertState.FIRING, expected=True, labels={},
            source="prometheus")  # fmt: skip
    if noise.random() < 0.3:
        at += 7
        add(MarkSet, author="sam", mark=Mark.DETECTED, experiment=0)
    at = max(at, FIRST + number * EVERY_S + 120)
    add(UndoEnded, fault_id="0.0.0", undone=True, attempts=1, took_s=0.3)
    if not is_aborted:
        seconds = noise.uniform(20, 90) * (1.4 if is_weak else 1) * (1.5 - number / SESSIONS)
        add(RecoveryMeasured, experiment=0, recovered=True, seconds=seconds, within_s=120.0)
    if is_weak:
        kind = FindingKind.ALERT_LATE if slow_s > WITHIN_S else FindingKind.HYPOTHESIS_BROKEN
        add(FindingRaised, experiment=0, kind=kind, title=f"{service}: {kind.value}")
    verdict = Verdict.ABORTED if is_aborted else Verdict.WEAKNESS if is_weak or fate <= 0.05 else Verdict.HELD
    add(ExperimentEnded, experiment=0, verdict=verdict)
    add(SessionEnded, verdict=verdict, exit_code=verdict.exit_code)
    writer.close()


def run(program: str, *arguments: str) -> tuple[float, float]:
    """Of a program that prints how long it took: that, and the most memory that it held, in MB."""
    process = subprocess.Popen([sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"status {process.returncode}: {program}")
    return float(output), usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def main() -> int:
    """Measure, print the table. 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description="The history: time, memory, size of the page.")
    parser.add_argument("--sessions", type=int, default=SESSIONS)
    parser.add_argument("--keep", type=Path, help="write the sessions there, and leave them")
    options = parser.parse_args()
    count: int = options.sessions
    with tempfile.TemporaryDirectory(prefix="gameday-history-") as name:
        root = options.keep or Path(name)
        noise = random.Random(7)
        for number in range(count):
            write_session(root, number, noise)
        size = sum(path.stat().st_size for path in root.glob(".gameday/runs/*/journal.jsonl"))
        idle = run(READ)
        first, second, page = run(READ, str(root)), run(READ, str(root)), run(PAGE, str(root))
        written = root / "reports" / "index.html"
        before = written.stat().st_mtime_ns
        after = run(AFTER_A_RUN, str(root))
        deadline = time.monotonic() + 30
        while written.stat().st_mtime_ns == before and time.monotonic() < deadline:
            time.sleep(0.05)  # nobody else waits for it; here its directory is about to go
        time.sleep(0.5)
        page_bytes = written.stat().st_size
        kept_bytes = (root / ".gameday" / "history-cache.json").stat().st_size
    what = f"the history of {count:,} sessions ({size / 1e6:,.0f} MB)"
    rows = [
        Row(f"{what}, the first time", "history.py", f"{first[0]:.2f} s, {first[1] - idle[1]:.0f} MB", "", ""),
        Row(f"{what}, from then on", "history.py", f"{second[0]:.3f} s, {second[1] - idle[1]:.0f} MB", "", "",
            f"< {GOAL_S:g} s", second[0] < GOAL_S),
        Row("what is kept of it", "history.py", f"{kept_bytes / 1e6:.2f} MB", "", ""),
        Row("the page, written", "history.py", f"{page[0]:.2f} s", "", ""),
        Row("the same after a run, which does not wait for it", "history.py", f"{after[0] * 1e3:.1f} ms", "", ""),
        Row("the page, its size", "history.py", f"{page_bytes / 1e3:.0f} kB", "", "", f"≤ {GOAL_BYTES / 1e6:g} MB",
            page_bytes <= GOAL_BYTES),
    ]  # fmt: skip
    print(as_line(HEADER))
    print(as_line(["---"] * len(HEADER)))
    print("\n".join(map(str, rows)))
    return 0 if all(row.met in (None, True) for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
