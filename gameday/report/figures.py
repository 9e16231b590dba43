"""The few figures of an experiment that people ask for first, and those of the people beside the machines'."""

from collections.abc import Iterator

import msgspec

from gameday.journal.events import Mark, MarkSet
from gameday.report import format as fmt
from gameday.report.views import AlertOutcome, ExperimentReport

_NAMES = {
    Mark.DETECTED: "Noticed by people",
    Mark.DIAGNOSED: "Diagnosed",
    Mark.MITIGATED: "Mitigated",
    Mark.ALL_CLEAR: "All clear",
}


class Figure(msgspec.Struct, frozen=True):
    """One of them, in words."""

    name: str
    figure: str
    remark: str


def figures(experiment: ExperimentReport) -> tuple[Figure, ...]:
    """How much was hit; how soon the machines, and beside them people, noticed; how soon it was over."""
    return (*_blast_radius(experiment), *_detection(experiment), *_recovery(experiment))


def figures_of_people(experiment: ExperimentReport) -> tuple[Figure, ...]:
    """How soon after the injection they had come how far, once they had noticed; the first word counts."""
    return tuple(_figure(mark, experiment) for mark in reached(experiment) if mark.mark is not Mark.DETECTED)


def _blast_radius(experiment: ExperimentReport) -> Iterator[Figure]:
    if experiment.faults:
        widest = max(experiment.faults, key=lambda fault: fault.share)
        yield Figure("Blast radius", widest.reach, "at its widest")


def _detection(experiment: ExperimentReport) -> Iterator[Figure]:
    began = experiment.injected_at
    expected = [alert for alert in experiment.alerts if alert.expected]
    is_told = any(alert.outcome is not AlertOutcome.NOT_TESTED for alert in expected)
    never = "never" if is_told else "not tested"  # it was over before any had to fire
    if began is not None and expected:
        fired = [alert.firing_at - began for alert in expected if alert.firing_at is not None]
        remark = f"{len(fired)} of {len(expected)} alerts" if len(expected) > 1 else "first expected alert"
        yield Figure("Time to detect", fmt.duration(min(fired)) if fired else never, remark)
    for mark in reached(experiment):
        if mark.mark is Mark.DETECTED:
            yield _figure(mark, experiment)
    if began is not None and expected:
        told = [alert.notified_at - began for alert in expected if alert.notified_at is not None]
        yield Figure("Time to notify", fmt.duration(min(told)) if told else never, "first notification seen")


def _recovery(experiment: ExperimentReport) -> Iterator[Figure]:
    recovery = experiment.recovery
    if recovery is not None:
        within = recovery.within_s
        remark = f"wanted within {fmt.duration(within)}" if within is not None else "after the undo"
        figure = fmt.duration(recovery.seconds) if recovery.seconds is not None else "did not recover"
        yield Figure("Recovery", figure, remark)


def _figure(mark: MarkSet, experiment: ExperimentReport) -> Figure:
    return Figure(_NAMES[mark.mark], fmt.duration(mark.at - (experiment.injected_at or 0.0)), _by(mark, experiment))


def reached(experiment: ExperimentReport) -> tuple[MarkSet, ...]:
    """The first mark of each kind after the injection, from detected to all-clear."""
    began = experiment.injected_at
    first: dict[Mark, MarkSet] = {}
    for mark in experiment.marks:
        if began is not None and mark.at >= began and (mark.mark not in first or mark.at < first[mark.mark].at):
            first[mark.mark] = mark
    return tuple(first[kind] for kind in Mark if kind in first)


def first_alert(experiment: ExperimentReport) -> tuple[str, float] | None:
    """The first alert that fired after the injection, expected or not, and when."""
    fired = [(alert.firing_at, alert.name) for alert in experiment.alerts if alert.firing_at is not None]
    at, name = min(fired, default=(None, ""))
    return None if at is None else (name, at)


def _by(mark: MarkSet, experiment: ExperimentReport) -> str:
    """Who said it; of the detection also how far it was from that of the machines."""
    if mark.mark is not Mark.DETECTED:
        return f"by {mark.author}"
    alert = first_alert(experiment)
    if alert is None:
        return f"by {mark.author}; no alert fired"
    name, at = alert
    apart = fmt.duration(abs(mark.at - at))
    return f"by {mark.author}, {apart} {'after' if mark.at >= at else 'before'} {name} fired"
