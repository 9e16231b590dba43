"""Hears what people do in Slack, by Socket Mode: no public endpoint is needed.

https://docs.slack.dev/apis/events-api/using-socket-mode. Each envelope is acknowledged at once and taken at most once;
what is done about it is in `deeds`. Whatever fails here is said of the sink, and never reaches the run.
"""

import asyncio
import contextlib
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from gameday.common.json import JsonObject
from gameday.engine.runs import Run
from gameday.notify.base import Detail, Kind
from gameday.notify.slack.deeds import MARKS, REACTIONS, Deeds
from gameday.notify.slack.errors import code_of
from gameday.notify.slack.payloads import Command, Event, EventCallback, Goodbye, Interaction
from gameday.notify.slack.people import Directory
from gameday.notify.slack.prediction_modal import CALLBACK

if TYPE_CHECKING:
    from aiohttp import WSMessage
    from slack_sdk.socket_mode.aiohttp import SocketModeClient
    from slack_sdk.socket_mode.async_client import AsyncBaseSocketModeClient
    from slack_sdk.socket_mode.request import SocketModeRequest
    from slack_sdk.web.async_client import AsyncWebClient

    from gameday.spec.model import SlackConfig

NOTE_BY = "Note by "  # as the narrator begins the title of one
ABORT, PREDICT = "gameday_abort", "gameday_predict"

_MOST_REMEMBERED = 2000
_MOST_WAITING = 200
_MOST_AT_ONCE = 10
_ACKNOWLEDGE_S = 1.0  # for the acknowledgement itself, and for what a submission is answered with
_CLOSE_S = 1.0
# https://docs.slack.dev/reference/methods/apps.connections.open: what does not change by asking again.
_FOR_GOOD = frozenset(
    {"not_authed", "invalid_auth", "token_revoked", "token_expired", "account_inactive", "missing_scope",
     "not_allowed_token_type", "forbidden_team", "no_permission", "org_login_required", "ekm_access_denied"}
)  # fmt: skip

_IN_VAIN = ("link_disabled", "too_many_websockets")

type Deed = Callable[[], Awaitable[None]]


class Parent(msgspec.Struct, frozen=True):
    """The session's message: the channel's id, and its ts."""

    channel: str
    ts: str


class Once:
    """Remembers what was seen, up to so many, the newest."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._seen: dict[str, None] = {}

    def is_new(self, key: str) -> bool:
        """Whether this is the first time that it is asked about."""
        if key in self._seen:
            return False
        self._seen[key] = None
        if len(self._seen) > self._most:
            self._seen.pop(next(iter(self._seen)))
        return True


class Pace(msgspec.Struct, frozen=True):
    """Seconds: between two pings, until a lost connection is made from anew, and between two attempts."""

    ping_s: float = 5.0
    patience_s: float = 20.0
    wait_s: float = 1.0
    longest_wait_s: float = 60.0


_PACE = Pace()


class Listener:
    """Hears for one session. `allowed`: who may end it, by id, handle, email or as in game days; with none, everybody
    in the game day. `on_failure` is told, once for each cause, what does not work."""

    def __init__(
        self,
        config: "SlackConfig",
        client: "AsyncWebClient",
        run_directory: Path,
        allowed: Sequence[str],
        parent: Parent,
        *,
        on_failure: Callable[[str], None] = lambda _reason: None,
        pace: Pace = _PACE,
    ) -> None:
        self._app_token = config.app_token or ""
        self._timeout_s = config.timeout_s
        self._web = client
        self._run = Run(run_directory)
        self._parent = parent
        self._on_failure = on_failure
        self._pace = pace
        directory = Directory(client, dict(config.people), config.timeout_s)
        self._deeds = Deeds(client, self._run, directory, allowed, config.timeout_s)
        self._socket: SocketModeClient | None = None
        self._once = Once(_MOST_REMEMBERED)
        self._said: set[str] = set()
        self._waiting: asyncio.Queue[Deed] = asyncio.Queue(_MOST_WAITING)
        self._tasks: set[asyncio.Task[None]] = set()
        self._running: Counter[str] = Counter()
        self._echoes: deque[tuple[float, str]] = deque(maxlen=_MOST_WAITING)

    async def start(self) -> None:
        """Begin to listen, and return: Slack is waited for apart from whoever has called."""
        self._spawn(self._keep_connected())
        self._spawn(self._work())

    def follow(self, parent: Parent) -> None:
        """From now on this is the message whose replies are notes, and whose reactions are marks."""
        self._parent = parent

    def is_echo(self, detail: Detail) -> bool:
        """Whether this tells of a note that stands in the thread already, as somebody's reply. The answer stays the
        same when it is asked about again."""
        key = (detail.at, detail.title)
        if key in self._echoes:
            return True
        author = detail.title.removeprefix(NOTE_BY)
        if detail.kind is not Kind.NOTE or not self._deeds.is_reply(author, "".join(detail.lines)):
            return False
        self._echoes.append(key)
        return True

    async def close(self) -> None:
        """Hear no more, and forget what was not done yet. Never raises."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._disconnect()

    def _spawn(self, work: "Coroutine[None, None, None]") -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _fail(self, reason: str) -> None:
        if reason not in self._said and len(self._said) < _MOST_REMEMBERED:
            self._said.add(reason)
            self._on_failure(reason)

    # -- the connection

    async def _keep_connected(self) -> None:
        from slack_sdk.errors import SlackApiError

        wait_s = self._pace.wait_s
        while True:
            try:
                await self._connect()
                wait_s = self._pace.wait_s
                await self._watch()
                self._fail("Socket Mode: the connection was lost, and is made again")
            except SlackApiError as error:
                why = code_of(error)
                if why in _FOR_GOOD:
                    return self._fail(f"Socket Mode: {why}; nothing that is done in Slack arrives")
                self._fail(f"Socket Mode: {why}; it is tried again")
            except Exception as error:  # noqa: BLE001 - aiohttp's, the system's; it is said, and tried again
                why = "no answer" if isinstance(error, TimeoutError) else type(error).__name__
                self._fail(f"Socket Mode: {why}; it is tried again")
            await self._disconnect()
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, self._pace.longest_wait_s)

    async def _connect(self) -> None:
        from slack_sdk.socket_mode.aiohttp import SocketModeClient

        self._socket = SocketModeClient(
            self._app_token, logger=quiet_logger(), web_client=self._web, ping_interval=self._pace.ping_s
        )
        self._socket.socket_mode_request_listeners.append(self._hear)
        self._socket.on_message_listeners.append(self._told)
        async with asyncio.timeout(self._timeout_s):
            # Asked for here, for the sdk would go on asking with a token that is refused.
            self._socket.wss_uri = await self._socket.issue_new_wss_url()
            await self._socket.connect()  # type: ignore[no-untyped-call]

    async def _told(self, message: "WSMessage") -> None:
        """Slack says why it ends a connection. The sdk connects anew whatever it is, but that does not help when Socket
        Mode has been switched off, or when the app has its ten connections."""
        with contextlib.suppress(msgspec.DecodeError):
            said = msgspec.json.decode(message.data, type=Goodbye)
            if said.type == "disconnect" and said.reason in _IN_VAIN:
                self._fail(f"Socket Mode: {said.reason}; what is done in Slack may not arrive")

    async def _watch(self) -> None:
        """Until it has not been connected for some time: the sdk reconnects by itself, but may go on for ever with an
        address that is no longer good."""
        assert self._socket is not None
        clock = asyncio.get_running_loop().time
        last = clock()
        while clock() - last < self._pace.patience_s:
            await asyncio.sleep(self._pace.ping_s / 2)
            if await self._socket.is_connected():
                last = clock()

    async def _disconnect(self) -> None:
        socket, self._socket = self._socket, None
        if socket is None:
            return
        with contextlib.suppress(Exception):
            async with asyncio.timeout(_CLOSE_S):
                await socket.close()  # type: ignore[no-untyped-call]
        # What the sdk leaves when its closing is cut short.
        for task in (socket.message_processor, socket.current_session_monitor, socket.message_receiver):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        with contextlib.suppress(Exception):
            await socket.aiohttp_client_session.close()

    # -- what is heard

    async def _hear(self, client: "AsyncBaseSocketModeClient", request: "SocketModeRequest") -> None:
        is_submission = request.type == "interactive" and request.payload.get("type") == "view_submission"
        answer: JsonObject | None = None
        if is_submission and self._once.is_new(request.envelope_id):
            answer = await self._submitted(request)
        await self._acknowledge(client, request.envelope_id, answer)
        if not is_submission and self._once.is_new(request.envelope_id):
            try:
                self._take(request)
            except msgspec.ValidationError:
                return  # of no kind that is looked at
            except Exception as error:  # noqa: BLE001 - the sdk would only log it
                self._fail(f"what was done in Slack was not understood: {type(error).__name__}")

    async def _acknowledge(self, client: "AsyncBaseSocketModeClient", envelope: str, answer: JsonObject | None) -> None:
        from slack_sdk.socket_mode.response import SocketModeResponse

        try:
            async with asyncio.timeout(_ACKNOWLEDGE_S):
                await client.send_socket_mode_response(SocketModeResponse(envelope, answer))
        except Exception as error:  # noqa: BLE001 - what was asked for is done all the same
            self._fail(f"Socket Mode: an acknowledgement could not be sent ({type(error).__name__})")

    def _take(self, request: "SocketModeRequest") -> None:
        match request.type:
            case "interactive":
                self._interacted(msgspec.convert(request.payload, Interaction))
            case "events_api":
                self._happened(msgspec.convert(request.payload, EventCallback).event)
            case "slash_commands":
                self._commanded(msgspec.convert(request.payload, Command))

    def _interacted(self, said: Interaction) -> None:
        if said.type in ("shortcut", "message_action") and said.callback_id == PREDICT:
            self._now(PREDICT, partial(self._deeds.ask_prediction, said))
        for action in said.actions if said.type == "block_actions" else ():
            name, session = action.action_id, action.value
            if not name.startswith("gameday_") or not self._once.is_new(f"{name} {said.user.id} {action.action_ts}"):
                continue
            if name == ABORT:
                self._now(ABORT, partial(self._deeds.abort, said, session))
            elif session != self._run.name:
                self._later(partial(self._deeds.refuse, said.response_url, session))
            elif name == PREDICT:
                self._now(PREDICT, partial(self._deeds.ask_prediction, said))
            elif mark := MARKS.get(name):
                self._later(partial(self._deeds.mark_button, said, mark))

    def _happened(self, event: Event) -> None:
        if event.type == "message" and (event.channel, event.thread_ts) == (self._parent.channel, self._parent.ts):
            # Edits and deletions have a subtype; what a bot says, ours above all, is nobody's note. An event that is
            # sent again is the same in a new envelope.
            is_said = event.subtype in ("", "thread_broadcast", "file_share") and not event.bot_id and event.user
            if is_said and self._once.is_new(f"message {event.channel} {event.ts}"):
                self._later(partial(self._deeds.note_reply, event))
        elif event.type == "reaction_added" and event.item.ts == self._parent.ts:
            mark = REACTIONS.get(event.reaction)
            is_ours = event.item.channel == self._parent.channel
            if mark and is_ours and self._once.is_new(f"{event.reaction} {event.user} {event.item.ts}"):
                self._later(partial(self._deeds.mark, event.user, "", mark))

    def _commanded(self, command: Command) -> None:
        verb, _, rest = command.text.strip().partition(" ")
        match verb:
            case "" | "status":
                self._later(partial(self._deeds.status, command))
            case "note":
                self._later(partial(self._deeds.note_command, command, rest))
            case _:
                self._later(partial(self._deeds.help, command, "" if verb == "help" else verb))

    async def _submitted(self, request: "SocketModeRequest") -> JsonObject | None:
        try:
            said = msgspec.convert(request.payload, Interaction)
        except msgspec.ValidationError:
            return None
        if said.view is None or said.view.callback_id != CALLBACK:
            return None
        try:
            return await self._deeds.take_prediction(said, said.view)
        except Exception as error:  # noqa: BLE001 - who has said it must learn that it is not kept
            self._fail(f"a prediction could not be kept: {type(error).__name__}")
            return {"response_action": "errors", "errors": {"note": "It could not be kept; say it again."}}

    # -- what is done about it

    def _now(self, kind: str, deed: Deed) -> None:
        """Beside what is done already, unless that is a lot of the same kind: then in its turn."""
        if self._running[kind] < _MOST_AT_ONCE:
            self._running[kind] += 1
            self._spawn(self._do(deed, kind))
        else:
            self._later(deed)

    def _later(self, deed: Deed) -> None:
        try:
            self._waiting.put_nowait(deed)
        except asyncio.QueueFull:
            self._fail(f"more than {_MOST_WAITING} things were done in Slack at once; some are lost")

    async def _work(self) -> None:
        while True:
            await self._do(await self._waiting.get())

    async def _do(self, deed: Deed, kind: str = "") -> None:
        try:
            await deed()
        except Exception as error:  # noqa: BLE001 - the sdk's, aiohttp's, the disk's; it is said of the sink
            self._fail(f"what was done in Slack could not be answered or kept: {_reason(error)}")
        finally:
            self._running[kind] -= 1


def _reason(error: Exception) -> str:
    from slack_sdk.errors import SlackApiError

    if isinstance(error, SlackApiError):
        return code_of(error)
    if isinstance(error, TimeoutError):
        return "no answer in time"
    # An error of aiohttp's has the address in it, and a response URL is as good as a token.
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else type(error).__name__


def quiet_logger() -> logging.Logger:
    """The sdk's own log goes nowhere: it is no place for a session's words, and stderr is the terminal's view."""
    logger = logging.getLogger("gameday.slack.socket")
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    return logger
