"""Locks on services over all machines that share a store: all of a session's or none, until released or expired.

Time is the database's. An expired lock that nobody has taken since is still its holder's to renew: its token tells.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from gameday.engine.locks import LockHeldError
from gameday.engine.shared_locks import TTL_S
from gameday.history.database import Database
from gameday.history.leases import clock
from gameday.history.rows import key
from gameday.history.schema import locks, sessions
from gameday.history.store import Store
from gameday.spec.units import format_duration

_LIVES_S = 180.0  # whoever lives renews each minute


class ServiceHeldError(LockHeldError):
    """Another session holds a service: `run` is its id. `more`: since when, until when, and what can be done."""

    def __init__(self, service: str, holder: str, run: str, more: str = "") -> None:
        super().__init__(service, (f"{holder}, as {run}" if run else holder) + more)
        self.run = run


class StoreLocks:
    """The locks of one session in one environment. Every method raises StoreError."""

    def __init__(self, store: Store, environment: str, holder: str) -> None:
        """`holder`: who others are told it is."""
        self._database: Database = store.database
        self._of = (locks.c.project == store.project, locks.c.environment == environment)
        self._row = {"project": store.project, "environment": environment}
        self._holder = holder
        self._tokens: dict[str, int] = {}

    def acquire(self, services: Sequence[str], run: str, for_s: float) -> None:
        """All or none, for so many seconds. Raises ServiceHeldError."""
        now, found = clock(self._database), {}
        with self._database.writing() as connection:
            for service in _in_order(services):
                values = {"holder": self._holder, "session": run, "expires_at": now + for_s}
                values |= {"taken_at": now, "renewed_at": now}
                statement = self._database.insert(locks).values(**self._row, **values, service=service, token=1)
                statement = statement.on_conflict_do_update(
                    index_elements=[locks.c.project, locks.c.environment, locks.c.service],
                    set_={**values, "token": locks.c.token + 1},
                    where=locks.c.expires_at <= now,
                )
                token = connection.execute(statement.returning(locks.c.token)).scalar()
                if token is None:
                    raise self._held(connection, service) or ServiceHeldError(service, "another session", "")
                found[service] = token
        self._tokens = found

    def check(self, services: Sequence[str]) -> None:
        """Nothing when they could be acquired now. Raises ServiceHeldError."""
        with self._database.reading() as connection:
            for service in _in_order(services):
                if held := self._held(connection, service, locks.c.expires_at > clock(self._database)):
                    raise held

    def _held(self, connection: sa.Connection, service: str, *so: sa.ColumnElement[bool]) -> ServiceHeldError | None:
        return _holder_of(self._database, connection, *self._of, locks.c.service == service, *so)

    def renew(self, for_s: float) -> bool:
        """Hold them all for at least so many seconds from now. False: another session has taken one of them since it
        had expired."""
        now = clock(self._database)
        until = now + for_s
        later = sa.case((locks.c.expires_at > until, locks.c.expires_at), else_=until)
        with self._database.writing() as connection:
            return all(
                connection.execute(
                    locks.update().where(*self._of, *_is(service, token)).values(expires_at=later, renewed_at=now)
                ).rowcount
                for service, token in sorted(self._tokens.items())
            )

    def release(self) -> None:
        """Let all go that are still held; harmless when there is none."""
        if not self._tokens:
            return
        with self._database.writing() as connection:
            for service, token in sorted(self._tokens.items()):
                connection.execute(locks.update().where(*self._of, *_is(service, token)).values(**_FREE))
        self._tokens = {}


_FREE = {"expires_at": 0.0, "holder": "", "session": ""}


def release_locks_of(store: Store, run: str) -> tuple[str, ...]:
    """Let all go that a run holds, in whatever environment, and say which services those were: for one that is dead and
    has left nothing. Raises StoreError."""
    with store.database.writing() as connection:
        return _let_go(connection, *_of_run(store, run))


def release_by_hand(store: Store, run: str) -> tuple[str, ...]:
    """The same for one whose machine is gone, as far as a person can tell.

    Raises ServiceHeldError when it may live: nobody has been told that it has ended, and less than TTL_S ago it has
    renewed them, since when it may inject without asking anybody. Raises StoreError.
    """
    held, now = _of_run(store, run), clock(store.database)
    has_ended = sa.exists().where(
        sessions.c.project == store.project, sessions.c.session == run, sessions.c.verdict.is_not(None)
    )
    with store.database.writing() as connection:
        services = _let_go(connection, *held, sa.or_(locks.c.renewed_at < now - TTL_S, has_ended))
        if error := _holder_of(store.database, connection, *held):
            raise error
    return services


def _of_run(store: Store, run: str) -> tuple[sa.ColumnElement[bool], ...]:
    """Those that it holds and that have not expired."""
    of_it = locks.c.project == store.project, locks.c.session == run
    return *of_it, locks.c.expires_at > clock(store.database)


def _let_go(connection: sa.Connection, *so: sa.ColumnElement[bool]) -> tuple[str, ...]:
    # With another token: should its holder live after all, it is told that it has lost them.
    freeing = locks.update().where(*so).values(**_FREE, token=locks.c.token + 1)
    freed = connection.execute(freeing.returning(locks.c.service))
    return tuple(sorted(set(freed.scalars())))


def _holder_of(database: Database, connection: sa.Connection, *so: sa.ColumnElement[bool]) -> ServiceHeldError | None:
    """Who holds the first such lock; None when there is none."""
    is_its = sa.and_(sessions.c.project == locks.c.project, sessions.c.session == locks.c.session)
    asked = sa.select(locks, clock(database).label("now"), sessions.c.verdict)
    row = connection.execute(asked.select_from(locks.outerjoin(sessions, is_its)).where(*so)).first()
    return ServiceHeldError(row.service, row.holder, row.session, _more(row)) if row else None


def _more(row: sa.Row[Any]) -> str:
    until = f"until {_moment(row.expires_at)} unless renewed"
    if row.renewed_at is None or not row.session:
        return f", {until}"
    ago_s = max(0, round(row.now - row.renewed_at))
    said = f", since {_moment(row.taken_at)}, {until} (last {format_duration(ago_s)} ago)"
    if ago_s < _LIVES_S and row.verdict is None:
        return f"{said}; `gameday abort {row.session}` there ends it"
    by_hand = f"`gameday recover {row.session}"
    return f"{said}; {by_hand}` there frees it; if that machine is gone: {by_hand} --write-off REASON`"


def _moment(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"


def _in_order(services: Sequence[str]) -> list[str]:
    """So that two sessions cannot wait for each other."""
    return sorted(set(map(key, services)))


def _is(service: str, token: int) -> tuple[sa.ColumnElement[bool], ...]:
    return locks.c.service == service, locks.c.token == token
