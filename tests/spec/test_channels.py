"""Slack and other channels in gameday.yaml: what they mean, and every mistake with its place."""

from pathlib import Path

import pytest

from gameday.spec.location import SpecError
from gameday.spec.model import Environment
from gameday.spec.project import load_project


def environment_of(root: Path, text: str) -> Environment:
    (root / "gameday.yaml").write_text(f"environments:\n  e:\n    kind: lab\n    {text}\n")
    return load_project(root).environments[0]


def test_slack(tmp_path: Path) -> None:
    text = (
        'slack: {channel: C024BE91L, token: xoxb-1, app-token: xapp-1, url: "https://slack-gov.com/api", quiet: true, '
        'allowed: ["@ada"], people: {"@ada": U024BE7LH}, templates: chat, timeout: 3s}'
    )
    slack = environment_of(tmp_path, text).slack
    assert slack
    assert (slack.channel, slack.token, slack.app_token, slack.quiet) == ("C024BE91L", "xoxb-1", "xapp-1", True)
    assert (slack.url, slack.timeout_s) == ("https://slack-gov.com/api/", 3.0)
    assert (slack.allowed, slack.people) == (("@ada",), (("@ada", "U024BE7LH"),))
    assert slack.templates == tmp_path / "chat"


def test_further_channels(tmp_path: Path) -> None:
    text = 'channels: [{kind: webhook, webhook: "https://a", secret: s, quiet: true}, {kind: irc, server: irc.example}]'
    webhook, irc = environment_of(tmp_path, text).channels
    assert (webhook.kind, webhook.webhook, webhook.secret, webhook.quiet) == ("webhook", "https://a", "s", True)
    assert (irc.kind, irc.options) == ("irc", {"server": "irc.example"})


@pytest.mark.parametrize(
    ("text", "place", "found", "expected"),
    [
        ("slack: {channel: a}", "4:12", "without `token`", "or a `webhook`"),
        ("slack: {token: a}", "4:12", "without `channel`", "#gameday"),
        ("slack: {channel: 'a b', token: x}", "4:22", "`a b`", "#gameday"),
        ("slack: {webhook: https://a, token: x}", "4:33", "`token` beside a `webhook`", "one of the two"),
        ("slack: {channel: a, token: x, apptoken: y}", "4:35", "`apptoken`", "a key of Slack"),
        ("channels: [{kind: teams}]", "4:16", "without `webhook`", "the URL"),
        ("channels: [{webhook: https://a}]", "4:16", "without `kind`", "webhook or teams"),
        ("channels: [{kind: teams, webhook: https://a, sceret: x}]", "4:50", "`sceret`", "a key of a channel"),
        ("channels: [teams]", "4:16", "`teams`", "a mapping"),
    ],
)
def test_mistakes(tmp_path: Path, text: str, place: str, found: str, expected: str) -> None:
    with pytest.raises(SpecError) as raised:
        environment_of(tmp_path, text)
    (mistake,) = raised.value.mistakes
    assert str(mistake.location).endswith(f"gameday.yaml:{place}"), mistake
    assert found in mistake.found
    assert expected in mistake.expected
