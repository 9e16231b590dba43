"""Activities that misbehave: whatever one does, the session goes on or ends as it should, and its rollbacks run."""

import asyncio
import os
import threading
import time
from pathlib import Path

import pytest
from pretend import PretendSystem, events_of
from test_session import When
from test_workers import is_gone

from gameday.engine.runs import Message, MessageKind, all_runs
from gameday.engine.session import SessionResult, run_session
from gameday.engine.workers import Workers
from gameday.journal.events import (
    AbortRequested,
    ActivityEnded,
    ActivityStarted,
    FindingKind,
    FindingRaised,
    RollbacksEnded,
    Verdict,
)
from gameday.journal.log import read_events

SECRET = "hunter2-hunter2"
MODULE = """
import os, signal, sys, threading, time

def back(mark):
    open(mark, "w").close()

def hang(mark):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    open(mark, "w").write(str(os.getpid()))
    while True:
        time.sleep(600)

def thread(mark):
    # Not a daemon: an interpreter that ended in the usual way would wait for it.
    threading.Thread(target=time.sleep, args=(600,)).start()
    open(mark, "w").write(str(os.getpid()))

def flood(mark):
    for _ in range(100):
        os.write(1, b"x" * 1_000_000)
        os.write(2, b"y" * 1_000)

def giant(mark):
    return "z" * 100_000_000

def strange(mark):
    loop = {}
    loop["loop"] = loop
    return {"a": object(), "b": loop, "c": float("nan"), "d": b"\\xff", "e": {1, 2}}

def leave(mark):
    os._exit(3)

def exit(mark):
    sys.exit(4)

def interrupt(mark):
    raise KeyboardInterrupt

def crash(mark):
    os.kill(os.getpid(), signal.SIGSEGV)

def close(mark):
    os.closerange(3, 100)

def leak(mark, password=None):
    print("the password is", password)
    sys.stderr.write(password)
    raise RuntimeError("no entry with " + password)

def tell(mark, password=None):
    return {"password": password, password: [password]}
"""
EXPERIMENT = """
title: A bad library
service: shop
configuration: {}
secrets: {shop: {password: {type: env, key: GAMEDAY_TEST_PASSWORD}}}
method:
  - name: bad
    type: action
    background: BACKGROUND
    secrets: [shop]
    provider: {type: python, module: bad_library, func: FUNC, arguments: {mark: "MARK"ARGUMENTS}}
  - {name: after, type: probe, provider: {type: python, module: os, func: getpid}, pauses: {before: PAUSE}}
rollbacks:
  - {name: back, type: action, provider: {type: python, module: bad_library, func: back, arguments: {mark: "BACK"}}}
"""


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PretendSystem:
    (tmp_path / "bad_library.py").write_text(MODULE)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]]))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("GAMEDAY_TEST_PASSWORD", SECRET)
    return PretendSystem(tmp_path)


def run(
    system: PretendSystem, func: str, *, background: bool = False, pause: float = 0, arguments: str = "", **more: object
) -> SessionResult:
    text = EXPERIMENT
    for word, value in {
        "MARK": system.root / "pid",
        "BACKGROUND": str(background).lower(),
        "FUNC": func,
        "PAUSE": pause,
        "ARGUMENTS": arguments,
        "BACK": system.root / "back",
    }.items():
        text = text.replace(word, str(value))
    return asyncio.run(run_session(system.session(text), **{"sinks": (), **more}))  # type: ignore[arg-type]


def outcome(result: SessionResult) -> tuple[str, str]:
    (number,) = [event.activity for event in events_of(result.run.directory, ActivityStarted) if event.name == "bad"]
    (ended,) = [event for event in events_of(result.run.directory, ActivityEnded) if event.activity == number]
    return ended.status, ended.error


def is_rolled_back(system: PretendSystem, result: SessionResult) -> bool:
    (ended,) = events_of(result.run.directory, RollbacksEnded)
    return ended.failed == () and (system.root / "back").exists() and result.run.state().is_clean


@pytest.mark.parametrize("func", ["flood", "giant", "strange", "thread"])
def test_what_only_makes_noise_is_a_success(system: PretendSystem, func: str) -> None:
    result = run(system, func)
    assert outcome(result) == ("succeeded", "")
    assert result.verdict is Verdict.HELD
    assert is_rolled_back(system, result)
    assert result.run.journal.stat().st_size < 1_000_000


@pytest.mark.parametrize(
    ("func", "status", "says"),
    [
        ("leave", "killed", "exit status 3"),
        ("crash", "killed", "SIGSEGV"),
        ("close", "killed", "without an answer"),
    ],
)
def test_what_ends_its_process_is_a_failure_of_that_activity(
    system: PretendSystem, func: str, status: str, says: str
) -> None:
    result = run(system, func)
    assert outcome(result)[0] == status
    assert says in outcome(result)[1]
    assert result.verdict is Verdict.WEAKNESS
    kinds = [event.kind for event in events_of(result.run.directory, FindingRaised)]
    assert kinds == [FindingKind.ACTIVITY_FAILED]
    assert is_rolled_back(system, result)


@pytest.mark.parametrize("func", ["exit", "interrupt"])
def test_what_asks_for_the_end_of_the_program_ends_the_session(system: PretendSystem, func: str) -> None:
    result = run(system, func)
    assert outcome(result)[0] == "failed"
    assert result.verdict is Verdict.ABORTED
    assert events_of(result.run.directory, AbortRequested)[0].source == "activity"
    assert is_rolled_back(system, result)


def abort_what_hangs(system: PretendSystem, *, background: bool) -> SessionResult:
    mark = system.root / "pid"

    def abort_once_it_hangs() -> None:
        deadline = time.monotonic() + 20
        while not (mark.exists() and mark.read_text()) and time.monotonic() < deadline:
            time.sleep(0.01)
        (found,) = all_runs(system.root)
        found.send(Message(MessageKind.ABORT, "@b", "enough"))

    watcher = threading.Thread(target=abort_once_it_hangs)
    sink = When(lambda event: isinstance(event, ActivityStarted) and event.name == "bad", watcher.start)
    return run(system, "hang", background=background, pause=600, sinks=(sink,))


@pytest.mark.parametrize("background", [False, True])
def test_what_hangs_and_hears_no_signal_does_not_hold_up_the_end(system: PretendSystem, background: bool) -> None:
    began = time.monotonic()
    result = abort_what_hangs(system, background=background)
    assert time.monotonic() - began < 30
    assert result.verdict is Verdict.ABORTED
    assert outcome(result)[0] == "killed"
    assert is_gone(system.root / "pid")
    assert is_rolled_back(system, result)


def test_a_rollback_waits_until_what_it_takes_back_is_gone(
    system: PretendSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill = Workers._kill

    async def slowly(workers: Workers, pid: int, ended: asyncio.Future[int]) -> None:
        await asyncio.sleep(0.3)
        await kill(workers, pid, ended)

    monkeypatch.setattr(Workers, "_kill", slowly)
    result = abort_what_hangs(system, background=True)
    told = [
        (event.activity, type(event))
        for event in read_events(result.run.journal)
        if isinstance(event, ActivityStarted | ActivityEnded)
    ]
    assert told[-4:] == [(0, ActivityStarted), (0, ActivityEnded), (1, ActivityStarted), (1, ActivityEnded)]


@pytest.mark.parametrize("func", ["leak", "tell"])
def test_a_secret_that_is_printed_reaches_nothing(system: PretendSystem, func: str) -> None:
    seen: list[str] = []

    class Listener:
        name = "listener"

        def handle(self, event: object) -> None:
            seen.append(repr(event))

        def close(self) -> None:
            return None

    result = run(system, func, arguments=", password: '${password}'", sinks=(Listener(),))
    assert any(mask in "".join(seen) for mask in ("•••", r"\\u2022" * 3)), "as text, or in JSON that is ASCII"
    assert SECRET not in "".join(seen)
    for path in result.run.directory.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path
