"""How verbs speak: people's text on stderr, what a program asked for on stdout."""

import sys
from typing import NoReturn

import click


def say(text: str = "") -> None:
    """One line for people, on stderr. A terminal that is gone is no reason to fail."""
    try:
        click.echo(text, err=True)
    except OSError:
        return


def fail(message: str, status: int = 2) -> NoReturn:
    """Say what is wrong and end with this status."""
    say(click.style("error: ", fg="red", bold=True) + message)
    sys.exit(status)


def reason_of(error: BaseException) -> str:
    """What an error says. One of the system's: of which file, and without Python's own words."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"


def interrupted(verb: str | None) -> NoReturn:
    """End as Ctrl-C ends a verb. One that comes while a session lasts does not come here: the session hears it."""
    if verb == "run":
        fail("interrupted before the session began; nothing was injected", 3)
    fail("interrupted", 130)  # 128 and the signal's number, as a shell has it


def crash(error: BaseException) -> None:
    """Say that gameday itself failed, and keep the traceback in a file for whoever mends it."""
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile("w", prefix="gameday-crash-", suffix=".txt", delete=False) as file:
        traceback.print_exception(error, file=file)
    say(f"gameday failed: {type(error).__name__}: {error}")
    say(f"This is a mistake in gameday, not in your files. Details: {file.name}")
