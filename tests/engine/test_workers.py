"""Children: quick to start, always killable, whatever they do."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from gameday.chaostoolkit.adapter import ActivityRequest
from gameday.common.codec import encode
from gameday.common.json import JsonObject
from gameday.common.processes import ProcessRef, boot_id, is_alive, ref_of, send_signal
from gameday.engine.jobs import Job, JobKind, JobResult
from gameday.engine.launch import launch_zygote
from gameday.engine.workers import Workers, WorkersError, kill_leftovers
from gameday.engine.zygote import Mark, framed, receive_frame

MODULE = """
import os, signal, sys, time

def leave_pid(mark):
    '''Whole or not at all: who waits for the file reads it at once.'''
    open(mark + ".new", "w").write(str(os.getpid()))
    os.rename(mark + ".new", mark)

def succeed(value=1):
    return value

def hang(mark=None):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if mark:
        leave_pid(mark)
    time.sleep(600)

def leave():
    os._exit(3)

def system_exit():
    sys.exit(4)

def flood():
    for _ in range(100):
        os.write(1, b"x" * 1_000_000)
    return "done"

def strange():
    return object()

def fork(mark):
    if os.fork() == 0:
        leave_pid(mark)
        time.sleep(600)
    time.sleep(600)

def daemonise(mark):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            leave_pid(mark)
            time.sleep(600)
        os._exit(0)
    time.sleep(600)

def leave_one_behind(mark):
    if os.fork() == 0:
        leave_pid(mark)
        time.sleep(600)
    while not os.path.exists(mark):
        time.sleep(0.01)

def score():
    return int(open("/proc/self/oom_score_adj").read())

def fork_and_leave(mark):
    if os.fork() == 0:
        leave_pid(mark)
        time.sleep(600)
    while not os.path.exists(mark):
        time.sleep(0.01)
    os._exit(0)
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "misbehaving.py").write_text(MODULE)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]]))
    return "misbehaving"


def job(func: str, **arguments: str | int) -> Job:
    definition: JsonObject = {
        "type": "action",
        "name": func,
        "provider": {"type": "python", "module": "misbehaving", "func": func, "arguments": dict(arguments)},
    }
    request = ActivityRequest(definition=definition, configuration={}, secrets={}, tolerance=False)
    return Job(kind=JobKind.ACTIVITY, activity=request)


@contextmanager
def closing(workers: Workers) -> Iterator[Workers]:
    try:
        yield workers
    finally:
        workers.close()


def is_gone(mark: Path) -> bool:
    """Whether the process whose pid stands in the file has ended, or does within a second: SIGKILL is not instant."""
    reference = ref_of(int(mark.read_text()))
    deadline = time.monotonic() + 1
    while reference and is_alive(reference) and time.monotonic() < deadline:
        time.sleep(0.01)
    return reference is None or not is_alive(reference)


def run(directory: Path, *jobs: Job, timeout_s: float = 10.0) -> list[JobResult]:
    async def main() -> list[JobResult]:
        with closing(Workers(directory, [], chaos_toolkit=True)) as workers:
            await workers.start()
            return [await workers.run(item, timeout_s) for item in jobs]

    return asyncio.run(main())


def test_a_child_answers(tmp_path: Path, module: str) -> None:
    (result,) = run(tmp_path, job("succeed", value=42))
    assert result.outcome is not None
    assert (result.outcome.status, result.outcome.output) == ("succeeded", "42")
    assert list((tmp_path / "children").iterdir()) == []


def test_a_child_starts_in_milliseconds(tmp_path: Path, module: str) -> None:
    async def main() -> float:
        with closing(Workers(tmp_path, [], chaos_toolkit=True)) as workers:
            await workers.start()
            await workers.run(job("succeed"), 5)
            began = time.perf_counter()
            for _ in range(5):
                await workers.run(job("succeed"), 5)
            return (time.perf_counter() - began) / 5

    # A fresh interpreter with the Chaos Toolkit takes some 400 ms; this proves that none is started.
    assert asyncio.run(main()) < 0.2


def test_a_child_that_hangs_is_killed(tmp_path: Path, module: str) -> None:
    mark = tmp_path / "pid"
    (result,) = run(tmp_path, job("hang", mark=str(mark)), timeout_s=0.7)
    assert result.killed
    assert "timed out after 0.7 s" in result.error
    assert is_gone(mark)


@pytest.mark.parametrize(("func", "status"), [("leave", "exit status 3")])
def test_a_child_that_ends_without_an_answer_is_noticed(tmp_path: Path, module: str, func: str, status: str) -> None:
    (result,) = run(tmp_path, job(func))
    assert status in result.error


def test_system_exit_and_strange_results_are_outcomes(tmp_path: Path, module: str) -> None:
    left, strange = run(tmp_path, job("system_exit"), job("strange"))
    assert left.outcome is not None
    assert left.outcome.status == "failed"
    assert strange.outcome is not None
    assert "object" in strange.outcome.output


def test_a_flood_of_output_is_drained_in_bounded_memory(tmp_path: Path, module: str) -> None:
    import tracemalloc

    tracemalloc.start()
    (result,) = run(tmp_path, job("flood"), timeout_s=60)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert result.outcome is not None
    assert result.outcome.status == "succeeded"
    assert peak < 20_000_000


def test_grandchildren_die_with_a_killed_child(tmp_path: Path, module: str) -> None:
    mark = tmp_path / "pid"
    (result,) = run(tmp_path, job("fork", mark=str(mark)), timeout_s=0.7)
    assert result.killed
    assert is_gone(mark)


@pytest.mark.skipif(sys.platform != "linux", reason="a daemon's way out of its group is followed on Linux")
def test_a_daemon_dies_with_the_child_that_started_it(tmp_path: Path, module: str) -> None:
    mark = tmp_path / "pid"
    (result,) = run(tmp_path, job("daemonise", mark=str(mark)), timeout_s=0.7)
    assert result.killed
    assert is_gone(mark)


def test_what_a_finished_activity_left_in_its_group_goes_with_the_run(tmp_path: Path, module: str) -> None:
    mark = tmp_path / "pid"
    (result,) = run(tmp_path, job("leave_one_behind", mark=str(mark)))
    assert result.outcome is not None
    assert result.outcome.status == "succeeded"
    assert is_gone(mark)


@pytest.mark.skipif(sys.platform != "linux", reason="proc(5)")
def test_a_child_is_what_the_kernel_kills_first_when_memory_runs_out(tmp_path: Path, module: str) -> None:
    (result,) = run(tmp_path, job("score"))
    assert result.outcome is not None
    assert result.outcome.output == "1000"
    assert Path("/proc/self/oom_score_adj").read_text().strip() != "1000"


def test_the_number_of_a_child_may_come_again(tmp_path: Path, module: str) -> None:
    """A long session starts more children than there are pids; an old end must not be taken for a new child's."""

    async def main() -> None:
        with closing(Workers(tmp_path, [], chaos_toolkit=True)) as workers:
            await workers.start()
            for _ in range(3):
                await workers.run(job("succeed"), 5)
            deadline = time.monotonic() + 5
            while (workers._ends or workers._started) and time.monotonic() < deadline:
                await asyncio.sleep(0.01)
            assert (workers._ends, workers._early, workers._started) == ({}, {}, {})

    asyncio.run(main())


def test_a_grandchild_that_holds_the_socket_does_not_hold_up_the_run(tmp_path: Path, module: str) -> None:
    mark = tmp_path / "pid"
    (result,) = run(tmp_path, job("fork_and_leave", mark=str(mark)))
    assert "exit status 0" in result.error
    assert is_gone(mark)  # closing the workers ended it


def test_cancelling_kills_the_child_before_it_returns(tmp_path: Path, module: str) -> None:
    mark = tmp_path / "pid"

    async def main() -> bool:
        with closing(Workers(tmp_path, [], chaos_toolkit=True)) as workers:
            await workers.start()
            task = asyncio.create_task(workers.run(job("hang", mark=str(mark)), 60))
            while not (mark.exists() and mark.read_text()):
                await asyncio.sleep(0.01)
            reference = ref_of(int(mark.read_text()))
            assert reference is not None
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return is_alive(reference)

    assert asyncio.run(main()) is False


def test_children_die_when_the_runner_is_gone(tmp_path: Path, module: str) -> None:
    """The zygote sees its socket close, which is all that it sees of a runner's kill -9."""
    mark = tmp_path / "pid"

    async def main() -> None:
        workers = Workers(tmp_path, [], chaos_toolkit=True)
        await workers.start()
        task = asyncio.create_task(workers.run(job("hang", mark=str(mark)), 60))
        while not (mark.exists() and mark.read_text()):
            await asyncio.sleep(0.01)
        assert workers._control is not None
        assert workers._process is not None
        reference = ref_of(int(mark.read_text()))
        assert reference is not None
        workers._started.clear()  # nobody but the zygote is to kill it
        workers._control.shutdown(2)
        await asyncio.to_thread(workers._process.wait, 5)
        deadline = time.monotonic() + 5
        while is_alive(reference) and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        assert not is_alive(reference)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        workers.close()

    asyncio.run(main())


@pytest.mark.skipif(sys.platform != "linux", reason="boot_id of proc(5)")
def test_marks_from_another_machine_are_nobody_here(tmp_path: Path) -> None:
    """A run's directory was copied. Here the number of its child is that of a group whose leader has ended."""
    script = "import os, time\nif os.fork() == 0:\n    print(os.getpid(), flush=True)\n    time.sleep(60)"
    leader = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, start_new_session=True)
    assert leader.stdout is not None
    member = ref_of(int(leader.stdout.readline()))
    leader.stdout.close()
    leader.wait(5)
    assert member is not None
    (tmp_path / "children").mkdir()
    mark = tmp_path / "children" / str(leader.pid)
    try:
        mark.write_bytes(encode(Mark(ProcessRef(leader.pid, "1"), "another boot")))
        assert kill_leftovers(tmp_path) == 0
        assert is_alive(member)
        mark.write_bytes(encode(Mark(ProcessRef(leader.pid, "1"), boot_id())))
        assert kill_leftovers(tmp_path) == 1
        deadline = time.monotonic() + 5
        while is_alive(member) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not is_alive(member)
    finally:
        send_signal(member, signal.SIGKILL)


def test_leftovers_of_a_dead_runner_and_zygote_are_found_on_disk(tmp_path: Path, module: str) -> None:
    mark = tmp_path / "pid"

    async def main() -> None:
        workers = Workers(tmp_path, [], chaos_toolkit=True)
        await workers.start()
        task = asyncio.create_task(workers.run(job("hang", mark=str(mark)), 60))
        while not (mark.exists() and mark.read_text()):
            await asyncio.sleep(0.01)
        assert workers._process is not None
        workers._process.kill()
        result = await task
        assert "without an answer" in result.error
        reference = ref_of(int(mark.read_text()))
        assert reference is not None
        assert is_alive(reference)
        assert kill_leftovers(tmp_path) == 1
        deadline = time.monotonic() + 5
        while is_alive(reference) and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        assert not is_alive(reference)
        with pytest.raises(WorkersError, match="gone"):
            await workers.run(job("succeed"), 1)
        await workers.restart()
        assert (await workers.run(job("succeed"), 5)).outcome is not None
        workers.close()

    asyncio.run(main())


@pytest.mark.parametrize("pid", [0, 1, -5, 2**31, 2**70])
def test_a_damaged_mark_kills_nobody_and_keeps_no_undo_from_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pid: int
) -> None:
    killed: list[int] = []
    killpg = os.killpg

    def kill(group: int, number: int) -> None:
        killed.append(group)
        killpg(max(group, 2**31), number)  # none of that number can be

    monkeypatch.setattr(os, "killpg", kill)
    (tmp_path / "children").mkdir()
    (tmp_path / "children" / "1").write_text(f'{{"pid":{pid},"started":"17"}}')
    kill_leftovers(tmp_path)
    assert all(group > 1 for group in killed)
    assert not list((tmp_path / "children").iterdir())


def test_a_child_begins_nothing_once_the_runner_is_dead(tmp_path: Path, module: str) -> None:
    """The guardian may have looked for children's marks, and undone all, before this one has left its own."""
    process, control = launch_zygote(chaos_toolkit=True)
    with control:
        control.settimeout(20)
        ours, theirs = socket.socketpair()
        ours.settimeout(20)
        with theirs, Path(os.devnull).open("wb") as output:
            socket.send_fds(control, [b"j"], [theirs.fileno(), output.fileno()])
        child = int(receive_frame(ours))
        os.kill(child, signal.SIGSTOP)  # a busy machine lets it wait
        asked = job("hang", mark=str(tmp_path / "begun"))
        ours.sendall(framed(encode(msgspec.structs.replace(asked, children=tmp_path))))
        ours.close()
        os.kill(child, signal.SIGCONT)
        assert control.recv(64) == f"{child} 0\n".encode()
    process.wait(10)
    assert list(tmp_path.glob("[0-9b]*")) == []
