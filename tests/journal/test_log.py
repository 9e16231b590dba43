"""The append-only log: whole lines or none, on disk when it says so, readable however it ends."""

import contextlib
import errno
import os
import threading
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gameday.common.processes import ProcessRef
from gameday.common.redact import MASK, Redactor
from gameday.engine.recorder import Recorder, SecretInPlanError
from gameday.journal.events import (
    AbortRequested,
    AlertObserved,
    AlertState,
    AnyEvent,
    FaultPlanned,
    NoteAdded,
    Reading,
    ReadingState,
    RollbacksArmed,
    RollbacksEnded,
    SessionStarted,
    SignalsSampled,
    SinkFailed,
    UndoEnded,
)
from gameday.journal.log import JournalError, JournalWriter, Unread, read_events, read_journal
from gameday.journal.state import replay


def note(text: str, at: float = 1.0) -> NoteAdded:
    return NoteAdded(at=at, author="a", text=text)


def started() -> SessionStarted:
    return SessionStarted(
        at=1.5,
        format=1,
        gameday="0",
        session="s",
        kind="experiment",
        title="t",
        path="p",
        environment="e",
        host="h",
        runner=ProcessRef(1, "2"),
        experiments=(),
    )


def planned(fault_id: str, plan: bytes = b"{}") -> FaultPlanned:
    return FaultPlanned(
        at=1.0,
        experiment=0,
        fault_id=fault_id,
        fault="x/y",
        targets=("a",),
        affected=1,
        total=2,
        plan=msgspec.Raw(plan),
        by_hand="undo a",
        step=0,
        stage=0,
    )


def test_samples_can_be_passed_over_and_nothing_else(tmp_path: Path) -> None:
    sampled = SignalsSampled(at=1.0, experiment=0, readings=(Reading("a.latency.p99", ReadingState.OK, 0.1),))
    others = [started(), note('{"event":"signals-sampled",'), planned("0.0.0", b'{"event":"signals-sampled","at":1}')]
    writer = JournalWriter(tmp_path)
    for event in (others[0], sampled, others[1], sampled, others[2], sampled):
        writer.append(event)
    writer.close()
    assert list(read_events(tmp_path)).count(sampled) == 3
    assert list(read_events(tmp_path, samples=False)) == others
    assert replay(read_events(tmp_path, samples=False)) == replay(read_events(tmp_path))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path)
    events = [note("one"), note("two\nlines, “quotes” and \0"), planned("0.0.0")]
    for event in events:
        writer.append(event, sync=True)
    # Readers need not wait for the writer's end.
    assert [type(event) for event in read_events(tmp_path)] == [NoteAdded, NoteAdded, FaultPlanned]
    writer.close()
    assert list(read_events(tmp_path))[:2] == events[:2]


@given(st.binary(max_size=200))
def test_whatever_stands_at_the_end_is_passed_over(tmp_path_factory: pytest.TempPathFactory, tail: bytes) -> None:
    directory = tmp_path_factory.mktemp("journal")
    writer = JournalWriter(directory)
    writer.append(note("kept"))
    writer.close()
    with (directory / "journal.jsonl").open("ab") as file:
        file.write(tail)
    lines = list(read_journal(directory))
    assert lines[0] == note("kept")
    assert all(isinstance(line, Unread) for line in lines[1:])


@pytest.mark.parametrize("reserve", [True, False])
def test_a_torn_line_is_ended_before_the_next_is_written(tmp_path: Path, reserve: bool) -> None:
    """Also by whoever undoes what a dead run left: it was torn by that run's death."""
    writer = JournalWriter(tmp_path)
    writer.append(note("one"))
    writer.close()
    path = tmp_path / "journal.jsonl"
    path.write_bytes(path.read_bytes()[:-5])
    writer = JournalWriter(tmp_path, reserve=reserve)
    writer.append(note("two"))
    writer.close()
    torn, whole = read_journal(tmp_path)
    assert isinstance(torn, Unread)
    assert whole == note("two")


def test_a_torn_line_that_cannot_be_ended_keeps_nobody_from_undoing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "journal.jsonl").write_bytes(b'{"event":')
    with monkeypatch.context() as patch:
        fill_disk(patch, [0])
        writer = JournalWriter(tmp_path, reserve=False)
    writer.close()


@pytest.mark.parametrize(
    "line",
    [b'{"event":"note-added","at":1,"author":"a","text":"\xff"}', b'{"event":"note-added","x":' + b"[" * 100_000],
)
def test_what_is_no_text_or_nested_without_end_is_passed_over(tmp_path: Path, line: bytes) -> None:
    whole = msgspec.json.encode(note("kept"))
    (tmp_path / "journal.jsonl").write_bytes(line + b"\n" + whole + b"\n")
    unread, kept = read_journal(tmp_path)
    assert isinstance(unread, Unread)
    assert kept == note("kept")


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").write_bytes(msgspec.json.encode(msgspec.structs.replace(started(), format=99)) + b"\n")
    with pytest.raises(JournalError, match="format is 99; this gameday reads up to 1"):
        list(read_journal(tmp_path))


def test_an_event_of_a_newer_kind_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").write_bytes(
        b'{"event":"from-the-future","at":1}\n{"event":"note-added","at":1,"author":"a","text":"t"}\n'
    )
    assert list(read_events(tmp_path)) == [note("t")]


def test_a_missing_journal_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match=r"cannot read the journal .*journal\.jsonl: No such file"):
        list(read_events(tmp_path / "journal.jsonl"))


def fill_disk(monkeypatch: pytest.MonkeyPatch, room: list[int]) -> None:
    """os.write as on a disk with this much room; what is written of a line that does not fit is a part of it."""
    write = os.write

    def limited(fd: int, data: bytes) -> int:
        if room[0] <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        part = write(fd, bytes(data[: room[0]]))
        room[0] -= part
        return part

    monkeypatch.setattr(os, "write", limited)


def test_on_a_full_disk_the_reserve_is_given_up_and_nothing_is_torn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = JournalWriter(tmp_path)
    writer.append(note("one"))
    assert writer.is_spare
    room = [20]
    fill_disk(monkeypatch, room)
    unlink = Path.unlink

    def freeing(path: Path, missing_ok: bool = False) -> None:
        room[0] += 1000
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", freeing)
    writer.append(note("two"), sync=True)
    assert not writer.is_spare
    room[0] = 10
    with pytest.raises(JournalError, match="No space left"):
        writer.append(note("three"))
    assert list(read_journal(tmp_path)) == [note("one"), note("two")]


@pytest.mark.parametrize(("number", "gives_up"), [(errno.ENOSPC, True), (errno.EDQUOT, True), (errno.EIO, False)])
def test_the_reserve_is_for_want_of_room_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, gives_up: bool
) -> None:
    writer = JournalWriter(tmp_path)
    write, failures = os.write, [number]

    def fail_once(fd: int, data: bytes) -> int:
        if failures:
            raise OSError(failures.pop(), "it failed")
        return write(fd, data)

    monkeypatch.setattr(os, "write", fail_once)
    with contextlib.nullcontext() if gives_up else pytest.raises(JournalError, match="it failed"):
        writer.append(note("one"))
    assert writer.is_spare is not gives_up


def test_a_reserve_that_cannot_be_looked_at_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = JournalWriter(tmp_path)

    def refuse(_path: Path) -> bool:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "exists", refuse)
        assert not writer.is_spare
    assert writer.is_spare
    writer.close()
    assert [path.name for path in tmp_path.iterdir()] == ["journal.jsonl"]


def test_the_recorder_keeps_what_cannot_be_written_and_tells_the_run_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    writer = JournalWriter(tmp_path)
    recorder = Recorder(writer, Redactor(), on_failure=told.append)
    (tmp_path / ".reserve").unlink()
    room = [0]
    fill_disk(monkeypatch, room)
    recorder.record(note("one"))
    recorder.record(planned("0.0.0"))
    assert len(told) == 1
    assert "No space left" in told[0]
    assert list(recorder.state.faults) == ["0.0.0"]
    room[0] = 10_000
    recorder.record(note("two"))
    assert [getattr(event, "text", "fault") for event in read_events(tmp_path)] == ["one", "fault", "two"]


def test_secrets_never_reach_the_journal(tmp_path: Path) -> None:
    secret = 'pa"ss/w örd'
    recorder = Recorder(JournalWriter(tmp_path), Redactor([secret]))
    recorder.record(note(f"the token is {secret}"))
    recorder.record(note("https://x/?t=pa%22ss%2Fw%20%C3%B6rd"))
    # As a key, in a mapping and in a list.
    recorder.record(
        AlertObserved(
            at=1.0,
            experiment=0,
            name="A",
            state=AlertState.FIRING,
            expected=False,
            labels={secret: f"of {secret}"},
            source="prometheus",
        )
    )
    recorder.record(UndoEnded(at=1.0, fault_id="0.0.0", undone=False, attempts=1, took_s=1.0, left=("a", secret)))
    text = (tmp_path / "journal.jsonl").read_text()
    assert "ss/w" not in text
    assert "%22ss" not in text
    assert text.count(MASK) == 5


def test_a_plan_that_holds_a_secret_is_refused(tmp_path: Path) -> None:
    recorder = Recorder(JournalWriter(tmp_path), Redactor(["hunter22"]))
    with pytest.raises(SecretInPlanError):
        recorder.record_or_raise(planned("0.0.0", b'{"password":"hunter22"}'))
    assert (tmp_path / "journal.jsonl").read_text() == ""


def test_replay_knows_what_is_not_undone() -> None:
    events = [
        planned("0.0.0"),
        planned("0.0.1"),
        UndoEnded(at=2, fault_id="0.0.1", undone=False, attempts=3, took_s=1, left=("a",)),
        UndoEnded(at=3, fault_id="0.0.0", undone=True, attempts=1, took_s=1),
    ]
    state = replay(events)
    assert list(state.faults) == ["0.0.1"]
    assert not state.is_clean
    state.apply(UndoEnded(at=4, fault_id="0.0.1", undone=True, attempts=1, took_s=1))
    assert state.is_clean


def test_replay_keeps_the_last_word_on_what_failed_and_the_first_on_why_it_ended() -> None:
    failed = UndoEnded(at=2, fault_id="0.0.0", undone=False, attempts=3, took_s=1, left=("a",))
    state = replay([planned("0.0.0"), failed])
    assert state.undo_failed == {"0.0.0": failed}
    state.apply(UndoEnded(at=3, fault_id="0.0.0", undone=True, attempts=1, took_s=1))
    assert state.undo_failed == {}

    armed = RollbacksArmed(at=1, experiment=0, activities=("one", "two"))
    some_left = RollbacksEnded(at=2, experiment=0, failed=("two",), left=True)
    state = replay([armed, some_left])
    assert (state.rollbacks, state.rollbacks_failed) == ({0: armed}, {0: ("two",)})
    state.apply(armed)
    assert (state.rollbacks, state.rollbacks_failed) == ({0: armed}, {})
    for event in (some_left, RollbacksEnded(at=3, experiment=0)):
        state.apply(event)
    assert (state.rollbacks, state.rollbacks_failed) == ({}, {})

    first = AbortRequested(at=1, source="guard", reason="errors")
    state = replay([first, AbortRequested(at=2, source="signal", reason="SIGINT")])
    assert state.abort == first


def test_session_started_round_trips(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path)
    writer.append(started())
    assert list(read_events(tmp_path)) == [started()]


def test_a_secret_that_looks_like_the_journal_does_not_damage_it(tmp_path: Path) -> None:
    recorder = Recorder(JournalWriter(tmp_path), Redactor(["note-added", "text", "0.0.0"]))
    recorder.record(note("the text is secret"))
    recorder.record(planned("0.0.0"))
    first, second = read_events(tmp_path)
    assert first == note(f"the {MASK} is secret")
    assert isinstance(second, FaultPlanned)
    assert second.fault_id == "0.0.0"


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_an_event_whose_sync_fails_is_not_written_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Some file systems say only at the sync that there is no room."""
    recorder = Recorder(JournalWriter(tmp_path), Redactor())
    failures = [number] * 2
    sync = os.fsync

    def fail(fd: int) -> None:
        if failures:
            raise OSError(failures.pop(), "it failed")
        sync(fd)

    monkeypatch.setattr(os, "fsync", fail)
    recorder.record(note("one"), sync=True)
    assert list(read_journal(tmp_path)) == []
    failures.clear()
    recorder.record(note("two"), sync=True)
    assert list(read_journal(tmp_path)) == [note("one"), note("two")]


def test_what_could_not_be_written_is_tried_once_more_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder(JournalWriter(tmp_path, reserve=False), Redactor())
    room = [0]
    with monkeypatch.context() as patch:
        fill_disk(patch, room)
        recorder.record(note("last"))
    recorder.close(0)
    assert list(read_journal(tmp_path)) == [note("last")]


def test_a_part_of_a_line_that_cannot_be_taken_back_spoils_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = JournalWriter(tmp_path, reserve=False)
    with monkeypatch.context() as patch:
        fill_disk(patch, [20])
        patch.setattr(os, "ftruncate", lambda *_: os.fstat(-1))
        with pytest.raises(JournalError):
            writer.append(note("one"))
    writer.append(note("two"))
    writer.append(note("three"))
    torn, *whole = read_journal(tmp_path)
    assert isinstance(torn, Unread)
    assert whole == [note("two"), note("three")]
    assert (tmp_path / "journal.jsonl").read_bytes().count(b"\n") == 3


def test_nothing_is_written_once_it_is_closed(tmp_path: Path) -> None:
    """The descriptor's number is soon another file's."""
    writer = JournalWriter(tmp_path)
    writer.close()
    with (tmp_path / "other").open("wb"), pytest.raises(JournalError):
        writer.append(note("late"))
    assert (tmp_path / "other").read_bytes() == b""


def test_a_sink_that_is_slower_than_the_run_loses_events_and_the_journal_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gameday.engine.recorder._QUEUE_EVENTS", 2)
    begun, go_on = threading.Event(), threading.Event()

    class Slow:
        name = "slow"

        def handle(self, event: AnyEvent) -> None:
            begun.set()
            go_on.wait(10)  # a run that waited for it would find that nothing has been dropped

        def close(self) -> None:
            return None

    recorder = Recorder(JournalWriter(tmp_path), Redactor(), [Slow()])
    recorder.record(note("taken"))
    assert begun.wait(10)
    for number in range(5):
        recorder.record(note(str(number)))
    go_on.set()
    recorder.close(30.0)
    *written, failed = read_events(tmp_path)
    assert len(written) == 6
    assert failed == SinkFailed(at=failed.at, sink="slow", detail="3 events dropped")


def test_sinks_finish_side_by_side(tmp_path: Path) -> None:
    """The end of a run waits for the slowest, not for one after the other."""
    both = threading.Barrier(2, timeout=30)

    class Waiting:
        name = "waiting"

        def handle(self, event: AnyEvent) -> None:
            return None

        def close(self) -> None:
            both.wait()

    recorder = Recorder(JournalWriter(tmp_path), Redactor(), [Waiting(), Waiting()])
    recorder.close(60.0)
    assert not both.broken
    assert not [event for event in read_events(tmp_path) if isinstance(event, SinkFailed)]
