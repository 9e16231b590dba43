"""Dashboards: are they there, do they show anything, and did they show what was broken?"""

from gameday.common.plugins import open_plugin
from gameday.coverage.dashboards.base import (
    Annotation,
    Annotator,
    DashboardError,
    DashboardSource,
    Moment,
    Named,
    Window,
)
from gameday.spec.model import Environment

__all__ = [
    "Annotation",
    "Annotator",
    "DashboardError",
    "DashboardSource",
    "Moment",
    "Named",
    "Window",
    "open_dashboards",
]

GROUP = "gameday.dashboards"


def open_dashboards(environment: Environment) -> DashboardSource | None:
    """The source that the environment names (entry points `gameday.dashboards`), or None when it names none.

    It is given its configuration. Nothing is asked yet. Raises DashboardError.
    """
    config = environment.dashboards
    if config is None:
        return None
    source: DashboardSource = open_plugin(GROUP, config.source, "source of dashboards", DashboardError, config)
    return source
