"""Whoever asks for the end, and in whatever phase: nothing more is injected, all is undone, no undo is cut short."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from pretend import EXPERIMENT, PretendSystem, events_of

from gameday.engine.runs import Message, MessageKind, all_runs
from gameday.engine.session import SessionResult, run_session
from gameday.engine.stop_switch import switch_of
from gameday.journal.events import (
    AbortRequested,
    AnyEvent,
    ExperimentEnded,
    FaultInjected,
    FaultPlanned,
    Phase,
    PhaseEntered,
    UndoEnded,
    UndoStarted,
    Verdict,
)
from gameday.journal.log import JournalWriter

ACT = """
  - {type: action, name: act, provider: {type: python, module: os, func: getpid}}
rollbacks:
  - {type: action, name: back, provider: {type: python, module: os, func: getpid}}
abort-when:"""
BOTH = EXPERIMENT.replace("\nabort-when:", ACT)


@pytest.fixture
def system(tmp_path: Path) -> PretendSystem:
    return PretendSystem(tmp_path)


@pytest.fixture
def strike(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[AnyEvent], bool], Callable[[], None]], None]:
    """Arranges that something happens the very moment that an event has been written, in the runner itself."""

    def arrange(test: Callable[[AnyEvent], bool], act: Callable[[], None]) -> None:
        append, done = JournalWriter.append, []

        def append_and_act(writer: JournalWriter, event: AnyEvent, *, sync: bool = False) -> None:
            append(writer, event, sync=sync)
            if not done and test(event):
                done.append(event)
                act()

        monkeypatch.setattr(JournalWriter, "append", append_and_act)

    return arrange


def entering(phase: Phase) -> Callable[[AnyEvent], bool]:
    return lambda event: isinstance(event, PhaseEntered) and event.phase is phase


def ways(system: PretendSystem) -> dict[str, Callable[[], None]]:
    def by_message() -> None:
        (run,) = all_runs(system.root)
        run.send(Message(MessageKind.ABORT, "@b", "enough"))

    return {
        "signal": lambda: os.kill(os.getpid(), signal.SIGTERM),
        "command": by_message,
        "stop-switch": lambda: system.stop("the incident is real"),
    }


def run(system: PretendSystem, text: str = BOTH) -> SessionResult:
    return asyncio.run(run_session(system.session(text), ()))


BEFORE = (Phase.BRIEF, Phase.PREFLIGHT, Phase.BASELINE)
AFTER = (Phase.INJECT, Phase.HOLD, Phase.JUDGE, Phase.UNDO, Phase.RECOVERY)


@pytest.mark.parametrize("way", ["signal", "command", "stop-switch"])
@pytest.mark.parametrize("phase", [*BEFORE, *AFTER])
def test_in_every_phase(system: PretendSystem, strike: Callable[..., None], phase: Phase, way: str) -> None:
    system.behave(undo_seconds=0.1)  # so that an abort in the undo comes while it is under way
    strike(entering(phase), ways(system)[way])
    result = run(system)
    directory = result.run.directory
    if result.verdict is Verdict.NOT_STARTED:  # the first look at the switch came after, so it was engaged before
        assert (phase, way) == (Phase.BRIEF, "stop-switch")
        assert "the incident is real" in result.reason
    else:
        assert result.verdict is Verdict.ABORTED
        (request,) = events_of(directory, AbortRequested)
        assert request.source == way
    planned = [event.fault_id for event in events_of(directory, FaultPlanned)]
    undone = [event.fault_id for event in events_of(directory, UndoEnded) if event.undone]
    assert undone == planned[::-1]
    if phase in BEFORE:
        assert (planned, system.calls) == ([], [])
    if phase in (Phase.INJECT, Phase.HOLD) or (phase is Phase.JUDGE and way == "signal"):
        assert len(planned) <= 1  # a message and the switch take some 50 ms to be seen
    if phase in (Phase.UNDO, Phase.RECOVERY):
        assert len(planned) == 2
    assert system.broken == []
    assert result.run.state().is_clean
    assert not result.run.is_written()


def test_whoever_asks_during_the_undo_does_not_cut_it_short(system: PretendSystem, strike: Callable[..., None]) -> None:
    system.behave(undo_seconds=0.5)
    everything = ways(system)

    def ask_in_every_way() -> None:
        for act in everything.values():
            act()

    strike(lambda event: isinstance(event, UndoStarted), ask_in_every_way)
    result = run(system)
    assert result.verdict is Verdict.ABORTED
    assert all(event.took_s >= 0.5 for event in events_of(result.run.directory, UndoEnded))
    assert system.broken == []


def test_an_abort_in_one_experiment_keeps_the_next_from_starting(
    system: PretendSystem, strike: Callable[..., None]
) -> None:
    strike(lambda event: isinstance(event, ExperimentEnded), ways(system)["stop-switch"])
    result = asyncio.run(run_session(system.session(EXPERIMENT, EXPERIMENT), ()))
    # It takes the switch a moment to be seen; by then the second may have begun, but it is not gone through with.
    assert result.verdict is Verdict.ABORTED
    assert len(events_of(result.run.directory, FaultInjected)) == 2
    assert system.broken == []


# -- the stop switch


def test_nothing_starts_while_the_switch_is_engaged(system: PretendSystem) -> None:
    system.stop("the incident is real")
    result = run(system)
    assert (result.verdict, result.verdict.exit_code) == (Verdict.NOT_STARTED, 3)
    assert "the incident is real" in result.reason
    assert "gameday stop --release" in result.reason
    assert system.calls == []
    assert switch_of(system.project()).release()
    assert run(system).verdict is Verdict.HELD


def test_a_file_made_by_hand_is_enough(system: PretendSystem) -> None:
    path = system.project().stop_switch
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    assert run(system).verdict is Verdict.NOT_STARTED
    path.unlink()
    path.mkdir()  # whatever it is, it was put there
    assert run(system).verdict is Verdict.NOT_STARTED


def test_a_shared_switch_that_cannot_be_seen_counts_as_engaged(system: PretendSystem, tmp_path: Path) -> None:
    shared = tmp_path / "mount" / "stop"
    system.stop_switch_file = shared
    assert "is missing" in run(system).reason
    shared.parent.mkdir()
    assert run(system).verdict is Verdict.HELD


def test_a_switch_that_hangs_ends_the_run(
    system: PretendSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strike: Callable[..., None]
) -> None:
    monkeypatch.setattr("gameday.engine.stop_switch._BLIND_AFTER_S", 0.3)
    path = system.project().stop_switch
    # Nobody writes into the pipe, so whoever opens it to read waits for ever, as with a server that is gone.
    strike(lambda event: isinstance(event, FaultInjected), lambda: os.mkfifo(path))
    result = run(system, EXPERIMENT.replace("hold: 300ms", "hold: 60s"))
    os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))  # the thread may go
    assert result.verdict is Verdict.ABORTED
    assert "could not be looked at" in result.reason
    assert system.broken == []
