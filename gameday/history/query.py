"""What the store is asked of its sessions; every filter is the database's."""

from collections.abc import Iterator, Sequence

import msgspec
import sqlalchemy as sa

from gameday.history.database import Database
from gameday.history.rows import key
from gameday.history.schema import alerts, events, experiments, faults, sessions

_AT_ONCE = 500
_JUDGED = ("held", "weakness")
_IN_TIME, _BEFORE = "in-time", "fired-before"

type _Experiments = sa.FromClause  # the table, or an alias of it


class Wanted(msgspec.Struct, frozen=True):
    """Which sessions; what is None does not matter. `service`, `fault` and `experiment` (a path) are of one and the
    same experiment. `since`: it began at that Unix time or later; `before`: before that. `is_ended`: whether its
    journal says that it ended."""

    service: str | None = None
    fault: str | None = None
    experiment: str | None = None
    environment: str | None = None
    verdict: str | None = None
    is_ended: bool | None = None
    since: float | None = None
    before: float | None = None


class Stored(msgspec.Struct, frozen=True):
    """A session as it was fed: its document, whether it was going on at `fed_at`, a Unix time of the feeder's."""

    session: str
    document: str
    is_running: bool
    fed_at: float


_STORED = [sessions.c[name] for name in Stored.__struct_fields__]


class Queries:
    """The sessions of a project. Every method raises StoreError."""

    def __init__(self, database: Database, project: str) -> None:
        self._database = database
        self._project = project

    def count(self, wanted: Wanted) -> int:
        """How many there are."""
        statement = sa.select(sa.func.count()).select_from(sessions).where(*self._where(wanted))
        with self._database.reading() as connection:
            return connection.execute(statement).scalar_one()

    def newest(self, wanted: Wanted, limit: int | None = None) -> tuple[Stored, ...]:
        """So many at most, the newest first."""
        statement = sa.select(*_STORED).where(*self._where(wanted))
        statement = statement.order_by(sessions.c.started.desc(), sessions.c.session.desc()).limit(limit)
        with self._database.reading() as connection:
            return tuple(Stored(*row) for row in connection.execute(statement))

    def oldest_first(self, wanted: Wanted) -> Iterator[Stored]:
        """All of them, one after the other."""
        statement = sa.select(*_STORED).where(*self._where(wanted)).order_by(sessions.c.started, sessions.c.session)
        with self._database.reading() as connection:
            for row in connection.execution_options(yield_per=_AT_ONCE).execute(statement):
                yield Stored(*row)

    def exercised(self, wanted: Wanted) -> Iterator[tuple[str, str]]:
        """Each session, and what it has exercised, where that is known."""
        statement = sa.select(sessions.c.session, sessions.c.exercised).where(*self._where(wanted))
        with self._database.reading() as connection:
            known = connection.execution_options(yield_per=_AT_ONCE).execute(
                statement.where(sessions.c.exercised.is_not(None))
            )
            for row in known:
                yield row.session, row.exercised

    def firsts(self, limit: int) -> Iterator[tuple[str, str, str | None]]:
        """Of so many sessions at most, the newest first: its name, the first line of its journal, its verdict."""
        e, s = events, sessions
        statement = sa.select(e.c.session, e.c.data, s.c.verdict).where(
            e.c.project == self._project,
            e.c.kind == "session-started",
            s.c.project == e.c.project,
            s.c.session == e.c.session,
        )
        with self._database.reading() as connection:
            for row in connection.execute(statement.order_by(e.c.at.desc()).limit(limit)):
                yield row.session, row.data, row.verdict

    def telling(self, wanted: Wanted, *, expected: bool = False) -> tuple[Stored, ...]:
        """Those that say what used to be better: of each experiment in each environment the last that was well in some
        way, and all that were not since. Whoever looks for regressions finds in them what all sessions would show.

        `wanted` names no time and no verdict: what was well may lie far back, and may have ended in any way.
        `expected`: of alerts, those alone that the newest run expects are needed, as a regression is of no other.
        """
        # By a fault it would be asked of each row again and again whether it has had that fault.
        fired = self._expected(wanted) if expected and wanted.fault is None else self._fired(wanted)
        names = sa.union(self._ended(wanted), fired)
        statement = sa.select(*_STORED).where(sessions.c.project == self._project, sessions.c.session.in_(names))
        with self._database.reading() as connection:
            return tuple(Stored(*row) for row in connection.execute(statement))

    def _judged(self, wanted: Wanted, e: _Experiments = experiments) -> Sequence[sa.ColumnElement[bool]]:
        return *self._experiments(wanted, self._project, e), e.c.verdict.in_(_JUDGED)

    def _ended(self, wanted: Wanted) -> sa.Select[tuple[str]]:
        """By what became of them, and how fast they recovered."""
        e = experiments
        is_held, is_back, is_late = e.c.verdict == "held", e.c.is_recovered.is_(True), e.c.is_recovered.is_(False)
        same = [e.c.path, e.c.environment]
        found = sa.select(
            e.c.session,
            e.c.started,
            sa.not_(is_held).label("is_bad"),
            is_late.label("is_late"),
            _last(e.c.started, is_held, same).label("held_at"),
            _last(e.c.started, is_back, same).label("back_at"),
            _last(e.c.started, sa.true(), same).label("last_at"),
        )
        one = found.where(*self._judged(wanted)).subquery()
        return sa.select(one.c.session).where(
            sa.or_(
                _from(one.c.started, one.c.held_at, one.c.is_bad),
                _from(one.c.started, one.c.back_at, one.c.is_late),
                one.c.started == one.c.last_at,  # only what the newest of them expects can be lost
            )
        )

    def _fired(self, wanted: Wanted) -> sa.Select[tuple[str]]:
        """By every alert that any of them expected."""
        e, a = experiments, alerts
        fired = sa.select(
            e.c.session,
            e.c.started,
            a.c.result.not_in((_IN_TIME, _BEFORE)).label("is_bad"),
            _last(e.c.started, a.c.result == _IN_TIME, [e.c.path, e.c.environment, a.c.name]).label("good_at"),
        )
        one = fired.select_from(e.join(a, _are_of(a, e))).where(*self._judged(wanted)).subquery()
        return sa.select(one.c.session).where(_from(one.c.started, one.c.good_at, one.c.is_bad))

    def _expected(self, wanted: Wanted) -> sa.Select[tuple[str]]:
        """By the alerts that the newest of the same expects: each is looked up backwards until it was well."""
        same = [experiments.c.path, experiments.c.environment]
        newest = sa.select(*same, sa.func.max(experiments.c.started).label("at"))
        last = newest.where(*self._judged(wanted)).group_by(*same).subquery()
        e, a = experiments.alias(), alerts.alias()
        is_last = sa.and_(_are_same(e, last), e.c.started == last.c.at)
        names = sa.select(last.c.path, last.c.environment, a.c.name).distinct()
        names = names.select_from(last.join(e, is_last).join(a, _are_of(a, e)))
        asked = names.where(*self._judged(wanted, e)).subquery()
        e, a = experiments.alias(), alerts.alias()
        well = sa.select(e.c.started).select_from(e.join(a, _are_of(a, e))).where(*self._judged(wanted, e))
        well = well.where(_are_same(e, asked), a.c.name == asked.c.name, a.c.result == _IN_TIME)
        good_at = well.order_by(e.c.started.desc()).limit(1).correlate(asked).scalar_subquery()
        since = sa.select(asked, good_at.label("good_at")).subquery()
        e, a = experiments.alias(), alerts.alias()
        is_since = sa.and_(_are_same(e, since), e.c.started >= since.c.good_at)
        found = sa.select(e.c.session).select_from(since.join(e, is_since).join(a, _are_of(a, e)))
        is_bad = a.c.result.not_in((_IN_TIME, _BEFORE))
        return found.where(
            *self._judged(wanted, e), a.c.name == since.c.name, _from(e.c.started, since.c.good_at, is_bad)
        )

    def _where(self, wanted: Wanted) -> Iterator[sa.ColumnElement[bool]]:
        s = sessions
        yield s.c.project == self._project
        if wanted.environment is not None:
            yield s.c.environment == key(wanted.environment)
        if wanted.verdict is not None:
            yield s.c.verdict == wanted.verdict
        if wanted.is_ended is not None:
            yield s.c.verdict.is_not(None) if wanted.is_ended else s.c.verdict.is_(None)
        if wanted.since is not None:
            yield s.c.started >= wanted.since
        if wanted.before is not None:
            yield s.c.started < wanted.before
        if (wanted.service, wanted.fault, wanted.experiment) != (None, None, None):
            named = msgspec.structs.replace(wanted, environment=None)
            yield s.c.session.in_(sa.select(experiments.c.session).where(*self._experiments(named, self._project)))

    @staticmethod
    def _experiments(wanted: Wanted, project: str, e: _Experiments = experiments) -> Sequence[sa.ColumnElement[bool]]:
        found: list[sa.ColumnElement[bool]] = [e.c.project == project]
        if wanted.environment is not None:
            found.append(e.c.environment == key(wanted.environment))
        if wanted.service is not None:
            found.append(e.c.service == key(wanted.service))
        if wanted.experiment is not None:
            found.append(e.c.path == key(wanted.experiment))
        if wanted.fault is not None:
            f = faults
            named = sa.select(f.c.session, f.c.experiment).where(f.c.project == project)
            found.append(sa.tuple_(e.c.session, e.c.number).in_(named.where(f.c.fault == key(wanted.fault))))
        return found


def _are_of(a: sa.FromClause, e: _Experiments) -> sa.ColumnElement[bool]:
    """Alerts of the experiment."""
    return sa.and_(a.c.project == e.c.project, a.c.session == e.c.session, a.c.experiment == e.c.number)


def _are_same(e: _Experiments, other: sa.FromClause) -> sa.ColumnElement[bool]:
    """Of the same file in the same environment."""
    return sa.and_(e.c.path == other.c.path, e.c.environment == other.c.environment)


def _last(
    at: sa.ColumnElement[float], such: sa.ColumnElement[bool], same: Sequence[sa.ColumnElement[str]]
) -> sa.ColumnElement[float]:
    """When the last of the same was such."""
    return sa.func.max(sa.case((such, at))).over(partition_by=same)


def _from(
    at: sa.ColumnElement[float], good_at: sa.ColumnElement[float], is_bad: sa.ColumnElement[bool]
) -> sa.ColumnElement[bool]:
    """The last that was good, and those after it that were bad."""
    return sa.or_(at == good_at, sa.and_(at > good_at, is_bad))
