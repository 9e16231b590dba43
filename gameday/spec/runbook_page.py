"""A runbook as whoever follows or checks it sees it: sections, their steps, the code that belongs to each, links."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from gameday.spec.location import Location, Mistake
from gameday.spec.markdown import Document, Fence, Heading, Item, Part, Text, parse_markdown
from gameday.spec.model import Runbook
from gameday.spec.nodes import Node, Scalar
from gameday.spec.nodes import Sequence as SequenceNode
from gameday.spec.reader import read_text
from gameday.spec.runbook import SECTIONS, Sections, read_front_matter

CHECK = "check"  # among a fence's words: may be run on request


class Step(msgspec.Struct, frozen=True):
    """One thing to do. `number` counts from 1 in its section; `source` is its Markdown; `code` what stands in it."""

    number: int
    line: int
    text: str
    source: str
    code: tuple[Fence, ...] = ()

    @property
    def checks(self) -> tuple[Fence, ...]:
        """The code that may be run."""
        return tuple(fence for fence in self.code if is_check(fence))


class Section(msgspec.Struct, frozen=True):
    """A part of the page. `names` are the standard sections that it stands for: none, one or more.

    `is_list`: its steps are list items. Else whatever it has (deeper headings, paragraphs, code) stands in their place.
    """

    names: tuple[str, ...]
    heading: Heading | None  # None: what stands before the first
    parts: tuple[Part, ...]
    steps: tuple[Step, ...]
    is_list: bool

    @property
    def title(self) -> str:
        """As the page calls it."""
        return self.heading.words if self.heading else ""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is said in it."""
        return not any(
            (isinstance(part, Text) and part.words.strip() != "")
            or (isinstance(part, Item) and part.text)
            or (isinstance(part, Fence) and part.code.strip())
            for part in self.parts
        )


class RunbookPage(msgspec.Struct, frozen=True):
    """A whole runbook. `places`: where in the front matter each key, or each text of a list, stands.

    `url`: where it was fetched from; then `path` is that of a copy, and what it links to is not beside it.
    """

    path: Path
    runbook: Runbook
    document: Document
    sections: tuple[Section, ...]
    mistakes: tuple[Mistake, ...]  # of the front matter
    places: dict[tuple[str, str], Location]
    ignored: tuple[str, ...]
    url: str = ""

    def place(self, key: str, text: str = "") -> Location:
        """Where a key of the front matter, or a text of its list, stands; else the page's beginning."""
        return self.places.get((key, text)) or self.places.get((key, "")) or Location(self.path)

    @property
    def fences(self) -> tuple[Fence, ...]:
        """All code of the page."""
        return tuple(part for part in self.document.parts if isinstance(part, Fence))

    @property
    def headings(self) -> tuple[Heading, ...]:
        """All headings of the page."""
        return tuple(part for part in self.document.parts if isinstance(part, Heading))


def is_check(fence: Fence) -> bool:
    """Whether the code may be run on request."""
    return CHECK in fence.info


def read_page(path: Path) -> RunbookPage:
    """Read all of a runbook. Raises SpecError when it is no text; mistakes of its front matter are in `mistakes`."""
    text = read_text(path)
    front = read_front_matter(path, text)
    document = parse_markdown(text, skip=front.lines)
    sections = _sections(document, document.parts)
    names = {name for section in sections if not section.is_empty for name in section.names}
    title = front.runbook.title
    if title == path.stem:
        title = next((part.words for part in document.parts if isinstance(part, Heading)), title)
    runbook = msgspec.structs.replace(
        front.runbook,
        title=title,
        sections=tuple(name for name in SECTIONS if name in names),
        missing_sections=tuple(name for name in SECTIONS if name not in names),
    )
    fields = front.fields
    places: dict[tuple[str, str], Location] = {}
    for key, (at, node) in fields.node.entries.items():
        places[key, ""] = fields.file.location(at)
        for item in _items(node):
            places.setdefault((key, item[0]), fields.file.location(item[1]))
    return RunbookPage(path, runbook, document, sections, fields.file.mistakes(), places, front.ignored)


def sections_at(page: RunbookPage, anchor: str) -> tuple[Section, ...]:
    """What stands under the heading with this anchor, by sections: a runbook within a page of many. None without it."""
    parts = page.document.parts
    found = next(
        (index for index, part in enumerate(parts) if isinstance(part, Heading) and part.anchor == anchor.lower()), None
    )
    if found is None:
        return ()
    first = parts[found]
    assert isinstance(first, Heading)
    following = (index for index in range(found + 1, len(parts)) if _is_as_high(parts[index], first.level))
    return _sections(page.document, parts[found : next(following, len(parts))])


def _is_as_high(part: Part, level: int) -> bool:
    return isinstance(part, Heading) and part.level <= level


def _items(node: Node) -> list[tuple[str, Node]]:
    nodes = node.items if isinstance(node, SequenceNode) else [node]
    return [(item.text, item) for item in nodes if isinstance(item, Scalar)]


def _sections(document: Document, parts: Sequence[Part]) -> tuple[Section, ...]:
    """Standard sections with all that belongs to them, and what lies between."""
    walk = Sections()
    found: list[tuple[tuple[str, ...], Heading | None, list[Part]]] = [((), None, [])]
    for part in parts:
        if isinstance(part, Heading) and walk.enter(part.level, part.words):
            found.append((walk.now, part, []))
        else:
            found[-1][2].append(part)
    return tuple(
        _section(document, names, heading, within) for names, heading, within in found if heading is not None or within
    )


def _section(document: Document, names: tuple[str, ...], heading: Heading | None, parts: Sequence[Part]) -> Section:
    items = [part for part in parts if isinstance(part, Item)]
    steps = _listed(document, parts) if items else _other(document, parts)
    return Section(names, heading, tuple(parts), steps, bool(items))


def _listed(document: Document, parts: Sequence[Part]) -> tuple[Step, ...]:
    """List items, the nested ones each for itself. Code between two items belongs to the one before it."""
    steps: list[Step] = []
    items = [(index, part) for index, part in enumerate(parts) if isinstance(part, Item)]
    for number, (index, item) in enumerate(items, 1):
        after = items[number][0] if number < len(items) else len(parts)
        code = tuple(part for part in parts[index + 1 : after] if isinstance(part, Fence))
        end = items[number][1].line if number < len(items) else max(item.end, _end(parts[-1]))
        steps.append(Step(number, item.line, item.text, document.source(item.line, end), code))
    return tuple(steps)


def _other(document: Document, parts: Sequence[Part]) -> tuple[Step, ...]:
    """Where there is no list: each deeper heading, or else each paragraph, with what follows it."""
    deeper = any(isinstance(part, Heading) for part in parts)
    starts = [
        index
        for index, part in enumerate(parts)
        if isinstance(part, Heading if deeper else Text) or (index == 0 and not isinstance(part, Heading))
    ]
    steps = []
    for number, index in enumerate(starts, 1):
        until = starts[number] if number < len(starts) else len(parts)
        first, end = parts[index], _end(parts[until - 1])
        text = first.words if isinstance(first, Heading | Text) else ""
        code = tuple(part for part in parts[index:until] if isinstance(part, Fence))
        steps.append(Step(number, first.line, " ".join(text.split()), document.source(first.line, end), code))
    return tuple(steps)


def _end(part: Part) -> int:
    return part.line + 1 if isinstance(part, Heading) else part.end
