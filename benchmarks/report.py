"""Renders the report of a long session: 100 signals, four hours, one sample a second.

Goals: 10 s, 400 MB, a page of 3 MB. Run: `python benchmarks/report.py [--signals N] [--hours H]`.
"""

import argparse
import math
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from gameday.common.processes import ProcessRef
from gameday.journal.events import (
    FORMAT,
    BaselineRecorded,
    ConditionInfo,
    ExperimentEnded,
    ExperimentInfo,
    ExperimentStarted,
    Reading,
    ReadingState,
    SessionEnded,
    SessionStarted,
    SignalsSampled,
    Verdict,
)
from gameday.journal.log import JournalWriter

_T0 = 1_772_791_200.0


def write_journal(directory: Path, signals: int, seconds: int) -> None:
    """One experiment with this many signals; each has noise, a wave, spikes and gaps."""
    names = [f"service-{number}.latency.p99" for number in range(signals)]
    conditions = tuple(
        ConditionInfo(
            signal=name, text="< 300ms", comparator="<", threshold=0.3, unit="s", for_s=0.0, role="hypothesis"
        )
        for name in names
    )
    noise = random.Random(1)
    writer = JournalWriter(directory)
    writer.append(
        SessionStarted(
            at=_T0,
            format=FORMAT,
            gameday="benchmark",
            session=directory.name,
            kind="experiment",
            title="A long session",
            path="long.yaml",
            environment="benchmark",
            host="",
            runner=ProcessRef(1, "1"),
            experiments=(ExperimentInfo(title="A long session", path="long.yaml", conditions=conditions),),
        )
    )
    writer.append(ExperimentStarted(at=_T0, experiment=0))
    for second in range(seconds):
        wave = 0.1 + 0.02 * math.sin(second / 700)
        readings = tuple(
            Reading(name, ReadingState.EMPTY)
            if noise.random() < 0.0005
            else Reading(name, ReadingState.OK, wave + noise.random() * 0.02 + (noise.random() < 0.0005) * 0.3)
            for name in names
        )
        writer.append(SignalsSampled(at=_T0 + second + noise.random() * 0.02, experiment=0, readings=readings))
    end = _T0 + seconds
    writer.append(BaselineRecorded(at=end, experiment=0, values=dict.fromkeys(names, 0.1)))
    writer.append(ExperimentEnded(at=end, experiment=0, verdict=Verdict.HELD))
    writer.append(SessionEnded(at=end, verdict=Verdict.HELD, exit_code=0))
    writer.close()


def main() -> None:
    """Print one line a number, with its goal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--signals", type=int, default=100)
    parser.add_argument("--hours", type=float, default=4.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        run, output = Path(temporary) / "run", Path(temporary) / "out"
        write_journal(run, arguments.signals, round(arguments.hours * 3600))
        code = (
            "import sys\nfrom pathlib import Path\nfrom gameday.report.render import Format, write_report\n"
            "write_report(Path(sys.argv[1]), [Format.HTML], Path(sys.argv[2]))"
        )
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code, str(run), str(output)], check=True)
        took = time.perf_counter() - began
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        kilobytes = usage.ru_maxrss / (1024 if sys.platform == "darwin" else 1)  # bytes on macOS
        (page,) = output.glob("*.html")
        readings = arguments.signals * round(arguments.hours * 3600)
        journal = (run / "journal.jsonl").stat().st_size
        print(f"report: {readings:,} readings in a journal of {journal / 1e6:.0f} MB")
        print(f"  time         {took:6.2f} s   (goal 10 s), of which CPU {usage.ru_utime + usage.ru_stime:.2f} s")
        print(f"  peak memory  {kilobytes / 1000:6.0f} MB  (goal 400 MB)")
        print(f"  page         {page.stat().st_size / 1e6:6.2f} MB  (goal 3 MB)")


if __name__ == "__main__":
    main()
