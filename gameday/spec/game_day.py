"""Reads a game day: who, when, where, and which experiments in which order."""

import os.path
import re
from pathlib import Path

from gameday.spec.experiment import StepCheck, load_experiment
from gameday.spec.location import SpecError
from gameday.spec.model import Experiment, GameDay, People, Project, Schedule
from gameday.spec.nodes import Mapping, Node
from gameday.spec.reader import Fields, File, nearest, read_document
from gameday.spec.timezones import read_timezone
from gameday.spec.units import UnitError, excerpt, parse_positive_duration

def load_game_day(path: Path, project: Project | None = None, check_step: StepCheck | None = None) -> GameDay:
    """Read a game day and its experiments. Raises SpecError with all mistakes of all these files.

    With `project`, what they refer to must be there; `check_step` is as for `load_experiment`.
    """
    return parse_game_day(path, read_document(path), project, check_step)


def parse_game_day(
    path: Path, document: Mapping, project: Project | None = None, check_step: StepCheck | None = None
) -> GameDay:
    """A game day from a document that has been read already. Raises SpecError as `load_game_day` does."""
    file = File(path)
    root = Fields(file, document, "a game day")
    title = root.text("title") or ""
    root.require("title", "the game day's title")
    root.require("experiments", "a list of experiment files, in their order")
    game_day = GameDay(
        path=path,
        title=title,
        environment=_environment(root, project),
        people=_people(root),
        schedule=_schedule(root),
        experiments=_experiments(root, path, project, check_step),
        location=file.location(root.node),
    )
    root.close()
    file.check()
    return game_day


def _environment(root: Fields, project: Project | None) -> str | None:
    name = root.text("environment", "the name of an environment")
    if name and project and project.environment(name) is None:
        node = root.get("environment")
        assert node is not None
        root.file.unknown(node, "environment", name, (environment.name for environment in project.environments))
    return name


def _people(root: Fields) -> People:
    fields = root.mapping("people", 'people by role, such as {builders: ["@checkout-dev"], sres: ["@sre-oncall"]}')
    if fields is None:
        return People()

    def handles(role: str) -> tuple[str, ...]:
        return tuple(text for text, _ in fields.texts(role, "a list of handles"))

    people = People(
        facilitator=fields.text("facilitator", "a handle"),
        builders=handles("builders"),
        sres=handles("sres"),
        scribe=fields.text("scribe", "a handle"),
        observers=handles("observers"),
    )
    fields.close()
    return people


def _schedule(root: Fields) -> Schedule | None:
    fields = root.mapping("when", 'a schedule, such as {cron: "0 10 * * FRI", duration: 2h}')
    if fields is None:
        return None
    schedule = Schedule(
        cron=fields.scalar("cron", parse_cron, 'a cron expression such as "0 10 * * FRI"'),
        timezone=read_timezone(fields, "timezone") or "UTC",
        duration_s=fields.scalar("duration", parse_positive_duration, "a duration such as 2h"),
    )
    fields.close()
    return schedule


def _experiments(
    root: Fields, path: Path, project: Project | None, check_step: StepCheck | None
) -> tuple[Experiment, ...]:
    experiments = []
    nodes = root.items("experiments", "a list of experiment files")
    if not nodes and root.has("experiments"):
        root.file.mistake(root.key("experiments"), "no experiments", "a list of experiment files, in their order")
    for node in nodes:
        name = root.parse(node, str, "the path of an experiment")
        found = _find(root, path, node, name) if name else None
        if found:
            try:
                experiments.append(load_experiment(found, project, check_step))
            except SpecError as error:
                root.file.include(error)
    return tuple(experiments)


def _find(root: Fields, path: Path, node: Node, name: str) -> Path | None:
    """The experiment's file: beside the game day, in the directory above, or in `experiments/` beside the latter."""
    directories = [path.parent, path.parent / "..", path.parent / ".." / "experiments"]
    try:
        for directory in directories:
            if (candidate := directory / name).is_file():
                return _tidy(candidate)
        directories = [directory for directory in directories if directory.is_dir()]
        names = [entry.name for directory in directories for entry in directory.iterdir()]
    except (OSError, ValueError):  # a name that no file can have
        names = []
    files = [entry for entry in names if entry.endswith((".yaml", ".yml", ".json"))]
    where = ", ".join(dict.fromkeys(str(_tidy(directory)) for directory in directories))
    root.file.mistake(node, f"the experiment {excerpt(name)}", f"a file in {where}", nearest(name, files))
    return None


def _tidy(path: Path) -> Path:
    """Without `..`, as far as no symbolic link is involved; still relative when it was."""
    plain = Path(os.path.normpath(path))
    return plain if plain.resolve() == path.resolve() else path
