"""Runs every benchmark, each in a process of its own, and prints one table. Exit status 1 when one fails or misses its
goal; the others run all the same."""

import re
import subprocess
import sys
import time
from pathlib import Path

from measure import HEADER, as_line

HERE = Path(__file__).resolve().parent
# In this order: what takes little time first.
BENCHMARKS = ("startup", "plain", "check", "report", "journal", "history", "slack", "probes", "abort", "sampling")
TIMEOUT_S = 240.0
_ROW = re.compile(r"^\| (?!what |---)")


def run(name: str) -> tuple[list[str], bool]:
    """Its rows of the table, and whether it met its goals. What it prints besides is shown."""
    path = HERE / f"{name}.py"
    print(f"── {path.name}", flush=True)
    began = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, str(path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        output, status = done.stdout, done.returncode
    except subprocess.TimeoutExpired:
        output, status = f"it took longer than {TIMEOUT_S:g} s", 1
    lines = output.splitlines()
    rows = [line for line in lines if _ROW.match(line)]
    print("\n".join(line for line in lines if not line.startswith("| ")))
    print(f"   status {status} after {time.monotonic() - began:.0f} s", flush=True)
    if not rows:  # it speaks in sentences, which stand above
        rows = [as_line((name, f"`{path.name}`", "see above", "", "", "its own", "**no**" if status else "yes"))]
    return rows, status == 0


def main() -> int:
    """Run all, print the table."""
    results = [run(name) for name in BENCHMARKS]
    print(as_line(HEADER))
    print(as_line(["---"] * len(HEADER)))
    for rows, _ in results:
        print("\n".join(rows))
    return 0 if all(met for _, met in results) else 1


if __name__ == "__main__":
    sys.exit(main())
