"""Reads gameday.yaml and the runbooks beside it: the project with its environments and services."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import msgspec

from gameday.common.files import is_file
from gameday.common.project import PROJECT_FILE, find_root
from gameday.common.redact import Redactor
from gameday.spec.environment import LAB, read_environment
from gameday.spec.location import Location, Mistake, SpecError
from gameday.spec.model import Environment, Project, Runbook, Service, TrackerConfig
from gameday.spec.nodes import Mapping, Node
from gameday.spec.reader import Fields, File, nearest, read_document
from gameday.spec.runbook import check_runbook, load_runbook
from gameday.spec.schedule import read_blackouts
from gameday.spec.sources import read_url
from gameday.spec.tracker import WHAT, read_tracker
from gameday.spec.units import UnitError, excerpt
from gameday.spec.variables import fill_in

RUNBOOKS = "runbooks"
_HISTORY = "sqlite:///.gameday/history.db"
_A_REPORT_URL = "a URL such as https://reports.example.com/gameday/"
_MOST_RUNBOOKS = 10_000
_PATTERN = re.compile(r"[*?\[]")


def load_project(start: Path) -> Project:
    """The project to which the directory `start` belongs; without a gameday.yaml, one with the lab and nothing else.

    `${VARIABLES}` stay as they are written: `load_environment` fills in those of the one that is used. Raises SpecError
    with all mistakes of gameday.yaml and of the runbooks.
    """
    project, mistakes = read_project(start)
    if mistakes:
        raise SpecError(mistakes)
    return project


def read_project(start: Path) -> tuple[Project, tuple[Mistake, ...]]:
    """The same without raising: what can be read, with all mistakes. What refers to the project can then be checked."""
    root = find_root(start)
    path = root / PROJECT_FILE
    file = File(path)
    project = Project(path, root.name or "project", (LAB,), (), _HISTORY, _runbooks(file, root / RUNBOOKS))
    if is_file(path):
        try:
            project = _read(Fields(file, read_document(path), "gameday.yaml"), project)
        except SpecError as error:  # nothing in it can be read, or too much of it is wrong
            file.include(error)
    return project, file.mistakes()


def load_environment(project: Project, name: str) -> Environment:
    """The environment of that name, its `${VARIABLES}` filled in from the process's own. Raises SpecError."""
    environment = project.environment(name)
    if environment is None:
        names = sorted(environment.name for environment in project.environments)
        mistake = Mistake(
            Location(project.path),
            f"no environment {excerpt(name)}",
            f"one of {', '.join(names)}",
            nearest(name, names),
        )
        raise SpecError((mistake,))
    if not is_file(project.path):
        return environment
    file = File(project.path)
    environments = Fields(file, read_document(project.path), "gameday.yaml").mapping("environments", "environments")
    node = environments.get(name) if environments else None
    if environments is None or node is None:
        return environment  # the lab that is always there
    secrets = fill_in(file, node)
    file.check()
    fields = environments.as_mapping(node, "an environment")
    read = read_environment(fields, name, project.root, secrets) if fields else environment
    _check(file, secrets)
    return read


def load_tracker(project: Project) -> TrackerConfig | None:
    """Where action items are carried to, the `${VARIABLES}` filled in from the process's own; None: nowhere. Raises
    SpecError."""
    if project.actions is None:
        return None
    file = File(project.path)
    fields = Fields(file, read_document(project.path), "gameday.yaml").mapping("actions", WHAT)
    secrets = fill_in(file, fields.node) if fields else ()
    file.check()
    read = read_tracker(fields, secrets) if fields else None
    _check(file, secrets)
    return read


def may_be_server(history: str) -> bool:
    """Whether this `history`, as it is written, names a PostgreSQL, or may do so once its `${VARIABLES}` are filled
    in."""
    return history.startswith(("postgresql:", "${"))


def load_history(project: Project) -> str | None:
    """The URL of the store that gameday.yaml names under `history`, the `${VARIABLES}` filled in from the process's
    own; None: it names none. It may hold a password. Raises SpecError."""
    if not is_file(project.path):
        return None
    file = File(project.path)
    fields = Fields(file, read_document(project.path), "gameday.yaml")
    node = fields.get("history")
    if node is None:
        return None
    secrets = fill_in(file, node)
    file.check()
    read = fields.scalar("history", _history, f"a URL such as {_HISTORY}")
    _check(file, secrets)
    return read


def _check(file: File, secrets: tuple[str, ...]) -> None:
    """Raise SpecError when there is any mistake. What was found may be what was filled in."""
    if mistakes := file.mistakes():
        redact = Redactor(secrets)
        raise SpecError(tuple(msgspec.structs.replace(mistake, found=redact(mistake.found)) for mistake in mistakes))


def locate(project: Project, *keys: str) -> Location:
    """Where these keys, one under the other, lead in gameday.yaml: as far as they are there. Raises SpecError."""
    node: Node = read_document(project.path)
    for key in keys:
        if not isinstance(node, Mapping) or key not in node.entries:
            break
        node = node.entries[key][1]
    return Location(project.path, node.line, node.column)


def secret_values(environment: Environment) -> tuple[str, ...]:
    """What must never be shown of an environment that `load_environment` has given."""
    return environment.secrets


def _read(fields: Fields, project: Project) -> Project:
    read = msgspec.structs.replace(
        project,
        name=fields.text("project", "the project's name") or project.name,
        environments=_environments(fields, project.root),
        services=_services(fields, project),
        history=fields.scalar("history", _history, f"a URL such as {_HISTORY}") or _HISTORY,
        stop_switch_file=_stop_switch(fields, project.root),
        rules=_rules(fields, project.root),
        groups=_groups(fields),
        report_url=_report_url(fields),
        actions=_actions(fields),
        blackouts=read_blackouts(fields, project.root),
    )
    fields.close()
    return read


def _stop_switch(fields: Fields, root: Path) -> Path | None:
    text = fields.text("stop-switch", "the path of a file")
    return root / Path(text).expanduser() if text else None


def _report_url(fields: Fields) -> str | None:
    url = fields.scalar("report-url", lambda text: read_url(text, _A_REPORT_URL), _A_REPORT_URL)
    return url if url is None or url.endswith("/") else f"{url}/"


def _actions(fields: Fields) -> TrackerConfig | None:
    tracker = fields.mapping("actions", WHAT)
    return read_tracker(tracker) if tracker else None


def _groups(fields: Fields) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Groups of people, each member once. The `@` that chats put before a group's name is no part of it."""
    groups = fields.mapping("groups", 'groups of people by name, such as {checkout-dev: ["@ada", "@lin"]}')
    if groups is None:
        return ()
    read: dict[str, tuple[str, ...]] = {}
    names = {key.removeprefix("@") for key in groups.node.entries}
    for key in groups.node.entries:
        name, members = key.removeprefix("@"), groups.texts(key, "a list of handles")
        if name in read:
            groups.file.mistake(groups.key(key), f"the group {excerpt(name)} a second time", "each group once")
        for text, node in members:
            if text.strip().removeprefix("@") in names:
                groups.file.mistake(node, f"the group {excerpt(text)} in a group", "people")
        read[name] = tuple(dict.fromkeys(filter(None, (text.strip() for text, _ in members))))
        if not read[name] and not isinstance(groups.get(key), Mapping):  # which has been noted
            groups.file.mistake(groups.key(key), f"the group {excerpt(name)} without members", "a list of handles")
    return tuple(read.items())


def _rules(fields: Fields, root: Path) -> tuple[Path, ...]:
    """What `rules` names, each once: files, directories, and whatever patterns match now."""
    found: dict[Path, None] = {}
    for text, node in fields.texts("rules", "a list of files, directories or patterns"):
        try:
            named = sorted(root.glob(text)) if _PATTERN.search(text) else [root / text]
            paths = [path for path in named if path.exists()]
        except (OSError, ValueError, NotImplementedError):  # no file can have the name; a pattern that is absolute
            paths = []
        if not paths:
            fields.file.mistake(
                node, f"the rules {excerpt(text)}", "a file, a directory or a pattern that is not empty"
            )
        found |= dict.fromkeys(paths)
    return tuple(found)


def _runbooks(file: File, directory: Path) -> tuple[Runbook, ...]:
    """Every Markdown file below the directory, by name. Two of one name could not be told apart."""
    found: dict[str, Runbook] = {}
    unread: list[Mistake] = []
    for path in list_files(directory, (".md",), unread.append)[:_MOST_RUNBOOKS]:
        try:
            runbook = load_runbook(path)
        except SpecError as error:
            file.include(error)
            # What refers to it is right all the same.
            found.setdefault(path.stem, Runbook(path, path.stem, path.stem))
            continue
        other = found.setdefault(runbook.name, runbook)
        if other is not runbook:
            mistake = Mistake(Location(path), f"a second runbook `{path.stem}`", f"one of that name, as {other.path}")
            file.include(SpecError((mistake,)))
    file.include(SpecError(tuple(unread)))
    return tuple(found.values())


def list_files(
    directory: Path, suffixes: tuple[str, ...], complain: Callable[[Mistake], object] = lambda _: None
) -> list[Path]:
    """The files below a directory with one of these suffixes, sorted; hidden ones are left out. `complain` is told of
    each directory that is there and cannot be read."""

    def failed(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            found = f"a directory that cannot be read ({error.strerror})"
            complain(Mistake(Location(Path(error.filename)), found, "a readable directory"))

    found = []
    for where, directories, names in os.walk(directory, onerror=failed):
        directories[:] = sorted(name for name in directories if not name.startswith("."))
        found += [Path(where, name) for name in sorted(names) if name.endswith(suffixes) and not name.startswith(".")]
    return found


def _environments(fields: Fields, root: Path) -> tuple[Environment, ...]:
    environments = fields.mapping("environments", "environments by name")
    read = []
    for name, _, node in environments.rest() if environments else ():
        environment = fields.as_mapping(node, f"the environment `{name}`")
        if environment:
            read.append(read_environment(environment, name, root))
    if all(environment.name != LAB.name for environment in read):
        read.append(LAB)
    return tuple(read)


def _services(fields: Fields, project: Project) -> tuple[Service, ...]:
    services = fields.mapping("services", "services by name")
    if services is None:
        return ()
    names = set(services.node.entries)
    read = []
    for name, _, node in services.rest():
        if getattr(node, "value", node) is None:  # `payments:` with nothing to say about it
            read.append(Service(name))
        elif service := services.as_mapping(node, f"the service `{name}`"):
            read.append(_service(service, name, names, project))
    return tuple(read)


def _service(fields: Fields, name: str, names: set[str], project: Project) -> Service:
    owner = fields.text("owner", "who owns it")
    runbooks, needs = fields.texts("runbooks", "a list of runbooks"), fields.texts("depends-on", "a list of services")
    for runbook, node in runbooks:
        check_runbook(fields.file, project, node, runbook)
    for service, node in needs:
        if service not in names or service == name:
            fields.file.unknown(node, "service", service, names - {name})
    dashboards = fields.texts("dashboards", "a list of dashboards")
    on_call = fields.text("on-call", "what the source of on-call calls its schedule")
    fields.close()
    return Service(
        name,
        owner,
        tuple(text for text, _ in runbooks),
        tuple(text for text, _ in needs),
        tuple(text for text, _ in dashboards),
        on_call,
    )


def _history(text: str) -> str:
    if not text.startswith(("sqlite:///", "postgresql://", "postgres://", "${")):
        raise UnitError(excerpt(text.rpartition("@")[2]), f"a URL such as {_HISTORY} or postgresql://host/database")
    return re.sub("^postgres:", "postgresql:", text)  # as libpq has it, too
