"""Validates many files as one: each once, all mistakes of all of them together."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gameday.chaostoolkit.variables import missing_variables
from gameday.cli.load import (
    Mistakes,
    check_signals,
    check_sources,
    check_tracker,
    is_experiment,
    parse_path,
    project_start,
)
from gameday.common.files import is_directory, is_file
from gameday.common.project import PROJECT_FILE
from gameday.spec.game_day import is_game_day
from gameday.spec.location import Mistake
from gameday.spec.model import Experiment, GameDay, Project
from gameday.spec.nodes import Mapping
from gameday.spec.project import RUNBOOKS, list_files, read_project
from gameday.spec.reader import read_document
from gameday.spec.runbook import load_runbook

if TYPE_CHECKING:
    from gameday.coverage.rule_files import RuleFiles

EXPERIMENTS = "experiments"
_DOCUMENTS = (".yaml", ".yml", ".json")


def validate(paths: Iterable[Path]) -> tuple[Counter[str], tuple[Mistake, ...]]:
    """How many of each kind of file were checked: those named, or all of the current directory's project. And warnings.

    Raises SpecError with all mistakes of all files.
    """
    validation = _Validation()
    for path in tuple(paths) or (Path(),):
        validation.path(path)
    validation.mistakes.check()
    return validation.checked, tuple(validation.warnings)


class _Validation:
    def __init__(self) -> None:
        self.mistakes = Mistakes()
        self.warnings: dict[Mistake, None] = {}
        self.checked: Counter[str] = Counter()
        self._projects: dict[Path, Project] = {}
        self._rules: dict[Path, RuleFiles | None] = {}
        self._seen: set[Path] = set()

    def path(self, path: Path) -> None:
        """A file, or everything in a directory that may be ours."""
        if not is_directory(path):
            self._file(path, named=True)
            return
        project_file, unread = path / PROJECT_FILE, list[Mistake]()
        if is_file(project_file) or not (list_files(path, (*_DOCUMENTS, ".md"), unread.append) or unread):
            self._file(project_file, named=True)  # where there is nothing at all, that is said
        # A project's root holds much that is not ours; any other directory was meant as it is.
        is_root = is_file(project_file) or is_directory(path / EXPERIMENTS)
        inside = [path / EXPERIMENTS] if is_root else [path]
        for directory in inside:
            for file in self._files(directory, _DOCUMENTS):
                self._file(file, named=False)
        runbooks = path / RUNBOOKS if inside[0] != path else path
        for file in self._files(runbooks, (".md",)) if runbooks.name == RUNBOOKS else ():
            self._file(file, named=True)

    def _project(self, path: Path) -> Project:
        start = project_start(path)
        if start not in self._projects:
            project, mistakes = read_project(start)
            self.mistakes.add(mistakes)
            self._projects[start] = project
            if is_file(project.path) and project.path.resolve() not in self._seen:
                self._seen.add(project.path.resolve())
                self.checked["project"] += 1
                self.mistakes.add((*check_sources(project, project.environments), *check_tracker(project)))
        return self._projects[start]

    def _files(self, directory: Path, suffixes: tuple[str, ...]) -> list[Path]:
        return list_files(directory, suffixes, lambda mistake: self.mistakes.add((mistake,)))

    def _file(self, path: Path, *, named: bool) -> None:
        """One file. What was not `named` and is clearly something else is left alone."""
        project = self._project(path)
        where = Path(os.path.realpath(path))  # `resolve` fails where links go in a circle
        if where in self._seen:
            return
        self._seen.add(where)
        if path.suffix == ".md":
            self.mistakes.of(lambda: load_runbook(path))
            self.checked["runbook"] += 1
        elif path.name == PROJECT_FILE:
            if not is_file(path):
                self.mistakes.of(lambda: read_document(path))
        else:
            document = self.mistakes.of(lambda: read_document(path))
            if document and (named or is_game_day(document) or is_experiment(document)):
                self._session(path, document, project)

    def _session(self, path: Path, document: Mapping, project: Project) -> None:
        loaded = self.mistakes.of(lambda: parse_path(path, document, project))
        if loaded is None:
            return
        game_day, experiments = loaded
        self.checked["game day" if game_day else "experiment"] += 1
        for experiment in experiments:
            self.warnings |= dict.fromkeys((*experiment.warnings, *_unset(experiment)))
            self.warnings |= dict.fromkeys(self._review(experiment, project))
        self.warnings |= dict.fromkeys(_unread_calendars(game_day, project)) if game_day else {}
        environment = project.environment(game_day.environment) if game_day and game_day.environment else None
        if environment:
            for experiment in experiments:
                self.mistakes.add(check_signals(experiment, environment))

    def _review(self, experiment: Experiment, project: Project) -> Iterator[Mistake]:
        """What the repository's own rules say against the alerts that are expected; a server may have others."""
        if not (experiment.alerts and project.rules):
            return
        from gameday.coverage.rule_checks import review_alerts
        from gameday.coverage.rule_files import read_rule_files

        if project.path not in self._rules:
            self._rules[project.path] = read_rule_files(project)
        files = self._rules[project.path]
        if files is not None:
            yield from files.problems
            yield from review_alerts(experiment.alerts, files)


def _unread_calendars(game_day: GameDay, project: Project) -> Iterator[Mistake]:
    """Files of blackouts that cannot be read: until they can, nothing that names them starts by itself."""
    blackouts = (*game_day.schedule.blackouts, *project.blackouts) if game_day.schedule else ()
    files = [blackout for blackout in blackouts if blackout.calendar and "://" not in blackout.calendar]
    if not files:
        return
    from datetime import UTC, datetime

    from gameday.engine.freezes import FreezeError, Freezes

    freezes = Freezes(project.root)
    for blackout in files:
        try:
            freezes.find((blackout,), datetime.now(UTC), 0.0, UTC)
        except FreezeError as error:
            expected = "one that can be read: until then it is a blackout"
            yield Mistake(game_day.location, f"a calendar of blackouts: {error}", expected)


def _unset(experiment: Experiment) -> Iterator[Mistake]:
    """It may be set where the experiment will run; here a run would not start."""
    for name in missing_variables(experiment.configuration, experiment.secrets):
        yield Mistake(experiment.location, f"the variable `{name}` unset", "it in the environment of a run")
