"""Carries actions to a tracker: each becomes one issue and never two, whatever dies in between."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum

import msgspec

from gameday.delivery.base import Delivered, Issue, Tracker, TrackerError
from gameday.delivery.unsettled import Unsettled


class Deed(StrEnum):
    """What is done about an action, or its issue."""

    CREATE = "create"
    ADOPT = "adopt"  # it has an issue already, which is only to be linked
    CLOSE = "close"
    REOPEN = "reopen"
    LEAVE = "leave"  # its issue does not bear its mark any more


class Item(msgspec.Struct, frozen=True):
    """An action. `key`: of the issue that it is linked to in this tracker; `since`: the Unix time from which it is
    open, or closed; `why` it was closed, or opened anew."""

    issue: Issue
    key: str | None
    is_open: bool
    since: float
    why: str


class Step(msgspec.Struct, frozen=True):
    """One thing to do. `found`: the issue that is there; `others`: further ones of the same action, which nobody
    needs."""

    deed: Deed
    item: Item
    found: Delivered | None = None
    others: tuple[Delivered, ...] = ()


class Pushed(msgspec.Struct, frozen=True):
    """How many steps have been done; what has not, as ids of actions (none for the push as a whole) and why; and how
    many steps were not come to."""

    done: int = 0
    failures: tuple[tuple[str, str], ...] = ()
    untried: int = 0


def concerned(items: Sequence[Item], *, follow: bool) -> tuple[Item, ...]:
    """Those that the tracker has to be asked for. With `follow`, issues are closed and opened as their actions are."""
    return tuple(item for item in items if (item.is_open and item.key is None) or follow)


def plan(items: Sequence[Item], found: Mapping[str, tuple[Delivered, ...]], *, follow: bool) -> tuple[Step, ...]:
    """What is to be done about them, when these issues are found, by the ids of actions."""
    steps: list[Step] = []
    for item in concerned(items, follow=follow):
        there = found.get(item.issue.id, ())
        key = item.key.lower() if item.key else None
        issue = next((one for one in there if key in (None, one.key.lower())), None)
        if key is None and issue is not None:
            steps.append(Step(Deed.ADOPT, item, issue, there[1:]))
        elif key is None and item.is_open:
            steps.append(Step(Deed.CREATE, item))
        elif key is not None and issue is None and not item.is_open:
            steps.append(Step(Deed.LEAVE, item))
        if not follow or issue is None:
            continue
        if not item.is_open and issue.is_open:
            steps.append(Step(Deed.CLOSE, item, issue))
        elif item.is_open and not issue.is_open and (issue.closed_at or 0.0) < item.since:
            # One that somebody has closed since then stays closed: they know more than we do.
            steps.append(Step(Deed.REOPEN, item, issue))
    return tuple(steps)


async def look(tracker: Tracker, items: Sequence[Item], *, follow: bool) -> tuple[Step, ...]:
    """What would be done now. Changes nothing. Raises TrackerError."""
    ids = [item.issue.id for item in concerned(items, follow=follow)]
    return plan(items, await tracker.find_issues(ids) if ids else {}, follow=follow)


async def push(
    tracker: Tracker,
    items: Sequence[Item],
    unsettled: Unsettled,
    *,
    follow: bool,
    tell: Callable[[str], None],
    done: Callable[[Step, Delivered], None],
) -> Pushed:
    """Do it. `done` is called with each step that has been done, at once, to write it down and to say it. One push at a
    time: the caller holds a lock.

    Raises TrackerError when the tracker could not be asked what is there, and what `done` raises.
    """
    if (left_s := unsettled.left_s(tracker.lag_s)) > 0:
        tell(f"a push ended while it made an issue, which may not be found yet: waiting {left_s:.0f} s")
        await asyncio.sleep(left_s)
    steps = await look(tracker, items, follow=follow)
    unsettled.settle()
    failures: list[tuple[str, str]] = []
    created: list[tuple[Step, Delivered]] = []
    did = untried = 0
    for number, step in enumerate(steps, 1):
        try:
            delivered = await _do(tracker, step, unsettled)
            done(step, delivered)
            did += 1
            if step.deed is Deed.CREATE:
                unsettled.settle()
                created.append((step, delivered))
            if delivered.wanting:
                raise TrackerError(f"{delivered.key}: {delivered.wanting}", stops=True)
        except TrackerError as error:
            failures.append((step.item.issue.id, str(error)))
            if error.stops or error.uncertain:  # what is remembered on disk is one issue
                untried = len(steps) - number
                break
    else:
        failures += await _give_way(tracker, created, done)
    return Pushed(did, tuple(failures), untried)


async def _do(tracker: Tracker, step: Step, unsettled: Unsettled) -> Delivered:
    match step:
        case Step(Deed.CREATE):
            return await _create(tracker, step.item.issue, unsettled)
        case Step(Deed.CLOSE, found=Delivered(key)):
            await tracker.close_issue(key, step.item.why)
        case Step(Deed.REOPEN, found=Delivered(key)):
            await tracker.reopen_issue(key, step.item.why)
    return step.found or Delivered(step.item.key or "", "")


async def _create(tracker: Tracker, issue: Issue, unsettled: Unsettled) -> Delivered:
    unsettled.begin(time.time())
    try:
        return await tracker.create_issue(issue)
    except TrackerError as error:
        if not error.uncertain:
            unsettled.settle()
            raise
        # It may have been made. Where that cannot be seen, the next push looks, when it can be.
        found = None
        with contextlib.suppress(TrackerError):
            found = (await tracker.find_issues([issue.id])).get(issue.id)
        if found:
            return found[0]
        raise


async def _give_way(
    tracker: Tracker, created: Sequence[tuple[Step, Delivered]], done: Callable[[Step, Delivered], None]
) -> list[tuple[str, str]]:
    """Close those of ours that somebody on another machine has made as well, and before us."""
    failures = []
    try:
        found = await tracker.find_issues([step.item.issue.id for step, _ in created]) if created else {}
        for step, ours in created:
            first = next(iter(found.get(step.item.issue.id, ())), ours)
            if first.key != ours.key:
                await tracker.close_issue(ours.key, f"{first.key} is the same, and was there before")
                done(Step(Deed.ADOPT, step.item, first, (ours,)), first)
    except TrackerError as error:
        failures.append(("", f"whether another machine has made the same issues is not known: {error}"))
    return failures
