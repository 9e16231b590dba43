"""A session whose method another runner walks through, step by step; all the rest of it is as always.

It lives in a thread of its own: preflight, baseline, guard, guardian, undo, recovery and findings are the engine's; the
other runner says when to inject and when to hold. An abort undoes at once, whatever that runner is doing.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from gameday.common.json import JsonObject
from gameday.engine.abort import AbortedError
from gameday.engine.context import Context
from gameday.engine.findings import failed_finding
from gameday.engine.jobs import JobResult
from gameday.engine.method import PLAN_TIMEOUT_S, InjectionRefusedError, Method
from gameday.engine.preparation import SessionInput
from gameday.engine.recorder import Sink
from gameday.engine.runs import Message, MessageKind, Run, runs_directory
from gameday.engine.session import SessionResult, run_session
from gameday.engine.shared_locks import SharedLocks
from gameday.engine.steady_state import SteadyState
from gameday.engine.undo import DEADLINE_S
from gameday.faults.arguments import read_arguments
from gameday.faults.registry import load_fault
from gameday.journal.events import AnyEvent, Phase, PhaseEntered, SessionStarted, Verdict
from gameday.spec.location import Location
from gameday.spec.model import Activity, ActivityKind, FaultStep, Target

_NOWHERE = Location(Path())
_START_TIMEOUT_S = 120.0  # of preflight, beside the baseline
_INJECT_TIMEOUT_S = 600.0  # faults have shorter ones of their own
_LEEWAY_S = 60.0  # each part of the engine keeps its own, shorter timeouts; this is for a mistake of ours


class DrivenError(Exception):
    """A step could not be taken; the message says why."""


class EndedError(Exception):
    """The session has come to an early end, or never began, and the other runner is to end too; says why."""


@dataclass(frozen=True, slots=True)
class _Request:
    """What the other runner asks of the method, and where it waits for the answer."""

    work: "Callable[[DrivenMethod], Awaitable[object]]"
    answer: Future[object]


@dataclass(frozen=True, slots=True)
class _Stage:
    """The stage that is in place and has not been held."""

    number: int
    stage: int
    step: FaultStep
    planned: JobResult


def _aim(target: Target) -> Target:
    """The target without where it was written."""
    return msgspec.structs.replace(target, location=_NOWHERE, keys=())


class DrivenMethod(Method):
    """Takes its steps from a queue, until None comes, a stage does not hold, or something is refused."""

    def __init__(self, context: Context, steady_state: SteadyState, driver: "Driver") -> None:
        super().__init__(context, steady_state)
        self._driver = driver
        self._taken: dict[int, int] = {}  # stages that have been injected, by step
        self._targets: dict[int, tuple[str, ...]] = {}
        self._stage: _Stage | None = None
        self._broken = ""  # why the method must not go on
        self._began = 0.0

    async def run(self) -> None:
        """Serve requests. Raises AbortedError, and InjectionRefusedError when a fault cannot be planned or injected."""
        self._began = self._context.now()
        reason, ended = "its method is over", False
        try:
            self._driver.opened.set_result(None)
            while not self._broken and (request := await self._race(self._driver.requests.get())) is not None:
                try:
                    request.answer.set_result(await request.work(self))
                except BaseException as error:
                    request.answer.set_exception(error)
                    raise
            reason = self._broken or reason
        except InjectionRefusedError as error:
            reason, ended = str(error), not self.has_injected
            raise
        finally:
            aborted = self._context.tools.abort.request
            self._driver.left.set_result((aborted.reason if aborted else reason, ended or aborted is not None))
            if aborted:
                self._driver.interrupt_if_busy()

    async def inject(self, wanted: FaultStep) -> str:
        """Inject the next stage of the announced step that is meant. What was done, in words.

        `wanted` has that one stage.
        """
        number = self._announced(wanted)
        stage = self._taken.get(number, 0)
        self._taken[number] = stage + 1
        step = self._context.experiment.method[number]
        assert isinstance(step, FaultStep)
        planned = await self.inject_stage(number, stage, step, self._targets.get(number, ()))
        self._targets[number] = planned.targets
        self._stage = _Stage(number, stage, step, planned)
        return planned.description

    def _announced(self, wanted: FaultStep) -> int:
        """The first announced step that is the same and whose next stage this is."""
        settings = read_arguments(wanted, load_fault(wanted.fault))
        meant = (wanted.fault, _aim(wanted.target), wanted.ladder, settings)
        for number, step in enumerate(self._context.experiment.method):
            if isinstance(step, FaultStep):
                following = step.ladder[self._taken.get(number, 0) :][:1]
                settings = self._context.prepared.arguments[number]
                if (step.fault, _aim(step.target), following, settings) == meant:
                    return number
        raise InjectionRefusedError(
            f"{wanted.name} with a blast radius of {wanted.ladder[0]} is not what was announced to preflight next"
        )

    async def hold(self, hold_s: float | None) -> bool:
        """Hold the stage that has been injected, and judge it. Whether it held; when not, the method is over."""
        if self._stage is None:
            raise InjectionRefusedError("there is nothing to hold: no stage has been injected since the last one")
        current, self._stage = self._stage, None
        step = current.step if hold_s is None else msgspec.structs.replace(current.step, hold_s=hold_s)
        held = await self.hold_stage(current.number, current.stage, step, current.planned)
        self._broken = "" if held else "a stage did not hold"
        return held

    async def judge(self) -> None:
        """Judge everything since the method began: what the other runner's own actions did to the system."""
        await self.judge_since(self._began)

    async def fail(self, name: str, error: str) -> None:
        """An action of the other runner's own has failed: a weakness, after which the method is over."""
        self._broken = f"the action “{name}” failed"
        self._context.findings.append(failed_finding("action", name, error))

    async def allow(self, action: Activity) -> None:
        """Hold an action of the other runner's own to the policy. Raises InjectionRefusedError."""
        await self._ensure_allowed(action)

    async def touch(self) -> None:
        """The other runner is about to touch the system by itself: alerts are timed from here."""
        self._context.enter(Phase.INJECT)
        self.has_injected = True
        if self.injected_at is None:
            self.injected_at = self._context.now()


class Driver:
    """The other runner's side, to be used from any of its threads. Use once.

    `interrupt` is called, from the session's thread, when it is aborted while the main thread is busy elsewhere.
    """

    name = "driver"

    def __init__(
        self,
        session: SessionInput,
        sinks: Sequence[Sink],
        interrupt: Callable[[], None],
        shared: SharedLocks | None = None,
        afterwards: tuple[str, ...] = (),
    ) -> None:
        self._session = session
        self._shared = shared
        self._afterwards = afterwards
        self._sinks = sinks
        self._interrupt = interrupt
        self._loop: asyncio.AbstractEventLoop | None = None
        self._named: Future[Run] = Future()
        self._undone: Future[None] = Future()
        self._ended: Future[SessionResult] = Future()
        self._main_waits = False
        self._is_ending = False
        self.requests: asyncio.Queue[_Request | None] = asyncio.Queue()
        self.opened: Future[None] = Future()
        self.left: Future[tuple[str, bool]] = Future()  # why the method is over, and whether all of it is

    # -- the session's thread

    def handle(self, event: AnyEvent) -> None:
        """A sink's: learn the run's name, and that all is undone."""
        if isinstance(event, SessionStarted):
            self._named.set_result(Run(runs_directory(self._session.project.root) / event.session))
        elif isinstance(event, PhaseEntered) and event.phase is Phase.RECOVERY:
            self._undone.set_result(None)

    def close(self) -> None:
        """A sink's: the last event has been handled."""

    def _live(self) -> None:
        try:
            self._ended.set_result(asyncio.run(self._run()))
        except BaseException as error:  # noqa: BLE001 - whoever waits must hear of it
            self._ended.set_exception(error)

    async def _run(self) -> SessionResult:
        self._loop = asyncio.get_running_loop()
        return await run_session(
            self._session,
            [self, *self._sinks],
            method=lambda context, steady: DrivenMethod(context, steady, self),
            shared=self._shared,
            afterwards=self._afterwards,
        )

    def interrupt_if_busy(self) -> None:
        """Interrupt the main thread, unless it waits here and hears of the end anyway."""
        if not self._main_waits and not self._is_ending:
            self._interrupt()

    # -- the other runner's threads

    @property
    def run(self) -> Run | None:
        """The run's directory, once it has one."""
        return self._named.result() if self._named.done() else None

    @property
    def has_ended(self) -> bool:
        """Whether all of it is over."""
        return self._ended.done()

    def open(self) -> None:
        """Start, and wait until preflight has passed and the steady state has held.

        Raises DrivenError when the session did not start, EndedError when it was ended.
        """
        threading.Thread(target=self._live, name="gameday", daemon=True).start()
        baseline_s = sum(experiment.timing.baseline_s for experiment in self._session.experiments)
        self._wait({self.opened, self._ended}, _START_TIMEOUT_S + baseline_s)
        if self._ended.done() and not self.opened.done():
            result = self._result()
            raise (DrivenError if result.verdict is Verdict.NOT_STARTED else EndedError)(result.reason)

    def inject(self, step: FaultStep) -> str:
        """Inject one stage; what was done, in words. Raises DrivenError and EndedError."""
        done = self._ask(lambda method: method.inject(step), PLAN_TIMEOUT_S + _INJECT_TIMEOUT_S)
        return f"nothing was injected: {self.left.result()[0]}" if done is None else str(done)

    def hold(self, hold_s: float | None) -> bool:
        """Hold and judge; False when it did not hold, or the method is over already. Raises DrivenError, EndedError."""
        longest_s = max(
            (step.hold_s for item in self._session.experiments for step in item.method if isinstance(step, FaultStep)),
            default=0.0,
        )
        return bool(self._ask(lambda method: method.hold(hold_s), hold_s or longest_s))

    def judge(self) -> None:
        """Judge everything since the method began. Raises EndedError."""
        self._ask(lambda method: method.judge(), 0.0)

    def touch(self) -> None:
        """The system is about to be touched by other means than ours. Raises EndedError."""
        self._ask(lambda method: method.touch(), 0.0)

    def allow(self, name: str, definition: JsonObject) -> None:
        """Another action than ours is about to be run: hold it to the policy. Raises DrivenError and EndedError."""
        action = Activity(ActivityKind.ACTION, name, definition, False, 0.0, 0.0, _NOWHERE)
        self._ask(lambda method: method.allow(action), PLAN_TIMEOUT_S)

    def fail(self, name: str, error: str) -> None:
        """An action of the other runner's own has failed: end the method. Raises EndedError."""
        self._ask(lambda method: method.fail(name, error), 0.0)

    @property
    def passes_over(self) -> str:
        """Why what is left of the method is to be passed over; empty when it is not."""
        if not self.left.done() or self._is_ending:
            return ""
        return self.left.result()[0]

    def finish(self) -> None:
        """The method is over: undo, and wait until that is done, whatever came of it. Raises EndedError."""
        if not self.left.done():
            self._call(lambda: self.requests.put_nowait(None))
        self._wait({self._undone, self._ended}, DEADLINE_S)
        self._check_end()

    def settle(self) -> None:
        """When the method is over, wait for the end of it all, recovery included. Raises EndedError when none comes."""
        if self.left.done():
            recoveries = (
                max(item.timing.recovery_s, item.recovers_within_s or 0.0) for item in self._session.experiments
            )
            self._wait({self._ended}, DEADLINE_S + sum(recoveries))

    def result(self) -> SessionResult:
        """How it ended, for which it waits. Raises EndedError when it was ended early, DrivenError when it failed."""
        self.settle()
        if not self._ended.done():
            raise DrivenError("it has not ended: `undo_all` ends the method")
        result = self._result()
        if result.verdict in (Verdict.ABORTED, Verdict.NOT_STARTED):
            raise EndedError(result.reason)
        return result

    def end_early(self, reason: str) -> None:
        """End it now, whatever it is doing, and wait until all is undone; harmless when it has ended.

        Raises EndedError when it does not answer.
        """
        self._is_ending = True
        self._wait({self._named, self._ended}, _START_TIMEOUT_S)
        if self._named.done() and not self._ended.done():
            self._named.result().send(Message(MessageKind.ABORT, self._session.by, reason))
        self._wait({self._ended}, DEADLINE_S)

    def _ask(self, work: "Callable[[DrivenMethod], Awaitable[object]]", takes_s: float) -> object | None:
        """What the method answers; None when it is over. `takes_s`: how long it may take at most."""
        request = _Request(work, Future())
        if not self.left.done():
            self._call(lambda: self.requests.put_nowait(request))
        self._wait({request.answer, self.left, self._ended}, takes_s)
        if request.answer.done():
            try:
                return request.answer.result()
            except AbortedError:
                self._wait({self.left}, 0.0)
            except InjectionRefusedError as error:
                self._wait({self.left}, 0.0)
                if not self.left.result()[1]:
                    raise DrivenError(str(error)) from None
        self._check_end()
        return None

    def _check_end(self) -> None:
        """Raise EndedError when the method's end is the other runner's end too."""
        reason, ended = self.left.result() if self.left.done() else (self._result().reason, True)
        if ended:
            raise EndedError(reason)

    def _call(self, work: Callable[[], None]) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(work)

    def _wait(self, either: "set[Future[Any]]", takes_s: float) -> None:
        is_main = threading.current_thread() is threading.main_thread()
        self._main_waits = self._main_waits or is_main
        try:
            done, _ = wait(either, takes_s + _LEEWAY_S, FIRST_COMPLETED)
        finally:
            self._main_waits = self._main_waits and not is_main
        if not done:
            raise EndedError(f"the session did not answer within {takes_s + _LEEWAY_S:g} s")

    def _result(self) -> SessionResult:
        try:
            return self._ended.result(0)
        except Exception as error:
            raise DrivenError(f"the session failed: {error}") from error
