"""Socket Mode of the stand-in for Slack, and the people who press, write, react and fill in.

By https://docs.slack.dev/apis/events-api/using-socket-mode and /socket-implement (hello, envelopes, acknowledgements,
disconnect, up to ten connections, any of which may get an envelope), /apis/events-api (three seconds, then sent again
three times), /reference/interaction-payloads, /reference/events/message, /reference/events/reaction_added and
/interactivity/implementing-slash-commands, as in November 2026. An event that is sent again has the same `event_id`
and a new envelope; the rest is not sent again, and who pressed sees that it failed.
"""

import asyncio
import json
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import slack_methods
from aiohttp import WSMsgType, web
from slack_blocks import Body, elements
from slack_parts import APP, TEAM, Message

if TYPE_CHECKING:
    from slack_server import SlackServer

ACKNOWLEDGED_WITHIN = 3.0
CONNECTIONS = 10
AGAIN_AFTER = (0.0, 60.0, 300.0)


@dataclass
class Envelope:
    """What was sent, and what came back. `response` is what the acknowledgement carried."""

    id: str
    kind: str
    payload: Body
    accepts_response: bool
    attempt: int = 0
    is_acknowledged: bool = False
    is_late: bool = False  # nothing came in three seconds
    acknowledgements: int = 0
    response: Body | None = None
    came: threading.Event = field(default_factory=threading.Event)

    def acknowledged(self, seconds: float = 10.0) -> Body | None:
        """Wait for the acknowledgement and give what it carried; from a thread that is not the client's own."""
        assert self.came.wait(seconds), f"{self.kind} was not acknowledged"
        return self.response

    def wire(self) -> str:
        said = {"envelope_id": self.id, "type": self.kind, "payload": self.payload}
        said |= {"accepts_response_payload": self.accepts_response}
        if self.kind == "events_api":
            said |= {"retry_attempt": self.attempt, "retry_reason": "timeout" if self.attempt else ""}
        return json.dumps(said)


class Socket:
    """`envelopes` has all that were sent, those sent again too."""

    def __init__(self, slack: "SlackServer") -> None:
        self._slack = slack
        self._tickets: set[str] = set()
        self._turn = 0
        self._sending: set[asyncio.Task[None]] = set()
        self.connections: list[web.WebSocketResponse] = []
        self.opened = 0
        self.says_hello = True
        self.refusals = 0  # so many connections are refused, each with an address that was good
        self.envelopes: list[Envelope] = []
        self.unknown: list[str] = []  # what clients said that is no acknowledgement

    def new_url(self) -> str:
        ticket = f"ticket-{self._slack.number()}"
        self._tickets.add(ticket)
        return f"{self._slack.url.replace('http', 'ws', 1)}/link/?ticket={ticket}"

    async def connect(self, request: web.Request) -> web.StreamResponse:
        is_good = (ticket := request.query.get("ticket", "")) in self._tickets
        self._tickets.discard(ticket)
        if not is_good or self.refusals > 0:
            self.refusals -= is_good
            return web.Response(status=403, text="invalid ticket")
        line = web.WebSocketResponse()
        await line.prepare(request)
        if len(self.connections) >= CONNECTIONS:
            await line.send_json({"type": "disconnect", "reason": "too_many_websockets", "debug_info": _DEBUG})
            await line.close()
            return line
        self.connections.append(line)
        self.opened += 1
        if self.says_hello:
            hello = {"num_connections": len(self.connections), "connection_info": {"app_id": APP}}
            debug = {**_DEBUG, "approximate_connection_time": 18060}
            await line.send_json({"type": "hello", **hello, "debug_info": debug})
        self._slack.tell()
        try:
            async for said in line:
                if said.type is WSMsgType.TEXT:
                    self._said(said.data)
        finally:
            if line in self.connections:
                self.connections.remove(line)
            self._slack.tell()
        return line

    def _said(self, raw: str) -> None:
        said = json.loads(raw)
        envelope = next((one for one in self.envelopes if one.id == said.get("envelope_id")), None)
        if envelope is None:
            self.unknown.append(raw)
            return
        envelope.acknowledgements += 1
        if envelope.acknowledgements == 1 and not envelope.is_late:
            if "payload" in said and not envelope.accepts_response:
                self.unknown.append(raw)
            envelope.response, envelope.is_acknowledged = said.get("payload"), True
            envelope.came.set()
        self._slack.tell()

    def send(self, kind: str, payload: Body, *, accepts_response: bool = False, attempt: int = 0) -> Envelope:
        """To the next connection; from any thread."""
        envelope = Envelope(f"e-{self._slack.number()}", kind, payload, accepts_response, attempt)
        self._slack.loop.call_soon_threadsafe(self._begin, envelope)
        return envelope

    def _begin(self, envelope: Envelope) -> None:
        task = self._slack.loop.create_task(self._send(envelope))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    def send_twice(self, envelope: Envelope) -> None:
        """The very same envelope once more, as may happen around a reconnection."""
        asyncio.run_coroutine_threadsafe(self._deliver(envelope), self._slack.loop).result(10)

    async def _send(self, envelope: Envelope) -> None:
        self.envelopes.append(envelope)
        await self._deliver(envelope)
        await asyncio.sleep(ACKNOWLEDGED_WITHIN * self._slack.pace)
        if envelope.is_acknowledged:
            return
        envelope.is_late = True
        self._slack.tell()
        if envelope.kind == "events_api" and envelope.attempt < len(AGAIN_AFTER):
            await asyncio.sleep(AGAIN_AFTER[envelope.attempt] * self._slack.pace)
            self.send(envelope.kind, envelope.payload, attempt=envelope.attempt + 1)

    async def _deliver(self, envelope: Envelope) -> None:
        if lines := [line for line in self.connections if not line.closed]:
            self._turn += 1
            await lines[self._turn % len(lines)].send_str(envelope.wire())

    # What Slack does to connections.

    def disconnect(self, reason: str = "refresh_requested") -> None:
        """Tell the oldest connection to go (`refresh_requested`, `warning`, `link_disabled`), then close it."""

        async def leave() -> None:
            line = self.connections.pop(0)
            await line.send_json({"type": "disconnect", "reason": reason, "debug_info": _DEBUG})
            await asyncio.sleep(0.05)
            await line.close()

        asyncio.run_coroutine_threadsafe(leave(), self._slack.loop).result(10)

    def cut(self) -> None:
        """Every connection ends with no word."""

        def end() -> None:
            for line in self.connections:
                if line._req is not None and line._req.transport is not None:
                    line._req.transport.abort()
            self.connections.clear()

        self._slack.loop.call_soon_threadsafe(end)

    async def close(self) -> None:
        for task in self._sending:
            task.cancel()
        for line in list(self.connections):
            await line.close()

    # What people do.

    def press(self, ts: str, action: str, person: str = "U0DEV", *, value: str | None = None) -> Envelope:
        """A button of a message, its confirmation confirmed. `value`: in place of the button's own."""
        message = self._slack.message(ts)
        block, button = next(
            (block, each) for block in message.blocks for each in elements(block) if each["action_id"] == action
        )
        done = {key: button[key] for key in ("action_id", "type", "text", "value", "style", "confirm") if key in button}
        done |= {"block_id": block.get("block_id", "b"), "action_ts": self._slack.new_ts()}
        if value is not None:
            done["value"] = value
        where = {"type": "message", "message_ts": ts, "channel_id": message.channel, "is_ephemeral": False}
        if message.thread_ts:
            where["thread_ts"] = message.thread_ts
        payload = {"type": "block_actions", **self._who(person), "container": where, "actions": [done]}
        payload |= {"channel": self._channel(message.channel), "message": slack_methods.as_seen(message)}
        payload |= {"state": {"values": {}}, "trigger_id": self._slack.new_trigger()}
        payload["response_url"] = self._slack.new_response_url("actions", person, message.channel)
        return self.send("interactive", payload)

    def shortcut(self, callback: str, person: str = "U0DEV", ts: str | None = None) -> Envelope:
        """A global shortcut, or one of a message."""
        payload = {"type": "shortcut", **self._who(person), "callback_id": callback}
        payload |= {"trigger_id": self._slack.new_trigger(), "action_ts": self._slack.new_ts()}
        if ts is not None:
            message = self._slack.message(ts)
            payload |= {"type": "message_action", "message_ts": ts, "channel": self._channel(message.channel)}
            payload["message"] = slack_methods.as_seen(message)
            payload["response_url"] = self._slack.new_response_url("actions", person, message.channel)
        return self.send("interactive", payload)

    def submit(self, view: Body, person: str = "U0DEV", **answers: str | None) -> Envelope:
        """A modal, with answers by block: text, or the value of the chosen option."""
        values: Body = {}
        for block in view["blocks"]:
            if block["type"] != "input":
                continue
            given, element = answers.pop(block["block_id"], None), block["element"]
            assert given is not None or block.get("optional"), f"Slack itself asks for {block['block_id']}"
            state: Body = {"type": element["type"], "value": given}
            if element["type"] != "plain_text_input":
                chosen = next((each for each in element["options"] if each["value"] == given), None)
                assert (chosen is None) == (given is None), f"there is no option {given}"
                state = {"type": element["type"], "selected_option": chosen}
            values[block["block_id"]] = {element["action_id"]: state}
        assert not answers, f"there is no {set(answers)}"
        seen = {**view, "state": {"values": values}}
        payload = {"type": "view_submission", **self._who(person), "view": seen, "response_urls": []}
        payload["trigger_id"] = self._slack.new_trigger()
        return self.send("interactive", payload, accepts_response=True)

    def command(self, text: str, person: str = "U0DEV", channel: str = "C0GAMEDAY", name: str = "/gameday") -> Envelope:
        named = {"user_id": person, "user_name": self._slack.people[person].name, "command": name, "text": text}
        where = {"channel_id": channel, "channel_name": self._slack.channels[channel].name, "team_domain": "shop"}
        payload = {**_ids(), **named, **where, "is_enterprise_install": "false"}
        payload["response_url"] = self._slack.new_response_url("commands", person, channel)
        payload["trigger_id"] = self._slack.new_trigger()
        return self.send("slash_commands", payload, accepts_response=True)

    def write(self, text: str, person: str = "U0DEV", thread: str | None = None, channel: str = "C0GAMEDAY") -> str:
        """In a channel or a thread, as people do; its ts. `text` is as Slack has it, `&lt;` for <."""
        message = Message(channel, self._slack.new_ts(), person, text, [], thread, via="person")
        self._slack.post(message)
        return message.ts

    def edit(self, ts: str, text: str) -> None:
        message = self._slack.message(ts)
        message.edits.append((message.text, message.blocks))
        message.text = text
        self.edited(message)

    def react(self, ts: str, emoji: str, person: str = "U0DEV") -> None:
        message = self._slack.message(ts)
        message.reactions.setdefault(emoji, []).append(person)
        self.reacted(message, person, emoji)

    # The events that follow.

    def posted(self, message: Message) -> None:
        seen = {**slack_methods.as_seen(message), "channel": message.channel, "event_ts": message.ts}
        self._event("channels:history", message.channel, {**seen, "channel_type": "channel"})

    def edited(self, message: Message) -> None:
        before = {**slack_methods.as_seen(message), "text": message.edits[-1][0]}
        stamp = self._slack.new_ts()
        event = {"type": "message", "subtype": "message_changed", "hidden": True, "channel": message.channel}
        event |= {"message": slack_methods.as_seen(message), "previous_message": before, "ts": stamp, "event_ts": stamp}
        self._event("channels:history", message.channel, {**event, "channel_type": "channel"})

    def reacted(self, message: Message, person: str, emoji: str) -> None:
        item = {"type": "message", "channel": message.channel, "ts": message.ts}
        event = {"type": "reaction_added", "user": person, "reaction": emoji, "item": item, "item_user": message.user}
        self._event("reactions:read", message.channel, {**event, "event_ts": self._slack.new_ts()})

    def _event(self, scope: str, channel: str, event: Body) -> None:
        """Events come only to an app that may read them, and is in the channel."""
        if not self.opened or scope not in self._slack.scopes or not self._slack.channels[channel].is_member:
            return
        wrapped = {**_ids(), "type": "event_callback", "event": event, "event_id": f"Ev0{self._slack.number()}"}
        self.send("events_api", {**wrapped, "event_time": int(float(event["event_ts"]))})

    def _who(self, person: str) -> Body:
        name = self._slack.people[person].name
        team = {"id": TEAM, "domain": "shop"}
        return {**_ids(), "team": team, "user": {"id": person, "username": name, "name": name, "team_id": TEAM}}

    def _channel(self, channel: str) -> Body:
        return {"id": channel, "name": self._slack.channels[channel].name}


_DEBUG = {"host": "applink-of-ours"}


def _ids() -> Body:
    return {"token": "verification-of-ours", "team_id": TEAM, "api_app_id": APP}
