"""How wide texts are in the fonts that pictures are written in, about, and how they are cut to fit."""

import re
import unicodedata

from gameday.report import format as fmt

# Advances of DejaVu Sans, in ems, rounded up; a bold one is a ninth wider.
_NARROW = frozenset(" !'(),-./:;IJ[\\]fijlrt|·\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}")
_WIDE = frozenset("#%&+<=>@MW^mw~…—\N{MINUS SIGN}")
_BOLD = 1.12
# What the fonts beside this module have: the rest needs one of the machine's.
_OURS = re.compile(
    "[\n\t -~\u00a0-\u024f\u0370-\u0377\u037a-\u037f\u0384-\u03ff\u0400-\u045f\u1e00-\u1ef9\u2009\u2010-\u2015"
    "\u2018-\u2027\u202f\u2030\u2032\u2033\u2039\u203a\u20ac\u2122\u2190-\u2195\u2212\u2248\u2260\u2264\u2265\ufffd]*"
)


def is_ours(text: str) -> bool:
    """Whether it can be written without any font of the machine."""
    return _OURS.fullmatch(text) is not None


def width_of(text: str, size: float, *, bold: bool = False) -> float:
    """About how wide it is, rather more than less, in the unit of `size`."""
    return sum(map(_advance, text)) * size * (_BOLD if bold else 1)


def _advance(character: str) -> float:
    if character in _NARROW:
        return 0.42
    if character in _WIDE:
        return 1.0
    if unicodedata.combining(character):
        return 0.0
    if unicodedata.east_asian_width(character) in "WF":
        return 1.0
    return 0.79 if character.isupper() or character > "\u024f" else 0.64


def fit(text: str, room: float, size: float, *, bold: bool = False) -> str:
    """The text on one line, without what controls a display, and cut where `room` ends."""
    line = " ".join(fmt.clean(text, 400).split(" "))
    line = re.sub(r"[\n\t]+", " ", line).strip()
    if width_of(line, size, bold=bold) <= room:
        return line
    while line and width_of(f"{line}…", size, bold=bold) > room:
        line = line[:-1]
    return f"{line.rstrip()}…"


def wrap(text: str, room: float, size: float, *, lines: int) -> tuple[str, ...]:
    """The text in bold, on at most so many lines, broken between words where that can be."""
    made: list[str] = []
    rest = fit(text, 1e9, size)
    while rest and len(made) < lines - 1:
        whole = fit(rest, room, size, bold=True)
        if whole == rest:
            break
        cut = whole[:-1]
        if rest[len(cut) : len(cut) + 1] != " " and " " in cut:
            cut = cut[: cut.rindex(" ")]
        made.append(cut.rstrip())
        rest = rest[len(cut) :].lstrip()
    return (*made, fit(rest, room, size, bold=True)) if rest else tuple(made)
