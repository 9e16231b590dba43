"""A small sample of the crash campaign on the lab (benchmarks/crash_points.py): every fault in place, and the runner
killed."""

import shutil
import sys
from pathlib import Path

import pytest
from shop import Shop

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import crash_harness
import crash_lab
from crash_harness import Point, Way, crash
from crash_lab import OnLab

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are found through /proc"),
]

ALL_IN_PLACE = Point("ActivityEnded", 1, "after")


@pytest.mark.parametrize(
    ("point", "way"),
    [
        (Point("FaultInjected", 10, "before"), Way.GUARDIAN),
        (ALL_IN_PLACE, Way.LOST_MACHINE),
    ],
)
def test_nothing_is_left_of_any_fault(shop: Shop, point: Point, way: Way) -> None:
    result = crash(OnLab(shop.root), point, way)
    assert result.wrong == ()
    assert result.reached
    assert result.undone_s


def test_the_harness_sees_every_fault_when_nobody_undoes(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crash_harness, "recover_twice", lambda *_: ())
    monkeypatch.setattr(crash_lab, "WHOLE_AGAIN_S", 3.0)
    try:
        wrong = "\n".join(crash(OnLab(shop.root), ALL_IN_PLACE, Way.RECOVER).wrong)
    finally:
        shop.mend()
        shutil.rmtree(shop.root / ".gameday/runs")
    for text in (
        "inventory-1 is stopped",
        "inventory-2 is stopped",
        "checkout-1.payments.delay.percent=100",
        "checkout-2.payments.abort.percent=20",
        "checkout-1.inventory.blackhole.percent=50",
        "door is broken",
        "status ended with 5",
    ):
        assert text in wrong
