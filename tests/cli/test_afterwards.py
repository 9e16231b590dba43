"""When a run has died and been taken over, those who read along are told what has become of it."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gameday.engine.runs import Run, all_runs
from gameday.journal.events import FaultInjected, SessionEnded
from tests.engine.pretend import EXPERIMENT, PretendSystem, events_of
from tests.serving import Serving, StandInHandler

LONG = EXPERIMENT.replace("hold: 300ms", "hold: 60s")
PROGRAM = str(Path(sys.executable).parent / "gameday")


class Channel:
    """A webhook's server, which may take its time."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.answers = threading.Event()
        self.answers.set()
        outer = self

        class Handler(StandInHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.messages += body.get("messages", [])
                outer.answers.wait(60)
                self.send_response(202)
                self.send_header("Content-Length", "0")
                self.end_headers()

        self.serving = Serving(Handler)

    def said(self, kind: str) -> list[str]:
        return [message["title"] for message in self.messages if message["kind"] == kind]


@pytest.fixture
def channel() -> Iterator[Channel]:
    made = Channel()
    yield made
    made.answers.set()
    made.serving.close()


@pytest.fixture
def system(tmp_path: Path, channel: Channel) -> PretendSystem:
    system = PretendSystem(tmp_path)
    system.write_project()
    path = tmp_path / "gameday.yaml"
    line = f'    channels: [{{kind: webhook, webhook: "{channel.serving.url}/hook"}}]\n    policy:'
    path.write_text(path.read_text().replace("    policy:", line))
    (tmp_path / "e.yaml").write_text(LONG)
    return system


def wait_for[T](look: Callable[[], T | None]) -> T:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.02)
    raise AssertionError("it never came")


def kill(system: PretendSystem, *, guardian_too: bool = False) -> Run:
    """Kill the runner while a fault is in place."""
    runner = subprocess.Popen([PROGRAM, "run", "e.yaml", "--env", "pretend"], cwd=system.root, stderr=subprocess.PIPE)
    run = wait_for(
        lambda: next((one for one in all_runs(system.root) if events_of(one.directory, FaultInjected)), None)
    )
    children = Path(f"/proc/{runner.pid}/task/{runner.pid}/children").read_text().split()
    runner.kill()
    for child in children if guardian_too else ():
        os.kill(int(child), signal.SIGKILL)
    runner.communicate()
    return run


def recover(system: PretendSystem, run: Run) -> subprocess.CompletedProcess[str]:
    command = [PROGRAM, "recover", run.name]
    return subprocess.run(command, cwd=system.root, capture_output=True, text=True, timeout=60, check=False)


def test_the_channel_hears_what_the_guardian_did(system: PretendSystem, channel: Channel) -> None:
    run = kill(system)
    wait_for(lambda: channel.said("end"))
    assert channel.said("abort") == ["The guardian has taken over: everything is being undone"]
    (abort,) = [message for message in channel.messages if message["kind"] == "abort"]
    assert abort["lines"] == ["the runner died"]
    assert [title.partition(" in ")[0] for title in channel.said("undo")] == ["Undone and verified"]
    assert channel.said("end") == ["The shop survives marks: aborted, everything undone"]
    assert len(channel.said("injection")) == 1, "what the runner had said is not said again"
    assert system.broken == []
    # Somebody who looks again changes nothing, and has nothing to say.
    count = len(channel.messages)
    assert recover(system, run).returncode == 0
    assert len(channel.messages) == count


def test_and_what_somebody_recovered(system: PretendSystem, channel: Channel) -> None:
    run = kill(system, guardian_too=True)
    assert channel.said("abort") == []
    done = recover(system, run)
    assert done.returncode == 0, done.stderr
    assert "telling webhook" in done.stderr
    assert channel.said("abort") == ["Somebody, with `gameday recover`, has taken over: everything is being undone"]
    assert len(channel.said("undo")) == 1
    assert len(channel.said("end")) == 1


def test_the_undo_waits_for_no_channel(system: PretendSystem, channel: Channel) -> None:
    """The guardian has undone all and is gone while the channel does not answer, and whoever tells it gives up."""
    channel.answers.clear()
    run = kill(system)
    wait_for(lambda: events_of(run.directory, SessionEnded))
    assert system.broken == []
    told = f"gameday.cli.afterwards\0{run.directory}".encode()

    def telling() -> bool:
        return any(_is(told, path) for path in Path("/proc").glob("[0-9]*/cmdline"))

    wait_for(telling)
    wait_for(lambda: not telling())


def _is(words: bytes, path: Path) -> bool:
    try:
        return words in path.read_bytes()
    except OSError:
        return False
