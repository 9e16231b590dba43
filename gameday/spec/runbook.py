"""Reads a runbook: Markdown with front matter, and the sections that whoever is paged will look for."""

import re
from datetime import date
from pathlib import Path

from gameday.spec.model import Runbook
from gameday.spec.nodes import Mapping
from gameday.spec.reader import Fields, File, parse_document, read_text
from gameday.spec.units import UnitError, excerpt

SECTIONS = ("Symptoms", "Impact", "Diagnosis", "Mitigation", "Rollback", "Escalation")

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_HEADING = re.compile(r" {0,3}(#{1,6})\s+(.*)")


def load_runbook(path: Path) -> Runbook:
    """Read a runbook. Raises SpecError; a section without content is no mistake, but in `missing_sections`."""
    text = read_text(path)
    lines = text.split("\n")
    file = File(path)
    front, body_from = _front_matter(file, path, lines)
    fields = Fields(file, front, "a runbook's front matter")
    first_title, filled = _sections(lines[body_from:])
    runbook = Runbook(
        path=path,
        name=path.stem,
        title=fields.text("title") or first_title or path.stem,
        alerts=tuple(name for name, _ in fields.texts("alerts", "a list of alert names")),
        service=fields.text("service"),
        owner=fields.text("owner"),
        reviewed=fields.scalar("reviewed", _date, "a date such as 2025-01-31"),
        escalation=fields.text("escalation"),
        dashboards=tuple(url for url, _ in fields.texts("dashboards", "a list of URLs")),
        sections=tuple(name for name in SECTIONS if name.lower() in filled),
        missing_sections=tuple(name for name in SECTIONS if name.lower() not in filled),
    )
    fields.close(tolerant=True)  # front matter is shared with whatever publishes the page
    file.check()
    return runbook


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise UnitError(excerpt(text), "a date such as 2025-01-31") from None


def _front_matter(file: File, path: Path, lines: list[str]) -> tuple[Mapping, int]:
    """The front matter, empty if there is none, and the index of the first line after it."""
    empty = Mapping(1, 1, {}, [])
    if not lines or lines[0].rstrip() != "---":
        return empty, 0
    end = next((number for number, line in enumerate(lines[1:], 1) if line.rstrip() in ("---", "...")), None)
    if end is None:
        file.mistake(empty, "front matter without an end", "a line `---` after it")
        return empty, len(lines)
    if not any(line.strip() for line in lines[1:end]):
        return empty, end + 1
    return parse_document(path, "\n".join(lines[1:end]), first_line=2), end + 1


def _without_closing(heading: str) -> str:
    """The words of a heading, without the `#` that may close it (by hand: an expression for it takes for ever)."""
    words = heading.strip()
    shorter = words.rstrip("#")
    return shorter.rstrip() if not shorter or shorter[-1].isspace() else words


def _sections(lines: list[str]) -> tuple[str | None, set[str]]:
    """The first heading, and in lower case the sections that say something. Headings in fenced code are code."""
    title, fence, section = None, None, ""
    filled = set()
    for line in lines:
        mark = _FENCE.match(line)
        if fence is None and (heading := _HEADING.fullmatch(line)) is not None:
            words = _without_closing(heading[2])
            title = title or words
            # A deeper heading belongs to the section it stands in.
            if len(heading[1]) <= 2 or words.lower() in map(str.lower, SECTIONS):
                section = words.lower().rstrip(":")
        elif line.strip():
            filled.add(section)
        if mark:
            if fence is None:
                fence = mark[1]
            elif mark[1].startswith(fence) and not line[mark.end() :].strip():
                fence = None
    return title, filled
