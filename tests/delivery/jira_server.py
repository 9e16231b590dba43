"""A stand-in for Jira, in the cloud or in a data center.

By https://developer.atlassian.com/cloud/jira/platform/rest/v2/ (its swagger), .../search-and-reconcile/, and, for a
data center, https://docs.atlassian.com/software/jira/docs/api/REST/9.17.0/: shapes, limits and refusals; an index that
lags behind; searches that the two ask in two ways; a token that is not taken, and makes nobody of its owner.
"""

import re
import time
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Any

from tests.delivery.tracker_server import Answer, Asked, Body, Refused, TrackerServer

_JQL = re.compile(
    r'project = "(?P<project>[^"]+)" AND labels IN \((?P<labels>("[^"]+"(, )?)+)\) ORDER BY created ASC, key ASC'
)
_CATEGORIES = {"To Do": "new", "In Progress": "indeterminate", "Done": "done", "Won't do": "done"}


def _errors(status: int, *messages: str, **errors: str) -> Refused:
    return Refused(status, {"errorMessages": list(messages), "errors": errors})


def _time(moment: float) -> str:
    """As Jira writes it, in its own time zone."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.000+0000", time.gmtime(moment))


@dataclass
class JiraServer(TrackerServer):
    """One project. `workflow`: the transitions from each status, as ids, names and where they lead."""

    is_cloud: bool = True
    user: str = "ada@acme.example"
    token: str = "ATATT-0ur5"
    project: str = "SHOP"
    permissions: tuple[str, ...] = ("BROWSE_PROJECTS", "CREATE_ISSUES", "TRANSITION_ISSUES", "ADD_COMMENTS")
    page_size: int = 50  # at most
    lag_s: float = 0.0  # until a search finds what has been made
    issues: list[Body] = field(default_factory=list)
    comments: dict[str, list[str]] = field(default_factory=dict)
    workflow: dict[str, list[tuple[str, str, str]]] = field(
        default_factory=lambda: {
            "To Do": [("11", "Start", "In Progress"), ("21", "Close", "Done"), ("22", "Reject", "Won't do")],
            "In Progress": [("21", "Close", "Done")],
            "Done": [("31", "Take up", "In Progress"), ("32", "Reopen", "To Do")],
        }
    )

    def add(self, summary: str, *labels: str, **fields: object) -> Body:
        """An issue that somebody has made."""
        number = len(self.issues) + 1
        identity = str(10_000 + number)
        key = f"{self.project}-{number}"
        issue: Body = {
            "id": identity,
            "key": key,
            "self": f"{self.url}/rest/api/2/issue/{identity}",
            "fields": {
                "summary": summary,
                "labels": list(labels),
                "status": self._status("To Do"),
                "resolutiondate": None,
                "created": _time(time.time()),
                "updated": _time(time.time()),
                "project": {"key": self.project},
                **fields,
            },
            "created_at": time.time(),
        }
        if self.is_cloud:
            issue["fields"]["statuscategorychangedate"] = _time(time.time())
        self.issues.append(issue)
        return issue

    def move(self, issue: Body, status: str, at: float | None = None) -> None:
        """Into another status, at a Unix time."""
        moment = _time(time.time() if at is None else at)
        done = _CATEGORIES[status] == "done"
        issue["fields"] |= {
            "status": self._status(status),
            "resolutiondate": moment if done else None,
            "updated": moment,
        }
        if self.is_cloud:
            issue["fields"]["statuscategorychangedate"] = moment

    def carry_out(self, asked: Asked) -> Answer:
        credentials = f"Basic {b64encode(f'{self.user}:{self.token}'.encode()).decode()}"
        known = asked.headers.get("authorization") == (credentials if self.is_cloud else f"Bearer {self.token}")
        if not known and not self.is_cloud:
            raise _errors(401, "You are not authenticated. Authentication required to perform this operation.")
        path = asked.path.removeprefix("/rest/api/2/")
        if path == asked.path:
            raise Refused(404, {"message": "null for uri", "status-code": 404})
        match asked.method, path.split("/"):
            case "GET", ["serverInfo"]:
                return Answer(200, self._server_info())
            case "GET", ["mypermissions"]:
                return self._permissions(asked.query, known)
            case "GET", ["field"]:
                return Answer(200, [])
            case "POST" | "GET", ["search", *rest]:
                return self._search(asked, rest, known)
            case _, ["issue", *_] if not known:
                raise _errors(404, "Issue does not exist or you do not have permission to see it.")
            case "POST", ["issue"]:
                return self._create(asked.body["fields"])
            case "GET", ["issue", key]:
                return Answer(200, self._issue(key))
            case "GET", ["issue", key, "transitions"]:
                return Answer(200, {"expand": "transitions", "transitions": self._offered(self._issue(key))})
            case "POST", ["issue", key, "transitions"]:
                return self._transition(self._issue(key), asked.body)
            case "POST", ["issue", key, "comment"]:
                self.comments.setdefault(self._issue(key)["key"], []).append(asked.body["body"])
                return Answer(201, {"id": "1", "body": asked.body["body"]})
        raise _errors(404, "not found")

    def _server_info(self) -> Body:
        numbers = [1001, 0, 0] if self.is_cloud else [9, 17, 0]
        return {
            "baseUrl": "https://acme.atlassian.net" if self.is_cloud else f"{self.url}/jira",
            "version": ".".join(map(str, numbers)),
            "versionNumbers": numbers,
            "deploymentType": "Cloud" if self.is_cloud else "Server",
            "buildNumber": 100_001,
            "serverTitle": "Jira",
        }

    def _permissions(self, query: dict[str, str], known: bool) -> Answer:
        if query.get("projectKey") != self.project:
            raise _errors(404, f"No project could be found with key '{query.get('projectKey')}'.")
        if self.is_cloud and "permissions" not in query:
            raise _errors(400, "The 'permissions' query parameter is required.")
        asked = (
            query["permissions"].split(",") if self.is_cloud else ("BROWSE_PROJECTS", "CREATE_ISSUES", "LINK_ISSUES")
        )
        return Answer(
            200,
            {
                "permissions": {
                    name: {
                        "id": "1",
                        "key": name,
                        "name": name,
                        "type": "PROJECT",
                        "havePermission": known and name in self.permissions,
                    }
                    for name in asked
                }
            },
        )

    def _search(self, asked: Asked, rest: list[str], known: bool) -> Answer:
        if self.is_cloud and rest != ["jql"]:
            raise _errors(410, "The requested API has been removed. Please migrate to the /rest/api/3/search/jql API.")
        if not self.is_cloud and rest:
            raise Refused(404, {"message": "null for uri", "status-code": 404})
        given: dict[str, Any] = {**asked.query, **asked.body}
        jql = _JQL.fullmatch(given["jql"])
        if jql is None:
            self.wrong.append(given["jql"])
            raise _errors(400, f"Error in the JQL Query: {given['jql']}")
        if jql["project"] != self.project or not known:
            raise _errors(400, f"The value '{jql['project']}' does not exist for the field 'project'.")
        labels = set(re.findall('"([^"]+)"', jql["labels"]))
        found = [
            issue
            for issue in self.issues
            if labels & set(issue["fields"]["labels"]) and issue["created_at"] + self.lag_s <= time.time()
        ]
        size = min(int(given.get("maxResults", 50)), self.page_size)
        start = int(given.get("startAt", 0)) if not self.is_cloud else int(given.get("nextPageToken", "t0")[1:])
        fields = given.get("fields") or ([] if self.is_cloud else ["*all"])
        names = set(fields.split(",") if isinstance(fields, str) else fields)
        page = [
            {
                **{name: issue[name] for name in ("id", "key", "self")},
                "fields": {name: value for name, value in issue["fields"].items() if names & {name, "*all"}},
            }
            for issue in found[start : start + size]
        ]
        if not self.is_cloud:
            return Answer(200, {"startAt": start, "maxResults": size, "total": len(found), "issues": page})
        is_last = start + size >= len(found)
        return Answer(
            200, {"issues": page, "isLast": is_last} | ({} if is_last else {"nextPageToken": f"t{start + size}"})
        )

    def _create(self, fields: Body) -> Answer:
        if fields["project"] != {"key": self.project}:
            raise _errors(400, project="valid project is required")
        if fields["issuetype"] not in ({"name": "Task"}, {"name": "Bug"}):
            raise _errors(400, issuetype="Specify a valid issue type")
        summary = fields["summary"]
        if "\n" in summary:
            raise _errors(400, summary="The summary is invalid because it contains newline characters.")
        if len(summary) >= 255:
            raise _errors(400, summary="Summary must be less than 255 characters.")
        if len(fields.get("description", "")) > 32_767:
            limit = "The entered text is too long. It exceeds the allowed limit of 32,767 characters."
            raise _errors(400, description=limit)
        if spaced := next((label for label in fields["labels"] if " " in label), None):
            raise _errors(400, labels=f"The label '{spaced}' contains spaces which is invalid.")
        if (assignee := fields.get("assignee")) and assignee != (
            {"accountId": "5b10"} if self.is_cloud else {"name": "ada"}
        ):
            raise _errors(400, assignee="User does not exist.")
        more = {name: fields[name] for name in ("description", "assignee", "issuetype") if name in fields}
        issue = self.add(summary, *fields["labels"], **more)
        return Answer(201, {name: issue[name] for name in ("id", "key", "self")})

    def _issue(self, key: str) -> Body:
        found = next((issue for issue in self.issues if issue["key"] == key), None)
        if found is None:
            raise _errors(404, "Issue does not exist or you do not have permission to see it.")
        return found

    def _offered(self, issue: Body) -> list[Body]:
        status = issue["fields"]["status"]["name"]
        return [
            {"id": identity, "name": name, "to": self._status(to), "hasScreen": False, "isAvailable": True}
            for identity, name, to in self.workflow.get(status, ())
        ]

    def _transition(self, issue: Body, body: Body) -> Answer:
        chosen = next((one for one in self._offered(issue) if one["id"] == str(body["transition"]["id"])), None)
        if chosen is None:
            raise _errors(400, "It seems that you have tried to perform an illegal workflow operation.")
        self.move(issue, chosen["to"]["name"])
        return Answer(204)

    def _status(self, name: str) -> Body:
        key = _CATEGORIES[name]
        return {"id": "1", "name": name, "statusCategory": {"id": 2, "key": key, "name": name, "colorName": "grey"}}
