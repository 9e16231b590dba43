"""Examines an expected alert before the session: can it fire, how soon, and would anybody be told? Pure; no I/O."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from gameday.coverage.base import Expression, Silence, Survey
from gameday.coverage.matchers import may_match
from gameday.coverage.observed import of_alert
from gameday.coverage.routing import Routing
from gameday.coverage.soonest import time_to_fire
from gameday.journal.events import AlertExamination, AlertRuleInfo, AlertState, ReceiverInfo
from gameday.spec.model import ExpectedAlert

_MAX_COMMENT = 80


def choose_rule(alert: ExpectedAlert, rules: Iterable[AlertRuleInfo]) -> AlertRuleInfo | None:
    """Of several rules that it can come from the one that would fire first: one is enough."""
    return min(of_alert(rules, alert), key=lambda rule: (bool(rule.error), rule.for_s), default=None)


def known_labels(rule: AlertRuleInfo, survey: Survey) -> dict[str, str]:
    """The labels that its alerts will have for certain; those of its series, and templates, are not known."""
    labels = {key: value for key, value in (survey.external_labels | rule.labels).items() if "{{" not in value}
    return _absent_labels(rule, survey) | labels | {"alertname": rule.name}


def _absent_labels(rule: AlertRuleInfo, survey: Survey) -> dict[str, str]:
    """Those that Alertmanager may go by, and that neither the rule sets nor its series have: to it they are empty."""
    series = survey.expressions.get(rule.expression, Expression()).labels
    if series is None:
        return {}
    asked = survey.routing.names() if survey.routing else frozenset[str]()
    asked = asked.union(matcher.name for silence in survey.silences or () for matcher in silence.matchers)
    return dict.fromkeys(asked - series - rule.labels.keys() - {"alertgroup"}, "")  # vmalert adds that one


def examine(
    alert: ExpectedAlert, rules: Iterable[AlertRuleInfo], survey: Survey | None, begins: float, ends: float
) -> AlertExamination | None:
    """None for an alert without a rule; of several, the one that would fire first. `begins` and `ends`: Unix times
    between which it matters."""
    return _best(examine_rule(rule, survey, begins, ends) for rule in of_alert(rules, alert))


def examination_of(alert: ExpectedAlert, examined: Iterable[AlertExamination]) -> AlertExamination | None:
    """The one that is of this alert: of several of its name, that of its severity."""
    return _best(of_alert(examined, alert))


def _best(examined: Iterable[AlertExamination]) -> AlertExamination | None:
    return min(
        examined,
        key=lambda found: (bool(found.error), bool(found.missing_series), found.at_best_s or 0.0),
        default=None,
    )


def examine_rule(rule: AlertRuleInfo, survey: Survey | None, begins: float, ends: float) -> AlertExamination:
    """The same of a rule, whether or not anybody expects its alert."""
    expression = survey.expressions.get(rule.expression, Expression()) if survey else Expression()
    timing = time_to_fire(rule, expression.scrape_s)
    found = AlertExamination(
        name=rule.name,
        severity=rule.severity,
        fires=rule.state == "firing" or (survey is not None and _fires(rule, survey)),
        at_best_s=timing.at_best_s,
        at_most_s=timing.at_most_s,
        because=timing.because,
        clears_s=timing.clears_s,
        missing_series=expression.missing,
        error=rule.error or expression.error,
    )
    return _follow(found, known_labels(rule, survey), survey, begins, ends) if survey else found


def _fires(rule: AlertRuleInfo, survey: Survey) -> bool:
    """Rules of one name are told apart by their labels."""
    fixed = {(key, value) for key, value in rule.labels.items() if value and "{{" not in value}
    return any(
        seen.name == rule.name and seen.state is AlertState.FIRING and fixed.issubset(seen.labels)
        for seen in survey.seen.alerts
    )


def _follow(
    found: AlertExamination, labels: Mapping[str, str], survey: Survey, begins: float, ends: float
) -> AlertExamination:
    """With what Alertmanager would do with it."""
    quiet, doubts = [], []
    changes: dict[str, object] = {}
    if survey.routing:
        routed = survey.routing.route(labels)
        names = dict.fromkeys(route.receiver for route in routed.routes)
        receivers = [ReceiverInfo(name=name, integrations=survey.routing.receivers.get(name, ())) for name in names]
        loud = [route for route in routed.routes if survey.routing.receivers.get(route.receiver)]
        changes["receivers"] = tuple(receivers)
        if loud:
            changes["group_wait_s"] = min(route.group_wait_s for route in loud)
            muted = {at: [survey.routing.quiet_in(route, _moment(at)) for route in loud] for at in (begins, ends)}
            if all(muted[begins]):
                quiet.append(str(muted[begins][0]))
            elif all(muted[ends]):
                quiet.append(f"{muted[ends][0]} before the session ends")
        else:
            quiet.append(f"routed to {', '.join(f'`{name}`' for name in names)}, which tells nobody")
        if routed.asked:
            asked = ", ".join(f"`{name}`" for name in routed.asked)
            doubts.append(f"its route depends on {asked}, which its rule does not set")
        _inhibited(labels, survey.routing, survey.active, quiet, doubts)
        if survey.routing.inhibitions and "alertmanager" in dict(survey.seen.unreachable):
            doubts.append("whether it is inhibited could not be asked")
    if survey.routing and survey.silences is None:
        doubts.append("whether it is silenced could not be asked")
    for silence in survey.silences or ():
        matches = may_match(silence.matchers, labels) if silence.starts_at < ends else False
        if matches:
            quiet.append(_say(silence, begins))
        elif matches is None:
            asked = ", ".join(str(matcher) for matcher in silence.matchers if matcher.name not in labels)
            doubts.append(f"{_say(silence, begins)} where {asked or 'its expression matches'}")
    return msgspec.structs.replace(found, **changes, quiet=tuple(quiet), doubts=tuple(doubts))


def _inhibited(
    labels: Mapping[str, str],
    routing: Routing,
    active: Sequence[Mapping[str, str]],
    quiet: list[str],
    doubts: list[str],
) -> None:
    by: dict[bool | None, dict[str, None]] = {True: {}, None: {}, False: {}}
    for source in active:
        by[routing.inhibits(source, labels)][source.get("alertname", "")] = None
    if by[True]:
        quiet.append(f"inhibited by {', '.join(by[True])}, which fires")
    elif by[None]:
        doubts.append(f"perhaps inhibited by {', '.join(by[None])}, which fires")


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def _say(silence: Silence, begins: float) -> str:
    span = f"until {_moment(silence.ends_at):%d %b %H:%M} UTC"
    if silence.starts_at > begins:
        span = f"from {_moment(silence.starts_at):%d %b %H:%M} {span}"
    comment = f": {silence.comment[:_MAX_COMMENT]}" if silence.comment else ""
    return f"silenced {span} (silence {silence.id}{comment})"
