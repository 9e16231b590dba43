"""`gameday slack test`: what works and what is missing, by the real slack-sdk against the stand-in for Slack."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from gameday.cli.verbs import cli
from gameday.notify.slack.listener import PREDICT

sys.path.insert(0, str(Path(__file__).parent.parent / "notify"))
from slack_server import SlackServer, Trouble

ALL = {
    "chat:write",
    "files:write",
    "channels:history",
    "reactions:read",
    "commands",
    "users:read",
    "users:read.email",
}
WITH_ALL = 'channel: "#gameday", token: "${SLACK_TOKEN}", app-token: "${SLACK_APP_TOKEN}"'
TOKEN, APP_TOKEN = "xoxb-of-ours-1", "xapp-1-of-ours-1"


def ask(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    slack: SlackServer,
    keys: str = WITH_ALL,
    *words: str,
    timeout: str = "5s",
) -> Result:
    """`gameday slack test` in a project whose environment has these keys under `slack`."""
    under = f'    slack: {{{keys}, url: "{slack.api}", timeout: {timeout}}}\n' if keys else ""
    (tmp_path / "gameday.yaml").write_text(
        "environments:\n"
        "  staging:\n"
        '    signals: {source: prometheus, url: "http://127.0.0.1:1", platform: istio}\n' + under
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SLACK_TOKEN", TOKEN)
    monkeypatch.setenv("SLACK_APP_TOKEN", APP_TOKEN)
    result = CliRunner().invoke(cli, ["slack", "test", "--env", "staging", *words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    for secret in (TOKEN, APP_TOKEN, "B0HOOK"):
        assert secret not in result.output + "".join(one.text for one in slack.messages)
    return result


def test_all_is_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with SlackServer(scopes=set(ALL)) as slack:
        result = ask(tmp_path, monkeypatch, slack)
        assert result.exit_code == 0
        (line,) = result.stderr.splitlines()
        assert line == (
            "Slack works: token ok (@gameday in Shop); scopes ok (chat:write, files:write, channels:history, "
            "reactions:read, commands, users:read); Socket Mode ok (connected); channel ok (#gameday)"
        )
        (message,) = slack.messages
        assert message.text.startswith("`gameday slack test`: this channel can be told. Slack works: token ok")
        assert slack.socket.connections == []


@pytest.mark.parametrize(
    ("change", "check", "said"),
    [
        (lambda slack: setattr(slack, "token_error", "token_revoked"), "token", "token_revoked: install the app again"),
        (
            lambda slack: setattr(slack, "token", "xoxb-another"),
            "token",
            "invalid_auth: it is the Bot User OAuth Token",
        ),
        (
            lambda slack: slack.scopes.remove("reactions:read"),
            "scopes",
            "reactions:read (reactions become marks with it); add it in the app's OAuth & Permissions",
        ),
        (
            lambda slack: slack.scopes.remove("chat:write"),
            "channel",
            "#gameday: the scope chat:write is missing: add it",
        ),
        (
            lambda slack: setattr(slack.channels["C0GAMEDAY"], "is_member", False),
            "channel",
            "not_in_channel: the app is not in it: /invite it there",
        ),
        (lambda slack: slack.channels.clear(), "channel", "channel_not_found: there is no such channel"),
        (
            lambda slack: setattr(slack.channels["C0GAMEDAY"], "is_archived", True),
            "channel",
            "is_archived: it is archived",
        ),
        (
            lambda slack: slack.app_scopes.clear(),
            "Socket Mode",
            "the scope connections:write is missing: it is an App-",
        ),
        (lambda slack: setattr(slack, "app_token", "xapp-2"), "Socket Mode", "invalid_auth: it is an App-Level Token"),
        (lambda slack: setattr(slack.socket, "refusals", 99), "Socket Mode", "no answer in time; is it switched on"),
        (
            lambda slack: setattr(slack.socket, "says_hello", False),
            "Socket Mode",
            "no answer in time; is it switched on",
        ),
        (lambda slack: slack.befall("auth.test", Trouble(never=True)), "token", "no answer in time"),
        (lambda slack: slack.befall("chat.*", Trouble(status=502)), "channel", "#gameday: HTTP 502"),
        (
            lambda slack: slack.befall("chat.*", Trouble(cut=True)),
            "channel",
            "it cannot be reached (ServerDisconnected",
        ),
    ],
)
def test_what_is_missing_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[SlackServer], object],
    check: str,
    said: str,
):
    with SlackServer(scopes=set(ALL)) as slack:
        change(slack)
        timeout = "300ms" if said.startswith("no answer") else "5s"
        result = ask(tmp_path, monkeypatch, slack, WITH_ALL, "--json", timeout=timeout)
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert (document["works"], document["environment"]) == (False, "staging")
    missing = {one["check"]: one["detail"] for one in document["checks"] if one["outcome"] == "missing"}
    assert said in missing[check]


def test_a_scope_that_nobody_needs_is_not_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    keys = 'channel: "#gameday", token: "${SLACK_TOKEN}"'
    with SlackServer(scopes={"chat:write", "files:write"}) as slack:
        result = ask(tmp_path, monkeypatch, slack, keys)
        assert result.exit_code == 0
        assert "Socket Mode off: without an app-token nothing can be done from Slack" in result.stderr
    with SlackServer(scopes=ALL - {"users:read.email"}) as slack:
        assert ask(tmp_path, monkeypatch, slack).exit_code == 0
    with SlackServer(scopes=ALL - {"users:read.email"}) as slack:
        result = ask(tmp_path, monkeypatch, slack, WITH_ALL + ', allowed: ["sam@example.com"]')
        assert (result.exit_code, "users:read.email" in result.stderr) == (1, True)


def test_a_webhook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with SlackServer() as slack:
        keys = f'webhook: "{slack.webhook}"'
        result = ask(tmp_path, monkeypatch, slack, keys)
        assert (result.exit_code, len(slack.messages)) == (0, 1)
        assert result.stderr.startswith("Slack works: webhook ok (its channel has a message")
    with SlackServer(is_webhook_removed=True) as slack:
        result = ask(tmp_path, monkeypatch, slack, f'webhook: "{slack.webhook}"')
        assert (result.exit_code, result.stderr) == (
            1,
            "Slack: 1 missing: webhook: no_service: the webhook was removed\n",
        )


def test_an_environment_without_slack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with SlackServer() as slack:
        result = ask(tmp_path, monkeypatch, slack, "")
        assert (result.exit_code, slack.calls) == (2, [])
        assert "the environment `staging` has no slack" in result.stderr


def test_an_app_of_the_pages_manifest_lacks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The manifest in docs/slack.md, by https://docs.slack.dev/reference/app-manifest."""
    page = (Path(__file__).parents[2] / "docs" / "slack.md").read_text()
    manifest = yaml.safe_load(page.split("```yaml manifest\n")[1].split("```")[0])
    assert {one["callback_id"] for one in manifest["features"]["shortcuts"]} == {PREDICT}
    assert manifest["settings"]["event_subscriptions"]["bot_events"] == ["message.channels", "reaction_added"]
    with SlackServer(scopes=set(manifest["oauth_config"]["scopes"]["bot"])) as slack:
        result = ask(tmp_path, monkeypatch, slack, WITH_ALL + ', allowed: ["sam@example.com"]')
        assert (result.exit_code, "scopes ok" in result.stderr) == (0, True)
