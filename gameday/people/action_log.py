"""The log of action items on disk: `.gameday/actions.jsonl`, only ever appended to."""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from gameday.common.codec import decode
from gameday.common.files import append_lines
from gameday.journal.events import ExperimentEnded, ExperimentInfo, FindingRaised, SessionStarted, Verdict
from gameday.journal.log import read_events
from gameday.people.actions import Action, ActionEvent, Outcome, changes_after, replay

_NAME = "actions.jsonl"


def log_path(root: Path) -> Path:
    """Where the log of a project lies."""
    return root / ".gameday" / _NAME


def read_actions(root: Path) -> dict[str, Action]:
    """All actions of a project, the oldest first. Lines that are torn or unknown are passed over. Raises OSError."""
    return replay(_events(log_path(root)))


def change_actions(root: Path, change: Callable[[dict[str, Action]], Sequence[ActionEvent]]) -> tuple[ActionEvent, ...]:
    """Append what `change` makes of the actions as they are: nobody else changes them meanwhile. On disk when this
    returns, which gives what was appended. Raises OSError, and what `change` raises."""
    path = log_path(root)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        events = tuple(change(replay(_events(path))))
        if events:
            append_lines(descriptor, b"".join(msgspec.json.encode(event) + b"\n" for event in events), str(path))
    finally:
        os.close(descriptor)
    return events


def remember_session(root: Path, run_directory: Path, at: float) -> tuple[ActionEvent, ...]:
    """Open, reopen and close what the session in this directory has found, and does not find any more. `at`: Unix
    time. What it has changed; a second time nothing. Raises OSError and JournalError."""
    outcomes = outcomes_of(run_directory)
    return change_actions(root, lambda actions: changes_after(actions, run_directory.name, outcomes, at))


def outcomes_of(run_directory: Path) -> tuple[Outcome, ...]:
    """What each experiment of a run came to, of those that have ended. Raises JournalError."""
    infos: tuple[ExperimentInfo, ...] = ()
    findings: dict[int, list[FindingRaised]] = {}
    verdicts: dict[int, Verdict] = {}
    for event in read_events(run_directory):
        match event:
            case SessionStarted():
                infos = event.experiments
            case FindingRaised():
                findings.setdefault(event.experiment, []).append(event)
            case ExperimentEnded():
                verdicts[event.experiment] = event.verdict
    return tuple(
        Outcome(info.path, info.service, verdicts[index], tuple(findings.get(index, ())))
        for index, info in enumerate(infos)
        if index in verdicts
    )


def _events(path: Path) -> Iterator[ActionEvent]:
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        for line in file:
            with contextlib.suppress(msgspec.MsgspecError):
                yield decode(line, ActionEvent)
