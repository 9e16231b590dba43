"""Who has taken what is due: `.gameday/schedule.jsonl`, only ever appended to; for one machine or a shared disk."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from gameday.common.codec import decode
from gameday.common.files import append_lines, sync_directory
from gameday.engine.locks import LockHeldError

_NAME = "schedule.jsonl"
_WAIT_S = 30.0  # for the lock: whoever holds it writes one line
_SAME_S = 0.5  # due times are whole seconds


class FileClaim(msgspec.Struct, frozen=True, omit_defaults=True):
    """An occurrence that somebody has taken; `due_at` and `at` are Unix time. `outcome`: what became of it, None while
    that is not known; `run`: the session's name, where there is one."""

    kind: str
    name: str
    due_at: float
    holder: str
    at: float
    outcome: str | None = None
    run: str | None = None


class _Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the file: a claim, or with `is_settled` what became of one."""

    at: float
    kind: str
    name: str
    due_at: float
    holder: str = ""
    is_settled: bool = False
    outcome: str = ""
    run: str | None = None


class FileClaims:
    """`gameday.engine.schedule.Claims` on a file, under a lock that dies with its holder (flock(2)).

    Every method raises OSError when the file cannot be read or written, and LockHeldError when somebody holds it for
    half a minute: then nothing was taken.
    """

    def __init__(self, root: Path) -> None:
        self.path = root / ".gameday" / _NAME

    def claim(self, kind: str, name: str, due_at: float, holder: str) -> bool:
        """True for exactly one caller, for ever; on disk before this returns."""
        with self._locked(fcntl.LOCK_EX) as descriptor:
            if any(_is(line, kind, name, due_at) and not line.is_settled for line in _lines(descriptor)):
                return False
            _append(descriptor, _Line(time.time(), kind, name, due_at, holder))
            sync_directory(self.path.parent)
            return True

    def now(self) -> float:
        """Unix time."""
        return time.time()

    def settle(self, kind: str, name: str, due_at: float, outcome: str, run: str | None) -> None:
        """Note what became of it. The last word counts."""
        with self._locked(fcntl.LOCK_EX) as descriptor:
            _append(descriptor, _Line(time.time(), kind, name, due_at, is_settled=True, outcome=outcome, run=run))

    def claims(self, kind: str, name: str, since: float) -> tuple[FileClaim, ...]:
        """Those that were due at that time or later, in the order in which they were. Lines that are torn are passed
        over."""
        if not self.path.exists():
            return ()
        found: dict[float, FileClaim] = {}
        with self._locked(fcntl.LOCK_SH) as descriptor:
            for line in _lines(descriptor):
                if line.kind != kind or line.name != name or line.due_at < since:
                    continue
                if not line.is_settled:
                    found.setdefault(line.due_at, FileClaim(kind, name, line.due_at, line.holder, line.at))
                elif (claim := found.get(line.due_at)) is not None:
                    found[line.due_at] = msgspec.structs.replace(claim, outcome=line.outcome, run=line.run)
        return tuple(found[due_at] for due_at in sorted(found))

    @contextlib.contextmanager
    def _locked(self, how: int) -> Iterator[int]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            _lock(descriptor, how)
            yield descriptor
        finally:
            os.close(descriptor)


def _lock(descriptor: int, how: int) -> None:
    deadline = time.monotonic() + _WAIT_S
    while True:
        try:
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise LockHeldError(_NAME, "another process") from None
            time.sleep(0.01)


def _is(line: _Line, kind: str, name: str, due_at: float) -> bool:
    return line.kind == kind and line.name == name and abs(line.due_at - due_at) < _SAME_S


def _lines(descriptor: int) -> Iterator[_Line]:
    with os.fdopen(os.dup(descriptor), "rb") as file:
        file.seek(0)
        for raw in file:
            with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError):
                yield decode(raw, _Line)


def _append(descriptor: int, line: _Line) -> None:
    append_lines(descriptor, msgspec.json.encode(line) + b"\n", _NAME)
