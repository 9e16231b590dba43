"""A small sample of the crash campaign (benchmarks/crash_points.py): whatever is killed when, nothing is left."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import crash_points
from crash_points import Moment, Point, Way, campaign, crash

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


def test_nothing_is_left_wherever_the_run_is_killed() -> None:
    tries = campaign(SAMPLE)
    assert [item.wrong for item in tries] == [()] * len(SAMPLE)
    assert all(item.reached for item in tries if isinstance(item.point, Point))
    undone = [item.undone_s for item in tries if isinstance(item.point, Point)]
    assert all(took_s is not None and took_s < 15 for took_s in undone)


def test_the_harness_sees_what_is_left_when_nobody_undoes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crash_points, "_recover_twice", lambda *_: ())
    wrong = crash(Point("ActivityEnded", 1, "after"), Way.RECOVER).wrong
    assert "door is broken" in wrong
    assert len([text for text in wrong if text.startswith("shop-")]) == 2
    assert "a new session would be refused for an unfinished run" in wrong
