"""Runs jobs in child processes that can be killed, a few milliseconds each, and never lets one hold up the run."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path

import msgspec

from gameday.common.codec import decode, encode
from gameday.common.processes import ProcessRef, boot_id, is_alive, kill_family, ref_of
from gameday.engine.jobs import Job, JobResult
from gameday.engine.launch import Forked, Helper, launch_zygote
from gameday.engine.zygote import LENGTH_BYTES, Mark, Wanted, framed, receive_exactly, receive_frame

_START_TIMEOUT_S = 20.0
_KILL_TIMEOUT_S = 1.0
_KILL_POLL_S = 0.005
_OUTPUT_TAIL_BYTES = 4096
_MAX_RESULT_BYTES = 16 * 1024 * 1024


class WorkersError(Exception):
    """Children cannot be started; the message says why."""


class Question:
    """One job for a child of a zygote that has been launched, before there is a run or an event loop."""

    def __init__(self, zygote: Helper, job: Job) -> None:
        """Ask; the child begins as soon as the zygote is warm. Raises WorkersError."""
        self._zygote = zygote.socket
        self._job = job
        self._connection, theirs = socket.socketpair()
        with theirs, Path(os.devnull).open("wb") as output:
            try:
                socket.send_fds(self._zygote, [b"j"], [theirs.fileno(), output.fileno()])
            except OSError as error:
                raise WorkersError(f"the process that runs faults is gone: {error.strerror}") from error

    def answer(self, timeout_s: float) -> JobResult:
        """Wait for the answer and the child's end. Raises WorkersError when there is none; then the child is killed."""
        self._connection.settimeout(timeout_s)
        self._zygote.settimeout(timeout_s)
        child: ProcessRef | None = None
        with self._connection as connection:
            try:
                child = ref_of(int(receive_frame(connection)))
                connection.sendall(framed(encode(self._job)))
                result = decode(receive_frame(connection), JobResult)
                while receive_exactly(self._zygote, 1) != b"\n":  # its end, which nobody else is to hear of
                    pass
            except (EOFError, OSError, msgspec.MsgspecError) as error:
                if child:
                    kill_family(child)
                raise WorkersError(str(error) or "its process ended without an answer") from error
        return result


class Workers:
    """A zygote and the children forked from it."""

    def __init__(
        self,
        directory: Path,
        faults: Iterable[str],
        *,
        chaos_toolkit: bool,
        http: bool = False,
        zygote: Helper | None = None,
    ) -> None:
        """`directory`: where running children leave their marks. `http`: HTTP activities are to come. `zygote`: one
        that has been launched; else nothing is started yet."""
        self._marks = directory / "children"
        self._wanted = Wanted(tuple(sorted(set(faults))), http)
        self._chaos_toolkit = chaos_toolkit
        self._launched = zygote
        self._control: socket.socket | None = None
        self._process: Forked | subprocess.Popen[bytes] | None = None
        self._ends: dict[int, asyncio.Future[int]] = {}  # of children whose end has not been heard of
        self._early: dict[int, int] = {}  # ends that were heard of before the child's own first word
        self._started: dict[int, ProcessRef] = {}  # and not ended, as far as is known
        self._listener: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the zygote and wait until it is warm. Raises WorkersError."""
        try:
            self._marks.mkdir(parents=True, exist_ok=True)
            launched, self._launched = self._launched or launch_zygote(chaos_toolkit=self._chaos_toolkit), None
        except OSError as error:
            raise WorkersError(f"the process that runs faults cannot be started: {error.strerror}") from error
        self._process, self._control = launched
        self._control.setblocking(False)
        loop = asyncio.get_running_loop()
        ready = self._ends[0] = loop.create_future()  # the zygote's own word comes as a child's does
        self._listener = asyncio.create_task(self._listen(self._control))
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                await loop.sock_sendall(self._control, b"w" + encode(self._wanted) + b"\n")
                is_ready = await ready == 0
        except (TimeoutError, OSError):
            is_ready = False
        if not is_ready:
            self.close()
            raise WorkersError("the process that runs faults did not start")

    async def restart(self) -> None:
        """Start a new zygote in place of one that is gone. Raises WorkersError."""
        self.close()
        self._ends.clear()
        self._early.clear()
        await self.start()

    async def _listen(self, control: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        buffer = b""
        with contextlib.suppress(OSError):  # killed in the middle of its work, it resets the connection
            while data := await loop.sock_recv(control, 4096):
                buffer += data
                *lines, buffer = buffer.split(b"\n")
                for line in lines:
                    pid, status = map(int, line.split())
                    # From now on the number may be another's.
                    self._started.pop(pid, None)
                    if pid in self._ends:
                        _settle(self._ends.pop(pid), status)
                    else:
                        self._early[pid] = status
        for future in self._ends.values():
            _settle(future, -signal.SIGKILL)
        self._ends.clear()

    def _expect_end(self, pid: int) -> asyncio.Future[int]:
        """Its exit status, or minus the number of the signal that killed it."""
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if pid in self._early:
            future.set_result(self._early.pop(pid))
        else:
            self._ends[pid] = future
            if reference := ref_of(pid):
                self._started[pid] = reference
        return future

    async def run(self, job: Job, timeout_s: float) -> JobResult:
        """Do the job in a child. A child that takes longer, or that is cancelled, is killed with all its descendants.

        Never raises for what the child does. Raises WorkersError when no child can be had.
        """
        if self._control is None or self._listener is None or self._listener.done():
            raise WorkersError("the process that runs faults is gone")
        try:
            ours, theirs = socket.socketpair()
            output_read, output_write = os.pipe()
        except OSError as error:
            raise WorkersError(f"no child can be started: {error.strerror}") from error
        ours.setblocking(False)
        os.set_blocking(output_read, False)
        tail: deque[bytes] = deque(maxlen=2)
        loop = asyncio.get_running_loop()
        loop.add_reader(output_read, _keep_tail, output_read, tail, loop)
        ended: asyncio.Future[int] | None = None
        try:
            with theirs:
                try:
                    socket.send_fds(self._control, [b"j"], [theirs.fileno(), output_write])
                except OSError as error:
                    raise WorkersError(f"the process that runs faults is gone: {error.strerror}") from error
                finally:
                    os.close(output_write)
            try:
                async with asyncio.timeout(timeout_s):
                    pid = int(await _receive_frame(ours))
                    ended = self._expect_end(pid)
                    await loop.sock_sendall(ours, framed(encode(_with_marks(job, self._marks))))
                    return await self._result(ours, pid, ended, tail)
            except TimeoutError as error:
                if ended is None:
                    raise WorkersError("the process that runs faults does not answer") from error
                await self._kill(pid, ended)
                return JobResult(error=f"timed out after {timeout_s:g} s and was killed", killed=True)
            except (EOFError, OSError) as error:
                if ended is None:
                    raise WorkersError("the process that runs faults is gone") from error
                return JobResult(error="the child ended before it began", killed=True)
            except asyncio.CancelledError:
                if ended is not None:
                    await self._kill(pid, ended)
                raise
        finally:
            loop.remove_reader(output_read)
            os.close(output_read)
            ours.close()

    async def _result(
        self, connection: socket.socket, pid: int, ended: asyncio.Future[int], tail: deque[bytes]
    ) -> JobResult:
        """The child's answer, or what its end says when it gives none (a descendant may hold the socket open)."""
        answer = asyncio.ensure_future(_receive_frame(connection))
        try:
            either: set[asyncio.Future[bytes] | asyncio.Future[int]] = {answer, ended}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                # It has ended; what it wrote before is already in the socket's buffer.
                await asyncio.wait({answer}, timeout=0.2)
            if answer.done() and not answer.cancelled() and answer.exception() is None:
                return decode(answer.result(), JobResult)
            if answer.done() and not isinstance(answer.exception(), EOFError | OSError):
                await self._kill(pid, ended)
                return JobResult(error=f"the child's answer cannot be used: {answer.exception()}", killed=True)
            async with asyncio.timeout(5):
                status = await ended
        except TimeoutError:
            await self._kill(pid, ended)
            return JobResult(error="the child closed its connection without an answer and was killed", killed=True)
        except msgspec.MsgspecError as error:
            return JobResult(error=f"the child's answer cannot be read: {error}")
        finally:
            answer.cancel()
        printed = b"".join(tail)[-_OUTPUT_TAIL_BYTES:].decode(errors="replace").strip()
        how = f"exit status {status}" if status >= 0 else f"signal {signal.Signals(-status).name}"
        return JobResult(
            error=f"ended without an answer ({how})" + (f": {printed[-400:]}" if printed else ""), killed=True
        )

    async def _kill(self, pid: int, ended: asyncio.Future[int]) -> None:
        """Kill the child with all that it started, and wait for its end: what comes next must not run beside it."""
        if pid in self._started:
            kill_family(self._started[pid])
            await asyncio.wait({ended}, timeout=_KILL_TIMEOUT_S)

    @property
    def is_started(self) -> bool:
        """Whether the zygote has been started."""
        return self._process is not None

    def abandon(self) -> None:
        """Let the zygote go by itself: it does when it sees the socket close."""
        if self._control:
            self._control.close()

    def close(self) -> None:
        """Kill every child that is still there; the zygote kills what others have left, and goes. Never raises."""
        for reference in self._started.values():
            kill_family(reference)
        self._started.clear()
        if self._listener:
            self._listener.cancel()
        if self._control:
            self._control.close()
        if self._process:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(2)
                return
            self._process.kill()
            self._process.wait(2)


def _settle(future: asyncio.Future[int], status: int) -> None:
    if not future.done():  # whoever waited may have given up
        future.set_result(status)


def kill_leftovers(directory: Path) -> int:
    """End children that a dead runner left in the middle of their work, and wait for that; how many there were."""
    killed = []
    marks = directory / "children"
    for path in sorted(marks.iterdir()) if marks.is_dir() else ():
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            mark = decode(path.read_bytes(), Mark)
            if mark.boot == boot_id():
                kill_family(mark.process)
                killed.append(mark.process)
        with contextlib.suppress(OSError):
            path.unlink()
    deadline = time.monotonic() + _KILL_TIMEOUT_S
    while any(map(is_alive, killed)) and time.monotonic() < deadline:
        time.sleep(_KILL_POLL_S)
    return len(killed)


def _with_marks(job: Job, marks: Path) -> Job:
    return msgspec.structs.replace(job, children=marks)


def _keep_tail(descriptor: int, tail: deque[bytes], loop: asyncio.AbstractEventLoop) -> None:
    """Read what a child prints, so that it never blocks on a full pipe; only the end is kept."""
    try:
        data = os.read(descriptor, 65536)
    except BlockingIOError:
        return
    except OSError:
        data = b""
    if data:
        tail.append(data[-_OUTPUT_TAIL_BYTES:])
    else:
        loop.remove_reader(descriptor)


async def _receive_frame(connection: socket.socket) -> bytes:
    size = int.from_bytes(await _receive_exactly(connection, LENGTH_BYTES), "big")
    if size > _MAX_RESULT_BYTES:
        raise ValueError(f"it is {size} bytes long")
    return await _receive_exactly(connection, size)


async def _receive_exactly(connection: socket.socket, size: int) -> bytes:
    loop = asyncio.get_running_loop()
    parts = bytearray()
    while len(parts) < size:
        part = await loop.sock_recv(connection, size - len(parts))
        if not part:
            raise EOFError("the child ended")
        parts += part
    return bytes(parts)
