"""Lints runbooks: what would let down whoever is paged and follows one."""

from collections.abc import Iterable, Iterator, Sequence

from gameday.coverage.lint.alerts import anchors_led_to, check_alerts
from gameday.coverage.lint.base import SEVERITIES, Owners, Remark, Rule, Severity, Surroundings, remark
from gameday.coverage.lint.links import check_links
from gameday.coverage.lint.owners import check_owner, read_owners
from gameday.coverage.lint.sections import (
    check_front_matter,
    check_review,
    check_sections,
    check_steps,
    is_collection,
    is_runbook,
)
from gameday.coverage.lint.shell import check_code
from gameday.coverage.lint.web import check_web
from gameday.spec.runbook_page import RunbookPage

__all__ = [
    "SEVERITIES",
    "Owners",
    "Remark",
    "Rule",
    "Severity",
    "Surroundings",
    "anchors_led_to",
    "is_runbook",
    "lint",
    "read_owners",
    "remark",
]


def lint(
    pages: Sequence[RunbookPage], surroundings: Surroundings, *, online: bool = False, ignored: Iterable[str] = ()
) -> tuple[Remark, ...]:
    """All that is to be said of these pages, page by page, each in its order. With `online`, servers are asked.

    Rules that are `ignored`, or that a page's front matter turns off, say nothing.
    """
    turned_off = set(ignored)
    found = [(page, item) for page in pages for item in _offline(page, pages, surroundings)]
    if online:
        by_path = {page.path: page for page in pages}
        found += [(by_path[item.mistake.location.path], item) for item in check_web(pages)]
    order = {page.path: number for number, page in enumerate(pages)}
    found.sort(key=lambda pair: (order[pair[0].path], pair[1].mistake.location))
    return tuple(dict.fromkeys(item for page, item in found if item.rule not in {*turned_off, *page.ignored}))


def _offline(page: RunbookPage, pages: Sequence[RunbookPage], surroundings: Surroundings) -> Iterator[Remark]:
    yield from check_front_matter(page)
    # On a page to whose parts rules lead, each part is a runbook of its own.
    if not is_collection(page) and len(anchors_led_to(page, surroundings.rules or ()) or ()) < 2:
        yield from check_sections(page)
        yield from check_steps(page)
    yield from check_code(page, commands=surroundings.commands)
    yield from check_links(page, surroundings)
    yield from check_review(page, surroundings.today)
    yield from check_owner(page, surroundings.owners)
    yield from check_alerts(page, pages, surroundings)
