"""Lints the two ways between alerts and runbooks: what a page claims, and which rules name it."""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from gameday.coverage.lint.base import Remark, Rule, Severity, Surroundings, at, remark
from gameday.coverage.rule_files import FileRule
from gameday.spec.reader import nearest
from gameday.spec.runbook_page import RunbookPage
from gameday.spec.units import excerpt

_GENERAL = {"readme", "index", "_index", "runbook", "runbooks", "playbook", "playbooks", "alerts", "main"}
_CODE_HOSTS = ("github.com", "gitlab.com", "bitbucket.org")
_MOST_NAMES = 3
_TEMPLATE = re.compile(r"\{\{|\$\{|%s|%\(")


def check_alerts(page: RunbookPage, others: Sequence[RunbookPage], surroundings: Surroundings) -> Iterator[Remark]:
    """Alerts that the page lists and no rule has; rules whose `runbook_url` is the page, and that it does not list.

    `others` are all pages that are linted, this one among them: of two of one name, a rule means the one whose path is
    more like its address.
    """
    rules = surroundings.rules
    if not rules:
        return
    names = {rule.rule.name for rule in rules}
    for alert in page.runbook.alerts:
        if alert not in names:
            where = page.place("alerts", alert)
            found, expected = f"the alert {excerpt(alert)}", "one that a rule here has"
            if surroundings.templates:
                expected += ", or a template that could not be read"
            severity = Severity.WARNING if surroundings.templates else None
            yield remark(Rule.ALERT_UNKNOWN, where, found, expected, nearest(alert, sorted(names)), severity)
    yield from _claims(page, others, rules)


def anchors_led_to(page: RunbookPage, rules: Sequence[FileRule]) -> frozenset[str] | None:
    """The anchors of the page that rules' `runbook_url` name; None when no rule leads to it at all."""
    here = _segments(page.path)
    addresses = (_address(item.rule.runbook_url) for item in rules)
    found = [anchor for path, anchor in addresses if _means(path, here)]
    return frozenset(filter(None, found)) if found else None


def _claims(page: RunbookPage, others: Sequence[RunbookPage], rules: Sequence[FileRule]) -> Iterator[Remark]:
    listed = {_plain(name) for name in page.runbook.alerts}
    says = ""
    if not listed:  # then its name, a heading or a word anywhere will do
        listed = {_plain(page.path.stem), _plain(page.runbook.title)}
        listed |= {_plain(heading.words) for heading in page.headings}
        says = "\n".join(page.document.lines)
    told: set[str] = set()
    here = _segments(page.path)
    unlisted: list[FileRule] = []
    for item in rules:
        path, anchor = _address(item.rule.runbook_url)
        if not _means(path, here) or _closest(path, others) is not page:
            continue
        name = item.rule.name
        if anchor and anchor.lower() not in page.document.anchors and name not in told:
            told.add(name)
            found = f"the rule `{name}` leading to the anchor `#{anchor[:80]}` of {page.path.name}"
            near = nearest(anchor.lower(), sorted(page.document.anchors))
            where = item.location
            yield remark(Rule.ANCHOR_DEAD, where, found, "one that a heading there has", f"#{near}" if near else None)
        elif _plain(name) not in listed and not anchor and name not in told and not _names(says, name):
            told.add(name)
            unlisted.append(item)
    if len(unlisted) > 1 and not page.runbook.alerts:  # that it lists none is one thing, however many lead here
        names = ", ".join(f"`{item.rule.name}`" for item in unlisted[:_MOST_NAMES])
        more = f" and {len(unlisted) - _MOST_NAMES} more" if len(unlisted) > _MOST_NAMES else ""
        found = f"no alerts {names}{more}, whose rules lead here ({unlisted[0].origin}, …)"
        yield remark(Rule.ALERT_UNLISTED, at(page, 1), found, "them among `alerts`", severity=Severity.WARNING)
        return
    for item in unlisted:
        where = page.place("alerts") if page.runbook.alerts else at(page, 1)
        found = f"no alert `{item.rule.name}`, whose rule leads here ({item.origin})"
        severity = None if page.runbook.alerts else Severity.WARNING
        yield remark(Rule.ALERT_UNLISTED, where, found, f"`{item.rule.name}` among `alerts`", severity=severity)


def _names(text: str, alert: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(alert)}(?!\w)", text) is not None


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.lower())


@lru_cache(maxsize=10_000)
def _address(url: str | None) -> tuple[tuple[str, ...], str]:
    """The segments of an address's path, in lower case, and its anchor. Nothing of one that is filled in later."""
    if not url or _TEMPLATE.search(url):
        return (), ""
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        return (), ""
    segments = [re.sub(r"\.(md|html?|markdown)$", "", part) for part in unquote(parts.path).lower().split("/") if part]
    if len(segments) < 3 and parts.hostname in _CODE_HOSTS:
        return (), ""  # a repository, and no page of it
    while len(segments) > 1 and segments[-1] in ("index", "readme", "_index"):
        segments.pop()
    return tuple(segments), unquote(parts.fragment)


def _segments(path: Path) -> tuple[str, ...]:
    return _resolved(path.absolute())


@lru_cache(maxsize=10_000)
def _resolved(path: Path) -> tuple[str, ...]:
    path = path.resolve()
    parts = [*(part.lower() for part in path.parts[:-1]), re.sub(r"\.html$", "", path.stem.lower())]
    if parts[-1] in ("index", "readme", "_index"):
        parts.pop()
    return tuple(parts)


def _alike(address: tuple[str, ...], page: tuple[str, ...]) -> int:
    """How many segments, from the last one on, are the same."""
    count = 0
    for one, other in zip(reversed(address), reversed(page), strict=False):
        if one != other:
            break
        count += 1
    return count


def _means(address: tuple[str, ...], page: tuple[str, ...]) -> bool:
    """Whether the address can be this page's: a name that many pages have says nothing without its directory."""
    if not address or address[-1:] != page[-1:]:
        return False
    return _alike(address, page) > (1 if address[-1] in _GENERAL else 0)


def _closest(address: tuple[str, ...], pages: Sequence[RunbookPage]) -> RunbookPage:
    return max(pages, key=lambda page: _alike(address, _segments(page.path)))
