"""A stand-in for Slack on loopback: the Web API, incoming webhooks and response URLs; Socket Mode is in `slack_socket`.

The real slack-sdk is pointed at it: `AsyncWebClient(token, base_url=slack.api)`, `AsyncWebhookClient(slack.webhook)`
and, with that web client, `SocketModeClient`. Shapes, limits and errors by the pages of https://docs.slack.dev as they
were in November 2026: /apis/web-api (answers, scopes, `response_metadata`), /apis/web-api/rate-limits,
/reference/methods/<each method below>, /messaging/sending-messages-using-incoming-webhooks and
/changelog/2016-05-17-changes-to-errors-for-incoming-webhooks, /messaging/working-with-files (upload in three steps),
/interactivity/handling-user-interaction (response URLs, trigger ids). It is as strict as the pages allow: no bursts.
What becomes of a reply to a message that is gone is no page's word, but what was seen:
https://github.com/slack-go/slack/issues/1571 (posted into the channel), https://github.com/slackapi/bolt-js/issues/2307
(`thread_not_found`).

Time limits are read from `clock` and multiplied by `pace`: a test that has a clock of its own gives it, and one that
has none makes them short.
"""

import asyncio
import fnmatch
import itertools
import json
import threading
import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import slack_methods
import slack_socket
from aiohttp import web
from slack_blocks import Body
from slack_parts import BOT, TEAM, Call, Channel, Message, Person, RateLimited, Refused, Upload

SCOPES = "chat:write,files:write,channels:read,channels:history,reactions:read,users:read,users:read.email,commands"
RESPONSES, RESPONSE_SECONDS = 5, 1800  # how often, and how long, a response URL may be used


@dataclass
class Trouble:
    """What befalls a call. `status`: of HTTP, with a page in place of JSON. `error`: as the Web API says one."""

    seconds: float = 0.0  # first, by the loop's clock
    never: bool = False  # answers nothing, and keeps the line
    status: int | None = None
    error: str | None = None
    cut: bool = False  # the call is done, then the line is cut before the answer
    retry_after: int | None = None  # 429
    times: int | None = None  # how many calls; None: all
    do: Callable[[], None] = lambda: None  # before the call is looked at


@dataclass
class SlackServer:
    """Used as a context manager. Lists and dicts may be read at any time; `until` waits for one to be as it should."""

    token: str = "xoxb-of-ours-1"
    app_token: str = "xapp-1-of-ours-1"
    scopes: set[str] = field(default_factory=lambda: set(SCOPES.split(",")))
    app_scopes: set[str] = field(default_factory=lambda: {"connections:write"})
    pace: float = 1.0
    clock: Callable[[], float] = time.monotonic
    token_error: str | None = None  # `token_revoked`, `account_inactive`: what the bot's token has come to
    app_token_error: str | None = None
    is_webhook_removed: bool = False
    refuses_lost_threads: bool = False  # else a reply to a message that is gone is posted into the channel
    webhook_channel: str = "C0GAMEDAY"
    channels: dict[str, Channel] = field(default_factory=dict)
    people: dict[str, Person] = field(default_factory=dict)
    troubles: dict[str, Trouble] = field(default_factory=dict)  # by a pattern of methods, such as "chat.*"
    messages: list[Message] = field(default_factory=list)
    uploads: dict[str, Upload] = field(default_factory=dict)
    views: list[Body] = field(default_factory=list)  # as they were opened
    calls: list[Call] = field(default_factory=list)
    limited: list[str] = field(default_factory=list)  # the methods that were answered 429
    responses: list[tuple[str, Body]] = field(default_factory=list)  # what came by a response URL, with whose it was
    url: str = ""

    def __post_init__(self) -> None:
        self.add(Channel("C0GAMEDAY", "gameday"), Channel("C0RANDOM", "random", is_member=False))
        self.add(Person(BOT, "gameday", "Gameday"), Person("U0DEV", "checkout-dev", "Dana", "dana@example.com"))
        self.add(Person("U0SRE", "sre-oncall", "Sam", "sam@example.com"), Person("U0STRANGER", "stranger", "Stray"))
        self.triggers: dict[str, float] = {}  # by when they were made
        self.used_triggers: set[str] = set()
        self.response_urls: dict[str, tuple[str, str, float]] = {}  # person, channel, when
        self._used = defaultdict[tuple[str, str], deque[float]](deque)
        self._numbers = itertools.count(1)
        self._changed = threading.Condition()
        self.socket = slack_socket.Socket(self)

    # What the test does to the workspace.

    def add(self, *new: Channel | Person) -> None:
        for each in new:
            if isinstance(each, Channel):
                self.channels[each.id] = each
            else:
                self.people[each.id] = each

    @property
    def api(self) -> str:
        return f"{self.url}/api/"

    @property
    def webhook(self) -> str:
        return f"{self.url}/services/{TEAM}/B0HOOK/of-ours"

    def befall(self, methods: str, trouble: Trouble) -> None:
        """From now on, to methods of this pattern; the newest trouble that fits counts."""
        self.troubles = {methods: trouble, **{key: old for key, old in self.troubles.items() if key != methods}}

    def delete(self, ts: str) -> None:
        """As somebody does who may: the message is gone, its replies stay."""
        self.messages.remove(self.message(ts))

    def thread(self, ts: str) -> list[Message]:
        return [one for one in self.messages if one.thread_ts == ts and one.seen_by is None]

    def message(self, ts: str) -> Message:
        return next(one for one in self.messages if one.ts == ts)

    @property
    def parents(self) -> list[Message]:
        return [one for one in self.messages if one.thread_ts is None and one.seen_by is None]

    def whispers(self, person: str) -> list[str]:
        """What only this person has seen: ephemeral messages, and answers to their commands and buttons."""
        said = [one.text for one in self.messages if one.seen_by == person]
        return said + [body.get("text", "") for who, body in self.responses if who == person]

    def wait(self, is_so: Callable[[], object], seconds: float = 10.0) -> None:
        """From a thread that is not the client's own. It may be about other things than Slack, too."""
        until = time.monotonic() + seconds
        with self._changed:
            while not is_so():
                assert time.monotonic() < until, "it did not come to pass"
                self._changed.wait(0.02)

    async def until(self, is_so: Callable[[], object], seconds: float = 10.0) -> None:
        await asyncio.to_thread(self.wait, is_so, seconds)

    def tell(self) -> None:
        """Something has changed."""
        with self._changed:
            self._changed.notify_all()

    # What the methods use.

    def number(self) -> int:
        return next(self._numbers)

    def new_ts(self) -> str:
        return f"{int(time.time())}.{self.number():06d}"

    def new_trigger(self) -> str:
        trigger = f"{self.number()}.{self.number()}.ab{self.number():010x}"
        self.triggers[trigger] = self.clock()
        return trigger

    def new_response_url(self, kind: str, person: str, channel: str) -> str:
        path = f"/{kind}/{TEAM}/{self.number()}/of-ours"
        self.response_urls[path] = (person, channel, self.clock())
        return f"{self.url}{path}"

    def limit(self, key: str, of: str, most: int, seconds: float) -> None:
        """At most so many in any such time, or `RateLimited`."""
        now, seconds, used = self.clock(), seconds * self.pace, self._used[key, of]
        while used and used[0] <= now - seconds:
            used.popleft()
        if len(used) >= most:
            raise RateLimited(used[0] + seconds - now)
        used.append(now)

    def post(self, message: Message) -> Message:
        self.messages.append(message)
        if message.seen_by is None:
            self.socket.posted(message)
        return message

    # HTTP.

    async def _api(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        arguments, token = await _arguments(request)
        call = Call(method, arguments, token, self.clock(), request.method, "Authorization" in request.headers)
        return await self._befallen(call, self._method)

    async def _method(self, call: Call) -> web.Response:
        headers = {"x-slack-req-id": f"{self.number():x}"}
        try:
            known, scopes, answer = slack_methods.of(call.method)
            if not known:
                raise Refused("unknown_method", req_method=call.method)
            slack_methods.limit(self, call)
            slack_methods.authorize(self, call, scopes)
            headers["x-oauth-scopes"] = ",".join(sorted(self.scopes))
            headers["x-accepted-oauth-scopes"] = ",".join(scopes)
            body = {"ok": True, **answer(self, call)}
        except Refused as refused:
            body = {"ok": False, "error": refused.error, **refused.more}
        except RateLimited as limited:
            self.limited.append(call.method)
            headers["Retry-After"] = str(max(1, round(limited.seconds)))
            return web.json_response({"ok": False, "error": "ratelimited"}, status=429, headers=headers)
        return web.json_response(body, headers=headers)

    async def _webhook(self, request: web.Request) -> web.StreamResponse:
        raw = await request.text()
        return await self._befallen(Call("webhook", {"raw": raw}, None, self.clock()), self._hooked)

    async def _hooked(self, call: Call) -> web.Response:
        channel = self.channels.get(self.webhook_channel)
        try:
            self.limit("webhook", "", 1, 1.0)
            body = json.loads(call.arguments["raw"])
            if self.is_webhook_removed:
                return web.Response(status=404, text="no_service")
            if channel is None:
                return web.Response(status=404, text="channel_not_found")
            if channel.is_archived:
                return web.Response(status=410, text="channel_is_archived")
            if channel.is_restricted:
                return web.Response(status=403, text="action_prohibited")
            text, blocks = slack_methods.content(body)
        except RateLimited as limited:
            self.limited.append("webhook")
            return web.Response(status=429, text="rate_limited", headers={"Retry-After": str(round(limited.seconds))})
        except Refused as refused:
            return web.Response(status=400, text=refused.error)
        except ValueError:
            return web.Response(status=400, text="invalid_payload")
        self.post(Message(channel.id, self.new_ts(), BOT, text, blocks, body.get("thread_ts"), via="webhook"))
        return web.Response(text="ok")

    async def _respond(self, request: web.Request) -> web.StreamResponse:
        body = {"path": request.path, **json.loads(await request.text())}
        return await self._befallen(Call("response_url", body, None, self.clock()), self._responded)

    async def _responded(self, call: Call) -> web.Response:
        body = dict(call.arguments)
        path = body.pop("path")
        if path not in self.response_urls:
            return web.json_response({"ok": False, "error": "invalid_url"}, status=404)
        person, channel, since = self.response_urls[path]
        is_used = sum(one.arguments["path"] == path for one in self.calls if one.method == "response_url") > RESPONSES
        if is_used or self.clock() - since > RESPONSE_SECONDS * self.pace:
            return web.json_response({"ok": False, "error": "used_url" if is_used else "expired_url"}, status=404)
        try:
            text, blocks = slack_methods.content(body)
        except Refused as refused:
            return web.json_response({"ok": False, "error": refused.error}, status=400)
        if body.get("response_type", "ephemeral") == "in_channel":
            self.post(Message(channel, self.new_ts(), BOT, text, blocks, body.get("thread_ts"), via="response_url"))
        else:
            self.responses.append((person, body))
        return web.Response(text="ok")

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        upload = self.uploads.get(request.match_info["id"])
        content = await _file(request)

        async def keep(_: Call) -> web.Response:
            if upload is None or upload.is_complete:
                return web.Response(status=404, text="file not found")
            if len(content) != upload.length:
                return web.Response(status=400, text=f"expected {upload.length} bytes, not {len(content)}")
            upload.content = content
            return web.Response(text=f"OK - {len(content)}")

        return await self._befallen(Call("upload", {"id": request.match_info["id"]}, None, self.clock()), keep)

    async def _befallen(self, call: Call, answer: Callable[[Call], Awaitable[web.Response]]) -> web.StreamResponse:
        self.calls.append(call)
        trouble = self._trouble(call.method)
        try:
            trouble.do()
            await asyncio.sleep(trouble.seconds)
            if trouble.never:
                self.tell()
                await self._closing.wait()
            if trouble.status is not None:
                return web.Response(status=trouble.status, text="<html>as the test wants it</html>")
            if trouble.error is not None:
                return web.json_response({"ok": False, "error": trouble.error})
            if trouble.retry_after is not None:
                self.limited.append(call.method)
                headers = {"Retry-After": str(trouble.retry_after)}
                return web.json_response({"ok": False, "error": "ratelimited"}, status=429, headers=headers)
            answered = await answer(call)
            return _Cut() if trouble.cut else answered
        finally:
            self.tell()

    def _trouble(self, method: str) -> Trouble:
        for pattern, trouble in self.troubles.items():
            if fnmatch.fnmatchcase(method, pattern) and trouble.times != 0:
                trouble.times = None if trouble.times is None else trouble.times - 1
                return trouble
        return Trouble()

    # Its life.

    async def _serve(self, ready: threading.Event) -> None:
        self._closing = asyncio.Event()
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/api/{method}", self._api)
        app.router.add_post("/services/{team}/{hook}/{secret}", self._webhook)
        app.router.add_post("/{kind:actions|commands}/{team}/{number}/{secret}", self._respond)
        app.router.add_post("/upload/v1/{id}", self._upload)
        app.router.add_get("/link/", self.socket.connect)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        ready.set()
        await self._closing.wait()
        await self.socket.close()
        await runner.cleanup()

    def __enter__(self) -> Self:
        self.loop, ready = asyncio.new_event_loop(), threading.Event()
        self._thread = threading.Thread(
            target=lambda: self.loop.run_until_complete(self._serve(ready)), name="slack", daemon=True
        )
        self._thread.start()
        assert ready.wait(10)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.loop.call_soon_threadsafe(self._closing.set)
        self._thread.join(10)
        self.loop.close()


class _Cut(web.Response):
    """No answer: the line is cut."""

    async def prepare(self, request: web.BaseRequest) -> None:
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("as the test wants it")


async def _arguments(request: web.Request) -> tuple[Body, str | None]:
    arguments: Body = dict(request.query)
    if request.content_type == "application/json":
        arguments |= json.loads(await request.text() or "{}")
    elif request.can_read_body:
        arguments |= dict(await request.post())
    said = request.headers.get("Authorization", "")
    token = said.removeprefix("Bearer ") if said.startswith("Bearer ") else arguments.get("token")
    return {key: value for key, value in arguments.items() if value is not None and key != "token"}, token


async def _file(request: web.Request) -> bytes:
    if request.content_type != "multipart/form-data":
        return await request.read()
    part = next(each for each in (await request.post()).values() if isinstance(each, web.FileField))
    return part.file.read()
