"""`gameday history export`, `prune` and `forget`: what goes out of the store, and what goes from it."""

import re
import time
from pathlib import Path

import click

from gameday.cli.history_opening import open_named, open_past, store_errors
from gameday.cli.output import fail, reason_of, say
from gameday.common.project import find_root

_SHOWN = 20
_DAYS = re.compile(r"([1-9]\d{0,4})d", re.ASCII)


@click.command("export")
@click.option("--format", "form", type=click.Choice(("jsonl", "parquet")), default="jsonl", show_default=True)
@click.option("--since", help="Sessions of the last so many days, say: 30d.")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The file.")
def export_command(form: str, since: str | None, output: Path) -> None:
    """Write every experiment of every session, one row each, the oldest first.

    From the store that gameday.yaml names; without one, from the journals here.
    """
    from gameday.cli.history_export import ExportError, write_jsonl, write_parquet
    from gameday.report.format import plural

    root, begin = find_root(), _begin("--since", since)
    try:
        with store_errors():
            past = open_past(root)
            rows = (write_parquet if form == "parquet" else write_jsonl)(past.every(begin), output)
    except ExportError as error:
        fail(str(error))
    except OSError as error:
        fail(f"{output} cannot be written: {error.strerror or error}")
    say(f"{output}: {plural(rows, 'row')}")


@click.command("prune")
@click.option("--older-than", required=True, help="Sessions that began before that, say: 365d.")
@click.option("--yes", is_flag=True, help="Remove them; without it, it is only shown what would go.")
def prune_command(older_than: str, yes: bool) -> None:
    """Remove old sessions and closed actions from the store.

    Never a session that has not ended, one that has found what is still open, or an open action. Journals stay, and no
    sync brings back what was pruned; `gameday history rebuild` does.
    """
    from gameday.history.prune import find_old, prune
    from gameday.report.format import clean, moment, plural

    before = _begin("--older-than", older_than)
    assert before is not None
    with store_errors():
        store = open_named(find_root())
        old = prune(store, before) if yes else find_old(store, before)
    if not yes:
        for name, title, started in old.sessions[:_SHOWN]:
            click.echo(f"  {moment(started):%Y-%m-%d}  {clean(name, 100)}  {clean(title, 60)}")
        for action, title in old.actions[:_SHOWN]:
            click.echo(f"  action {clean(action, 20)}  {clean(title, 80)}")
        more = max(0, len(old.sessions) - _SHOWN) + max(0, len(old.actions) - _SHOWN)
        if more:
            click.echo(f"  … and {more} more")
    found = f"{plural(len(old.sessions), 'session')} and {plural(len(old.actions), 'closed action')}"
    say(f"{found} removed from {store.where}" if yes else f"{found} would go; --yes removes them")
    if old.kept:
        say(f"{plural(old.kept, 'session')} as old stay: not ended, or what they found is still open")


@click.command("forget")
@click.argument("person")
@click.option("--yes", is_flag=True, help="Do it; without it, it is only shown where the name is.")
def forget_command(person: str, yes: bool) -> None:
    """Put a pseudonym in the place of a person's name or handle: in the store, the log of actions, predictions, and the
    journals and signatures of runs on this machine that have ended.

    The pseudonym is the same each time. Signatures under journals that change are void afterwards.
    """
    from gameday.cli.history_reader import PastReader
    from gameday.history.feed import sync
    from gameday.history.forget import forget, look_up
    from gameday.report.format import clean, plural

    if not person.strip().removeprefix("@"):
        fail("found no name, expected a person's name or handle")
    root = find_root()
    try:
        with store_errors():
            store = open_named(root)
            found = (forget if yes else look_up)(store, person)
            if yes:
                sync(store, PastReader())
    except OSError as error:
        fail(f"not all is done, a second time goes on: {reason_of(error)}")
    where = f"{plural(found.rows, 'row')} of the store, {plural(found.actions, 'line')} of the log of actions"
    waiting = f", {plural(found.predictions, 'waiting prediction')}" if found.predictions else ""
    say(f"{clean(person, 100)} is in {where}{waiting} and the journals of {plural(len(found.runs), 'run')}")
    if found.voided:
        verb = "are" if yes else "would be"
        say(f"{plural(found.voided, 'signature')} {verb} void: the journals are not what was signed any more")
    if found.kept:
        say(f"not in {clean(', '.join(found.kept[:5]))}: the run has not ended, or is being written; do it again then")
    if yes:
        say(f"replaced by {found.alias}. Reports and logs that were written before still have the name;")
        say("`gameday report RUN` writes a report anew. Consents, game days, runbooks, gameday.yaml are yours.")
    else:
        say(f"--yes replaces it by {found.alias}")


def _begin(option: str, text: str | None) -> float | None:
    """So long ago, as Unix time."""
    from gameday.spec.units import UnitError, parse_positive_duration

    if text and (days := _DAYS.fullmatch(text.strip())):  # a duration ends at a year, and this may be more
        return time.time() - int(days[1]) * 86400.0
    try:
        return time.time() - parse_positive_duration(text) if text else None
    except UnitError as error:
        fail(f"{option}: found {error.found}, expected {error.expected}")
