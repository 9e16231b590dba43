"""A deadline for a call that blocks: for clients whose own timeout begins anew with every byte that comes."""

import threading
from collections.abc import Callable


def within[T](seconds: float, call: Callable[[], T]) -> T:
    """What `call` returns or raises. Raises TimeoutError when it takes longer; it then goes on in a thread that keeps
    no program from ending, and nobody hears of what becomes of it."""
    results: list[T] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(call())
        except BaseException as error:  # noqa: BLE001 - it is raised again where it is waited for
            errors.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise TimeoutError(f"no answer within {seconds:g} s")
    return results[0]
