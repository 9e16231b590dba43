"""`gameday actions push`: action items become issues of the tracker that gameday.yaml names, and never two."""

import asyncio
import contextlib
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gameday.cli.output import fail, reason_of, say
from gameday.cli.session import project_root, user

if TYPE_CHECKING:
    from gameday.common.redact import Redactor
    from gameday.delivery import Delivered, Issue, Tracker
    from gameday.delivery.push import Item, Pushed, Step
    from gameday.people.actions import Action
    from gameday.spec.model import TrackerConfig

_WAIT_S = 60.0  # for another push of the same project


@click.command("push")
@click.argument("actions", nargs=-1, metavar="[ACTION]...")
@click.option("--dry-run", is_flag=True, help="Show what would be done, and change nothing.")
@click.option(
    "--close",
    "follow",
    is_flag=True,
    help="Also close the issues of actions that are closed, and reopen those of actions that have come back.",
)
def command(actions: tuple[str, ...], dry_run: bool, follow: bool) -> None:
    """Make an issue of each open ACTION (default: of all) that has none in the tracker of gameday.yaml.

    Each issue bears its action's mark, and is looked for before one is made: push again at will, from any machine.

    Exit 0 when all is done, 2 when the input is wrong, 3 when something could not be done; what was done is kept.
    """
    from gameday.delivery import TrackerError
    from gameday.engine.locks import FileLock, LockHeldError

    config = _config()
    lock = FileLock(_place() / "push.lock")
    try:
        if not dry_run:
            lock.acquire(user(), timeout_s=_WAIT_S)
        _push(config, actions, dry_run=dry_run, follow=follow)
    except LockHeldError as error:
        fail(f"another push, by {error.holder or 'somebody'}, has not ended within {_WAIT_S:.0f} s", 3)
    except TrackerError as error:
        fail(str(error), 3)
    except OSError as error:
        why = reason_of(error)
        fail(f"a push has to write below {_place()}: {why}; an issue that it has made is found by the next", 3)
    finally:
        lock.release()


def _config() -> "TrackerConfig":
    from gameday.cli.load import print_mistakes
    from gameday.spec.location import SpecError
    from gameday.spec.project import load_project, load_tracker

    try:
        config = load_tracker(load_project(Path.cwd()))
    except SpecError as error:
        print_mistakes(error)
        sys.exit(2)
    if config is None:
        fail(
            "gameday.yaml names no tracker; expected something like "
            'actions: {tracker: github, repository: acme/shop, token: "${GITHUB_TOKEN}"}'
        )
    return config


def _place() -> Path:
    return project_root() / ".gameday"


def _push(config: "TrackerConfig", names: Sequence[str], *, dry_run: bool, follow: bool) -> None:
    from gameday.cli.actions import find_action, read_log
    from gameday.common.redact import Redactor
    from gameday.delivery import TrackerError, open_tracker
    from gameday.delivery.push import look, push
    from gameday.delivery.unsettled import Unsettled

    try:
        tracker = open_tracker(config, say)
    except TrackerError as error:
        fail(str(error))
    known = read_log()  # with the lock held: another push may have written links meanwhile
    chosen = dict.fromkeys(find_action(known, name) for name in names) if names else known.values()
    redact = Redactor(config.secrets)
    items = [_item(action, config, tracker, redact) for action in chosen]
    unsettled = Unsettled(_place() / "push.unsettled")

    async def ask() -> None:
        try:
            if dry_run:
                _show(await look(tracker, items, follow=follow), config)
            else:
                _end(await push(tracker, items, unsettled, follow=follow, tell=say, done=_keep(config)))
        finally:
            await tracker.close()

    asyncio.run(ask())


def _item(action: "Action", config: "TrackerConfig", tracker: "Tracker", redact: "Redactor") -> "Item":
    from gameday.delivery.push import Item

    keys = [link.key for link in action.links if link.tracker == config.tracker and tracker.has(link.key)]
    # Whom one that never came back was given to later is no reason to reopen an issue that somebody has closed.
    since = action.changed_at if action.reopened or not action.is_open else action.opened_at
    why = "it was found again" if action.is_open else redact(action.closed_because)
    return Item(_issue(action, config, redact), keys[-1] if keys else None, action.is_open, since, why)


def _issue(action: "Action", config: "TrackerConfig", redact: "Redactor") -> "Issue":
    from gameday.delivery import Issue

    content = action.content
    opened = datetime.fromtimestamp(action.opened_at, UTC)
    facts = {
        "Service": content.service,
        "Experiment": content.experiment,
        "Finding": content.kind,
        "Found by the session" if content.experiment else "Added by": action.opened_by,
        "Opened": f"{opened:%Y-%m-%d %H:%M} UTC",
        "Came back": f"{action.reopened} ×" if action.reopened else None,
        "Suggested owner": action.owner,
    }
    service = f"{content.service}: " if content.service else ""
    return Issue(
        id=action.id,
        title=redact(f"{service}{content.title}"),
        detail=redact(content.detail),
        facts=tuple((name, redact(value)) for name, value in facts.items() if value),
        rerun=_rerun(content.experiment, action.opened_by) if content.experiment else "",
        assignee=dict(config.assignees).get(action.owner or ""),
    )


def _rerun(experiment: str, session: str) -> str:
    """The command that runs it again, where it ran when that is still known."""
    from gameday.engine.runs import RunError, find_run
    from gameday.journal.log import JournalError

    words = ["gameday", "run", experiment]
    with contextlib.suppress(RunError, JournalError):
        started = find_run(project_root(), session).state().session
        words += ["--env", started.environment] if started else []
    return shlex.join(words)


def _keep(config: "TrackerConfig") -> "Callable[[Step, Delivered], None]":
    """Writes down which issue an action has become, and says what has been done."""
    from gameday.delivery.push import Deed
    from gameday.people.action_log import change_actions
    from gameday.people.actions import ActionEvent, Change, Link

    said = {
        Deed.CREATE: "is now",
        Deed.ADOPT: "was there already:",
        Deed.CLOSE: "is closed in",
        Deed.REOPEN: "is opened anew in",
        Deed.LEAVE: "is closed, but nothing bears its mark any more: look yourself at",
    }

    def keep(step: "Step", delivered: "Delivered") -> None:
        identity = step.item.issue.id
        if step.deed in (Deed.CREATE, Deed.ADOPT):
            link = Link(config.tracker, delivered.key, delivered.url)
            linked = ActionEvent(time.time(), identity, Change.LINKED, user(), link=link)
            change_actions(project_root(), lambda _actions: [linked])
        say(f"{identity} {said[step.deed]} {delivered.key}  {delivered.url}".rstrip())
        if step.others:
            say(f"{'':8} and needs none of {', '.join(other.key for other in step.others)}")

    return keep


def _show(steps: "Sequence[Step]", config: "TrackerConfig") -> None:
    """What a push would do; what it would write is shown, for others will read it."""
    from gameday.delivery.push import Deed

    for step in steps:
        issue, key = step.item.issue, step.found.key if step.found else step.item.key
        if step.deed is not Deed.CREATE:
            say(f"would {step.deed} {key} for {issue.id} ({issue.title})")
            continue
        say(f"would create an issue in {config.repository or config.project or config.tracker} for {issue.id}")
        lines = [issue.title, *issue.detail.splitlines(), *(f"{name}: {value}" for name, value in issue.facts)]
        lines += [f"Rerun: {issue.rerun}"] if issue.rerun else []
        lines += [f"Assignee: {issue.assignee}"] if issue.assignee else []
        for line in lines:
            say(f"    {line}")
    if not steps:
        say("nothing would be done")


def _end(pushed: "Pushed") -> None:
    for identity, why in pushed.failures:
        say(click.style("error: ", fg="red", bold=True) + f"{identity or 'at the end'}: {why}")
    if pushed.untried:
        say(f"{pushed.untried} more not tried; push again when that is mended")
    if pushed.failures:
        sys.exit(3)
    if not pushed.done:
        say("nothing to do")
