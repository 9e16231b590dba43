"""What was there before a session and belongs into its journal: action items, and predictions that were made."""

from collections.abc import Callable, Iterator, Sequence

from gameday.engine.context import PreparedExperiment
from gameday.engine.info import path_in
from gameday.engine.predictions import waiting_predictions
from gameday.journal.events import ActionRecalled, ActionWasClosed, PredictionMade
from gameday.people.action_log import read_actions
from gameday.spec.model import Project


def open_actions(
    project: Project, experiments: Sequence[PreparedExperiment], now: Callable[[], float]
) -> Iterator[ActionRecalled]:
    """What earlier sessions of the experiments' services have left to be done."""
    services = {item.experiment.service for item in experiments}
    try:
        actions = read_actions(project.root).values()
    except OSError:  # they are for people to read: no reason not to begin
        return
    for action in actions:
        if action.is_open and action.content.service and action.content.service in services:
            yield ActionRecalled(
                at=now(),
                action=action.id,
                title=action.content.title,
                service=action.content.service,
                opened_at=action.opened_at,
                opened_by=action.opened_by,
                owner=action.owner,
                reopened=action.reopened,
                links=tuple(link.url for link in action.links),
            )


def closed_actions(
    project: Project, experiments: Sequence[PreparedExperiment], now: Callable[[], float]
) -> Iterator[ActionWasClosed]:
    """What the experiments have found in earlier sessions and has been closed since: it may be found again."""
    paths = {path_in(item.experiment, project) for item in experiments}
    try:
        actions = read_actions(project.root).values()
    except OSError:
        return
    for action in actions:
        if not action.is_open and action.content.kind is not None and action.content.experiment in paths:
            yield ActionWasClosed(
                at=now(),
                action=action.id,
                title=action.content.title,
                opened_at=action.opened_at,
                closed_at=action.closed_at,
                closed_by=action.closed_by,
                owner=action.owner,
            )


def earlier_predictions(
    project: Project, item: PreparedExperiment, now: Callable[[], float]
) -> Iterator[PredictionMade]:
    """What was said of the experiment before its session."""
    for waiting in waiting_predictions(project.root, path_in(item.experiment, project)):
        yield PredictionMade(
            at=now(),
            author=waiting.author,
            experiment=item.index,
            prediction=waiting.prediction,
            role=waiting.role,
        )
