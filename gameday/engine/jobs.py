"""What a child process can be asked to do: plan, inject, undo or check a fault, run or validate an activity, ask the
probes of a configuration, or run a whole experiment through the Chaos Toolkit."""

import time
from enum import StrEnum
from pathlib import Path

import msgspec

from gameday.chaostoolkit.adapter import (
    ActivityOutcome,
    ActivityRequest,
    ExperimentOutcome,
    ExperimentRequest,
    run_activity,
    validate_activity,
)
from gameday.common.codec import decode, encode
from gameday.common.json import JsonObject
from gameday.faults.base import ConflictError, Examination, FaultError, FaultRequest, Patience, Reach, Remark, System
from gameday.faults.registry import load_fault
from gameday.journal.events import CheckOutcome
from gameday.kubernetes.moment import one_moment
from gameday.spec.units import format_percentage

_LATE_S = 10.0  # what has failed for so long most likely would go on to, and the job's own time-out would hide why


class JobKind(StrEnum):
    PLAN = "plan"
    INJECT = "inject"
    CHECK = "check"
    UNDO = "undo"
    ACTIVITY = "activity"
    CONFIGURE = "configure"
    VALIDATE = "validate"
    EXPERIMENT = "experiment"


class Ceiling(msgspec.Struct, frozen=True):
    """The largest share that a fault may touch, 0 to 1, and where the policy says so. `share` is None: any."""

    share: float | None = None
    place: str = ""

    def __str__(self) -> str:
        return f"the policy's ceiling is {format_percentage(self.share or 0)}{self.place}"


class Job(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing to do. `ceiling`: the policy's, where there is one. `children`: where the child says that it runs.
    `examine`: with a plan, look more closely than it does."""

    kind: JobKind
    fault: str = ""
    plan: msgspec.Raw = msgspec.Raw()
    request: FaultRequest | None = None
    system: System = System()
    ceiling: Ceiling | None = None
    activity: ActivityRequest | None = None
    experiment: ExperimentRequest | None = None
    definitions: tuple[JsonObject, ...] = ()
    children: Path | None = None
    examine: bool = False


class JobResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What came of it. `error` is empty when it went well; `left` is what is not as it was: after an undo what is still
    broken, at a check what the fault holds. `lasts`: the fault's own, with its plan. `complaints`: of each definition.
    """

    error: str = ""
    killed: bool = False
    plan: msgspec.Raw = msgspec.Raw()
    targets: tuple[str, ...] = ()
    reach: Reach = Reach(0, 0)
    by_hand: str = ""
    description: str = ""
    lasts: bool = True
    patience: Patience = Patience()
    examination: Examination = Examination()
    left: tuple[str, ...] = ()
    is_final: bool = False  # an undo that need not be tried again
    outcome: ActivityOutcome | None = None
    experiment: ExperimentOutcome | None = None
    configuration: JsonObject | None = None
    complaints: tuple[tuple[str, ...], ...] = ()


def exceeds(reach: Reach, ceiling: float | None) -> bool:
    """Whether the reach is more than the ceiling allows; exact, so that 3 of 10 is not above 30 %."""
    if ceiling is None:
        return False
    from fractions import Fraction

    return reach.affected > Fraction(repr(ceiling)) * reach.total


def perform(job: Job) -> JobResult:
    """Do the job, in this process. Raises nothing, whatever a fault or an activity does short of ending the process."""
    try:
        match job.kind:
            case JobKind.PLAN:
                with one_moment():
                    return _plan(job)
            case JobKind.INJECT:
                return _inject(job)
            case JobKind.CHECK:
                return _check(job)
            case JobKind.UNDO:
                return _undo(job)
            case JobKind.ACTIVITY:
                return _activity(job)
            case JobKind.CONFIGURE:
                return _configure(job)
            case JobKind.VALIDATE:
                return JobResult(complaints=tuple(map(validate_activity, job.definitions)))
            case JobKind.EXPERIMENT:
                return _experiment(job)
    except FaultError as error:
        return JobResult(error=str(error))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - third-party code may raise anything
        return JobResult(error=f"{type(error).__name__}: {error}")


def _plan(job: Job) -> JobResult:
    assert job.request is not None
    fault = load_fault(job.fault)
    plan, error, examination, began = None, "", Examination(), time.monotonic()
    try:
        plan = fault.plan(job.request, job.system)
        reach = fault.reach(plan, job.system)
    except FaultError as failed:
        plan, error = None, str(failed)
    if job.examine and not (error and _is_late(began)):
        try:
            examination = fault.examine(job.request, plan, job.system)
        except FaultError as failed:
            if plan is not None:  # else it has been said
                remark = Remark("examination", CheckOutcome.FAILURE, str(failed))
                examination = Examination(remarks=(remark,))
    if plan is None:
        return JobResult(error=error, examination=examination)
    return JobResult(
        plan=msgspec.Raw(encode(plan)),
        targets=fault.targets(plan),
        reach=reach,
        by_hand=fault.by_hand(plan),
        description=fault.describe(plan),
        lasts=fault.lasts,
        patience=fault.patience(plan),
        examination=examination,
    )


def _inject(job: Job) -> JobResult:
    fault = load_fault(job.fault)
    plan = decode(job.plan, fault.plan_type)
    reach = fault.reach(plan, job.system)
    if job.ceiling and exceeds(reach, job.ceiling.share):
        return JobResult(error=f"refused: {reach} would be affected now, and {job.ceiling}", reach=reach)
    fault.inject(plan)
    return JobResult(reach=reach)


def _check(job: Job) -> JobResult:
    fault = load_fault(job.fault)
    return JobResult(left=fault.verify(decode(job.plan, fault.plan_type)))


def _undo(job: Job) -> JobResult:
    fault = load_fault(job.fault)
    plan = decode(job.plan, fault.plan_type)
    error, is_final, began = "", False, time.monotonic()
    try:
        fault.undo(plan)
    except FaultError as failed:
        error, is_final = str(failed), isinstance(failed, ConflictError)
        if _is_late(began):
            return JobResult(error=error, is_final=is_final)  # the next attempt looks again
    # Even when the undo complains, what counts is how the system is now.
    try:
        left = fault.verify(plan)
    except ConflictError as failed:
        return JobResult(error=str(failed), is_final=True)
    return JobResult(error=error if left else "", left=left, is_final=is_final)


def _is_late(began: float) -> bool:
    return time.monotonic() - began > _LATE_S


def _activity(job: Job) -> JobResult:
    assert job.activity is not None
    return JobResult(outcome=run_activity(job.activity))


def _experiment(job: Job) -> JobResult:
    from gameday.chaostoolkit.adapter import run_experiment

    assert job.experiment is not None
    return JobResult(experiment=run_experiment(job.experiment))


def _configure(job: Job) -> JobResult:
    from gameday.chaostoolkit.adapter import resolve_dynamic_configuration

    assert job.activity is not None
    try:
        asked = job.activity
        return JobResult(configuration=resolve_dynamic_configuration(asked.configuration, asked.secrets, asked.cluster))
    except ValueError as error:
        return JobResult(error=str(error))
