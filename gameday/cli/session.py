"""What `run` and `plan` share: from a path to a session that could start."""

import os
import sys
from pathlib import Path

from gameday.cli.environment import resolve_environment
from gameday.cli.load import ActivityCheck, SessionSpec, load_session, print_mistakes
from gameday.cli.output import fail
from gameday.engine.preparation import SessionInput
from gameday.spec.location import SpecError
from gameday.spec.model import People
from gameday.spec.project import secret_values


def read_session(path: Path, environment: str | None, validate: ActivityCheck | None = None) -> SessionSpec:
    """Read everything that the path needs; mistakes end the program with status 2."""
    try:
        return load_session(path, environment, validate)
    except SpecError as error:
        print_mistakes(error)
        sys.exit(2)


def make_input(spec: SessionSpec, *, start_lab: bool) -> SessionInput:
    """The session as the engine takes it. Ends the program with status 3 when the lab cannot be had."""
    environment = resolve_environment(spec.environment, spec.project, start=start_lab)
    return SessionInput(
        kind="game-day" if spec.game_day else "experiment",
        title=spec.game_day.title if spec.game_day else spec.experiments[0].title,
        path=relative_to(spec.path, spec.project.root),
        project=spec.project,
        environment=environment,
        experiments=spec.experiments,
        people=spec.game_day.people if spec.game_day else People(),
        secrets=secret_values(spec.environment),
        by=user(),
        seed=int.from_bytes(os.urandom(4)) >> 1,
        contents=spec.contents,
    )


def relative_to(path: Path, root: Path) -> Path:
    """The path as a session has it: relative to the project's root, or its name where it lies elsewhere."""
    try:
        return path.resolve().relative_to(root.resolve())
    except ValueError:
        return Path(path.name)


def user() -> str:
    """Who is at the keyboard."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def project_root() -> Path:
    """The project that the current directory belongs to, or the directory itself."""
    from gameday.common.project import find_root

    return find_root(Path.cwd())


def ensure_path(path: Path) -> Path:
    """The path, when there is such a file; else the program ends with status 2."""
    if not path.exists():
        fail(f"there is no file {path}")
    return path
