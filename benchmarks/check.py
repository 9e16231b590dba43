"""What it costs to validate 1,000 plain Chaos Toolkit experiments: `gameday check` against the Chaos Toolkit.

In the same run, on the same files: `gameday check` of the directory, in one process as people use it; chaoslib's
`load_experiment` and `ensure_experiment_is_valid` in one process, which is the least that validation by it can cost;
and `chaos validate`, which takes one file a process, on a few of them and scaled up. `gameday check` calls chaoslib for
each activity too, and keeps the place of every value: on JSON, which chaoslib reads in C, that costs more than it alone
does. Goal: 5 s. Exit status 1 when it is missed.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EXPERIMENTS = 1000
SAMPLE = 5  # `chaos validate` runs
ROUNDS = 3
GOAL_S = 5.0
BIN = Path(sys.executable).parent

IN_PROCESS = """
import sys, logging
from pathlib import Path
from chaoslib.experiment import ensure_experiment_is_valid, load_experiment
logging.getLogger("chaostoolkit").addHandler(logging.NullHandler())
for path in sorted(Path(sys.argv[1]).iterdir()):
    ensure_experiment_is_valid(load_experiment(str(path)))
"""


def experiment(number: int) -> str:
    """A plain experiment of ordinary size as JSON, which is YAML too."""
    activity = {
        "type": "action",
        "name": f"act-{number}",
        "provider": {"type": "python", "module": "os.path", "func": "join", "arguments": {"a": "x"}},
        "pauses": {"after": 5},
    }
    probe = {
        "type": "probe",
        "name": "answers",
        "tolerance": 200,
        "provider": {"type": "http", "url": f"http://localhost:8080/{number}", "timeout": 3},
    }
    process = {"type": "action", "name": "back", "provider": {"type": "process", "path": "true", "arguments": "--x"}}
    document = {
        "title": f"Experiment {number}",
        "description": "What happens when the service that everything needs goes away for a while?",
        "tags": ["availability", "benchmark"],
        "configuration": {"url": "http://localhost:8080", "token": {"type": "env", "key": "TOKEN", "default": "x"}},
        "steady-state-hypothesis": {"title": "It answers", "probes": [probe, {**probe, "name": "answers-again"}]},
        "method": [activity, {**activity, "name": "act-again"}, {"ref": "answers"}],
        "rollbacks": [process],
    }
    return json.dumps(document, indent=2)


def seconds(command: list[str], *, cwd: Path) -> float:
    """Wall-clock seconds of a command that must succeed."""
    began = time.perf_counter()
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    took = time.perf_counter() - began
    if done.returncode:
        sys.exit(f"{command[0]} failed: {done.stdout[-500:]}{done.stderr[-500:]}")
    return took


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        missed = False
        for suffix in ("yaml", "json"):
            directory = root / suffix / "experiments"
            directory.mkdir(parents=True)
            for number in range(EXPERIMENTS):
                (directory / f"{number:04}.{suffix}").write_text(experiment(number))
            one_file = [str(BIN / "chaos"), "--no-version-check", "validate"]
            ours, theirs = [], []
            for _ in range(ROUNDS):  # in turn, so that a busy machine is busy for both
                ours.append(seconds([str(BIN / "gameday"), "check", "experiments"], cwd=root / suffix))
                theirs.append(seconds([sys.executable, "-c", IN_PROCESS, "experiments"], cwd=root / suffix))
            sample = [str(path) for path in sorted(directory.iterdir())[:SAMPLE]]
            each = sum(seconds([*one_file, path], cwd=root / suffix) for path in sample) / SAMPLE
            print(f"{EXPERIMENTS} experiments, {suffix} (best of {ROUNDS}, {os.cpu_count()} cores)")
            print(f"  gameday check                {min(ours):8.2f} s")
            print(f"  chaoslib, one process        {min(theirs):8.2f} s   {min(theirs) / min(ours):6.1f} x")
            print(
                f"  chaos validate, one a file   {each * EXPERIMENTS:8.2f} s   {each * EXPERIMENTS / min(ours):6.1f} x"
            )
            missed = missed or min(ours) > GOAL_S
        print(f"goal {GOAL_S:g} s: {'missed' if missed else 'reached'}")
        return int(missed)


if __name__ == "__main__":
    sys.exit(main())
