"""Lints what a runbook says: its front matter, its sections and their steps, and when it was reviewed."""

import re
from collections.abc import Iterator
from datetime import date

from gameday.coverage.lint.base import Remark, Rule, at, remark
from gameday.coverage.runbooks import REVIEWED_WITHIN
from gameday.spec.markdown import Heading, Item, Text
from gameday.spec.reader import nearest
from gameday.spec.runbook import IGNORE, SECTIONS, plain_words
from gameday.spec.runbook_page import RunbookPage, Section
from gameday.spec.units import excerpt

_TO_DO = ("Diagnosis", "Mitigation", "Rollback")  # sections that say what to do
_NO_RUNBOOKS = {"readme", "contributing", "changelog", "_index", "template", "security", "governance", "maintainers"}
# Directories of what is thought of, and decided, and of what has happened.
_NO_RUNBOOKS_HERE = {
    "design", "designs", "proposals", "enhancements", "rfc", "rfcs", "adr", "adrs", "decisions", "postmortem",
    "postmortems", "post-mortems",
}  # fmt: skip
_AS_FAR_UP = 3  # what lies further up says where somebody keeps repositories
# Names of sections that many other pages have, proposals among them.
_COMMON_WORDS = {
    "overview", "summary", "introduction", "background", "problem", "description", "definition", "definitions",
    "solution", "solutions", "action", "actions", "help", "support", "contact", "verification", "message", "issue",
}  # fmt: skip
_LISTS = re.compile(r"(?<![a-z])(?:alert|runbook|playbook)s?(?![a-z])", re.IGNORECASE)  # no `alertmanager`
_PLACEHOLDER = re.compile(r"(\[[ x]\]\s*)?(to ?do|tbd|tbc|fixme|xxx|n/?a|none|\.\.\.|…|\?+|-+)?[\s.:!]*", re.IGNORECASE)
_TO_BE_WRITTEN = re.compile(r"\W*(to ?do|tbd|tbc|fixme|xxx|coming soon)\W*", re.IGNORECASE)
_LIKE_A_STEP = re.compile(r"(step\s*\d+\b|\(?\d{1,2}\)?\s+[-–—:]\s|\(\d{1,2}\)\s|[•●▪◦]\s|[–—]\s+\w)", re.IGNORECASE)
# A heading that is an alert's name and nothing else: on a page with several of them, each is a runbook of its own.
_ALERT_HEADING = re.compile(r"(?:alert(?: name)?:?\s*)?[\"“'`]?([A-Za-z]\w*)[\"”'`]?", re.IGNORECASE)
_NEXT_SENTENCE = re.compile(r"[.!?]\s+(?![a-z])\S")
_LONGEST_NAME = 200
_CAMEL = re.compile(r"[A-Z][A-Za-z0-9_]*[a-z][A-Z][A-Za-z0-9_]*")


def check_front_matter(page: RunbookPage) -> Iterator[Remark]:
    """Its mistakes, and rules it turns off that are none."""
    for mistake in page.mistakes:
        yield remark(Rule.FRONT_MATTER, mistake.location, mistake.found, mistake.expected, mistake.nearest)
    for name in page.ignored:
        if name not in tuple(Rule):
            found = f"the rule {excerpt(name)}"
            near = nearest(name, tuple(Rule))
            yield remark(Rule.IGNORE_UNKNOWN, page.place(IGNORE, name), found, "one of the linter's", near)


def alert_headings(page: RunbookPage) -> tuple[tuple[Heading, str], ...]:
    """The headings that are an alert's name, with that name."""
    found = []
    for heading in page.headings:
        match = _ALERT_HEADING.fullmatch(heading.words[:_LONGEST_NAME])
        if match and _CAMEL.fullmatch(match[1]):
            found.append((heading, match[1]))
    return tuple(found)


def is_collection(page: RunbookPage) -> bool:
    """Whether the page is a list of alerts, each with a few words, and not one runbook."""
    return len(alert_headings(page)) > 1


def is_runbook(page: RunbookPage) -> bool:
    """Whether a page that lies among others means to be a runbook: sections, alerts, or its file's name say so."""
    stem = page.path.stem.removesuffix(".html")
    if page.runbook.alerts or (_LISTS.search(stem) and is_collection(page)):
        return True
    if _CAMEL.fullmatch(stem) and any(section.names for section in page.sections):
        return True
    if (
        _LISTS.fullmatch(page.path.absolute().parent.name)
        and len({name for s in page.sections for name in s.names}) > 1
    ):
        return True
    if not _NO_RUNBOOKS_HERE.isdisjoint(part.lower() for part in page.path.parent.parts[-_AS_FAR_UP:]):
        return False
    names = {
        name for section in page.sections if plain_words(section.title) not in _COMMON_WORDS for name in section.names
    }
    # Any guide may say where it goes wrong, how to go back and whom to ask.
    is_more = names & {"Symptoms", "Impact", "Mitigation"} and names.intersection(_TO_DO)
    return len(names) > 1 and bool(is_more) and stem.lower() not in _NO_RUNBOOKS


def check_sections(page: RunbookPage) -> Iterator[Remark]:
    """Sections that are missing or empty."""
    missing = [name for name in SECTIONS if not any(name in section.names for section in page.sections)]
    if missing:
        expected = f"each of {', '.join(SECTIONS)}, or what they are called elsewhere"
        yield remark(Rule.SECTION_MISSING, at(page, 1), f"no section {', '.join(missing)}", expected)
    for name in page.runbook.missing_sections:
        sections = [section for section in page.sections if name in section.names]
        if sections and sections[0].heading:
            found = f"the section {excerpt(sections[0].title)} with nothing in it"
            yield remark(Rule.SECTION_EMPTY, at(page, sections[0].heading.line), found, "something to read or to do")
    for section in page.sections:
        words = " ".join(part.words for part in section.parts if isinstance(part, Text)) if section.names else ""
        if section.heading and _TO_BE_WRITTEN.fullmatch(words) and _is_text(section):
            found = f"the section {excerpt(section.title)} that says {excerpt(words)} alone"
            yield remark(Rule.SECTION_EMPTY, at(page, section.heading.line), found, "something to read or to do")


def check_steps(page: RunbookPage) -> Iterator[Remark]:
    """Sections that say what to do and have no step; steps that say nothing; what looks like a step and is none."""
    for section in page.sections:
        if not set(section.names).intersection(_TO_DO):
            continue
        if section.heading and not section.is_empty and _is_prose(section):
            found = f"the section {excerpt(section.title)} without a step"
            yield remark(Rule.STEP_MISSING, at(page, section.heading.line), found, "list items, one for each step")
        for index, part in enumerate(section.parts):
            after = section.parts[index + 1] if index + 1 < len(section.parts) else None
            if isinstance(part, Item):
                # What stands in an item follows it: an item may be nothing but code, or a list.
                holds = after is not None and after.line < part.end and not isinstance(after, Heading)
                if _PLACEHOLDER.fullmatch(part.text) and not holds:
                    found = f"the step {excerpt(part.text)}" if part.text else "a step with nothing in it"
                    yield remark(Rule.STEP_EMPTY, at(page, part.line), found, "what to do")
            elif isinstance(part, Text) and _LIKE_A_STEP.match(part.words):
                found = f"the paragraph {excerpt(part.words[:40])}"
                yield remark(Rule.STEP_NOT_LISTED, at(page, part.line), found, "a list item (`1. ` or `- `) for a step")


def _is_prose(section: Section) -> bool:
    """Whether it is paragraphs alone; one that is a single sentence is a step by itself. That it is still to be written
    is said elsewhere."""
    if not _is_text(section):
        return False
    paragraphs = [part.words.strip() for part in section.parts if isinstance(part, Text)]
    if len(paragraphs) == 1 and _TO_BE_WRITTEN.fullmatch(paragraphs[0]):
        return False
    return any(_NEXT_SENTENCE.search(words) or _PLACEHOLDER.fullmatch(words) for words in paragraphs)


def _is_text(section: Section) -> bool:
    """Whether there is nothing in it but paragraphs."""
    return all(isinstance(part, Text) for part in section.parts)


def check_review(page: RunbookPage, today: date) -> Iterator[Remark]:
    """When it was last reviewed: too long ago, never, or in the future."""
    reviewed, expected = page.runbook.reviewed, f"one within the last {REVIEWED_WITHIN.days} days"
    if reviewed is None:
        if not any(mistake.location == page.place("reviewed") for mistake in page.mistakes):
            yield remark(Rule.REVIEW_OLD, at(page, 1), "no date of a review", f"`reviewed`: {expected}")
    elif reviewed > today:
        where = page.place("reviewed", str(reviewed))
        yield remark(Rule.REVIEW_OLD, where, f"a review on {reviewed}", "a date that has come")
    elif today - reviewed > REVIEWED_WITHIN:
        age = (today - reviewed).days
        yield remark(Rule.REVIEW_OLD, page.place("reviewed", str(reviewed)), f"a review {age} days ago", expected)
