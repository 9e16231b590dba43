"""What has become of a session that was due: its journal says it; where there is none, how its process ended."""

import re
import signal
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

if TYPE_CHECKING:
    from gameday.engine.runs import Run
    from gameday.engine.schedule import Claim
    from gameday.journal.events import SessionStarted

_LONGEST_LINE = 300
_READ_BYTES = 16384  # of a log, at either end
_NEWEST = 50  # of the runs, among which we look for one
_BEGINS_WITHIN_S = 300.0  # of its claim, by clocks that differ a little
_MISTAKE = re.compile(r":\d+:\d+: found ")
_WORDS = {
    0: "everything held",
    1: "a weakness was found",
    2: "not started: the input is wrong",
    3: "not started",
    4: "aborted, everything undone",
    5: "an undo failed",
}


class Told(msgspec.Struct, frozen=True):
    """What a journal says: the session's name, and once it has ended its verdict and why."""

    run: str
    verdict: str | None = None
    exit_code: int | None = None
    reason: str = ""

    @property
    def words(self) -> str | None:
        """The verdict, and why; None while there is none."""
        return None if self.exit_code is None else _with_reason(_of_status(self.exit_code), self.reason)


def outcome_of(status: int, told: Told | None, log: Path) -> str:
    """Of a child that has ended: `status` as subprocess has it, what its journal says, and its output."""
    if told is not None and told.words is not None:
        return told.words
    return _with_reason(_of_status(status), "" if status in (0, 1) else _what_it_said(log))


def session_of_process(root: Path, pid: int) -> Told | None:
    """The session that this process has just run, if it came to one."""
    return next((_told(run) for run, began in _newest(root) if began.runner.pid == pid), None)


def session_of_claim(root: Path, name: str, claim: "Claim") -> Told | None:
    """The session that came of the claim, where this machine has its journal: also when nobody was left to note it."""
    from gameday.engine.runs import Run, runs_directory

    if claim.run is not None:
        run = Run(runs_directory(root) / Path(claim.run).name)
        return _told(run) if run.journal.exists() else None
    if claim.outcome is not None:  # it came to none
        return None
    # The runs come newest first: of several it is the oldest.
    began_then = [
        run for run, began in _newest(root) if began.path == name and abs(began.at - claim.at) <= _BEGINS_WITHIN_S
    ]
    return _told(began_then[-1]) if began_then else None


def _newest(root: Path) -> "Iterator[tuple[Run, SessionStarted]]":
    from gameday.engine.runs import all_runs
    from gameday.journal.events import SessionStarted
    from gameday.journal.log import JournalError, read_events

    for run in reversed(all_runs(root)[-_NEWEST:]):
        with suppress(JournalError, OSError):
            first = next(iter(read_events(run.journal, samples=False)), None)
            if isinstance(first, SessionStarted):
                yield run, first


def _told(run: "Run") -> Told:
    from gameday.journal.log import JournalError

    try:
        ended = run.state().ended
    except (JournalError, OSError):
        ended = None
    if ended is None:
        return Told(run.name)
    return Told(run.name, ended.verdict.value, ended.exit_code, " ".join(ended.reason.split())[:_LONGEST_LINE])


def _with_reason(words: str, reason: str) -> str:
    return f"{words}: {reason}" if reason else words


def _of_status(status: int) -> str:
    return _WORDS.get(status) or (f"ended by {_signal(-status)}" if status < 0 else f"failed with status {status}")


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"the signal {number}"


def _what_it_said(log: Path) -> str:
    """The first mistake in what it has read; else what it said last. Without colours."""
    try:
        with log.open("rb") as file:
            first = _lines(file.read(_READ_BYTES))
            file.seek(max(0, log.stat().st_size - _READ_BYTES))
            last = _lines(file.read())
    except OSError:
        return ""
    mistakes = (line for line in first if _MISTAKE.search(line))
    return next(chain(mistakes, reversed(last)), "")[:_LONGEST_LINE]


def _lines(data: bytes) -> list[str]:
    lines = click.unstyle(data.decode(errors="replace")).splitlines()
    return [line.strip() for line in lines if line.strip()]
