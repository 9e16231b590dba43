"""The method of one experiment: faults in stages, each planned on disk, injected, held and judged; and activities."""

import asyncio
import time
from collections.abc import Callable

from gameday.coverage import Finding
from gameday.engine.abort import AbortedError
from gameday.engine.context import Context
from gameday.engine.findings import failed_finding
from gameday.engine.jobs import Job, JobKind, JobResult, exceeds
from gameday.engine.recorder import SecretInPlanError
from gameday.engine.steady_state import SteadyState
from gameday.faults.base import FaultRequest, Pick, Radius, Stamp, Value, Where
from gameday.journal.events import (
    FaultInjected,
    FaultPlanned,
    FaultRefused,
    FindingKind,
    Outcome,
    Phase,
    StageEnded,
    StageStarted,
)
from gameday.journal.log import JournalError
from gameday.spec.model import Activity, ActivityKind, BlastRadius, FaultStep

PLAN_TIMEOUT_S = 60.0  # some 25 requests to a server that takes its time; whoever aborts does not wait for it
_END_TIMEOUT_S = 10.0  # until a killed child is gone
_OVER_AFTER_S = 1800.0  # beyond all holds: injections, undos, what activities take
_ACTIVITY_TIMEOUT_S = 24 * 3600.0  # for those that name none; whoever aborts does not wait for it


class InjectionRefusedError(Exception):
    """A fault could not be planned or injected; the message says why."""


def fault_request(
    step: FaultStep,
    radius: BlastRadius,
    arguments: dict[str, Value],
    already: tuple[str, ...],
    seed: int,
    stamp: Stamp = Stamp(),  # noqa: B008 - frozen
) -> FaultRequest:
    """What a step asks of its fault, for one stage."""
    target = step.target
    return FaultRequest(
        service=target.service or "",
        caller=target.caller,
        where=Where(
            selector=target.selector,
            owner=target.owner,
            name=target.name,
            node=target.node,
            zone=target.zone,
            namespace=target.namespace,
            cluster=target.cluster,
            pick=Pick(target.pick or Pick.RANDOM),
        ),
        stamp=stamp,
        radius=Radius(radius.count, radius.share),
        arguments=arguments,
        already=already,
        seed=seed,
    )


class Method:
    """Runs the steps, each of them abandoned the moment that an abort is asked for."""

    def __init__(self, context: Context, steady_state: SteadyState) -> None:
        self._context = context
        self._steady_state = steady_state
        self._race = context.tools.abort.race
        self._background: list[asyncio.Task[bool]] = []
        self.injected_at: float | None = None  # the first time that something may have been touched
        self.has_injected = False
        self.holds: list[tuple[float, float]] = []  # from when to when each stage was held, in Unix time

    async def run(self) -> None:
        """All steps, until a stage does not hold or, unless the experiment is plain, an action fails.

        Raises AbortedError, and InjectionRefusedError when a fault cannot be planned or injected.
        """
        began = self._context.now()
        activities = False
        for number, step in enumerate(self._context.experiment.method):
            if isinstance(step, FaultStep):
                go_on = await self._ladder(number, step)
            else:
                activities = True
                go_on = await self._activity(step)
            if not go_on:
                return
        if self._background:
            await self._race(asyncio.wait(self._background))
            for task in self._background:
                if isinstance(error := task.exception(), InjectionRefusedError):
                    raise error
        if activities:  # the stages of faults have been judged one by one
            await self.judge_since(began)

    async def judge_since(self, began: float) -> None:
        """Judge what has come of the method since this moment, in seconds since the Unix epoch."""
        self._context.enter(Phase.JUDGE)
        await self._race(self._steady_state.after_method(began))

    def stop_background(self) -> None:
        """Kill activities that still run in the background."""
        for task in self._background:
            task.cancel()
            if task.done() and not task.cancelled():
                task.exception()  # seen; asyncio need not complain that nobody looked

    async def background_ended(self) -> None:
        """Those that were killed are gone, and that is written down; in a few milliseconds, unless the kernel hangs."""
        if self._background:
            await asyncio.wait(self._background, timeout=_END_TIMEOUT_S)

    async def _ladder(self, number: int, step: FaultStep) -> bool:
        """The stages of one fault, each held and judged before the next. Whether all held."""
        targets: tuple[str, ...] = ()
        for stage in range(len(step.ladder)):
            fault = await self.inject_stage(number, stage, step, targets)
            targets = fault.targets
            if not await self.hold_stage(number, stage, step, fault):
                return False
        return True

    async def inject_stage(self, number: int, stage: int, step: FaultStep, already: tuple[str, ...]) -> JobResult:
        """Inject one stage, which grows from the targets that earlier ones hold. The plan, with all targets."""
        context = self._context
        radius = step.ladder[stage]
        context.record(
            StageStarted(
                at=context.now(),
                experiment=context.index,
                step=number,
                stage=stage,
                stages=len(step.ladder),
                radius=str(radius),
            )
        )
        context.enter(Phase.INJECT)
        arguments = context.prepared.arguments[number]
        stamp = Stamp(context.tools.run.name, f"{context.index}.{number}.{stage}", self._over_by())
        request = fault_request(step, radius, arguments, already, context.tools.seed + stage, stamp)
        return await self._inject(number, stage, step, request)

    def _over_by(self) -> float:
        """When this run will be over for certain, in seconds since the Unix epoch."""
        steps = [step for step in self._context.experiment.method if isinstance(step, FaultStep)]
        return round(self._context.now() + sum(step.hold_s * len(step.ladder) for step in steps) + _OVER_AFTER_S)

    async def hold_stage(self, number: int, stage: int, step: FaultStep, fault: JobResult) -> bool:
        """Hold one stage that has been injected, and judge it. Whether the steady state held."""
        context = self._context
        context.enter(Phase.HOLD)
        began = context.now()
        try:
            await self._race(asyncio.sleep(step.hold_s))
        finally:
            self.holds.append((began, context.now()))
        context.enter(Phase.JUDGE)
        samples = context.monitor.since(began)
        judgements, _ = await self._race(
            asyncio.gather(
                self._steady_state.judge(samples, "during", step=number, stage=stage),
                self._check_lasted(step, fault),
            )
        )
        held = all(judgement.outcome is Outcome.HELD for judgement in judgements)
        context.record(StageEnded(at=context.now(), experiment=context.index, step=number, stage=stage, held=held))
        return held

    async def _check_lasted(self, step: FaultStep, planned: JobResult) -> None:
        """Whether the fault is still there at the end of its stage: what held without one shows nothing."""
        if not planned.lasts:
            return
        check = Job(kind=JobKind.CHECK, fault=step.fault, plan=planned.plan)
        result = await self._context.tools.workers.run(check, PLAN_TIMEOUT_S)
        if not result.error and not result.left:
            title = f"“{step.name}” was gone before it was undone"
            detail = "something else ended it; what the signals said shows less than was meant"
            self._context.findings.append(Finding(FindingKind.FAULT_VANISHED, title, detail))

    async def _inject(self, number: int, stage: int, step: FaultStep, request: FaultRequest) -> JobResult:
        """Plan, write the plan to disk, inject. The plan, with the names of all targets that are hit now."""
        context, tools = self._context, self._context.tools
        await self._ensure_allowed(step)
        plan = Job(kind=JobKind.PLAN, fault=step.fault, request=request, system=tools.system)
        planned = await self._race(tools.workers.run(plan, PLAN_TIMEOUT_S))
        if planned.error:
            raise InjectionRefusedError(f"{step.name}: {planned.error}")
        if exceeds(planned.reach, tools.ceiling.share):
            raise InjectionRefusedError(f"{step.name}: {planned.reach} would be affected, and {tools.ceiling}")
        fault_id = f"{context.index}.{number}.{stage}"
        # Only now is it known how long its undo may take.
        if refusal := await self._race(tools.shared.refusal(planned.patience.undo_s)):
            raise InjectionRefusedError(f"{step.name}: {refusal}")
        self._write_ahead(fault_id, number, stage, step, planned)
        began = time.monotonic()
        if self.injected_at is None:
            self.injected_at = context.now()
        inject = Job(
            kind=JobKind.INJECT, fault=step.fault, plan=planned.plan, system=tools.system, ceiling=tools.ceiling
        )
        injected = await self._race(tools.workers.run(inject, planned.patience.inject_s))
        if injected.error:
            context.record(
                FaultRefused(at=context.now(), experiment=context.index, fault_id=fault_id, reason=injected.error)
            )
            raise InjectionRefusedError(f"{step.name}: {injected.error}")
        self.has_injected = True
        took_s = round(time.monotonic() - began, 4)
        context.record(FaultInjected(at=context.now(), experiment=context.index, fault_id=fault_id, took_s=took_s))
        return planned

    async def _ensure_allowed(self, step: FaultStep | Activity) -> None:
        """Hold the step to the policy as things are now. Raises InjectionRefusedError."""
        if refusal := await self._race(self._context.refusal(step, has_injected=self.has_injected)):
            raise InjectionRefusedError(refusal)

    def _write_ahead(self, fault_id: str, number: int, stage: int, step: FaultStep, planned: JobResult) -> None:
        """The plan and with it the undo are on disk when this returns; raises AbortedError when they cannot be."""
        context = self._context
        event = FaultPlanned(
            at=context.now(),
            experiment=context.index,
            fault_id=fault_id,
            fault=step.fault,
            targets=planned.targets,
            affected=planned.reach.affected,
            total=planned.reach.total,
            plan=planned.plan,
            by_hand=planned.by_hand,
            step=number,
            stage=stage,
            description=planned.description,
            unit=planned.reach.unit,
            undo_within_s=planned.patience.undo_s,
        )
        try:
            context.tools.recorder.record_or_raise(event, sync=True)
        except (JournalError, SecretInPlanError) as error:
            # Nothing was touched, so there is nothing to undo.
            context.tools.recorder.state.faults.pop(fault_id, None)
            context.tools.abort.ask("journal", str(error), experiment=context.index)
            raise AbortedError from error

    async def _activity(self, activity: Activity) -> bool:
        """One Chaos Toolkit activity. Whether the method may go on."""
        self._context.enter(Phase.INJECT)
        await self._ensure_allowed(activity)
        if activity.kind is ActivityKind.ACTION and self.injected_at is None:
            self.injected_at = self._context.now()
        if activity.background:
            # From now on it may be under way, whether it has succeeded or not.
            is_real = activity.kind is ActivityKind.ACTION and not self._context.experiment.pretends(activity)
            self.has_injected = self.has_injected or is_real
            self._background.append(asyncio.create_task(self._with_pauses(activity)))
            return True
        return await self._race(self._with_pauses(activity))

    async def _with_pauses(self, activity: Activity) -> bool:
        before_s, after_s = self._context.experiment.pauses(activity)
        await asyncio.sleep(before_s)
        if before_s and (refusal := await self._context.refusal(activity, has_injected=self.has_injected)):
            raise InjectionRefusedError(refusal)  # a policy may have more to say after a long pause
        ended = await self._context.perform(activity, "method", _ACTIVITY_TIMEOUT_S)
        await asyncio.sleep(after_s)
        if ended.interrupted:
            reason = f"{activity.name} asked for the end: {ended.error}"
            self._context.tools.abort.ask("activity", reason, experiment=self._context.index)
        is_action = activity.kind is ActivityKind.ACTION
        if ended.status != "succeeded":
            self._context.findings.append(failed_finding(activity.kind, activity.name, ended.error))
            # A later activity of a plain experiment may be what mends; the Chaos Toolkit goes on to it.
            return self._context.experiment.plain or not is_action
        self.has_injected = self.has_injected or is_action
        return True


type MethodFactory = Callable[[Context, SteadyState], Method]
