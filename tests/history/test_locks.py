"""Two machines do not break the same services at once; what a dead holder had is free in time."""

import shutil
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from gameday.cli import shared_locks as verb
from gameday.cli.history_reader import PastReader
from gameday.cli.session import make_input, read_session
from gameday.engine.locks import FileLock, LockHeldError
from gameday.engine.preparation import SessionInput
from gameday.engine.runs import WRITER_LOCK, new_run
from gameday.engine.shared_locks import TTL_S
from gameday.history import schema
from gameday.history.feed import sync
from gameday.history.leases import clock
from gameday.history.locks import ServiceHeldError, StoreLocks, release_by_hand, release_locks_of
from gameday.history.query import Wanted
from gameday.history.store import Store, open_store
from gameday.spec.project import read_project
from tests.history.conftest import URL
from tests.report import journals


def expire(store: Store) -> None:
    with store.database.writing() as connection:
        connection.execute(schema.locks.update().values(expires_at=1.0))


def locks_of(store: Store, holder: str, environment: str = "staging") -> StoreLocks:
    return StoreLocks(store, environment, holder)


def check_locks(url: str, root: Path) -> None:
    """All or none, in one environment, until released or expired."""
    store, other = (open_store(url, root, project="shop") for _ in range(2))
    mine, theirs, third = locks_of(store, "me"), locks_of(other, "them"), locks_of(store, "third")
    mine.acquire(["payments", "checkout"], "run-1", 60)
    with pytest.raises(ServiceHeldError, match="payments is held by me, as run-1"):
        theirs.acquire(["inventory", "payments"], "run-2", 60)
    with pytest.raises(ServiceHeldError, match="payments is held by me, as run-1"):
        theirs.check(["inventory", "payments"])
    locks_of(other, "them", "production").acquire(["payments"], "run-2", 60)
    third.acquire(["inventory"], "run-3", 60)  # theirs came to nothing
    third.release()
    assert mine.renew(60)
    expire(store)
    theirs.check(["payments"])
    assert mine.renew(60), "nobody has taken it"
    with pytest.raises(ServiceHeldError):
        theirs.acquire(["payments"], "run-2", 60)
    expire(store)
    theirs.acquire(["payments"], "run-2", 60)
    assert not mine.renew(60)
    mine.release()
    with pytest.raises(ServiceHeldError, match="payments is held by them, as run-2"):
        mine.acquire(["checkout", "payments"], "run-1", 60)
    theirs.release()
    mine.acquire(["checkout", "payments"], "run-1", 60)
    assert sorted(left(store)) == [60, 60]
    mine.renew(600)
    mine.renew(60)
    assert sorted(left(store)) == [600, 600], "what was promised for longer is not taken back"
    release_locks_of(store, "run-2")
    with pytest.raises(ServiceHeldError):
        theirs.acquire(["payments"], "run-2", 60)
    release_locks_of(store, "run-1")
    theirs.acquire(["payments"], "run-2", 60)
    for one in (store, other):
        one.close()


def check_by_hand(url: str, root: Path) -> None:
    """Whose machine is gone is told from who lives by when it has renewed, or by its journal."""
    store = open_store(url, root, project="shop")
    mine, theirs = locks_of(store, "me"), locks_of(store, "them")
    mine.acquire(["payments", "checkout"], "run-1", 600)
    assert release_by_hand(store, "run-2") == ()
    when = r", since 20[-0-9]{8} [:0-9]{5} UTC, until 20[-0-9]{8} [:0-9]{5} UTC unless renewed \(last [0-9hms]+ ago\); "
    with pytest.raises(ServiceHeldError, match=rf"is held by me, as run-1{when}`gameday abort run-1` there ends it$"):
        release_by_hand(store, "run-1")
    renewed(store, schema.locks.c.renewed_at - (TTL_S - 5))
    gone = "`gameday recover run-1` there frees it; if that machine is gone: `gameday recover run-1 --write-off REASON`"
    for ask in (partial(release_by_hand, store, "run-1"), partial(theirs.check, ["payments"])):
        with pytest.raises(ServiceHeldError, match=rf"as run-1{when}{gone}$"):
            ask()
    assert mine.renew(600)
    renewed(store, schema.locks.c.renewed_at - (TTL_S - 5))
    with pytest.raises(ServiceHeldError):
        release_by_hand(store, "run-1")  # it was heard of
    renewed(store, schema.locks.c.renewed_at - 10)
    assert release_by_hand(store, "run-1") == ("checkout", "payments")
    assert not mine.renew(600), "should it live after all, it is told"
    theirs.acquire(["payments"], "run-2", 600)
    assert not mine.renew(600)
    renewed(store, None)  # as an older gameday leaves it
    with pytest.raises(ServiceHeldError, match=r"as run-2, until 20[-:0-9 ]* UTC unless renewed$"):
        release_by_hand(store, "run-2")
    sync(store, PastReader())
    ended = store.queries.newest(Wanted(), 1)[0].session
    mine.acquire(["cart"], ended, 600)
    with pytest.raises(ServiceHeldError, match=r"`gameday recover .* there frees it"):
        theirs.check(["cart"])
    assert release_by_hand(store, ended) == ("cart",)
    store.close()


def renewed(store: Store, at: "sa.ColumnElement[float] | None") -> None:
    with store.database.writing() as connection:
        connection.execute(schema.locks.update().values(renewed_at=at))


def test_by_hand(shop: Path) -> None:
    check_by_hand(URL, shop)


def left(store: Store) -> list[int]:
    """For how long each lock in staging that is held is so, in seconds."""
    statement = sa.select(schema.locks.c.expires_at - clock(store.database)).where(
        schema.locks.c.environment == "staging", schema.locks.c.expires_at > 1
    )
    with store.database.reading() as connection:
        return [round(seconds) for seconds in connection.execute(statement).scalars()]


def test_locks(shop: Path) -> None:
    check_locks(URL, shop)


@pytest.fixture
def session(shop: Path, monkeypatch: pytest.MonkeyPatch) -> SessionInput:
    """One whose locks, though that is not for users, lie in the SQLite file."""
    monkeypatch.setattr(verb, "shared_url", lambda _project: URL)
    text = "environments: {lab: {kind: lab}, here: {}}\nservices: {shop: {}}\n"
    (shop / "gameday.yaml").write_text(text)
    (shop / "e.yaml").write_text("title: Shop\nservice: shop\nmethod: []\n")
    return make_input(read_session(shop / "e.yaml", "here"), start_lab=False)


def test_what_a_dead_run_of_ours_holds_is_free_once_nothing_of_it_is_left(session: SessionInput) -> None:
    first, second = verb.shared_locks(session), verb.shared_locks(session)
    assert first is not None
    assert second is not None
    root = session.project.root
    run = new_run(root, "first")
    first.acquire(["shop"], run.name, 600)
    name = f"shop is held by “Shop”, run by {session.by} on .*, as {run.name}"
    with pytest.raises(LockHeldError, match=name):
        second.acquire(["shop"], "second", 600)  # it has not written anything yet
    journals.interrupted(run.directory)
    with pytest.raises(LockHeldError, match=name):
        second.check(["shop"])
    shutil.rmtree(run.directory)
    journals.not_started(run.directory)
    writer = FileLock(run.directory / WRITER_LOCK)
    writer.acquire("it lives")
    with pytest.raises(LockHeldError, match=name):
        second.acquire(["shop"], "second", 600)
    writer.release()
    second.check(["shop"])
    second.acquire(["shop"], "second", 600)
    assert not first.renew(600)
    assert second.renew(600)


def test_another_directorys_run_is_left_alone(session: SessionInput, tmp_path: Path) -> None:
    first, second = verb.shared_locks(session), verb.shared_locks(session)
    assert first is not None
    assert second is not None
    for run in ("20260101-000000-x-0000", "", "../runs"):
        first.acquire(["shop"], run, 600)
        with pytest.raises(LockHeldError):
            second.acquire(["shop"], "second", 600)
        first.release()


@pytest.mark.parametrize(
    ("history", "environment", "shared"),
    [
        ("postgresql://db.example.com/x", "here", True),
        ("postgresql://db.example.com/x", "lab", False),  # it is this machine's own
        (URL, "here", False),
        ("", "here", False),
    ],
)
def test_what_is_shared(shop: Path, history: str, environment: str, shared: bool) -> None:
    named = f"history: {history}\n" if history else ""
    (shop / "gameday.yaml").write_text(f"{named}environments: {{lab: {{kind: lab}}, here: {{}}}}\n")
    project, mistakes = read_project(shop)
    assert not mistakes
    session: Any = SimpleNamespace(project=project, environment=SimpleNamespace(name=environment))
    assert (verb.shared_locks(session) is not None) is shared
