"""Says, before the session, what was found out of each expected alert and of the pipeline. Pure; no I/O.

What is wanting is a warning: it is what the game day is there to find, no reason not to hold it.
"""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from gameday.common.texts import most_similar
from gameday.coverage.base import Survey
from gameday.coverage.observed import of_alert
from gameday.journal.events import AlertExamination, AlertRuleInfo, AlertState, CheckOutcome
from gameday.spec.model import ExpectedAlert
from gameday.spec.units import format_duration

_MAX_ERROR = 300


class PreflightResult(msgspec.Struct, frozen=True):
    """One thing looked at before the session."""

    check: str
    outcome: CheckOutcome
    detail: str


def _result(check: str, wrong: Sequence[str], well: str) -> PreflightResult:
    return PreflightResult(check, CheckOutcome.WARNING if wrong else CheckOutcome.OK, "; ".join(wrong) or well)


def check_alert(
    alert: ExpectedAlert, rules: Sequence[AlertRuleInfo], found: AlertExamination | None, watched_s: float
) -> tuple[PreflightResult, ...]:
    """Whether its rule can fire as is expected, and whether anybody would be told. `found` is what its examination
    says, None when it has no rule; `watched_s`: how long alerts are watched after the undo."""
    severities = {rule.severity for rule in rules if rule.name == alert.name}
    name = f"alert {alert.name}" + (f" ({alert.severity})" if alert.severity and len(severities) > 1 else "")
    if found is None:
        near = most_similar(alert.name, {rule.name for rule in rules})
        return (_result(name, ["there is no such rule" + (f"; did you mean `{near}`?" if near else "")], ""),)
    sum_ = f" ({found.because})" if found.because else ""
    span = f", and fires within {format_duration(found.at_most_s)} of its cause" if found.at_most_s is not None else ""
    wrong, well = [*_wrong(alert, rules, found, watched_s)], f"its rule exists{span}{sum_}"
    least = max(of_alert(rules, alert), key=lambda rule: len(say_lacking(rule)), default=None)
    if least and (lacks := say_lacking(least)):
        well = f"{well}, but has {lacks}"
        if wrong:
            wrong.append(f"it has {lacks}")
        elif not (least.severity and least.runbook_url):  # without the others whoever is paged can do
            wrong = [well]
    rule = _result(name, wrong, well)
    told = _told(found, name)
    return (rule, told) if told else (rule,)


def _wrong(
    alert: ExpectedAlert, rules: Sequence[AlertRuleInfo], found: AlertExamination, watched_s: float
) -> Iterator[str]:
    if found.error:
        yield f"its rule cannot be evaluated: {found.error[:_MAX_ERROR]}"
    if found.fires:
        yield "it fires already: that it fires will prove nothing"
    if found.missing_series:
        yield f"its expression cannot come true unless the fault brings {say_missing(found)}"
    if too_slow := say_too_slow(alert, found):
        yield too_slow
    elif found.at_most_s is not None and found.at_most_s > alert.within_s:
        yield (
            f"may fire too late: it may take {format_duration(found.at_most_s)} ({found.because}), "
            f"and is expected within {format_duration(alert.within_s)}"
        )
    severities = sorted({rule.severity or "none" for rule in rules if rule.name == alert.name})
    is_known = not any("{{" in severity for severity in severities)
    if alert.severity and alert.severity not in severities and is_known:
        yield f"its severity is {', '.join(severities)}, and was expected to be {alert.severity}"
    if found.clears_s is not None and found.clears_s > watched_s > 0:
        yield (
            f"fires on for {format_duration(found.clears_s)} when its cause has gone, and is watched for "
            f"{format_duration(watched_s)} after the undo: give it longer (`timing: {{recovery: …}}`)"
        )


def say_missing(found: AlertExamination) -> str:
    """The series that it needs and that are not there."""
    hint = " (by its name a recording rule makes it: is that missing?)" if _is_recorded(found.missing_series) else ""
    return f"series that there are none of: {', '.join(found.missing_series)}{hint}"


def _is_recorded(selectors: Iterable[str]) -> bool:
    """Prometheus keeps colons in the names of metrics for recording rules."""
    return any(":" in selector.partition("{")[0] for selector in selectors)


def say_lacking(rule: AlertRuleInfo) -> str:
    """Which labels and annotations, that people and routes go by, the rule does not have; empty when it has all."""
    labels = (("severity", rule.severity), ("service", rule.service))
    notes = (("runbook_url", rule.runbook_url), ("dashboard", rule.dashboard))
    lacks = [
        f"no {kind} {' or '.join(names)}"
        for kind, wanted in (("label", labels), ("annotation", notes))
        if (names := [f"`{name}`" for name, value in wanted if not value])
    ]
    return " and ".join(lacks)


def say_too_slow(alert: ExpectedAlert, found: AlertExamination) -> str | None:
    """Why the alert cannot fire in time, whatever happens; None when it can."""
    if found.at_best_s is None or found.at_best_s < alert.within_s:
        return None
    most = f" to {format_duration(found.at_most_s)}" if found.at_most_s not in (None, found.at_best_s) else ""
    within, takes = format_duration(alert.within_s), format_duration(found.at_best_s)
    return f"cannot fire within {within}: it takes {takes}{most} ({found.because})"


def _told(found: AlertExamination, name: str) -> PreflightResult | None:
    if found.receivers is None and not found.quiet:
        return None
    goes = [f"`{item.name}` ({', '.join(item.integrations) or 'nobody'})" for item in found.receivers or ()]
    wait = f", after {format_duration(found.group_wait_s)} of grouping" if found.group_wait_s else ""
    well = f"goes to {', '.join(goes)}{wait}" if goes else ""
    doubts = "".join(f"; {doubt}" for doubt in found.doubts)
    wrong = [f"nobody would be told: {'; '.join(found.quiet)}{doubts}"] if found.quiet else []
    return _result(f"{name}, notification", wrong, f"{well}{doubts}")


def check_pipeline(
    watchdogs: Sequence[str], rules: Sequence[AlertRuleInfo], survey: Survey
) -> tuple[PreflightResult, ...]:
    """What could not be asked; and whether a watchdog, an alert that always fires, goes the whole way. `watchdogs`:
    its possible names; without any, nothing is said of it."""
    results = [_result("alert pipeline", [f"{part}: {why}"], "") for part, why in survey.unanswered]
    return (*results, *_check_watchdog(watchdogs, rules, survey))


def _check_watchdog(
    watchdogs: Sequence[str], rules: Sequence[AlertRuleInfo], survey: Survey
) -> Iterable[PreflightResult]:
    if not watchdogs:
        return
    there = {rule.name for rule in rules}
    name = next((name for name in watchdogs if name in there), None)
    if name is None:
        wanted = " or ".join(f"`{name}`" for name in watchdogs)
        detail = f"there is no rule {wanted}: nothing shows that alerts can arrive at all"
        yield _result("watchdog", [detail], "")
        return
    silent = {source for source, _ in survey.seen.unreachable}
    states = {seen.state for seen in survey.seen.alerts if seen.name == name}
    is_there = any(labels.get("alertname") == name for labels in survey.active)
    wrong, well = [], f"`{name}` fires"
    if AlertState.FIRING not in states and "prometheus" not in silent:
        wrong = [f"`{name}` does not fire, though it always should: rules may not be evaluated"]
    elif not is_there and "alertmanager" not in silent:
        fires = "may fire" if "prometheus" in silent else "fires"
        wrong = [f"`{name}` {fires}, and Alertmanager does not have it: no alert may get there"]
    elif silent:  # from what was not said nothing is concluded
        wrong = [f"whether `{name}` arrives is not known: no answer from {', '.join(sorted(silent))}"]
    elif AlertState.NOTIFIED in states:
        well += ", and somebody is told of it"
    else:
        why = dict(survey.seen.suppressed).get(name, "not seen at the receiver")
        well += f", and Alertmanager has it; what comes after is not shown ({why})"
    yield _result("watchdog", wrong, well)
