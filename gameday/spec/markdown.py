"""Reads Markdown (CommonMark with tables) into what a runbook is made of: headings, list items, code, links, anchors.

Lines and columns count from 1. The parser takes long to import: a run, which only asks whether sections are there, does
without it (gameday.spec.runbook).
"""

import re
from collections.abc import Iterator, Sequence
from urllib.parse import unquote

import msgspec
from markdown_it import MarkdownIt
from markdown_it.token import Token

from gameday.common.json import Json

_MARK = re.compile(r"\s*\{#([^\s}]+)\}\s*$")  # an anchor of one's own, as Hugo, Jekyll and MkDocs read it
_HTML_ANCHOR = re.compile(r"""<[^>]*?\b(?:id|name)\s*=\s*["']?([^"'\s>]+)""", re.IGNORECASE)
_HTML_LINK = re.compile(r"""<[^>]*?\b(?:href|src)\s*=\s*["']([^"']+)["']""", re.IGNORECASE)
_HTML_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_BARE_URL = re.compile(r"https?://[^\s<>\"'`\]|]+", re.IGNORECASE)


class Heading(msgspec.Struct, frozen=True):
    """`anchor` is what GitHub makes of its words; `words` are without markup."""

    line: int
    level: int
    words: str
    anchor: str


class Item(msgspec.Struct, frozen=True):
    """A list item. `depth` counts from 0; `end` is the line after its last; `text` is its first paragraph's words."""

    line: int
    end: int
    depth: int
    text: str


class Fence(msgspec.Struct, frozen=True):
    """Code between fences; `info` are the words behind the opening one. `code` begins on the next line."""

    line: int
    end: int
    info: tuple[str, ...]
    code: str


class Text(msgspec.Struct, frozen=True):
    """A paragraph, a table's row or anything else that says something and is none of the above."""

    line: int
    end: int
    words: str


class Link(msgspec.Struct, frozen=True):
    """Where something leads, or where an image lies, as written (but for a URL's escapes)."""

    line: int
    column: int
    target: str


type Part = Heading | Item | Fence | Text


class Document(msgspec.Struct, frozen=True):
    """A page. `parts` in their order; what stands in an item follows it. `anchors` are in lower case, as GitHub
    compares them."""

    parts: tuple[Part, ...]
    links: tuple[Link, ...]
    anchors: frozenset[str]
    lines: tuple[str, ...]

    def source(self, line: int, end: int) -> str:
        """The lines from `line` up to but without `end`, as written, without their common indentation."""
        import textwrap

        return textwrap.dedent("\n".join(self.lines[line - 1 : end - 1])).strip("\n")


def slug(words: str) -> str:
    """GitHub's anchor for a heading's words: lower case; letters, digits, hyphens and low lines stay; spaces become
    hyphens (https://github.com/gjtorikian/html-pipeline, toc_filter.rb)."""
    return re.sub(r"[^\w\- ]", "", words.strip().lower()).replace(" ", "-")


def parse_markdown(text: str, *, skip: int = 0) -> Document:
    """The page that `text` is. Its first `skip` lines are front matter, which is not read."""
    # To CommonMark a bare carriage return ends a line too; to editors, and to our other messages, it does not.
    lines = text.replace("\r\n", "\n").replace("\r", " ").split("\n")
    # Blank lines in the place of the front matter keep the numbers of lines right.
    body = "\n" * skip + "\n".join(lines[skip:])
    parser = MarkdownIt("commonmark").enable("table")
    return _Reader(lines).read(parser.parse(body))


class _Reader:
    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self._parts: list[Part] = []
        self._links: list[Link] = []
        self._anchors: set[str] = set()
        self._slugs: dict[str, int] = {}
        self._open: list[int] = []  # where in `_parts` the items stand that are open
        self._named: set[int] = set()  # those of them that have had their first paragraph

    def read(self, tokens: Sequence[Token]) -> Document:
        for index, token in enumerate(tokens):
            self._take(token, tokens[index - 1] if index else None)
        return Document(tuple(self._parts), tuple(self._links), frozenset(self._anchors), tuple(self._lines))

    def _take(self, token: Token, before: Token | None) -> None:
        line, end = (token.map[0] + 1, token.map[1] + 1) if token.map else (1, 1)
        match token.type:
            case "list_item_open":
                self._open.append(len(self._parts))
                self._parts.append(Item(line, end, len(self._open) - 1, ""))
            case "list_item_close":
                self._open.pop()
            case "fence" | "code_block":
                self._parts.append(Fence(line, end, tuple(token.info.split()), token.content))
            case "html_block":
                self._html(token.content, line)
                words = _HTML_COMMENT.sub("", token.content).strip()
                if words:
                    self._parts.append(Text(line, end, words))
            case "inline":
                self._inline(token, before, line, end)
            case _:
                pass

    def _inline(self, token: Token, before: Token | None, line: int, end: int) -> None:
        is_heading = before is not None and before.type == "heading_open"
        words = "".join(_words(token.children or (), images=not is_heading))
        self._find_links(token, line, end)
        for match in _HTML_ANCHOR.finditer(token.content):
            self._anchors.add(match[1].lower())
        if is_heading and before is not None:
            self._heading(int(before.tag[1:]), words, line)
        elif self._open and self._open[-1] not in self._named:
            self._named.add(self._open[-1])
            item = self._parts[self._open[-1]]
            self._parts[self._open[-1]] = msgspec.structs.replace(item, text=" ".join(words.split()))
        elif words.strip():
            self._parts.append(Text(line, end, words))

    def _heading(self, level: int, words: str, line: int) -> None:
        own = _MARK.search(words)
        if own:
            words = words[: own.start()]
            self._anchors.add(own[1].lower())
        anchor = slug(words)
        count = self._slugs.get(anchor, 0)
        self._slugs[anchor] = count + 1
        anchor += f"-{count}" if count else ""
        self._anchors.add(anchor)
        self._parts.append(Heading(line, level, words.strip(), anchor))

    def _html(self, content: str, line: int) -> None:
        content = _HTML_COMMENT.sub(lambda match: "\n" * match[0].count("\n"), content)
        for match in _HTML_ANCHOR.finditer(content):
            self._anchors.add(match[1].lower())
        for match in _HTML_LINK.finditer(content):
            before = content[: match.start(1)]
            at = line + before.count("\n")
            self._links.append(Link(at, _column(self._lines, at, match[1]), match[1]))

    def _find_links(self, token: Token, line: int, end: int) -> None:
        """The links of one stretch of text, in their order, each at the first place where it can stand."""
        at, column = line, 0
        for target in _targets(token.children or ()):
            written = (target, unquote(target))
            for number in range(at, min(end, len(self._lines) + 1)):
                source, start = self._lines[number - 1], column if number == at else 0
                found = next((place for text in written if (place := source.find(text, start)) >= 0), None)
                if found is not None:
                    at, column = number, found + 1
                    self._links.append(Link(number, found + 1, target))
                    break
            else:  # by reference, or with escapes of its own
                self._links.append(Link(line, 1, target))


def _column(lines: list[str], line: int, text: str) -> int:
    return max(lines[line - 1].find(text), 0) + 1 if line <= len(lines) else 1


def _words(children: Sequence[Token], *, images: bool) -> Iterator[str]:
    """With `images`, each says what it shows; GitHub's anchor of a heading has nothing of it."""
    for child in children:
        if child.type in ("text", "code_inline"):
            yield child.content
        elif child.type in ("softbreak", "hardbreak"):
            yield " "
        elif child.type == "image" and images:
            yield child.content or "(an image)"


def _targets(children: Sequence[Token]) -> Iterator[str]:
    inside = 0
    for child in children:
        target: Json = None
        if child.type == "link_open":
            inside += 1
            target = child.attrs.get("href")
        elif child.type == "link_close":
            inside -= 1
        elif child.type == "image":
            target = child.attrs.get("src")
        elif child.type == "html_inline":
            for match in _HTML_LINK.finditer(child.content):
                yield match[1]
        elif child.type == "text" and not inside:
            yield from map(_trimmed, _BARE_URL.findall(child.content))
        if target:
            yield str(target)


def _trimmed(url: str) -> str:
    """Without what ends the sentence (GitHub Flavored Markdown, 6.9: extended autolinks)."""
    url = url.rstrip("?!.,:*_~;")
    while url.endswith(")") and url.count(")") > url.count("("):
        url = url[:-1].rstrip("?!.,:*_~;")
    return url
