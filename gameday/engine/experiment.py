"""Runs one experiment: baseline → method → undo → recovery, and says what it found."""

import msgspec

from gameday.chaostoolkit.by_hand import by_hand
from gameday.common.files import write_atomically
from gameday.coverage import AlertWatch, Finding, judge_alerts, judge_runbooks
from gameday.engine.abort import AbortedError
from gameday.engine.context import Context, PreparedExperiment, Tools
from gameday.engine.method import InjectionRefusedError, Method, MethodFactory
from gameday.engine.monitor import Monitor
from gameday.engine.steady_state import SteadyState, say
from gameday.engine.undo import Rollbacks, run_rollbacks, undo_all
from gameday.journal.events import (
    By,
    ExperimentEnded,
    ExperimentStarted,
    FindingKind,
    FindingRaised,
    Outcome,
    Phase,
    RollbacksArmed,
    Verdict,
)
from gameday.journal.log import JournalError


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
            alerts=tools.alerts,
            watch=AlertWatch(prepared.index, prepared.experiment.alerts),
        )
        self._context = Context(prepared, tools, monitor)
        self._steady_state = SteadyState(self._context)
        self._method = method(self._context, self._steady_state)
        self._refused: str | None = None

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
            await self._method.run()
        except AbortedError:
            pass
        except InjectionRefusedError as error:
            self._refused = str(error)
        except Exception as error:  # noqa: BLE001 - a mistake of ours must not keep a fault in place
            abort.ask("failure", f"{type(error).__name__}: {error}", experiment=context.index)
        undone = await self._undo()
        undone_at = context.now()
        if not abort.is_hasty:
            await self._steady_state.recover(undone_at)
        return self._conclude(undone, undone_at)

    def _arm_rollbacks(self) -> str | None:
        """Write the rollbacks to disk before anything that they would undo is done. None, or why they could not be."""
        context, experiment = self._context, self._context.experiment
        if not experiment.rollbacks:
            return None
        definitions = tuple(activity.definition for activity in experiment.rollbacks)
        content = Rollbacks(definitions, experiment.configuration, experiment.secrets)
        names = tuple(activity.name for activity in experiment.rollbacks)
        try:
            # write_atomically makes files that only their owner may read.
            path = Rollbacks.path(context.tools.run.directory, context.index)
            write_atomically(path, msgspec.json.encode(content))
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
        context.enter(Phase.UNDO)
        undone = await undo_all(tools.recorder, tools.workers, By.RUNNER, experiment=context.index)
        if context.index in tools.recorder.state.rollbacks:
            directory = tools.run.directory
            undone = await run_rollbacks(tools.recorder, tools.workers, directory, context.index, By.RUNNER) and undone
        return undone

    def _conclude(self, undone: bool, undone_at: float) -> tuple[Verdict, str]:
        context = self._context
        findings = [*self._broken_findings(), *context.findings]
        if self._refused is None:
            findings += self._coverage_findings(undone_at)
        elif self._method.has_injected:
            title = "A later stage could not be injected"
            findings.append(Finding(FindingKind.ACTIVITY_FAILED, title, self._refused))
        for finding in findings:
            context.record(
                FindingRaised(
                    at=context.now(),
                    experiment=context.index,
                    kind=finding.kind,
                    title=finding.title,
                    detail=finding.detail,
                    weakness=finding.weakness,
                    suggested_owner=finding.suggested_owner,
                )
            )
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
        broken = {judgement.subject: judgement for judgement in self._steady_state.broken}
        if not broken:
            return ()
        experiment = self._context.experiment
        dark = all(judgement.outcome is Outcome.UNREADABLE for judgement in broken.values())
        how = "could not be judged" if dark else "did not hold"
        title = f"The steady state {how}: “{experiment.hypothesis.title or experiment.title}”"
        detail = "; ".join(map(say, broken.values()))
        owner = self._context.prepared.owner
        return (Finding(FindingKind.HYPOTHESIS_BROKEN, title, detail, suggested_owner=owner),)

    def _coverage_findings(self, undone_at: float) -> tuple[Finding, ...]:
        context = self._context
        runbooks = judge_runbooks(context.prepared.runbooks, context.prepared.owner)
        if context.tools.alerts is None or self._method.injected_at is None:
            return runbooks
        alerts = judge_alerts(
            context.experiment.alerts,
            context.monitor.observed,
            context.tools.rules,
            injected_at=self._method.injected_at,
            undone_at=undone_at,
            owner=context.prepared.owner,
            evidence=context.monitor.alert_evidence,
        )
        return (*alerts, *runbooks)
