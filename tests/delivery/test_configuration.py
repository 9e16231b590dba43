"""`actions` of gameday.yaml: where action items go, and what is wrong with it."""

from pathlib import Path

import pytest

from gameday.spec.location import SpecError
from gameday.spec.model import Credentials, TrackerConfig
from gameday.spec.project import load_project, load_tracker

GITHUB = 'actions: {tracker: github, repository: acme/shop, token: "${GITHUB_TOKEN}"}\n'
JIRA = """
actions:
  tracker: jira
  url: "${JIRA_URL}"
  project: SHOP
  user: ada@acme.example
  token: "${JIRA_TOKEN}"
  issue-type: Bug
  labels: [reliability]
  assignees: {team-shop: 5b10}
  timeout: 30s
"""


def load(root: Path, text: str) -> TrackerConfig | None:
    (root / "gameday.yaml").write_text(text)
    return load_tracker(load_project(root))


def mistakes(root: Path, text: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        load(root, text)
    return [f"{mistake.found} | {mistake.expected}" for mistake in caught.value.mistakes]


def test_nothing_need_be_there(tmp_path: Path) -> None:
    assert load(tmp_path, "project: shop\n") is None
    assert load(tmp_path, "actions:\n") is None
    assert load_tracker(load_project(tmp_path / "..")) is None


def test_variables_are_filled_in_when_it_is_used_and_not_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITHUB_TOKEN", raising=False)
    (tmp_path / "gameday.yaml").write_text(GITHUB)
    project = load_project(tmp_path)
    assert project.actions is not None
    assert project.actions.credentials.token == "${GITHUB_TOKEN}"
    assert mistakes(tmp_path, GITHUB) == [
        "the variable `${GITHUB_TOKEN}`, which is not set | GITHUB_TOKEN in the environment"
    ]
    monkeypatch.setenv("GITHUB_TOKEN", "ghp-0ur5")
    read = load_tracker(project)
    assert read == TrackerConfig(
        "github", repository="acme/shop", credentials=Credentials(token="ghp-0ur5"), secrets=("ghp-0ur5",)
    )
    assert "ghp" not in repr(read)


def test_jira(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JIRA_URL", "https://acme.atlassian.net")
    monkeypatch.setenv("JIRA_TOKEN", "ATATT-0ur5")
    assert load(tmp_path, JIRA) == TrackerConfig(
        "jira",
        url="https://acme.atlassian.net",
        project="SHOP",
        issue_type="Bug",
        labels=("reliability",),
        assignees=(("team-shop", "5b10"),),
        timeout_s=30.0,
        credentials=Credentials(token="ATATT-0ur5", user="ada@acme.example"),
        secrets=("ATATT-0ur5",),
    )
    monkeypatch.setenv("JIRA_URL", "ATATT-0ur5")
    assert mistakes(tmp_path, JIRA) == ["`•••` | a URL such as https://acme.atlassian.net"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("github", "`github` | actions, such as {tracker: github, repository: acme/shop, token: …} (a mapping)"),
        ("{}", "actions without `tracker` | the name of a tracker: github or jira"),
        ("{tracker: github}", "actions without `repository` | a repository, such as acme/shop"),
        ("{tracker: jira, project: S}", "actions without `url` | where Jira is"),
        ("{tracker: jira, url: 'http://x'}", "actions without `project` | the key of a project"),
        ("{tracker: github, repository: shop}", "`shop` | a repository as owner/name, such as acme/shop"),
        ("{tracker: github, repository: a/b, url: 'u:p@x'}", "`x` | a URL such as"),
        ("{tracker: x, assignees: [a]}", "a list | accounts by the names of owners, such as"),
        ("{tracker: x, assignees: {a: [b]}}", "a list | an account of the tracker's"),
        ("{tracker: x, timeout: 3}", "`3` | "),
        ("{tracker: x, tokn: y}", "the key `tokn` | a key of actions"),
    ],
)
def test_mistakes(tmp_path: Path, text: str, found: str) -> None:
    [said] = mistakes(tmp_path, f"actions: {text}\n")
    assert said.startswith(found)
