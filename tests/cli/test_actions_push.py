"""`gameday actions push` as a user meets it: each action becomes one issue, whatever is killed in between."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gameday.cli.actions import command
from gameday.engine.locks import FileLock
from gameday.engine.session import run_session
from gameday.people.action_log import change_actions, remember_session
from gameday.people.actions import ActionEvent, Change
from tests.delivery.github_server import GitHubServer
from tests.delivery.jira_server import JiraServer
from tests.delivery.tracker_server import Answer, Trouble

sys.path.insert(0, str(Path(__file__).parent.parent / "engine"))
from pretend import EXPERIMENT, PretendSystem

PROJECT = """
services: {{shop: {{owner: team-shop, depends-on: [stock]}}, stock: {{}}}}
actions: {{tracker: github, repository: acme/shop, url: "{url}", token: "${{TRACKER_TOKEN}}",
          assignees: {{"@ada": octocat}}}}
"""


def actions(*words: str) -> Result:
    return CliRunner().invoke(command, words)


def listed(*words: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(actions("list", "--all", "--json", *words).stdout)["actions"]
    return found


def keys() -> list[list[str]]:
    return [[str(link["key"]) for link in action["links"]] for action in listed()]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHubServer]:
    with GitHubServer() as server:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("TRACKER_TOKEN", server.token)
        monkeypatch.setattr("gameday.delivery.github.GitHub.__init__.__kwdefaults__", {"pace_s": 0.0})
        (tmp_path / "gameday.yaml").write_text(PROJECT.format(url=server.url))
        yield server


def test_a_new_user(server: GitHubServer) -> None:
    assert actions("add", "Write", "@octocat", "down", "--service", "shop", "--owner", "@ada").exit_code == 0
    [action] = listed()
    dry = actions("push", "--dry-run")
    assert (dry.exit_code, server.written(), keys()) == (0, [], [[]])
    assert f"would create an issue in acme/shop for {action['id']}\n    shop: Write @octocat down\n" in dry.output
    assert "Assignee: octocat" in dry.output

    pushed = actions("push")
    assert pushed.exit_code == 0
    assert pushed.output == f"{action['id']} is now acme/shop#1  https://github.com/acme/shop/issues/1\n"
    assert "https://github.com/acme/shop/issues/1" in actions("list").output
    [issue] = server.issues
    assert (issue["title"], [one["login"] for one in issue["assignees"]]) == ("shop: Write @octocat down", ["octocat"])
    assert "- **Suggested owner**: `@ada`" in issue["body"]

    for _ in range(2):
        again = actions("push")
        assert (again.exit_code, again.output) == (0, "nothing to do\n")
    assert (len(server.issues), keys()) == (1, [["acme/shop#1"]])
    assert actions("push", "--dry-run").output == "nothing would be done\n"


def test_what_a_session_found(server: GitHubServer, tmp_path: Path) -> None:
    system = PretendSystem(tmp_path)
    text = EXPERIMENT.replace("abort-when:", "expect: {alerts: [{name: ShopDown, within: 10s}]}\nabort-when:")
    directory = asyncio.run(run_session(system.session(text), [])).run.directory
    remember_session(tmp_path, directory, time.time())
    assert actions("push").exit_code == 0
    [issue] = server.issues
    assert issue["title"] == "shop: ShopDown did not fire"
    [action] = listed()
    for line in (
        "- **Service**: `shop`",
        f"- **Experiment**: `{action['experiment']}`",
        "- **Finding**: `alert-missed`",
        f"- **Found by the session**: `{directory.name}`",
        "- **Suggested owner**: `team-shop`",
        f"gameday run {action['experiment']} --env {system.environment().name}",
        f"`gameday-action: {action['id']}`",
    ):
        assert line in issue["body"].splitlines()


def test_one_of_several(server: GitHubServer) -> None:
    for title in ("one", "two"):
        actions("add", title)
    second = str(listed()[1]["id"])
    assert actions("push", second[:6], second).exit_code == 0
    assert keys() == [[], ["acme/shop#1"]]
    assert "there is no action `zzz`" in actions("push", "zzz").output
    assert [issue["title"] for issue in server.issues] == ["two"]


def test_from_another_machine_that_knows_the_action(server: GitHubServer, tmp_path: Path) -> None:
    actions("add", "one")
    log = tmp_path / ".gameday" / "actions.jsonl"
    before = log.read_bytes()
    actions("push")
    log.write_bytes(before)
    pushed = actions("push")
    assert f"{listed()[0]['id']} was there already: acme/shop#1" in pushed.output
    assert (pushed.exit_code, len(server.issues), keys()) == (0, 1, [["acme/shop#1"]])


def test_closed_and_come_back(server: GitHubServer, tmp_path: Path) -> None:
    actions("add", "one")
    actions("push")
    identity = str(listed()[0]["id"])
    actions("close", identity, "done", "by", "@octocat")
    assert actions("push").output == "nothing to do\n"
    assert actions("push", "--close", "--dry-run").output == f"would close acme/shop#1 for {identity} (one)\n"
    assert server.issues[0]["state"] == "open"
    assert f"{identity} is closed in acme/shop#1" in actions("push", "--close").output
    assert actions("push", "--close").output == "nothing to do\n"
    assert (server.issues[0]["state"], server.comments[1]) == ("closed", ["Closed by gameday: `done by @octocat`"])

    back = ActionEvent(time.time() + 2, identity, Change.REOPENED, "s2", "it was found again")
    change_actions(tmp_path, lambda _actions: [back])
    assert actions("push").output == "nothing to do\n"
    assert f"{identity} is opened anew in acme/shop#1" in actions("push", "--close").output
    assert server.issues[0]["state"] == "open"
    server.issues[0]["labels"] = []
    actions("close", identity, "done")
    left = actions("push", "--close")
    assert (left.exit_code, server.issues[0]["state"]) == (0, "open")
    assert "nothing bears its mark any more: look yourself at acme/shop#1" in left.output


def test_what_was_done_is_kept_and_the_rest_said(server: GitHubServer) -> None:
    for title in ("one", "two", "three", "four"):
        actions("add", title)
    limited = Answer(403, {"message": "You have exceeded a secondary rate limit"}, {"Retry-After": "7200"})
    server.troubles = [Trouble("POST", Answer(422, {"message": "Validation Failed"}), times=1)]
    respond = server.respond
    server.respond = lambda asked: limited if len(server.issues) == 1 else respond(asked)  # type: ignore[method-assign]
    pushed = actions("push")
    assert (pushed.exit_code, keys()) == (3, [[], ["acme/shop#1"], [], []])
    assert f"error: {listed()[0]['id']}: GitHub refuses it: HTTP 422 (Validation Failed)" in pushed.output
    assert f"error: {listed()[2]['id']}: GitHub has been asked more often than it allows (HTTP 403)" in pushed.output
    assert "1 more not tried; push again when that is mended" in pushed.output
    server.respond = respond  # type: ignore[method-assign]
    assert actions("push").exit_code == 0
    assert sorted(issue["title"] for issue in server.issues) == ["four", "one", "three", "two"]


def test_wrong_input_and_a_tracker_that_is_not_there(
    server: GitHubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    actions("add", "one")
    monkeypatch.setenv("TRACKER_TOKEN", "ghp-wr0ng")
    refused = actions("push")
    assert (refused.exit_code, "GitHub does not take the token: HTTP 401 (Bad credentials)" in refused.output) == (
        3,
        True,
    )
    assert "wr0ng" not in refused.output
    monkeypatch.delenv("TRACKER_TOKEN")
    unset = actions("push", "--dry-run")
    assert (unset.exit_code, "the variable `${TRACKER_TOKEN}`, which is not set" in unset.output) == (2, True)
    monkeypatch.setenv("TRACKER_TOKEN", "x" * 8)
    (tmp_path / "gameday.yaml").write_text("actions: {tracker: githob, token: '${TRACKER_TOKEN}'}\n")
    unknown = actions("push")
    assert (unknown.exit_code, "there is no tracker `githob`" in unknown.output) == (2, True)
    (tmp_path / "gameday.yaml").write_text("project: shop\n")
    assert "gameday.yaml names no tracker" in actions("push").output
    (tmp_path / "gameday.yaml").write_text(
        "actions: {tracker: github, repository: a/b, url: 'http://127.0.0.1:9', token: x}\n"
    )
    absent = actions("push")
    assert (absent.exit_code, "cannot connect to 127.0.0.1:9" in absent.output) == (3, True)


def start(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "gameday.cli.main", "actions", *words],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "NO_COLOR": "1"},
    )


def test_killed_between_the_issue_and_its_link(server: GitHubServer, tmp_path: Path) -> None:
    actions("add", "one")
    server.troubles = [Trouble("POST", None, after_s=30.0, carried_out=True, times=1)]
    first = start("push")
    deadline = time.monotonic() + 30
    while not server.issues and time.monotonic() < deadline:
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=30)
    assert (len(server.issues), keys()) == (1, [[]])
    second = actions("push")
    assert second.exit_code == 0
    assert "a push ended while it made an issue, which may not be found yet: waiting" in second.output
    assert "was there already: acme/shop#1" in second.output
    assert (len(server.issues), keys()) == (1, [["acme/shop#1"]])


def test_two_at_the_same_moment(server: GitHubServer) -> None:
    for title in ("one", "two"):
        actions("add", title)
    server.slow_s = 0.3
    pushes = [start("push") for _ in range(2)]
    said = [push.communicate(timeout=60)[1] for push in pushes]
    assert [push.returncode for push in pushes] == [0, 0], said
    assert sorted(issue["title"] for issue in server.issues) == ["one", "two"]
    assert sorted(len(links) for links in keys()) == [1, 1]
    assert "nothing to do\n" in said


def test_another_push_is_not_waited_for_forever(
    server: GitHubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    actions("add", "one")
    monkeypatch.setattr("gameday.cli.actions_push._WAIT_S", 0.1)
    lock = FileLock(tmp_path / ".gameday" / "push.lock")
    lock.acquire("ada")
    held = actions("push")
    assert (held.exit_code, "another push, by ada, has not ended within" in held.output) == (3, True)
    assert actions("push", "--dry-run").exit_code == 0
    lock.release()
    assert actions("push").exit_code == 0


def test_a_log_that_cannot_be_written_loses_no_issue(server: GitHubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    actions("add", "one")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr("gameday.people.action_log.change_actions", full)
        pushed = actions("push")
    assert (pushed.exit_code, "No space left on device; an issue that it has made" in pushed.output) == (3, True)
    assert "was there already: acme/shop#1" in actions("push").output
    assert len(server.issues) == 1


def test_jira(server: GitHubServer, tmp_path: Path) -> None:
    with JiraServer(token=server.token) as jira:
        (tmp_path / "gameday.yaml").write_text(
            f"actions: {{tracker: jira, url: '{jira.url}', project: SHOP, user: {jira.user}, "
            "token: '${TRACKER_TOKEN}', labels: [reliability]}\n"
        )
        actions("add", "one", "--service", "shop")
        assert "is now SHOP-1  https://acme.atlassian.net/browse/SHOP-1" in actions("push").output
        assert actions("push").output == "nothing to do\n"
        actions("close", str(listed()[0]["id"]), "done")
        assert "is closed in SHOP-1" in actions("push", "--close").output
        assert (len(jira.issues), jira.issues[0]["fields"]["status"]["name"]) == (1, "Done")
