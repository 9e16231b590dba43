"""What Slack refused, of an error that the slack-sdk raises."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slack_sdk.errors import SlackApiError


def code_of(error: "SlackApiError") -> str:
    """Slack's own word, such as "channel_not_found"; "HTTP 502" where what answered was not Slack's Web API.

    The sdk hands over whatever came: JSON, text, or aiohttp's response.
    """
    said = field_of(error, "error")
    status = getattr(error.response, "status_code", None) or getattr(error.response, "status", None)
    return said or (f"HTTP {status}" if status else "an answer that is not Slack's")


def field_of(error: "SlackApiError", name: str) -> str:
    """A text of the answer; empty where there is none."""
    data = getattr(error.response, "data", None)
    value = data.get(name) if isinstance(data, dict) else None
    return value if isinstance(value, str) else ""
