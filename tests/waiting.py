"""Waits in real time for what another process does."""

import time
from collections.abc import Callable

_LONGEST_S = 60.0


def wait_for[T](look: Callable[[], T | None]) -> T:
    """What `look` gives as soon as it is anything true."""
    deadline = time.monotonic() + _LONGEST_S
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.02)
    raise AssertionError("it never came")
