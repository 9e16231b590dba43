"""The control that gives plain `chaos run` our journal and report. A door, as the command line is: nothing imports it.

    controls:
      - name: gameday
        provider: {type: python, module: gameday.chaostoolkit.control, arguments: {reports: reports}}

In an experiment, or in the Toolkit's settings for every experiment. What the Toolkit's run tells its event handlers is
recorded from a thread of our own, so that the experiment neither waits for us nor fails with us.
Format: https://chaostoolkit.org/reference/extending/create-control-extension/
"""

import contextlib
import logging
import os
import queue
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gameday import __version__
from gameday.chaostoolkit.adapter import SUPERVISED
from gameday.chaostoolkit.output import Masker
from gameday.chaostoolkit.translation import Listener, Telling, Translator
from gameday.chaostoolkit.variables import loaded_secrets, without_secrets
from gameday.common.json import JsonObject
from gameday.common.processes import ref_of
from gameday.common.project import find_root
from gameday.common.redact import Redactor
from gameday.coverage import Finding, judge_steps
from gameday.engine.findings import broken_finding, record_findings
from gameday.engine.locks import FileLock
from gameday.engine.recorder import Recorder
from gameday.engine.runs import WRITER_LOCK, MessageKind, Run, new_run
from gameday.engine.stop_switch import StopSwitch, switch_of
from gameday.engine.supervised import Tally
from gameday.journal.events import (
    FORMAT,
    AbortRequested,
    ExperimentEnded,
    ExperimentInfo,
    ExperimentStarted,
    Phase,
    PhaseEntered,
    RollbacksEnded,
    SessionEnded,
    SessionStarted,
    StepInfo,
    Verdict,
)
from gameday.journal.log import JournalWriter
from gameday.report.render import OF_EACH_RUN, Format, write_report
from gameday.spec.project import read_project

_POLL_S = 0.1
_END_TIMEOUT_S = 60.0  # for the report, once the experiment is over
_SINKS_DEADLINE_S = 5.0

logger = logging.getLogger("chaostoolkit")
_current: "_Reporter | None" = None


class NoControlNeeded(Exception):  # noqa: N818 - nothing is wrong
    """Takes this module out of the controls of the Toolkit's settings, once its event handler hears of the run.

    It would otherwise change how others are called: with any control in the settings, chaoslib 1.45 calls those of the
    experiment twice around an activity that has controls of its own (chaoslib.control, `get_context_controls`).
    """


def configure_control(
    experiment: JsonObject,
    configuration: JsonObject | None = None,
    secrets: JsonObject | None = None,
    settings: JsonObject | None = None,
    event_registry: Any = None,
    reports: str = "",
    **unknown: Any,
) -> None:
    """Called by the Toolkit before anything is run. `reports`: where reports go; default: reports/ of the project.

    Raises NoControlNeeded where the Toolkit's settings name it, which the Toolkit passes over.
    """
    _begin(experiment, configuration or {}, secrets or {}, event_registry, reports, unknown)
    if settings is not None:
        raise NoControlNeeded("gameday hears of the run as an event handler; all is well")


def _begin(
    experiment: JsonObject,
    configuration: JsonObject,
    secrets: JsonObject,
    event_registry: Any,
    reports: str,
    unknown: JsonObject,
) -> None:
    global _current  # noqa: PLW0603 - the Toolkit knows modules, no objects
    if os.environ.get(SUPERVISED) or (_current and _current.is_alive):
        return  # `gameday run` records it already, or the settings and the experiment both name us
    try:
        if unknown:
            _warn(f"unknown arguments of the control: {', '.join(unknown)}; it knows `reports`")
        _current = _Reporter(experiment, configuration, secrets, reports)
        event_registry.register(_current.listener)
        _current.start()
    except Exception as error:  # noqa: BLE001 - whatever it is, the experiment is not to hear of it
        _say(error)


def _warn(text: str) -> None:
    logger.warning(f"gameday: {text}")


def _say(error: Exception) -> None:
    _warn(f"the run is not recorded: {type(error).__name__}: {error}")


class _Hearing(Listener):
    """Lets the reporter end with the run."""

    said: "queue.SimpleQueue[Telling | None]"
    thread: threading.Thread

    def finish(self, journal: JsonObject) -> None:
        """The run is over: what is left is the report, which the process must not leave unwritten."""
        super().finish(journal)
        self.said.put(None)
        self.thread.join(_END_TIMEOUT_S)


class _Reporter:
    """Records one run."""

    def __init__(self, experiment: JsonObject, configuration: JsonObject, secrets: JsonObject, reports: str) -> None:
        self._secrets = loaded_secrets(configuration, secrets)
        self._experiment = experiment
        self._root = find_root(Path.cwd())
        self._reports = Path(reports) if reports else self._root / "reports"
        self._said: queue.SimpleQueue[Telling | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="gameday", daemon=True)
        translator = Translator(Masker(self._secrets), experiment=0, strict=False)
        self.listener = _Hearing(self._said.put, translator, calls_off=False, now=time.time)
        self.listener.said, self.listener.thread = self._said, self._thread
        self._has_missed = False
        self._asked = ""  # who asked for the end from another terminal, and why

    @property
    def is_alive(self) -> bool:
        """Whether it still records."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin to record."""
        self._thread.start()

    def _work(self) -> None:
        try:
            with self._opened() as (run, recorder):
                self._record(run, recorder)
            self._report(run)
        except Exception as error:  # noqa: BLE001 - see above
            _say(error)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[tuple[Run, Recorder]]:
        run = new_run(self._root, str(self._experiment.get("title", "")))
        lock = FileLock(run.directory / WRITER_LOCK)
        lock.acquire(f"chaos run {os.getpid()}")
        try:
            recorder = Recorder(JournalWriter(run.directory), Redactor(self._secrets), on_failure=_warn)
            yield run, recorder
            recorder.close(_SINKS_DEADLINE_S)
        finally:
            lock.release()

    def _record(self, run: Run, recorder: Recorder) -> None:
        recorder.record(self._session(run, recorder), sync=True)
        recorder.record(ExperimentStarted(at=recorder.now(), experiment=0))
        tally = Tally(recorder)
        switch = switch_of(read_project(self._root)[0])
        was_engaged = switch.reason() is not None
        is_over = False
        while not is_over:
            with contextlib.suppress(queue.Empty):
                telling = self._said.get(timeout=_POLL_S)
                is_over = telling is None
                if telling:
                    self._take(tally, telling)
                continue
            self._listen_to_people(run, recorder, None if was_engaged else switch)
        tally.close("the run was ended")
        self._conclude(recorder, tally)

    def _take(self, tally: Tally, telling: Telling) -> None:
        try:
            tally.take(telling())
        except Exception as error:  # noqa: BLE001 - an output may be of any class, and fail when it is looked at
            if not self._has_missed:
                self._has_missed = True
                _warn(f"not all is recorded: {type(error).__name__}: {error}")

    def _session(self, run: Run, recorder: Recorder) -> SessionStarted:
        document = {key: value for key, value in self._experiment.items() if key != "dry"}
        title = str(document.get("title", ""))
        hypothesis = document.get("steady-state-hypothesis") or {}
        named = {str(item["name"]): item for item in _activities(document) if "name" in item}
        method = [named.get(str(step.get("ref")), step) for step in document.get("method") or ()]
        path = next((word for word in reversed(sys.argv[1:]) if Path(word).is_file()), "")
        runner = ref_of(os.getpid())
        assert runner is not None
        info = ExperimentInfo(
            title=title,
            path=path,
            description=str(document.get("description", "")),
            hypothesis=str(hypothesis.get("title") or title),
            probes=tuple(str(probe.get("name", "")) for probe in hypothesis.get("probes") or ()),
            steps=tuple(StepInfo(kind=str(step.get("type")), name=str(step.get("name"))) for step in method),
            document=without_secrets(document),
        )
        return SessionStarted(
            at=recorder.now(),
            format=FORMAT,
            gameday=__version__,
            session=run.name,
            kind="experiment",
            title=title,
            path=path,
            environment="no environment",
            host=socket.gethostname(),
            runner=runner,
            experiments=(info,),
            by="chaos run",
        )

    def _listen_to_people(self, run: Run, recorder: Recorder, switch: StopSwitch | None) -> None:
        """What comes from other terminals: notes, and the wish that the run ends."""
        for message in run.receive():
            if event := message.event(recorder.now(), 0):
                recorder.record(event)
            elif message.kind is MessageKind.ABORT:
                self._end(recorder, "command", message.text or "asked for from another terminal", message.author)
        if switch and (reason := switch.reason()):
            self._end(recorder, "stop-switch", reason)

    def _end(self, recorder: Recorder, source: str, reason: str, by: str = "") -> None:
        if not self._asked:
            self._asked = reason
            recorder.record(AbortRequested(at=recorder.now(), source=source, reason=reason, by=by, experiment=0))
            os.kill(os.getpid(), signal.SIGTERM)  # the Toolkit interrupts its experiment, as it does for anybody

    def _conclude(self, recorder: Recorder, tally: Tally) -> None:
        journal = self.listener.journal or {}
        hypothesis = str((self._experiment.get("steady-state-hypothesis") or {}).get("title") or "")
        broken = broken_finding(tally.broken, hypothesis or str(self._experiment.get("title", "")), None)
        findings: list[Finding] = [*([broken] if broken else ()), *tally.findings]
        findings += judge_steps(recorder.state.complaints)
        record_findings(recorder, 0, findings)
        if tally.not_rolled_back:
            recorder.record(RollbacksEnded(at=recorder.now(), experiment=0, failed=tuple(tally.not_rolled_back)))
        verdict, reason = self._verdict(recorder, tally, journal, findings)
        recorder.record(ExperimentEnded(at=recorder.now(), experiment=0, verdict=verdict, reason=reason), sync=True)
        recorder.record(PhaseEntered(at=recorder.now(), phase=Phase.DEBRIEF))
        recorder.record(
            SessionEnded(at=recorder.now(), verdict=verdict, exit_code=verdict.exit_code, reason=reason), sync=True
        )

    def _verdict(
        self, recorder: Recorder, tally: Tally, journal: JsonObject, findings: list[Finding]
    ) -> tuple[Verdict, str]:
        status = str(journal.get("status") or "aborted")
        if tally.not_rolled_back:
            return Verdict.UNDO_FAILED, f"rollbacks failed: {', '.join(tally.not_rolled_back)}"
        if status in ("interrupted", "aborted"):
            interruption = journal.get("interruption") or {}
            reason = self._asked or self.listener.reason or interruption.get("reason") or f"the experiment was {status}"
            if not self._asked:
                source = "activity" if status == "interrupted" else "failure"
                recorder.record(AbortRequested(at=recorder.now(), source=source, reason=reason, experiment=0))
            return Verdict.ABORTED, reason
        if tally.unmet:
            return Verdict.NOT_STARTED, "the steady state does not hold before the method"
        weaknesses = [finding.title for finding in findings if finding.weakness]
        if weaknesses or journal.get("deviated"):
            return Verdict.WEAKNESS, weaknesses[0] if weaknesses else "the experiment deviated"
        return Verdict.HELD, ""

    def _report(self, run: Run) -> None:
        for path in write_report(run.directory, OF_EACH_RUN, self._reports):
            if path.suffix == Format.HTML.suffix:
                logger.info(f"gameday: report: {path}")


def _activities(document: JsonObject) -> list[JsonObject]:
    hypothesis = document.get("steady-state-hypothesis") or {}
    return [*(document.get("method") or ()), *(hypothesis.get("probes") or ())]
