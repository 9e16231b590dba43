"""Waiting for what may hang, such as a file or a database on another machine, without hanging oneself."""

import threading
from collections.abc import Callable
from concurrent.futures import Future


def within[T](timeout_s: float, work: Callable[[], T], name: str = "waited for") -> T:
    """What `work` returns or raises. It has a thread of its own, of this name, which goes on when nobody waits for it
    any more, and keeps the program from nothing. Raises TimeoutError, and OSError when no thread can be started."""
    answer = _begin(work, name)
    try:
        return answer.result(timeout_s)
    except TimeoutError:
        if answer.done():
            raise  # its own
        raise _timed_out(timeout_s) from None


async def call_in_time[T](work: Callable[[], T], timeout_s: float, name: str) -> T:
    """As `within`, for whoever is in an event loop."""
    import asyncio  # which is there then, and takes its time where it is not

    answer = _begin(work, name)
    try:
        async with asyncio.timeout(timeout_s) as limit:
            return await asyncio.wrap_future(answer)
    except TimeoutError:
        if not limit.expired():
            raise  # its own
        raise _timed_out(timeout_s) from None


def _begin[T](work: Callable[[], T], name: str) -> Future[T]:
    answer: Future[T] = Future()
    answer.set_running_or_notify_cancel()  # it cannot be called back

    def run() -> None:
        try:
            answer.set_result(work())
        except BaseException as error:  # noqa: BLE001 - whoever waits sees it
            answer.set_exception(error)

    try:
        threading.Thread(target=run, name=name, daemon=True).start()
    except RuntimeError as error:  # too many, or the program is at its end
        raise OSError(str(error)) from None
    return answer


def _timed_out(timeout_s: float) -> TimeoutError:
    return TimeoutError(f"no answer within {timeout_s:g} s")
