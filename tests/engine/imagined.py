"""A session in one process and in no time: the real engine on the pretend system, with a script of what goes wrong.

The warm process and the guardian are replaced, since starting them takes most of a second, and time passes only when
nothing else is to be done. Jobs are performed by the engine's own code, on the testkit's own fault.
"""

import asyncio
import errno
import os
import selectors
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from gameday_testkit import Mark, MarkPlan
from misfortunes import AT_PLAN, FOR_GOOD, Act, Fate, Script
from pretend import PretendSystem

from gameday.common.codec import decode
from gameday.engine.abort import Abort
from gameday.engine.jobs import Job, JobKind, JobResult, perform
from gameday.engine.recorder import Recorder
from gameday.engine.recovery import recover
from gameday.engine.runs import Message, MessageKind, Run, all_runs
from gameday.engine.session import SessionResult, run_session
from gameday.engine.workers import WorkersError
from gameday.faults.base import FaultError, FaultRequest, System
from gameday.journal.events import AnyEvent, By, FaultPlanned, SessionEnded
from gameday.journal.log import JournalWriter
from gameday.journal.state import RunState
from gameday.spec.model import Policy

UNDO_DEADLINE_S = 3.0
_EPOCH = 1_700_000_000.0


@dataclass(frozen=True, slots=True)
class Moment:
    """One entry of the timeline: an event that is on disk, a job that begins, or a target that was touched."""

    kind: str  # event, inject, undo (a job of this kind began), touched
    ours: frozenset[str]  # what is broken by us at that moment
    broken: int  # by anyone
    total: int
    event: AnyEvent | None = None
    plan: int | None = None
    aborted: bool = False
    synced: bool = False  # the event, and all before it, would survive a power cut


class ImaginedPlan(MarkPlan, frozen=True):
    number: int = 0  # counts the plans made


class _ChildEndsError(BaseException):
    """The child that does the job ends, or hangs, in the middle of it."""


class ImaginedMark(Mark):
    """`testkit/mark` with a fate, on targets that may go."""

    plan_type = ImaginedPlan

    def __init__(self, world: "World") -> None:
        self._world = world

    def plan(self, request: FaultRequest, system: System) -> ImaginedPlan:
        fate = self._world.take(self._world.script.plans, "plan")
        if fate.how != "well":
            raise FaultError("no plan can be made")
        base = super().plan(request, system)
        return ImaginedPlan(base.directory, base.names, base.fresh, self._world.counts["plan"])

    def inject(self, plan: MarkPlan) -> None:
        self._work(plan, self._world.fate, "broken", must_exist=True)

    def undo(self, plan: MarkPlan) -> None:
        self._work(plan, self._world.fate, "well", must_exist=False)

    def _work(self, plan: MarkPlan, fate: Fate, word: str, *, must_exist: bool) -> None:
        for number, name in enumerate(plan.fresh):
            if fate.how != "well" and number >= fate.at:
                break
            if (plan.directory / name).exists():
                (plan.directory / name).write_text(word)
                self._world.note("touched", plan=getattr(plan, "number", None))
            elif must_exist:
                raise FaultError(f"{name} is gone")
        if fate.how == "fails":
            raise FaultError("it failed half-way")
        if fate.how in ("exits", "hangs"):
            raise _ChildEndsError(fate.how)

    def verify(self, plan: MarkPlan) -> tuple[str, ...]:
        here = [name for name in plan.fresh if (plan.directory / name).exists()]
        return super().verify(msgspec.structs.replace(plan, fresh=tuple(here)))


class World:
    """The pretend system, the script, and all that has happened."""

    def __init__(self, root: Path, script: Script) -> None:
        self.script = script
        self.system = PretendSystem(root)
        self.directory = self.system.directory
        for number in range(5, script.instances + 1):
            (self.directory / f"shop-{number}").write_text("well")
        for name in self.system.names[script.instances :]:
            (self.directory / name).unlink()
        self.timeline: list[Moment] = []
        self.cut: tuple[bytes, dict[str, str]] | None = None
        self.fate = Fate()
        self.counts: dict[str, int] = {}
        self.attempts: dict[int, int] = {}  # at the undo of each plan
        self.undo_fates: dict[int, Fate] = {}
        self.appends = 0
        self.fails_from = 0  # the number of the first append that failed
        self.abort: Abort | None = None
        self.recorder: Recorder | None = None
        self.result: SessionResult | None = None
        self.violations: list[str] = []  # what shows only while it happens
        self.syncs = 0
        self._in_flight: str | None = None

    def texts(self) -> dict[str, str]:
        """What every instance's file says."""
        return {path.name: path.read_text() for path in self.directory.glob("shop-*")}

    def ours(self) -> frozenset[str]:
        """What is broken by us now; others break things in other words."""
        return frozenset(name for name, text in self.texts().items() if text == "broken")

    def take(self, fates: tuple[Fate, ...], kind: str) -> Fate:
        """The next fate of this kind."""
        number = self.counts.get(kind, 0)
        self.counts[kind] = number + 1
        return fates[number] if number < len(fates) else Fate()

    def note(self, kind: str, *, event: AnyEvent | None = None, plan: int | None = None, synced: bool = False) -> None:
        """Put a moment on the timeline."""
        texts = self.texts()
        broken = [name for name, text in texts.items() if text != "well"]
        ours = frozenset(name for name in broken if texts[name] == "broken")
        aborted = self.abort is not None and self.abort.request is not None
        self.timeline.append(Moment(kind, ours, len(broken), len(texts), event, plan, aborted, synced))
        if len(self.timeline) == self.script.cut:
            (run,) = all_runs(self.system.root)
            self.cut = (run.journal.read_bytes(), texts)

    # -- jobs

    async def run(self, job: Job, timeout_s: float) -> JobResult:
        """As Workers.run, in this process."""
        number = None
        if job.kind in (JobKind.INJECT, JobKind.UNDO):
            number = decode(job.plan, ImaginedPlan).number
            if self._in_flight:
                self.violations.append(f"{job.kind} began while {self._in_flight} was in flight")
            self._in_flight = job.kind
            self.note(job.kind.value, plan=number)
        try:
            return await self._perform(job, self._fate_of(job, number), timeout_s)
        finally:
            if number is not None:
                self._in_flight = None

    def _fate_of(self, job: Job, number: int | None) -> Fate:
        if job.kind is JobKind.INJECT:
            return self.take(self.script.injections, "inject")
        if job.kind is JobKind.UNDO and number is not None:
            if number not in self.undo_fates:
                self.undo_fates[number] = self.take(self.script.undos, "undo")
            self.attempts[number] = self.attempts.get(number, 0) + 1
            fate = self.undo_fates[number]
            return fate if self.attempts[number] <= fate.times else Fate()
        return Fate()

    async def _perform(self, job: Job, fate: Fate, timeout_s: float) -> JobResult:
        if fate.how == "gone":
            raise WorkersError("the process that runs faults is gone")
        await asyncio.sleep(fate.before)
        self.fate = fate
        try:
            result = perform(job)
        except _ChildEndsError as ends:
            if ends.args[0] == "hangs":
                await asyncio.sleep(timeout_s)
            return JobResult(error="ended without an answer", killed=True)
        await asyncio.sleep(fate.after)
        return result

    # -- the journal

    def before_append(self, event: AnyEvent) -> str | None:
        """How the append that is about to begin is to fail."""
        self.appends += 1
        if self.script.journal_fails is None:
            return None
        first, how, times = self.script.journal_fails
        if self.appends == first or (first == AT_PLAN and isinstance(event, FaultPlanned)):
            self.fails_from = self.fails_from or self.appends
        return how if self.fails_from and self.appends < self.fails_from + times else None

    def appended(self, event: AnyEvent, *, synced: bool) -> None:
        """The event is written; do what the script wants to happen now."""
        self.note("event", event=event, synced=synced)
        kind = type(event).__name__
        self.counts[kind] = self.counts.get(kind, 0) + 1
        for act in self.script.acts:
            if (act.event, act.nth) == (kind, self.counts[kind]):
                # An abort is never asked for from within the writing of an event.
                if act.delay or act.what in ("abort", "message"):
                    asyncio.get_running_loop().call_later(act.delay, self._do, act)
                else:
                    self._do(act)

    def _do(self, act: Act) -> None:
        if isinstance(self.timeline[-1].event, SessionEnded):
            return  # too late
        names = sorted(self.texts())
        if act.what == "abort" and self.abort:
            self.abort.ask("command", "the script wants it")
        elif act.what == "message":
            (run,) = all_runs(self.system.root)
            run.send(Message(MessageKind.ABORT, "test", "the script wants it"))
        elif act.what == "signals":
            self.system.signals(errors=act.value)
        elif act.what == "add":
            (self.directory / f"shop-{len(names) + 1 + self.appends}").write_text("well")
        elif names:
            path = self.directory / names[int(act.value) % len(names)]
            if act.what == "remove":
                path.unlink()
            elif path.read_text() == "well" and act.what == "break":
                path.write_text("broken by somebody else")
            elif act.what == "mend":
                path.write_text("well")


class _Selector(selectors.DefaultSelector):
    """Instead of waiting, lets the time pass."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            return super().select(1.0)  # for a thread
        self.now += timeout
        return []


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._impatient = _Selector()
        super().__init__(self._impatient)

    def time(self) -> float:
        return self._impatient.now


def run_virtually[T](work: Any) -> T:
    """asyncio.run, in no time."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(work)


class _Workers:
    """Takes the place of Workers."""

    is_started = True

    def __init__(self, world: World) -> None:
        self._world = world
        self._gone = False

    async def start(self) -> None:
        return None

    async def restart(self) -> None:
        if self._world.script.restart_fails:
            raise WorkersError("it cannot be started again")
        self._gone = False

    async def run(self, job: Job, timeout_s: float) -> JobResult:
        if self._gone:
            raise WorkersError("the process that runs faults is gone")
        try:
            return await self._world.run(job, timeout_s)
        except WorkersError:
            self._gone = not self._world.script.restart_fails
            raise

    def close(self) -> None:
        return None


class _Guardian:
    @classmethod
    async def start(cls, *_: object, **__: object) -> "_Guardian":
        return cls()

    def dismiss(self) -> None:
        return None


@contextmanager
def _engine_in(world: World) -> Iterator["_Workers"]:
    """The engine with the parts replaced that would take time or start processes."""
    workers = _Workers(world)

    class Writer(JournalWriter):
        def append(self, event: AnyEvent, *, sync: bool = False) -> None:
            how, before = world.before_append(event), world.syncs
            with pytest.MonkeyPatch.context() as patch:
                if how:
                    patch.setattr(os, "fsync" if how == "sync" else "write", _failing(how))
                super().append(event, sync=sync)
            world.appended(event, synced=world.syncs > before)

    class ObservedAbort(Abort):
        def __init__(self, recorder: Recorder) -> None:
            super().__init__(recorder)
            world.abort, world.recorder = self, recorder

    virtual = SimpleNamespace(
        monotonic=lambda: asyncio.get_running_loop().time(),
        time=lambda: _EPOCH + asyncio.get_running_loop().time(),
    )
    fault = ImaginedMark(world)

    def count(_fd: int) -> None:
        world.syncs += 1

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", count)  # no machine dies here, and it takes most of the time
        patch.setattr("gameday.journal.log._RESERVE_BYTES", 1024)
        for module in ("undo", "method", "activities"):
            patch.setattr(f"gameday.engine.{module}.time", virtual)
        patch.setattr("gameday.common.clock.time", virtual)
        patch.setattr("gameday.engine.jobs.load_fault", lambda _name: fault)
        patch.setattr("gameday.engine.session.Workers", lambda *_, **__: workers)
        patch.setattr("gameday.engine.session.Guardian", _Guardian)
        patch.setattr("gameday.engine.session.JournalWriter", Writer)
        patch.setattr("gameday.engine.session.Abort", ObservedAbort)
        patch.setitem(_undo_defaults(), "deadline_s", UNDO_DEADLINE_S)
        yield workers


def _undo_defaults() -> dict[str, Any]:
    from gameday.engine.undo import undo_all

    assert undo_all.__kwdefaults__ is not None
    return undo_all.__kwdefaults__


def _failing(how: str) -> Callable[..., int]:
    """A disk that fails, or one that is full until the reserve is given up."""
    failures, write = [1 if how == "full" else FOR_GOOD], os.write

    def fail(fd: int, data: bytes = b"") -> int:
        if not failures[0]:
            return write(fd, data)
        failures[0] -= 1
        raise OSError(errno.ENOSPC if how == "full" else errno.EIO, "it failed")

    return fail


_TEXT = """
title: Experiment {number}
service: shop
steady-state-hypothesis:
  title: It answers
  signals:
    errors: {{ratio: "< 1%", for: 100ms}}
method:
{steps}
abort-when:
  errors: {{ratio: "> 50%", for: 100ms}}
timing: {{interval: 100ms, baseline: 300ms, steady: 200ms, recovery: 1s, blind-after: 400ms}}
"""
_STEP = "  - {{fault: testkit/mark, target: {{service: shop}}, blast-radius: [{ladder}], hold: 300ms}}"


def imagine(root: Path, script: Script) -> World:
    """Run a session by this script."""
    world = World(root, script)
    texts = [
        _TEXT.format(number=number, steps="\n".join(_STEP.format(ladder=", ".join(ladder)) for ladder in steps))
        for number, steps in enumerate(script.ladders)
    ]
    policy = Policy(max_blast_radius=None if script.ceiling is None else script.ceiling / 100)
    session = world.system.session(*texts, policy=policy)
    session = msgspec.structs.replace(session, environment=msgspec.structs.replace(session.environment, alerts=None))
    with _engine_in(world):
        world.result = run_virtually(run_session(session, ()))
    return world


def recover_from_cut(world: World, home: Path) -> RunState:
    """Put the system back to the moment of the cut, and undo what the journal of that moment says, twice."""
    assert world.cut is not None
    journal, texts = world.cut
    for path in world.directory.glob("shop-*"):
        path.unlink()
    for name, text in texts.items():
        (world.directory / name).write_text(text)
    home.mkdir(parents=True)
    (home / "journal.jsonl").write_bytes(journal + b'{"event":"fault-pl')
    with _engine_in(World(home / "unused", Script(()))) as workers:
        first, second = (
            run_virtually(recover(Run(home), By.RECOVER, "the machine died", workers=workers)) for _ in range(2)
        )
    assert first == second
    return second
