"""Reads everything that a path needs, and says what is wrong with it: all mistakes of all files at once."""

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

import msgspec

from gameday.cli.source import fetched_from
from gameday.common.files import is_directory, is_file
from gameday.common.json import JsonObject
from gameday.common.project import PROJECT_FILE, find_root
from gameday.faults.arguments import read_arguments
from gameday.faults.base import FaultError
from gameday.faults.registry import fault_names, load_fault
from gameday.signals.platforms import platform_names
from gameday.spec.experiment import StepCheck, parse_experiment
from gameday.spec.game_day import is_game_day, parse_game_day
from gameday.spec.location import Location, Mistake, SpecError
from gameday.spec.model import (
    Activity,
    Environment,
    EnvironmentKind,
    Experiment,
    FaultStep,
    GameDay,
    OnCallConfig,
    Project,
    SignalsConfig,
)
from gameday.spec.nodes import Mapping
from gameday.spec.project import load_environment, locate, read_project
from gameday.spec.reader import nearest, read_document, read_text
from gameday.spec.units import excerpt
from gameday.spec.variables import VARIABLE

_DEFAULT_ENVIRONMENT = "lab"
# A plain Chaos Toolkit experiment brings all that it needs to know.
_NOWHERE = Environment("no environment", EnvironmentKind.DECLARED)
_LAB_SIGNALS = SignalsConfig("prometheus", "", "envoy")  # as the lab will be declared once it is up
_SIGNALS, _ALERTS = "gameday.signals", "gameday.alerts"  # groups of entry points
_DASHBOARDS, _ON_CALL = "gameday.dashboards", "gameday.on-call"
_CHANNELS, _TRACKERS = "gameday.channels", "gameday.trackers"
_SECRET_LINE = re.compile(r"token|secret|passw|credential|key|://[^/\s]*:[^/\s]*@", re.IGNORECASE)
# What the Chaos Toolkit finds wrong with each of these activities.
type ActivityCheck = Callable[[Sequence[JsonObject]], Sequence[tuple[str, ...]]]
_WIDEST = 160  # of a source line that is shown


class SessionSpec(msgspec.Struct, frozen=True):
    """An experiment or a game day, with all that it needs, read and checked. `environment` is ready to be used."""

    path: Path
    project: Project
    environment: Environment
    game_day: GameDay | None
    experiments: tuple[Experiment, ...]
    contents: str = ""  # digest of its files as they were read, where consent to them is wanted


class Mistakes:
    """Collects the mistakes of several readings."""

    def __init__(self) -> None:
        self._found: dict[Mistake, Mistake] = {}  # by the place that its path leads to

    def of[T](self, read: Callable[[], T]) -> T | None:
        """What `read` gives, or None when it has mistakes."""
        try:
            return read()
        except SpecError as error:
            self.add(error.mistakes)
            return None

    def add(self, mistakes: Iterable[Mistake]) -> None:
        """Add mistakes, each once, by whichever path its file was come to."""
        for mistake in mistakes:
            real = Path(os.path.realpath(mistake.location.path))
            location = msgspec.structs.replace(mistake.location, path=real)
            self._found.setdefault(msgspec.structs.replace(mistake, location=location), mistake)

    def check(self) -> None:
        """Raise SpecError when there are any: file by file as they were read, each in its order."""
        if self._found:
            found = list(self._found.values())
            paths = list(dict.fromkeys(mistake.location.path for mistake in found))
            order = {path: number for number, path in enumerate(paths)}
            ordered = sorted(found, key=lambda mistake: (order[mistake.location.path], mistake.location))
            raise SpecError(tuple(ordered))


def load_session(
    path: Path, environment_override: str | None = None, validate: ActivityCheck | None = None
) -> SessionSpec:
    """Read the experiment or game day at `path`, its project and its environment: the one that is asked for, else the
    game day's, else the lab, or none for a plain experiment. Raises SpecError with all mistakes of all files."""
    mistakes = Mistakes()
    project, wrong = read_project(project_start(path))
    mistakes.add(wrong)
    activities: list[Activity] = []

    def check_or_keep(step: FaultStep | Activity) -> tuple[Mistake, ...]:
        if isinstance(step, FaultStep):
            return _check_fault(step)
        activities.append(step)
        return ()

    loaded = mistakes.of(lambda: parse_path(path, read_document(path), project, check_or_keep))
    game_day, experiments = loaded or (None, ())
    contents = _digest(project, path if game_day else None, experiments)  # at once: what follows may take its time
    complaints = (validate or validate_here)([activity.definition for activity in activities])
    for activity, wrong_with_it in zip(activities, complaints, strict=True):
        mistakes.add(_complain(activity, wrong_with_it))
    name = environment_override or (game_day.environment if game_day else None)
    if name is None and experiments and all(experiment.plain for experiment in experiments):
        environment: Environment | None = _NOWHERE
    else:
        environment = mistakes.of(lambda: load_environment(project, name or _DEFAULT_ENVIRONMENT))
    if environment:
        mistakes.add(check_sources(project, [environment]))
        for experiment in experiments:
            mistakes.add(check_signals(experiment, environment))
    mistakes.check()
    assert environment is not None
    return SessionSpec(path, project, environment, game_day, experiments, contents)


def _digest(project: Project, game_day: Path | None, experiments: tuple[Experiment, ...]) -> str:
    """Of the files, where anybody's consent to them may be wanted."""
    if not any(environment.policy.approval for environment in project.environments):
        return ""
    from gameday.people.consent import digest_files  # 4 ms

    return digest_files(game_day, experiments)


def project_start(path: Path) -> Path:
    """Where to look for the project of a file: above it, else above the current directory."""
    directory = path if is_directory(path) else path.parent
    return directory if is_file(find_root(directory) / PROJECT_FILE) else Path.cwd()


def parse_path(
    path: Path, document: Mapping, project: Project | None, check: StepCheck | None = None
) -> tuple[GameDay | None, tuple[Experiment, ...]]:
    """A game day with its experiments, or one experiment: the content says which. Raises SpecError."""
    if is_game_day(document):
        game_day = parse_game_day(path, document, project, check or check_step)
        return game_day, game_day.experiments
    if is_experiment(document):
        return None, (parse_experiment(path, document, project, check or check_step),)
    expected = "an experiment (it has a `method`) or a game day (it has `experiments`)"
    if path.name == PROJECT_FILE:
        found, near = "the project's file", None
    else:
        near = next(filter(None, (nearest(key, ("experiments", "method")) for key in document.entries)), None)
        found = "a file that is neither"
    raise SpecError((Mistake(Location(path, document.line, document.column), found, expected, near),))


def is_experiment(document: Mapping) -> bool:
    """Whether the document means to be an experiment."""
    return not document.entries.keys().isdisjoint({"method", "steady-state-hypothesis"})


def check_step(step: FaultStep | Activity) -> tuple[Mistake, ...]:
    """What is wrong with a fault or an activity that has been read."""
    if isinstance(step, FaultStep):
        return _check_fault(step)
    return _complain(step, *validate_here([step.definition]))


def _check_fault(step: FaultStep) -> tuple[Mistake, ...]:
    try:
        fault = load_fault(step.fault)
        mistakes = _check_target(step, fault.target_keys)
        try:
            read_arguments(step, fault)
        except SpecError as error:
            mistakes += error.mistakes
        return mistakes
    except FaultError as error:
        if step.fault in fault_names():
            return (Mistake(step.location, f"the fault {excerpt(step.fault)}", f"one that can be loaded ({error})"),)
        expected = f"one of {', '.join(fault_names())}"
        near = nearest(step.fault, fault_names())
        return (Mistake(step.location, f"the fault {excerpt(step.fault)}", expected, near),)


def _check_target(step: FaultStep, understood: Iterable[str]) -> tuple[Mistake, ...]:
    """The keys of its target that the fault does not understand: passed over, they would let it hit more than meant."""
    expected = f"what {step.fault} understands ({', '.join(sorted(understood))})"
    return tuple(
        Mistake(where, f"the key {excerpt(key)} of a target", expected)
        for key, where in step.target.keys
        if key not in understood and not key.startswith("x-")
    )


def _complain(activity: Activity, complaints: Iterable[str]) -> tuple[Mistake, ...]:
    """What the Chaos Toolkit says about an activity whose shape is right: a module that is not there, and the like."""
    from gameday.chaostoolkit.extensions import advice

    found = f"the {activity.kind} {excerpt(activity.name)}"
    said = ("; ".join(filter(None, (complaint, advice(complaint)))) for complaint in complaints)
    return tuple(Mistake(activity.location, found, f"one that can run ({text})") for text in said)


def validate_here(definitions: Sequence[JsonObject]) -> Sequence[tuple[str, ...]]:
    """What the Chaos Toolkit, imported into this process, finds wrong with each activity."""
    from gameday.chaostoolkit.adapter import validate_activity

    return [validate_activity(definition) for definition in definitions]


def check_signals(experiment: Experiment, environment: Environment) -> tuple[Mistake, ...]:
    """The signals of an experiment that the environment's platform does not know."""
    from gameday.signals import SignalError, plan_queries

    config = _LAB_SIGNALS if environment.kind is EnvironmentKind.LAB else environment.signals
    if config is None or config.platform not in platform_names():
        return ()
    if config.platform == "custom" and not config.queries:  # which is a mistake of the environment
        return ()
    mistakes = []
    for condition in (*experiment.hypothesis.conditions, *experiment.abort_when):
        try:
            plan_queries(config, [condition.signal])
        except SignalError as error:
            found = f"the measure `{condition.signal.kind}.{condition.signal.measure}`"
            mistakes.append(Mistake(condition.location, found, f"one that `{environment.name}` has ({error})"))
    return tuple(mistakes)


def check_sources(project: Project, environments: Iterable[Environment]) -> tuple[Mistake, ...]:
    """The sources and platforms that environments name and that are not installed; and what is wrong with their files
    of who is on call."""
    mistakes: list[Mistake] = []
    for environment in environments:
        named: list[tuple[str, str, str, Iterable[str]]] = []
        if environment.signals:
            named.append(("signals", "source", environment.signals.source, _installed(_SIGNALS)))
            named.append(("signals", "platform", environment.signals.platform, platform_names()))
        if environment.alerts:
            named.append(("alerts", "source", environment.alerts.source, _installed(_ALERTS)))
        if environment.dashboards:
            named.append(("dashboards", "source", environment.dashboards.source, _installed(_DASHBOARDS)))
        if environment.on_call:
            named.append(("on-call", "source", environment.on_call.source, _installed(_ON_CALL)))
            mistakes += _check_on_call_file(environment.on_call)
        named += [("channels", "kind", channel.kind, _installed(_CHANNELS)) for channel in environment.channels]
        for section, key, name, known in named:
            if name not in known:
                location = locate(project, "environments", environment.name, section, key)
                expected = f"one of {', '.join(sorted(known))}"
                mistakes.append(Mistake(location, f"the {key} {excerpt(name)}", expected, nearest(name, known)))
        mistakes += _check_policy(project, environment)
    return tuple(mistakes)


def check_tracker(project: Project) -> tuple[Mistake, ...]:
    """The tracker that gameday.yaml names, where it is not installed: no run needs it."""
    if project.actions is None or project.actions.tracker in (known := sorted(_installed(_TRACKERS))):
        return ()
    name, location = project.actions.tracker, locate(project, "actions", "tracker")
    return (Mistake(location, f"the tracker {excerpt(name)}", f"one of {', '.join(known)}", nearest(name, known)),)


def _check_policy(project: Project, environment: Environment) -> Iterator[Mistake]:
    """What a policy names and nobody knows: a misspelt fault that is to be refused would be let through."""
    whole, stricter = environment.policy, environment.policy.unattended
    for policy, where in ((whole, ()), (stricter, ("unattended",))) if stricter else ((whole, ()),):
        named: list[tuple[str, tuple[str, ...], str]]
        named = [("fault", ("faults", "allow"), name) for name in policy.faults]
        named += [("fault", ("faults", "refuse"), name) for name in policy.faults_refused]
        named += [("service", ("services",), name) for name in policy.services]
        services = [service.name for service in project.services]
        for what, keys, name in named:
            known = fault_names() if what == "fault" else services
            # An action of the Chaos Toolkit has a dot or a colon in its name; services need not be declared.
            if any(mark in name for mark in "*?[.:") or name in known or not known:
                continue
            location = locate(project, "environments", environment.name, "policy", *where, *keys)
            expected = f"the name of a {what} that there is, or a pattern"
            yield Mistake(location, f"the {what} {excerpt(name)}", expected, nearest(name, known))


def _check_on_call_file(on_call: OnCallConfig) -> tuple[Mistake, ...]:
    if on_call.source != "file" or on_call.path is None or VARIABLE.search(str(on_call.path)):
        return ()
    from gameday.spec.on_call import load_on_call_file

    try:
        load_on_call_file(on_call.path)
    except SpecError as error:
        return error.mistakes
    return ()


def _installed(group: str) -> Iterable[str]:
    from importlib.metadata import entry_points  # 13 ms

    return entry_points(group=group).names


def print_mistakes(error: SpecError, file: TextIO | None = None) -> None:
    """Every mistake with its line and a caret under it, then how many there are. Coloured on a terminal only."""
    import click

    file = file or sys.stderr
    print_each((("", "", mistake) for mistake in error.mistakes), file)
    files = len({mistake.location.path for mistake in error.mistakes})
    count = len(error.mistakes)
    total = f"{count} mistake{'s' * (count != 1)} in {files} file{'s' * (files != 1)}."
    click.echo(click.style(total, fg="red", bold=True) if file.isatty() else total, file=file)


def print_warnings(warnings: Iterable[Mistake]) -> None:
    """The same for what keeps nothing from running."""
    print_each((("warning: ", "", warning) for warning in warnings), sys.stderr)


def print_each(entries: Iterable[tuple[str, str, Mistake]], file: TextIO) -> None:
    """Each mistake, with what is to stand before and after its message."""
    import click

    colour = file.isatty()

    def style(text: str, **how: Any) -> str:
        return click.style(text, **how) if colour else text

    lines: dict[Path, list[str]] = {}
    for label, after, mistake in entries:
        where = mistake.location
        message = str(mistake).removeprefix(str(where)).removeprefix(": ")
        shown = f"{_short(where.path)}:{where.line}:{where.column}"
        click.echo(f"{style(shown, bold=True)}: {style(label, fg='yellow')}{message}{after}", file=file)
        if where.path not in lines:
            lines[where.path] = _lines(where.path)
        source = lines[where.path][where.line - 1] if where.line <= len(lines[where.path]) else ""
        if source.strip() and len(source) <= _WIDEST and not _SECRET_LINE.search(source):
            bar = style(" " * len(str(where.line)) + " |", fg="blue")
            click.echo(f"{style(f'{where.line} |', fg='blue')} {source}", file=file)
            click.echo(f"{bar} {_pad(source, where.column)}{style('^', fg='red', bold=True)}", file=file)


def _lines(path: Path) -> list[str]:
    """The file's lines as a terminal may show them."""
    try:
        text = read_text(path)
    except SpecError:
        return []
    return [re.sub(r"[^\t\x20-\x7e\xa0-\U0010ffff]", "\N{REPLACEMENT CHARACTER}", line) for line in text.split("\n")]


def _pad(source: str, column: int) -> str:
    """What stands before the caret: tabs stay tabs, so that it lines up whatever their width."""
    return "".join("\t" if character == "\t" else " " for character in source[: column - 1])


def _short(path: Path) -> str:
    """Relative to the current directory where that is shorter; of a copy, where it comes from."""
    try:
        return fetched_from(path) or str(Path(os.path.realpath(path)).relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)
