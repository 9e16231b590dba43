"""Everything that can be found out before the first injection, without changing anything."""

from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

import msgspec

from gameday.chaostoolkit.cluster import contexts_of
from gameday.chaostoolkit.variables import missing_variables
from gameday.coverage import examine_runbook_urls
from gameday.engine.context import PreparedExperiment
from gameday.engine.jobs import Ceiling, Job, JobKind, JobResult, exceeds
from gameday.engine.method import PLAN_TIMEOUT_S, fault_request
from gameday.engine.runs import unfinished_runs
from gameday.engine.workers import Workers, WorkersError
from gameday.faults.base import Stamp, System
from gameday.journal.events import CheckOutcome, ReadingState, RunbookInfo
from gameday.signals import SignalSource
from gameday.spec.model import Environment, FaultStep, RollbackStrategy


class Check(msgspec.Struct, frozen=True):
    """One thing that was looked at. A failure keeps the session from starting."""

    name: str
    outcome: CheckOutcome
    detail: str
    experiment: int | None = None


class PlannedStage(msgspec.Struct, frozen=True):
    """What one stage of one fault would hit now."""

    experiment: int
    step: int
    stage: int
    radius: str
    result: JobResult


def weigh(checks: Sequence[Check], *, is_unattended: bool) -> tuple[Check, ...]:
    """As they count: where nobody is there to judge a warning, it is a failure."""
    why = " (a warning, which is a failure where nobody is there to judge it)"
    return tuple(
        msgspec.structs.replace(check, outcome=CheckOutcome.FAILURE, detail=check.detail + why)
        if is_unattended and check.outcome is CheckOutcome.WARNING
        else check
        for check in checks
    )


def check_stop_switch(reason: str | None) -> Check:
    """Whether somebody has said that nothing may run."""
    if reason is None:
        return Check("stop switch", CheckOutcome.OK, "released")
    return Check("stop switch", CheckOutcome.FAILURE, f"{reason}; `gameday stop --release` lets runs start again")


def check_others(root: Path, own: str = "") -> tuple[Check, ...]:
    """No earlier run of the project may have left anything in place. `own` is the name of the run that asks."""
    checks = []
    for run, state in unfinished_runs(root):
        if run.name != own:
            names = [fault.description or fault.fault for fault in state.faults.values()]
            left = ", ".join(names + ["rollbacks"] * bool(state.rollbacks))
            detail = f"run {run.name} left {left}: undo it first, with `gameday recover {run.name}`"
            checks.append(Check("earlier runs", CheckOutcome.FAILURE, detail))
    return tuple(checks) or (Check("earlier runs", CheckOutcome.OK, "left nothing behind"),)


def _check_contexts(prepared: PreparedExperiment, environment: Environment) -> Iterator[Check]:
    """An extension follows the experiment's secrets before it heeds the environment: they must not lead elsewhere."""
    ours = [*filter(None, [environment.cluster]), *(reference for _, reference in environment.clusters)]
    allowed = [reference.context for reference in ours]
    for context in contexts_of(prepared.experiment.secrets) if ours else ():
        if context not in allowed:
            detail = (
                f"the experiment's secrets lead to the context `{context}`, which `{environment.name}` does not name"
            )
            yield Check("cluster", CheckOutcome.FAILURE, detail, prepared.index)


def check_sources(prepared: PreparedExperiment, environment: Environment) -> tuple[Check, ...]:
    """Whether the environment can be asked for what the experiment wants to know."""
    experiment = prepared.experiment
    checks = []
    if experiment.hypothesis.conditions and environment.signals is None:
        detail = f"the environment `{environment.name}` has no signals"
        checks.append(Check("signals", CheckOutcome.FAILURE, detail, prepared.index))
    if experiment.alerts and environment.alerts is None:
        detail = f"the environment `{environment.name}` has no alerts"
        checks.append(Check("alerts", CheckOutcome.FAILURE, detail, prepared.index))
    if missing := missing_variables(experiment.configuration, experiment.secrets):
        detail = f"not set in the environment: {', '.join(missing)}"
        checks.append(Check("variables", CheckOutcome.FAILURE, detail, prepared.index))
    checks += _check_contexts(prepared, environment)
    checks += [Check("file", CheckOutcome.WARNING, str(warning), prepared.index) for warning in experiment.warnings]
    if experiment.rollbacks and experiment.runtime.rollbacks is RollbackStrategy.NEVER:
        detail = "are not run, as the experiment's runtime says: what it does stays, whatever happens"
        checks.append(Check("rollbacks", CheckOutcome.WARNING, detail, prepared.index))
    if prepared.controls:
        checks.append(_check_controls(prepared))
    return tuple(checks)


def _check_controls(prepared: PreparedExperiment) -> Check:
    """Only the Toolkit itself can honour controls, and only where all of an experiment is its own."""
    experiment, names = prepared.experiment, ", ".join(prepared.controls)
    if not experiment.plain:
        detail = f"not applied: {names}; controls are honoured in plain experiments only"
        return Check("controls", CheckOutcome.WARNING, detail, prepared.index)
    activities = (*experiment.hypothesis.probes, *experiment.method, *experiment.rollbacks)
    dry = [activity.name for activity in activities if not isinstance(activity, FaultStep) and activity.dry]
    if dry:
        detail = f"the Toolkit, which runs experiments with controls, does not heed `dry` at {', '.join(dry)}"
        return Check(
            "controls", CheckOutcome.FAILURE, f"{detail}: it would run; give `dry` to all of it", prepared.index
        )
    return Check("controls", CheckOutcome.OK, f"run by the Toolkit itself, with {names}", prepared.index)


async def check_signals(prepared: PreparedExperiment, source: SignalSource | None) -> tuple[Check, ...]:
    """Whether each signal can be read now."""
    if source is None or not prepared.queries:
        return ()
    checks = []
    for reading in await source.read(prepared.queries):
        if reading.state is ReadingState.OK:
            outcome, detail = CheckOutcome.OK, "readable"
        else:
            # A service may be idle until its load starts; the baseline decides. Out of reach is another matter.
            unreachable = reading.state is ReadingState.UNREACHABLE
            outcome = CheckOutcome.FAILURE if unreachable else CheckOutcome.WARNING
            detail = f"{reading.state}" + (f": {reading.detail}" if reading.detail else "")
        checks.append(Check(f"signal {reading.signal}", outcome, detail, prepared.index))
    return tuple(checks)


async def plan_stages(
    prepared: PreparedExperiment, workers: Workers, system: System, seed: int
) -> tuple[PlannedStage, ...]:
    """What each stage of each fault would hit as things are now; nothing is changed."""
    stages = []
    for number, step in enumerate(prepared.experiment.method):
        if not isinstance(step, FaultStep):
            continue
        for stage, radius in enumerate(step.ladder):
            request = fault_request(
                step, radius, prepared.arguments[number], (), seed + stage, _stamp(prepared.index, number, stage)
            )
            job = Job(kind=JobKind.PLAN, fault=step.fault, request=request, system=system, examine=True)
            try:
                result = await workers.run(job, PLAN_TIMEOUT_S)
            except WorkersError as error:
                result = JobResult(error=str(error))
            stages.append(PlannedStage(prepared.index, number, stage, str(radius), result))
    return tuple(stages)


def _stamp(experiment: int, step: int, stage: int) -> Stamp:
    """As the stage's in a run: what is done by hand has it in its words."""
    return Stamp(fault_id=f"{experiment}.{step}.{stage}")


def check_stages(prepared: PreparedExperiment, stages: Sequence[PlannedStage], ceiling: Ceiling) -> tuple[Check, ...]:
    """Whether each stage can be planned, and stays below the policy's ceiling."""
    checks = []
    timing, conditions = prepared.experiment.timing, prepared.experiment.hypothesis.conditions
    for planned in stages:
        step = prepared.experiment.method[planned.step]
        assert isinstance(step, FaultStep)
        name = f"{step.name}, stage {planned.stage + 1} ({planned.radius})"
        reach = planned.result.reach
        if planned.result.error:
            outcome, detail = CheckOutcome.FAILURE, planned.result.error
        elif exceeds(reach, ceiling.share):
            outcome, detail = CheckOutcome.FAILURE, f"{reach} would be affected; {ceiling}"
        elif conditions and step.hold_s < 2 * timing.interval_s:
            outcome = CheckOutcome.WARNING
            detail = f"held for {step.hold_s:g} s and sampled each {timing.interval_s:g} s: too short to be judged"
        else:
            outcome, detail = CheckOutcome.OK, planned.result.description
        checks.append(Check(name, outcome, detail, prepared.index))
        checks += [
            Check(f"{name}, {remark.check}", remark.outcome, remark.detail, prepared.index)
            for remark in planned.result.examination.remarks
        ]
    return _without_repetition(checks)


def _without_repetition(checks: Sequence[Check]) -> tuple[Check, ...]:
    """What is wrong with one stage is often wrong with the next: it is said once."""
    kept: dict[str, Check] = {}
    for check in checks:
        kept.setdefault(
            check.detail if check.outcome is CheckOutcome.FAILURE else f"{check.name}: {check.detail}", check
        )
    return tuple(kept.values())


async def examine_runbooks(prepared: Sequence[PreparedExperiment], today: date) -> tuple[PreparedExperiment, ...]:
    """With what lies at the URLs by which they name runbooks, each asked for once, within a few seconds."""
    found = await examine_runbook_urls([book.name for item in prepared for book in item.runbooks], today)
    return tuple(
        msgspec.structs.replace(item, runbooks=tuple(found.get(book.name, book) for book in item.runbooks))
        for item in prepared
    )


def check_runbooks(runbooks: Sequence[RunbookInfo], experiment: int) -> tuple[Check, ...]:
    """Whether each runbook that is named is there and whole. What is wanting is a finding later, not a failure now."""
    checks = []
    for runbook in runbooks:
        wrong, well = [], f"found: {runbook.detail}" if runbook.detail else "found"
        if runbook.found is None:
            wrong.append(f"cannot be read: {runbook.detail}" if runbook.detail else "has not been looked at")
        elif not runbook.found:
            wrong.append("there is no such file")
        if runbook.missing_sections:
            wrong.append(f"lacks {', '.join(runbook.missing_sections)}")
        if runbook.stale:
            wrong.append(f"last reviewed {runbook.reviewed}")
        outcome = CheckOutcome.WARNING if wrong else CheckOutcome.OK
        checks.append(Check(f"runbook {runbook.name}", outcome, "; ".join(wrong) or well, experiment))
    return tuple(checks)
