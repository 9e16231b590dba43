"""What the stand-ins for trackers share: HTTP on loopback that changes something, and all that can go wrong."""

import contextlib
import json
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from serving import Serving, StandInHandler

type Body = dict[str, Any]


@dataclass
class Asked:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Body


@dataclass
class Answer:
    status: int
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict)


class Refused(Exception):
    """The request is not to be carried out."""

    def __init__(self, status: int, body: object) -> None:
        super().__init__(str(body))
        self.answer = Answer(status, body)


@dataclass
class Trouble:
    """What goes wrong with requests whose method and path match: this answer in place of the right one (bytes are sent
    as they are; None: the line is cut), after some seconds. With `carried_out`, what was asked for has been done."""

    where: str
    answer: Answer | bytes | None
    after_s: float = 0.0
    carried_out: bool = False
    times: int = 1_000_000


@dataclass
class TrackerServer:
    """A tracker. `wrong`: what no client should have asked."""

    url: str = ""
    troubles: list[Trouble] = field(default_factory=list)
    requests: list[Asked] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    slow_s: float = 0.0  # every request
    lock: threading.Lock = field(default_factory=threading.Lock)

    def carry_out(self, asked: Asked) -> Answer:
        """For one tracker to say. Raises Refused."""
        raise NotImplementedError

    def written(self) -> list[Asked]:
        """The requests that were to change something."""
        return [asked for asked in self.requests if asked.method != "GET" and "/search" not in asked.path]

    def respond(self, asked: Asked) -> Answer | bytes | None:
        time.sleep(self.slow_s)
        with self.lock:
            self.requests.append(asked)
            trouble = next(
                (one for one in self.troubles if one.times and re.match(one.where, f"{asked.method} {asked.path}")),
                None,
            )
            if trouble is None or trouble.carried_out:
                try:
                    answer = self.carry_out(asked)
                except Refused as refused:
                    answer = refused.answer
            if trouble is None:
                return answer
            trouble.times -= 1
        time.sleep(trouble.after_s)
        return trouble.answer

    def __enter__(self) -> Self:
        server = self

        class Handler(StandInHandler):
            def respond(self) -> None:
                target = urlsplit(self.path)
                raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                query = dict(parse_qsl(target.query, keep_blank_values=True))
                asked = Asked(self.command, unquote(target.path), query, headers, json.loads(raw) if raw else {})
                answer = server.respond(asked)
                if answer is None:
                    self.close_connection = True
                    return
                with contextlib.suppress(ConnectionError):  # a client that has died
                    if isinstance(answer, bytes):
                        self.wfile.write(answer)
                        self.close_connection = True
                        return
                    body = b"" if answer.body is None else json.dumps(answer.body).encode()
                    self.send_response(answer.status)
                    for name, value in {"Content-Type": "application/json", **answer.headers}.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            do_GET = do_POST = do_PATCH = do_PUT = respond

        self._serving = Serving(Handler)
        self.url = self._serving.url
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._serving.close()
        if kind is None:
            assert self.wrong == []


def iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
