"""Reads where action items are carried to: `actions` of gameday.yaml."""

import re

from gameday.spec.model import Credentials, TrackerConfig
from gameday.spec.reader import Fields
from gameday.spec.sources import read_url
from gameday.spec.units import UnitError, excerpt, parse_positive_duration
from gameday.spec.variables import VARIABLE

WHAT = "actions, such as {tracker: github, repository: acme/shop, token: …}"

_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_A_URL = "a URL such as https://acme.atlassian.net"


def read_tracker(fields: Fields, secrets: tuple[str, ...] = ()) -> TrackerConfig:
    """The tracker; mistakes are noted. `secrets` are those among its values."""
    fields.require("tracker", "the name of a tracker: github or jira")
    tracker = fields.text("tracker", "the name of a tracker, such as github") or ""
    if tracker == "github":
        fields.require("repository", "a repository, such as acme/shop")
    if tracker == "jira":
        fields.require("url", "where Jira is, such as https://acme.atlassian.net")
        fields.require("project", "the key of a project, such as SHOP")
    read = TrackerConfig(
        tracker=tracker,
        url=fields.scalar("url", lambda text: read_url(text, _A_URL), _A_URL),
        repository=fields.scalar("repository", _repository, "a repository, such as acme/shop"),
        project=fields.text("project", "the key of a project, such as SHOP"),
        issue_type=fields.text("issue-type", "the name of a type of issues, such as Task") or "Task",
        labels=tuple(text for text, _ in fields.texts("labels", "a list of labels")),
        assignees=_assignees(fields),
        timeout_s=fields.scalar("timeout", parse_positive_duration) or 10.0,
        credentials=Credentials(
            token=fields.text("token", "a token, such as ${GITHUB_TOKEN}"),
            user=fields.text("user", "whose token it is: an e-mail address"),
        ),
        secrets=secrets,
    )
    fields.close()
    return read


def _assignees(fields: Fields) -> tuple[tuple[str, str], ...]:
    assignees = fields.mapping("assignees", "accounts by the names of owners, such as {team-shop: octocat}")
    if assignees is None:
        return ()
    read = [(owner, assignees.parse(node, str, "an account of the tracker's")) for owner, _, node in assignees.rest()]
    return tuple((owner, account) for owner, account in read if account)


def _repository(text: str) -> str:
    if not VARIABLE.search(text) and not _REPOSITORY.fullmatch(text):
        raise UnitError(excerpt(text), "a repository as owner/name, such as acme/shop")
    return text
