"""Which numbers, and in which order, the report's sentences, figures and timelines must name."""

import calendar
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from . import document
from .document import open_faults, standing
from .lines import Experiment, Line, Raw
from .reading import Number, Quantity, duration, measured, numbers, whole_seconds


def clock(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%H:%M:%S}"


def date(at: float) -> str:
    day = datetime.fromtimestamp(at, UTC)
    return f"{day.day} {calendar.month_name[day.month]} {day.year}"


def minute(at: float) -> list[Number]:
    return [date(at), clock(at)[:5]]


def as_written(text: str) -> list[Number]:
    """The numbers of a text that is shown as it is."""
    return [one.text for one in numbers(text)]


def listed(groups: Iterable[list[Number]], limit: int) -> list[Number]:
    """Of a list that says how many more there are when it has grown too long."""
    items = [*groups]
    if len(items) > limit:
        items = [*items[: limit - 1], [len(items) - limit + 1]]
    return [number for item in items for number in item]


def reach(plan: Line) -> list[Number]:
    if plan.get("unit") == "calls":
        return [Quantity(plan["affected"] / plan["total"], "ratio", 1e-9)]
    return [plan["affected"], plan["total"]]


def verdict(raw: Raw) -> str:
    ended = raw.of("session-ended")
    return ended[-1]["verdict"] if ended else "interrupted"


def weaknesses(raw: Raw) -> list[Line]:
    return [finding for one in raw.experiments for finding in one.findings() if finding.get("weakness", True)]


# -- sentences


def sentences(raw: Raw) -> dict[str, list[Number]]:
    """By their names in the JSON report."""
    return {
        "statement": statement(raw),
        "broken": broken(raw),
        "survived": survived(raw),
        "noticed": noticed(raw),
        "next": following(raw),
    }


def regressions(raw: Raw) -> list[list[Number]]:
    """The numbers in the words of each."""
    found: list[list[Number]] = []
    for index, at, line in document.regressions(raw):
        if at is None:
            found.append([] if line["reopened"] == 1 else [line["reopened"]])
            continue
        said: list[Number] = [date(at)]
        if line.get("loss") == "recovery":
            one = next(one for one in raw.experiments if one.index == index)
            measured_ = one.of("recovery-measured")[-1]
            said += [duration(measured_["seconds"])] if measured_["recovered"] else []
        if line.get("lost_at") is not None:
            said += [date(line["lost_at"]), line.get("lost_runs", 0) + 1]
        found.append(said)
    return found


def statement(raw: Raw) -> list[Number]:
    count = {"weakness": len(weaknesses(raw)), "interrupted": len(open_faults(raw))}.get(verdict(raw), 0)
    return [count] if count else []


def broken(raw: Raw) -> list[Number]:
    plans = [(one, plan) for one in raw.experiments for plan in one.plans]
    refused = [plan for one, plan in plans if one.about(plan, "fault-refused")]
    last = {(one.index, plan["step"]): plan for one, plan in plans}
    said = [reach(plan) for plan in last.values() if plan not in refused]
    if actions := sum(len(one.actions) for one in raw.experiments):
        said.append([actions])
    return listed(said, 4) if said else [len(refused)] if refused else []


def survived(raw: Raw) -> list[Number]:
    injected = [one for one in raw.experiments if one.injected_at is not None]
    if verdict(raw) == "not-started" or not injected:
        return []
    said: list[Number] = []
    judged = [(one, row, row["during"]) for one in injected for row in one.conditions()]
    bad = [(one, row) for one, row, during in judged if during["outcome"] in ("broken", "unreadable")]
    if bad:
        if len(injected) > 1:
            said += [len({one.index for one, _ in bad}), len(injected)]
        said += listed([_worst(row) if row["during"]["outcome"] == "broken" else [] for _, row in bad], 3)
    else:
        seen = {one.index for one, _, during in judged if during["outcome"]}
        said += [len(seen), len(injected)] if seen and len(seen) < len(injected) else []
    recoveries = [one.of("recovery-measured")[-1] for one in injected if one.of("recovery-measured")]
    if lost := sum(not recovery["recovered"] for recovery in recoveries):
        return [*said, lost, len(recoveries)]
    slowest = max((recovery.get("seconds") or 0.0 for recovery in recoveries), default=0.0)
    return [*said, duration(slowest)] if slowest else said


def _worst(row: Line) -> list[Number]:
    worst = row["during"]["worst"]
    return [] if worst is None else [measured(worst, row["unit"])]


def noticed(raw: Raw) -> list[Number]:
    alerts = [(one, a) for one in raw.experiments if one.injected_at is not None for a in one.alerts() if a["expected"]]
    fired = [(one, alert) for one, alert in alerts if alert["firing"] is not None]
    if not alerts:
        return []
    if not fired:
        return [len(alerts)]
    times = sorted(alert["firing"] - one.injected_at for one, alert in fired)
    said: list[Number] = [len(fired), len(alerts)]
    if len(fired) == len(alerts):
        said = [len(fired)] if len(fired) > 1 else []
    said += [duration(times[0])] if len(times) == 1 else [duration(times[0]), duration(times[-1])]
    told = sum(alert["notified"] is not None for _, alert in fired)
    return said if told in (0, len(fired)) else [*said, told, len(fired)]


def following(raw: Raw) -> list[Number]:
    left = open_faults(raw) or any(any(one.rollbacks()) for one in raw.experiments)
    if left or verdict(raw) == "not-started":
        return []
    if found := len(weaknesses(raw)):
        return [found - 1] if found > 1 else []
    still = sum(standing(raw, line)[0] == "not tested" for line in raw.of("action-recalled"))
    return [still] if still and verdict(raw) == "held" else []


# -- one experiment


def figures(one: Experiment, *, of_people: bool) -> list[tuple[list[Number], list[Number]]]:
    """Each figure, and its remark."""
    began = one.injected_at
    found: list[tuple[list[Number], list[Number]]] = []
    if one.plans:
        found.append((reach(max(one.plans, key=lambda plan: plan["affected"] / max(plan["total"], 1))), []))
    expected = [alert for alert in one.alerts() if alert["expected"]]
    marks, first = one.reached(), one.first_alert()
    if began is not None and expected:
        fired = [alert["firing"] - began for alert in expected if alert["firing"] is not None]
        count: list[Number] = [len(fired), len(expected)] if len(expected) > 1 else []
        found.append(([duration(min(fired))] if fired else [], count))
    if began is not None and (mark := marks.get("detected")):
        apart = [] if first is None else [duration(abs(mark["at"] - first["firing"]))]
        found.append(([duration(mark["at"] - began)], apart))
    if began is not None and expected:
        told = [alert["notified"] - began for alert in expected if alert["notified"] is not None]
        found.append(([duration(min(told))] if told else [], []))
    if recovered := one.of("recovery-measured"):
        seconds, within = recovered[-1].get("seconds"), recovered[-1].get("within_s")
        found.append(([] if seconds is None else [duration(seconds)], [] if within is None else [duration(within)]))
    if of_people and began is not None:
        found += [([duration(m["at"] - began)], []) for kind, m in marks.items() if kind != "detected"]
    return found


def withins(predictions: list[Line]) -> list[Number]:
    """The times by which these people thought that alerts would fire."""
    said = [alert for line in predictions for alert in line["prediction"].get("alerts", [])]
    return [Quantity(a["within_s"], "s", 1e-9) for a in said if a["fires"] and a.get("within_s") is not None]


def step(line: Line) -> list[Number]:
    """What a line says of a step of a runbook."""
    info = line["step"]
    said: list[Number] = [info["step"]] if info.get("step") else []
    if info["outcome"] == "checked" and info.get("status") is not None:
        said.append(info["status"])
    return [*said, duration(info["seconds"])] if info.get("seconds") else said


def timeline(one: Experiment) -> list[tuple[float, str, list[Number]]]:
    """When what happened, and the numbers that are said of it."""
    found: list[tuple[float, str, list[Number]]] = []
    mine = _lines(one)
    for before, line in zip([None, *mine], mine, strict=False):
        said = _entry(one, line, before)
        if said is not None:
            found.append((line["at"] - (line.get("took_s", 0.0) if line["event"] == "fault-injected" else 0.0), *said))
    return sorted(found, key=lambda entry: entry[0])


def _lines(one: Experiment) -> list[Line]:
    ids = {plan["fault_id"] for plan in one.plans}
    marks, steps = one.marks(), one.followed()
    wandering = ("abort-requested", "guardian-started", "phase-entered")
    return [
        line
        for line in one.raw.lines
        if line.get("experiment") == one.index
        or line.get("fault_id") in ids
        or line in marks
        or line in steps
        or (line["event"] in wandering and line.get("experiment") is None and one.raw.running(line) == one.index)
    ]


def _entry(one: Experiment, line: Line, before: Line | None) -> tuple[str, list[Number]] | None:
    match line["event"]:
        case "experiment-started":
            return "Start", []
        case "phase-entered" if line["phase"] in ("baseline", "undo", "recovery"):
            return "Phase", []
        case "hypothesis-judged":
            where: list[Number] = [] if line.get("stage") is None else [line["stage"] + 1]
            return "Judged", where if line["held"] else where + _reached(one, line)
        case "stage-started":
            return "Stage", [line["stage"] + 1, line["stages"], *as_written(line["radius"])]
        case "fault-injected":
            return "Injected", []
        case "fault-refused":
            return "Refused", []
        case "undo-ended":
            return "Undone" if line["undone"] else "Undo failed", []
        case "activity-started" if line["section"] != "hypothesis":
            return line["kind"].capitalize(), []
        case "activity-ended" if line["status"] != "succeeded":
            return line["status"].capitalize(), []
        case "rollbacks-ended" if line.get("failed"):
            return "Rollbacks failed", []
        case "alert-observed" if line["expected"] or not line.get("existed_before"):
            return "Alert", []
        case "note-added":
            return "Note", []
        case "runbook-step":
            return "Runbook", step(line)
        case "mark-set":
            return line["mark"].replace("-", " ").capitalize(), []
        case "recovery-measured":
            seconds = line.get("seconds")
            return ("Not recovered", []) if seconds is None else ("Recovered", [duration(seconds)])
        case "abort-requested":
            return "Abort", []
        case "guard-tripped":
            told = before is not None and before["event"] == "abort-requested" and line["detail"] in before["reason"]
            return None if told else ("Guard", [])
        case "guardian-started":
            return line["by"], []
        case "experiment-ended":
            return "End", []
    return None


def _reached(one: Experiment, line: Line) -> list[Number]:
    rows = {row["subject"]: row["unit"] for row in reversed(one.conditions())}
    wrong = [judgement for judgement in line["judgements"] if judgement["outcome"] != "held"]
    return [measured(w["worst"], rows.get(w["subject"], "")) for w in wrong if w.get("worst") is not None]


def facts_of(one: tuple[int, bool, list[Any]]) -> list[Number]:
    """The numbers in the words of one piece of evidence: seconds are floats."""
    return [whole_seconds(number) if isinstance(number, float) else number for number in one[2]]
