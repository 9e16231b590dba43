"""Builds one experiment's part of the report, event by event."""

import msgspec

from gameday.journal.events import (
    ActivityEnded,
    ActivityStarted,
    AlertObserved,
    ExperimentEnded,
    ExperimentInfo,
    ExperimentStarted,
    FaultInjected,
    FaultPlanned,
    FaultRefused,
    FaultWrittenOff,
    FindingRaised,
    GuardTripped,
    HypothesisJudged,
    MarkSet,
    Outcome,
    Phase,
    PhaseEntered,
    PredictionMade,
    RecoveryMeasured,
    RollbacksArmed,
    RollbacksEnded,
    RunbookExamined,
    RunbookStep,
    SignalsSampled,
    StageEnded,
    StageStarted,
    StepOutcome,
    UndoEnded,
)
from gameday.people.actions import action_id
from gameday.report.alert_lines import alert_entries
from gameday.report.alerts import summarise_alerts
from gameday.report.examined import AnyExamined, Examined, with_runbook
from gameday.report.format import duration, listing, say_step, unit_of, usual_unit
from gameday.report.format import value as format_value
from gameday.report.frozen import FaultEvents, freeze_activity, freeze_fault, freeze_stage
from gameday.report.hypothesis import tabulate
from gameday.report.predictions import Shown, predictions
from gameday.report.series import SeriesRecorder
from gameday.report.views import (
    Entry,
    ExperimentReport,
    Fault,
    Finding,
    Note,
    PhaseSpan,
    Recovery,
    Series,
    Status,
    Window,
)
from gameday.spec.model import Unit

_MAX_KEPT = 1000
_MOST_NAMED = 6  # targets on a line of the timeline
_WRITTEN_OFF = "written off by "  # how gameday.engine.recovery names rollbacks that a person answers for
_COMPLAINTS = (StepOutcome.STUCK, StepOutcome.WRONG, StepOutcome.MISSING)
_RECORDED = (Phase.BASELINE, Phase.UNDO, Phase.RECOVERY)  # the others say nothing that the next line does not


class ExperimentBuilder(msgspec.Struct):
    """Grows by one event at a time."""

    index: int
    info: ExperimentInfo
    baseline: dict[str, float] = {}
    _start: float | None = None
    _end: ExperimentEnded | None = None
    _series: dict[str, SeriesRecorder] = {}
    _window: Window = Window.BEFORE
    _judged: list[HypothesisJudged] = []
    _phases: list[PhaseEntered] = []
    _stages: dict[tuple[int, int], tuple[StageStarted, StageEnded | None]] = {}
    _faults: dict[str, FaultEvents] = {}
    _activities: dict[int, tuple[ActivityStarted, ActivityEnded | None]] = {}
    _observed: list[AlertObserved] = []
    _places: list[int] = []  # of each of these, between the lines of the timeline
    _examined: Examined = msgspec.field(default_factory=Examined)
    _notes: list[Note] = []
    _followed: list[RunbookStep] = []
    _predicted: list[PredictionMade] = []
    _marks: list[MarkSet] = []
    _recovery: Recovery | None = None
    _findings: list[Finding] = []
    _guards: list[GuardTripped] = []
    _timeline: list[Entry] = []
    _left_out: int = 0
    _rollbacks_open: tuple[str, ...] = ()
    _rollbacks_failed: tuple[str, ...] = ()

    def say(self, at: float, kind: str, text: str, tone: str = "plain") -> None:
        """Add a line to the timeline."""
        if len(self._timeline) < _MAX_KEPT:
            self._timeline.append(Entry(at, kind, text, tone))
        else:
            self._left_out += 1

    def started(self, event: ExperimentStarted) -> None:
        """It began."""
        self._start = event.at
        self.say(event.at, "Start", self.info.title)

    def entered(self, event: PhaseEntered) -> None:
        """A phase began."""
        self._phases.append(event)
        if event.phase is Phase.UNDO:
            self._enter(Window.AFTER)
        if event.phase in _RECORDED:
            self.say(event.at, "Phase", event.phase.value)

    def _enter(self, window: Window) -> None:
        if window is not self._window:
            self._window = window
            for series in self._series.values():
                series.enter(window)

    def sampled(self, event: SignalsSampled) -> None:
        """All signals of one tick."""
        at = event.at
        known = self._series
        for reading in event.readings:
            series = known.get(reading.signal)
            if series is None:
                series = known[reading.signal] = SeriesRecorder(at, max(self.info.interval_s, 1e-3))
                series.enter(self._window)
            series.add(at, reading)

    def judged(self, event: HypothesisJudged) -> None:
        """The hypothesis was judged."""
        self._judged.append(event)
        where = f"in stage {event.stage + 1}" if event.stage is not None else event.when
        if event.held:
            self.say(event.at, "Judged", f"the steady state held {where}", "good")
            return
        units = {condition.signal: condition for condition in self.info.conditions if condition.role == "hypothesis"}
        wrong = []
        for judgement in event.judgements:
            if judgement.outcome is Outcome.HELD:
                continue
            condition = units.get(judgement.subject)
            unit = None if condition is None else Unit.RATIO if condition.relative else unit_of(condition.unit)
            reached = f" (reached {format_value(judgement.worst, unit)})" if judgement.worst is not None else ""
            wrong.append(f"{judgement.subject} {judgement.condition} {judgement.outcome}{reached}")
        self.say(event.at, "Judged", f"the steady state did not hold {where}: {'; '.join(wrong)}", "bad")

    def staged(self, event: StageStarted | StageEnded) -> None:
        """A stage began or ended."""
        key = (event.step, event.stage)
        if isinstance(event, StageStarted):
            self._stages[key] = (event, None)
            text = f"{event.stage + 1} of {event.stages}, blast radius {event.radius}"
            self.say(event.at, "Stage", text)
        elif key in self._stages:
            self._stages[key] = (self._stages[key][0], event)

    def planned(self, event: FaultPlanned) -> None:
        """A fault may be in place from here on."""
        self._enter(Window.DURING)
        self._faults[event.fault_id] = FaultEvents(event)

    def fault_event(self, event: FaultInjected | FaultRefused | UndoEnded | FaultWrittenOff) -> None:
        """Something became of a planned fault."""
        fault = self._faults[event.fault_id]
        plan = fault.planned
        match event:
            case FaultInjected():
                fault.injected = event
                named = len(plan.targets) <= _MOST_NAMED and plan.description
                what = named or f"{plan.fault} on {listing(list(plan.targets), _MOST_NAMED)}"
                self.say(event.at - event.took_s, "Injected", what, "fault")
            case FaultRefused():
                fault.refused = event
                self.say(event.at, "Refused", f"{plan.fault}: {event.reason}", "bad")
            case UndoEnded():
                fault.undo_ended = event
                fault.attempts += event.attempts
                name = f"{plan.fault} on {listing(list(plan.targets), _MOST_NAMED)}"
                if event.undone:
                    self.say(event.at, "Undone", f"{name}, verified", "good")
                else:
                    self.say(event.at, "Undo failed", f"{name}: {'; '.join(event.left)}", "bad")
            case FaultWrittenOff():
                fault.written_off = event
                self.say(event.at, "Written off", f"{plan.fault} by {event.author}: {event.reason}", "bad")

    def activity(self, event: ActivityStarted | ActivityEnded) -> None:
        """A Chaos Toolkit activity began or ended."""
        if isinstance(event, ActivityStarted):
            self._activities[event.activity] = (event, None)
            if event.section == "method" and event.kind == "action":
                self._enter(Window.DURING)
            if event.section != "hypothesis":
                self.say(event.at, event.kind.capitalize(), event.name, "fault" if event.kind == "action" else "plain")
        elif event.activity in self._activities:
            started = self._activities[event.activity][0]
            self._activities[event.activity] = (started, event)
            if event.status != "succeeded":
                self.say(event.at, event.status.capitalize(), f"{started.name}: {event.error}", "bad")

    def rollbacks(self, event: RollbacksArmed | RollbacksEnded) -> None:
        """The experiment's rollbacks were put on disk, or have run."""
        if isinstance(event, RollbacksArmed):
            self._rollbacks_open = event.activities
            return
        is_written_off = not event.left and bool(event.failed) and event.failed[0].startswith(_WRITTEN_OFF)
        self._rollbacks_open, self._rollbacks_failed = (), () if is_written_off else event.failed
        if is_written_off:
            self.say(
                event.at, "Written off", f"rollbacks {', '.join(event.failed).removeprefix('written off ')}", "bad"
            )
        elif event.failed:
            self.say(event.at, "Rollbacks failed", ", ".join(event.failed), "bad")

    def examined(self, event: AnyExamined | RunbookExamined) -> None:
        """It was found out whether anyone would notice, and could act."""
        if isinstance(event, RunbookExamined):
            self.info = with_runbook(self.info, event.runbook)
        else:
            self._examined.take(event, self.info)

    def alerted(self, event: AlertObserved) -> None:
        """An alert was seen in a new state."""
        if len(self._observed) < 10 * _MAX_KEPT:
            self._observed.append(event)
            self._places.append(len(self._timeline))

    def noted(self, note: Note) -> None:
        """Somebody said something."""
        self._notes.append(note)
        self.say(note.at, "Note", f"{note.author}: {note.text}", "note")

    def followed(self, event: RunbookStep) -> None:
        """Somebody came to a step of a runbook."""
        if len(self._followed) < _MAX_KEPT:
            self._followed.append(event)
        if event.step.outcome is StepOutcome.DONE and not event.step.note:
            return  # the table of steps says it
        tone = "bad" if event.step.outcome in _COMPLAINTS else "note"
        self.say(event.at, "Runbook", say_step(event), tone)

    def predicted(self, event: PredictionMade) -> None:
        """Somebody said what would happen."""
        if len(self._predicted) < _MAX_KEPT:
            self._predicted.append(event)

    def marked(self, event: MarkSet) -> None:
        """Somebody said how far they had come."""
        if len(self._marks) < _MAX_KEPT:
            self._marks.append(event)
        kind = event.mark.value.replace("-", " ").capitalize()
        self.say(event.at, kind, ": ".join(filter(None, (event.author, event.text))), "note")

    def recovered(self, event: RecoveryMeasured) -> None:
        """It was measured how long the steady state took to come back."""
        self._recovery = Recovery(event.recovered, event.seconds, event.within_s)
        if event.seconds is not None:
            self.say(event.at, "Recovered", f"steady again {duration(event.seconds)} after the undo", "good")
        else:
            self.say(event.at, "Not recovered", "the steady state did not come back in time", "bad")

    def found(self, event: FindingRaised) -> None:
        """A finding."""
        action = action_id(self.info.path, event.kind, event.title) if event.weakness else None
        self._findings.append(
            Finding(self.index, event.kind, event.title, event.detail, event.weakness, event.suggested_owner, action)
        )

    def tripped(self, event: GuardTripped) -> None:
        """The guard ended the run."""
        self._guards.append(event)
        if not self._timeline or event.detail not in self._timeline[-1].text:  # the abort says it already
            self.say(event.at, "Guard", event.detail, "bad")

    def ended(self, event: ExperimentEnded) -> None:
        """It ended."""
        self._end = event
        self.say(event.at, "End", event.verdict.value.replace("-", " "))

    # -- the view

    def frozen(self, journal_end: float) -> ExperimentReport:
        """What is known when the journal ends, at `journal_end`."""
        injected_at = self._injected_at()
        faults = tuple(freeze_fault(fault, self.info.steps) for fault in self._faults.values())
        status, rows = self._status(faults), tabulate(self.info, self._judged)
        rules = self._examined.rules(was_injected=injected_at is not None)
        cut_at = None if status in (Status.HELD, Status.WEAKNESS) else self._undo_at(journal_end)
        alerts = summarise_alerts(self.info.alerts, self._observed, injected_at, self._examined.alerts, rules, cut_at)
        timeline = self._lines(injected_at)
        return ExperimentReport(
            index=self.index,
            info=self.info,
            status=status,
            reason=self._end.reason if self._end else "",
            start=self._start,
            end=self._end.at if self._end else None,
            injected_at=injected_at,
            rows=rows,
            series=self._freeze_series(),
            phases=self._freeze_phases(self._end.at if self._end else journal_end),
            stages=tuple(freeze_stage(*pair) for pair in self._stages.values()),
            faults=faults,
            activities=tuple(freeze_activity(*pair) for pair in self._activities.values()),
            alerts=alerts,
            dashboards=self._examined.dashboards(),
            on_call=tuple(self._examined.on_call),
            notes=tuple(self._notes),
            followed=tuple(self._followed),
            predictions=predictions(
                self._predicted,
                Shown(self.info, status, injected_at, rows, alerts, tuple(self._observed), self._examined.has_source),
            ),
            marks=tuple(self._marks),
            recovery=self._recovery,
            findings=tuple(self._findings),
            guards=tuple(self._guards),
            timeline=tuple(timeline[:_MAX_KEPT]),
            timeline_left_out=self._left_out + len(timeline[_MAX_KEPT:]),
            rollbacks_failed=self._rollbacks_failed,
            rollbacks_open=self._rollbacks_open,
            saw_alerts=self._examined.has_source or bool(self._observed),
        )

    def _lines(self, injected_at: float | None) -> list[Entry]:
        """The timeline, with what was seen of alerts where it was seen among what is of the same moment."""
        lines = [(entry.at, place, 1, entry) for place, entry in enumerate(self._timeline)]
        for number, entry in alert_entries(self._observed, injected_at):
            lines.append((entry.at, self._places[number], 0, entry))
        return [entry for *_, entry in sorted(lines, key=lambda line: line[:3])]

    def _undo_at(self, journal_end: float) -> float:
        """When the undo began, else when it ended."""
        end = journal_end if self._end is None else self._end.at
        return next((event.at for event in self._phases if event.phase is Phase.UNDO), end)

    def _injected_at(self) -> float | None:
        """When the first fault's injection, or the method's first action, began."""
        moments = [freeze_fault(fault, self.info.steps).start for fault in self._faults.values()]
        moments += [
            started.at
            for started, _ in self._activities.values()
            if started.section == "method" and started.kind == "action"
        ]
        return min(moments, default=None)

    def _status(self, faults: tuple[Fault, ...]) -> Status:
        if self._end:
            status = Status.of(self._end.verdict)
            # What a later recover has undone is no longer in place.
            left = self._rollbacks_failed or self._rollbacks_open or any(fault.undone_at is None for fault in faults)
            if status is Status.UNDO_FAILED and not left:
                return Status.ABORTED
            return status
        return Status.NOT_RUN if self._start is None else Status.INTERRUPTED

    def _freeze_series(self) -> tuple[Series, ...]:
        order = [condition.signal for condition in self.info.conditions]
        names = sorted(self._series, key=lambda name: order.index(name) if name in order else len(order))
        frozen = []
        for name in names:
            recorder = self._series[name]
            conditions = tuple(condition for condition in self.info.conditions if condition.signal == name)
            units = [unit_of(condition.unit) for condition in conditions if not condition.relative]
            frozen.append(
                Series(
                    signal=name,
                    unit=units[0] if units else usual_unit(name),
                    width_s=recorder.width_s,
                    buckets=recorder.frozen(),
                    baseline=self.baseline.get(name),
                    conditions=conditions,
                    windows=recorder.windows(),
                )
            )
        return tuple(frozen)

    def _freeze_phases(self, end: float) -> tuple[PhaseSpan, ...]:
        ends = [*(event.at for event in self._phases[1:]), end]
        return tuple(
            PhaseSpan(event.phase.value, event.at, max(event.at, until))
            for event, until in zip(self._phases, ends, strict=False)
        )
