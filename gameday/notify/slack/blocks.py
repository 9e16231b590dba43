"""Slack's blocks of what there is to say, within Slack's limits whatever the lengths of names and texts.

Limits by https://docs.slack.dev/reference/block-kit/blocks: 50 blocks a message, 3,000 characters a section, 150 a
header, 10 elements a context, 25 actions. No page says how much fits into all blocks of a message; some 13,200
characters were measured (https://github.com/slackapi/bolt-js/issues/2509).
"""

import re
from collections.abc import Sequence
from urllib.parse import quote

from gameday.common.json import JsonObject
from gameday.notify.base import Level, Status
from gameday.notify.slack.mrkdwn import escape
from gameday.notify.sparkline import sparkline
from gameday.spec.units import format_duration

ICONS = {
    Level.INFO: ":information_source:",
    Level.GOOD: ":white_check_mark:",
    Level.WARNING: ":warning:",
    Level.BAD: ":rotating_light:",
}
MOST_BLOCKS = 50
_SECTION, _HEADER, _TEXT = 3000, 150, 3000
# chat.update takes 4,000, and has been seen to count bytes: four for an emoji.
_UPDATE = 1000
_ALL = 12_000  # of a message: below what Slack has been seen to take
_MOST_SIGNALS, _MOST_IN_PLACE, _MOST_ALERTS = 12, 8, 12
_LONGEST_NAME = 60
# What would format a text, by what looks like it: Slack has no way to escape these. Inside a word they do nothing.
_MARKUP = str.maketrans({"*": "∗", "~": "∼", "`": "ˋ"})
_UNDERSCORE = re.compile(r"(?<![^\W_])_+|_+(?![^\W_])")
# Also what turns the direction of writing: it would turn what we say after a name, too.
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]+")
_IN_ADDRESSES = "!#$%&'()*+,/:;=?@[]~"  # as they are: what is encoded already stays so
_MARKS = (
    ("gameday_mark_detected", "Detected"),
    ("gameday_mark_diagnosed", "Diagnosed"),
    ("gameday_mark_mitigated", "Mitigated"),
    ("gameday_mark_all_clear", "All clear"),
)


def clean(text: str) -> str:
    """Plain text without control characters."""
    return _CONTROL.sub(" ", text)


def quoted(text: str) -> str:
    """Plain text as mrkdwn that shows it: nothing in it mentions, links or formats."""
    return escape(_UNDERSCORE.sub(lambda found: "＿" * len(found[0]), clean(text).translate(_MARKUP)))


def linked(link: str) -> str:
    """An address as mrkdwn that can be pressed; a path as it is."""
    if not link.startswith(("https://", "http://")):
        return quoted(link)
    return f"<{escape(quote(link, safe=_IN_ADDRESSES, errors='replace'))}>"


def cut(text: str, length: int) -> str:
    """At most so many characters of mrkdwn: no entity and no mention is cut in two."""
    if len(text) <= length:
        return text
    kept = text[: length - 1]
    for begin, end in (("&", ";"), ("<", ">")):
        opened = kept.rfind(begin)
        if opened > kept.rfind(end) and (begin == "<" or len(kept) - opened < 6):
            kept = kept[:opened]
    if kept.count("```") % 2:
        return kept[: length - 5].rstrip("`") + "…```"
    return f"{kept}…"


def section(text: str) -> JsonObject:
    """A section of mrkdwn."""
    return {"type": "section", "text": _mrkdwn(text)}


def context(text: str) -> JsonObject:
    """A line of mrkdwn in small print."""
    return {"type": "context", "elements": [_mrkdwn(cut(text, 1000))]}


def _mrkdwn(text: str) -> JsonObject:
    # Verbatim: Slack itself would make links and mentions of names that look like those of channels and people.
    return {"type": "mrkdwn", "text": cut(text, _SECTION) or " ", "verbatim": True}


def message_of(texts: Sequence[str]) -> list[JsonObject]:
    """A section for each text; what is too much for one message shortens the longest."""
    each = max(200, _ALL // max(1, len(texts)))
    return [section(cut(text, min(each, _SECTION))) for text in texts[:MOST_BLOCKS]]


def fallback(texts: Sequence[str]) -> str:
    """What notifications show, and readers of screens read."""
    return cut("\n".join(texts), _TEXT)


def status_blocks(status: Status, *, has_buttons: bool) -> list[JsonObject]:
    """The session's message: where it is, its signals, who leads. With buttons, while it is on."""
    title = clean(f"{status.title}, on {status.environment}").strip() or "gameday"
    blocks: list[JsonObject] = [
        {"type": "header", "text": {"type": "plain_text", "text": _plain(title, _HEADER), "emoji": False}},
        section(cut("\n".join(_lines(status)), 2500)),
    ]
    if status.signals:
        blocks.append(section(f"```{_table(status)}```"))
    blocks.append(context(" · ".join(map(quoted, filter(None, (status.lead, status.session))))))
    if has_buttons and status.verdict is None:
        blocks.append({"type": "actions", "block_id": "gameday", "elements": _buttons(status.session)})
    return blocks


def status_text(status: Status) -> str:
    """The same for notifications, in a line."""
    return cut(f"{quoted(status.title)}, on {quoted(status.environment)}: {quoted(status.state)}", _UPDATE)


def _lines(status: Status) -> list[str]:
    stage = f", {status.stage}" if status.stage else ""
    elapsed = format_duration(float(round(status.elapsed_s)))
    lines = [f"{ICONS[status.level]} *{quoted(cut(status.state, 500))}*{quoted(stage)}, {elapsed} in"]
    if status.experiment:
        lines.append(quoted(cut(status.experiment, 300)))
    lines += [f"in place: {quoted(cut(fault, 250))}" for fault in status.in_place[:_MOST_IN_PLACE]]
    lines += _more(len(status.in_place) - _MOST_IN_PLACE, "faults in place")
    if status.alerts:
        shown = ", ".join(quoted(cut(alert, 80)) for alert in status.alerts[:_MOST_ALERTS])
        lines.append("alerts: " + ", ".join([shown, *_more(len(status.alerts) - _MOST_ALERTS, "")]))
    return lines


def _more(number: int, what: str) -> list[str]:
    return [f"and {number} more {what}".rstrip()] if number > 0 else []


def _table(status: Status) -> str:
    """Each signal in a row: its name, its last values as a bar, the last one, what is wanted."""
    rows = [
        (_plain(bar.name, _LONGEST_NAME), sparkline(bar.values), bar.shown, bar.wanted)
        for bar in status.signals[:_MOST_SIGNALS]
    ]
    widths = [max(len(row[index]) for row in rows) for index in range(4)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    lines += _more(len(status.signals) - _MOST_SIGNALS, "signals")
    return cut(escape(clean("\n".join(lines)).replace("`", "ˋ")), 2900)


def _buttons(session: str) -> list[JsonObject]:
    value = session[:2000]
    buttons: list[JsonObject] = [
        {
            "type": "button",
            "action_id": "gameday_abort",
            "style": "danger",
            "text": {"type": "plain_text", "text": "Abort"},
            "value": value,
            "confirm": {
                "title": {"type": "plain_text", "text": "Abort the session?"},
                "text": {"type": "plain_text", "text": "It ends now, and everything is undone."},
                "confirm": {"type": "plain_text", "text": "Abort"},
                "deny": {"type": "plain_text", "text": "Go on"},
                "style": "danger",
            },
        }
    ]
    for action, text in (*_MARKS, ("gameday_predict", "Predict")):
        buttons.append(
            {"type": "button", "action_id": action, "text": {"type": "plain_text", "text": text}, "value": value}
        )
    return buttons


def _plain(text: str, length: int) -> str:
    text = clean(text)
    return text if len(text) <= length else f"{text[: length - 1]}…"
