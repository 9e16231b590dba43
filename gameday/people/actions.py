"""Action items: what is to be done about what sessions found, opened, closed and opened anew by what later ones find.

Pure; no I/O. Their log is the only truth, as a journal is of its run.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum

import msgspec

from gameday.journal.events import FindingKind, FindingRaised, Verdict

_FIGURE = re.compile(r"\d+(?:\.\d+)?")
_JUDGED = (Verdict.HELD, Verdict.WEAKNESS)  # verdicts of experiments that came to their end


class Change(StrEnum):
    """What has happened to an action."""

    OPENED = "opened"
    CLOSED = "closed"
    REOPENED = "reopened"
    ASSIGNED = "assigned"
    LINKED = "linked"  # it has been carried to a tracker
    LEARNED = "learned"  # another machine has said more of it


class Link(msgspec.Struct, frozen=True):
    """The issue that an action has become: `tracker` is "github" or "jira"."""

    tracker: str
    key: str
    url: str


class Content(msgspec.Struct, frozen=True):
    """What an action is about. `experiment` is the file of the one that found it, and `kind` what it found; neither is
    known of one that was added by hand."""

    title: str
    service: str | None = None
    detail: str = ""
    experiment: str | None = None
    kind: FindingKind | None = None


class Action(msgspec.Struct, frozen=True):
    """An action as it is now. `opened_by` is where it was first found; `reopened` how often it has come back."""

    id: str
    content: Content
    opened_at: float
    opened_by: str
    owner: str | None = None
    is_open: bool = True
    reopened: int = 0
    changed_at: float = 0.0
    closed_because: str = ""
    closed_at: float = 0.0
    closed_by: str = ""
    links: tuple[Link, ...] = ()


class ActionEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the log. `at`: Unix time; `by` is a person, or the session that did it."""

    at: float
    id: str
    change: Change
    by: str
    why: str = ""
    content: Content | None = None  # of one that is opened
    owner: str | None = None  # of one that is opened or assigned
    link: Link | None = None
    action: Action | None = None  # of one that is learned: as it is now


class Outcome(msgspec.Struct, frozen=True):
    """What one experiment of a session came to. `experiment` is its file, relative to the project."""

    experiment: str
    service: str | None
    verdict: Verdict
    findings: tuple[FindingRaised, ...]


def action_id(experiment: str, kind: FindingKind, title: str) -> str:
    """What a finding's action is known by: the same finding of the same experiment has the same, whatever figures are
    in its title."""
    text = "\0".join((experiment, kind, _FIGURE.sub("#", title)))
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def replay(events: Iterable[ActionEvent]) -> dict[str, Action]:
    """All actions, the first that was opened first. What is said of one that was never opened is passed over."""
    actions: dict[str, Action] = {}
    for event in events:
        action = actions.get(event.id)
        if event.change is Change.LEARNED:
            if event.action is not None and (action is None or event.action.changed_at >= action.changed_at):
                actions[event.id] = event.action
        elif action is None:
            if event.change is Change.OPENED and event.content is not None:
                actions[event.id] = Action(
                    event.id, event.content, event.at, event.by, event.owner, changed_at=event.at
                )
        else:
            actions[event.id] = msgspec.structs.replace(_changed(action, event), changed_at=event.at)
    return actions


def merge_action(ours: Action, theirs: Action, at: float) -> Action:
    """What two machines together know of one action: as the later of the two has it, with the links of both, for what
    has been carried to a tracker is never to be so twice. `at`: Unix time, when that is like neither of the two."""
    later, other = (ours, theirs) if ours.changed_at > theirs.changed_at else (theirs, ours)
    merged = msgspec.structs.replace(
        later,
        opened_at=min(ours.opened_at, theirs.opened_at),
        reopened=max(ours.reopened, theirs.reopened),
        links=tuple(dict.fromkeys((*later.links, *other.links))),
    )
    return merged if merged == later else msgspec.structs.replace(merged, changed_at=max(at, later.changed_at))


def _changed(action: Action, event: ActionEvent) -> Action:
    replace = msgspec.structs.replace
    match event.change:
        case Change.CLOSED:
            return replace(action, is_open=False, closed_because=event.why, closed_at=event.at, closed_by=event.by)
        case Change.REOPENED if not action.is_open:
            return replace(action, is_open=True, reopened=action.reopened + 1, closed_because="")
        case Change.ASSIGNED:
            return replace(action, owner=event.owner)
        case Change.LINKED if event.link is not None and event.link not in action.links:
            return replace(action, links=(*action.links, event.link))
        case _:
            return action


def changes_after(
    actions: Mapping[str, Action], session: str, outcomes: Sequence[Outcome], at: float
) -> tuple[ActionEvent, ...]:
    """What a session that has ended changes: each weakness opens an action, or opens it anew; one that an experiment
    has found and now, run to its end, does not find any more is closed. Asked again it changes nothing."""
    return tuple(_changes_after(actions, session, outcomes, at))


def _changes_after(
    actions: Mapping[str, Action], session: str, outcomes: Sequence[Outcome], at: float
) -> Iterator[ActionEvent]:
    seen: set[str] = set()
    for outcome in outcomes:
        for finding in outcome.findings:
            identity = action_id(outcome.experiment, finding.kind, finding.title)
            if not finding.weakness or identity in seen:
                continue
            seen.add(identity)
            action = actions.get(identity)
            if action is None:
                content = Content(finding.title, outcome.service, finding.detail, outcome.experiment, finding.kind)
                yield ActionEvent(at, identity, Change.OPENED, session, content=content, owner=finding.suggested_owner)
            elif not action.is_open:
                yield ActionEvent(at, identity, Change.REOPENED, session, "it was found again")
    judged = {outcome.experiment for outcome in outcomes if outcome.verdict in _JUDGED}
    for action in actions.values():
        is_of_these = action.content.experiment in judged and action.content.kind is not None
        if action.is_open and is_of_these and action.id not in seen:
            yield ActionEvent(at, action.id, Change.CLOSED, session, "it was not found any more")
