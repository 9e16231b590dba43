"""What the stand-in for Slack is made of: channels, people, messages, uploads, calls, and how a call is refused."""

from dataclasses import dataclass, field

from slack_blocks import Body

BOT, BOT_ID, TEAM, APP = "U0GAMEDAY", "B0GAMEDAY", "T0SHOP", "A0GAMEDAY"


@dataclass
class Channel:
    id: str
    name: str
    is_private: bool = False
    is_archived: bool = False
    is_member: bool = True  # whether the app is
    is_restricted: bool = False  # only some may post


@dataclass
class Person:
    id: str
    name: str  # the handle, without its @
    display_name: str = ""
    email: str = ""
    real_name: str = ""


@dataclass
class Message:
    """`edits`: what it said before, oldest first. `seen_by`: the one person that an ephemeral message is for."""

    channel: str
    ts: str
    user: str
    text: str = ""
    blocks: list[Body] = field(default_factory=list)
    thread_ts: str | None = None
    seen_by: str | None = None
    files: list[str] = field(default_factory=list)
    reactions: dict[str, list[str]] = field(default_factory=dict)
    edits: list[tuple[str, list[Body]]] = field(default_factory=list)
    via: str = "chat.postMessage"


@dataclass
class Upload:
    id: str
    filename: str
    length: int
    content: bytes | None = None
    is_complete: bool = False


@dataclass
class Call:
    """`method` is that of the Web API, or "webhook", "response_url", "upload", "socket"."""

    method: str
    arguments: Body
    token: str | None
    at: float
    verb: str = "POST"
    in_header: bool = False  # the token


class Refused(Exception):
    """`ok: false`, with what else the answer says."""

    def __init__(self, error: str, **more: object) -> None:
        super().__init__(error)
        self.error, self.more = error, more


class RateLimited(Exception):
    def __init__(self, seconds: float) -> None:
        super().__init__("ratelimited")
        self.seconds = seconds
