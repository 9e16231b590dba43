"""The report as JUnit XML, as CI systems read it (the schema that Jenkins' xUnit plugin calls junit-10.xsd).

One test suite an experiment; one test case for each condition, expected alert, recovery, undo and other finding. A
weakness is a failure; what ended the run, or was left behind, is an error; what was not judged is skipped.
"""

import re
from collections.abc import Iterator
from xml.etree import ElementTree as ET

import msgspec

from gameday.journal.events import FindingKind, Outcome
from gameday.report import format as fmt
from gameday.report import words
from gameday.report.views import Alert, AlertOutcome, ExperimentReport, Fault, Report, Row, Status

# All but the characters of XML 1.0, §2.2. Said the other way round, by what is allowed, it takes 4 ms to compile.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_LIMIT = 4000
_OWN_CASE = {
    FindingKind.HYPOTHESIS_BROKEN,
    FindingKind.NOT_RECOVERED,
    FindingKind.RECOVERED_LATE,
    FindingKind.ALERT_LATE,
    FindingKind.ALERT_FIRED_BEFORE,
    FindingKind.RULE_MISSING,
    FindingKind.NOT_STARTED,
}


class _Case(msgspec.Struct, frozen=True):
    """`result` is "", "failure", "error" or "skipped"."""

    name: str
    result: str = ""
    kind: str = ""
    message: str = ""
    seconds: float = 0.0


def render_junit(report: Report) -> str:
    """The document, with its XML declaration."""
    root = ET.Element("testsuites", name=_safe(report.title))
    totals = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
    for experiment in report.experiments:
        cases = list(_cases(experiment))
        suite = _suite(report, experiment, cases)
        for key in totals:
            totals[key] += int(suite.get(key) or 0)
        root.append(suite)
    for key, count in totals.items():
        root.set(key, str(count))
    root.set("time", f"{max(0.0, report.end - report.start):.3f}")
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _suite(report: Report, experiment: ExperimentReport, cases: list[_Case]) -> ET.Element:
    start = report.start if experiment.start is None else experiment.start
    seconds = (report.end if experiment.end is None else experiment.end) - start
    suite = ET.Element("testsuite", name=_safe(experiment.info.title), id=str(experiment.index))
    suite.set("package", "gameday")
    suite.set("timestamp", fmt.iso(start)[:19])
    suite.set("hostname", _safe(report.host) or "unknown")
    suite.set("tests", str(len(cases)))
    for key, result in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(key, str(sum(case.result == result for case in cases)))
    suite.set("time", f"{max(0.0, seconds if experiment.start is not None else 0.0):.3f}")
    regressions = [one.text for one in words.regressions(report) if one.experiment == experiment.index]
    if regressions:
        properties = ET.SubElement(suite, "properties")
        for said in regressions:
            ET.SubElement(properties, "property", name="regression", value=_safe(said))
    for case in cases:
        classname = _safe(experiment.info.path or experiment.info.title)
        element = ET.SubElement(suite, "testcase", name=_safe(case.name), classname=classname)
        element.set("time", f"{max(0.0, case.seconds):.3f}")
        if case.result:
            outcome = ET.SubElement(element, case.result, message=_safe(case.message))
            if case.result != "skipped":
                outcome.set("type", case.kind)
                outcome.text = _safe(case.message)
    return suite


def _safe(text: str) -> str:
    text = text if len(text) <= _LIMIT else text[: _LIMIT - 1] + "…"
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)


def _cases(experiment: ExperimentReport) -> Iterator[_Case]:
    yield _ending(experiment)
    for row in experiment.rows:
        yield _condition(row)
    for alert in experiment.alerts:
        if alert.expected:
            yield _alert(alert, experiment.injected_at)
    if experiment.recovery or (experiment.info.recovers_within_s is not None):
        yield _recovery(experiment)
    for fault in experiment.faults:
        yield _undo(fault)
    if experiment.rollbacks_failed or experiment.rollbacks_open:
        names = ", ".join(experiment.rollbacks_failed or experiment.rollbacks_open)
        yield _Case("rollbacks", "error", "rollbacks", f"failed or not run: {names}")
    for finding in experiment.findings:
        if finding.weakness and finding.kind not in _OWN_CASE and not _is_told(finding.title, experiment):
            message = ": ".join(filter(None, (finding.title, finding.detail)))
            yield _Case(f"finding: {finding.title}", "failure", finding.kind.value, message)


def _is_told(title: str, experiment: ExperimentReport) -> bool:
    """Whether the case of an alert that did not fire says it already."""
    return any(
        alert.outcome is AlertOutcome.MISSED and title.startswith(f"{alert.name} ") for alert in experiment.alerts
    )


def _ending(experiment: ExperimentReport) -> _Case:
    name, why = "experiment ran to its end", experiment.reason or experiment.status.value
    match experiment.status:
        case Status.ABORTED | Status.UNDO_FAILED:
            return _Case(name, "error", experiment.status.value, why)
        case Status.INTERRUPTED:
            return _Case(name, "error", "interrupted", "the journal ends before the experiment does")
        case Status.NOT_STARTED | Status.NOT_RUN:
            return _Case(name, "skipped", "", why)
        case _:
            return _Case(name)


def _condition(row: Row) -> _Case:
    name = f"hypothesis: {row.subject} {row.condition}"
    said = [
        f"{when}: {cell.outcome}"
        + (f", {fmt.value(cell.worst, row.unit)}" if cell.worst is not None else "")
        + (f", {cell.detail}" if cell.detail else "")
        for when, cell in (("before", row.before), ("during", row.during), ("after", row.after))
        if cell.outcome not in (None, Outcome.HELD)
    ]
    if row.is_broken:
        outcomes = {row.before.outcome, row.during.outcome, row.after.outcome}
        return _Case(name, "failure", "broken" if Outcome.BROKEN in outcomes else "unreadable", "; ".join(said))
    if row.during.outcome is None:
        return _Case(name, "skipped", "", "not judged under fault")
    return _Case(name)


def _alert(alert: Alert, injected_at: float | None) -> _Case:
    assert alert.expected is not None
    name = f"alert: {alert.name} within {fmt.duration(alert.expected.within_s)}"
    took = alert.firing_at - injected_at if alert.firing_at is not None and injected_at is not None else 0.0
    match alert.outcome:
        case AlertOutcome.IN_TIME:
            return _Case(name, seconds=took)
        case AlertOutcome.NOT_TESTED:
            why = "nothing was injected" if injected_at is None else "the run was over before it had to fire"
            return _Case(name, "skipped", "", why)
        case AlertOutcome.LATE:
            return _Case(name, "failure", "late", f"fired {fmt.duration(took)} after the injection", took)
        case _:
            return _Case(name, "failure", alert.outcome.value, f"{alert.name}: {alert.outcome.value}")


def _recovery(experiment: ExperimentReport) -> _Case:
    recovery, within = experiment.recovery, experiment.info.recovers_within_s
    name = "recovery" + (f" within {fmt.duration(within)}" if within is not None else "")
    if recovery is None:
        return _Case(name, "skipped", "", "recovery was not measured")
    if not recovery.recovered:
        return _Case(name, "failure", "not recovered", "the steady state did not come back")
    seconds = recovery.seconds or 0.0
    if recovery.is_late:
        return _Case(name, "failure", "late", f"took {fmt.duration(seconds)}", seconds)
    return _Case(name, seconds=seconds)


def _undo(fault: Fault) -> _Case:
    name = f"undo: {fault.fault} stage {fault.stage + 1} of step {fault.step + 1} ({', '.join(fault.targets)})"
    if fault.undone_at is None:
        left, off = ", ".join(fault.left) or "no undo was recorded", fault.written_off
        then = f"written off by {off.author}: {off.reason}" if off else f"by hand: {fault.by_hand}"
        return _Case(name, "error", "undo", f"not undone: {left}; {then}", fault.undo_took_s or 0.0)
    return _Case(name, seconds=fault.undo_took_s or 0.0)
