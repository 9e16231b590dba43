"""The database of the store: its URL, its transactions, its migrations, and what goes wrong with it in one sentence."""

import contextlib
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from gameday.common.redact import Redactor
from gameday.history.schema import REVISION, VERSION_TABLE

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite

_MIGRATIONS = Path(__file__).parent / "migrations"
_WAIT_S = 30  # for whoever writes meanwhile
_CONNECT_S = 10
_STATEMENT_S = 120
_WRITES = "gameday_writes"
_MIGRATION_LOCK = 0x67616D6564  # any number that nobody else takes
_ANALYZED_ROWS = 400  # of each index; https://www.sqlite.org/lang_analyze.html says 100 to 1000
# In kibibytes; and what is removed is overwritten, a person's name too.
_SQLITE_SETTINGS = ("PRAGMA cache_size = -65536", "PRAGMA secure_delete = ON")
# A connection that is stopped or cut off must not keep others waiting for ever.
_POSTGRESQL_SETTINGS = (
    f"SET statement_timeout = {_STATEMENT_S * 1000}",
    f"SET lock_timeout = {_WAIT_S * 1000}",
    f"SET idle_in_transaction_session_timeout = {_WAIT_S * 1000}",
)
_DAMAGED = "is no SQLite database, or a damaged one; move it away, and `gameday history rebuild` makes it anew"


class StoreError(OSError):
    """The store cannot be opened, read or written; the message says which one and why, and holds no password."""


class NoTablesError(StoreError):
    """The database answers, and nobody has made the store's tables yet."""


class Database:
    """A store's database. Every method raises StoreError."""

    def __init__(self, url: str, root: Path) -> None:
        """Nothing is opened yet. `url`: sqlite:///PATH, relative to `root`, or postgresql://…"""
        self._url = _parse(url, root)
        self.is_sqlite = self._url.get_backend_name() == "sqlite"
        self.where = (self._url.database or "") if self.is_sqlite else _without_people(self._url)
        self._redact = Redactor(filter(None, (self._url.password,)))
        with self._errors():
            self._engine = _engine(self._url)

    @property
    def path(self) -> Path | None:
        """The file of an SQLite database."""
        return Path(self._url.database or "") if self.is_sqlite else None

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database."""
        with self._errors():
            if self.path is not None and not self.path.exists():
                raise StoreError(f"the store {self.where} is not there yet; `gameday history sync` makes it")
            with self._engine.begin() as connection:
                yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction, on disk when the block ends and undone when it raises. With SQLite nobody else writes
        meanwhile."""
        with self._errors(), self._engine.connect() as plain:
            connection = plain.execution_options(**{_WRITES: True})
            with connection.begin():
                yield connection

    def insert(self, table: sa.Table) -> "sqlite.Insert | postgresql.Insert":
        """An INSERT that knows ON CONFLICT."""
        if self.is_sqlite:
            from sqlalchemy.dialects import sqlite

            return sqlite.insert(table)
        from sqlalchemy.dialects import postgresql  # takes longer to import than most questions to answer

        return postgresql.insert(table)

    def check(self) -> None:
        """Whether its tables are those that this gameday knows. Raises NoTablesError where there are none."""
        with self.reading() as connection:
            found = _revision(connection)
        if found is None:
            raise NoTablesError(
                f"the store {self.where} has no tables of gameday yet; `gameday history sync` makes them"
            )
        if found != REVISION:
            raise StoreError(self._not_ours(found))

    def migrate(self) -> None:
        """Bring its tables to the newest revision, creating what is not there. One process at a time does it."""
        if self.path is not None:
            with self._errors():
                _make_directory(self.path.parent)
        else:
            with self.reading() as connection:
                if _revision(connection) == REVISION:
                    return
        if self.path is not None and self.path.exists() and self.path.stat().st_size:
            with self.reading() as connection:  # most are as they should be, and then nobody need wait
                if _revision(connection) == REVISION:
                    return
        with self.writing() as connection:
            if not self.is_sqlite:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
            found = _revision(connection)
            if found is not None and found > REVISION:
                raise StoreError(self._not_ours(found))
            if found != REVISION:
                _upgrade(connection)

    def analyze(self) -> None:
        """Have it look at how its rows are spread, by which it decides where to begin; PostgreSQL does so by itself.
        It takes some milliseconds, however many there are."""
        if self.is_sqlite:
            with self.writing() as connection:
                connection.exec_driver_sql(f"PRAGMA analysis_limit = {_ANALYZED_ROWS}")
                connection.exec_driver_sql("ANALYZE")

    def close(self) -> None:
        """End all connections."""
        self._engine.dispose()

    def _not_ours(self, found: str) -> str:
        if found > REVISION:
            return (
                f"the store {self.where} was written by a newer gameday (revision {found}, this one knows {REVISION})"
            )
        return f"the store {self.where} is of an older gameday; `gameday history sync` brings it up to date"

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except StoreError:
            raise
        except ModuleNotFoundError as error:
            raise StoreError(
                f"the store {self.where} is a PostgreSQL, and psycopg is missing: pip install 'psycopg[binary]'"
            ) from error
        except DBAPIError as error:
            raise StoreError(self._redact(f"the store {self.where} {_why(error)}")) from None
        except SQLAlchemyError as error:
            raise StoreError(self._redact(f"the store {self.where} cannot be used: {_line(error)}")) from None
        except OSError as error:
            raise StoreError(f"the store {self.where} cannot be written: {error.strerror or error}") from None


def _parse(text: str, root: Path) -> URL:
    try:
        url = sa.make_url(text)
    except (ArgumentError, ValueError):
        raise StoreError("the store's URL is none: expected sqlite:///PATH or postgresql://host/database") from None
    if url.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        return url.set(drivername="postgresql+psycopg")
    if url.drivername != "sqlite" or not url.database or url.database == ":memory:":
        raise StoreError(
            f"a store cannot be kept in {url.drivername}: expected sqlite:///PATH or postgresql://host/database"
        )
    return url.set(database=str(root / Path(url.database).expanduser()), query={})


def _without_people(url: URL) -> str:
    return URL.create("postgresql", host=url.host, port=url.port, database=url.database).render_as_string()


def _engine(url: URL) -> Engine:
    try:
        if url.get_backend_name() == "sqlite":
            engine = sa.create_engine(url, poolclass=NullPool, connect_args={"timeout": _WAIT_S})
            event.listen(engine, "connect", _take_over)
            event.listen(engine, "begin", _begin)
            return engine
        arguments = {
            "connect_timeout": _CONNECT_S,
            "application_name": "gameday",
            "tcp_user_timeout": _WAIT_S * 1000,
            "keepalives_idle": _WAIT_S,
        }
        engine = sa.create_engine(url, pool_size=2, pool_pre_ping=True, connect_args=arguments)
    except NoSuchModuleError as error:
        raise ModuleNotFoundError(str(error)) from error
    event.listen(engine, "connect", _settle)
    return engine


def _take_over(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    """The driver must begin no transaction by itself: it would begin one that only reads, and find itself locked out
    when it writes."""
    connection.isolation_level = None
    cursor = connection.cursor()
    for setting in _SQLITE_SETTINGS:
        cursor.execute(setting)
    cursor.close()


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _settle(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    for setting in _POSTGRESQL_SETTINGS:
        cursor.execute(setting)
    cursor.close()
    connection.commit()


def _make_directory(directory: Path) -> None:
    is_new = not directory.exists()
    directory.mkdir(parents=True, exist_ok=True)
    if is_new and directory.name == ".gameday":  # nobody wants it under version control
        (directory / ".gitignore").write_text("*\n")


def _revision(connection: Connection) -> str | None:
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return None
    found = connection.execute(sa.text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608 - a constant
    return None if found is None else str(found)


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _why(error: DBAPIError) -> str:
    """What the driver says, as a half sentence."""
    # PostgreSQL goes on with the statement itself, from a new line on.
    text = _line(re.split(r"\nLINE \d+: ", str(error.orig or error))[0])
    if isinstance(error.orig, sqlite3.Error):
        for part, words in (
            ("not a database", _DAMAGED),
            ("malformed", _DAMAGED),
            ("locked", f"is held by another process, which has been writing for {_WAIT_S} s"),
            ("readonly", "cannot be written: the file or its directory is read-only"),
            ("unable to open", "cannot be opened: is it a file, in a directory that may be read?"),
            ("disk is full", "cannot be written: the disk is full"),
        ):
            if part in text:
                return words
    if getattr(error.orig, "sqlstate", None) in ("42501", "25006"):
        return f"may not be written: {text}"
    return f"cannot be used: {text}"


def _line(error: BaseException | str) -> str:
    return re.sub(r"\s+", " ", str(error)).strip()[:300] or type(error).__name__
