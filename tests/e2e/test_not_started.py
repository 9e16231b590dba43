"""Status 3: what keeps a run from starting, with nothing injected."""

import sys

import pytest
from e2etools import PROGRAM, TWO_FAULTS, Desk, Program
from shop import Shop, wait_for

EXPERIMENT = "experiments/two-faults.yaml"


def refuse(desk: Desk, *arguments: str) -> Program:
    """The program, that must not have planned any fault to be injected."""
    program = desk.run("run", *arguments)
    assert program.process.returncode == 3, program.said
    assert not desk.runs() or not desk.events("fault-planned")
    return program


@pytest.mark.lab
def test_ceiling_of_the_policy(desk: Desk, shop: Shop) -> None:
    before = shop.pids()
    program = refuse(desk, EXPERIMENT, "--env", "capped")
    assert "the policy's ceiling is 20%" in program.said
    assert shop.broken() == []
    assert shop.pids() == before


@pytest.mark.lab
def test_service_without_an_instance(desk: Desk, shop: Shop) -> None:
    path = desk.write("experiments/ghost.yaml", TWO_FAULTS.replace("service: payments}", "service: ghost}"))
    program = refuse(desk, path)
    assert "`ghost`" in program.said
    assert shop.broken() == []


@pytest.mark.lab
def test_confirmation_that_nobody_can_give(desk: Desk, shop: Shop) -> None:
    assert "--yes" in refuse(desk, EXPERIMENT, "--env", "asks").said
    assert shop.broken() == []


@pytest.mark.lab
@pytest.mark.parametrize("answer", [b"n\r", b"\x03"], ids=["no", "ctrl-c"])
def test_confirmation_that_is_not_given(desk: Desk, shop: Shop, answer: bytes) -> None:
    program = desk.start_at_terminal("run", EXPERIMENT, "--env", "asks")
    program.wait_said("[y/N]")
    program.press(answer)
    assert program.end() == 3, program.said
    assert "nothing was injected" in program.said
    assert not desk.runs()
    assert shop.broken() == []


@pytest.mark.lab
def test_shop_that_is_broken_already(desk: Desk, shop: Shop) -> None:
    steady = """
steady-state-hypothesis:
  title: Customers can pay
  signals:
    errors: {ratio: "< 1%"}
method:
"""
    text = TWO_FAULTS.replace("\nmethod:\n", steady).replace("baseline: 500ms", "baseline: 2s")
    path = desk.write("experiments/steady.yaml", text)
    strange = {"fault.checkout-1.inventory.delay.percent": "1"}  # somebody else's, and not ours to remove
    broken = {f"fault.edge-{number}.checkout.abort.{key}" for number in (1, 2) for key in ("percent", "status")}
    shop.override(**strange, **{key: "100" if key.endswith("percent") else "503" for key in broken})
    before = shop.overrides()
    wait_for(lambda: max(shop.query("service:request_errors:ratio_rate5s"), default=0) > 0.2, 10, "errors")
    try:
        program = refuse(desk, path)
        assert shop.overrides() == before
    finally:
        shop.override(**dict.fromkeys(before, ""))
    assert "does not hold before anything is injected" in program.said
    assert shop.stopped() == []


def test_missing_programs_of_the_lab(somewhere: Desk) -> None:
    path = somewhere.write("experiments/two-faults.yaml", TWO_FAULTS)
    nowhere = {"PATH": "/nowhere", "GAMEDAY_TOOLS": "/nowhere"}
    program = somewhere.start("run", path, program=(sys.executable, PROGRAM), env=nowhere)
    assert program.end() == 3
    assert "Prometheus" in program.said
    assert "apt-get install prometheus" in program.said
    assert not somewhere.runs()
