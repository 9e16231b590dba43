"""The policy of an environment: looked at before a session, and again right before whatever touches the system."""

import asyncio
import os
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from functools import partial

import msgspec

from gameday.common.json import Json, JsonObject
from gameday.common.waiting import call_in_time
from gameday.engine.context import PreparedExperiment, acts
from gameday.engine.jobs import Ceiling
from gameday.engine.judge import number_of
from gameday.engine.preflight import Check
from gameday.engine.preparation import SessionInput
from gameday.journal.events import CheckOutcome, Reading, ReadingState
from gameday.people.consent import consent_path, find_consent, fingerprint, read_consent
from gameday.signals import Query, SignalSource
from gameday.spec.model import (
    Activity,
    Environment,
    ErrorBudget,
    Experiment,
    FaultStep,
    Incidents,
    Policy,
    SignalId,
    SignalKind,
    Unit,
)
from gameday.spec.units import format_duration, format_percentage
from gameday.spec.variables import VARIABLE

_MAX_ANSWER_BYTES = 8 * 1024 * 1024
_VARIABLE = "${"  # how one begins
_CONSENT_S = 5.0  # to read who consents
_ASK_S = 60.0  # for an answer to a query
_ALL_OF_IT = 1.000001  # as much as can be left of a budget, and what floating point adds


def ceiling_of(environment: Environment, *, is_unattended: bool) -> Ceiling:
    """The lowest that holds."""
    found = [
        Ceiling(policy.max_blast_radius, policy.place("max-blast-radius"))
        for policy in policies_of(environment, is_unattended=is_unattended)
        if policy.max_blast_radius is not None
    ]
    return min(found, key=lambda ceiling: ceiling.share or 0, default=Ceiling())


def policies_of(environment: Environment, *, is_unattended: bool) -> tuple[Policy, ...]:
    """The rules that hold, each of them."""
    policy = environment.policy
    return (policy, policy.unattended) if is_unattended and policy.unattended else (policy,)


def check_hours(policy: Policy, now: datetime) -> Check:
    """Whether the policy allows a fault at this time (aware)."""
    hours = policy.hours
    if hours is None:
        return Check("hours", CheckOutcome.OK, "no hours are set")
    from zoneinfo import ZoneInfo

    local = now.astimezone(ZoneInfo(hours.timezone))
    minute = local.hour * 60 + local.minute
    inside = local.weekday() in hours.days and hours.start_minute <= minute < hours.end_minute
    detail = f"it is {local:%a %H:%M} in {hours.timezone}; the policy allows {hours.text}{policy.place('hours')}"
    return Check("hours", CheckOutcome.OK if inside else CheckOutcome.FAILURE, detail)


class Rules:
    """What the policy says of one session. Nothing is asked before the first check."""

    def __init__(self, session: SessionInput) -> None:
        environment = session.environment
        self._session = session
        self._policies = policies_of(environment, is_unattended=session.is_unattended)
        self._approval = environment.policy.approval
        game_day = session.project.root / session.path if session.kind == "game-day" else None
        self._sha256 = (
            fingerprint(environment.name, game_day, session.experiments, session.contents) if self._approval else ""
        )

    @property
    def needs_signals(self) -> bool:
        """Whether a rule asks the source of signals."""
        return any(policy.error_budget or (policy.incidents and policy.incidents.query) for policy in self._policies)

    def check_hours(self, now: datetime) -> tuple[Check, ...]:
        """Of each of the policies that hold."""
        return tuple(dict.fromkeys(check_hours(policy, now) for policy in self._policies))

    def check_confirmation(self) -> tuple[Check, ...]:
        """For a plan: a session asks before it begins, and where nobody is there, nobody can be asked."""
        policy = self._session.environment.policy
        if not policy.confirm:
            return ()
        if not self._session.is_unattended:
            return (Check("confirmation", CheckOutcome.OK, "it asks before it begins"),)
        detail = f"the policy wants one, and nobody can be asked; `--yes` gives it{policy.place('confirm')}"
        return (Check("confirmation", CheckOutcome.FAILURE, detail),)

    async def check_consent(self, now: float) -> tuple[Check, ...]:
        """Whether somebody else has agreed, where the policy wants that. `now`: Unix time."""
        if self._approval is None:
            return ()
        session, place = self._session, self._session.environment.policy.place("approval")
        path = consent_path(self._approval, session.project.root)
        try:
            # By a thread, for a file on another machine may hang whoever asks for it.
            consents = await call_in_time(partial(read_consent, path, self._sha256), _CONSENT_S, "consent")
        except OSError as error:
            detail = f"{path} cannot be read: {error.strerror or error}{place}"
            return (Check("consent", CheckOutcome.FAILURE, detail),)
        consent, reason = find_consent(self._approval, session.project, consents, session.by, now)
        if consent is None:
            who = f"one of {', '.join(self._approval.by)}" if self._approval.by else "somebody else"
            command = f"gameday approve {session.path} --env {session.environment.name}"
            detail = f"{reason}; {who} can: `{command}`{place}"
            return (Check("consent", CheckOutcome.FAILURE, detail),)
        ago = format_duration(max(0.0, round(now - consent.at)))
        return (Check("consent", CheckOutcome.OK, f"{consent.author} consents, since {ago}"),)

    def check_method(self, item: PreparedExperiment) -> tuple[Check, ...]:
        """Whether the policy allows what the experiment does: which faults, on which services."""
        checks = []
        for step in _steps(item.experiment):
            refusals = list(self._refusals_of(item.experiment, step))
            checks += [Check("policy", CheckOutcome.FAILURE, refusal, item.index) for refusal in refusals]
            if not refusals and acts(item.experiment, step) and isinstance(step, Activity):
                checks += self._unheld(step, item.index)
        return tuple(dict.fromkeys(checks))

    def _unheld(self, action: Activity, index: int) -> Iterator[Check]:
        """What an action of the Chaos Toolkit touches, only the action knows."""
        policy = self._session.environment.policy
        if held := [key for key in ("services", "namespaces", "nodes") if getattr(policy, key)]:
            names = " and ".join(f"`{key}`" for key in held)
            detail = f"nothing holds the action {action.name} to the policy's {names}: see what it touches"
            yield Check("policy", CheckOutcome.WARNING, detail, index)

    def _refusals_of(self, experiment: Experiment, step: FaultStep | Activity) -> Iterator[str]:
        if not acts(experiment, step):
            return
        name = step.fault if isinstance(step, FaultStep) else _touching(step, experiment.configuration)
        for policy in self._policies:
            if _VARIABLE in name and any(one.startswith("http:") for one in policy.faults_refused):
                yield f"{step.name}: whether the policy refuses {name} cannot be told{policy.place('faults')}"
            said = ""
            if _is_one_of(name, policy.faults_refused):
                said = f"refuses {', '.join(policy.faults_refused)}"
            elif policy.faults and not _is_one_of(name, policy.faults):
                said = f"allows {', '.join(policy.faults)}"
            if said:
                yield f"{step.name}: the policy {said}, and this is {name}{policy.place('faults')}"
            if policy.services and isinstance(step, FaultStep):
                yield from _other_services(step, policy)

    async def check_state(self, source: SignalSource | None) -> tuple[Check, ...]:
        """Whether enough of the error budget is left, and no incident is open. What cannot be told is a failure."""
        checks = []
        for policy in self._policies:
            if policy.error_budget:
                checks.append(await _check_budget(policy.error_budget, source, policy.place("error-budget")))
            if policy.incidents:
                checks.append(await _check_incidents(policy.incidents, source, policy.place("incidents")))
        return tuple(checks)

    async def refusal(
        self,
        experiment: Experiment,
        step: FaultStep | Activity,
        source: SignalSource | None,
        now: datetime,
        in_place: bool,
    ) -> str | None:
        """Why this step may not touch anything now (aware); None when it may. With something of ours `in_place`, an
        open incident may be of our own making: it is then the guard that says when it is enough."""
        if not acts(experiment, step):
            return None
        if refusal := next(self._refusals_of(experiment, step), None):
            return refusal
        checks = [*self.check_hours(now), *await self.check_consent(now.timestamp())]
        if all(check.outcome is not CheckOutcome.FAILURE for check in checks):
            checks += await self.check_state(source)
        refused = [
            check
            for check in checks
            if check.outcome is CheckOutcome.FAILURE and not (in_place and check.name == _INCIDENTS)
        ]
        return f"{refused[0].name}: {refused[0].detail}" if refused else None

    async def refusal_of_any(self, experiment: Experiment, source: SignalSource | None, now: datetime) -> str | None:
        """The same of all that the experiment does, for one that another program runs as a whole. What is so at the
        moment is asked once."""
        acting = [step for step in _steps(experiment) if acts(experiment, step)]
        for step in acting[:-1]:
            if refusal := next(self._refusals_of(experiment, step), None):
                return refusal
        return await self.refusal(experiment, acting[-1], source, now, in_place=False) if acting else None


_BUDGET, _INCIDENTS = "error budget", "incidents"


def _steps(experiment: Experiment) -> tuple[FaultStep | Activity, ...]:
    """All that may act: a plain hypothesis may hold actions, too. Rollbacks are never refused."""
    return (*experiment.hypothesis.probes, *experiment.method)


def _is_one_of(name: str | None, patterns: Sequence[str]) -> bool:
    return name is not None and any(fnmatchcase(name, pattern) for pattern in patterns)


def _other_services(step: FaultStep, policy: Policy) -> Iterator[str]:
    """What the policy says to a service that it does not name: calls from there fail, too."""
    target = step.target
    for service in (target.service, target.caller) if target.caller else (target.service,):
        if not _is_one_of(service, policy.services):
            named = f"the service `{service}`" if service else "a target without a service"
            allowed = ", ".join(policy.services)
            yield (
                f"{step.name}: the policy keeps faults to the services {allowed}, and this is on {named}"
                f"{policy.place('services')}"
            )


def _touching(action: Activity, configuration: JsonObject) -> str:
    """What a policy knows an action of the Chaos Toolkit by: "chaosk8s.pod.actions.terminate_pods", "process:kubectl",
    "http:https://…"."""
    provider = action.definition.get("provider")
    if not isinstance(provider, dict):
        return action.name
    match provider.get("type"):
        case "python":
            return f"{provider.get('module')}.{provider.get('func')}"
        case "process":
            return f"process:{provider.get('path')}"
        case kind:
            return f"{kind}:{VARIABLE.sub(lambda found: _value(found, configuration), str(provider.get('url')))}"


def _value(found: re.Match[str], configuration: JsonObject) -> str:
    """What the Toolkit puts in its place, as far as it can be told before it is run."""
    entry = configuration.get(found[1])
    if isinstance(entry, dict) and entry.get("type") == "env":
        entry = os.environ.get(str(entry.get("key"))) or entry.get("default")
    return found[0] if entry is None or isinstance(entry, dict | list) else str(entry)


async def _ask(query: str, source: SignalSource | None, unit: Unit) -> tuple[float | None, str]:
    """The number that the query answers with; None, and why."""
    if source is None:
        return None, "the environment has no signals"
    asked = Query(SignalId("policy", SignalKind.SATURATION, "rule"), query, unit)
    try:
        async with asyncio.timeout(_ASK_S):  # sources have shorter ones of their own; this is for a third party's
            readings: Sequence[Reading] = await source.read([asked])
    except TimeoutError:
        return None, f"no answer within {_ASK_S:g} s"
    except Exception as error:  # noqa: BLE001 - a third party's source; what cannot be told is refused
        return None, f"{type(error).__name__}: {error}"
    reading = readings[0] if readings else Reading(str(asked.signal), ReadingState.UNREACHABLE)
    number = number_of(reading)
    why = (
        "not a number" if reading.state is ReadingState.OK else ": ".join(filter(None, (reading.state, reading.detail)))
    )
    return number, "" if number is not None else why


async def _check_budget(budget: ErrorBudget, source: SignalSource | None, place: str) -> Check:
    left, why = await _ask(budget.query, source, Unit.RATIO)
    if left is not None and left > _ALL_OF_IT:  # in percent, or not what it is taken for
        left, why = None, f"the query answers with {left:g}, and must with a share, 0 to 1"
    if left is None:
        return Check(_BUDGET, CheckOutcome.FAILURE, f"what is left of it cannot be told: {why}{place}")
    is_enough = left >= budget.least if budget.or_equal else left > budget.least
    said = f"{format_percentage(left)} is left; the policy wants {budget.text}"
    return Check(_BUDGET, CheckOutcome.OK if is_enough else CheckOutcome.FAILURE, said + ("" if is_enough else place))


async def _check_incidents(incidents: Incidents, source: SignalSource | None, place: str) -> Check:
    if incidents.query:
        number, why = await _ask(incidents.query, source, Unit.NUMBER)
        if number is not None and number < 0:
            number, why = None, f"the query answers with {number:g}, which is no number of incidents"
    else:
        number, why = await _count(incidents)
    if number is None:
        return Check(_INCIDENTS, CheckOutcome.FAILURE, f"whether one is open cannot be told: {why}{place}")
    if number > 0:
        return Check(_INCIDENTS, CheckOutcome.FAILURE, f"{number:g} open; the policy wants none{place}")
    return Check(_INCIDENTS, CheckOutcome.OK, "none is open")


async def _count(incidents: Incidents) -> tuple[float | None, str]:
    """How many entries the list in the answer has."""
    from gameday.common.http import HttpClient, HttpError, parse_url

    assert incidents.url is not None
    client = HttpClient(incidents.timeout_s, incidents.credentials.headers())
    try:
        answer = await client.get(parse_url(incidents.url), max_bytes=_MAX_ANSWER_BYTES)
        if answer.status != 200:
            return None, f"HTTP {answer.status}: {answer.excerpt()}"
        found: Json = msgspec.json.decode(answer.body)
    except RecursionError:
        return None, "its answer is nested too deeply"
    except (HttpError, ValueError) as error:  # what msgspec raises is a ValueError
        return None, str(error)
    finally:
        await client.close()
    for key in incidents.list_at.split("."):
        found = found.get(key) if isinstance(found, dict) else None
    if not isinstance(found, list):
        return None, f"its answer has no list under `{incidents.list_at}`"
    return float(len(found)), ""
