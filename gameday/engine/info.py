"""Turns what users wrote into what the journal keeps of it."""

from gameday.chaostoolkit.variables import without_secrets
from gameday.engine.context import PreparedExperiment
from gameday.journal.events import AlertInfo, ConditionInfo, ExperimentInfo, PeopleInfo, StepInfo
from gameday.people import Pair
from gameday.spec.model import Activity, Condition, Experiment, FaultStep, People, Project


def describe_people(people: People) -> PeopleInfo:
    """Who takes part."""
    return PeopleInfo(
        facilitator=people.facilitator,
        builders=people.builders,
        sres=people.sres,
        scribe=people.scribe,
        observers=people.observers,
    )


def path_in(experiment: Experiment, project: Project) -> str:
    """The experiment's file, relative to the project: what it is known by from one session to the next."""
    try:
        return str(experiment.path.resolve().relative_to(project.root.resolve()))
    except ValueError:
        return experiment.path.name


def describe_experiment(prepared: PreparedExperiment, project: Project, pair: Pair) -> ExperimentInfo:
    """All that a report needs to know of an experiment."""
    experiment = prepared.experiment
    return ExperimentInfo(
        title=experiment.title,
        path=path_in(experiment, project),
        service=experiment.service,
        description=experiment.description,
        hypothesis=experiment.hypothesis.title,
        conditions=(
            *(_condition(condition, "hypothesis") for condition in experiment.hypothesis.conditions),
            *(_condition(condition, "abort-when") for condition in experiment.abort_when),
        ),
        probes=tuple(probe.name for probe in experiment.hypothesis.probes),
        steps=tuple(map(_step, experiment.method)),
        alerts=tuple(
            AlertInfo(name=alert.name, within_s=alert.within_s, severity=alert.severity, runbook=alert.runbook)
            for alert in experiment.alerts
        ),
        runbooks=prepared.runbooks,
        recovers_within_s=experiment.recovers_within_s,
        builder=pair.builder,
        sre=pair.sre,
        interval_s=experiment.timing.interval_s,
        document=without_secrets(experiment.document),
        owner=prepared.owner,
    )


def _condition(condition: Condition, role: str) -> ConditionInfo:
    return ConditionInfo(
        signal=str(condition.signal),
        text=condition.text,
        comparator=condition.comparator.value,
        threshold=condition.threshold,
        unit=condition.unit.value,
        for_s=condition.for_s,
        role=role,
        relative=condition.relative,
    )


def _step(step: FaultStep | Activity) -> StepInfo:
    if isinstance(step, Activity):
        return StepInfo(kind=step.kind.value, name=step.name)
    return StepInfo(
        kind="fault",
        name=step.name,
        fault=step.fault,
        target=str(step.target),
        ladder=tuple(map(str, step.ladder)),
        hold_s=step.hold_s,
    )
