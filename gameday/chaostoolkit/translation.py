"""Turns what the Chaos Toolkit says of a run, while it lasts or in its journal, into our events.

Sources: the events of `chaoslib.run.RunEventHandler`, and https://chaostoolkit.org/reference/api/journal/. Nothing of
chaoslib is imported: a listener is called by what it is named.
"""

import itertools
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import partial
from typing import Any

from gameday.chaostoolkit.output import Masker, failure_of
from gameday.chaostoolkit.variables import loaded_secrets
from gameday.common.json import JsonObject
from gameday.journal.events import (
    TOLERANCE,
    ActivityEnded,
    ActivityStarted,
    AnyEvent,
    HypothesisJudged,
    Judgement,
    Outcome,
    Phase,
    PhaseEntered,
)

_MAX_DETAIL = 200  # characters of a probe's output in a judgement


class Translator:
    """Words of the Toolkit in ours, without secrets. `strict`: a rollback's program must exit with status 0, and its
    server answer with less than 400; the Toolkit takes either for an output."""

    def __init__(self, masker: Masker, *, experiment: int, strict: bool) -> None:
        self._masker = masker
        self._experiment = experiment
        self._strict = strict

    def learn(self, configuration: JsonObject, secrets: JsonObject) -> None:
        """Know the values of secrets as the Toolkit has loaded them."""
        self._masker.add(loaded_secrets(configuration or {}, secrets or {}))

    def phase(self, phase: Phase, at: float) -> PhaseEntered:
        """A phase of the experiment has begun."""
        return PhaseEntered(at=at, phase=phase, experiment=self._experiment)

    def started(self, activity: JsonObject, number: int, section: str, at: float) -> ActivityStarted:
        """An activity, by its definition, has begun."""
        return ActivityStarted(
            at=at,
            experiment=self._experiment,
            activity=number,
            name=self._masker.text(str(activity.get("name", ""))),
            kind=str(activity.get("type", "action")),
            section=section,
            background=bool(activity.get("background")),
        )

    def ended(self, run: JsonObject, number: int, section: str, cause: BaseException | None = None) -> ActivityEnded:
        """An activity has ended, as its entry in their journal says. `cause`: what it raised, where that is known."""
        status, error = run.get("status"), _error_of(run, cause)
        if section == "rollback" and self._strict and not error:
            error = failure_of(run.get("activity", {}), run.get("output")) or ""
        return ActivityEnded(
            at=moment(run["end"]) if "end" in run else time.time(),
            experiment=self._experiment,
            activity=number,
            status="failed" if error else "succeeded",
            took_s=round(float(run.get("duration", 0.0)), 6),
            output="" if status is None else self._masker.json(run.get("output")),
            error=self._masker.text(error),
            tolerance_met=run.get("tolerance_met"),
            interrupted=status is None,
        )

    def judged(self, state: JsonObject, when: str, at: float, *, ended: bool = False) -> HypothesisJudged:
        """The hypothesis was judged: its state in their journal."""
        return HypothesisJudged(
            at=at,
            experiment=self._experiment,
            when=when,
            held=bool(state.get("steady_state_met")),
            judgements=tuple(map(self._judgement, state.get("probes") or ())),
            ended=ended,
        )

    def _judgement(self, run: JsonObject) -> Judgement:
        if run.get("status") != "succeeded":
            outcome, detail = Outcome.UNREADABLE, self._masker.text(_error_of(run))
        else:
            outcome = Outcome.HELD if run.get("tolerance_met") else Outcome.BROKEN
            detail = self._masker.json(run.get("output"))[:_MAX_DETAIL]
        return Judgement(
            subject=self._masker.text(str(run.get("activity", {}).get("name", ""))),
            condition=TOLERANCE,
            outcome=outcome,
            samples=1,
            readable=int(outcome is not Outcome.UNREADABLE),
            detail=detail,
        )

    def journal(self, journal: JsonObject) -> Iterator[AnyEvent]:
        """All that their journal tells, in order of time but for what ran side by side."""
        numbers = itertools.count()
        states = journal.get("steady_states") or {}
        during = [(state, "during", False) for state in states.get("during") or ()]
        yield from self._steady_state(numbers, states.get("before"), "before")
        if journal.get("run"):
            yield self.phase(Phase.INJECT, moment(journal["run"][0]["start"]))
        yield from self._activities(numbers, journal.get("run") or (), "method")
        for state, when, ended in [*during, (states.get("after"), "during", True)]:
            yield from self._steady_state(numbers, state, when, ended=ended)
        if journal.get("rollbacks"):
            yield self.phase(Phase.UNDO, moment(journal["rollbacks"][0]["start"]))
        yield from self._activities(numbers, journal.get("rollbacks") or (), "rollback")

    def _steady_state(
        self, numbers: Iterator[int], state: JsonObject | None, when: str, *, ended: bool = False
    ) -> Iterator[AnyEvent]:
        probes = state.get("probes") if state else None
        if state and probes:
            yield from self._activities(numbers, probes, "hypothesis")
            yield self.judged(state, when, moment(probes[-1].get("end") or probes[-1]["start"]), ended=ended)

    def _activities(self, numbers: Iterator[int], runs: Iterable[JsonObject], section: str) -> Iterator[AnyEvent]:
        for run in runs:
            number = next(numbers)
            yield self.started(run.get("activity", {}), number, section, moment(run["start"]))
            yield self.ended(run, number, section)


# What is told: the event is made where it is called, so that an experiment need not wait while a long output is masked.
type Telling = Callable[[], AnyEvent]


class Listener:
    """Hears chaoslib's run (it is one of its event handlers) and tells it in our events, from whatever thread it is in.

    With `calls_off`, there are no rollbacks when the hypothesis does not hold before the method: nothing was done.
    """

    def __init__(
        self, tell: Callable[[Telling], None], translator: Translator, *, calls_off: bool, now: Callable[[], float]
    ) -> None:
        self._tell = tell
        self._translator = translator
        self._calls_off = calls_off
        self._now = now
        self._numbers = itertools.count()
        self._section = "hypothesis"
        self._continuous: int | None = None  # the thread that judges while the method runs
        self._open: dict[int, tuple[int, str]] = {}  # by thread: an activity runs in one to its end
        self.has_started = False
        self.reason = ""  # why the run was interrupted
        self.journal: JsonObject | None = None

    def _enter(self, section: str, phase: Phase) -> None:
        self._section = section
        self._tell(partial(self._translator.phase, phase, self._now()))

    def _judged(self, state: JsonObject | None, when: str, *, ended: bool = False) -> None:
        if state:
            self._tell(partial(self._translator.judged, state, when, self._now(), ended=ended))

    def started(self, experiment: JsonObject, journal: JsonObject) -> None:
        """The run has begun, its controls are not set up yet."""
        self.has_started = True

    def running(
        self,
        experiment: JsonObject,
        journal: JsonObject,
        configuration: JsonObject,
        secrets: JsonObject,
        schedule: Any,
        settings: JsonObject,
    ) -> None:
        """All is loaded, and nothing has been run yet."""
        self._translator.learn(configuration, secrets)

    def start_hypothesis_before(self, experiment: JsonObject) -> None:
        """The hypothesis is judged before the method."""
        self._enter("hypothesis", Phase.BASELINE)

    def hypothesis_before_completed(
        self, experiment: JsonObject, state: JsonObject | None, journal: JsonObject
    ) -> None:
        """It was."""
        self._judged(state, "before")
        if self._calls_off and state and not state["steady_state_met"]:
            experiment["rollbacks"] = []

    def start_method(self, experiment: JsonObject) -> None:
        """The method begins."""
        self._enter("method", Phase.INJECT)

    def start_continuous_hypothesis(self, frequency: float) -> None:
        """The hypothesis is judged in this thread, again and again."""
        self._continuous = threading.get_ident()

    def continuous_hypothesis_iteration(self, iteration_index: int, state: JsonObject | None) -> None:
        """It was, once more."""
        self._judged(state, "during")

    def start_hypothesis_after(self, experiment: JsonObject) -> None:
        """The hypothesis is judged after the method."""
        self._enter("hypothesis", Phase.JUDGE)

    def hypothesis_after_completed(self, experiment: JsonObject, state: JsonObject | None, journal: JsonObject) -> None:
        """It was."""
        self._judged(state, "during", ended=True)

    def start_rollbacks(self, experiment: JsonObject) -> None:
        """The rollbacks begin."""
        if experiment.get("rollbacks"):
            self._enter("rollback", Phase.UNDO)

    def start_activity(self, activity: JsonObject) -> None:
        """An activity begins, in this thread."""
        thread = threading.get_ident()
        section = "hypothesis" if thread == self._continuous else self._section
        number = next(self._numbers)
        self._open[thread] = (number, section)
        self._tell(partial(self._translator.started, activity, number, section, self._now()))

    def activity_completed(self, activity: JsonObject, run: JsonObject) -> None:
        """The activity of this thread has ended; what it raises, if anything, is on its way."""
        number, section = self._open.pop(threading.get_ident())
        self._tell(partial(self._translator.ended, run, number, section, sys.exception()))

    def interrupted(self, experiment: JsonObject, journal: JsonObject) -> None:
        """Something asked for the end of the experiment; what it raised is being handled."""
        self.reason = str(sys.exception() or "")

    def finish(self, journal: JsonObject) -> None:
        """The run is over, its controls are cleaned up."""
        self.journal = journal


def moment(text: str) -> float:
    """Seconds since the Unix epoch, of a time in their journal (ISO 8601)."""
    return datetime.fromisoformat(text).timestamp()


def _error_of(run: JsonObject, cause: BaseException | None = None) -> str:
    if run.get("status") == "succeeded":
        return ""
    lines = run.get("exception") or ()
    if lines:
        return str(lines[-1]).strip().replace("chaoslib.exceptions.ActivityFailed: ", "")
    return (str(cause) or type(cause).__name__) if cause else "it ended the experiment"
