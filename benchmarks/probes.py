"""Eight probes of one second each as the hypothesis, asked before and after: one after another, or all at once."""

import json
import sys

from measure import CHAOS, GAMEDAY, by_turns, compare, project, run, show

ROUNDS = 2  # a round of `chaos` takes 16 s; what varies is a few per cent of that
PROBES = 8
MODULE = """
import time

def ask():
    time.sleep(1)
    return True
"""
EXPERIMENT = {
    "title": "Eight questions",
    "description": "Each takes a second to answer.",
    "steady-state-hypothesis": {
        "title": "All are answered",
        "probes": [
            {
                "type": "probe",
                "name": f"question-{number}",
                "tolerance": True,
                "provider": {"type": "python", "module": "slow", "func": "ask"},
            }
            for number in range(1, PROBES + 1)
        ],
    },
    "method": [],
    "rollbacks": [],
}
FILES = {"gameday.yaml": "project: probes\n", "experiment.json": json.dumps(EXPERIMENT), "slow.py": MODULE}


def main() -> int:
    """Measure and print."""
    with project(FILES) as root:
        path = {"PYTHONPATH": str(root)}
        # What both import is compiled once before; a whole round of warming up would take too long.
        run([GAMEDAY, "check", "experiment.json"], root, environment=path)
        run([*CHAOS, "validate", "experiment.json"], root, environment=path)
        ours, theirs = by_turns(
            lambda: run([GAMEDAY, "run", "experiment.json"], root, environment=path),
            lambda: run([*CHAOS, "run", "experiment.json"], root, environment=path),
            ROUNDS,
            warm_ups=0,
        )
    return show(compare(f"{PROBES} probes of 1 s each, before and after", "probes.py", ours.wall_s, theirs.wall_s))


if __name__ == "__main__":
    sys.exit(main())
