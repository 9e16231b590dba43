"""What the stand-ins for services that page people share: HTTP on loopback, a key, and all that can go wrong."""

import contextlib
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from serving import Serving, StandInHandler

type Body = dict[str, Any]


@dataclass
class Asked:
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]

    def one(self, key: str, default: str = "") -> str:
        return dict(self.query).get(key, default)

    def all(self, key: str) -> list[str]:
        return [value for name, value in self.query if name == key]


class Refused(Exception):
    """The request is not to be answered."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class OnCallServer:
    """A trouble is, by the regular expression that a path begins with: a status, bytes in place of JSON, seconds to
    wait, or None: the line is cut."""

    key: str = "k3y-of-ours"
    troubles: dict[str, int | bytes | float | None] = field(default_factory=dict)
    requests: list[Asked] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)  # what no client should have asked
    url: str = ""
    most_at_once: int = 0
    _now_at_once: list[int] = field(default_factory=list)

    # For one service to say: how the key is given, what a refusal looks like, and everything else.
    def authorization(self) -> str:
        raise NotImplementedError

    def refusal(self, status: int, message: str) -> Body:
        raise NotImplementedError

    def answer(self, asked: Asked) -> Body:
        raise NotImplementedError

    def respond(self, asked: Asked) -> tuple[int, bytes] | None:
        self.requests.append(asked)
        trouble = next((what for path, what in self.troubles.items() if re.match(path, asked.path)), 200)
        match trouble:
            case None:
                return None
            case float():
                time.sleep(trouble)
            case bytes():
                return 200, trouble
            case int() if trouble != 200:
                return trouble, json.dumps(self.refusal(trouble, "as the test wants it")).encode()
        try:
            if asked.headers.get("Authorization") != self.authorization():
                raise Refused(401, "this is not the key")
            return 200, json.dumps(self.answer(asked)).encode()
        except Refused as refused:
            if refused.status == 400:
                self.wrong.append(f"{asked.path}: {refused}")
            return refused.status, json.dumps(self.refusal(refused.status, str(refused))).encode()

    @contextlib.contextmanager
    def count(self) -> Iterator[None]:
        """Count the requests that are being answered."""
        self._now_at_once.append(0)
        self.most_at_once = max(self.most_at_once, len(self._now_at_once))
        try:
            yield
        finally:
            self._now_at_once.pop()

    def __enter__(self) -> Self:
        server, respond = self, self.respond

        class Handler(StandInHandler):
            def do_GET(self) -> None:
                target = urlsplit(self.path)
                with server.count():
                    found = respond(Asked(unquote(target.path), parse_qsl(target.query), dict(self.headers)))
                if found is None:
                    self.close_connection = True
                    return
                status, body = found
                with contextlib.suppress(ConnectionError):  # a client that has heard enough hangs up
                    self.send_response(status)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(body)))
                    if status == 429:
                        self.send_header("Retry-After", "30")
                    self.end_headers()
                    self.wfile.write(body)

        self._serving = Serving(Handler)
        self.url = self._serving.url
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._serving.close()
        if kind is None:
            assert self.wrong == []


def allow(asked: Asked, *known: str) -> None:
    """Refuse a query with a parameter that the vendor's documentation does not have."""
    if unknown := {key for key, _ in asked.query} - set(known):
        raise Refused(400, f"unknown parameters {sorted(unknown)}")


def unix(text: str) -> float:
    """A Unix time; the text is ISO 8601."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise Refused(400, f"{text} has no time zone")
    return moment.timestamp()


def iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
