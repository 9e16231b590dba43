"""Slack's text, mrkdwn: made of plain text, and made plain again.

By https://docs.slack.dev/messaging/formatting-message-text.
"""

import re
from collections.abc import Mapping

_ENTITY = re.compile(r"<([^<>]*)>")
_MENTION = re.compile(r"<@([UW][A-Z0-9]+)(?:\|[^<>]*)?>")
_SCHEMES = ("mailto:", "https://", "http://")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]+")  # all but line feeds


def escape(text: str) -> str:
    """Plain text, so that nothing in it is a mention, a link or a channel."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def mentioned(text: str) -> tuple[str, ...]:
    """The ids of the people whom a text mentions without their names, each once."""
    return tuple(dict.fromkeys(_MENTION.findall(text)))


def plain(text: str, names: Mapping[str, str]) -> str:
    """The text as people read it: mentions and links by their names, and without control characters."""
    text = _ENTITY.sub(lambda found: _entity(found.group(1), names), text)
    return _CONTROL.sub(" ", text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")).strip()


def _entity(inside: str, names: Mapping[str, str]) -> str:
    what, _, label = inside.partition("|")
    match what[:1]:
        case "@":
            return f"@{label or names.get(what[1:], what[1:])}"
        case "#":
            return f"#{label or what[1:]}"
        case "!":
            name = what[1:].partition("^")
            return label or f"@{name[2] or name[0]}"
    is_said = not label or label in (what, *(what.removeprefix(scheme) for scheme in _SCHEMES))
    return (label or what.removeprefix("mailto:")) if is_said else f"{label} ({what})"
