"""What users wrote becomes no markup: it is read back by a Markdown parser."""

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from gameday.people.markdown import code, link, plain

PARSER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


class _Page(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.links: list[str | None] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name == "href"]

    def handle_data(self, data: str) -> None:
        self.text += data


def read(markdown: str) -> _Page:
    return _Page(PARSER.render(markdown))


HOSTILE = [
    "# heading", "- item", "+ item", "1. item", "1) item", "=", "> quote", "a_b __c__ _d_", "*e* **f**", "`g` ``h``",
    "[i](javascript:alert(1))", "<script>alert(1)</script>", "<https://example.com>", "&lt;b&gt;", "&#60;", "a | b",
    "~~j~~", "\\", "![k](l)", "$x$", "---", "***", "    code", "[ ] m", "a\\*b", "```", "@ada_", "_", "x_", "_x",
    "checkout_errors", "Ärger_mit_Ümlauten",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize(("before", "tags"), [("", ["p"]), ("- ", ["ul", "li"]), ("said: ", ["p"])])
def test_plain(text: str, before: str, tags: list[str]) -> None:
    page = read(before + plain(text))
    assert page.tags == tags
    assert " ".join(page.text.split()) == " ".join(f"{before.removeprefix('- ')}{text}".split())


@pytest.mark.parametrize("text", HOSTILE)
def test_in_a_table(text: str) -> None:
    page = read(f"| a | b |\n|---|---|\n| {plain(text)} | x |\n")
    assert page.tags == ["table", "thead", "tr", "th", "th", "tbody", "tr", "td", "td"]
    assert page.text.split() == ["a", "b", *text.split(), "x"]


@given(st.text(min_size=1, max_size=60))
def test_any_text(text: str) -> None:
    page = read(plain(text))
    assert page.tags in (["p"], [])
    assert "\n" not in plain(text)
    assert set(read(f"x {code(text)} y").tags) <= {"p", "code"}
    assert read(f"x {link(text, 'https://example.com/' + text)} y").tags == ["p", "a"]


@pytest.mark.parametrize("text", [*HOSTILE, "`", "``", "a`b", "` `", ""])
def test_code(text: str) -> None:
    page = read(f"x {code(text)} y")
    assert page.tags == ["p", "code"]
    assert page.text.split() == ["x", *text.split(), "y"]


def test_links() -> None:
    page = read(link("the [runbook]", "../runbooks/a%20%28b%29.md"))
    assert (page.links, page.text.strip()) == (["../runbooks/a%20%28b%29.md"], "the [runbook]")
    assert read(link("x", "https://example.com/?a=1&amp;b=2#c")).links == ["https://example.com/?a=1&amp;b=2#c"]


def test_nothing_steers_a_display() -> None:
    assert plain("a\x1b[2Jb\u202ec\nd") == "a\ufffd\\[2Jb\ufffdc d"
    assert len(plain("x" * 10_000)) == 1000
