"""The embedded environment: a small shop of real processes on loopback."""

from gameday.lab.base import LabError, LabInfo, LabStatus, PartStatus
from gameday.lab.lab import Lab

__all__ = ["Lab", "LabError", "LabInfo", "LabStatus", "PartStatus"]
