"""The methods of Slack's Web API that the stand-in has: arguments, scopes, limits, answers and errors.

By https://docs.slack.dev/reference/methods/<method>, as in November 2026.
"""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from slack_blocks import Body, is_too_long, problems, view_problems
from slack_parts import APP, BOT, BOT_ID, TEAM, Call, Channel, Message, Refused, Upload

if TYPE_CHECKING:
    from slack_server import SlackServer
type Answer = Callable[["SlackServer", Call], Body]

TRIGGER_SECONDS = 3.0
LONGEST, LONGEST_UPDATE = 40_000, 4_000  # of a text; the pages say characters, and bytes have been seen to count
# Calls a minute.
_TIERS = {1: 1, 2: 20, 3: 50, 4: 100, "hundreds": 300}
_METHODS: dict[str, tuple[int | str, tuple[str, ...], Answer]] = {}


def method(name: str, tier: int | str, *scopes: str) -> Callable[[Answer], Answer]:
    def keep(answer: Answer) -> Answer:
        _METHODS[name] = (tier, scopes, answer)
        return answer

    return keep


def of(name: str) -> tuple[bool, tuple[str, ...], Answer]:
    """Whether there is such a method, any one of which scopes it wants, and what answers."""
    _, scopes, answer = _METHODS.get(name, ("", (), lambda *_: {}))
    return name in _METHODS, scopes, answer


def limit(slack: "SlackServer", call: Call) -> None:
    """Raises `RateLimited`. A message a second a channel, beside what a minute may hold."""
    if call.method == "chat.postMessage":
        name = str(call.arguments.get("channel")).removeprefix("#")
        ids = [channel.id for channel in slack.channels.values() if channel.name == name]
        slack.limit("chat.postMessage in", *(ids or [name]), 1, 1.0)
    slack.limit(call.method, str(call.token), _TIERS[_METHODS[call.method][0]], 60.0)


def authorize(slack: "SlackServer", call: Call, scopes: tuple[str, ...]) -> None:
    is_app_level = call.method == "apps.connections.open"
    token, error = (slack.app_token, slack.app_token_error) if is_app_level else (slack.token, slack.token_error)
    if is_app_level and call.verb != "POST":
        raise Refused("insecure_request")
    if not call.token:
        raise Refused("not_authed")
    if is_app_level and not call.in_header:
        raise Refused("invalid_auth")
    if call.token in (slack.token, slack.app_token) and call.token != token:
        raise Refused("not_allowed_token_type")
    if call.token != token:
        raise Refused("invalid_auth")
    if error:
        raise Refused(error)
    has = slack.app_scopes if is_app_level else slack.scopes
    if scopes and not has & set(scopes):
        raise Refused("missing_scope", needed=",".join(scopes), provided=",".join(sorted(has)))


def content(body: Body, longest: int = LONGEST) -> tuple[str, list[Body]]:
    """A message's text and blocks, or `Refused`. `longest`: bytes of the text."""
    text, blocks = body.get("text") or "", body.get("blocks") or []
    if isinstance(blocks, str):
        try:
            blocks = json.loads(blocks)
        except ValueError:
            raise Refused("invalid_blocks_format") from None
    if len(text.encode()) > longest:
        raise Refused("msg_too_long")
    if found := problems(blocks):
        raise Refused(
            "invalid_blocks", errors=found, response_metadata={"messages": [f"[ERROR] {each}" for each in found]}
        )
    if is_too_long(blocks):
        raise Refused("msg_blocks_too_long")
    if not text and not blocks:
        raise Refused("no_text")
    return text, blocks


@method("auth.test", "hundreds")
def _auth_test(slack: "SlackServer", call: Call) -> Body:
    ours = {"team": "Shop", "user": "gameday", "team_id": TEAM, "user_id": BOT, "bot_id": BOT_ID}
    return {"url": "https://shop.slack.com/", **ours, "is_enterprise_install": False}


@method("chat.postMessage", "hundreds", "chat:write")
def _post(slack: "SlackServer", call: Call) -> Body:
    channel = _writable(slack, call, by_name=True)
    text, blocks = content(call.arguments)
    thread = call.arguments.get("thread_ts")
    if thread is not None and not any(one.ts == thread and one.channel == channel.id for one in slack.messages):
        if slack.refuses_lost_threads:
            raise Refused("thread_not_found")
        thread = None
    message = slack.post(Message(channel.id, slack.new_ts(), BOT, text, blocks, thread))
    return {"channel": channel.id, "ts": message.ts, "message": as_seen(message)}


@method("chat.postEphemeral", 4, "chat:write")
def _whisper(slack: "SlackServer", call: Call) -> Body:
    channel = _writable(slack, call, by_name=True)
    if call.arguments.get("user") not in slack.people:
        raise Refused("user_not_in_channel")
    text, blocks = content(call.arguments)
    thread, person = call.arguments.get("thread_ts"), call.arguments["user"]
    message = slack.post(Message(channel.id, slack.new_ts(), BOT, text, blocks, thread, person))
    return {"message_ts": message.ts}


@method("chat.update", 3, "chat:write")
def _update(slack: "SlackServer", call: Call) -> Body:
    channel = _writable(slack, call)
    message = _message(slack, channel, call.arguments.get("ts"))
    if message.user != BOT:
        raise Refused("cant_update_message")
    text, blocks = content({"blocks": message.blocks, **call.arguments}, LONGEST_UPDATE)
    message.edits.append((message.text, message.blocks))
    message.text, message.blocks = text, blocks
    slack.socket.edited(message)
    return {"channel": channel.id, "ts": message.ts, "text": text, "message": as_seen(message)}


@method("chat.getPermalink", "hundreds")
def _permalink(slack: "SlackServer", call: Call) -> Body:
    channel = _channel(slack, call.arguments.get("channel"))
    message = _message(slack, channel, call.arguments.get("message_ts"))
    link = f"https://shop.slack.com/archives/{channel.id}/p{message.ts.replace('.', '')}"
    return {"channel": channel.id, "permalink": link}


@method("conversations.info", 3, "channels:read", "groups:read")
def _info(slack: "SlackServer", call: Call) -> Body:
    channel = _channel(slack, call.arguments.get("channel"))
    if (needed := "groups:read" if channel.is_private else "channels:read") not in slack.scopes:
        raise Refused("missing_scope", needed=needed, provided=",".join(sorted(slack.scopes)))
    seen = {"id": channel.id, "name": channel.name, "name_normalized": channel.name, "is_channel": True}
    flags = {"is_private": channel.is_private, "is_archived": channel.is_archived, "is_member": channel.is_member}
    return {"channel": {**seen, **flags, "is_im": False, "is_mpim": False}}


@method("conversations.join", 3, "channels:join")
def _join(slack: "SlackServer", call: Call) -> Body:
    channel = _channel(slack, call.arguments.get("channel"))
    if channel.is_archived:
        raise Refused("is_archived")
    if channel.is_private:
        raise Refused("method_not_supported_for_channel_type")
    channel.is_member = True
    return {"channel": {"id": channel.id, "name": channel.name, "is_member": True}}


@method("files.getUploadURLExternal", 4, "files:write")
def _upload_url(slack: "SlackServer", call: Call) -> Body:
    name, length = call.arguments.get("filename"), str(call.arguments.get("length", ""))
    if not name or not length.isdecimal() or int(length) < 1:
        raise Refused("invalid_arguments")
    upload = Upload(f"F0{slack.number():06d}", name, int(length))
    slack.uploads[upload.id] = upload
    return {"upload_url": f"{slack.url}/upload/v1/{upload.id}", "file_id": upload.id}


@method("files.completeUploadExternal", 4, "files:write")
def _complete(slack: "SlackServer", call: Call) -> Body:
    try:
        files = json.loads(call.arguments["files"])
        uploads = [slack.uploads[each["id"]] for each in files]
    except (KeyError, TypeError, ValueError):
        raise Refused("file_not_found") from None
    if any(upload.content is None or upload.is_complete for upload in uploads):
        raise Refused("file_not_found")
    if "channel_id" in call.arguments:
        channel = _writable(slack, call, "channel_id")
        text, names = call.arguments.get("initial_comment", ""), [upload.id for upload in uploads]
        thread = call.arguments.get("thread_ts")
        message = Message(channel.id, slack.new_ts(), BOT, text, [], thread, files=names, via="files")
        slack.post(message)
    for upload in uploads:
        upload.is_complete = True
    return {"files": [{"id": each["id"], "title": each.get("title", "")} for each in files]}


@method("reactions.add", 3, "reactions:write")
def _react(slack: "SlackServer", call: Call) -> Body:
    channel = _channel(slack, call.arguments.get("channel"))
    message = _message(slack, channel, call.arguments.get("timestamp"))
    who = message.reactions.setdefault(_emoji(call), [])
    if BOT in who:
        raise Refused("already_reacted")
    who.append(BOT)
    slack.socket.reacted(message, BOT, _emoji(call))
    return {}


@method("reactions.remove", 2, "reactions:write")
def _unreact(slack: "SlackServer", call: Call) -> Body:
    channel = _channel(slack, call.arguments.get("channel"))
    message = _message(slack, channel, call.arguments.get("timestamp"))
    if BOT not in message.reactions.get(_emoji(call), ()):
        raise Refused("no_reaction")
    message.reactions[_emoji(call)].remove(BOT)
    return {}


@method("reactions.get", 3, "reactions:read")
def _reactions(slack: "SlackServer", call: Call) -> Body:
    channel = _channel(slack, call.arguments.get("channel"))
    message = _message(slack, channel, call.arguments.get("timestamp"))
    return {"type": "message", "channel": channel.id, "message": as_seen(message)}


@method("users.info", 4, "users:read")
def _user(slack: "SlackServer", call: Call) -> Body:
    if call.arguments.get("user") not in slack.people:
        raise Refused("user_not_found")
    return {"user": _person(slack, call.arguments["user"])}


@method("users.lookupByEmail", 3, "users:read.email")
def _by_email(slack: "SlackServer", call: Call) -> Body:
    email = call.arguments.get("email", "").lower()
    for person in slack.people.values():
        if email and person.email.lower() == email:
            return {"user": _person(slack, person.id)}
    raise Refused("users_not_found")


@method("views.open", 4)
def _open(slack: "SlackServer", call: Call) -> Body:
    trigger, view = call.arguments.get("trigger_id"), call.arguments.get("view")
    if trigger not in slack.triggers:
        raise Refused("invalid_trigger_id")
    if trigger in slack.used_triggers:
        raise Refused("exchanged_trigger_id")
    if slack.clock() - slack.triggers[trigger] > TRIGGER_SECONDS * slack.pace:
        raise Refused("expired_trigger_id")
    shown = _view(slack, view)
    slack.used_triggers.add(trigger)
    slack.views.append(shown)
    return {"view": shown}


@method("views.update", 4)
def _update_view(slack: "SlackServer", call: Call) -> Body:
    for number, old in enumerate(slack.views):
        if old["id"] == call.arguments.get("view_id"):
            slack.views[number] = {**_view(slack, call.arguments.get("view")), "id": old["id"]}
            return {"view": slack.views[number]}
    raise Refused("not_found")


@method("apps.connections.open", 3, "connections:write")
def _connections(slack: "SlackServer", call: Call) -> Body:
    return {"url": slack.socket.new_url()}


def as_seen(message: Message) -> Body:
    """A message as answers and events have it."""
    seen: Body = {"type": "message", "user": message.user, "text": message.text, "ts": message.ts, "team": TEAM}
    if message.user == BOT:
        seen |= {"bot_id": BOT_ID, "app_id": APP}
    if message.blocks:
        seen["blocks"] = message.blocks
    if message.thread_ts:
        seen["thread_ts"] = message.thread_ts
    if message.edits:
        seen["edited"] = {"user": message.user, "ts": message.ts}
    if message.reactions:
        seen["reactions"] = [{"name": n, "users": who, "count": len(who)} for n, who in message.reactions.items()]
    return seen


def _view(slack: "SlackServer", view: object) -> Body:
    if isinstance(view, str):
        view = json.loads(view)
    if found := view_problems(view):
        raise Refused("invalid_arguments", response_metadata={"messages": [f"[ERROR] {each}" for each in found]})
    assert isinstance(view, dict)
    if len(json.dumps(view)) > 250_000:
        raise Refused("view_too_large")
    for number, block in enumerate(view["blocks"]):
        block.setdefault("block_id", f"b{number}")
    made = {"id": f"V0{slack.number()}", "team_id": TEAM, "app_id": APP, "bot_id": BOT_ID, "state": {"values": {}}}
    return {"private_metadata": "", "callback_id": "", **view, **made, "hash": f"{slack.number()}.ab"}


def _person(slack: "SlackServer", who: str) -> Body:
    person = slack.people[who]
    profile = {"display_name": person.display_name, "real_name": person.real_name or person.display_name}
    if "users:read.email" in slack.scopes:
        profile["email"] = person.email
    named = {"id": who, "team_id": TEAM, "name": person.name, "real_name": profile["real_name"]}
    return {**named, "deleted": False, "is_bot": who == BOT, "profile": profile}


def _channel(slack: "SlackServer", name: object, *, by_name: bool = False) -> Channel:
    for channel in slack.channels.values():
        is_it = name == channel.id or (by_name and str(name).removeprefix("#") == channel.name)
        if is_it and (channel.is_member or not channel.is_private):
            return channel
    raise Refused("channel_not_found")


def _writable(slack: "SlackServer", call: Call, key: str = "channel", *, by_name: bool = False) -> Channel:
    channel = _channel(slack, call.arguments.get(key), by_name=by_name)
    if channel.is_archived:
        raise Refused("is_archived")
    if not channel.is_member and "chat:write.public" not in slack.scopes:
        raise Refused("not_in_channel")
    if channel.is_restricted:
        raise Refused("restricted_action")
    return channel


def _message(slack: "SlackServer", channel: Channel, ts: object) -> Message:
    for message in slack.messages:
        if (message.channel, message.ts) == (channel.id, ts) and message.seen_by is None:
            return message
    raise Refused("message_not_found")


def _emoji(call: Call) -> str:
    if not (name := call.arguments.get("name")) or ":" in name:
        raise Refused("invalid_name")
    return str(name)
