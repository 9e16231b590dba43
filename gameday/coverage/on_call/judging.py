"""Says of who is on call what was found wanting, and which alert an acknowledgement is of. Pure; no I/O."""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from gameday.coverage.base import Finding
from gameday.coverage.on_call.base import Acknowledgement
from gameday.coverage.preflight import PreflightResult
from gameday.journal.events import CheckOutcome, FindingKind, OnCallInfo
from gameday.spec.units import format_duration

_MOST_NAMED = 5  # holes, in one sentence


def check_on_call(info: OnCallInfo, now: float) -> PreflightResult:
    """Whether somebody would be paged now, and whether that stays so. What is wanting is a warning. Unix time."""
    check = f"on-call {info.service or info.schedule}".strip()
    if info.people is None:
        why = info.detail or "its source does not say why"
        return PreflightResult(check, CheckOutcome.WARNING, f"who is on call is not known: {why}")
    wrong = [*_wanting(info, now)]
    outcome = CheckOutcome.WARNING if wrong else CheckOutcome.OK
    said = [_people(info.people)] if any(info.people) else []
    if any(info.people) and info.until is not None:
        said.append(f"the first level changes at {_moment(info.until)}")
    return PreflightResult(check, outcome, "; ".join([*wrong, *said, *_besides(info)]))


def judge_on_call(info: OnCallInfo, now: float, owner: str | None) -> tuple[Finding, ...]:
    """What was found about those who are on call. Nobody now is a weakness; a hole to come is advice, while there is
    time to fill it. Where it is not known who is on call, nothing is concluded. `now`: a Unix time."""
    if info.people is None:
        return ()
    whose = info.service or info.schedule
    besides = [*_besides(info)]
    findings = []
    if now_empty := _empty_now(info, now):
        nobody = not any(info.people[1:])
        title = f"Nobody is on call for {whose}" if nobody else f"Nobody is first on call for {whose}"
        findings.append(Finding(FindingKind.ON_CALL_HOLE, title, "; ".join([now_empty, *besides]), nobody, owner))
    if ahead := _ahead(info, now):
        title = f"Nobody will be first on call for {whose} from {_moment(ahead[0][0])}"
        detail = "; ".join([_holes(ahead), *besides])
        findings.append(Finding(FindingKind.ON_CALL_HOLE, title, detail, False, owner))
    return tuple(findings)


def match_acknowledgement(acknowledgement: Acknowledgement, alert_names: Iterable[str]) -> str | None:
    """The alert whose name stands in the text as a whole word; of several the longest, which says the most.

    A dash is of the word: `Down` does not stand in `Down-eu`.
    """
    text = " ".join(acknowledgement.text.split())
    for name in sorted(set(alert_names), key=lambda name: (-len(name), name)):
        wanted = " ".join(name.split())
        if wanted and re.search(rf"(?<![\w-]){re.escape(wanted)}(?![\w-])", text):
            return name
    return None


def _wanting(info: OnCallInfo, now: float) -> Iterator[str]:
    if now_empty := _empty_now(info, now):
        yield now_empty
    if ahead := _ahead(info, now):
        yield f"nobody will be first on call {_holes(ahead)}"


def _empty_now(info: OnCallInfo, now: float) -> str:
    """What is said when nobody of the first level is on call; nothing when somebody is."""
    people = info.people or ()
    hole = next(((start, end) for start, end in info.holes if start <= now < end), None)
    if hole is None and people and people[0]:
        return ""
    until = f" until {_moment(hole[1])}" if hole else ""
    level, next_ones = next(((level, who) for level, who in enumerate(people[1:], 2) if who), (0, ()))
    if next_ones:
        return f"nobody of the first level is on call{until}: {', '.join(next_ones)} of level {level} would be paged"
    return f"nobody is on call{until}"


def _ahead(info: OnCallInfo, now: float) -> list[tuple[float, float]]:
    return [(start, end) for start, end in info.holes if start > now]


def _holes(holes: list[tuple[float, float]]) -> str:
    named = [
        f"from {_moment(start)} to {_moment(end)} ({format_duration(round(end - start))})"
        for start, end in holes[:_MOST_NAMED]
    ]
    more = len(holes) - len(named)
    total = format_duration(round(sum(end - start for start, end in holes)))
    return ", ".join(named) + (f" and {more} times more, {total} in all" if more else "")


def _people(levels: tuple[tuple[str, ...], ...]) -> str:
    return ", then ".join(", ".join(level) or "nobody" for level in levels)


def _besides(info: OnCallInfo) -> Iterator[str]:
    if info.people and len(info.people) == 1:
        yield "nobody is known to come after the first level"
    if info.detail:
        yield info.detail


def _moment(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M} UTC"
