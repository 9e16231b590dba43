"""Locks on the services of a session over all machines, where gameday.yaml names a PostgreSQL."""

import contextlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gameday.engine.preparation import SessionInput
    from gameday.history.locks import StoreLocks
    from gameday.history.store import Store
    from gameday.spec.model import Project


def shared_locks(session: "SessionInput") -> "LazyLocks | None":
    """Those of this session; nothing is opened yet. None without a PostgreSQL, and in the lab, which is this machine's
    own: there is nothing to share. Raises SpecError."""
    url = shared_url(session.project)
    return LazyLocks(url, session) if url and not _is_lab(session) else None


def free_services(project: "Project", run: str, *, is_dead: bool) -> None:
    """Let go of what a run holds that has left nothing: others need not wait until it expires. One that is not known to
    be dead keeps it while it may live. What cannot be done is said."""
    from gameday.cli.output import say
    from gameday.engine.locks import LockHeldError
    from gameday.spec.location import SpecError

    try:
        _free(project, run, is_dead=is_dead)
    except (SpecError, OSError, LockHeldError) as error:
        say(f"What {run} has locked over all machines stays so until that expires: {error}")


def free_lost(project: "Project", run: str) -> tuple[str, ...]:
    """Let go of what a run holds whose machine is gone, because a person says so; which services those were. Raises
    LockHeldError when it may live, SpecError and OSError."""
    return _free(project, run, is_dead=False)


def _free(project: "Project", run: str, *, is_dead: bool) -> tuple[str, ...]:
    if (url := shared_url(project)) is None:
        return ()
    from gameday.history.locks import release_by_hand, release_locks_of

    with contextlib.closing(_open(url, project)) as store:
        return (release_locks_of if is_dead or _is_over(project.root, run) else release_by_hand)(store, run)


def _is_lab(session: "SessionInput") -> bool:
    from gameday.spec.model import EnvironmentKind

    named = (one for one in session.project.environments if one.name == session.environment.name)
    return any(one.kind is EnvironmentKind.LAB for one in named)


def shared_url(project: "Project") -> str | None:
    """Of the store that machines share; None where gameday.yaml names none, or a file. Raises SpecError."""
    from gameday.spec.project import load_history, may_be_server

    if not may_be_server(project.history):
        return None
    url = load_history(project)
    return url if url and url.startswith("postgresql:") else None


def _open(url: str, project: "Project") -> "Store":
    from gameday.history.store import open_store

    return open_store(url, project.root, project=project.name)


class LazyLocks:
    """The engine's SharedLocks, whose store is opened when it is first needed."""

    def __init__(self, url: str, session: "SessionInput") -> None:
        self._url = url
        self._session = session

    @cached_property
    def _locks(self) -> "StoreLocks":
        import socket

        from gameday.history.locks import StoreLocks

        session = self._session
        holder = f"“{session.title}”, run by {session.by} on {socket.gethostname()}"
        return StoreLocks(self._store, session.environment.name, holder)

    @cached_property
    def _store(self) -> "Store":
        return _open(self._url, self._session.project)

    def acquire(self, services: Sequence[str], run: str, for_s: float) -> None:
        """All or none. Those of a run of this project directory that is dead and has left nothing are free. Raises
        LockHeldError and OSError."""
        from gameday.history.locks import ServiceHeldError, release_locks_of

        while True:
            try:
                return self._locks.acquire(services, run, for_s)
            except ServiceHeldError as error:
                if not _is_over(self._session.project.root, error.run):
                    raise
                release_locks_of(self._store, error.run)

    def renew(self, for_s: float) -> bool:
        """Raises OSError."""
        return self._locks.renew(for_s)

    def release(self) -> None:
        """Raises OSError."""
        self._locks.release()

    def check(self, services: Sequence[str]) -> None:
        """Raises LockHeldError and OSError."""
        from gameday.history.locks import ServiceHeldError

        try:
            self._locks.check(services)
        except ServiceHeldError as error:
            if not _is_over(self._session.project.root, error.run):
                raise


def _is_over(root: Path, run: str) -> bool:
    """Whether it is a run of this directory, of which nothing lives and nothing is left."""
    from gameday.engine.locks import is_locked
    from gameday.engine.runs import GUARDIAN_LOCK, WRITER_LOCK, Run, runs_directory
    from gameday.journal.log import JournalError

    found = Run(runs_directory(root) / run)
    if found.name != run or not found.journal.exists():
        return False
    if any(is_locked(found.directory / name) for name in (WRITER_LOCK, GUARDIAN_LOCK)):
        return False
    try:
        return found.state().is_clean
    except (JournalError, OSError):
        return False
