"""JSON text to nodes that know where they stand. Format: RFC 8259."""

import json
import math
import re
from bisect import bisect_right
from typing import Any

from gameday.common.json import JsonScalar
from gameday.spec.nodes import MAX_DEPTH, MAX_WEIGHT, DocumentError, Mapping, Node, Scalar, Sequence, too_deep, too_many
from gameday.spec.units import excerpt

_scanstring: Any = json.decoder.scanstring  # type: ignore[attr-defined]  # typeshed does not list it
_SPACE = re.compile(r"[ \t\r\n]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_WORDS: dict[str, JsonScalar] = {"true": True, "false": False, "null": None}
_WORD = re.compile(r"[^\s,:\[\]{}\"]+")
_SURROGATE = re.compile("[\ud800-\udfff]")


def compose_json(text: str) -> Node:
    """The one value that `text` is. Raises DocumentError."""
    return _Composer(text).compose()


class _Composer:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._lines = [0, *(match.end() for match in re.finditer("\n", text))]
        self._count = 0

    def compose(self) -> Node:
        self._skip()
        node = self._value(0)
        self._skip()
        if self._at < len(self._text):
            raise self._wrong("the end of the file")
        return node

    def _skip(self) -> None:
        match = _SPACE.match(self._text, self._at)
        assert match is not None
        self._at = match.end()

    def _place(self, at: int) -> tuple[int, int]:
        line = bisect_right(self._lines, at)
        return line, at - self._lines[line - 1] + 1

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _wrong(self, expected: str) -> DocumentError:
        word = _WORD.match(self._text, self._at)
        found = excerpt(word[0] if word else self._peek()) if self._peek() else "the end of the file"
        return DocumentError(*self._place(self._at), found, expected)

    def _value(self, depth: int) -> Node:
        line, column = self._place(self._at)
        if depth > MAX_DEPTH:
            raise too_deep(line, column)
        self._count += 1
        if self._count > MAX_WEIGHT:
            raise too_many(line, column)
        match self._peek():
            case "{":
                return self._mapping(line, column, depth)
            case "[":
                return self._sequence(line, column, depth)
            case '"':
                text = self._string()
                return Scalar(line, column, text, text)
        return self._scalar(line, column)

    def _scalar(self, line: int, column: int) -> Scalar:
        if (number := _NUMBER.match(self._text, self._at)) is not None:
            try:
                value = json.loads(number[0])
            except ValueError:  # more digits than Python converts
                value = math.inf
            if abs(value) >= 2**63 if isinstance(value, int) else not math.isfinite(value):
                raise DocumentError(line, column, excerpt(number[0]), "a number of at most 64 bits")
            self._at = number.end()
            return Scalar(line, column, number[0], value)
        word = _WORD.match(self._text, self._at)
        if word is None or word[0] not in _WORDS:
            raise self._wrong("a JSON value")
        self._at = word.end()
        return Scalar(line, column, word[0], _WORDS[word[0]])

    def _string(self) -> str:
        start = self._at
        try:
            scanned: tuple[str, int] = _scanstring(self._text, start + 1, True)
        except json.JSONDecodeError as error:
            raise DocumentError(*self._place(error.pos), f"a broken JSON text ({error.msg})", "valid JSON") from None
        text, self._at = scanned
        if _SURROGATE.search(text):
            raise DocumentError(*self._place(start), "half of a surrogate pair", "whole Unicode characters")
        return text

    def _sequence(self, line: int, column: int, depth: int) -> Sequence:
        items: list[Node] = []
        while self._next("]", first=not items):
            items.append(self._value(depth + 1))
        return Sequence(line, column, items, 1 + sum(item.weight for item in items))

    def _mapping(self, line: int, column: int, depth: int) -> Mapping:
        mapping = Mapping(line, column, {}, [])
        while self._next("}", first=mapping.weight == 1):
            if self._peek() != '"':
                raise self._wrong("a key in double quotes")
            place = self._place(self._at)
            text = self._string()
            self._skip()
            if self._peek() != ":":
                raise self._wrong("`:`")
            self._at += 1
            self._skip()
            key, value = Scalar(*place, text, text), self._value(depth + 1)
            if text in mapping.entries:
                mapping.repeated.append(key)
            mapping.entries[text] = (key, value)  # the last one, as in the json module
            mapping.weight += value.weight
        return mapping

    def _next(self, end: str, *, first: bool) -> bool:
        """Move to the next item of a list or object; False at its end."""
        if first:
            self._at += 1
        self._skip()
        if first and self._peek() == end:
            self._at += 1
            return False
        if not first:
            if self._peek() == end:
                self._at += 1
                return False
            if self._peek() != ",":
                raise self._wrong(f"`,` or `{end}`")
            self._at += 1
            self._skip()
        return True
