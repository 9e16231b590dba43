"""What the lab tells its callers: where it answers, how its parts are, and why it failed."""

from dataclasses import dataclass
from pathlib import Path


class LabError(Exception):
    """The lab cannot be started or ended; the message says why and what to do, to a person."""


@dataclass(frozen=True, slots=True)
class LabInfo:
    """Where a running lab answers. All URLs are on 127.0.0.1, without a trailing slash."""

    prometheus_url: str
    alertmanager_url: str
    receiver_url: str  # GET /notifications: what Alertmanager sent
    shop_url: str  # the front door, which the load uses too
    envoy_admin: str
    inventory: Path


@dataclass(frozen=True, slots=True)
class PartStatus:
    """One process of the lab. `detail` says how it is, and when it is dead ends with the last lines of its log."""

    name: str
    alive: bool
    pid: int | None
    port: int | None
    detail: str


@dataclass(frozen=True, slots=True)
class LabStatus:
    """`running`: at least one process of the lab lives. Parts are listed when it was started and not taken down."""

    running: bool
    parts: tuple[PartStatus, ...]

    @property
    def healthy(self) -> bool:
        """Whether it runs and every part is alive."""
        return self.running and all(part.alive for part in self.parts)
