"""Whether what is configured for Slack works: token, scopes, channel, Socket Mode; and what is missing, by its name.

By https://docs.slack.dev/reference/methods/auth.test (the header x-oauth-scopes), /chat.postMessage and
/apps.connections.open. Nothing here can see whether the app is subscribed to events or has its slash command.
"""

import asyncio
import contextlib
from collections.abc import Iterable
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from gameday.notify.slack.errors import code_of, field_of
from gameday.notify.slack.mrkdwn import escape

if TYPE_CHECKING:
    from slack_sdk.web.async_client import AsyncWebClient

    from gameday.spec.model import SlackConfig

_TO_TELL = (("chat:write", "nothing can be said without it"), ("files:write", "charts are uploaded with it"))
_TO_HEAR = (
    ("channels:history", "replies in the thread become notes with it; groups:history in a private channel"),
    ("reactions:read", "reactions become marks with it"),
    ("commands", "`/gameday` and shortcuts need it"),
    ("users:read", "people are known by their names with it"),
)
_BY_EMAIL = ("users:read.email", "`allowed` or `people` names somebody by email")
_WHERE = "add it in the app's OAuth & Permissions, Bot Token Scopes, and install the app again"
_BOT_LEVEL_IS = "it is the Bot User OAuth Token (xoxb-…) of the app's OAuth & Permissions"
_APP_LEVEL_IS = "it is an App-Level Token (xapp-…) of the app's Basic Information, with the scope connections:write"
_WHY = {
    "not_authed": _BOT_LEVEL_IS,
    "invalid_auth": _BOT_LEVEL_IS,
    "not_allowed_token_type": _BOT_LEVEL_IS,
    "token_revoked": "install the app again and take its new token",
    "account_inactive": "the app was removed from the workspace: install it again",
    "channel_not_found": "there is no such channel, or it is private and the app is not in it: /invite it there",
    "not_in_channel": "the app is not in it: /invite it there",
    "is_archived": "it is archived",
    "restricted_action": "only some may post there",
    "no_service": "the webhook was removed",
    "channel_is_archived": "its channel is archived",
}


class CheckOutcome(StrEnum):
    """What came of one check."""

    OK = "ok"
    MISSING = "missing"  # it is wanted, and does not work
    OFF = "off"  # it is not configured


class Check(msgspec.Struct, frozen=True):
    """One of them: what was looked at, and in words what was found."""

    name: str
    outcome: CheckOutcome
    detail: str


async def check_slack(config: "SlackConfig") -> tuple[Check, ...]:
    """Look at everything, and say in the channel, in one message, what was found. Never raises."""
    if not config.token:
        return (await _webhook(config),)
    from slack_sdk.web.async_client import AsyncWebClient

    # Nothing is tried twice: a message whose answer was lost would be said twice.
    client = AsyncWebClient(
        config.token, base_url=config.url, timeout=max(1, round(config.timeout_s)), retry_handlers=[]
    )
    found = [*await _token_and_scopes(config, client), await _socket_mode(config, client)]
    return (*found, await _channel(config, client, found))


def say_checks(checks: Iterable[Check]) -> str:
    """All of them in one line."""
    checks = tuple(checks)
    missing = [f"{check.name}: {check.detail}" for check in checks if check.outcome is CheckOutcome.MISSING]
    fine = [f"{check.name} ok ({check.detail})" for check in checks if check.outcome is CheckOutcome.OK]
    off = [f"{check.name} off: {check.detail}" for check in checks if check.outcome is CheckOutcome.OFF]
    head = "Slack works" if not missing else f"Slack: {len(missing)} missing"
    return f"{head}: {'; '.join([*missing, *fine, *off])}"


async def _token_and_scopes(config: "SlackConfig", client: "AsyncWebClient") -> list[Check]:
    try:
        async with asyncio.timeout(config.timeout_s):
            said = await client.auth_test()
    except Exception as error:  # noqa: BLE001 - the sdk's, aiohttp's, the system's: each is an answer
        return [Check("token", CheckOutcome.MISSING, _explain(error))]
    token = Check("token", CheckOutcome.OK, f"@{said.get('user')} in {said.get('team')}")
    headers = {str(key).lower(): str(value) for key, value in said.headers.items()}
    if "x-oauth-scopes" not in headers:
        return [token, Check("scopes", CheckOutcome.MISSING, "Slack did not say which the token has")]
    has = {scope.strip() for scope in headers["x-oauth-scopes"].split(",")}
    lacking = [f"{scope} ({why})" for scope, why in _wanted(config) if scope not in has and not _stands_in(scope, has)]
    if lacking:
        return [token, Check("scopes", CheckOutcome.MISSING, f"{', '.join(lacking)}; {_WHERE}")]
    return [token, Check("scopes", CheckOutcome.OK, ", ".join(scope for scope, _ in _wanted(config)))]


def _wanted(config: "SlackConfig") -> tuple[tuple[str, str], ...]:
    if not config.app_token:
        return _TO_TELL
    named = (*config.allowed, *dict(config.people).values())
    return (*_TO_TELL, *_TO_HEAR, *((_BY_EMAIL,) if any("@" in name[1:] for name in named) else ()))


def _stands_in(scope: str, has: set[str]) -> bool:
    return scope == "channels:history" and "groups:history" in has


async def _socket_mode(config: "SlackConfig", client: "AsyncWebClient") -> Check:
    from slack_sdk.socket_mode.aiohttp import SocketModeClient

    from gameday.notify.slack.listener import quiet_logger

    name = "Socket Mode"
    if not config.app_token:
        return Check(name, CheckOutcome.OFF, "without an app-token nothing can be done from Slack")
    hello = asyncio.Event()

    async def hear(_client: object, message: dict[str, object], _raw: str | None) -> None:
        if message.get("type") == "hello":
            hello.set()

    socket = SocketModeClient(config.app_token, logger=quiet_logger(), web_client=client)
    socket.message_listeners.append(hear)
    try:
        async with asyncio.timeout(config.timeout_s):
            socket.wss_uri = await socket.issue_new_wss_url()
            await socket.connect()  # type: ignore[no-untyped-call]
            await hello.wait()
    except Exception as error:  # noqa: BLE001 - as above
        detail = _explain(error, missing=_APP_LEVEL_IS, token=_APP_LEVEL_IS)
        return Check(name, CheckOutcome.MISSING, f"{detail}; is it switched on in the app's settings?")
    finally:
        with contextlib.suppress(Exception):
            async with asyncio.timeout(config.timeout_s):
                await socket.close()  # type: ignore[no-untyped-call]
    return Check(name, CheckOutcome.OK, "connected")


async def _channel(config: "SlackConfig", client: "AsyncWebClient", found: list[Check]) -> Check:
    try:
        async with asyncio.timeout(config.timeout_s):
            await client.chat_postMessage(channel=config.channel, text=_message(found))
    except Exception as error:  # noqa: BLE001 - as above
        return Check("channel", CheckOutcome.MISSING, f"{config.channel}: {_explain(error)}")
    return Check("channel", CheckOutcome.OK, config.channel)


async def _webhook(config: "SlackConfig") -> Check:
    from slack_sdk.webhook.async_client import AsyncWebhookClient

    try:
        async with asyncio.timeout(config.timeout_s):
            timeout = max(1, round(config.timeout_s))
            hook = AsyncWebhookClient(config.webhook or "", timeout=timeout, retry_handlers=[])
            said = await hook.send(text=_message([]))
    except Exception as error:  # noqa: BLE001 - as above
        return Check("webhook", CheckOutcome.MISSING, _explain(error))
    if said.status_code != 200:
        why = said.body[:80] if said.body.replace("_", "").isalnum() else f"HTTP {said.status_code}"
        return Check("webhook", CheckOutcome.MISSING, _with_reason(why))
    return Check("webhook", CheckOutcome.OK, "its channel has a message; for a thread, charts and more, give a token")


def _message(found: list[Check]) -> str:
    return escape(f"`gameday slack test`: this channel can be told. {say_checks(found) if found else ''}".strip())


def _explain(error: Exception, *, missing: str = _WHERE, token: str = _BOT_LEVEL_IS) -> str:
    from slack_sdk.errors import SlackApiError

    if isinstance(error, TimeoutError):
        return "no answer in time"
    if not isinstance(error, SlackApiError):
        return f"it cannot be reached ({type(error).__name__})"
    why = code_of(error)
    if why == "missing_scope":
        return f"the scope {field_of(error, 'needed')} is missing: {missing}"
    return f"{why}: {token}" if _WHY.get(why) is _BOT_LEVEL_IS else _with_reason(why)


def _with_reason(why: str) -> str:
    return f"{why}: {_WHY[why]}" if why in _WHY else why
