"""Who pairs with whom in a session, from what the journals of the sessions before it say."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import msgspec

from gameday.common.codec import decode
from gameday.engine.runs import all_runs
from gameday.journal.events import Verdict
from gameday.people import Pair, PastSession, propose_pairs
from gameday.spec.model import People

MOST_SESSIONS = 200  # the newest
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


def pair_session(
    people: People, experiments: int, root: Path, elsewhere: Mapping[str, PastSession] = MappingProxyType({})
) -> tuple[Pair, ...]:
    """A pair for each of so many experiments of a session, given or proposed. `root` is the project's directory;
    `elsewhere` has sessions of other machines, too, by their names."""
    past = past_sessions(root, elsewhere) if people.builders or people.sres or people.pairs else ()
    return propose_pairs(people, experiments, past)


def past_sessions(root: Path, elsewhere: Mapping[str, PastSession] = MappingProxyType({})) -> tuple[PastSession, ...]:
    """The newest sessions in which anybody took part, oldest first.

    One that was never started has brought nobody together. Journals that cannot be read are passed over.
    """
    read = ((run.name, _read(run.journal)) for run in all_runs(root)[-MOST_SESSIONS:])
    found = {**elsewhere, **{name: session for name, session in read if session is not None}}
    return tuple(sorted(found.values(), key=lambda session: session.at)[-MOST_SESSIONS:])


def past_session(started: bytes, *, was_held: bool) -> PastSession | None:
    """Who took part in a session, by its first line; None when nobody did, or it was not held."""
    try:
        first = decode(started, _Started)
    except msgspec.DecodeError:
        return None
    pairs = tuple(Pair(experiment.builder, experiment.sre) for experiment in first.experiments)
    return PastSession(first.at, pairs) if was_held and any(pair.builder or pair.sre for pair in pairs) else None


def _read(journal: Path) -> PastSession | None:
    """Only its first and its last line are read."""
    try:
        with journal.open("rb") as file:
            started = file.readline(_LONGEST_FIRST)
            file.seek(max(0, file.seek(0, 2) - _LONGEST_LAST))
            last = file.read().rstrip(b"\n").rpartition(b"\n")[2]
    except OSError:
        return None
    try:
        was_held = decode(last, _Ended).verdict != Verdict.NOT_STARTED
    except msgspec.DecodeError:  # it goes on, or its runner died
        was_held = True
    return past_session(started, was_held=was_held)
