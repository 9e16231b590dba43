"""The numbers of the Markdown and of the JUnit document, in the order in which they must stand there."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from .document import handover, notes
from .expected import (
    clock,
    date,
    facts_of,
    listed,
    minute,
    noticed,
    reach,
    regressions,
    sentences,
    statement,
    step,
    withins,
)
from .lines import Experiment, Line, Raw
from .page import asked, course, untitled
from .reading import Number, Quantity, duration, measured

_COLUMNS = ("rule", "fired", "notified", "acknowledged", "resolved", "dashboard")
# What has a case of its own already, whether it failed or not.
_TOLD = (
    "hypothesis-broken",
    "not-recovered",
    "recovered-late",
    "alert-late",
    "alert-fired-before",
    "rule-missing",
    "not-started",
)


def markdown(raw: Raw) -> Iterator[Number]:
    """All of it."""
    said = sentences(raw)
    start, end = raw.session["at"] if raw.session else raw.lines[0]["at"], max(line["at"] for line in raw.lines)
    recalled = raw.of("action-recalled")
    yield from statement(raw)
    for numbers in regressions(raw):
        yield from numbers
    yield from (*said["broken"], *said["survived"], *said["next"])
    yield from (date(start), clock(start), duration(end - start))
    yield from noticed(raw)
    for line in recalled:
        yield from [line["reopened"]] if line.get("reopened") else []
        yield date(line["opened_at"])
    for _, needs in handover(raw):
        for facts in needs.values():
            against = {str(fact[2]): facts_of(fact) for fact in facts if not fact[1]}  # the same words are said once
            yield from (number for said in against.values() for number in said)
    for line in raw.signatures:
        yield from minute(line["at"])
    for one in raw.experiments:
        yield from _experiment(one)
    yield from (clock(line["at"]) for line in notes(raw))


def _experiment(one: Experiment) -> Iterator[Number]:
    began = one.injected_at
    for row in one.conditions():
        yield from (
            measured(row[w]["worst"], row["unit"]) for w in ("before", "during", "after") if row[w]["worst"] is not None
        )
    yield from _predictions(one)
    if began is not None:
        yield from (duration(mark["at"] - began) for mark in one.marks())
    for alert in one.alerts():
        for column in _COLUMNS:
            yield from course(alert, column, one)
    for line in one.of("on-call-examined"):
        call = line["on_call"]
        yield from minute(call["until"]) if call.get("until") is not None else []
        spans = [[*minute(a), *minute(b)[date(a) == date(b) :]] for a, b in call.get("holes", [])]
        yield from listed(spans, 4)
    for board in one.dashboards():
        panels = board.get("panels", []) if board["found"] else []
        states = {
            state: [panel for panel in panels if panel["state"] == state] for state in ("empty", "error", "unknown")
        }
        if panels:
            yield from (len([p for p in panels if p["state"] == "data"]), len(asked(board)))
        yield from (*untitled(states["empty"]), *untitled(states["error"]))
        yield from (*untitled([panel for panel in panels if panel.get("moved")]), *untitled(states["unknown"]))
    for line in one.followed():
        yield from (clock(line["at"]), *step(line))
    for plan in one.plans:
        yield from reach(plan)


def _predictions(one: Experiment) -> Iterator[Number]:
    """Each question with the sides that spoke; those on which builders and SREs do not agree come first."""
    made, late = one.predicted()
    sides = [[n for n, line in enumerate(made) if line.get("role") == role] for role in ("builder", "sre")]
    order = [*sides[0], *sides[1], *(n for n, line in enumerate(made) if line.get("role") not in ("builder", "sre"))]
    for question in sorted(one.questions(), key=lambda question: not one.is_disputed(question)):
        yield from (Quantity(w, "s", 1e-9) for n in order if (w := question["within"][n]) is not None)
        yield from [] if question["fired"] is None else [Quantity(question["fired"], "s", 0.5)]
    for line in late:
        yield from withins([line])


# -- JUnit


@dataclass
class Case:
    """A test case: the numbers of its name, its result, its time in seconds and the numbers of its message."""

    name: list[Number] = field(default_factory=list)
    result: str = ""
    seconds: float = 0.0
    message: list[Number] = field(default_factory=list)


def cases(one: Experiment) -> Iterator[Case]:
    """Of one experiment, in order."""
    yield Case(result=_ending(one))
    for row in one.conditions():
        yield _condition(row)
    for alert in one.alerts():
        if alert["expected"]:
            yield _alert(alert, one)
    recovery, within = one.of("recovery-measured"), one.info.get("recovers_within_s")
    if recovery or within is not None:
        yield _recovery(recovery[-1] if recovery else None, within)
    for plan in one.plans:
        ended = one.about(plan, "undo-ended")
        took = ended[-1]["took_s"] if ended else 0.0
        yield Case([plan["stage"] + 1, plan["step"] + 1], "error" if one.undone_at(plan) is None else "", took)
    if any(one.rollbacks()):
        yield Case(result="error")
    missed = tuple(f"{alert['name']} " for alert in one.alerts() if one.missed(alert) and not alert["existed"])
    for finding in one.findings():
        if finding.get("weakness", True) and finding["kind"] not in _TOLD and not finding["title"].startswith(missed):
            yield Case(result="failure")


def _ending(one: Experiment) -> str:
    if one.ended is None:
        return "skipped" if one.start is None else "error"
    return {"held": "", "weakness": "", "not-started": "skipped"}.get(one.ended["verdict"], "error")


def _condition(row: Line) -> Case:
    bad = [cell for when in ("before", "during", "after") if (cell := row[when])["outcome"] in ("broken", "unreadable")]
    if bad:
        worst: list[Number] = [measured(cell["worst"], row["unit"]) for cell in bad if cell["worst"] is not None]
        return Case(result="failure", message=worst)
    return Case(result="skipped" if row["during"]["outcome"] is None else "")


def _alert(alert: Line, one: Experiment) -> Case:
    name: list[Number] = [duration(alert["expected"]["within_s"])]
    if not one.was_due(alert):
        return Case(name, "skipped")
    if alert["firing"] is None:
        return Case(name, "failure")
    took = alert["firing"] - one.injected_at
    return Case(name, seconds=took) if one.in_time(alert) else Case(name, "failure", took, [duration(took)])


def _recovery(measured_: Line | None, within: float | None) -> Case:
    name: list[Number] = [] if within is None else [duration(within)]
    if measured_ is None:
        return Case(name, "skipped")
    if not measured_["recovered"]:
        return Case(name, "failure")
    seconds, limit = measured_.get("seconds") or 0.0, measured_.get("within_s")
    is_late = limit is not None and seconds > limit
    return Case(name, "failure" if is_late else "", seconds, [duration(seconds)] if is_late else [])
