"""Reads what a report shows: the elements of a page as a tree, and the numbers in a text, with their units."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

_VOID = {"meta", "br"}
_SCALES = {
    "µs": ("s", 1e-6),
    "ms": ("s", 1e-3),
    "s": ("s", 1.0),
    "min": ("s", 60.0),
    "m": ("s", 60.0),
    "h": ("s", 3600.0),
    "%": ("ratio", 0.01),
    "/s": ("/s", 1.0),
    "B": ("B", 1.0),
    "KiB": ("B", 2.0**10),
    "MiB": ("B", 2.0**20),
    "GiB": ("B", 2.0**30),
    "TiB": ("B", 2.0**40),
    "PiB": ("B", 2.0**50),
}
_FIGURE = r"[−-]?\d[\d\u202f]*(?:\.\d+)?(?:e[+−]?\d+)?"
_NUMBER = re.compile(
    rf"""(?P<moment>\d{{1,2}}\ [A-Z][a-z]+\ \d{{4}}|\d{{1,2}}:\d\d(?::\d\d)?|\d{{4}}-\d\d-\d\dT[\d:.]+Z)
      | (?P<long>[−-]?\d+\sh(?:\s\d+\smin)?(?![a-z]) | [−-]?\d+\smin(?:\s\d+\ss)?(?![a-z]))
      | (?P<figure>{_FIGURE})(?:\s?(?P<unit>µs|ms|min|s|m|h|%|/s|[KMGTP]iB|B)(?![\w’]))?""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Quantity:
    """A number that is shown as people read it. `within`: how far off, in its base unit, what is shown may be."""

    amount: float
    unit: str
    within: float

    def __str__(self) -> str:
        return f"{self.amount!r} {self.unit}"


type Number = Quantity | str | int


def duration(seconds: float) -> Quantity:
    """To a tenth of a second, then to a second, then to a minute; of less than a second to three digits."""
    size = abs(seconds)
    within = 0.005 * size if size < 0.9995 else 0.0500001 if size < 99.95 else 0.5 if size < 3599.5 else 60.0
    return Quantity(seconds, "s", within)


def measured(amount: float, unit: str) -> Quantity:
    """A value in a base unit, to three digits."""
    return duration(amount) if unit == "s" and abs(amount) >= 60 else Quantity(amount, unit, 0.0050001 * abs(amount))


def whole_seconds(seconds: float) -> Quantity:
    return Quantity(seconds, "s", 0.5)


@dataclass(frozen=True)
class Shown:
    """A number as it stands in a text."""

    text: str
    amount: float | None = None
    unit: str = ""

    def says(self, number: Number) -> bool:
        if isinstance(number, Quantity):
            unit = number.unit if number.unit in ("s", "ratio", "/s", "B") else ""
            return self.unit == unit and self.amount is not None and abs(self.amount - number.amount) <= number.within
        return self.text == str(number)


def numbers(text: str, known: Iterable[str] = ()) -> list[Shown]:
    """The numbers of a text, in order, but for those in words that somebody else has written: `known`, the longest
    first."""
    for word in known:
        text = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", "…", text, flags=re.IGNORECASE)
    return [_shown(match) for match in _NUMBER.finditer(text)]


def _shown(match: re.Match[str]) -> Shown:
    text = re.sub(r"\s", " ", match[0])
    if match["moment"]:
        return Shown(text)
    if match["long"]:
        parts = re.findall(r"(\d+)\s(h|min|s)", text)
        amount = sum(float(figure) * _SCALES[unit][1] for figure, unit in parts)
        return Shown(text, -amount if text[0] in "−-" else amount, "s")
    amount = float(match["figure"].replace("−", "-").replace("\u202f", ""))
    if match["unit"] is None:
        return Shown(match["figure"], amount)
    unit, scale = _SCALES[match["unit"]]
    return Shown(text, amount * scale, unit)


def differences(shown: list[Shown], expected: list[Number]) -> list[str]:
    """Where they are not the same, one by one."""
    if len(shown) != len(expected):
        return [f"shown {[one.text for one in shown]}, expected {[*map(str, expected)]}"]
    return [
        f"shown {one.text!r}, expected {number}"
        for one, number in zip(shown, expected, strict=True)
        if not one.says(number)
    ]


@dataclass
class Node:
    """An element; a text is one with the tag "" and no children."""

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list["Node"] = field(default_factory=list)
    words: str = ""
    is_claimed: bool = False

    def walk(self) -> Iterator["Node"]:
        yield self
        for child in self.children:
            yield from child.walk()

    def all(self, tag: str, **attributes: str) -> list["Node"]:
        """The elements below with this tag ("*": any), whose class has this word, and the like."""
        wanted = {name.strip("_").replace("_", "-"): value for name, value in attributes.items()}
        return [
            node
            for node in self.walk()
            if node is not self
            and (tag in ("*", node.tag) and node.tag)
            and all(
                value in node.attributes.get(name, "\0").split() or value == node.attributes.get(name)
                for name, value in wanted.items()
            )
        ]

    def one(self, tag: str, **attributes: str) -> "Node":
        (found,) = self.all(tag, **attributes)
        return found

    @property
    def text(self) -> str:
        """All of its text, with a space between what stands in different elements."""
        words = [node.words for node in self.walk() if not node.tag]
        return re.sub(r"[ \n\t]+", " ", " ".join(words)).strip()

    @property
    def own_text(self) -> str:
        return " ".join(child.words for child in self.children if not child.tag).strip()

    def claim(self) -> "Node":
        for node in self.walk():
            node.is_claimed = True
        return self


class _Tree(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = Node("root")
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(node)
        if tag not in _VOID:
            self.open.append(node)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].children.append(Node(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1].tag not in ("style", "script"):
            self.open[-1].children.append(Node("", words=data))


def tree(page: str) -> Node:
    """The elements of a page."""
    parser = _Tree()
    parser.feed(page)
    parser.close()
    return parser.root
