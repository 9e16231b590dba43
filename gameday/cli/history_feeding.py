"""What `gameday run` leaves to others at its end: to feed the store, and to write the page of all sessions anew."""

import re
import subprocess
from contextlib import suppress
from pathlib import Path

from gameday.common.processes import python_command
from gameday.common.project import PROJECT_FILE

_PAGE = "index.html"  # as gameday.report.index names it, which few runs need to import


def refresh_page(root: Path, reports: Path) -> None:
    """Have the page written anew where there is one, by a process that nobody waits for. Raises nothing: whatever
    becomes of it, `gameday history --html` does it again."""
    with suppress(OSError):
        if (reports / _PAGE).exists():
            _leave_to_another(root, "--html", "--reports", str(reports.absolute()))


def feed_store(root: Path) -> None:
    """Have the store catch up where gameday.yaml names one, by a process that nobody waits for. Raises nothing:
    whatever becomes of it, the next sync catches up."""
    with suppress(OSError):
        if names_store(root):
            _leave_to_another(root, "sync", "--quiet")


def names_store(root: Path) -> bool:
    """Whether gameday.yaml names a store."""
    with suppress(OSError):
        # To read it as YAML takes longer than to start a process that does.
        return bool(re.search(rb"^[\"']?history[\"']?\s*:", (root / PROJECT_FILE).read_bytes(), re.MULTILINE))
    return False


def _leave_to_another(root: Path, *arguments: str) -> None:
    """Raises OSError."""
    nothing = subprocess.DEVNULL
    program = python_command("gameday.cli.main", "history", *arguments)
    subprocess.Popen(program, cwd=root, stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True)
