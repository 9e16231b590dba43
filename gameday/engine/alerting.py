"""What can be found out of the alerting before the first injection: rules, routes, and each expected alert."""

import asyncio
from collections.abc import Iterator, Sequence

import msgspec

from gameday.coverage import (
    AlertSource,
    AlertSourceError,
    PreflightResult,
    Survey,
    Surveyor,
    check_alert,
    check_pipeline,
    examination_of,
    examine,
    open_alerts,
)
from gameday.coverage.rule_files import RuleFiles, read_rule_files
from gameday.engine.context import PreparedExperiment
from gameday.engine.preflight import Check
from gameday.journal.events import AlertExamination, AlertRuleInfo, CheckOutcome
from gameday.spec.model import Environment, Experiment, FaultStep, Project

_SURVEY_TIMEOUT_S = 30.0  # a source keeps its own, shorter timeouts; this is for one that does not


class Alerting(msgspec.Struct, frozen=True):
    """The environment's alert source, if it has one, and what it says. Without `is_known` there is nothing to judge
    alerts by. `survey` is None when there was none to make, or it failed. `files`: the rules that lie in the
    repository, where gameday.yaml says so. `checks` are of all of it together."""

    source: AlertSource | None = None
    rules: tuple[AlertRuleInfo, ...] = ()
    is_known: bool = False
    survey: Survey | None = None
    files: RuleFiles | None = None
    checks: tuple[Check, ...] = ()


async def open_alerting(environment: Environment, project: Project | None = None) -> Alerting:
    """The source and all alerting rules, with those in the project's files; a failed check when they cannot be had."""
    files = await asyncio.to_thread(read_rule_files, project) if project and project.rules else None
    try:
        source = open_alerts(environment)
    except AlertSourceError as error:
        return Alerting(files=files, checks=(Check("alerts", CheckOutcome.FAILURE, str(error)),))
    if source is None:
        return Alerting(files=files)
    try:
        return Alerting(source, await source.rules(), is_known=True, files=files)
    except AlertSourceError as error:
        return Alerting(source, files=files, checks=(Check("alert rules", CheckOutcome.FAILURE, str(error)),))


async def survey_alerting(
    alerting: Alerting, environment: Environment, experiments: Sequence[PreparedExperiment]
) -> Alerting:
    """With what its parts say of the alerts that the experiments expect, in place of the checks so far."""
    expected = {alert.name for item in experiments for alert in item.experiment.alerts}
    alerting = msgspec.structs.replace(alerting, checks=_compare_files(alerting) if expected else ())
    source: object = alerting.source
    if not (alerting.is_known and expected and isinstance(source, Surveyor)):
        return alerting
    rules = [rule for rule in alerting.rules if rule.name in expected]
    try:
        async with asyncio.timeout(_SURVEY_TIMEOUT_S):
            survey = await source.survey(rules)
    except Exception as error:  # noqa: BLE001 - it is advice: a mistake in it must not keep a session from starting
        detail = f"could not be surveyed: {type(error).__name__}: {error}"
        failed = Check("alert pipeline", CheckOutcome.WARNING, detail)
        return msgspec.structs.replace(alerting, checks=(*alerting.checks, failed))
    watchdogs = environment.alerts.watchdogs if environment.alerts else ()
    found = check_pipeline(watchdogs, alerting.rules, survey)
    checks = (*alerting.checks, *(_check(result, None) for result in found))
    return msgspec.structs.replace(alerting, survey=survey, checks=checks)


def _compare_files(alerting: Alerting) -> tuple[Check, ...]:
    """Whether the server has the rules that lie in the repository."""
    if alerting.files is None or not alerting.is_known:
        return ()
    from gameday.coverage.rule_checks import compare_rules

    return (_check(compare_rules(alerting.files, alerting.rules), None),)


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
    checks = [*_check_files(alerting, prepared)]
    if not alerting.is_known:
        return tuple(checks)
    experiment = prepared.experiment
    held_s = _held_s(experiment)
    for alert in experiment.alerts:
        results = check_alert(alert, alerting.rules, examination_of(alert, examined), _watched_s(experiment))
        checks += [_check(result, prepared.index) for result in results]
        if 0 < held_s < alert.within_s:
            detail = f"the faults last {held_s:g} s in all, less than the {alert.within_s:g} s it is given to fire"
            checks.append(Check(f"alert {alert.name}", CheckOutcome.WARNING, detail, prepared.index))
    return tuple(checks)


def _check_files(alerting: Alerting, prepared: PreparedExperiment) -> Iterator[Check]:
    """What the repository says of each expected alert; where nothing is loaded, that is all there is."""
    if alerting.files is None:
        return
    from gameday.coverage.rule_checks import check_rule_file

    for alert in dict.fromkeys(prepared.experiment.alerts):
        result = check_rule_file(alert, alerting.files, alerting.rules if alerting.is_known else None)
        if result:
            yield _check(result, prepared.index)


def _held_s(experiment: Experiment) -> float:
    return sum(step.hold_s * len(step.ladder) for step in experiment.method if isinstance(step, FaultStep))


def _watched_s(experiment: Experiment) -> float:
    """How long alerts are watched after the undo, should they not resolve before."""
    return max(experiment.timing.recovery_s, experiment.recovers_within_s or 0.0)


def _lasts_s(experiment: Experiment) -> float:
    """About how long it takes, at most, as far as its file says."""
    return experiment.timing.baseline_s + _held_s(experiment) + _watched_s(experiment)
