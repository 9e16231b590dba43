"""Notes on dashboards: what they say, and that no source of dashboards can slow a run or fail it."""

import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest
from testkit_notes import asked_of, behave, notes_in

from gameday.common.processes import ProcessRef
from gameday.coverage.dashboards import Annotation, DashboardError, Moment
from gameday.engine.preparation import SessionInput
from gameday.engine.recorder import Sink
from gameday.engine.runs import Message, MessageKind, Run, all_runs
from gameday.engine.session import SessionResult, run_session
from gameday.engine.stop_switch import SwitchWatch
from gameday.journal.events import (
    AbortRequested,
    AnyEvent,
    By,
    ExperimentInfo,
    FaultInjected,
    FaultPlanned,
    SessionStarted,
    SinkFailed,
    StageEnded,
    StageStarted,
    UndoEnded,
    Verdict,
)
from gameday.journal.log import read_events
from gameday.notify.annotations import AnnotationSink, Notes, annotation_sinks
from gameday.spec.model import DashboardsConfig, Environment, EnvironmentKind

sys.path.insert(0, str(Path(__file__).parent.parent / "engine"))
import imagined
from misfortunes import Act, Script
from pretend import EXPERIMENT, PretendSystem, events_of

# -- what they say

STARTED = SessionStarted(
    at=100.0,
    format=1,
    gameday="0",
    session="20260306-checkout-3c4d",
    kind="experiment",
    title="A day",
    path="g.yaml",
    environment="staging",
    host="h",
    runner=ProcessRef(1, "1"),
    experiments=(
        ExperimentInfo(title="It survives", path="e.yaml", service="checkout"),
        ExperimentInfo(title="It starts", path="f.yaml"),
    ),
)


def planned(*targets: str, experiment: int = 0) -> FaultPlanned:
    return FaultPlanned(
        at=110.0,
        experiment=experiment,
        fault_id=f"{experiment}.0.1",
        fault="pods/kill",
        targets=targets,
        affected=len(targets),
        total=9,
        plan=msgspec.Raw(b"{}"),
        by_hand="",
        step=0,
        stage=1,
    )


def notes_of(*events: AnyEvent) -> list[Annotation]:
    notes = Notes()
    return [note for event in (STARTED, *events) if (note := notes.take(event))]


def aborted(reason: str, by: str = "") -> str:
    [note] = notes_of(AbortRequested(at=1.0, source="command", reason=reason, by=by, experiment=0))
    assert note.moment is Moment.ABORT
    return note.text


def test_an_injection_is_noted_when_it_began() -> None:
    injected = FaultInjected(at=112.5, experiment=0, fault_id="0.0.1", took_s=2.0)
    assert notes_of(planned("pay-1", "pay-2"), injected) == [
        Annotation(
            run="20260306-checkout-3c4d",
            moment=Moment.INJECTION,
            text="Injected pods/kill: pay-1, pay-2 (It survives)",
            at=110.5,
            service="checkout",
        )
    ]


@pytest.mark.parametrize(("held", "said"), [(True, "held"), (False, "did not hold")])
def test_a_stage_is_noted_from_its_start_to_its_end(held: bool, said: str) -> None:
    began = StageStarted(at=109.0, experiment=1, step=0, stage=1, stages=3, radius="25%")
    [note] = notes_of(began, StageEnded(at=139.0, experiment=1, step=0, stage=1, held=held))
    assert (note.moment, note.at, note.until, note.service) == (Moment.STAGE, 109.0, 139.0, None)
    assert note.text == f"Stage 2 of 3, blast radius 25%: {said} (It starts)"


def test_a_stage_that_never_ended_is_not_noted() -> None:
    began = StageStarted(at=109.0, experiment=0, step=0, stage=1, stages=3, radius="25%")
    assert notes_of(began, StageEnded(at=110.0, experiment=0, step=1, stage=1, held=True)) == []


def test_what_an_undo_left_is_said() -> None:
    undone = UndoEnded(at=150.0, fault_id="0.0.1", undone=True, attempts=1, took_s=1.0)
    failed = UndoEnded(
        at=150.0, fault_id="0.0.1", undone=False, attempts=3, took_s=9.0, by=By.RUNNER, left=("a is down", "b is down")
    )
    texts = [(note.moment, note.text, note.at) for note in notes_of(planned("a", "b"), undone, failed)]
    assert texts == [
        (Moment.UNDO, "Undone: pods/kill (It survives)", 150.0),
        (Moment.UNDO, "NOT undone: pods/kill: a is down, b is down (It survives)", 150.0),
    ]


def test_who_aborts_and_why() -> None:
    assert aborted("errors > 10% for 5s") == "Aborted: errors > 10% for 5s (It survives)"
    assert aborted("we have seen enough", "@ada") == "Aborted by @ada: we have seen enough (It survives)"


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        ("p99 < 300ms & > 10ms", "p99 < 300ms & > 10ms"),  # what is no tag stays as it is
        ("<img src=x onerror=alert(1)>", "‹img src=x onerror=alert(1)>"),
        ("</div><!-- <?x", "‹/div>‹!-- ‹?x"),
        ("two\nlines\x1b[31m", "two lines [31m"),
    ],
)
def test_texts_are_no_html_and_one_line(reason: str, shown: str) -> None:
    assert aborted(reason) == f"Aborted: {shown} (It survives)"


def test_texts_are_short() -> None:
    injected = FaultInjected(at=112.0, experiment=0, fault_id="0.0.1")
    [note] = notes_of(planned(*(f"pay-{number}" for number in range(40))), injected)
    assert note.text == "Injected pods/kill: pay-0, pay-1, pay-2, pay-3, pay-4 and 35 more (It survives)"
    long = aborted("x" * 5000)
    assert (len(long), long[-1]) == (300, "…")


# -- what becomes of them


class Noted:
    """A pretend system whose environment has dashboards that take notes."""

    def __init__(self, root: Path) -> None:
        self.system = PretendSystem(root)
        self.directory = self.system.directory

    def environment(
        self, source: str = "testkit-notes", *, annotate: bool = True, timeout_s: float = 5.0
    ) -> Environment:
        dashboards = DashboardsConfig(source, f"http://pretend{self.directory}", annotate=annotate, timeout_s=timeout_s)
        return msgspec.structs.replace(self.system.environment(), dashboards=dashboards)

    def run(
        self, text: str = EXPERIMENT, *others: Sink, timeout_s: float = 5.0, secrets: tuple[str, ...] = ()
    ) -> SessionResult:
        environment = self.environment(timeout_s=timeout_s)
        session = msgspec.structs.replace(self.system.session(text, secrets=secrets), environment=environment)
        return asyncio.run(run_session(session, [*annotation_sinks(environment), *others]))


@pytest.fixture
def noted(tmp_path: Path) -> Noted:
    return Noted(tmp_path)


class OnInjection:
    """A sink that does something when a fault has been injected."""

    name = "on-injection"

    def __init__(self, act: Callable[[], None]) -> None:
        self._act = act

    def handle(self, event: AnyEvent) -> None:
        if isinstance(event, FaultInjected):
            self._act()

    def close(self) -> None:
        return None


def failures_of(run: Run) -> list[str]:
    return [event.detail for event in events_of(run.directory, SinkFailed) if event.sink == "annotations"]


def test_a_run_is_noted(noted: Noted) -> None:
    result = noted.run()
    assert result.verdict is Verdict.HELD
    assert failures_of(result.run) == []
    notes = notes_in(noted.directory)
    assert {(note.run, note.service) for note in notes} == {(result.run.name, "shop")}
    first, second = events_of(result.run.directory, FaultPlanned)
    assert [note.text for note in notes] == [
        f"Injected testkit/mark: {', '.join(first.targets)} (The shop survives marks)",
        "Stage 1 of 2, blast radius 1: held (The shop survives marks)",
        f"Injected testkit/mark: {', '.join(second.targets)} (The shop survives marks)",
        "Stage 2 of 2, blast radius 50%: held (The shop survives marks)",
        "Undone: testkit/mark (The shop survives marks)",
        "Undone: testkit/mark (The shop survives marks)",
    ]
    stages = [note for note in notes if note.moment is Moment.STAGE]
    starts, ends = events_of(result.run.directory, StageStarted), events_of(result.run.directory, StageEnded)
    assert [(note.at, note.until) for note in stages] == [
        (began.at, end.at) for began, end in zip(starts, ends, strict=True)
    ]
    injections = [note.at for note in notes if note.moment is Moment.INJECTION]
    assert injections == [event.at - event.took_s for event in events_of(result.run.directory, FaultInjected)]


def test_an_abort_is_noted_without_its_secrets(noted: Noted) -> None:
    def ask() -> None:
        (run,) = all_runs(noted.system.root)
        run.send(Message(MessageKind.ABORT, "@ada", "the token is hunter2-hunter2"))

    long = EXPERIMENT.replace("hold: 300ms", "hold: 60s")
    result = noted.run(long, OnInjection(ask), secrets=("hunter2-hunter2",))
    assert result.verdict is Verdict.ABORTED
    [note] = [note for note in notes_in(noted.directory) if note.moment is Moment.ABORT]
    assert note.text.startswith("Aborted by @ada: the token is •••")
    assert b"hunter2" not in (noted.directory / "notes.jsonl").read_bytes()
    assert {note.moment for note in notes_in(noted.directory)} == {Moment.INJECTION, Moment.ABORT, Moment.UNDO}


def test_what_refuses_is_asked_once(noted: Noted) -> None:
    behave(noted.directory, "HTTP 403: the token has no permission to create annotations")
    result = noted.run()
    assert result.verdict is Verdict.HELD
    assert asked_of(noted.directory) == ["post"]
    [said] = failures_of(result.run)
    assert said.endswith("HTTP 403: the token has no permission to create annotations; no more notes are tried")


@pytest.mark.parametrize("source", ["testkit", "testkit-notes"])
def test_where_none_are_wanted_none_are_tried(noted: Noted, source: str) -> None:
    """By the environment, or by a source that takes none."""
    environment = noted.environment(source, annotate=source == "testkit")
    sinks = annotation_sinks(environment)
    assert len(sinks) == (1 if source == "testkit" else 0)
    for sink in sinks:
        for event in (STARTED, AbortRequested(at=1.0, source="signal", reason="r")):
            sink.handle(event)
        sink.close()
    assert asked_of(noted.directory) == []


class ByHand:
    """A sink whose events come from here, as they would in a run."""

    def __init__(self, noted: Noted, *requests: str) -> None:
        behave(noted.directory, *requests)
        self._directory = noted.directory
        self._sink = AnnotationSink(noted.environment(), 0.1)
        self._sink.handle(STARTED)

    def note(self, times: int) -> list[str]:
        """What is said of so many aborts."""
        said = []
        for number in range(times):
            try:
                self._sink.handle(AbortRequested(at=float(number), source="signal", reason="r"))
            except DashboardError as error:
                said.append(str(error))
        return said

    def close(self) -> str:
        try:
            self._sink.close()
        except DashboardError as error:
            return str(error)
        return ""

    @property
    def asked(self) -> int:
        return len(asked_of(self._directory))


def test_after_a_few_failures_in_a_row_no_more_is_tried(noted: Noted) -> None:
    by_hand = ByHand(noted, "taken", "hang", "HTTP 500: it is broken", "hang", "taken")
    assert by_hand.note(6) == [
        "no answer within 0.1 s",
        "HTTP 500: it is broken",
        "no answer within 0.1 s; no more notes are tried",
    ]
    assert by_hand.asked == 4
    assert by_hand.close() == "3 of 4 notes were not taken, and no more were tried: no answer within 0.1 s"


def test_one_that_is_taken_makes_up_for_those_before(noted: Noted) -> None:
    by_hand = ByHand(noted, *["hang", "hang", "taken"] * 2, "taken")
    assert len(by_hand.note(7)) == 4
    assert by_hand.asked == 7
    assert by_hand.close() == "4 of 7 notes were not taken: no answer within 0.1 s"


def test_a_single_failure_is_said_once(noted: Noted) -> None:
    by_hand = ByHand(noted, "HTTP 429: too many requests", "taken")
    assert by_hand.note(3) == ["HTTP 429: too many requests"]
    assert by_hand.close() == ""


def test_a_source_that_cannot_be_opened_is_tried_once(noted: Noted) -> None:
    sink = AnnotationSink(noted.environment("grafanna"), 0.1)
    sink.handle(STARTED)
    abort = AbortRequested(at=1.0, source="signal", reason="r")
    with pytest.raises(DashboardError, match=r"there is no source of dashboards `grafanna`.*; no more notes are tried"):
        sink.handle(abort)
    sink.handle(abort)
    sink.close()


# -- what they cost a run


class PromptWatch(SwitchWatch):
    """Has looked before anything else: a session waits for that, which takes its thread longer at one time than at
    another."""

    def start(self) -> None:
        super().start()
        while not self._has_looked:
            time.sleep(0.001)


def timeline_of(
    root: Path,
    sinks: Callable[[Path], Sequence[Sink]],
    environment: Callable[[Environment], Environment] = lambda one: one,
) -> list[tuple[float, type[AnyEvent]]]:
    """All that a session wrote and when, in a time that passes only when nothing is left to be done.

    `sinks` makes those that it has, for the project in that directory.
    """

    async def run(session: SessionInput, _sinks: object) -> SessionResult:
        session = msgspec.structs.replace(session, environment=environment(session.environment))
        return await run_session(session, sinks(session.project.root))

    ladders = ((("1", "50%"), ("75%",)), (("25%", "50%"),))
    break_it = Act("StageStarted", 5, "signals", 0.03, delay=0.2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(imagined, "run_session", run)
        patch.setattr("gameday.engine.session.SwitchWatch", PromptWatch)
        world = imagined.imagine(root, Script(ladders, acts=(break_it,)))
    assert world.result is not None
    assert world.result.verdict is Verdict.WEAKNESS
    events = read_events(world.result.run.journal)
    return [(event.at, type(event)) for event in events if not isinstance(event, SinkFailed)]


def timeline(root: Path, *requests: str) -> list[tuple[float, type[AnyEvent]]]:
    """The same with notes. `requests`: what becomes of these; without any, nobody takes some."""
    directory = root / "system"
    dashboards = DashboardsConfig("testkit-notes", f"http://pretend{directory}", timeout_s=3.0)

    def annotated(environment: Environment) -> Environment:
        behave(directory, *requests)
        return msgspec.structs.replace(environment, dashboards=dashboards)

    def sinks(_root: Path) -> Sequence[Sink]:
        where = Environment("pretend", EnvironmentKind.DECLARED, dashboards=dashboards)
        return annotation_sinks(where) if requests else ()

    return timeline_of(root, sinks, annotated)


@pytest.mark.parametrize("answer", ["hang", "HTTP 503: try again later", "HTTP 401: who are you?"])
def test_a_source_that_takes_nothing_costs_no_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    """The same events at the same times, to the bit; then no more than the sinks' deadline."""
    deadline_s = 1.0
    monkeypatch.setattr("gameday.engine.session._SINKS_DEADLINE_S", deadline_s)
    began = time.monotonic()
    without = timeline(tmp_path / "without")
    between = time.monotonic()
    troubled = timeline(tmp_path / "troubled", answer)
    took_s = time.monotonic() - between
    assert troubled == without
    assert sum(kind is FaultInjected for _, kind in troubled) > 3
    assert asked_of(tmp_path / "troubled" / "system")
    assert took_s < (between - began) + (deadline_s if answer == "hang" else 0.0) + 4.0
