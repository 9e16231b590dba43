"""Lints where a runbook's links lead: files of the repository, and the anchors in them. No network is asked."""

import os
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

from gameday.coverage.lint.base import Remark, Rule, Surroundings, at, remark
from gameday.spec.location import SpecError
from gameday.spec.markdown import Link, parse_markdown
from gameday.spec.reader import nearest, read_text
from gameday.spec.runbook import source_of
from gameday.spec.runbook_page import RunbookPage
from gameday.spec.units import excerpt

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_TEMPLATE = re.compile(r"\{\{|\{%|<%|\$\{|<[\w -]+>|%s\b|\.\.\.")
_LINES = re.compile(r"L\d+(C\d+)?(-L?\d+(C\d+)?)?|:~:.*")  # lines of a file, or a text on a page: not an anchor
_RAW = re.compile(r"https://raw\.githubusercontent\.com/([^/]+/[^/]+)/(?:refs/heads/)?([^/]+)/(.*)")
_PAGES = (".md", ".markdown", ".mdx")
_INDEXES = ("README.md", "index.md", "_index.md", "index.html.md")
# A site generator publishes pages under other addresses than their files have.
_GENERATORS = (
    "hugo.toml", "hugo.yaml", "config.toml", "config.yaml", "config/_default", "_config.yml", "mkdocs.yml",
    "mkdocs.yaml", "docusaurus.config.js", "docusaurus.config.ts", "config.rb", "archetypes", "antora.yml", "conf.py",
    ".vitepress",
)  # fmt: skip
_CONTENT = ("", "content", "docs", "doc", "source", "static", "site", "website", "website/content", "docs/src")


def is_web(target: str) -> bool:
    """Whether the link leads to another server."""
    return target.lower().startswith(("http://", "https://", "//"))


def check_links(page: RunbookPage, surroundings: Surroundings) -> Iterator[Remark]:
    """Links to files that are not there, and to anchors that no heading has."""
    for link in page.document.links:
        target = unquote(link.target)
        if is_web(target) or _SCHEME.match(target) or _TEMPLATE.search(target):
            continue
        path, _, anchor = target.partition("#")
        path = path.partition("?")[0]
        if not path:
            yield from _anchor(page, link, anchor, page.document.anchors, surroundings.root)
            continue
        if page.url:
            continue  # it leads to that server, which is asked as others are
        found = _find(page.path, path, surroundings.root)
        if found is None:
            yield _dead(page, link, path)
        elif found.suffix.lower() in _PAGES and anchor and not _LINES.fullmatch(anchor):
            yield from _anchor(page, link, anchor, _anchors(found), surroundings.root)


def _dead(page: RunbookPage, link: Link, path: str) -> Remark:
    try:
        names = [file.name for file in (page.path.parent / path).parent.iterdir()]
    except (OSError, ValueError):
        names = []
    near = nearest(Path(path).name, names)
    near = str(Path(path).with_name(near)) if near and Path(path).name else None
    return remark(
        Rule.LINK_DEAD, at(page, link.line, link.column), f"a link to {excerpt(path)}", "a file that is there", near
    )


def _anchor(page: RunbookPage, link: Link, anchor: str, anchors: frozenset[str] | None, root: Path) -> Iterator[Remark]:
    wanted = anchor.lower()
    if anchors is None or wanted in anchors or wanted in ("", "top") or _LINES.fullmatch(anchor):
        return
    if is_site(root) and _like(wanted) in map(_like, anchors):
        return
    near = nearest(wanted, sorted(anchors))
    found, expected = f"a link to the anchor `#{anchor[:80]}`", "one that a heading there has"
    yield remark(Rule.ANCHOR_DEAD, at(page, link.line, link.column), found, expected, f"#{near}" if near else None)


def _like(anchor: str) -> str:
    """As alike as site generators' rules for anchors make them, and no liker: letters and digits."""
    return re.sub(r"[\W_]+", "", anchor)


@lru_cache(maxsize=64)
def is_site(root: Path) -> bool:
    """Whether what lies there is published by a site generator."""
    return any((root / prefix / name).exists() for prefix in ("", "docs", "website", "site") for name in _GENERATORS)


@lru_cache(maxsize=1024)
def _anchors(path: Path) -> frozenset[str] | None:
    """Of another page; None when it cannot be read."""
    try:
        return parse_markdown(read_text(path)).anchors
    except SpecError:
        return None


def _find(page: Path, target: str, root: Path) -> Path | None:
    """The file or directory that a link leads to; None when there is none. What cannot be known is the page itself."""
    site, root, page = is_site(root), root.resolve(), page.resolve()
    if target.startswith("/"):
        bases = [root / prefix for prefix in (_CONTENT if site else ("",))]
        target = target.lstrip("/")
    else:
        # A site generator serves x.md as x/, so that `../y` may be y.md beside it.
        bases = [page.parent, *([page.parent / page.stem, page.parent.parent] if site else [])]
    for base in bases:
        where = Path(os.path.normpath(base / target))
        if not where.is_relative_to(root):
            return page  # GitHub's own pages, such as ../../issues, or another repository beside this one
        if found := _file(where, loosely=site):
            return found
    # An address of the site, which it may make up from anything.
    return page if site and Path(target).suffix in ("", ".html") else None


def _file(where: Path, *, loosely: bool) -> Path | None:
    """The file, or what may stand for it: its directory's index, its source."""
    try:
        if where.is_dir():
            return next((where / name for name in _INDEXES if (where / name).is_file()), where)
        if where.exists():
            return where
        names = [where.name + suffix for suffix in _PAGES]
        if where.suffix == ".html":
            names += [where.stem + ".md", where.name + ".md", where.name + ".erb"]
        for name in names:
            if (where.parent / name).is_file():
                return where.parent / name
        if loosely and where.parent.is_dir():  # addresses are in lower case there
            wanted = {name.lower() for name in (where.name, *names)}
            return next((path for path in where.parent.iterdir() if path.name.lower() in wanted), None)
    except (OSError, ValueError):  # a name that no file can have
        return None
    return None


def web_links(page: RunbookPage) -> Iterator[tuple[Link, str]]:
    """The links that lead to other servers, and can be asked for: without what is an example or filled in later.

    On a page that was fetched, that is each link; its own server can be reached, whatever it is called.
    """
    own = _host(page.url)
    for link in page.document.links:
        target = unquote(link.target)
        if _TEMPLATE.search(target):
            continue
        if is_web(target):
            url = f"https:{link.target}" if link.target.startswith("//") else link.target
        elif page.url and not _SCHEME.match(target) and not target.startswith(("#", "?")):
            url = _resolve(page.url, link.target)
        else:
            continue
        host = _host(url)
        if host and (host == own or not _is_private(host)):
            yield link, url


def _host(url: str) -> str:
    """In lower case; empty where there is none."""
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""


def _resolve(url: str, target: str) -> str:
    """Where a relative link of the page at this URL leads. On GitHub it is a page too, also where the page's source was
    fetched; there `/` is the repository's root."""
    raw = _RAW.fullmatch(urldefrag(source_of(url))[0])
    try:
        if raw is None:
            return urljoin(url, target)
        root = f"https://github.com/{raw[1]}/blob/{raw[2]}/"
        return urljoin(root + ("" if target.startswith("/") else raw[3]), target.lstrip("/"))
    except ValueError:
        return ""


def _is_private(host: str) -> bool:
    """Names that mean something only inside a cluster or a company, and those kept for examples (RFC 2606, 6761)."""
    if "." not in host or re.fullmatch(r"[\d.]+|\[.*\]", host):
        return True
    ends = (".local", ".internal", ".svc", ".cluster", ".example", ".test", ".invalid", ".localhost", ".localdomain")
    return host.endswith((*ends, ".example.com", ".example.org", ".example.net")) or host.startswith("example.")
