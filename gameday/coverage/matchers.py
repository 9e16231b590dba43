"""Alertmanager's label matchers: read as it writes them, and put to labels of which not all may be known.

Format: https://prometheus.io/docs/alerting/latest/configuration/#matcher. A label that is absent counts as empty.
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

import msgspec

_MATCHER = re.compile(r'\s*("(?:[^"\\]|\\.)*"|[^\s"=!~{},]+)\s*(=~|!=|!~|=)\s*(.*?)\s*', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_LONGEST = 1000  # of a value that is put to a regular expression


class Matcher(msgspec.Struct, frozen=True):
    """`operator` is "=", "!=", "=~" or "!~"; a regular expression matches the whole value."""

    name: str
    operator: str
    value: str

    def matches(self, labels: Mapping[str, str]) -> bool | None:
        """Whether labels that are all known match; None when their regular expression is none of Python's."""
        found = labels.get(self.name, "")
        if self.operator in ("=", "!="):
            return (found == self.value) is (self.operator == "=")
        pattern = _compile(self.value)
        if pattern is None or len(found) > _LONGEST:
            return None
        return bool(pattern.fullmatch(found)) is (self.operator == "=~")

    def __str__(self) -> str:
        value = self.value.replace("\\", "\\\\").replace('"', '\\"')
        return f'{self.name}{self.operator}"{value}"'


@lru_cache(maxsize=1024)
def _compile(value: str) -> re.Pattern[str] | None:
    """As RE2 has it, whose \\d, \\w and \\s are ASCII. What only RE2 knows is None: never a wrong answer."""
    if "[[" in value:  # [[:alpha:]] means something else to Python
        return None
    try:
        return re.compile(value, re.ASCII)
    except (re.error, RecursionError, OverflowError):
        return None


def parse_matchers(text: str) -> tuple[Matcher, ...]:
    """`severity="page"`, or several with commas between them, with or without braces. Raises ValueError."""
    text = text.strip().removeprefix("{").removesuffix("}")
    return tuple(_parse(part) for part in _split(text) if part.strip())


def _split(text: str) -> Iterable[str]:
    """At the commas that are not within quotes."""
    begin, quoted, escaped = 0, False, False
    for position, character in enumerate(text):
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == '"':
            quoted = not quoted
        elif character == "," and not quoted:
            yield text[begin:position]
            begin = position + 1
    yield text[begin:]


def _parse(text: str) -> Matcher:
    found = _MATCHER.fullmatch(text)
    if not found:
        raise ValueError("a matcher that is none")
    name, operator, value = found.groups()
    return Matcher(_unquote(name), operator, _unquote(value))


def _unquote(text: str) -> str:
    if len(text) >= 2 and text[0] == text[-1] == '"':
        text = text[1:-1]
    return _ESCAPED.sub(lambda found: "\n" if found[1] == "n" else found[1], text)


def all_match(matchers: Iterable[Matcher], labels: Mapping[str, str]) -> bool | None:
    """Whether all do, for labels that are all known. None when one cannot be said, and none says no."""
    answers = [matcher.matches(labels) for matcher in matchers]
    return False if False in answers else None if None in answers else True


def may_match(matchers: Iterable[Matcher], labels: Mapping[str, str]) -> bool | None:
    """As `all_match`, for labels of which some may be unknown: None also when it depends on one of those."""
    answers = [matcher.matches(labels) if matcher.name in labels else None for matcher in matchers]
    return False if False in answers else None if None in answers else True
