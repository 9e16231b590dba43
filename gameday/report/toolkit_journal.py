"""A run as the Chaos Toolkit's own journals, one for each experiment, for the tools that read these.

Format: https://chaostoolkit.org/reference/api/journal/, in the shape that chaoslib 1.45 writes (chaoslib.run,
`initialize_run_journal`; chaoslib.activity, `execute_activity`). Faults stand among the actions, and their undos among
the rollbacks. What cannot be said in it (signals sampled, alerts, findings) is left out.
"""

import json
import platform
import socket
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from gameday.chaostoolkit.export import ACTIONS, PROBES, action_of
from gameday.common.json import Json, JsonObject
from gameday.journal.events import (
    TOLERANCE,
    AbortRequested,
    ActivityEnded,
    ActivityStarted,
    AnyEvent,
    ExperimentEnded,
    ExperimentInfo,
    ExperimentStarted,
    FaultInjected,
    FaultPlanned,
    FaultRefused,
    HypothesisJudged,
    Judgement,
    Outcome,
    SessionEnded,
    SessionStarted,
    StepInfo,
    UndoEnded,
    UndoStarted,
    Verdict,
)
from gameday.journal.log import read_events
from gameday.report.format import moment
from gameday.spec.conditions import CHANGE

# Somebody wanted the end, as opposed to what went wrong.
_WANTED = frozenset({"signal", "command", "stop-switch", "activity"})


def toolkit_journals(run_directory: Path) -> tuple[JsonObject, ...]:
    """A journal for each experiment of the run in this directory, in their order. Raises JournalError."""
    session: SessionStarted | None = None
    builders: list[_Builder] = []
    faults: dict[str, _Builder] = {}
    end = 0.0
    for event in read_events(run_directory):
        end = event.at
        match event:
            case SessionStarted():
                session = event
                builders = [_Builder(info, event) for info in event.experiments]
            case FaultPlanned() if event.experiment in range(len(builders)):
                faults[event.fault_id] = builders[event.experiment]
                faults[event.fault_id].apply(event)
            case FaultInjected() | FaultRefused() | UndoStarted() | UndoEnded():
                if builder := faults.get(event.fault_id):
                    builder.apply(event)
            case AbortRequested() | SessionEnded():
                for builder in builders:
                    builder.apply(event)
            case _:
                index = getattr(event, "experiment", None)
                if index is not None and index in range(len(builders)):
                    builders[index].apply(event)
    return tuple(builder.journal(end) for builder in builders) if session else ()


class _Builder:
    """One experiment's, growing by one event at a time."""

    def __init__(self, info: ExperimentInfo, session: SessionStarted) -> None:
        self._info = info
        self._session = session
        self._definitions = {
            str(definition["name"]): definition for definition in _activities(info.document) if "name" in definition
        }
        self._start = self._end = session.at
        self._ended: ExperimentEnded | None = None
        self._over: SessionEnded | None = None
        self._abort: AbortRequested | None = None
        self._before: JsonObject | None = None
        self._after: JsonObject | None = None
        self._during: list[Json] = []
        self._has_deviated = False
        self._run: list[Json] = []
        self._rollbacks: list[Json] = []
        self._open: dict[int | str, JsonObject] = {}  # activities, faults and undos that have begun
        self._begun: dict[int | str, float] = {}
        self._asked: dict[str, JsonObject] = {}  # probes of the hypothesis since it was last judged, by name

    def apply(self, event: AnyEvent) -> None:  # noqa: PLR0912 - one flat match reads best
        """Take one event in."""
        match event:
            case ExperimentStarted():
                self._start = event.at
            case ActivityStarted():
                entry = self._begin(event.activity, event.at, self._definition(event))
                if event.section != "hypothesis":
                    (self._rollbacks if event.section == "rollback" else self._run).append(entry)
            case ActivityEnded() if event.activity in self._open:
                self._end_activity(event)
            case FaultPlanned():
                self._run.append(self._begin(event.fault_id, event.at, self._fault(event)))
                self._open[event.fault_id]["output"] = _reach(event)
            case FaultInjected() | FaultRefused() if event.fault_id in self._open:
                self._finish(event.fault_id, event.at, event.reason if isinstance(event, FaultRefused) else "")
            case UndoStarted():
                entry = self._begin(f"undo {event.fault_id}", event.at, self._undo(event.fault_id))
                self._rollbacks.append(entry)
            case UndoEnded() if f"undo {event.fault_id}" in self._open:
                self._open[f"undo {event.fault_id}"]["output"] = {
                    "undone": event.undone,
                    "attempts": event.attempts,
                    "left": list(event.left),
                }
                self._finish(f"undo {event.fault_id}", event.at, "; ".join(event.left) if not event.undone else "")
            case HypothesisJudged():
                self._judged(event)
            case AbortRequested():
                self._abort = self._abort or event
            case ExperimentEnded():
                self._ended, self._end = event, event.at
            case SessionEnded():
                self._over = event
            case _:
                pass

    def _begin(self, key: int | str, at: float, definition: JsonObject) -> JsonObject:
        entry: JsonObject = {"activity": definition, "output": None, "start": _iso(at)}
        self._open[key] = entry
        self._begun[key] = at
        return entry

    def _finish(self, key: int | str, at: float, error: str, took_s: float | None = None) -> None:
        entry = self._open.pop(key)
        entry["status"] = "failed" if error else "succeeded"
        if error:
            entry["exception"] = [f"{error}\n"]
        entry["end"] = _iso(at)
        entry["duration"] = round(at - self._begun.pop(key), 6) if took_s is None else took_s

    def _end_activity(self, event: ActivityEnded) -> None:
        entry = self._open[event.activity]
        failed = event.status != "succeeded"
        entry["output"] = None if failed else _output(event.output)
        error = (event.error or event.status) if failed else ""
        self._finish(event.activity, event.at, error, event.took_s)
        activity = entry["activity"]
        assert isinstance(activity, dict)
        self._asked[str(activity["name"])] = entry

    def _judged(self, event: HypothesisJudged) -> None:
        if not event.judgements:
            return  # there was nothing to ask, and the Toolkit asks nothing
        state: JsonObject = {
            "steady_state_met": event.held,
            "probes": [self._probe(judgement, event.at) for judgement in event.judgements],
        }
        self._asked.clear()
        if event.when == "before":
            self._before = state
            return
        self._has_deviated = self._has_deviated or not event.held
        if event.ended or (event.when == "after" and self._after is None):
            self._after = state  # the Toolkit's is the one that the method has led to
        elif event.when == "during":
            self._during.append(state)

    def _probe(self, judgement: Judgement, at: float) -> JsonObject:
        unreadable = judgement.outcome is Outcome.UNREADABLE
        entry = self._asked.get(judgement.subject) if judgement.condition == TOLERANCE else None
        if entry is None:
            definition = {**self._signal(judgement.subject, judgement.condition)}
            entry = self._begin("signal", at, definition)
            entry["output"] = judgement.worst
            self._finish("signal", at, (judgement.detail or "it could not be read") if unreadable else "")
        return {**entry, "tolerance_met": judgement.outcome is Outcome.HELD}

    def _definition(self, event: ActivityStarted) -> JsonObject:
        if event.name in self._definitions:
            return dict(self._definitions[event.name])
        return {"type": event.kind, "name": event.name, "provider": self._ours()}

    def _fault(self, event: FaultPlanned) -> JsonObject:
        steps = self._info.steps
        step = steps[event.step] if 0 <= event.step < len(steps) else None
        radius = f", stage {event.stage + 1}" if event.stage else ""
        arguments: JsonObject = {}
        if step and step.target:
            caller, _, service = step.target.rpartition(" → ")
            arguments = {"service": service, **({"caller": caller} if caller else {})}
        if step and event.stage in range(len(step.ladder)):
            arguments["radius"] = step.ladder[event.stage]
        name = f"{step.name if step else event.fault}{radius}"
        return {"type": "action", "name": name, "provider": _provider(ACTIONS, action_of(event.fault), arguments)}

    def _undo(self, fault_id: str) -> JsonObject:
        return {"type": "action", "name": f"undo {fault_id}", "provider": _provider(ACTIONS, "undo_all", {})}

    def _signal(self, subject: str, condition: str) -> JsonObject:
        service, _, signal = subject.partition(".")
        relative = condition.startswith("change ")
        if relative:
            signal = f"{signal.partition('.')[0]}.{CHANGE}"
        arguments = {"service": service, "signal": signal, "condition": condition.removeprefix("change ")}
        provider = _provider(PROBES, "signal_holds", arguments)
        return {"type": "probe", "name": subject, "tolerance": condition, "provider": provider}

    def _ours(self) -> JsonObject:
        """The provider of an activity whose own is not known, from a journal that does not say it: how it was done."""
        return {"type": "process", "path": "gameday", "arguments": ["run", self._session.path]}

    def journal(self, end: float) -> JsonObject:
        """All of it; `end` is the time of the run's last event."""
        finished = self._end if self._ended else end
        for key in list(self._open):
            self._finish(key, finished, "it was not finished")
        try:
            library = version("chaostoolkit-lib")
        except PackageNotFoundError:
            library = "unknown"
        here = self._session.host == socket.gethostname()
        journal: JsonObject = {
            "chaoslib-version": library,
            "platform": platform.platform() if here else "unknown",
            "node": self._session.host,
            "experiment": self._experiment(),
            "start": _iso(self._start),
            "status": self._status(),
            "deviated": self._has_deviated,
            "steady_states": {"before": self._before, "after": self._after, "during": self._during},
            "run": self._run,
            "rollbacks": self._rollbacks,
            "end": _iso(finished),
            "duration": round(finished - self._start, 6),
        }
        if journal["status"] == "interrupted" and self._abort:  # as the Toolkit's own command says it (since 1.21)
            kind = "signal" if self._abort.source == "signal" else "control"
            journal["interruption"] = {"kind": kind, "name": self._abort.source, "reason": self._abort.reason}
        return journal

    def _status(self) -> str:
        """One that was not started is "failed" only where the hypothesis says why: readers (chaostoolkit.agent) take a
        run with this status for a good one unless a hypothesis was not met, or could not be judged."""
        verdict = self._ended.verdict if self._ended else self._over.verdict if self._over else Verdict.ABORTED
        if verdict is Verdict.ABORTED or (self._abort and verdict is Verdict.UNDO_FAILED):
            return "interrupted" if self._abort and self._abort.source in _WANTED else "aborted"
        if verdict is Verdict.NOT_STARTED and (self._before is None or self._before["steady_state_met"]):
            return "aborted"
        if verdict in (Verdict.NOT_STARTED, Verdict.UNDO_FAILED) or _has_failed(self._after):
            return "failed"
        return "completed"

    def _experiment(self) -> JsonObject:
        """As the user wrote it, with our own keys in the Toolkit's words; of an older journal, what it says."""
        info = self._info
        written = {key: value for key, value in info.document.items() if key not in ("service", "expect", "timing")}
        written.pop("abort-when", None)
        experiment: JsonObject = {"title": info.title, "description": info.description or info.title, **written}
        experiment["method"] = list(self._method(written.get("method")))
        hypothesis = written.get("steady-state-hypothesis")
        conditions = [item for item in info.conditions if item.role == "hypothesis"]
        if conditions:
            probes = hypothesis.get("probes") if isinstance(hypothesis, dict) else None
            signals: list[Json] = [
                self._signal(item.signal, f"change {item.text}" if item.relative else item.text) for item in conditions
            ]
            experiment["steady-state-hypothesis"] = {
                "title": info.hypothesis or info.title,
                "probes": signals + (probes if isinstance(probes, list) else []),
            }
        experiment.setdefault("dry", None)  # where the Toolkit keeps its option of this name
        return experiment

    def _method(self, written: Json) -> Iterator[Json]:
        steps: Iterable[StepInfo] = self._info.steps
        if not isinstance(written, list):
            for step in steps:
                kind = "probe" if step.kind == "probe" else "action"
                yield {"type": kind, "name": step.name, "provider": self._ours()}
            return
        for definition, step in zip(written, steps, strict=False):
            if step.kind != "fault":
                yield definition
                continue
            provider = _provider(ACTIONS, action_of(step.fault or ""), {"service": step.target})
            yield {"type": "action", "name": step.name, "provider": provider}


def _provider(module: str, function: str, arguments: JsonObject) -> JsonObject:
    """That of the activity which `gameday export` writes for it."""
    return {"type": "python", "module": module, "func": function, **({"arguments": arguments} if arguments else {})}


def _activities(document: JsonObject) -> Iterator[JsonObject]:
    hypothesis = document.get("steady-state-hypothesis")
    probes = hypothesis.get("probes") if isinstance(hypothesis, dict) else None
    for section in (document.get("rollbacks"), document.get("method"), probes):
        for activity in section if isinstance(section, list) else ():
            if isinstance(activity, dict) and "provider" in activity:
                yield activity


def _reach(event: FaultPlanned) -> JsonObject:
    return {
        "description": event.description,
        "targets": list(event.targets),
        "affected": event.affected,
        "total": event.total,
        "unit": event.unit,
    }


def _output(text: str) -> Json:
    """What the activity returned; where it was shortened, the JSON text as far as it goes."""
    try:
        value: Json = json.loads(text) if text else None
    except ValueError:
        return text
    return value


def _has_failed(state: JsonObject | None) -> bool:
    """Whether a probe could not be asked: the Toolkit then calls the run failed."""
    probes = state["probes"] if state else []
    assert isinstance(probes, list)
    return any(isinstance(probe, dict) and probe["status"] == "failed" for probe in probes)


def _iso(at: float) -> str:
    return moment(at).isoformat()
