"""`gameday note`: what people see and think while a run lasts, with author and time."""

import click

from gameday.cli.output import fail, say
from gameday.cli.session import project_root, user

MAX_CHARACTERS = 4000


@click.command("note")
@click.argument("text", nargs=-1, required=True)
@click.option("--run", help="Which run; default: the latest.")
@click.option("--author", help="Who says it; default: who is logged in.")
def command(text: tuple[str, ...], run: str | None, author: str | None) -> None:
    """Add a note to a run that lives."""
    from gameday.engine.runs import Message, MessageKind, RunError, find_run

    try:
        found = find_run(project_root(), run)
    except RunError as error:
        fail(str(error))
    if not found.is_written():
        fail(f"{found.name} has ended; a note needs a run that lives", 3)
    words = " ".join(text)
    if len(words) > MAX_CHARACTERS:
        fail(f"the note has {len(words)} characters; at most {MAX_CHARACTERS} are taken")
    found.send(Message(MessageKind.NOTE, author or user(), words))
    say(f"noted in {found.name}")
