"""Waiting for what may hang, such as a file or a database on another machine, without hanging oneself."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future


async def call_in_time[T](work: Callable[[], T], timeout_s: float, name: str) -> T:
    """What `work` returns or raises. It has a thread of its own, of this name, which goes on when nobody waits for it
    any more, and keeps the program from nothing. Raises TimeoutError, and OSError when no thread can be started."""
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
    try:
        async with asyncio.timeout(timeout_s) as limit:
            return await asyncio.wrap_future(answer)
    except TimeoutError:
        if not limit.expired():
            raise  # its own
        raise TimeoutError(f"no answer within {timeout_s:g} s") from None
