"""Probes for `chaos run`: preflight and baseline, golden signals, and what a session found.

All but `signal_holds` ask the session that `ready` has begun. What can only be said after the method is true before.
"""

import asyncio
from typing import Any

from gameday.chaostoolkit import current
from gameday.common.json import JsonObject
from gameday.engine.driven import DrivenError
from gameday.engine.judge import Sample, judge_condition
from gameday.journal.events import FindingKind, FindingRaised, HypothesisJudged, Judgement, Outcome, SessionStarted
from gameday.signals import SignalError, open_source, plan_queries
from gameday.spec.model import Condition, Environment
from gameday.spec.units import UnitError, parse_positive_duration

__all__ = [
    "alert_fired",
    "everything_is_undone",
    "no_weakness_found",
    "ready",
    "recovered",
    "runbooks_are_whole",
    "signal_holds",
    "stages_held",
]

_INTERVAL_S = 1.0
_BROKEN = (FindingKind.HYPOTHESIS_BROKEN,)
_LATE = (FindingKind.NOT_RECOVERED, FindingKind.RECOVERED_LATE)
_RUNBOOKS = (FindingKind.RUNBOOK_MISSING, FindingKind.RUNBOOK_INCOMPLETE)


@current.activity
def ready(
    title: str,
    service: str = "",
    signals: dict[str, Any] | None = None,
    abort_when: dict[str, Any] | None = None,
    faults: list[dict[str, Any]] | None = None,
    alerts: list[dict[str, Any]] | None = None,
    recovers_within: str = "",
    timing: dict[str, Any] | None = None,
    probes: list[dict[str, Any]] | None = None,
    hypothesis: str = "",
    environment: str = "lab",
    source: str = "chaos run",
    confirmed: str = "",
    configuration: dict[str, Any] | None = None,
    secrets: dict[str, Any] | None = None,
) -> bool:
    """Begin a session: preflight passes, and the steady state holds before anything is injected. Fails when not.

    environment: one of gameday.yaml, looked for upwards from the current directory; its policy holds. The rest is in
    the words of a gameday experiment: service, signals ({errors: {ratio: "< 1%"}}), abort_when, faults (all that will
    be injected, with all stages), alerts, recovers_within ("15s"), timing ({interval: 1s, baseline: 10s}). probes: of
    the Toolkit, to be judged in every stage too. confirmed: anything, where the policy wants a confirmation.

    From now on until all is undone the session's guard watches. Called again, this is true and does nothing.
    """
    if current.is_open():
        return True
    document: JsonObject = {
        "title": title,
        "service": service,
        "steady-state-hypothesis": {"title": hypothesis, "signals": signals, "probes": probes},
        "method": faults or [],
        "expect": {"alerts": alerts, "recovers-within": recovers_within},
        "abort-when": abort_when,
        "timing": timing,
    }
    current.open_session(_without_nothing(document), source, environment, confirmed, configuration or {}, secrets or {})
    return True


def _without_nothing(document: JsonObject) -> JsonObject:
    """Without what is not said; but a method may be empty."""
    found = {key: _without_nothing(value) if isinstance(value, dict) else value for key, value in document.items()}
    return {key: value for key, value in found.items() if value or key == "method"}


@current.activity
def signal_holds(
    service: str, signal: str, condition: str, lasting: str = "3s", within: str = "5s", environment: str = ""
) -> bool:
    """Whether a golden signal of a service is as it should be.

    signal: such as "latency.p99", "traffic.change", "errors.ratio", "saturation.cpu". condition: such as "< 300ms".
    lasting: how long a breach must last to count. Without an `environment`: as the session has judged it last, before
    or after the method. With one: over `within` from now. Fails when the signal cannot be read.
    """
    if not environment:
        return _judged(service, signal, condition)
    kind, _, measure = signal.partition(".")
    signals = {kind: {measure: condition, "for": lasting}}
    document: JsonObject = {
        "title": signal,
        "service": service,
        "steady-state-hypothesis": {"signals": signals},
        "method": [],
    }
    project, where = current.find_environment(environment)
    experiment = current.read_experiment(document, project, where)
    try:
        judgement = asyncio.run(_judge_now(experiment.hypothesis.conditions[0], where, parse_positive_duration(within)))
    except (SignalError, UnitError) as error:
        raise DrivenError(str(error)) from None
    if judgement.outcome is Outcome.UNREADABLE:
        raise DrivenError(f"{signal} could not be read: {judgement.detail}")
    return judgement.outcome is Outcome.HELD


async def _judge_now(condition: Condition, environment: Environment, within_s: float) -> Judgement:
    if environment.signals is None:
        raise DrivenError(f"the environment `{environment.name}` has no signals")
    queries = plan_queries(environment.signals, [condition.signal])
    source = open_source(environment.signals)
    loop = asyncio.get_running_loop()
    began = loop.time()
    samples: list[Sample] = []
    try:
        while (now := loop.time() - began) < within_s or not samples:
            readings = await source.read(queries)
            samples.append(Sample(now, {reading.signal: reading for reading in readings}))
            await asyncio.sleep(max(0.0, len(samples) * _INTERVAL_S - (loop.time() - began)))
    finally:
        await source.close()
    return judge_condition(condition, samples, {}, _INTERVAL_S)


def _judged(service: str, signal: str, condition: str) -> bool:
    """What the session said last of this condition; true when it has said nothing, for there is no baseline yet."""
    kind, _, measure = signal.partition(".")
    change = measure == "change"
    subject = f"{service}.{kind}.{'rate' if change else measure}"
    limit = " ".join(condition.split())
    text = f"change {limit}" if change else limit
    announced, outcome = False, Outcome.HELD
    for event in current.events():
        if isinstance(event, SessionStarted):
            conditions = event.experiments[0].conditions
            announced = any((info.signal, info.relative, info.text) == (subject, change, limit) for info in conditions)
        elif isinstance(event, HypothesisJudged):
            said = [item.outcome for item in event.judgements if (item.subject, item.condition) == (subject, text)]
            outcome = said[-1] if said else outcome
    if not announced:
        raise DrivenError(f"{service} {signal} {limit} was not announced to `ready`, so it was not watched")
    return outcome is Outcome.HELD


@current.activity
def stages_held() -> bool:
    """Whether the steady state held during the method."""
    return not _found(*_BROKEN)


@current.activity
def alert_fired(name: str) -> bool:
    """Whether an expected alert did all that `ready` was told: fired in time, was notified, and was resolved again."""
    kinds = [kind for kind in FindingKind if kind.startswith(("alert-", "rule-"))]
    return not any(f" {name} " in f" {finding.title} " for finding in _found(*kinds))


@current.activity
def recovered() -> bool:
    """Whether the steady state came back after the undo, in the time that `ready` was told."""
    return not _found(*_LATE)


@current.activity
def runbooks_are_whole() -> bool:
    """Whether every runbook that the alerts and the service name is there and has all its sections."""
    return not _found(*_RUNBOOKS)


@current.activity
def no_weakness_found() -> bool:
    """Whether nothing was found that gameday calls a weakness."""
    return not _found(*FindingKind)


@current.activity
def everything_is_undone() -> bool:
    """Whether no fault is left. Fails, naming it, when one is; true before and between."""
    driver = current.driver()
    driver.settle()
    if driver.has_ended:
        current.ensure_clean(driver.run)
    return True


def _found(*kinds: FindingKind) -> list[FindingRaised]:
    """The weaknesses of these kinds that the session has found so far."""
    return [
        event
        for event in current.events()
        if isinstance(event, FindingRaised) and event.weakness and event.kind in kinds
    ]
