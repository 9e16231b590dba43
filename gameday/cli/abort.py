"""`gameday abort`: end a run from another terminal."""

import sys
import time

import click

from gameday.cli.left import say_what_is_left
from gameday.cli.output import fail, say
from gameday.cli.session import project_root, user


@click.command("abort")
@click.argument("run", required=False)
@click.option("--reason", default="", help="Why; it goes into the journal and the report.")
@click.option("--wait/--no-wait", default=True, help="Wait until everything is undone.")
@click.option("--timeout", default=120.0, show_default=True, help="Seconds to wait at most.")
def command(run: str | None, reason: str, wait: bool, timeout: float) -> None:
    """End RUN (default: the one that runs) and undo its faults. Exit 0 when all is undone, 3 when nothing runs."""
    from gameday.engine.runs import Message, MessageKind, RunError, all_runs, find_run

    root = project_root()
    try:
        if run:
            found = find_run(root, run)
        else:
            alive = [item for item in all_runs(root) if item.is_written()]
            if not alive:
                fail("nothing runs", 3)
            if len(alive) > 1:
                fail(f"several runs are alive, say which: {', '.join(item.name for item in alive)}")
            [found] = alive
    except RunError as error:
        fail(str(error))
    if not found.is_written():
        fail(f"{found.name} does not run", 3)
    found.send(Message(MessageKind.ABORT, user(), reason))
    say(f"asked {found.name} to end")
    if not wait:
        return
    deadline = time.monotonic() + timeout
    while found.is_written() or found.has_guardian():
        if time.monotonic() > deadline:
            fail(f"{found.name} has not ended within {timeout:g} s; see `gameday status`", 5)
        time.sleep(0.1)
    if say_what_is_left(found.directory):
        sys.exit(5)
    say("It has ended and everything is undone.")
