"""A project: its services and where its actions are tracked, with its environments and runbooks."""

from pathlib import Path

import msgspec

from gameday.spec.model.environment import Credentials, Environment
from gameday.spec.model.game_day import Blackout, Runbook


class Service(msgspec.Struct, frozen=True):
    """A service of the project: who owns it, which runbooks and dashboards it has, what it depends on.

    A dashboard is named by its URL, its uid, or `tag:…`; `on_call` is what the environment's source calls its schedule.
    """

    name: str
    owner: str | None = None
    runbooks: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()
    dashboards: tuple[str, ...] = ()
    on_call: str | None = None


class TrackerConfig(msgspec.Struct, frozen=True):
    """Where action items are carried to. `repository` is GitHub's, `project` and `issue_type` are Jira's; `assignees`:
    owners of actions, and the accounts that they are in the tracker."""

    tracker: str
    url: str | None = None  # None: the tracker's usual one
    repository: str | None = None
    project: str | None = None
    issue_type: str = "Task"
    labels: tuple[str, ...] = ()
    assignees: tuple[tuple[str, str], ...] = ()
    timeout_s: float = 10.0
    credentials: Credentials = Credentials()
    secrets: tuple[str, ...] = ()  # values among all these that must never be shown

    def __repr__(self) -> str:  # without the secrets
        return f"TrackerConfig({self.tracker!r})"


class Project(msgspec.Struct, frozen=True):
    """gameday.yaml, with the runbooks found under `runbooks/` beside it."""

    path: Path  # of gameday.yaml
    name: str
    environments: tuple[Environment, ...]
    services: tuple[Service, ...]
    history: str
    runbooks: tuple[Runbook, ...] = ()
    stop_switch_file: Path | None = None  # where gameday.yaml says that it is
    rules: tuple[Path, ...] = ()  # files and directories with alerting rules
    groups: tuple[tuple[str, tuple[str, ...]], ...] = ()  # of people: names, without `@`, and members
    report_url: str | None = None  # where reports can be read by whoever is not at this machine; ends in a slash
    actions: TrackerConfig | None = None  # as it is written: `load_tracker` fills in its `${VARIABLES}`
    blackouts: tuple[Blackout, ...] = ()  # of every game day

    @property
    def root(self) -> Path:
        """The directory that holds gameday.yaml, and `.gameday/`."""
        return self.path.parent

    @property
    def stop_switch(self) -> Path:
        """The file that keeps runs from starting, and ends those that run, while it is there."""
        return self.stop_switch_file or self.root / ".gameday" / "stop"

    def environment(self, name: str) -> Environment | None:
        """The environment of that name, or None."""
        return next((environment for environment in self.environments if environment.name == name), None)

    def service(self, name: str) -> Service | None:
        """The service of that name, or None."""
        return next((service for service in self.services if service.name == name), None)

    def runbook(self, name: str) -> Runbook | None:
        """The runbook of that name, or None."""
        return next((runbook for runbook in self.runbooks if runbook.name == name), None)

    def group(self, handle: str) -> tuple[str, ...] | None:
        """The members of the group that a handle, with or without `@`, names, or None."""
        return next((members for name, members in self.groups if name == handle.removeprefix("@")), None)
