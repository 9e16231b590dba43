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
    last = {(one.index, plan["step"]): (one, plan) for one, plan in plans}
    alike: dict[str, list[Line]] = {}
    for one, plan in last.values():
        steps = one.info.get("steps", [])
        aim = steps[plan["step"]].get("target") if plan["step"] < len(steps) else None
        if plan not in refused:
            alike.setdefault(f"{plan['fault']} {aim or plan['targets']}", []).append(plan)
    said: list[list[Number]] = []
    for same in alike.values():
        widest = max(same, key=lambda plan: plan["affected"] / max(plan["total"], 1))
        said.append([*([len(same)] if len(same) > 1 else []), *reach(widest)])
    said += [[] for _ in dict.fromkeys(line["name"] for one in raw.experiments for line in one.actions)]
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
        alike: dict[tuple[str, str], list[Line]] = {}
        for _, row in bad:
            alike.setdefault((row["subject"], row["condition"]), []).append(row)
        said += listed([_worst(rows) for rows in alike.values()], 3)
    else:
        seen = {one.index for one, _, during in judged if during["outcome"]}
        said += [len(seen), len(injected)] if seen and len(seen) < len(injected) else []
    recoveries = [one.of("recovery-measured")[-1] for one in injected if one.of("recovery-measured")]
    ends = [(one.start, one.ended["verdict"] if one.ended else "") for one in raw.experiments]
    idle = sum(start is None or verdict == "not-started" for start, verdict in ends)
    rest: list[Number] = [idle, len(raw.experiments)] if idle else []
    if lost := sum(not recovery["recovered"] for recovery in recoveries):
        return [*said, lost, len(recoveries), *rest]
    slowest = max((recovery.get("seconds") or 0.0 for recovery in recoveries), default=0.0)
    return [*said, *([duration(slowest)] if slowest else []), *rest]


def _worst(rows: list[Line]) -> list[Number]:
    """Of those that are of one condition: the reading furthest from its limit, unless it could not be read."""
    read = [row for row in rows if row["during"]["worst"] is not None]
    lower_is_worse = rows[0]["condition"].startswith(">")
    read.sort(key=lambda row: row["during"]["worst"], reverse=not lower_is_worse)
    if not read or read[0]["during"]["outcome"] != "broken":
        return []
    return [measured(read[0]["during"]["worst"], read[0]["unit"])]


def noticed(raw: Raw) -> list[Number]:
    given = [(one, a) for one in raw.experiments if one.injected_at is not None for a in one.alerts() if a["expected"]]
    alerts = [(one, alert) for one, alert in given if one.was_due(alert)]
    rest: list[Number] = [len(given) - len(alerts)] if len(given) > len(alerts) else []
    fired = [(one, alert) for one, alert in alerts if alert["firing"] is not None]
    if not alerts:
        return rest
    if not fired:
        return [len(alerts), *rest]
    times = sorted(alert["firing"] - one.injected_at for one, alert in fired)
    said: list[Number] = [len(fired), len(alerts)]
    if len(fired) == len(alerts):
        said = [len(fired)] if len(fired) > 1 else []
    said += [duration(times[0])] if len(times) == 1 else [duration(times[0]), duration(times[-1])]
    told = sum(alert["notified"] is not None for _, alert in fired)
    return [*said, *rest] if told in (0, len(fired)) else [*said, told, len(fired), *rest]


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
    joined: dict[tuple[object, ...], tuple[float, list[Line]]] = {}
    for before, line in zip([None, *mine], mine, strict=False):
        said = _entry(one, line, before)
        if said is None:
            continue
        if line["event"] == "alert-observed":
            at = alert_at(one, line)
            key = (*(line.get(name) for name in ("name", "state", "source", "by", "existed_before")), round(at, 1))
            if key in joined:
                joined[key][1].append(line)
                continue
            joined[key] = (at, [line])
            found.append((at, "Alert", joined[key]))  # type: ignore[arg-type] - numbers when all are known
        else:
            found.append((line["at"] - (line.get("took_s", 0.0) if line["event"] == "fault-injected" else 0.0), *said))
    found = [(at, kind, _instances(one, said[1]) if isinstance(said, tuple) else said) for at, kind, said in found]
    return sorted(found, key=lambda entry: entry[0])


def alert_at(one: Experiment, line: Line) -> float:
    """By the source's word where that can be true, as in the table of alerts; that it is gone, as it was seen."""
    told, began = line.get("since"), one.injected_at
    is_believed = line["state"] != "resolved" and None not in (told, began) and began <= told <= line["at"]
    return float(told if is_believed else line["at"])


def _instances(one: Experiment, lines: list[Line]) -> list[Number]:
    """How many instances of an alert a line of the timeline joins, where they have no names of their own."""
    mine = [line for line in one.of("alert-observed") if line["name"] == lines[0]["name"]]
    keys = {key for line in mine for key in line["labels"]}
    telling = [key for key in keys if len({line["labels"][key] for line in mine if key in line["labels"]}) > 1]
    names = {tuple(line["labels"].get(key) for key in telling) for line in lines} if telling else set()
    return [len(lines)] if len(lines) > max(len(names), 1) else []


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
        case "fault-written-off":
            return "Written off", []
        case "rollbacks-ended" if line.get("failed"):
            return "Rollbacks failed", []
        case "alert-observed" if line["expected"] or not line.get("existed_before"):
            return "Alert", []
        case "note-added":
            return "Note", []
        case "runbook-step":
            is_told = line["step"]["outcome"] == "done" and not line["step"].get("note")  # by the table of steps
            return None if is_told else ("Runbook", step(line))
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
