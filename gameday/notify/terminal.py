"""The terminal: a live view for a person at one, plain lines for a log; quiet about what is well."""

import sys
import threading
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from gameday.common.texts import one_line
from gameday.journal.events import (
    AbortRequested,
    ActivityEnded,
    ActivityStarted,
    AlertObserved,
    AlertState,
    AnyEvent,
    CheckOutcome,
    ConditionInfo,
    ExperimentEnded,
    ExperimentInfo,
    ExperimentStarted,
    FaultInjected,
    FaultPlanned,
    FaultRefused,
    FindingRaised,
    GuardianStarted,
    HypothesisJudged,
    NoteAdded,
    Outcome,
    Phase,
    PhaseEntered,
    PreflightChecked,
    ReadingState,
    RecoveryMeasured,
    RollbacksEnded,
    RunbookStep,
    SessionEnded,
    SessionStarted,
    SignalsSampled,
    SinkFailed,
    StageEnded,
    StageStarted,
    StepOutcome,
    UndoEnded,
    Verdict,
)
from gameday.notify.base import VERDICTS
from gameday.notify.sparkline import sparkline
from gameday.spec.model import Unit
from gameday.spec.units import format_value

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

_HISTORY = 40
_REFRESH_PER_SECOND = 4
_COLOURS = {
    Verdict.HELD: "green",
    Verdict.WEAKNESS: "yellow",
    Verdict.NOT_STARTED: "yellow",
    Verdict.ABORTED: "red",
    Verdict.UNDO_FAILED: "bold red",
}


class _View(msgspec.Struct):
    """What the live view shows now."""

    session: SessionStarted | None = None
    experiment: int | None = None
    phase: Phase = Phase.BRIEF
    stage: str = ""
    now: float = 0.0
    values: dict[str, deque[float | None]] = {}
    states: dict[str, str] = {}
    alerts: dict[str, AlertState] = {}
    faults: dict[str, FaultPlanned] = {}  # all of the session
    in_place: set[str] = set()  # those of them that are not undone
    injected_at: float | None = None  # the experiment's first injection

    @property
    def info(self) -> ExperimentInfo | None:
        if self.session is None or self.experiment is None:
            return None
        if self.experiment not in range(len(self.session.experiments)):  # of a damaged journal
            return None
        return self.session.experiments[self.experiment]


def _say_condition(condition: ConditionInfo) -> str:
    if condition.role == "abort-when":
        return f"aborts when {condition.text}"
    return f"change {condition.text}" if condition.relative else condition.text


def _console(live: bool) -> "Console":
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=not live)


class Terminal:
    """A sink. With `live`, the terminal's last lines are a view that changes; `brief` leaves the session's end out."""

    name = "terminal"

    def __init__(self, *, live: bool, brief: bool = False) -> None:
        self._console = _console(live) if live or sys.stderr.isatty() else None
        self._live: Live | None = None
        self._wants_live = live
        self._brief = brief
        self._view = _View()
        self._last: tuple[str, str] | None = None
        self._mutex = threading.Lock()

    def tell(self, text: str) -> None:
        """Say something at once, from any thread. Never raises: a terminal that is gone must not stop a run."""
        self._print(text, "bold")

    def handle(self, event: AnyEvent) -> None:
        """Take one event."""
        self._view.now = event.at
        if self._wants_live and self._live is None:
            self._start_live()
        self._note(event)
        line = self._line(event)
        # The same alert on several instances, say: once is enough.
        if line and line != self._last:
            self._last = line
            text, style = line
            self._print(f"{self._clock(event.at)}  {text}", style)

    def close(self) -> None:
        """Stop the live view."""
        if self._live:
            self._live.stop()

    def _print(self, text: str, style: str = "") -> None:
        with self._mutex:
            try:
                if self._console is None:  # not a terminal: one plain line an event
                    print(one_line(text), file=sys.stderr, flush=True)
                    return
                from rich.text import Text

                self._console.print(Text(one_line(text), style=style))
            except (OSError, ValueError):  # it is gone, or closed
                return

    def _clock(self, at: float) -> str:
        seconds = max(0.0, at - self._view.session.at) if self._view.session else 0.0
        return f"{int(seconds // 60):02}:{seconds % 60:04.1f}"

    # -- one line an event

    def _line(self, event: AnyEvent) -> tuple[str, str] | None:  # noqa: PLR0912 - one flat match reads best
        match event:
            case SessionStarted():
                people = ", ".join(filter(None, [event.people.facilitator, *event.people.builders, *event.people.sres]))
                return f"{event.title}, on {event.environment}" + (f", with {people}" if people else ""), "bold"
            case PreflightChecked() if event.outcome is not CheckOutcome.OK:
                failed = event.outcome is CheckOutcome.FAILURE
                return f"preflight {event.outcome}: {event.check}: {event.detail}", "red" if failed else "yellow"
            case ExperimentStarted():
                info = self._view.info
                pair = " and ".join(filter(None, (info.builder, info.sre))) if info else ""
                title = info.title if info else ""
                return f"▶ {title}" + (f" ({pair})" if pair else ""), "bold"
            case PhaseEntered(phase=Phase.BASELINE | Phase.UNDO | Phase.RECOVERY):
                return str(event.phase), "dim"
            case StageStarted():
                return f"stage {event.stage + 1} of {event.stages}: blast radius {event.radius}", ""
            case FaultInjected():
                return f"injected: {self._fault(event.fault_id)}", "magenta"
            case FaultRefused():
                return f"not injected: {event.reason}", "red"
            case ActivityStarted(section="method" | "rollback"):
                return f"{event.kind}: {event.name}", ""
            case ActivityEnded() if event.status != "succeeded":
                return f"activity {event.status}: {event.error}", "yellow"
            case HypothesisJudged():
                return self._judged(event)
            case AlertObserved() if not event.existed_before:
                expected = "" if event.expected else ", not expected"
                began = self._view.injected_at
                after = f" {event.at - began:.1f} s after the injection" if began else ""
                by = f" by {event.by}" if event.by else ""
                return f"alert {event.name} {event.state}{by}{after}{expected}", "cyan"
            case RunbookStep() if event.step.outcome is not StepOutcome.DONE:
                said = f": {event.step.note}" if event.step.note else ""
                where = f", {event.step.section} {event.step.step}" if event.step.step else ""
                return f"runbook {event.step.runbook}{where} {event.step.outcome} by {event.author}{said}", "blue"
            case NoteAdded():
                return f"note by {event.author}: {event.text}", "blue"
            case AbortRequested():
                return f"ABORT: {event.reason}" + (f" ({event.by})" if event.by else ""), "bold red"
            case GuardianStarted():
                return f"{event.by} takes over: {event.reason}", "bold"
            case UndoEnded():
                if event.undone:
                    return f"undone in {event.took_s:.2f} s, verified: {self._fault(event.fault_id)}", "green"
                return f"UNDO FAILED: {self._fault(event.fault_id)}: {'; '.join(event.left)}", "bold red"
            case RollbacksEnded() if event.failed:
                return f"ROLLBACKS FAILED: {', '.join(event.failed)}", "bold red"
            case RecoveryMeasured():
                if event.recovered and event.seconds is not None:
                    return f"steady again {event.seconds:.1f} s after the undo", "green"
                return "NOT steady again in time", "red"
            case FindingRaised():
                kind = "weakness" if event.weakness else "seen"
                detail = f" ({event.detail})" if event.detail else ""
                return f"{kind}: {event.title}{detail}", "yellow" if event.weakness else "dim"
            case SinkFailed():
                return f"{event.sink} failed: {event.detail}", "yellow"
            case ExperimentEnded():
                reason = f": {event.reason}" if event.reason else ""
                return f"■ {VERDICTS[event.verdict]}{reason}", _COLOURS[event.verdict]
            case SessionEnded() if not self._brief:
                reason = f": {event.reason}" if event.reason else ""
                return f"{VERDICTS[event.verdict]}{reason}", f"bold {_COLOURS[event.verdict]}"
            case _:
                return None

    def _fault(self, fault_id: str) -> str:
        fault = self._view.faults.get(fault_id)
        return fault.description or fault.fault if fault else fault_id

    def _judged(self, event: HypothesisJudged) -> tuple[str, str]:
        where = event.when if event.stage is None else f"during stage {event.stage + 1}"
        if event.held:
            return f"steady state held {where}", "green"
        wrong = ", ".join(
            f"{judgement.subject} {judgement.condition} {judgement.outcome}"
            for judgement in event.judgements
            if judgement.outcome is not Outcome.HELD
        )
        return f"steady state NOT held {where}: {wrong}", "yellow"

    # -- the live view

    def _note(self, event: AnyEvent) -> None:
        view = self._view
        match event:
            case SessionStarted():
                view.session = event
            case ExperimentStarted():
                view.experiment, view.stage = event.experiment, ""
                view.injected_at = None
                view.values.clear()
                view.alerts.clear()
            case PhaseEntered():
                view.phase = event.phase
            case StageStarted():
                view.stage = f"stage {event.stage + 1}/{event.stages} ({event.radius})"
            case StageEnded():
                view.stage = ""
            case FaultPlanned():
                view.faults[event.fault_id] = event
                view.in_place.add(event.fault_id)
                view.injected_at = view.injected_at or event.at
            case UndoEnded(undone=True):
                view.in_place.discard(event.fault_id)
            case AlertObserved() if not event.existed_before:
                view.alerts[event.name] = event.state
            case SignalsSampled():
                for reading in event.readings:
                    series = view.values.setdefault(reading.signal, deque(maxlen=_HISTORY))
                    series.append(reading.value if reading.state is ReadingState.OK else None)
                    view.states[reading.signal] = str(reading.state)
            case _:
                pass

    def _start_live(self) -> None:
        from rich.live import Live

        self._live = Live(
            get_renderable=self._render,
            console=self._console,
            refresh_per_second=_REFRESH_PER_SECOND,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def _render(self) -> "RenderableType":
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        view, info = self._view, self._view.info
        if info is None or view.session is None:
            return Text(f"{self._clock(view.now)}  {view.phase}", style="dim")
        head = f"{self._clock(view.now)}  {view.phase}  {view.stage}"
        if view.in_place:
            head += f"  {len(view.in_place)} in place"
        conditions = {condition.signal: condition for condition in reversed(info.conditions)}
        table = Table.grid(padding=(0, 2))
        for signal, series in list(view.values.items()):
            condition = conditions.get(signal)
            if condition is None:
                continue
            # A change is a ratio of rates; what is sampled is the rate.
            unit = Unit.PER_SECOND if condition.relative else condition.unit
            last = series[-1] if series else None
            shown = format_value(last, unit) if last is not None else view.states[signal]
            table.add_row(signal, sparkline(list(series)), shown, _say_condition(condition))
        alerts = "  ".join(f"{name} {state}" for name, state in view.alerts.items())
        return Group(Text(head, style="bold"), table, Text(alerts, style="cyan"))
