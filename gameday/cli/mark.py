"""`gameday mark`: how far people have come, for the report's times beside those of the machines."""

import click

from gameday.cli.output import fail, say
from gameday.cli.session import project_root, user

_MARKS = ("detected", "diagnosed", "mitigated", "all-clear")


@click.command("mark")
@click.argument("mark", type=click.Choice(_MARKS))
@click.argument("text", nargs=-1)
@click.option("--run", help="Which run; default: the latest.")
@click.option("--author", help="Who says it; default: who is logged in.")
def command(mark: str, text: tuple[str, ...], run: str | None, author: str | None) -> None:
    """Say how far you have come in a run that lives: detected, diagnosed, mitigated, or all clear; TEXT says by what.

    Whoever responds says it, as in an incident: the report sets it beside what the alerts did.
    """
    from gameday.cli.note import MAX_CHARACTERS
    from gameday.engine.runs import Message, MessageKind, RunError, find_run
    from gameday.journal.events import Mark

    try:
        found = find_run(project_root(), run)
    except RunError as error:
        fail(str(error))
    if not found.is_written():
        fail(f"{found.name} has ended; a mark needs a run that lives", 3)
    words = " ".join(text)
    if len(words) > MAX_CHARACTERS:
        fail(f"the text has {len(words)} characters; at most {MAX_CHARACTERS} are taken")
    found.send(Message(MessageKind.MARK, author or user(), words, mark=Mark(mark)))
    say(f"{mark} in {found.name}")
