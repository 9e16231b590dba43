"""Action items as GitHub's issues.

API: https://docs.github.com/en/rest/issues/issues?apiVersion=2022-11-28, of github.com or of an Enterprise Server. An
issue is known by a line of its body, and looked for in the list of those with our label: the search API lags behind.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from urllib.parse import quote

import msgspec
from yarl import URL

from gameday.common.codec import decode
from gameday.common.http import Answer
from gameday.common.json import Json, JsonObject
from gameday.common.texts import one_line
from gameday.delivery.asking import Api
from gameday.delivery.base import Delivered, Issue, TrackerError, shorten, value_of, wrap
from gameday.spec.model import TrackerConfig

LABEL = "gameday"
_URL = "https://api.github.com"
_VERSION = "2022-11-28"
_LONGEST_TITLE = 256  # characters; of a body 65 536
_PACE_S = 1.0  # between two requests that change something, as GitHub asks for
_LAG_S = 5.0  # nothing is promised
_PER_PAGE = 100
_MOST_PAGES = 100
_MOVED = (301, 302, 307, 308)
_MARK = re.compile(r"^`gameday-action: ([0-9A-Za-z-]+)`\s*$", re.MULTILINE)
_NEXT = re.compile(r'<([^>]*)>\s*;[^,]*\brel="next"')


class _Named(msgspec.Struct, frozen=True):
    name: str = ""


class _Issue(msgspec.Struct, frozen=True):
    """What lists, and the answer to what makes one, have of an issue. What is a pull request has that key, too."""

    number: int
    html_url: str
    state: str
    body: str | None = None
    closed_at: datetime | None = None
    labels: tuple[_Named | str, ...] = ()
    pull_request: JsonObject | None = None


class _Error(msgspec.Struct, frozen=True):
    """What is wrong with one field of what was sent."""

    field: str | None = None
    code: str = ""
    message: str | None = None
    value: Json = None

    def __str__(self) -> str:
        value = f": {self.value}" if isinstance(self.value, str) else ""
        return " ".join(filter(None, (self.field, self.message or self.code))) + value


class _Said(msgspec.Struct, frozen=True):
    message: str = ""
    errors: tuple[_Error | str, ...] | str = ()


class GitHub:
    """Issues of one repository."""

    lag_s = _LAG_S

    def __init__(self, config: TrackerConfig, tell: Callable[[str], None], *, pace_s: float = _PACE_S) -> None:
        """Raises TrackerError."""
        token = config.credentials.token
        if not token or not config.repository:
            raise TrackerError("GitHub needs `repository`, and a `token` that may read and write its issues")
        headers = {
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": _VERSION,
            **config.credentials.headers(),
        }
        self._api = Api(
            "GitHub",
            config.url or _URL,
            headers,
            token=token,
            timeout_s=config.timeout_s,
            tell=tell,
            pace_s=pace_s,
        )
        self._repository = config.repository
        self._issues = f"repos/{quote(config.repository)}/issues"
        self._labels = tuple(dict.fromkeys((LABEL, *config.labels)))

    def has(self, key: str) -> bool:
        """Whether it is an issue of this repository; case does not count in their names."""
        return key.rpartition("#")[0].lower() == self._repository.lower()

    async def find_issues(self, ids: Sequence[str]) -> Mapping[str, tuple[Delivered, ...]]:
        """Those of all issues with our label that have the actions' lines in their bodies, the oldest first."""
        found: dict[str, tuple[Delivered, ...]] = {}
        wanted = set(ids)
        query = {"labels": LABEL, "state": "all", "sort": "created", "direction": "asc", "per_page": str(_PER_PAGE)}
        for _ in range(_MOST_PAGES):
            reply = await self._api.send("GET", self._issues, query=query)
            if reply.status != 200:
                raise self._refused(reply, self._repository)
            for issue in self._api.read(reply, tuple[_Issue, ...]):
                mark = _mark(issue)
                if mark in wanted:
                    found[mark] = (*found.get(mark, ()), self._delivered(issue))
            link = _NEXT.search(reply.headers.get("link", ""))
            if link is None:
                return found
            # Its query alone (a page, or a cursor): the token goes nowhere but where it is meant for.
            query = dict(URL(link[1], encoded=True).query)
        raise TrackerError(f"more than {_MOST_PAGES * _PER_PAGE} issues have the label `{LABEL}`", stops=True)

    async def create_issue(self, issue: Issue) -> Delivered:
        """One with our label, by which it is found again."""
        body: dict[str, str | Sequence[str]] = {
            "title": shorten(one_line(issue.title), _LONGEST_TITLE),
            "body": body_of(issue),
            "labels": self._labels,
        }
        if issue.assignee is not None:
            body["assignees"] = [issue.assignee]
        reply = await self._api.send("POST", self._issues, body)
        if reply.status != 201:
            raise self._refused(reply, self._repository)
        made = self._api.read(reply, _Issue)
        delivered = self._delivered(made)
        if LABEL in {(label if isinstance(label, str) else label.name).lower() for label in made.labels}:
            return delivered
        # "Only users with push access can set labels for new issues. Labels are silently dropped otherwise."
        wanting = (
            f"GitHub has dropped its label `{LABEL}`, by which it is found again: set it, and use a token that may"
        )
        return msgspec.structs.replace(delivered, wanting=wanting)

    async def close_issue(self, key: str, why: str) -> None:
        """As completed."""
        await self._change(key, {"state": "closed", "state_reason": "completed"}, f"Closed by gameday: {code(why)}")

    async def reopen_issue(self, key: str, why: str) -> None:
        """Likewise."""
        await self._change(key, {"state": "open", "state_reason": "reopened"}, f"Opened anew by gameday: {code(why)}")

    async def close(self) -> None:
        """Close all connections."""
        await self._api.close()

    async def _change(self, key: str, state: Mapping[str, str], comment: str) -> None:
        path = f"{self._issues}/{key.rpartition('#')[2]}"
        reply = await self._api.send("PATCH", path, state)
        if reply.status == 200:
            reply = await self._api.send("POST", f"{path}/comments", {"body": comment})
        if reply.status not in (200, 201):
            raise self._refused(reply, key)

    def _delivered(self, issue: _Issue) -> Delivered:
        closed_at = issue.closed_at.timestamp() if issue.closed_at else None
        return Delivered(f"{self._repository}#{issue.number}", issue.html_url, issue.state == "open", closed_at)

    def _refused(self, reply: Answer, what: str) -> TrackerError:
        """Why GitHub does not do it; `what` is the repository or an issue of it."""
        try:
            body = decode(reply.body, _Said)
            errors = (body.errors,) if isinstance(body.errors, str) else body.errors
            said = self._api.said("; ".join(filter(None, (body.message, *map(str, errors)))))
        except msgspec.DecodeError:
            said = ""
        is_all = what == self._repository
        match reply.status:
            case 401:
                return TrackerError(f"GitHub does not take the token: HTTP 401{said}", stops=True)
            case 403:
                needs = "it needs to read and write issues there"
                return TrackerError(f"GitHub does not let the token at {what}: HTTP 403{said}; {needs}", stops=is_all)
            case 404 if is_all:
                return TrackerError(
                    f"GitHub has no repository {what}, or does not show it to the token: HTTP 404{said}", stops=True
                )
            case 410 if is_all:
                return TrackerError(f"issues are disabled in {what}: HTTP 410{said}", stops=True)
            case 404 | 410:
                return TrackerError(f"{what} is not there any more: HTTP {reply.status}{said}")
            case 422:
                return TrackerError(f"GitHub refuses it: HTTP 422{said}")
            case status if status in _MOVED:
                return TrackerError(f"{what} has moved: HTTP {status}; name it as it is called now", stops=is_all)
            case status:
                is_down = not 300 <= status < 500  # or something in between answers for it
                return TrackerError(f"GitHub answers HTTP {status}{said}", stops=is_down, uncertain=is_down)


def body_of(issue: Issue) -> str:
    """GitHub Markdown. Whatever anybody has written is code: nobody is mentioned, and nothing else is referred to."""
    parts = [block(wrap(issue.detail))] if issue.detail.strip() else []
    parts.append("\n".join(f"- **{name}**: {code(value)}" for name, value in issue.facts))
    if issue.rerun:
        parts.append(f"To see whether it is still so:\n\n{block(issue.rerun, 'sh')}")
    parts.append(f"gameday knows this issue by its label `{LABEL}` and by this line; leave both in place.")
    parts.append(f"`gameday-action: {issue.id}`")
    return "\n\n".join(filter(None, parts))


def code(text: str) -> str:
    """The text on one line, as a code span (CommonMark 0.31, 6.1): longer fences than any within."""
    clean = value_of(text)
    fence = "`" * (_longest_run(clean) + 1)
    pad = " " if clean.startswith("`") or clean.endswith("`") else ""
    return f"{fence}{pad}{clean}{pad}{fence}" if clean else ""


def block(text: str, language: str = "text") -> str:
    """The text as a fenced code block (CommonMark 0.31, 4.5)."""
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)


def _mark(issue: _Issue) -> str | None:
    """The action that it was made for. What somebody wrote may look like the mark; ours comes last."""
    if issue.pull_request or not issue.body:
        return None
    marks = _MARK.findall(issue.body)
    return marks[-1] if marks else None
