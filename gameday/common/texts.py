"""Texts from elsewhere, made fit to be shown."""

import re

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def one_line(text: str) -> str:
    """The text on one line, without control characters: what somebody wrote must not steer the reader's terminal."""
    return _CONTROL.sub(" ", text)
