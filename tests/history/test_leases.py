"""Claims and leases: one taker over all processes, and time that is the database's alone."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gameday.engine.schedule import Claims
from gameday.history.store import Store, open_store
from tests.history.conftest import URL
from tests.history.testing import at_once

HOLDER = """
import sys
from pathlib import Path
from gameday.history.store import open_store

lease = open_store(sys.argv[1], Path(sys.argv[2]), project="shop").lease("release", "holder", float(sys.argv[3]))
print(lease.token, flush=True)
for line in sys.stdin:
    print(lease.renew(), flush=True)
"""


def take_all(url: str, root: str, holder: str) -> list[float]:
    """What this process has taken of twenty."""
    store = open_store(url, Path(root), project="shop")
    return [due_at for due_at in map(float, range(20)) if store.claim("schedule", "a.yaml", due_at, holder)]


def start_holder(url: str, root: Path, ttl_s: float) -> tuple[subprocess.Popen[str], int]:
    """Another process with a lease, and its token."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, url, str(root), str(ttl_s)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def wait_for_lease(store: Store, timeout_s: float = 60) -> int:
    """The token of the lease, once the other has lost it."""
    deadline = time.monotonic() + timeout_s
    while (lease := store.lease("release", "me", 60)) is None:
        assert time.monotonic() < deadline, "it never expired"
        time.sleep(0.05)
    return lease.token


def check_claims(url: str, root: Path) -> None:
    """Each is taken by exactly one of four processes."""
    taken = at_once(take_all, [(url, str(root), f"holder-{number}") for number in range(4)])
    everything = [due_at for one in taken for due_at in one]  # type: ignore[attr-defined]
    assert sorted(everything) == [float(number) for number in range(20)]
    store = open_store(url, root, project="shop")
    claims = store.claims("schedule", "a.yaml", 15.0)
    assert [claim.due_at for claim in claims] == [15.0, 16.0, 17.0, 18.0, 19.0]
    for claim in claims:
        assert claim.due_at in taken[int(claim.holder[-1])]  # type: ignore[operator]
    store.close()


def check_kill(url: str, root: Path) -> None:
    """A holder that is killed has its lease until it expires, and no longer."""
    process, token = start_holder(url, root, 1.5)
    try:
        store = open_store(url, root, project="shop")
        process.kill()
        process.wait(30)
        assert store.lease("release", "me", 60) is None, "whoever died may have left something"
        assert wait_for_lease(store) == token + 1
        store.close()
    finally:
        process.kill()
        process.wait(30)


def check_stop(url: str, root: Path) -> None:
    """A holder that slept past its expiry is refused, by the renewal and by its token, and takes nothing from the
    next."""
    process, token = start_holder(url, root, 1.5)
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        store = open_store(url, root, project="shop")
        assert store.admits("release", token)
        process.send_signal(signal.SIGSTOP)
        later = wait_for_lease(store)
        process.send_signal(signal.SIGCONT)
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "False\n"
        assert later > token
        assert not store.admits("release", token)
        assert store.admits("release", later)
        store.close()
    finally:
        process.kill()
        process.wait(30)


def test_a_claim_is_taken_once_over_many_processes(shop: Path) -> None:
    check_claims(URL, shop)


def test_a_lease_survives_its_killed_holder_until_it_expires(shop: Path) -> None:
    check_kill(URL, shop)


def test_whoever_slept_past_the_expiry_is_refused(shop: Path) -> None:
    check_stop(URL, shop)


def test_the_store_is_where_schedules_are_claimed(store: Store) -> None:
    claims: Claims = store
    assert claims.claim("schedule", "a.yaml", 5.0, "me")
    assert not claims.claim("schedule", "a.yaml", 5.0, "me")
    assert claims.claim("schedule", "b.yaml", 5.0, "me")
    assert claims.claim("schedule-seen", "a.yaml", 5.0, "me")
    (claim,) = claims.claims("schedule", "a.yaml", 0.0)
    assert (claim.due_at, claim.outcome) == (5.0, None)
    claims.settle("schedule", "a.yaml", 5.0, "held", "20260101-000000-a-0000")
    claims.settle("schedule", "nobody.yaml", 5.0, "held", None)
    (settled,) = store.claims("schedule", "a.yaml", 5.0)
    assert (settled.holder, settled.outcome, settled.run) == ("me", "held", "20260101-000000-a-0000")
    assert store.claims("schedule", "a.yaml", 5.1) == ()
    assert store.claims("schedule", "nobody.yaml", 0.0) == ()
    assert abs(settled.at - time.time()) < 60


def test_a_lease(store: Store) -> None:
    lease = store.lease("release", "me", 60)
    assert lease is not None
    assert store.lease("release", "me", 60) is None, "it is held, be it by the same"
    assert lease.renew()
    assert store.admits("release", lease.token)
    other = store.lease("other", "me", 60)
    assert other is not None
    assert other.token == 1
    lease.release()
    lease.release()
    assert not lease.renew()
    again = store.lease("release", "you", 60)
    assert again is not None
    assert again.token > lease.token
    lease.release()
    assert again.renew(), "whoever had it before cannot let it go"
    assert not store.admits("release", again.token + 1)


@pytest.mark.parametrize("ahead_s", [-1e6, 1e6])
def test_this_machines_clock_does_not_matter(store: Store, monkeypatch: pytest.MonkeyPatch, ahead_s: float) -> None:
    lease = store.lease("release", "me", 60)
    assert lease is not None
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + ahead_s)
    assert store.lease("release", "you", 60) is None
    assert lease.renew()
    lease.release()
    assert store.lease("release", "you", 60) is not None


def test_a_lease_of_no_time_has_expired_at_once(store: Store) -> None:
    lease = store.lease("release", "me", 0.0)
    assert lease is not None
    assert not lease.renew()
    assert not store.admits("release", lease.token)
