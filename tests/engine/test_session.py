"""A session on a pretend system: what it does when all is well, and when it is not."""

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pretend import EXPERIMENT, PretendSystem, events_of

from gameday.cli.left import say_what_is_left
from gameday.engine.recorder import Sink
from gameday.engine.recovery import recover
from gameday.engine.runs import Message, MessageKind, Run, all_runs
from gameday.engine.session import SessionResult, run_session
from gameday.engine.undo import Rollbacks
from gameday.journal.events import (
    AbortRequested,
    ActivityEnded,
    ActivityStarted,
    AlertObserved,
    AlertState,
    AnyEvent,
    BaselineRecorded,
    By,
    CheckOutcome,
    ExperimentEnded,
    FaultInjected,
    FaultPlanned,
    FindingKind,
    FindingRaised,
    GuardTripped,
    HypothesisJudged,
    NoteAdded,
    Phase,
    PhaseEntered,
    PreflightChecked,
    RecoveryMeasured,
    RollbacksArmed,
    RollbacksEnded,
    RunbookStep,
    RunbookStepInfo,
    SessionEnded,
    SessionStarted,
    SinkFailed,
    StepOutcome,
    UndoEnded,
    Verdict,
)
from gameday.journal.log import JournalWriter, read_events
from gameday.spec.model import Policy


@pytest.fixture
def system(tmp_path: Path) -> PretendSystem:
    return PretendSystem(tmp_path)


class When:
    """A sink that does something once, when an event comes for which `test` is true."""

    name = "when"

    def __init__(self, test: Callable[[AnyEvent], bool], act: Callable[[], None]) -> None:
        self._test, self._act, self._done = test, act, False

    def handle(self, event: AnyEvent) -> None:
        if not self._done and self._test(event):
            self._done = True
            self._act()

    def close(self) -> None:
        return None


def injected(event: AnyEvent) -> bool:
    return isinstance(event, FaultInjected)


def run(system: PretendSystem, *texts: str, sinks: tuple[Sink, ...] = (), policy: Policy = Policy()) -> SessionResult:
    return asyncio.run(run_session(system.session(*texts, policy=policy), sinks))


def waiting_for(path: Path) -> str:
    """One stage, and an action that ends when there is this file: as much time as it takes, and no more."""
    wait = f'{{type: process, path: sh, arguments: [-c, "until [ -e {path} ]; do sleep 0.02; done"], timeout: 60}}'
    text = EXPERIMENT.replace("[1, 50%]", "1")
    return text.replace("abort-when:", f"  - {{type: action, name: wait, provider: {wait}}}\nabort-when:")


def findings(result: SessionResult) -> list[FindingKind]:
    return [event.kind for event in events_of(result.run.directory, FindingRaised) if event.weakness]


def test_a_session_that_holds(system: PretendSystem) -> None:
    result = run(system)
    directory = result.run.directory
    assert (result.verdict, result.reason) == (Verdict.HELD, "")
    assert system.broken == []
    phases = [event.phase for event in events_of(directory, PhaseEntered)]
    stage = [Phase.INJECT, Phase.HOLD, Phase.JUDGE]
    before = [Phase.BRIEF, Phase.PREFLIGHT, Phase.BASELINE]
    assert phases == [*before, *stage, *stage, Phase.UNDO, Phase.RECOVERY, Phase.DEBRIEF]
    first, second = events_of(directory, FaultPlanned)
    assert (len(first.targets), first.affected, first.total) == (1, 1, 4)
    # The second stage grows from the first; its reach is the union, not the sum.
    assert set(first.targets) < set(second.targets)
    assert (len(second.targets), second.affected) == (2, 2)
    assert [event.fault_id for event in events_of(directory, UndoEnded)] == ["0.0.1", "0.0.0"]
    assert all(event.undone for event in events_of(directory, UndoEnded))
    assert [event.when for event in events_of(directory, HypothesisJudged)] == ["before", "during", "during", "after"]
    (recovery,) = events_of(directory, RecoveryMeasured)
    assert recovery.recovered
    (ended,) = events_of(directory, SessionEnded)
    assert ended.exit_code == 0
    assert not result.run.is_written()


def test_the_plan_is_on_disk_before_the_injection(system: PretendSystem) -> None:
    system.behave(inject="hang")
    seen: list[tuple[int, list[str]]] = []
    runs = system.root

    def look() -> None:
        deadline = time.monotonic() + 5
        while not system.calls and time.monotonic() < deadline:
            time.sleep(0.01)
        (found,) = all_runs(runs)
        seen.append((len(events_of(found.directory, FaultPlanned)), system.calls))
        found.send(Message(MessageKind.ABORT, "test", "seen enough"))

    watcher = threading.Thread(target=look)
    watcher.start()
    result = run(system)
    watcher.join()
    assert seen == [(1, [f"inject {system.calls[0].split()[1]}"])]
    assert result.verdict is Verdict.ABORTED
    assert system.broken == []


def test_what_a_recovery_goes_by_survives_a_power_cut(system: PretendSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: dict[type, set[bool]] = {}
    has_file: list[bool] = []
    append = JournalWriter.append

    def note(writer: JournalWriter, event: AnyEvent, *, sync: bool = False) -> None:
        synced.setdefault(type(event), set()).add(sync)
        if isinstance(event, RollbacksArmed):
            has_file.append(Rollbacks.path(writer.path.parent, event.experiment).exists())
        append(writer, event, sync=sync)

    monkeypatch.setattr(JournalWriter, "append", note)
    back = "rollbacks: [{type: action, name: back, provider: {type: python, module: os, func: getpid}}]"
    assert run(system, EXPERIMENT.replace("abort-when:", f"{back}\nabort-when:")).verdict is Verdict.HELD
    assert has_file == [True]
    begins, ends = (SessionStarted, FaultPlanned, RollbacksArmed), (UndoEnded, RollbacksEnded, SessionEnded)
    assert {kind.__name__: synced[kind] for kind in (*begins, *ends)} == {
        kind.__name__: {True} for kind in (*begins, *ends)
    }


def test_a_broken_steady_state_ends_the_ladder_and_is_a_weakness(system: PretendSystem) -> None:
    result = run(
        system,
        sinks=(
            When(injected, lambda: system.signals(errors=0.2)),
            When(lambda event: isinstance(event, UndoEnded), lambda: system.signals(errors=0.0)),
        ),
    )
    assert result.verdict is Verdict.WEAKNESS
    assert len(events_of(result.run.directory, FaultPlanned)) == 1
    assert findings(result) == [FindingKind.HYPOTHESIS_BROKEN]
    assert system.broken == []


def test_the_guard_trips_and_undoes_without_waiting(system: PretendSystem) -> None:
    text = EXPERIMENT.replace("hold: 300ms", "hold: 60s")
    began = time.monotonic()
    result = run(
        system,
        text,
        sinks=(
            When(injected, lambda: system.signals(errors=0.9)),
            When(lambda event: isinstance(event, UndoEnded), lambda: system.signals(errors=0.0)),
        ),
    )
    assert result.verdict is Verdict.ABORTED
    assert result.verdict.exit_code == 4
    assert time.monotonic() - began < 20
    (trip,) = events_of(result.run.directory, GuardTripped)
    assert (trip.cause, trip.subject) == ("abort-when", "shop.errors.ratio")
    assert system.broken == []


@pytest.mark.parametrize("state", ["empty", "nan", "stale", "unreachable"])
def test_blind_means_abort(system: PretendSystem, state: str) -> None:
    text = EXPERIMENT.replace("hold: 300ms", "hold: 60s").replace("recovery: 3s", "recovery: 500ms")
    result = run(system, text, sinks=(When(injected, lambda: system.signals(errors=state)),))
    assert result.verdict is Verdict.ABORTED
    (trip,) = events_of(result.run.directory, GuardTripped)
    assert trip.cause == "blind"
    assert state in trip.detail
    assert system.broken == []


@pytest.mark.parametrize("value", [0.5, "nan", "unreachable"])
def test_without_a_steady_state_nothing_is_injected(system: PretendSystem, value: float | str) -> None:
    system.signals(errors=value)
    result = run(system)
    assert result.verdict is Verdict.NOT_STARTED
    assert result.verdict.exit_code == 3
    assert events_of(result.run.directory, FaultPlanned) == []
    assert system.calls == []


def test_an_injection_that_fails_half_way_is_undone(system: PretendSystem) -> None:
    system.behave(inject="fail")
    result = run(system)
    assert result.verdict is Verdict.NOT_STARTED
    assert "half-way" in events_of(result.run.directory, ExperimentEnded)[0].reason
    assert system.broken == []


def test_an_injection_that_ends_its_process_is_undone(system: PretendSystem) -> None:
    system.behave(inject="exit")
    result = run(system)
    assert result.verdict is Verdict.NOT_STARTED
    assert "exit status 7" in events_of(result.run.directory, ExperimentEnded)[0].reason
    assert system.broken == []


def test_an_undo_that_fails_keeps_no_other_from_running(system: PretendSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gameday.engine.undo.DEADLINE_S", 1.0)
    monkeypatch.setattr("gameday.engine.undo.undo_all.__kwdefaults__", {"experiment": None, "deadline_s": 1.0})
    stuck: list[str] = []

    def jam() -> None:
        stuck.extend(system.broken[-1:])
        system.behave(undo_fails=stuck[0])

    second = When(lambda event: isinstance(event, FaultInjected) and event.fault_id == "0.0.1", jam)
    result = run(system, sinks=(second,))
    assert result.verdict is Verdict.UNDO_FAILED
    assert result.verdict.exit_code == 5
    assert system.broken == stuck
    failed = [event for event in events_of(result.run.directory, UndoEnded) if not event.undone]
    assert failed[0].attempts > 1
    assert f"{stuck[0]} is broken" in failed[0].left
    assert list(result.run.state().faults)  # `recover` can try again


@pytest.mark.parametrize("aborted", [False, True])
def test_an_undo_that_fails_is_the_verdict_whatever_else_goes_well(
    system: PretendSystem, monkeypatch: pytest.MonkeyPatch, aborted: bool
) -> None:
    """The rollbacks run and succeed, an abort is asked for or not: what is left counts, and no experiment follows."""
    monkeypatch.setattr("gameday.engine.undo.undo_all.__kwdefaults__", {"experiment": None, "deadline_s": 0.3})
    rolled_back = system.root / "rolled back"
    back = f'{{type: action, name: back, provider: {{type: process, path: touch, arguments: ["{rolled_back}"]}}}}'
    text = EXPERIMENT.replace("[1, 50%]", "1").replace("abort-when:", f"rollbacks: [{back}]\nabort-when:")

    def jam() -> None:
        system.behave(undo_fails=system.broken[0])
        if aborted:
            all_runs(system.root)[0].send(Message(MessageKind.ABORT, "test", "seen enough"))

    result = run(system, text, EXPERIMENT, sinks=(When(injected, jam),))
    assert (result.verdict, len(system.broken)) == (Verdict.UNDO_FAILED, 1)
    assert [event.verdict for event in events_of(result.run.directory, ExperimentEnded)] == [Verdict.UNDO_FAILED]
    assert rolled_back.exists()
    assert [event.failed for event in events_of(result.run.directory, RollbacksEnded)] == [()]


def test_the_ceiling_refuses_a_stage_before_anything_is_touched(system: PretendSystem) -> None:
    result = run(system, policy=Policy(max_blast_radius=0.3))
    assert result.verdict is Verdict.NOT_STARTED
    failures = [
        event for event in events_of(result.run.directory, PreflightChecked) if event.outcome is CheckOutcome.FAILURE
    ]
    assert "2 of 4 instances would be affected" in failures[0].detail
    assert system.calls == []


def test_the_ceiling_counts_what_is_broken_already_at_the_moment_of_injection(system: PretendSystem) -> None:
    """Two of four are ours to break; when others break meanwhile, the next stage must not start."""

    def others_break() -> None:
        for name in [name for name in system.names if name not in system.broken][:2]:
            (system.directory / name).write_text("broken by somebody else")

    result = run(system, sinks=(When(injected, others_break),), policy=Policy(max_blast_radius=0.5))
    assert len(events_of(result.run.directory, FaultInjected)) == 1
    assert findings(result) == [FindingKind.ACTIVITY_FAILED]


def test_one_run_at_a_time_on_a_service_and_its_dependencies(system: PretendSystem) -> None:
    (system.root / "given-0.yaml").write_text(EXPERIMENT.replace("service: shop\n", "service: stock\n", 1))
    others: list[subprocess.CompletedProcess[str]] = []
    over = system.root / "over"

    def run_another() -> None:
        command = [sys.executable, str(Path(__file__).parent / "runner.py"), str(system.root)]
        others.append(subprocess.run(command, capture_output=True, text=True, timeout=60, check=False))
        over.touch()

    result = run(system, waiting_for(over), sinks=(When(injected, run_another),))
    assert result.verdict is Verdict.HELD
    assert others[0].returncode == 3, others[0]
    other = next(found for found in all_runs(system.root) if found.name != result.run.name)
    locks = [event for event in events_of(other.directory, PreflightChecked) if event.check == "locks"]
    assert result.run.name in locks[0].detail


def test_a_run_that_left_something_keeps_others_from_starting(system: PretendSystem) -> None:
    result = run(system)
    journal = result.run.journal
    lines = [line for line in journal.read_text().splitlines() if '"undo-ended"' not in line]
    journal.write_text("\n".join(lines) + "\n")
    again = run(system)
    assert again.verdict is Verdict.NOT_STARTED
    assert f"gameday recover {result.run.name}" in again.reason


def test_notes_and_aborts_come_from_other_terminals(system: PretendSystem) -> None:
    def speak() -> None:
        (found,) = all_runs(system.root)
        found.send(Message(MessageKind.NOTE, "@s", "the pager is silent"))
        found.send(Message(MessageKind.ABORT, "@b", "enough"))

    result = run(system, EXPERIMENT.replace("hold: 300ms", "hold: 60s"), sinks=(When(injected, speak),))
    (note,) = events_of(result.run.directory, NoteAdded)
    assert (note.author, note.text, note.experiment) == ("@s", "the pager is silent", 0)
    (abort,) = events_of(result.run.directory, AbortRequested)
    assert (abort.source, abort.reason, abort.by) == ("command", "enough", "@b")
    assert result.verdict is Verdict.ABORTED
    assert system.broken == []


def test_what_is_said_of_a_runbook_is_recorded_and_a_complaint_is_a_weakness(system: PretendSystem) -> None:
    def step(outcome: StepOutcome) -> RunbookStepInfo:
        return RunbookStepInfo(runbook="payments-down", outcome=outcome, section="Diagnosis", step=1, owner="team-a")

    def speak() -> None:
        (found,) = all_runs(system.root)
        for outcome in (StepOutcome.DONE, StepOutcome.STUCK):
            found.send(Message(MessageKind.RUNBOOK, "@s", "", step(outcome)))
        found.send(Message(MessageKind.RUNBOOK, "@s", "of an older gameday"))

    heard = system.root / "heard"
    stuck = When(lambda event: isinstance(event, RunbookStep) and event.step.outcome is StepOutcome.STUCK, heard.touch)
    result = run(system, waiting_for(heard), sinks=(When(injected, speak), stuck))
    events = events_of(result.run.directory, RunbookStep)
    assert [(event.author, event.step.outcome, event.experiment) for event in events] == [
        ("@s", StepOutcome.DONE, 0),
        ("@s", StepOutcome.STUCK, 0),
    ]
    findings = events_of(result.run.directory, FindingRaised)
    findings = [finding for finding in findings if finding.kind is FindingKind.RUNBOOK_STUCK]
    assert [(finding.weakness, finding.suggested_owner) for finding in findings] == [(True, "team-a")]
    assert result.verdict is Verdict.WEAKNESS


def test_a_fault_that_something_else_ends_is_a_finding(system: PretendSystem) -> None:
    def mend() -> None:
        for name in system.broken:
            (system.directory / name).write_text("well")

    result = run(system, EXPERIMENT.replace("[1, 50%]", "1"), sinks=(When(injected, mend),))
    assert result.verdict is Verdict.WEAKNESS
    assert findings(result) == [FindingKind.FAULT_VANISHED]


def test_a_sink_that_hangs_or_raises_changes_nothing(system: PretendSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gameday.engine.session._SINKS_DEADLINE_S", 0.2)

    class Hanging:
        name = "hanging"

        def handle(self, event: AnyEvent) -> None:
            time.sleep(600)

        def close(self) -> None:
            return None

    class Raising:
        name = "raising"

        def handle(self, event: AnyEvent) -> None:
            raise RuntimeError("the channel is archived")

        def close(self) -> None:
            return None

    result = run(system, sinks=(Hanging(), Raising()))
    assert result.verdict is Verdict.HELD
    failures = {event.sink: event.detail for event in events_of(result.run.directory, SinkFailed)}
    assert "archived" in failures["raising"]
    assert "did not finish" in failures["hanging"]


ALERTING = (
    EXPERIMENT
    + """
expect:
  alerts: [{name: ShopDown, within: 30s, severity: page}]
"""
)


def test_an_alert_is_seen_and_its_way_is_timed(system: PretendSystem) -> None:
    result = run(
        system,
        ALERTING,
        sinks=(
            When(injected, lambda: system.alerts("ShopDown")),
            When(lambda event: isinstance(event, UndoEnded), lambda: system.alerts()),
        ),
    )
    states = [event.state for event in events_of(result.run.directory, AlertObserved)]
    assert {AlertState.FIRING, AlertState.NOTIFIED, AlertState.RESOLVED} <= set(states)
    assert findings(result) == []
    assert result.verdict is Verdict.HELD


def test_an_alert_that_fires_already_is_no_news_without_signals_either(system: PretendSystem) -> None:
    """Nothing is recorded before the method then, and all the same the alerts must be looked at first."""
    system.alerts("Watchdog")
    system.behave(look_seconds=0.2)
    text = (
        "title: No signals\nmethod: [{fault: testkit/mark, target: {service: shop}, blast-radius: 1, hold: 300ms}]\n"
        "timing: {interval: 50ms, recovery: 3s}\n"
    )
    result = run(system, text)
    assert result.verdict is Verdict.HELD
    assert [event for event in events_of(result.run.directory, AlertObserved) if not event.existed_before] == []
    assert events_of(result.run.directory, FindingRaised) == []


def test_an_alert_that_never_fires_is_a_weakness(system: PretendSystem) -> None:
    result = run(system, ALERTING)
    assert result.verdict is Verdict.WEAKNESS
    assert FindingKind.ALERT_MISSED in findings(result)


ACTIVITIES = """
title: Activities
service: shop
steady-state-hypothesis:
  title: It answers
  probes:
    - {type: probe, name: fine, tolerance: TOLERANCE, provider: {type: python, module: os, func: getpid}}
method:
  - {type: action, name: act, provider: {type: python, module: MODULE, func: getpid}}
rollbacks:
  - {type: action, name: back, provider: {type: python, module: ROLLBACK, func: getpid}}
"""


def activities(tolerance: str = "[1, 99999999]", method: str = "os", rollback: str = "os") -> str:
    return ACTIVITIES.replace("TOLERANCE", tolerance).replace("MODULE", method).replace("ROLLBACK", rollback)


def statuses(result: SessionResult) -> list[tuple[str, str]]:
    names = {event.activity: event.name for event in events_of(result.run.directory, ActivityStarted)}
    return [(names[event.activity], event.status) for event in events_of(result.run.directory, ActivityEnded)]


def test_activities_run_with_probes_around_them_and_rollbacks_after(system: PretendSystem) -> None:
    result = run(system, activities())
    assert statuses(result) == [(name, "succeeded") for name in ("fine", "act", "fine", "back", "fine")]
    assert result.verdict is Verdict.HELD


def test_a_probe_outside_its_tolerance_keeps_the_method_from_running(system: PretendSystem) -> None:
    result = run(system, activities(tolerance="-1"))
    assert statuses(result) == [("fine", "succeeded")]
    assert result.verdict is Verdict.NOT_STARTED


def test_a_failed_action_is_a_weakness_and_the_rollbacks_run(system: PretendSystem) -> None:
    result = run(system, activities(method="math"))
    assert ("act", "failed") in statuses(result)
    assert ("back", "succeeded") in statuses(result)
    assert result.verdict is Verdict.WEAKNESS


def test_a_failed_rollback_is_left_for_recover_which_runs_it_alone(
    system: PretendSystem, capsys: pytest.CaptureFixture[str]
) -> None:
    """It fails in two ways: its program is missing, and its program says that it has failed."""
    root = system.root
    rollbacks = f"""
  - {{type: action, name: lose it, provider: {{type: process, path: mv, arguments: [{root}/mend, {root}/lost]}}}}
rollbacks:
  - {{type: action, name: put back, provider: {{type: process, path: {root}/mend, arguments: {root}/door}}}}
  - {{type: action, name: look, provider: {{type: process, path: ls, arguments: [{root}/door]}}}}
  - {{type: action, name: note, provider: {{type: process, path: tee, arguments: [-a, {root}/notes]}}}}
abort-when:"""
    mend = root / "mend"
    mend.write_text("#!/bin/sh\ntouch $1\n")
    mend.chmod(0o755)
    result = run(system, EXPERIMENT.replace("\nabort-when:", rollbacks))
    directory = result.run.directory
    assert result.verdict is Verdict.UNDO_FAILED
    assert system.broken == []  # one that fails keeps no other from its turn
    assert events_of(directory, RollbacksEnded)[-1].failed == ("put back", "look")
    assert not result.run.state().is_clean
    assert say_what_is_left(directory)
    said = capsys.readouterr().err
    assert f"by hand:  {mend} {root}/door" in said
    assert f"by hand:  ls {root}/door" in said
    assert "note" not in said

    assert run(system).verdict is Verdict.NOT_STARTED  # while something is left
    assert not asyncio.run(recover(result.run, By.RECOVER, "still lost")).is_clean
    (root / "lost").rename(mend)
    before = (root / "notes").stat().st_mtime_ns
    assert asyncio.run(recover(result.run, By.RECOVER, "found")).is_clean
    assert (root / "door").exists()
    assert (root / "notes").stat().st_mtime_ns == before
    assert list(directory.glob("rollbacks-*")) == []


def test_every_event_is_readable_json(system: PretendSystem) -> None:
    result = run(system)
    lines = result.run.journal.read_text().splitlines()
    assert len(lines) == len(list(read_events(result.run.directory)))
    assert all("event" in json.loads(line) for line in lines)
    assert events_of(result.run.directory, BaselineRecorded)[0].values == {"shop.errors.ratio": 0.0}
    assert Run(result.run.directory).life(result.run.state()).value == "ended"
