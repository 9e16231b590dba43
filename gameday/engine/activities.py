"""Runs one Chaos Toolkit activity in a child and writes its beginning and end to the journal."""

import asyncio
import time

from gameday.chaostoolkit.adapter import ActivityRequest
from gameday.engine.jobs import Job, JobKind, JobResult
from gameday.engine.recorder import Recorder
from gameday.engine.workers import Workers, WorkersError
from gameday.journal.events import ActivityEnded, ActivityStarted


async def perform(
    recorder: Recorder,
    workers: Workers,
    request: ActivityRequest,
    started: ActivityStarted,
    timeout_s: float,
    *,
    restart: bool = False,
) -> ActivityEnded:
    """Run it and say how it ended. Cancelled, its child is killed and that is written down before this raises.

    With `restart`, workers that are gone are started again, with the end of all their children: for a rollback.
    """
    recorder.record(started)
    began = time.monotonic()

    def end(result: JobResult) -> ActivityEnded:
        event = _ended(recorder.now(), started, result, round(time.monotonic() - began, 4))
        recorder.record(event)
        return event

    job = Job(kind=JobKind.ACTIVITY, activity=request)
    try:
        try:
            result = await workers.run(job, timeout_s)
        except WorkersError:
            if not restart:
                raise
            await workers.restart()  # no child could be had, so nothing has been done yet
            result = await workers.run(job, timeout_s)
    except WorkersError as error:
        result = JobResult(error=str(error))
    except asyncio.CancelledError:
        end(JobResult(error="the run was ended", killed=True))
        raise
    return end(result)


def pretend(recorder: Recorder, started: ActivityStarted) -> ActivityEnded:
    """Write down one that is not run."""
    recorder.record(started)
    event = ActivityEnded(
        at=recorder.now(),
        experiment=started.experiment,
        activity=started.activity,
        status="succeeded",
        took_s=0.0,
        output='"(dry: not run)"',
    )
    recorder.record(event)
    return event


def _ended(at: float, started: ActivityStarted, result: JobResult, took_s: float) -> ActivityEnded:
    outcome = result.outcome
    return ActivityEnded(
        at=at,
        experiment=started.experiment,
        activity=started.activity,
        status=outcome.status if outcome else "killed" if result.killed else "failed",
        took_s=took_s,
        output=outcome.output if outcome else "",
        error=outcome.error if outcome else result.error,
        tolerance_met=outcome.tolerance_met if outcome else None,
        interrupted=outcome is not None and outcome.interrupted,
    )
