"""A trivial plain Chaos Toolkit experiment by `gameday run` and `chaos run`: one probe, one action, no waits.

`gameday run` does more in that time: it starts a guardian, runs every activity in a child that can be killed, syncs its
journal to disk and renders three reports. The goal is that all of this costs the user nothing.
"""

import json
import sys

from measure import CHAOS, GAMEDAY, by_turns, compare, project, run, show

ROUNDS = 7
GOAL = 1.0
PROJECT = """
project: plain
environments:
  nowhere: {policy: {confirm: false}}
"""
EXISTS = {"type": "python", "module": "os.path", "func": "exists", "arguments": {"path": "gameday.yaml"}}
EXPERIMENT = {
    "title": "A file stays where it is",
    "description": "One python probe as hypothesis, one python action.",
    "steady-state-hypothesis": {
        "title": "It is there",
        "probes": [{"type": "probe", "name": "it-is-there", "tolerance": True, "provider": EXISTS}],
    },
    "method": [{"type": "action", "name": "look", "provider": EXISTS}],
    "rollbacks": [],
}


def main() -> int:
    """Measure, print, and say whether the goal was met."""
    with project({"gameday.yaml": PROJECT, "experiment.json": json.dumps(EXPERIMENT)}) as root:
        ours, theirs = by_turns(
            lambda: run([GAMEDAY, "run", "experiment.json", "--env", "nowhere"], root),
            lambda: run([*CHAOS, "run", "experiment.json"], root),
            ROUNDS,
        )
    return show(
        compare("a trivial plain experiment, wall", "plain.py", ours.wall_s, theirs.wall_s, GOAL),
        compare("a trivial plain experiment, CPU of all processes", "plain.py", ours.cpu_s, theirs.cpu_s),
    )


if __name__ == "__main__":
    sys.exit(main())
