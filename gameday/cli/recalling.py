"""What earlier sessions have shown and left, as one begins: those of this machine, and with a team's store of all."""

from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from gameday.cli.output import say

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gameday.engine.preparation import SessionInput
    from gameday.people import PastSession
    from gameday.report.past_run import SessionPast
    from gameday.spec.model import Project

_ANSWER_S = 5.0  # a session does not wait for longer to hear of others


class _Elsewhere(NamedTuple):
    """What the store knows of sessions, of whatever machine: of experiments that are asked for, and who took part."""

    sessions: "tuple[SessionPast, ...]" = ()
    pairs: "Mapping[str, PastSession]" = MappingProxyType({})


def recall(session: "SessionInput") -> "SessionInput":
    """With what earlier runs have shown of its experiments, for a report that says loudly what is not so any more; and
    with who took part elsewhere. Action items that other machines have opened or closed are taken into the log here."""
    from gameday.engine.info import path_in

    project, environment = session.project, session.environment.name
    paths = [path_in(experiment, project) for experiment in session.experiments]
    elsewhere = _ask(project, paths, environment)
    sessions = _sessions(project, elsewhere.sessions)
    if not sessions:
        return msgspec.structs.replace(session, elsewhere=elsewhere.pairs)
    from gameday.report.well import well_before

    return msgspec.structs.replace(
        session, was_well=well_before(sessions, paths, environment), elsewhere=elsewhere.pairs
    )


def past_elsewhere(project: "Project") -> "Mapping[str, PastSession]":
    """Who took part in sessions of other machines, by their names. Action items are exchanged, too."""
    return _ask(project, (), "").pairs


def _sessions(project: "Project", elsewhere: "Sequence[SessionPast]") -> "Sequence[SessionPast]":
    """The oldest first. It takes little time: of journals that nobody has read yet, only some are read."""
    from gameday.engine.runs import all_runs

    if not elsewhere and not all_runs(project.root):
        return ()
    from gameday.report.past import read_known_sessions

    found = {one.run: one for one in (*elsewhere, *read_known_sessions(project.root))}
    return sorted(found.values(), key=lambda one: (one.started, one.run))


def _ask(project: "Project", paths: "Sequence[str]", environment: str) -> _Elsewhere:
    """Nothing without a store that machines share, and when it does not answer in time, which is said."""
    from gameday.cli.shared_locks import shared_url
    from gameday.spec.location import SpecError

    try:
        url = shared_url(project)
    except SpecError:  # a variable is not set: whoever cannot do without says so
        url = None
    if url is None:
        return _Elsewhere()
    from gameday.common.waiting import within

    try:
        return within(_ANSWER_S, partial(_read, url, project, paths, environment), "recall")
    except OSError as error:
        say(f"what sessions of other machines have shown is not known: {error}")
        return _Elsewhere()


def _read(url: str, project: "Project", paths: "Sequence[str]", environment: str) -> _Elsewhere:
    """Raises StoreError."""
    import contextlib

    from gameday.cli.past_source import StoreSource
    from gameday.engine.pairings import MOST_SESSIONS, past_session
    from gameday.history.feed import exchange_actions
    from gameday.history.store import open_store
    from gameday.journal.events import Verdict

    with contextlib.closing(open_store(url, project.root, project=project.name)) as store:
        exchange_actions(store)
        source = StoreSource(store)
        each = (
            (name, past_session(first.encode(), was_held=verdict != Verdict.NOT_STARTED))
            for name, first, verdict in store.queries.firsts(MOST_SESSIONS)
        )
        return _Elsewhere(
            tuple(one for path in paths for one in source.telling(path, environment)),
            {name: found for name, found in each if found is not None},
        )
