"""Finds the source that a configuration names, and plans what it will be asked."""

from collections.abc import Iterable

from gameday.common.plugins import open_plugin
from gameday.signals.base import Query, SignalError, SignalSource
from gameday.signals.platforms import load_platform
from gameday.spec.model import SignalId, SignalsConfig

GROUP = "gameday.signals"


def open_source(config: SignalsConfig) -> SignalSource:
    """The source that `config` names, found among the entry points `gameday.signals`; nothing is asked yet.

    Raises SignalError when there is no such source, or it cannot be loaded or used as configured.
    """
    source: SignalSource = open_plugin(GROUP, config.source, "signal source", SignalError, config)
    return source


def plan_queries(config: SignalsConfig, signals: Iterable[SignalId]) -> tuple[Query, ...]:
    """One query for each distinct signal, in the order in which they are first named.

    Raises SignalError when there is no such platform, or when it does not know a signal (naming those that it knows).
    """
    platform = load_platform(config.platform)
    return tuple(platform.query(signal, config) for signal in dict.fromkeys(signals))
