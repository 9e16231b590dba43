"""`gameday actions`: what is to be done about what sessions found, and what has been done."""

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from gameday.cli.actions_push import command as push
from gameday.cli.output import fail, reason_of, say
from gameday.cli.session import project_root, user

if TYPE_CHECKING:
    from gameday.common.json import JsonObject
    from gameday.people.actions import Action, ActionEvent


@click.group("actions", invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """What is to be done about what sessions found; without a verb, list what is open.

    A weakness that a run finds opens an action; a later run of the same experiment that does not find it any more
    closes it.
    """
    if context.invoked_subcommand is None:
        context.invoke(list_)


@command.command("list")
@click.option("--all", "everything", is_flag=True, help="Closed ones, too.")
@click.option("--service", help="Of this service alone.")
@click.option("--owner", help="Of this owner alone.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def list_(
    everything: bool = False, service: str | None = None, owner: str | None = None, as_json: bool = False
) -> None:
    """Show actions, the oldest first."""
    shown = [
        action
        for action in read_log().values()
        if (everything or action.is_open)
        and (service is None or action.content.service == service)
        and (owner is None or action.owner == owner)
    ]
    if as_json:
        click.echo(json.dumps({"schema": 1, "actions": [_as_json(action) for action in shown]}, indent=2))
        return
    for action in shown:
        click.echo(_line(action))
        for link in action.links:
            click.echo(f"{'':10}{link.url}")
    if not shown:
        say("no action is open" if not everything else "there are no actions")


@command.command("add")
@click.argument("title", nargs=-1, required=True)
@click.option("--service", help="Of which service.")
@click.option("--owner", help="Who is to do it.")
@click.option("--author", help="Who adds it; default: who is logged in.")
def add(title: tuple[str, ...], service: str | None, owner: str | None, author: str | None) -> None:
    """Add what no experiment has found. It is closed by hand alone."""
    import os

    from gameday.people.actions import ActionEvent, Change, Content

    identity = os.urandom(4).hex()
    content = Content(" ".join(title), service)
    opened = ActionEvent(time.time(), identity, Change.OPENED, author or user(), content=content, owner=owner)
    _change(lambda _actions: [opened])
    say(f"opened {identity}")


@command.command("close")
@click.argument("action")
@click.argument("why", nargs=-1, required=True)
@click.option("--author", help="Who closes it; default: who is logged in.")
def close(action: str, why: tuple[str, ...], author: str | None) -> None:
    """Close ACTION (the beginning of its name is enough), and say why. A run that finds it again opens it anew."""
    from gameday.people.actions import ActionEvent, Change

    def change(actions: "dict[str, Action]") -> "list[ActionEvent]":
        found = find_action(actions, action)
        if not found.is_open:
            fail(f"{found.id} is closed already: {found.closed_because}", 3)
        return [ActionEvent(time.time(), found.id, Change.CLOSED, author or user(), " ".join(why))]

    say_changes(_change(change))


@command.command("assign")
@click.argument("action")
@click.argument("owner")
@click.option("--author", help="Who assigns it; default: who is logged in.")
def assign(action: str, owner: str, author: str | None) -> None:
    """Give ACTION to OWNER."""
    from gameday.people.actions import ActionEvent, Change

    def change(actions: "dict[str, Action]") -> "list[ActionEvent]":
        found = find_action(actions, action)
        return [ActionEvent(time.time(), found.id, Change.ASSIGNED, author or user(), owner=owner)]

    say(f"{_change(change)[0].id} is {owner}'s")


@command.command("update")
@click.argument("run", required=False)
def update(run: str | None) -> None:
    """Take in what RUN (default: the latest) has found; `gameday run` does that by itself."""
    from gameday.engine.runs import RunError, find_run
    from gameday.journal.log import JournalError
    from gameday.people.action_log import remember_session

    try:
        found = find_run(project_root(), run)
        changes = remember_session(project_root(), found.directory, time.time())
    except (RunError, JournalError, OSError) as error:
        fail(reason_of(error))
    if not changes:
        say("nothing has changed")
    say_changes(changes)


command.add_command(push)


def say_changes(events: "Sequence[ActionEvent]") -> None:
    """In one line, what has become of actions; nothing where nothing has."""
    counts = Counter(str(event.change) for event in events)
    if counts:
        said = ", ".join(f"{number} {change}" for change, number in counts.items())
        say(f"action items: {said} (`gameday actions`)")


def read_log() -> "dict[str, Action]":
    """All actions of the project, the oldest first. Ends the program when they cannot be read."""
    from gameday.people.action_log import read_actions

    try:
        return read_actions(project_root())
    except OSError as error:
        fail(f"the actions cannot be read: {reason_of(error)}")


def _change(change: "Callable[[dict[str, Action]], list[ActionEvent]]") -> "tuple[ActionEvent, ...]":
    from gameday.people.action_log import change_actions

    try:
        return change_actions(project_root(), change)
    except OSError as error:
        fail(f"the actions cannot be written: {reason_of(error)}", 3)


def find_action(actions: "dict[str, Action]", name: str) -> "Action":
    """The one whose name begins so. Ends the program when there is none, or more than one."""
    found = [action for action in actions.values() if action.id.startswith(name)]
    if len(found) != 1:
        known = ", ".join(action.id for action in (found or [one for one in actions.values() if one.is_open])[:10])
        what = "several actions begin with" if found else "there is no action"
        fail(f"{what} `{name}`; there are {known or 'none'}")
    return found[0]


def _line(action: "Action") -> str:
    day = datetime.fromtimestamp(action.opened_at, UTC).strftime("%Y-%m-%d")
    whose = f" [{action.owner}]" if action.owner else ""
    service = f"{action.content.service}: " if action.content.service else ""
    again = f", came back {action.reopened} ×" if action.reopened else ""
    closed = f", closed: {action.closed_because}" if not action.is_open else ""
    return f"{action.id}  {day}  {service}{action.content.title}{whose}{again}{closed}"


def _as_json(action: "Action") -> "JsonObject":
    return {
        "id": action.id,
        "title": action.content.title,
        "detail": action.content.detail,
        "service": action.content.service,
        "experiment": action.content.experiment,
        "kind": action.content.kind,
        "owner": action.owner,
        "open": action.is_open,
        "opened_at": action.opened_at,
        "opened_by": action.opened_by,
        "reopened": action.reopened,
        "closed_because": action.closed_because or None,
        "links": [{"tracker": link.tracker, "key": link.key, "url": link.url} for link in action.links],
    }
