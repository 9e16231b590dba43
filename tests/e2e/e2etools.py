"""Hands for the end-to-end tests: the program as a user runs it, and parts of the lab that die or hang."""

import contextlib
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shop import Shop, processes_with, wait_for

PROGRAM = str(Path(sys.executable).parent / "gameday")

PROJECT = """
project: shop
environments:
  lab: {kind: lab}
  capped: {kind: lab, policy: {max-blast-radius: 20%}}
  asks: {kind: lab, policy: {confirm: true}}
services:
  edge: {depends-on: [checkout]}
  checkout: {depends-on: [payments, inventory]}
  payments: {}
  inventory: {}
  ghost: {}
"""

# Both kinds of fault in place until somebody ends it: a stopped process, and overrides in Envoy's runtime.
TWO_FAULTS = """
title: Two faults in place
service: checkout
method:
  - {fault: process/pause, target: {service: payments}, blast-radius: 1, hold: 100ms}
  - {fault: dependency/abort, target: {service: payments, from: checkout}, status: 503, blast-radius: 30%, hold: 60s}
abort-when:
  errors: {ratio: "> 99%", for: 30s}
timing: {interval: 500ms, baseline: 500ms, blind-after: 3s}
"""
IN_PLACE = "injected: answer 503"  # what `run` says once both are


class Terminal:
    """The user's end of a pseudo-terminal; what appears on it goes into a file."""

    def __init__(self, descriptor: int, to: Path) -> None:
        self.descriptor = descriptor
        self._to = to
        self._closing = threading.Event()
        self._reader = threading.Thread(target=self._copy, daemon=True)
        self._reader.start()

    def _copy(self) -> None:
        # The only holder of the descriptor: it is closed here, where nobody can be reading from it.
        with self._to.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while not self._closing.is_set():
                if select.select([self.descriptor], [], [], 0.05)[0]:
                    data = os.read(self.descriptor, 65536)
                    file.write(data)
        os.close(self.descriptor)

    def drain(self) -> None:
        """Until the program has let the terminal go, and all of its words are in the file."""
        self._reader.join(5)

    def close(self) -> None:
        """Close the window."""
        self._closing.set()
        self.drain()


@dataclass
class Program:
    """`gameday …` as a process of its own. With `terminal`, at a pseudo-terminal, whose other end is `terminal`."""

    process: subprocess.Popen[bytes]
    out: Path
    err: Path
    terminal: "Terminal | None" = None

    @property
    def said(self) -> str:
        return self.err.read_text(errors="replace")

    @property
    def printed(self) -> str:
        return self.out.read_text(errors="replace")

    def wait_said(self, text: str, seconds: float = 60.0) -> None:
        """Until it has said this on stderr."""

        def said() -> bool:
            if text in self.said:
                return True
            assert self.process.poll() is None, f"ended with {self.process.returncode} before “{text}”:\n{self.said}"
            return False

        wait_for(said, seconds, lambda: f"“{text}” in:\n{self.said}")

    def press(self, keys: bytes) -> None:
        """Press keys at its terminal."""
        assert self.terminal
        os.write(self.terminal.descriptor, keys)

    def hang_up(self) -> None:
        """Close the terminal's window."""
        assert self.terminal
        self.terminal.close()

    def end(self, seconds: float = 60.0) -> int:
        """Its exit status; what every end has in common is asserted."""
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"has not ended within {seconds:g} s:\n{self.said}") from None
        if self.terminal:
            self.terminal.drain()
        for text in (self.said, self.printed):
            assert "Traceback" not in text
            assert "mistake in gameday" not in text
        return status

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        if self.terminal:
            self.terminal.close()


class Desk:
    """Starts programs in a project, as a user would at a shell."""

    def __init__(self, root: Path, scratch: Path) -> None:
        self.root = root
        self.scratch = scratch
        self._programs: list[Program] = []

    def write(self, name: str, text: str) -> str:
        """A file of the project; its name."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.lstrip())
        return name

    def start(
        self, *arguments: str, program: tuple[str, ...] = (PROGRAM,), env: Mapping[str, str] | None = None
    ) -> Program:
        """Start `gameday …` and return at once."""
        out, err = self._files()
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = subprocess.Popen(
                [*program, *arguments],
                cwd=self.root,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )
        self._programs.append(Program(process, out, err))
        return self._programs[-1]

    def start_at_terminal(self, *arguments: str) -> Program:
        """Start it at a pseudo-terminal of its own: Ctrl-C and hanging up are then what they are for a user."""
        out, err = self._files()
        ours, theirs = os.openpty()
        termios.tcsetwinsize(theirs, (50, 200))

        def log_in() -> None:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # as every shell does: whoever started us may have ignored it

        process = subprocess.Popen(
            [PROGRAM, *arguments],
            cwd=self.root,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=log_in,
        )
        os.close(theirs)
        out.touch()
        err.touch()
        self._programs.append(Program(process, out, err, Terminal(ours, err)))
        return self._programs[-1]

    def run(self, *arguments: str, seconds: float = 60.0, env: Mapping[str, str] | None = None) -> Program:
        """Run `gameday …` to its end."""
        program = self.start(*arguments, env=env)
        program.end(seconds)
        return program

    def status_of(self, *arguments: str) -> int:
        return self.run(*arguments).process.returncode

    def journal(self, run: Path | None = None) -> list[dict[str, Any]]:
        """The events of a run (the latest), as they lie on disk."""
        directory = run or self.runs()[-1]
        return [json.loads(line) for line in (directory / "journal.jsonl").read_text().splitlines()]

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.journal() if event["event"] == kind]

    def runs(self) -> list[Path]:
        return sorted((self.root / ".gameday/runs").glob("*/"))

    def helpers(self) -> dict[int, str]:
        """The guardians of this project's runs that live: they work where the run was started."""
        root, found = str(self.root.resolve()), {}
        for pid, line in processes_with("gameday.engine.guardian").items():
            with contextlib.suppress(OSError):  # it has ended since
                if str(Path(f"/proc/{pid}/cwd").readlink()) == root:
                    found[pid] = line
        return found

    def close(self) -> None:
        for program in self._programs:
            program.kill()

    def _files(self) -> tuple[Path, Path]:
        number = len(self._programs)
        return self.scratch / f"out-{number}", self.scratch / f"err-{number}"


def last_lines(text: str, count: int) -> str:
    return "\n".join([line for line in text.splitlines() if line.strip()][-count:])


@contextlib.contextmanager
def dead(shop: Shop, part: str) -> Iterator[None]:
    """Kill a part with SIGKILL, and again each time that its supervisor starts it."""
    stop = threading.Event()

    def keep_dead() -> None:
        while not stop.wait(0.05):
            with contextlib.suppress(OSError, ValueError):
                if pid := shop.pid(part):
                    os.kill(pid, signal.SIGKILL)

    thread = threading.Thread(target=keep_dead, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextlib.contextmanager
def hanging(shop: Shop, part: str) -> Iterator[None]:
    """Stop a part with SIGSTOP: its port stays open and nothing answers."""
    pid = shop.pid(part)
    assert pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
