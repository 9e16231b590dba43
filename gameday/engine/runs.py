"""The directories of runs under `.gameday/runs`: their names, whether they live, what they left, messages to them."""

import contextlib
import os
import re
import time
from enum import StrEnum
from pathlib import Path

import msgspec

from gameday.common.codec import decode
from gameday.common.files import sync_directory, write_atomically
from gameday.engine.locks import is_locked
from gameday.journal.events import (
    AlertObserved,
    AlertState,
    Mark,
    MarkSet,
    NoteAdded,
    PredictionInfo,
    PredictionMade,
    Role,
    RunbookStep,
    RunbookStepInfo,
)
from gameday.journal.log import JOURNAL_NAME, JournalError, read_events
from gameday.journal.state import RunState, replay

WRITER_LOCK = "writer.lock"
GUARDIAN_LOCK = "guardian.lock"
RUNNER = "runner"  # what the runner calls itself in the writer's lock
_TOOLKIT = "toolkit-"
_MAX_MESSAGE_BYTES = 64 * 1024


class RunError(Exception):
    """The run that was asked for cannot be found or used; the message says why."""


class RunLife(StrEnum):
    RUNNING = "running"
    UNDOING = "undoing"  # the runner died; the guardian or a recover is at work
    ENDED = "ended"
    DEAD = "dead"  # nobody writes, and it has not ended


class MessageKind(StrEnum):
    ABORT = "abort"
    NOTE = "note"
    RUNBOOK = "runbook"
    ACKNOWLEDGE = "acknowledge"  # the alert that `text` names
    PREDICTION = "prediction"
    MARK = "mark"


class Message(msgspec.Struct, frozen=True):
    """What a person says to a run from another terminal. `step`: of a runbook that is followed;
    `expected`: of an alert, whether its experiment expects it; `experiment`: of a prediction, whose, and `role`, as
    what."""

    kind: MessageKind
    author: str
    text: str
    step: RunbookStepInfo | None = None
    expected: bool = False
    prediction: PredictionInfo | None = None
    role: Role | None = None
    experiment: int | None = None
    mark: Mark | None = None

    def event(
        self, at: float, experiment: int | None
    ) -> NoteAdded | RunbookStep | AlertObserved | PredictionMade | MarkSet | None:
        """As the journal keeps it; None of what is not for the journal alone."""
        match self.kind:
            case MessageKind.NOTE:
                return NoteAdded(at=at, author=self.author, text=self.text, experiment=experiment)
            case MessageKind.RUNBOOK if self.step is not None:
                return RunbookStep(at=at, author=self.author, step=self.step, experiment=experiment)
            case MessageKind.ACKNOWLEDGE if experiment is not None:
                return AlertObserved(
                    at=at,
                    experiment=experiment,
                    name=self.text,
                    state=AlertState.ACKNOWLEDGED,
                    expected=self.expected,
                    labels={},
                    source="gameday",
                    by=self.author,
                )
            case MessageKind.PREDICTION if self.prediction is not None and self.experiment is not None:
                return PredictionMade(
                    at=at, author=self.author, experiment=self.experiment, prediction=self.prediction, role=self.role
                )
            case MessageKind.MARK if self.mark is not None:
                return MarkSet(at=at, author=self.author, mark=self.mark, text=self.text, experiment=experiment)
            case MessageKind.ACKNOWLEDGE:  # between two experiments
                return NoteAdded(at=at, author=self.author, text=f"acknowledges {self.text}")
            case _:
                return None


class Run(msgspec.Struct, frozen=True):
    """One run's directory."""

    directory: Path

    @property
    def name(self) -> str:
        """The session's id."""
        return self.directory.name

    @property
    def journal(self) -> Path:
        """The journal's file."""
        return self.directory / JOURNAL_NAME

    def toolkit_directory(self, experiment: int) -> Path:
        """Where the Toolkit runs this experiment, while it does; what lies there holds secrets."""
        return self.directory / f"{_TOOLKIT}{experiment}"

    def forget_toolkit(self) -> None:
        """Remove what a dead run of the Toolkit has left there."""
        import shutil

        for directory in self.directory.glob(f"{_TOOLKIT}*"):
            shutil.rmtree(directory, ignore_errors=True)

    def is_written(self) -> bool:
        """Whether a runner, guardian or recover holds the journal."""
        return is_locked(self.directory / WRITER_LOCK)

    def has_guardian(self) -> bool:
        """Whether a guardian watches over it."""
        return is_locked(self.directory / GUARDIAN_LOCK)

    def state(self) -> RunState:
        """Replayed from the journal. Raises JournalError."""
        return replay(read_events(self.journal, samples=False))

    def life(self, state: RunState) -> RunLife:
        """Whether it lives."""
        if state.ended is not None and state.is_clean:
            return RunLife.ENDED
        if self.is_written():
            return RunLife.RUNNING
        if self.has_guardian():
            return RunLife.UNDOING
        return RunLife.ENDED if state.ended is not None else RunLife.DEAD

    def send(self, message: Message) -> None:
        """Leave a message, whole or not at all. Raises OSError."""
        name = f"{time.time_ns()}-{os.urandom(3).hex()}.json"
        write_atomically(self.directory / "inbox" / name, msgspec.json.encode(message))

    def receive(self) -> tuple[Message, ...]:
        """Take all messages that have come, oldest first; damaged ones are thrown away."""
        inbox = self.directory / "inbox"
        messages = []
        with contextlib.suppress(OSError):
            for path in sorted(inbox.glob("*.json")):
                with contextlib.suppress(OSError, msgspec.MsgspecError):
                    if path.stat().st_size <= _MAX_MESSAGE_BYTES:
                        messages.append(decode(path.read_bytes(), Message))
                path.unlink(missing_ok=True)
        return tuple(messages)


def runs_directory(root: Path) -> Path:
    """Where the runs of a project lie."""
    return root / ".gameday" / "runs"


def new_run(root: Path, title: str) -> Run:
    """A new directory, named by the second, the title and the part of the second, in 1/65536. Raises OSError."""
    second, part = divmod(time.time_ns(), 1_000_000_000)
    words = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:40].strip("-")
    began = time.strftime("%Y%m%d-%H%M%S", time.gmtime(second))
    name = "-".join(filter(None, (began, words, f"{part * 65536 // 1_000_000_000:04x}")))
    directory = runs_directory(root) / name
    (directory / "inbox").mkdir(parents=True)
    # Nobody wants runs under version control; what ignores itself cannot be forgotten.
    ignore = root / ".gameday" / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n")
    # What its journal has on disk is of no use in a directory that is not.
    for path in (root, ignore.parent, directory.parent):
        sync_directory(path)
    return Run(directory)


def all_runs(root: Path) -> tuple[Run, ...]:
    """Every run, oldest first."""
    directory = runs_directory(root)
    if not directory.is_dir():
        return ()
    return tuple(Run(path) for path in sorted(directory.iterdir(), key=_age) if (path / JOURNAL_NAME).exists())


def _age(path: Path) -> tuple[str, str, str]:
    return path.name[: len("YYYYmmdd-HHMMSS")], path.name.rpartition("-")[2], path.name


def find_run(root: Path, name: str | None) -> Run:
    """The run of that name (or the one whose name it begins or ends), or the latest. Raises RunError."""
    runs = all_runs(root)
    if not runs:
        raise RunError(f"there are no runs under {runs_directory(root)}")
    if name is None:
        return runs[-1]
    if Path(name).is_dir() and (Path(name) / JOURNAL_NAME).exists():
        return Run(Path(name).resolve())
    found = [run for run in runs if run.name == name] or [
        run for run in runs if run.name.startswith(name) or run.name.endswith(name)
    ]
    if len(found) == 1:
        return found[0]
    listing = ", ".join(run.name for run in (found or runs)[-5:])
    raise RunError(f"{'several runs match' if found else 'there is no run'} `{name}`; there are {listing}")


def unfinished_runs(root: Path) -> tuple[tuple[Run, RunState], ...]:
    """Runs that nobody works on and that left something to undo."""
    found = []
    for run in all_runs(root):
        try:
            state = run.state()
        except JournalError:
            continue
        if not state.is_clean and not run.is_written() and not run.has_guardian():
            found.append((run, state))
    return tuple(found)
