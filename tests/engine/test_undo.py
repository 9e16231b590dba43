"""The undo by itself: which faults, in what order, how often and until when; and rollbacks. No process, no waiting."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from gameday.chaostoolkit.adapter import ActivityOutcome
from gameday.common.json import JsonObject
from gameday.common.redact import Redactor
from gameday.engine.jobs import Job, JobKind, JobResult
from gameday.engine.recorder import Recorder
from gameday.engine.undo import (
    ATTEMPT_TIMEOUT_S,
    Rollbacks,
    call_off_rollbacks,
    run_rollbacks,
    undo_all,
    undo_within_s,
)
from gameday.engine.workers import WorkersError
from gameday.journal.events import (
    AnyEvent,
    By,
    FaultPlanned,
    NoteAdded,
    RollbacksArmed,
    RollbacksEnded,
    UndoEnded,
    UndoStarted,
)
from gameday.journal.log import JournalError

WELL = JobResult()
LEFT = JobResult(left=("shop-1 is broken",))
FAILED = JobResult(error="no answer")
BOTH = JobResult(error="no answer", left=("shop-1 is broken",))
type Answer = JobResult | Exception


class Journal:
    """Keeps what is written, and whether it was to be on disk at once."""

    is_spare = True
    path = Path("journal.jsonl")

    def __init__(self) -> None:
        self.written: list[tuple[AnyEvent, bool]] = []
        self.is_full = False

    def append(self, event: AnyEvent, *, sync: bool = False) -> None:
        if self.is_full:
            raise JournalError("no space left")
        self.written.append((event, sync))

    def close(self) -> None:
        return None

    def of[E: AnyEvent](self, kind: type[E]) -> list[E]:
        return [event for event, _ in self.written if isinstance(event, kind)]

    def synced[E: AnyEvent](self, kind: type[E]) -> list[bool]:
        return [sync for event, sync in self.written if isinstance(event, kind)]


class Children:
    """In the place of `Workers`: each fault's undo, and each activity, answers as it is told to; the last for ever."""

    def __init__(self, clock: "Clock", **answers: Sequence[Answer]) -> None:
        self.clock = clock
        self.answers = {name: list(some) for name, some in answers.items()}
        self.tried: list[str] = []
        self.timeouts: set[float] = set()
        self.cannot_restart = False

    async def run(self, job: Job, timeout_s: float) -> JobResult:
        assert job.kind in (JobKind.UNDO, JobKind.ACTIVITY)
        # A rollback is done only when nobody, not even its exit status, says otherwise.
        assert job.activity is None or job.activity.strict
        name = job.fault if job.activity is None else str(job.activity.definition["name"])
        self.tried.append(name)
        self.timeouts.add(timeout_s)
        answers = self.answers.get(name, [WELL])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def restart(self) -> None:
        self.tried.append("restart")
        if self.cannot_restart:
            raise WorkersError("cannot be started")


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds
        assert self.now < 3600, "an undo without end"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("gameday.engine.undo.time", clock)
    monkeypatch.setattr("gameday.engine.undo.asyncio", SimpleNamespace(sleep=clock.sleep))
    return clock


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
def recorder(journal: Journal) -> Recorder:
    return Recorder(journal, Redactor())  # type: ignore[arg-type]


def plan(recorder: Recorder, *names: str, experiment: int = 0, within_s: float = 90.0) -> None:
    """Faults of these names, injected one after the other; an id is the fault's name."""
    for name in names:
        recorder.record(
            FaultPlanned(
                at=1.0,
                experiment=experiment,
                fault_id=name,
                fault=name,
                targets=("shop-1",),
                affected=1,
                total=4,
                plan=msgspec.Raw(b"{}"),
                by_hand="",
                step=0,
                stage=0,
                undo_within_s=within_s,
            )
        )


def undo(
    recorder: Recorder, children: Children, experiment: int | None = None, deadline_s: float | None = None
) -> bool:
    return asyncio.run(undo_all(recorder, children, By.GUARDIAN, experiment=experiment, deadline_s=deadline_s))


def ends(journal: Journal) -> list[tuple[str, bool, int]]:
    return [(event.fault_id, event.undone, event.attempts) for event in journal.of(UndoEnded)]


# -- faults


def test_the_last_injected_is_undone_first_and_each_end_is_on_disk(
    journal: Journal, recorder: Recorder, clock: Clock
) -> None:
    plan(recorder, "a", "b", "c")
    children = Children(clock)
    assert undo(recorder, children)
    assert children.tried == ["c", "b", "a"]
    assert children.timeouts == {ATTEMPT_TIMEOUT_S}
    assert ends(journal) == [("c", True, 1), ("b", True, 1), ("a", True, 1)]
    assert journal.synced(UndoEnded) == [True] * 3
    assert {event.by for event in journal.of(UndoEnded)} == {By.GUARDIAN}
    assert recorder.state.is_clean
    assert clock.pauses == []


def test_one_experiment_leaves_anothers_faults_alone(journal: Journal, recorder: Recorder, clock: Clock) -> None:
    plan(recorder, "a")
    plan(recorder, "b", experiment=1)
    children = Children(clock)
    assert undo(recorder, children, experiment=0)
    assert children.tried == ["a"]
    assert list(recorder.state.faults) == ["b"]


@pytest.mark.parametrize("bad", [LEFT, FAILED, BOTH])
def test_what_is_not_verified_is_tried_again(
    journal: Journal, recorder: Recorder, clock: Clock, bad: JobResult
) -> None:
    """An undo that complains, and one that says nothing but has left something, are the same: not done."""
    plan(recorder, "a", "b")
    children = Children(clock, b=[bad, bad, WELL])
    assert undo(recorder, children)
    assert children.tried == ["b", "a", "b", "b"]  # it keeps the other from nothing
    assert ends(journal) == [("a", True, 1), ("b", True, 3)]
    assert [event.fault_id for event in journal.of(UndoStarted)] == ["b", "a"]
    assert clock.pauses == [0.2, 0.4]


@pytest.mark.parametrize(
    ("bad", "left"),
    [
        (LEFT, ("shop-1 is broken",)),
        (FAILED, ("no answer",)),
        (BOTH, ("shop-1 is broken", "no answer")),
    ],
)
def test_what_is_left_at_the_deadline_is_named_and_stays_open(
    journal: Journal, recorder: Recorder, clock: Clock, bad: JobResult, left: tuple[str, ...]
) -> None:
    plan(recorder, "patient", within_s=20.0)
    plan(recorder, "hasty", within_s=1.0)
    children = Children(clock, patient=[bad], hasty=[bad])
    assert not undo(recorder, children)
    # Each has a deadline of its own, and nobody sleeps beyond it; the pauses grow, and not for ever.
    assert clock.pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    assert ends(journal) == [("hasty", False, 3), ("patient", False, 8)]
    assert [event.left for event in journal.of(UndoEnded)] == [left, left]
    assert list(recorder.state.faults) == ["patient", "hasty"]


def test_whoever_asks_may_set_another_deadline(journal: Journal, recorder: Recorder, clock: Clock) -> None:
    plan(recorder, "a", within_s=1000.0)
    assert not undo(recorder, Children(clock, a=[LEFT]), deadline_s=1.0)
    assert clock.pauses == [0.2, 0.4]


def test_what_need_not_be_tried_again_is_not(journal: Journal, recorder: Recorder, clock: Clock) -> None:
    plan(recorder, "a", "b")
    children = Children(clock, b=[JobResult(error="somebody else has changed it", is_final=True)], a=[FAILED, WELL])
    assert not undo(recorder, children)
    assert ends(journal) == [("b", False, 1), ("a", True, 2)]


@pytest.mark.parametrize("gone", [WorkersError("it is gone"), OSError(24, "Too many open files"), ValueError("odd")])
def test_without_its_process_an_undo_begins_a_new_one_and_keeps_its_turn(
    journal: Journal, recorder: Recorder, clock: Clock, gone: Exception
) -> None:
    plan(recorder, "a", "b")
    children = Children(clock, b=[gone, WELL])
    assert undo(recorder, children)
    assert children.tried == ["b", "restart", "b", "a"]


def test_whatever_cannot_be_started_is_tried_again(journal: Journal, recorder: Recorder, clock: Clock) -> None:
    plan(recorder, "a")
    children = Children(clock, a=[WorkersError("it is gone")])
    children.cannot_restart = True
    assert not undo(recorder, children, deadline_s=0.5)
    assert children.tried == ["a", "restart", "a", "restart"]
    assert [event.left for event in journal.of(UndoEnded)] == [("cannot be started",)]


# -- rollbacks

SUCCEEDED = JobResult(outcome=ActivityOutcome("succeeded"))
REFUSED = JobResult(outcome=ActivityOutcome("failed", error="no such deployment"))
KILLED = JobResult(error="timed out", killed=True)


def action(name: str) -> JsonObject:
    return {"type": "action", "name": name, "provider": {"type": "python", "module": "os", "func": "getpid"}}


def arm(recorder: Recorder, directory: Path, *names: str) -> None:
    Rollbacks(tuple(map(action, names)), {}, {"shop": {"password": "hunter2hunter2"}}).save(directory, 0)
    recorder.record(RollbacksArmed(at=1.0, experiment=0, activities=names))


def roll_back(recorder: Recorder, children: Children, directory: Path) -> bool:
    return asyncio.run(run_rollbacks(recorder, children, directory, 0, By.RECOVER))  # type: ignore[arg-type]


def test_rollbacks_run_in_order_and_are_forgotten_once_that_is_on_disk(
    tmp_path: Path, journal: Journal, recorder: Recorder, clock: Clock
) -> None:
    arm(recorder, tmp_path, "one", "two")
    children = Children(clock, one=[SUCCEEDED], two=[SUCCEEDED])
    assert roll_back(recorder, children, tmp_path)
    assert children.tried == ["one", "two"]
    (ended,) = journal.of(RollbacksEnded)
    assert (ended.failed, ended.left, ended.by) == ((), False, By.RECOVER)
    assert journal.synced(RollbacksEnded) == [True]
    assert recorder.state.is_clean
    assert not Rollbacks.path(tmp_path, 0).exists()


@pytest.mark.parametrize("bad", [REFUSED, KILLED, WorkersError("it is gone")])
def test_a_rollback_that_fails_keeps_no_other_from_its_turn_and_is_all_that_is_left(
    tmp_path: Path, journal: Journal, recorder: Recorder, clock: Clock, bad: Answer
) -> None:
    arm(recorder, tmp_path, "one", "two", "three")
    children = Children(clock, one=[SUCCEEDED], two=[bad], three=[SUCCEEDED])
    assert not roll_back(recorder, children, tmp_path)
    # No child could be had, so nothing has been done yet: it is begun once more.
    again = ["restart", "two"] if isinstance(bad, WorkersError) else []
    assert children.tried == ["one", "two", *again, "three"]
    (ended,) = journal.of(RollbacksEnded)
    assert (ended.failed, ended.left) == (("two",), True)
    assert journal.synced(RollbacksEnded) == [True]
    assert not recorder.state.is_clean
    assert [item["name"] for item in Rollbacks.load(tmp_path, 0).activities] == ["two"]
    assert Rollbacks.path(tmp_path, 0).stat().st_mode & 0o077 == 0  # it names secrets


def test_rollbacks_whose_file_is_gone_are_not_taken_for_done(
    tmp_path: Path, journal: Journal, recorder: Recorder, clock: Clock
) -> None:
    arm(recorder, tmp_path, "one", "two")
    Rollbacks.path(tmp_path, 0).write_text("{")
    children = Children(clock)
    assert not roll_back(recorder, children, tmp_path)
    assert children.tried == []
    (note,) = journal.of(NoteAdded)
    assert "rollbacks-0.json" in note.text
    (ended,) = journal.of(RollbacksEnded)
    assert (ended.failed, ended.left) == (("one", "two"), True)
    assert not recorder.state.is_clean


def test_rollbacks_that_cannot_be_written_back_all_stay(
    tmp_path: Path, journal: Journal, recorder: Recorder, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    arm(recorder, tmp_path, "one", "two")

    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gameday.engine.undo.write_atomically", full)
    assert not roll_back(recorder, Children(clock, one=[SUCCEEDED], two=[REFUSED]), tmp_path)
    assert [item["name"] for item in Rollbacks.load(tmp_path, 0).activities] == ["one", "two"]
    assert journal.of(RollbacksEnded)[0].failed == ("two",)


def test_rollbacks_are_kept_while_the_journal_does_not_say_that_they_have_run(
    tmp_path: Path, journal: Journal, recorder: Recorder, clock: Clock
) -> None:
    arm(recorder, tmp_path, "one")
    journal.is_full = True
    assert roll_back(recorder, Children(clock, one=[SUCCEEDED]), tmp_path)
    assert Rollbacks.path(tmp_path, 0).exists()


def test_rollbacks_that_nobody_needs_are_called_off_once(tmp_path: Path, journal: Journal, recorder: Recorder) -> None:
    call_off_rollbacks(recorder, tmp_path, 0)
    assert journal.written == []
    arm(recorder, tmp_path, "one")
    call_off_rollbacks(recorder, tmp_path, 0)
    call_off_rollbacks(recorder, tmp_path, 0)
    assert journal.synced(RollbacksEnded) == [True]
    assert recorder.state.is_clean
    assert not Rollbacks.path(tmp_path, 0).exists()


def test_how_long_the_undo_may_take_counts_faults_and_rollbacks(tmp_path: Path, recorder: Recorder) -> None:
    plan(recorder, "a", "b", within_s=40.0)
    assert undo_within_s(recorder.state) == 80.0
    arm(recorder, tmp_path, "one", "two")
    assert undo_within_s(recorder.state) == 680.0
