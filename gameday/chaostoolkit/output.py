"""Turns what an activity returned into JSON text that is short enough to keep and holds no secret; reads failures in
it."""

import json
import math
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from uuid import UUID

from gameday.common.json import Json, JsonObject
from gameday.common.redact import MASK, Redactor

MAX_OUTPUT = 64 * 1024  # characters of the JSON text, which is ASCII
_CUT = "… (shortened)"


class Masker:
    """Writes text and JSON in which every known secret is masked."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: set[str] = set()
        self._redact = Redactor()
        self.add(secrets)

    def add(self, secrets: Iterable[str]) -> None:
        """Learn more secrets."""
        new = set(secrets) - self._secrets
        self._secrets |= new
        self._redact.add(new)

    def text(self, text: str) -> str:
        """The text, masked and at most 64 KiB long."""
        return shorten(self._redact(text))

    def json(self, value: object) -> str:
        """The value as JSON, masked before it is cut: a cut through a secret would leave a part of it."""
        try:
            return shorten(self._redact(json.dumps(self._plain(value), allow_nan=False)))
        except RecursionError:
            return json.dumps("(nested too deeply to be written down)")

    def _plain(self, value: object) -> Json:
        """The value in JSON's own types, each string and number masked by itself so that the JSON stays whole."""
        match value:
            case None | bool():
                return value
            case str():
                return self._redact(value)
            case int() | float():
                if self._redact(str(value)) != str(value):
                    return MASK
                return value if math.isfinite(value) else str(value)
            case Mapping():
                return {self._redact(str(key)): self._plain(item) for key, item in value.items()}
            case list() | tuple() | set() | frozenset():
                return [self._plain(item) for item in value]
            case date():
                return value.isoformat()
            case Decimal() | UUID():
                return self._redact(str(value))
            case bytes():
                return self._redact(value.decode(errors="replace"))
            case _:
                return self._redact(repr(value))


def shorten(text: str) -> str:
    """The text itself, or its beginning with a mark that the rest is missing."""
    return text if len(text) <= MAX_OUTPUT else text[: MAX_OUTPUT - len(_CUT)] + _CUT


def failure_of(definition: JsonObject, value: object) -> str | None:
    """How the program or the server says that it has failed, in an output that the Toolkit takes for a success."""
    status = value.get("status") if isinstance(value, dict) else None
    provider = definition.get("provider")
    match provider.get("type") if isinstance(provider, dict) else None:
        case "process" if status not in (0, None):
            said = str(value.get("stderr") or value.get("stdout") or "") if isinstance(value, dict) else ""
            return f"it exited with status {status}: {said.strip()[-400:]}".rstrip(": ")
        case "http" if isinstance(status, int) and status >= 400:
            return f"it was answered with HTTP status {status}"
    return None
