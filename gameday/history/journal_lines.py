"""Reads on in a journal from where it was read to, line by line, without the samples that most of it is."""

from pathlib import Path

import msgspec

from gameday.journal.events import FORMAT, AnyEvent, SessionStarted, SignalsSampled
from gameday.journal.log import JournalError, decode_event

_MAX_LINE = 64 * 1024 * 1024  # as the journal's own reader has it
_PART = 64 * 1024
_SAMPLES = b'{"event":"signals-sampled"'


class Line(msgspec.Struct, frozen=True):
    """An event and where it stands: the line, from 1. `data` is the line itself, JSON."""

    number: int
    event: AnyEvent
    data: str


class NewLines(msgspec.Struct, frozen=True):
    """What has been added to a journal. `bytes_read` and `lines_read` count from its beginning, whole lines alone."""

    lines: tuple[Line, ...]
    bytes_read: int
    lines_read: int


def read_on(path: Path, bytes_read: int, lines_read: int) -> NewLines:
    """The events after so many bytes and lines; samples, and lines that cannot be read, are passed over. A last line
    that is still being written is left for the next time. Raises JournalError."""
    lines = []
    try:
        with path.open("rb") as file:
            file.seek(bytes_read)
            while line := file.readline(_MAX_LINE):
                size = len(line)
                while not line.endswith(b"\n") and len(line) in (_MAX_LINE, _PART):  # longer than any that is written
                    line = file.readline(_PART)
                    size += len(line)
                if not line.endswith(b"\n"):
                    break
                lines_read += 1
                bytes_read += size
                if size == len(line) and (event := _decode(line, path, lines_read)) is not None:
                    lines.append(Line(lines_read, event, _data(line)))
    except OSError as error:
        raise JournalError(f"cannot read the journal {path}: {error.strerror}") from error
    return NewLines(tuple(lines), bytes_read, lines_read)


def first_line(path: Path) -> str:
    """As `Line.data` has it. Raises OSError."""
    with path.open("rb") as file:
        return _data(file.readline(_MAX_LINE))


def _data(line: bytes) -> str:
    return line.decode(errors="replace").strip()


def _decode(line: bytes, path: Path, number: int) -> AnyEvent | None:
    if line.startswith(_SAMPLES):
        return None
    try:
        event = decode_event(line)
    except msgspec.DecodeError:
        return None
    if isinstance(event, SessionStarted) and event.format > FORMAT:
        raise JournalError(
            f"{path}:{number}: the journal's format is {event.format}; this gameday reads up to {FORMAT}"
        )
    return None if isinstance(event, SignalsSampled) else event
