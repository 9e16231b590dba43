"""What can be found out of the alerting before the first injection: rules, routes, and each expected alert."""

import asyncio
from collections.abc import Sequence

import msgspec

from gameday.coverage import (
    AlertSource,
    AlertSourceError,
    PreflightResult,
    Survey,
    Surveyor,
    check_alert,
    check_pipeline,
    examine,
    open_alerts,
)
from gameday.engine.context import PreparedExperiment
from gameday.engine.preflight import Check
from gameday.journal.events import AlertExamination, AlertRuleInfo, CheckOutcome
from gameday.spec.model import Environment, Experiment, FaultStep

_SURVEY_TIMEOUT_S = 30.0  # a source keeps its own, shorter timeouts; this is for one that does not


class Alerting(msgspec.Struct, frozen=True):
    """The environment's alert source, if it has one, and what it says. Without `is_known` there is nothing to judge
    alerts by. `survey` is None when there was none to make, or it failed. `checks` are of all of it together."""

    source: AlertSource | None = None
    rules: tuple[AlertRuleInfo, ...] = ()
    is_known: bool = False
    survey: Survey | None = None
    checks: tuple[Check, ...] = ()


async def open_alerting(environment: Environment) -> Alerting:
    """The source and all alerting rules; a failed check when they cannot be had."""
    try:
        source = open_alerts(environment)
    except AlertSourceError as error:
        return Alerting(checks=(Check("alerts", CheckOutcome.FAILURE, str(error)),))
    if source is None:
        return Alerting()
    try:
        return Alerting(source, await source.rules(), is_known=True)
    except AlertSourceError as error:
        return Alerting(source, checks=(Check("alert rules", CheckOutcome.FAILURE, str(error)),))


async def survey_alerting(
    alerting: Alerting, environment: Environment, experiments: Sequence[PreparedExperiment]
) -> Alerting:
    """With what its parts say of the alerts that the experiments expect, in place of the checks so far."""
    expected = {alert.name for item in experiments for alert in item.experiment.alerts}
    alerting = msgspec.structs.replace(alerting, checks=())
    source: object = alerting.source
    if not (alerting.is_known and expected and isinstance(source, Surveyor)):
        return alerting
    rules = [rule for rule in alerting.rules if rule.name in expected]
    try:
        async with asyncio.timeout(_SURVEY_TIMEOUT_S):
            survey = await source.survey(rules)
    except Exception as error:  # noqa: BLE001 - it is advice: a mistake in it must not keep a session from starting
        detail = f"could not be surveyed: {type(error).__name__}: {error}"
        return msgspec.structs.replace(alerting, checks=(Check("alert pipeline", CheckOutcome.WARNING, detail),))
    watchdogs = environment.alerts.watchdogs if environment.alerts else ()
    found = check_pipeline(watchdogs, alerting.rules, survey)
    return msgspec.structs.replace(alerting, survey=survey, checks=tuple(_check(result, None) for result in found))


def _check(result: PreflightResult, experiment: int | None) -> Check:
    return Check(result.check, result.outcome, result.detail, experiment)


def examine_alerts(
    alerting: Alerting, experiments: Sequence[PreparedExperiment], prepared: PreparedExperiment, now: float
) -> tuple[AlertExamination, ...]:
    """What is known of each alert that this one of the session's experiments expects. `now` is a Unix time."""
    if not alerting.is_known:
        return ()
    ends = now + sum(_lasts_s(item.experiment) for item in experiments if item.index <= prepared.index)
    found = (
        examine(alert, alerting.rules, alerting.survey, now, ends)
        for alert in dict.fromkeys(prepared.experiment.alerts)
    )
    return tuple(filter(None, found))


def check_alerts(
    alerting: Alerting, prepared: PreparedExperiment, examined: Sequence[AlertExamination]
) -> tuple[Check, ...]:
    """Whether each expected alert exists, can fire in time at all, and would be heard."""
    if not alerting.is_known:
        return ()
    experiment = prepared.experiment
    by_name = {found.name: found for found in examined}
    held_s = _held_s(experiment)
    checks = []
    for alert in experiment.alerts:
        results = check_alert(alert, alerting.rules, by_name.get(alert.name), _watched_s(experiment))
        checks += [_check(result, prepared.index) for result in results]
        if 0 < held_s < alert.within_s:
            detail = f"the faults last {held_s:g} s in all, less than the {alert.within_s:g} s it is given to fire"
            checks.append(Check(f"alert {alert.name}", CheckOutcome.WARNING, detail, prepared.index))
    return tuple(checks)


def _held_s(experiment: Experiment) -> float:
    return sum(step.hold_s * len(step.ladder) for step in experiment.method if isinstance(step, FaultStep))


def _watched_s(experiment: Experiment) -> float:
    """How long alerts are watched after the undo, should they not resolve before."""
    return max(experiment.timing.recovery_s, experiment.recovers_within_s or 0.0)


def _lasts_s(experiment: Experiment) -> float:
    """About how long it takes, at most, as far as its file says."""
    return experiment.timing.baseline_s + _held_s(experiment) + _watched_s(experiment)
