"""What people said would happen in an experiment beside what its report shows of it. Pure; no I/O."""

from collections.abc import Mapping, Sequence

import msgspec

from gameday.journal.events import AlertObserved, ExperimentInfo, Outcome, PredictionMade, Role
from gameday.people.predicting import Observed, Question, Said, compare, latest
from gameday.report.format import duration
from gameday.report.views import Alert, ExperimentReport, Predictions, Row, Status

_UNKNOWN = Observed({}, {}, None)


class Shown(msgspec.Struct, frozen=True):
    """What an experiment has shown. `has_source`: alerts could be seen, also those that nobody expected."""

    info: ExperimentInfo
    status: Status
    injected_at: float | None
    rows: tuple[Row, ...]
    alerts: tuple[Alert, ...]
    observed: tuple[AlertObserved, ...]
    has_source: bool

    @property
    def is_whole(self) -> bool:
        """Whether it ran to its end: what had not happened by then did not happen."""
        return self.status in (Status.HELD, Status.WEAKNESS)


class Table(msgspec.Struct, frozen=True):
    """`sides`: the head of each column, and who speaks there when it is one alone; `rows`: of each question what was
    said in each column."""

    sides: tuple[tuple[str, str], ...]
    rows: tuple[tuple[Question, tuple[tuple[Said, ...], ...]], ...]


class Differing(msgspec.Struct, frozen=True):
    """A question on which the builder and the SRE of an experiment did not agree, and what these two said."""

    experiment: int
    question: Question
    said: tuple[Said, ...]


def differing(experiments: Sequence[ExperimentReport]) -> tuple[Differing, ...]:
    """All of a session."""
    return tuple(
        Differing(one.index, question, tuple(said for said in question.said if said.role and said.text))
        for one in experiments
        for question in one.predictions.questions
        if question.differ
    )


def predictions(made: Sequence[PredictionMade], shown: Shown) -> Predictions:
    """Who said what, and how it turned out."""
    began = shown.injected_at
    counted = latest(made, began)
    late = tuple(event for event in made if began is not None and event.at > began)
    broke = _broke(shown)
    observed = Observed(broke, _fired_after(counted, shown), _users_noticed(shown, broke))
    questions = compare(counted, observed, duration)
    return Predictions(counted, late, tuple(sorted(questions, key=lambda question: not question.differ)))


def say_prediction(event: PredictionMade) -> str:
    """All that one person said, on one line."""
    said = [f"{question.text} {question.said[0].text}" for question in compare([event], _UNKNOWN)]
    return "; ".join([*said, *filter(None, [event.prediction.note])])


def tabulate_predictions(found: Predictions) -> Table:
    """Questions against builders, SREs and others; a side that nobody spoke for is left out."""
    made, questions = found.made, found.questions
    sides = {
        "Builder": frozenset(event.author for event in made if event.role is Role.BUILDER),
        "SRE": frozenset(event.author for event in made if event.role is Role.SRE),
        "Other": frozenset(event.author for event in made if event.role not in (Role.BUILDER, Role.SRE)),
    }
    spoken = {name: authors for name, authors in sides.items() if authors}
    heads = tuple(
        (f"{name} says", next(iter(authors))) if len(authors) == 1 else (f"{name}s say", "")
        for name, authors in spoken.items()
    )
    rows = tuple(
        (question, tuple(tuple(one for one in question.said if one.author in side) for side in spoken.values()))
        for question in questions
    )
    return Table(heads, rows)


def _broke(shown: Shown) -> Mapping[str, bool]:
    """Of each signal whether a condition on it broke; one that was not judged to the end may yet have broken."""
    signals = {condition.signal for condition in shown.info.conditions if condition.role == "hypothesis"}
    outcomes: dict[str, list[Outcome | None]] = {}
    for row in shown.rows:
        if row.subject in signals:
            outcomes.setdefault(row.subject, []).append(row.during.outcome)
    broke = {signal: True for signal, found in outcomes.items() if Outcome.BROKEN in found}
    held = {
        signal: False
        for signal, found in outcomes.items()
        if shown.is_whole and all(outcome is Outcome.HELD for outcome in found)
    }
    return broke | held


def _fired_after(made: Sequence[PredictionMade], shown: Shown) -> Mapping[str, float | None]:
    began = shown.injected_at
    if began is None:
        return {}
    fired = {alert.name: alert.firing_at - began for alert in shown.alerts if alert.firing_at is not None}
    # Without a source nothing is injected where an alert is expected.
    could_be_seen = shown.is_whole and (shown.has_source or bool(shown.info.alerts) or bool(shown.observed))
    before = {event.name for event in shown.observed if event.existed_before}
    names = {said.name for event in made for said in event.prediction.alerts}
    silent = {name: None for name in names - before if could_be_seen}
    return silent | fired


def _users_noticed(shown: Shown, broke: Mapping[str, bool]) -> bool | None:
    """Whether the latency or the errors of the experiment's own service broke, which is what users would notice. That
    they did not is told only of both: a service that answers quickly may answer with nothing but errors."""
    own = [
        [broke.get(row.subject) for row in shown.rows if row.subject.startswith(f"{shown.info.service}.{kind}.")]
        for kind in ("latency", "errors")
    ]
    if any(True in found for found in own):
        return True
    return False if all(found and None not in found for found in own) else None
