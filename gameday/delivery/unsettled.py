"""Remembers on disk that an issue is being made: were we killed now, it would be there, and nobody would know."""

import contextlib
import time
from pathlib import Path

from gameday.common.files import write_atomically


class Unsettled:
    """A file that is there while an issue is being made, and holds since when."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def begin(self, at: float) -> None:
        """An issue is about to be made. `at`: Unix time. On disk when this returns. Raises OSError."""
        write_atomically(self._path, f"{at!r}\n")

    def settle(self) -> None:
        """It has been made, and that is written down; or it has not been made. Raises OSError."""
        self._path.unlink(missing_ok=True)

    def left_s(self, lag_s: float) -> float:
        """How many seconds longer an issue may not be found that was being made when its maker ended; 0 when none was.
        `lag_s`: how long it takes a tracker to find one."""
        began = float("-inf")
        with contextlib.suppress(OSError, ValueError):
            began = float(self._path.read_text())
        return min(max(began + lag_s - time.time(), 0.0), lag_s)
