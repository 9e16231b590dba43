"""What `gameday runbook lint` does: finds the pages and what they are compared with, and says what is wrong."""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path

import click
import msgspec

from gameday.cli.load import print_each, print_mistakes
from gameday.cli.output import fail, say
from gameday.cli.session import project_root
from gameday.cli.source import local_runbook
from gameday.common.project import PROJECT_FILE
from gameday.coverage.lint import (
    Remark,
    Rule,
    Severity,
    Surroundings,
    anchors_led_to,
    is_runbook,
    lint,
    read_owners,
)
from gameday.coverage.rule_files import FileRule, load_rules
from gameday.spec.location import Location, Mistake, SpecError
from gameday.spec.project import RUNBOOKS, list_files, load_environment, locate, read_project
from gameday.spec.reader import nearest
from gameday.spec.runbook import is_url
from gameday.spec.runbook_page import RunbookPage, read_page

_SUFFIXES = (".md", ".markdown")
_NOT_OURS = ("node_modules", "vendor")


class _Found(msgspec.Struct):
    """The pages to lint, those that are no runbooks, and what could not be read."""

    pages: list[RunbookPage] = []
    others: list[RunbookPage] = []
    mistakes: list[Mistake] = []


def run_lint(
    paths: Sequence[str],
    *,
    as_json: bool,
    online: bool,
    rules: Sequence[str],
    environment: str | None,
    commands: bool,
    ignore: Sequence[str],
) -> None:
    """Lint and end the program with the status that says what was found."""
    for name in ignore:
        if name not in tuple(Rule):
            near = nearest(name, tuple(Rule))
            fail(f"there is no rule `{name}`" + (f"; did you mean `{near}`?" if near else ""))
    project = project_root()
    found, root = _pages(paths, project)
    if found.mistakes:
        print_mistakes(SpecError(tuple(found.mistakes)))
        sys.exit(2)
    is_ours = root == project or any(map(is_url, paths))  # a page at a URL is looked at for this project
    known, problems = _rules(root, rules, environment, project, is_ours=is_ours)
    led_to = [page for page in found.others if anchors_led_to(page, known) is not None]
    found.pages += led_to
    found.others = [page for page in found.others if page not in led_to]
    surroundings = Surroundings(root, date.today(), known or None, bool(problems), read_owners(root), commands)
    remarks = lint(found.pages, surroundings, online=online, ignored=ignore)
    if as_json:
        click.echo(json.dumps(_document(found, remarks, known, problems), indent=2, ensure_ascii=False))
    else:
        _print(found, remarks, known, problems)
    sys.exit(1 if any(item.severity is Severity.ERROR for item in remarks) else 0)


def _pages(paths: Sequence[str], project: Path) -> tuple[_Found, Path]:
    """What is to be linted, and the root of what it belongs to."""
    found, seen = _Found(), set[Path]()
    if not paths and not list_files(project / RUNBOOKS, _SUFFIXES):
        fail(f"there are no runbooks below {project / RUNBOOKS}; name a file, a directory or a URL")
    local = [(local_runbook(path), path if is_url(path) else "") for path in paths] or [(project / RUNBOOKS, "")]
    for path, url in local:
        files = _files(path) if path.is_dir() else [path]
        for file in files:
            if file.resolve() in seen:
                continue
            seen.add(file.resolve())
            try:
                page = msgspec.structs.replace(read_page(file), url=url)
            except SpecError as error:
                found.mistakes += error.mistakes
                continue
            # All that lies in a project's runbooks/ is one; elsewhere much is not.
            if path.is_dir() and path.resolve() != project / RUNBOOKS and not is_runbook(page):
                found.others.append(page)
            else:
                found.pages.append(page)
    first, url = local[0][0].resolve(), local[0][1]
    return found, first.parent if url else _root(first)


def _files(directory: Path) -> list[Path]:
    return [
        path for path in list_files(directory, _SUFFIXES) if not set(path.relative_to(directory).parts) & set(_NOT_OURS)
    ]


def _root(path: Path) -> Path:
    """The repository or project that a path belongs to, else the directory itself."""
    here = path if path.is_dir() else path.parent
    roots = (
        parent for parent in (here, *here.parents) if (parent / ".git").exists() or (parent / PROJECT_FILE).is_file()
    )
    return next(roots, here)


def _rules(
    root: Path, named: Sequence[str], environment: str | None, project: Path, *, is_ours: bool
) -> tuple[tuple[FileRule, ...], tuple[Mistake, ...]]:
    """The alerting rules: an environment's, those that are named, the project's own, or all below the root."""
    if environment is not None:
        if named:
            fail("--rules and --env both say where the rules are; give one of them")
        return _loaded(environment, project), ()
    for path in named:
        if not Path(path).exists():
            fail(f"there is no file {path}")
    own = read_project(project)[0].rules if is_ours else ()
    return load_rules([Path(path) for path in named] or own or [root])


def _loaded(name: str, start: Path) -> tuple[FileRule, ...]:
    from gameday.cli.environment import resolve_environment
    from gameday.coverage import AlertSourceError, open_alerts

    project, mistakes = read_project(start)
    if mistakes:
        print_mistakes(SpecError(mistakes))
        sys.exit(2)
    try:
        environment = resolve_environment(load_environment(project, name), project, start=False)
    except SpecError as error:
        print_mistakes(error)
        sys.exit(2)

    declared = project.path.is_file()  # else it is the lab, which is written nowhere
    where = locate(project, "environments", name, "alerts") if declared else Location(project.path)

    async def read() -> tuple[FileRule, ...]:
        source = open_alerts(environment)
        if source is None:
            raise AlertSourceError(f"the environment `{name}` has no alerts")
        try:
            return tuple(FileRule(rule, where, loaded_by=name) for rule in await source.rules())
        finally:
            await source.close()

    try:
        return asyncio.run(read())
    except AlertSourceError as error:
        fail(str(error), 3)


def _print(found: _Found, remarks: Sequence[Remark], rules: Sequence[FileRule], problems: Sequence[Mistake]) -> None:
    print_each(((f"{item.severity}: ", f" [{item.rule}]", item.mistake) for item in remarks), sys.stderr)
    count = Counter(item.severity for item in remarks)
    notes = [
        _count(len(rules), "alerting rule") + " known"
        if rules
        else "no alerting rules known, so alerts were not compared"
    ]
    if problems:
        notes.append(f"{_count(len(problems), 'file')} of rules not read (templates, or mistakes in the YAML)")
    if found.others:
        notes.append(f"{_count(len(found.others), 'page')} passed over, without the sections of a runbook")
    say(
        f"{_count(len(found.pages), 'runbook')}: {_count(count[Severity.ERROR], 'error')}, "
        f"{_count(count[Severity.WARNING], 'warning')}; {'; '.join(notes)}."
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _document(
    found: _Found, remarks: Iterable[Remark], rules: Sequence[FileRule], problems: Iterable[Mistake]
) -> dict[str, object]:
    return {
        "schema": 1,
        "runbooks": [str(page.path) for page in found.pages],
        "passed_over": [str(page.path) for page in found.others],
        "alerting_rules": len(rules),
        "remarks": [
            {"rule": item.rule.value, "severity": item.severity.value, **_plain(item.mistake)} for item in remarks
        ],
        "rules_not_read": [_plain(problem) for problem in problems],
    }


def _plain(mistake: Mistake) -> dict[str, object]:
    where = mistake.location
    return {
        "file": str(where.path),
        "line": where.line,
        "column": where.column,
        "found": mistake.found,
        "expected": mistake.expected,
        "nearest": mistake.nearest,
    }
