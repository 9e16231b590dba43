"""The session of the experiment that `chaos run` executes in this process: opened once, asked by our activities."""

import atexit
import contextlib
import functools
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from gameday.chaostoolkit.adapter import failure, interrupt_run, interruption, is_ours
from gameday.chaostoolkit.export import CONFIRM_VARIABLE, ENVIRONMENT_VARIABLE
from gameday.common.json import JsonObject
from gameday.engine.driven import DrivenError, Driver, EndedError
from gameday.engine.preparation import SessionInput
from gameday.engine.runs import Run
from gameday.journal.events import AnyEvent
from gameday.journal.log import read_events
from gameday.spec.location import SpecError
from gameday.spec.model import Environment, EnvironmentKind, Experiment, FaultStep, People, Project

if TYPE_CHECKING:
    from gameday.engine.recorder import Sink
    from gameday.notify.sink import ChannelSink

_driver: Driver | None = None


def activity[**P, T](function: Callable[P, T]) -> Callable[P, T]:
    """Make an activity's failures the Toolkit's own."""

    @functools.wraps(function)
    def run(*arguments: P.args, **keywords: P.kwargs) -> T:
        if is_ours():
            raise failure("this is for `chaos run`; with gameday, run the experiment that it was exported from")
        try:
            return function(*arguments, **keywords)
        except EndedError as error:
            raise interruption(f"gameday: {error}") from None
        except DrivenError as error:
            raise failure(f"gameday: {error}") from None

    return run


def is_open() -> bool:
    """Whether there is a session."""
    return _driver is not None


def driver() -> Driver:
    """The session. Raises DrivenError when none has been opened."""
    if _driver is None:
        raise DrivenError("no run has begun: the probe `ready` must come first, or an `environment` be named")
    return _driver


def events() -> Iterator[AnyEvent]:
    """What has been written of the session: so far, or, when its method is over, all. Raises DrivenError."""
    driver().settle()
    run = driver().run
    return read_events(run.journal) if run else iter(())


def open_session(
    document: JsonObject, source: str, environment: str, confirmed: str, configuration: JsonObject, secrets: JsonObject
) -> None:
    """Begin the session of this experiment, and wait until preflight and baseline have passed.

    Raises DrivenError and EndedError.
    """
    global _driver  # noqa: PLW0603 - `chaos run` executes one experiment in one process
    from gameday.cli.afterwards import command_of
    from gameday.cli.output import say
    from gameday.cli.recalling import recall
    from gameday.cli.shared_locks import shared_locks
    from gameday.notify.annotations import annotation_sinks
    from gameday.notify.terminal import Terminal

    project, where = find_environment(environment)
    if where.policy.confirm and not confirmed:
        place = where.policy.place("confirm")
        raise DrivenError(
            f"the policy of `{where.name}` wants a confirmation{place}: set {CONFIRM_VARIABLE}=1 to give it"
        )
    if where.policy.approval:
        raise DrivenError(
            f"the policy of `{where.name}` wants somebody else's consent{where.policy.place('approval')}, which is to "
            "files as `gameday run` reads them: `chaos run` may have been given others"
        )
    experiment = read_experiment(document, project, where)
    loaded = json.loads(json.dumps(configuration, default=str))  # its probes may have given anything
    # The Toolkit has filled in what it gives us, secrets too: the document is not one to be kept.
    experiment = msgspec.structs.replace(experiment, path=project.root / source, configuration=loaded, document={})
    session = recall(_input(experiment, project, where, configuration, secrets))
    channels: Sequence[ChannelSink] = ()
    if where.slack or where.channels:
        from gameday.notify.channels import channel_sinks

        channels = channel_sinks(where, project.root, say)
    with _as_driven():
        shared = shared_locks(session)
    sinks: list[Sink] = [Terminal(live=False), *annotation_sinks(where), *channels]
    _driver = Driver(session, sinks, interrupt_run, shared, command_of(session))
    atexit.register(_leave, channels)
    _driver.open()


def find_environment(name: str) -> tuple[Project, Environment]:
    """The current directory's project, and its environment of that name, ready to be used. Raises DrivenError."""
    from gameday.cli.environment import declare_lab
    from gameday.cli.load import check_sources
    from gameday.lab import Lab
    from gameday.spec.project import load_environment, read_project

    project, mistakes = read_project(Path.cwd())
    with _as_driven():
        if mistakes:
            raise SpecError(mistakes)
        environment = load_environment(project, name)
        if mistakes := check_sources(project, [environment]):
            raise SpecError(mistakes)
    if environment.kind is not EnvironmentKind.LAB:
        return project, environment
    info = Lab(project.root).info()
    if info is None:
        raise DrivenError(
            f"the lab is not up: run `gameday lab up`, or set {ENVIRONMENT_VARIABLE} to another environment"
        )
    return project, declare_lab(environment, info)


def read_experiment(document: JsonObject, project: Project, environment: Environment) -> Experiment:
    """The experiment that the document, in gameday's own words, is. Raises DrivenError with all its mistakes."""
    from gameday.cli.load import check_signals

    with _as_driven():
        experiment = _parse(document, project)
        if mistakes := check_signals(experiment, environment):
            raise SpecError(mistakes)
    return experiment


def read_step(document: JsonObject) -> FaultStep:
    """The one fault of an experiment. Raises DrivenError with all its mistakes."""
    with _as_driven():
        step = _parse(document, None).method[0]
    assert isinstance(step, FaultStep)
    return step


def _parse(document: JsonObject, project: Project | None) -> Experiment:
    from gameday.cli.load import check_step
    from gameday.spec.experiment import parse_experiment
    from gameday.spec.reader import parse_document

    path = Path("arguments.json")
    return parse_experiment(path, parse_document(path, json.dumps(document)), project, check_step)


def _input(
    experiment: Experiment, project: Project, environment: Environment, configuration: JsonObject, secrets: JsonObject
) -> SessionInput:
    import secrets as random

    from gameday.chaostoolkit.variables import loaded_secrets
    from gameday.cli.session import user

    return SessionInput(
        kind="experiment",
        title=experiment.title,
        path=Path(os.path.relpath(experiment.path, project.root)),
        project=project,
        environment=environment,
        experiments=(experiment,),
        people=People(),
        secrets=(*environment.secrets, *loaded_secrets(configuration, secrets)),
        by=user(),
        seed=random.randbelow(2**31),
    )


@contextlib.contextmanager
def _as_driven() -> Iterator[None]:
    try:
        yield
    except SpecError as error:
        raise DrivenError("; ".join(map(str, error.mistakes))) from None


def end(reason: str) -> None:
    """End the session if it has not ended. Raises DrivenError, after saying how to mend it, when something is left."""
    from gameday.cli.left import say_what_is_left

    if _driver is None:
        return
    _driver.end_early(reason)
    run = _driver.run
    if run is not None and say_what_is_left(run.directory):
        raise DrivenError(f"something is left behind: try again with `gameday recover {run.name}`")


def ensure_clean(run: Run | None) -> None:
    """Raises DrivenError when an undo failed or could not be verified."""
    if run is not None and not run.state().is_clean:
        left = ", ".join(fault.description or fault.fault for fault in run.state().faults.values())
        raise DrivenError(f"not undone: {left}; try again with `gameday recover {run.name}`")


def _leave(channels: "Sequence[ChannelSink]") -> None:
    """Nothing may be left, whatever the Toolkit was told about rollbacks."""
    try:
        with contextlib.suppress(DrivenError, EndedError):  # said already, and in the journal
            if _driver is not None and not _driver.has_ended:
                end("the process of `chaos run` ends")
    finally:
        for channel in channels:
            channel.end()
