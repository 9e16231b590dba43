"""What earlier runs have shown to be well, for the journal of the one that begins: its report knows nothing else."""

from collections.abc import Iterator, Sequence

from gameday.journal.events import WasWell
from gameday.report.past_run import SessionPast
from gameday.report.trends import Selection, last_well


def well_before(sessions: Sequence[SessionPast], paths: Sequence[str], environment: str) -> tuple[WasWell, ...]:
    """Of each of these experiments (by its file, in the order of the session) in this environment."""
    return tuple(well for index, path in enumerate(paths) for well in _of(sessions, index, path, environment))


def _of(sessions: Sequence[SessionPast], index: int, path: str, environment: str) -> Iterator[WasWell]:
    if not path:
        return
    for found in last_well(Selection(experiment=path, environment=environment).trials(sessions)):
        yield WasWell(
            at=0.0,  # the session knows when it writes it
            experiment=index,
            loss=found.loss,
            good_run=found.good.session.run,
            good_at=found.good.session.started,
            lost_at=found.bad[0].session.started if found.bad else None,
            lost_runs=len(found.bad),
            alert=found.alert,
            document=found.good.experiment.document,
        )
