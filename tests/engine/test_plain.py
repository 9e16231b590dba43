"""Plain Chaos Toolkit experiments: what their strategies, probes and rollbacks lead to, and where ours is safer."""

import asyncio
import json
import time
from pathlib import Path

import msgspec
import pytest
from pretend import PretendSystem, events_of

from gameday.engine.session import SessionResult, run_session
from gameday.journal.events import (
    ActivityEnded,
    ActivityStarted,
    ExperimentEnded,
    FindingKind,
    FindingRaised,
    HypothesisJudged,
    PreflightChecked,
    RollbacksArmed,
    RollbacksEnded,
    Verdict,
)
from gameday.spec.experiment import load_experiment
from gameday.spec.model import Dry, HypothesisStrategy, RollbackStrategy, Runtime

type Step = dict[str, object]


@pytest.fixture
def system(tmp_path: Path) -> PretendSystem:
    return PretendSystem(tmp_path)


def write(path: Path, text: str) -> Step:
    """An action: the file says this."""
    return {
        "type": "action",
        "name": f"write {text}",
        "provider": {"type": "process", "path": "sh", "arguments": ["-c", f"printf {text} > {path}"]},
    }


def break_slowly(path: Path) -> Step:
    """An action: the file says that it is broken, and minutes later it ends."""
    script = f"printf broken > {path}; sleep 300"
    provider = {"type": "process", "path": "sh", "arguments": ["-c", script]}
    return {"type": "action", "name": "break slowly", "provider": provider}


def says(path: Path, text: str = "well") -> Step:
    """A probe: whether the file says this."""
    return {
        "type": "probe",
        "name": "it is well",
        "tolerance": {"type": "regex", "pattern": f"^{text}$", "target": "stdout"},
        "provider": {"type": "process", "path": "cat", "arguments": [str(path)]},
    }


FAILS: Step = {"type": "action", "name": "fails", "provider": {"type": "python", "module": "math", "func": "sqrt"}}


def wait(seconds: float) -> Step:
    return {
        "type": "probe",
        "name": "wait",
        "provider": {"type": "process", "path": "sleep", "arguments": str(seconds)},
    }


class Plain:
    """One file that may be well or broken, and an experiment on it."""

    def __init__(self, system: PretendSystem) -> None:
        self.system = system
        self.path = system.root / "state"
        self.path.write_text("well")

    def run(
        self, method: list[Step], rollbacks: list[Step] | None = None, runtime: Runtime = Runtime(), **more: object
    ) -> SessionResult:
        document = {
            "title": "Plain",
            "description": "-",
            "steady-state-hypothesis": {"title": "Well", "probes": [says(self.path)]},
            "method": method,
            "rollbacks": rollbacks or [],
            **more,
        }
        path = self.system.root / "plain.json"
        path.write_text(json.dumps(document))
        experiment = msgspec.structs.replace(load_experiment(path), runtime=runtime)
        assert experiment.plain
        session = msgspec.structs.replace(self.system.session(), experiments=(experiment,))
        return asyncio.run(run_session(session, ()))


@pytest.fixture
def plain(system: PretendSystem) -> Plain:
    return Plain(system)


def ran(result: SessionResult) -> list[str]:
    return [event.name for event in events_of(result.run.directory, ActivityStarted)]


def judged(result: SessionResult) -> list[tuple[str, bool]]:
    return [(event.when, event.held) for event in events_of(result.run.directory, HypothesisJudged)]


def findings(result: SessionResult) -> list[FindingKind]:
    return [event.kind for event in events_of(result.run.directory, FindingRaised) if event.weakness]


def test_a_deviation_that_the_rollbacks_mend_is_a_weakness(plain: Plain) -> None:
    result = plain.run([write(plain.path, "broken")], [write(plain.path, "well")])
    assert result.verdict is Verdict.WEAKNESS
    assert judged(result) == [("before", True), ("during", False), ("after", True)]
    assert findings(result) == [FindingKind.HYPOTHESIS_BROKEN]
    assert plain.path.read_text() == "well"


def test_without_rollbacks_the_probes_are_asked_as_often_as_the_toolkit_asks_them(plain: Plain) -> None:
    result = plain.run([write(plain.path, "well")])
    assert result.verdict is Verdict.HELD
    assert judged(result) == [("before", True), ("during", True)]


def test_a_deviation_that_is_over_before_the_end_is_seen_when_it_is_watched_for(plain: Plain) -> None:
    method = [write(plain.path, "broken"), wait(0.5), write(plain.path, "well")]
    assert plain.run(method).verdict is Verdict.HELD  # nobody looked
    runtime = Runtime(HypothesisStrategy.CONTINUOUSLY, frequency_s=0.05)
    result = plain.run(method, runtime=runtime)
    assert result.verdict is Verdict.WEAKNESS
    assert judged(result)[-1] == ("during", True)
    assert ("during", False) in judged(result)


def test_fail_fast_ends_a_running_activity_and_rolls_back(plain: Plain) -> None:
    runtime = Runtime(HypothesisStrategy.DURING, frequency_s=0.05, fail_fast=True)
    began = time.monotonic()
    # One activity breaks and goes on: between two, the deviation could be seen while none runs.
    long = break_slowly(plain.path)
    result = plain.run([long, write(plain.path, "late")], [write(plain.path, "well")], runtime)
    assert time.monotonic() - began < 60
    assert result.verdict is Verdict.WEAKNESS
    assert "write late" not in ran(result)
    assert plain.path.read_text() == "well"
    killed = [event.status for event in events_of(result.run.directory, ActivityEnded) if event.status == "killed"]
    assert len(killed) == 1


@pytest.mark.parametrize(
    ("strategy", "expected", "verdict"),
    [
        (HypothesisStrategy.DEFAULT, ["before", "during"], Verdict.WEAKNESS),
        (HypothesisStrategy.BEFORE, ["before"], Verdict.HELD),
        (HypothesisStrategy.AFTER, ["during"], Verdict.WEAKNESS),
        (HypothesisStrategy.SKIP, [], Verdict.HELD),
    ],
)
def test_hypothesis_strategies(
    plain: Plain, strategy: HypothesisStrategy, expected: list[str], verdict: Verdict
) -> None:
    result = plain.run([write(plain.path, "broken")], runtime=Runtime(strategy))
    assert [when for when, _ in judged(result)] == expected
    assert result.verdict is verdict


def test_a_baseline_that_is_not_met_keeps_everything_from_running(plain: Plain) -> None:
    plain.path.write_text("broken")
    result = plain.run([write(plain.path, "worse")], [write(plain.path, "well")])
    assert (result.verdict, result.verdict.exit_code) == (Verdict.NOT_STARTED, 3)
    assert ran(result) == ["it is well"]
    assert plain.path.read_text() == "broken"


def test_a_failed_action_is_a_weakness_and_what_comes_after_it_runs(plain: Plain) -> None:
    """A later activity may be what mends: the Toolkit goes on to it, and so do we."""
    result = plain.run([write(plain.path, "broken"), FAILS, write(plain.path, "well")])
    assert plain.path.read_text() == "well"
    assert result.verdict is Verdict.WEAKNESS
    assert findings(result) == [FindingKind.ACTIVITY_FAILED]


@pytest.mark.parametrize(
    ("strategy", "deviates", "rolls_back"),
    [
        (RollbackStrategy.DEFAULT, True, True),
        (RollbackStrategy.ALWAYS, False, True),
        (RollbackStrategy.DEVIATED, True, True),
        (RollbackStrategy.DEVIATED, False, False),
        (RollbackStrategy.NEVER, True, False),
    ],
)
def test_rollback_strategies(plain: Plain, strategy: RollbackStrategy, deviates: bool, rolls_back: bool) -> None:
    mark = plain.system.root / "rolled-back"
    method = [write(plain.path, "broken" if deviates else "well")]
    result = plain.run(method, [write(mark, "yes")], Runtime(rollbacks=strategy))
    assert mark.exists() is rolls_back
    assert result.run.state().is_clean
    directory = result.run.directory
    assert bool(events_of(directory, RollbacksArmed)) is (strategy is not RollbackStrategy.NEVER)
    assert len(events_of(directory, RollbacksEnded)) == len(events_of(directory, RollbacksArmed))
    assert list(directory.glob("rollbacks-*")) == []
    warnings = [event.check for event in events_of(directory, PreflightChecked) if event.outcome == "warning"]
    assert ("rollbacks" in warnings) is (strategy is RollbackStrategy.NEVER)


@pytest.mark.parametrize(
    ("dry", "probed", "acted"),
    [(Dry.ACTIONS, True, False), (Dry.PROBES, False, True), (Dry.ACTIVITIES, False, False), (Dry.PAUSE, True, True)],
)
def test_dry_strategies(plain: Plain, dry: Dry, probed: bool, acted: bool) -> None:
    mark = plain.system.root / "rolled-back"
    action = write(plain.path, "acted") | {"pauses": {"before": 300 if dry is not Dry.PROBES else 0}}
    result = plain.run([action], [write(mark, "yes")], Runtime(dry=dry))
    assert (plain.path.read_text() == "acted") is acted
    assert mark.exists() is acted
    outputs = [event.output for event in events_of(result.run.directory, ActivityEnded)]
    assert any("exit" in output or "stdout" in output for output in outputs) is (probed or acted)
    expected = Verdict.WEAKNESS if probed and acted else Verdict.HELD
    assert result.verdict is expected


def test_probes_in_the_configuration_are_asked_once_before_anything_is_done(plain: Plain) -> None:
    """Asked again after the method, they would say what the method has done."""
    found = plain.system.root / "found"
    probe = {
        "type": "probe",
        "name": "ask",
        "provider": {"type": "process", "path": "cat", "arguments": str(plain.path)},
    }
    tell = {
        "type": "action",
        "name": "tell",
        "provider": {"type": "process", "path": "sh", "arguments": ["-c", "printf '${before}' > " + str(found)]},
    }
    result = plain.run([write(plain.path, "broken")], [tell], configuration={"before": probe})
    assert found.read_text() == "well"
    assert result.verdict is Verdict.WEAKNESS


def test_a_configuration_that_cannot_be_had_keeps_everything_from_running(plain: Plain) -> None:
    probe = {"type": "probe", "name": "ask", "provider": {"type": "process", "path": "false"}}
    result = plain.run([write(plain.path, "broken")], configuration={"before": probe})
    assert result.verdict is Verdict.NOT_STARTED
    assert "`before`" in events_of(result.run.directory, ExperimentEnded)[0].reason
    assert plain.path.read_text() == "well"


def test_a_timeout_is_enforced_on_a_python_function_too(plain: Plain) -> None:
    """The Toolkit knows timeouts of processes and HTTP requests only."""
    provider = {"type": "python", "module": "time", "func": "sleep", "arguments": {"secs": 300}, "timeout": 0.2}
    began = time.monotonic()
    result = plain.run([{"type": "action", "name": "hang", "provider": provider}])
    assert time.monotonic() - began < 60
    assert findings(result) == [FindingKind.ACTIVITY_FAILED]


def test_probes_are_asked_at_once_and_one_that_fails_hides_no_other(plain: Plain, system: PretendSystem) -> None:
    def probe(name: str, path: str) -> Step:
        return {"type": "probe", "name": name, "tolerance": 0, "provider": {"type": "process", "path": path}}

    hypothesis = {"title": "All", "probes": [probe("first", "false"), probe("second", "false"), probe("third", "true")]}
    result = plain.run([], **{"steady-state-hypothesis": hypothesis})
    (event,) = events_of(result.run.directory, HypothesisJudged)
    outcomes = [(judgement.subject, str(judgement.outcome)) for judgement in event.judgements]
    assert outcomes == [("first", "broken"), ("second", "broken"), ("third", "held")]


def test_a_variable_that_is_not_set_keeps_everything_from_running(
    plain: Plain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rollbacks could not run without it either, and would be left as a debt."""
    monkeypatch.delenv("GAMEDAY_TEST_UNSET", raising=False)
    configuration = {"x": {"type": "env", "key": "GAMEDAY_TEST_UNSET"}}
    result = plain.run([write(plain.path, "broken")], [write(plain.path, "well")], configuration=configuration)
    assert result.verdict is Verdict.NOT_STARTED
    assert "GAMEDAY_TEST_UNSET" in result.reason
    assert plain.path.read_text() == "well"
    assert result.run.state().is_clean
