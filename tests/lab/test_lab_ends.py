"""The lab's beginnings and ends: nothing may be left, whatever died."""

import os
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from labtools import wait_for

from gameday.cli.lab import command
from gameday.common.processes import ProcessRef, is_alive
from gameday.lab import Lab, LabError
from gameday.lab.programs import find_programs
from gameday.lab.state import Paths, State, read_state
from gameday.lab.topology import Layout

pytestmark = pytest.mark.lab


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    lab.down()


def state_under(root: Path) -> State:
    state = read_state(Paths(root / ".gameday" / "lab"))
    assert state
    return state


def ports_of(layout: Layout) -> list[int]:
    rest = (layout.front, layout.admin, layout.prometheus, layout.alertmanager)
    more = (layout.receiver, layout.blackhole, layout.load)
    return [*(slot.port for slot in layout.slots), *(link.port for link in layout.links), *rest, *more]


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def assert_nothing_left(processes: tuple[ProcessRef, ...], layout: Layout) -> None:
    assert not [ref for ref in processes if is_alive(ref)]
    # What a process that is being reaped has listened on is closed a moment after its name is gone.
    wait_for(lambda: not [port for port in ports_of(layout) if is_listening(port)], 20, "nobody listens")


def test_down_leaves_no_process_and_no_port(lab: Lab, tmp_path: Path) -> None:
    lab.up(signals=False)
    state = state_under(tmp_path)
    paused = next(part.process for part in state.parts if part.name == "edge-1")
    assert paused
    os.kill(paused.pid, signal.SIGSTOP)
    ended = lab.down()
    assert len(ended) == len(state.parts) + 1
    assert_nothing_left(state.processes(), state.layout)
    assert lab.info() is None
    assert not lab.status().parts
    assert lab.down() == ()


def test_a_killed_supervisor_is_noticed_and_cleaned_up(lab: Lab, tmp_path: Path) -> None:
    lab.up(signals=False)
    state = state_under(tmp_path)
    os.kill(state.supervisor.pid, signal.SIGKILL)
    wait_for(lambda: not lab.status().parts[0].alive, 20, "status says that the supervisor is dead")
    assert "supervisor" in lab.status().parts[0].name
    assert not lab.status().healthy
    assert lab.info() is None
    lab.up(signals=False)
    assert lab.status().healthy
    assert not [ref for ref in state.processes() if is_alive(ref)]

    again = state_under(tmp_path)
    os.kill(again.supervisor.pid, signal.SIGKILL)
    lab.down()
    assert_nothing_left(again.processes(), again.layout)


def test_a_lab_whose_directory_is_gone_ends_itself(lab: Lab, tmp_path: Path) -> None:
    lab.up(signals=False)
    state = state_under(tmp_path)
    shutil.rmtree(tmp_path / ".gameday")
    wait_for(lambda: not [ref for ref in state.processes() if is_alive(ref)], 6, "nobody could find it any more")
    assert_nothing_left(state.processes(), state.layout)


def test_up_does_not_wait_for_a_shop_that_is_being_broken(lab: Lab, tmp_path: Path) -> None:
    lab.up(signals=False)
    edges = [part.process for part in state_under(tmp_path).parts if part.service == "edge"]
    for process in edges:
        assert process
        os.kill(process.pid, signal.SIGSTOP)
    started = time.monotonic()
    lab.up(signals=False)
    assert time.monotonic() - started < 10


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / ".gameday").write_text("a file where the directory should be\n")
    with pytest.raises(LabError, match=r"the lab cannot use .*\.gameday"):
        Lab(tmp_path).up()


def test_the_lab_outlives_the_command_and_its_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gameday.yaml").write_text("project: shop\n")
    (tmp_path / "deep" / "down").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep" / "down")
    lab = Lab(tmp_path)
    try:
        run = CliRunner().invoke
        assert run(command, ["status"]).exit_code == 3
        up = run(command, ["up"])
        assert up.exit_code == 0, up.output
        info = lab.info()
        assert info
        assert info.shop_url in up.output
        supervisor = state_under(tmp_path).supervisor
        assert os.getsid(supervisor.pid) == supervisor.pid
        os.kill(supervisor.pid, signal.SIGHUP)
        assert run(command, ["status"]).exit_code == 0

        victim = next(part.process for part in state_under(tmp_path).parts if part.name == "checkout-2")
        assert victim
        os.kill(victim.pid, signal.SIGKILL)
        wait_for(lambda: not is_alive(victim), 20, "it dies")
        wait_for(lambda: not lab.status().healthy, 20, "its death is recorded")
        status = run(command, ["status"])
        assert status.exit_code == 1
        assert "dead" in status.output

        down = run(command, ["down"])
        assert down.exit_code == 0
        assert "payments-4" in down.output
        assert run(command, ["status"]).exit_code == 3
    finally:
        lab.down()


def test_a_dead_part_is_named_with_its_last_words(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "tools" / "usr" / "bin" / "prometheus"
    broken.parent.mkdir(parents=True)
    broken.write_text("#!/bin/sh\necho 'opening storage failed: lock held' >&2\nexit 3\n")
    broken.chmod(0o755)
    broken.with_name("alertmanager").symlink_to(find_programs().alertmanager)
    monkeypatch.setenv("GAMEDAY_TOOLS", str(tmp_path / "tools"))
    with pytest.raises(LabError) as failure:
        lab.up()
    assert "prometheus" in str(failure.value)
    assert "exit status 3" in str(failure.value)
    assert "opening storage failed: lock held" in str(failure.value)
    assert not lab.status().parts


def test_a_part_that_keeps_dying_is_reported_and_up_starts_anew(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alertmanager can no longer start: first what runs says so, then `up` with a sound program heals it."""
    lab.up(signals=False)
    state = state_under(tmp_path)
    part = next(part for part in state.parts if part.name == "alertmanager")
    assert part.process
    (tmp_path / ".gameday" / "lab" / "alertmanager.yml").write_text("route: nonsense\n")
    os.kill(part.process.pid, signal.SIGKILL)

    def given_up() -> str:
        one = next(one for one in lab.status().parts if one.name == "alertmanager")
        return "" if one.alive else one.detail if "given up" in one.detail else ""

    detail = wait_for(given_up, 15, "status says that it was given up")
    assert "nonsense" in detail
    lab.up(signals=False)
    assert lab.status().healthy
