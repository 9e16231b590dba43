"""Follows alerts from look to look and says what is new: pure, no clock, no I/O."""

from collections import Counter
from collections.abc import Sequence

import msgspec

from gameday.coverage.base import AlertsSeen, SeenAlert
from gameday.journal.events import AlertObserved, AlertState
from gameday.spec.model import ExpectedAlert

type _Key = tuple[str, str, tuple[tuple[str, str], ...]]  # source, name, labels


class Evidence(msgspec.Struct, frozen=True):
    """How far the looks since the injection can be relied on: how many there were, how many of them each source did not
    answer, why nobody is told of an alert (by name), and until when there were any (Unix time)."""

    looks: int = 0
    unanswered: tuple[tuple[str, int], ...] = ()
    suppressed: tuple[tuple[str, str], ...] = ()
    until: float | None = None


class _Episode(msgspec.Struct):
    """From the moment an alert appears at a source until it is gone from it."""

    existed_before: bool
    reported: set[AlertState] = set()


class AlertWatch:
    """Turns looks into events, each state once an episode. An alert is one name and label set at one source."""

    def __init__(self, experiment: int, expected: Sequence[ExpectedAlert]) -> None:
        self._experiment = experiment
        self._expected = {alert.name for alert in expected}
        self._episodes: dict[_Key, _Episode] = {}
        self._never_answered: set[str] | None = None  # of the looks before the injection
        self._looks = 0
        self._until: float | None = None
        self._unanswered: Counter[str] = Counter()
        self._suppressed: dict[str, str] = {}

    def before(self, seen: AlertsSeen) -> None:
        """Note what is there before the first injection. The last look counts: what has ended by then is silent.

        What the first answer of a source that gave none before the injection shows is taken to have been there: nobody
        can know that the fault caused it.
        """
        silent = {source for source, _ in seen.unreachable}
        self._never_answered = silent if self._never_answered is None else self._never_answered & silent
        self._forget_what_is_gone(seen)
        for alert in seen.alerts:
            self._episodes.setdefault(_key(alert), _Episode(existed_before=True))

    def observe(self, seen: AlertsSeen, at: float) -> tuple[AlertObserved, ...]:
        """The events of one look, made at `at` (Unix time)."""
        self._looks += 1
        self._until = at
        self._unanswered.update(source for source, _ in seen.unreachable)
        self._suppressed.update(seen.suppressed)
        events = [
            self._event(key, episode, AlertState.RESOLVED, at)
            for key, episode in self._forget_what_is_gone(seen)
            if AlertState.FIRING in episode.reported
        ]
        firing = {_key(alert) for alert in seen.alerts if alert.state is AlertState.FIRING}
        for alert in seen.alerts:
            key = _key(alert)
            is_pending = alert.state is AlertState.PENDING
            if is_pending and key in firing:
                continue  # two rules of one name and label set, of which one fires
            episode = self._episodes.get(key)
            if episode and is_pending and AlertState.FIRING in episode.reported:
                # Firing, then pending again: between two looks it was gone.
                events.append(self._event(key, episode, AlertState.RESOLVED, at))
                episode = None
            if episode is None:
                existed_before = alert.source in (self._never_answered or ())
                episode = self._episodes[key] = _Episode(existed_before)
            if alert.state not in episode.reported:
                episode.reported.add(alert.state)
                events.append(self._event(key, episode, alert.state, at, alert))
        if self._never_answered:
            self._never_answered &= {source for source, _ in seen.unreachable}
        return tuple(events)

    @property
    def evidence(self) -> Evidence:
        """How far what was observed can be relied on."""
        unanswered, suppressed = sorted(self._unanswered.items()), sorted(self._suppressed.items())
        return Evidence(self._looks, tuple(unanswered), tuple(suppressed), self._until)

    def _forget_what_is_gone(self, seen: AlertsSeen) -> list[tuple[_Key, _Episode]]:
        """End the episodes of alerts that are no longer there; a source that did not answer has ended nothing."""
        silent = {source for source, _ in seen.unreachable}
        there = {_key(alert) for alert in seen.alerts}
        gone = [key for key in self._episodes if key not in there and key[0] not in silent]
        return [(key, self._episodes.pop(key)) for key in gone]

    def _event(
        self, key: _Key, episode: _Episode, state: AlertState, at: float, alert: SeenAlert | None = None
    ) -> AlertObserved:
        source, name, labels = key
        return AlertObserved(
            at=at,
            experiment=self._experiment,
            name=name,
            state=state,
            expected=name in self._expected,
            labels=dict(labels),
            source=source,
            since=alert.since if alert else None,
            existed_before=episode.existed_before,
            summary=alert.summary if alert else "",
        )


def _key(alert: SeenAlert) -> _Key:
    return alert.source, alert.name, alert.labels
