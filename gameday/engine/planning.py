"""What a session would do as things are now: the same preflight as a run's, without guardian, journal or injection."""

from datetime import datetime
from pathlib import Path

import msgspec

from gameday.engine.context import PreparedExperiment
from gameday.engine.coverage import Coverage
from gameday.engine.policy import Rules, ceiling_of
from gameday.engine.preflight import (
    Check,
    PlannedStage,
    check_others,
    check_signals,
    check_sources,
    check_stages,
    check_stop_switch,
    examine_runbooks,
    plan_stages,
    weigh,
)
from gameday.engine.preparation import SessionInput, faults_of, prepare, services_of, system_of
from gameday.engine.shared_locks import SharedLocks, check_shared_locks
from gameday.engine.stop_switch import SwitchWatch, switch_of
from gameday.engine.workers import Workers
from gameday.signals import open_source


class SessionPlan(msgspec.Struct, frozen=True):
    """What would be hit, and what preflight finds."""

    experiments: tuple[PreparedExperiment, ...]
    stages: tuple[PlannedStage, ...]
    checks: tuple[Check, ...]


async def plan_session(
    session: SessionInput, scratch: Path, now: datetime, *, shared: SharedLocks | None = None
) -> SessionPlan:
    """Look at everything, change nothing. `now` is aware; `scratch` an empty directory for the children's marks;
    `shared` the locks that a run would take.

    Raises SpecError, FaultError, SignalError and WorkersError.
    """
    prepared = await examine_runbooks(prepare(session, now), now.date())
    environment = session.environment
    checks: list[Check] = [*check_others(session.project.root)]
    checks += await check_shared_locks(shared, services_of(session))
    checks.append(check_stop_switch(await _stopped(session)))
    rules, ceiling = Rules(session), ceiling_of(environment, is_unattended=session.is_unattended)
    checks += [*rules.check_hours(now), *rules.check_confirmation(), *await rules.check_consent(now.timestamp())]
    stages: list[PlannedStage] = []
    source = open_source(environment.signals) if environment.signals else None
    coverage = Coverage(session.project, environment, prepared)
    checks += await coverage.open()
    workers = Workers(scratch, faults_of(session.experiments), chaos_toolkit=False)
    try:
        checks += await rules.check_state(source)
        checks += await coverage.survey()
        await workers.start()
        for item in prepared:
            planned = await plan_stages(item, workers, system_of(environment), session.seed)
            stages += planned
            checks += rules.check_method(item)
            checks += check_stages(item, planned, ceiling)
            checks += check_sources(item, environment)
            checks += await check_signals(item, source)
            checks += (await coverage.examine(item, now.timestamp())).checks
    finally:
        workers.close()
        await coverage.close()
        if source is not None:
            await source.close()
    return SessionPlan(prepared, tuple(stages), weigh(checks, is_unattended=session.is_unattended))


async def _stopped(session: SessionInput) -> str | None:
    watch = SwitchWatch(switch_of(session.project))
    watch.start()
    try:
        return await watch.first_look()
    finally:
        watch.close()
