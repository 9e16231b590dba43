"""Texts from elsewhere, made fit to be shown, or taken for what they were meant to be."""

import re
from collections.abc import Iterable

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def one_line(text: str) -> str:
    """The text on one line, without control characters: what somebody wrote must not steer the reader's terminal."""
    return _CONTROL.sub(" ", text)


def most_similar(text: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The one that is most like the text, if any is as similar as `cutoff`, which is difflib's ratio."""
    from difflib import get_close_matches

    return next(iter(get_close_matches(text, list(known), 1, cutoff)), None)
