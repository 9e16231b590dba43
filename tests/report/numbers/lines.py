"""The lines of a journal, read as plain JSON, and what follows from them for each experiment.

No code is shared with the report: its numbers are computed once more.
"""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gameday.people.actions import action_id

type Line = dict[str, Any]

PAGE = (Path(__file__).parents[3] / "docs" / "journal.md").read_text("utf-8")
KNOWN = frozenset(re.findall(r"^\| `([a-z-]+)` \|", PAGE, re.MULTILINE))


def iso(at: float | None) -> str | None:
    """RFC 3339 in UTC, to the millisecond, cut as clocks are."""
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def asked_as(signal: str) -> str:
    """The words for a golden signal in which people are asked of it."""
    service, _, rest = signal.rpartition(".")[0].rpartition(".")
    measure = signal.rpartition(".")[2]
    named = {("traffic", "rate"): "request rate", ("errors", "ratio"): "share of failed requests"}
    return f"{service}’s {named.get((rest, measure), f'{measure} {rest}')}"


def since(began: float | None, at: float | None) -> float | None:
    return None if began is None or at is None else round(at - began, 3)


class Raw:
    """The lines of one journal, and which of them belong to which experiment."""

    def __init__(self, path: Path) -> None:
        file = path / "journal.jsonl" if path.is_dir() else path
        self.lines: list[Line] = []
        self.unread_lines: list[int] = []
        for number, text in enumerate(file.read_bytes().split(b"\n"), start=1):
            try:
                line = json.loads(text) if text.strip() else None
            except ValueError:
                line = {}
            if line is not None and line.get("event") in KNOWN:
                self.lines.append(line)
            elif line is not None:
                self.unread_lines.append(number)
        signed = path / "signatures.jsonl"
        self.signatures = list(map(json.loads, signed.read_bytes().splitlines())) if signed.exists() else []
        self.session = next((line for line in self.lines if line["event"] == "session-started"), None)
        self.infos: list[Line] = self.session["experiments"] if self.session else []
        indices = {line["experiment"] for line in self.lines if line.get("experiment") is not None}
        self.experiments = [Experiment(self, index) for index in sorted(indices - {None} | set(range(len(self.infos))))]

    def of(self, *kinds: str) -> list[Line]:
        return [line for line in self.lines if line["event"] in kinds]

    def running(self, line: Line, *, also_ended: bool = False) -> int | None:
        """The experiment that a line which names none is of."""
        current = None
        for other in self.lines[: self.lines.index(line)]:
            if other["event"] == "experiment-started":
                current = other["experiment"]
            elif other["event"] == "experiment-ended" and not also_ended:
                current = None
        return current

    def strings(self) -> Iterator[str]:
        """Every text of the journal and of the signatures, also those that name values."""
        stack: list[Any] = [self.lines, self.signatures]
        while stack:
            match stack.pop():
                case str() as text:
                    yield text
                case dict() as table:
                    yield from table
                    stack += table.values()
                case list() as items:
                    stack += items


class Experiment:
    """The lines of one experiment, and its numbers."""

    def __init__(self, raw: Raw, index: int) -> None:
        self.raw, self.index = raw, index
        self.info: Line = raw.infos[index] if index < len(raw.infos) else {"title": "", "path": ""}
        self.runbooks: list[Line] = list(self.info.get("runbooks", []))
        for line in self.of("runbook-examined"):
            found = line["runbook"]
            known = [book for book in self.runbooks if book["name"] == found["name"]]
            self.runbooks = [found if book in known else book for book in self.runbooks] + ([] if known else [found])
        self.start = next((line["at"] for line in self.of("experiment-started")), None)
        ended = self.of("experiment-ended")
        self.ended = ended[-1] if ended else None
        self.plans = self.of("fault-planned")
        self.actions = [
            line for line in self.of("activity-started") if (line["section"], line["kind"]) == ("method", "action")
        ]
        self.injected_at = min(
            [self.fault_start(plan) for plan in self.plans] + [line["at"] for line in self.actions], default=None
        )

    def of(self, *kinds: str) -> list[Line]:
        return [line for line in self.raw.of(*kinds) if line.get("experiment") == self.index]

    def about(self, plan: Line, *kinds: str) -> list[Line]:
        return [line for line in self.raw.of(*kinds) if line.get("fault_id") == plan["fault_id"]]

    def fault_start(self, plan: Line) -> float:
        injected = self.about(plan, "fault-injected")
        return injected[-1]["at"] - injected[-1].get("took_s", 0.0) if injected else plan["at"]

    def undone_at(self, plan: Line) -> float | None:
        ended = self.about(plan, "undo-ended")
        return ended[-1]["at"] if ended and ended[-1]["undone"] else None

    @property
    def whole(self) -> bool:
        return self.ended is not None and self.ended["verdict"] in ("held", "weakness")

    # -- signals

    def samples(self) -> dict[str, list[tuple[float, str, str, float | None, str]]]:
        """Of each signal: when, in which window, what came of it, its value, why it has none."""
        window, found = "before", {}
        for line in self.raw.lines:
            if line.get("experiment") != self.index:
                continue
            if line["event"] == "fault-planned" or line in self.actions:
                window = "during"
            elif line["event"] == "phase-entered" and line["phase"] == "undo":
                window = "after"
            elif line["event"] == "signals-sampled":
                for signal, state, *rest in line["readings"]:
                    value = rest[0] if rest and state == "ok" else None
                    why = rest[1] if len(rest) > 1 else ""
                    found.setdefault(signal, []).append((line["at"], window, state, value, why))
        order = [condition["signal"] for condition in self.info.get("conditions", [])]
        return dict(sorted(found.items(), key=lambda item: order.index(item[0]) if item[0] in order else len(order)))

    def baseline(self, signal: str) -> float | None:
        recorded = self.of("baseline-recorded")
        return recorded[-1]["values"].get(signal) if recorded else None

    def signals(self) -> list[Line]:
        found = []
        for signal, samples in self.samples().items():
            windows = {}
            for window in dict.fromkeys(sample[1] for sample in samples):
                mine = [sample for sample in samples if sample[1] == window]
                values = [sample[3] for sample in mine if sample[3] is not None]
                windows[window] = {
                    "lowest": min(values, default=None),
                    "highest": max(values, default=None),
                    "readable": len(values),
                    "unreadable": len(mine) - len(values),
                }
            found.append({"baseline": self.baseline(signal), "windows": windows})
        return found

    # -- the hypothesis

    def conditions(self) -> list[Line]:
        """One for each condition, then probe, then whatever else was judged; with its name, unit and comparator."""
        known = {}
        for condition in self.info.get("conditions", []):
            if condition["role"] == "hypothesis":
                text = ("change " if condition.get("relative") else "") + condition["text"]
                known.setdefault((condition["signal"], text), condition)
        judged = [
            (judged["at"], judged, one) for judged in self.of("hypothesis-judged") for one in judged["judgements"]
        ]
        keys = [*known, *((probe, "tolerance") for probe in self.info.get("probes", []))]
        keys += [(one["subject"], one["condition"]) for _, _, one in judged]
        rows = []
        for key in dict.fromkeys(keys):
            mine = [(event["when"], one) for _, event, one in judged if (one["subject"], one["condition"]) == key]
            during = [one for when, one in mine if when == "during"]
            condition = known.get(key, {})
            values = [one["worst"] for one in during if one.get("worst") is not None]
            lower_is_worse = condition.get("comparator", "<").startswith(">")
            worst = None if not values else min(values) if lower_is_worse else max(values)
            outcomes = {one["outcome"] for one in during}
            gravest = next((name for name in ("broken", "unreadable", "held") if name in outcomes), None)
            rows.append(
                {
                    "subject": key[0],
                    "condition": key[1],
                    "unit": "ratio" if condition.get("relative") else condition.get("unit", ""),
                    "before": _cell([one for when, one in mine if when == "before"]),
                    "during": {
                        "outcome": gravest,
                        "worst": worst,
                        "breached_for_s": max((one.get("breached_for_s", 0.0) for one in during), default=0.0),
                        "detail": next((one.get("detail", "") for one in during if one["outcome"] == gravest), ""),
                    },
                    "after": _cell([one for when, one in mine if when == "after"]),
                    "stages": [_cell([one]) for one in during],
                }
            )
        return rows

    # -- alerts

    def alerts(self) -> list[Line]:
        expected = {info["name"]: info for info in self.info.get("alerts", [])}
        seen = [line for line in self.of("alert-observed") if line["expected"] or not line.get("existed_before")]
        return [
            self._alert(name, expected.get(name), seen)
            for name in dict.fromkeys([*expected, *(s["name"] for s in seen if s["state"] != "acknowledged")])
        ]

    def _alert(self, name: str, expected: Line | None, seen: list[Line]) -> Line:
        mine = [line for line in seen if line["name"] == name]
        fresh = [line for line in mine if not line.get("existed_before")]
        began = self.injected_at
        # Another machine's word of when is believed where it can be true.
        times: dict[str, float] = {}
        for line in mine:
            if line.get("existed_before") and line["state"] != "acknowledged":
                continue
            at, told = line["at"], line.get("since")
            at = told if told is not None and began is not None and began <= told <= at else at
            times[line["state"]] = min(times.get(line["state"], at), at)
        firing, resolved = set(), None
        for line in fresh:
            key = (line["source"], *sorted(line["labels"].items()))
            if line["state"] == "firing":
                firing.add(key)
            elif line["state"] == "resolved":
                firing.discard(key)
                resolved = line["at"]
        examined = [line["alert"] for line in self.of("alert-examined") if line["alert"]["name"] == name]
        return {
            "name": name,
            "expected": expected,
            "pending": times.get("pending"),
            "firing": times.get("firing"),
            "notified": times.get("notified"),
            "acknowledged": times.get("acknowledged"),
            "resolved": None if firing else resolved,
            "existed": any(line.get("existed_before") for line in mine),
            "severities": sorted({line["labels"]["severity"] for line in fresh if "severity" in line["labels"]}),
            "examined": examined[-1] if examined else None,
        }

    def in_time(self, alert: Line) -> bool:
        return (
            None not in (alert["firing"], self.injected_at, alert["expected"])
            and alert["firing"] - self.injected_at <= alert["expected"]["within_s"]
        )

    def was_due(self, alert: Line) -> bool:
        """Whether an expected alert has fired, or was given all the time that it had."""
        if alert["expected"] is None or self.injected_at is None:
            return False
        if alert["firing"] is not None or alert["existed"] or self.whole:
            return True
        ends = [line["at"] for line in self.of("phase-entered") if line["phase"] == "undo"][:1]
        ends += [self.ended["at"] if self.ended else max(line["at"] for line in self.raw.lines)]
        return bool(ends[0] - self.injected_at >= alert["expected"]["within_s"])

    def missed(self, alert: Line) -> bool:
        return self.was_due(alert) and alert["firing"] is None

    def rule_of(self, name: str) -> Line | None:
        read = self.of("alert-rules-read")
        return next((rule for rule in read[-1]["rules"] if rule["name"] == name), None) if read else None

    def runbook_of(self, alert: Line) -> str | None:
        if alert["expected"] is None:
            return None
        return alert["expected"].get("runbook") or (self.rule_of(alert["name"]) or {}).get("runbook_url")

    def followed(self) -> list[Line]:
        steps = self.raw.of("runbook-step")
        return [s for s in steps if s.get("experiment", self.raw.running(s)) == self.index]

    def followers(self, alert: Line) -> list[str]:
        name = self.runbook_of(alert)
        names = {name, re.sub(r"\.[^.]*$", "", (name or "").partition("#")[0].rstrip("/").rpartition("/")[2])}
        return list(
            dict.fromkeys(line["author"] for line in self.followed() if name and line["step"]["runbook"] in names)
        )

    def dashboards(self) -> list[Line]:
        """Each as it was looked at last, in the order in which they were first."""
        looks = self.of("dashboard-examined")
        names = list(dict.fromkeys(look["dashboard"]["name"] for look in looks))
        found = []
        for name in names:
            mine = [look for look in looks if look["dashboard"]["name"] == name]
            again = [look for look in mine if look.get("after")]
            found += [look["dashboard"] for look in again or mine]
        return found

    def dashboards_of(self, alert: Line) -> list[Line]:
        if alert["expected"] is None:
            return []
        own = {f"alert {alert['name']}", f"runbook {alert['expected'].get('runbook')}"}
        boards = self.dashboards()
        named = [board for board in boards if own & set(board["named_by"])]
        return named or [b for b in boards if not all(by.startswith(("alert ", "runbook ")) for by in b["named_by"])]

    # -- people

    def marks(self) -> list[Line]:
        every = self.raw.of("mark-set")
        return [m for m in every if m.get("experiment", self.raw.running(m, also_ended=True)) == self.index]

    def reached(self) -> dict[str, Line]:
        """The first mark of each kind after the injection."""
        found = {}
        for kind in ("detected", "diagnosed", "mitigated", "all-clear"):
            mine = [m for m in self.marks() if self.injected_at is not None and m["mark"] == kind]
            if mine := [mark for mark in mine if mark["at"] >= self.injected_at]:
                found[kind] = min(mine, key=lambda mark: mark["at"])
        return found

    def first_alert(self) -> Line | None:
        fired = [alert for alert in self.alerts() if alert["firing"] is not None]
        return min(fired, key=lambda alert: (alert["firing"], alert["name"]), default=None)

    def predicted(self) -> tuple[list[Line], list[Line]]:
        """What counts (of each author the last word before the injection), and what came too late."""
        made, began = self.of("prediction-made"), self.injected_at
        counted: dict[str, Line] = {}
        for line in made:
            if began is None or line["at"] <= began:
                counted[line["author"]] = line
        return list(counted.values()), [line for line in made if began is not None and line["at"] > began]

    def questions(self) -> list[Line]:
        """`subject`, `fired` (after how long, where an alert is asked for that fired), and what each said to it."""
        made, _ = self.predicted()
        began = self.injected_at
        fired = {a["name"]: a["firing"] - began for a in self.alerts() if began is not None and a["firing"] is not None}
        found = []
        for kind in ("signals", "alerts"):
            key = "signal" if kind == "signals" else "name"
            for subject in dict.fromkeys(one[key] for line in made for one in line["prediction"].get(kind, [])):
                words = [
                    next((one for one in line["prediction"].get(kind, []) if one[key] == subject), None)
                    for line in made
                ]
                within = [one.get("within_s") if one and one.get("fires") else None for one in words]
                hit = None if subject not in fired else [w is None or fired[subject] <= w for w in within]
                about = {"subject": subject, "asks": asked_as(subject) if kind == "signals" else subject}
                found.append(about | {"fired": fired.get(subject), "within": within, "said": len(made), "hit": hit})
        if any("users_notice" in line["prediction"] for line in made):
            found.append({"subject": "users", "asks": "users", "hit": None, "fired": None, "said": len(made)})
            found[-1]["within"] = [None] * len(made)
        return found

    def is_disputed(self, question: Line) -> bool:
        """Whether builders and SREs have both spoken to it, and have not said the same, or one was right alone."""
        made, _ = self.predicted()
        stances: dict[str | None, set[str]] = {"builder": set(), "sre": set()}
        for line in made:
            said = line["prediction"]
            words = {one["signal"]: one["outlook"] for one in said.get("signals", [])}
            words |= {one["name"]: str(one["fires"]) for one in said.get("alerts", [])}
            words |= {"users": str(said["users_notice"])} if "users_notice" in said else {}
            if question["subject"] in words:
                stances.setdefault(line.get("role"), set()).add(words[question["subject"]])
        builders, sres = stances["builder"], stances["sre"]
        if not (builders and sres):
            return False
        hits = {
            hit
            for line, hit in zip(made, question["hit"] or [], strict=False)
            if line.get("role") in ("builder", "sre")
            and any(one["name"] == question["subject"] for one in line["prediction"].get("alerts", []))
        }
        return len(builders | sres) > 1 or len(hits) > 1

    # -- what was found

    def findings(self) -> list[Line]:
        return self.of("finding-raised")

    def action(self, finding: Line) -> str | None:
        return (
            action_id(self.info["path"], finding["kind"], finding["title"]) if finding.get("weakness", True) else None
        )

    def rollbacks(self) -> tuple[list[str], list[str]]:
        """Names of those that failed, and of those that have not run."""
        changes = self.of("rollbacks-armed", "rollbacks-ended")
        last = changes[-1] if changes else {"event": ""}
        return last.get("failed", []), last["activities"] if last["event"] == "rollbacks-armed" else []


def _cell(judgements: list[Line]) -> Line:
    if not judgements:
        return {"outcome": None, "worst": None, "breached_for_s": 0.0, "detail": ""}
    one = judgements[-1]
    return {
        "outcome": one["outcome"],
        "worst": one.get("worst"),
        "breached_for_s": one.get("breached_for_s", 0.0),
        "detail": one.get("detail", ""),
    }
