"""Plain experiments with controls: the Toolkit itself runs them in a child; aborts, rollbacks and words are ours."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from pretend import PretendSystem, events_of

from gameday.engine.recorder import Sink
from gameday.engine.runs import Message, MessageKind, all_runs
from gameday.engine.session import SessionResult, run_session
from gameday.journal.events import (
    ActivityEnded,
    ActivityStarted,
    AnyEvent,
    CheckOutcome,
    FindingKind,
    FindingRaised,
    HypothesisJudged,
    PreflightChecked,
    RollbacksArmed,
    RollbacksEnded,
    Verdict,
)
from gameday.journal.log import read_events
from gameday.report.toolkit_journal import toolkit_journals
from gameday.spec.experiment import load_experiment
from gameday.spec.model import Dry, HypothesisStrategy, RollbackStrategy, Runtime

type Step = dict[str, object]

# Logs every call; what else it does at one of them, its argument `at` says.
CONTROL = """
import os
import subprocess
import time

from chaoslib.exceptions import InterruptExecution


def _log(word, context, at="", does=""):
    name = context.get("name") or context.get("title") or "" if isinstance(context, dict) else ""
    with open("control.log", "a") as file:
        file.write(f"{word} {name}".strip() + "\\n")
    if at == f"{word} {name}".strip():
        if does == "interrupt":
            raise InterruptExecution("the control has seen enough of ${password}")
        if does == "exit":
            os._exit(7)
        if does == "hang":
            subprocess.Popen(["setsid", "sh", "-c", "while :; do echo x >> daemon; sleep 0.05; done"])
            time.sleep(60)
        if does == "raise":
            raise ValueError("a control's own mistake")


def configure_control(at="", does=""):
    _log("configure", {}, at, does)


def cleanup_control():
    _log("cleanup", {})
"""
for _level in ("experiment", "hypothesis", "method", "rollback", "activity"):
    for _when in ("before", "after"):
        CONTROL += f"""

def {_when}_{_level}_control(context, at="", does="", **_):
    _log("{_when}-{_level}", context, at, does)
"""


def control(at: str = "", does: str = "", **more: object) -> list[Step]:
    provider = {"type": "python", "module": "logging_control", "arguments": {"at": at, "does": does}}
    return [{"name": "log", "provider": provider, **more}]


def process(name: str, script: str, kind: str = "action", **more: object) -> Step:
    provider = {"type": "process", "path": "sh", "arguments": ["-c", script]}
    return {"type": kind, "name": name, "provider": provider, **more}


def says(text: str = "well") -> Step:
    tolerance = {"type": "regex", "pattern": f"^{text}$", "target": "stdout"}
    return process("it is well", "cat state", kind="probe", tolerance=tolerance)


BREAK = process("break", "printf broken > state")
MEND = process("mend", "printf well > state; echo mended >> mended")
ASK = process("ask", "echo hello", kind="probe")


class Controlled:
    """One file that may be well or broken, and experiments on it with controls."""

    def __init__(self, system: PretendSystem) -> None:
        self.system = system
        self.root = system.root
        (self.root / "state").write_text("well")

    def run(
        self,
        method: list[Step],
        rollbacks: list[Step] | None = None,
        runtime: Runtime = Runtime(),
        sinks: tuple[Sink, ...] = (),
        **more: object,
    ) -> SessionResult:
        document = {
            "title": "Plain",
            "description": "-",
            "steady-state-hypothesis": {"title": "Well", "probes": [says()]},
            "method": method,
            "rollbacks": rollbacks or [],
            **more,
        }
        path = self.root / "plain.json"
        path.write_text(json.dumps(document))
        experiment = msgspec.structs.replace(load_experiment(path), runtime=runtime)
        session = msgspec.structs.replace(self.system.session(), experiments=(experiment,))
        return asyncio.run(run_session(session, sinks))

    @property
    def log(self) -> list[str]:
        path = self.root / "control.log"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def state(self) -> str:
        return (self.root / "state").read_text()

    @property
    def times_mended(self) -> int:
        path = self.root / "mended"
        return len(path.read_text().splitlines()) if path.exists() else 0


@pytest.fixture
def plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Controlled:
    monkeypatch.chdir(tmp_path)
    modules = tmp_path / "modules"
    modules.mkdir()
    (modules / "logging_control.py").write_text(CONTROL)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(modules), os.environ["PYTHONPATH"]]))
    monkeypatch.setenv("HOME", str(tmp_path))
    return Controlled(PretendSystem(tmp_path))


def ran(result: SessionResult) -> list[tuple[str, str, str]]:
    started = {event.activity: event for event in events_of(result.run.directory, ActivityStarted)}
    ended = {event.activity: event.status for event in events_of(result.run.directory, ActivityEnded)}
    assert set(started) == set(ended) == set(range(len(started)))
    return [(event.section, event.name, ended[number]) for number, event in started.items()]


def judged(result: SessionResult) -> list[tuple[str, bool]]:
    return [(event.when, event.held) for event in events_of(result.run.directory, HypothesisJudged)]


def findings(result: SessionResult) -> list[FindingKind]:
    return [event.kind for event in events_of(result.run.directory, FindingRaised) if event.weakness]


def controls_check(result: SessionResult) -> PreflightChecked:
    (check,) = (event for event in events_of(result.run.directory, PreflightChecked) if event.check == "controls")
    return check


WHOLE = [
    "before-experiment Plain",
    "before-hypothesis Well",
    "before-activity it is well",
    "after-activity it is well",
    "after-hypothesis Well",
    "before-method Plain",
    "before-activity break",
    "after-activity break",
    "before-activity ask",
    "after-activity ask",
    "after-method Plain",
    "before-hypothesis Well",
    "before-activity it is well",
    "after-activity it is well",
    "after-hypothesis Well",
    "before-rollback Plain",
    "before-activity mend",
    "after-activity mend",
    "after-rollback Plain",
    "after-experiment Plain",
]


def test_a_control_of_the_experiment_is_called_at_all_levels(plain: Controlled) -> None:
    result = plain.run([BREAK, ASK], [MEND], controls=control())
    assert plain.log == ["configure", *WHOLE, "cleanup"]
    assert result.verdict is Verdict.WEAKNESS
    assert findings(result) == [FindingKind.HYPOTHESIS_BROKEN]
    assert judged(result) == [("before", True), ("during", False)]
    assert ran(result) == [
        ("hypothesis", "it is well", "succeeded"),
        ("method", "break", "succeeded"),
        ("method", "ask", "succeeded"),
        ("hypothesis", "it is well", "succeeded"),
        ("rollback", "mend", "succeeded"),
    ]
    assert (plain.state, plain.times_mended) == ("well", 1)
    assert controls_check(result).outcome is CheckOutcome.OK
    assert not list(result.run.directory.glob("*toolkit*")) + list(result.run.directory.glob("rollbacks*"))
    assert not (plain.root / "chaostoolkit.log").exists()
    assert not (plain.root / "journal.json").exists()


def test_controls_below_the_experiment(plain: Controlled) -> None:
    hypothesis = {"title": "Well", "probes": [says()], "controls": control()}
    first = plain.run([ASK], **{"steady-state-hypothesis": hypothesis})
    assert first.verdict is Verdict.HELD
    assert [line for line in plain.log if "hypothesis" in line] == [
        "before-hypothesis Well",
        "after-hypothesis Well",
    ] * 2
    (plain.root / "control.log").unlink()
    second = plain.run([ASK, {**ASK, "name": "ask again", "controls": control()}])
    assert second.verdict is Verdict.HELD
    assert plain.log == ["configure", "before-activity ask again", "after-activity ask again", "cleanup"]
    (plain.root / "control.log").unlink()
    plain.run([ASK], [{**MEND, "controls": control()}])
    assert plain.log == ["configure", "before-activity mend", "after-activity mend", "cleanup"]


def test_a_control_of_the_settings_is_called(plain: Controlled) -> None:
    settings = plain.root / ".chaostoolkit" / "settings.yaml"
    settings.parent.mkdir()
    settings.write_text("controls: {log: {provider: {type: python, module: logging_control}}}\n")
    result = plain.run([BREAK, ASK], [MEND])
    assert plain.log == ["configure", *WHOLE, "cleanup"]
    assert "log" in controls_check(result).detail


def test_without_controls_it_is_ours(plain: Controlled) -> None:
    result = plain.run([BREAK], [MEND])
    assert judged(result) == [("before", True), ("during", False), ("after", True)]
    assert "controls" not in [event.check for event in events_of(result.run.directory, PreflightChecked)]


def test_a_steady_state_that_is_not_met(plain: Controlled) -> None:
    (plain.root / "state").write_text("broken")
    result = plain.run([BREAK], [MEND], controls=control())
    assert (result.verdict, result.verdict.exit_code) == (Verdict.NOT_STARTED, 3)
    assert judged(result) == [("before", False)]
    assert plain.times_mended == 0  # nothing was done that they would undo
    assert result.run.state().is_clean
    assert "after-experiment Plain" in plain.log


def test_a_failed_action_is_a_weakness_and_a_failed_probe_none(plain: Controlled) -> None:
    broken: Step = {"provider": {"type": "python", "module": "os", "func": "listdir", "arguments": {"path": "nowhere"}}}
    probe = {"type": "probe", "name": "look", **broken}
    assert plain.run([probe], controls=control()).verdict is Verdict.HELD
    result = plain.run([{"type": "action", "name": "act", **broken}], controls=control())
    assert (result.verdict, findings(result)) == (Verdict.WEAKNESS, [FindingKind.ACTIVITY_FAILED])
    (ended,) = (event for event in events_of(result.run.directory, ActivityEnded) if event.status == "failed")
    assert ended.error == "FileNotFoundError: [Errno 2] No such file or directory: 'nowhere'"


@pytest.mark.parametrize("at", ["before-experiment Plain", "before-activity ask"])
def test_a_control_interrupts(plain: Controlled, at: str) -> None:
    result = plain.run([BREAK, ASK], [MEND], controls=control(at, "interrupt"))
    assert (result.verdict, result.verdict.exit_code) == (Verdict.ABORTED, 4)
    assert "the control has seen enough" in result.reason
    assert (("method", "break", "succeeded") in ran(result)) is (at != "before-experiment Plain")
    assert ("method", "ask", "succeeded") not in ran(result)
    assert (plain.state, plain.times_mended) == ("well", 1)
    assert result.run.state().is_clean


def test_a_control_that_ends_the_process(plain: Controlled) -> None:
    result = plain.run([BREAK, ASK], [MEND], controls=control("after-activity break", "exit"))
    assert result.verdict is Verdict.ABORTED
    assert "exit status 7" in result.reason
    assert "Action: break" in result.reason  # the last lines of what the Toolkit said
    assert "\x1b" not in result.reason
    assert ran(result)[-1] == ("rollback", "mend", "succeeded")
    assert (plain.state, plain.times_mended) == ("well", 1)
    assert result.run.state().is_clean


def test_a_control_that_fails_is_passed_over_as_the_toolkit_does(plain: Controlled) -> None:
    result = plain.run([ASK], controls=control("before-activity ask", "raise"))
    assert result.verdict is Verdict.HELD


class When:
    """A sink that does something once, when a control has logged a line."""

    name = "when"

    def __init__(self, log: Path, line: str, act: Callable[[], None]) -> None:
        self._thread = threading.Thread(target=self._wait, args=(log, line, act), daemon=True)
        self._thread.start()

    def _wait(self, log: Path, line: str, act: Callable[[], None]) -> None:
        while not (log.exists() and line in log.read_text()):
            time.sleep(0.02)
        time.sleep(0.2)
        act()

    def handle(self, event: AnyEvent) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.mark.parametrize("how", ["command", "stop-switch"])
def test_an_abort_kills_it_with_its_daemons_and_our_rollbacks_run(plain: Controlled, how: str) -> None:
    began: list[float] = []

    def abort() -> None:
        began.append(time.monotonic())
        if how == "stop-switch":
            plain.system.stop("enough")
        else:
            (run,) = all_runs(plain.root)
            run.send(Message(MessageKind.ABORT, "somebody", "enough"))

    line = "before-activity ask"
    sink = When(plain.root / "control.log", line, abort)
    result = plain.run([BREAK, ASK], [MEND], sinks=(sink,), controls=control(line, "hang"))
    assert time.monotonic() - began[0] < 10
    assert (result.verdict, result.reason.split(":")[0]) == (Verdict.ABORTED, result.reason.split(":")[0])
    assert "enough" in result.reason
    assert ran(result)[-1] == ("rollback", "mend", "succeeded")
    assert (plain.state, plain.times_mended) == ("well", 1)
    assert "after-activity ask" not in plain.log
    size = (plain.root / "daemon").stat().st_size
    time.sleep(0.3)
    assert (plain.root / "daemon").stat().st_size == size
    assert result.run.state().is_clean


def test_the_guardian_kills_it_and_rolls_back_when_the_runner_is_killed(plain: Controlled) -> None:
    document = {"title": "t", "description": "-", "method": [BREAK, ASK], "rollbacks": [MEND]}
    document["controls"] = control("before-activity ask", "hang")
    (plain.root / "given-0.yaml").write_text(json.dumps(document))
    runner = subprocess.Popen(
        [sys.executable, str(Path(__file__).parent / "runner.py"), str(plain.root)], stdout=subprocess.DEVNULL
    )
    try:
        wait_for(lambda: "before-activity ask" in plain.log and (plain.root / "daemon").exists())
    finally:
        runner.kill()
        runner.wait()
    (run,) = all_runs(plain.root)
    wait_for(lambda: run.state().ended is not None and not run.has_guardian())
    assert (plain.state, plain.times_mended) == ("well", 1)
    assert run.state().is_clean
    assert not list(run.directory.glob("toolkit-*"))
    size = (plain.root / "daemon").stat().st_size
    time.sleep(0.3)
    assert (plain.root / "daemon").stat().st_size == size


def test_the_process_that_it_was_forked_from_is_killed(plain: Controlled) -> None:
    def kill() -> None:
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                stat = (path / "stat").read_text()
                is_child = int(stat[stat.rindex(")") + 2 :].split()[1]) == os.getpid()
                if is_child and b"gameday.engine.zygote" in (path / "cmdline").read_bytes():
                    os.kill(int(path.name), signal.SIGKILL)

    sink = When(plain.root / "control.log", "before-activity ask", kill)
    result = plain.run([BREAK, ASK], [MEND], sinks=(sink,), controls=control("before-activity ask", "hang"))
    assert result.verdict is Verdict.ABORTED
    assert (plain.state, plain.times_mended) == ("well", 1)
    size = (plain.root / "daemon").stat().st_size
    time.sleep(0.3)
    assert (plain.root / "daemon").stat().st_size == size


def wait_for(look: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_killed_activity_is_said_to_be(plain: Controlled) -> None:
    def abort() -> None:
        (run,) = all_runs(plain.root)
        run.send(Message(MessageKind.ABORT, "somebody", "enough"))

    sink = When(plain.root / "control.log", "before-activity wait", abort)
    result = plain.run([process("wait", "sleep 60")], sinks=(sink,), controls=control())
    assert ran(result)[-1] == ("method", "wait", "killed")


def test_rollbacks_that_fail_are_tried_by_us_and_the_others_not_twice(plain: Controlled) -> None:
    fails = process("fails", "echo tried >> tried; exit 1")
    result = plain.run([BREAK], [MEND, fails], controls=control())
    assert (result.verdict, result.verdict.exit_code) == (Verdict.UNDO_FAILED, 5)
    assert plain.times_mended == 1
    assert (plain.root / "tried").read_text().split() == ["tried", "tried"]
    (ended,) = events_of(result.run.directory, RollbacksEnded)
    assert (ended.failed, ended.left) == (("fails",), True)


@pytest.mark.parametrize("strategy", [RollbackStrategy.NEVER, RollbackStrategy.DEVIATED])
def test_rollback_strategies(plain: Controlled, strategy: RollbackStrategy) -> None:
    result = plain.run([ASK], [MEND], Runtime(rollbacks=strategy), controls=control())
    assert (result.verdict, plain.times_mended) == (Verdict.HELD, 0)
    assert len(events_of(result.run.directory, RollbacksArmed)) == (strategy is RollbackStrategy.DEVIATED)
    result = plain.run([BREAK], [MEND], Runtime(rollbacks=strategy), controls=control())
    assert plain.times_mended == (strategy is RollbackStrategy.DEVIATED)
    assert result.run.state().is_clean


def test_hypothesis_strategies_dry_background_ref_and_pauses(plain: Controlled) -> None:
    runtime = Runtime(hypothesis=HypothesisStrategy.CONTINUOUSLY, frequency_s=0.1)
    steps = [process("wait", "sleep 0.6", background=True), {"ref": "it is well"}, {**ASK, "pauses": {"before": 0.7}}]
    result = plain.run(steps, runtime=runtime, controls=control())
    assert result.verdict is Verdict.HELD
    whens = [when for when, held in judged(result) if held]
    assert whens[0] == "before"
    assert len(whens) > 4
    assert [event.ended for event in events_of(result.run.directory, HypothesisJudged)].count(True) == 1
    assert sorted(name for section, name, _ in ran(result) if section == "method") == ["ask", "it is well", "wait"]
    dry = plain.run([BREAK], runtime=Runtime(dry=Dry.ACTIONS), controls=control())
    assert (dry.verdict, plain.state) == (Verdict.HELD, "well")


def test_dry_at_an_activity_is_refused_for_the_toolkit_would_run_it(plain: Controlled) -> None:
    result = plain.run([{**BREAK, "dry": "actions"}], controls=control())
    assert (result.verdict, plain.state) == (Verdict.NOT_STARTED, "well")
    assert "`dry` at break" in controls_check(result).detail


def test_secrets_are_masked(plain: Controlled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_PASSWORD", "hunter22")
    secrets = {"shop": {"password": {"type": "env", "key": "THE_PASSWORD"}}}
    shout = process("shout", "echo ${password}")
    fail: Step = {"type": "action", "name": "fail"}
    fail["provider"] = {"type": "python", "module": "os", "func": "listdir", "arguments": {"path": "${password}"}}
    for step in (shout, fail):
        step["provider"]["secrets"] = ["shop"]  # type: ignore[index]
    result = plain.run([shout, fail, ASK], secrets=secrets, controls=control("before-activity ask", "interrupt"))
    text = (result.run.directory / "journal.jsonl").read_text()
    assert "hunter22" not in text
    shouted, failed = (event for event in events_of(result.run.directory, ActivityEnded) if event.activity in (1, 2))
    assert json.loads(shouted.output)["stdout"] == "•••\n"
    assert failed.error.endswith("'•••'")
    assert not [path for path in result.run.directory.rglob("*") if path.is_file() and "hunter22" in path.read_text()]


def test_an_experiment_that_the_toolkit_refuses(plain: Controlled) -> None:
    refuses = [{"name": "log", "scope": "sideways", "provider": {"type": "python", "module": "logging_control"}}]
    result = plain.run([BREAK], [MEND], controls=refuses)
    assert (result.verdict, plain.state, plain.times_mended) == (Verdict.NOT_STARTED, "well", 0)
    (ended,) = [event for event in read_events(result.run.directory) if type(event).__name__ == "ExperimentEnded"]
    assert "scope property must be 'before' or 'after'" in ended.reason  # type: ignore[union-attr]


def test_a_native_experiment_is_told_that_its_controls_are_not_applied(plain: Controlled) -> None:
    result = plain.run([ASK], controls=control(), service="shop")
    assert plain.log == []
    check = controls_check(result)
    assert (check.outcome, check.detail) == (
        CheckOutcome.WARNING,
        "not applied: log; controls are honoured in plain experiments only",
    )


def test_their_journal_can_be_had_of_it(plain: Controlled) -> None:
    (journal,) = toolkit_journals(plain.run([BREAK, ASK], [MEND], controls=control()).run.directory)
    assert (journal["status"], journal["deviated"]) == ("completed", True)
    assert journal["steady_states"]["after"]["probes"][0]["output"]["stdout"] == "broken"
    assert [entry["activity"]["name"] for entry in journal["run"]] == ["break", "ask"]
    assert [entry["activity"]["name"] for entry in journal["rollbacks"]] == ["mend"]
    assert journal["experiment"]["controls"] == control()
