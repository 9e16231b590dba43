"""What several machines agree on in the store: claims, which are taken once for ever, and leases, which expire.

Time is the database's alone: a machine whose clock is wrong takes no lease too early and holds none too long.
"""

import msgspec
import sqlalchemy as sa

from gameday.history.database import Database
from gameday.history.schema import claims, leases


class Claim(msgspec.Struct, frozen=True):
    """Something that was due and has been taken. `due_at` and `at`: Unix times, `at` by the database's clock.
    `outcome`: what became of it, None while that is not known; `run`: the session's id, where there is one."""

    kind: str
    name: str
    due_at: float
    holder: str
    at: float
    outcome: str | None = None
    run: str | None = None


class Lease:
    """Something that one holder has until it expires, unless renewed in time. `token` is larger than that of every
    lease of this name before: whoever is given a smaller one than they have seen must refuse it."""

    def __init__(self, leases: "Leases", name: str, holder: str, ttl_s: float, token: int) -> None:
        self._leases = leases
        self.name = name
        self.holder = holder
        self.ttl_s = ttl_s
        self.token = token

    def renew(self) -> bool:
        """Hold it for another `ttl_s` seconds from now. False: it has expired, and may be another's. Raises
        StoreError; then it is not known which."""
        return self._leases.renew(self.name, self.token, self.ttl_s)

    def release(self) -> None:
        """Let it go; harmless when it has expired. Raises StoreError."""
        self._leases.release(self.name, self.token)


class Claims:
    """The claims of a project. Every method raises StoreError."""

    def __init__(self, database: Database, project: str) -> None:
        self._database = database
        self._project = project

    def claim(self, kind: str, name: str, due_at: float, holder: str) -> bool:
        """True for exactly one caller over all machines, for ever; on disk before this returns."""
        database = self._database
        row = {"project": self._project, "kind": kind, "name": name, "due_at": due_at, "holder": holder}
        statement = database.insert(claims).values(**row, at=clock(database)).on_conflict_do_nothing()
        with database.writing() as connection:
            return connection.execute(statement.returning(claims.c.due_at)).first() is not None

    def settle(self, kind: str, name: str, due_at: float, outcome: str, run: str | None) -> None:
        """Note what became of it. The last word counts."""
        statement = claims.update().where(*self._are(kind, name), claims.c.due_at == due_at)
        with self._database.writing() as connection:
            connection.execute(statement.values(outcome=outcome, run=run))

    def claims(self, kind: str, name: str, since: float) -> tuple[Claim, ...]:
        """Those that were due at that Unix time or later, in the order in which they were."""
        columns = [claims.c[field] for field in Claim.__struct_fields__]
        statement = sa.select(*columns).where(*self._are(kind, name), claims.c.due_at >= since)
        with self._database.reading() as connection:
            return tuple(Claim(*row) for row in connection.execute(statement.order_by(claims.c.due_at)))

    def now(self) -> float:
        """Unix time."""
        with self._database.reading() as connection:
            return float(connection.execute(sa.select(clock(self._database))).scalar_one())

    def _are(self, kind: str, name: str) -> tuple[sa.ColumnElement[bool], ...]:
        return claims.c.project == self._project, claims.c.kind == kind, claims.c.name == name


class Leases:
    """The leases of a project. Every method raises StoreError."""

    def __init__(self, database: Database, project: str) -> None:
        self._database = database
        self._project = project

    def take(self, name: str, holder: str, ttl_s: float) -> Lease | None:
        """The lease, for so many seconds; None while another holds it, be it the same holder."""
        now = clock(self._database)
        row = {"project": self._project, "name": name, "holder": holder, "token": 1, "expires_at": now + ttl_s}
        statement = self._database.insert(leases).values(**row)
        statement = statement.on_conflict_do_update(
            index_elements=[leases.c.project, leases.c.name],
            set_={"holder": holder, "token": leases.c.token + 1, "expires_at": now + ttl_s},
            where=leases.c.expires_at <= now,
        )
        with self._database.writing() as connection:
            token = connection.execute(statement.returning(leases.c.token)).scalar()
        return None if token is None else Lease(self, name, holder, ttl_s, token)

    def renew(self, name: str, token: int, ttl_s: float) -> bool:
        """Whether it was still held by this token, and is for so many seconds more."""
        return self._move(name, token, clock(self._database) + ttl_s)

    def release(self, name: str, token: int) -> None:
        """Let it go, if it is still this token's."""
        self._move(name, token, sa.literal(0.0))

    def admits(self, name: str, token: int) -> bool:
        """Whether this token holds the lease now: to be asked before anything that only a holder may do."""
        statement = sa.select(leases.c.token).where(*self._is_held(name, token))
        with self._database.reading() as connection:
            return connection.execute(statement).first() is not None

    def _move(self, name: str, token: int, expires_at: sa.ColumnElement[float]) -> bool:
        statement = leases.update().where(*self._is_held(name, token)).values(expires_at=expires_at)
        with self._database.writing() as connection:
            return connection.execute(statement).rowcount == 1

    def _is_held(self, name: str, token: int) -> tuple[sa.ColumnElement[bool], ...]:
        now = clock(self._database)
        return (
            leases.c.project == self._project,
            leases.c.name == name,
            leases.c.token == token,
            leases.c.expires_at > now,
        )


def clock(database: Database) -> sa.ColumnElement[float]:
    """The database's own clock at the moment at which it looks, in seconds of Unix time."""
    if database.is_sqlite:
        # https://www.sqlite.org/lang_datefunc.html: days since noon in Greenwich on November 24, 4714 B.C.
        return (sa.func.julianday("now", type_=sa.Double()) - 2440587.5) * 86400.0
    # clock_timestamp(), unlike now(), goes on within a transaction that has waited for a lock.
    return sa.cast(sa.func.extract("epoch", sa.func.clock_timestamp()), sa.Double())
