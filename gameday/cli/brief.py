"""`gameday brief`: the agenda of a game day or an experiment, as Markdown and as an invitation; contacts nothing."""

import os
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import click

from gameday.cli.output import fail, reason_of, say
from gameday.cli.session import ensure_path

if TYPE_CHECKING:
    from gameday.people import Pair
    from gameday.people.brief import Brief, ExperimentBrief, Place
    from gameday.people.invitation import Invitation
    from gameday.spec.model import Environment, Experiment, GameDay, Project

_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d", re.ASCII)
_LEAST_S = 3600.0  # what is set aside where the game day does not say how long it takes
_STEP_S = 1800.0


def _parse_moment(_context: click.Context, _parameter: click.Parameter, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        if _MOMENT.fullmatch(text):
            return datetime.fromisoformat(text)
    except ValueError:  # the 30th of February
        pass
    raise click.BadParameter(f"found `{text}`, expected a date and a time, such as 2026-03-06 10:00")


@click.command("brief")
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--env", "environment", help="Environment; default: the game day's, the lab, or none for a plain file.")
@click.option("--at", callback=_parse_moment, help="When it begins, in the schedule's time zone: 2026-03-06 10:00.")
@click.option("--ics", is_flag=True, help="Write an invitation (iCalendar) too.")
@click.option(
    "--output", type=click.Path(path_type=Path, file_okay=False), help="Where the files go; default: reports/."
)
def command(path: Path, environment: str | None, at: datetime | None, ics: bool, output: Path | None) -> None:
    """Print the brief of PATH, a game day or an experiment, as Markdown, and keep it in reports/.

    Who, when, what will be hit, when it ends by itself, and how to stop it. Nothing is contacted.
    """
    from gameday.common.files import write_atomically
    from gameday.people.brief import render_brief
    from gameday.people.invitation import render_invitation

    project, game_day, experiments = _read(ensure_path(path))
    chosen = _environment(project, game_day, experiments, environment)
    directory = output or project.root / "reports"
    brief = _brief(path, project, chosen, game_day, experiments, at, directory)
    if ics and brief.start is None:
        why = "says no time that ever comes" if game_day and game_day.schedule else "says no time"
        fail(f"{path} {why}, and an invitation needs one: `when.cron`, or --at")
    text = render_brief(brief)
    day = (brief.start or datetime.now().astimezone()).date().isoformat()
    name = "-".join((day, re.sub(r"[^a-z0-9]+", "-", brief.title.lower()).strip("-")[:40].strip("-") or path.stem))
    files = {directory / f"{name}-brief.md": text}
    if ics:
        files[directory / f"{name}-brief.ics"] = render_invitation(_invitation(brief, project, path))
    click.echo(text, nl=False)
    try:
        for file, content in files.items():
            write_atomically(file, content)
            file.chmod(0o644)
            say(f"wrote {file}")
    except OSError as error:
        fail(f"the brief cannot be written: {reason_of(error)}")
    if brief.start is not None and not ics:
        say("--ics writes an invitation for it, too")


def _read(path: Path) -> "tuple[Project, GameDay | None, tuple[Experiment, ...]]":
    from gameday.cli.load import Mistakes, parse_path, print_mistakes, project_start
    from gameday.spec.location import SpecError
    from gameday.spec.project import read_project
    from gameday.spec.reader import read_document

    mistakes = Mistakes()
    project, wrong = read_project(project_start(path))
    mistakes.add(wrong)
    # Whether each fault and activity can run is for `gameday check` to say, which imports them.
    loaded = mistakes.of(lambda: parse_path(path, read_document(path), project, lambda _step: ()))
    try:
        mistakes.check()
    except SpecError as error:
        print_mistakes(error)
        sys.exit(2)
    assert loaded is not None
    return project, *loaded


def _environment(
    project: "Project", game_day: "GameDay | None", experiments: "tuple[Experiment, ...]", asked: str | None
) -> "Environment | None":
    """As for a run, but with its `${VARIABLES}` as they are written: nothing here needs them."""
    name = asked or (game_day.environment if game_day else None)
    if name is None and all(experiment.plain for experiment in experiments):
        return None
    found = project.environment(name or "lab")
    if found is None:
        from gameday.common.texts import most_similar

        names = sorted(environment.name for environment in project.environments)
        near = most_similar(name or "", names)
        hint = f"; did you mean `{near}`?" if near else ""
        fail(f"--env: found `{name}`, expected one of {', '.join(names)}{hint}")
    return found


def _brief(
    path: Path,
    project: "Project",
    environment: "Environment | None",
    game_day: "GameDay | None",
    experiments: "tuple[Experiment, ...]",
    at: datetime | None,
    directory: Path,
) -> "Brief":
    from gameday.cli.recalling import past_elsewhere
    from gameday.engine.pairings import pair_session
    from gameday.people.brief import Brief
    from gameday.spec.model import People, Policy

    people = game_day.people if game_day else People()
    pairs = pair_session(people, len(experiments), project.root, past_elsewhere(project))
    start = _start(game_day, at)
    items = tuple(
        _experiment(project, environment, experiment, pair, directory)
        for experiment, pair in zip(experiments, pairs, strict=True)
    )
    return Brief(
        title=game_day.title if game_day else experiments[0].title,
        path=str(path),
        environment=environment.name if environment else None,
        stop_switch=str(_relative(project.stop_switch, project.root)),
        people=people,
        experiments=items,
        faults=_faults(experiments),
        start=start,
        duration_s=_duration(game_day, experiments) if start else None,
        policy=environment.policy if environment else Policy(),
        actions=_actions(project, experiments),
        missing=tuple(_missing(project, environment, game_day, experiments, start)),
    )


def _start(game_day: "GameDay | None", at: datetime | None) -> datetime | None:
    """The time that was asked for, else when the schedule comes round next, in its time zone."""
    from zoneinfo import ZoneInfo

    from gameday.spec.schedule import next_due

    schedule = game_day.schedule if game_day else None
    if at is not None:
        zone = ZoneInfo(schedule.timezone if schedule else "UTC")
        return at.replace(tzinfo=zone).astimezone(UTC).astimezone(zone)  # one that is not on the clock becomes one
    return next_due(schedule, datetime.now(UTC)) if schedule else None


def _duration(game_day: "GameDay | None", experiments: "tuple[Experiment, ...]") -> float:
    from gameday.people.brief import seconds_of

    if game_day and game_day.schedule and game_day.schedule.duration_s:
        return game_day.schedule.duration_s
    longest = sum(seconds_of(experiment)[1] for experiment in experiments)
    return max(_LEAST_S, -(-longest // _STEP_S) * _STEP_S)


def _experiment(
    project: "Project", environment: "Environment | None", experiment: "Experiment", pair: "Pair", directory: Path
) -> "ExperimentBrief":
    from gameday.people.brief import ExperimentBrief

    service = project.service(experiment.service) if experiment.service else None
    return ExperimentBrief(
        experiment=experiment,
        pair=pair,
        owner=service.owner if service else None,
        runbooks=tuple(_runbooks(project, experiment, directory)),
        dashboards=tuple(_dashboards(project, environment, experiment)),
    )


def _runbooks(project: "Project", experiment: "Experiment", directory: Path) -> "Iterator[Place]":
    from gameday.coverage import describe_runbooks
    from gameday.people.brief import Place
    from gameday.spec.runbook import is_url

    for info in describe_runbooks(project, experiment, datetime.now(UTC).date()):
        runbook = project.runbook(info.name)
        if runbook is None:
            yield Place(info.name, info.name if is_url(info.name) else None)
            continue
        said = [f"lists {', '.join(runbook.alerts)}" if runbook.alerts else ""]
        said.append(f"reviewed {info.reviewed}" if info.reviewed else "never reviewed")
        said.append(f"escalation: {runbook.escalation}" if runbook.escalation else "")
        target = os.path.relpath(runbook.path.resolve(), directory.resolve())
        yield Place(runbook.title, quote(target), "; ".join(filter(None, said)))


def _dashboards(project: "Project", environment: "Environment | None", experiment: "Experiment") -> "Iterator[Place]":
    from gameday.coverage.dashboards.naming import name_dashboards
    from gameday.people.brief import Place
    from gameday.spec.runbook import is_url

    config = environment.dashboards if environment else None
    # A dashboard's uid makes its address: https://grafana.com/docs/grafana/latest/developers/http_api/dashboard/
    base = config.url.rstrip("/") if config and config.url and config.source == "grafana" else None
    for named in name_dashboards(project, experiment, ()):
        url = named.name if is_url(named.name) else None
        if url is None and base and not named.name.startswith("tag:") and not re.search(r"[@$]", base):
            url = f"{base}/d/{quote(named.name, safe='')}"
        yield Place(named.name, url, f"named by {', '.join(named.by)}")
    for tag in config.tags if config else ():
        yield Place(f"tag:{tag}", None, "every dashboard with that tag")


def _faults(experiments: "tuple[Experiment, ...]") -> dict[str, str]:
    """What each fault does, of those that are installed."""
    from gameday.faults.base import FaultError
    from gameday.faults.registry import load_fault
    from gameday.spec.model import FaultStep

    found = {}
    names = {step.fault for experiment in experiments for step in experiment.method if isinstance(step, FaultStep)}
    for name in names:
        try:
            found[name] = load_fault(name).summary
        except FaultError:  # `gameday check` says so
            continue
    return found


def _actions(project: "Project", experiments: "tuple[Experiment, ...]") -> tuple[str, ...]:
    """What earlier sessions of the experiments' services have left to be done."""
    from gameday.people.action_log import read_actions

    services = {experiment.service for experiment in experiments}
    try:
        actions = read_actions(project.root).values()
    except OSError:
        return ()
    return tuple(
        f"{action.content.title} ({action.owner or 'no owner'})"
        for action in actions
        if action.is_open and action.content.service and action.content.service in services
    )


def _missing(
    project: "Project",
    environment: "Environment | None",
    game_day: "GameDay | None",
    experiments: "tuple[Experiment, ...]",
    start: datetime | None,
) -> Iterator[str]:
    """What can be seen to be wanting from the files alone."""
    from gameday.engine.policy import check_hours
    from gameday.journal.events import CheckOutcome
    from gameday.people import on_call_services
    from gameday.spec.model import FaultStep, GivenPair

    if game_day:
        people = game_day.people
        pairs = people.pairs or (GivenPair(),)
        for role, is_named in (
            ("facilitator", people.facilitator),
            ("builder", people.builders or all(pair.builder for pair in pairs)),
            ("SRE", people.sres or all(pair.sre for pair in pairs)),
        ):
            if not is_named:
                yield f"No {role} is named"
        if (services := on_call_services(people)) and not (environment and environment.on_call):
            where = f"the environment {environment.name} has" if environment else "there is"
            yield f"Nobody can be looked up as on call for {', '.join(services)}: {where} no on-call"
        if start is None:
            yield "No time is set: by when.cron, or by --at"
    if start is not None and start < datetime.now(UTC):
        yield f"{start:%Y-%m-%d %H:%M} is past"
    if environment and start is not None:
        check = check_hours(environment.policy, start)
        if check.outcome is CheckOutcome.FAILURE:
            yield f"It could not start then: {check.detail}"
    if game_day and start is not None and (reason := _blackout(project, game_day, start)):
        yield f"It would not start by itself then: {reason}"
    for number, experiment in enumerate(experiments, 1):
        for text in _missing_of(project, experiment, any(isinstance(step, FaultStep) for step in experiment.method)):
            yield f"Experiment {number}: {text}" if len(experiments) > 1 else text


def _blackout(project: "Project", game_day: "GameDay", start: datetime) -> str | None:
    """Which blackout keeps it from starting, of those that can be told without a server."""
    from gameday.engine.freezes import Freezes
    from gameday.engine.schedule import Scheduled, foresee

    if game_day.schedule is None:
        return None
    blackouts = (*game_day.schedule.blackouts, *project.blackouts)
    near = tuple(blackout for blackout in blackouts if "://" not in (blackout.calendar or ""))
    return foresee(Scheduled("", "", game_day.schedule, near), Freezes(project.root), start).reason or None


def _missing_of(project: "Project", experiment: "Experiment", has_faults: bool) -> Iterator[str]:
    from gameday.coverage import describe_runbooks, judge_runbooks

    if has_faults and not experiment.abort_when:
        yield "it has no abort-when, so it ends by itself only when a signal cannot be read"
    if has_faults and not experiment.alerts:
        yield "it expects no alert, so it does not show whether anyone would notice"
    for alert in experiment.alerts:
        if alert.runbook is None:
            yield f"the alert {alert.name} names no runbook"
    for finding in judge_runbooks(describe_runbooks(project, experiment, datetime.now(UTC).date())):
        yield f"{finding.title}{f' ({finding.detail})' if finding.detail else ''}"


def _invitation(brief: "Brief", project: "Project", path: Path) -> "Invitation":
    import hashlib

    from gameday.people.brief import say_when, say_who
    from gameday.people.invitation import Invitation

    assert brief.start is not None
    assert brief.duration_s is not None
    people = brief.people
    # One event for each day of one file: moved within the day it is the same.
    identity = f"{project.name}\n{_relative(path, project.root)}\n{brief.start.date()}"
    lines = [say_when(brief), *([f"On {brief.environment}"] if brief.environment else []), ""]
    paired = [name for item in brief.experiments for name in (item.pair.builder, item.pair.sre)]
    for number, item in enumerate(brief.experiments, 1):
        pair = " and ".join(say_who(who) for who in (item.pair.builder, item.pair.sre) if who)
        lines.append(f"{number}. {item.experiment.title}" + (f": {pair}" if pair else ""))
    lines += ["", f"The whole brief: gameday brief {path}", "To stop everything: gameday abort --all"]
    return Invitation(
        uid=f"{hashlib.sha256(identity.encode()).hexdigest()[:32]}@gameday",
        title=brief.title,
        start=brief.start,
        duration_s=brief.duration_s,
        description="\n".join(lines),
        stamp=datetime.now(UTC),
        organizer=people.facilitator,
        required=tuple(filter(None, (*people.builders, *people.sres, people.scribe, *paired))),
        optional=people.observers,
    )


def _relative(path: Path, root: Path) -> Path:
    """Below the project, relative to it."""
    path, root = path.resolve(), root.resolve()
    return path.relative_to(root) if path.is_relative_to(root) else path
