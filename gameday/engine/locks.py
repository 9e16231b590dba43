"""Locks that die with their holder: one run at a time on a service and its dependencies, one writer to a journal."""

import contextlib
import fcntl
import os
import re
import time
from collections.abc import Iterable
from pathlib import Path


class LockHeldError(Exception):
    """Somebody else holds it. `name`: of what; `holder`: what they wrote into it."""

    def __init__(self, name: str, holder: str) -> None:
        super().__init__(f"{name} is held by {holder or 'another run'}")
        self.name = name
        self.holder = holder


class FileLock:
    """A lock on a file by flock(2): gone when the last process that has it open ends, however it ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fd: int | None = None

    def acquire(self, holder: str, *, name: str = "", timeout_s: float = 0.0) -> None:
        """Take it, waiting at most `timeout_s`. Raises LockHeldError, OSError."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        deadline = time.monotonic() + timeout_s
        try:
            while True:
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= deadline:
                        holder_now = os.pread(fd, 256, 0).decode(errors="replace").strip()
                        raise LockHeldError(name or self.path.stem, holder_now) from None
                    time.sleep(0.02)
        except BaseException:
            os.close(fd)
            raise
        with contextlib.suppress(OSError):  # on a full disk the lock still holds, only its label is missing
            os.ftruncate(fd, 0)
            os.pwrite(fd, holder.encode(), 0)
        self.fd = fd

    def release(self) -> None:
        """Let it go; harmless twice."""
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None


def is_locked(path: Path) -> bool:
    """Whether some living process holds the lock on this file."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(fd)
    return False


class ServiceLocks:
    """The locks of one session on the services that it touches, in one environment."""

    def __init__(self, directory: Path, environment: str) -> None:
        self._directory = directory
        self._environment = environment
        self._held: list[FileLock] = []

    def acquire(self, services: Iterable[str], holder: str) -> None:
        """All or none; sorted, so that two sessions cannot wait for each other. Raises LockHeldError, OSError."""
        try:
            for service in sorted(set(services)):
                name = re.sub(r"[^A-Za-z0-9._-]", "_", f"{self._environment}--{service}")
                lock = FileLock(self._directory / f"{name}.lock")
                lock.acquire(holder, name=service)
                self._held.append(lock)
        except BaseException:
            self.release()
            raise

    @property
    def descriptors(self) -> tuple[int, ...]:
        """To be inherited by the guardian, so that the locks outlive a runner that died with faults in place."""
        return tuple(lock.fd for lock in self._held if lock.fd is not None)

    def release(self) -> None:
        """Let all go."""
        for lock in self._held:
            lock.release()
        self._held.clear()
