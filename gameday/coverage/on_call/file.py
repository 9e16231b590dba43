"""Who is on call by a file that the team writes. Format: docs/on-call.md, read by gameday/spec/on_call.py."""

from pathlib import Path

import msgspec

from gameday.coverage.on_call.base import OnCallError
from gameday.coverage.on_call.shifts import ALWAYS, Shift, shifts_of, tell
from gameday.journal.events import OnCallInfo
from gameday.spec.location import SpecError
from gameday.spec.model import OnCallConfig
from gameday.spec.on_call import OnCallFile, load_on_call_file
from gameday.spec.reader import nearest

_MOST_MISTAKES = 3  # in one message


class FileSource:
    """Reads the file at every look-up: it may be changed meanwhile."""

    def __init__(self, config: OnCallConfig) -> None:
        """Raises OnCallError when the file cannot be used; the message says where in it and why."""
        if config.path is None:
            raise OnCallError("found no `path`, expected that of a file, such as on-call.yaml")
        self._path = config.path
        self._within_s = config.within_s
        _load(config.path)

    async def look_up(self, service: str | None, schedule: str | None, now: float) -> OnCallInfo:
        """Who is on call by the schedule, else by the one that is called as the service is."""
        name = schedule or service or ""
        info = OnCallInfo(service=service, source="file", schedule=name)
        try:
            return _look_up(_load(self._path), info, now, self._within_s)
        except OnCallError as error:
            return msgspec.structs.replace(info, detail=str(error))

    async def close(self) -> None:
        """Nothing is held."""


def _look_up(file: OnCallFile, info: OnCallInfo, now: float, within_s: float) -> OnCallInfo:
    if not info.schedule:
        raise OnCallError("neither the experiment's service nor `on-call.schedule` says whose schedule it is")
    schedule = file.schedule(info.schedule)
    if schedule is None:
        near = nearest(info.schedule, (known.name for known in file.schedules))
        hint = f"; did you mean `{near}`?" if near else ""
        raise OnCallError(f"{file.path} has no schedule `{info.schedule}`{hint}")
    until = now + within_s
    levels = [shifts_of(schedule, now, until)]
    for level in schedule.escalation:
        other = file.schedule(level)
        levels.append((Shift(level, *ALWAYS),) if other is None else shifts_of(other, now, until))
    return tell(info, levels, now, until)


def _load(path: Path) -> OnCallFile:
    try:
        return load_on_call_file(path)
    except SpecError as error:
        said = [str(mistake) for mistake in error.mistakes[:_MOST_MISTAKES]]
        more = len(error.mistakes) - len(said)
        raise OnCallError("; ".join(said) + (f"; and {more} more mistakes" if more else "")) from error
