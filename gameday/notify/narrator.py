"""What there is to say of a session's events, plain and in order, and where the session is. Pure; no I/O, no clock."""

from collections import deque
from collections.abc import Iterator, Sequence

from gameday.journal.events import (
    AbortRequested,
    ActivityEnded,
    ActivityStarted,
    AlertObserved,
    AnyEvent,
    By,
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
    MarkSet,
    NoteAdded,
    Outcome,
    Phase,
    PreflightChecked,
    ReadingState,
    RecoveryMeasured,
    RollbacksEnded,
    SessionEnded,
    SessionStarted,
    SignalsSampled,
    StageEnded,
    StageStarted,
    UndoEnded,
    Verdict,
)
from gameday.journal.state import RunState
from gameday.notify.base import VERDICTS, Detail, Kind, Level, SignalBar, Status
from gameday.spec.model import Unit
from gameday.spec.units import format_duration, format_value

_BAR = 20  # values of a signal that are kept
_MOST_NAMED = 20  # of a list of names
_FEW = 5  # names that are counted at a glance
_LEVELS = {
    Verdict.HELD: Level.GOOD,
    Verdict.WEAKNESS: Level.WARNING,
    Verdict.NOT_STARTED: Level.WARNING,
    Verdict.ABORTED: Level.BAD,
    Verdict.UNDO_FAILED: Level.BAD,
}
_PHASES = {
    Phase.BRIEF: "about to begin",
    Phase.PREFLIGHT: "looking before anything is touched",
    Phase.BASELINE: "recording the baseline",
    Phase.INJECT: "injecting",
    Phase.HOLD: "holding",
    Phase.JUDGE: "judging",
    Phase.UNDO: "undoing",
    Phase.RECOVERY: "waiting for recovery",
    Phase.DEBRIEF: "over",
}


def names(found: Sequence[str]) -> str:
    """The names, as many as can be read."""
    more = len(found) - _MOST_NAMED
    return ", ".join(found[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _counted(found: Sequence[str]) -> str:
    """The names of what was hit; how many they are stands first, where a text that is too long is not cut."""
    return f"{len(found)} in all: {names(found)}" if len(found) > _FEW else names(found)


class Narrator:
    """Takes a session's events, and says what each means to people who read along."""

    def __init__(self) -> None:
        self._state = RunState()
        self._session: SessionStarted | None = None
        self._experiment: int | None = None
        self._stage: StageStarted | None = None
        self._faults: dict[str, FaultPlanned] = {}
        self._actions: dict[int, ActivityStarted] = {}
        self._injected_at: float | None = None  # the experiment's first injection
        self._wrong: list[str] = []  # what was not as it should be in the stage that is judged
        self._checks: list[PreflightChecked] = []
        self._findings: list[FindingRaised] = []
        self._alerts: dict[str, str] = {}  # of this experiment: the last state of each
        self._values: dict[str, deque[float | None]] = {}
        self._last: dict[str, str] = {}  # of each signal: in words, where it cannot be read

    def take(self, event: AnyEvent) -> tuple[Detail, ...]:
        """What is to be said of this event, if anything."""
        self._state.apply(event)
        if isinstance(event, SessionStarted):
            self._session = event
        if self._session is None:
            return ()
        self._note(event)
        return (*self._checked(event), *self._of_session(event), *self._of_method(event), *self._of_people(event))

    def _note(self, event: AnyEvent) -> None:
        match event:
            case ExperimentStarted():
                self._experiment, self._stage, self._injected_at = event.experiment, None, None
                for kept in (self._alerts, self._values, self._last, self._wrong, self._findings):
                    kept.clear()
            case StageStarted():
                self._stage = event
                self._wrong.clear()
            case FaultPlanned():
                self._faults[event.fault_id] = event
                self._injected_at = self._injected_at or event.at
            case HypothesisJudged(when="during"):
                self._wrong += [
                    f"{one.subject} {one.condition}: {one.outcome}"
                    for one in event.judgements
                    if one.outcome is not Outcome.HELD
                ]
            case ActivityStarted(section="method", kind="action"):
                self._injected_at = self._injected_at or event.at
            case FindingRaised(weakness=True):
                self._findings.append(event)
            case SignalsSampled():
                for reading in event.readings:
                    is_read = reading.state is ReadingState.OK
                    self._values.setdefault(reading.signal, deque(maxlen=_BAR)).append(
                        reading.value if is_read else None
                    )
                    self._last[reading.signal] = str(reading.state)

    # -- what happened

    def _checked(self, event: AnyEvent) -> Iterator[Detail]:
        """What preflight found, once it is over."""
        if isinstance(event, PreflightChecked):
            self._checks.append(event)
        elif self._checks and isinstance(event, ExperimentStarted | SessionEnded | AbortRequested):
            wrong = [check for check in self._checks if check.outcome is not CheckOutcome.OK]
            failed = [check for check in wrong if check.outcome is CheckOutcome.FAILURE]
            count, self._checks = len(self._checks), []
            level = Level.BAD if failed else Level.WARNING if wrong else Level.GOOD
            # Experiments that want the same are told the same: once is enough.
            lines = tuple(dict.fromkeys(f"{one.outcome}: {one.check}: {one.detail}" for one in (*failed, *wrong)))
            bad = len({(one.check, one.detail) for one in failed})
            found = _some(f"{bad} failed" if bad else "") + _some(_warnings(len(lines) - bad))
            title = f"Preflight: {', '.join(found) or 'all is well'} ({count} checks)"
            yield self._detail(Kind.PREFLIGHT, title, event.at, lines, level)

    def _of_method(self, event: AnyEvent) -> Iterator[Detail]:
        match event:
            case FaultInjected():
                fault = self._faults.get(event.fault_id)
                targets = (f"hit: {_counted(fault.targets)}",) if fault else ()
                title = f"Injected: {self._fault(event.fault_id)}{self._of_stage()}"
                yield self._detail(Kind.INJECTION, title, event.at, targets, Level.WARNING)
            case FaultRefused():
                what = f": {self._fault(event.fault_id)}" if event.fault_id in self._faults else ""
                yield self._detail(Kind.REFUSAL, f"Not injected{what}", event.at, (event.reason,), Level.WARNING)
            case ActivityStarted(section="method", kind="action"):
                self._actions[event.activity] = event
            case ActivityEnded() if started := self._actions.pop(event.activity, None):
                well = event.status == "succeeded"
                level = Level.WARNING if well else Level.BAD
                lines = _some("" if well else event.error)
                yield self._detail(Kind.ACTION, f"Action {started.name}: {event.status}", event.at, lines, level)
            case StageEnded():
                stage, self._stage = self._stage, None
                where = f"Stage {_place(stage)}" if stage else "The stage"
                title = f"{where}: the steady state {'held' if event.held else 'did NOT hold'}"
                level = Level.GOOD if event.held else Level.WARNING
                yield self._detail(Kind.STAGE, title, event.at, tuple(dict.fromkeys(self._wrong)), level)
            case AlertObserved() if not event.existed_before:
                yield from self._alert(event)
            case UndoEnded():
                name = self._fault(event.fault_id)
                if event.undone:
                    title = f"Undone and verified in {event.took_s:.1f} s: {name}"
                    yield self._detail(Kind.UNDO, title, event.at, (), Level.GOOD)
                else:
                    left = _some(f"still there: {_counted(event.left)}" if event.left else "")
                    left += self._how_to_recover()
                    yield self._detail(Kind.UNDO, f"NOT undone: {name}", event.at, left, Level.BAD, self._pair())
            case RollbacksEnded() if event.failed:
                yield self._detail(Kind.UNDO, f"Rollbacks FAILED: {names(event.failed)}", event.at, (), Level.BAD)
            case RecoveryMeasured():
                well = event.recovered and event.seconds is not None
                title = f"Steady again {event.seconds:.1f} s after the undo" if well else "NOT steady again in time"
                yield self._detail(Kind.RECOVERY, title, event.at, (), Level.GOOD if well else Level.WARNING)

    def _of_people(self, event: AnyEvent) -> Iterator[Detail]:
        match event:
            case NoteAdded():
                yield self._detail(Kind.NOTE, f"Note by {event.author}", event.at, (event.text,))
            case MarkSet():
                mark = event.mark.replace("-", " ")
                yield self._detail(Kind.MARK, f"{mark}, says {event.author}", event.at, _some(event.text))
            case AbortRequested():
                by = f" by {event.by}" if event.by else ""
                title = f"ABORT{by}: {event.reason or 'it was asked for'}"
                undone = ("What is in place is being undone",)
                yield self._detail(Kind.ABORT, title, event.at, undone, Level.BAD, self._pair(everybody=True))
            case GuardianStarted():
                who = "the guardian has taken over" if event.by is By.GUARDIAN else "it is recovered"
                title = f"ABORT: {event.reason}, and {who}"
                yield self._detail(Kind.ABORT, title, event.at, (), Level.BAD, self._pair(everybody=True))

    def _of_session(self, event: AnyEvent) -> Iterator[Detail]:
        match event:
            case SessionStarted():
                yield self._detail(Kind.BRIEF, f"{event.title}, on {event.environment}", event.at, _brief(event))
            case ExperimentStarted():
                yield self._begins(event)
            case ExperimentEnded():
                info = self._info()
                title = f"{info.title if info else 'The experiment'}: {VERDICTS[event.verdict]}"
                # The reason is the title of the first finding, if any.
                reason = _some("" if event.reason in {found.title for found in self._findings} else event.reason)
                lines = [*reason, *(_finding(found) for found in self._findings)]
                yield self._detail(Kind.VERDICT, title, event.at, tuple(dict.fromkeys(lines)), _LEVELS[event.verdict])
            case SessionEnded():
                assert self._session is not None
                title = f"{self._session.title}: {VERDICTS[event.verdict]}"
                took = (*_some(event.reason), f"it took {_seconds(event.at - self._session.at)}")
                yield self._detail(Kind.END, title, event.at, took, _LEVELS[event.verdict])

    def _begins(self, event: ExperimentStarted) -> Detail:
        info, session = self._info(), self._session
        assert session is not None
        count = len(session.experiments)
        of = f" ({event.experiment + 1} of {count})" if count > 1 else ""
        lines = [info.hypothesis] if info and info.hypothesis else []
        if info and (info.builder or info.sre):
            lines.append(f"builder {info.builder or 'nobody'}, SRE {info.sre or 'nobody'}")
        title = f"Begins: {info.title if info else event.experiment}{of}"
        return self._detail(Kind.EXPERIMENT, title, event.at, tuple(lines), Level.INFO, self._pair())

    def _alert(self, event: AlertObserved) -> Iterator[Detail]:
        if self._alerts.get(event.name) == event.state:
            return  # on another instance, say: once is enough
        self._alerts[event.name] = str(event.state)
        after = f" {event.at - self._injected_at:.1f} s after the injection" if self._injected_at else ""
        by = f" by {event.by}" if event.by else ""
        unexpected = "" if event.expected else ", which nobody expected"
        level = Level.WARNING if event.state in ("firing", "notified") else Level.INFO
        title = f"Alert {event.name} {event.state}{by}{after}{unexpected}"
        yield self._detail(Kind.ALERT, title, event.at, _some(event.summary), level)

    def _detail(
        self,
        kind: Kind,
        title: str,
        at: float,
        lines: tuple[str, ...] = (),
        level: Level = Level.INFO,
        mentions: tuple[str, ...] = (),
    ) -> Detail:
        assert self._session is not None
        return Detail(kind, title, at, max(0.0, at - self._session.at), lines, level, mentions)

    def _info(self) -> ExperimentInfo | None:
        infos = self._session.experiments if self._session else ()
        return infos[self._experiment] if self._experiment is not None and self._experiment < len(infos) else None

    def _how_to_recover(self) -> tuple[str, ...]:
        """Not the fault's own command: in a channel, what would format is shown as something else."""
        assert self._session is not None
        name, host = self._session.session, self._session.host
        return (f"To try again: gameday recover {name}, on {host}; it says how to do it by hand",)

    def _fault(self, fault_id: str) -> str:
        fault = self._faults.get(fault_id)
        return fault.description or fault.fault if fault else fault_id

    def _of_stage(self) -> str:
        stage = self._stage
        return f", stage {stage.stage + 1} of {stage.stages}" if stage and stage.stages > 1 else ""

    def _pair(self, *, everybody: bool = False) -> tuple[str, ...]:
        """Whose moment it is: the pair of the experiment that is on, with the facilitator."""
        info, people = self._info(), self._session.people if self._session else None
        pair = [info.builder, info.sre] if info else []
        return tuple(dict.fromkeys(filter(None, [*pair, people.facilitator if people and everybody else None])))

    # -- where it is

    def status(self, now: float) -> Status | None:
        """Where the session is at this Unix time; None before it has begun."""
        session, state, info = self._session, self._state, self._info()
        if session is None:
            return None
        words, level = self._words()
        ended = state.ended
        stage = f"stage {_place(self._stage)}" if self._stage and not ended else ""
        in_place = tuple(
            f"{fault.description or fault.fault}: {_counted(fault.targets)}" for fault in state.faults.values()
        )
        count = len(session.experiments)
        of = f" ({(self._experiment or 0) + 1} of {count})" if count > 1 else ""
        pair = " and ".join(filter(None, (info.builder, info.sre))) if info else ""
        people = session.people
        lead = "; ".join(filter(None, (f"led by {people.facilitator}" if people.facilitator else "", pair)))
        return Status(
            session=session.session,
            title=session.title,
            environment=session.environment,
            state=words,
            elapsed_s=max(0.0, (ended.at if ended else now) - session.at),
            level=level,
            key=(words, stage, *in_place, str(self._experiment)),
            experiment=f"{info.title}{of}" if info and not ended else "",
            stage=stage,
            in_place=in_place,
            signals=() if ended else tuple(self._bars(info)),
            alerts=tuple(f"{name} {alert}" for name, alert in self._alerts.items()),
            lead=lead,
            verdict=ended.verdict if ended else None,
        )

    def _words(self) -> tuple[str, Level]:
        state = self._state
        if state.ended is not None:
            reason = f": {state.ended.reason}" if state.ended.reason else ""
            return f"{VERDICTS[state.ended.verdict]}{reason}", _LEVELS[state.ended.verdict]
        if state.abort is not None:
            return f"aborted: {state.abort.reason}", Level.BAD
        phase = _PHASES.get(state.phase.phase, str(state.phase.phase)) if state.phase else _PHASES[Phase.BRIEF]
        return phase, Level.WARNING if state.faults else Level.INFO

    def _bars(self, info: ExperimentInfo | None) -> Iterator[SignalBar]:
        for condition in info.conditions if info else ():
            values = self._values.get(condition.signal)
            if condition.role != "hypothesis" or not values:
                continue
            last, unit = values[-1], _unit(condition)
            shown = format_value(last, unit) if last is not None else self._last[condition.signal]
            wanted = f"change {condition.text}" if condition.relative else condition.text
            yield SignalBar(condition.signal, tuple(values), shown, wanted, last is not None)


def _place(stage: StageStarted) -> str:
    return f"{stage.stage + 1} of {stage.stages} (blast radius {stage.radius})"


def _warnings(count: int) -> str:
    return f"{count} warning{'s' if count > 1 else ''}" if count else ""


def _unit(condition: ConditionInfo) -> Unit | str:
    """A change is a ratio of rates; what is sampled is the rate."""
    return Unit.PER_SECOND if condition.relative else condition.unit


def _brief(session: SessionStarted) -> tuple[str, ...]:
    people = session.people
    roles = (
        ("facilitator", filter(None, [people.facilitator])),
        ("builders", people.builders),
        ("SREs", people.sres),
        ("scribe", filter(None, [people.scribe])),
        ("observers", people.observers),
    )
    who = [
        f"{role}: {names(tuple(handles))}" for role, handles in ((role, [*found]) for role, found in roles) if handles
    ]
    experiments = [f"{number}. {info.title}" for number, info in enumerate(session.experiments[:_MOST_NAMED], 1)]
    more = len(session.experiments) - _MOST_NAMED
    return (
        *who,
        *experiments,
        *((f"and {more} more",) if more > 0 else ()),
        f"To stop it: gameday abort {session.session}, on {session.host}; or Ctrl-C where it runs",
    )


def _finding(found: FindingRaised) -> str:
    return f"{found.title}: {found.detail}" if found.detail else found.title


def _some(text: str) -> tuple[str, ...]:
    return (text,) if text else ()


def _seconds(seconds: float) -> str:
    return format_duration(max(0.0, float(round(seconds))))
