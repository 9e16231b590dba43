"""`gameday init`: a starter project whose game day runs on the lab as it is."""

import os
import shlex
from datetime import date
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import click

from gameday.cli.output import fail, say

_GAME_DAY = "experiments/gamedays/first.yaml"


@click.command("init")
@click.argument("directory", default=".", type=click.Path(path_type=Path))
def command(directory: Path) -> None:
    """Write a starter gameday.yaml, experiments, a game day and runbooks into DIRECTORY. Overwrites nothing: exit 2
    when any of the files is there already.
    """
    starter = _starter(files("gameday.cli").joinpath("starter"))
    there = [name for name in starter if os.path.lexists(directory / name)]
    if there:
        fail(f"{_shown(directory / there[0])} is there already; nothing was written")
    try:
        for name, text in starter.items():
            _write(directory / name, text.replace("$today", date.today().isoformat()))
            say(f"wrote {_shown(directory / name)}")
    except OSError as error:
        fail(f"cannot write {error.filename or directory}: {error.strerror}")
    go = "" if directory.resolve() == Path.cwd() else f"cd {shlex.quote(str(directory))} && "
    say("\nNext:")
    say(f"  {go}gameday check")
    say(f"  {go}gameday run {_GAME_DAY}")
    say("The first says whether the files are right, the second breaks the lab. Then make the files yours.")
    say("Keep .gameday/ (runs, the lab) and reports/ out of version control.")


def _starter(directory: Traversable, prefix: str = "") -> dict[str, str]:
    """Every file of the starter project by its path in it, gameday.yaml first."""
    found: dict[str, str] = {}
    for entry in sorted(directory.iterdir(), key=lambda entry: (entry.is_dir(), entry.name)):
        if entry.is_dir():
            found |= _starter(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith((".yaml", ".md")):
            found[f"{prefix}{entry.name}"] = entry.read_text(encoding="utf-8")
    return found


def _write(path: Path, text: str) -> None:
    """A new file, whole or not at all. Raises OSError when there is one, however it came there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("x", encoding="utf-8") as file:
        try:
            file.write(text)
            file.flush()
        except OSError:  # a disk that is full
            path.unlink()
            raise


def _shown(path: Path) -> str:
    return os.path.normpath(path)
