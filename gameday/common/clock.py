"""One clock for a whole process: wall time that never jumps."""

import time


class Clock:
    """Wall time anchored once and carried on by the monotonic clock.

    A change of the system's time during a run would otherwise make durations negative and let a deadline pass at once.
    """

    def __init__(self) -> None:
        self._wall = time.time()
        self._monotonic = time.monotonic()

    def now(self) -> float:
        """Seconds since the Unix epoch (UTC)."""
        return self._wall + (time.monotonic() - self._monotonic)

    def drift(self) -> float:
        """Seconds by which the system's wall clock has moved away from this one since the start."""
        return time.time() - self.now()
