"""From a breach that the guard sees to the last undo done, while an activity of 20 s runs.

`gameday`: from the sample that breaks the abort condition (`signals-sampled`) to the last `undo-ended`, both as the
journal has them. Beside it, what the fault's own undo and check take when they are called alone in a warm child: the
goal is at most 50 ms beyond those. Once on a pretend system made of files with two stages in place, and once on the
lab, where Envoy refuses calls until it is told otherwise.

`chaos`: the same shape of file, the hypothesis asked all the time (`--hypothesis-strategy continuously --fail-fast`)
and rollbacks always played; from the probe's first look at the breach to the end of the rollback. That waits for the
activity. The safeguards of chaostoolkit-addons do not: they are measured too where they are installed beside `chaos`
(`CHAOS=…/bin/chaos python benchmarks/abort.py`). They raise an exception in the main thread, and so end only what an
exception can end there.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from measure import CHAOS, GAMEDAY, Row, environment_of, project, run, seconds, show

from gameday.common.codec import decode
from gameday.faults.registry import load_fault
from gameday.journal.events import AbortRequested, FaultPlanned, SignalsSampled, UndoEnded
from gameday.journal.log import read_events

TESTS = Path(__file__).resolve().parent.parent / "tests"
PRETEND_RUNS, LAB_RUNS, CHAOS_RUNS, SAFEGUARD_RUNS = 7, 3, 1, 5
ALONE = 15
GOAL_S = 0.05
CALM_S = 0.5  # into the long activity, until the breach
PATIENCE_S = 60.0
ABORTED = 4

LONG = """
import json
import pathlib
import time

def hold():
    pathlib.Path("started").touch()
    time.sleep(20)

def errors():
    ratio = json.loads(pathlib.Path("system/signals.json").read_text())["errors"]
    seen = pathlib.Path("seen")
    if ratio > 0.5 and not seen.exists():
        seen.write_text(str(time.time()))
    return ratio

def write(word):
    pathlib.Path("system/shop-1").write_text(word)
    pathlib.Path(word).write_text(str(time.time()))
"""
ACTIVITY = "{type: action, name: a-long-one, provider: {type: python, module: long, func: hold}}"
PRETEND = f"""
title: The shop survives marks
service: shop
steady-state-hypothesis: {{title: It answers, signals: {{errors: {{ratio: "< 1%", for: 10s}}}}}}
method:
  - {{fault: testkit/mark, target: {{service: shop}}, blast-radius: [1, 50%], hold: 100ms}}
  - {ACTIVITY}
abort-when: {{errors: {{ratio: "> 50%", for: 1ms}}}}
timing: {{interval: 50ms, baseline: 200ms, steady: 100ms, recovery: 200ms}}
"""
LAB = f"""
title: Checkout without payments
service: checkout
steady-state-hypothesis: {{title: It answers, signals: {{errors: {{ratio: "< 1%", for: 20s}}}}}}
method:
  - {{fault: dependency/abort, target: {{service: payments, from: checkout}}, blast-radius: 50%, hold: 300ms}}
  - {ACTIVITY}
abort-when: {{errors: {{ratio: "> 10%", for: 1ms}}}}
timing: {{interval: 200ms, baseline: 3s, steady: 1s, recovery: 1s}}
"""
PROJECT = """
project: abort
environments:
  lab: {kind: lab}
services:
  checkout: {depends-on: [payments]}
  payments: {}
"""


def _python(function: str, **arguments: str) -> dict[str, object]:
    return {"type": "python", "module": "long", "func": function, "arguments": arguments}


PLAIN: dict[str, Any] = {
    "title": "The shop survives a mark",
    "description": "The same shape for the Chaos Toolkit.",
    "steady-state-hypothesis": {
        "title": "It answers",
        "probes": [
            {
                "type": "probe",
                "name": "errors",
                "tolerance": {"type": "range", "range": [0, 0.5]},
                "provider": _python("errors"),
            }
        ],
    },
    "method": [
        {"type": "action", "name": "mark", "provider": _python("write", word="broken")},
        {"type": "action", "name": "a-long-one", "provider": _python("hold")},
    ],
    "rollbacks": [{"type": "action", "name": "unmark", "provider": _python("write", word="well")}],
}
SAFEGUARDS = "chaosaddons.controls.safeguards"


def with_safeguard() -> dict[str, object]:
    """The same, with the probe as a safeguard in place of the hypothesis."""
    (probe,) = PLAIN["steady-state-hypothesis"]["probes"]
    arguments = {"probes": [{**probe, "frequency": 0.05}]}
    control = {"name": "safeguard", "provider": {"type": "python", "module": SAFEGUARDS, "arguments": arguments}}
    rest = {key: value for key, value in PLAIN.items() if key != "steady-state-hypothesis"}
    return {**rest, "controls": [control]}


def wait_for(happened: Callable[[], bool], what: str) -> None:
    """Look every 10 ms. Raises SystemExit when it does not happen in time."""
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        if time.monotonic() > deadline:
            raise SystemExit(f"{what} did not happen within {PATIENCE_S:g} s")
        time.sleep(0.01)


def strike(command: list[str], root: Path, environment: dict[str, str], status: int) -> None:
    """Run until the long activity has begun, let the errors rise, and wait for the end."""
    log = root / "output"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=root, env=environment_of(**environment), stdout=output, stderr=subprocess.STDOUT
        )
    try:
        wait_for(lambda: (root / "started").exists() or process.poll() is not None, "the long activity")
        time.sleep(CALM_S)
        new = root / "system" / "signals.new"
        new.write_text('{"errors": 0.9}')
        new.replace(root / "system" / "signals.json")
        ended = process.wait(PATIENCE_S)
    finally:
        process.kill()
        process.wait()
    if ended != status:
        raise SystemExit(f"{command[0]} ended with status {ended}, not {status}:\n{log.read_text()[-2000:]}")


def pretend_files() -> dict[str, str]:
    """A system of four instances that are well, and what is to be run on it."""
    instances = {f"system/shop-{number}": "well" for number in range(1, 5)}
    return {
        **instances,
        "system/inventory.json": "{}",
        "system/signals.json": '{"errors": 0.0}',
        "long.py": LONG,
        "given-0.yaml": PRETEND,
        "plain.json": json.dumps(PLAIN),
        "safeguard.json": json.dumps(with_safeguard()),
    }


def latest_run(root: Path) -> Path:
    """The directory of the run that has just ended."""
    return max((root / ".gameday" / "runs").iterdir())


def reaction_s(directory: Path) -> float:
    """From the sample that broke the abort condition to the end of the last undo, as the journal has them."""
    events = tuple(read_events(directory))
    (asked,) = (event for event in events if isinstance(event, AbortRequested))
    undone = [event for event in events if isinstance(event, UndoEnded)]
    if asked.source != "guard" or not undone or not all(event.undone and event.attempts == 1 for event in undone):
        raise SystemExit(f"not what was to be measured: {asked.source}: {asked.reason}; {undone}")
    seen = max(event.at for event in events if isinstance(event, SignalsSampled) and event.at <= asked.at)
    return max(event.at for event in undone) - seen


def own_calls_s(directory: Path) -> float:
    """What the undo and the check of all of a run's faults take, each called alone in a child that has all imported."""
    planned = [event for event in read_events(directory) if isinstance(event, FaultPlanned)]
    return sum(statistics.median(_alone_s(event) for _ in range(ALONE)) for event in planned)


def _alone_s(event: FaultPlanned) -> float:
    fault = load_fault(event.fault)
    read, write = os.pipe()
    if not (pid := os.fork()):
        try:
            plan = decode(event.plan, fault.plan_type)
            began = time.perf_counter()
            fault.undo(plan)
            left = fault.verify(plan)
            took = time.perf_counter() - began
            os.write(write, b"" if left else str(took).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as answer:
        text = answer.read()
    os.waitpid(pid, 0)
    return float(text)


def on_pretend_system() -> tuple[list[float], float]:
    """Seconds of each run, and of the fault's own calls."""
    took, own = [], 0.0
    path = os.pathsep.join(map(str, (TESTS / "testkit", TESTS / "engine")))
    for _ in range(PRETEND_RUNS):
        with project(pretend_files()) as root:
            command = [sys.executable, str(TESTS / "engine" / "runner.py"), str(root)]
            strike(command, root, {"PYTHONPATH": f"{path}{os.pathsep}{root}"}, ABORTED)
            took.append(reaction_s(latest_run(root)))
            own = own_calls_s(latest_run(root))
    return took, own


def on_lab() -> tuple[list[float], float]:
    """The same on the lab, where the fault itself makes the errors."""
    took, own = [], 0.0
    with project({"gameday.yaml": PROJECT, "experiment.yaml": LAB, "long.py": LONG}) as root:
        environment = {"PYTHONPATH": str(root)}
        run([GAMEDAY, "lab", "up"], root, environment=environment)
        try:
            time.sleep(6)  # until there are rates
            for _ in range(LAB_RUNS):
                run([GAMEDAY, "run", "experiment.yaml"], root, environment=environment, status=ABORTED)
                took.append(reaction_s(latest_run(root)))
                own = own_calls_s(latest_run(root))
                time.sleep(6)  # until the errors have left the rates' window
        finally:
            run([GAMEDAY, "lab", "down"], root, environment=environment)
    return took, own


def by_chaos(experiment: str, options: list[str], runs: int) -> float:
    """The median of seconds."""
    took = []
    for _ in range(runs):
        with project(pretend_files()) as root:
            command = [*CHAOS, "run", experiment, "--rollback-strategy", "always", *options]
            strike(command, root, {"PYTHONPATH": str(root)}, 1)
            took.append(float((root / "well").read_text()) - float((root / "seen").read_text()))
    return statistics.median(took)


def by_safeguard() -> float | None:
    """The same by the addon's safeguard; None where that is not installed."""
    python = Path(CHAOS[0]).parent / "python"
    found = subprocess.run([python, "-c", f"import {SAFEGUARDS}"], stderr=subprocess.DEVNULL, check=False)
    return by_chaos("safeguard.json", [], SAFEGUARD_RUNS) if found.returncode == 0 else None


def row(what: str, took: list[float], own: float, peer: str, ratio: str) -> Row:
    """Median and maximum; the goal is judged by the maximum."""
    median, longest = statistics.median(took) * 1000, max(took) * 1000
    beyond = longest - own * 1000
    return Row(
        what,
        "abort.py",
        f"{median:.0f} ms, at most {longest:.0f} ms; of these the fault's own calls {own * 1000:.0f} ms",
        peer,
        ratio,
        f"≤ {GOAL_S * 1000:g} ms beyond the own calls",
        beyond <= GOAL_S * 1000,
    )


def main() -> int:
    """Measure, print, and say whether the goal was met."""
    sys.path.insert(0, str(TESTS / "testkit"))  # the fault of the pretend system, for this process
    fail_fast = ["--hypothesis-strategy", "continuously", "--hypothesis-frequency", "0.05", "--fail-fast"]
    waited, safeguard = by_chaos("plain.json", fail_fast, CHAOS_RUNS), by_safeguard()
    took, own = on_pretend_system()
    ours = statistics.median(took)
    peer, ratio = f"{seconds(waited)} with --fail-fast", f"{ours / waited:.3f} ×"
    if safeguard is None:
        peer += "; safeguards are not installed"
    else:
        peer += f"; {seconds(safeguard)} with a safeguard"
        ratio += f"; {ours / safeguard:.2f} ×"
    return show(
        row("from a breach to the last undo, 20 s activity running, pretend system, 2 undos", took, own, peer, ratio),
        row("the same on the lab's Envoy, 1 undo", *on_lab(), "not measured", ""),
    )


if __name__ == "__main__":
    sys.exit(main())
