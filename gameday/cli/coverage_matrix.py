"""What `gameday coverage` does: brings together what is written, which rules are known and what runs have shown."""

import asyncio
import json
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from gameday.cli.coverage_text import WANTING, as_document, as_lines
from gameday.cli.environment import declare_lab
from gameday.cli.history_opening import open_past, store_errors
from gameday.cli.load import is_experiment, print_mistakes
from gameday.cli.output import fail, say
from gameday.cli.validate import EXPERIMENTS
from gameday.coverage import AlertSourceError, open_alerts
from gameday.coverage.base import Surveyor
from gameday.coverage.examination import examine_rule
from gameday.coverage.matrix import Rules, ServiceCoverage, alerts_of, build_matrix, services_of
from gameday.coverage.rule_files import load_rules
from gameday.lab import Lab
from gameday.spec.experiment import parse_experiment
from gameday.spec.game_day import is_game_day
from gameday.spec.location import Mistake, SpecError
from gameday.spec.model import Environment, EnvironmentKind, Experiment, Project
from gameday.spec.project import list_files, load_environment, read_project
from gameday.spec.reader import nearest, read_document
from gameday.spec.units import UnitError, excerpt, parse_positive_duration

_DOCUMENTS = (".yaml", ".yml", ".json")
_DEADLINE_S = 30.0  # a source keeps its own, shorter timeout; this is for one that does not


def show_matrix(
    services: Sequence[str],
    environment: str | None,
    *,
    offline: bool,
    local: bool,
    since: str | None,
    fail_on: Sequence[str],
    as_json: bool,
) -> None:
    """Print it, and end the program with its status. Input that is wrong ends with status 2."""
    if offline and environment is not None:
        fail("--offline asks nobody, and --env says whom to ask; give one of them")
    now = time.time()
    try:
        begin = now - parse_positive_duration(since) if since else None
    except UnitError as error:
        fail(f"--since: found {error.found}, expected {error.expected}")
    project, mistakes = read_project(Path.cwd())
    if mistakes:
        print_mistakes(SpecError(mistakes))
        sys.exit(2)
    experiments, unread = _experiments(project)
    _check_names(services, services_of(project, experiments))
    rules, origin = _rules(project, experiments, environment, offline=offline)
    with store_errors():
        history = open_past(project.root, local=local).history(since=begin, environment=environment)
    matrix = build_matrix(project, experiments, rules, history.past)
    if services:
        matrix = tuple(entry for entry in matrix if entry.name in services)
    if as_json:
        click.echo(json.dumps(as_document(matrix, history, origin, rules.unanswered), indent=2, ensure_ascii=False))
    else:
        widest = {"widest": shutil.get_terminal_size().columns} if sys.stdout.isatty() else {}
        for line in as_lines(matrix, **widest):
            click.echo(line)
        say()
    for line in _say_rules(rules, origin):
        say(line)
    where = f" in {environment}" if environment else ""
    say(f"Runs: {history.runs}{where}{f' in the last {since}' if since else ''}.")
    if history.unread:
        say(f"The journals of {_count(len(history.unread), 'run')} cannot be read: {', '.join(history.unread[:5])}.")
    if unread:
        say(f"{_count(len(unread), 'experiment')} cannot be read; `gameday check` says why:")
        for path in unread:
            say(f"  {path.relative_to(project.root)}")
    wanting = [*_wanting(matrix, rules, fail_on)]
    for line in wanting:
        say(line)
    sys.exit(1 if wanting else 0)


def _say_rules(rules: Rules, origin: str) -> Iterator[str]:
    yield f"Rules: {origin}."
    yield from (f"No answer: {part}." for part in rules.unanswered if part not in origin)


def _wanting(matrix: Sequence[ServiceCoverage], rules: Rules, fail_on: Sequence[str]) -> Iterator[str]:
    for asked in dict.fromkeys(fail_on):
        yield from WANTING[asked](matrix)
    if rules.is_blind and {"missing", "unrouted"}.intersection(fail_on):
        yield "What gave no answer may be wanting, too; nothing is concluded from it."


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _experiments(project: Project) -> tuple[tuple[Experiment, ...], tuple[Path, ...]]:
    """All below experiments/, and the files that cannot be read. What they refer to may be missing: that is shown."""
    found, unread = [], []
    for path in list_files(project.root / EXPERIMENTS, _DOCUMENTS):
        try:
            document = read_document(path)
            if is_experiment(document) and not is_game_day(document):
                found.append(parse_experiment(path, document))
        except SpecError:
            unread.append(path)
    return tuple(found), tuple(unread)


def _check_names(services: Sequence[str], known: Sequence[str]) -> None:
    for name in services:
        if name not in known:
            near = nearest(name, known)
            hint = f"; did you mean `{near}`?" if near else f"; there are {', '.join(known)}" if known else ""
            fail(f"there is no service {excerpt(name)}{hint}")


# -- rules


def _rules(
    project: Project, experiments: Sequence[Experiment], environment: str | None, *, offline: bool
) -> tuple[Rules, str]:
    """The alerting rules that are known, and where they come from: those that an environment has loaded, else those of
    the repository's files."""
    why, silent = "", False
    if not offline:
        loaded, why, silent = _loaded(project, experiments, environment)
        if loaded is not None:
            return loaded, why
    files, problems = load_rules(project.rules or (project.root,))
    origin = _say_files(len(files), problems)
    known = Rules(
        tuple(item.rule for item in files),
        are_all=bool(files) and not problems,
        unanswered=(why,) if silent else (),
        is_blind=silent,
    )
    return known, "; ".join(filter(None, (why, origin)))


def _say_files(count: int, problems: Sequence[Mistake]) -> str:
    if not count and not problems:
        return "none are known, for the repository has no files of rules"
    said = f"{count} in the repository's files"
    if problems:
        said += f"; {_count(len(problems), 'place')} there cannot be read (templates, or mistakes in the YAML)"
    return said


def _loaded(project: Project, experiments: Sequence[Experiment], name: str | None) -> tuple[Rules | None, str, bool]:
    """Those of this environment, else of the only one that has alerts; None where nobody answers, and why; and whether
    somebody was to be asked who did not answer."""
    chosen = name or _only_with_alerts(project)
    if chosen is None:
        return None, "", False
    try:
        environment = load_environment(project, chosen)
        if environment.kind is EnvironmentKind.LAB:
            info = Lab(project.root).info()
            if info is None:
                return None, f"{chosen} is not up" if name else "", name is not None
            environment = declare_lab(environment, info)
        rules = asyncio.run(_ask(environment, project, experiments))
    except SpecError as error:
        if name:
            print_mistakes(error)
            sys.exit(2)
        return None, f"{chosen} cannot be asked ({error.mistakes[0].found} in gameday.yaml)", True
    except (AlertSourceError, TimeoutError) as error:
        return None, f"{chosen} did not say which it has ({str(error) or 'no answer in time'})", True
    return rules, f"{len(rules.rules)} loaded in {chosen}" if rules else f"{chosen} has no alerts", False


def _only_with_alerts(project: Project) -> str | None:
    """The one environment that has alerts, else the lab; None where there are several."""
    names = [one.name for one in project.environments if one.alerts]
    names = names or [one.name for one in project.environments if one.kind is EnvironmentKind.LAB]
    return names[0] if len(names) == 1 else None


async def _ask(environment: Environment, project: Project, experiments: Sequence[Experiment]) -> Rules | None:
    """Which rules there are, and of those that matter, who would be told. Raises AlertSourceError, TimeoutError."""
    source = open_alerts(environment)
    if source is None:
        return None
    try:
        async with asyncio.timeout(_DEADLINE_S):
            rules = await source.rules()
            names = alerts_of(project, experiments, rules)
            surveyor: object = source
            survey = None
            if isinstance(surveyor, Surveyor):
                survey = await surveyor.survey([rule for rule in rules if rule.name in names])
    finally:
        await source.close()
    if survey is None:
        return Rules(rules, are_all=True)
    now = time.time()
    examined = {place: examine_rule(rule, survey, now, now) for place, rule in enumerate(rules) if rule.name in names}
    unanswered = tuple(f"{part} ({why})" for part, why in survey.unanswered)
    is_blind = survey.silences is None or "alertmanager" in dict(survey.seen.unreachable)
    return Rules(rules, are_all=True, examined=examined, unanswered=unanswered, is_blind=is_blind)
