"""The append-only log of one run: written by one process at a time, read by anyone, never trusted to be whole."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from gameday.common.files import sync_directory
from gameday.journal.events import FORMAT, AnyEvent, SessionStarted

JOURNAL_NAME = "journal.jsonl"
_RESERVE_NAME = ".reserve"
_RESERVE_BYTES = 512 * 1024
_MAX_LINE = 64 * 1024 * 1024  # bytes, with its line feed
_PART = 64 * 1024

_encoder = msgspec.json.Encoder()
_SAMPLES = b'{"event":"signals-sampled",'  # as each such line that we write begins
_decoder = msgspec.json.Decoder(AnyEvent)


class JournalError(Exception):
    """The journal cannot be written or read; the message says which file and why."""


class JournalWriter:
    """Appends events. When this returns from `append(..., sync=True)`, the event survives a power cut.

    A reserve file beside the journal is given up when the disk is full, so that the undo can still be recorded.
    """

    def __init__(self, directory: Path, *, reserve: bool = True) -> None:
        """Open `directory`'s journal, creating both. Raises JournalError.

        Without `reserve` it opens on a full disk too, for whoever comes to undo what a dead run left.
        """
        self.path = directory / JOURNAL_NAME
        self._reserve = directory / _RESERVE_NAME
        self._is_torn = False  # the last line is a part of one, and could not be taken back
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            if reserve:
                self._end_torn_line()
                self._reserve.write_bytes(b"\0" * _RESERVE_BYTES)
                sync_directory(directory)
            else:
                with contextlib.suppress(OSError):
                    self._end_torn_line()
        except OSError as error:
            raise JournalError(f"cannot write the journal {self.path}: {error.strerror}") from error

    def _end_torn_line(self) -> None:
        size = os.fstat(self._fd).st_size
        if size:
            with self.path.open("rb") as file:
                file.seek(size - 1)
                if file.read(1) != b"\n":
                    os.write(self._fd, b"\n")

    def append(self, event: AnyEvent, *, sync: bool = False) -> None:
        """Write one event, whole or not at all. Raises JournalError."""
        line = _encoder.encode(event) + b"\n"
        if len(line) > _MAX_LINE:  # no reader would take it, so what it says could not be undone
            raise JournalError(f"cannot write the journal {self.path}: an event of {len(line):,} bytes is too long")
        try:
            try:
                self._write(line, sync)
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT) or not self.is_spare:
                    raise
                self._reserve.unlink(missing_ok=True)
                self._write(line, sync)
        except OSError as error:
            raise JournalError(f"cannot write the journal {self.path}: {error.strerror}") from error

    @property
    def is_spare(self) -> bool:
        """Whether the reserve is still there; False means that the disk has been full, or cannot be looked at."""
        try:
            return self._reserve.exists()
        except OSError:
            return False

    def _write(self, line: bytes, sync: bool) -> None:
        start = os.fstat(self._fd).st_size
        written = 0
        data = b"\n" + line if self._is_torn else line
        try:
            while written < len(data):
                written += os.write(self._fd, data[written:])
            if sync:
                os.fsync(self._fd)
        except OSError:
            # Whoever is told that it is not written may write it again, and it must not stand there twice.
            if written:
                try:
                    os.ftruncate(self._fd, start)
                except OSError:
                    self._is_torn = True
            raise
        self._is_torn = False

    def close(self) -> None:
        """Sync and close; the reserve goes. Never raises."""
        with contextlib.suppress(OSError):
            os.fsync(self._fd)
        with contextlib.suppress(OSError):
            os.close(self._fd)
        self._fd = -1  # the number may soon be another file's, and a late event must not end up in that
        with contextlib.suppress(OSError):
            self._reserve.unlink(missing_ok=True)


class UnwritableJournal:
    """Stands for a journal that cannot be opened, where an undo must go on all the same: it takes nothing."""

    is_spare = False

    def __init__(self, path: Path, error: JournalError) -> None:
        self.path = path
        self._error = error

    def append(self, event: AnyEvent, *, sync: bool = False) -> None:
        """Raises JournalError, always."""
        raise self._error

    def close(self) -> None:
        """Nothing is open."""


class Unread(msgspec.Struct, frozen=True):
    """A line that could not be read: torn, damaged, or of a kind that a newer gameday wrote. `line` counts from 1."""

    line: int
    reason: str


def read_journal(path: Path, *, samples: bool = True) -> Iterator[AnyEvent | Unread]:
    """Every line of a journal file, or of the one in a run's directory, one at a time, in bounded memory.

    Most lines are samples of signals. Without `samples` they are passed over, which takes a seventh of the time.
    It ends at a last line that is still being written. Raises JournalError when the file cannot be read or was
    written in a newer format.
    """
    for number, line in enumerate(_lines(path), 1):
        if line is None:
            yield Unread(number, f"longer than {_MAX_LINE:,} bytes")
            continue
        if not line.strip() or (not samples and line.startswith(_SAMPLES)):
            continue
        try:
            event = decode_event(line)
        except msgspec.DecodeError as error:
            yield Unread(number, str(error) if line.endswith(b"\n") else "torn")
            continue
        if isinstance(event, SessionStarted) and event.format > FORMAT:
            raise JournalError(
                f"{path}:{number}: the journal's format is {event.format}; this gameday reads up to {FORMAT}"
            )
        yield event


def _lines(path: Path) -> Iterator[bytes | None]:
    """Every line; None for one that is longer than any that is written. Raises JournalError."""
    try:
        if path.is_dir():
            path /= JOURNAL_NAME
        with path.open("rb") as file:
            while line := file.readline(_MAX_LINE):
                if line.endswith(b"\n"):
                    yield line
                elif len(line) < _MAX_LINE:
                    yield line
                    return  # still being written: what is read on from here would be the end of a line
                else:
                    while (part := file.readline(_PART)) and not part.endswith(b"\n"):
                        pass
                    yield None
    except OSError as error:
        raise JournalError(f"cannot read the journal {path}: {error.strerror}") from error


def decode_event(line: bytes) -> AnyEvent:
    """The event in a line. Raises msgspec.DecodeError, and nothing else whatever the line is."""
    try:
        event: AnyEvent = _decoder.decode(line)
    except (UnicodeDecodeError, RecursionError) as error:  # what msgspec lets through: no UTF-8, nested too deeply
        raise msgspec.DecodeError(str(error)) from error
    return event


def read_events(path: Path, *, samples: bool = True) -> Iterator[AnyEvent]:
    """The events that can be read; lines that cannot are passed over (see `read_journal`). Raises JournalError."""
    return (event for event in read_journal(path, samples=samples) if not isinstance(event, Unread))
