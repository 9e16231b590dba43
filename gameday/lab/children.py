"""Starts the lab's processes: by fork, so that ten replicas share one warm interpreter, and bound to their parent."""

import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

# prctl(2), Linux
_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15

_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
# Not SIGPIPE, which Python ignores: a server must outlive a client that goes away in the middle of its answer.
_RESET = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)


def _die_with(parent: int) -> None:
    """Let the kernel kill this process when its parent dies, however it dies (Linux only)."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)


def _take_name(name: str) -> None:
    """What `ps -e` and `top` show instead of "python"."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_NAME, name.encode()[:15])


def redirect_output(log: Path) -> None:
    """Append what this process writes to stdout and stderr to `log`; stdin becomes empty."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    for path, mode, targets in ((os.devnull, os.O_RDONLY, (0,)), (log, flags, (1, 2))):
        fd = os.open(path, mode, 0o644)
        for target in targets:
            os.dup2(fd, target)
        if fd > 2:
            os.close(fd)


def fork(name: str, log: Path, close: Sequence[int], run: Callable[[], None]) -> int:
    """Run `run` in a child process named `name` that dies with this one; the child's pid. Raises OSError.

    `close` are descriptors that the child must not hold. The caller must have one thread only.
    """
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in _RESET:
            signal.signal(number, signal.SIG_DFL)
        _die_with(parent)
        for fd in close:
            os.close(fd)
        redirect_output(log)
        _take_name(name)
        run()
        status = 0
    except BaseException:  # noqa: BLE001 - the child's last act; nothing may return into the parent's code
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def become(program: Path, *arguments: str) -> None:
    """Run another program in the place of this process, with signals as it expects them. Raises OSError."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.execv(program, [str(program), *arguments])  # noqa: S606 - a program of the lab


def describe_end(status: int) -> str:
    """How a process ended, from a wait status (wait(2))."""
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"ended with exit status {code}"


def ended_by_itself(status: int) -> bool:
    """Whether it failed, rather than being ended by someone (which is what the lab is for)."""
    return os.waitstatus_to_exitcode(status) not in (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT)
