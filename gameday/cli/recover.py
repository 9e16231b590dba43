"""`gameday recover`: undo whatever a dead run left."""

import asyncio
import sys
from typing import TYPE_CHECKING

import click

from gameday.cli.afterwards import finish
from gameday.cli.left import say_what_is_left
from gameday.cli.output import fail, reason_of, say
from gameday.cli.session import project_root, user

if TYPE_CHECKING:
    from pathlib import Path

    from gameday.engine.runs import Run

_PATIENCE_S = 15.0  # a person waits for what is said in channels


@click.command("recover")
@click.argument("run", required=False)
@click.option(
    "--write-off",
    metavar="REASON",
    help="Undo nothing: you made sure that RUN, which may be of a machine that is gone, left nothing.",
)
@click.option("--env", "environment", help="From the marks in this environment's cluster alone, without a journal.")
def command(run: str | None, write_off: str | None, environment: str | None) -> None:
    """Undo what a dead RUN left (default: every run that left something). Harmless when there is nothing, and twice."""
    if environment:
        from gameday.cli.recover_cluster import recover_cluster

        if write_off is not None:
            fail("a write-off is for a run whose journal is here: leave out `--env`")
        recover_cluster(environment, run)
        return
    from gameday.engine.locks import LockHeldError
    from gameday.engine.recovery import recover
    from gameday.engine.runs import RunError, find_run, unfinished_runs
    from gameday.journal.events import By
    from gameday.journal.log import JournalError
    from gameday.notify.terminal import Terminal

    root = project_root()
    runs: tuple[Run, ...]
    try:
        runs = (find_run(root, run),) if run else tuple(found for found, _ in unfinished_runs(root))
    except RunError as error:
        if run and write_off is not None:
            _write_off_lost(root, run, write_off)
        fail(str(error))
    if not runs:
        say("Nothing to recover: no run left anything behind.")
        return
    if write_off is not None:
        _write_off(runs, write_off, named=run is not None)
        return
    left = False
    for found in runs:
        say(f"recovering {found.name}")
        try:
            terminal = Terminal(live=False, brief=True)
            before = found.state()
            for fault in before.faults.values():
                terminal.handle(fault)  # so that it knows them by name
            state = asyncio.run(recover(found, By.RECOVER, f"asked for by {user()}", sinks=[terminal]))
        except LockHeldError as error:
            fail(f"{error}: it is alive; end it with `gameday abort {found.name}`", 3)
        except (JournalError, OSError) as error:
            fail(reason_of(error), 5)
        left = say_what_is_left(found.directory) or left
        if state.is_clean:
            say("Nothing is left.")
        finish(found, patience_s=_PATIENCE_S if state.ended != before.ended else None)
    sys.exit(5 if left else 0)


def _write_off_lost(root: "Path", run: str, reason: str) -> None:
    """A run of a machine that is gone: what it holds over all machines is free again. Ends the program, unless it holds
    nothing."""
    from gameday.cli.shared_locks import free_lost
    from gameday.engine.locks import LockHeldError
    from gameday.spec.location import SpecError
    from gameday.spec.project import read_project

    if not reason.strip():
        fail("a write-off wants a reason")
    try:
        services = free_lost(read_project(root)[0], run)
    except LockHeldError as error:
        fail(f"{error}. It may live: it counts as lost when it has renewed nothing for ten minutes", 3)
    except (SpecError, OSError) as error:
        fail(f"what {run} holds cannot be told: {reason_of(error)}")
    if services:
        say(f"Written off by {user()}: {reason}. Free again: {', '.join(services)}.")
        sys.exit(0)


def _write_off(runs: "tuple[Run, ...]", reason: str, *, named: bool) -> None:
    from gameday.engine.locks import LockHeldError
    from gameday.engine.recovery import write_off
    from gameday.journal.log import JournalError

    if not named or not reason.strip():
        fail("a write-off wants the name of one run, and a reason")
    say_what_is_left(runs[0].directory)
    try:
        write_off(runs[0], user(), reason)
    except LockHeldError as error:
        fail(f"{error}: it is alive; end it with `gameday abort {runs[0].name}`", 3)
    except (JournalError, OSError) as error:
        fail(reason_of(error), 5)
    say(f"Written off by {user()}: {reason}")
    finish(runs[0], patience_s=None)
