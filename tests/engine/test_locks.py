"""Locks by themselves: who holds one is said, all or none are taken, and nothing is left open."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from gameday.engine.locks import FileLock, LockHeldError, ServiceLocks, is_locked


def next_descriptor() -> int:
    """The number that the next file would get: it grows when something is left open."""
    descriptor = os.open(os.devnull, os.O_RDONLY)
    os.close(descriptor)
    return descriptor


def test_whoever_holds_it_is_said_and_nothing_is_left_open(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "shop.lock"
    assert not is_locked(path), "nobody has ever taken it"
    held, other = FileLock(path), FileLock(path)
    held.acquire("run one, which has a long name")
    before = next_descriptor()
    with pytest.raises(LockHeldError, match=r"shop is held by run one, which has a long name$"):
        other.acquire("run two")
    assert is_locked(path)
    assert next_descriptor() == before
    held.release()
    assert not is_locked(path)
    other.acquire("two")
    with pytest.raises(LockHeldError, match=r"payments is held by two$") as refused:
        held.acquire("one", name="payments")
    assert (refused.value.name, refused.value.holder) == ("payments", "two")
    other.release()


def test_it_is_waited_for_until_the_time_is_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, now = tmp_path / "lock", [0.0]
    held, other = FileLock(path), FileLock(path)
    held.acquire("one")

    def sleep(seconds: float) -> None:
        now[0] += seconds
        if now[0] > 5.0:
            held.release()

    monkeypatch.setattr("gameday.engine.locks.time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
    with pytest.raises(LockHeldError):
        other.acquire("two", timeout_s=2.0)
    assert 2.0 <= now[0] < 2.1
    other.acquire("two", timeout_s=10.0)
    assert path.read_text() == "two"


def test_to_release_it_twice_closes_nobody_elses_file(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "lock")
    lock.acquire("one")
    lock.release()
    with (tmp_path / "other").open("w") as file:  # which gets the same number
        lock.release()
        file.write("whole")
    assert (tmp_path / "other").read_text() == "whole"


def test_it_holds_though_its_label_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    lock = FileLock(tmp_path / "lock")
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        lock.acquire("one")
    with pytest.raises(LockHeldError, match="held by another run"):
        FileLock(tmp_path / "lock").acquire("two")
    lock.release()


def test_a_session_has_all_of_its_services_or_none(tmp_path: Path) -> None:
    first, second, third = (ServiceLocks(tmp_path, "lab") for _ in range(3))
    first.acquire(["payments", "payments"], "one")
    assert len(first.descriptors) == 1
    with pytest.raises(LockHeldError) as refused:
        second.acquire(["shop", "payments", "checkout"], "two")
    assert refused.value.name == "payments"
    assert second.descriptors == ()
    third.acquire(["checkout", "shop"], "three")  # which the second has let go, or never came to
    ServiceLocks(tmp_path, "staging").acquire(["payments", "a/b"], "another environment's")
    first.release()
    second.acquire(["payments"], "two")
    for locks in (second, third):
        locks.release()
        assert locks.descriptors == ()
