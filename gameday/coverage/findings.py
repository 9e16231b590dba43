"""Judges the alerting: before a session whether it can work, after an experiment whether it did. Pure; no I/O."""

from collections.abc import Iterable, Sequence

import msgspec

from gameday.common.texts import most_similar
from gameday.coverage.base import Finding
from gameday.coverage.watch import Evidence
from gameday.journal.events import AlertObserved, AlertRuleInfo, AlertState, CheckOutcome, FindingKind
from gameday.spec.model import ExpectedAlert

_NO_EVIDENCE = Evidence()


class PreflightResult(msgspec.Struct, frozen=True):
    """One thing looked at before the session."""

    check: str
    outcome: CheckOutcome
    detail: str


def check_rules(expected: Sequence[ExpectedAlert], rules: Sequence[AlertRuleInfo]) -> tuple[PreflightResult, ...]:
    """Whether each expected alert has a rule, of the expected severity, that can fire in time.

    What is wanting is a warning: it is what the game day is there to find, no reason not to hold it.
    """
    return tuple(_check_rule(alert, rules) for alert in expected)


def _check_rule(alert: ExpectedAlert, rules: Sequence[AlertRuleInfo]) -> PreflightResult:
    named = [rule for rule in rules if rule.name == alert.name]
    wrong = []
    if not named:
        near = most_similar(alert.name, {rule.name for rule in rules})
        wrong.append("there is no such rule" + (f"; did you mean `{near}`?" if near else ""))
    elif min(rule.for_s for rule in named) >= alert.within_s:
        soonest = min(rule.for_s for rule in named)
        wrong.append(f"its rule waits for {soonest:g} s: it cannot fire within {alert.within_s:g} s")
    severities = sorted({rule.severity or "none" for rule in named})
    if named and alert.severity and alert.severity not in severities:
        wrong.append(f"its severity is {', '.join(severities)}, and was expected to be {alert.severity}")
    return PreflightResult(
        f"alert {alert.name}",
        CheckOutcome.WARNING if wrong else CheckOutcome.OK,
        "; ".join(wrong) or f"its rule exists and waits for {min(rule.for_s for rule in named):g} s",
    )


def judge_alerts(
    expected: Sequence[ExpectedAlert],
    observed: Sequence[AlertObserved],
    rules: Sequence[AlertRuleInfo],
    *,
    injected_at: float,
    undone_at: float,
    owner: str | None = None,
    evidence: Evidence = _NO_EVIDENCE,
) -> tuple[Finding, ...]:
    """What one experiment showed about its alerts: `observed` are its events, in order; times are Unix times.

    `owner` is who is suggested to mend what is found.
    """
    findings: list[Finding] = []
    for alert in expected:
        events = [event for event in observed if event.name == alert.name]
        named = [rule for rule in rules if rule.name == alert.name]
        findings += _Case(alert, events, named, injected_at, undone_at, owner, evidence).findings()
    names = {alert.name for alert in expected}
    findings += _unexpected([event for event in observed if event.name not in names], injected_at, owner)
    return tuple(findings)


class _Case(msgspec.Struct, frozen=True):
    """One expected alert, and all that is known of it."""

    alert: ExpectedAlert
    events: Sequence[AlertObserved]
    rules: Sequence[AlertRuleInfo]
    injected_at: float
    undone_at: float
    owner: str | None
    evidence: Evidence

    def findings(self) -> Iterable[Finding]:
        firing = [event for event in self.events if event.state is AlertState.FIRING and not event.existed_before]
        if firing:
            yield from self._fired(firing)
        elif any(event.existed_before for event in self.events):
            states = sorted({str(event.state) for event in self.events if event.existed_before})
            yield self._finding(
                FindingKind.ALERT_FIRED_BEFORE,
                f"{self.alert.name} was there before the fault: that it fired proves nothing",
                f"already {', '.join(states)} when the fault was injected",
            )
        elif self.rules or self.events:
            yield self._missed()
        else:
            yield self._finding(
                FindingKind.RULE_MISSING,
                f"There is no alerting rule {self.alert.name}",
                "no such rule is loaded, and no such alert was seen",
            )
        yield from self._rule()

    def _fired(self, firing: Sequence[AlertObserved]) -> Iterable[Finding]:
        name, within = self.alert.name, self.alert.within_s
        first = min(_began(event, self.injected_at) for event in firing)
        took = first - self.injected_at
        if took > within:
            yield self._finding(
                FindingKind.ALERT_LATE,
                f"{name} fired {took - within:.1f} s too late",
                f"it fired {took:.1f} s after the injection, and was expected within {within:g} s",
            )
        found = sorted({event.labels.get("severity", "none") for event in firing})
        if self.alert.severity and self.alert.severity not in found:
            yield self._finding(
                FindingKind.ALERT_SEVERITY,
                f"{name} fired with severity {', '.join(found)} instead of {self.alert.severity}",
            )
        if not any(event.state is AlertState.NOTIFIED and not event.existed_before for event in self.events):
            why = dict(self.evidence.suppressed).get(name)
            yield self._finding(
                FindingKind.ALERT_MISSED,
                f"{name} fired, and nobody was seen to be notified",
                "; ".join(filter(None, [why, self._blindness()])),
            )
        if unresolved := _unresolved(self.events):
            yield self._finding(
                FindingKind.ALERT_NOT_RESOLVED,
                f"{name} was not seen to resolve after the undo",
                "; ".join(filter(None, [*map(_say_labels, unresolved), self._blindness()])),
            )

    def _missed(self) -> Finding:
        name, within = self.alert.name, self.alert.within_s
        detail = [f"expected within {within:g} s of the injection"]
        pending = [event for event in self.events if event.state is AlertState.PENDING]
        if pending:
            took = _began(pending[0], self.injected_at) - self.injected_at
            detail.append(f"it became pending after {took:.1f} s")
        held = self.undone_at - self.injected_at
        if held < within:
            detail.append(f"the fault was undone after {held:.1f} s, before that time was over")
        if blindness := self._blindness():
            detail.append(blindness)
        return self._finding(FindingKind.ALERT_MISSED, f"{name} did not fire", "; ".join(detail))

    def _rule(self) -> Iterable[Finding]:
        if self.rules and not all(rule.runbook_url for rule in self.rules):
            yield self._finding(
                FindingKind.RULE_WITHOUT_RUNBOOK,
                f"The rule {self.alert.name} has no runbook",
                "whoever is paged has nowhere to start; expected an annotation `runbook_url`",
            )
        if self.rules and not all(rule.dashboard for rule in self.rules):
            # Advice: the runbook can lead to the dashboards as well.
            yield self._finding(
                FindingKind.RULE_WITHOUT_DASHBOARD,
                f"The rule {self.alert.name} has no dashboard",
                "expected an annotation `dashboard` or `dashboard_url`",
                weakness=False,
            )

    def _blindness(self) -> str:
        """Which sources did not answer some of the looks; then what was not seen may have happened all the same."""
        looks = self.evidence.looks
        return "; ".join(f"{source} did not answer {n} of {looks} looks" for source, n in self.evidence.unanswered)

    def _finding(self, kind: FindingKind, title: str, detail: str = "", *, weakness: bool = True) -> Finding:
        return Finding(kind, title, detail, weakness, self.owner)


def _unexpected(events: Sequence[AlertObserved], injected_at: float, owner: str | None) -> Iterable[Finding]:
    """Alerts that began to fire since the injection though nobody expected them.

    Never a weakness: other people's faults fire alerts too, and where it was ours, the alerting did its work and only
    the prediction was wrong.
    """
    firing = [event for event in events if event.state is AlertState.FIRING and not event.existed_before]
    left = {(event.name, frozenset(event.labels.items())) for event in _unresolved(events)}
    for name in dict.fromkeys(event.name for event in firing):
        mine = [event for event in firing if event.name == name]
        took = min(_began(event, injected_at) for event in mine) - injected_at
        sets = dict.fromkeys(_say_labels(event) for event in mine)
        detail = [f"{took:.1f} s after the injection", *sets]
        if any(name == other for other, _ in left):
            detail.append("still firing at the end")
        yield Finding(
            FindingKind.ALERT_UNEXPECTED, f"{name} fired, and nobody expected it", "; ".join(detail), False, owner
        )


def _began(event: AlertObserved, injected_at: float) -> float:
    """When the state began, by the source's word where that can be true, else when it was seen.

    Another machine's clock may be wrong: a time before the injection or after the look is not believed.
    """
    return event.since if event.since is not None and injected_at <= event.since <= event.at else event.at


def _unresolved(events: Sequence[AlertObserved]) -> list[AlertObserved]:
    """The last firing of each alert that began since the injection and has not ended."""
    firing: dict[tuple[str, str, frozenset[tuple[str, str]]], AlertObserved] = {}
    for event in events:
        key = (event.source, event.name, frozenset(event.labels.items()))
        if event.state is AlertState.FIRING and not event.existed_before:
            firing[key] = event
        elif event.state is AlertState.RESOLVED:
            firing.pop(key, None)
    return list(firing.values())


def _say_labels(event: AlertObserved) -> str:
    return ", ".join(f"{key}={value}" for key, value in event.labels.items())
