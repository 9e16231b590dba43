"""Locks on services over all machines: taken in preflight, renewed while the session runs, asked before an injection.

They expire, so that a machine that is gone holds nothing for ever. Until when they hold for certain is told here by
this machine's clock, counted from before the question that renewed them: a store that is silent takes nothing away.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from gameday.common.waiting import call_in_time
from gameday.engine.locks import LockHeldError
from gameday.engine.preflight import Check
from gameday.journal.events import CheckOutcome

# Beyond what an undo may take: for so long the store may be down, and a holder that was killed is waited for.
TTL_S = 600.0
LEFT_S = 24 * 3600.0  # a service in which something was left, unless `recover` is quicker
_RENEW_S = 60.0
_ANSWER_S = 15.0
_FAREWELL_S = 5.0
_NAME = "shared locks"
# Linux: it goes on while the machine sleeps, as the store's does.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SharedLocks(Protocol):
    """The locks of one session in one environment. Each method is called from a thread, and raises OSError when the
    answer is not known."""

    def acquire(self, services: Sequence[str], run: str, for_s: float) -> None:
        """All or none, for so many seconds. Raises LockHeldError."""

    def renew(self, for_s: float) -> bool:
        """Hold them all for at least so many seconds from now. False: another session has, or had, one of them."""

    def release(self) -> None:
        """Let all go; harmless twice, and when there is none."""

    def check(self, services: Sequence[str]) -> None:
        """Nothing when they could be acquired now. Raises LockHeldError."""


async def check_shared_locks(locks: SharedLocks | None, services: Sequence[str]) -> tuple[Check, ...]:
    """Whether they could be acquired now, for a plan, which takes none."""
    if locks is None:
        return ()
    return (await _check(partial(locks.check, services), services, "nobody else holds"),)


class SharedHold:
    """What a session holds. With no locks there is nothing to hold, and nothing speaks against anything."""

    def __init__(self, locks: SharedLocks | None, undo_s: Callable[[], float], lost: Callable[[str], None]) -> None:
        """`undo_s`: how long the undo of all that is in place may take, in seconds. `lost` is told why, once, when
        another session has a service of this one."""
        self._locks = locks
        self._undo_s = undo_s
        self._tell_lost = lost
        self._lost = ""
        self._until: float | None = None  # None: nothing is held
        self._renewed = 0.0
        self._is_over = False
        self._keeper: asyncio.Task[None] | None = None

    async def acquire(self, services: Sequence[str], run: str) -> tuple[Check, ...]:
        """Take them, for as long as this is not released. What cannot be told is a warning, and nothing is held."""
        if self._locks is None:
            return ()
        asked = _now()
        check = await _check(partial(self._acquire, self._locks, services, run), services, "locked, over all machines,")
        if check.outcome is CheckOutcome.OK:
            self._until, self._renewed = asked + TTL_S, asked
            self._keeper = asyncio.create_task(self._keep())
        else:
            self._is_over = True
        return (check,)

    def _acquire(self, locks: SharedLocks, services: Sequence[str], run: str) -> None:
        locks.acquire(services, run, TTL_S)
        if self._is_over:  # nobody waited for so long
            locks.release()

    async def refusal(self, undo_s: float = 0.0) -> str | None:
        """Why nothing may be touched now. None when nobody else can have a service before all is undone, for which
        `undo_s` seconds are needed beyond those for what is in place."""
        if self._until is None:
            return None
        try:
            await self._renew(undo_s)
        except OSError as error:
            # However long they hold yet: by then somebody may have taken this session for lost, and freed them.
            is_silent = _now() > self._renewed + TTL_S
            if is_silent or _now() + self._undo_s() + undo_s > self._until:
                return f"{_NAME}: whether another session has a service of this one cannot be told: {error}"
        return self._lost or None

    async def _keep(self) -> None:
        while not self._lost:
            await asyncio.sleep(_RENEW_S)
            with contextlib.suppress(OSError):  # it is asked again, and before each injection
                await self._renew(0.0)

    async def _renew(self, more_s: float) -> None:
        assert self._locks is not None
        asked, for_s = _now(), TTL_S + self._undo_s() + more_s
        if await call_in_time(partial(self._locks.renew, for_s), _ANSWER_S, _NAME):
            self._until, self._renewed = max(self._until or 0.0, asked + for_s), asked
        elif not self._lost:
            self._lost = (
                f"{_NAME}: another session has taken a service of this one, whose lock had expired or was freed"
            )
            self._tell_lost(self._lost)

    async def release(self, *, is_clean: bool) -> None:
        """Let them go; when something was left in place, hold them for a day."""
        self._is_over = True
        if self._keeper:
            self._keeper.cancel()
        if self._locks is not None and self._until is not None:
            work = self._locks.release if is_clean else partial(self._locks.renew, LEFT_S)
            with contextlib.suppress(OSError):  # then they expire
                await call_in_time(work, _FAREWELL_S, _NAME)


async def _check(work: Callable[[], None], services: Sequence[str], done: str) -> Check:
    try:
        await call_in_time(work, _ANSWER_S, _NAME)
    except LockHeldError as error:
        return Check(_NAME, CheckOutcome.FAILURE, str(error))
    except OSError as error:
        detail = f"whether another machine breaks the same services cannot be told: {error}"
        return Check(_NAME, CheckOutcome.WARNING, detail)
    return Check(_NAME, CheckOutcome.OK, f"{done} {', '.join(services)}")


def _now() -> float:
    return time.clock_gettime(_CLOCK)
