"""The journal where things fail around it: full and read-only disks, readers beside a writer, lines without end."""

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gameday.common.redact import Redactor
from gameday.engine.recorder import Recorder
from gameday.journal import log
from gameday.journal.events import AnyEvent, NoteAdded, Reading, ReadingState, SignalsSampled
from gameday.journal.log import JournalError, JournalWriter, Unread, read_events, read_journal
from gameday.journal.state import replay
from tests.journal.test_log import note, planned, started

# -- disks


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Mounts a small disk in memory, or mounts it anew with other options."""
    disk = tmp_path / "disk"
    disk.mkdir()

    def mount(options: str, *more: str) -> Path:
        command = ["mount", "-t", "tmpfs", *more, "-o", options, "tmpfs", str(disk)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
        except OSError as error:
            pytest.skip(f"no disk can be mounted here: {error}")
        if done.returncode:
            pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
        return disk

    yield mount
    if os.path.ismount(disk):
        subprocess.run(["umount", "-l", str(disk)], timeout=10, check=True)


def fill(directory: Path) -> None:
    """Take all the room that is left."""
    with (directory / "other").open("ab", buffering=0) as file, contextlib.suppress(OSError):
        for size in (65536, 4096, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"x" * size)


def test_on_a_disk_that_is_really_full_the_undo_is_still_recorded(mount: Callable[..., Path]) -> None:
    disk = mount("size=2m")
    told: list[str] = []
    recorder = Recorder(JournalWriter(disk / "run"), Redactor(), on_failure=told.append)
    recorder.record(planned("0.0.0"), sync=True)
    fill(disk)
    sizes = []
    for number in range(40):  # the page that is begun has room for some
        recorder.record(note(f"{number}" * 200))
        sizes.append((disk / "run" / "journal.jsonl").stat().st_size)
    assert len(told) == 1
    assert "No space left" in told[0]
    assert sizes == sorted(set(sizes))  # each of them was written, on the reserve in the end
    lines = list(read_journal(disk / "run"))
    assert not [line for line in lines if isinstance(line, Unread)]
    assert len(lines) == 41


def test_on_a_disk_without_any_room_whoever_undoes_can_still_open_the_journal(mount: Callable[..., Path]) -> None:
    disk = mount("size=2m")
    JournalWriter(disk / "run").append(note("one"))
    (disk / "run" / ".reserve").unlink()
    fill(disk)
    with pytest.raises(JournalError, match="No space left on device"):
        JournalWriter(disk / "run")
    writer = JournalWriter(disk / "run", reserve=False)
    for _ in range(20):
        with contextlib.suppress(JournalError):
            writer.append(note("two" * 300))
    with pytest.raises(JournalError, match="No space left on device"):
        writer.append(note("two" * 3000))
    assert not [line for line in read_journal(disk / "run") if isinstance(line, Unread)]


def test_a_disk_that_becomes_read_only(mount: Callable[..., Path]) -> None:
    disk = mount("size=2m")
    writer = JournalWriter(disk / "run")
    writer.append(note("one"), sync=True)
    writer.close()
    mount("remount,ro")
    for reserve in (True, False):
        with pytest.raises(JournalError, match=r"cannot write the journal .*: Read-only file system"):
            JournalWriter(disk / "run", reserve=reserve)
    with pytest.raises(JournalError, match="Read-only file system"):
        JournalWriter(disk / "another")
    assert list(read_events(disk / "run")) == [note("one")]


def test_a_write_that_is_refused_is_kept_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    recorder = Recorder(JournalWriter(tmp_path), Redactor(), on_failure=told.append)

    def refuse(*_: object) -> int:
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", refuse)
        recorder.record(planned("0.0.0"))
    assert told == [f"cannot write the journal {tmp_path / 'journal.jsonl'}: Read-only file system"]
    assert list(recorder.state.faults) == ["0.0.0"]
    assert list(read_events(tmp_path)) == []
    recorder.close(0)
    assert list(replay(read_events(tmp_path)).faults) == ["0.0.0"]


def test_a_directory_that_is_missing_is_made_and_one_that_cannot_be_is_an_error(tmp_path: Path) -> None:
    JournalWriter(tmp_path / "a" / "b").append(note("one"))
    assert list(read_events(tmp_path / "a" / "b")) == [note("one")]
    (tmp_path / "file").touch()
    with pytest.raises(JournalError, match="cannot write the journal"):
        JournalWriter(tmp_path / "file" / "run")
    for path in (tmp_path / "none", tmp_path / "none" / "journal.jsonl", tmp_path / "file" / "journal.jsonl"):
        with pytest.raises(JournalError, match="cannot read the journal"):
            list(read_events(path))
    (tmp_path / "odd" / "journal.jsonl").mkdir(parents=True)
    with pytest.raises(JournalError, match="Is a directory"):
        list(read_events(tmp_path / "odd"))


# -- readers beside a writer

WRITER = """
import sys
from pathlib import Path
from gameday.journal.events import NoteAdded
from gameday.journal.log import JournalWriter
writer = JournalWriter(Path(sys.argv[1]))
number = 0
while True:
    # From a few bytes to many pages, so that a reader may come in the middle of a line.
    writer.append(NoteAdded(at=number, author="w", text="x" * (number * 7919 % 50_000)), sync=number % 10 == 9)
    number += 1
    print(number, flush=True)
"""
READER = """
import sys
from pathlib import Path
from gameday.journal.log import Unread, read_journal
longest = passes = torn = 0
while passes < 5 or sys.argv[2] not in Path(sys.argv[3]).read_text():
    lines = list(read_journal(Path(sys.argv[1])))
    if lines and isinstance(lines[-1], Unread):
        torn += 1
        assert lines.pop().reason == "torn", lines
    assert [line.at for line in lines] == list(range(len(lines))), [type(line) for line in lines]
    assert len(lines) >= longest, (len(lines), longest)
    longest = len(lines)
    passes += 1
print(longest, passes, torn)
"""


def test_readers_see_whole_events_in_order_and_a_killed_writer_loses_none(tmp_path: Path) -> None:
    run, word = tmp_path / "run", tmp_path / "word"
    JournalWriter(run).close()
    word.write_text("go on")
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(run)], stdout=subprocess.PIPE, text=True)
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", READER, str(run), "stop", str(word)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    try:
        assert writer.stdout is not None
        acknowledged = 0
        for line in writer.stdout:
            acknowledged = int(line)
            if acknowledged >= 400:
                os.kill(writer.pid, signal.SIGKILL)
                break
        acknowledged = max([acknowledged, *map(int, writer.stdout.read().split("\n")[:-1])])
        writer.wait(10)
        word.write_text("stop")
        for reader in readers:
            output, errors = reader.communicate(timeout=60)
            assert reader.returncode == 0, errors
            seen, passes, _ = map(int, output.split())
            assert seen > 0
            assert passes >= 5
    finally:
        for process in (writer, *readers):
            process.kill()
            process.wait(10)
    kept = list(read_events(run))
    assert len(kept) >= acknowledged >= 400
    assert [event.at for event in kept] == list(range(len(kept)))


def test_a_reader_stops_at_a_line_that_is_still_being_written(tmp_path: Path) -> None:
    """What it would read on from there, once there is more, is the end of a line and then events out of their turn."""
    path = tmp_path / "journal.jsonl"
    first, second, third = (
        f'{{"event":"note-added","at":{number},"author":"a","text":"t"}}\n'.encode() for number in range(3)
    )
    path.write_bytes(first + second[:20])
    lines = read_journal(path)
    assert next(lines) == note("t", 0.0)
    assert next(lines) == Unread(2, "torn")
    with path.open("ab") as file:
        file.write(second[20:] + third)
    assert list(lines) == []
    assert len(list(read_journal(path))) == 3


# -- journals without end


def sample(number: int) -> AnyEvent:
    readings = tuple(Reading(f"shop.latency.p{signal}", ReadingState.OK, number / 7) for signal in range(5))
    return SignalsSampled(at=float(number), experiment=0, readings=readings)


def peak_of(work: Callable[[], object]) -> int:
    """The most bytes that were in use at once, beyond what was before."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_long_journal_is_replayed_in_the_memory_of_a_short_one(tmp_path: Path) -> None:
    peaks = []
    for events in (1_000, 8_000):
        writer = JournalWriter(tmp_path / str(events))
        writer.append(started())
        writer.append(planned("0.0.0"))
        for number in range(events):
            writer.append(sample(number))
        writer.close()
        peaks.append(peak_of(lambda directory=tmp_path / str(events): replay(read_events(directory))))
    assert peaks[1] < peaks[0] + 64 * 1024
    assert peaks[1] < 1024 * 1024
    whole = peak_of(lambda: [json.loads(line) for line in (tmp_path / "8000" / "journal.jsonl").open()])
    assert whole > 5 * peaks[1]  # the measure sees it where everything is held at once


def test_a_line_without_end_is_passed_over_whole_in_bounded_memory(tmp_path: Path) -> None:
    """Neither its parts nor what looks like an event at its end is taken for anything."""
    path = tmp_path / "journal.jsonl"
    with path.open("wb") as file:
        file.write(b'{"event":"note-added","at":1.0,"author":"a","text":"t"}\n')
        file.seek(200 * 1024 * 1024, os.SEEK_CUR)  # a hole, which takes no room on the disk and reads as zeros
        file.write(b'{"event":"note-added","at":1.0,"author":"a","text":"hidden"}\n')
        file.write(b'{"event":"note-added","at":1.0,"author":"a","text":"t"}\n')
    lines: list[AnyEvent | Unread] = []
    assert peak_of(lambda: lines.extend(read_journal(path))) < 140 * 1024 * 1024
    assert lines == [note("t"), Unread(2, "longer than 67,108,864 bytes"), note("t")]


def test_nothing_is_written_that_no_reader_would_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "_MAX_LINE", 1000)
    writer = JournalWriter(tmp_path)
    with pytest.raises(JournalError, match="too long"):
        writer.append(planned("0.0.0", b'"' + b"x" * 1000 + b'"'), sync=True)
    writer.append(NoteAdded(at=1.0, author="a", text="t"))
    assert list(read_journal(tmp_path)) == [note("t")]
