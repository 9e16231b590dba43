"""How long a person waits for `--help`: the whole process, in wall-clock and in CPU time."""

import sys
from pathlib import Path

from measure import CHAOS, GAMEDAY, by_turns, compare, run, show

ROUNDS = 9


def main() -> int:
    """Measure and print."""
    here = Path.cwd()
    ours, theirs = by_turns(lambda: run([GAMEDAY, "--help"], here), lambda: run([*CHAOS, "--help"], here), ROUNDS)
    return show(
        compare("`--help`, wall", "startup.py", ours.wall_s, theirs.wall_s),
        compare("`--help`, CPU", "startup.py", ours.cpu_s, theirs.cpu_s),
    )


if __name__ == "__main__":
    sys.exit(main())
