"""A gameday project in a directory of its own, for tests that call the command line against a cluster."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from cluster import Cluster

from gameday.journal.events import Event
from gameday.journal.log import read_events

GAMEDAY = str(Path(sys.executable).parent / "gameday")
_END_S = 120.0  # more than any run of a test takes on a busy machine; a hang is a failure
_HASTE = 4
# Read by every Python that finds it on its path: the runner, the guardian, and whatever these start.
_HASTY = f"""
from gameday.engine import method, undo
from gameday.kubernetes import client

method.PLAN_TIMEOUT_S /= {_HASTE}
undo.ATTEMPT_TIMEOUT_S /= {_HASTE}
client.Client.__init__.__kwdefaults__["deadline_s"] /= {_HASTE}
client._FIRST_PAUSE_S /= {_HASTE}
client._LONGEST_PAUSE_S /= {_HASTE}
"""


def hastily(seconds: float) -> float:
    """What so long a wait is in a hasty project."""
    return seconds / _HASTE


class Project:
    """A directory with gameday.yaml, and experiments on payments in one namespace."""

    def __init__(
        self,
        root: Path,
        cluster: Cluster,
        namespace: str,
        user: str = "admin",
        *,
        kubeconfig: Path | None = None,
        ceiling: str = "75%",
        hasty: bool = False,
    ) -> None:
        """`hasty`: all that is kept to for a server's sake takes a quarter of its time, in the same proportions."""
        root.mkdir(exist_ok=True)
        self.root = root
        self._surroundings = dict(os.environ)
        if hasty:
            (root / "hasty").mkdir(exist_ok=True)
            (root / "hasty/sitecustomize.py").write_text(_HASTY)
            found = [str(root / "hasty"), os.environ.get("PYTHONPATH")]
            self._surroundings["PYTHONPATH"] = os.pathsep.join(filter(None, found))
        path = kubeconfig or cluster.kubeconfig_for(user)
        kubernetes = {"context": user, "namespace": namespace, "kubeconfig": str(path)}
        policy = {"namespaces": [namespace], "max-blast-radius": ceiling}
        environments = {"test": {"kubernetes": kubernetes, "policy": policy}}
        document = {"project": "shop", "environments": environments}
        (root / "gameday.yaml").write_text(yaml.safe_dump(document))

    def experiment(
        self,
        fault: str,
        ladder: list[int | str],
        hold: str,
        arguments: Mapping[str, str] | None = None,
        **more: Any,
    ) -> str:
        """`arguments` of the fault; `more` sections of the experiment."""
        step = {"fault": fault, "target": {"service": "payments"}, "blast-radius": ladder, "hold": hold}
        document = {"title": "A loss", "method": [step | dict(arguments or {})], **more}
        (self.root / "experiment.yaml").write_text(yaml.safe_dump(document))
        return "experiment.yaml"

    def command(self, *words: str) -> list[str]:
        return [GAMEDAY, *words]

    def call(self, *words: str) -> tuple[int, str, str]:
        done = subprocess.run(
            self.command(*words),
            cwd=self.root,
            env=self._surroundings,
            capture_output=True,
            text=True,
            timeout=_END_S,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    @contextlib.contextmanager
    def run(self, path: str) -> Iterator["Running"]:
        """`gameday run`, for a test that does something meanwhile. Killed should the test fail."""
        with (self.root / "said").open("w") as said:
            process = subprocess.Popen(
                self.command("run", path, "--env", "test", "--yes"),
                cwd=self.root,
                env=self._surroundings,
                stdout=said,
                stderr=said,
            )
        try:
            yield Running(self.root, process)
        finally:
            process.kill()
            process.wait(10)


class Running:
    """A run under way."""

    def __init__(self, root: Path, process: subprocess.Popen[bytes]) -> None:
        self._root, self._process = root, process

    def events[E: Event](self, kind: type[E]) -> list[E]:
        """Those of a kind that the journal has by now."""
        journals = self._root.glob(".gameday/runs/*/journal.jsonl")
        return [event for journal in journals for event in read_events(journal) if isinstance(event, kind)]

    def until(self, kind: type[Event]) -> None:
        """Wait for the first of a kind, however long before the run ends."""
        while not self.events(kind):
            assert self._process.poll() is None, f"ended without {kind.__name__}: {self.said}"
            time.sleep(0.02)

    def interrupt(self) -> None:
        """As Ctrl-C does."""
        self._process.send_signal(signal.SIGINT)

    def end(self) -> tuple[int, str]:
        """Wait for its end: exit status, and all that it said."""
        status = self._process.wait(_END_S)
        return status, self.said

    @property
    def said(self) -> str:
        return (self._root / "said").read_text()
