"""The dependency faults against a stand-in for Envoy's admin interface that can fail in ways that Envoy rarely does."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from faulttools import Admin, ask, write_links  # type: ignore[import-not-found]

from gameday.faults.base import FaultError, System
from gameday.faults.dependency import runtime
from gameday.faults.dependency.abort import Abort
from gameday.faults.dependency.blackhole import Blackhole
from gameday.faults.dependency.delay import Delay
from gameday.faults.dependency.runtime import RuntimePlan
from gameday.faults.registry import load_fault


@pytest.fixture
def admin() -> Iterator[Admin]:
    with Admin() as running:
        yield running


@pytest.fixture
def system(admin: Admin, tmp_path: Path) -> System:
    return write_links(tmp_path, admin.url)  # type: ignore[no-any-return]


def stored(plan: RuntimePlan) -> RuntimePlan:
    return msgspec.json.decode(msgspec.json.encode(plan), type=RuntimePlan)


def test_they_are_found_by_their_entry_points() -> None:
    assert [type(load_fault(f"dependency/{name}")) for name in ("delay", "abort", "blackhole")] == [
        Delay,
        Abort,
        Blackhole,
    ]


@pytest.mark.parametrize(
    ("fault", "arguments", "expected"),
    [
        (Delay(), {"delay": 0.3}, {"delay.ms": "300", "delay.percent": "25"}),
        (Delay(), {"delay": 0.0014}, {"delay.ms": "1", "delay.percent": "25"}),
        (Abort(), {}, {"abort.status": "503", "abort.percent": "25"}),
        (Abort(), {"status": 429}, {"abort.status": "429", "abort.percent": "25"}),
        (Blackhole(), {}, {"blackhole.percent": "25"}),
    ],
    ids=["delay", "delay-tiny", "abort", "abort-429", "blackhole"],
)
def test_a_share_is_that_share_of_the_calls_on_every_link(
    fault: Delay | Abort | Blackhole, arguments: dict[str, Any], expected: dict[str, str], admin: Admin, system: System
) -> None:
    plan = fault.plan(ask("payments", 0.25, **arguments), system)
    assert (admin.overrides, admin.calls) == ({}, []), "a plan changes nothing"
    assert fault.targets(plan) == tuple(f"checkout-{n}→payments" for n in range(1, 5))
    assert fault.reach(plan, system).share == 0.25
    fault.inject(plan)
    assert admin.overrides == {
        f"fault.checkout-{n}.payments.{key}": value for n in range(1, 5) for key, value in expected.items()
    }
    assert len(fault.verify(plan)) == len(admin.overrides)
    fault.undo(stored(plan))
    assert admin.overrides == {}
    assert fault.verify(stored(plan)) == ()


def test_a_count_is_so_many_callers_wholly(admin: Admin, system: System) -> None:
    fault = Blackhole()
    plan = fault.plan(ask("payments", 1), system)
    fault.inject(plan)
    assert list(admin.overrides.values()) == ["100"]
    reach = fault.reach(plan, system)
    assert (reach.affected, reach.total) == (1, 4)


@pytest.mark.parametrize(("share", "percent"), [(0.025, "2"), (0.29, "29"), (0.01, "1"), (1.0, "100")])
def test_a_share_is_rounded_down_to_whole_percents(share: float, percent: str, admin: Admin, system: System) -> None:
    Blackhole().inject(Blackhole().plan(ask("payments", share), system))
    assert set(admin.overrides.values()) == {percent}


def test_a_stage_that_shrinks_is_no_larger_than_it_says(admin: Admin, system: System) -> None:
    fault = Delay()
    first = fault.plan(ask("payments", 0.5, delay=0.2), system)
    fault.inject(first)
    second = fault.plan(ask("payments", 1, already=fault.targets(first), delay=0.2), system)
    assert fault.reach(second, system).share == 0.25
    fault.inject(second)
    percents = sorted(value for key, value in admin.overrides.items() if key.endswith(".percent"))
    assert percents == ["0", "0", "0", "100"]


@pytest.mark.parametrize("order", [(2, 1, 0), (0, 1, 2), (1, 0, 2)])
@pytest.mark.parametrize("ladder", [(1, 0.25, 0.5), (0.1, 0.5, 1.0), (1, 2, 4), (0.5, 1, 2)])
def test_growing_stages_leave_nothing_in_whatever_order(
    order: tuple[int, ...], ladder: tuple[int | float, ...], admin: Admin, system: System
) -> None:
    admin.overrides["fault.edge-1.checkout.delay.percent"] = "7"
    before = dict(admin.overrides)
    fault = Delay()
    plans: list[RuntimePlan] = []
    for radius in ladder:
        already = fault.targets(plans[-1]) if plans else ()
        plans.append(fault.plan(ask("payments", radius, already=already, delay=0.2), system))
        fault.inject(plans[-1])
    for index in order:
        fault.undo(stored(plans[index]))
    assert all(fault.verify(plan) == () for plan in plans)
    assert admin.overrides == before


def test_an_undo_that_failed_and_comes_last_brings_nothing_back(admin: Admin, system: System) -> None:
    """The later stage's undo fails at first, and succeeds after that of the earlier stage."""
    fault = Delay()
    first = fault.plan(ask("payments", 0.25, delay=0.2), system)
    fault.inject(first)
    second = fault.plan(ask("payments", 0.5, already=fault.targets(first), delay=0.2), system)
    fault.inject(second)
    admin.mode = "500"
    with pytest.raises(FaultError, match="500"):
        fault.undo(second)
    admin.mode = "well"
    fault.undo(first)
    fault.undo(second)
    assert admin.overrides == {}


def test_undo_without_injection_twice_and_after_a_restart(admin: Admin, system: System) -> None:
    fault = Abort()
    plan = fault.plan(ask("payments", 0.5), system)
    fault.undo(plan)
    assert fault.verify(plan) == ()
    fault.inject(plan)
    admin.overrides.clear()  # a restarted Envoy knows no overrides
    assert fault.verify(plan) == ()
    fault.undo(plan)
    fault.undo(plan)
    assert fault.verify(plan) == ()


def test_a_partial_injection_is_undone(admin: Admin, system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "_KEYS_A_CALL", 3)
    fault = Delay()
    plan = fault.plan(ask("payments", 0.5, delay=1.0), system)
    admin.fail_after = 1
    with pytest.raises(FaultError, match=r"runtime_modify: 500 no"):
        fault.inject(plan)
    assert len(admin.overrides) == 3
    with pytest.raises(FaultError):
        fault.undo(plan)
    assert len(fault.verify(plan)) == 3
    admin.fail_after = None
    fault.undo(plan)
    assert (fault.verify(plan), admin.overrides) == ((), {})


def test_somebody_elses_override_is_refused_at_plan_and_at_injection(admin: Admin, system: System) -> None:
    fault = Delay()
    plan = fault.plan(ask("payments", 0.5, delay=1.0), system)
    admin.overrides["fault.checkout-2.payments.delay.percent"] = "10"
    for attempt in (
        lambda: fault.plan(ask("payments", 0.5, delay=1.0), system),
        lambda: fault.inject(plan),
    ):
        with pytest.raises(FaultError, match=r"delay\.percent = 10, set by somebody else.*curl .*percent='$"):
            attempt()
    assert admin.calls == []


def test_reach_counts_what_other_faults_break_on_these_links(admin: Admin, system: System) -> None:
    fault = Delay()
    plan = fault.plan(ask("payments", 0.25, delay=1.0), system)
    for number in (1, 2):
        admin.overrides[f"fault.checkout-{number}.payments.abort.percent"] = "50"
    assert fault.reach(plan, system).share == pytest.approx((75 + 75 + 25 + 25) / 400)
    admin.overrides["fault.checkout-1.payments.abort.percent"] = "unreadable"
    assert fault.reach(plan, system).share == pytest.approx((100 + 75 + 25 + 25) / 400)


def test_an_override_that_has_no_effect_is_noticed(admin: Admin, system: System) -> None:
    fault = Blackhole()
    plan = fault.plan(ask("payments", 1), system)
    admin.mode = "ignore"
    with pytest.raises(FaultError, match=r"Envoy goes by .* = None, though 100 has been set"):
        fault.inject(plan)


@pytest.mark.parametrize(
    ("mode", "message"),
    [("500", "500"), ("hang", "no answer within|cut off"), ("garbage", "does not answer like Envoy")],
)
def test_a_broken_admin_interface_is_an_error_never_undone(
    mode: str, message: str, admin: Admin, system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "_TIMEOUT_S", 0.2)
    fault = Abort()
    plan = fault.plan(ask("payments", 0.5), system)
    fault.inject(plan)
    admin.mode = mode
    for attempt in (fault.verify, lambda plan: fault.reach(plan, system), fault.inject):
        with pytest.raises(FaultError, match=message):
            attempt(plan)
    admin.mode = "well"
    fault.undo(plan)
    assert fault.verify(plan) == ()


def test_an_envoy_that_is_gone_is_an_error(admin: Admin, system: System) -> None:
    fault = Abort()
    plan = fault.plan(ask("payments", 0.5), system)
    fault.inject(plan)
    admin.close()
    for attempt in (fault.verify, fault.undo):
        with pytest.raises(FaultError, match="Connection refused"):
            attempt(plan)


def test_links_that_were_routed_anew_since_the_plan(admin: Admin, system: System, tmp_path: Path) -> None:
    fault = Abort()
    plan = fault.plan(ask("payments", 0.5), system)
    write_links(tmp_path, admin.url, callers=2)
    with pytest.raises(FaultError, match="routed anew"):
        fault.reach(plan, system)


def test_by_hand_names_every_key(admin: Admin, system: System) -> None:
    fault = Delay()
    plan = fault.plan(ask("payments", 1, delay=0.5), system)
    link = plan.hits[0].link.runtime
    assert fault.by_hand(plan) == (
        f"curl -fsS -X POST '{admin.url}/runtime_modify?{link}.delay.ms=&{link}.delay.percent='"
    )
    assert fault.describe(plan) == f"delay by 500 ms 100% of the calls {fault.targets(plan)[0]}"


def test_what_cannot_be_planned_is_said(admin: Admin, system: System, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for request, where, message in [
        (ask("paymets", 1), system, "no calls to `paymets` go through the mesh; there are calls to checkout, payments"),
        (ask("payments", 1, caller="edge"), system, "no calls to `payments` from `edge`.*its callers are checkout"),
        (ask("payments", 5), system, "needs 5 targets, and there are 4"),
        (ask("payments", 0.005), system, "0.5% is less than one percent"),
        (ask("payments", 1), System(), "no inventory"),
        (ask("payments", 1), System(inventory=tmp_path / "nowhere.json"), "nowhere.json"),
        (ask("payments", 1), write_links(elsewhere, None), "no Envoy admin interface"),
    ]:
        with pytest.raises(FaultError, match=message):
            Blackhole().plan(request, where)
