"""What was asked of an API server, by whom: the proof that nothing was changed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

FIXTURE_AGENT = "gameday-test-fixture"  # the fixture's own requests, which no audit lists
_READS = ("get", "list", "watch")
_REVIEWS = "/apis/authorization.k8s.io/"


@dataclass(frozen=True)
class Call:
    """One request. A code of 0: no answer."""

    verb: str
    path: str
    user: str
    dry_run: bool
    code: int
    query: str = ""
    agent: str = ""

    @property
    def changes(self) -> bool:
        """Whether it may have changed anything."""
        is_review = self.path.startswith(_REVIEWS)
        refused = 300 <= self.code < 500
        is_read = self.verb in _READS and not self.path.endswith("/exec")
        return not is_read and not self.dry_run and not is_review and not refused

    def __str__(self) -> str:
        return f"{self.user}: {self.verb} {self.path}{'?' if self.query else ''}{self.query} -> {self.code}"


def verb_of(method: str, name: str, *, watch: bool = False) -> str:
    """Kubernetes' verb for a method, on an object with a name or on a collection."""
    match method:
        case "GET" | "HEAD":
            return "watch" if watch else "get" if name else "list"
        case "DELETE":
            return "delete" if name else "deletecollection"
        case _:
            return {"POST": "create", "PUT": "update", "PATCH": "patch"}.get(method, method.lower())


def is_dry(verb: str, query: str, body: Any) -> bool:
    """Whether the server takes it as a dry run: of a deletion with a body, the query does not count."""
    options = body if isinstance(body, dict) else {}
    if verb.startswith("delete") and options:
        return "All" in (options.get("dryRun") or ())
    inner = options.get("deleteOptions") or {}
    return "All" in parse_qs(query).get("dryRun", ()) or "All" in (inner.get("dryRun") or ())


def read_log(text: bytes, keep: Callable[[Call], bool]) -> list[Call]:
    """The calls of an API server's audit log: https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/."""
    found = []
    for line in text.splitlines():
        event = msgspec.json.decode(line)
        url = urlsplit(event["requestURI"])
        user = event.get("impersonatedUser") or event["user"]
        call = Call(
            event["verb"],
            url.path,
            user["username"],
            is_dry(event["verb"], url.query, event.get("requestObject")),
            (event.get("responseStatus") or {}).get("code", 0),
            url.query,
            event.get("userAgent", ""),
        )
        if keep(call):
            found.append(call)
    return found
