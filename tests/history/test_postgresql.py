"""The store in a real PostgreSQL: what holds for a file holds for a server that several machines share."""

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from gameday.cli import history
from gameday.cli.history_reader import PastReader
from gameday.cli.past_source import JournalSource, StoreSource
from gameday.history.database import StoreError
from gameday.history.feed import rebuild, sync
from gameday.history.locks import StoreLocks
from gameday.history.query import Wanted
from gameday.history.store import Store, open_store
from gameday.journal.events import NoteAdded
from gameday.journal.log import JournalWriter
from gameday.report.trends import Selection
from tests.cli.test_history_verb import PATH, write
from tests.history.conftest import URL as SQLITE
from tests.history.conftest import fill
from tests.history.postgresql import Server
from tests.history.test_database import check_from_the_first_revision, check_many_bring_it_up_to_date, check_tables
from tests.history.test_leases import check_claims, check_kill, check_stop
from tests.history.test_locks import check_by_hand, check_locks
from tests.history.testing import at_once, contents
from tests.report import journals

pytestmark = pytest.mark.lab


@pytest.fixture
def shared(shop: Path, database: str) -> Iterator[Store]:
    (shop / "gameday.yaml").write_text(f"project: shop\nhistory: {database}\n")
    store = open_store(database, shop)
    yield store
    store.close()


def feed(url: str, root: str) -> int:
    return sync(open_store(url, Path(root), project="shop"), PastReader()).events


def test_its_tables(database: str, shop: Path) -> None:
    at_once(feed, [(database, str(shop))] * 3)
    check_tables(open_store(database, shop).database)


def test_from_the_first_revision(database: str, shop: Path) -> None:
    check_from_the_first_revision(database, shop)


def test_many_bring_an_older_one_up_to_date(database: str, shop: Path) -> None:
    check_many_bring_it_up_to_date(database, shop)


def test_it_holds_what_a_file_holds(shared: Store, shop: Path) -> None:
    for number, text in enumerate(journals.HOSTILE):
        journals.hostile(shop / ".gameday" / "runs" / f"20260306-100000-x-{number:04x}", text)
    assert sync(shared, PastReader()).unread == ()
    writer = JournalWriter(sorted((shop / ".gameday" / "runs").iterdir())[-1])
    writer.append(NoteAdded(at=1.0, author="sam", text="a NUL \0, and \N{PILE OF POO}"))
    writer.close()
    assert sync(shared, PastReader()).events == 1
    file = open_store(SQLITE, shop)
    sync(file, PastReader())
    assert contents(shared) == contents(file)
    before = contents(shared)
    rebuild(shared, PastReader())
    assert contents(shared) == before


@pytest.mark.parametrize(
    "selection",
    [
        Selection(), Selection(service="cart"), Selection(fault="process/kill", environment="staging"),
        Selection(experiment=PATH, verdict="weakness"), Selection(since=journals.T0 + 86400),
        Selection(verdict="running"),
    ],
)  # fmt: skip
def test_it_answers_as_the_journals_do(shared: Store, shop: Path, selection: Selection) -> None:
    sync(shared, PastReader())
    ours, theirs = StoreSource(shared), JournalSource(shop)
    assert ours.sessions(selection, 2) == theirs.sessions(selection, 2)
    assert ours.trials(selection) == theirs.trials(selection)
    assert ours.regressions(selection) == theirs.regressions(selection)
    assert JournalSource(shop).regressions(Selection()) != ()


def test_two_machines_share_it(
    shared: Store, shop: Path, database: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Each feeds its own journals, at the same time and twice; both see all."""
    other = tmp_path_factory.mktemp("other")
    fill(other)
    runs = other / ".gameday" / "runs"
    for run in list(runs.iterdir()):
        run.rename(runs / run.name.replace("checkout", "elsewhere"))
    for number in range(4, 12):
        write(other, number)
    found = at_once(
        feed, [(database, str(shop)), (database, str(other)), (database, str(shop)), (database, str(other))]
    )
    assert sum(map(int, found)) == len(contents(shared)["events"])  # type: ignore[call-overload]
    assert shared.queries.count(Wanted()) == 16
    assert len(StoreSource(shared).sessions(Selection(), 100)[0]) == 16
    before = contents(shared)
    fed, kept = rebuild(shared, PastReader())
    assert (fed.sessions, kept) == (4, 12)
    assert contents(shared) == before


def test_claims_from_many_processes(shop: Path, database: str) -> None:
    check_claims(database, shop)


def test_a_lease_survives_its_killed_holder_until_it_expires(shop: Path, database: str) -> None:
    check_kill(database, shop)


def test_whoever_slept_past_the_expiry_is_refused(shop: Path, database: str) -> None:
    check_stop(database, shop)


def test_a_server_that_goes_and_comes_back(shared: Store, shop: Path, postgresql: Server) -> None:
    """It may be down during a run: nothing is lost, and the next sync catches up."""
    sync(shared, PastReader())
    shutil.rmtree(shop / ".gameday" / "runs" / "20260306-100000-checkout-0000")
    lease = shared.lease("release", "me", 600)
    postgresql.stop()
    write(shop, 5)
    with pytest.raises(StoreError) as raised:
        sync(shared, PastReader())
    result = CliRunner().invoke(history.command, [])
    assert result.exit_code == 2
    assert f"the store postgresql://127.0.0.1:{postgresql.port}/test" in result.stderr
    assert "cannot be used" in str(raised.value)
    assert postgresql.password not in str(raised.value) + result.output
    assert result.stderr.count("\n") == 1
    postgresql.start()
    assert sync(shared, PastReader()).sessions == 1
    assert shared.queries.count(Wanted()) == 5
    assert lease is not None
    assert lease.renew(), "leases outlive the server's end"


def test_a_wrong_password_is_not_told(shop: Path, database: str, postgresql: Server) -> None:
    with pytest.raises(StoreError, match="password authentication failed") as raised:
        open_store(database.replace(postgresql.password, "geheim99"), shop)
    assert "geheim99" not in str(raised.value)


def test_a_user_who_may_only_read(shared: Store, shop: Path, database: str, postgresql: Server) -> None:
    sync(shared, PastReader())
    with shared.database.writing() as connection:
        connection.exec_driver_sql("CREATE ROLE reader LOGIN PASSWORD 'reader'")
        connection.exec_driver_sql("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
    reader = database.replace(f"gameday:{postgresql.password}", "reader:reader")
    write(shop, 5)
    (shop / "gameday.yaml").write_text(f"project: shop\nhistory: {reader}\n")
    result = CliRunner().invoke(history.command, [])
    assert result.exit_code == 0
    assert "Session 3" in result.stdout
    assert "the newest runs may be missing: the store postgresql://" in result.stderr
    assert "may not be written: permission denied" in result.stderr


def test_locks_on_services(shop: Path, database: str) -> None:
    check_locks(database, shop)


def test_locks_that_are_freed_by_hand(shop: Path, database: str) -> None:
    check_by_hand(database, shop)


EXPERIMENT = """
title: Checkout survives
method: [{type: probe, name: nothing, provider: {type: process, path: "true"}}]
"""


def test_a_run_beside_another_machines_is_not_started(shop: Path, database: str, postgresql: Server) -> None:
    """The real command, with the project's own PostgreSQL; it starts once the other has let go."""
    environment = "environments: {here: {}}\n"
    (shop / "gameday.yaml").write_text(f"project: shop\nhistory: {database}\n{environment}")
    path = shop / "nothing.yaml"
    path.write_text(EXPERIMENT)
    other = StoreLocks(open_store(database, shop), "here", "“Another”, run by sam on elsewhere")
    other.acquire([path.name], "", 60)
    run = [sys.executable, "-m", "gameday.cli.main", "run", str(path), "--env", "here"]
    refused = subprocess.run(run, cwd=shop, capture_output=True, text=True, timeout=120, check=False)
    assert refused.returncode == 3, refused.stderr
    assert "is held by “Another”, run by sam on elsewhere" in refused.stderr
    assert postgresql.password not in refused.stderr
    other.release()
    done = subprocess.run(run, cwd=shop, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    other.acquire([path.name], "", 60)  # the run has let go
    store, deadline = open_store(database, shop), time.monotonic() + 60
    while store.queries.count(Wanted()) < 5:  # the four that were there, and this one
        assert time.monotonic() < deadline, "the run was not fed"
        time.sleep(0.1)
    store.close()


def test_where_nobody_is_there_it_must_be_known_whether_another_breaks_the_same(
    shop: Path, database: str, postgresql: Server
) -> None:
    (shop / "gameday.yaml").write_text(f"project: shop\nhistory: {database}\nenvironments: {{here: {{}}}}\n")
    (shop / "nothing.yaml").write_text(EXPERIMENT)
    run = [sys.executable, "-m", "gameday.cli.main", "run", "nothing.yaml", "--env", "here"]
    postgresql.stop()
    try:
        refused, warned = (
            subprocess.run([*run, *more], cwd=shop, capture_output=True, text=True, timeout=120, check=False)
            for more in (["--unattended"], [])
        )
    finally:
        postgresql.start()
    assert (refused.returncode, warned.returncode) == (3, 0), refused.stderr + warned.stderr
    assert "shared locks: whether another machine breaks the same services cannot be told" in refused.stderr
    assert "warning: shared locks: whether another machine breaks the same services cannot be told" in warned.stderr
