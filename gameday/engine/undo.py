"""Undoes everything that may be in place: in reverse order, with retries, verified, whatever happens.

The runner, the guardian and `gameday recover` all come here.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from gameday.chaostoolkit.adapter import ActivityRequest
from gameday.chaostoolkit.cluster import ActivityCluster
from gameday.chaostoolkit.variables import known_secrets
from gameday.common.codec import decode
from gameday.common.files import write_atomically
from gameday.common.json import JsonObject
from gameday.engine.activities import perform
from gameday.engine.jobs import Job, JobKind, JobResult
from gameday.engine.recorder import Recorder
from gameday.engine.workers import Workers
from gameday.journal.events import (
    ActivityStarted,
    By,
    FaultPlanned,
    NoteAdded,
    RollbacksEnded,
    UndoEnded,
    UndoStarted,
)
from gameday.journal.state import RunState
from gameday.kubernetes.reference import ClusterRef

ATTEMPT_TIMEOUT_S = 20.0
DEADLINE_S = 90.0
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0
_ROLLBACK_TIMEOUT_S = 300.0


def undo_within_s(state: RunState) -> float:
    """How long the undo of all that may be in place can take, in seconds."""
    rollbacks = sum(len(armed.activities) for armed in state.rollbacks.values())
    return sum(fault.undo_within_s for fault in state.faults.values()) + rollbacks * _ROLLBACK_TIMEOUT_S


class Rollbacks(msgspec.Struct, frozen=True):
    """An experiment's rollbacks, in a file beside the journal that only its owner may read: they may name secrets."""

    activities: tuple[JsonObject, ...]
    configuration: JsonObject
    secrets: JsonObject
    cluster: ClusterRef | None = None

    @staticmethod
    def path(directory: Path, experiment: int) -> Path:
        """Where they lie in a run's directory."""
        return directory / f"rollbacks-{experiment}.json"

    @staticmethod
    def load(directory: Path, experiment: int) -> "Rollbacks":
        """Those on disk. Raises OSError and msgspec.MsgspecError."""
        return decode(Rollbacks.path(directory, experiment).read_bytes(), Rollbacks)

    def save(self, directory: Path, experiment: int) -> None:
        """Put them on disk, for their owner's eyes only, in the place of what was there. Raises OSError."""
        write_atomically(self.path(directory, experiment), msgspec.json.encode(self))  # which makes such files

    def only(self, activities: Iterable[JsonObject]) -> "Rollbacks":
        """The same with these activities alone."""
        return msgspec.structs.replace(self, activities=tuple(activities))


class _Open(msgspec.Struct):
    fault: FaultPlanned
    attempts: int = 0
    result: JobResult | None = None
    began: float = 0.0


async def undo_all(
    recorder: Recorder, workers: Workers, by: By, *, experiment: int | None = None, deadline_s: float | None = None
) -> bool:
    """Undo every fault that is open (of one experiment, or of all), the last injected first.

    Each is tried; those that fail are tried again with growing pauses until the deadline, in seconds (default: the
    fault's own), has passed. One that fails keeps no other from its turn. Whether all was undone and verified.
    """
    waiting = [
        _Open(fault)
        for fault in reversed(recorder.state.faults.values())
        if experiment is None or fault.experiment == experiment
    ]
    began = time.monotonic()
    pause = _FIRST_PAUSE_S
    failed: list[_Open] = []
    while waiting:
        for item in waiting:
            if not item.attempts:
                item.began = time.monotonic()
                recorder.record(UndoStarted(at=recorder.now(), fault_id=item.fault.fault_id, by=by))
            item.attempts += 1
            item.result = await _attempt(workers, item.fault)
            if not item.result.error and not item.result.left:
                _record_end(recorder, item, by)
        waiting = [item for item in waiting if item.result and (item.result.error or item.result.left)]
        over = time.monotonic() + pause - began
        for item in waiting:
            within_s = item.fault.undo_within_s if deadline_s is None else deadline_s
            if over > within_s or (item.result and item.result.is_final):
                _record_end(recorder, item, by)
                failed.append(item)
        waiting = [item for item in waiting if item not in failed]
        if waiting:
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_S)
    return not failed


async def _attempt(workers: Workers, fault: FaultPlanned) -> JobResult:
    job = Job(kind=JobKind.UNDO, fault=fault.fault, plan=fault.plan)
    try:
        return await workers.run(job, ATTEMPT_TIMEOUT_S)
    except Exception:  # noqa: BLE001 - out of descriptors, say: whatever it is, the next attempt must come
        # The warm process is gone (killed, perhaps); undo must not depend on it. Again at once: were it another's turn
        # before, what was injected last would not be undone first.
        try:
            await workers.restart()
            return await workers.run(job, ATTEMPT_TIMEOUT_S)
        except Exception as error:  # noqa: BLE001
            return JobResult(error=str(error) or type(error).__name__)


def _record_end(recorder: Recorder, item: _Open, by: By) -> None:
    assert item.result is not None
    left = item.result.left or ((item.result.error,) if item.result.error else ())
    if item.result.error and item.result.left:
        left = (*item.result.left, item.result.error)
    recorder.record(
        UndoEnded(
            at=recorder.now(),
            fault_id=item.fault.fault_id,
            undone=not left,
            attempts=item.attempts,
            took_s=round(time.monotonic() - item.began, 4),
            by=by,
            left=left,
        ),
        sync=True,
    )


async def run_rollbacks(recorder: Recorder, workers: Workers, directory: Path, experiment: int, by: By) -> bool:
    """Run an experiment's armed rollbacks, each of them whatever becomes of the others. Whether all succeeded.

    Those that fail are not tried again here, for nobody says that they may run twice; they stay on disk for `recover`,
    which is asked for by a person.
    """
    try:
        rollbacks = Rollbacks.load(directory, experiment)
    except (OSError, msgspec.MsgspecError) as error:
        names = recorder.state.rollbacks[experiment].activities
        text = f"{Rollbacks.path(directory, experiment).name}: {error}"
        recorder.record(NoteAdded(at=recorder.now(), author=by, text=text, experiment=experiment))
        recorder.record(
            RollbacksEnded(at=recorder.now(), experiment=experiment, failed=names, by=by, left=True), sync=True
        )
        return False
    # `recover` was told none, and what a rollback says may hold them.
    recorder.learn_secrets(known_secrets(rollbacks.configuration, rollbacks.secrets))
    cluster = ActivityCluster(rollbacks.cluster, directory) if rollbacks.cluster else None
    failed = []
    for definition in rollbacks.activities:
        started = ActivityStarted(
            at=recorder.now(),
            experiment=experiment,
            activity=recorder.state.activities,
            name=_name(definition),
            kind="action",
            section="rollback",
        )
        request = ActivityRequest(
            definition=definition,
            configuration=rollbacks.configuration,
            secrets=rollbacks.secrets,
            cluster=cluster,
            strict=True,  # what a rollback was to undo is taken for undone only when nobody says otherwise
        )
        ended = await perform(recorder, workers, request, started, _ROLLBACK_TIMEOUT_S, restart=True)
        if ended.status != "succeeded":
            failed.append(definition)
    if failed:
        with contextlib.suppress(OSError):  # should it not be written, all of them run again in a recovery
            rollbacks.only(failed).save(directory, experiment)
    names = tuple(map(_name, failed))
    recorder.record(
        RollbacksEnded(at=recorder.now(), experiment=experiment, failed=names, by=by, left=bool(failed)), sync=True
    )
    if not failed:
        _forget(recorder, directory, experiment)
    return not failed


def call_off_rollbacks(recorder: Recorder, directory: Path, experiment: int) -> None:
    """Write down that none is left to be run, if any was."""
    if experiment not in recorder.state.rollbacks:
        return
    recorder.record(RollbacksEnded(at=recorder.now(), experiment=experiment), sync=True)
    _forget(recorder, directory, experiment)


def _forget(recorder: Recorder, directory: Path, experiment: int) -> None:
    """Remove the file, once the journal says that nobody needs it: until then whoever recovers does."""
    if recorder.is_written:
        with contextlib.suppress(OSError):
            Rollbacks.path(directory, experiment).unlink(missing_ok=True)


def _name(definition: JsonObject) -> str:
    return str(definition.get("name", "rollback"))
