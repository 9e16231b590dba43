"""Judges the alerting after an experiment: what was expected and did not come, and what came instead. Pure; no I/O."""

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from gameday.coverage.base import Finding
from gameday.coverage.examination import examination_of
from gameday.coverage.observed import began_to_fire, events_of, of_alert
from gameday.coverage.preflight import say_missing, say_too_slow
from gameday.coverage.watch import Evidence
from gameday.journal.events import AlertExamination, AlertObserved, AlertRuleInfo, AlertState, FindingKind
from gameday.spec.model import ExpectedAlert
from gameday.spec.units import format_duration

type _Key = tuple[str, str, frozenset[tuple[str, str]]]  # source, name, labels

_NO_EVIDENCE = Evidence()
_TOLD = ("alertmanager", "receiver")  # sources that are told of alerts, and evaluate none


def judge_alerts(
    expected: Sequence[ExpectedAlert],
    observed: Sequence[AlertObserved],
    rules: Sequence[AlertRuleInfo],
    *,
    injected_at: float,
    undone_at: float,
    owner: str | None = None,
    evidence: Evidence = _NO_EVIDENCE,
    examined: Sequence[AlertExamination] = (),
    holds: Sequence[tuple[float, float]] = (),
    is_cut_short: bool = False,
) -> tuple[Finding, ...]:
    """What one experiment showed about its alerts: `observed` are its events, in order; times are Unix times.

    `owner` is who is suggested to mend what is found, `examined` what was found out before; `holds`: from when to when
    each stage was held, without any all the time from the injection to the undo. `is_cut_short`: the run was aborted;
    what had no time to happen is no weakness then.
    """
    findings: list[Finding] = []
    for alert in expected:
        mine = of_alert(rules, alert)
        named = [event for event in observed if event.name == alert.name]
        events = events_of(alert.severity, named, {rule.severity for rule in mine})
        found = examination_of(alert, examined)
        case = _Case(alert, events, mine, injected_at, undone_at, owner, evidence, found, is_cut_short)
        findings += case.findings()
    names = {alert.name for alert in expected}
    findings += _flapping(observed, holds or [(injected_at, undone_at)], owner)
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
    examined: AlertExamination | None
    is_cut_short: bool

    def findings(self) -> Iterable[Finding]:
        if firing := began_to_fire(self.events):
            yield from self._fired(firing)
        elif any(event.existed_before for event in self.events):
            states = sorted({str(event.state) for event in self.events if event.existed_before})
            yield self._finding(
                FindingKind.ALERT_FIRED_BEFORE,
                f"{self.alert.name} was there before the fault: that it fired proves nothing",
                f"already {', '.join(states)} when the fault was injected",
            )
        elif self.rules or self.events:
            if not self.is_cut_short or self.undone_at - self.injected_at >= self.alert.within_s:
                yield self._missed()
            if self.examined and self.examined.quiet:
                detail = "; ".join(self.examined.quiet)
                title = f"Nobody would have been told of {self.alert.name}"
                yield self._finding(FindingKind.ALERT_NOT_ROUTED, title, detail)
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
                "; ".join(
                    filter(
                        None,
                        [
                            f"it fired {took:.1f} s after the injection, and was expected within {within:g} s",
                            say_too_slow(self.alert, self.examined) if self.examined else "",
                        ],
                    )
                ),
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
                weakness=not self.is_cut_short,
            )
        if unresolved := _unresolved(self.events):
            yield self._unresolved(unresolved)

    def _unresolved(self, firing: Sequence[AlertObserved]) -> Finding:
        """No weakness where it may well have fired on: then nobody has looked for long enough."""
        watched_s = (self.evidence.until or self.undone_at) - self.undone_at
        clears_s = self.examined.clears_s if self.examined else None
        is_too_short = clears_s is not None and watched_s < clears_s
        details = [*map(_say_labels, firing), f"watched for {watched_s:.1f} s after the undo"]
        if is_too_short:
            details.append(f"its rule lets it fire on for {format_duration(clears_s or 0.0)} when its cause has gone")
        details.append(self._blindness())
        return self._finding(
            FindingKind.ALERT_NOT_RESOLVED,
            f"{self.alert.name} was not seen to resolve after the undo",
            "; ".join(filter(None, details)),
            weakness=not (is_too_short or self.is_cut_short),
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
        if self.examined:
            detail.append(say_too_slow(self.alert, self.examined) or "")
            detail.append(say_missing(self.examined) if self.examined.missing_series else "")
        detail.append(self._blindness())
        # A source that has answered nothing at all has not said that it did not fire.
        is_blind = not pending and any(
            count >= self.evidence.looks and source not in _TOLD for source, count in self.evidence.unanswered
        )
        title = f"Whether {name} fired is not known" if is_blind else f"{name} did not fire"
        return self._finding(FindingKind.ALERT_MISSED, title, "; ".join(filter(None, detail)))

    def _rule(self) -> Iterable[Finding]:
        name = self.alert.name
        if self.examined and self.examined.error:
            yield self._finding(FindingKind.RULE_FAILS, f"The rule {name} cannot be evaluated", self.examined.error)
        lacks = [
            label
            for label, found in (
                ("severity", [rule.severity for rule in self.rules]),
                ("service", [rule.service for rule in self.rules]),
            )
            if self.rules and not all(found)
        ]
        if lacks:
            # Advice: routes and people go by them, and they may come with the series as well.
            title = f"The rule {name} sets no label {' or '.join(f'`{label}`' for label in lacks)}"
            yield self._finding(FindingKind.RULE_WITHOUT_LABELS, title, weakness=False)
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
    firing = began_to_fire(events)
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


def _flapping(
    events: Sequence[AlertObserved],
    holds: Sequence[tuple[float, float]],
    owner: str | None,
) -> Iterable[Finding]:
    """Alerts that fired, resolved and fired again while one stage was held: whoever is paged is paged for each.

    Advice: what is killed may come back, and be missed again, faster than an alert can follow.
    """
    worst: dict[str, tuple[int, AlertObserved]] = {}
    for begin, end in holds:
        counts: Counter[_Key] = Counter()
        for event in events:
            if event.state is AlertState.FIRING and not event.existed_before and begin <= event.at <= end:
                counts[_key(event)] += 1
                if counts[_key(event)] > max(1, worst[event.name][0] if event.name in worst else 1):
                    worst[event.name] = (counts[_key(event)], event)
    for name, (times, event) in worst.items():
        title, detail = f"{name} is flapping", f"it fired {times} times while one stage was held"
        labels = _say_labels(event)
        yield Finding(FindingKind.ALERT_FLAPPING, title, f"{detail}: {labels}" if labels else detail, False, owner)


def _began(event: AlertObserved, injected_at: float) -> float:
    """When the state began, by the source's word where that can be true, else when it was seen.

    Another machine's clock may be wrong: a time before the injection or after the look is not believed.
    """
    return event.since if event.since is not None and injected_at <= event.since <= event.at else event.at


def _unresolved(events: Sequence[AlertObserved]) -> list[AlertObserved]:
    """The last firing of each alert that began since the injection and has not ended."""
    firing: dict[_Key, AlertObserved] = {}
    for event in events:
        key = _key(event)
        if event.state is AlertState.FIRING and not event.existed_before:
            firing[key] = event
        elif event.state is AlertState.RESOLVED:
            firing.pop(key, None)
    return list(firing.values())


def _key(event: AlertObserved) -> _Key:
    return event.source, event.name, frozenset(event.labels.items())


def _say_labels(event: AlertObserved) -> str:
    return ", ".join(f"{key}={value}" for key, value in event.labels.items())
