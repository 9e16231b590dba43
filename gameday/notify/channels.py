"""The channels of an environment, as sinks of a session."""

from collections import deque
from collections.abc import Callable
from pathlib import Path

from gameday.common.plugins import open_plugin
from gameday.notify.base import Channel, ChannelError
from gameday.notify.outbox import Pace
from gameday.notify.sink import MOST_FAILURES, ChannelSink
from gameday.spec.model import ChannelConfig, Environment

GROUP = "gameday.channels"


def channel_sinks(
    environment: Environment,
    root: Path,
    failed: Callable[[str], None],
    *,
    pace: Pace = Pace(),  # noqa: B008 - frozen
) -> tuple[ChannelSink, ...]:
    """One for each channel. `root`: the project's. `failed` is told what cannot be used; the others do without it."""
    sinks = []
    if environment.slack is not None:
        from gameday.notify.slack.channel import open_slack

        failures: deque[str] = deque(maxlen=MOST_FAILURES)
        slack = open_slack(environment.slack, failures.append)
        sinks.append(ChannelSink(slack, root, quiet=environment.slack.quiet, pace=pace, failures=failures))
    for config in environment.channels:
        try:
            sinks.append(ChannelSink(_open(config), root, quiet=config.quiet, pace=pace))
        except ChannelError as error:
            failed(str(error))
    return tuple(sinks)


def _open(config: ChannelConfig) -> Channel:
    """Raises ChannelError."""
    channel: Channel = open_plugin(GROUP, config.kind, "kind of channel", ChannelError, config)
    return channel
