"""Two machines do not break the same services at once; what a killed holder had is free when it has expired."""

import os
import signal
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gameday.cli import shared_locks as verb
from gameday.history import schema
from gameday.history.locks import ServiceHeldError, SharedLocks
from gameday.history.store import Store, open_store
from tests.history.conftest import URL


def expire(store: Store) -> None:
    with store.database.writing() as connection:
        connection.execute(schema.locks.update().values(expires_at=1.0))


def check_locks(url: str, root: Path) -> None:
    """All or none, in one environment, until released or expired."""
    store, other = (open_store(url, root, project="shop") for _ in range(2))
    mine, theirs = SharedLocks(store, "staging", 60), SharedLocks(other, "staging", 60)
    mine.acquire(["payments", "checkout"], "me")
    with pytest.raises(ServiceHeldError, match="payments is held by me"):
        theirs.acquire(["inventory", "payments"], "them")
    SharedLocks(other, "lab", 60).acquire(["payments"], "them")
    third = SharedLocks(store, "staging", 60)
    third.acquire(["inventory"], "third")  # theirs came to nothing
    third.release()
    assert mine.renew()
    expire(store)
    assert mine.renew(), "nobody has taken it"
    with pytest.raises(ServiceHeldError):
        theirs.acquire(["payments"], "them")
    expire(store)
    theirs.acquire(["payments"], "them")
    assert not mine.renew()
    mine.release()
    with pytest.raises(ServiceHeldError, match="payments is held by them"):
        mine.acquire(["checkout", "payments"], "me")
    theirs.release()
    mine.acquire(["checkout", "payments"], "me")
    for one in (store, other):
        one.close()


def test_locks(shop: Path) -> None:
    check_locks(URL, shop)


def test_a_session_that_has_lost_a_service_is_aborted(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(URL, shop)
    locks = SharedLocks(store, "staging", 60)
    locks.acquire(["payments"], "me")
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda *arguments: sent.append(arguments))
    monkeypatch.setattr(verb, "_RENEW_S", 0.001)
    keeper = threading.Thread(target=verb._keep, args=(locks, ended := threading.Event()))
    keeper.start()
    expire(store)
    while True:  # until it has not been renewed in between
        try:
            SharedLocks(store, "staging", 60).acquire(["payments"], "them")
            break
        except ServiceHeldError:
            expire(store)
    keeper.join(60)
    ended.set()
    assert sent == [(os.getpid(), signal.SIGTERM)]


@pytest.mark.parametrize("url", [URL, "sqlite:////tmp/x.db"])
def test_without_a_server_nothing_is_shared(shop: Path, url: str) -> None:
    session: Any = SimpleNamespace(project=SimpleNamespace(history=url))
    with verb.shared_locks(session):
        assert not (shop / ".gameday" / "history.db").exists()
