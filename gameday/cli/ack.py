"""`gameday ack`: somebody has taken on an alert, and when, for the report's time to acknowledge."""

from typing import TYPE_CHECKING

import click

from gameday.cli.output import fail, say
from gameday.cli.session import project_root, user

if TYPE_CHECKING:
    from gameday.engine.runs import Run


@click.command("ack")
@click.argument("alert")
@click.option("--run", help="Which run; default: the latest.")
@click.option("--author", help="Who has taken it on; default: who is logged in.")
def command(alert: str, run: str | None, author: str | None) -> None:
    """Acknowledge ALERT in a run that lives. Exit 2 when it knows no such alert, 3 when it has ended."""
    from gameday.common.texts import most_similar
    from gameday.engine.runs import Message, MessageKind, RunError, find_run
    from gameday.journal.log import JournalError

    try:
        found = find_run(project_root(), run)
        expected, seen = _alerts(found)
    except (RunError, JournalError) as error:
        fail(str(error))
    if not found.is_written():
        fail(f"{found.name} has ended; an alert is acknowledged in a run that lives", 3)
    known = expected | seen
    if alert not in known:
        near = most_similar(alert, known)
        hint = f"; did you mean `{near}`?" if near else ""
        fail(f"{found.name} neither expects an alert `{alert}` nor has seen one{hint}")
    found.send(Message(MessageKind.ACKNOWLEDGE, author or user(), alert, expected=alert in expected))
    unseen = "" if alert in seen else ", though it has not been seen to fire yet"
    say(f"acknowledged {alert} in {found.name}{unseen}")


def _alerts(run: "Run") -> tuple[set[str], set[str]]:
    """The names of those that are expected, and of those that were seen. Raises JournalError."""
    from gameday.journal.events import AlertObserved, SessionStarted
    from gameday.journal.log import read_events

    expected: set[str] = set()
    seen: set[str] = set()
    for event in read_events(run.journal):
        if isinstance(event, SessionStarted):
            expected |= {alert.name for info in event.experiments for alert in info.alerts}
        elif isinstance(event, AlertObserved):
            seen.add(event.name)
    return expected, seen
