"""A process that imports what a report takes while the run goes on, so that its end need not wait for that."""

import os
import socket
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from gameday.engine.launch import Helper, launch, may_fork
from gameday.report.render import OF_EACH_RUN, Format, render, write_report

_TIMEOUT_S = 60.0  # then the runner does it itself


class _Order(msgspec.Struct, frozen=True):
    run_directory: str
    formats: tuple[Format, ...]
    output: str


class ReportWriter:
    """Writes one report. It is as good as `write_report`: whatever becomes of the process, the report is written."""

    def __init__(self, helper: Helper | None = None) -> None:
        self._helper = helper

    @classmethod
    def start(cls) -> "ReportWriter":
        """Before there are threads and an event loop. Where it cannot be forked it is not worth a process."""
        with suppress(OSError):
            return cls(launch("gameday.report.writer", early=True) if may_fork() else None)
        return cls()

    def write(
        self,
        run_directory: Path,
        formats: Sequence[Format],
        output: Path,
        *,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> tuple[Path, ...]:
        """As `write_report`. `meanwhile` is called once, while the other process writes, if there is one."""
        if self._helper is not None:
            order = _Order(str(run_directory), tuple(formats), str(output))
            self._helper.socket.settimeout(_TIMEOUT_S)
            with suppress(OSError):  # then there is no answer either
                self._helper.socket.sendall(msgspec.json.encode(order) + b"\n")
        meanwhile()
        if self._helper is not None and (written := _answer(self._helper)) is not None:
            return written
        # It would say here what went wrong there.
        return write_report(run_directory, formats, output)


def _answer(helper: Helper) -> tuple[Path, ...] | None:
    """The files that it has written; None, and it is ended, when it does not say."""
    process, control = helper
    with control, suppress(OSError, msgspec.MsgspecError), control.makefile("rb") as stream:
        return tuple(map(Path, msgspec.json.decode(stream.readline(), type=list[str])))
    process.kill()
    with suppress(subprocess.TimeoutExpired):
        process.wait(1)
    return None


def main(arguments: list[str]) -> int:
    """`writer FD`"""
    from gameday.report.model import empty_report

    for kind in OF_EACH_RUN:
        render(empty_report(), kind)  # imports all, and takes the templates in

    with socket.socket(fileno=int(arguments[0])) as control, control.makefile("rwb") as stream:
        if line := stream.readline():
            order = msgspec.json.decode(line, type=_Order)
            written = write_report(Path(order.run_directory), order.formats, Path(order.output))
            stream.write(msgspec.json.encode(list(map(os.fspath, written))) + b"\n")
    return 0
