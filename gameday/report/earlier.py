"""What earlier sessions had left to be done, as this one leaves it. Pure; no I/O."""

from enum import StrEnum

import msgspec

from gameday.journal.events import ActionRecalled, FindingKind
from gameday.people.actions import action_id
from gameday.report.views import ExperimentReport, Report, Status


class Standing(StrEnum):
    """What this session has to say of an action item."""

    FOUND_AGAIN = "found again"
    CLOSED = "closed"  # its experiment ran to its end and did not find it any more
    NOT_TESTED = "not tested"


class Earlier(msgspec.Struct, frozen=True):
    """One action item. `experiment`: the index of the one that found it, when it is one of this session's."""

    action: ActionRecalled
    standing: Standing
    experiment: int | None

    @property
    def is_regression(self) -> bool:
        """Whether it was mended before, and is there again."""
        return self.standing is Standing.FOUND_AGAIN and self.action.reopened > 0


def earlier_actions(report: Report) -> tuple[Earlier, ...]:
    """In the order in which they were recalled."""
    found = {one.action: one.experiment for one in report.findings if one.action}
    return tuple(_earlier(action, found, report) for action in report.recalled)


def owners(report: Report) -> dict[str, str]:
    """Whose the action items of this session's weaknesses are, by their ids: who has them already, else who should."""
    given = {action.action: action.owner for action in report.recalled}
    whose = {one.action: given.get(one.action) or one.owner for one in report.findings if one.action}
    return {action: owner for action, owner in whose.items() if owner}


def _earlier(action: ActionRecalled, found: dict[str, int], report: Report) -> Earlier:
    if action.action in found:
        return Earlier(action, Standing.FOUND_AGAIN, found[action.action])
    source = next((one for one in report.experiments if _is_of(action, one)), None)
    if source is None:
        return Earlier(action, Standing.NOT_TESTED, None)
    was_judged = source.status in (Status.HELD, Status.WEAKNESS)
    return Earlier(action, Standing.CLOSED if was_judged else Standing.NOT_TESTED, source.index)


def _is_of(action: ActionRecalled, experiment: ExperimentReport) -> bool:
    """Whether this experiment is the one that found it: an id is made of the file, the kind and the title."""
    return any(action_id(experiment.info.path, kind, action.title) == action.action for kind in FindingKind)
