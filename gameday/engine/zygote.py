"""The warm process that children are forked from: all is imported, so that one starts in a few milliseconds.

It is single-threaded, for fork's sake. It speaks over one socket: `w` and a line of JSON says what is wanted, which is
imported and answered by `0 0`; `j` with two descriptors asks for a child, which reads its job from the first
and writes what it prints to the second; a line `<pid> <status>` says that a child has ended. When the socket closes,
because the runner ended or died, it kills every child's process group and goes.
"""

import contextlib
import gc
import os
import selectors
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import NoReturn

import msgspec

from gameday.chaostoolkit.adapter import preload
from gameday.common.codec import decode, encode
from gameday.common.processes import ProcessRef, adopt_orphans, boot_id, group_of, kill_family, ref_of, send_signal
from gameday.engine.jobs import Job, JobKind, JobResult, perform
from gameday.engine.launch import IGNORED, ignore_signals
from gameday.faults.registry import load_fault

LENGTH_BYTES = 8
READY = b"0 0\n"


class Mark(msgspec.Struct, frozen=True):
    """A child that runs, in a file of its own; on another machine its number may be anybody's."""

    process: ProcessRef
    boot: str


def receive_exactly(connection: socket.socket, size: int) -> bytes:
    """Read `size` bytes. Raises EOFError when the other side closes first."""
    parts = bytearray()
    while len(parts) < size:
        part = connection.recv(size - len(parts))
        if not part:
            raise EOFError
        parts += part
    return bytes(parts)


def receive_frame(connection: socket.socket) -> bytes:
    """What `framed` made. Raises EOFError."""
    return receive_exactly(connection, int.from_bytes(receive_exactly(connection, LENGTH_BYTES), "big"))


def framed(data: bytes) -> bytes:
    """The data with its length before it."""
    return len(data).to_bytes(LENGTH_BYTES, "big") + data


def _be_child(connection: socket.socket, output: int) -> None:
    gc.enable()
    os.setsid()
    signal.set_wakeup_fd(-1)
    for number in (*IGNORED, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    connection.sendall(framed(str(os.getpid()).encode()))
    job = decode(receive_frame(connection), Job)
    mark = _leave_mark(job)
    if _is_unwanted(connection):
        # Whoever ends what a dead runner left may have looked for marks before this one was there.
        if mark:
            mark.unlink(missing_ok=True)
        return
    if job.kind is not JobKind.UNDO:
        adopt_orphans()
        _offer_to_the_killer()
    result = perform(job)
    try:
        data = encode(result)
    except (TypeError, ValueError, NotImplementedError, msgspec.MsgspecError) as error:
        data = encode(JobResult(error=f"the result cannot be written as JSON: {error}"))
    if mark:
        mark.unlink(missing_ok=True)
    connection.sendall(framed(data))


def _is_unwanted(connection: socket.socket) -> bool:
    """Whether the runner has died, or given up, since it sent the job."""
    try:
        return not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False


def _offer_to_the_killer() -> None:
    """When memory runs out, the kernel is to take this process, not the runner or the guardian (proc(5), Linux)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _leave_mark(job: Job) -> Path | None:
    """Say on disk that this process group runs, so that the guardian can end it when everybody else is dead."""
    if job.children is None:
        return None
    reference = ref_of(os.getpid())
    assert reference is not None
    mark = job.children / str(os.getpid())
    try:
        mark.write_bytes(encode(Mark(reference, boot_id())))
    except OSError:
        # What breaks something must leave its mark; what mends it must run on a full disk too.
        if job.kind in (JobKind.INJECT, JobKind.EXPERIMENT):
            raise
    return mark


def _fork(control: socket.socket, descriptors: list[int]) -> int:
    pid = os.fork()
    if pid:
        for descriptor in descriptors:
            os.close(descriptor)
        return pid
    status = 1
    try:
        control.close()
        _be_child(socket.socket(fileno=descriptors[0]), descriptors[1])
        status = 0
    except (EOFError, OSError):
        pass  # the runner no longer wants it
    except BaseException:  # noqa: BLE001 - the runner gets the end of what is printed
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
        # Not sys.exit: the parent's atexit handlers and buffers are not the child's to run.
        os._exit(status)


class Wanted(msgspec.Struct, frozen=True):
    """What its children will need: faults by name, and whether there are HTTP activities."""

    faults: tuple[str, ...] = ()
    http: bool = False


def _preload(chaos_toolkit: bool) -> None:
    import ctypes  # noqa: F401 - what every child uses

    if chaos_toolkit:
        preload()
    gc.freeze()  # a child that collects garbage need not copy all of this to look at it


def _load(control: socket.socket) -> None:
    line = bytearray()
    while not line.endswith(b"\n"):
        line += receive_exactly(control, 1)
    wanted = decode(bytes(line), Wanted)
    if wanted.http:
        preload(http=True)
    if wanted.faults:
        import http.client
        import urllib.request  # noqa: F401 - what most of them use

        del http
    for name in wanted.faults:
        with contextlib.suppress(Exception):  # said properly when the fault is planned
            load_fault(name)
    decode(encode(Job(kind=JobKind.CHECK)), Job)  # how that is done is worked out once, not by each child
    gc.freeze()  # likewise
    control.sendall(READY)


def serve(control: socket.socket) -> None:
    """Fork a child for each request until the socket closes; then kill them all."""
    children: set[int] = set()
    strays: list[ProcessRef] = []
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_read, False)
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    selector = selectors.DefaultSelector()
    selector.register(control, selectors.EVENT_READ)
    selector.register(wake_read, selectors.EVENT_READ)
    try:
        while True:
            for key, _ in selector.select():
                if key.fileobj is control:
                    message, descriptors, _, _ = socket.recv_fds(control, 1, 2)
                    if not message:
                        return
                    if message == b"w":
                        _load(control)
                    else:
                        children.add(_fork(control, descriptors))
                else:
                    with contextlib.suppress(BlockingIOError):
                        os.read(wake_read, 4096)
                    strays += _reap(control, children)
    except (BrokenPipeError, ConnectionResetError, EOFError):
        return
    finally:
        for reference in filter(None, map(ref_of, children)):
            kill_family(reference)
        for reference in strays:
            with contextlib.suppress(OSError):
                send_signal(reference, signal.SIGKILL)


def _reap(control: socket.socket, children: set[int]) -> list[ProcessRef]:
    """Say which have ended; what they left in their process groups, to be killed when the run is over."""
    strays: list[ProcessRef] = []
    for pid in list(children):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            children.discard(pid)
            # Now, process by process: the group's number may be another's later.
            strays += group_of(pid)
            control.sendall(f"{pid} {os.waitstatus_to_exitcode(status)}\n".encode())
    return strays


def main(arguments: list[str]) -> NoReturn:
    """`zygote FD CHAOSTOOLKIT(0|1)`"""
    ignore_signals()
    gc.disable()  # until there is a child: what is imported stays
    control = socket.socket(fileno=int(arguments[0]))
    _preload(arguments[1] == "1")
    serve(control)
    # There is nothing to finalize, and somebody may be waiting for the end.
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
