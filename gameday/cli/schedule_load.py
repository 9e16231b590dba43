"""Finds the game days that have a schedule, and where their occurrences are claimed, for `gameday schedule`."""

import os
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from gameday.cli.validate import EXPERIMENTS
from gameday.common.project import find_root
from gameday.engine.schedule import Scheduled
from gameday.spec.game_day import is_game_day
from gameday.spec.location import Mistake, SpecError
from gameday.spec.model import Project
from gameday.spec.project import list_files, load_history, load_project
from gameday.spec.reader import Fields, File, read_document
from gameday.spec.schedule import read_schedule

if TYPE_CHECKING:
    from gameday.engine.schedule import Claim, Claims

_SUFFIXES = (".yaml", ".yml", ".json")


class Found(msgspec.Struct, frozen=True):
    """The game days of a project that have a schedule; `wrong`: what of files that could be such cannot be read."""

    project: Project
    game_days: tuple[Scheduled, ...]
    wrong: tuple[Mistake, ...] = ()


def find_scheduled(paths: Sequence[Path]) -> Found:
    """Those in these files and below these directories; without any, below experiments/ of the current directory's
    project. Their experiments are not read. Raises SpecError when gameday.yaml or a runbook is wrong."""
    root = find_root(Path.cwd())
    project = load_project(root)
    found: dict[str, Scheduled] = {}
    wrong: list[Mistake] = []
    for path in _files(paths or (root / EXPERIMENTS,)):
        try:
            scheduled = _read(path, project)
        except SpecError as error:
            wrong += error.mistakes
            continue
        if scheduled is not None:
            found[scheduled.name] = scheduled
    return Found(project, tuple(found.values()), tuple(wrong))


def open_claims(project: Project, *, writes: bool = True) -> "Claims":
    """Where the project's occurrences are claimed: in the PostgreSQL that `history` of gameday.yaml names, which the
    machines of a team share; else in a file of the project's. To be read alone, a database without tables is one in
    which nobody has claimed anything. Raises OSError, SpecError."""
    url = load_history(project)
    if url is None or not url.startswith("postgresql"):
        from gameday.engine.claims import FileClaims

        return FileClaims(project.root)
    from gameday.history.store import NoTablesError, open_store

    try:
        return open_store(url, project.root, writes=writes, project=project.name)
    except NoTablesError:
        return _NoClaims()


class _NoClaims:
    """Of a store in which there is nothing yet, for whoever only reads."""

    def claim(self, kind: str, name: str, due_at: float, holder: str) -> bool:
        """Never called."""
        raise NotImplementedError

    def settle(self, kind: str, name: str, due_at: float, outcome: str, run: str | None) -> None:
        """Never called."""
        raise NotImplementedError

    def claims(self, _kind: str, _name: str, _since: float) -> "Sequence[Claim]":
        """None."""
        return ()

    def now(self) -> float:
        """Unix time, by this machine's clock."""
        return time.time()


def holder() -> str:
    """This process, for whoever wonders who has claimed an occurrence."""
    return f"{socket.gethostname()}:{os.getpid()}"


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        yield from list_files(path, _SUFFIXES) if path.is_dir() else [path] if path.suffix in _SUFFIXES else []


def _read(path: Path, project: Project) -> Scheduled | None:
    """The game day, if it is one and has a schedule. Raises SpecError."""
    document = read_document(path)
    if not is_game_day(document) or "when" not in document.entries:
        return None
    file = File(path)
    fields = Fields(file, document, "a game day")
    title, environment, schedule = fields.text("title"), fields.text("environment"), read_schedule(fields, project.root)
    file.check()
    if schedule is None or not (schedule.cron or schedule.dates):
        return None
    return Scheduled(
        name=name_of(path, project.root),
        title=title or path.stem,
        schedule=schedule,
        blackouts=(*schedule.blackouts, *project.blackouts),
        environment=environment,
    )


def name_of(path: Path, root: Path) -> str:
    """The path within the project, by which an occurrence is claimed; of one that lies elsewhere, all of it."""
    whole = path.resolve()
    return whole.relative_to(root).as_posix() if whole.is_relative_to(root) else str(whole)
