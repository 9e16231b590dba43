"""The one way to end a run early: whoever asks first is the reason, and everything that waits hears of it at once."""

import asyncio
from collections.abc import Awaitable

from gameday.engine.recorder import Recorder
from gameday.journal.events import AbortRequested

_CANCEL_TIMEOUT_S = 2.0


class AbortedError(Exception):
    """The run is to end; what was being waited for has been cancelled."""


class Abort:
    """Asked for at most once; never taken back."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._event = asyncio.Event()
        self.request: AbortRequested | None = None
        self.is_hasty = False  # a person asked, or we failed: nobody waits for the recovery to be measured

    def ask(self, source: str, reason: str, *, by: str = "", experiment: int | None = None) -> None:
        """End the run. `source` is one of AbortRequested's; the first to ask is the reason."""
        self.is_hasty = self.is_hasty or source != "guard"
        if self.request is None:
            request = AbortRequested(
                at=self._recorder.now(), source=source, reason=reason, by=by, experiment=experiment
            )
            self.request = request
            # The undo starts first; the record of why can wait for the few microseconds that takes.
            self._event.set()
            self._recorder.record(request)

    async def race[T](self, awaitable: Awaitable[T]) -> T:
        """Wait for it, or raise AbortedError as soon as an abort is asked for, with `awaitable` cancelled.

        After an abort it is not even begun: it might be an injection.
        """
        if self._event.is_set():
            if asyncio.iscoroutine(awaitable):
                awaitable.close()
            else:
                await _cancel(asyncio.ensure_future(awaitable))
            raise AbortedError
        task = asyncio.ensure_future(awaitable)
        waiter = asyncio.ensure_future(self._event.wait())
        try:
            await asyncio.wait({task, waiter}, return_when=asyncio.FIRST_COMPLETED)
            if self._event.is_set():
                raise AbortedError
            return task.result()
        finally:
            waiter.cancel()
            if not task.done():
                await _cancel(task)
            elif not task.cancelled():
                task.exception()  # seen; asyncio need not complain that nobody looked


async def _cancel[T](task: asyncio.Future[T]) -> None:
    task.cancel()
    await asyncio.wait({task}, timeout=_CANCEL_TIMEOUT_S)
