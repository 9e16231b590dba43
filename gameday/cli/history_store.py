"""`gameday history sync` and `rebuild`: the store is fed from the journals."""

from typing import TYPE_CHECKING

import click

from gameday.cli.history_keeping import export_command, forget_command, prune_command
from gameday.cli.history_opening import open_named, store_errors
from gameday.cli.output import say
from gameday.common.project import find_root

if TYPE_CHECKING:
    from gameday.history.feed import Fed
    from gameday.history.store import Store


@click.command("sync")
@click.option("--quiet", is_flag=True, help="Say nothing.")
def sync_command(quiet: bool) -> None:
    """Feed the store that gameday.yaml names with what is new in the journals of this machine."""
    from gameday.cli.history_reader import PastReader
    from gameday.history.feed import sync

    with store_errors():
        store = open_named(find_root())
        fed = sync(store, PastReader())
    if not quiet:
        _say_fed(store, fed)


@click.command("rebuild")
@click.option("--drop", is_flag=True, help="Drop sessions too whose journals are not on this machine.")
def rebuild_command(drop: bool) -> None:
    """Read every journal of this machine anew: what the store said of them is thrown away before.

    What was pruned comes back. Sessions of other machines stay, unless --drop; theirs come back by a rebuild there.
    """
    from gameday.cli.history_reader import PastReader
    from gameday.history.feed import rebuild
    from gameday.report.format import plural

    with store_errors():
        store = open_named(find_root())
        fed, kept = rebuild(store, PastReader(), drop=drop)
    _say_fed(store, fed)
    if kept:
        say(f"{plural(kept, 'session')} stayed, for the journals are not here; --drop removes them.")


def _say_fed(store: "Store", fed: "Fed") -> None:
    from gameday.report.format import clean, plural

    new = f"{plural(fed.sessions, 'session')} of {fed.runs} had something new"
    say(f"{store.where}: {new}, {plural(fed.events, 'event')}")
    if fed.unread:
        names = clean(", ".join(fed.unread[:5]))
        say(f"{plural(len(fed.unread), 'run')} left out, for their journals cannot be read: {names}")


COMMANDS = (sync_command, rebuild_command, export_command, prune_command, forget_command)
