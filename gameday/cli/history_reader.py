"""Says to the store what a journal shows, as `gameday history` shows it."""

import math

import msgspec

from gameday.coverage.matrix import Past
from gameday.history.summary import AlertSummary, ExperimentSummary, Summary
from gameday.journal.events import AnyEvent
from gameday.report.past_run import ExperimentPast, RunReading, SessionPast
from gameday.report.trends import detected, recovered

_VERSION = 2  # counts up when a SessionPast or a Past changes, or how they are made


class PastReader:
    """A `gameday.history.summary.Reader` whose documents are sessions of `gameday.report.past_run`, and what they have
    exercised."""

    version = _VERSION

    def begin(self, run: str) -> "_Reading":
        """A journal that nothing has been read of yet."""
        return _Reading(run)


class _Reading:
    def __init__(self, run: str) -> None:
        self._reading = RunReading(run)

    def apply(self, event: AnyEvent) -> None:
        self._reading.apply(event)

    def summary(self) -> Summary:
        session = self._reading.session()
        return Summary(
            started=session.started,
            title=session.title,
            environment=session.environment,
            verdict=None if session.verdict is None else session.verdict.value,
            experiments=tuple(map(_experiment, session.experiments)),
            document=msgspec.json.encode(session).decode(),
            exercised=msgspec.json.encode(self._reading.past()).decode(),
        )


def session_of(document: str) -> SessionPast:
    """The session in a document. Raises msgspec.MsgspecError when a newer gameday has written it."""
    return _decoder.decode(document)


def past_of(exercised: str) -> Past:
    """What a session has exercised. Raises msgspec.MsgspecError when a newer gameday has written it."""
    return _past_decoder.decode(exercised)


_decoder = msgspec.json.Decoder(SessionPast)
_past_decoder = msgspec.json.Decoder(Past)


def _experiment(item: ExperimentPast) -> ExperimentSummary:
    recovery = item.recovery
    return ExperimentSummary(
        path=item.path,
        title=item.title,
        service=item.service,
        verdict=None if item.verdict is None else item.verdict.value,
        injected_at=item.injected_at,
        faults=item.faults,
        alerts=tuple(AlertSummary(alert.name, alert.result.value, alert.after_s) for alert in item.alerts),
        detected_s=_finite(detected(item)),
        noticed_s=item.noticed_s,
        recovered_s=_finite(recovered(item)),
        is_recovered=None if recovery is None else recovery.recovered and not recovery.is_late,
    )


def _finite(seconds: float | None) -> float | None:
    return seconds if seconds is not None and math.isfinite(seconds) else None
