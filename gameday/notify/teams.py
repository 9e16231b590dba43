"""Microsoft Teams, by the webhook of a workflow ("Post to a channel when a webhook request is received").

The body is a message with an Adaptive Card (https://adaptivecards.io/explorer/, 1.4), by
https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/add-incoming-webhook: at most 28 KB,
four requests a second. What is posted cannot be changed.
"""

import msgspec

from gameday.common.http import HttpClient, parse_url
from gameday.common.json import JsonObject
from gameday.common.texts import one_line
from gameday.notify.base import QUIET, ChannelError, Detail, Kind, Level, Picture, Session, Status
from gameday.notify.webhook import post_json
from gameday.spec.model import ChannelConfig
from gameday.spec.units import format_duration

# A card for each stage and signal would bury the channel: what a whole team wants to know.
_SAID = QUIET | {Kind.BRIEF, Kind.PREFLIGHT, Kind.EXPERIMENT, Kind.INJECTION, Kind.ALERT, Kind.UNDO, Kind.VERDICT}
_COLOURS = {Level.INFO: "default", Level.GOOD: "good", Level.WARNING: "warning", Level.BAD: "attention"}
_MAX_BYTES = 28 * 1024
_LONGEST, _MOST_LINES = 400, 20  # characters of a text, lines of a detail
# What Teams' Markdown would format: https://learn.microsoft.com/adaptive-cards/authoring-cards/text-features.
_MARKUP = str.maketrans({character: f"\\{character}" for character in "\\*_[]`<>#"})


class Teams:
    """Posts cards."""

    name = "teams"
    pace_s = 0.5
    has_status = False

    def __init__(self, config: ChannelConfig) -> None:
        """Raises ChannelError when the URL is none."""
        try:
            self._url = parse_url(config.webhook or "")
        except ValueError as error:
            raise ChannelError(str(error)) from error
        self._timeout_s = config.timeout_s
        self._client: HttpClient | None = None

    async def open(self, session: Session) -> None:
        """Nothing has to be known."""

    async def show(self, status: Status) -> None:
        """Nothing: what is posted cannot be changed."""

    async def say(self, details: tuple[Detail, ...]) -> None:
        """Post one card of those that matter to a channel."""
        if said := [detail for detail in details if detail.kind in _SAID]:
            client = self._client = self._client or HttpClient(self._timeout_s)
            await post_json(client, self._url, card_of(said), {})

    async def upload(self, picture: Picture) -> None:
        """Nothing: a webhook takes no files."""

    async def close(self) -> None:
        """Let go of connections."""
        if self._client is not None:
            await self._client.close()


def card_of(details: list[Detail]) -> bytes:
    """The message: below Teams' limit, whatever the lengths of texts. Lines are left out, and then cut; each detail is
    said, if only in a few words."""
    lines, length = _MOST_LINES, _LONGEST
    while True:
        blocks = [block for detail in details for block in _blocks(detail, lines, length)]
        body = msgspec.json.encode(_message(blocks))
        if len(body) <= _MAX_BYTES or (lines, length) == (1, 1):
            return body
        lines, length = (lines // 2, length) if lines > 1 else (1, max(1, length // 2))


def _message(body: list[JsonObject]) -> JsonObject:
    card: JsonObject = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "Full"},
        "body": list(body),
    }
    attachment: JsonObject = {
        "contentType": "application/vnd.microsoft.card.adaptive",
        "contentUrl": None,
        "content": card,
    }
    return {"type": "message", "attachments": [attachment]}


def _blocks(detail: Detail, most: int, length: int) -> list[JsonObject]:
    title = f"{_text(detail.title, length)} ({format_duration(float(round(detail.after_s)))})"
    lines = [_text(line, length) for line in detail.lines[:most]]
    if len(detail.lines) > most:
        lines.append(f"and {len(detail.lines) - most} more")
    lines += [_text(detail.link, length)] if detail.link else []
    head: JsonObject = {
        "type": "TextBlock",
        "text": title,
        "weight": "bolder",
        "color": _COLOURS[detail.level],
        "wrap": True,
    }
    rest: list[JsonObject] = [{"type": "TextBlock", "text": line, "wrap": True, "spacing": "small"} for line in lines]
    return [head, *rest]


def _text(text: str, length: int) -> str:
    text = one_line(text)
    return (text if len(text) <= length else f"{text[: length - 1]}…").translate(_MARKUP)
