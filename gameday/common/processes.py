"""Processes named so that a recycled pid is never taken for the one that was meant."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec

_PR_SET_CHILD_SUBREAPER = 36
_HAS_PROC = Path("/proc/self/stat").exists()  # Linux; elsewhere ps(1) is asked


class ProcessRef(msgspec.Struct, frozen=True):
    """A process and the moment it started, as the kernel says it (opaque text; only compared for equality)."""

    pid: int
    started: str


def python_command(module: str, *arguments: str) -> tuple[str, ...]:
    """That runs a module of ours; -P: what lies in the directory in which it runs is no module."""
    return (sys.executable, "-P", "-m", module, *arguments)


def boot_id() -> str:
    """What tells this machine since its last start from any other, and from itself before (Linux; elsewhere empty)."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _read_stat(pid: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (OSError, ValueError):
        return None
    # The command's name is in parentheses and may itself contain spaces and parentheses.
    return text[text.rindex(")") + 2 :].split()


def _ask_ps(pid: int, column: str) -> str | None:
    done = subprocess.run(
        ["ps", "-o", f"{column}=", "-p", str(pid)], capture_output=True, text=True, timeout=5, check=False
    )
    return done.stdout.strip() or None


def ref_of(pid: int) -> ProcessRef | None:
    """The process with this pid now, or None when there is none."""
    if _HAS_PROC:
        stat = _read_stat(pid)
        return ProcessRef(pid, stat[19]) if stat else None  # proc(5): field 22, starttime
    started = _ask_ps(pid, "lstart")
    return ProcessRef(pid, started) if started else None


def state_of(ref: ProcessRef) -> str | None:
    """The kernel's one-letter state (R, S, D, T, Z…) of exactly this process, or None when it is gone."""
    if _HAS_PROC:
        stat = _read_stat(ref.pid)
        return stat[0] if stat and stat[19] == ref.started else None
    if ref_of(ref.pid) != ref:
        return None
    state = _ask_ps(ref.pid, "state")
    return state[0] if state else None


def is_alive(ref: ProcessRef) -> bool:
    """Whether exactly this process is there and is not a zombie."""
    return state_of(ref) not in (None, "Z", "X")


def send_signal(ref: ProcessRef, number: signal.Signals) -> bool:
    """Signal exactly this process; False when it is gone. Raises PermissionError.

    The pid is held by a pidfd while its start is compared, so that it cannot be recycled in between (Linux).
    """
    if hasattr(os, "pidfd_open"):
        try:
            fd = os.pidfd_open(ref.pid)
        except ProcessLookupError:
            return False
        try:
            if not is_alive(ref):
                return False
            signal.pidfd_send_signal(fd, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(fd)
        return True
    if not is_alive(ref):
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(ref.pid, number)
        return True
    return False


def adopt_orphans() -> None:
    """Become the parent of every descendant that loses its own, so that none gets out of sight of `kill_family`.

    PR_SET_CHILD_SUBREAPER of prctl(2), Linux; elsewhere nothing happens.
    """
    if _HAS_PROC:
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _descendants_of(pid: int) -> tuple[ProcessRef, ...]:
    """The processes below it, as far as their parents live and the kernel tells (Linux, CONFIG_PROC_CHILDREN)."""
    found: dict[int, ProcessRef] = {}
    waiting = [pid]
    while waiting:
        children: list[int] = []
        for path in Path(f"/proc/{waiting.pop()}/task").glob("*/children"):
            with contextlib.suppress(OSError, ValueError):
                children += map(int, path.read_text().split())
        for child in children:
            if child not in found and (ref := ref_of(child)):
                found[child] = ref
                waiting.append(child)
    return tuple(found.values())


def group_of(leader: int) -> tuple[ProcessRef, ...]:
    """The living members of a process group, its leader left out (Linux)."""
    try:
        os.killpg(leader, 0)  # mostly it is empty, and then there is no need to look at every process
    except (ProcessLookupError, PermissionError):
        return ()
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        stat = _read_stat(int(path.name))
        if stat and int(path.name) != leader and int(stat[2]) == leader and stat[0] not in "ZX":  # proc(5): pgrp, state
            found.append(ProcessRef(int(path.name), stat[19]))
    return tuple(found)


def kill_family(ref: ProcessRef) -> None:
    """SIGKILL the process group that `ref` leads, and its descendants that have left the group, a daemon's way.

    Nothing happens when the pid now belongs to another process.
    """
    if ref.pid <= 1:
        return  # damaged: to killpg(2), 0 is our own group
    now = ref_of(ref.pid)
    if now not in (None, ref):
        return
    with contextlib.suppress(ProcessLookupError, PermissionError, OverflowError):
        if now is not None:
            os.killpg(ref.pid, signal.SIGSTOP)  # nobody is born while we count
            for descendant in _descendants_of(ref.pid):
                with contextlib.suppress(PermissionError):
                    send_signal(descendant, signal.SIGKILL)
        # A leader that is gone may leave members behind; its group id cannot be reused while they live.
        os.killpg(ref.pid, signal.SIGKILL)
