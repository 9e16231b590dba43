"""Reads where a session is told of: Slack, and the other channels of an environment."""

import re
from pathlib import Path

from gameday.spec.model import ChannelConfig, SlackConfig
from gameday.spec.nodes import Node
from gameday.spec.reader import Fields
from gameday.spec.sources import read_url
from gameday.spec.units import UnitError, excerpt, parse_positive_duration
from gameday.spec.variables import VARIABLE

__all__ = ["ChannelConfig", "SlackConfig", "read_channels", "read_slack"]

WHAT = 'Slack, such as {channel: "#gameday", token: "${SLACK_BOT_TOKEN}"}'

_CHANNEL = re.compile(r"#?[^\s#@<>&]{1,80}")
_A_CHANNEL = 'a channel, such as "#gameday"'
_KNOWN = ("kind", "webhook", "secret", "quiet", "timeout")


def read_slack(environment: Fields, root: Path) -> SlackConfig | None:
    """`slack` of an environment; mistakes are noted. `root` is what paths in it are relative to."""
    slack = environment.mapping("slack", WHAT)
    if slack is None:
        return None
    default = SlackConfig()
    templates = slack.text("templates", "the path of a directory")
    read = SlackConfig(
        channel=slack.scalar("channel", _channel, _A_CHANNEL) or "",
        token=slack.text("token", "a bot token, such as ${SLACK_BOT_TOKEN}"),
        app_token=slack.text("app-token", "an app-level token, such as ${SLACK_APP_TOKEN}"),
        webhook=slack.scalar("webhook", read_url),
        url=_with_slash(slack.scalar("url", read_url) or default.url),
        quiet=slack.boolean("quiet"),
        allowed=tuple(text for text, _ in slack.texts("allowed", "a list of people")),
        people=_people(slack),
        templates=root / Path(templates).expanduser() if templates else None,
        timeout_s=slack.scalar("timeout", parse_positive_duration) or default.timeout_s,
    )
    if slack.has("webhook"):
        for key in ("token", "app-token"):
            if slack.has(key):
                slack.file.mistake(slack.key(key), f"`{key}` beside a `webhook`", "one of the two")
    else:
        slack.require("token", "a bot token, such as ${SLACK_BOT_TOKEN}, or a `webhook`")
        slack.require("channel", _A_CHANNEL)
    slack.close()
    return read


def _channel(text: str) -> str:
    if not VARIABLE.search(text) and not _CHANNEL.fullmatch(text):
        raise UnitError(excerpt(text), _A_CHANNEL)
    return text


def _with_slash(url: str) -> str:
    return url if url.endswith("/") else f"{url}/"


def _people(slack: Fields) -> tuple[tuple[str, str], ...]:
    people = slack.mapping("people", 'members of Slack by our handles, such as {"@ada": U024BE7LH}')
    if people is None:
        return ()
    read = [(name, people.parse(node, str, "the id of a member, such as U024BE7LH")) for name, _, node in people.rest()]
    return tuple((name, member) for name, member in read if member)


def read_channels(environment: Fields) -> tuple[ChannelConfig, ...]:
    """`channels` of an environment, further ones; mistakes are noted."""
    what = "a list of channels, such as [{kind: teams, webhook: …}]"
    read = [_read(environment, node) for node in environment.items("channels", what)]
    return tuple(channel for channel in read if channel)


def _read(environment: Fields, node: Node) -> ChannelConfig | None:
    fields = environment.as_mapping(node, "a channel, such as {kind: teams, webhook: …}")
    if fields is None:
        return None
    fields.require("kind", "the kind of a channel: webhook or teams")
    kind, default = fields.text("kind", "the kind of a channel, such as teams") or "", ChannelConfig("")
    if kind in ("webhook", "teams"):
        fields.require("webhook", "the URL that is posted to")
    read = ChannelConfig(
        kind=kind,
        webhook=fields.scalar("webhook", read_url),
        secret=fields.text("secret", "what requests are signed with, such as ${HOOK_SECRET}"),
        quiet=fields.boolean("quiet"),
        timeout_s=fields.scalar("timeout", parse_positive_duration) or default.timeout_s,
        # What a third party's channel wants besides is its own affair.
        options={} if kind in ("webhook", "teams") else {k: v for k, v in fields.json().items() if k not in _KNOWN},
    )
    fields.close(also=read.options)
    return read
