"""What is left to do once a dead run has been taken over: tell its channels, free its services, feed the store.

The guardian starts this as a process of its own when all is undone that could be; `gameday recover` does it itself.
"""

import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from gameday.cli.output import say
from gameday.common.processes import python_command

if TYPE_CHECKING:
    from gameday.engine.preparation import SessionInput
    from gameday.engine.runs import Run
    from gameday.spec.model import Project


_FREE_S = 30.0  # to free services
_PATIENCE_S = 120.0  # nobody waits: a channel that says "later" is asked later


def command_of(session: "SessionInput") -> tuple[str, ...]:
    """The command, for the guardian; none where there is nobody to tell and nothing to free."""
    from gameday.cli.history_feeding import names_store

    has_any = session.environment.slack or session.environment.channels or names_store(session.project.root)
    return python_command("gameday.cli.afterwards") if has_any else ()


def finish(run: "Run", *, patience_s: float | None) -> None:
    """Do all of it. Each channel has `patience_s` seconds; with None there is nothing that they have not been told.
    Raises nothing for what is wrong elsewhere."""
    from gameday.cli.history_feeding import feed_store
    from gameday.cli.shared_locks import free_services
    from gameday.common.waiting import within
    from gameday.journal.log import JournalError
    from gameday.spec.project import read_project

    root = run.directory.parents[2]
    project, _ = read_project(root)
    try:
        if run.state().is_clean:
            within(_FREE_S, partial(free_services, project, run.name, is_dead=True))
    except (OSError, JournalError) as error:
        _complain(error)
    if patience_s is not None:
        try:
            _tell(project, run, patience_s)
        except (OSError, JournalError) as error:
            _complain(error)
    feed_store(root)


def _tell(project: "Project", run: "Run", patience_s: float) -> None:
    """What the last of those who took over has done, where the session was spoken of. Raises OSError, JournalError."""
    from gameday.journal.events import GuardianStarted, SessionStarted
    from gameday.journal.log import read_events
    from gameday.notify.base import ChannelError
    from gameday.notify.channels import channel_sinks
    from gameday.notify.outbox import Pace
    from gameday.spec.location import SpecError
    from gameday.spec.project import load_environment

    events = tuple(read_events(run.journal))
    first = next((event for event in events if isinstance(event, SessionStarted)), None)
    taken = [number for number, event in enumerate(events) if isinstance(event, GuardianStarted)]
    if first is None or not taken:
        return
    try:
        environment = load_environment(project, first.environment)
    except SpecError as error:  # a variable is not set, say: nobody can be told
        _complain(error)
        return
    sinks = channel_sinks(environment, project.root, _complain, pace=Pace(flush_s=patience_s))
    for sink in sinks:
        say(f"telling {sink.name}")
        try:
            sink.resume(events[: taken[-1]])
            for event in events[taken[-1] :]:
                with suppress(ChannelError):  # it may have been told "later"; `close` says what was not said in the end
                    sink.handle(event)
            sink.close()
        except Exception as error:  # noqa: BLE001 - a third party's channel; the next one is to be told all the same
            _complain(error)
        finally:
            sink.end()


def _complain(error: object) -> None:
    say(f"perhaps not everybody knows what has become of it: {error}")


if __name__ == "__main__":
    from gameday.engine.runs import Run as _Run

    finish(_Run(Path(sys.argv[1])), patience_s=_PATIENCE_S)
