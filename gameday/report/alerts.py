"""What became of each alert, from what was observed of it."""

from collections.abc import Iterable, Sequence

from gameday.coverage.observed import events_of, of_alert
from gameday.journal.events import AlertExamination, AlertInfo, AlertObserved, AlertRuleInfo, AlertState
from gameday.report.views import Alert, AlertOutcome


def summarise_alerts(
    expected: Sequence[AlertInfo],
    observed: Sequence[AlertObserved],
    injected_at: float | None,
    examined: Sequence[AlertExamination] = (),
    rules: Sequence[AlertRuleInfo] | None = None,
    cut_at: float | None = None,
) -> tuple[Alert, ...]:
    """One entry an expectation, in their order, then one a name of the others in order of appearance.

    `rules`: those of expected alerts; None when no rules could be read. `cut_at`: when the faults began to be
    undone in a run that did not come to its end; None for one that did.

    An alert that nobody expected and that was there before the fault (a watchdog, say) tells nothing of it: no entry.
    Neither has one that somebody took on, and nobody saw.
    """
    observed = [event for event in observed if event.expected or not event.existed_before]
    wanted = {info.name for info in expected}
    seen = dict.fromkeys(event.name for event in observed if event.state is not AlertState.ACKNOWLEDGED)
    by_name: dict[str, list[AlertObserved]] = {name: [] for name in (*wanted, *seen)}
    for event in observed:
        if event.name in by_name:
            by_name[event.name].append(event)
    entries: list[Alert] = []
    for info in expected:
        severities = {found.severity for found in examined if found.name == info.name}
        severities |= {found.severity for found in rules or () if found.name == info.name}
        events = events_of(info.severity, by_name[info.name], severities)
        has_rule = None if rules is None else any(rule.name == info.name for rule in rules)
        of_it, rule = next(iter(of_alert(examined, info)), None), next(iter(of_alert(rules or (), info)), None)
        entries.append(_summarise(info.name, info, events, injected_at, of_it, rule, cut_at, has_rule=has_rule))
    others = (name for name in seen if name not in wanted)
    entries += [_summarise(name, None, by_name[name], injected_at, None, None, cut_at) for name in others]
    return tuple(entries)


def _summarise(
    name: str,
    expected: AlertInfo | None,
    events: Sequence[AlertObserved],
    injected_at: float | None,
    examined: AlertExamination | None,
    rule: AlertRuleInfo | None,
    cut_at: float | None,
    *,
    has_rule: bool | None = None,
) -> Alert:
    fresh = [event for event in events if not event.existed_before]
    firing_at = _first(fresh, AlertState.FIRING, injected_at)
    existed = any(event.existed_before for event in events)
    acknowledged = [event for event in events if event.state is AlertState.ACKNOWLEDGED]
    return Alert(
        name=name,
        outcome=_outcome(expected, firing_at, injected_at, cut_at, existed=existed),
        expected=expected,
        pending_at=_first(fresh, AlertState.PENDING, injected_at),
        firing_at=firing_at,
        notified_at=_first(fresh, AlertState.NOTIFIED, injected_at),
        acknowledged_at=_first(acknowledged, AlertState.ACKNOWLEDGED, injected_at),
        resolved_at=_resolved_at(fresh),
        existed_before=existed,
        severities=tuple(sorted({event.labels["severity"] for event in fresh if "severity" in event.labels})),
        instances=tuple(dict.fromkeys(_say_labels(event) for event in fresh if event.labels)),
        acknowledged_by=acknowledged[0].by if acknowledged else "",
        examined=examined,
        has_rule=has_rule,
        rule=rule,
    )


def _outcome(
    expected: AlertInfo | None,
    firing_at: float | None,
    injected_at: float | None,
    cut_at: float | None,
    *,
    existed: bool,
) -> AlertOutcome:
    if expected is None:
        return AlertOutcome.UNEXPECTED
    if injected_at is None:
        return AlertOutcome.NOT_TESTED
    if firing_at is not None:
        return AlertOutcome.IN_TIME if firing_at - injected_at <= expected.within_s else AlertOutcome.LATE
    if existed:
        return AlertOutcome.BEFORE
    was_due = cut_at is None or cut_at - injected_at >= expected.within_s
    return AlertOutcome.MISSED if was_due else AlertOutcome.NOT_TESTED


def began(event: AlertObserved, injected_at: float | None) -> float:
    """When the state began, by the source's word where that can be true, else when it was seen.

    Another machine's clock may be wrong: a time before the injection or after the look is not believed.
    """
    if event.since is not None and injected_at is not None and injected_at <= event.since <= event.at:
        return event.since
    return event.at


def _first(events: Iterable[AlertObserved], state: AlertState, injected_at: float | None) -> float | None:
    return min((began(event, injected_at) for event in events if event.state is state), default=None)


def _resolved_at(events: Iterable[AlertObserved]) -> float | None:
    firing: set[tuple[str, frozenset[tuple[str, str]]]] = set()
    last: float | None = None
    for event in events:
        key = (event.source, frozenset(event.labels.items()))
        if event.state is AlertState.FIRING:
            firing.add(key)
        elif event.state is AlertState.RESOLVED:
            firing.discard(key)
            last = event.at
    return None if firing else last


def _say_labels(event: AlertObserved) -> str:
    return ", ".join(f"{key}={text}" for key, text in event.labels.items() if key not in ("alertname", "severity"))
