"""`gameday recover`: undo whatever a dead run left."""

import asyncio
import sys

import click

from gameday.cli.left import say_what_is_left
from gameday.cli.output import fail, say
from gameday.cli.session import project_root, user


@click.command("recover")
@click.argument("run", required=False)
def command(run: str | None) -> None:
    """Undo what a dead RUN left (default: every run that left something). Harmless when there is nothing, and twice."""
    from gameday.engine.locks import LockHeldError
    from gameday.engine.recovery import recover
    from gameday.engine.runs import Run, RunError, find_run, unfinished_runs
    from gameday.engine.workers import WorkersError
    from gameday.journal.events import By
    from gameday.journal.log import JournalError
    from gameday.notify.terminal import Terminal

    root = project_root()
    runs: tuple[Run, ...]
    try:
        runs = (find_run(root, run),) if run else tuple(found for found, _ in unfinished_runs(root))
    except RunError as error:
        fail(str(error))
    if not runs:
        say("Nothing to recover: no run left anything behind.")
        return
    left = False
    for found in runs:
        say(f"recovering {found.name}")
        try:
            state = asyncio.run(
                recover(found, By.RECOVER, f"asked for by {user()}", sinks=[Terminal(live=False, brief=True)])
            )
        except LockHeldError as error:
            fail(f"{error}: it is alive; end it with `gameday abort {found.name}`", 3)
        except (JournalError, WorkersError, OSError) as error:
            fail(str(error), 5)
        left = say_what_is_left(found.directory) or left
        if state.is_clean:
            say("Nothing is left.")
    sys.exit(5 if left else 0)
