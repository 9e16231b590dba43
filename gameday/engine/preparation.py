"""What a session needs to know before it starts: the input, read and checked, and what is looked up for it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

import msgspec

from gameday.chaostoolkit.controls import global_controls
from gameday.chaostoolkit.variables import known_secrets
from gameday.coverage import describe_runbooks
from gameday.engine.context import PreparedExperiment
from gameday.engine.info import path_in
from gameday.faults.arguments import read_arguments
from gameday.faults.base import System
from gameday.faults.registry import load_fault
from gameday.journal.events import WasWell
from gameday.people import PastSession
from gameday.signals import plan_queries
from gameday.spec.model import Activity, Environment, Experiment, FaultStep, People, Project, SignalId


class SessionInput(msgspec.Struct, frozen=True):
    """All that a session needs to know, read and checked."""

    kind: str  # "game-day" or "experiment"
    title: str
    path: Path
    project: Project
    environment: Environment  # of kind DECLARED: the lab, if any, is up
    experiments: tuple[Experiment, ...]
    people: People
    secrets: tuple[str, ...]
    by: str  # who runs it
    seed: int
    was_well: tuple[WasWell, ...] = ()  # what earlier runs of these experiments have shown
    elsewhere: Mapping[str, PastSession] = MappingProxyType({})  # sessions of other machines, by their names
    is_unattended: bool = False  # nobody is there: the stricter rules hold, and a warning is a failure
    contents: str | None = None  # digest of its files, as they were when they were read


def prepare(session: SessionInput, today: datetime) -> tuple[PreparedExperiment, ...]:
    """Look up what each experiment needs. Raises SpecError (arguments), FaultError and SignalError."""
    return tuple(_prepare(session, index, experiment, today) for index, experiment in enumerate(session.experiments))


def _prepare(session: SessionInput, index: int, experiment: Experiment, today: datetime) -> PreparedExperiment:
    arguments = {
        number: read_arguments(step, load_fault(step.fault))
        for number, step in enumerate(experiment.method)
        if isinstance(step, FaultStep)
    }
    signals: dict[SignalId, None] = {
        condition.signal: None for condition in (*experiment.hypothesis.conditions, *experiment.abort_when)
    }
    config = session.environment.signals
    service = session.project.service(experiment.service) if experiment.service else None
    return PreparedExperiment(
        index=index,
        experiment=experiment,
        arguments=arguments,
        queries=plan_queries(config, signals) if config and signals else (),
        runbooks=describe_runbooks(session.project, experiment, today.date()),
        owner=service.owner if service else None,
        controls=tuple(dict.fromkeys((*experiment.controls, *global_controls()))),
    )


def services_of(session: SessionInput) -> tuple[str, ...]:
    """The services to lock, sorted: each experiment's own, those that its faults hit, and all that these depend on."""
    return tuple(sorted({name for item in session.experiments for name in _services_of(item, session.project)}))


def _services_of(experiment: Experiment, project: Project) -> Iterable[str]:
    named = [step.target.service for step in experiment.method if isinstance(step, FaultStep)]
    waiting = [name for name in (*named, experiment.service) if name]
    found: dict[str, None] = {}
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = None
            service = project.service(name)
            waiting += service.depends_on if service else ()
    # A plain experiment names no service; it must at least not run beside itself.
    return found or (path_in(experiment, project),)


def system_of(environment: Environment) -> System:
    """What faults can reach there."""
    policy = environment.policy
    return System(
        environment.inventory,
        environment.cluster,
        policy.namespaces,
        policy.nodes,
        dict(environment.clusters),
        places={key: policy.place(key) for key in ("namespaces", "nodes") if policy.place(key)},
    )


def faults_of(experiments: Sequence[Experiment]) -> tuple[str, ...]:
    """The names of all faults that they use."""
    return tuple(
        sorted({step.fault for experiment in experiments for step in experiment.method if isinstance(step, FaultStep)})
    )


def secrets_of(session: SessionInput) -> tuple[str, ...]:
    """All values that must appear nowhere: the environment's, and those that the experiments declare."""
    declared = (known_secrets(item.configuration, item.secrets) for item in session.experiments)
    return tuple({*session.secrets, *(value for values in declared for value in values)})


def _activities_of(experiments: Sequence[Experiment]) -> Iterator[Activity]:
    for experiment in experiments:
        yield from experiment.hypothesis.probes
        yield from (step for step in experiment.method if not isinstance(step, FaultStep))
        yield from experiment.rollbacks


def uses_chaos_toolkit(experiments: Sequence[Experiment]) -> bool:
    """Whether any activity or probe is to be run."""
    return any(True for _ in _activities_of(experiments))


def uses_http(experiments: Sequence[Experiment]) -> bool:
    """Whether any of these asks an HTTP server."""
    providers = (activity.definition.get("provider") for activity in _activities_of(experiments))
    return any(isinstance(provider, dict) and provider.get("type") == "http" for provider in providers)
