"""The golden signals: sources know how to ask, platforms know what to ask for."""

from gameday.signals.base import Query, SignalError, SignalSource
from gameday.signals.catalogue import open_source, plan_queries

__all__ = ["Query", "SignalError", "SignalSource", "open_source", "plan_queries"]
