"""What can be wrong with a store is said in one sentence; its tables come to the newest revision by themselves."""

import sqlite3
import threading
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from click.testing import CliRunner

import gameday.history.database as database_module
from gameday.cli import history
from gameday.cli.history_reader import PastReader
from gameday.history.database import Database, StoreError
from gameday.history.feed import sync
from gameday.history.query import Wanted
from gameday.history.schema import REVISION, VERSION_TABLE, metadata
from gameday.history.store import open_store
from tests.history.conftest import URL
from tests.history.testing import at_once

MIGRATIONS = Path(database_module.__file__).parent / "migrations"


def bring_to(database: Database, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with database.writing() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def check_tables(database: Database) -> None:
    """They are those that `schema` says, to the last column and index."""
    with database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, metadata) == []
        assert context.get_current_revision() == REVISION


def check_from_the_first_revision(url: str, root: Path) -> None:
    """What was there stays."""
    database = Database(url, root)
    if database.path is not None:
        database.path.parent.mkdir(exist_ok=True)
    bring_to(database, "0001")
    with database.writing() as connection:
        connection.exec_driver_sql(
            "INSERT INTO sessions (project, session, started, title, environment, verdict, host, started_by,"
            " is_running, fed_at, journal_size, bytes_read, lines_read, signatures_size, document, document_version)"
            " VALUES ('shop', 'old', 1, 'Old', 'lab', 'held', '', '', false, 1, 0, 0, 0, 0, '{}', 1)"
        )
    with pytest.raises(StoreError, match="is of an older gameday; `gameday history sync`"):
        open_store(url, root, writes=False, project="shop")
    store = open_store(url, root, project="shop")
    check_tables(store.database)
    assert [one.session for one in store.queries.newest(Wanted())] == ["old"]
    assert store.claim("k", "n", 1.0, "me")
    store.close()


def test_the_newest_revision_is_what_the_code_knows(shop: Path) -> None:
    assert ScriptDirectory(str(MIGRATIONS)).get_current_head() == REVISION
    check_tables(open_store(URL, shop).database)


def test_from_the_first_revision(shop: Path) -> None:
    check_from_the_first_revision(URL, shop)


def open_it(root: str, url: str = URL) -> str:
    return open_store(url, Path(root), project="shop").where


def test_many_open_what_is_not_there_yet(shop: Path) -> None:
    at_once(open_it, [(str(shop),)] * 4)
    check_tables(open_store(URL, shop).database)


def check_many_bring_it_up_to_date(url: str, root: Path) -> None:
    database = Database(url, root)
    if database.path is not None:
        database.path.parent.mkdir(exist_ok=True)
    bring_to(database, "0002")
    at_once(open_it, [(str(root), url)] * 4)
    check_tables(database)


def test_many_bring_an_older_one_up_to_date(shop: Path) -> None:
    check_many_bring_it_up_to_date(URL, shop)


def test_a_store_of_a_newer_gameday_is_left_alone(shop: Path) -> None:
    store = open_store(URL, shop)
    with store.database.writing() as connection:
        connection.exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    for writes in (True, False):
        with pytest.raises(StoreError, match="was written by a newer gameday"):
            open_store(URL, shop, writes=writes)


# -- what is wrong


def said(*arguments: str) -> str:
    """What the verb says of a store that it cannot use: one line, and status 2."""
    result = CliRunner().invoke(history.command, arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr


@pytest.fixture
def file(shop: Path) -> Path:
    return shop / ".gameday" / "history.db"


@pytest.mark.parametrize("arguments", [(), ("trends",), ("sync",), ("rebuild",), ("--json",)])
def test_a_damaged_file(file: Path, arguments: tuple[str, ...]) -> None:
    file.write_bytes(b"these are no pages" * 500)
    expected = f"error: the store {file} is no SQLite database, or a damaged one; move it away"
    assert said(*arguments).startswith(expected)
    assert CliRunner().invoke(history.command, ["--local"]).exit_code == 0


def test_a_file_that_is_damaged_within(file: Path, shop: Path) -> None:
    sync(open_store(URL, shop), PastReader())
    size = file.stat().st_size
    with file.open("r+b") as opened:
        opened.seek(4096)
        opened.write(b"\xff" * (size - 8192))
    assert "is no SQLite database, or a damaged one" in said()


def test_a_file_that_another_process_holds(file: Path, monkeypatch: pytest.MonkeyPatch, shop: Path) -> None:
    sync(open_store(URL, shop), PastReader())
    monkeypatch.setattr(database_module, "_WAIT_S", 0.05)
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    assert f"the store {file} is held by another process" in said("sync")
    other.close()
    assert CliRunner().invoke(history.command, ["sync"]).exit_code == 0


def test_a_file_that_cannot_be_written_is_read(shop: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may write anything, so SQLite is told to."""
    sync(open_store(URL, shop), PastReader())
    from tests.cli.test_history_verb import write

    write(shop, 5)
    take_over = database_module._take_over

    def read_only(connection: sqlite3.Connection, entry: object) -> None:
        take_over(connection, entry)  # type: ignore[arg-type]
        connection.execute("PRAGMA query_only = 1")

    monkeypatch.setattr(database_module, "_take_over", read_only)
    assert "cannot be written: the file or its directory is read-only" in said("sync")
    result = CliRunner().invoke(history.command, [])
    assert result.exit_code == 0
    assert "the newest runs may be missing: the store" in result.stderr
    assert "Session 3" in result.stdout
    assert "Session 5" not in result.stdout


def test_a_directory_in_its_place(file: Path) -> None:
    file.mkdir()
    assert f"the store {file} cannot be opened" in said()


def test_a_directory_that_cannot_be_made(shop: Path) -> None:
    (shop / "gameday.yaml").write_text("project: shop\nhistory: sqlite:///gameday.yaml/x/history.db\n")
    assert "gameday.yaml/x/history.db cannot be" in said()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql://ada:geheim99@127.0.0.1:1/games", "the store postgresql://127.0.0.1:1/games cannot be used"),
        ("postgresql://ada:geheim99@/games?host=/nowhere", "the store postgresql:///games cannot be used"),
        ("postgresql://ada:geheim99@[::1/games", "none: expected sqlite:///PATH or postgresql://host/database"),
        ("postgresql://ada:geheim99@127.0.0.1:1/games?sslmode=geheim99", "cannot be used"),
        ("sqlite://", "a store cannot be kept in sqlite"),
        ("mysql://ada:geheim99@127.0.0.1/games", "a store cannot be kept in mysql"),
    ],
)
def test_a_url_and_no_password_in_what_is_said(shop: Path, url: str, message: str) -> None:
    with pytest.raises(StoreError) as raised:
        open_store(url, shop)
    assert message in str(raised.value)
    assert "geheim99" not in str(raised.value)


def test_a_variable_that_is_not_set(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (shop / "gameday.yaml").write_text("project: shop\nhistory: ${STORE_URL}\n")
    monkeypatch.delenv("STORE_URL", raising=False)
    result = CliRunner().invoke(history.command, [])
    assert result.exit_code == 2
    assert "gameday.yaml:2:10" in result.stderr
    assert "the variable `${STORE_URL}`, which is not set" in result.stderr
    monkeypatch.setenv("STORE_URL", "mysql://ada:geheim99@127.0.0.1/games")
    result = CliRunner().invoke(history.command, [])
    assert result.exit_code == 2
    assert "geheim99" not in result.stderr
    monkeypatch.setenv("STORE_URL", "sqlite:///elsewhere/history.db")
    assert CliRunner().invoke(history.command, []).exit_code == 0
    assert (shop / "elsewhere" / "history.db").is_file()


def test_without_a_store_its_verbs_say_so(shop: Path) -> None:
    (shop / "gameday.yaml").write_text("project: shop\n")
    for verb in ("sync", "rebuild"):
        assert "gameday.yaml names no store; add, say, `history: sqlite:///" in said(verb)


def test_threads_may_share_a_store(shop: Path) -> None:
    store, taken = open_store(URL, shop), []
    threads = [threading.Thread(target=lambda: taken.append(store.claim("k", "n", 1.0, "me"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(taken) == [False] * 7 + [True]
