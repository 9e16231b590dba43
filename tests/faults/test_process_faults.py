"""process/kill and process/pause on real processes under a real, small supervisor."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from faulttools import Supervisor, ask, wait_for  # type: ignore[import-not-found]

from gameday.common.inventory import Instance, Inventory, load_inventory
from gameday.common.processes import ProcessRef, is_alive, send_signal, state_of
from gameday.faults.base import FaultError, System
from gameday.faults.process.kill import Kill
from gameday.faults.process.pause import Pause
from gameday.faults.process.targets import ProcessPlan
from gameday.faults.registry import load_fault


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    with Supervisor(tmp_path) as running:
        yield running


def stored(plan: ProcessPlan) -> ProcessPlan:
    """The plan as the journal gives it back: the undo has nothing else."""
    return msgspec.json.decode(msgspec.json.encode(plan), type=ProcessPlan)


def runs(process: ProcessRef) -> bool:
    return state_of(process) in ("S", "R", "D")  # which one, of a process that sleeps or just wakes, is chance


def test_they_are_found_by_their_entry_points() -> None:
    assert type(load_fault("process/kill")) is Kill
    assert type(load_fault("process/pause")) is Pause


# -- kill


def test_kill_ends_the_planned_processes_and_the_undo_waits_for_the_restart(supervisor: Supervisor) -> None:
    fault = Kill()
    plan = fault.plan(ask("payments", 0.5), supervisor.system)
    assert len(plan.targets) == 2
    assert fault.reach(plan, supervisor.system).share == 0.5
    supervisor.restarting = False
    fault.inject(plan)
    assert not any(is_alive(target.process) for target in plan.targets)
    wait_for(lambda: len(fault.verify(plan)) == 2, "both are seen as down")
    assert fault.verify(plan)[0] == f"{plan.targets[0].name} is still down"
    supervisor.restarting = True
    fault.undo(stored(plan))
    assert fault.verify(stored(plan)) == ()
    assert all(supervisor.ref(target.name) != target.process for target in plan.targets)


def test_kill_says_nothing_is_left_only_when_the_replacement_is_there(supervisor: Supervisor) -> None:
    """The supervisor has not noticed the death yet: the inventory still names the dead process."""
    fault = Kill()
    plan = fault.plan(ask("payments", 1), supervisor.system)
    supervisor.restarting = False
    before = supervisor.path.read_bytes()
    fault.inject(plan)
    supervisor.path.write_bytes(before)
    assert len(fault.verify(plan)) == 1


def test_kill_undo_gives_up_in_time_when_nobody_restarts(supervisor: Supervisor) -> None:
    fault = Kill()
    plan = fault.plan(ask("payments", 1), supervisor.system)
    supervisor.restarting = False
    fault.inject(plan)
    began = time.monotonic()
    with pytest.raises(FaultError, match="not restarted"):
        fault.undo(plan)
    assert time.monotonic() - began < 15
    assert len(fault.verify(plan)) == 1


@pytest.mark.parametrize("fault", [Kill(), Pause()], ids=["kill", "pause"])
def test_undo_without_injection_and_twice_is_harmless(fault: Kill | Pause, supervisor: Supervisor) -> None:
    plan = fault.plan(ask("payments", 2), supervisor.system)
    before = [supervisor.ref(name) for name in plan.names()]
    fault.undo(plan)
    fault.undo(plan)
    assert fault.verify(plan) == ()
    assert [supervisor.ref(name) for name in plan.names()] == before


def test_a_plan_changes_nothing(supervisor: Supervisor) -> None:
    before = load_inventory(supervisor.path)
    Kill().plan(ask("payments", 4), supervisor.system)
    Pause().plan(ask("payments", 4), supervisor.system)
    time.sleep(0.15)
    assert load_inventory(supervisor.path) == before


def test_reach_counts_a_replica_that_is_down_for_another_reason(supervisor: Supervisor) -> None:
    fault = Kill()
    plan = fault.plan(ask("payments", 1), supervisor.system)
    other = next(f"payments-{n}" for n in range(1, 5) if f"payments-{n}" not in plan.names())
    supervisor.take_down(other)
    reach = fault.reach(plan, supervisor.system)
    assert (reach.affected, reach.total) == (2, 4)


def test_reach_counts_a_replica_that_somebody_stopped(supervisor: Supervisor) -> None:
    fault = Kill()
    plan = fault.plan(ask("payments", 1), supervisor.system)
    other = next(f"payments-{n}" for n in range(1, 5) if f"payments-{n}" not in plan.names())
    supervisor.signal(other, signal.SIGSTOP)
    wait_for(lambda: state_of(supervisor.ref(other)) == "T", "stopped")
    assert fault.reach(plan, supervisor.system).affected == 2


def test_a_share_is_of_what_is_up(supervisor: Supervisor) -> None:
    supervisor.take_down("payments-1")
    plan = Kill().plan(ask("payments", 0.7), supervisor.system)
    assert len(plan.targets) == 2  # of three; of four it would be two as well, rounded down: 2.8
    assert "payments-1" not in plan.names()
    with pytest.raises(FaultError, match="needs 4 targets, and there are 3"):
        Kill().plan(ask("payments", 4), supervisor.system)


@pytest.mark.parametrize("fault", [Kill(), Pause()], ids=["kill", "pause"])
def test_a_process_that_was_restarted_since_the_plan_is_not_touched(
    fault: Kill | Pause, supervisor: Supervisor
) -> None:
    plan = fault.plan(ask("payments", 2), supervisor.system)
    second = plan.targets[1]
    supervisor.signal(second.name, signal.SIGKILL)
    wait_for(lambda: not fault.verify(plan) and supervisor.ref(second.name) != second.process, "restarted")
    with pytest.raises(FaultError, match=r"no longer the process that was planned"):
        fault.inject(plan)
    assert runs(plan.targets[0].process), "refused as a whole: the first one is left alone too"
    assert runs(supervisor.ref(second.name))


@pytest.mark.parametrize("fault", [Kill(), Pause()], ids=["kill", "pause"])
def test_a_recycled_pid_is_never_signalled(fault: Kill | Pause, supervisor: Supervisor) -> None:
    """The pid is there and belongs to another process, which started at another time."""
    plan = fault.plan(ask("payments", 1), supervisor.system)
    innocent = plan.targets[0].process
    recycled = msgspec.structs.replace(
        plan, targets=(msgspec.structs.replace(plan.targets[0], process=ProcessRef(innocent.pid, "1")),)
    )
    with pytest.raises(FaultError, match="no longer the process"):
        fault.inject(recycled)
    fault.undo(recycled)
    assert runs(innocent)
    supervisor.signal(plan.targets[0].name, signal.SIGSTOP)
    wait_for(lambda: state_of(innocent) == "T", "stopped")
    if isinstance(fault, Pause):
        fault.undo(recycled)
        assert state_of(innocent) == "T", "somebody else's stopped process is not woken"
        assert fault.verify(recycled) == ()


def test_kill_grows_from_the_earlier_stage(supervisor: Supervisor) -> None:
    fault = Kill()
    first = fault.plan(ask("payments", 1), supervisor.system)
    fault.inject(first)
    fault.undo(first)
    second = fault.plan(ask("payments", 2, already=first.names()), supervisor.system)
    assert set(first.names()) < set(second.names())
    assert first.targets[0].process not in [target.process for target in second.targets], "resolved anew"
    fault.inject(second)
    fault.undo(second)
    assert fault.verify(second) == ()


def test_kill_with_another_signal(supervisor: Supervisor) -> None:
    fault = Kill()
    plan = fault.plan(ask("payments", 1, signal="TERM"), supervisor.system)
    assert "SIGTERM" in fault.describe(plan)
    fault.inject(plan)
    assert not is_alive(plan.targets[0].process)


# -- pause


def test_pause_stops_and_the_undo_continues(supervisor: Supervisor) -> None:
    fault = Pause()
    plan = fault.plan(ask("payments", 0.5), supervisor.system)
    fault.inject(plan)
    assert [state_of(target.process) for target in plan.targets] == ["T", "T"]
    assert len(fault.verify(plan)) == 2
    fault.undo(stored(plan))
    assert all(runs(target.process) for target in plan.targets)
    assert fault.verify(plan) == ()


def test_pause_by_hand_is_the_command(supervisor: Supervisor) -> None:
    import shlex
    import subprocess

    fault = Pause()
    plan = fault.plan(ask("payments", 2), supervisor.system)
    fault.inject(plan)
    subprocess.run(shlex.split(fault.by_hand(plan)), check=True)
    wait_for(lambda: fault.verify(plan) == (), "continued by hand")


def test_an_undo_that_is_refused_one_process_wakes_the_others(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = Pause()
    plan = fault.plan(ask("payments", 2), supervisor.system)
    fault.inject(plan)
    first, second = plan.targets

    def refuse(process: ProcessRef, number: signal.Signals) -> bool:
        if process == first.process:
            raise PermissionError
        return send_signal(process, number)

    with monkeypatch.context() as patch:
        patch.setattr("gameday.faults.process.targets.send_signal", refuse)
        with pytest.raises(FaultError, match="not permitted to signal"):
            fault.undo(plan)
    wait_for(lambda: runs(second.process), "the other one runs")
    assert fault.verify(plan) == (f"{first} is still stopped",)
    fault.undo(plan)
    assert fault.verify(plan) == ()


@pytest.mark.parametrize("fault", [Kill(), Pause()])
@pytest.mark.parametrize("is_there", [False, True])
def test_an_injection_without_its_effect_is_an_error(
    fault: Kill | Pause, is_there: bool, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process has gone by itself, or a signal was sent and nothing came of it: there is no fault to be held."""
    module = f"gameday.faults.{fault.name.replace('/', '.')}"
    monkeypatch.setattr(f"{module}.deliver", lambda *_: is_there)
    monkeypatch.setattr(f"{module}.{'_END_S' if isinstance(fault, Kill) else '_STOP_S'}", 0.0)
    plan = fault.plan(ask("payments", 2), supervisor.system)
    with pytest.raises(FaultError, match="not all of" if is_there else "a moment before"):
        fault.inject(plan)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_growing_stages_of_pause_leave_nothing_in_whatever_order(
    order: tuple[int, ...], supervisor: Supervisor
) -> None:
    fault = Pause()
    plans: list[ProcessPlan] = []
    for count in (1, 2, 4):
        already = plans[-1].names() if plans else ()
        plan = fault.plan(ask("payments", count, already=already), supervisor.system)
        assert set(already) <= set(plan.names())
        assert fault.reach(plan, supervisor.system).affected == count
        fault.inject(plan)
        plans.append(plan)
    for index in order:
        fault.undo(stored(plans[index]))
    assert all(fault.verify(plan) == () for plan in plans)
    assert all(runs(supervisor.ref(f"payments-{number}")) for number in range(1, 5))


def test_pause_neither_hits_nor_wakes_what_somebody_else_stopped(supervisor: Supervisor) -> None:
    fault = Pause()
    supervisor.signal("payments-2", signal.SIGSTOP)
    wait_for(lambda: state_of(supervisor.ref("payments-2")) == "T", "stopped")
    plan = fault.plan(ask("payments", 3), supervisor.system)
    assert "payments-2" not in plan.names()
    assert fault.reach(plan, supervisor.system).affected == 4
    fault.inject(plan)
    fault.undo(plan)
    assert fault.verify(plan) == ()
    assert state_of(supervisor.ref("payments-2")) == "T"


def test_pause_refuses_what_somebody_stopped_since_the_plan(supervisor: Supervisor) -> None:
    fault = Pause()
    plan = fault.plan(ask("payments", 1), supervisor.system)
    supervisor.signal(plan.names()[0], signal.SIGSTOP)
    wait_for(lambda: state_of(plan.targets[0].process) == "T", "stopped")
    with pytest.raises(FaultError, match="stopped by somebody else"):
        fault.inject(plan)


def test_pause_undone_after_a_partial_injection(supervisor: Supervisor) -> None:
    """The second target ends while the first is already stopped."""
    fault = Pause()
    plan = fault.plan(ask("payments", 2), supervisor.system)
    supervisor.signal(plan.names()[0], signal.SIGSTOP)
    supervisor.signal(plan.names()[1], signal.SIGKILL)
    wait_for(lambda: len(fault.verify(plan)) == 1 and not is_alive(plan.targets[1].process), "half of it")
    fault.undo(plan)
    assert fault.verify(plan) == ()
    assert runs(plan.targets[0].process)


# -- bad input


def test_what_cannot_be_planned_is_said(supervisor: Supervisor, tmp_path: Path) -> None:
    for request, system, message in [
        (ask("paymets", 1), supervisor.system, "no instance of the service `paymets`; it has payments"),
        (ask("payments", 5), supervisor.system, "needs 5 targets, and there are 4"),
        (ask("payments", 0.1), supervisor.system, "less than one"),
        (ask("payments", 1, caller="checkout"), supervisor.system, "takes no `from`"),
        (ask("payments", 1), System(), "no inventory"),
        (ask("payments", 1), System(inventory=tmp_path / "nowhere.json"), "nowhere.json"),
    ]:
        with pytest.raises(FaultError, match=message):
            Kill().plan(request, system)


def test_nothing_is_up(tmp_path: Path) -> None:
    path = tmp_path / "inventory.json"
    path.write_bytes(msgspec.json.encode(Inventory(instances=(Instance("payments", "payments-1"),))))
    with pytest.raises(FaultError, match="none of the 1 instances"):
        Pause().plan(ask("payments", 1), System(inventory=path))
