"""No text that anybody writes, in whatever field, is ever more than text, in any format of a report or in the index."""

import itertools
import json
import os
import re
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from gameday.journal.events import Event
from gameday.report.format import clean
from gameday.report.index import write_index
from gameday.report.model import load_report
from gameday.report.past import read_sessions
from gameday.report.render import VIEWS, Format, render
from tests.browser import Browser, launch, needs_browser

from . import hostile

RUN = "20260306-100000-checkout-ab12"
# Attributes whose values are, or are made of, texts of unknown origin.
_TEXTS = {"aria-label", "title", "content"}
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff]")


class Shape(HTMLParser):
    """The elements of a page with their attributes, in order, and nothing of what is said in them."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[object, ...]] = []
        self.links: list[str] = []
        self.others: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        shape: list[str] = []
        for name, value in attrs:
            if name in ("href", "src", "action", "data") and not (value or "").startswith("#"):
                self.links.append(value or "")
                value = "a page"
            shape.append(name if name in _TEXTS and tag != "meta" else f"{name}={value}")
        self.elements.append((tag, *(shape if tag != "meta" else [one.partition("=")[0] for one in shape])))

    def handle_endtag(self, tag: str) -> None:
        self.elements.append((f"/{tag}",))

    def handle_comment(self, data: str) -> None:
        self.others.append(data)

    def handle_pi(self, data: str) -> None:
        self.others.append(data)

    def unknown_decl(self, data: str) -> None:
        self.others.append(data)


class Rendered:
    """A session with this text in every field, in every format."""

    def __init__(self, directory: Path, base: list[Event], text: str, *, all_fields: bool) -> None:
        run = directory / ".gameday" / "runs" / RUN
        hostile.write(run, base, text, also_words=all_fields, fill=all_fields)
        report = load_report(run)
        assert report.unread_count == 0
        self.texts = {kind: render(report, kind) for kind in VIEWS}
        self.shape = Shape(self.texts[Format.HTML])
        self.index = Shape(write_index(read_sessions(directory), directory / "reports").read_text("utf-8"))
        self.index_text = (directory / "reports" / "index.html").read_text("utf-8")


type Make = Callable[[str, bool], Rendered]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> list[Event]:
    return hostile.whole(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def make(base: list[Event], tmp_path_factory: pytest.TempPathFactory) -> Make:
    @lru_cache(maxsize=4)  # they are large
    def rendered(text: str, all_fields: bool) -> Rendered:
        return Rendered(tmp_path_factory.mktemp("run"), base, text, all_fields=all_fields)

    return rendered


each = pytest.mark.parametrize("name", hostile.PAYLOADS)
both = pytest.mark.parametrize("all_fields", [False, True], ids=["as it is", "every field filled"])


def test_every_field_is_reached(base: list[Event], tmp_path: Path) -> None:
    """The list is made of the structs of the journal: a new field of an event is in it. That every kind of event is in
    a journal that is kept is another test's business (tests/journal/test_fixtures.py)."""
    fields = set(hostile.fields({type(event) for event in base}))
    assert len(fields) > 140
    assert hostile.write(tmp_path / "filled", base, "x", also_words=True, fill=True) == fields
    assert fields > hostile.WORDS
    assert len(hostile.SCRIPTS) >= 40


def test_marks_do_not_pile_up() -> None:
    piled = "a" + "\u0301\u0489" * 3_000
    assert clean(piled, 10_000) == piled[:9]
    for text in ("שָׁלוֹם", "क्षत्रिय", "ที่นี่", "👩🏽\u200d🚒️"):
        assert clean(text) == text


@each
@both
def test_it_stays_text(name: str, all_fields: bool, make: Make) -> None:
    """Every format has the structure that it has with a harmless text, and nothing unseen in it."""
    text = hostile.PAYLOADS[name]
    theirs, ours = make(text, all_fields), make(hostile.harmless(text), all_fields)
    assert_same_page(theirs.shape, ours.shape)
    assert_same_page(theirs.index, ours.index)
    assert_same_markdown(theirs.texts[Format.MARKDOWN], ours.texts[Format.MARKDOWN])
    assert_same_junit(theirs.texts[Format.JUNIT], ours.texts[Format.JUNIT])
    assert_same_json(theirs.texts[Format.JSON], ours.texts[Format.JSON], text)
    for shown in (theirs.texts[Format.HTML], theirs.index_text, theirs.texts[Format.MARKDOWN]):
        assert not _UNSEEN.findall(shown)
        shown.encode()


def assert_same_page(theirs: Shape, ours: Shape) -> None:
    """The same elements, with the same attributes; what leads away leads to a page."""
    pairs = zip(theirs.elements, ours.elements, strict=False)
    assert next((pair for pair in pairs if pair[0] != pair[1]), None) is None
    assert len(theirs.elements) == len(ours.elements)
    assert theirs.others == []
    assert all(re.fullmatch(r"https?://[!-~]+|[\w.%-]+\.html", link) for link in theirs.links), theirs.links


def assert_same_markdown(theirs: str, ours: str) -> None:
    """GitHub's dialect as far as a parser of CommonMark with tables knows it; what links by itself is looked for."""
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    assert joined(structure(parser.parse(theirs))) == joined(structure(parser.parse(ours)))
    assert not re.findall(r"://|(?<![\\\w])www\.|@(?!\N{ZERO WIDTH SPACE})|(?<![\\&])#(?=\d)|(?<!\\)\$", theirs)


_ACTIVE = {"html_block", "html_inline", "image", "link_open", "fence", "code_block", "code_inline"}


def structure(tokens: list[Token]) -> Iterator[str]:
    for token in tokens:
        assert token.type not in _ACTIVE
        yield token.type
        yield from structure(token.children or [])


def joined(kinds: Iterator[str]) -> list[str]:
    """Texts that an escape has parted are one."""
    return [kind for kind, _ in itertools.groupby("text" if kind == "text_special" else kind for kind in kinds)]


def assert_same_junit(theirs: str, ours: str) -> None:
    shapes = [[(one.tag, [*one.keys()]) for one in root.iter()] for root in map(ET.fromstring, (theirs, ours))]
    assert shapes[0] == shapes[1]
    theirs.encode()


def assert_same_json(theirs: str, ours: str, text: str) -> None:
    """Programs get the text as it is."""
    document = json.loads(theirs)
    assert keys(document) == keys(json.loads(ours))
    assert re.sub(r"^\d+", "", document["title"]) == re.sub(r"^\d+", "", text)
    assert document["experiments"][0]["title"].endswith(text)


def keys(value: object) -> object:
    match value:
        case dict():
            return {key: keys(one) for key, one in value.items()}
        case list():
            return [keys(one) for one in value]
    return type(value).__name__


def test_half_a_character_is_a_line_that_cannot_be_read(base: list[Event], tmp_path: Path) -> None:
    """JSON can say what no text can hold. Such a line is passed over, and said; all else is there."""
    hostile.write(tmp_path, base, "x")
    journal = tmp_path / "journal.jsonl"
    lines = journal.read_bytes().splitlines()
    number = next(n for n, line in enumerate(lines) if b'"note-added"' in line)
    lines[number] = lines[number].replace(b'"text":"', b'"text":"\\ud800')
    journal.write_bytes(b"\n".join(lines))
    report = load_report(tmp_path)
    assert [line.line for line in report.unread] == [number + 1]
    for kind in VIEWS:
        render(report, kind).encode()
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(lines[number])


# -- in a browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launch() as started:
        yield started


SHAPE = """[...document.querySelectorAll("*")].map((one) => one.localName + " " + one.getAttributeNames().join(" "))"""
WIDE = """[...document.querySelectorAll("body *")].filter((one) => one.getBoundingClientRect().right > innerWidth + 1 &&
    !one.closest(".scroll, pre, svg, .sr, .skip")).slice(0, 5).map((one) => one.localName + "." + one.className)"""


@pytest.fixture(scope="module")
def shape_of(
    make: Make, browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, bool], list[str]]:
    """The elements and attributes of a page with this text, as the browser has them."""
    path = tmp_path_factory.mktemp("harmless") / "page.html"

    @cache
    def shape(text: str, all_fields: bool) -> list[str]:
        path.write_text(make(text, all_fields).texts[Format.HTML], encoding="utf-8")
        with browser.page(1280) as page:
            page.open(path)
            found: list[str] = page.evaluate(SHAPE)
            return found

    return shape


# What is wider than its card, column or cell, and covers what stands beside it.
SPILLS = """(() => {
  const clips = (one) => getComputedStyle(one).overflowX !== 'visible';
  const isHeld = (one) => clips(one) ||
    (one.parentElement !== null && !one.matches('.card, .three > *, td, th') && isHeld(one.parentElement));
  return [...document.querySelectorAll('main *')]
    .filter((one) => one.clientWidth && one.scrollWidth > one.clientWidth + 8 && !isHeld(one))
    .map((one) => `${one.tagName}.${one.className}`);
})()"""
# Each script once, and what may burst a page also where every field is filled.
PAGES = [*((name, False) for name in hostile.PAYLOADS), *((name, True) for name in hostile.SHAPES)]


@needs_browser
@pytest.mark.parametrize(("name", "all_fields"), PAGES)
def test_in_chromium(
    name: str,
    all_fields: bool,
    make: Make,
    browser: Browser,
    shape_of: Callable[[str, bool], list[str]],
    tmp_path: Path,
) -> None:
    """Nothing runs, nothing is asked for, our own script works, and nothing is wider than the window."""
    text = hostile.PAYLOADS[name]
    rendered = make(text, all_fields)
    for which, source in (("page", rendered.texts[Format.HTML]), ("index", rendered.index_text)):
        path = tmp_path / f"{which}.html"
        path.write_text(source, encoding="utf-8")
        with browser.page(1280) as page:
            page.open(path)
            if which == "page":
                assert page.evaluate(SHAPE) == shape_of(hostile.harmless(text), all_fields)
                assert page.evaluate("document.querySelectorAll('.canvas[tabindex]').length") > 0
            for width in (1280, 390):
                page.resize(width)
                page.settle()
                widest = page.evaluate("document.documentElement.scrollWidth")
                assert widest <= width, (which, width, page.evaluate(WIDE))
                assert page.evaluate(SPILLS) == [], (which, width)
                if keep := os.environ.get("GAMEDAY_TEST_SCREENSHOTS"):
                    page.screenshot(Path(keep) / f"{name}-{all_fields}-{which}-{width}.png")
            assert (page.dialogs, page.complaints) == ([], [])
            assert page.requests == [path.resolve().as_uri()]
            assert page.evaluate("typeof hit") == "undefined"
