"""`gameday schedule run`: starts what is due, each game day as a child with a log of its own, until all have ended."""

import hashlib
import queue
import re
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from gameday.cli.output import say
from gameday.common.processes import python_command

if TYPE_CHECKING:
    from gameday.cli.schedule_load import Found
    from gameday.engine.schedule import Claims, Occurrence

_INVALID, _NOT_STARTED = 2, 3
_AGAIN_S = 60.0  # while something runs we look again: a systemd timer starts no second service meanwhile


def run_due(paths: Sequence[Path]) -> int:
    """Start what is due and nobody else has taken, wait for it; the highest exit status of all."""
    return _Runs(paths).go()


class _Child:
    """A session that has been started, and where its output goes."""

    def __init__(self, occurrence: "Occurrence", claims: "Claims", root: Path) -> None:
        """Raises OSError."""
        self.claims, self.root = claims, root
        name = occurrence.scheduled.name
        slug = re.sub(r"[^A-Za-z0-9]+", "-", name.rpartition(".")[0].removeprefix("experiments/")).strip("-")[-100:]
        which = hashlib.sha256(name.encode()).hexdigest()[:6]  # `a/b` is not `a-b`
        at = occurrence.due_at.astimezone(UTC)
        self.occurrence = occurrence
        self.log = root / ".gameday" / "schedule" / f"{slug}-{at:%Y%m%dT%H%M%SZ}-{which}.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        # A session of its own: a Ctrl-C reaches it through us alone.
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                python_command("gameday.cli.main", "run", name, "--unattended"),
                cwd=root,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def outcome(self) -> tuple[str, str | None]:
        """What became of it, once it has ended; and the session's name, if it came to one."""
        from gameday.cli.schedule_outcome import outcome_of, session_of_process

        told = session_of_process(self.root, self.process.pid)
        return outcome_of(self.process.returncode, told, self.log), told.run if told else None


class _Runs:
    """What one call has started."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._status = 0
        self._claims: Claims | None = None  # opened once: each time would be another connection
        self._children: list[_Child] = []
        self._ended: queue.SimpleQueue[_Child] = queue.SimpleQueue()
        self._is_stopping = False
        self._said: set[str] = set()

    def go(self) -> int:
        """Raises nothing that a file or a store can make it raise."""
        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        before = {number: signal.signal(number, self._stop) for number in numbers}
        try:
            self._look()
            while self._children:
                try:
                    self._finish(self._ended.get(timeout=_AGAIN_S))
                except queue.Empty:
                    if not self._is_stopping:
                        self._look()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        return self._status

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        """Hand it on: sessions undo what they have done, and we wait for that. Nothing else is started."""
        self._is_stopping = True
        for child in self._children:
            _terminate(child)

    def _look(self) -> None:
        from gameday.cli.load import print_mistakes
        from gameday.cli.schedule_load import find_scheduled
        from gameday.engine.locks import LockHeldError
        from gameday.engine.schedule import ClockError
        from gameday.spec.location import SpecError

        try:
            found = find_scheduled(self._paths)
            self._start(found)
            if found.wrong:
                raise SpecError(found.wrong)
        except SpecError as error:
            self._worse(_INVALID)
            if str(error) not in self._said:
                self._said.add(str(error))
                print_mistakes(error)
        except (OSError, LockHeldError) as error:
            self._worse(_NOT_STARTED)
            self._say(f"not started: what is due cannot be claimed: {error}")
        except ClockError as error:
            self._worse(_NOT_STARTED)
            self._say(f"not started: what is due cannot be told: {error}")

    def _start(self, found: "Found") -> None:
        from gameday.cli.schedule_load import holder, open_claims
        from gameday.engine.freezes import Freezes
        from gameday.engine.schedule import State, agree_on_now, look_at_all, take

        claims = self._claims = self._claims or open_claims(found.project)
        freezes = Freezes(found.project.root)
        now = agree_on_now(claims, time.time())
        for occurrence in look_at_all(found.game_days, freezes, claims, now, holder()):
            if self._is_stopping:
                return
            what = _what(occurrence)
            if occurrence.state is State.UNKNOWN:
                self._worse(_NOT_STARTED)
                self._say(f"{what}: not started: whether there is a blackout cannot be told: {occurrence.reason}")
            elif take(occurrence, claims, holder()):
                if occurrence.state is State.DUE:
                    self._begin(occurrence, claims, found.project.root)
                else:
                    self._say(f"{what}: not started: {occurrence.state}: {occurrence.reason}")

    def _begin(self, occurrence: "Occurrence", claims: "Claims", root: Path) -> None:
        try:
            child = _Child(occurrence, claims, root)
        except OSError as error:
            self._worse(_NOT_STARTED)
            self._say(f"{_what(occurrence)}: not started: {error}")
            self._settle(claims, occurrence, f"not started: {error}", None)
            return
        self._children.append(child)
        if self._is_stopping:  # the signal came before the child was known
            _terminate(child)
        threading.Thread(target=self._wait, args=(child,), daemon=True).start()

    def _wait(self, child: _Child) -> None:
        child.process.wait()
        self._ended.put(child)

    def _finish(self, child: _Child) -> None:
        self._children.remove(child)
        status, (outcome, run) = child.process.returncode, child.outcome()
        self._worse(status if status >= 0 else 128 - status)
        self._settle(child.claims, child.occurrence, outcome, run)
        if status != 0:
            self._say(f"{_what(child.occurrence)}: {outcome}; {child.log}")

    def _settle(self, claims: "Claims", occurrence: "Occurrence", outcome: str, run: str | None) -> None:
        from gameday.engine.schedule import KIND

        try:
            claims.settle(KIND, occurrence.scheduled.name, occurrence.due_at.timestamp(), outcome, run)
        except Exception as error:  # noqa: BLE001 - the journal is the truth of the run; the store may be down
            self._say(f"{_what(occurrence)}: its outcome could not be noted: {error}")

    def _worse(self, status: int) -> None:
        self._status = max(self._status, status)

    def _say(self, text: str) -> None:
        """One line, once."""
        from gameday.common.texts import one_line

        if text not in self._said:
            self._said.add(text)
            say(one_line(text))


def _what(occurrence: "Occurrence") -> str:
    return f"{occurrence.scheduled.name}, due {occurrence.due_at:%Y-%m-%d %H:%M %Z}"


def _terminate(child: _Child) -> None:
    with suppress(ProcessLookupError):
        child.process.send_signal(signal.SIGTERM)
