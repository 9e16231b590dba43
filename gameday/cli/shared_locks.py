"""Locks on the services of a session over all machines, where gameday.yaml names a PostgreSQL."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gameday.cli.output import fail, say

if TYPE_CHECKING:
    from gameday.engine.preparation import SessionInput
    from gameday.history.locks import SharedLocks

# A holder that was killed keeps its services for so long: its guardian, or whoever recovers, has to undo first.
TTL_S = 600.0
_RENEW_S = 60.0


@contextlib.contextmanager
def shared_locks(session: "SessionInput") -> Iterator[None]:
    """Nobody else breaks the same services, from whatever machine, until the block ends. Ends the program with status 3
    when somebody does. When that cannot be told, whoever is there is told so, and the locks of this machine hold alone;
    where nobody is there, the program ends likewise.

    Without a PostgreSQL, and in the lab, which is this machine's own, there is nothing to share.
    """
    locks = _locks_of(session)
    if locks is None:
        yield
        return
    ended = threading.Event()
    keeper = threading.Thread(target=_keep, args=(locks, ended), name="shared locks", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        ended.set()
        keeper.join(_RENEW_S)
        with contextlib.suppress(OSError):  # then they expire
            locks.release()


def _locks_of(session: "SessionInput") -> "SharedLocks | None":
    project = session.project
    if not project.history.startswith(("postgresql:", "${")):
        return None  # which few runs need to import anything for
    import socket

    from gameday.engine.preparation import services_of
    from gameday.history.locks import ServiceHeldError, SharedLocks
    from gameday.history.store import StoreError, open_store
    from gameday.spec.model import EnvironmentKind
    from gameday.spec.project import load_history

    url = load_history(project)
    services = {name for experiment in session.experiments for name in services_of(experiment, project)}
    if url is None or not url.startswith("postgresql:") or session.environment.kind is EnvironmentKind.LAB:
        return None
    if not services:
        return None
    try:
        locks = SharedLocks(open_store(url, project.root, project=project.name), session.environment.name, TTL_S)
        locks.acquire(services, f"“{session.title}”, run by {session.by} on {socket.gethostname()}")
    except ServiceHeldError as error:
        fail(
            f"not started, nothing was injected: {error}; its lock ends with that run, or {TTL_S / 60:.0f} min after", 3
        )
    except StoreError as error:
        unknown = f"whether another machine breaks the same cannot be told: {error}"
        if session.is_unattended:
            fail(f"not started, nothing was injected: {unknown}", 3)
        say(f"WARNING: {unknown}")
        return None
    return locks


def _keep(locks: "SharedLocks", ended: threading.Event) -> None:
    """Renew them until the end. While the store is down nobody else can take them, either; should somebody have done
    so all the same, in a time in which this process stood still, the session ends as by a signal: with every undo."""
    while not ended.wait(_RENEW_S):
        with contextlib.suppress(OSError):
            if not locks.renew():
                say("another machine has taken a service of this session: it is aborted")
                os.kill(os.getpid(), signal.SIGTERM)
                return
