"""The policy: what it keeps from starting, what from going on, and that it says by which rule."""

import asyncio
import os
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec import Raw
from msgspec.structs import replace
from pretend import EXPERIMENT, PretendSystem

from gameday.common.clock import Clock
from gameday.common.codec import encode
from gameday.engine.jobs import Ceiling, Job, JobKind, perform
from gameday.engine.planning import plan_session
from gameday.engine.policy import Rules, check_hours
from gameday.engine.preparation import SessionInput
from gameday.engine.runs import Message, MessageKind, all_runs
from gameday.engine.session import SessionResult, run_session
from gameday.faults.base import FaultRequest, Radius, System
from gameday.faults.registry import load_fault
from gameday.journal.events import (
    CheckOutcome,
    FaultInjected,
    FaultPlanned,
    FindingRaised,
    PreflightChecked,
    Reading,
    Verdict,
)
from gameday.journal.log import read_events
from gameday.people.consent import Consent, add_consent, consent_path, digest_files, fingerprint
from gameday.spec.model import Approval, ErrorBudget, Hours, Incidents, Policy
from tests.serving import Serving, StandInHandler

LEFT = ErrorBudget("budget", or_equal=False, least=0.2, text="> 20%")
PERCENT = ErrorBudget("percent", or_equal=False, least=0.2, text="> 20%")
ACTION = """
title: An action
service: shop
steady-state-hypothesis: {title: It answers, signals: {errors: {ratio: "< 1%", for: 100ms}}}
method:
  - {type: action, name: nothing, provider: {type: python, module: time, func: sleep, arguments: {secs: 0}}}
timing: {interval: 50ms, baseline: 300ms, steady: 200ms, recovery: 3s, blind-after: 2s}
"""


@pytest.fixture
def system(tmp_path: Path) -> PretendSystem:
    return PretendSystem(tmp_path)


def run(session: SessionInput) -> SessionResult:
    return asyncio.run(run_session(session, []))


def refusals(result: SessionResult) -> list[str]:
    return [
        f"{event.check}: {event.detail}"
        for event in read_events(result.run.directory)
        if isinstance(event, PreflightChecked) and event.outcome is CheckOutcome.FAILURE
    ]


def at(rule: str) -> tuple[tuple[str, str], ...]:
    return ((rule, f"policy.{rule}, gameday.yaml:7"),)


@pytest.mark.parametrize(
    ("policy", "text", "said"),
    [
        (
            Policy(services=("stock", "pay*"), places=at("services")),
            EXPERIMENT,
            "keeps faults to the services stock, pay*",
        ),
        (Policy(faults=("pods/*",), places=at("faults")), EXPERIMENT, "allows pods/*, and this is testkit/mark"),
        (Policy(faults_refused=("testkit/*",), places=at("faults")), EXPERIMENT, "refuses testkit/*"),
        (Policy(faults=("testkit/*",), places=at("faults")), ACTION, "this is time.sleep"),
        (Policy(max_blast_radius=0.3, places=at("max-blast-radius")), EXPERIMENT, "ceiling is 30%"),
        (Policy(error_budget=LEFT, places=at("error-budget")), EXPERIMENT, "12% is left; the policy wants > 20%"),
        (Policy(error_budget=PERCENT, places=at("error-budget")), EXPERIMENT, "answers with 15, and must with a share"),
        (Policy(incidents=Incidents("incidents"), places=at("incidents")), EXPERIMENT, "2 open; the policy wants none"),
        (Policy(incidents=Incidents("below"), places=at("incidents")), EXPERIMENT, "cannot be told: the query"),
        (Policy(incidents=Incidents("nothing"), places=at("incidents")), EXPERIMENT, "cannot be told: empty"),
        (Policy(approval=Approval(), places=at("approval")), EXPERIMENT, "nobody has consented"),
    ],
    ids=[
        "service",
        "not allowed",
        "refused",
        "action",
        "ceiling",
        "budget",
        "percent",
        "incident",
        "below",
        "unreadable",
        "consent",
    ],
)
def test_what_keeps_it_from_starting(system: PretendSystem, policy: Policy, text: str, said: str) -> None:
    system.signals(errors=0.0, budget=0.12, percent=15, incidents=2, below=-1)
    result = run(system.session(text, policy=policy))
    assert result.verdict is Verdict.NOT_STARTED
    (refusal,) = refusals(result)
    assert said in refusal
    assert f"({policy.places[0][1]})" in refusal
    assert system.calls == []


def test_what_it_allows_runs(system: PretendSystem) -> None:
    system.signals(errors=0.0, budget=0.9, incidents=0)
    policy = Policy(
        services=("sh*p",),
        faults=("testkit/mark",),
        faults_refused=("pods/*",),
        max_blast_radius=0.5,
        error_budget=LEFT,
        incidents=Incidents("incidents"),
    )
    assert run(system.session(policy=policy)).verdict is Verdict.HELD


class Changing:
    """A sink that changes the signals when the first stage is in place."""

    name = "changing"

    def __init__(self, system: PretendSystem, **values: float) -> None:
        self._system, self._values = system, values

    def handle(self, event: object) -> None:
        if isinstance(event, FaultInjected):
            self._system.signals(errors=0.0, **self._values)

    def close(self) -> None:
        return None


def test_it_is_asked_again_before_each_injection(system: PretendSystem) -> None:
    system.signals(errors=0.0, budget=0.9)
    policy = Policy(error_budget=LEFT, places=at("error-budget"))
    changing = Changing(system, budget=0.1)
    result = asyncio.run(run_session(system.session(policy=policy), [changing]))
    events = tuple(read_events(result.run.directory))
    assert [event.fault_id for event in events if isinstance(event, FaultPlanned)] == ["0.0.0"]
    (finding,) = [event for event in events if isinstance(event, FindingRaised)]
    assert "10% is left" in finding.detail
    assert "gameday.yaml:7" in finding.detail
    assert (result.verdict, system.broken) == (Verdict.WEAKNESS, [])


def test_an_incident_of_our_own_making_does_not_end_the_ladder(system: PretendSystem) -> None:
    system.signals(errors=0.0, incidents=0)
    policy = Policy(incidents=Incidents("incidents"))
    result = asyncio.run(run_session(system.session(policy=policy), [Changing(system, incidents=1)]))
    assert len([event for event in read_events(result.run.directory) if isinstance(event, FaultInjected)]) == 2


def test_the_hours_end_while_it_runs(system: PretendSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the second stage the clock is past them."""
    import gameday.engine.policy as module

    real, stages = module.check_hours, []

    def late(policy: Policy, now: datetime) -> object:
        stages.append(now)
        return real(policy, datetime(2026, 3, 6, 12 if len(stages) < 3 else 17, tzinfo=UTC))

    monkeypatch.setattr(module, "check_hours", late)
    hours = Hours(frozenset(range(7)), 9 * 60, 16 * 60, "UTC", "09:00-16:00 UTC")
    result = run(system.session(policy=Policy(hours=hours)))
    assert system.broken == []
    assert [event.fault_id for event in read_events(result.run.directory) if isinstance(event, FaultInjected)] == [
        "0.0.0"
    ]


@pytest.mark.parametrize(
    ("minute", "inside"), [(9 * 60 - 1, False), (9 * 60, True), (16 * 60 - 1, True), (16 * 60, False)]
)
def test_hours_begin_and_end_on_the_minute(minute: int, inside: bool) -> None:
    hours = Hours(frozenset({4}), 9 * 60, 16 * 60, "Europe/Berlin", "Fri 09:00-16:00 Europe/Berlin")
    now = datetime(2026, 3, 5, 23, tzinfo=UTC) + timedelta(minutes=minute)  # midnight in Berlin, a Friday
    assert (check_hours(Policy(hours=hours), now).outcome is CheckOutcome.OK) == inside


def test_consent_of_a_second_person(system: PretendSystem) -> None:
    session = system.session(policy=Policy(approval=Approval()))
    sha256 = fingerprint("pretend", None, session.experiments)
    path = consent_path(Approval(), system.root)
    now = datetime.now(UTC).timestamp()
    add_consent(path, Consent(now, "@test", "elsewhere", sha256))  # who runs it: `test`
    assert "it takes a second person" in refusals(run(session))[0]
    add_consent(path, Consent(now, "@ada", "ada", sha256))
    assert run(session).verdict is Verdict.HELD
    session.experiments[0].path.write_text(EXPERIMENT + "# more\n")
    assert "nobody has consented" in refusals(run(session))[0]


def test_consent_that_is_withdrawn_meanwhile(system: PretendSystem) -> None:
    session = system.session(policy=Policy(approval=Approval()))
    sha256 = fingerprint("pretend", None, session.experiments)
    path, now = consent_path(Approval(), system.root), datetime.now(UTC).timestamp()
    add_consent(path, Consent(now, "@ada", "ada", sha256))

    class Withdrawing(Changing):
        def handle(self, event: object) -> None:
            if isinstance(event, FaultInjected):
                add_consent(path, Consent(now, "@ada", "ada", sha256, is_withdrawn=True))

    result = asyncio.run(run_session(session, [Withdrawing(system)]))
    assert len([event for event in read_events(result.run.directory) if isinstance(event, FaultInjected)]) == 1
    assert system.broken == []


def test_nobody_is_there(system: PretendSystem) -> None:
    """A warning is a failure, and the stricter rules hold beside the others."""
    warned = system.session(EXPERIMENT.replace("hold: 300ms", "hold: 60ms"))
    assert run(warned).verdict is Verdict.HELD
    result = run(replace(warned, is_unattended=True))
    assert result.verdict is Verdict.NOT_STARTED
    assert all("a warning, which is a failure" in refusal for refusal in refusals(result))
    policy = Policy(unattended=Policy(max_blast_radius=0.3, places=(("max-blast-radius", "policy.unattended, x:9"),)))
    assert run(system.session(policy=policy)).verdict is Verdict.HELD
    (refusal,) = refusals(run(replace(system.session(policy=policy), is_unattended=True)))
    assert "the policy's ceiling is 30% (policy.unattended, x:9)" in refusal


def test_a_plan_says_the_same(system: PretendSystem, tmp_path: Path) -> None:
    system.signals(errors=0.0, budget=0.1)
    policy = Policy(error_budget=LEFT, faults_refused=("testkit/*",), approval=Approval())
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    plan = asyncio.run(plan_session(system.session(policy=policy), scratch, datetime.now(UTC)))
    failed = {check.name for check in plan.checks if check.outcome is CheckOutcome.FAILURE}
    assert failed == {"error budget", "policy", "consent"}


@pytest.mark.parametrize(("is_unattended", "outcome"), [(True, CheckOutcome.FAILURE), (False, CheckOutcome.OK)])
def test_a_plan_says_that_nobody_can_be_asked(
    system: PretendSystem, tmp_path: Path, is_unattended: bool, outcome: CheckOutcome
) -> None:
    (scratch := tmp_path / "scratch").mkdir()
    session = system.session(policy=Policy(confirm=True, places=at("confirm")))
    plan = asyncio.run(plan_session(replace(session, is_unattended=is_unattended), scratch, datetime.now(UTC)))
    [check] = [check for check in plan.checks if check.name == "confirmation"]
    assert check.outcome is outcome
    assert (dict(at("confirm"))["confirm"] in check.detail) is is_unattended


class _Incidents(StandInHandler):
    """Answers as the test says; wants the token."""

    status, body = 200, b"{}"

    def do_GET(self) -> None:
        status = self.status if self.headers["Authorization"] == "Bearer t0ken" else 401
        self.send_response(status)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, b'{"page": 1, "incidents": []}', None),
        (200, b'{"incidents": [{"id": "a"}, {"id": "b"}]}', "2 open; the policy wants none"),
        (200, b'{"items": []}', "no list under `incidents`"),
        (200, b"<html>", "cannot be told"),
        (200, b"[" * 100_000, "nested too deeply"),
        (503, b"later", "HTTP 503: later"),
        (401, b"who?", "HTTP 401"),
    ],
)
def test_incidents_at_a_url(system: PretendSystem, status: int, body: bytes, said: str | None) -> None:
    from gameday.spec.model import Credentials

    server = Serving(type("Answers", (_Incidents,), {"status": status, "body": body}))
    try:
        incidents = Incidents(url=f"{server.url}/incidents", credentials=Credentials(token="t0ken"), timeout_s=5.0)
        result = run(system.session(policy=Policy(incidents=incidents)))
    finally:
        server.close()
    assert (result.verdict is Verdict.HELD) == (said is None)
    assert [said for refusal in refusals(result) if said and said in refusal] == ([said] if said else [])


# -- what is asked right before anything is touched, whoever touches it

TOUCH = "provider: {type: process, path: touch, arguments: touched}"
CONTROLLED = f"""
title: Run by the Toolkit
description: It has controls, if only one that does nothing.
controls: [{{name: none, provider: {{type: python, module: json}}}}]
method: [{{type: action, name: touch, {TOUCH}}}]
"""
HYPOTHESIS = f"""
title: A hypothesis that acts
description: The Toolkit has no objection.
steady-state-hypothesis: {{title: t, probes: [{{type: action, name: touch, tolerance: 0, {TOUCH}}}]}}
method: []
"""
WAITING = """
title: An action after a pause
description: What is allowed now may not be then.
method: [{{type: action, name: touch, background: {background}, pauses: {{before: 0.01}}, {touch}}}]
"""
BEGUN = """
title: A fault beside an action that goes on
service: shop
steady-state-hypothesis: {title: It answers, signals: {errors: {ratio: "< 1%", for: 100ms}}}
method:
  - {type: action, name: goes on, background: true, provider: {type: python, module: time, func: sleep,
     arguments: {secs: 60}}}
  - {fault: testkit/mark, target: {service: shop}, blast-radius: 1, hold: 1s}
timing: {interval: 50ms, baseline: 300ms, steady: 200ms, recovery: 3s, blind-after: 2s}
"""


@pytest.fixture
def touched(system: PretendSystem, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(system.root)
    return system.root / "touched"


def closing(monkeypatch: pytest.MonkeyPatch, allowed: int) -> list[datetime]:
    """The hours are over once so many steps have been allowed. When it was asked."""
    real, asked = Rules.refusal, []

    async def refusal(self: Rules, *arguments: object, **named: object) -> str | None:
        found = await real(self, *arguments, **named)  # type: ignore[arg-type]
        asked.append(arguments[3] if len(arguments) > 3 else named["now"])
        return "hours: it is late" if len(asked) > allowed else found

    monkeypatch.setattr(Rules, "refusal", refusal)
    return asked  # type: ignore[return-value]


def findings(result: SessionResult) -> list[str]:
    return [event.detail for event in read_events(result.run.directory) if isinstance(event, FindingRaised)]


def test_what_the_toolkit_runs_by_itself(system: PretendSystem, touched: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(system.session(CONTROLLED)).verdict is Verdict.HELD
    assert touched.exists()
    touched.unlink()
    closing(monkeypatch, 0)
    result = run(system.session(CONTROLLED))
    assert (result.verdict, touched.exists()) == (Verdict.NOT_STARTED, False)


def test_an_action_in_a_hypothesis(system: PretendSystem, touched: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = Policy(faults_refused=("process:*",), places=at("faults"))
    assert "policy.faults, gameday.yaml:7" in refusals(run(system.session(HYPOTHESIS, policy=policy)))[0]
    closing(monkeypatch, 0)
    result = run(system.session(HYPOTHESIS))
    assert (result.verdict, touched.exists()) == (Verdict.NOT_STARTED, False)


@pytest.mark.parametrize("background", ["true", "false"])
def test_it_is_asked_again_after_a_pause(
    system: PretendSystem, touched: Path, monkeypatch: pytest.MonkeyPatch, background: str
) -> None:
    text = WAITING.format(background=background, touch=TOUCH)
    assert run(system.session(text)).verdict is Verdict.HELD
    touched.unlink()
    closing(monkeypatch, 1)
    result = run(system.session(text))
    assert not touched.exists()
    assert result.verdict is (Verdict.WEAKNESS if background == "true" else Verdict.NOT_STARTED)


def test_what_is_under_way_in_the_background_has_been_started(
    system: PretendSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    closing(monkeypatch, 1)
    result = run(system.session(BEGUN))
    assert (result.verdict, findings(result)) == (Verdict.WEAKNESS, ["hours: it is late"])


def test_hours_pass_while_the_machine_sleeps(system: PretendSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run's own clock is behind then."""
    asked, real = closing(monkeypatch, 9), Clock.now
    monkeypatch.setattr(Clock, "now", lambda clock: real(clock) - 8 * 3600)
    assert run(system.session()).verdict is Verdict.HELD
    assert asked
    assert all(abs(now - datetime.now(UTC)) < timedelta(hours=1) for now in asked)


def test_the_ceiling_at_the_moment_of_injection_says_its_line(system: PretendSystem) -> None:
    fault, where = load_fault("testkit/mark"), System(inventory=system.directory / "inventory.json")
    plan = fault.plan(FaultRequest("shop", Radius(count=1)), where)
    ceiling = Ceiling(0.3, " (policy.max-blast-radius, gameday.yaml:7)")
    for name in system.names[:3]:
        (system.directory / name).write_text("broken")
    job = Job(kind=JobKind.INJECT, fault="testkit/mark", plan=Raw(encode(plan)), system=where, ceiling=ceiling)
    assert "ceiling is 30% (policy.max-blast-radius, gameday.yaml:7)" in perform(job).error


def test_consent_that_cannot_be_read_is_not_waited_for(system: PretendSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gameday.engine.policy._CONSENT_S", 0.05)
    path = consent_path(Approval(), system.root)
    path.parent.mkdir(exist_ok=True)
    os.mkfifo(path)  # as a disk that has gone: whoever opens it waits
    (refusal,) = refusals(run(system.session(policy=Policy(approval=Approval()))))
    assert "no answer within 0.05 s" in refusal


def test_consent_is_to_what_was_read(system: PretendSystem) -> None:
    """The file is changed while somebody is asked whether to begin."""
    session = system.session(policy=Policy(approval=Approval()))
    session = replace(session, contents=digest_files(None, session.experiments))
    path = consent_path(Approval(), system.root)
    session.experiments[0].path.write_text(EXPERIMENT + "# reviewed\n")
    sha256 = fingerprint("pretend", None, session.experiments)
    add_consent(path, Consent(datetime.now(UTC).timestamp(), "@ada", "ada", sha256))
    assert "nobody has consented" in refusals(run(session))[0]


def test_a_source_that_never_answers(system: PretendSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    class Hanging:
        async def read(self, queries: object) -> tuple[Reading, ...]:
            await asyncio.Event().wait()
            return ()

        async def close(self) -> None:
            return None

    monkeypatch.setattr("gameday.engine.policy._ASK_S", 0.01)
    rules = Rules(system.session(policy=Policy(error_budget=LEFT)))
    (check,) = asyncio.run(rules.check_state(Hanging()))
    assert (check.outcome, "no answer within 0.01 s" in check.detail) == (CheckOutcome.FAILURE, True)


CALL = """
title: An action by HTTP
description: Where it leads, the configuration says.
configuration: {base: "http://prod.example.com"}
method: [{type: action, name: call, provider: {type: http, url: "${%s}/kill"}}]
"""


@pytest.mark.parametrize(
    ("variable", "said"), [("base", "this is http:http://prod.example.com/kill"), ("odd.one", "cannot be told")]
)
def test_a_url_in_variables_is_no_way_round(system: PretendSystem, variable: str, said: str) -> None:
    policy = Policy(faults_refused=("http:http://prod*",), places=at("faults"))
    (refusal,) = refusals(run(system.session(CALL % variable, policy=policy)))
    assert said in refusal


def test_an_abort_does_not_wait_for_a_rule(system: PretendSystem) -> None:
    """The server takes the connection, and says nothing for ten minutes."""

    class Aborting(Changing):
        def handle(self, event: object) -> None:
            if isinstance(event, PreflightChecked) and event.check == "guardian":
                (begun,) = all_runs(system.root)
                begun.send(Message(MessageKind.ABORT, "@ada", "enough"))

    with socket.create_server(("127.0.0.1", 0)) as silent:
        incidents = Incidents(url=f"http://127.0.0.1:{silent.getsockname()[1]}/", timeout_s=600.0)
        session = system.session(policy=Policy(incidents=incidents))
        running = run_session(session, [Aborting(system)])
        result = asyncio.run(asyncio.wait_for(running, 120))
    assert (result.verdict, result.reason) == (Verdict.ABORTED, "enough")
