"""The JSON report with nothing in it but numbers, moments and the lists that hold them, computed once more.

What is measured from the first injection is in seconds, to the millisecond.
"""

import re
from typing import Any

from gameday.people.actions import action_id

from .lines import PAGE, Experiment, Line, Raw, iso, since

_KINDS = re.findall(r"`([a-z-]+)`", re.findall(r"^\| `FindingKind` \|(.*)$", PAGE, re.MULTILINE)[0])
_COMPLAINTS = ("stuck", "wrong", "missing")


def evidence(one: Experiment) -> dict[str, list[tuple[bool, list[Any]]]]:
    """For each need: whether a fact speaks for it, and the numbers that it names: seconds as floats, else counts."""
    began = one.injected_at or 0.0
    found: dict[str, list[tuple[bool, list[Any]]]] = {
        n: [] for n in ("detect", "understand", "act", "escalate", "recover")
    }
    for alert in one.alerts():
        if one.was_due(alert):
            told = one.in_time(alert) and alert["notified"] is not None
            found["detect"].append((told, [float(alert["firing"] - began)] if told else []))
    boards = one.dashboards()
    found["understand"] += [(False, []) for board in boards if board["found"] is False]
    moved = [sum(bool(panel.get("moved")) for panel in board.get("panels", [])) for board in boards]
    compared = [board for board in boards if any("moved" in panel for panel in board.get("panels", []))]
    found["understand"] += [(True, [count]) for count in moved if count] or [(False, [])] * bool(compared)
    for book in one.runbooks:
        if book["found"] is False or book.get("missing_sections"):
            found["act"].append((False, []))
        elif book["found"]:
            found["act"].append((True, []))
        outcomes = [line["step"]["outcome"] for line in one.followed() if line["step"]["runbook"] == book["name"]]
        if wrong := sum(outcome in _COMPLAINTS for outcome in outcomes):
            found["act"].append((False, [wrong]))
        elif "done" in outcomes:
            found["act"].append((True, []))
    found["escalate"].append((bool(one.info.get("owner")), []))
    for line in one.of("on-call-examined"):
        levels = line["on_call"].get("people")
        if levels is not None:
            first = bool(levels and levels[0])
            found["escalate"].append((first, [sum(map(bool, levels))] if first else []))
    if measured := one.of("recovery-measured"):
        seconds, within = measured[-1].get("seconds"), measured[-1].get("within_s")
        if not measured[-1]["recovered"] or seconds is None:
            found["recover"].append((False, []))
        elif within is not None and seconds > within:
            found["recover"].append((False, [float(seconds), float(within)]))
        else:
            found["recover"].append((True, [float(seconds)]))
    found["recover"] += [
        (False, []) for a in one.alerts() if a["expected"] and a["firing"] is not None and a["resolved"] is None
    ]
    return found


def of_experiment(one: Experiment) -> Line:
    began = one.injected_at
    made, late = one.predicted()
    detected, first = one.reached().get("detected"), one.first_alert()
    measured = one.of("recovery-measured")
    activities = {line["activity"]: line for line in one.of("activity-ended")}
    failed, still_open = one.rollbacks()
    stages = dict.fromkeys((line["step"], line["stage"]) for line in one.of("stage-started"))
    return {
        "index": one.index,
        "started": iso(one.start),
        "ended": iso(one.ended["at"]) if one.ended else None,
        "injected": iso(began),
        "hypothesis": {"conditions": one.conditions()},
        "predictions": {
            "questions": [{"said": [{}] * question["said"]} for question in one.questions()],
            "words": [{}] * len(made),
            "too_late": [{"at": iso(line["at"]), "after_s": since(began, line["at"])} for line in late],
        },
        "marks": [{"at": iso(mark["at"]), "after_s": since(began, mark["at"])} for mark in one.marks()],
        "detection": {
            "people_after_s": since(began, detected["at"]) if detected else None,
            "alert_after_s": since(began, first["firing"]) if first else None,
        },
        "signals": one.signals(),
        "stages": [{"step": step, "stage": stage} for step, stage in stages],
        "faults": [_fault(one, plan) for plan in one.plans],
        "activities": [
            {"took_s": activities.get(line["activity"], {}).get("took_s")} for line in one.of("activity-started")
        ],
        "rollbacks": {"failed": failed, "open": still_open},
        "alerts": [
            {
                "within_s": alert["expected"]["within_s"] if alert["expected"] else None,
                "severities": alert["severities"],
                **{
                    f"{state}_after_s": since(began, alert[state])
                    for state in ("pending", "firing", "notified", "acknowledged", "resolved")
                },
                "before": alert["examined"],
                "runbook_followed_by": one.followers(alert),
                "dashboards": [{}] * len(one.dashboards_of(alert)),
            }
            for alert in one.alerts()
        ],
        "dashboards": [
            {
                "named_by": board["named_by"],
                "panels": [{"series": panel.get("series", 0)} for panel in board.get("panels", [])],
            }
            for board in one.dashboards()
        ],
        "on_call": [
            {
                "people": line["on_call"].get("people"),
                "until": iso(line["on_call"].get("until")),
                "holes": [{"from": iso(a), "to": iso(b)} for a, b in line["on_call"].get("holes", [])],
            }
            for line in one.of("on-call-examined")
        ],
        "runbooks": one.runbooks,
        "runbook_steps": [{"at": iso(line["at"]), **line["step"]} for line in one.followed()],
        "recovery": {key: measured[-1].get(key) for key in ("seconds", "within_s")} if measured else None,
        "findings": [{}] * len(one.findings()),
        "guards": [{"at": iso(line["at"])} for line in one.of("guard-tripped")],
    }


def _fault(one: Experiment, plan: Line) -> Line:
    ended = one.about(plan, "undo-ended")
    injected = one.about(plan, "fault-injected")
    return {
        "step": plan["step"],
        "stage": plan["stage"],
        "targets": plan["targets"],
        "affected": plan["affected"],
        "total": plan["total"],
        "injected": iso(one.fault_start(plan)) if injected else None,
        "undo": {
            "ended": iso(one.undone_at(plan)),
            "attempts": sum(line["attempts"] for line in ended),
            "took_s": ended[-1]["took_s"] if ended else None,
            "left": ended[-1].get("left", []) if ended and not ended[-1]["undone"] else [],
            "written_off": {"at": iso(off[-1]["at"])} if (off := one.about(plan, "fault-written-off")) else None,
        },
    }


def open_faults(raw: Raw) -> list[Line]:
    """The plans that are not known to be undone, the last first."""
    plans = [(one, plan) for one in raw.experiments for plan in one.plans]
    return [
        plan
        for one, plan in reversed(plans)
        if one.undone_at(plan) is None and not one.about(plan, "fault-written-off")
    ]


def standing(raw: Raw, recalled: Line) -> tuple[str, int | None]:
    """What a session has to say of an action item of an earlier one, and the index of the experiment that found it."""
    for one in reversed(raw.experiments):
        if any(one.action(finding) == recalled["action"] for finding in one.findings()):
            return "found again", one.index
    for one in raw.experiments:
        if any(action_id(one.info["path"], kind, recalled["title"]) == recalled["action"] for kind in _KINDS):
            return "closed" if one.whole else "not tested", one.index
    return "not tested", None


def regressions(raw: Raw) -> list[tuple[int, float | None, Line]]:
    """What was well before and is not: the experiment, when it was well last, and the line that knows."""
    found: list[tuple[int, float | None, Line]] = []
    for one in raw.experiments:
        if one.whole:
            found += [(one.index, line["good_at"], line) for line in one.of("was-well") if _is_lost(one, line)]
    for line in raw.of("action-was-closed"):
        index = next((one.index for one in raw.experiments if line["action"] in map(one.action, one.findings())), None)
        found += [] if index is None else [(index, line["closed_at"], line)]
    for line in raw.of("action-recalled"):
        what, index = standing(raw, line)
        if what == "found again" and line.get("reopened") and index is not None:
            found.append((index, None, line))
    return found


def _is_lost(one: Experiment, line: Line) -> bool:
    match line["loss"]:
        case "verdict":
            return one.ended is not None and one.ended["verdict"] == "weakness"
        case "alert":
            alerts = [alert for alert in one.alerts() if alert["expected"] and alert["name"] == line["alert"]]
            late = [a for a in alerts if a["firing"] is not None or not a["existed"]]
            return any(one.injected_at is not None and not one.in_time(alert) for alert in late)
    measured = one.of("recovery-measured")
    if not measured:
        return False
    seconds, within = measured[-1].get("seconds"), measured[-1].get("within_s")
    return not measured[-1]["recovered"] or (None not in (seconds, within) and seconds > within)


def handover(raw: Raw) -> list[tuple[str, dict[str, list[tuple[int, bool, list[Any]]]]]]:
    """For each service and need the facts: the experiment that showed it, whether it speaks for it, its numbers."""
    services = dict.fromkeys(one.info["service"] for one in raw.experiments if one.info.get("service"))
    found = []
    for service in services:
        facts: dict[str, list[tuple[int, bool, list[Any]]]] = {}
        for one in raw.experiments:
            if one.info.get("service") == service:
                for need, shown in evidence(one).items():
                    facts.setdefault(need, []).extend((one.index, speaks, numbers) for speaks, numbers in shown)
        found.append((service, facts))
    return found


def valid_signatures(raw: Raw, sha256: str) -> list[Line]:
    return [line for line in raw.signatures if line["sha256"] == sha256]


def notes(raw: Raw) -> list[Line]:
    """What people said, and the marks of no experiment."""
    strays = [mark for mark in raw.of("mark-set") if mark.get("experiment", raw.running(mark, also_ended=True)) is None]
    return [line for line in raw.lines if line["event"] == "note-added" or line in strays]


def document(raw: Raw, sha256: str) -> Line:
    """In the shape of the JSON report."""
    start = raw.session["at"] if raw.session else raw.lines[0]["at"]
    end = max(line["at"] for line in raw.lines)
    ended = raw.of("session-ended")
    sinks = raw.of("sink-failed")
    people = raw.session.get("people", {}) if raw.session else {}
    roles = {line["role"] for line in valid_signatures(raw, sha256)}
    return {
        "schema": 1,
        "exit_code": ended[-1]["exit_code"] if ended else None,
        "started": iso(start),
        "ended": iso(end),
        "duration_s": round(end - start, 3),
        "people": people,
        "left_behind": [{}] * len(open_faults(raw)),
        "aborts": [{"at": iso(line["at"])} for line in raw.of("abort-requested")],
        "takeovers": [{"at": iso(line["at"])} for line in raw.of("guardian-started")],
        "regressions": [{"experiment": index, "well_at": iso(at)} for index, at, _ in regressions(raw)],
        "earlier_actions": [
            {
                "opened": iso(line["opened_at"]),
                "reopened": line.get("reopened", 0),
                "links": line.get("links", []),
                "experiment": standing(raw, line)[1],
            }
            for line in raw.of("action-recalled")
        ],
        "handover": [
            {"lines": [{"evidence": [{"experiment": index} for index, *_ in facts]} for facts in needs.values()]}
            for _, needs in handover(raw)
        ],
        "signatures": [{"at": iso(line["at"])} for line in raw.signatures],
        "unsigned": [role for role in ("builder", "sre") if role not in roles],
        "experiments": [of_experiment(one) for one in raw.experiments],
        "preflight": [{"experiment": line.get("experiment")} for line in raw.of("preflight-checked")],
        "notes": [{"at": iso(line["at"]), "experiment": line.get("experiment")} for line in notes(raw)],
        "sink_failures": [
            {"count": sum(line["sink"] == name for line in sinks)}
            for name in dict.fromkeys(line["sink"] for line in sinks)
        ],
        "unread_lines": len(raw.unread_lines),
    }
