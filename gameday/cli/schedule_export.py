"""What the exports of `gameday schedule` share: the program, the variables that it needs, and where files go."""

import getpass
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from gameday.cli.output import fail, say
from gameday.cli.schedule_load import Found, name_of
from gameday.cli.schedule_timers import crontab, systemd_units
from gameday.spec.nodes import Mapping, Node, Scalar
from gameday.spec.nodes import Sequence as SequenceNode
from gameday.spec.reader import read_document
from gameday.spec.variables import VARIABLE

_DEFAULT_ENVIRONMENT = "lab"
_BESIDE = ("Dockerfile", "Dockerfile.dockerignore", ".dockerignore")  # of no use on stdout


def local_files(kind: str, found: Found, paths: Sequence[Path]) -> dict[str, str]:
    """What starts it on this machine, by cron or by systemd: files by name."""
    root, program, variables = found.project.root, _program(), variables_of(found)
    within = [name_of(path, root) for path in paths]
    if kind == "cron":
        return {"gameday.crontab": crontab(found.game_days, root, program, within, variables)}
    return systemd_units(root, program, within, getpass.getuser(), variables)


def variables_of(found: Found) -> tuple[str, ...]:
    """The `${VARIABLES}` of gameday.yaml that sessions of these game days will need, sorted."""
    path = found.project.path
    if not path.is_file():
        return ()
    document = read_document(path)
    nodes: list[Node] = [node for key, (_, node) in document.entries.items() if key != "environments"]
    environments = document.entries.get("environments")
    if environments is not None and isinstance(environments[1], Mapping):
        wanted = {item.environment or _DEFAULT_ENVIRONMENT for item in found.game_days}
        nodes += [node for key, (_, node) in environments[1].entries.items() if key in wanted]
    calendars = [blackout.calendar or "" for item in found.game_days for blackout in item.blackouts]
    names = {name for node in nodes for name in _names(node)}
    return tuple(sorted(names.union(*map(VARIABLE.findall, calendars))))


def _names(node: Node) -> Iterable[str]:
    match node:
        case Mapping():
            for _, value in node.entries.values():
                yield from _names(value)
        case SequenceNode():
            for value in node.items:
                yield from _names(value)
        case Scalar():
            yield from VARIABLE.findall(node.text)


def _program() -> str:
    """The absolute path of this program."""
    named = Path(sys.argv[0])
    if named.name == "gameday" and named.is_file():
        return str(named.absolute())
    return shutil.which("gameday") or str(Path(sys.executable).with_name("gameday"))


def deliver(files: dict[str, str], output: Path | None, *, force: bool) -> None:
    """Print them; or write them into a directory, all or none where one is there and differs."""
    if output is None:
        shown = {name: text for name, text in files.items() if name not in _BESIDE}
        for name, text in shown.items():
            click.echo(f"# {name}\n{text}" if len(shown) > 1 else text, nl=False)
        if len(shown) < len(files):
            say(f"-o DIRECTORY writes {', '.join(_BESIDE)}, too")
        return
    from gameday.common.files import write_atomically

    try:
        for name, text in files.items():
            there = output / name
            if there.exists() and not force and there.read_bytes() != text.encode():
                fail(f"{there} is there, and differs; --force replaces it")
        for name, text in files.items():
            write_atomically(output / name, text)
            (output / name).chmod(0o644)
            say(f"wrote {output / name}")
    except OSError as error:
        fail(f"cannot write {error.filename or output}: {error.strerror}")
