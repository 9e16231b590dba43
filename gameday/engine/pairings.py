"""Who pairs with whom in a session, from what the journals of the sessions before it say."""

from pathlib import Path

import msgspec

from gameday.common.codec import decode
from gameday.engine.runs import all_runs
from gameday.journal.events import Verdict
from gameday.people import Pair, PastSession, propose_pairs
from gameday.spec.model import People

_MOST_SESSIONS = 200  # the newest
_LONGEST_FIRST = 16 * 1024 * 1024  # bytes: it holds every experiment as it was written
_LONGEST_LAST = 64 * 1024


class _Experiment(msgspec.Struct):
    builder: str | None = None
    sre: str | None = None


class _Started(msgspec.Struct, tag_field="event", tag="session-started"):
    """Of that event, what is needed here: to read all of it takes many times longer."""

    at: float
    experiments: tuple[_Experiment, ...] = ()


class _Ended(msgspec.Struct, tag_field="event", tag="session-ended"):
    verdict: str


def pair_session(people: People, experiments: int, root: Path) -> tuple[Pair, ...]:
    """A pair for each of so many experiments of a session, given or proposed. `root` is the project's directory."""
    past = past_sessions(root) if people.builders or people.sres or people.pairs else ()
    return propose_pairs(people, experiments, past)


def past_sessions(root: Path) -> tuple[PastSession, ...]:
    """The newest sessions in which anybody took part, oldest first.

    One that was never started has brought nobody together. Journals that cannot be read are passed over.
    """
    sessions = (_read(run.journal) for run in all_runs(root)[-_MOST_SESSIONS:])
    return tuple(session for session in sessions if session is not None)


def _read(journal: Path) -> PastSession | None:
    """Only its first and its last line are read."""
    try:
        with journal.open("rb") as file:
            started = decode(file.readline(_LONGEST_FIRST), _Started)
            pairs = tuple(Pair(experiment.builder, experiment.sre) for experiment in started.experiments)
            if not any(pair.builder or pair.sre for pair in pairs):
                return None
            file.seek(max(0, file.seek(0, 2) - _LONGEST_LAST))
            last = file.read().rstrip(b"\n").rpartition(b"\n")[2]
    except (OSError, msgspec.DecodeError):
        return None
    try:
        was_held = decode(last, _Ended).verdict != Verdict.NOT_STARTED
    except msgspec.DecodeError:  # it goes on, or its runner died
        was_held = True
    return PastSession(started.at, pairs) if was_held else None
