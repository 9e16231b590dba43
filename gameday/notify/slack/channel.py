"""Slack as a channel: one message for the session, which changes, and its thread; or an incoming webhook.

Methods: https://docs.slack.dev/reference/methods/chat.postMessage, /chat.update, and the upload in three steps of
https://docs.slack.dev/messaging/working-with-files.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from gameday.common.files import write_atomically
from gameday.journal.events import SessionStarted
from gameday.notify.base import ChannelError, Detail, Kind, Picture, Session, Status, is_said_quietly
from gameday.notify.slack.blocks import context, cut, fallback, message_of, quoted, status_blocks, status_text
from gameday.notify.slack.errors import code_of
from gameday.notify.slack.templates import Words

if TYPE_CHECKING:
    import aiohttp
    from slack_sdk.errors import SlackApiError
    from slack_sdk.web.async_client import AsyncWebClient
    from slack_sdk.webhook.async_client import AsyncWebhookClient

    from gameday.notify.slack.listener import Listener
    from gameday.spec.channels import SlackConfig

_PARENT = "slack-message.json"
_UPLOAD_TIMES = 3  # as many requests as an upload has
# What does not change by asking again: https://docs.slack.dev/reference/methods/chat.postMessage#errors.
_FINAL = frozenset(
    {"not_authed", "invalid_auth", "token_revoked", "token_expired", "account_inactive", "missing_scope",
     "not_allowed_token_type", "channel_not_found", "not_in_channel", "is_archived", "restricted_action",
     "access_denied", "ekm_access_denied", "org_login_required", "no_permission", "team_access_not_granted",
     "no_service", "channel_is_archived", "action_prohibited", "no_active_hooks", "no_team", "team_disabled",
     "user_not_found", "invalid_token"}
)  # fmt: skip
# Of the session's message alone: it is gone, or is no longer ours to change.
_THREAD_GONE = frozenset({"message_not_found", "thread_not_found"})
_PARENT_GONE = _THREAD_GONE | {"cant_update_message", "edit_window_closed"}
_NOT_NOW = frozenset({"ratelimited", "rate_limited"})  # the pages say the one of HTTP 429, and the other of a method
# A webhook has no thread: what happens in it is in everybody's way.
_BY_WEBHOOK = frozenset({Kind.BRIEF, Kind.EXPERIMENT, Kind.VERDICT})  # and what is said quietly


class _Parent(msgspec.Struct, frozen=True):
    """The session's message, in its run's directory: whoever takes over a dead run says in its thread what was done."""

    channel: str
    ts: str


def _read_parent(directory: Path) -> _Parent | None:
    try:
        return msgspec.json.decode((directory / _PARENT).read_bytes(), type=_Parent)
    except (OSError, msgspec.MsgspecError):
        return None


def _keep_parent(directory: Path, parent: _Parent) -> None:
    with contextlib.suppress(OSError):  # then it is a message of its own
        write_atomically(directory / _PARENT, msgspec.json.encode(parent))


class Voice:
    """The words for what there is to say in one session, for whoever reads them in Slack."""

    def __init__(self, config: "SlackConfig", failed: Callable[[str], None]) -> None:
        self._words = Words(config.templates, failed)
        self._people = dict(config.people)
        self._more: dict[str, object] = {}
        self.about = ""  # in mrkdwn: which session it is

    def begin(self, session: SessionStarted) -> None:
        """Which session it is."""
        self.about = cut(quoted(f"{session.title}, on {session.environment}"), 300) + f" · {quoted(session.session)}"
        self._more = {"session": session.session, "environment": session.environment, "host": session.host}

    def say(self, detail: Detail) -> str:
        """In mrkdwn. Members are mentioned by their ids; others are named."""
        mentions = (
            f"<@{member}>" if (member := self._people.get(handle)) else cut(quoted(handle), 80)
            for handle in detail.mentions
        )
        return self._words.say(detail, " ".join(mentions), self._more)


class SlackChannel:
    """With a bot's token. Everything that people read is made by `Words` and `blocks`."""

    name = "slack"
    pace_s = 1.1  # about one message a second and channel: https://docs.slack.dev/apis/web-api/rate-limits
    has_status = True

    def __init__(self, config: "SlackConfig", failed: Callable[[str], None] = lambda _reason: None) -> None:
        """`failed` is told of what goes wrong beside what is said: a template, what is heard from Slack."""
        # Now, and not in a thread beside the run: an import keeps all threads waiting.
        import_module("slack_sdk.web.async_client")
        if config.app_token:
            import_module("slack_sdk.socket_mode.aiohttp")
            import_module("gameday.notify.slack.listener")
        self._config = config
        self._failed = failed
        self._timeout_s = config.timeout_s
        self._connections: aiohttp.ClientSession | None = None
        self._client: AsyncWebClient | None = None
        self._voice = Voice(config, failed)
        self._directory: Path | None = None
        self._channel = config.channel
        self._ts: str | None = None
        self._has_parent = True  # there is one, or there can be
        self._listener: Listener | None = None

    async def open(self, session: Session) -> None:
        """What it will be about."""
        import aiohttp
        from slack_sdk.web.async_client import AsyncWebClient

        self._connections = aiohttp.ClientSession()
        # Nothing is tried twice: a message whose answer was lost would be said twice.
        self._client = AsyncWebClient(
            self._config.token,
            base_url=self._config.url,
            timeout=max(1, round(self._timeout_s)),
            session=self._connections,
            retry_handlers=[],
        )
        self._voice.begin(session.started)
        self._directory = session.directory
        if parent := _read_parent(session.directory):  # its runner has died
            self._channel, self._ts = parent.channel, parent.ts

    async def show(self, status: Status) -> None:
        """Post the session's message, or change it."""
        if not self._has_parent:
            return
        assert self._client is not None
        has_buttons = bool(self._config.app_token)
        message: dict[str, Any] = {
            "text": status_text(status),
            "blocks": status_blocks(status, has_buttons=has_buttons),
        }
        if self._ts is not None:
            try:
                # Its default is another one than that of chat.postMessage: names would be looked for in the text.
                await self._call(self._client.chat_update(channel=self._channel, ts=self._ts, parse="none", **message))
            except _ParentGoneError as error:
                self._lose_parent(str(error))
            return
        try:
            said = await self._call(self._client.chat_postMessage(channel=self._channel, unfurl_links=False, **message))
        except ChannelError as error:
            # Where nobody knows whether it stands, no second one is posted.
            self._has_parent = error.retry_after_s is not None
            raise
        self._channel, self._ts = str(said["channel"]), str(said["ts"])
        if self._directory is not None:
            _keep_parent(self._directory, _Parent(self._channel, self._ts))
        await self._listen()

    async def _listen(self) -> None:
        if not self._config.app_token or self._client is None or self._directory is None or self._ts is None:
            return
        from gameday.notify.slack.listener import Listener, Parent

        parent = Parent(self._channel, self._ts)
        if self._listener is not None:
            self._listener.follow(parent)
            return
        allowed, directory = self._config.allowed, self._directory
        self._listener = Listener(self._config, self._client, directory, allowed, parent, on_failure=self._failed)
        await self._listener.start()

    async def say(self, details: tuple[Detail, ...]) -> None:
        """Into the thread; an abort is shown in the channel as well. Without a thread, this begins one."""
        assert self._client is not None
        if self._listener is not None:
            details = tuple(detail for detail in details if not self._listener.is_echo(detail))
        if not details:
            return
        texts = [self._voice.say(detail) for detail in details]
        is_loud = self._ts is not None and any(detail.kind is Kind.ABORT for detail in details)
        blocks = message_of(texts)
        post = self._client.chat_postMessage(
            channel=self._channel,
            thread_ts=self._ts,
            reply_broadcast=is_loud or None,
            text=fallback(texts),
            blocks=blocks if self._ts else [context(self._voice.about), *blocks],
            unfurl_links=False,
            unfurl_media=False,
        )
        try:
            said = await self._call(post)
        except _ParentGoneError as error:
            if self._ts is None:
                raise
            self._lose_parent(str(error))
            raise ChannelError(str(error), retry_after_s=self.pace_s) from error
        # A reply to a message that somebody has deleted is posted into the channel, and nothing but the missing
        # `thread_ts` says so: https://github.com/slack-go/slack/issues/1571.
        message = said.get("message")
        if self._ts is not None and isinstance(message, dict) and not message.get("thread_ts"):
            self._lose_parent("thread_not_found")
        if self._ts is None:
            self._channel, self._ts, self._has_parent = str(said["channel"]), str(said["ts"]), False
            await self._listen()

    def _lose_parent(self, why: str) -> None:
        """The session's message is not changed any more. Where it is gone, the next that is said begins a thread."""
        if self._has_parent:
            self._failed(f"the session's message cannot be changed any more: {why}")
        self._has_parent = False
        if why in _THREAD_GONE:
            self._ts = None

    async def upload(self, picture: Picture) -> None:
        """Into the thread."""
        assert self._client is not None
        await self._call(
            self._client.files_upload_v2(
                channel=self._channel,
                thread_ts=self._ts,
                filename=picture.file_name,
                title=picture.title[:200],
                alt_txt=picture.alt[:1000],
                content=picture.png,
            ),
            _UPLOAD_TIMES,
        )

    async def close(self) -> None:
        """Hear no more. Never raises."""
        if self._listener is not None:
            await self._listener.close()
        if self._connections is not None:
            await self._connections.close()

    async def _call(self, work: Awaitable[Any], times: int = 1) -> Any:
        """Raises ChannelError, and _ParentGoneError."""
        from slack_sdk.errors import SlackApiError

        try:
            async with asyncio.timeout(times * self._timeout_s):
                return await work
        except SlackApiError as error:
            raise _refusal(error) from error
        except Exception as error:
            raise failure_of(error, self._timeout_s) from error


class SlackWebhook:
    """With an incoming webhook: no thread, and nothing can be changed, so less is said."""

    name = "slack"
    pace_s = 1.1
    has_status = False

    def __init__(self, config: "SlackConfig", failed: Callable[[str], None] = lambda _reason: None) -> None:
        import_module("slack_sdk.webhook.async_client")
        self._config = config
        self._timeout_s = config.timeout_s
        self._client: AsyncWebhookClient | None = None
        self._voice = Voice(config, failed)

    async def open(self, session: Session) -> None:
        """What it will be about."""
        from slack_sdk.webhook.async_client import AsyncWebhookClient

        timeout = max(1, round(self._timeout_s))
        self._client = AsyncWebhookClient(self._config.webhook or "", timeout=timeout, retry_handlers=[])
        self._voice.begin(session.started)

    async def show(self, status: Status) -> None:
        """Nothing: what is posted cannot be changed."""

    async def say(self, details: tuple[Detail, ...]) -> None:
        """The few that matter to a whole channel."""
        assert self._client is not None
        said_here = [detail for detail in details if detail.kind in _BY_WEBHOOK or is_said_quietly(detail)]
        texts = [self._voice.say(detail) for detail in said_here]
        if not texts:
            return
        try:
            async with asyncio.timeout(self._timeout_s):
                said = await self._client.send(text=fallback(texts), blocks=message_of(texts), unfurl_links=False)
        except Exception as error:
            raise failure_of(error, self._timeout_s) from error
        if said.status_code == 429:
            raise ChannelError("Slack takes no more for now", retry_after_s=retry_after(said.headers))
        if said.status_code != 200:
            why = said.body if said.body in _FINAL else f"HTTP {said.status_code}"
            raise ChannelError(why, is_final=said.body in _FINAL)

    async def upload(self, picture: Picture) -> None:
        """Nothing: a webhook takes no files."""

    async def close(self) -> None:
        """Nothing is kept open."""


def open_slack(config: "SlackConfig", failed: Callable[[str], None]) -> SlackChannel | SlackWebhook:
    """The one that is configured."""
    return SlackWebhook(config, failed) if config.webhook else SlackChannel(config, failed)


class _ParentGoneError(ChannelError):
    """The session's message cannot be changed any more."""


def _refusal(error: "SlackApiError") -> ChannelError:
    why = code_of(error)
    status = getattr(error.response, "status_code", None)
    if why in _NOT_NOW or status == 429:
        return ChannelError("Slack takes no more for now", retry_after_s=retry_after(error.response.headers))
    if why in _PARENT_GONE:
        return _ParentGoneError(why)
    return ChannelError(why, is_final=why in _FINAL)


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds, by Retry-After: https://docs.slack.dev/apis/web-api/rate-limits."""
    said = next((str(value) for key, value in headers.items() if str(key).lower() == "retry-after"), "")
    return float(said) if said.isdecimal() and said.isascii() else 30.0


def failure_of(error: Exception, timeout_s: float) -> ChannelError:
    """What became of a request that was not answered. One that never left may be sent again."""
    import aiohttp

    if isinstance(error, TimeoutError):
        return ChannelError(f"no answer within {timeout_s:g} s")
    if isinstance(error, aiohttp.ClientConnectorError):
        reason = error.os_error.strerror or "no connection"
        return ChannelError(f"it cannot be reached: {reason}", retry_after_s=1.0)
    # An error's own text may have an address in it that is as good as a token.
    return ChannelError(f"no valid answer ({type(error).__name__})")
