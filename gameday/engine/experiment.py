"""Runs one experiment: baseline → method → undo → recovery, and says what it found."""

import asyncio
from typing import TYPE_CHECKING

from gameday.chaostoolkit.adapter import ActivityRequest
from gameday.chaostoolkit.by_hand import by_hand
from gameday.chaostoolkit.variables import dynamic_names, known_secrets
from gameday.coverage import AlertWatch, Finding, judge_alerts, judge_runbooks, judge_steps
from gameday.coverage.dashboards.judging import judge_dashboards
from gameday.engine.abort import AbortedError
from gameday.engine.context import Context, PreparedExperiment, Tools
from gameday.engine.findings import broken_finding, record_findings
from gameday.engine.jobs import Job, JobKind
from gameday.engine.method import InjectionRefusedError, Method, MethodFactory
from gameday.engine.monitor import Monitor
from gameday.engine.steady_state import SteadyState
from gameday.engine.undo import Rollbacks, call_off_rollbacks, run_rollbacks, undo_all
from gameday.engine.workers import WorkersError
from gameday.journal.events import (
    By,
    DashboardExamined,
    DashboardInfo,
    ExperimentEnded,
    ExperimentStarted,
    FindingKind,
    Phase,
    RollbacksArmed,
    Verdict,
)
from gameday.journal.log import JournalError
from gameday.spec.model import RollbackStrategy

if TYPE_CHECKING:
    from gameday.engine.supervised import Supervised

_CONFIGURE_TIMEOUT_S = 300.0
_HASTE_POLL_S = 0.1


def _supervised(context: Context) -> "Supervised":
    from gameday.engine.supervised import Supervised  # few runs need it

    return Supervised(context)


class ExperimentRunner:
    """One run of one experiment. Use once."""

    def __init__(self, prepared: PreparedExperiment, tools: Tools, method: MethodFactory = Method) -> None:
        monitor = Monitor(
            prepared.index,
            prepared.experiment,
            tools.recorder,
            tools.abort,
            source=tools.source,
            queries=prepared.queries,
            alerts=tools.coverage.alerting.source,
            watch=AlertWatch(prepared.index, prepared.experiment.alerts),
            acknowledgements=tools.coverage.acknowledgements(prepared),
        )
        self._context = Context(prepared, tools, monitor, prepared.experiment.configuration)
        self._steady_state = SteadyState(self._context)
        self._method = method(self._context, self._steady_state)
        self._supervised = _supervised(self._context) if prepared.is_supervised else None
        self._refused: str | None = None
        self._dashboards: tuple[DashboardInfo, ...] = ()  # as they were with the fault in place

    async def run(self) -> Verdict:
        """All of it. Whatever happens, what was injected is undone before this returns."""
        context = self._context
        context.record(ExperimentStarted(at=context.now(), experiment=context.index))
        context.monitor.start()
        try:
            verdict, reason = await self._run()
        finally:
            await context.monitor.stop()
        context.tools.recorder.record(
            ExperimentEnded(at=context.now(), experiment=context.index, verdict=verdict, reason=reason), sync=True
        )
        return verdict

    async def _run(self) -> tuple[Verdict, str]:
        context, abort = self._context, self._context.tools.abort
        try:
            problem = await abort.race(self._configure())
            if problem is None and self._supervised is None:
                problem = await abort.race(self._steady_state.baseline())
            if problem is None:
                problem = self._arm_rollbacks()
        except AbortedError:
            problem = None
        if abort.request:
            return Verdict.ABORTED, abort.request.reason
        if problem:
            return Verdict.NOT_STARTED, problem
        context.monitor.arm()
        try:
            problem = await self._run_method()
        except AbortedError:
            pass
        except InjectionRefusedError as error:
            self._refused = str(error)
        except Exception as error:  # noqa: BLE001 - a mistake of ours must not keep a fault in place
            abort.ask("failure", f"{type(error).__name__}: {error}", experiment=context.index)
        if problem:
            self._call_off_rollbacks()
            return Verdict.NOT_STARTED, problem
        undone = await self._undo()
        undone_at = context.now()
        if not abort.is_hasty and self._supervised is None:
            await self._steady_state.recover(undone_at)
        await self._look_at_dashboards(undone_at)
        return self._conclude(undone, undone_at)

    async def _configure(self) -> str | None:
        """Ask the probes in the configuration, once: later they would see the faults. None, or why it is wanting."""
        context, experiment = self._context, self._context.experiment
        if not dynamic_names(experiment.configuration):
            return None
        request = ActivityRequest({}, experiment.configuration, experiment.secrets, cluster=context.activity_cluster)
        try:
            result = await context.tools.workers.run(
                Job(kind=JobKind.CONFIGURE, activity=request), _CONFIGURE_TIMEOUT_S
            )
        except WorkersError as error:
            return str(error)
        if result.configuration is None:
            return result.error
        context.configuration = result.configuration
        context.tools.recorder.learn_secrets(known_secrets(result.configuration, {}))
        return None

    async def _run_method(self) -> str | None:
        """Ours, or the Toolkit's own run of all of it. None, or why it was never begun."""
        if self._supervised is None:
            await self._method_watched()
            return None
        tally = self._supervised.tally
        try:
            return await self._supervised.run()
        finally:
            self._steady_state.broken += tally.broken
            self._context.findings += tally.findings
            self._method.injected_at, self._method.has_injected = tally.injected_at, tally.has_injected

    async def _method_watched(self) -> None:
        """The method, while its hypothesis is judged again and again where the experiment says so."""
        if not self._context.experiment.runtime.hypothesis.judges_during:
            await self._method.run()
            return
        method = asyncio.create_task(self._method.run())
        watch = asyncio.create_task(self._steady_state.watch())
        try:
            await asyncio.wait({method, watch}, return_when=asyncio.FIRST_COMPLETED)
            if method.done():
                method.result()
            else:
                watch.result()
        finally:
            for task in (method, watch):
                task.cancel()
            await asyncio.gather(method, watch, return_exceptions=True)

    def _arm_rollbacks(self) -> str | None:
        """Write the rollbacks to disk before anything that they would undo is done. None, or why they could not be."""
        context, experiment = self._context, self._context.experiment
        rollbacks = [activity for activity in experiment.rollbacks if not experiment.pretends(activity)]
        if not rollbacks or experiment.runtime.rollbacks is RollbackStrategy.NEVER:
            return None
        definitions = tuple(activity.definition for activity in rollbacks)
        content = Rollbacks(definitions, context.configuration, experiment.secrets, context.tools.system.cluster)
        names = tuple(activity.name for activity in rollbacks)
        try:
            content.save(context.tools.run.directory, context.index)
            context.tools.recorder.record_or_raise(
                RollbacksArmed(
                    at=context.now(),
                    experiment=context.index,
                    activities=names,
                    by_hand=tuple(map(by_hand, definitions)),
                ),
                sync=True,
            )
        except (OSError, JournalError) as error:
            return f"the rollbacks cannot be written to disk: {error}"
        return None

    async def _undo(self) -> bool:
        """Undo all, uninterrupted: nothing here waits for an activity or heeds an abort. Whether it is verified."""
        context, tools = self._context, self._context.tools
        self._method.stop_background()
        context.monitor.disarm()
        phase = tools.recorder.state.phase
        if phase is None or phase.phase is not Phase.UNDO:  # the Toolkit may have come to it by itself
            context.enter(Phase.UNDO)
        if self._supervised is not None and context.index in tools.recorder.state.rollbacks:
            self._supervised.settle_rollbacks()
        undone = await undo_all(tools.recorder, tools.workers, By.RUNNER, experiment=context.index)
        await self._method.background_ended()  # a rollback must not run beside what it takes back
        if context.index in tools.recorder.state.rollbacks and self._wants_rollbacks():
            directory = tools.run.directory
            undone = await run_rollbacks(tools.recorder, tools.workers, directory, context.index, By.RUNNER) and undone
        return undone

    def _wants_rollbacks(self) -> bool:
        """Always, but for an experiment that asks for them only when it has deviated; then they are called off."""
        context = self._context
        if (
            context.experiment.runtime.rollbacks is not RollbackStrategy.DEVIATED
            or self._steady_state.broken
            or context.tools.abort.request
        ):
            return True
        self._call_off_rollbacks()
        return False

    def _call_off_rollbacks(self) -> None:
        tools = self._context.tools
        call_off_rollbacks(tools.recorder, tools.run.directory, self._context.index)

    def _conclude(self, undone: bool, undone_at: float) -> tuple[Verdict, str]:
        context = self._context
        findings = [*self._broken_findings(), *context.findings]
        if self._refused is None:
            findings += self._coverage_findings(undone_at)
        elif self._method.has_injected:
            title = "A later stage could not be injected"
            findings.append(Finding(FindingKind.ACTIVITY_FAILED, title, self._refused))
        findings += judge_steps(context.tools.recorder.state.complaints, context.prepared.owner)
        record_findings(context.tools.recorder, context.index, findings)
        request = context.tools.abort.request
        weaknesses = [finding for finding in findings if finding.weakness]
        if not undone:
            return Verdict.UNDO_FAILED, "an undo failed or could not be verified"
        if request is not None:
            return Verdict.ABORTED, request.reason
        if self._refused is not None and not self._method.has_injected:
            return Verdict.NOT_STARTED, self._refused
        return (Verdict.WEAKNESS, weaknesses[0].title) if weaknesses else (Verdict.HELD, "")

    def _broken_findings(self) -> tuple[Finding, ...]:
        """At most one, naming each signal once."""
        hypothesis = self._context.experiment.hypothesis.title or self._context.experiment.title
        finding = broken_finding(self._steady_state.broken, hypothesis, self._context.prepared.owner)
        return (finding,) if finding else ()

    async def _look_at_dashboards(self, undone_at: float) -> None:
        """Once the time of the fault is over: what did they show of it? Somebody in a hurry is not kept waiting."""
        context, injected_at = self._context, self._method.injected_at
        before = context.tools.coverage.before.get(context.index)
        if injected_at is None or before is None or not before.dashboards:
            return
        look = context.tools.coverage.look_again(context.prepared, injected_at, undone_at, context.now())
        looking = asyncio.create_task(look)
        while not looking.done() and not context.tools.abort.is_hasty:
            await asyncio.wait({looking}, timeout=_HASTE_POLL_S)
        if not looking.done():
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
            return
        self._dashboards = looking.result()
        for dashboard in self._dashboards:
            context.record(
                DashboardExamined(at=context.now(), experiment=context.index, dashboard=dashboard, after=True)
            )

    def _coverage_findings(self, undone_at: float) -> tuple[Finding, ...]:
        context, owner = self._context, self._context.prepared.owner
        findings = list(judge_runbooks(context.prepared.runbooks, owner))
        if before := context.tools.coverage.before.get(context.index):
            was_broken = bool(self._steady_state.broken)
            findings += judge_dashboards(before.dashboards, self._dashboards, was_broken=was_broken, owner=owner)
            if before.on_call:
                from gameday.coverage.on_call.judging import judge_on_call

                findings += judge_on_call(before.on_call, context.now(), owner)
        alerting = context.tools.coverage.alerting
        if alerting.source is None or self._method.injected_at is None:
            return tuple(findings)
        alerts = judge_alerts(
            context.experiment.alerts,
            context.monitor.observed,
            alerting.rules,
            injected_at=self._method.injected_at,
            undone_at=undone_at,
            owner=owner,
            evidence=context.monitor.alert_evidence,
            examined=before.alerts if before else (),
            holds=self._method.holds,
            is_cut_short=context.tools.abort.request is not None,
        )
        return (*alerts, *findings)
