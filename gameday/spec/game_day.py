"""Reads a game day: who, when, where, and which experiments in which order."""

import os.path
from pathlib import Path

import msgspec

from gameday.spec.cron import parse_cron
from gameday.spec.experiment import StepCheck, parse_experiment
from gameday.spec.location import SpecError
from gameday.spec.model import ON_CALL, Experiment, GameDay, GivenPair, People, Project
from gameday.spec.nodes import Mapping, Node
from gameday.spec.reader import Fields, File, nearest, read_document
from gameday.spec.schedule import read_schedule
from gameday.spec.units import UnitError, excerpt

__all__ = ["is_game_day", "load_game_day", "parse_cron", "parse_game_day"]

_MOST_PEOPLE = 100  # as builders, and as SREs: everybody is to meet everybody
_A_HANDLE = "a handle"


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
    experiments = _experiments(root, path, project, check_step)
    game_day = GameDay(
        path=path,
        title=title,
        environment=_environment(root, project),
        people=msgspec.structs.replace(_people(root, project), pairs=_given([given for _, given in experiments])),
        schedule=read_schedule(root, project.root if project else path.parent),
        experiments=tuple(experiment for experiment, _ in experiments),
        location=file.location(root.node),
    )
    root.close()
    file.check()
    return game_day


def is_game_day(document: Mapping) -> bool:
    """Whether the document means to be a game day."""
    return "experiments" in document.entries and "method" not in document.entries


def _environment(root: Fields, project: Project | None) -> str | None:
    name = root.text("environment", "the name of an environment")
    if name and project and project.environment(name) is None:
        node = root.get("environment")
        assert node is not None
        root.file.unknown(node, "environment", name, (environment.name for environment in project.environments))
    return name


def _people(root: Fields, project: Project | None) -> People:
    fields = root.mapping("people", 'people by role, such as {builders: ["@checkout-dev"], sres: ["@sre-oncall"]}')
    if fields is None:
        return People()
    people = People(
        facilitator=_one(fields, "facilitator", project),
        builders=_some(fields, "builders", project, most=_MOST_PEOPLE),
        sres=_some(fields, "sres", project, most=_MOST_PEOPLE),
        scribe=_one(fields, "scribe", project),
        observers=_some(fields, "observers", project),
    )
    fields.close()
    return people


def _some(fields: Fields, role: str, project: Project | None, most: int | None = None) -> tuple[str, ...]:
    """Everybody of a role, each once; a group stands for its members."""
    found: dict[str, None] = {}
    for node in fields.items(role, "a list of handles", single=True):
        if (text := _handle(fields, node, project)) is not None:
            found |= dict.fromkeys(_members(text, project) or (text,))
    if most is not None and len(found) > most:
        fields.file.mistake(fields.key(role), f"{len(found)} {role}", f"at most {most}")
    return tuple(found)


def _one(fields: Fields, role: str, project: Project | None) -> str | None:
    """The one person of a role."""
    node = fields.get(role)
    text = _handle(fields, node, project) if node else None
    members = _members(text, project) if text else None
    if members is None:
        return text
    if len(members) > 1:
        assert text is not None
        fields.file.mistake(node, f"{excerpt(text)}, a group of {len(members)}", "one person")
    return members[0]


def _handle(fields: Fields, node: Node, project: Project | None) -> str | None:
    """A handle as it is written: of a person, of a group, or `on-call:` and a service."""

    def parse(text: str) -> str:
        if not text.strip() or text.strip() == ON_CALL:
            found = f"`{ON_CALL}` without a service" if text.strip() else "an empty text"
            raise UnitError(found, "a handle, or whoever is on call for a service, such as on-call:checkout")
        return text.strip()

    text = fields.parse(node, parse, _A_HANDLE)
    service = text.removeprefix(ON_CALL) if text and text.startswith(ON_CALL) else None
    if service and project and project.services and project.service(service) is None:
        fields.file.unknown(node, "service", service, (service.name for service in project.services))
    return text


def _members(handle: str, project: Project | None) -> tuple[str, ...] | None:
    """Those of the group that a handle names, if it names one."""
    return project.group(handle) if project else None


def _experiments(
    root: Fields, path: Path, project: Project | None, check_step: StepCheck | None
) -> list[tuple[Experiment, GivenPair]]:
    """Each experiment, and who is named for it."""
    experiments = []
    nodes = root.items("experiments", "a list of experiment files")
    if not nodes and root.has("experiments"):
        root.file.mistake(root.key("experiments"), "no experiments", "a list of experiment files, in their order")
    for node in nodes:
        at, given = _entry(root, node, project)
        name = root.parse(at, str, "the path of an experiment") if at else None
        found = _find(root, path, at, name) if at and name else None
        if found and name:
            try:
                document = read_document(found)
                if is_game_day(document):
                    root.file.mistake(at, f"the game day {excerpt(name)}", "an experiment")
                    continue
                experiments.append((parse_experiment(found, document, project, check_step), given))
            except SpecError as error:
                root.file.include(error)
    return experiments


def _entry(root: Fields, node: Node, project: Project | None) -> tuple[Node | None, GivenPair]:
    """Where the file's name of an experiment stands, and who is named beside it."""
    if not isinstance(node, Mapping):
        return node, GivenPair()
    fields = Fields(root.file, node, "an experiment of a game day")
    fields.require("file", 'the path of an experiment, such as {file: lost.yaml, builder: "@ada", sre: "@grace"}')
    at, given = fields.get("file"), GivenPair(_one(fields, "builder", project), _one(fields, "sre", project))
    if given.builder and given.builder == given.sre:
        fields.file.mistake(fields.get("sre"), f"{excerpt(given.builder)} as builder and as SRE", "two people")
    fields.close()
    return at, given


def _given(pairs: list[GivenPair]) -> tuple[GivenPair, ...]:
    """One for each experiment; none at all where nobody is named."""
    return tuple(pairs) if any(pair != GivenPair() for pair in pairs) else ()


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
