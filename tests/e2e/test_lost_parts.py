"""What happens to a run when Prometheus, Envoy or the disk is lost on the way."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2etools import IN_PLACE, TWO_FAULTS, Desk, Program, dead, hanging, last_lines
from shop import Shop, wait_for

pytestmark = pytest.mark.lab

EXPERIMENT = "experiments/two-faults.yaml"
# The program itself, with seconds instead of a minute and a half until an undo is given up.
HURRIED = """
from gameday.engine import undo
undo.undo_all.__kwdefaults__["deadline_s"] = 2.0
from gameday.cli.main import main
main()
"""


def start(desk: Desk, shop: Shop, *arguments: str) -> Program:
    program = desk.start("run", *(arguments or (EXPERIMENT,)))
    program.wait_said(IN_PLACE)
    assert shop.has_two_faults()
    return program


def assert_blind(desk: Desk, shop: Shop, program: Program) -> None:
    assert program.end() == 4, program.said
    assert shop.broken() in ([], ["prometheus is down"], ["prometheus is stopped"])
    assert [event["cause"] for event in desk.events("guard-tripped")] == ["blind"]
    assert "could not be read for" in program.said
    assert "aborted, everything undone" in program.said


def test_prometheus_that_hangs(desk: Desk, shop: Shop) -> None:
    program = start(desk, shop)
    with hanging(shop, "prometheus"):
        assert_blind(desk, shop, program)


def test_prometheus_that_is_dead(desk: Desk, shop: Shop) -> None:
    program = start(desk, shop)
    with dead(shop, "prometheus"):
        assert_blind(desk, shop, program)
    shop.wait_whole()


def test_envoy_that_dies(desk: Desk, shop: Shop) -> None:
    path = desk.write(
        "experiments/short.yaml",
        TWO_FAULTS.replace("hold: 60s", "hold: 7s").replace("blind-after: 3s", "blind-after: 20s"),
    )
    program = start(desk, shop, path)
    envoy = shop.pid("envoy")
    assert envoy
    os.kill(envoy, signal.SIGKILL)
    # The fault died with Envoy, and that is said; the undo waits until the new Envoy confirms it, which is no failure.
    assert program.end(40) == 1, program.said
    found = [event["kind"] for event in desk.events("finding-raised") if event.get("weakness", True)]
    assert found == ["fault-vanished"]
    shop.wait_whole()
    assert all(event["undone"] for event in desk.events("undo-ended"))
    assert desk.status_of("status") == 0


def test_undo_that_cannot_be_done(desk: Desk, shop: Shop) -> None:
    program = desk.start("run", EXPERIMENT, program=(sys.executable, "-c", HURRIED))
    program.wait_said(IN_PLACE)
    with hanging(shop, "envoy"):
        program.process.send_signal(signal.SIGINT)
        assert program.end(30) == 5, program.said
        # What could be undone, is.
        assert shop.stopped() == ["envoy"]
    end = last_lines(program.said, 3)
    assert "gameday recover" in end.splitlines()[-1]
    [by_hand] = [line.partition("by hand:")[2].strip() for line in end.splitlines() if "by hand:" in line]
    status = desk.run("status")
    assert status.process.returncode == 5
    assert "gameday recover" in last_lines(status.said, 1)

    # Somebody follows the words by hand, as they stand; recover then finds it done.
    subprocess.run(by_hand, shell=True, check=True, capture_output=True, timeout=10)
    assert shop.broken() == []
    assert desk.status_of("recover") == 0
    assert desk.status_of("recover") == 0
    assert desk.status_of("status") == 0


def test_report_that_fails(desk: Desk, shop: Shop) -> None:
    code = """
from gameday.report import render
render.write_report = lambda *arguments: 1 // 0
from gameday.cli.main import main
main()
"""
    program = desk.start("run", EXPERIMENT, program=(sys.executable, "-c", code))
    program.wait_said(IN_PLACE)
    program.process.send_signal(signal.SIGTERM)
    assert program.process.wait(20) == 4, program.said  # the session's own, whatever becomes of its report
    assert shop.broken() == []
    assert f"gameday report {desk.runs()[-1].name}" in last_lines(program.said, 1)
    assert desk.status_of("report", desk.runs()[-1].name) == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of four megabytes, all its own."""
    directory = tmp_path / "disk"
    directory.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(directory)],
        capture_output=True,
        text=True,
        check=False,
        timeout=10,
    )
    if mount.returncode != 0:
        pytest.skip(f"a full disk needs a small one, and mounting is not permitted: {mount.stderr.strip()}")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=True, timeout=10)


@pytest.fixture
def cramped(shop: Shop, small_disk: Path, tmp_path: Path) -> Iterator[Desk]:
    """A project on the small disk, whose shop is the lab's."""
    desk = Desk(small_disk, tmp_path)
    inventory = shop.root / ".gameday/lab/inventory.json"
    desk.write(
        "gameday.yaml",
        f"""
project: shop
environments:
  shop:
    signals: {{source: prometheus, url: "{shop.url("prometheus")}", platform: envoy}}
    processes: {{inventory: {inventory}}}
services: {{checkout: {{depends-on: [payments]}}, payments: {{}}}}
""",
    )
    # The journal's last page has room for a while; a quick pace soon fills it.
    desk.write("two-faults.yaml", TWO_FAULTS.replace("interval: 500ms", "interval: 100ms"))
    try:
        yield desk
    finally:
        desk.close()


def fill(disk: Path) -> None:
    with (disk / "ballast").open("ab", buffering=0) as ballast, contextlib.suppress(OSError):
        while True:
            ballast.write(b"\0" * 4096)
    assert os.statvfs(disk).f_bavail == 0


def test_full_disk(cramped: Desk, shop: Shop, small_disk: Path) -> None:
    program = start(cramped, shop, "two-faults.yaml", "--env", "shop")
    fill(small_disk)
    assert program.end() == 4, program.said
    assert shop.broken() == []
    assert "No space left" in program.said
    # The reserve was kept for this: that all was undone is on disk, full as it is.
    assert [event["undone"] for event in cramped.events("undo-ended")] == [True, True]
    assert cramped.status_of("status") == 0
    wait_for(lambda: not cramped.helpers(), 10, "the guardian's end")


def test_guardian_on_a_full_disk(cramped: Desk, shop: Shop, small_disk: Path) -> None:
    program = start(cramped, shop, "two-faults.yaml", "--env", "shop")
    program.process.send_signal(signal.SIGSTOP)
    (cramped.runs()[-1] / ".reserve").unlink()
    fill(small_disk)
    program.process.kill()
    program.end()
    # It is undone, though there may be no room to write that down.
    shop.wait_whole(10)
    wait_for(lambda: not cramped.helpers(), 10, "the guardian's end")
    (small_disk / "ballast").unlink()
    assert cramped.status_of("recover") == 0
    assert cramped.status_of("status") == 0
