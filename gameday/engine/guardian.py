"""The guardian: a process that does nothing but wait, and undoes every fault if the runner dies or hangs.

It may be launched before there is a run, and is told over its socket, once, what to watch; with that come its end of a
pipe, its log, and the locks that it is to hold. The runner sends a byte a second; when the pipe closes before the
runner has said that it is done, or nothing comes for too long, the guardian takes over. It hears no signals but
SIGKILL.
"""

import asyncio
import contextlib
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from gameday.common.codec import decode
from gameday.common.processes import ProcessRef, ref_of, send_signal
from gameday.engine.launch import Forked, Helper, ignore_signals, launch_guardian, name_process
from gameday.engine.locks import FileLock
from gameday.engine.recovery import recover
from gameday.engine.runs import GUARDIAN_LOCK, Run
from gameday.engine.workers import Workers, WorkersError
from gameday.journal.events import By

BEAT_S = 1.0
HUNG_AFTER_BEATS = 30
_START_TIMEOUT_S = 20.0
_KILL_TIMEOUT_S = 5.0
_END_TIMEOUT_S = 15.0  # while it is there, the next run is refused
_WARM_AFTER_S = 2.0
_STILL_WATCHING = "still watching"
_MOST_DESCRIPTORS = 200  # in one message; the kernel takes 253 (SCM_MAX_FD of unix(7))
_WATCHING = b"watching\n"
_DONE = b"."
_BEAT = b"b"


class GuardianError(Exception):
    """The guardian cannot be had, so nothing may be injected; the message says why."""


class Setup(msgspec.Struct, frozen=True):
    """What the guardian is told at the start, through its socket: it may hold secrets, which arguments must not."""

    directory: str  # of the run
    runner: ProcessRef
    faults: tuple[str, ...]
    chaos_toolkit: bool
    secrets: tuple[str, ...]
    afterwards: tuple[str, ...] = ()  # a command, given the run's directory, for when it has taken over and is done


class Guardian:
    """The runner's side."""

    def __init__(self, process: Forked | subprocess.Popen[bytes], pipe: int, beats: asyncio.Task[None]) -> None:
        self._process = process
        self._pipe: int | None = pipe
        self._beats = beats

    @classmethod
    async def start(
        cls,
        run: Run,
        faults: Iterable[str],
        *,
        chaos_toolkit: bool,
        secrets: tuple[str, ...],
        locks: tuple[int, ...],
        lost: Callable[[], None],
        afterwards: tuple[str, ...] = (),
        launched: Helper | None = None,
    ) -> "Guardian":
        """Start it, unless it is launched already, and wait until it watches. `locks` are held until it ends;
        `afterwards` is a command that it starts, with the run's directory, when it has taken over and undone what could
        be; `lost` is called when it is gone before it was dismissed. Raises GuardianError."""
        process, control = launched or launch_guardian()
        control.setblocking(False)
        runner = ref_of(os.getpid())
        assert runner is not None
        setup = Setup(str(run.directory), runner, tuple(sorted(set(faults))), chaos_toolkit, secrets, afterwards)
        loop = asyncio.get_running_loop()
        read, write = os.pipe()
        with control, (run.directory / "guardian.log").open("ab") as log:
            try:
                descriptors = [read, log.fileno(), *locks]
                for some in range(0, len(descriptors), _MOST_DESCRIPTORS):
                    socket.send_fds(control, [b" "], descriptors[some : some + _MOST_DESCRIPTORS])
                async with asyncio.timeout(_START_TIMEOUT_S):
                    await loop.sock_sendall(control, msgspec.json.encode(setup) + b"\n")
                    answer = await loop.sock_recv(control, len(_WATCHING))
            except (TimeoutError, OSError):
                answer = b""
            finally:
                os.close(read)
        if answer != _WATCHING:
            os.close(write)
            process.kill()
            process.wait(_KILL_TIMEOUT_S)
            raise GuardianError(f"the guardian did not start; see {run.directory / 'guardian.log'}")
        return cls(process, write, asyncio.create_task(_beat(write, lost)))

    def dismiss(self) -> None:
        """The run is over and clean, or is handed over on purpose by ending without this."""
        self._beats.cancel()
        if self._pipe is not None:
            with contextlib.suppress(OSError):
                os.write(self._pipe, _DONE)
            os.close(self._pipe)
            self._pipe = None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_TIMEOUT_S)


async def _beat(pipe: int, lost: Callable[[], None]) -> None:
    try:
        while True:
            os.write(pipe, _BEAT)
            await asyncio.sleep(BEAT_S)
    except OSError:
        lost()


def _watch(pipe: int, for_s: float = float("inf")) -> str | None:
    """Wait until the runner is done (None), or say why to take over; or, after `for_s` seconds, that neither has come.

    Silence is counted in beats that we waited for ourselves: after a suspended machine wakes up, one beat has passed,
    not an hour.
    """
    silent = 0
    until = time.monotonic() + for_s
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while silent < HUNG_AFTER_BEATS:
            if time.monotonic() > until:
                return _STILL_WATCHING
            if not selector.select(BEAT_S):
                silent += 1
                continue
            data = os.read(pipe, 4096)
            if _DONE in data:
                return None
            if not data:
                return "the runner died"
            silent = 0
    return f"the runner gave no sign of life for {HUNG_AFTER_BEATS * BEAT_S:g} s"


def _hear(control: socket.socket) -> tuple[Setup, list[int]] | None:
    """What to watch, and the descriptors; None when the runner ended before there was anything to watch."""
    line, descriptors = b"", list[int]()
    while not line.endswith(b"\n"):
        data, some, _, _ = socket.recv_fds(control, 65536, _MOST_DESCRIPTORS)
        if not data:
            return None
        line += data
        descriptors += some
    return decode(line, Setup), descriptors


async def _guard(run: Run, setup: Setup, control: socket.socket) -> int:
    workers = Workers(run.directory, setup.faults, chaos_toolkit=setup.chaos_toolkit)
    with control, contextlib.suppress(OSError):  # a runner that is dead already is found so below
        control.sendall(_WATCHING)
    try:
        reason = await asyncio.to_thread(_watch, 0, _WARM_AFTER_S)
        if reason is _STILL_WATCHING:
            # Not at once: until then the runner itself is starting, and wants the processors more.
            with contextlib.suppress(WorkersError):  # tried again when they are needed
                await workers.start()
            reason = await asyncio.to_thread(_watch, 0)
        if reason is None:
            # Nothing is left to do, and the next run waits for the locks that this process holds.
            workers.abandon()
            os._exit(0)
        # Also should it live though its pipe is closed: there must not be two.
        send_signal(setup.runner, signal.SIGKILL)
        state = await recover(run, By.GUARDIAN, reason, workers=workers, secrets=setup.secrets)
        _leave_the_rest(run, setup.afterwards)
        return 0 if state.is_clean else 5
    finally:
        workers.close()


def _leave_the_rest(run: Run, command: tuple[str, ...]) -> None:
    """To a process that nobody waits for: whatever becomes of it, all has been undone that could be. What it complains
    of is in our log."""
    if command:
        nothing = subprocess.DEVNULL
        with contextlib.suppress(OSError):
            subprocess.Popen([*command, str(run.directory)], stdin=nothing, stdout=nothing, start_new_session=True)


def main(arguments: list[str]) -> int:
    """`guardian FD`"""
    ignore_signals()
    control = socket.socket(fileno=int(arguments[0]))
    heard = _hear(control)
    if heard is None:
        return 0
    setup, (pipe, log, *_locks) = heard
    for descriptor, standard in ((pipe, 0), (log, 2)):
        os.dup2(descriptor, standard)
        os.close(descriptor)
    run = Run(Path(setup.directory))
    name_process("gameday.engine.guardian", run.name)
    lock = FileLock(run.directory / GUARDIAN_LOCK)
    lock.acquire(f"guardian {os.getpid()}")
    try:
        return asyncio.run(_guard(run, setup, control))
    finally:
        lock.release()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
