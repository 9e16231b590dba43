"""Where a project is: the directory that holds gameday.yaml."""

from pathlib import Path

from gameday.common.files import is_file

PROJECT_FILE = "gameday.yaml"


def find_root(start: Path | None = None) -> Path:
    """The nearest directory at or above `start` (default: the current one) with a gameday.yaml, else `start` itself.

    Absolute, with symbolic links resolved.
    """
    here = (start or Path.cwd()).resolve()
    return next((directory for directory in (here, *here.parents) if is_file(directory / PROJECT_FILE)), here)
