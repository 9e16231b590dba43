"""Old sessions and closed actions, removed from the store; never what is unfinished, open, or still spoken of."""

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gameday.history import schema
from gameday.history.feed import ACTION, SESSION
from gameday.history.rows import remove_sessions
from gameday.history.store import Store
from gameday.journal.events import Verdict


class Old(msgspec.Struct, frozen=True):
    """What can go. `sessions`: ids, titles and when each began (Unix time), the oldest first; `kept`: how many stay
    though they are as old, for they are unfinished, could not be undone, or have found what is still open; `actions`:
    ids and titles."""

    sessions: tuple[tuple[str, str, float], ...]
    kept: int
    actions: tuple[tuple[str, str], ...]


def find_old(store: Store, before: float) -> Old:
    """What began, or was closed, before that Unix time. Raises StoreError."""
    with store.database.reading() as connection:
        return _find(connection, store.project, before)


def prune(store: Store, before: float) -> Old:
    """Remove it, as it is now, and remember that it was, so that no sync brings it back. Journals and the log of
    actions stay as they are. Raises StoreError."""
    with store.database.writing() as connection:
        old = _find(connection, store.project, before)
        remove_sessions(connection, store.project, [name for name, *_ in old.sessions])
        table = schema.actions
        for action, _ in old.actions:
            connection.execute(table.delete().where(table.c.project == store.project, table.c.action == action))
        of = [(SESSION, name) for name, *_ in old.sessions] + [(ACTION, action) for action, _ in old.actions]
        rows = [{"project": store.project, "kind": kind, "name": name, "at": before} for kind, name in of]
        statement = store.database.insert(schema.removed)
        keys = [schema.removed.c.project, schema.removed.c.kind, schema.removed.c.name]
        if rows:
            connection.execute(
                statement.on_conflict_do_update(index_elements=keys, set_={"at": statement.excluded.at}), rows
            )
    return old


def _find(connection: Connection, project: str, before: float) -> Old:
    s, a, f = schema.sessions, schema.actions, schema.findings
    is_open = (a.c.project == project, a.c.is_open.is_(True))
    found_it = sa.select(f.c.session).where(
        f.c.project == project, f.c.action.in_(sa.select(a.c.action).where(*is_open))
    )
    spoken_of = sa.union(found_it, sa.select(a.c.opened_by).where(*is_open))
    old = (s.c.project == project, s.c.started < before)
    # What an undo has left may be there still, whatever was done about it since.
    has_left_nothing = s.c.verdict != Verdict.UNDO_FAILED.value
    can_go = (s.c.verdict.is_not(None), has_left_nothing, s.c.session.not_in(spoken_of))
    chosen = sa.select(s.c.session, s.c.title, s.c.started).where(*old, *can_go).order_by(s.c.started, s.c.session)
    sessions = tuple((row.session, row.title, row.started) for row in connection.execute(chosen))
    every = connection.execute(sa.select(sa.func.count()).select_from(s).where(*old)).scalar_one()
    closed = sa.select(a.c.action, a.c.title).where(
        a.c.project == project, a.c.is_open.is_(False), a.c.changed_at < before
    )
    actions = tuple((row.action, row.title) for row in connection.execute(closed.order_by(a.c.changed_at, a.c.action)))
    return Old(sessions, every - len(sessions), actions)
