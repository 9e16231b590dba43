"""What the linter of runbooks says, by which rules, and what it must know of a page's surroundings."""

from datetime import date
from enum import StrEnum
from pathlib import Path

import msgspec

from gameday.coverage.rule_files import FileRule
from gameday.spec.location import Location, Mistake
from gameday.spec.runbook_page import RunbookPage


class Severity(StrEnum):
    ERROR = "error"  # it would let down whoever is paged
    WARNING = "warning"


class Rule(StrEnum):
    """By its name a rule is shown, and turned off: `gameday-ignore: [link-dead]` in the front matter."""

    FRONT_MATTER = "front-matter"
    SECTION_MISSING = "section-missing"
    SECTION_EMPTY = "section-empty"
    STEP_MISSING = "step-missing"
    STEP_EMPTY = "step-empty"
    STEP_NOT_LISTED = "step-not-listed"
    CHECK_SYNTAX = "check-syntax"
    PROGRAM_MISSING = "program-missing"
    LINK_DEAD = "link-dead"
    LINK_UNKNOWN = "link-unknown"
    ANCHOR_DEAD = "anchor-dead"
    REVIEW_OLD = "review-old"
    OWNER_UNKNOWN = "owner-unknown"
    ALERT_UNKNOWN = "alert-unknown"
    ALERT_UNLISTED = "alert-unlisted"
    IGNORE_UNKNOWN = "ignore-unknown"


SEVERITIES = {
    rule: Severity.WARNING
    if rule
    in (
        Rule.STEP_MISSING,
        Rule.STEP_NOT_LISTED,
        Rule.PROGRAM_MISSING,
        Rule.LINK_UNKNOWN,
        Rule.REVIEW_OLD,
        Rule.IGNORE_UNKNOWN,
    )
    else Severity.ERROR
    for rule in Rule
}


class Remark(msgspec.Struct, frozen=True):
    """One thing that was found."""

    rule: Rule
    severity: Severity
    mistake: Mistake


class Owners(msgspec.Struct, frozen=True):
    """Who can own something here, as far as these files say."""

    names: frozenset[str]
    files: tuple[Path, ...]


class Surroundings(msgspec.Struct, frozen=True):
    """What a page is compared with. `root`: where links that begin with `/` start; nothing outside is looked at.

    `rules` are alerting rules, None when none are known; with `templates` some could not be read. `commands`: look at
    all code that says it is shell, and not only at what may be run on request.
    """

    root: Path
    today: date
    rules: tuple[FileRule, ...] | None = None
    templates: bool = False
    owners: Owners | None = None
    commands: bool = False


def remark(
    rule: Rule,
    location: Location,
    found: str,
    expected: str,
    nearest: str | None = None,
    severity: Severity | None = None,
) -> Remark:
    """A remark of the rule's own severity, or of another."""
    return Remark(rule, severity or SEVERITIES[rule], Mistake(location, found, expected, nearest))


def at(page: RunbookPage, line: int, column: int = 1) -> Location:
    """A place on the page."""
    return Location(page.path, line, column)
