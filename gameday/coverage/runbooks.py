"""Whether the runbooks that an experiment relies on are there, whole and not forgotten. Only those at URLs need I/O."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urldefrag, urlsplit

import msgspec

from gameday.coverage.base import Finding
from gameday.journal.events import FindingKind, RunbookInfo, RunbookStep, StepOutcome
from gameday.spec.model import Experiment, Project, Runbook
from gameday.spec.runbook import is_url, read_front_matter, source_of

if TYPE_CHECKING:
    from gameday.common.http import Answer, HttpClient

REVIEWED_WITHIN = timedelta(days=180)
_TIMEOUT_S = 3.0
_MAX_BYTES = 1024 * 1024  # as of any file that a user writes
_ACCEPT = {"Accept": "text/markdown, text/plain;q=0.9, */*;q=0.5"}
_HTML = (b"<!doctype html", b"<html")


def describe_runbooks(project: Project, experiment: Experiment, today: date) -> tuple[RunbookInfo, ...]:
    """The runbooks that the expected alerts and the experiment's service name, each once; those of alerts first.

    Of those at URLs nothing is known yet: `examine_runbook_urls` asks for them.
    """
    names = [alert.runbook for alert in experiment.alerts if alert.runbook]
    service = project.service(experiment.service) if experiment.service else None
    names += service.runbooks if service else ()
    return tuple(_describe(project, name, today) for name in dict.fromkeys(names))


def _describe(project: Project, name: str, today: date) -> RunbookInfo:
    runbook = project.runbook(name)
    if runbook is None:
        return RunbookInfo(name=name, found=None if is_url(name) else False)
    return _info(name, runbook, _path_in(project, runbook), today)


def _info(name: str, runbook: Runbook, path: str | None, today: date) -> RunbookInfo:
    return RunbookInfo(
        name=name,
        found=True,
        path=path,
        title=runbook.title,
        owner=runbook.owner,
        reviewed=runbook.reviewed.isoformat() if runbook.reviewed else None,
        missing_sections=runbook.missing_sections,
        stale=runbook.reviewed is not None and today - runbook.reviewed > REVIEWED_WITHIN,
    )


def _path_in(project: Project, runbook: Runbook) -> str:
    path = runbook.path
    return str(path.relative_to(project.root) if path.is_relative_to(project.root) else path)


async def examine_runbook_urls(
    names: Iterable[str], today: date, timeout_s: float = _TIMEOUT_S
) -> dict[str, RunbookInfo]:
    """What lies at those of these names that are URLs, all asked at once, each for so many seconds at most.

    A URL that cannot be read is not missing: it may need a login, or be out of reach from here alone. No credentials go
    with any request, so that redirects may lead to another host.
    """
    urls = tuple(dict.fromkeys(name for name in names if is_url(name)))
    if not urls:
        return {}
    from gameday.common.http import HttpClient

    client = HttpClient(timeout_s, _ACCEPT, gives_redirects=True)
    try:
        infos = await asyncio.gather(*(_examine(client, url, today, timeout_s) for url in urls))
    finally:
        await client.close()
    return dict(zip(urls, infos, strict=True))


async def _examine(client: "HttpClient", url: str, today: date, timeout_s: float) -> RunbookInfo:
    from gameday.common.http import LOGIN, HttpError

    try:
        async with asyncio.timeout(timeout_s):
            answer, moved_to = await _read(client, urldefrag(url)[0])
    except TimeoutError:
        return RunbookInfo(name=url, found=None, detail=f"no answer within {timeout_s:g} s")
    except (HttpError, ValueError) as error:
        return RunbookInfo(name=url, found=None, detail=str(error))
    address, anchor = urldefrag(moved_to or url)
    place = f" at {_shown(address)}" if moved_to else ""
    if answer.status != 200:
        return RunbookInfo(name=url, found=None, detail=f"HTTP {answer.status}{place}")
    if answer.body[:1024].lstrip().lower().startswith(_HTML):
        if LOGIN.search(place) and not LOGIN.search(url):
            return RunbookInfo(name=url, found=None, detail=f"redirected to what seems a login{place}")
        return RunbookInfo(name=url, found=True, detail=f"a page of HTML{place}, whose sections are not looked at")
    try:
        text = answer.body.decode("utf-8-sig")
    except UnicodeDecodeError:
        return RunbookInfo(name=url, found=True, detail="no text in UTF-8, so its sections are not looked at")
    # Its front matter is for whatever publishes the page: what is no key of ours, or no date, is not said here.
    runbook = read_front_matter(Path(urlsplit(address).path), text).runbook
    info = _info(url, runbook, None, today)
    if not (anchor or urldefrag(url)[1]):
        return info
    return msgspec.structs.replace(
        info, missing_sections=(), detail="a part of a page, of which sections are not asked"
    )


async def _read(client: "HttpClient", address: str) -> tuple["Answer", str]:
    """What lies there in the end, and where redirects have led, if there were any. Raises HttpError, ValueError."""
    from yarl import URL

    from gameday.common.http import MOST_REDIRECTS, REDIRECTS, HttpError, parse_url

    moved_to = ""
    for _ in range(MOST_REDIRECTS + 1):
        url = parse_url(source_of(moved_to or address)).with_user(None)
        answer = await client.get(url, max_bytes=_MAX_BYTES)
        if answer.status not in REDIRECTS:
            return answer, moved_to
        try:
            to = url.join(URL(answer.headers.get("Location", "")))
        except ValueError:
            raise HttpError(f"HTTP {answer.status}, redirected to what is no address") from None
        moved_to = str(to)
        if to.scheme not in ("http", "https") or to.with_fragment(None) == url:
            raise HttpError(f"HTTP {answer.status}, redirected to {_shown(moved_to)}: expected another http(s) page")
    raise HttpError(f"redirects more than {MOST_REDIRECTS} times")


def _shown(address: str) -> str:
    """Without what may be secret in it: user, password and query."""
    parts = urlsplit(address)
    return f"{parts.hostname or parts.scheme}{parts.path}"


def judge_runbooks(runbooks: Sequence[RunbookInfo], owner: str | None = None) -> tuple[Finding, ...]:
    """A runbook that is missing or lacks sections is a weakness: it would not help whoever is paged.

    One that nobody has reviewed for 180 days, or ever, may still be right: that is advice. A runbook's own owner is
    suggested before `owner`.
    """
    findings = []
    for runbook in runbooks:
        who = runbook.owner or owner
        if runbook.found is None:
            continue  # preflight has said so, and nothing follows from it
        if not runbook.found:
            title = f"There is no runbook {runbook.name}"
            findings.append(
                Finding(FindingKind.RUNBOOK_MISSING, title, f"expected runbooks/{runbook.name}.md", True, who)
            )
            continue
        if runbook.missing_sections:
            title = f"The runbook {runbook.name} is incomplete"
            detail = f"it lacks {', '.join(runbook.missing_sections)}"
            findings.append(Finding(FindingKind.RUNBOOK_INCOMPLETE, title, detail, True, who))
        if runbook.stale or (runbook.reviewed is None and not runbook.detail):
            title = f"The runbook {runbook.name} has not been reviewed for {REVIEWED_WITHIN.days} days"
            detail = f"last reviewed {runbook.reviewed}" if runbook.reviewed else "it says no date of review"
            findings.append(Finding(FindingKind.RUNBOOK_INCOMPLETE, title, detail, False, who))
    return tuple(findings)


_COMPLAINTS = {
    StepOutcome.STUCK: (FindingKind.RUNBOOK_STUCK, "Somebody was stuck at"),
    StepOutcome.WRONG: (FindingKind.RUNBOOK_WRONG, "Wrong:"),
    StepOutcome.MISSING: (FindingKind.RUNBOOK_WRONG, "A step is missing at"),
}


def judge_steps(steps: Sequence[RunbookStep], owner: str | None = None) -> tuple[Finding, ...]:
    """What whoever followed a runbook found wanting in it, each place once with all that was said of it.

    A runbook's own owner is suggested before `owner`.
    """
    found: dict[tuple[FindingKind, str, str | None], list[str]] = {}
    for event in steps:
        step = event.step
        if step.outcome not in _COMPLAINTS:
            continue
        kind, how = _COMPLAINTS[step.outcome]
        where = f"step {step.step} of {step.section}" if step.step else step.section or "its beginning"
        title = f"The runbook {step.runbook}: {how[0].lower()}{how[1:]} {where}"
        said = ": ".join(filter(None, (event.author, step.note or step.text)))
        found.setdefault((kind, title, step.owner or owner), []).append(said)
    return tuple(
        Finding(kind, title, "; ".join(dict.fromkeys(said)), True, who) for (kind, title, who), said in found.items()
    )
