"""Who would be paged: by PagerDuty's or Opsgenie's schedules, or by a file."""

from gameday.common.plugins import open_plugin
from gameday.coverage.on_call.base import Acknowledgement, Acknowledging, OnCallError, OnCallSource
from gameday.spec.model import Environment, OnCallConfig, Project

__all__ = ["Acknowledgement", "Acknowledging", "OnCallError", "OnCallSource", "open_on_call", "schedule_of"]

GROUP = "gameday.on-call"


def open_on_call(environment: Environment) -> OnCallSource | None:
    """The source that the environment names (entry points `gameday.on-call`), or None when it names none.

    It is given its configuration. Nothing is asked yet. Raises OnCallError.
    """
    config = environment.on_call
    if config is None:
        return None
    source: OnCallSource = open_plugin(GROUP, config.source, "source of on-call", OnCallError, config)
    return source


def schedule_of(service: str | None, project: Project, config: OnCallConfig) -> str | None:
    """What the source calls the schedule of this service: as the service says, else as the environment does."""
    known = project.service(service) if service else None
    return (known.on_call if known else None) or config.schedule
