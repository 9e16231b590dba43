"""A small sample of the crash campaign (benchmarks/crash_points.py): whatever is killed when, nothing is left."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import crash_harness
from crash_harness import Moment, Place, Point, Way, crash
from crash_points import campaign, places

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are found through /proc")

SAMPLE: tuple[tuple[Point | Moment, Way], ...] = (
    (Point("FaultPlanned", 2, "after"), Way.GUARDIAN),
    (Point("UndoEnded", 1, "before"), Way.GUARDIAN),
    (Moment(0.9), Way.GUARDIAN),
    (Point("FaultInjected", 2, "before"), Way.RECOVER),
    (Point("RollbacksEnded", 1, "before"), Way.RECOVER),
    (Moment(1.1), Way.RECOVER),
    (Point("FaultInjected", 3, "after"), Way.LOST_MACHINE),
    (Point("ActivityEnded", 1, "after"), Way.LOST_MACHINE),
)


@pytest.fixture
def where() -> Iterator[list[Place]]:
    with places("pretend", 4) as found:
        yield found


def test_nothing_is_left_wherever_the_run_is_killed(where: list[Place]) -> None:
    tries = campaign(where, SAMPLE)
    assert [item.wrong for item in tries] == [()] * len(SAMPLE)
    assert all(item.reached for item in tries if isinstance(item.point, Point))
    undone = [item.undone_s for item in tries if isinstance(item.point, Point)]
    assert all(took_s is not None and took_s < 15 for took_s in undone)


def test_the_harness_sees_what_is_left_when_nobody_undoes(where: list[Place], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crash_harness, "recover_twice", lambda *_: ())
    wrong = crash(where[0], Point("ActivityEnded", 1, "after"), Way.RECOVER).wrong
    assert "door is broken" in wrong
    assert len([text for text in wrong if text.startswith("shop-")]) == 2
    assert "a new session would be refused for an unfinished run" in wrong
    assert any(text.startswith("status ended with 5") for text in wrong)
