"""Services are locked over all machines: in preflight, before each injection, and as long as an undo may take."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace
from pretend import EXPERIMENT, PretendSystem, events_of

from gameday.common.waiting import call_in_time
from gameday.engine import shared_locks
from gameday.engine.locks import LockHeldError, ServiceLocks
from gameday.engine.planning import plan_session
from gameday.engine.preparation import SessionInput, services_of
from gameday.engine.session import SessionResult, run_session
from gameday.engine.shared_locks import LEFT_S, TTL_S, SharedHold
from gameday.journal.events import (
    AbortRequested,
    AnyEvent,
    CheckOutcome,
    FaultInjected,
    FaultPlanned,
    FindingRaised,
    PreflightChecked,
    Verdict,
)

SUPERVISED = """
title: Through the Toolkit
method:
  - {type: action, name: touch, provider: {type: process, path: touch, arguments: touched}}
controls: [{name: nothing, provider: {type: python, module: logging}}]
"""


class Locks:
    """Locks that do as they are told, and remember what they were asked."""

    def __init__(self, *, held_by: str = "", down: bool = False) -> None:
        self.asked: list[tuple[object, ...]] = []
        self.held_by = held_by
        self.down = down
        self.taken = False
        self.hangs: threading.Event | None = None
        self.is_held = False

    def _ask(self, *what: object) -> None:
        self.asked.append(what)
        if self.hangs:
            self.hangs.wait(60)
        if self.down:
            raise OSError("the store is down")

    def acquire(self, services: Sequence[str], run: str, for_s: float) -> None:
        self.check(services)
        self.asked[-1] = ("acquire", tuple(services), for_s)
        self.is_held = True

    def renew(self, for_s: float) -> bool:
        self._ask("renew", for_s)
        return not self.taken

    def release(self) -> None:
        self._ask("release")
        self.is_held = False

    def check(self, services: Sequence[str]) -> None:
        self._ask("check", tuple(services))
        if self.held_by:
            raise LockHeldError(services[0], self.held_by)

    def renewals(self) -> list[float]:
        return [float(str(what[1])) for what in self.asked if what[0] == "renew"]


@pytest.fixture
def system(tmp_path: Path) -> PretendSystem:
    return PretendSystem(tmp_path)


class When:
    """A sink that does something the first time that such an event comes."""

    name = "when"

    def __init__(self, kind: type[AnyEvent], act: Callable[[], object]) -> None:
        self._kind, self._act, self._done = kind, act, False

    def handle(self, event: AnyEvent) -> None:
        if isinstance(event, self._kind) and not self._done:
            self._done = True
            self._act()

    def close(self) -> None:
        return None


def run(session: SessionInput, locks: Locks, *sinks: When) -> SessionResult:
    return asyncio.run(run_session(session, sinks, shared=locks))


def checks(result: SessionResult) -> list[tuple[CheckOutcome, str]]:
    found = events_of(result.run.directory, PreflightChecked)
    return [(event.outcome, event.detail) for event in found if event.check == "shared locks"]


def injected(result: SessionResult) -> list[str]:
    return [event.fault_id for event in events_of(result.run.directory, FaultInjected)]


def test_held_from_preflight_until_all_is_undone(system: PretendSystem) -> None:
    locks = Locks()
    result = run(system.session(), locks)
    assert result.verdict is Verdict.HELD
    assert checks(result) == [(CheckOutcome.OK, "locked, over all machines, shop, stock")]
    assert locks.asked[0] == ("acquire", ("shop", "stock"), TTL_S)
    planned = [event.undo_within_s for event in events_of(result.run.directory, FaultPlanned)]
    # As long as the undo may take: the first stage's, then that of both.
    assert locks.renewals() == [TTL_S + planned[0], TTL_S + sum(planned)]
    assert locks.asked[-1] == ("release",)


def test_somebody_else_has_a_service(system: PretendSystem) -> None:
    locks = Locks(held_by="“Another”, run by sam on elsewhere")
    result = run(system.session(), locks)
    assert result.verdict is Verdict.NOT_STARTED
    assert result.reason == "shared locks: shop is held by “Another”, run by sam on elsewhere"
    assert (system.calls, [what[0] for what in locks.asked]) == ([], ["check"])


def test_what_this_machine_refuses_is_asked_of_no_other(system: PretendSystem) -> None:
    session, locks = system.session(), Locks()
    held = ServiceLocks(system.root / ".gameday" / "locks", session.environment.name)
    held.acquire(["stock"], "another run")
    result = run(session, locks)
    held.release()
    assert result.reason.startswith("locks: stock is held by another run")
    assert locks.asked == []


@pytest.mark.parametrize("unattended", [False, True])
def test_a_store_that_is_down(system: PretendSystem, unattended: bool) -> None:
    """Somebody who is there is warned; where nobody is, it must be known."""
    result = run(replace(system.session(), is_unattended=unattended), Locks(down=True))
    ((outcome, detail),) = checks(result)
    assert "cannot be told: the store is down" in detail
    if unattended:
        assert (outcome, result.verdict, system.calls) == (CheckOutcome.FAILURE, Verdict.NOT_STARTED, [])
    else:
        assert (outcome, result.verdict) == (CheckOutcome.WARNING, Verdict.HELD)


def test_lost_before_the_next_stage(system: PretendSystem) -> None:
    locks = Locks()
    result = run(system.session(), locks, When(FaultInjected, lambda: setattr(locks, "taken", True)))
    (abort,) = events_of(result.run.directory, AbortRequested)
    assert (abort.source, result.verdict, injected(result)) == ("locks", Verdict.ABORTED, ["0.0.0"])
    assert "another session has taken a service of this one" in result.reason
    assert system.broken == []


def test_lost_while_a_stage_is_held(system: PretendSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within the time between two renewals."""
    monkeypatch.setattr(shared_locks, "_RENEW_S", 0.05)
    locks = Locks()
    text = EXPERIMENT.replace("hold: 300ms", "hold: 60s")
    result = run(system.session(text), locks, When(FaultInjected, lambda: setattr(locks, "taken", True)))
    assert (result.verdict, injected(result), system.broken) == (Verdict.ABORTED, ["0.0.0"], [])


@pytest.mark.parametrize(("later_s", "stages"), [(0.0, 2), (TTL_S - 200.0, 2), (TTL_S + 1.0, 1)])
def test_down_in_between(system: PretendSystem, monkeypatch: pytest.MonkeyPatch, later_s: float, stages: int) -> None:
    """While the locks hold for certain, and for as long as an undo may take, it goes on; then nothing is injected."""
    locks, now = Locks(), [shared_locks._now()]
    monkeypatch.setattr(shared_locks, "_now", lambda: now[0])

    def fail() -> None:
        locks.down = True
        now[0] += later_s

    result = run(system.session(), locks, When(FaultInjected, fail))
    assert len(injected(result)) == stages
    findings = [event.detail for event in events_of(result.run.directory, FindingRaised)]
    assert [detail for detail in findings if "cannot be told: the store is down" in detail] == findings
    assert (len(findings), system.broken) == (2 - stages, [])


def test_a_clock_that_is_nearly_over_does_not_cover_an_undo(
    system: PretendSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(shared_locks, "_now", lambda: now[0])
    locks = Locks()

    async def refusals() -> list[str | None]:
        hold = SharedHold(locks, lambda: 0.0, lambda _why: None)
        await hold.acquire(["shop"], "run")
        locks.down, now[0] = True, TTL_S - 100.0
        found = [await hold.refusal(100.0), await hold.refusal(100.1)]
        await hold.release(is_clean=True)
        return found

    covered, not_covered = asyncio.run(refusals())
    assert covered is None
    assert not_covered is not None


def test_whoever_was_silent_for_so_long_may_count_as_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the locks hold yet for an undo that is over: somebody may have freed them by hand."""
    now, locks, undo_s = [0.0], Locks(), [1000.0]
    monkeypatch.setattr(shared_locks, "_now", lambda: now[0])

    async def refusals() -> list[str | None]:
        hold = SharedHold(locks, lambda: undo_s[0], lambda _why: None)
        await hold.acquire(["shop"], "run")
        found = [await hold.refusal()]
        locks.down, undo_s[0] = True, 0.0
        for at in (TTL_S, TTL_S + 1):
            now[0] = at
            found.append(await hold.refusal())
        await hold.release(is_clean=True)
        return found

    first, within, beyond = asyncio.run(refusals())
    assert (first, within) == (None, None)
    assert beyond is not None


def test_a_store_that_hangs(system: PretendSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not waited for; and what it gives too late is given back."""
    monkeypatch.setattr(shared_locks, "_ANSWER_S", 0.05)
    locks = Locks()
    locks.hangs = threading.Event()
    result = run(system.session(), locks)
    assert result.verdict is Verdict.HELD
    assert "no answer within 0.05 s" in checks(result)[0][1]
    released = threading.Event()
    locks.release = released.set  # type: ignore[method-assign]
    locks.hangs.set()
    assert released.wait(60)


def test_a_service_with_something_left_in_it_stays_locked(
    system: PretendSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gameday.engine.undo.undo_all.__kwdefaults__", {"experiment": None, "deadline_s": 0.0})
    locks = Locks()
    result = run(system.session(), locks, When(FaultInjected, lambda: system.behave(undo_fails=system.broken[0])))
    assert result.verdict is Verdict.UNDO_FAILED
    assert locks.renewals()[-1] == LEFT_S
    assert locks.is_held


@pytest.mark.parametrize("supervised", [False, True])
def test_an_action_is_asked_about_too(system: PretendSystem, supervised: bool) -> None:
    touched = system.root / "touched"
    text = SUPERVISED.replace("arguments: touched", f"arguments: {touched}")
    text = text if supervised else text[: text.index("controls:")]
    locks = Locks()
    locks.taken = True
    result = run(system.session(text), locks)
    assert (result.verdict, touched.exists()) == (Verdict.ABORTED, False)
    assert events_of(result.run.directory, AbortRequested)[0].source == "locks"


@pytest.mark.parametrize(
    ("locks", "outcome"),
    [
        (Locks(), CheckOutcome.OK),
        (Locks(held_by="sam"), CheckOutcome.FAILURE),
        (Locks(down=True), CheckOutcome.WARNING),
    ],
)
def test_a_plan_says_so_and_takes_none(system: PretendSystem, locks: Locks, outcome: CheckOutcome) -> None:
    (scratch := system.root / "scratch").mkdir()
    plan = asyncio.run(plan_session(system.session(), scratch, datetime.now(UTC), shared=locks))
    assert [check.outcome for check in plan.checks if check.name == "shared locks"] == [outcome]
    assert [what[0] for what in locks.asked] == ["check"]


def test_a_plain_file_is_known_by_its_place_in_the_project(system: PretendSystem) -> None:
    """On every machine it is the same."""
    assert services_of(system.session("title: Nothing\nmethod: []\n")) == ("experiment-0.yaml",)


def test_what_is_waited_for() -> None:
    async def fail() -> None:
        raise AssertionError

    assert asyncio.run(call_in_time(lambda: 1, 60, "t")) == 1
    with pytest.raises(TimeoutError, match=r"^its own$"):
        asyncio.run(call_in_time(lambda: (_ for _ in ()).throw(TimeoutError("its own")), 60, "t"))
    forever = threading.Event()
    with pytest.raises(TimeoutError, match=r"no answer within 0.01 s"):
        asyncio.run(call_in_time(forever.wait, 0.01, "t"))
    forever.set()
