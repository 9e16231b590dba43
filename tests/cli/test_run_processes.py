"""The processes of a run as a user starts it: what they hold, what they are called, and that none is left."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gameday.common.processes import ref_of
from gameday.engine.locks import is_locked
from gameday.engine.runs import GUARDIAN_LOCK, WRITER_LOCK, Run, all_runs

PROGRAM = str(Path(sys.executable).parent / "gameday")
MARK = "GAMEDAY_TEST_RUN"
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
pytestmark = LINUX


def python(module: str, func: str, **arguments: object) -> dict[str, object]:
    return {"type": "python", "module": module, "func": func, "arguments": arguments}


def sleep(seconds: float) -> dict[str, object]:
    return {"type": "action", "name": "sleep", "provider": python("time", "sleep", secs=seconds)}


class Started:
    """`gameday run` of a plain experiment, with its output in pipes as a CI system has it."""

    def __init__(self, root: Path, *arguments: str, **experiment: object) -> None:
        (root / "chaos_helper.py").write_text("import time\n\ndef sleep(secs):\n    time.sleep(secs)\n")
        document = {"title": "T", "description": "D", "method": [], **experiment}
        (root / "e.json").write_text(json.dumps(document).replace('"time"', '"chaos_helper"'))
        self.root = root
        self.mark = uuid.uuid4().hex
        self.process = subprocess.Popen(
            [PROGRAM, "run", "e.json", *arguments],
            cwd=root,
            env={**os.environ, MARK: self.mark, "PYTHONPATH": f"{root}:{os.environ['PYTHONPATH']}"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def run(self) -> Run:
        (run,) = all_runs(self.root)
        return run

    def living(self) -> dict[int, str]:
        """All processes that come from it, with their command lines."""
        wanted = f"{MARK}={self.mark}".encode()
        found = {}
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if wanted in (path / "environ").read_bytes().split(b"\0"):
                    found[int(path.name)] = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        return found

    def until(self, word: str) -> None:
        """Read what it prints until there is this word."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if word in line.decode():
                return
        raise AssertionError(f"{word} never came")

    def named(self, name: str) -> int:
        """The runner's own child of that name: a zygote has children of its name, and the guardian has a zygote."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        lines = self.living()
        (pid,) = [pid for pid in map(int, children) if name in lines[pid]]
        return pid


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Started]]:
    started: list[Started] = []

    def start_one(*arguments: str, **experiment: object) -> Started:
        started.append(Started(tmp_path, *arguments, **experiment))
        return started[-1]

    yield start_one
    for one in started:
        one.process.kill()
        one.process.wait()
        assert one.process.stdout is not None
        one.process.stdout.close()
        for pid in one.living():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def wait_for(condition: Callable[[], object], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.02)


def held_by(pid: int) -> dict[int, str]:
    found = {}
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            found[int(path.name)] = str(path.readlink())
    return found


# The standard three, its socket, both ends of the pipe that wakes it, and what waits for these.
ZYGOTE_HOLDS = range(7)


def test_guardian_and_zygote_hold_nothing_of_the_runners(start: Callable[..., Started]) -> None:
    one = start(method=[sleep(60)])
    one.until("action: sleep")
    run, runner = one.run().directory, set(held_by(one.process.pid).values())
    guardian = held_by(one.named("gameday.engine.guardian"))
    warm = one.named("gameday.engine.zygote")
    # Between a job and its fork a zygote holds the two ends that are the child's.
    wait_for(lambda: len(held_by(warm)) == len(ZYGOTE_HOLDS))
    zygote = held_by(warm)
    assert guardian.pop(0).startswith("pipe:")
    assert guardian.pop(1) == os.devnull
    assert guardian.pop(2) == str(run / "guardian.log")
    files = {path for path in guardian.values() if path.startswith("/")}
    (lock,) = files - {str(run / GUARDIAN_LOCK)}
    assert Path(lock).parent == one.root / ".gameday/locks"
    # The event loop's own, and the socket of a warm zygote; none of them is another process's, too.
    assert not {path for path in guardian.values() if not path.startswith("/")} & runner - {"anon_inode:[eventpoll]"}
    assert {zygote.pop(number) for number in range(3)} == {os.devnull}
    assert not {path for path in zygote.values() if path.startswith("/")}
    assert not set(zygote.values()) & (runner | set(guardian.values())) - {"anon_inode:[eventpoll]"}


def test_who_ends_the_runner_by_its_command_line_ends_it_alone(start: Callable[..., Started]) -> None:
    one = start(method=[sleep(60)])
    one.until("action: sleep")
    lines = one.living()
    assert [pid for pid, line in lines.items() if "gameday run" in line] == [one.process.pid]
    guardian = one.named("gameday.engine.guardian")
    assert one.run().name[:10] in lines[guardian]
    assert Path(f"/proc/{guardian}/comm").read_text() == "guardian\n"


def test_the_output_ends_with_the_runner_though_the_guardian_is_at_work(start: Callable[..., Started]) -> None:
    one = start(method=[sleep(60)], rollbacks=[sleep(3)])
    one.until("action: sleep")
    one.process.kill()
    assert one.process.stdout is not None
    end, _, _ = select.select([one.process.stdout], [], [], 1.0)
    assert end
    assert one.process.stdout.read() == b""
    run = one.run()
    assert run.has_guardian()
    wait_for(lambda: not one.living())
    assert run.state().is_clean
    assert run.state().ended is not None


def locks_of(root: Path) -> list[Path]:
    return [path for path in (root / ".gameday").rglob("*.lock") if is_locked(path)]


def wait_unlocked(root: Path) -> None:
    """What ends cannot be told by its environment any more a moment before it lets go of its files."""
    wait_for(lambda: locks_of(root) == [], 20)


def test_locks_live_as_long_as_the_run_or_its_guardian(start: Callable[..., Started]) -> None:
    one = start(method=[sleep(60)], rollbacks=[sleep(2)])
    one.until("action: sleep")
    assert len(locks_of(one.root)) == 3  # of the writer, the guardian, and what stands for the service
    one.process.kill()
    one.process.wait()
    wait_for(lambda: (one.run().directory / WRITER_LOCK).read_text().startswith("guardian"))
    assert len(locks_of(one.root)) == 3
    wait_for(lambda: not one.living())
    wait_unlocked(one.root)


def test_nothing_is_locked_or_left_when_the_command_has_ended(start: Callable[..., Started]) -> None:
    one = start(method=[sleep(0)])
    assert one.process.wait(30) == 0
    assert one.living() == {}
    wait_unlocked(one.root)


@pytest.mark.parametrize("after_s", [0.0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3])
def test_a_runner_killed_at_once_leaves_no_process(start: Callable[..., Started], after_s: float) -> None:
    one = start(method=[sleep(60)])
    time.sleep(after_s)
    one.process.kill()
    one.process.wait()
    wait_for(lambda: not one.living())
    wait_unlocked(one.root)


@pytest.mark.parametrize("method", ["nonsense", [{"type": "action", "name": "a", "provider": python("no.such", "f")}]])
def test_wrong_input_leaves_no_process(start: Callable[..., Started], method: object) -> None:
    one = start(method=method)
    assert one.process.wait(30) == 2
    assert one.living() == {}


def test_a_module_that_ends_its_process_is_no_end_of_the_runners(start: Callable[..., Started], tmp_path: Path) -> None:
    (tmp_path / "deadly.py").write_text("import os\nos._exit(0)\n")
    one = start(method=[{"type": "action", "name": "a", "provider": python("deadly", "f")}])
    one.until("the activities cannot be checked")
    assert one.process.wait(30) == 3
    assert one.living() == {}


def test_a_report_is_written_whatever_becomes_of_the_process_for_it(start: Callable[..., Started]) -> None:
    one = start(method=[sleep(2)])
    one.until("action: sleep")
    writer = one.named("gameday.report.writer")
    reference = ref_of(writer)
    os.kill(writer, signal.SIGKILL)
    one.until("report: ")
    assert one.process.wait(30) == 0
    assert ref_of(writer) != reference
    assert len(list((one.root / "reports").iterdir())) == 3
