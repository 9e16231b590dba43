"""Where `gameday history` has its sessions from: the journals of this machine, or the store that gameday.yaml names."""

import time
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from gameday.coverage.matrix import Past, merge
from gameday.engine.runs import Run, runs_directory
from gameday.report.past import History, Sessions, read_history, read_sessions
from gameday.report.past_run import SessionPast
from gameday.report.trends import RUNNING, Regression, Selection, Trial, regressions
from gameday.report.views import Status

if TYPE_CHECKING:
    from gameday.history.query import Stored, Wanted
    from gameday.history.store import Store

_NOT_HEARD_OF_S = 86400.0  # what was going on so long ago, on another machine, and has not been heard of is no more


class PastSource(Protocol):
    """Sessions that can be asked for."""

    @property
    def unread(self) -> tuple[str, ...]:
        """Runs whose journals cannot be read."""
        ...

    @property
    def is_empty(self) -> bool:
        """Whether there are no sessions at all."""
        ...

    def sessions(self, selection: Selection, limit: int) -> tuple[tuple[SessionPast, ...], int]:
        """So many at most, the newest first, and how many are left out."""
        ...

    def trials(self, selection: Selection) -> tuple[Trial, ...]:
        """The runs of experiments that are asked for, the oldest first."""
        ...

    def regressions(self, selection: Selection) -> tuple[Regression, ...]:
        """Those that are asked for. What was better may lie further back, and may have ended in any way."""
        ...

    def every(self, since: float | None) -> Iterator[SessionPast]:
        """All that began since then, the oldest first."""
        ...

    def all_sessions(self) -> Sessions:
        """All of them, and what cannot be read."""
        ...

    def history(self, *, since: float | None, environment: str | None) -> History:
        """What those have exercised that began since then (a Unix time) and in this environment."""
        ...


class JournalSource:
    """The journals of this machine."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @cached_property
    def _found(self) -> Sessions:
        return read_sessions(self._root)

    @property
    def unread(self) -> tuple[str, ...]:
        """Runs whose journals cannot be read."""
        return self._found.unread

    @property
    def is_empty(self) -> bool:
        """Whether there are no sessions at all."""
        return not self._found.sessions

    def sessions(self, selection: Selection, limit: int) -> tuple[tuple[SessionPast, ...], int]:
        """So many at most, the newest first, and how many are left out."""
        chosen = [session for session in reversed(self._found.sessions) if selection.wants(session)]
        return tuple(chosen[:limit]), max(0, len(chosen) - limit)

    def trials(self, selection: Selection) -> tuple[Trial, ...]:
        """The runs of experiments that are asked for, the oldest first."""
        return selection.trials(self._found.sessions)

    def regressions(self, selection: Selection) -> tuple[Regression, ...]:
        """Those that are asked for."""
        return _regressions(self._found.sessions, selection)

    def every(self, since: float | None) -> Iterator[SessionPast]:
        """All that began since then, the oldest first."""
        return (session for session in self._found.sessions if since is None or session.started >= since)

    def history(self, *, since: float | None, environment: str | None) -> History:
        """What those have exercised that began since then and in this environment."""
        return read_history(self._root, since=since, environment=environment)

    def all_sessions(self) -> Sessions:
        """All of them, and what cannot be read."""
        return self._found


class StoreSource:
    """The store, with the sessions of all machines. Every method raises StoreError."""

    def __init__(self, store: "Store", unread: tuple[str, ...] = ()) -> None:
        self._store = store
        self.unread = unread

    @property
    def is_empty(self) -> bool:
        """Whether there are no sessions at all."""
        from gameday.history.query import Wanted

        return not self._store.queries.newest(Wanted(), 1)

    def sessions(self, selection: Selection, limit: int) -> tuple[tuple[SessionPast, ...], int]:
        """So many at most, the newest first, and how many are left out."""
        wanted, queries = _wanted(selection), self._store.queries
        if wanted.is_ended is False:  # few, and only here it can be told what has become of them
            every = [session for session in self._read(queries.newest(wanted)) if selection.wants(session)]
            return tuple(every[:limit]), max(0, len(every) - limit)
        found = queries.newest(wanted, limit)
        left_out = 0 if len(found) < limit else queries.count(wanted) - len(found)
        return tuple(self._read(found)), max(0, left_out)

    def trials(self, selection: Selection) -> tuple[Trial, ...]:
        """The runs of experiments that are asked for, the oldest first."""
        return selection.trials(self._read(self._store.queries.newest(_wanted(selection))))

    def regressions(self, selection: Selection) -> tuple[Regression, ...]:
        """Those that are asked for."""
        asked = msgspec.structs.replace(_wanted(selection), since=None, verdict=None, is_ended=None)
        return _regressions(self._read(self._store.queries.telling(asked, expected=True)), selection)

    def telling(self, experiment: str, environment: str) -> Iterator[SessionPast]:
        """Those in which this experiment was well there for the last time, in some way, and all in which it was not
        since."""
        from gameday.history.query import Wanted

        yield from self._read(self._store.queries.telling(Wanted(experiment=experiment, environment=environment)))

    def every(self, since: float | None) -> Iterator[SessionPast]:
        """All that began since then, the oldest first, in bounded memory."""
        from gameday.history.query import Wanted

        yield from self._read(self._store.queries.oldest_first(Wanted(since=since)))

    def history(self, *, since: float | None, environment: str | None) -> History:
        """What those have exercised that began since then and in this environment."""
        from gameday.cli.history_reader import past_of
        from gameday.history.query import Wanted

        pasts: list[Past] = []
        for session, exercised in self._store.queries.exercised(Wanted(since=since, environment=environment)):
            try:
                pasts.append(past_of(exercised))
            except msgspec.MsgspecError:  # a newer gameday has written it
                self.unread = tuple(dict.fromkeys((*self.unread, session)))
        return History(merge(pasts), len(pasts), self.unread)

    def all_sessions(self) -> Sessions:
        """All of them, and what cannot be read."""
        found = tuple(session for session in self.every(None) if session.started)
        return Sessions(found, self.unread)

    def _read(self, found: "Iterable[Stored]") -> Iterator[SessionPast]:
        from gameday.cli.history_reader import session_of

        runs, now = runs_directory(self._store.root), time.time()
        for one in found:
            try:
                session = session_of(one.document)
            except msgspec.MsgspecError:  # a newer gameday has written it
                self.unread = tuple(dict.fromkeys((*self.unread, one.session)))
                continue
            if session.verdict is None:
                run = Run(runs / one.session)
                here = run.directory.is_dir()
                goes_on = run.is_written() if here else one.is_running and now - one.fed_at < _NOT_HEARD_OF_S
                session = msgspec.structs.replace(session, is_running=goes_on)
            yield session


def _regressions(sessions: Iterable[SessionPast], selection: Selection) -> tuple[Regression, ...]:
    before = msgspec.structs.replace(selection, since=None, verdict=None)
    begin = selection.since or 0.0
    return tuple(one for one in regressions(before.trials(sessions)) if one.last.session.started >= begin)


def _wanted(selection: Selection) -> "Wanted":
    from gameday.history.query import Wanted

    goes_on = selection.verdict in (RUNNING, Status.INTERRUPTED.value)
    return Wanted(
        service=selection.service,
        fault=selection.fault,
        experiment=selection.experiment,
        environment=selection.environment,
        verdict=None if goes_on else selection.verdict,
        is_ended=False if goes_on else None,
        since=selection.since,
    )
