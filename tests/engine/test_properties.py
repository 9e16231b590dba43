"""Whatever goes wrong and when: the order of the undo, how far faults reach, and what the journal knows of them."""

import asyncio
import contextlib
import shutil
from collections.abc import Awaitable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from imagined import ImaginedPlan, Moment, World, imagine, recover_from_cut
from misfortunes import AT_PLAN, FOR_GOOD, Act, Fate, Script, scripts

from gameday.common.codec import decode
from gameday.engine.abort import Abort, AbortedError
from gameday.engine.jobs import JobResult
from gameday.engine.method import Method
from gameday.engine.recorder import Recorder
from gameday.engine.steady_state import SteadyState
from gameday.journal.events import (
    AnyEvent,
    FaultInjected,
    FaultPlanned,
    HypothesisJudged,
    Phase,
    PhaseEntered,
    ReadingState,
    SignalsSampled,
    StageEnded,
    StageStarted,
    UndoStarted,
    Verdict,
)
from gameday.journal.log import read_events
from gameday.journal.state import RunState, replay

# -- what must be true


def violations(world: World) -> list[str]:
    """Everything that was not as promised; each begins with the promise's name."""
    assert world.result is not None
    events = list(read_events(world.result.run.directory))
    return [
        *(f"in flight: {text}" for text in world.violations),
        *_write_ahead(world.timeline),
        *_ceiling(world),
        *_planned_only(world.timeline),
        *_order(world.timeline),
        *_stages(events),
        *_end(world),
        *_replay(world, events),
    ]


def _plan_of(event: FaultPlanned) -> ImaginedPlan:
    return decode(event.plan, ImaginedPlan)


def _covered(state: RunState) -> set[str]:
    """All that the journal says may be broken."""
    return {name for fault in state.faults.values() for name in _plan_of(fault).fresh}


def _write_ahead(timeline: Sequence[Moment]) -> Iterator[str]:
    """What has been synced of the journal knows at least what is broken by us at that moment."""
    state = RunState()
    written: list[AnyEvent] = []
    for moment in timeline:
        if moment.event:
            written.append(moment.event)
        if moment.synced:
            for event in written:
                state.apply(event)
            written.clear()
        if unknown := moment.ours - _covered(state):
            yield f"write-ahead: {', '.join(sorted(unknown))} broken and not in the journal at {moment}"


def _ceiling(world: World) -> Iterator[str]:
    """No injection takes what is broken, by whomever, beyond the ceiling; none hits more than its stage may."""
    injecting = False
    for moment in world.timeline:
        if moment.kind in ("inject", "undo"):
            injecting = moment.kind == "inject"
        above = world.script.ceiling is not None and moment.broken * 100 > world.script.ceiling * moment.total
        if moment.kind == "touched" and injecting and above:
            yield f"ceiling: {moment.broken} of {moment.total} broken, {world.script.ceiling}% allowed"
    for event in (moment.event for moment in world.timeline):
        if isinstance(event, FaultPlanned):
            experiment, step, stage = map(int, event.fault_id.split("."))
            radius = world.script.ladders[experiment][step][stage]
            share = Fraction(int(radius.removesuffix("%")), 100) if radius.endswith("%") else None
            allowed = int(radius) if share is None else int(share * event.total)
            if len(event.targets) > allowed:
                yield f"radius: {len(event.targets)} of {event.total} planned, {radius} allowed"


def _planned_only(timeline: Sequence[Moment]) -> Iterator[str]:
    """Nothing is injected or undone whose plan is not on disk; nothing is injected twice, or once the end is asked."""
    planned: set[int] = set()
    injected: set[int] = set()
    for moment in timeline:
        if isinstance(moment.event, FaultPlanned):
            planned.add(_plan_of(moment.event).number)
        if moment.kind in ("inject", "undo") and moment.plan not in planned:
            yield f"planned: {moment.kind} of plan {moment.plan}, which is not on disk"
        if moment.kind == "inject" and moment.plan is not None:
            if moment.plan in injected:
                yield f"planned: plan {moment.plan} was injected twice"
            if moment.aborted:
                yield f"abort: plan {moment.plan} was injected after an abort was asked for"
            injected.add(moment.plan)


def _order(timeline: Sequence[Moment]) -> Iterator[str]:
    """The undo runs last-in first-out, experiment by experiment, and reaches everything that was planned."""
    planned: dict[int, list[int]] = {}
    recorded: list[int] = []
    numbers: dict[str, int] = {}
    for event in (moment.event for moment in timeline):
        if isinstance(event, FaultPlanned):
            numbers[event.fault_id] = _plan_of(event).number
            planned.setdefault(event.experiment, []).append(numbers[event.fault_id])
        if isinstance(event, UndoStarted):
            recorded.append(numbers.get(event.fault_id, -1))
    wanted = [number for experiment in sorted(planned) for number in reversed(planned[experiment])]
    tried = dict.fromkeys(moment.plan for moment in timeline if moment.kind == "undo")
    if list(tried) != wanted:
        yield f"order: undone in the order {list(tried)}, expected {wanted}"
    # A journal that could not be written may lack some, but knows no other order.
    if [number for number in wanted if number in recorded] != recorded:
        yield f"order: {recorded} in the journal, expected {wanted}"


def _stages(events: Sequence[AnyEvent]) -> Iterator[str]:
    """A stage begins only after the one before has been injected, held and judged to hold."""
    held = True
    injected: set[tuple[int, int, int]] = set()
    samples: list[bool] = []  # whether each since the last hold began was good
    judged: bool | None = None
    for event in events:
        match event:
            case StageStarted():
                before = (event.experiment, event.step, event.stage - 1)
                if event.stage and (before not in injected or not held):
                    yield f"stages: {event} began after one that did not hold"
                held = False
            case FaultInjected():
                experiment, step, stage = map(int, event.fault_id.split("."))
                injected.add((experiment, step, stage))
            case PhaseEntered(phase=Phase.HOLD):
                samples, judged = [], None
            case SignalsSampled():
                samples += [item.state is ReadingState.OK and (item.value or 0) < 0.01 for item in event.readings]
            case HypothesisJudged(when="during"):
                judged = event.held
            case StageEnded():
                held = event.held
                if held and (judged is not True or (samples and not any(samples))):
                    yield f"stages: {event} held, with samples {samples}"
            case _:
                pass


def _end(world: World) -> Iterator[str]:
    """All is well, or the verdict says that it is not and the journal names exactly what is left."""
    assert world.result is not None
    verdict, state = world.result.verdict, world.result.run.state()
    ours = world.ours()
    if ours and verdict is not Verdict.UNDO_FAILED:
        yield f"end: {', '.join(sorted(ours))} broken, and the verdict is {verdict}"
    if unnamed := ours - _covered(state):
        yield f"end: {', '.join(sorted(unnamed))} broken, and not named"
    for fault_id, fault in state.faults.items():
        plan = _plan_of(fault)
        unverified = world.attempts.get(plan.number, 0) <= world.undo_fates.get(plan.number, Fate()).times
        if _is_writable(world) and not ours & set(plan.fresh) and not unverified:
            yield f"end: {fault_id} is named, and nothing is left of it"
    if _is_writable(world) and bool(state.faults) != (verdict is Verdict.UNDO_FAILED):
        yield f"end: the verdict is {verdict}, and {len(state.faults)} faults are left"


def _is_writable(world: World) -> bool:
    """Whether the journal could be written when it was last tried."""
    if world.script.journal_fails is None:
        return True
    return not world.fails_from or world.appends >= world.fails_from + world.script.journal_fails[2]


def _replay(world: World, events: Sequence[AnyEvent]) -> Iterator[str]:
    """The journal says what the recorder knew, wherever its reader pauses."""
    assert world.recorder is not None
    assert world.result is not None
    state = replay(events)
    if _is_writable(world):
        if state != world.recorder.state:
            yield f"replay: {state} from the journal, {world.recorder.state} in memory"
        if state.ended is None or state.ended.verdict is not world.result.verdict:
            yield f"replay: {world.result.verdict} is returned, {state.ended} in the journal"
    pause = world.script.cut % (len(events) + 1)
    continued = replay(events[:pause])
    for event in events[pause:]:
        continued.apply(event)
    if continued != state:
        yield f"replay: {continued} after a pause at {pause}, {state} without"


# -- whatever happens

TWO_STAGES = Script(ladders=((("1", "50%"),),))


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(script=scripts)
@example(replace(TWO_STAGES, undos=(Fate("gone"),)))  # what was injected last is undone first all the same
@example(replace(TWO_STAGES, journal_fails=(8, "sync", 3)))
def test_order_reach_and_journal(tmp_path_factory: pytest.TempPathFactory, script: Script) -> None:
    root = tmp_path_factory.mktemp("imagined")
    world = imagine(root, script)
    assert violations(world) == []
    if world.cut:
        state = recover_from_cut(world, root / "elsewhere" / "run")
        assert state.is_clean
        assert world.ours() == set()
    shutil.rmtree(root)


def test_nothing_is_injected_once_its_plan_was_written_on_the_reserve(tmp_path: Path) -> None:
    world = imagine(tmp_path, replace(TWO_STAGES, journal_fails=(AT_PLAN, "full", 1)))
    assert violations(world) == []
    assert not [moment for moment in world.timeline if moment.kind == "inject"]
    assert world.result is not None
    assert world.result.verdict is Verdict.ABORTED


# -- that each promise is seen when it is broken


async def _race_without_end(_abort: Abort, awaitable: Awaitable[object]) -> object:
    return await awaitable


async def _race_without_cancelling(abort: Abort, awaitable: Awaitable[object]) -> object:
    task = asyncio.ensure_future(awaitable)
    while not task.done():
        if abort.request:
            raise AbortedError
        await asyncio.sleep(0.01)
    return task.result()


def _write_ahead_and_hope(method: Method, *arguments: Any) -> None:
    with contextlib.suppress(AbortedError):
        _WRITE_AHEAD(method, *arguments)


async def _judge_and_forget(steady_state: SteadyState, *arguments: Any, **named: Any) -> tuple[()]:
    await _JUDGE(steady_state, *arguments, **named)
    return ()


def _record_without_sync(recorder: Recorder, event: AnyEvent, **_named: Any) -> None:
    _RECORD(recorder, event)


_WRITE_AHEAD, _JUDGE, _RECORD = Method._write_ahead, SteadyState.judge, Recorder.record_or_raise
_GONE_WELL = JobResult()
BREAKS: dict[str, tuple[str, Script, dict[str, Any]]] = {
    "a plan that is not on disk": (
        "write-ahead: ",
        replace(TWO_STAGES, journal_fails=(AT_PLAN, "write", FOR_GOOD)),
        {
            "gameday.engine.method.Method._write_ahead": _write_ahead_and_hope,
            "gameday.engine.abort.Abort.race": _race_without_end,
        },
    ),
    "a plan that a power cut would take": (
        "write-ahead: ",
        TWO_STAGES,
        {"gameday.engine.recorder.Recorder.record_or_raise": _record_without_sync},
    ),
    "an undo of what was not planned": (
        "planned: undo",
        replace(TWO_STAGES, journal_fails=(AT_PLAN, "write", 1)),
        {"gameday.engine.method.JournalError": ZeroDivisionError},
    ),
    "a ceiling that is not looked at": (
        "ceiling: ",
        replace(TWO_STAGES, ceiling=50, acts=tuple(Act("FaultPlanned", 2, "break", number) for number in range(4))),
        {"gameday.engine.jobs.exceeds": lambda *_: False},
    ),
    "a radius that is not heeded": (
        "radius: ",
        TWO_STAGES,
        {"gameday.faults.base.allowed": lambda _radius, total: total},
    ),
    "an undo first-in first-out": ("order: ", TWO_STAGES, {"gameday.engine.undo.reversed": list}),
    "an abort that is not heard": (
        "abort: ",
        replace(TWO_STAGES, acts=(Act("FaultInjected", 1, "abort"),)),
        {"gameday.engine.abort.Abort.race": _race_without_end},
    ),
    "an injection that goes on beside the undo": (
        "in flight: ",
        replace(TWO_STAGES, injections=(Fate("hangs"),), acts=(Act("FaultPlanned", 1, "abort", delay=0.05),)),
        {"gameday.engine.abort.Abort.race": _race_without_cancelling},
    ),
    "a stage after one that did not hold": (
        "stages: ",
        replace(TWO_STAGES, acts=(Act("FaultInjected", 1, "signals", 0.2),)),
        {"gameday.engine.steady_state.SteadyState.judge": _judge_and_forget},
    ),
    "an undo that only says so": ("end: ", TWO_STAGES, {"gameday.engine.jobs._undo": lambda _job: _GONE_WELL}),
    "events that are lost": (
        "replay: ",
        replace(TWO_STAGES, journal_fails=(AT_PLAN, "write", 3)),
        {"gameday.engine.recorder.Recorder._flush_unwritten": lambda _recorder: None},
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_promise_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    promise, script, mutations = BREAKS[name]
    assert violations(imagine(tmp_path / "whole", script)) == []
    for target, mutant in mutations.items():
        monkeypatch.setattr(target, mutant, raising=False)
    assert [text for text in violations(imagine(tmp_path / "broken", script)) if text.startswith(promise)]
