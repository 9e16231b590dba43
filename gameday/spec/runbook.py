"""Reads a runbook: Markdown with front matter, and the sections that whoever is paged will look for."""

import re
from datetime import date
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from gameday.spec.location import SpecError
from gameday.spec.model import Project, Runbook
from gameday.spec.nodes import Mapping, Node
from gameday.spec.reader import Fields, File, nearest, parse_document, read_text
from gameday.spec.units import UnitError, excerpt

SECTIONS = ("Symptoms", "Impact", "Diagnosis", "Mitigation", "Rollback", "Escalation")
IGNORE = "gameday-ignore"  # rules of `gameday runbook lint` that do not hold for the page

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_HEADING = re.compile(r" {0,3}(#{1,6})\s+(.*)")
_CUSTOM_ANCHOR = re.compile(r"\s*\{#[^}\s]*\}$")
# What the sections are called elsewhere, too. The words are those of runbooks that anybody can read.
_SYNONYMS = {
    "Symptoms": (
        "symptom", "meaning", "description", "alert description", "overview", "summary", "definition", "definitions",
        "introduction", "what is this alert", "what does this alert mean", "what does it mean", "what this alert means",
        "what this means", "what is happening", "problem", "problem description", "the alert", "alert", "issue",
        "alert behavior", "alert behaviour", "trigger", "triggers", "message", "why this happens", "background",
    ),
    "Impact": (
        "user impact", "customer impact", "business impact", "consequences", "effect", "effects", "severity",
        "severities", "possible impact",
    ),
    "Diagnosis": (
        "diagnose", "diagnostic", "diagnostics", "diagnosing", "diagnosis steps", "investigation", "investigate",
        "investigating", "initial investigation", "how to investigate", "how to diagnose", "investigation steps",
        "troubleshooting", "troubleshooting steps", "troubleshoot", "how to troubleshoot", "triage", "debugging",
        "debug", "how to debug", "verification", "verify", "check", "checks", "possible checks", "initial checks",
        "cause", "causes", "possible cause", "possible causes", "probable causes", "root cause", "common causes",
        "common causes and solutions",
    ),
    "Mitigation": (
        "mitigations", "mitigate", "mitigation steps", "how to mitigate", "resolution", "resolutions",
        "resolution steps", "possible resolution", "possible resolutions", "resolve", "resolving", "how to resolve",
        "remediation", "remediations", "remediation steps", "remediate", "how to remediate", "fix", "fixes", "fixing",
        "how to fix", "how to fix it", "fixing the issue", "how to fix the issue", "possible fixes", "solution",
        "solutions", "possible solutions", "action", "actions", "recommended actions", "corrective actions",
        "recovery", "recovery steps", "how to recover", "workaround", "workarounds", "what to do", "what should i do",
        "common causes and solutions",
    ),
    "Rollback": ("roll back", "rolling back", "rollback steps", "how to roll back", "revert", "reverting", "backout"),
    "Escalation": (
        "escalate", "escalating", "escalations", "escalation path", "when to escalate", "how to escalate", "contact",
        "contacts", "contact information", "who to contact", "additional help", "getting help", "help", "support",
    ),
}  # fmt: skip
_MEANT = {words: name for name, synonyms in _SYNONYMS.items() for words in (name.lower(), *synonyms)}
_BOTH = {words for words in _MEANT if sum(words in synonyms for synonyms in _SYNONYMS.values()) > 1}


class FrontMatter(msgspec.Struct, frozen=True):
    """What a runbook says of itself, and where: `fields` is the mapping, `lines` how many of the file's it takes."""

    runbook: Runbook
    fields: Fields
    lines: int
    ignored: tuple[str, ...]


def is_url(name: str) -> bool:
    """Whether a runbook is named by its address on another server."""
    return re.match(r"https?://", name, re.IGNORECASE) is not None


def _check_url(url: str) -> None:
    """Raises UnitError for an address that leads nowhere, or has a password in it, which reports would show."""
    expected = "an address such as https://wiki.example.com/payments-down, without a user or password"
    shown = excerpt(re.sub(r"//[^/]*@", "//…@", url))
    try:
        parts = urlsplit(url)
        is_good = bool(parts.hostname) and parts.username is None and (parts.port is None or parts.port > 0)
    except ValueError:
        is_good = False
    if not is_good:
        raise UnitError(f"the runbook {shown}", expected)


def check_runbook(file: File, project: Project | None, node: Node, name: str) -> None:
    """Note a runbook that the project does not have. Without a gameday.yaml nobody knows which there are.

    What lies at an http(s) URL is looked at in preflight.
    """
    if is_url(name):
        try:
            _check_url(name)
        except UnitError as error:
            file.mistake(node, error.found, error.expected)
    elif project is not None and project.path.is_file() and project.runbook(name) is None:
        names = [runbook.name for runbook in project.runbooks]
        file.mistake(node, f"the runbook {excerpt(name)}", f"a file runbooks/{name[:60]}.md", nearest(name, names))


def source_of(url: str) -> str:
    """Where the Markdown is that an address means: the page on which GitHub shows a file stands for the file."""
    match = re.fullmatch(r"https?://(?:www\.)?github\.com/([^/]+/[^/]+)/(?:blob|raw)/([^?#]+)(?:[?#].*)?", url)
    return f"https://raw.githubusercontent.com/{match[1]}/{match[2]}" if match else url


def load_runbook(path: Path) -> Runbook:
    """Read a runbook. Raises SpecError; a section without content is no mistake, but in `missing_sections`."""
    front = read_front_matter(path, read_text(path))
    front.fields.file.check()
    return front.runbook


def read_front_matter(path: Path, text: str) -> FrontMatter:
    """What stands above the page, with its mistakes in the file of the fields.

    Which sections there are is told from the lines that look like headings: it is quick, and right but for headings in
    HTML and underlined ones.
    """
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
        sections=tuple(name for name in SECTIONS if name in filled),
        missing_sections=tuple(name for name in SECTIONS if name not in filled),
    )
    ignored = tuple(name for name, _ in fields.texts(IGNORE, "a list of rules"))
    fields.close(tolerant=True)  # front matter is shared with whatever publishes the page
    return FrontMatter(runbook, fields, body_from, ignored)


def sections_of(heading: str) -> tuple[str, ...]:
    """The standard sections that a heading's words stand for: one by its name or a synonym, several by "X and Y"."""
    words = plain_words(heading)
    if words in _BOTH:
        return tuple(name for name in SECTIONS if words in _SYNONYMS[name])
    if words in _MEANT:
        return (_MEANT[words],)
    parts = [_MEANT.get(part.strip()) for part in re.split(r" and |[&/,+]", words)]
    return tuple(dict.fromkeys(part for part in parts if part)) if len(parts) > 1 and all(parts) else ()


class Sections:
    """Says, heading by heading, which sections what follows belongs to."""

    def __init__(self) -> None:
        self.now: tuple[str, ...] = ()
        self._level = 0

    def enter(self, level: int, heading: str) -> bool:
        """Take the next heading in. Whether it begins a section; else it belongs to the one that it stands in."""
        names = sections_of(heading)
        exact = plain_words(heading) in map(str.lower, SECTIONS)
        # Within a standard section, a deeper heading such as "Check" is a part of it; below a title nothing is.
        if not (names and (exact or not self.now or level <= max(2, self._level))):
            names = ()
            if level > (self._level if self.now else max(2, self._level)):
                return False
        self.now, self._level = names, level
        return True


def plain_words(heading: str) -> str:
    """The words in lower case, without numbers, emphasis, emoji and punctuation around them."""
    heading = _CUSTOM_ANCHOR.sub("", heading[:200].strip())
    words = re.sub(r"[*`]|:[a-z0-9_+-]+:", "", heading.lower())
    return " ".join(re.sub(r"^[\W\d_]+|\W+$", "", words).split())


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise UnitError(excerpt(text), "a date such as 2025-01-31") from None


def _front_matter(file: File, path: Path, lines: list[str]) -> tuple[Mapping, int]:
    """The front matter, empty if there is none, and the index of the first line after it."""
    empty = Mapping(1, 1, {}, [])
    mark = lines[0].rstrip() if lines else ""
    if mark not in ("---", "+++"):
        return empty, 0
    ends = ("---", "...") if mark == "---" else ("+++",)
    end = next((number for number, line in enumerate(lines[1:], 1) if line.rstrip() in ends), None)
    if end is None:
        file.mistake(empty, "front matter without an end", f"a line `{mark}` after it")
        return empty, len(lines)
    if mark == "+++" or not any(line.strip() for line in lines[1:end]):
        return empty, end + 1  # TOML is a site generator's, and none of our keys
    try:
        return parse_document(path, "\n".join(lines[1:end]), first_line=2), end + 1
    except SpecError as error:
        file.include(error)
        return empty, end + 1


def _without_closing(heading: str) -> str:
    """The words of a heading, without the `#` that may close it (by hand: an expression for it takes for ever)."""
    words = heading.strip()
    shorter = words.rstrip("#")
    return shorter.rstrip() if not shorter or shorter[-1].isspace() else words


def _sections(lines: list[str]) -> tuple[str | None, set[str]]:
    """The first heading, and the sections that say something. Headings in fenced code are code."""
    title, fence, sections = None, None, Sections()
    filled: set[str] = set()
    for line in lines:
        mark = _FENCE.match(line)
        if fence is None and (heading := _HEADING.fullmatch(line)) is not None:
            words = _without_closing(heading[2])
            title = title or words
            sections.enter(len(heading[1]), words)
        elif line.strip():
            filled.update(sections.now)
        if mark:
            if fence is None:
                fence = mark[1]
            elif mark[1].startswith(fence) and not line[mark.end() :].strip():
                fence = None
    return title, filled
