"""The guard by itself, in no time: when it trips, when it must not, and that it never goes blind or dies unheard."""

import asyncio
import math
import re
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
from imagined import run_virtually
from pretend import EXPERIMENT, PretendSystem, events_of

from gameday.common.redact import Redactor
from gameday.coverage import AlertsSeen, AlertWatch
from gameday.engine.abort import Abort
from gameday.engine.monitor import Monitor
from gameday.engine.recorder import Recorder
from gameday.journal.events import AbortRequested, GuardTripped, Reading, ReadingState
from gameday.journal.log import JournalWriter
from gameday.signals import Query
from gameday.spec.model import SignalId, SignalKind, Unit

ERRORS = Query(SignalId("shop", SignalKind.ERRORS, "ratio"), "errors", Unit.RATIO)
ARMED_AT_S = 1.0  # from the beginning
BLIND_AFTER_S, INTERVAL_S = 0.4, 0.05  # of the experiment
TEXT = re.sub(r"blind-after: \w+", "blind-after: 400ms", EXPERIMENT).replace('50%", for: 50ms', '50%", for: 200ms')


def reading(value: float | None) -> tuple[Reading, ...]:
    if value is None:
        return (Reading(str(ERRORS.signal), ReadingState.EMPTY, None, "nothing there"),)
    return (Reading(str(ERRORS.signal), ReadingState.OK, value),)


class Source:
    """Answers what `say` says at this time, in seconds from the beginning."""

    def __init__(self, say: Callable[[float], Awaitable[tuple[Reading, ...]]]) -> None:
        self._say = say

    async def read(self, _queries: Sequence[Query]) -> tuple[Reading, ...]:
        return await self._say(asyncio.get_running_loop().time())

    async def close(self) -> None:
        return None


class Alerts:
    """Never answers."""

    async def look(self) -> AlertsSeen:
        await asyncio.Event().wait()
        raise AssertionError


class Watched:
    """What became of ten seconds of watching, armed after the first. Times are in seconds from when it was armed."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.aborted: list[AbortRequested] = []
        self.tripped: list[tuple[float, GuardTripped]] = []


@pytest.fixture
def watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Watched]:
    clock = SimpleNamespace(
        monotonic=lambda: asyncio.get_running_loop().time(), time=lambda: asyncio.get_running_loop().time()
    )
    monkeypatch.setattr("gameday.common.clock.time", clock)
    experiment = PretendSystem(tmp_path).experiment(TEXT)

    def run(
        say: Callable[[float], Awaitable[tuple[Reading, ...]]],
        *,
        disarmed: bool = False,
        alerts: Alerts | None = None,
    ) -> Watched:
        async def main() -> None:
            recorder = Recorder(JournalWriter(tmp_path / "run"), Redactor())
            abort = Abort(recorder)
            monitor = Monitor(
                0,
                experiment,
                recorder,
                abort,
                source=Source(say),  # type: ignore[arg-type]
                queries=[ERRORS],
                alerts=alerts,  # type: ignore[arg-type]
                watch=AlertWatch(0, ()),
            )
            monitor.start()
            await asyncio.sleep(ARMED_AT_S)
            if alerts:
                await monitor.first_look()
            monitor.arm()
            if disarmed:
                monitor.disarm()
            await asyncio.sleep(9.0)
            await monitor.stop()
            recorder.close(0)

        run_virtually(main())
        watched = Watched(tmp_path / "run")
        watched.aborted = events_of(tmp_path / "run", AbortRequested)
        watched.tripped = [(event.at - ARMED_AT_S, event) for event in events_of(tmp_path / "run", GuardTripped)]
        return watched

    return run


async def well(_at: float) -> tuple[Reading, ...]:
    return reading(0.0)


def test_nothing_happens_while_all_is_well(watch: Callable[..., Watched]) -> None:
    assert watch(well).aborted == []


async def hang(_at: float) -> tuple[Reading, ...]:
    await asyncio.Event().wait()
    raise AssertionError


async def forget(_at: float) -> tuple[Reading, ...]:
    return ()


async def say_nan(_at: float) -> tuple[Reading, ...]:
    return reading(math.nan)


async def say_empty(_at: float) -> tuple[Reading, ...]:
    return reading(None)


@pytest.mark.parametrize(
    ("say", "why"),
    [
        (hang, "did not answer in time"),
        (forget, "no number came"),
        (say_nan, "no number came"),
        (say_empty, "empty: nothing there"),
    ],
)
def test_blind_means_abort_within_the_grace_period(
    watch: Callable[..., Watched], say: Callable[[float], Awaitable[tuple[Reading, ...]]], why: str
) -> None:
    """Counted from the injection: what nobody could see before that harmed nobody."""
    watched = watch(say)
    ((at, trip),) = watched.tripped
    assert (trip.cause, trip.subject) == ("blind", "shop.errors.ratio")
    assert why in trip.detail
    late = BLIND_AFTER_S if say is hang else INTERVAL_S  # a source that does not answer is given up only then
    assert BLIND_AFTER_S <= at < BLIND_AFTER_S + late + 0.01
    assert [event.source for event in watched.aborted] == ["guard"]


def test_one_reading_in_time_is_enough(watch: Callable[..., Watched]) -> None:
    async def say(at: float) -> tuple[Reading, ...]:
        return reading(None if round(at / INTERVAL_S) % 6 else 0.0)

    assert watch(say).aborted == []


def test_what_comes_too_late_trips(watch: Callable[..., Watched]) -> None:
    """Seen for a while, and then no more."""

    async def say(at: float) -> tuple[Reading, ...]:
        return reading(0.0 if at < 5.0 else None)

    ((at, _),) = watch(say).tripped
    assert 5.0 - ARMED_AT_S + BLIND_AFTER_S - 2 * INTERVAL_S < at < 5.0 - ARMED_AT_S + BLIND_AFTER_S + INTERVAL_S


def broken_for(seconds: float, otherwise: float | None = 0.0) -> Callable[[float], Awaitable[tuple[Reading, ...]]]:
    async def say(at: float) -> tuple[Reading, ...]:
        # Half a tick early: the samples' times are not exact.
        return reading(0.9 if 3.0 - INTERVAL_S / 2 <= at < 3.0 - INTERVAL_S / 2 + seconds else otherwise)

    return say


def test_an_abort_condition_that_lasts_trips_once(watch: Callable[..., Watched]) -> None:
    watched = watch(broken_for(5.0))
    ((at, trip),) = watched.tripped
    assert (trip.cause, trip.subject) == ("abort-when", "shop.errors.ratio")
    assert 0.2 - INTERVAL_S <= at - (3.0 - ARMED_AT_S) <= 0.2
    assert len(watched.aborted) == 1


def test_one_that_does_not_last_trips_nothing(watch: Callable[..., Watched]) -> None:
    assert watch(broken_for(0.15)).aborted == []


def test_what_cannot_be_read_is_no_evidence_that_it_lasts(watch: Callable[..., Watched]) -> None:
    async def say(at: float) -> tuple[Reading, ...]:
        return reading(0.9 if 2.99 <= at < 3.04 else None if 3.04 <= at < 3.3 else 0.0)

    assert watch(say).aborted == []


def test_what_cannot_be_read_is_no_evidence_that_it_is_over(watch: Callable[..., Watched]) -> None:
    async def say(at: float) -> tuple[Reading, ...]:
        return reading(None if round(at / INTERVAL_S) % 3 == 0 else 0.9 if at > 3.0 else 0.0)

    ((_, trip),) = watch(say).tripped
    assert trip.cause == "abort-when"


def test_nothing_trips_once_the_undo_has_begun(watch: Callable[..., Watched]) -> None:
    assert watch(broken_for(5.0, None), disarmed=True).aborted == []


def test_a_guard_that_fails_ends_the_run(watch: Callable[..., Watched]) -> None:
    async def fail(at: float) -> tuple[Reading, ...]:
        if at > 2.0:
            raise RuntimeError("a mistake of ours")
        return reading(0.0)

    (request,) = watch(fail).aborted
    assert request.source == "failure"
    assert "the guard of signals failed: RuntimeError: a mistake of ours" in request.reason


def test_alerts_that_nobody_answers_for_hold_up_nothing(watch: Callable[..., Watched]) -> None:
    async def say(at: float) -> tuple[Reading, ...]:
        return reading(0.0 if at < 20.0 else 0.9)

    # The first look is given up after a quarter of a minute; only then is it armed, and the guard is awake.
    assert len(watch(say, alerts=Alerts()).tripped) == 1
