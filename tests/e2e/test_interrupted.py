"""However a run is ended, by whoever and however rudely, everything that it broke is mended."""

import os
import signal

import pytest
from e2etools import IN_PLACE, Desk, Program, hanging, last_lines
from shop import Shop, wait_for

pytestmark = pytest.mark.lab

EXPERIMENT = "experiments/two-faults.yaml"


def start(desk: Desk, shop: Shop, *, at_terminal: bool = False) -> Program:
    """A run with both faults in place."""
    program = (desk.start_at_terminal if at_terminal else desk.start)("run", EXPERIMENT)
    program.wait_said(IN_PLACE)
    assert shop.has_two_faults()
    return program


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_signal_ends_the_run_and_everything_is_undone(desk: Desk, shop: Shop, number: signal.Signals) -> None:
    program = start(desk, shop)
    program.process.send_signal(number)
    assert program.end() == 4
    assert shop.broken() == []
    assert f"{number.name} was received" in program.said
    assert "aborted, everything undone" in program.said
    assert [event["source"] for event in desk.events("abort-requested")] == ["signal"]


def test_ctrl_c_at_a_terminal(desk: Desk, shop: Shop) -> None:
    program = start(desk, shop, at_terminal=True)
    program.press(b"\x03")
    assert program.end() == 4
    assert shop.broken() == []
    assert "aborted, everything undone" in program.said


def test_terminal_that_is_closed(desk: Desk, shop: Shop) -> None:
    program = start(desk, shop, at_terminal=True)
    program.hang_up()
    assert program.end() == 4
    assert shop.broken() == []
    assert desk.events("session-ended")[0]["exit_code"] == 4


def test_second_ctrl_c_does_not_cut_the_undo_short(desk: Desk, shop: Shop) -> None:
    program = start(desk, shop, at_terminal=True)
    with hanging(shop, "envoy"):
        program.press(b"\x03")
        program.wait_said("SIGINT")
        program.press(b"\x03")
        program.wait_said("is not cut short")
        wait_for(lambda: shop.stopped() == ["envoy"], 8, "the pause undone, though the abort cannot be yet")
        assert program.process.poll() is None
    assert program.end(30) == 4
    assert shop.broken() == []


def test_third_ctrl_c_leaves_it_to_the_guardian(desk: Desk, shop: Shop) -> None:
    program = start(desk, shop, at_terminal=True)
    with hanging(shop, "envoy"):
        program.press(b"\x03")
        program.wait_said("SIGINT")
        program.press(b"\x03")
        program.wait_said("is not cut short")
        program.press(b"\x03")
        assert program.end(5) == 5
        assert "gameday recover" in last_lines(program.said, 2)
        # The live view hides the cursor; whoever leaves gets it back.
        assert program.said.rindex("\x1b[?25h") > program.said.rindex("\x1b[?25l")
        assert desk.helpers()
    shop.wait_whole(30)
    wait_for(lambda: not desk.helpers(), 10, "the guardian's end")
    assert desk.status_of("status") == 0
    assert desk.events("session-ended")[0]["by"] == "guardian"


def test_guardian_undoes_what_a_killed_runner_left(desk: Desk, shop: Shop) -> None:
    program = start(desk, shop)
    program.process.kill()
    assert program.end() == -signal.SIGKILL
    shop.wait_whole(5)
    wait_for(lambda: not desk.helpers(), 10, "the guardian's end")
    assert desk.status_of("status") == 0
    [ended] = desk.events("session-ended")
    assert (ended["by"], ended["verdict"]) == ("guardian", "aborted")
    assert desk.status_of("recover") == 0


def test_recover_undoes_what_runner_and_guardian_left(desk: Desk, shop: Shop) -> None:
    program = start(desk, shop)
    [guardian] = desk.helpers()
    os.kill(guardian, signal.SIGKILL)
    program.process.kill()
    program.end()
    assert shop.has_two_faults()
    name = desk.runs()[-1].name

    status = desk.run("status")
    assert status.process.returncode == 5
    assert name in last_lines(status.said, 1)
    assert "gameday recover" in last_lines(status.said, 1)

    refused = desk.run("run", EXPERIMENT)
    assert refused.process.returncode == 3
    assert f"gameday recover {name}" in refused.said
    assert shop.has_two_faults()

    recovered = desk.run("recover")
    assert recovered.process.returncode == 0
    assert shop.broken() == []
    assert "Nothing is left." in last_lines(recovered.said, 1)
    assert desk.status_of("recover") == 0
    assert desk.status_of("recover", name) == 0
    assert desk.status_of("status") == 0
