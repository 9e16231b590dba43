"""Runs a check of a runbook: in a process group of its own, with a timeout, and with a bounded output."""

import contextlib
import os
import select
import subprocess
import time
from pathlib import Path

import msgspec

from gameday.common.processes import kill_family, ref_of
from gameday.coverage.lint.shell import search_path

TIMEOUT_S = 60.0
_MAX_OUTPUT = 8000  # characters that are kept
_MAX_BYTES = 256 * 1024  # that are kept while it runs; the rest is read and thrown away
_CUT = "\n… cut …\n"


class CheckResult(msgspec.Struct, frozen=True):
    """What it said, on stdout and stderr together. `status` is None when it did not end in time."""

    output: str
    status: int | None
    took_s: float


def run_check(shell: str, code: str, directory: Path, timeout_s: float = TIMEOUT_S) -> CheckResult:
    """Run it there, with nothing to read. All it started is killed when the time is over or this is interrupted."""
    began = time.monotonic()
    try:
        process = subprocess.Popen(
            [shell, "-c", code],
            cwd=directory,
            env={**os.environ, "PATH": search_path()},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        return CheckResult(f"{shell} cannot be started: {error.strerror}", 127, 0.0)
    ref = ref_of(process.pid)
    data = b""
    try:
        assert process.stdout is not None
        data = _read(process, process.stdout.fileno(), began + timeout_s)
        status = process.poll()
    finally:
        if process.poll() is None and ref is not None:
            kill_family(ref)
        process.wait()
        if process.stdout:
            process.stdout.close()
    return CheckResult(_cut(data.decode(errors="replace")), status, time.monotonic() - began)


def _read(process: "subprocess.Popen[bytes]", descriptor: int, deadline: float) -> bytes:
    """Its output until it has ended, or until the deadline. What it left in the background may hold on to the pipe."""
    data = bytearray()
    while (left := deadline - time.monotonic()) > 0:
        ready, _, _ = select.select([descriptor], [], [], min(left, 0.1))
        if ready:
            part = os.read(descriptor, 65536)
            if not part:
                _wait(process, left)
                break
            data += part[: max(0, _MAX_BYTES - len(data))]
        elif process.poll() is not None:
            break
    return bytes(data)


def _wait(process: "subprocess.Popen[bytes]", left: float) -> None:
    """It may have closed its output and go on."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(left)


def _cut(text: str) -> str:
    """Its beginning and its end."""
    if len(text) <= _MAX_OUTPUT:
        return text
    return text[: _MAX_OUTPUT // 2] + _CUT + text[-_MAX_OUTPUT // 2 :]
