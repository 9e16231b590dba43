"""A stand-in for GitHub's issues.

By https://docs.github.com/en/rest/issues/issues?apiVersion=2022-11-28 and GitHub's OpenAPI description: shapes,
parameters, limits, refusals; lists that have pull requests among the issues and go on by a cursor (`page` alone is
refused for large ones); labels and assignees that are dropped silently where the token's owner may not set them.
"""

import re
import time
from dataclasses import dataclass, field
from urllib.parse import urlencode

from tests.delivery.tracker_server import Answer, Asked, Body, Refused, TrackerServer, iso

_LIST = {"milestone", "state", "assignee", "creator", "mentioned", "labels", "sort", "direction", "since"}
_PAGING = {"per_page", "page", "after", "before"}
_CREATE = {"title", "body", "assignee", "milestone", "labels", "assignees", "type"}
_UPDATE = {*_CREATE, "state", "state_reason"}
_REASONS = {"open": {"reopened", None}, "closed": {"completed", "not_planned", "duplicate", None}}


def _error(status: int, message: str, **more: object) -> Refused:
    return Refused(status, {"message": message, "documentation_url": "https://docs.github.com/rest", **more})


def _invalid(field: str, code: str, **more: object) -> Refused:
    errors = [{"resource": "Issue", "field": field, "code": code, **more}]
    return _error(422, "Validation Failed", errors=errors)


@dataclass
class GitHubServer(TrackerServer):
    """One repository. `people`: who can be assigned; `may_label`: whether the token's owner has push access."""

    token: str = "ghp-0ur5"
    repository: str = "acme/shop"
    people: tuple[str, ...] = ("octocat",)
    may_label: bool = True
    has_issues: bool = True
    page_size: int = 100  # at most
    issues: list[Body] = field(default_factory=list)
    comments: dict[int, list[str]] = field(default_factory=dict)
    bulk: int = 2  # pages, from which on `page` alone is refused

    def add(self, title: str, body: str | None = None, *, is_pull: bool = False, **more: object) -> Body:
        """An issue that somebody has made."""
        number = len(self.issues) + 1
        html = f"https://github.com/{self.repository}/{'pull' if is_pull else 'issues'}/{number}"
        issue: Body = {
            "id": 10_000 + number,
            "node_id": f"I_{number}",
            "number": number,
            "url": f"{self.url}/repos/{self.repository}/issues/{number}",
            "html_url": html,
            "comments_url": f"{self.url}/repos/{self.repository}/issues/{number}/comments",
            "state": "open",
            "state_reason": None,
            "title": title,
            "body": body,
            "user": {"login": "ada", "id": 1, "type": "User"},
            "labels": [],
            "assignee": None,
            "assignees": [],
            "milestone": None,
            "locked": False,
            "comments": 0,
            "closed_at": None,
            "created_at": iso(time.time()),
            "updated_at": iso(time.time()),
            **more,
        }
        if is_pull:
            issue["pull_request"] = {"html_url": html}
        self.issues.append(issue)
        return issue

    def carry_out(self, asked: Asked) -> Answer:
        if not asked.headers.get("user-agent"):
            raise _error(
                403, "Request forbidden by administrative rules. Please make sure your request has a User-Agent"
            )
        version = asked.headers.get("x-github-api-version", "2022-11-28")
        if version != "2022-11-28":
            raise _error(400, f"{version} is not a supported version")
        if asked.headers.get("authorization", "").partition(" ")[2] != self.token:
            raise _error(401, "Bad credentials")
        base = f"/repos/{self.repository}"
        if asked.path == base and asked.method == "GET":
            return Answer(200, self._repository())
        # Where the links of a list lead.
        path = re.sub(r"^/repositories/77/", f"{base}/", asked.path)
        if not path.lower().startswith(f"{base}/issues"):
            raise _error(404, "Not Found")
        match asked.method, path[len(f"{base}/issues") :].strip("/").split("/"):
            case "GET", [""]:
                return self._list(asked)
            case "POST", [""]:
                return self._create(asked.body)
            case "GET", [number]:
                return Answer(200, self._issue(number))
            case "PATCH", [number]:
                return self._update(self._issue(number), asked.body)
            case "POST", [number, "comments"]:
                return self._comment(self._issue(number), asked.body)
            case _:
                raise _error(404, "Not Found")

    def _repository(self) -> Body:
        return {
            "id": 77,
            "name": self.repository.partition("/")[2],
            "full_name": self.repository,
            "url": f"{self.url}/repos/{self.repository}",
            "issues_url": f"{self.url}/repos/{self.repository}/issues{{/number}}",
            "has_issues": self.has_issues,
            "private": True,
            "owner": {"login": self.repository.partition("/")[0], "id": 2, "type": "Organization"},
        }

    def _issue(self, number: str) -> Body:
        found = next((issue for issue in self.issues if str(issue["number"]) == number), None)
        if found is None:
            raise _error(404, "Not Found")
        if found.get("deleted"):
            raise _error(410, "This issue was deleted")
        return found

    def _list(self, asked: Asked) -> Answer:
        query = asked.query
        if unknown := query.keys() - _LIST - _PAGING:
            self.wrong.append(f"unknown parameters {unknown}")
        size = min(int(query.get("per_page", 30)), 100, self.page_size)
        wanted = set(filter(None, query.get("labels", "").lower().split(",")))
        state = query.get("state", "open")
        shown = [
            issue
            for issue in self.issues
            if wanted <= {label["name"].lower() for label in issue["labels"]}
            and state in ("all", issue["state"])
            and not issue.get("deleted")
        ]
        if query.get("direction", "desc") == "desc":
            shown.reverse()
        page = int(query.get("page", 1))
        if "after" not in query and page > self.bulk:
            raise _error(
                422,
                "Pagination with the page parameter is not supported for large datasets, "
                "please use cursor based pagination (after/before)",
            )
        start = int(query["after"].removeprefix("Y3Vyc29yOg")) if "after" in query else (page - 1) * size
        links = []
        if start + size < len(shown):
            more = urlencode({**query, "after": f"Y3Vyc29yOg{start + size}", "page": page + 1})
            links.append(f'<{self.url}/repositories/77/issues?{more}>; rel="next"')
        if start:
            links.insert(0, f'<{self.url}/repositories/77/issues?{urlencode({**query, "page": 1})}>; rel="prev"')
        return Answer(200, shown[start : start + size], {"Link": ", ".join(links)} if links else {})

    def _create(self, body: Body) -> Answer:
        if not self.has_issues:
            raise _error(410, "Issues are disabled for this repo")
        self._validate(body, _CREATE)
        if "title" not in body:
            raise _invalid("title", "missing_field")
        may = self.may_label
        issue = self.add(
            body["title"],
            body.get("body"),
            labels=[{"id": 1, "name": name, "color": "ededed"} for name in body.get("labels", ()) if may],
            assignees=[{"login": login, "id": 3, "type": "User"} for login in body.get("assignees", ()) if may],
        )
        return Answer(201, issue, {"Location": issue["url"]})

    def _update(self, issue: Body, body: Body) -> Answer:
        self._validate(body, _UPDATE)
        if state := body.get("state"):
            if body.get("state_reason") not in _REASONS[state]:
                raise _invalid("state_reason", "invalid")
            issue |= {"state": state, "closed_at": iso(time.time()) if state == "closed" else None}
        issue |= {"state_reason": body.get("state_reason")}
        return Answer(200, issue)

    def _comment(self, issue: Body, body: Body) -> Answer:
        self._validate(body, {"body"})
        self.comments.setdefault(issue["number"], []).append(body["body"])
        return Answer(201, {"id": 1, "body": body["body"], "html_url": f"{issue['html_url']}#issuecomment-1"})

    def _validate(self, body: Body, known: set[str]) -> None:
        if unknown := body.keys() - known:
            self.wrong.append(f"unknown fields {unknown}")
        for name, most in (("title", 256), ("body", 65_536)):
            if len(body.get(name) or "") > most:
                raise _invalid(name, "custom", message=f"{name} is too long (maximum is {most} characters)")
        for login in body.get("assignees", ()):
            if login not in self.people and self.may_label:
                raise _invalid("assignees", "invalid", value=login)
