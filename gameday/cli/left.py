"""Says what a run has left behind and how to remove it by hand; the last lines that a person reads."""

from itertools import zip_longest
from pathlib import Path

import click

from gameday.cli.output import say
from gameday.engine.runs import Run
from gameday.journal.log import JournalError


def say_what_is_left(directory: Path) -> bool:
    """Whether something is left; then it is said, fault by fault."""
    run = Run(directory)
    try:
        state = run.state()
    except JournalError as error:
        say(str(error))
        return True
    if state.is_clean:
        return False
    say(click.style("LEFT BEHIND, and how to remove it by hand:", fg="red", bold=True))
    for fault_id, fault in state.faults.items():
        say(f"  {fault.description or fault.fault}")
        failed = state.undo_failed.get(fault_id)
        for what in failed.left if failed else ():
            say(f"    still so: {what}")
        say(f"    by hand:  {fault.by_hand}")
    for experiment, armed in state.rollbacks.items():
        experiments = state.session.experiments if state.session else ()
        title = experiments[experiment].title if experiment in range(len(experiments)) else str(experiment)
        tried = state.rollbacks_failed.get(experiment)
        say(f"  rollbacks of “{title}” that {'have not run' if tried is None else 'failed'}:")
        for name, command in zip_longest(armed.activities, armed.by_hand, fillvalue=""):
            if tried is None or name in tried:
                say(f"    {name}")
                say(f"      by hand:  {command or 'see the experiment'}")
    say(f"Try again with `gameday recover {run.name}`. If what it was in no longer exists: `--write-off REASON`.")
    return True
