"""Notes of a run on dashboards: when what was broken, held and undone, where people look at what came of it.

Only the runner has sinks. What the guardian or `gameday recover` undoes after a crash is in the journal and the report,
and not on the dashboards: nothing may stand between them and the undo.
"""

import asyncio
import contextlib
import re
from collections.abc import Sequence

from gameday.common.texts import one_line
from gameday.coverage.dashboards import (
    Annotation,
    Annotator,
    DashboardError,
    DashboardSource,
    Moment,
    open_dashboards,
)
from gameday.journal.events import (
    AbortRequested,
    AnyEvent,
    ExperimentInfo,
    FaultInjected,
    FaultPlanned,
    SessionStarted,
    StageEnded,
    StageStarted,
    UndoEnded,
)
from gameday.spec.model import Environment

_MOST_FAILURES = 3  # in a row, after which no more is tried
_MOST_CHARACTERS = 300  # of a text: it is read in the box that a pointer on a graph opens
_MOST_NAMED = 5  # targets, in one text
# Dashboards may show a text as HTML: no tag is to begin in it (https://html.spec.whatwg.org/#tag-open-state).
_TAG = re.compile(r"<(?=[A-Za-z/!?])")
# As a source says that it is not let in: the next note would not be either.
_REFUSALS = (401, 403)


class Notes:
    """Makes notes of a session's events, and remembers of them what later ones refer to. Pure; no I/O."""

    def __init__(self) -> None:
        self._session: SessionStarted | None = None
        self._faults: dict[str, FaultPlanned] = {}
        self._stages: dict[tuple[int, int, int], StageStarted] = {}  # by experiment, step and stage

    def take(self, event: AnyEvent) -> Annotation | None:
        """What is to be noted of this event, if anything."""
        match event:
            case SessionStarted():
                self._session = event
            case FaultPlanned():
                self._faults[event.fault_id] = event
            case StageStarted():
                self._stages[event.experiment, event.step, event.stage] = event
            case FaultInjected():
                fault = self._faults.get(event.fault_id)
                named = f"{fault.fault}: {_names(fault.targets)}" if fault else event.fault_id
                # What it does may show before the whole of it is in place.
                began = event.at - event.took_s
                return self._note(Moment.INJECTION, f"Injected {named}", began, experiment=event.experiment)
            case StageEnded():
                stage = self._stages.pop((event.experiment, event.step, event.stage), None)
                if stage is not None:
                    held = "held" if event.held else "did not hold"
                    text = f"Stage {stage.stage + 1} of {stage.stages}, blast radius {stage.radius}: {held}"
                    return self._note(Moment.STAGE, text, stage.at, until=event.at, experiment=event.experiment)
            case UndoEnded():
                fault = self._faults.get(event.fault_id)
                named = fault.fault if fault else event.fault_id
                text = f"Undone: {named}" if event.undone else f"NOT undone: {named}: {_names(event.left)}"
                return self._note(Moment.UNDO, text, event.at, experiment=fault.experiment if fault else None)
            case AbortRequested():
                by = f" by {event.by}" if event.by else ""
                return self._note(Moment.ABORT, f"Aborted{by}: {event.reason}", event.at, experiment=event.experiment)
        return None

    def _note(
        self, moment: Moment, text: str, at: float, *, until: float | None = None, experiment: int | None
    ) -> Annotation | None:
        if self._session is None:
            return None
        info = self._experiment(experiment)
        title = f" ({info.title})" if info else ""
        return Annotation(
            self._session.session, moment, _plain(text + title), at, until, service=info.service if info else None
        )

    def _experiment(self, index: int | None) -> ExperimentInfo | None:
        assert self._session is not None
        infos = self._session.experiments
        return infos[index] if index is not None and index < len(infos) else None


def _names(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _plain(text: str) -> str:
    text = _TAG.sub("‹", one_line(text))
    return text if len(text) <= _MOST_CHARACTERS else text[: _MOST_CHARACTERS - 1] + "…"


class AnnotationSink:
    """A sink that notes a session on the dashboards of its environment, one note after the other.

    The first failure is said at once and, where there were more, their sum at the end. A source that does not let us in
    is asked no more, nor is one that fails several times in a row.
    """

    name = "annotations"

    def __init__(self, environment: Environment, timeout_s: float) -> None:
        """`timeout_s`: for each note."""
        self._environment = environment
        self._timeout_s = timeout_s
        self._notes = Notes()
        self._runner = asyncio.Runner()  # its loop begins with the first note, in the sink's own thread
        self._source: DashboardSource | None = None
        self._has_ended = False  # no more is tried
        self._taken = 0
        self._missing = 0
        self._in_a_row = 0  # of the missing ones
        self._why = ""  # the last one is missing

    def handle(self, event: AnyEvent) -> None:
        """Note the event, if it is one to be noted. Raises DashboardError when the note is not taken."""
        note = self._notes.take(event)
        if note is None or self._has_ended:
            return
        try:
            self._runner.run(self._post(note))
        except Exception as error:  # a third party's source may raise anything
            self._missing += 1
            self._in_a_row += 1
            self._why = _reason(error, self._timeout_s)
            self._has_ended = self._source is None or self._in_a_row == _MOST_FAILURES or _is_refusal(error)
            raise DashboardError(self._why + ("; no more notes are tried" if self._has_ended else "")) from error

    async def _post(self, note: Annotation) -> None:
        if self._source is None:
            self._source = open_dashboards(self._environment)
        annotator: object = self._source
        if not isinstance(annotator, Annotator):
            self._has_ended = True  # its dashboards take none, and nobody has asked for any
            return
        async with asyncio.timeout(self._timeout_s):
            await annotator.annotate(note)
        self._taken += 1
        self._in_a_row = 0

    def close(self) -> None:
        """Let go of the source. Raises DashboardError when more than one note is missing."""
        try:
            if self._source is not None:
                with contextlib.suppress(Exception):  # whatever comes of it, the session is over
                    self._runner.run(asyncio.wait_for(self._source.close(), self._timeout_s))
        finally:
            self._runner.close()
        if self._missing > 1:
            ended = ", and no more were tried" if self._has_ended else ""
            tried = self._taken + self._missing
            raise DashboardError(f"{self._missing} of {tried} notes were not taken{ended}: {self._why}")


def _reason(error: Exception, timeout_s: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout_s:g} s"
    return str(error) if isinstance(error, DashboardError) else f"{type(error).__name__}: {error}"


def _is_refusal(error: Exception) -> bool:
    return isinstance(error, DashboardError) and error.status in _REFUSALS


def annotation_sinks(environment: Environment) -> tuple[AnnotationSink, ...]:
    """The sink, where the environment has dashboards that are to be annotated."""
    config = environment.dashboards
    return (AnnotationSink(environment, config.timeout_s),) if config is not None and config.annotate else ()
