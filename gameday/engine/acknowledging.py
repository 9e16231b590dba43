"""Asks, while an experiment runs, whether somebody has acknowledged its alerts where people are paged."""

import asyncio
from collections.abc import Callable, Iterable

from gameday.coverage.on_call import Acknowledging
from gameday.coverage.on_call.judging import match_acknowledgement
from gameday.journal.events import AlertObserved, AlertState

_DEADLINE_S = 30.0  # a source keeps its own, shorter timeout; this is for one that does not


class AcknowledgementWatch:
    """Of one experiment. An incident that names none of the experiment's alerts is none of its business."""

    def __init__(self, source: Acknowledging, name: str, experiment: int, expected: Iterable[str]) -> None:
        """`name`: the source's, by which the event says where it was seen."""
        self._source = source
        self._experiment = experiment
        self._expected = frozenset(expected)
        self.name = name
        self._known: set[tuple[str, str]] = set()

    async def ask(self, since: float, seen: Iterable[str], now: Callable[[], float]) -> tuple[AlertObserved, ...]:
        """What has been acknowledged and was not known yet, of the alerts that are expected or were `seen`.

        `since`: when the experiment began to break things, in Unix time. Raises what the source does.
        """
        async with asyncio.timeout(_DEADLINE_S):
            acknowledgements = await self._source.acknowledgements(since)
        names, events = self._expected | frozenset(seen), []
        for acknowledgement in acknowledgements:
            name = match_acknowledgement(acknowledgement, names)
            if name is None or (name, acknowledgement.by) in self._known:
                continue
            self._known.add((name, acknowledgement.by))
            events.append(
                AlertObserved(
                    at=now(),
                    experiment=self._experiment,
                    name=name,
                    state=AlertState.ACKNOWLEDGED,
                    expected=name in self._expected,
                    labels={},
                    source=self.name,
                    since=acknowledgement.at,
                    by=acknowledgement.by,
                )
            )
        return tuple(events)
