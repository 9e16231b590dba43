"""Feeds the store from journals: each is read once, and later only what has been added to it.

Whoever feeds reads first and writes then, in one transaction for a session, in which it makes sure that nobody else has
been there meanwhile. What is said twice is there once: an event is known by its session and its line.
"""

import contextlib
import os
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gameday.engine.runs import Run, runs_directory
from gameday.history import schema
from gameday.history.database import StoreError
from gameday.history.fed import Seen, forget_fed, lock_feed, look, read_fed, write_fed
from gameday.history.journal_lines import Line, first_line, read_on
from gameday.history.rows import Batch, key, remove_derived, remove_sessions, text
from gameday.history.store import Store
from gameday.history.summary import Reader, Summary
from gameday.journal.events import SessionStarted
from gameday.journal.log import JournalError, decode_event
from gameday.journal.signatures import NAME as SIGNATURES
from gameday.journal.signatures import read_signatures
from gameday.people.action_log import change_actions, read_actions
from gameday.people.actions import Action, ActionEvent, Change, merge_action

SESSION, ACTION = "session", "action"  # kinds of what was removed
_TRIES = 20  # each time somebody else was faster, and then there is less to do
_AT_ONCE = 200
_MANY = 5000


class Fed(msgspec.Struct, frozen=True):
    """What a feed has done. `sessions`: how many had something new, of `runs`; `unread`: runs whose journals cannot be
    read."""

    runs: int
    sessions: int
    events: int
    unread: tuple[str, ...] = ()


class _Mark(msgspec.Struct, frozen=True):
    """How far a journal has been read."""

    journal_size: int = 0
    bytes_read: int = 0
    lines_read: int = 0
    signatures_size: int = 0
    document_version: int = 0
    is_running: bool = False


_NEW = _Mark()
_MARK = [schema.sessions.c[name] for name in _Mark.__struct_fields__]


def sync(store: Store, reader: Reader) -> Fed:
    """Catch up with the journals and the log of actions of the project. Raises StoreError."""
    fed = read_fed(store, reader.version)
    runs_here, changed = look(store.root, fed)
    feeder = _Feeder(store, reader)
    if changed:
        marks, removed = _marks(store, [*changed]), _removed(store, SESSION)
        runs = [Run(runs_directory(store.root) / name) for name in changed]
        others = {name for name, seen in changed.items() if name in marks and _is_another(seen, fed.known.get(name))}
        known = marks.keys() - others
        for some in _parts([run for run in runs if run.name not in known and run.name not in removed]):
            feeder.feed_new(some, others)
        for run in (run for run in runs if run.name in known):
            feeder.feed(run, marks[run.name])
        settled = {name: seen for name, seen in changed.items() if name in removed}
        settled |= _settled(store, reader, changed)
        if settled:
            write_fed(store, msgspec.structs.replace(fed, known=fed.known | settled))
    exchange_actions(store)
    if feeder.sessions:
        store.database.analyze()
    return Fed(runs_here, feeder.sessions, feeder.events, tuple(feeder.unread))


def _is_another(seen: Seen, before: Seen | None) -> bool:
    """Of the same size and yet written since: nothing was added, so the journal, or its signatures, are others."""
    if before is None:
        return False
    of_journal = seen.size == before.size and seen.written_ns != before.written_ns
    return of_journal or (seen.signatures_size == before.signatures_size and seen.signed_ns != before.signed_ns)


def _settled(store: Store, reader: Reader, changed: Mapping[str, Seen]) -> dict[str, Seen]:
    """Those of which the store has all that will be said, unless they change."""
    return {
        name: changed[name]
        for name, mark in _marks(store, [*changed]).items()
        if name in changed
        and not mark.is_running
        and mark.document_version >= reader.version
        and changed[name].sizes == (mark.journal_size, mark.signatures_size)
    }


def _names(root: Path) -> list[str]:
    """Of all runs, the oldest first. There may be very many, of which hardly any has changed."""
    try:
        with os.scandir(runs_directory(root)) as entries:
            return sorted(entry.name for entry in entries)
    except (FileNotFoundError, NotADirectoryError):
        return []


def rebuild(store: Store, reader: Reader, *, drop: bool = False) -> tuple[Fed, int]:
    """Read every journal of the project anew, those too that were pruned; what machines agreed on stays. Sessions whose
    journals are not here stay as they are, and their number is given, unless `drop`. Raises StoreError."""
    here = _names(store.root)
    sessions, of = schema.sessions, schema.sessions.c.project == store.project
    with store.database.writing() as connection:
        lock_feed(store, connection)
        known = [*connection.execute(sa.select(sessions.c.session).where(of)).scalars()]
        gone = known if drop else [*set(here).intersection(known)]
        remove_sessions(connection, store.project, gone)
        forget_fed(store, connection)
        connection.execute(schema.actions.delete().where(schema.actions.c.project == store.project))
        connection.execute(schema.removed.delete().where(schema.removed.c.project == store.project))
    return sync(store, reader), len(known) - len(gone)


def forget_marks(store: Store, names: Sequence[str]) -> None:
    """Have these sessions read anew by the next sync. Raises StoreError."""
    with store.database.writing() as connection:
        lock_feed(store, connection)
        remove_sessions(connection, store.project, names)
        forget_fed(store, connection)


class _Feeder:
    """Feeds run after run, and counts."""

    def __init__(self, store: Store, reader: Reader) -> None:
        self._store = store
        self._reader = reader
        self.sessions = 0
        self.events = 0
        self.unread: list[str] = []

    def feed_new(self, runs: Iterable[Run], others: Collection[str] = ()) -> None:
        """Those that the store knows nothing of, or in whose place there are `others` now, in one transaction. Raises
        StoreError."""
        store, found = self._store, {}
        for run in runs:
            with self._noting(run):
                found[run] = self._read(run, _NEW)
        if not found:
            return
        batch, names = Batch(store.project), [run.name for run in found]
        with store.database.writing() as connection:
            lock_feed(store, connection)
            remove_sessions(connection, store.project, [name for name in names if name in others])
            known = _marks_of(store, connection, names)
            for run, (mark, lines) in found.items():
                if run.name not in known:
                    self._add(batch, run, mark, lines, lines)
            batch.write(store.database, connection)
        self._count((lines for run, (_, lines) in found.items() if run.name not in known))

    def feed(self, run: Run, mark: _Mark) -> None:
        """What is new of one that has been read until this mark. Raises StoreError."""
        with self._noting(run):
            for _ in range(_TRIES):
                if not self._has_changed(run, mark):
                    return
                begin = mark if self._goes_on(run, mark) else _NEW
                new, lines = self._read(run, begin)
                if self._append(run, mark, begin, new, lines):
                    self._count([lines])
                    return
                mark = _marks(self._store, [run.name]).get(run.name, _NEW)
            raise StoreError(f"the store {self._store.where}: others are always faster to write {run.name}; try again")

    def _has_changed(self, run: Run, mark: _Mark) -> bool:
        sizes = (run.journal.stat().st_size, _size(run.directory / SIGNATURES))
        is_same = sizes == (mark.journal_size, mark.signatures_size) and mark.document_version >= self._reader.version
        return not is_same or (mark.is_running and not run.is_written())

    def _goes_on(self, run: Run, mark: _Mark) -> bool:
        """Whether it is the journal that was read; any other is shorter, or begins otherwise. Raises OSError."""
        size = run.journal.stat().st_size
        if size <= mark.bytes_read or size == mark.journal_size:
            return size >= mark.bytes_read
        with self._store.database.reading() as connection:
            known = next(_known_lines(connection, self._store.project, run.name, 1), None)
        return known is None or known.number > 1 or known.data == text(first_line(run.journal))

    def _read(self, run: Run, begin: _Mark) -> tuple[_Mark, tuple[Line, ...]]:
        """The new mark and the new lines. Raises OSError and JournalError."""
        size, signatures_size = run.journal.stat().st_size, _size(run.directory / SIGNATURES)
        found = read_on(run.journal, begin.bytes_read, begin.lines_read)
        if begin is _NEW and not found.lines:
            raise JournalError(f"the journal {run.journal} says nothing that can be read")
        version = self._reader.version
        return _Mark(size, found.bytes_read, found.lines_read, signatures_size, version), found.lines

    def _append(self, run: Run, known: _Mark, begin: _Mark, new: _Mark, lines: tuple[Line, ...]) -> bool:
        """False: somebody else has been there meanwhile."""
        store, batch = self._store, Batch(self._store.project)
        with store.database.writing() as connection:
            lock_feed(store, connection)
            if _marks_of(store, connection, [run.name]).get(run.name, _NEW) != known:
                return False
            if begin is _NEW:
                remove_sessions(connection, store.project, [run.name])
                every = lines
            else:
                every = (*_known_lines(connection, store.project, run.name), *lines)
                remove_derived(connection, store.project, run.name)
            self._add(batch, run, new, lines, every)
            batch.write(store.database, connection)
        return True

    def _add(self, batch: Batch, run: Run, mark: _Mark, lines: Iterable[Line], every: Sequence[Line]) -> None:
        reading = self._reader.begin(run.name)
        for line in every:
            reading.apply(line.event)
        summary = reading.summary()
        batch.add_events(run.name, lines)
        batch.add_derived(run.name, every, summary)
        batch.add_signatures(run.name, read_signatures(run.directory))
        row = msgspec.structs.asdict(mark) | {"is_running": summary.verdict is None and run.is_written()}
        batch.add_session(run.name, row | _session(summary, every))

    def _count(self, fed: Iterable[Sequence[Line]]) -> None:
        for lines in fed:
            self.sessions += 1
            self.events += len(lines)

    @contextlib.contextmanager
    def _noting(self, run: Run) -> Iterator[None]:
        """A journal that cannot be read keeps no other from its turn."""
        try:
            yield
        except (OSError, JournalError) as error:
            if isinstance(error, StoreError):
                raise
            self.unread.append(run.name)


def _session(summary: Summary, lines: Iterable[Line]) -> dict[str, object]:
    start = next((line.event for line in lines if isinstance(line.event, SessionStarted)), None)
    return {
        "started": summary.started,
        "title": text(summary.title),
        "environment": key(summary.environment),
        "verdict": summary.verdict,
        "host": text(start.host) if start else "",
        "started_by": text(start.by) if start else "",
        "document": text(summary.document),
        "exercised": text(summary.exercised),
        "fed_at": time.time(),
    }


def _known_lines(connection: Connection, project: str, session: str, limit: int | None = None) -> Iterator[Line]:
    table = schema.events
    statement = sa.select(table.c.number, table.c.data).where(table.c.project == project, table.c.session == session)
    for number, data in connection.execute(statement.order_by(table.c.number).limit(limit)):
        try:
            yield Line(number, decode_event(data.encode()), data)
        except msgspec.DecodeError:  # a newer gameday's
            continue


def _marks(store: Store, names: Sequence[str]) -> dict[str, _Mark]:
    with store.database.reading() as connection:
        # Others may have fed very many, so all are read only by whoever has many, too.
        parts = _parts(names) if len(names) <= _MANY else [names]
        return {name: mark for some in parts for name, mark in _marks_of(store, connection, some).items()}


def _marks_of(store: Store, connection: Connection, names: Sequence[str]) -> dict[str, _Mark]:
    table = schema.sessions
    statement = sa.select(table.c.session, *_MARK).where(table.c.project == store.project)
    if len(names) <= _AT_ONCE:
        statement = statement.where(table.c.session.in_(names))
    return {name: _Mark(*values) for name, *values in connection.execute(statement)}


def _removed(store: Store, kind: str) -> dict[str, float]:
    table = schema.removed
    statement = sa.select(table.c.name, table.c.at).where(table.c.project == store.project, table.c.kind == kind)
    with store.database.reading() as connection:
        return {row.name: row.at for row in connection.execute(statement)}


def exchange_actions(store: Store) -> None:
    """Have the log of this machine and the store know the same of actions. Raises StoreError."""
    known, removed = _known_actions(store), _removed(store, ACTION)

    def learn(ours: dict[str, Action]) -> list[ActionEvent]:
        now = time.time()
        merged = (merge_action(ours.get(name, theirs), theirs, now) for name, theirs in known.items())
        return [
            ActionEvent(now, one.id, Change.LEARNED, "the store", action=one)
            for one in merged
            if ours.get(one.id) != one
        ]

    try:
        actions = read_actions(store.root)
        if learn(actions):
            change_actions(store.root, learn)
            actions = read_actions(store.root)
    except OSError as error:
        raise StoreError(f"the log of actions cannot be kept: {error.strerror or error}") from None
    wanted = [one for one in actions.values() if one.changed_at > removed.get(one.id, -1.0)]
    rows = [
        _action(store.project, one)
        for one in wanted
        if one.id not in known or known[one.id].changed_at < one.changed_at
    ]
    if not rows:
        return
    table = schema.actions
    statement = store.database.insert(table)
    statement = statement.on_conflict_do_update(
        index_elements=[table.c.project, table.c.action],
        set_={name: statement.excluded[name] for name in rows[0]},
        where=table.c.changed_at < statement.excluded.changed_at,
    )
    with store.database.writing() as connection:
        for some in _parts(rows):
            connection.execute(statement, [*some])


def _known_actions(store: Store) -> dict[str, Action]:
    """As the store has them; what a newer gameday has written is left to it."""
    table, found = schema.actions, dict[str, Action]()
    statement = sa.select(table.c.action, table.c.document).where(table.c.project == store.project)
    with store.database.reading() as connection:
        for name, document in connection.execute(statement):
            with contextlib.suppress(msgspec.MsgspecError):
                found[name] = _action_decoder.decode(document)
    return found


_action_decoder = msgspec.json.Decoder(Action)


def _action(project: str, one: Action) -> dict[str, str | float | bool | None]:
    return {
        "project": project,
        "action": one.id,
        "title": text(one.content.title),
        "service": one.content.service and text(one.content.service),
        "owner": one.owner and text(one.owner),
        "is_open": one.is_open,
        "opened_at": one.opened_at,
        "opened_by": text(one.opened_by),
        "changed_at": one.changed_at,
        "document": text(msgspec.json.encode(one).decode()),
    }


def _size(path: Path | str) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116 - quicker than a Path
    except OSError:
        return 0


def _parts[T](items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[begin : begin + _AT_ONCE] for begin in range(0, len(items), _AT_ONCE))
