"""Where a run is, by its journal, for whoever asks in the channel."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from gameday.journal.events import ActivityStarted, AnyEvent, ExperimentInfo, FaultPlanned, SessionStarted
from gameday.journal.log import decode_event
from gameday.journal.state import RunState
from gameday.notify.base import Status
from gameday.notify.narrator import Narrator
from gameday.spec.units import format_duration

_MOST_LINES = 12  # of what is in place, and of the signals


class Progress:
    """Follows a journal: each reading goes on where the last one ended. Not for two threads at a time."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._read_to = 0
        self._narrator = Narrator()
        self._begun: set[int] = set()  # experiments of which something was injected or done
        self.state = RunState()

    def read(self) -> None:
        """Take in what was written since. Raises OSError."""
        with self._journal.open("rb") as file:
            file.seek(self._read_to)
            for line in file:
                if not line.endswith(b"\n"):
                    return  # still being written
                self._read_to += len(line)
                try:
                    self.take(decode_event(line))
                except msgspec.DecodeError:
                    continue

    def take(self, event: AnyEvent) -> None:
        """Take one event in."""
        self.state.apply(event)
        self._narrator.take(event)
        if isinstance(event, FaultPlanned) or (isinstance(event, ActivityStarted) and event.section == "method"):
            self._begun.add(event.experiment)

    @property
    def session(self) -> SessionStarted | None:
        """What it began with; None as long as that is not written."""
        return self.state.session

    @property
    def open_experiments(self) -> tuple[int, ...]:
        """Those of which it can still be said what will happen."""
        if self.session is None or self.state.ended or self.state.abort:
            return ()
        done = self._begun | set(self.state.verdicts)
        return tuple(index for index in range(len(self.session.experiments)) if index not in done)

    def info(self, experiment: int) -> ExperimentInfo | None:
        """What the session said of an experiment; None where there is none of that number."""
        infos = self.session.experiments if self.session else ()
        return infos[experiment] if experiment in range(len(infos)) else None

    def say(self, now: float) -> str:
        """In a few lines of plain text: title, state, how long, what is in place, the signals, who leads."""
        status = self._narrator.status(now)
        return "The session is about to begin." if status is None else "\n".join(_lines(status))


def _lines(status: Status) -> list[str]:
    took = format_duration(float(round(status.elapsed_s)))
    when = f"after {took}" if status.verdict else f"{took} in"
    where = ", ".join(filter(None, (status.state, "" if status.verdict else status.stage, when)))
    return [
        f"{status.title}, on {status.environment}: {where}",
        *filter(None, [status.experiment]),
        *(_some([f"in place: {one}" for one in status.in_place]) or ["nothing is in place"]),
        *_some([f"{bar.name} {bar.shown} ({bar.wanted})" for bar in status.signals]),
        *_some([f"alert {alert}" for alert in status.alerts]),
        *filter(None, [status.lead]),
    ]


def _some(lines: Sequence[str]) -> list[str]:
    more = len(lines) - _MOST_LINES
    return [*lines[:_MOST_LINES], *([f"and {more} more"] if more > 0 else [])]
