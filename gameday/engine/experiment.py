"""Runs one experiment: baseline → (inject → hold → judge)* → undo → recovery, and says what it found."""

import asyncio
import time
from dataclasses import dataclass

import msgspec

from gameday.chaostoolkit.adapter import ActivityRequest
from gameday.common.files import write_atomically
from gameday.coverage import AlertSource, AlertWatch, Finding, judge_alerts, judge_runbooks
from gameday.engine.abort import Abort, AbortedError
from gameday.engine.jobs import Job, JobKind, JobResult, exceeds
from gameday.engine.judge import Sample, all_hold, baseline_of, judge_condition
from gameday.engine.monitor import Monitor
from gameday.engine.recorder import Recorder, SecretInPlanError
from gameday.engine.runs import Run
from gameday.engine.undo import Rollbacks, activity_ended, run_rollbacks, undo_all
from gameday.engine.workers import Workers, WorkersError
from gameday.faults.base import FaultRequest, Radius, System, Value
from gameday.journal.events import (
    ActivityStarted,
    AlertRuleInfo,
    BaselineRecorded,
    By,
    ExperimentEnded,
    ExperimentStarted,
    FaultInjected,
    FaultPlanned,
    FaultRefused,
    FindingKind,
    FindingRaised,
    HypothesisJudged,
    Judgement,
    Outcome,
    Phase,
    PhaseEntered,
    RecoveryMeasured,
    RollbacksArmed,
    RunbookInfo,
    StageEnded,
    StageStarted,
    Verdict,
)
from gameday.journal.log import JournalError
from gameday.signals import Query, SignalSource
from gameday.spec.model import Activity, ActivityKind, BlastRadius, Experiment, FaultStep

PLAN_TIMEOUT_S = 15.0
_INJECT_TIMEOUT_S = 30.0
_ACTIVITY_TIMEOUT_S = 3600.0
_PROBE_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Tools:
    """What every experiment of a session shares."""

    run: Run
    recorder: Recorder
    workers: Workers
    abort: Abort
    source: SignalSource | None
    alerts: AlertSource | None
    rules: tuple[AlertRuleInfo, ...]
    system: System
    ceiling: float | None  # the policy's largest blast radius, 0 to 1
    seed: int


@dataclass(frozen=True, slots=True)
class PreparedExperiment:
    """An experiment with all that was looked up for it before the session began."""

    index: int
    experiment: Experiment
    arguments: dict[int, dict[str, Value]]  # of fault steps, by their place in the method
    queries: tuple[Query, ...]
    runbooks: tuple[RunbookInfo, ...]
    owner: str | None


class InjectionRefusedError(Exception):
    """A fault could not be planned or injected; the message says why."""


def fault_request(
    step: FaultStep, radius: BlastRadius, arguments: dict[str, Value], already: tuple[str, ...], seed: int
) -> FaultRequest:
    """What a step asks of its fault, for one stage."""
    return FaultRequest(
        service=step.target.service,
        caller=step.target.caller,
        radius=Radius(radius.count, radius.share),
        arguments=arguments,
        already=already,
        seed=seed,
    )


def activity_request(experiment: Experiment, activity: Activity, *, tolerance: bool = False) -> ActivityRequest:
    """What the adapter is asked to run."""
    return ActivityRequest(
        definition=activity.definition,
        configuration=experiment.configuration,
        secrets=experiment.secrets,
        tolerance=tolerance,
    )


class ExperimentRunner:
    """One run of one experiment. Use once."""

    def __init__(self, prepared: PreparedExperiment, tools: Tools) -> None:
        self._index = prepared.index
        self._experiment = prepared.experiment
        self._prepared = prepared
        self._tools = tools
        self._record = tools.recorder.record
        self._now = tools.recorder.now
        self._monitor = Monitor(
            prepared.index,
            prepared.experiment,
            tools.recorder,
            tools.abort,
            source=tools.source,
            queries=prepared.queries,
            alerts=tools.alerts,
            watch=AlertWatch(prepared.index, prepared.experiment.alerts),
        )
        self._background: list[asyncio.Task[None]] = []
        self._began_method_at: float | None = None
        self._injected_at: float | None = None
        self._undone_at: float | None = None
        self._broken: list[Judgement] = []
        self._findings: list[Finding] = []
        self._refused: str | None = None
        self._has_injected = False

    async def run(self) -> Verdict:
        """All of it. Whatever happens, what was injected is undone before this returns."""
        self._record(ExperimentStarted(at=self._now(), experiment=self._index))
        self._monitor.start()
        try:
            verdict, reason = await self._run()
        finally:
            await self._monitor.stop()
        self._record(ExperimentEnded(at=self._now(), experiment=self._index, verdict=verdict, reason=reason), sync=True)
        return verdict

    async def _run(self) -> tuple[Verdict, str]:
        abort = self._tools.abort
        try:
            problem = await abort.race(self._baseline())
        except AbortedError:
            problem = None
        if abort.request:
            return Verdict.ABORTED, abort.request.reason
        if problem:
            return Verdict.NOT_STARTED, problem
        if not self._arm_rollbacks():
            return Verdict.NOT_STARTED, "the rollbacks could not be written to disk"
        self._monitor.arm()
        try:
            await self._method()
        except AbortedError:
            pass
        except InjectionRefusedError as error:
            self._refused = str(error)
        except Exception as error:  # noqa: BLE001 - a mistake of ours must not keep a fault in place
            abort.ask("failure", f"{type(error).__name__}: {error}", experiment=self._index)
        undone = await self._undo()
        if not self._tools.abort.is_hasty:
            await self._recover()
        return self._conclude(undone)

    # -- baseline

    async def _baseline(self) -> str | None:
        """Record the steady state. None when it holds, else why nothing may be injected."""
        self._enter(Phase.BASELINE)
        began = self._now()
        conditions = self._experiment.hypothesis.conditions
        if self._prepared.queries:
            await asyncio.sleep(self._experiment.timing.baseline_s)
        samples = self._monitor.since(began)
        self._monitor.baseline = baseline_of(samples)
        self._record(BaselineRecorded(at=self._now(), experiment=self._index, values=self._monitor.baseline))
        judgements = await self._judge(samples, "before")
        wanting = [judgement for judgement in judgements if judgement.outcome is not Outcome.HELD]
        unknown = [
            str(condition.signal)
            for condition in conditions
            if condition.relative and not self._monitor.baseline.get(str(condition.signal))
        ]
        if wanting or unknown:
            named = ", ".join(
                [_say(judgement) for judgement in wanting] + [f"{name} has no baseline" for name in unknown]
            )
            return f"the steady state does not hold before anything was injected: {named}"
        return None

    # -- method

    async def _method(self) -> None:
        self._began_method_at = self._now()
        activities = False
        for number, step in enumerate(self._experiment.method):
            if isinstance(step, FaultStep):
                if not await self._ladder(number, step):
                    return
            else:
                activities = True
                if not await self._activity(step):
                    return
        if self._background:
            await self._tools.abort.race(asyncio.wait(self._background))
        if activities and self._experiment.hypothesis.conditions:
            self._enter(Phase.JUDGE)
            samples = self._monitor.since(self._began_method_at)
            if samples:
                await self._tools.abort.race(self._judge(samples, "during"))

    async def _ladder(self, number: int, step: FaultStep) -> bool:
        """The stages of one fault, each held and judged before the next. Whether all held."""
        held_targets: tuple[str, ...] = ()
        for stage, radius in enumerate(step.ladder):
            self._record(
                StageStarted(
                    at=self._now(),
                    experiment=self._index,
                    step=number,
                    stage=stage,
                    stages=len(step.ladder),
                    radius=str(radius),
                )
            )
            self._enter(Phase.INJECT)
            request = fault_request(
                step, radius, self._prepared.arguments[number], held_targets, self._tools.seed + stage
            )
            held_targets = await self._inject(number, stage, step, request)
            self._enter(Phase.HOLD)
            began = self._now()
            await self._tools.abort.race(asyncio.sleep(step.hold_s))
            self._enter(Phase.JUDGE)
            judgements = await self._tools.abort.race(
                self._judge(self._monitor.since(began), "during", step=number, stage=stage)
            )
            held = all(judgement.outcome is Outcome.HELD for judgement in judgements)
            self._record(StageEnded(at=self._now(), experiment=self._index, step=number, stage=stage, held=held))
            if not held:
                return False
        return True

    async def _inject(self, number: int, stage: int, step: FaultStep, request: FaultRequest) -> tuple[str, ...]:
        """Plan, write the plan to disk, inject. The names of all targets that are hit now."""
        tools = self._tools
        plan = Job(kind=JobKind.PLAN, fault=step.fault, request=request, system=tools.system)
        planned = await tools.abort.race(tools.workers.run(plan, PLAN_TIMEOUT_S))
        if planned.error:
            raise InjectionRefusedError(f"{step.name}: {planned.error}")
        if exceeds(planned.reach, tools.ceiling):
            raise InjectionRefusedError(
                f"{step.name}: {planned.reach.affected} of {planned.reach.total} would be affected, and the policy's "
                f"ceiling is {(tools.ceiling or 0) * 100:g}%"
            )
        fault_id = f"{self._index}.{number}.{stage}"
        try:
            tools.recorder.record_or_raise(
                FaultPlanned(
                    at=self._now(),
                    experiment=self._index,
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
                ),
                sync=True,
            )
        except (JournalError, SecretInPlanError) as error:
            tools.recorder.state.faults.pop(fault_id, None)
            tools.abort.ask("journal", str(error), experiment=self._index)
            raise AbortedError from error
        began = time.monotonic()
        if self._injected_at is None:
            self._injected_at = self._now()
        inject = Job(
            kind=JobKind.INJECT, fault=step.fault, plan=planned.plan, system=tools.system, ceiling=tools.ceiling
        )
        injected = await tools.abort.race(tools.workers.run(inject, _INJECT_TIMEOUT_S))
        if injected.error:
            refused = FaultRefused(at=self._now(), experiment=self._index, fault_id=fault_id, reason=injected.error)
            self._record(refused)
            raise InjectionRefusedError(f"{step.name}: {injected.error}")
        took_s = round(time.monotonic() - began, 4)
        self._has_injected = True
        self._record(FaultInjected(at=self._now(), experiment=self._index, fault_id=fault_id, took_s=took_s))
        return planned.targets

    async def _activity(self, activity: Activity) -> bool:
        """One Chaos Toolkit activity of the method. Whether the method may go on."""
        self._enter(Phase.INJECT)
        if activity.kind is ActivityKind.ACTION and self._injected_at is None:
            self._injected_at = self._now()
        if activity.background:
            self._background.append(asyncio.create_task(self._in_background(activity)))
            return True
        if activity.pause_before_s:
            await self._tools.abort.race(asyncio.sleep(activity.pause_before_s))
        succeeded = await self._tools.abort.race(self._run_activity(activity, "method"))
        if activity.pause_after_s:
            await self._tools.abort.race(asyncio.sleep(activity.pause_after_s))
        return succeeded or activity.kind is ActivityKind.PROBE

    async def _in_background(self, activity: Activity) -> None:
        await asyncio.sleep(activity.pause_before_s)
        await self._run_activity(activity, "method")

    async def _run_activity(self, activity: Activity, section: str) -> bool:
        result = await self._perform(activity, section, _ACTIVITY_TIMEOUT_S)
        failed = result.outcome is None or result.outcome.status != "succeeded"
        if failed:
            error = result.error or (result.outcome.error if result.outcome else "")
            self._findings.append(
                Finding(
                    FindingKind.ACTIVITY_FAILED,
                    f"The {activity.kind} “{activity.name}” failed",
                    error,
                    # A probe in the method only looks; that it could not is no weakness of the service.
                    weakness=activity.kind is ActivityKind.ACTION,
                )
            )
        return not failed

    async def _perform(self, activity: Activity, section: str, timeout_s: float) -> JobResult:
        number = self._tools.recorder.state.activities
        self._record(
            ActivityStarted(
                at=self._now(),
                experiment=self._index,
                activity=number,
                name=activity.name,
                kind=activity.kind,
                section=section,
                background=activity.background,
            )
        )
        request = activity_request(self._experiment, activity, tolerance=section == "hypothesis")
        began = time.monotonic()
        try:
            result = await self._tools.workers.run(Job(kind=JobKind.ACTIVITY, activity=request), timeout_s)
        except WorkersError as error:
            result = JobResult(error=str(error))
        except asyncio.CancelledError:
            result = JobResult(error="the run was ended", killed=True)
            self._record(activity_ended(self._now(), self._index, number, result, time.monotonic() - began))
            raise
        self._record(activity_ended(self._now(), self._index, number, result, time.monotonic() - began))
        return result

    # -- judging

    async def _judge(
        self, samples: list[Sample], when: str, *, step: int | None = None, stage: int | None = None
    ) -> tuple[Judgement, ...]:
        """Judge every condition over these samples, and every probe now, all in parallel."""
        timing = self._experiment.timing
        conditions = [
            judge_condition(condition, samples, self._monitor.baseline, timing.interval_s)
            for condition in self._experiment.hypothesis.conditions
            if not (when == "before" and condition.relative)  # nothing to compare with yet
        ]
        probes = await asyncio.gather(*map(self._probe, self._experiment.hypothesis.probes))
        judgements = (*conditions, *probes)
        held = all(judgement.outcome is Outcome.HELD for judgement in judgements)
        self._record(
            HypothesisJudged(
                at=self._now(),
                experiment=self._index,
                when=when,
                held=held,
                judgements=judgements,
                step=step,
                stage=stage,
            )
        )
        if when == "during":
            self._broken += [judgement for judgement in judgements if judgement.outcome is not Outcome.HELD]
        return judgements

    async def _probe(self, probe: Activity) -> Judgement:
        result = await self._perform(probe, "hypothesis", _PROBE_TIMEOUT_S)
        outcome = result.outcome
        if outcome is None or outcome.status != "succeeded":
            detail = result.error or (outcome.error if outcome else "")
            return Judgement(
                subject=probe.name, condition="tolerance", outcome=Outcome.UNREADABLE, samples=1, detail=detail
            )
        met = outcome.tolerance_met is not False
        return Judgement(
            subject=probe.name,
            condition="tolerance",
            outcome=Outcome.HELD if met else Outcome.BROKEN,
            samples=1,
            readable=1,
            detail=outcome.output[:200],
        )

    # -- undo and recovery

    def _arm_rollbacks(self) -> bool:
        rollbacks = self._experiment.rollbacks
        if not rollbacks:
            return True
        content = Rollbacks(
            tuple(activity.definition for activity in rollbacks),
            self._experiment.configuration,
            self._experiment.secrets,
        )
        names = tuple(activity.name for activity in rollbacks)
        try:
            # write_atomically makes files that only their owner may read.
            write_atomically(Rollbacks.path(self._tools.run.directory, self._index), msgspec.json.encode(content))
            self._tools.recorder.record_or_raise(
                RollbacksArmed(at=self._now(), experiment=self._index, activities=names), sync=True
            )
        except (OSError, JournalError) as error:
            self._tools.abort.ask(
                "journal", f"the rollbacks cannot be written to disk: {error}", experiment=self._index
            )
            return False
        return True

    async def _undo(self) -> bool:
        """Undo all, uninterrupted. Nothing here waits for an activity or heeds an abort."""
        for task in self._background:
            task.cancel()
        self._monitor.disarm()
        self._enter(Phase.UNDO)
        tools = self._tools
        undone = await undo_all(tools.recorder, tools.workers, By.RUNNER, experiment=self._index)
        if self._index in tools.recorder.state.rollbacks:
            rolled_back = await run_rollbacks(
                tools.recorder, tools.workers, tools.run.directory, self._index, By.RUNNER
            )
            undone = undone and rolled_back
        self._undone_at = self._now()
        return undone

    async def _recover(self) -> None:
        """Wait until the signals are steady again and the alerts are silent, and measure how long that took."""
        assert self._undone_at is not None
        self._enter(Phase.RECOVERY)
        experiment, timing = self._experiment, self._experiment.timing
        deadline = self._undone_at + max(timing.recovery_s, experiment.recovers_within_s or 0.0)
        conditions = experiment.hypothesis.conditions
        steady_since: float | None = None if conditions else self._undone_at
        recovered = not conditions
        while self._now() < deadline and not self._tools.abort.is_hasty:
            if recovered and not self._monitor.has_firing_alerts:
                break
            sample = await self._monitor.next_sample(min(1.0, timing.interval_s * 2) if not conditions else 5.0)
            if sample is None or sample.at < self._undone_at or recovered:
                continue
            if all_hold(conditions, sample, self._monitor.baseline):
                steady_since = sample.at if steady_since is None else steady_since
                recovered = sample.at - steady_since + timing.interval_s >= timing.steady_s
            else:
                steady_since = None
        if conditions and not self._tools.abort.is_hasty:
            seconds = round(max(0.0, (steady_since or 0) - self._undone_at), 3) if recovered else None
            self._record(
                RecoveryMeasured(
                    at=self._now(),
                    experiment=self._index,
                    recovered=recovered,
                    seconds=seconds,
                    within_s=experiment.recovers_within_s,
                )
            )
            self._judge_recovery(recovered, seconds)
        window = self._monitor.since(
            (steady_since if recovered and steady_since else self._now() - timing.steady_s) - 0.001
        )
        judgements = await self._judge(window, "after")
        broken = [j for j in judgements if j.outcome is not Outcome.HELD]
        if recovered and broken:
            self._findings.append(
                Finding(
                    FindingKind.NOT_RECOVERED,
                    "The steady state does not hold after the undo",
                    "; ".join(map(_say, broken)),
                    suggested_owner=self._prepared.owner,
                )
            )

    def _judge_recovery(self, recovered: bool, seconds: float | None) -> None:
        within = self._experiment.recovers_within_s
        waited = max(self._experiment.timing.recovery_s, within or 0.0)
        if not recovered:
            self._findings.append(
                Finding(
                    FindingKind.NOT_RECOVERED,
                    f"The steady state was not back {waited:g} s after the undo",
                    suggested_owner=self._prepared.owner,
                )
            )
        elif within is not None and seconds is not None and seconds > within:
            self._findings.append(
                Finding(
                    FindingKind.RECOVERED_LATE,
                    f"Recovery took {seconds:.1f} s, and was expected within {within:g} s",
                    suggested_owner=self._prepared.owner,
                )
            )

    # -- the end

    def _conclude(self, undone: bool) -> tuple[Verdict, str]:
        if self._broken:
            worst = list({judgement.subject: judgement for judgement in self._broken}.values())
            self._findings.insert(
                0,
                Finding(
                    FindingKind.HYPOTHESIS_BROKEN,
                    f"The steady state did not hold: “{self._experiment.hypothesis.title or self._experiment.title}”",
                    "; ".join(map(_say, worst)),
                    suggested_owner=self._prepared.owner,
                ),
            )
        if self._refused is not None and self._has_injected:
            title = "A later stage could not be injected"
            self._findings.append(Finding(FindingKind.ACTIVITY_FAILED, title, self._refused))
        elif self._refused is None:
            self._findings += self._coverage_findings()
        for finding in self._findings:
            self._raise(finding)
        request = self._tools.abort.request
        if not undone:
            return Verdict.UNDO_FAILED, "an undo failed or could not be verified"
        if request is not None:
            return Verdict.ABORTED, request.reason
        if self._refused is not None and not self._has_injected:
            return Verdict.NOT_STARTED, self._refused
        weaknesses = [finding for finding in self._findings if finding.weakness]
        if weaknesses:
            return Verdict.WEAKNESS, weaknesses[0].title
        return Verdict.HELD, ""

    def _coverage_findings(self) -> tuple[Finding, ...]:
        runbooks = judge_runbooks(self._prepared.runbooks, self._prepared.owner)
        if self._tools.alerts is None or self._injected_at is None:
            return runbooks
        alerts = judge_alerts(
            self._experiment.alerts,
            self._monitor.observed,
            self._tools.rules,
            injected_at=self._injected_at,
            undone_at=self._undone_at or self._now(),
            owner=self._prepared.owner,
        )
        return (*alerts, *runbooks)

    def _raise(self, finding: Finding) -> None:
        self._record(
            FindingRaised(
                at=self._now(),
                experiment=self._index,
                kind=finding.kind,
                title=finding.title,
                detail=finding.detail,
                weakness=finding.weakness,
                suggested_owner=finding.suggested_owner,
            )
        )

    def _enter(self, phase: Phase) -> None:
        self._record(PhaseEntered(at=self._now(), phase=phase, experiment=self._index))


def _say(judgement: Judgement) -> str:
    if judgement.outcome is Outcome.UNREADABLE:
        return f"{judgement.subject} could not be read" + (f" ({judgement.detail})" if judgement.detail else "")
    if judgement.condition == "tolerance":
        return f"{judgement.subject} is outside its tolerance ({judgement.detail})"
    return f"{judgement.subject} was not {judgement.condition} for {judgement.breached_for_s:.1f} s"
