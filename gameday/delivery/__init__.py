"""Carries action items to the tracker in which a team keeps its work: GitHub's issues, or Jira's."""

from collections.abc import Callable

from gameday.common.plugins import open_plugin
from gameday.delivery.base import Delivered, Issue, Tracker, TrackerError
from gameday.spec.model import TrackerConfig

__all__ = ["Delivered", "Issue", "Tracker", "TrackerError", "open_tracker"]

GROUP = "gameday.trackers"


def open_tracker(config: TrackerConfig, tell: Callable[[str], None]) -> Tracker:
    """The tracker that is configured (entry points `gameday.trackers`).

    It is given its configuration, and what to tell people with when it has to wait. Nothing is asked yet. Raises
    TrackerError.
    """
    tracker: Tracker = open_plugin(GROUP, config.tracker, "tracker", TrackerError, config, tell)
    return tracker
