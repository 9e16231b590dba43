"""Locks on services over all machines that share a store: all of a session's or none, until released or expired.

Time is the database's. An expired lock that nobody has taken since is still its holder's to renew: its token tells.
"""

from collections.abc import Iterable

import sqlalchemy as sa

from gameday.history.database import Database
from gameday.history.leases import clock
from gameday.history.rows import key
from gameday.history.schema import locks
from gameday.history.store import Store


class ServiceHeldError(Exception):
    """Another session holds a service."""

    def __init__(self, service: str, holder: str) -> None:
        super().__init__(f"{service} is held by {holder}")
        self.service = service
        self.holder = holder


class SharedLocks:
    """The locks of one session in one environment. Every method raises StoreError."""

    def __init__(self, store: Store, environment: str, ttl_s: float) -> None:
        self._database: Database = store.database
        self._of = (locks.c.project == store.project, locks.c.environment == environment)
        self._row = {"project": store.project, "environment": environment}
        self._ttl_s = ttl_s
        self._tokens: dict[str, int] = {}

    def acquire(self, services: Iterable[str], holder: str) -> None:
        """All or none. Raises ServiceHeldError."""
        now, found = clock(self._database), {}
        with self._database.writing() as connection:
            # In this order, so that two sessions cannot wait for each other.
            for service in sorted(set(map(key, services))):
                row = {**self._row, "service": service, "holder": holder, "token": 1, "expires_at": now + self._ttl_s}
                statement = self._database.insert(locks).values(**row)
                statement = statement.on_conflict_do_update(
                    index_elements=[locks.c.project, locks.c.environment, locks.c.service],
                    set_={"holder": holder, "token": locks.c.token + 1, "expires_at": now + self._ttl_s},
                    where=locks.c.expires_at <= now,
                )
                token = connection.execute(statement.returning(locks.c.token)).scalar()
                if token is None:
                    held = sa.select(locks.c.holder).where(*self._of, locks.c.service == service)
                    raise ServiceHeldError(service, connection.execute(held).scalar() or "another session")
                found[service] = token
        self._tokens = found

    def renew(self) -> bool:
        """Hold them all for as long again. False: another session has taken one of them since it had expired."""
        until = clock(self._database) + self._ttl_s
        with self._database.writing() as connection:
            return all(
                connection.execute(
                    locks.update().where(*self._of, *_is(service, token)).values(expires_at=until)
                ).rowcount
                for service, token in sorted(self._tokens.items())
            )

    def release(self) -> None:
        """Let all go that are still held."""
        with self._database.writing() as connection:
            for service, token in sorted(self._tokens.items()):
                connection.execute(
                    locks.update().where(*self._of, *_is(service, token)).values(expires_at=0.0, holder="")
                )
        self._tokens = {}


def _is(service: str, token: int) -> tuple[sa.ColumnElement[bool], ...]:
    return locks.c.service == service, locks.c.token == token
