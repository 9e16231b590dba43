"""The stop switch: a file that, while it is there, ends every run that watches it and lets no other start.

It may lie on a disk that many machines share. Whoever can create a file can use it, with `touch` if need be; what it
says is the reason.
"""

import asyncio
import threading
import time
from pathlib import Path

import msgspec

from gameday.common.files import write_atomically
from gameday.common.texts import one_line
from gameday.spec.model import Project

_LOOK_EVERY_S = 0.05
_FIRST_LOOK_S = 5.0
_BLIND_AFTER_S = 5.0
_MAX_REASON = 500


class StopSwitch(msgspec.Struct, frozen=True):
    """The file. `shared`: gameday.yaml says where it is, so its directory must be there."""

    path: Path
    shared: bool

    def reason(self) -> str | None:
        """Why nothing may run, or None when it is released. One that cannot be seen counts as engaged."""
        try:
            with self.path.open(errors="replace") as file:
                return one_line(file.read(_MAX_REASON)).strip() or f"the stop switch {self.path} is engaged"
        except FileNotFoundError:
            if self.shared and not self.path.parent.is_dir():
                return f"the directory of the stop switch {self.path} is missing"
            return None
        except (OSError, ValueError) as error:
            return f"the stop switch {self.path} cannot be read: {getattr(error, 'strerror', None) or error}"

    def engage(self, reason: str) -> str:
        """Engage it; the reason that then stands in it, which is the first one's. Raises OSError."""
        if not self.path.exists():
            write_atomically(self.path, one_line(reason)[:_MAX_REASON] + "\n")
            self.path.chmod(0o644)  # others, on other machines, must be able to read it
        return self.reason() or reason

    def release(self) -> bool:
        """Release it; False when it was not engaged. Raises OSError."""
        engaged = self.path.exists()
        self.path.unlink(missing_ok=True)
        return engaged


def switch_of(project: Project) -> StopSwitch:
    """The switch that the project's runs watch."""
    return StopSwitch(project.stop_switch, shared=project.stop_switch_file is not None)


class SwitchWatch:
    """The switch as a run watches it: from a thread, because a file on another machine may hang whoever asks for it."""

    def __init__(self, switch: StopSwitch) -> None:
        self._switch = switch
        self._reason: str | None = None
        self._has_looked = False
        self._looked_at = time.monotonic()
        self._ended = threading.Event()

    def start(self) -> None:
        """Begin to look."""
        threading.Thread(target=self._look, name="stop-switch", daemon=True).start()

    def close(self) -> None:
        """Look no more. Does not wait: the thread may hang."""
        self._ended.set()

    def _look(self) -> None:
        while not self._ended.is_set():
            self._reason = self._reason or self._switch.reason()  # once engaged, it stays so for this run
            self._looked_at = time.monotonic()
            self._has_looked = True
            self._ended.wait(_LOOK_EVERY_S)

    @property
    def reason(self) -> str | None:
        """Why the run must end, or None. That nobody could look for five seconds is a reason too."""
        dark_s = time.monotonic() - self._looked_at
        if self._reason is None and dark_s > _BLIND_AFTER_S:
            return f"the stop switch {self._switch.path} could not be looked at for {dark_s:.0f} s"
        return self._reason

    async def first_look(self) -> str | None:
        """The same, once somebody has looked."""
        deadline = time.monotonic() + _FIRST_LOOK_S
        while not self._has_looked:
            if time.monotonic() > deadline:
                return f"the stop switch {self._switch.path} could not be looked at within {_FIRST_LOOK_S:g} s"
            await asyncio.sleep(0.002)
        return self.reason
