"""Locks on services over all machines that share a store: all of a session's or none, until released or expired.

Time is the database's. An expired lock that nobody has taken since is still its holder's to renew: its token tells.
"""

from collections.abc import Sequence

import sqlalchemy as sa

from gameday.engine.locks import LockHeldError
from gameday.history.database import Database
from gameday.history.leases import clock
from gameday.history.rows import key
from gameday.history.schema import locks
from gameday.history.store import Store


class ServiceHeldError(LockHeldError):
    """Another session holds a service: `run` is its id."""

    def __init__(self, service: str, holder: str, run: str) -> None:
        super().__init__(service, f"{holder}, as {run}" if run else holder)
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
        statement = sa.select(locks.c.holder, locks.c.session).where(*self._of, locks.c.service == service, *so)
        row = connection.execute(statement).first()
        return ServiceHeldError(service, row.holder, row.session) if row else None

    def renew(self, for_s: float) -> bool:
        """Hold them all for at least so many seconds from now. False: another session has taken one of them since it
        had expired."""
        until = clock(self._database) + for_s
        later = sa.case((locks.c.expires_at > until, locks.c.expires_at), else_=until)
        with self._database.writing() as connection:
            return all(
                connection.execute(
                    locks.update().where(*self._of, *_is(service, token)).values(expires_at=later)
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


def release_locks_of(store: Store, run: str) -> None:
    """Let all go that a run holds, in whatever environment: for one that is dead and has left nothing. Raises
    StoreError."""
    with store.database.writing() as connection:
        connection.execute(
            locks.update().where(locks.c.project == store.project, locks.c.session == run).values(**_FREE)
        )


def _in_order(services: Sequence[str]) -> list[str]:
    """So that two sessions cannot wait for each other."""
    return sorted(set(map(key, services)))


def _is(service: str, token: int) -> tuple[sa.ColumnElement[bool], ...]:
    return locks.c.service == service, locks.c.token == token
