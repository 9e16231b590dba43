"""What is fuzzed: every file that somebody else may have written, read by all that reads it in gameday.

Each `feed` takes one input and says whether it was accepted. It raises what a user would see as a traceback.
"""

import asyncio
import contextlib
import io
import json
import os
import random
import re
import shutil
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import yaml
from click.testing import CliRunner

from gameday.chaostoolkit.adapter import ActivityOutcome
from gameday.cli import recover as recover_verb
from gameday.cli import report as report_verb
from gameday.cli import status as status_verb
from gameday.cli.left import say_what_is_left
from gameday.cli.load import parse_path, print_mistakes
from gameday.cli.validate import validate
from gameday.common.processes import ProcessRef, boot_id
from gameday.engine import guardian
from gameday.engine.info import describe_experiment, describe_people
from gameday.engine.jobs import Job, JobKind, JobResult
from gameday.engine.locks import FileLock, LockHeldError
from gameday.engine.preparation import SessionInput, faults_of, prepare, secrets_of, services_of
from gameday.engine.recovery import recover, write_off
from gameday.engine.runs import WRITER_LOCK, Message, MessageKind, Run, RunError, find_run, unfinished_runs
from gameday.engine.undo import Rollbacks
from gameday.engine.workers import kill_leftovers
from gameday.engine.zygote import Mark
from gameday.faults.base import FaultError
from gameday.journal.events import By, RollbacksArmed
from gameday.journal.log import JournalError, JournalWriter, Unread, read_journal
from gameday.journal.state import replay
from gameday.notify.terminal import Terminal
from gameday.people import propose_pairs
from gameday.report.model import load_report
from gameday.report.render import VIEWS, Format, render
from gameday.report.toolkit_journal import toolkit_journals
from gameday.signals import SignalError
from gameday.spec.location import SpecError
from gameday.spec.model import People, SignalsConfig
from gameday.spec.project import load_environment, load_project, secret_values
from gameday.spec.reader import read_document
from tests.fuzzing.mutations import mutate_document, mutate_json, mutate_lines, mutate_text
from tests.spec.test_experiment import DESIGN, PLAIN
from tests.spec.test_project import GAME_DAY, PROJECT, RUNBOOK

ROOT = Path(__file__).parents[2]
FIXTURE = ROOT / "tests" / "journal" / "fixtures" / "format-1.jsonl"
OURS = {
    "experiments": [path.read_bytes() for path in sorted((ROOT / "experiments").glob("*.yaml"))],
    "game days": [path.read_bytes() for path in sorted((ROOT / "experiments" / "gamedays").glob("*.yaml"))],
    "runbooks": [path.read_bytes() for path in sorted((ROOT / "runbooks").glob("*.md"))],
    "projects": [(ROOT / "gameday.yaml").read_bytes()],
}


_SIGNALS = SignalsConfig(source="prometheus", url="http://localhost", platform="envoy")


@dataclass(frozen=True, slots=True)
class Target:
    """One kind of input."""

    name: str
    seeds: tuple[bytes, ...]
    mutate: Callable[[random.Random, Sequence[bytes]], bytes]
    feed: Callable[[Path, bytes, random.Random], bool]
    weight: int = 1  # how many inputs it gets beside the others


# -- what users write


def _check(path: Path) -> bool:
    """As `gameday check` does, with what is printed."""
    try:
        validate([path])
    except SpecError as error:
        print_mistakes(error, io.StringIO())
        return False
    return True


def _project(root: Path, data: bytes, _: random.Random) -> bool:
    if not root.exists():
        shutil.copytree(ROOT / "runbooks", root / "runbooks")
    (root / "gameday.yaml").write_bytes(data)
    accepted = _check(root / "gameday.yaml")
    if accepted:
        project = load_project(root)
        for environment in project.environments:
            with contextlib.suppress(SpecError):
                secret_values(load_environment(project, environment.name))
    return accepted


def _session(name: str) -> Callable[[Path, bytes, random.Random], bool]:
    """An experiment or a game day in our own project: what `check` says, and what the engine makes of it."""

    def feed(root: Path, data: bytes, _: random.Random) -> bool:
        if not root.exists():
            shutil.copytree(ROOT / "experiments", root / "experiments")
            shutil.copytree(ROOT / "runbooks", root / "runbooks")
            shutil.copy(ROOT / "gameday.yaml", root)
        path = root / "experiments" / name
        path.write_bytes(data)
        accepted = _check(path)
        if accepted:
            _describe(root, path)
        return accepted

    return feed


def _describe(root: Path, path: Path) -> None:
    """What a session notes of its input must come back from the journal as it was."""
    project = load_project(root)
    game_day, experiments = parse_path(path, read_document(path), project)
    session = SessionInput(
        kind="experiment",
        title="t",
        path=path,
        project=project,
        environment=msgspec.structs.replace(load_environment(project, "lab"), signals=_SIGNALS),
        experiments=experiments,
        people=game_day.people if game_day else People(),
        secrets=(),
        by="",
        seed=1,
    )
    secrets_of(session)
    faults_of(experiments)
    services_of(session)
    try:
        prepared = prepare(session, datetime.now(UTC))
    except (SpecError, FaultError, SignalError):
        return
    people = describe_people(session.people)
    pairs = propose_pairs(session.people, len(session.experiments), ())
    for item in prepared:
        info = describe_experiment(item, project, pairs[item.index])
        for value in (info, people):
            again = msgspec.json.decode(msgspec.json.encode(value), type=type(value))
            if again != value:
                raise AssertionError(f"{value} comes back as {again}")


def _runbook(root: Path, data: bytes, _: random.Random) -> bool:
    path = root / "runbooks" / "a.md"
    if not root.exists():
        path.parent.mkdir(parents=True)
        (root / "gameday.yaml").write_text("project: x\n")
    path.write_bytes(data)
    return _check(path)


# -- what runs write


class _Workers:
    """Does nothing, and says now that it went well and now that it did not."""

    is_started = True

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice

    async def run(self, job: Job, timeout_s: float) -> JobResult:
        if self._dice.random() < 0.2:
            return JobResult(error="no", left=("x",))
        outcome = ActivityOutcome(status="succeeded", output="1") if job.kind is JobKind.ACTIVITY else None
        return JobResult(outcome=outcome)

    async def restart(self) -> None:
        return None

    def close(self) -> None:
        return None


def _run_of(root: Path) -> Run:
    shutil.rmtree(root, ignore_errors=True)
    directory = root / ".gameday" / "runs" / "20260306-090000-a-run-a1f3"
    (directory / "inbox").mkdir(parents=True)
    (root / "gameday.yaml").write_text("project: x\n")
    return Run(directory)


@contextlib.contextmanager
def _in(root: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(root)
    try:
        yield
    finally:
        os.chdir(before)


def _invoke(command: Any, arguments: list[str], allowed: tuple[int, ...]) -> None:
    """Run a verb. Raises what it raises."""
    result = CliRunner().invoke(command, arguments)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    if result.exit_code not in allowed:
        raise AssertionError(f"{arguments} ended with {result.exit_code}: {result.output}")


async def _recover(run: Run, dice: random.Random) -> None:
    with contextlib.suppress(JournalError):
        workers: Any = _Workers(dice)
        terminal = Terminal(live=False, brief=dice.random() < 0.5)
        await recover(run, By.RECOVER, "fuzzing", workers=workers, sinks=[terminal])


def _journal(root: Path, data: bytes, dice: random.Random) -> bool:
    run = _run_of(root)
    run.journal.write_bytes(data)
    try:
        lines = list(read_journal(run.directory))
    except JournalError:
        lines = []
    else:
        state = replay(line for line in lines if not isinstance(line, Unread))
        run.life(state)
        report = load_report(run.directory)
        text = render(report, kind := dice.choice(VIEWS))
        text.encode()
        json.dumps(toolkit_journals(run.directory))
        if kind is Format.JSON:
            json.loads(text)
        _tell([line for line in lines if not isinstance(line, Unread)], live=dice.random() < 0.3)
    unfinished_runs(root)
    with _in(root), contextlib.redirect_stderr(io.StringIO()):
        with contextlib.suppress(RunError):
            find_run(root, None)
        say_what_is_left(run.directory)
        _invoke(status_verb.command, ["--all", *dice.choice(([], ["--json"]))], (0, 5))
        if dice.random() < 0.1:
            _invoke(report_verb.command, ["--format", "json,markdown"], (0, 2))
        if dice.random() < 0.3:
            asyncio.run(_recover(run, dice))
            say_what_is_left(run.directory)
            for line in read_journal(run.directory) if lines else ():
                assert line
        elif dice.random() < 0.2:
            with contextlib.suppress(JournalError):
                write_off(run, "@s", "fuzzing")
            _invoke(recover_verb.command, [], (0, 2, 3))
    return any(not isinstance(line, Unread) for line in lines)


def _tell(events: Sequence[Any], *, live: bool) -> None:
    """All of it through the terminal, which as a sink would hide what it raises."""
    stdout, stderr = sys.stdout, sys.stderr
    sys.stdout = sys.stderr = io.StringIO()
    try:
        terminal = Terminal(live=False)
        for event in events:
            terminal.handle(event)
            if live:
                terminal._render()
        terminal.close()
    finally:
        sys.stdout, sys.stderr = stdout, stderr


def _inbox(root: Path, data: bytes, _: random.Random) -> bool:
    run = _run_of(root)
    (run.directory / "inbox" / "1.json").write_bytes(data)
    messages = run.receive()
    writer = JournalWriter(run.directory)
    for message in messages:
        msgspec.json.encode(message)
    writer.close()
    return bool(messages)


def _lock(root: Path, data: bytes, _: random.Random) -> bool:
    run = _run_of(root)
    path = run.directory / WRITER_LOCK
    held, other = FileLock(path), FileLock(path)
    held.acquire("somebody")
    path.write_bytes(data)
    try:
        other.acquire("me", name=run.name)
    except LockHeldError as error:
        str(error).encode()
    finally:
        held.release()
    return True


def _rollbacks(root: Path, data: bytes, dice: random.Random) -> bool:
    run = _run_of(root)
    writer = JournalWriter(run.directory)
    writer.append(RollbacksArmed(at=1.0, experiment=0, activities=("a",)))
    writer.close()
    Rollbacks.path(run.directory, 0).write_bytes(data)
    with contextlib.redirect_stderr(io.StringIO()):
        asyncio.run(_recover(run, dice))
    events = [line for line in read_journal(run.directory) if not isinstance(line, Unread)]
    state = replay(events)
    assert state.ended, "it was not brought to an end"
    return not Rollbacks.path(run.directory, 0).exists()


def _mark(root: Path, data: bytes, _: random.Random) -> bool:
    """A child's mark. Nothing may be killed here but what does not exist: see `without_killing`."""
    run = _run_of(root)
    marks = run.directory / "children"
    marks.mkdir()
    (marks / "1").write_bytes(data)
    killed = kill_leftovers(run.directory)
    assert not list(marks.iterdir())
    return bool(killed)


def _setup(_root: Path, data: bytes, _: random.Random) -> bool:
    """What the guardian is told first, over its socket. It may end, which the runner is told."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(data[:100_000])  # as much as the socket holds
        ours.shutdown(socket.SHUT_WR)
        try:
            return guardian._hear(theirs) is not None
        except msgspec.DecodeError:
            return False


@contextlib.contextmanager
def without_killing() -> Iterator[list[int]]:
    """Signals go nowhere, and undo does not wait. The process groups that would have been killed."""
    from gameday.engine import undo

    killed: list[int] = []
    killpg, pause, deadline = os.killpg, undo._FIRST_PAUSE_S, undo.undo_all.__kwdefaults__["deadline_s"]

    def record(group: int, number: int) -> None:
        if group <= 1:
            raise AssertionError(f"the process group {group} would have been killed")
        killed.append(group)
        if group > 2**31:
            killpg(group, 0)  # says that it is too large
        raise ProcessLookupError

    os.killpg, undo._FIRST_PAUSE_S, undo.undo_all.__kwdefaults__["deadline_s"] = record, 0.0, 0.0
    try:
        yield killed
    finally:
        os.killpg, undo._FIRST_PAUSE_S, undo.undo_all.__kwdefaults__["deadline_s"] = killpg, pause, deadline


def _short_journals() -> tuple[bytes, ...]:
    """The fixture of a whole session, and shorter ones cut out of it, which are read faster."""
    lines = FIXTURE.read_bytes().splitlines(keepends=True)
    kinds: dict[str, bytes] = {}
    for line in lines:
        kinds.setdefault(json.loads(line)["event"], line)
    first = lines[0]
    one_each = first + b"".join(line for line in kinds.values() if line != first)
    return (one_each, one_each, first + b"".join(lines[20:40]), b"".join(lines[-30:]), b"".join(lines))


def _as_json(data: bytes) -> bytes:
    return json.dumps(yaml.safe_load(data)).encode()


_DESIGN = DESIGN.replace("pods/kill", "process/kill").replace("payments-down", "replica-down")
_DESIGN = re.sub(r"provider: .*", 'provider: {type: process, path: "true"}', _DESIGN)
_PLAIN = json.dumps(PLAIN).encode()
_MESSAGES = tuple(msgspec.json.encode(Message(kind, "@s", "some words")) for kind in MessageKind)
_ROLLBACKS = msgspec.json.encode(
    Rollbacks(
        ({"type": "action", "name": "a", "provider": {"type": "process", "path": "true"}},),
        {"token": {"type": "env", "key": "TOKEN", "default": "x"}, "delay": 7},
        {"k8s": {"token": {"type": "env", "key": "HOME"}, "password": "hunter22"}},
    )
)
_RUNNER = guardian.ProcessRef(1, "2")
_MARK = msgspec.json.encode(Mark(ProcessRef(4242, "17"), boot_id()))
_SETUP = msgspec.json.encode(guardian.Setup("runs/x", _RUNNER, ("a/b",), True, ("hunter22",))) + b"\n"
TARGETS = (
    Target(
        "gameday.yaml", (PROJECT.replace("istio", "envoy").encode(), *OURS["projects"]), mutate_document, _project, 12
    ),
    Target("experiment, YAML", (_DESIGN.encode(), *OURS["experiments"]), mutate_document, _session("a.yaml"), 20),
    Target("experiment, JSON", tuple(map(_as_json, OURS["experiments"])), mutate_json, _session("a.json"), 8),
    Target("plain experiment, JSON", (_PLAIN,), mutate_json, _session("b.json"), 10),
    Target("plain experiment, YAML", (_PLAIN,), mutate_document, _session("b.yaml"), 6),
    Target(
        "game day",
        (GAME_DAY.replace("staging", "lab").encode(), *OURS["game days"]),
        mutate_document,
        _session("gamedays/d.yaml"),
        10,
    ),
    Target("runbook", (RUNBOOK.encode(), *OURS["runbooks"]), mutate_text, _runbook, 12),
    Target("journal", _short_journals(), mutate_lines, _journal, 12),
    Target("a run's message", _MESSAGES, mutate_json, _inbox, 2),
    Target("a run's lock", (b"runner 4242", b"guardian 1\n"), mutate_text, _lock, 1),
    Target("a run's rollbacks", (_ROLLBACKS,), mutate_json, _rollbacks, 3),
    Target("a child's mark", (_MARK,), mutate_json, _mark, 2),
    Target("the guardian's setup", (_SETUP,), mutate_json, _setup, 1),
)
