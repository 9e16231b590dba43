"""Makes values for the report of the events of one stage, activity or fault."""

from collections.abc import Sequence

import msgspec

from gameday.journal.events import (
    ActivityEnded,
    ActivityStarted,
    FaultInjected,
    FaultPlanned,
    FaultRefused,
    FaultWrittenOff,
    StageEnded,
    StageStarted,
    StepInfo,
    UndoEnded,
)
from gameday.report.views import Activity, Fault, Stage


class FaultEvents(msgspec.Struct):
    """What the journal says of one fault. `attempts`: to undo it, all in all."""

    planned: FaultPlanned
    injected: FaultInjected | None = None
    refused: FaultRefused | None = None
    undo_ended: UndoEnded | None = None
    written_off: FaultWrittenOff | None = None
    attempts: int = 0


def freeze_stage(started: StageStarted, ended: StageEnded | None) -> Stage:
    return Stage(
        step=started.step,
        stage=started.stage,
        stages=started.stages,
        radius=started.radius,
        start=started.at,
        end=ended.at if ended else None,
        held=ended.held if ended else None,
    )


def freeze_activity(started: ActivityStarted, ended: ActivityEnded | None) -> Activity:
    return Activity(
        name=started.name,
        kind=started.kind,
        section=started.section,
        start=started.at,
        took_s=ended.took_s if ended else None,
        status=ended.status if ended else "unfinished",
        error=ended.error if ended else "",
    )


def freeze_fault(fault: FaultEvents, steps: Sequence[StepInfo]) -> Fault:
    plan, injected, ended = fault.planned, fault.injected, fault.undo_ended
    return Fault(
        fault_id=plan.fault_id,
        experiment=plan.experiment,
        fault=plan.fault,
        description=plan.description,
        targets=plan.targets,
        aim=(steps[plan.step].target or "") if 0 <= plan.step < len(steps) else "",
        affected=plan.affected,
        total=plan.total,
        unit=plan.unit,
        by_hand=plan.by_hand,
        step=plan.step,
        stage=plan.stage,
        planned_at=plan.at,
        injected_at=injected.at - injected.took_s if injected else None,
        took_s=injected.took_s if injected else None,
        refused=fault.refused.reason if fault.refused else None,
        undone_at=ended.at if ended and ended.undone else None,
        attempts=fault.attempts,
        undo_took_s=ended.took_s if ended else None,
        undone_by=ended.by if ended else None,
        left=ended.left if ended and not ended.undone else (),
        written_off=fault.written_off,
    )
