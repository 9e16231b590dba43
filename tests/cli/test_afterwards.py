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

from gameday.cli.afterwards import finish
from gameday.engine.locks import is_locked
from gameday.engine.runs import GUARDIAN_LOCK, Run, all_runs
from gameday.journal.events import AnyEvent, FaultInjected, SessionEnded
from gameday.notify.sink import ChannelSink
from tests.engine.pretend import EXPERIMENT, PretendSystem, events_of
from tests.serving import Serving, StandInHandler
from tests.shop import wait_for

LONG = EXPERIMENT.replace("hold: 300ms", "hold: 60s")
PROGRAM = str(Path(sys.executable).parent / "gameday")


class Channel:
    """A webhook's server, which may take its time."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.later = 0  # so many are answered by "not now"
        self.answers = threading.Event()
        self.answers.set()
        outer = self

        class Handler(StandInHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status = 429 if outer.later else 202
                if outer.later:
                    outer.later -= 1
                else:
                    outer.messages += body.get("messages", [])
                outer.answers.wait(60)
                self.send_response(status)
                self.send_header("Retry-After", "1")
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


def kill(
    system: PretendSystem, channel: Channel, *, guardian_too: bool = False, before: Callable[[], None] = lambda: None
) -> Run:
    """Kill the runner while a fault is in place, and has been spoken of."""
    runner = subprocess.Popen([PROGRAM, "run", "e.yaml", "--env", "pretend"], cwd=system.root, stderr=subprocess.PIPE)
    run = wait_for(
        lambda: next((one for one in all_runs(system.root) if events_of(one.directory, FaultInjected)), None),
        60,
        "an injection",
    )
    assert run is not None
    wait_for(lambda: channel.said("injection"), 60, "what the channel is told of it")
    children = Path(f"/proc/{runner.pid}/task/{runner.pid}/children").read_text().split()
    before()
    runner.kill()
    for child in children if guardian_too else ():
        os.kill(int(child), signal.SIGKILL)
    runner.communicate()
    return run


def recover(system: PretendSystem, run: Run) -> subprocess.CompletedProcess[str]:
    command = [PROGRAM, "recover", run.name]
    return subprocess.run(command, cwd=system.root, capture_output=True, text=True, timeout=60, check=False)


def test_the_channel_hears_what_the_guardian_did(system: PretendSystem, channel: Channel) -> None:
    run = kill(system, channel)
    wait_for(lambda: channel.said("end"), 60, "what the channel is told last")
    assert channel.said("abort") == ["ABORT: the runner died, and the guardian has taken over"]
    assert [title.partition(" in ")[0] for title in channel.said("undo")] == ["Undone and verified"]
    assert channel.said("end") == ["The shop survives marks: aborted, everything undone"]
    assert len(channel.said("injection")) == 1, "what the runner had said is not said again"
    assert system.broken == []
    # Somebody who looks again changes nothing, and has nothing to say.
    count = len(channel.messages)
    assert recover(system, run).returncode == 0
    assert len(channel.messages) == count


def test_and_what_somebody_recovered(system: PretendSystem, channel: Channel) -> None:
    run = kill(system, channel, guardian_too=True)
    assert channel.said("abort") == []
    done = recover(system, run)
    assert done.returncode == 0, done.stderr
    assert "telling webhook" in done.stderr
    (abort,) = channel.said("abort")
    assert abort.startswith("ABORT: asked for by ")
    assert abort.endswith(", and it is recovered")
    assert len(channel.said("undo")) == 1
    assert len(channel.said("end")) == 1


def test_the_undo_waits_for_no_channel(system: PretendSystem, channel: Channel) -> None:
    """The guardian has undone all and is gone while the channel does not answer."""
    run = kill(system, channel, before=channel.answers.clear)
    wait_for(lambda: events_of(run.directory, SessionEnded), 60, "the end")
    wait_for(lambda: not is_locked(run.directory / GUARDIAN_LOCK), 60, "the guardian's end")
    assert system.broken == []
    assert channel.said("end") == []
    channel.answers.set()
    wait_for(lambda: channel.said("end"), 60, "what the channel is told last")


def test_a_channel_that_never_answers_is_given_up(
    system: PretendSystem, channel: Channel, capsys: pytest.CaptureFixture[str]
) -> None:
    run = kill(system, channel)
    wait_for(lambda: channel.said("end"), 60, "what the channel is told last")
    channel.answers.clear()
    finish(run, patience_s=0.2)
    assert "not everybody knows what has become of it" in capsys.readouterr().err


def test_a_channel_that_says_later_is_told_later(system: PretendSystem, channel: Channel) -> None:
    run = kill(system, channel)
    wait_for(lambda: channel.said("end"), 60, "what the channel is told last")
    channel.messages.clear()
    channel.later = 2
    finish(run, patience_s=60.0)
    assert len(channel.said("abort")) == len(channel.said("end")) == 1


def test_what_is_told_goes_on_after_a_refusal(
    system: PretendSystem, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sink says of one event what became of an earlier one."""
    run = kill(system, channel)
    wait_for(lambda: channel.said("end"), 60, "what the channel is told last")
    channel.messages.clear()
    channel.later = 1
    handle = ChannelSink.handle

    def slowly(sink: ChannelSink, event: AnyEvent) -> None:
        handle(sink, event)
        time.sleep(0.05)

    monkeypatch.setattr(ChannelSink, "handle", slowly)
    finish(run, patience_s=60.0)
    assert len(channel.said("abort")) == len(channel.said("end")) == 1
