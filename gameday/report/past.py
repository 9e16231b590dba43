"""What past runs have shown: each journal is read once, and what it says is kept beside the runs."""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from gameday import __version__
from gameday.common.files import replace_file
from gameday.coverage.matrix import Past, merge
from gameday.engine.runs import Run, all_runs
from gameday.journal.log import JournalError
from gameday.report.past_run import RunPast, SessionPast, read_run

CACHE = "history-cache.json"
_AT_ONCE = 1 << 20  # bytes of journals: some 40 ms
_VERSION = f"{__version__}/3"  # the number counts up when what is kept, or how it is made, changes


class History(msgspec.Struct, frozen=True):
    """What all runs together have exercised. `runs`: how many count; `unread`: those whose journals cannot be read."""

    past: Past
    runs: int
    unread: tuple[str, ...] = ()


class Sessions(msgspec.Struct, frozen=True):
    """All sessions, the oldest first. `unread`: the names of the runs whose journals say nothing that can be read."""

    sessions: tuple[SessionPast, ...]
    unread: tuple[str, ...] = ()


class _Kept(msgspec.Struct, frozen=True):
    size: int
    mtime_ns: int
    run: RunPast


class _Cache(msgspec.Struct, frozen=True):
    version: str = ""
    runs: dict[str, _Kept] = {}


def read_history(root: Path, *, since: float | None = None, environment: str | None = None) -> History:
    """What the runs of this project have exercised: those that began since then (a Unix time) and in this environment.

    Journals that have not changed are not read again. Raises nothing: what cannot be read or kept is left out.
    """
    kept, unread = _read(root, all_runs(root))
    counted = [
        item
        for item in kept.values()
        if (since is None or item.session.started >= since) and environment in (None, item.session.environment)
    ]
    return History(merge(item.past for item in counted), len(counted), unread)


def read_sessions(root: Path) -> Sessions:
    """The sessions of this project. As `read_history`, it reads what has changed and raises nothing."""
    runs = all_runs(root)
    kept, unread = _read(root, runs)
    sessions = []
    for run in runs:
        if run.name not in kept:
            continue
        session = kept[run.name].session
        if session.verdict is None and run.is_written():
            session = msgspec.structs.replace(session, is_running=True)
        sessions.append(session)
    silent = tuple(session.run for session in sessions if not session.started)
    known = sorted((session for session in sessions if session.started), key=lambda one: (one.started, one.run))
    return Sessions(tuple(known), (*unread, *silent))


def keep_run(run: Run, root: Path) -> None:
    """Have this run, which has ended, among those that have been read. Raises nothing."""
    try:
        status = run.journal.stat()
        kept = _Kept(status.st_size, status.st_mtime_ns, read_run(run))
    except (OSError, JournalError):
        return
    _write_cache(root, _read_cache(root) | {run.name: kept})


def read_known_sessions(root: Path) -> tuple[SessionPast, ...]:
    """The sessions that can be told of at once: those that have been read before, and of the others the latest, as
    long as they are small. It writes nothing, and raises nothing."""
    runs = all_runs(root)
    known = _read_cache(root) if runs else {}
    sessions, left = [], _AT_ONCE
    for run in reversed(runs):
        try:
            status = run.journal.stat()
            found = known.get(run.name)
            if found is not None and (found.size, found.mtime_ns) == (status.st_size, status.st_mtime_ns):
                sessions.append(found.run.session)
            elif status.st_size <= left:
                left -= status.st_size
                sessions.append(read_run(run).session)
        except (OSError, JournalError):
            continue
    return tuple(session for session in sessions if session.started)


def _read(root: Path, runs: Iterable[Run]) -> tuple[dict[str, RunPast], tuple[str, ...]]:
    """What each run has shown, by its name, and the names of those that cannot be read."""
    known = _read_cache(root)
    kept: dict[str, _Kept] = {}
    unread = []
    for run in runs:
        try:
            status = run.journal.stat()
            found = known.get(run.name)
            if found is None or (found.size, found.mtime_ns) != (status.st_size, status.st_mtime_ns):
                found = _Kept(status.st_size, status.st_mtime_ns, read_run(run))
            kept[run.name] = found
        except (OSError, JournalError):
            unread.append(run.name)
    if kept != known:
        _write_cache(root, kept)
    return {name: item.run for name, item in kept.items()}, tuple(unread)


def _read_cache(root: Path) -> dict[str, _Kept]:
    try:
        cache = msgspec.json.decode((root / ".gameday" / CACHE).read_bytes(), type=_Cache)
    except (OSError, ValueError, RecursionError):  # there is none yet, or it is damaged
        return {}
    return cache.runs if cache.version == _VERSION else {}


def _write_cache(root: Path, runs: dict[str, _Kept]) -> None:
    try:
        replace_file(root / ".gameday" / CACHE, msgspec.json.encode(_Cache(_VERSION, runs)))
    except OSError:  # where nothing can be written, journals are read again each time
        return
