"""Exported experiments, executed by the real `chaos run` on a pretend system: same verdicts, and nothing is left."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pretend import EXPERIMENT, PretendSystem, events_of

from gameday.chaostoolkit.export import compile_experiment
from gameday.common.processes import is_alive, ref_of
from gameday.common.redact import MASK
from gameday.engine.runs import Run, all_runs
from gameday.journal.events import (
    AbortRequested,
    ActivityEnded,
    By,
    ExperimentStarted,
    FaultInjected,
    FaultPlanned,
    FindingKind,
    FindingRaised,
    Loss,
    PhaseEntered,
    SessionEnded,
    StageEnded,
    UndoEnded,
    Verdict,
    WasWell,
)
from gameday.spec.experiment import load_experiment
from gameday.spec.reader import read_document
from tests.serving import Serving, StandInHandler

PROGRAMS = Path(sys.executable).parent
LONG = EXPERIMENT.replace("hold: 300ms", "hold: 60s")
ALERT = """
expect:
  alerts: [{name: ShopDown, within: 10s, severity: page}]
"""


class Chaos:
    """`chaos run` of an exported experiment, and `gameday`, in a project with the pretend system."""

    def __init__(self, system: PretendSystem) -> None:
        self.system = system
        self.root = system.root
        self._process: subprocess.Popen[bytes] | None = None
        system.write_project()

    def environment(self, **more: str) -> dict[str, str]:
        return os.environ | {"GAMEDAY_ENVIRONMENT": "pretend"} | more

    def gameday(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(PROGRAMS / "gameday"), *arguments]
        return subprocess.run(
            command, cwd=self.root, env=self.environment(), capture_output=True, text=True, timeout=60, check=False
        )

    def export(self, text: str, change: Callable[[dict[str, Any]], None] = lambda _document: None) -> None:
        native = self.root / "native.yaml"
        native.write_text(text)
        document = compile_experiment(load_experiment(native), read_document(native), "native.yaml")
        change(document)
        (self.root / "plain.json").write_text(json.dumps(document))

    def start(self, *options: str, **environment: str) -> subprocess.Popen[bytes]:
        with (self.root / "output").open("wb") as output:
            self._process = subprocess.Popen(
                [str(PROGRAMS / "chaos"), "run", *options, "plain.json"],
                cwd=self.root,
                env=self.environment(**environment),
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        return self._process

    def run_as_stage_one_degrades(self) -> int:
        process = self.start()
        self.wait_for(FaultInjected)
        self.system.signals(errors=0.1)
        self.wait_for(StageEnded)
        self.system.signals(errors=0.0)
        return process.wait(60)

    def run(self, text: str, *options: str, **environment: str) -> int:
        self.export(text)
        return self.start(*options, **environment).wait(60)

    def wait_for(self, kind: type[Any], seconds: float = 30.0) -> Run:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for run in all_runs(self.root):
                if events_of(run.directory, kind):
                    return run
            time.sleep(0.02)
        raise AssertionError(f"{kind.__name__} never came: {self.output}")

    @property
    def output(self) -> str:
        return (self.root / "output").read_text()

    @property
    def journal(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((self.root / "journal.json").read_text())
        return document

    @property
    def how(self) -> tuple[str, bool]:
        """What the Toolkit says: its status, and whether the steady state deviated."""
        return self.journal["status"], self.journal["deviated"]

    @property
    def unmet(self) -> str:
        """The probe that was not met after the method."""
        probe: dict[str, Any] = self.journal["steady_states"]["after"]["probes"][-1]
        assert not probe["tolerance_met"]
        return str(probe["activity"]["name"])

    @property
    def latest(self) -> Path:
        return all_runs(self.root)[-1].directory

    @property
    def verdict(self) -> Verdict:
        (ended,) = events_of(self.latest, SessionEnded)
        return ended.verdict

    def close(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()


@pytest.fixture
def chaos(tmp_path: Path) -> Iterator[Chaos]:
    chaos = Chaos(PretendSystem(tmp_path))
    try:
        yield chaos
    finally:
        chaos.close()


def test_what_holds_is_completed(chaos: Chaos) -> None:
    assert chaos.run(EXPERIMENT) == 0, chaos.output
    assert chaos.how == ("completed", False)
    assert chaos.verdict is Verdict.HELD
    first, second = events_of(chaos.latest, FaultPlanned)
    assert (len(first.targets), len(second.targets)) == (1, 2)
    assert set(first.targets) < set(second.targets)  # the second stage grew from the first
    assert chaos.system.calls[2:] == [f"undo {second.targets[1]}", f"undo {first.targets[0]}"]
    assert chaos.system.broken == []


def test_what_was_well_before_is_taken_down(chaos: Chaos) -> None:
    """By the name of the file that it was exported from: also what `gameday run` has shown of that."""
    assert chaos.run(EXPERIMENT) == 0
    assert events_of(chaos.latest, WasWell) == []
    first = chaos.latest.name
    assert chaos.start().wait(60) == 0
    assert {(event.loss, event.good_run) for event in events_of(chaos.latest, WasWell)} == {
        (Loss.VERDICT, first),
        (Loss.RECOVERY, first),
    }


def test_the_report_of_such_a_run_can_be_rendered(chaos: Chaos) -> None:
    assert chaos.run(EXPERIMENT) == 0, chaos.output
    done = chaos.gameday("report", "--format", "html,json,junit,markdown")
    assert done.returncode == 0, done.stderr
    assert "everything held" in chaos.output


SIGNALS = """service: shop
steady-state-hypothesis:
  signals: {errors: {ratio: "< 1%", for: 100ms}}
timing: {interval: 50ms, baseline: 300ms, steady: 200ms, recovery: 3s, blind-after: 2s}
"""
# A rename: whoever reads finds the one or the other, never half of it.
ACTION = "{{type: action, name: {0}, provider: {{type: process, path: mv, arguments: [{0}.json, system/signals.json]}}"
BREAK, MEND = f"{ACTION.format('break')}, pauses: {{after: 1}}}}", f"{ACTION.format('mend')}}}"
ROUND_TRIPS = {
    "title: Only looks\nmethod: []\n" + SIGNALS: 0,
    f"title: Only acts\nmethod: [{BREAK}, {MEND}]\n" + SIGNALS: 1,
    "title: No signals\nmethod: [{fault: testkit/mark, target: {service: shop}, blast-radius: 1, hold: 200ms}]\n": 0,
    EXPERIMENT + ALERT: 1,
}


@pytest.mark.parametrize(("text", "status"), ROUND_TRIPS.items(), ids=[text.split("\n")[0] for text in ROUND_TRIPS])
def test_there_and_back(chaos: Chaos, text: str, status: int) -> None:
    def prepare() -> None:
        (chaos.root / "break.json").write_text('{"errors": 0.3}')
        (chaos.root / "mend.json").write_text('{"errors": 0.0}')

    prepare()
    (chaos.root / "native.yaml").write_text(text)
    natively = chaos.gameday("run", "native.yaml", "--env", "pretend")
    assert natively.returncode == status, natively.stderr
    prepare()
    assert chaos.run(text) == status, chaos.output
    assert chaos.how == ("completed", status == 1)


def test_a_stage_that_does_not_hold_deviates_and_ends_the_ladder(chaos: Chaos) -> None:
    chaos.export(EXPERIMENT)
    assert chaos.run_as_stage_one_degrades() == 1
    assert chaos.how == ("completed", True)
    assert chaos.unmet == "the steady state held during the method"
    assert chaos.verdict is Verdict.WEAKNESS
    assert len(events_of(chaos.latest, FaultPlanned)) == 1
    (later,) = [run for run in chaos.journal["run"] if "stage 2 of 2" in run["activity"]["name"]]
    assert (later["status"], later["output"]) == ("succeeded", "nothing was injected: a stage did not hold")
    assert chaos.system.broken == []


def test_an_abort_condition_interrupts_and_undoes_at_once(chaos: Chaos) -> None:
    chaos.export(LONG)
    process = chaos.start()
    chaos.wait_for(FaultInjected)
    began = time.monotonic()
    chaos.system.signals(errors=0.9)
    chaos.wait_for(UndoEnded)
    assert time.monotonic() - began < 20  # of the 60 s that the stage was to be held
    chaos.system.signals(errors=0.0)
    assert process.wait(60) == 1
    assert chaos.how == ("interrupted", False)
    assert chaos.verdict is Verdict.ABORTED
    assert "errors.ratio was > 50%" in chaos.output
    assert chaos.system.broken == []


def test_blind_is_interrupted(chaos: Chaos) -> None:
    chaos.export(LONG)
    process = chaos.start()
    chaos.wait_for(FaultInjected)
    chaos.system.signals(errors="unreachable")
    chaos.wait_for(UndoEnded)
    chaos.system.signals(errors=0.0)
    assert process.wait(60) == 1
    assert chaos.how == ("interrupted", False)
    assert "could not be read" in events_of(chaos.latest, AbortRequested)[0].reason
    assert chaos.system.broken == []


def test_the_guard_does_not_wait_for_a_plain_action(chaos: Chaos) -> None:
    """It undoes while that is under way, and interrupts it."""
    plain = "  - {type: action, name: dawdle, provider: {type: process, path: sleep, arguments: ['50']}}\nabort-when:"
    chaos.export(EXPERIMENT.replace("abort-when:", plain))
    process = chaos.start()
    while not (chaos.root / "output").read_text().count("Action: dawdle"):
        assert process.poll() is None, chaos.output
        time.sleep(0.05)
    assert len(chaos.system.broken) == 2
    began = time.monotonic()
    chaos.system.signals(errors=0.9)
    chaos.wait_for(UndoEnded)
    chaos.system.signals(errors=0.0)
    assert process.wait(60) == 1
    assert time.monotonic() - began < 30
    assert chaos.how == ("interrupted", False)
    assert chaos.system.broken == []


def kill(chaos: Chaos, *, guardian_too: bool) -> Run:
    chaos.export(LONG)
    process = chaos.start()
    run = chaos.wait_for(FaultInjected)
    assert len(chaos.system.broken) == 1
    guardian = ref_of(int((run.directory / "guardian.lock").read_text().split()[1]))
    assert guardian is not None
    if guardian_too:
        process.send_signal(signal.SIGSTOP)
        os.kill(guardian.pid, signal.SIGKILL)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 30
    while is_alive(guardian) and time.monotonic() < deadline:
        time.sleep(0.02)
    return run


def test_the_guardian_undoes_when_chaos_is_killed(chaos: Chaos) -> None:
    run = kill(chaos, guardian_too=False)
    assert chaos.system.broken == []
    assert [event.by for event in events_of(run.directory, UndoEnded)] == [By.GUARDIAN]


def test_recover_undoes_when_the_guardian_is_killed_too(chaos: Chaos) -> None:
    run = kill(chaos, guardian_too=True)
    assert len(chaos.system.broken) == 1
    status = chaos.gameday("status")
    assert status.returncode == 5
    assert f"gameday recover {run.name}" in status.stderr
    assert chaos.run(EXPERIMENT) == 1  # no other may start
    assert f"run {run.name} left" in chaos.output
    assert chaos.gameday("recover").returncode == 0
    assert chaos.system.broken == []
    assert [event.by for event in events_of(run.directory, UndoEnded)] == [By.RECOVER]


def test_an_expected_alert_that_fires_is_met(chaos: Chaos) -> None:
    chaos.export(EXPERIMENT + ALERT)
    process = chaos.start()
    chaos.wait_for(FaultInjected)
    chaos.system.alerts("ShopDown")
    run = chaos.wait_for(UndoEnded)
    chaos.system.alerts()
    assert process.wait(60) == 0, chaos.output
    assert chaos.how == ("completed", False)
    assert events_of(run.directory, FindingRaised) == []


def test_an_expected_alert_that_is_missed_deviates(chaos: Chaos) -> None:
    assert chaos.run(EXPERIMENT + ALERT) == 1
    assert chaos.how == ("completed", True)
    assert chaos.unmet == "alert ShopDown fires within 10s"
    assert [event.kind for event in events_of(chaos.latest, FindingRaised)] == [FindingKind.ALERT_MISSED]


def test_a_runbook_that_is_missing_deviates(chaos: Chaos) -> None:
    chaos.export(EXPERIMENT)
    text = (chaos.root / "gameday.yaml").read_text()
    (chaos.root / "runbooks").mkdir()
    (chaos.root / "runbooks/shop-down.md").write_text("---\ntitle: Shop is down\n---\n## Symptoms\n- None.\n")
    (chaos.root / "gameday.yaml").write_text(text.replace("owner: team-shop", "runbooks: [shop-down]"))
    assert chaos.start().wait(60) == 1
    assert chaos.unmet == "runbooks are whole"


def test_nothing_is_injected_when_the_steady_state_does_not_hold_before(chaos: Chaos) -> None:
    chaos.system.signals(errors=0.2)
    assert chaos.run(EXPERIMENT) == 1
    assert chaos.how == ("interrupted", False)  # the Toolkit's first word, "failed", is followed by our last one
    assert "does not hold before anything is injected" in chaos.output
    assert chaos.verdict is Verdict.NOT_STARTED
    assert chaos.system.calls == []


def test_a_probe_of_the_users_that_fails_before_leaves_nothing_and_is_no_success(chaos: Chaos) -> None:
    def tighten(document: dict[str, Any]) -> None:
        provider = {"type": "process", "path": "false"}
        probe = {"type": "probe", "name": "no", "provider": provider, "tolerance": 0}
        document["steady-state-hypothesis"]["probes"].append(probe)

    chaos.export(EXPERIMENT, tighten)
    assert chaos.start().wait(60) == 1
    assert chaos.verdict is Verdict.ABORTED
    assert chaos.system.calls == []


def test_a_probe_of_the_users_is_judged_in_every_stage(chaos: Chaos) -> None:
    """As natively: it is met before and after, and not while a replica is broken."""
    script = f"grep -L well {chaos.system.directory}/shop-* | wc -l"
    probe = (
        "  probes:\n"
        f"  - {{type: probe, name: all-well, provider: {{type: process, path: sh, arguments: [-c, '{script}']}},\n"
        "     tolerance: {type: regex, pattern: '^0', target: stdout}}\n"
        "method:"
    )
    assert chaos.run(EXPERIMENT.replace("method:", probe)) == 1
    assert chaos.unmet == "the steady state held during the method"
    assert len(events_of(chaos.latest, FaultPlanned)) == 1


def test_secrets_of_the_experiment_stay_out_of_the_journal(chaos: Chaos) -> None:
    """Its values are known to the Toolkit alone, which hands them to the probe that is to be judged in every stage."""
    more = (
        "secrets: {shop: {token: {type: env, key: SHOP_TOKEN}}}\n"
        "steady-state-hypothesis:\n"
        "  probes:\n"
        "  - {type: probe, name: spoken, provider: {type: process, path: echo, arguments: ['${token}']},\n"
        "     tolerance: {type: regex, pattern: '[a-z]+', target: stdout}}\n"
    )
    assert chaos.run(EXPERIMENT.replace("steady-state-hypothesis:\n", more), SHOP_TOKEN="opensesame") == 0, chaos.output
    ended = events_of(chaos.latest, ActivityEnded)
    assert len(ended) == 4  # before, in two stages, after
    assert all(event.status == "succeeded" and MASK in event.output for event in ended), ended
    assert b"opensesame" not in (chaos.latest / "journal.jsonl").read_bytes()


@pytest.mark.parametrize(("name", "said"), [("lab", "the lab is not up"), ("labb", "did you mean `lab`")])
def test_an_environment_that_cannot_be_used(chaos: Chaos, name: str, said: str) -> None:
    assert chaos.run(EXPERIMENT, GAMEDAY_ENVIRONMENT=name) == 1
    assert said in chaos.output
    assert chaos.system.calls == []


def test_the_ceiling_is_checked_before_anything_starts(chaos: Chaos) -> None:
    chaos.system.write_project("{max-blast-radius: 25%}")
    assert chaos.run(EXPERIMENT) == 1
    assert "the policy's ceiling is 25%" in chaos.output
    assert chaos.system.calls == []


def test_the_policys_hours_and_confirmation_hold(chaos: Chaos) -> None:
    chaos.system.write_project('{hours: "Mon 00:00-00:01 UTC", confirm: true}')
    assert chaos.run(EXPERIMENT) == 1
    assert "wants a confirmation" in chaos.output
    assert chaos.start(GAMEDAY_CONFIRMED="1").wait(60) == 1
    assert "the policy allows Mon 00:00-00:01 UTC" in chaos.output
    assert chaos.system.calls == []


def test_the_stop_switch_keeps_it_from_starting_and_ends_it(chaos: Chaos) -> None:
    assert chaos.gameday("stop", "--reason", "enough").returncode == 0
    assert chaos.run(LONG) == 1
    assert "enough" in chaos.output
    assert chaos.gameday("stop", "--release").returncode == 0
    process = chaos.start()
    chaos.wait_for(FaultInjected)
    assert chaos.gameday("stop", "--reason", "now").returncode == 0
    assert chaos.system.broken == []
    assert process.wait(60) == 1
    assert chaos.how == ("interrupted", False)


def test_gameday_abort_ends_it(chaos: Chaos) -> None:
    chaos.export(LONG)
    process = chaos.start()
    chaos.wait_for(FaultInjected)
    assert chaos.gameday("abort").returncode == 0
    assert process.wait(60) == 1
    assert chaos.how == ("interrupted", False)
    assert chaos.system.broken == []


@pytest.mark.parametrize(
    ("number", "strategy"),
    [
        (signal.SIGINT, "always"),
        (signal.SIGTERM, "always"),
        (signal.SIGINT, "never"),
        (signal.SIGUSR2, "always"),  # which skips the rollbacks
    ],
)
def test_whatever_ends_chaos_everything_is_undone(chaos: Chaos, number: signal.Signals, strategy: str) -> None:
    chaos.export(LONG)
    process = chaos.start("--rollback-strategy", strategy)
    chaos.wait_for(FaultInjected)
    process.send_signal(number)
    assert process.wait(60) == 1
    assert chaos.how == ("interrupted", False)
    assert chaos.system.broken == []
    assert chaos.verdict is Verdict.ABORTED
    assert [event.by for event in events_of(chaos.latest, UndoEnded)] == [By.RUNNER]


def test_an_undo_that_fails_is_said_and_is_no_success(chaos: Chaos, monkeypatch: pytest.MonkeyPatch) -> None:
    hurry = "import gameday.engine.undo as undo\nundo.undo_all.__kwdefaults__['deadline_s'] = 1.0\n"
    (chaos.root / "sitecustomize.py").write_text(hurry)
    monkeypatch.setenv("PYTHONPATH", f"{chaos.root}:{os.environ['PYTHONPATH']}")
    for name in chaos.system.names:
        chaos.system.behave(undo_fails=name)
    chaos.export(EXPERIMENT.replace("[1, 50%]", "100%"))
    assert chaos.start().wait(150) == 1
    assert chaos.verdict is Verdict.UNDO_FAILED
    assert chaos.how[0] == "interrupted"
    assert "LEFT BEHIND" in chaos.output
    assert "printf well > shop-4" in chaos.output
    chaos.system.behave()
    assert chaos.gameday("recover").returncode == 0


def test_a_stage_that_was_not_announced_is_refused(chaos: Chaos) -> None:
    def widen(document: dict[str, Any]) -> None:
        document["method"][2]["provider"]["arguments"]["radius"] = "100%"

    chaos.export(EXPERIMENT, widen)
    assert chaos.start().wait(60) == 1
    assert "not what was announced" in chaos.output
    assert chaos.verdict is Verdict.WEAKNESS  # as natively when a later stage cannot be injected
    assert chaos.system.broken == []


def test_nothing_is_injected_without_the_probe_that_comes_first(chaos: Chaos) -> None:
    chaos.export(EXPERIMENT)
    assert chaos.start("--hypothesis-strategy", "after-method-only").wait(60) == 1
    assert "no run has begun" in chaos.output
    assert chaos.system.calls == []


def test_a_faults_action_alone_is_undone_when_the_process_ends(chaos: Chaos) -> None:
    """As in an experiment that somebody wrote by hand, and that forgets the undo."""
    module = "gameday.chaostoolkit.actions"
    arguments = {"service": "shop", "radius": "2", "environment": "pretend"}
    provider = {"type": "python", "module": module, "func": "testkit_mark", "arguments": arguments}
    look = {"type": "process", "path": "sh", "arguments": ["-c", "grep -L well system/shop-* | wc -l"]}
    document = {
        "title": "By hand",
        "description": "By hand",
        "method": [
            {"type": "action", "name": "mark", "provider": provider},
            {"type": "probe", "name": "look", "provider": look},
        ],
    }
    (chaos.root / "plain.json").write_text(json.dumps(document))
    assert chaos.start().wait(60) == 0, chaos.output
    assert chaos.journal["run"][1]["output"]["stdout"].strip() == "2"
    assert chaos.system.broken == []
    assert chaos.verdict is Verdict.ABORTED


def test_ctrl_c_while_the_baseline_is_recorded(chaos: Chaos) -> None:
    chaos.export(EXPERIMENT.replace("baseline: 300ms", "baseline: 50s"))
    process = chaos.start()
    chaos.wait_for(ExperimentStarted)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 1
    assert chaos.how == ("interrupted", False)
    assert chaos.verdict is Verdict.ABORTED


@pytest.mark.parametrize("errors", [0.0, 0.2, "unreachable"])
def test_a_signal_can_be_judged_without_a_session(chaos: Chaos, errors: float | str) -> None:
    arguments = {"service": "shop", "signal": "errors.ratio", "condition": "< 1%", "environment": "pretend"}
    provider = {"type": "python", "module": "gameday.chaostoolkit.probes", "func": "signal_holds"}
    provider |= {"arguments": {**arguments, "within": "100ms"}}  # type: ignore[dict-item]
    probe = {"type": "probe", "name": "errors", "provider": provider, "tolerance": True}
    hypothesis = {"title": "-", "probes": [probe]}
    document = {"title": "-", "description": "-", "steady-state-hypothesis": hypothesis, "method": []}
    chaos.system.signals(errors=errors)
    (chaos.root / "plain.json").write_text(json.dumps(document))
    status = chaos.start().wait(30)
    before = chaos.journal["steady_states"]["before"]["probes"][0]
    assert before["tolerance_met"] is (errors == 0.0)
    assert before["status"] == ("failed" if errors == "unreachable" else "succeeded")
    assert status == (1 if errors == "unreachable" else 0)  # the Toolkit's own: a gate that is shut is no deviation
    assert all_runs(chaos.root) == ()


def test_a_plain_action_is_executed_where_it_stood(chaos: Chaos) -> None:
    step = "  - {type: action, name: touch, provider: {type: process, path: touch, arguments: [touched]}}\n"
    text = EXPERIMENT.replace("method:\n", "method:\n" + step)
    assert chaos.run(text) == 0, chaos.output
    assert (chaos.root / "touched").exists()
    phases = [event.phase for event in events_of(chaos.latest, PhaseEntered)]
    assert phases.count("judge") == 3  # two stages, and the whole for the action's sake


MIXED = EXPERIMENT.replace("[1, 50%]", "1").replace(
    "abort-when:",
    """  - {type: action, name: breaks, provider: {type: python, module: os, func: rmdir, arguments: {path: not-there}}}
  - {type: action, name: later, pauses: {before: 50}, provider: {type: process, path: touch, arguments: [later]}}
rollbacks:
  - {type: action, name: mine, provider: {type: process, path: touch, arguments: [rolled-back]}}
abort-when:""",
)


def test_an_action_that_fails_is_a_weakness_and_ends_the_method(chaos: Chaos) -> None:
    """As natively."""
    assert chaos.run(MIXED) == 1
    assert chaos.how == ("completed", True)
    assert chaos.unmet == "no other weakness was found"
    (finding,) = events_of(chaos.latest, FindingRaised)
    assert (finding.kind, finding.title) == (FindingKind.ACTIVITY_FAILED, "The action “breaks” failed")
    assert not (chaos.root / "later").exists()
    assert "Passed over: later" in chaos.output
    assert (chaos.root / "rolled-back").exists()
    assert chaos.system.broken == []


def test_actions_after_a_stage_that_did_not_hold_are_passed_over(chaos: Chaos) -> None:
    chaos.export(MIXED)
    assert chaos.run_as_stage_one_degrades() == 1
    assert chaos.unmet == "the steady state held during the method"
    assert {run["activity"]["name"]: run["activity"].get("dry") for run in chaos.journal["run"]}[
        "later"
    ] == "activities"
    assert (chaos.root / "rolled-back").exists()
    assert not (chaos.root / "later").exists()


def test_gameday_itself_does_not_run_what_was_exported(chaos: Chaos) -> None:
    chaos.export(EXPERIMENT)
    done = chaos.gameday("run", "plain.json")
    assert done.returncode == 3, done.stderr
    assert "this is for `chaos run`" in done.stderr
    assert chaos.system.calls == []


def test_the_policy_holds_plain_actions_too(chaos: Chaos) -> None:
    step = "  - {type: action, name: touch, provider: {type: process, path: touch, arguments: [touched]}}\n"
    chaos.system.write_project(policy='{faults: {allow: ["testkit/*"]}}')
    chaos.run(EXPERIMENT.replace("abort-when:", f"{step}abort-when:"))
    assert chaos.verdict is Verdict.WEAKNESS
    assert not (chaos.root / "touched").exists()
    (finding,) = events_of(chaos.latest, FindingRaised)
    assert "this is process:touch (policy.faults, gameday.yaml:" in finding.detail
    assert chaos.system.broken == []


def test_consent_is_not_to_what_chaos_was_given(chaos: Chaos) -> None:
    chaos.system.write_project(policy="{approval: {within: 1h}}")
    chaos.run(EXPERIMENT)
    assert "wants somebody else's consent (policy.approval, gameday.yaml:" in chaos.output
    assert chaos.system.calls == []


def test_channels_are_told(chaos: Chaos) -> None:
    bodies: list[dict[str, Any]] = []

    class Hook(StandInHandler):
        def do_POST(self) -> None:
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()

    server = Serving(Hook)
    try:
        project = chaos.root / "gameday.yaml"
        hook = f"    channels: [{{kind: webhook, webhook: '{server.url}/hook'}}]\n    policy:"
        project.write_text(project.read_text().replace("    policy:", hook))
        assert chaos.run(EXPERIMENT) == 0
    finally:
        server.close()
    said = [one["kind"] for body in bodies for one in body.get("messages", ())]
    assert (said[0], said[-1], said.count("injection")) == ("brief", "end", 2)
