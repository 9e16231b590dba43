"""Starts the processes that stand beside a runner: forked from it while that is safe, else as new interpreters.

A new interpreter imports everything anew. A fork has what the runner had imported, or imports the rest on another
processor while the runner goes on. Either way the process leads a session of its own, holds nothing but its end of a
socket and /dev/null, hears no signal but SIGKILL, and runs `main` of its module.
"""

import fcntl
import gc
import os
import signal
import socket
import subprocess
import sys
import time
import traceback
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import NamedTuple, NoReturn

# Python itself ignores SIGPIPE.
IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP, signal.SIGTTOU)
_DESCRIPTORS = Path("/proc/self/fd")  # Linux
_THREADS = Path("/proc/self/task")  # likewise
_POLL_S = 0.0005
_END_TIMEOUT_S = 1.0


class Forked:
    """A forked child, waited for and killed as a `subprocess.Popen` is."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._status: int | None = None

    def wait(self, timeout: float) -> int:
        """Its exit status, or minus the number of a signal. Raises subprocess.TimeoutExpired."""
        deadline = time.monotonic() + timeout
        while self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            else:
                time.sleep(_POLL_S)
        return self._status

    def send_signal(self, number: int) -> None:
        """Nothing happens when it has been waited for."""
        if self._status is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


class Helper(NamedTuple):
    """A process that was started, and our end of the socket to it. It ends by itself when that closes."""

    process: Forked | subprocess.Popen[bytes]
    socket: socket.socket


_early: list[Helper] = []


def launch_zygote(*, chaos_toolkit: bool, early: bool = False) -> Helper:
    """Start a zygote that imports, for now, what faults need, and the Chaos Toolkit. See `launch`. Raises OSError."""
    return launch("gameday.engine.zygote", "1" if chaos_toolkit else "0", early=early)


def launch_guardian(*, early: bool = False) -> Helper:
    """Start a guardian that has nothing to watch yet. See `launch`. Raises OSError."""
    return launch("gameday.engine.guardian", early=early)


def launch(module: str, *arguments: str, early: bool) -> Helper:
    """Start `module.main([descriptor of its socket, *arguments])` in a process of its own. Raises OSError.

    `early` says that this process has not begun its work: no event loop, and no lock held that a fork would keep.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        fork = early and may_fork()
        helper = Helper((_fork if fork else _spawn)(module, theirs.fileno(), arguments), ours)
    if early:
        _early.append(helper)
    return helper


def wait_for_ends() -> None:
    """Wait for those that were launched early, when this process has nothing for them to do any more and is to end."""
    for helper in _early:
        helper.socket.close()
    for helper in _early:
        with suppress(subprocess.TimeoutExpired):
            helper.process.wait(_END_TIMEOUT_S)


def _spawn(module: str, kept: int, arguments: tuple[str, ...]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", module, str(kept), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=[kept],
        start_new_session=True,  # a Ctrl-C in the terminal is the runner's alone, and losing it takes nobody along
    )


def may_fork() -> bool:
    """Whether a fork of this process is safe: with other threads, what these hold locked would stay locked in it.

    The system counts them: those that a library has started are none of Python's.
    """
    try:
        return len(list(_THREADS.iterdir())) == 1
    except OSError:  # no Linux
        return False


def ignore_signals() -> None:
    """Hear nothing but SIGKILL (and SIGSTOP)."""
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)


def name_process(*words: str) -> None:
    """Say to ps(1) what this process is, so that whoever ends the runner by its command line ends the runner alone.

    What was given to exec is overwritten in place (proc(5): arg_start, arg_end, comm), and cut where that ends. Linux;
    elsewhere, or where it is forbidden, the name stays.
    """
    with suppress(OSError, ValueError, IndexError):
        stat = Path("/proc/self/stat").read_text()
        start, end = map(int, stat[stat.rindex(")") + 2 :].split()[45:47])
        line = "\0".join(words).encode()[: max(0, end - start - 1)]
        with Path("/proc/self/mem").open("wb", buffering=0) as memory:
            memory.seek(start)
            memory.write(line.ljust(end - start, b"\0"))
        Path("/proc/self/comm").write_text(words[0].rpartition(".")[2])


def _fork(module: str, kept: int, arguments: tuple[str, ...]) -> Forked:
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):  # there may be none, or nobody who reads it
            stream.flush()  # what is still in there would be the child's, too
    # Before the child ignores them, a signal to the terminal's whole group would end it.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, IGNORED)
    try:
        pid = os.fork()
        if not pid:
            _be_child(module, kept, arguments)
        return Forked(pid)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _be_child(module: str, kept: int, arguments: tuple[str, ...]) -> NoReturn:
    status = 1
    try:
        # What the runner holds is not to be finalized here: that would close descriptors which by then are ours.
        gc.freeze()
        gc.enable()
        os.setsid()
        ignore_signals()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED)
        kept = fcntl.fcntl(kept, fcntl.F_DUPFD_CLOEXEC, 3)  # a runner may have been started without 0, 1 or 2
        null = os.open(os.devnull, os.O_RDWR)
        for standard in range(3):
            os.dup2(null, standard)
        for entry in list(_DESCRIPTORS.iterdir()):
            if (descriptor := int(entry.name)) > 2 and descriptor != kept:
                with suppress(OSError):
                    os.close(descriptor)
        name_process(module)
        status = import_module(module).main([str(kept), *arguments])
    except BaseException:  # noqa: BLE001 - nothing of the runner's may run here, whatever happens
        traceback.print_exc()
    finally:
        os._exit(status)
