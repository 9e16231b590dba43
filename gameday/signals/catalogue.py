"""Finds the source that a configuration names, and plans what it will be asked."""

from collections.abc import Iterable

from gameday.common.texts import most_similar
from gameday.signals.base import Query, SignalError, SignalSource
from gameday.signals.platforms import load_platform
from gameday.spec.model import SignalId, SignalsConfig

GROUP = "gameday.signals"


def open_source(config: SignalsConfig) -> SignalSource:
    """The source that `config` names, found among the entry points `gameday.signals`; nothing is asked yet.

    Raises SignalError when there is no such source, or it cannot be loaded or used as configured.
    """
    from importlib.metadata import entry_points

    entries = {entry.name: entry for entry in entry_points(group=GROUP)}
    entry = entries.get(config.source)
    if entry is None:
        near = most_similar(config.source, entries)
        hint = f"; did you mean `{near}`?" if near else ""
        raise SignalError(f"there is no signal source `{config.source}`; there are {', '.join(sorted(entries))}{hint}")
    try:
        source: SignalSource = entry.load()(config)
    except SignalError:
        raise
    except Exception as error:  # a third party's module may raise anything
        raise SignalError(f"the signal source `{config.source}` ({entry.value}) cannot be opened: {error}") from error
    return source


def plan_queries(config: SignalsConfig, signals: Iterable[SignalId]) -> tuple[Query, ...]:
    """One query for each distinct signal, in the order in which they are first named.

    Raises SignalError when there is no such platform, or when it does not know a signal (naming those that it knows).
    """
    platform = load_platform(config.platform)
    return tuple(platform.query(signal, config) for signal in dict.fromkeys(signals))
