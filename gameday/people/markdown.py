"""Texts of unknown origin in a Markdown page that people read unrendered, too: little is escaped, and none formats."""

import re
import unicodedata
from urllib.parse import quote

# Characters that reorder the text around them (Unicode Standard Annex #9) or that cannot be seen.
_REORDERING = frozenset("\u061c\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")
_LONGEST = 1000
_ENTITY = re.compile(r"&(?=#?\w+;)")
_SPECIAL = re.compile(rf"[\\`*\[\]<>|~$]|(?<![^\W_])_|_(?![^\W_])|{_ENTITY.pattern}")
_AT_START = re.compile(r"([#+\-=]|\d+(?=[.)]))")


def plain(text: str) -> str:
    """On one line, with nothing that formats, links or makes a list; a handle may still mention somebody."""
    escaped = _SPECIAL.sub(r"\\\g<0>", _clean(text))
    start = _AT_START.match(escaped)
    if start is None:
        return escaped
    mark = start[1]
    return f"{mark}\\{escaped[len(mark) :]}" if mark[0].isdigit() else f"\\{escaped}"


def code(text: str) -> str:
    """As code, whatever backticks it has; not for tables, where a bar ends a cell all the same."""
    clean = _clean(text)
    fence = "`" * (max((len(run) for run in re.findall("`+", clean)), default=0) + 1)
    space = " " if clean.startswith("`") or clean.endswith("`") or not clean else ""
    return f"{fence}{space}{clean}{space}{fence}"


def link(text: str, target: str) -> str:
    """A link to an http(s) URL, or to a path relative to the page, percent-encoded."""
    address = _ENTITY.sub("&amp;", quote(_clean(target), safe="/:?#@!$&'*+,;=%~.-_"))
    return f"[{plain(text)}](<{address}>)"


def _clean(text: str) -> str:
    """On one line, without what steers a display or reorders its surroundings."""
    if len(text) > _LONGEST:
        text = text[: _LONGEST - 1] + "…"
    if not text.isprintable() or _REORDERING & set(text):
        text = "".join(
            "\N{REPLACEMENT CHARACTER}"
            if character in _REORDERING
            or (not character.isspace() and unicodedata.category(character) in ("Cc", "Cs", "Cn", "Co"))
            else character
            for character in text
        )
    return " ".join(text.split())
