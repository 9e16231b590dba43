"""How fast `gameday history` answers of 100,000 sessions: from the store, and from the cache beside the journals.

Real journals of eleven events each, in a temporary directory; both sides read all of them first. Each answer is of a
process of its own, by turns, from the first import to the last row. `gameday history` first catches up with the
journals of its machine: `command` is all of it, from the start of the program to its end, with all of them here and
nothing new; its peer is `--local`. PostgreSQL takes part where its programs are (Debian: apt-get install postgresql),
on a free port. Goal: less than a second.
Run: `python benchmarks/store.py [--sessions N] [--rounds N]`.
"""

import argparse
import contextlib
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
from history import FAULTS, SERVICES, WITHIN_S
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
    RecoveryMeasured,
    SessionEnded,
    SessionStarted,
    UndoEnded,
    Verdict,
)

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.history.postgresql import Missing, start_postgresql

SESSIONS = 100_000
ROUNDS = 5
GOAL_S = 1.0
YEARS_S = 3 * 365 * 86400.0

PROGRAM = """
import sys, time
began = time.perf_counter()
from pathlib import Path
from gameday.cli.past_source import JournalSource, StoreSource
from gameday.report.trends import Selection

root, url, what = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
selections = {
    "newest": Selection(),
    "service": Selection(service="payments"),
    "fault": Selection(fault="pods/kill", environment="staging"),
    "verdict": Selection(verdict="weakness", service="mail"),
    "time": Selection(since=time.time() - 30 * 86400),
    "trends": Selection(since=time.time() - 30 * 86400),
    "all-trends": Selection(),
}
if url:
    from gameday.cli.history_reader import PastReader
    from gameday.history.store import open_store
    source = StoreSource(open_store(url, root, project="shop"))
else:
    source = JournalSource(root)
selection = selections[what]
if what.endswith("trends"):
    from gameday.report.trends import By, trends
    found = trends(source.trials(selection), By.SERVICE)
else:
    found, _ = source.sessions(selection, 30)
lost = source.regressions(selection)
assert found
print(time.perf_counter() - began, len(found), len(lost))
"""
FEED = """
import sys, time
from pathlib import Path
from gameday.cli.history_reader import PastReader
from gameday.history.feed import sync
from gameday.history.store import open_store
began = time.perf_counter()
fed = sync(open_store(sys.argv[2], Path(sys.argv[1]), project="shop"), PastReader())
print(time.perf_counter() - began, fed.sessions, fed.events)
"""
READ = """
import sys, time
from pathlib import Path
from gameday.report.past import read_sessions
began = time.perf_counter()
found = len(read_sessions(Path(sys.argv[1])).sessions)
print(time.perf_counter() - began, found, 0)
"""


def write_journal(root: Path, number: int, at: float, noise: random.Random) -> None:
    """A session of one experiment, as one service of eight and one fault of five give it."""
    service, fault, fate = noise.choice(SERVICES), noise.choice(FAULTS), noise.random()
    name = f"{service}-survives-{fault.replace('/', '-')}"
    run = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(at))}-{name}-{number:05x}"
    alert = AlertInfo(name=f"{service.capitalize()}Down", within_s=WITHIN_S)
    title, environment = f"{service.capitalize()} survives {fault}", noise.choice(("staging", "lab", "production"))
    info = ExperimentInfo(title=title, path=f"experiments/{name}.yaml", service=service, alerts=(alert,))
    is_weak = fate < 0.2
    verdict = Verdict.WEAKNESS if is_weak else Verdict.ABORTED if fate > 0.95 else Verdict.HELD
    fired = at + noise.uniform(61, 110) if is_weak else at + noise.uniform(8, 50)
    events: list[AnyEvent] = [
        SessionStarted(at=at, format=FORMAT, gameday="0.1.0", session=run, kind="experiment", title=title,
            path=info.path, environment=environment, host="runner", runner=ProcessRef(1, "1"), experiments=(info,)),
        ExperimentStarted(at=at, experiment=0),
        FaultPlanned(at=at, experiment=0, fault_id="0.0.0", fault=fault, targets=("a",), affected=1, total=4,
            plan=msgspec.Raw(b"{}"), by_hand="start it", step=0, stage=0),
        FaultInjected(at=at, experiment=0, fault_id="0.0.0"),
        AlertObserved(at=fired, experiment=0, name=alert.name, state=AlertState.FIRING, expected=True, labels={},
            source="prometheus"),
        UndoEnded(at=at + 120, fault_id="0.0.0", undone=True, attempts=1, took_s=0.3),
        RecoveryMeasured(at=at + 150, experiment=0, recovered=True, seconds=noise.uniform(5, 90), within_s=120.0),
    ]  # fmt: skip
    if is_weak:
        events.append(
            FindingRaised(at=at + 151, experiment=0, kind=FindingKind.ALERT_LATE, title=f"{alert.name} is late")
        )
    events.append(ExperimentEnded(at=at + 152, experiment=0, verdict=verdict))
    events.append(SessionEnded(at=at + 152, verdict=verdict, exit_code=verdict.exit_code))
    directory = root / ".gameday" / "runs" / run
    directory.mkdir(parents=True)
    (directory / "journal.jsonl").write_bytes(b"".join(msgspec.json.encode(event) + b"\n" for event in events))


def run(program: str, *arguments: str) -> tuple[float, int, int]:
    """What a program prints: how long it took, and two counts."""
    done = subprocess.run([sys.executable, "-c", program, *arguments], check=True, capture_output=True, text=True)
    took, first, second = done.stdout.split()
    return float(took), int(first), int(second)


@contextlib.contextmanager
def stores(root: Path) -> Iterator[dict[str, str]]:
    """The URL of each store that can be had, by its name."""
    found = {"SQLite": f"sqlite:///{root}/.gameday/history.db"}
    with contextlib.ExitStack() as stack:
        try:
            found["PostgreSQL"] = stack.enter_context(start_postgresql()).url
        except Missing as missing:
            print(f"without PostgreSQL: {missing}", file=sys.stderr)
        yield found


def main() -> int:
    """Print the table; the exit status is 1 when a goal was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=SESSIONS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args()
    noise = random.Random(7)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="gameday-benchmark-") as name:
        root = Path(name)
        first = time.time() - YEARS_S
        for number in range(given.sessions):
            write_journal(root, number, first + number * YEARS_S / given.sessions, noise)
        with stores(root) as urls:
            took, sessions, _ = run(READ, name)
            print(f"the cache has read {sessions:,} journals in {took:.1f} s", file=sys.stderr)
            for store, url in urls.items():
                took, sessions, events = run(FEED, name, url)
                print(f"{store} was fed {sessions:,} sessions, {events:,} events in {took:.1f} s", file=sys.stderr)
                took, *_ = run(FEED, name, url)
                print(f"{store}: a sync with nothing new took {took:.2f} s", file=sys.stderr)
            rows += measure_command(root, urls, given.rounds)
            for what in ("newest", "service", "fault", "verdict", "time", "trends", "all-trends"):
                rows += measure(root, urls, what, given.rounds)
        size = (root / ".gameday" / "history.db").stat().st_size
        print(f"the SQLite file has {size / 1e6:,.0f} MB; load {os.getloadavg()[0]:.1f}", file=sys.stderr)
    print(as_line([*HEADER[:3], "the cache", *HEADER[4:]]))
    print(as_line(["---"] * len(HEADER)))
    for row in rows:
        print(row)
    return 1 if any(row.met is False for row in rows) else 0


def measure_command(root: Path, urls: dict[str, str], rounds: int) -> Iterator[Row]:
    """The command as a user has it; all by turns."""
    times: dict[str, list[float]] = {}
    for number in range(rounds + 1):
        for name, url in {"cache": "", **urls}.items():
            (root / "gameday.yaml").write_text("project: shop\n" + (f'history: "{url}"\n' if url else ""))
            began = time.perf_counter()
            command = [sys.executable, "-P", "-m", "gameday.cli.main", "history"]
            subprocess.run(command, cwd=root, check=True, capture_output=True)
            if number:
                times.setdefault(name, []).append(time.perf_counter() - began)
    medians = {name: statistics.median(found) for name, found in times.items()}
    return (_row(f"command, {name}", medians[name], medians["cache"], has_goal=True) for name in urls)


def measure(root: Path, urls: dict[str, str], what: str, rounds: int) -> Iterator[Row]:
    """All by turns; the peer is the cache."""
    times: dict[str, list[float]] = {}
    answers = set()
    for number in range(rounds + 1):
        for name, url in {"cache": "", **urls}.items():
            took, found, lost = run(PROGRAM, str(root), url, what)
            answers.add((found, lost))
            if number:
                times.setdefault(name, []).append(took)
    assert len(answers) == 1, f"{what}: they do not say the same: {answers}"
    theirs = statistics.median(times["cache"])
    has_goal = what != "all-trends"  # every session is read for it
    for name in urls:
        yield _row(f"{what}, {name}", statistics.median(times[name]), theirs, has_goal=has_goal)


def _row(what: str, ours: float, theirs: float, *, has_goal: bool) -> Row:
    goal, met = (f"< {GOAL_S:g} s", ours < GOAL_S) if has_goal else ("none", None)
    return Row(what, "store.py", f"{ours:.2f} s", f"{theirs:.2f} s", f"{ours / theirs:.2f} ×", goal, met)


if __name__ == "__main__":
    sys.exit(main())
