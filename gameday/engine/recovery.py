"""Takes over a run whose runner is dead: ends what still runs, undoes what its journal says, closes the journal."""

import contextlib
import os
from collections.abc import Sequence

from gameday.common.processes import is_alive, ref_of
from gameday.common.redact import Redactor
from gameday.engine.locks import FileLock, LockHeldError
from gameday.engine.recorder import Recorder, Sink
from gameday.engine.runs import RUNNER, WRITER_LOCK, Run
from gameday.engine.undo import run_rollbacks, undo_all
from gameday.engine.workers import Workers, WorkersError, kill_leftovers
from gameday.journal.events import By, FaultWrittenOff, GuardianStarted, RollbacksEnded, SessionEnded, Verdict
from gameday.journal.log import JournalError, JournalWriter, UnwritableJournal
from gameday.journal.state import RunState

_LOCK_TIMEOUT_S = 10.0
_SINKS_DEADLINE_S = 5.0


async def recover(
    run: Run,
    by: By,
    reason: str,
    *,
    workers: Workers | None = None,
    secrets: tuple[str, ...] = (),
    sinks: Sequence[Sink] = (),
) -> RunState:
    """Undo whatever the run left; harmless when it left nothing, and when done twice. The state afterwards.

    Raises LockHeldError when the run is alive (or somebody else recovers it), JournalError and OSError.
    """
    lock = FileLock(run.directory / WRITER_LOCK)
    # Whoever undoes lets go soon, and a runner that dies at once; one that lives does not.
    wait_s = 0.0 if by is By.RECOVER and _is_run(run) else _LOCK_TIMEOUT_S
    try:
        lock.acquire(f"{by} {os.getpid()}", name=run.name, timeout_s=wait_s)
    except OSError:
        # The disk has become read-only, say. The guardian knows without a lock that the runner is dead.
        if by is not By.GUARDIAN:
            raise
    except LockHeldError as error:
        # So it does of one that still has its lock because it hangs in the kernel, on a disk that does not answer.
        if by is not By.GUARDIAN or not error.holder.startswith(RUNNER):
            raise
    try:
        kill_leftovers(run.directory)
        run.forget_toolkit()
        state = run.state()
        if state.is_clean and (state.ended is not None or state.session is None):
            return state
        recorder = Recorder(_open_journal(run), Redactor(secrets), sinks, state=state)
        return await _take_over(run, recorder, by, reason, workers)
    finally:
        lock.release()


def _open_journal(run: Run) -> JournalWriter | UnwritableJournal:
    """The undo must not depend on being written down."""
    try:
        return JournalWriter(run.directory, reserve=False)
    except JournalError as error:
        return UnwritableJournal(run.journal, error)


def _is_run(run: Run) -> bool:
    session = run.state().session
    return session is not None and is_alive(session.runner)


def write_off(run: Run, author: str, reason: str) -> RunState:
    """Take everything that the run left for undone, because a person says so. The state afterwards.

    For what is beyond undoing and verifying: the system that the fault was in no longer exists. Raises LockHeldError
    when the run is alive, JournalError and OSError.
    """
    lock = FileLock(run.directory / WRITER_LOCK)
    lock.acquire(f"{By.RECOVER} {os.getpid()}", name=run.name)
    try:
        recorder = Recorder(JournalWriter(run.directory), Redactor(), state=run.state())
        for fault_id in list(recorder.state.faults):
            event = FaultWrittenOff(at=recorder.now(), fault_id=fault_id, author=author, reason=reason)
            recorder.record_or_raise(event, sync=True)
        for experiment in list(recorder.state.rollbacks):
            names = (f"written off by {author}: {reason}",)
            ended = RollbacksEnded(at=recorder.now(), experiment=experiment, failed=names, by=By.RECOVER)
            recorder.record_or_raise(ended, sync=True)
        recorder.close(0)
        return recorder.state
    finally:
        lock.release()


async def _take_over(run: Run, recorder: Recorder, by: By, reason: str, workers: Workers | None) -> RunState:
    state = recorder.state
    own_workers = workers is None
    try:
        process = ref_of(os.getpid())
        assert process is not None
        recorder.record(GuardianStarted(at=recorder.now(), by=by, reason=reason, process=process), sync=True)
        if workers is None:
            faults = {fault.fault for fault in state.faults.values()}
            workers = Workers(run.directory, faults, chaos_toolkit=bool(state.rollbacks))
        if not workers.is_started:
            with contextlib.suppress(WorkersError):  # the first undo tries it again
                await workers.start()
        undone = await undo_all(recorder, workers, by)
        for experiment in list(reversed(state.rollbacks)):
            undone = await run_rollbacks(recorder, workers, run.directory, experiment, by) and undone
        verdict = Verdict.ABORTED if undone else Verdict.UNDO_FAILED
        recorder.record(
            SessionEnded(at=recorder.now(), verdict=verdict, exit_code=verdict.exit_code, by=by, reason=reason),
            sync=True,
        )
        return recorder.state
    finally:
        if own_workers and workers is not None:
            workers.close()
        recorder.close(_SINKS_DEADLINE_S)
