"""Whether a service can be handed over: what a session has shown of it, each line with its evidence. Pure; no I/O."""

from collections.abc import Iterator, Sequence
from enum import StrEnum

import msgspec

from gameday.journal.events import RunbookInfo, StepOutcome
from gameday.report.format import duration
from gameday.report.views import AlertOutcome, ExperimentReport

_COMPLAINTS = (StepOutcome.STUCK, StepOutcome.WRONG, StepOutcome.MISSING)


class Readiness(StrEnum):
    """What the evidence says. Without any, nothing is shown: that is no reason to think well of it."""

    READY = "ready"
    NOT_YET = "not yet"
    NOT_SHOWN = "not shown"


class Need(StrEnum):
    """What whoever takes a service over must be able to do."""

    DETECT = "detect"
    UNDERSTAND = "understand"
    ACT = "act"
    ESCALATE = "escalate"
    RECOVER = "recover"


class Evidence(msgspec.Struct, frozen=True):
    """One fact. `experiment`: the index of the one that showed it. `is_enough`: it may be all that is known; one that
    is not (that a runbook is there, say) shows nothing by itself."""

    text: str
    speaks_for: bool
    experiment: int
    is_enough: bool = True


class Line(msgspec.Struct, frozen=True):
    """One need, what is to be said of it, and why."""

    need: Need
    readiness: Readiness
    evidence: tuple[Evidence, ...]

    @property
    def facts(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """The evidence, each fact once, with the experiments that showed it: first what speaks against it."""
        found: dict[str, dict[int, None]] = {}
        for fact in sorted(self.evidence, key=lambda fact: fact.speaks_for):
            found.setdefault(fact.text, {})[fact.experiment] = None
        return tuple((text, tuple(experiments)) for text, experiments in found.items())


class Handover(msgspec.Struct, frozen=True):
    """Of one service. `readiness` is that of its weakest line: one that is not yet ready outweighs one not shown."""

    service: str
    lines: tuple[Line, ...]

    @property
    def readiness(self) -> Readiness:
        """Of the whole."""
        found = {line.readiness for line in self.lines}
        order = (Readiness.NOT_YET, Readiness.NOT_SHOWN, Readiness.READY)
        return next(readiness for readiness in order if readiness in found)


def handovers(experiments: Sequence[ExperimentReport]) -> tuple[Handover, ...]:
    """One for each service that the experiments name, in their order."""
    services = dict.fromkeys(one.info.service for one in experiments if one.info.service)
    return tuple(
        Handover(service, _lines([one for one in experiments if one.info.service == service])) for service in services
    )


def _lines(experiments: Sequence[ExperimentReport]) -> tuple[Line, ...]:
    gather = {
        Need.DETECT: _detect,
        Need.UNDERSTAND: _understand,
        Need.ACT: _act,
        Need.ESCALATE: _escalate,
        Need.RECOVER: _recover,
    }
    lines = []
    for need, find in gather.items():
        evidence = tuple(fact for one in experiments for fact in find(one))
        if not all(fact.speaks_for for fact in evidence):
            readiness = Readiness.NOT_YET
        else:
            is_shown = any(fact.is_enough for fact in evidence)
            readiness = Readiness.READY if is_shown else Readiness.NOT_SHOWN
        lines.append(Line(need, readiness, evidence))
    return tuple(lines)


def _detect(one: ExperimentReport) -> Iterator[Evidence]:
    """That an alert which was expected fired in time, and that somebody was told."""
    for alert in one.alerts:
        if alert.expected is None or alert.outcome is AlertOutcome.NOT_TESTED:
            continue
        if alert.outcome is not AlertOutcome.IN_TIME:
            yield Evidence(f"{alert.name}: {alert.outcome}", False, one.index)
        elif alert.notified_at is None:
            yield Evidence(f"{alert.name} fired in time, and nobody was seen to be notified", False, one.index)
        else:
            after = (alert.firing_at or 0.0) - (one.injected_at or 0.0)
            yield Evidence(f"{alert.name} fired after {duration(after)}, and somebody was notified", True, one.index)


def _understand(one: ExperimentReport) -> Iterator[Evidence]:
    """That a dashboard showed what happened, and that those that are named are there."""
    for dashboard in one.dashboards:
        if dashboard.info.found is False:
            yield Evidence(f"the dashboard {dashboard.label} is not there", False, one.index)
    compared = [dashboard for dashboard in one.dashboards if dashboard.compared]
    moved = [dashboard for dashboard in compared if dashboard.moved]
    for dashboard in moved:
        panels = len(dashboard.moved)
        text = f"{panels} {'panel' if panels == 1 else 'panels'} of {dashboard.label} moved with the fault"
        yield Evidence(text, True, one.index)
    if compared and not moved:
        names = ", ".join(dashboard.label for dashboard in compared)
        yield Evidence(f"no panel of {names} moved with the fault", False, one.index)


def _act(one: ExperimentReport) -> Iterator[Evidence]:
    """That somebody followed a runbook to its end and found nothing wanting. That one is there shows nothing yet."""
    for runbook in one.info.runbooks:
        if runbook.found is False:
            yield Evidence(f"there is no runbook {runbook.name}", False, one.index)
        elif runbook.missing_sections:
            text = f"the runbook {runbook.name} lacks {', '.join(runbook.missing_sections)}"
            yield Evidence(text, False, one.index)
        elif runbook.found:
            yield Evidence(f"the runbook {runbook.name} is there, and whole", True, one.index, is_enough=False)
        yield from _followed(one, runbook)


def _followed(one: ExperimentReport, runbook: RunbookInfo) -> Iterator[Evidence]:
    steps = [event.step for event in one.followed if event.step.runbook == runbook.name]
    complaints = [step for step in steps if step.outcome in _COMPLAINTS]
    if complaints:
        text = f"{runbook.name} was followed, and found wanting at {len(complaints)} of its steps"
        yield Evidence(text, False, one.index)
    elif any(step.outcome is StepOutcome.DONE for step in steps):
        yield Evidence(f"{runbook.name} was followed without complaint", True, one.index)


def _escalate(one: ExperimentReport) -> Iterator[Evidence]:
    """That somebody owns it, and that somebody is on call."""
    if one.info.owner:
        yield Evidence(f"{one.info.owner} owns {one.info.service}", True, one.index, is_enough=False)
    else:
        yield Evidence(f"gameday.yaml names no owner of {one.info.service}", False, one.index)
    for on_call in one.on_call:
        whose = on_call.service or on_call.schedule
        if on_call.people is None:
            continue
        first = on_call.people[0] if on_call.people else ()
        if not first:
            yield Evidence(f"nobody is first on call for {whose}", False, one.index)
        else:
            levels = len([level for level in on_call.people if level])
            text = f"{', '.join(first)} on call for {whose}, {levels} {'level' if levels == 1 else 'levels'}"
            yield Evidence(text, True, one.index)


def _recover(one: ExperimentReport) -> Iterator[Evidence]:
    """That the steady state came back, in time where a time is given, and that the alerts went silent."""
    recovery = one.recovery
    if recovery is not None:
        if not recovery.recovered or recovery.seconds is None:
            yield Evidence("the steady state did not come back after the undo", False, one.index)
        elif recovery.is_late:
            text = f"recovery took {duration(recovery.seconds)}, and was expected within {recovery.within_s:g} s"
            yield Evidence(text, False, one.index)
        else:
            yield Evidence(f"the steady state was back {duration(recovery.seconds)} after the undo", True, one.index)
    for alert in one.alerts:
        if alert.expected and alert.firing_at is not None and alert.resolved_at is None:
            yield Evidence(f"{alert.name} did not resolve", False, one.index)
