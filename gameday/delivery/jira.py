"""Action items as Jira's issues, in the cloud or in a data center.

API: https://developer.atlassian.com/cloud/jira/platform/rest/v2/intro/ and
https://docs.atlassian.com/software/jira/docs/api/REST/9.17.0/. Version 3 has the same operations, takes another format
of texts, and is the cloud's alone; version 2 takes wiki text in both. An issue is known by a label of its own.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from urllib.parse import quote

import msgspec

from gameday.common.codec import decode
from gameday.common.http import Answer
from gameday.common.texts import one_line
from gameday.delivery.asking import Api
from gameday.delivery.base import Delivered, Issue, TrackerError, shorten, value_of, wrap
from gameday.spec.model import Credentials, TrackerConfig

_LABEL = "gameday"
_LONGEST_SUMMARY = 254  # characters: fewer than 255; of a description 32 767
# "The delay might vary from a few seconds to minutes": .../cloud/jira/platform/search-and-reconcile/
_LAG_S = 60.0
_AT_ONCE = 50  # labels in one search
_PER_PAGE = 100
_MOST_PAGES = 100
_FIELDS = ("labels", "status", "resolutiondate", "statuscategorychangedate", "updated")
_DONE = "done"  # a category of statuses; the others are "new" and "indeterminate"
_NOT_DONE = ("new", "indeterminate")


class _Server(msgspec.Struct, frozen=True, rename="camel"):
    base_url: str = ""
    deployment_type: str = "Server"


class _Permission(msgspec.Struct, frozen=True, rename="camel"):
    have_permission: bool = False


class _Permissions(msgspec.Struct, frozen=True):
    permissions: dict[str, _Permission] = {}


class _Category(msgspec.Struct, frozen=True):
    key: str = ""


class _Status(msgspec.Struct, frozen=True, rename="camel"):
    status_category: _Category = _Category()


class _Fields(msgspec.Struct, frozen=True):
    """`statuscategorychangedate` is the cloud's; `resolutiondate` is not set by every workflow."""

    labels: tuple[str, ...] = ()
    status: _Status = _Status()
    statuscategorychangedate: str | None = None
    resolutiondate: str | None = None
    updated: str | None = None


class _Issue(msgspec.Struct, frozen=True):
    key: str
    fields: _Fields = _Fields()


class _Page(msgspec.Struct, frozen=True, rename="camel"):
    """Of a search: the cloud gives a token for the next page, a data center how many there are."""

    issues: tuple[_Issue, ...] = ()
    next_page_token: str | None = None
    total: int = 0


class _Transition(msgspec.Struct, frozen=True):
    id: str
    to: _Status = _Status()


class _Transitions(msgspec.Struct, frozen=True):
    transitions: tuple[_Transition, ...] = ()


class _Said(msgspec.Struct, frozen=True, rename="camel"):
    error_messages: tuple[str, ...] = ()
    errors: dict[str, str] = {}
    message: str = ""


class Jira:
    """Issues of one project. With a user, the token is an API token of the cloud; without, one of a data center."""

    lag_s = _LAG_S

    def __init__(self, config: TrackerConfig, tell: Callable[[str], None]) -> None:
        """Raises TrackerError."""
        token, user = config.credentials.token, config.credentials.user
        if not token or not config.url or not config.project:
            raise TrackerError("Jira needs `url`, `project` and a `token`; in the cloud also `user`, whose token it is")
        if blank := next((label for label in config.labels if any(map(str.isspace, label))), None):
            raise TrackerError(f"found the label `{blank}`, expected one without blanks: Jira takes no others")
        credentials = Credentials(user=user, password=token) if user else Credentials(token=token)
        self._api = Api("Jira", config.url, credentials.headers(), token=token, timeout_s=config.timeout_s, tell=tell)
        self._project = config.project
        self._issue_type = config.issue_type
        self._labels = config.labels
        self._user = user
        self._server: _Server | None = None

    def has(self, key: str) -> bool:
        """Whether it is an issue of this project."""
        return key.rpartition("-")[0].upper() == self._project.upper()

    async def find_issues(self, ids: Sequence[str]) -> Mapping[str, tuple[Delivered, ...]]:
        """Those with the actions' labels, the oldest first. What has just been made may not be among them yet."""
        server = await self._open()
        found: dict[str, tuple[Delivered, ...]] = {}
        for start in range(0, len(ids), _AT_ONCE):
            part = ids[start : start + _AT_ONCE]
            for issue in await self._search(server, [_label(identity) for identity in part]):
                for identity in part:
                    if _label(identity) in issue.fields.labels:
                        found[identity] = (*found.get(identity, ()), self._delivered(server, issue))
        return found

    async def create_issue(self, issue: Issue) -> Delivered:
        """One with the label of the action."""
        server = await self._open()
        fields: dict[str, object] = {
            "project": {"key": self._project},
            "issuetype": {"name": self._issue_type},
            "summary": shorten(one_line(issue.title).strip(), _LONGEST_SUMMARY),
            "description": description_of(issue),
            "labels": list(dict.fromkeys((_LABEL, _label(issue.id), *self._labels))),
        }
        if issue.assignee is not None:
            fields["assignee"] = {"accountId" if _is_cloud(server) else "name": issue.assignee}
        reply = await self._api.send("POST", "rest/api/2/issue", {"fields": fields})
        if reply.status != 201:
            raise self._refused(reply, self._project)
        return self._delivered(server, self._api.read(reply, _Issue))

    async def close_issue(self, key: str, why: str) -> None:
        """By the first transition to a status of the category done."""
        await self._move(key, (_DONE,), f"Closed by gameday:\n{noformat(why)}")

    async def reopen_issue(self, key: str, why: str) -> None:
        """By one to a status of the category to do; else to one in progress."""
        await self._move(key, _NOT_DONE, f"Opened anew by gameday:\n{noformat(why)}")

    async def close(self) -> None:
        """Close all connections."""
        await self._api.close()

    async def _open(self) -> _Server:
        """What Jira this is, when it has been seen that we may find issues again, and make them."""
        if self._server is not None:
            return self._server
        server = self._api.read(await self._ask("GET", "rest/api/2/serverInfo"), _Server)
        needed = ("BROWSE_PROJECTS", "CREATE_ISSUES")
        query = {"projectKey": self._project, "permissions": ",".join(needed)}
        reply = await self._ask("GET", "rest/api/2/mypermissions", query=query)
        has = self._api.read(reply, _Permissions).permissions
        # A token that is not taken makes nobody of us, whose searches find nothing: that must not pass for an answer.
        missing = [name for name in needed if not has.get(name, _Permission()).have_permission]
        if missing:
            whose = f"{self._user}'s token" if self._user else "the token"
            raise TrackerError(
                f"Jira does not let {whose} at the project {self._project}, or does not take it: it needs the "
                f"permission {' and '.join(missing)}",
                stops=True,
            )
        self._server = server
        return server

    async def _search(self, server: _Server, labels: Sequence[str]) -> list[_Issue]:
        listed = ", ".join(map(_quoted, labels))
        jql = f"project = {_quoted(self._project)} AND labels IN ({listed}) ORDER BY created ASC, key ASC"
        query: dict[str, object] = {"jql": jql, "maxResults": _PER_PAGE, "fields": _FIELDS}
        path = "rest/api/2/search/jql" if _is_cloud(server) else "rest/api/2/search"
        issues: list[_Issue] = []
        for _ in range(_MOST_PAGES):
            page = self._api.read(await self._ask("POST", path, query), _Page)
            issues += page.issues
            if _is_cloud(server) and page.next_page_token:
                query["nextPageToken"] = page.next_page_token
            elif not _is_cloud(server) and page.issues and len(issues) < page.total:
                query["startAt"] = len(issues)
            else:
                return issues
        raise TrackerError(f"Jira finds more than {_MOST_PAGES * _PER_PAGE} issues of our actions", stops=True)

    async def _move(self, key: str, categories: Sequence[str], comment: str) -> None:
        path = f"rest/api/2/issue/{quote(key, safe='')}"
        reply = await self._ask("GET", f"{path}/transitions", about=key)
        offered = self._api.read(reply, _Transitions).transitions
        fitting = [one for category in categories for one in offered if one.to.status_category.key == category]
        if not fitting:
            raise TrackerError(
                f"{key} cannot be moved: of what its workflow offers now, nothing leads to a status of the category "
                f"{' or '.join(categories)}"
            )
        await self._ask("POST", f"{path}/transitions", {"transition": {"id": fitting[0].id}}, about=key)
        await self._ask("POST", f"{path}/comment", {"body": comment}, about=key)

    async def _ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: Mapping[str, str] | None = None,
        about: str | None = None,
    ) -> Answer:
        reply = await self._api.send(method, path, body, query=query)
        if not 200 <= reply.status < 300:
            raise self._refused(reply, about or self._project)
        return reply

    def _delivered(self, server: _Server, issue: _Issue) -> Delivered:
        fields = issue.fields
        is_open = fields.status.status_category.key != _DONE
        changed = fields.statuscategorychangedate or fields.resolutiondate or fields.updated
        url = f"{(server.base_url or str(self._api.url)).rstrip('/')}/browse/{issue.key}"
        return Delivered(issue.key, url, is_open, None if is_open else _time(changed))

    def _refused(self, reply: Answer, what: str) -> TrackerError:
        """Why Jira does not do it; `what` is the project or an issue of it."""
        try:
            body = decode(reply.body, _Said)
            errors = [f"{name}: {text}" for name, text in body.errors.items()]
            said = self._api.said("; ".join(filter(None, (*body.error_messages, *errors, body.message))))
        except msgspec.DecodeError:
            said = ""
        is_all = what == self._project
        match reply.status:
            case 400:
                return TrackerError(f"Jira refuses it: HTTP 400{said}")
            case 401:
                return TrackerError(f"Jira does not take the token: HTTP 401{said}", stops=True)
            case 403:
                return TrackerError(f"Jira does not let the token at {what}: HTTP 403{said}", stops=is_all)
            case 404 | 410 if is_all:
                where = f"{what} at {self._api.url.host}"
                return TrackerError(
                    f"Jira has no project {where}, or does not show it: HTTP {reply.status}{said}", stops=True
                )
            case 404 | 410:
                return TrackerError(f"{what} is not there any more, or is not shown: HTTP {reply.status}{said}")
            case status if 300 <= status < 400:
                return TrackerError(f"Jira is elsewhere, or asks for a login: HTTP {status}", stops=True)
            case status:
                is_down = not 300 <= status < 500  # or something in between answers for it
                return TrackerError(f"Jira answers HTTP {status}{said}", stops=is_down, uncertain=is_down)


def description_of(issue: Issue) -> str:
    """Wiki text (https://jira.atlassian.com/secure/WikiRendererHelpAction.jspa?section=all). Whatever anybody has
    written is in a block that is not looked into: nobody is mentioned."""
    parts = [noformat(wrap(issue.detail))] if issue.detail.strip() else []
    if issue.facts:
        parts.append(noformat("\n".join(f"{name}: {value_of(value)}" for name, value in issue.facts)))
    if issue.rerun:
        parts.append(f"To see whether it is still so:\n{noformat(issue.rerun)}")
    parts.append(f"gameday knows this issue by its label beginning with {_LABEL}-: leave it in place.")
    return "\n\n".join(parts)


def noformat(text: str) -> str:
    """The text as it is."""
    return f"{{noformat}}\n{text.replace('{noformat', '{ noformat')}\n{{noformat}}"


def _label(identity: str) -> str:
    return f"{_LABEL}-{identity}"


def _quoted(text: str) -> str:
    """A text of JQL: https://confluence.atlassian.com/jirasoftwareserver/search-syntax-for-text-fields-939938747.html"""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _is_cloud(server: _Server) -> bool:
    return server.deployment_type == "Cloud"


def _time(text: str | None) -> float | None:
    """The Unix time of "2026-03-05T12:00:00.000+0100"."""
    try:
        return datetime.fromisoformat(text).timestamp() if text else None
    except ValueError:
        return None
