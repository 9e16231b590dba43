"""What a child does with a fault: the ceiling right before the injection, and what an undo that complains comes to."""

from types import SimpleNamespace
from typing import Any, ClassVar

import msgspec
import pytest

from gameday.engine.jobs import Ceiling, Job, JobKind, JobResult, exceeds, perform
from gameday.faults.base import ConflictError, Fault, FaultError, FaultRequest, Reach, System


class NoPlan(msgspec.Struct, frozen=True):
    pass


class Told(Fault[NoPlan]):
    """Does nothing but what it is told: an exception is raised, anything else is returned."""

    name: ClassVar = "told"
    plan_type = NoPlan

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.called: list[str] = []

    def _answer(self, what: str, otherwise: Any = None) -> Any:
        self.called.append(what)
        answer = self.answers.get(what, otherwise)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def plan(self, request: FaultRequest, system: System) -> NoPlan:
        return NoPlan()

    def targets(self, plan: NoPlan) -> tuple[str, ...]:
        return ("one",)

    def reach(self, plan: NoPlan, system: System) -> Reach:
        return self._answer("reach", Reach(1, 4))

    def inject(self, plan: NoPlan) -> None:
        self._answer("inject")

    def undo(self, plan: NoPlan) -> None:
        self._answer("undo")

    def verify(self, plan: NoPlan) -> tuple[str, ...]:
        return self._answer("verify", ())

    def by_hand(self, plan: NoPlan) -> str:
        return ""


@pytest.fixture
def do(monkeypatch: pytest.MonkeyPatch) -> Any:
    def do(kind: JobKind, fault: Told, **more: Any) -> JobResult:
        monkeypatch.setattr("gameday.engine.jobs.load_fault", lambda _name: fault)
        return perform(Job(kind=kind, fault="told", plan=msgspec.Raw(b"{}"), **more))

    return do


@pytest.mark.parametrize(
    ("affected", "total", "ceiling", "above"),
    [
        (3, 10, 0.3, False),
        (29, 100, 0.29, False),  # which floating point would take for more than 29 %
        (30, 100, 0.29, True),
        (1, 1, 0.5, True),
        (4, 4, None, False),
    ],
)
def test_the_ceiling_is_exact(affected: int, total: int, ceiling: float | None, above: bool) -> None:
    assert exceeds(Reach(affected, total), ceiling) is above


@pytest.mark.parametrize(
    ("reach", "injects"), [(Reach(2, 4), True), (Reach(3, 4), False), (FaultError("cannot be asked"), False)]
)
def test_nothing_is_injected_beyond_the_ceiling_as_things_are_now(do: Any, reach: object, injects: bool) -> None:
    fault = Told(reach=reach)
    result = do(JobKind.INJECT, fault, ceiling=Ceiling(0.5, " (line 7)"))
    assert ("inject" in fault.called) is injects
    assert bool(result.error) is not injects
    if isinstance(reach, Reach) and not injects:
        assert "the policy's ceiling is 50% (line 7)" in result.error


LEFT = ("one is broken",)


@pytest.mark.parametrize(
    ("answers", "error", "left", "is_final"),
    [
        ({}, "", (), False),
        ({"verify": LEFT}, "", LEFT, False),
        # What counts is how the system is, whatever the undo says.
        ({"undo": FaultError("no answer")}, "", (), False),
        ({"undo": FaultError("no answer"), "verify": LEFT}, "no answer", LEFT, False),
        # What somebody else has changed meanwhile no attempt will put back.
        ({"undo": ConflictError("theirs"), "verify": LEFT}, "theirs", LEFT, True),
        ({"verify": ConflictError("theirs")}, "theirs", (), True),
        ({"verify": FaultError("no answer")}, "no answer", (), False),
        ({"undo": ValueError("odd")}, "ValueError: odd", (), False),
        ({"undo": SystemExit(3)}, "SystemExit: 3", (), False),
    ],
)
def test_what_an_undo_comes_to(
    do: Any, answers: dict[str, Any], error: str, left: tuple[str, ...], is_final: bool
) -> None:
    result = do(JobKind.UNDO, Told(**answers))
    assert (result.error, result.left, result.is_final) == (error, left, is_final)


def test_an_undo_that_failed_late_says_so_before_its_time_is_up(do: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """To verify would take as long again, and the time-out would then be all that is heard."""
    times = iter([0.0, 15.0])
    monkeypatch.setattr("gameday.engine.jobs.time", SimpleNamespace(monotonic=lambda: next(times)))
    fault = Told(undo=FaultError("no answer"))
    assert do(JobKind.UNDO, fault).error == "no answer"
    assert fault.called == ["undo"]
