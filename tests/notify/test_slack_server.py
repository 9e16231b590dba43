"""The stand-in for Slack, asked by the real slack-sdk: a mistake that Slack would refuse must be refused here."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.webhook.async_client import AsyncWebhookClient
from slack_server import Channel, SlackServer, Trouble

GAMEDAY = "C0GAMEDAY"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def client_of(slack: SlackServer, token: str | None = None) -> AsyncWebClient:
    return AsyncWebClient(slack.token if token is None else token, base_url=slack.api, timeout=5)


async def error_of(call: Awaitable[object]) -> str:
    with pytest.raises(SlackApiError) as raised:
        await call
    return raised.value.response["error"]


def section(text: str) -> dict[str, object]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def test_a_message_its_update_its_thread_and_its_link():
    clock = Clock()
    with SlackServer(clock=clock) as slack:

        async def talk() -> None:
            client = client_of(slack)
            who = await client.auth_test()
            assert (who["user"], who.headers["x-oauth-scopes"].split(",")) == ("gameday", sorted(slack.scopes))
            posted = await client.chat_postMessage(channel="#gameday", text="one", blocks=[section("one")])
            assert posted["channel"] == GAMEDAY, "a name is answered with the id, which all else wants"
            assert await error_of(client.chat_update(channel="#gameday", ts=posted["ts"], text="x")) == (
                "channel_not_found"
            )
            await client.chat_update(channel=GAMEDAY, ts=posted["ts"], text="two")
            assert (slack.parents[0].text, slack.parents[0].blocks) == ("two", [section("one")])
            link = await client.chat_getPermalink(channel=GAMEDAY, message_ts=posted["ts"])
            assert link["permalink"].endswith(posted["ts"].replace(".", ""))
            clock.now += 1
            await client.chat_postMessage(channel=GAMEDAY, text="below", thread_ts=posted["ts"])
            assert [one.text for one in slack.thread(posted["ts"])] == ["below"]
            theirs = slack.socket.write("mine", thread=posted["ts"])
            assert await error_of(client.chat_update(channel=GAMEDAY, ts=theirs, text="x")) == "cant_update_message"
            assert await error_of(client.chat_update(channel=GAMEDAY, ts="1.2", text="x")) == "message_not_found"

        asyncio.run(talk())


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda slack: setattr(slack, "token", "xoxb-another"), "invalid_auth"),
        (lambda slack: setattr(slack, "token_error", "token_revoked"), "token_revoked"),
        (lambda slack: setattr(slack, "token_error", "account_inactive"), "account_inactive"),
        (lambda slack: slack.scopes.remove("chat:write"), "missing_scope"),
        (lambda slack: slack.channels.pop(GAMEDAY), "channel_not_found"),
        (lambda slack: setattr(slack.channels[GAMEDAY], "is_member", False), "not_in_channel"),
        (lambda slack: setattr(slack.channels[GAMEDAY], "is_archived", True), "is_archived"),
        (lambda slack: setattr(slack.channels[GAMEDAY], "is_restricted", True), "restricted_action"),
    ],
)
def test_refusals(change: Callable[[SlackServer], object], error: str):
    with SlackServer() as slack:
        client = client_of(slack)
        change(slack)
        assert asyncio.run(error_of(client.chat_postMessage(channel=GAMEDAY, text="x"))) == error
        assert slack.messages == []


def test_no_token_is_not_a_wrong_one():
    with SlackServer() as slack:
        assert asyncio.run(error_of(client_of(slack, "").chat_postMessage(channel=GAMEDAY, text="x"))) == "not_authed"


def test_a_missing_scope_is_named():
    with SlackServer(scopes={"files:write"}) as slack:
        with pytest.raises(SlackApiError) as raised:
            asyncio.run(client_of(slack).chat_postMessage(channel=GAMEDAY, text="x"))
        said = raised.value.response.data
        assert said == {"ok": False, "error": "missing_scope", "needed": "chat:write", "provided": "files:write"}


def confirm(**changed: str) -> dict[str, object]:
    texts = {"title": "Sure?", "text": "It ends.", "confirm": "Abort", "deny": "No"} | changed
    dialog = {key: {"type": "plain_text", "text": text} for key, text in texts.items()}
    return {"type": "actions", "elements": [{**button(), "confirm": dialog}]}


def button(text: str = "Abort", **more: object) -> dict[str, object]:
    return {"type": "button", "action_id": "a", "text": {"type": "plain_text", "text": text}, **more}


@pytest.mark.parametrize(
    ("good", "bad", "where"),
    [
        ([section("x" * 200)] * 50, [section("x")] * 51, "/blocks"),
        ([section("x" * 3000)], [section("x" * 3001)], "/blocks/0/text/text"),
        ([section("x")], [section("")], "/blocks/0/text/text"),
        (
            [{"type": "section", "fields": [{"type": "mrkdwn", "text": "x" * 1000}] * 10}],
            [{"type": "section", "fields": [{"type": "mrkdwn", "text": "x"}] * 11}],
            "/blocks/0/fields",
        ),
        (
            [{"type": "section", "fields": [{"type": "mrkdwn", "text": "x" * 2000}]}],
            [{"type": "section", "fields": [{"type": "mrkdwn", "text": "x" * 2001}]}],
            "/blocks/0/fields/0/text",
        ),
        (
            [{"type": "header", "text": {"type": "plain_text", "text": "x" * 150}}],
            [{"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}],
            "/blocks/0/text/text",
        ),
        (
            [{"type": "header", "text": {"type": "plain_text", "text": "x"}}],
            [{"type": "header", "text": {"type": "mrkdwn", "text": "x"}}],
            "/blocks/0/text/type",
        ),
        (
            [{"type": "context", "elements": [{"type": "mrkdwn", "text": "x"}] * 10}],
            [{"type": "context", "elements": [{"type": "mrkdwn", "text": "x"}] * 11}],
            "/blocks/0/elements",
        ),
        (
            [{"type": "actions", "elements": [button("x" * 75, value="v" * 2000)]}],
            [{"type": "actions", "elements": [button("x" * 76)]}],
            "/blocks/0/elements/0/text/text",
        ),
        (
            [{"type": "actions", "elements": [button(action_id=f"a{n}") for n in range(25)]}],
            [{"type": "actions", "elements": [button(action_id=f"a{n}") for n in range(26)]}],
            "/blocks/0/elements",
        ),
        (
            [{"type": "actions", "elements": [button()]}],
            [{"type": "actions", "elements": [button(value="v" * 2001)]}],
            "/blocks/0/elements/0/value",
        ),
        ([confirm(title="x" * 100)], [confirm(title="x" * 101)], "/blocks/0/elements/0/confirm/title/text"),
        ([confirm(text="x" * 300)], [confirm(text="x" * 301)], "/blocks/0/elements/0/confirm/text/text"),
        ([confirm(deny="x" * 30)], [confirm(deny="x" * 31)], "/blocks/0/elements/0/confirm/deny/text"),
        (
            [{**section("x"), "block_id": "b" * 255}],
            [{**section("x"), "block_id": "b" * 256}],
            "/blocks/0/block_id",
        ),
        (
            [{**section("x"), "block_id": "a"}, {**section("x"), "block_id": "b"}],
            [{**section("x"), "block_id": "a"}, {**section("x"), "block_id": "a"}],
            "/blocks/1/block_id",
        ),
        ([section("x")], [{"type": "input"}], "/blocks/0/type"),
    ],
)
def test_blocks_within_their_limits(good: list[object], bad: list[object], where: str):
    clock = Clock()
    with SlackServer(clock=clock) as slack:

        async def talk() -> None:
            client = client_of(slack)
            await client.chat_postMessage(channel=GAMEDAY, text="x", blocks=good)
            clock.now += 1
            with pytest.raises(SlackApiError) as raised:
                await client.chat_postMessage(channel=GAMEDAY, text="x", blocks=bad)
            said = raised.value.response
            assert said["error"] == "invalid_blocks"
            assert said["response_metadata"]["messages"][0].startswith("[ERROR] ")
            assert f"[json-pointer:{where}]" in said["errors"][0]
            assert len(slack.messages) == 1

        asyncio.run(talk())


def test_texts_that_are_too_long():
    clock = Clock()
    with SlackServer(clock=clock) as slack:

        async def talk() -> None:
            client = client_of(slack)
            posted = await client.chat_postMessage(channel=GAMEDAY, text="x" * 40_000)
            clock.now += 1
            for call in (
                client.chat_postMessage(channel=GAMEDAY, text="x" * 40_001),
                client.chat_update(channel=GAMEDAY, ts=posted["ts"], text="x" * 4_001),
            ):
                assert await error_of(call) == "msg_too_long"
            clock.now += 1
            blocks = [section("x" * 3000)] * 5
            assert await error_of(client.chat_postMessage(channel=GAMEDAY, text="x", blocks=blocks)) == (
                "msg_blocks_too_long"
            )

        asyncio.run(talk())


def test_a_message_a_second_in_a_channel():
    clock = Clock()
    with SlackServer(clock=clock) as slack:
        slack.add(Channel("C0OTHER", "other"))

        async def talk() -> None:
            client = client_of(slack)
            await client.chat_postMessage(channel="#gameday", text="1")
            await client.chat_postMessage(channel="#other", text="another channel")
            clock.now += 0.9
            with pytest.raises(SlackApiError) as raised:
                await client.chat_postMessage(channel=GAMEDAY, text="2")
            refused = raised.value.response
            assert (refused.status_code, refused["error"], refused.headers["Retry-After"]) == (429, "ratelimited", "1")
            clock.now += 0.1
            await client.chat_postMessage(channel=GAMEDAY, text="2")
            for number in range(50):
                await client.chat_update(channel=GAMEDAY, ts=slack.messages[0].ts, text=f"{number}")
            assert await error_of(client.chat_update(channel=GAMEDAY, ts=slack.messages[0].ts, text="x")) == (
                "ratelimited"
            )
            clock.now += 60
            await client.chat_update(channel=GAMEDAY, ts=slack.messages[0].ts, text="x")

        asyncio.run(talk())


def test_an_upload_in_three_steps():
    with SlackServer() as slack:

        async def talk() -> None:
            client = client_of(slack)
            parent = await client.chat_postMessage(channel=GAMEDAY, text="parent")
            await client.files_upload_v2(
                filename="chart.png", content=b"\x89PNG", title="Latency", channel=GAMEDAY, thread_ts=parent["ts"]
            )
            (upload,) = slack.uploads.values()
            assert (upload.content, upload.is_complete) == (b"\x89PNG", True)
            assert slack.thread(parent["ts"])[0].files == [upload.id]
            asked = await client.files_getUploadURLExternal(filename="a.png", length=4)
            early = client.files_completeUploadExternal(files=[{"id": asked["file_id"]}], channel_id=GAMEDAY)
            assert await error_of(early) == "file_not_found", "its bytes have not come"
            async with aiohttp.ClientSession() as session, session.post(asked["upload_url"], data=b"123") as answer:
                assert answer.status == 400, "not as long as was said"

        asyncio.run(talk())


def test_an_incoming_webhook():
    clock = Clock()
    with SlackServer(clock=clock) as slack:

        async def talk() -> None:
            hook = AsyncWebhookClient(slack.webhook, timeout=5)
            answers = [await hook.send(text="hello"), await hook.send(text="again")]
            for change in (
                lambda: None,
                lambda: setattr(slack.channels[GAMEDAY], "is_archived", True),
                lambda: setattr(slack, "is_webhook_removed", True),
            ):
                clock.now += 1
                change()
                answers.append(await hook.send(text=""))
            assert [(one.status_code, one.body) for one in answers] == [
                (200, "ok"),
                (429, "rate_limited"),
                (400, "no_text"),
                (410, "channel_is_archived"),
                (404, "no_service"),
            ]
            assert [one.text for one in slack.messages] == ["hello"]

        asyncio.run(talk())


def test_misfortunes():
    clock = Clock()
    with SlackServer(clock=clock) as slack:

        async def talk() -> None:
            client = AsyncWebClient(slack.token, base_url=slack.api, timeout=1, retry_handlers=[])
            slack.befall("chat.*", Trouble(cut=True, times=1))
            with pytest.raises(aiohttp.ClientError):
                await client.chat_postMessage(channel=GAMEDAY, text="taken")
            assert [one.text for one in slack.messages] == ["taken"], "and yet it was done"
            slack.befall("chat.*", Trouble(status=500, times=1))
            with pytest.raises(SlackApiError) as raised:
                await client.chat_postMessage(channel=GAMEDAY, text="x")
            assert raised.value.response.status_code == 500
            slack.befall("chat.*", Trouble(never=True, times=1))
            with pytest.raises(TimeoutError):
                await client.chat_postMessage(channel=GAMEDAY, text="x")
            slack.befall("*", Trouble(do=lambda: setattr(slack, "token_error", "token_revoked"), times=1))
            clock.now += 1
            assert await error_of(client.chat_postMessage(channel=GAMEDAY, text="x")) == "token_revoked"
            assert len(slack.messages) == 1

        asyncio.run(talk())


@contextlib.asynccontextmanager
async def connected(
    slack: SlackServer, answer: Callable[[SocketModeRequest], dict[str, object] | None], ping_s: float = 5.0
) -> AsyncIterator[tuple[SocketModeClient, list[SocketModeRequest]]]:
    """The sdk's client, which acknowledges with what `answer` gives; {} for an acknowledgement that carries nothing,
    None for none at all."""
    seen = []

    async def hear(client: SocketModeClient, request: SocketModeRequest) -> None:
        seen.append(request)
        if (payload := answer(request)) is not None:
            said = {"envelope_id": request.envelope_id} | ({"payload": payload} if payload else {})
            await client.send_socket_mode_response(said)

    client = SocketModeClient(slack.app_token, web_client=client_of(slack), ping_interval=ping_s)
    client.socket_mode_request_listeners.append(hear)
    await client.connect()
    try:
        await slack.until(lambda: slack.socket.connections)
        yield client, seen
    finally:
        await client.close()


def test_socket_mode_press_modal_and_command():
    clock = Clock()
    with SlackServer(clock=clock) as slack:

        async def talk() -> None:
            web = client_of(slack)
            blocks = [{"type": "actions", "block_id": "b", "elements": [button(value="s-1")]}]
            posted = await web.chat_postMessage(channel=GAMEDAY, text="x", blocks=blocks)
            answers = {"view_submission": {"response_action": "errors", "errors": {"q": "no"}}}
            async with connected(slack, lambda request: answers.get(request.payload.get("type"), {})) as (_, seen):
                pressed = slack.socket.press(posted["ts"], "a", "U0SRE")
                assert await asyncio.to_thread(pressed.acknowledged) is None
                payload = seen[0].payload
                assert (payload["user"]["id"], payload["actions"][0]["value"]) == ("U0SRE", "s-1")
                view = {
                    "type": "modal",
                    "title": {"type": "plain_text", "text": "Predict"},
                    "submit": {"type": "plain_text", "text": "Keep"},
                    "blocks": [
                        {
                            "type": "input",
                            "block_id": "q",
                            "label": {"type": "plain_text", "text": "Why?"},
                            "element": {"type": "plain_text_input", "action_id": "v"},
                        }
                    ],
                }
                clock.now += 2.9
                long = {**view, "title": {"type": "plain_text", "text": "x" * 25}}
                assert await error_of(web.views_open(trigger_id=payload["trigger_id"], view=long)) == (
                    "invalid_arguments"
                )
                await web.views_open(trigger_id=payload["trigger_id"], view=view)
                again = web.views_open(trigger_id=payload["trigger_id"], view=view)
                assert await error_of(again) == "exchanged_trigger_id"
                sent = slack.socket.submit(slack.views[0], "U0SRE", q="because")
                assert await asyncio.to_thread(sent.acknowledged) == answers["view_submission"]
                assert seen[1].payload["view"]["state"]["values"]["q"]["v"]["value"] == "because"
                clock.now += 3.1
                late = web.views_open(trigger_id=seen[1].payload["trigger_id"], view=view)
                assert await error_of(late) == "expired_trigger_id"
                asked = slack.socket.command("status")
                await asyncio.to_thread(asked.acknowledged)
                await AsyncWebhookClient(seen[2].payload["response_url"]).send(text="all is well")
                assert slack.whispers("U0DEV") == ["all is well"]

        asyncio.run(talk())


def test_what_is_not_acknowledged_in_three_seconds_is_sent_again():
    with SlackServer(pace=0.002) as slack:

        async def talk() -> None:
            async with connected(slack, lambda request: {} if request.retry_attempt == 2 else None) as (_, seen):
                slack.socket.write("hello")
                await slack.until(lambda: slack.socket.envelopes and slack.socket.envelopes[-1].is_acknowledged)
                assert [(one.retry_attempt, one.retry_reason) for one in seen] == [
                    (0, ""),
                    (1, "timeout"),
                    (2, "timeout"),
                ]
                assert len({one.payload["event_id"] for one in seen}) == 1
                assert len({one.envelope_id for one in seen}) == 3

        asyncio.run(talk())


@pytest.mark.parametrize("reason", ["refresh_requested", "warning", "cut"])
def test_the_client_connects_anew(reason: str):
    with SlackServer(pace=0.001) as slack:

        async def talk() -> None:
            async with connected(slack, lambda _: {}, ping_s=0.3) as (_, seen):
                slack.socket.cut() if reason == "cut" else slack.socket.disconnect(reason)
                await slack.until(lambda: slack.socket.opened >= 2)
                while not seen:  # what falls between two connections is lost
                    slack.socket.command("status")
                    await asyncio.sleep(0.05)

        asyncio.run(talk())


def test_an_app_that_may_not_read_hears_nothing():
    with SlackServer(scopes={"chat:write"}) as slack:

        async def talk() -> None:
            async with connected(slack, lambda _: {}) as (_, seen):
                slack.socket.write("hello")
                sent = slack.socket.command("status")
                await asyncio.to_thread(sent.acknowledged)
                assert [one.type for one in seen] == ["slash_commands"]

        asyncio.run(talk())


def test_socket_mode_wants_an_app_level_token():
    with SlackServer(app_scopes=set()) as slack:
        client = client_of(slack)
        assert asyncio.run(error_of(client.apps_connections_open(app_token=slack.token))) == "not_allowed_token_type"
        assert asyncio.run(error_of(client.apps_connections_open(app_token=slack.app_token))) == "missing_scope"
