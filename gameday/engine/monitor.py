"""The guard: samples signals and alerts at a steady pace, and ends the run when it must or when it goes blind."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING

from gameday.coverage import AlertSource, AlertWatch, Evidence
from gameday.engine.abort import Abort
from gameday.engine.judge import Sample, Streak, number_of, value_of
from gameday.engine.recorder import Recorder
from gameday.journal.events import (
    AlertObserved,
    AlertState,
    GuardTripped,
    Reading,
    ReadingState,
    SignalsSampled,
    SinkFailed,
)
from gameday.signals import Query, SignalSource
from gameday.spec.model import Condition, Experiment

if TYPE_CHECKING:
    from gameday.engine.acknowledging import AcknowledgementWatch

_SOURCE_DEADLINE_S = 15.0  # a source keeps its own, shorter timeouts; this is for one that does not
_MAX_SAMPLES = 20_000
_ACKNOWLEDGED_EVERY_S = 5.0


class Monitor:
    """Watches one experiment from its baseline to its end."""

    def __init__(
        self,
        index: int,
        experiment: Experiment,
        recorder: Recorder,
        abort: Abort,
        *,
        source: SignalSource | None,
        queries: Sequence[Query],
        alerts: AlertSource | None,
        watch: AlertWatch,
        acknowledgements: "AcknowledgementWatch | None" = None,
    ) -> None:
        self._index = index
        self._experiment = experiment
        self._recorder = recorder
        self._abort = abort
        self._source = source if queries else None
        self._queries = tuple(queries)
        self._alerts = alerts
        self._watch = watch
        self._acknowledgements = acknowledgements
        self._is_deaf = False  # it has been said that these cannot be read
        self._tasks: list[asyncio.Task[None]] = []
        self._samples: deque[Sample] = deque(maxlen=_MAX_SAMPLES)
        self._sampled = asyncio.Condition()
        self._armed_at: float | None = None
        self._streaks: dict[Condition, Streak] = {}
        self._read_at: dict[str, float] = {}
        self.baseline: dict[str, float] = {}
        self.observed: list[AlertObserved] = []
        self._firing: set[tuple[str, tuple[tuple[str, str], ...]]] = set()
        self._armed_since: float | None = None  # also when it has been disarmed
        self._looked = asyncio.Event()

    def start(self) -> None:
        """Begin to sample and to look."""
        if self._source:
            self._spawn(self._every(self._experiment.timing.interval_s, self._sample), "signals")
        if self._alerts:
            self._spawn(self._every(self._experiment.timing.interval_s, self._look), "alerts")
        if self._acknowledgements:
            # They are asked of a service that counts requests, about what people do.
            every_s = min(_ACKNOWLEDGED_EVERY_S, 5 * self._experiment.timing.interval_s)
            self._spawn(self._every(every_s, self._ask_for_acknowledgements), "acknowledgements")

    def _spawn(self, work: Coroutine[None, None, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        # A guard that has stopped watching is worse than none: it must never die unheard.
        if not task.cancelled() and (error := task.exception()):
            self._abort.ask("failure", f"the guard of {task.get_name()} failed: {type(error).__name__}: {error}")

    async def stop(self) -> None:
        """Stop watching."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def arm(self) -> None:
        """From now on, abort when an abort condition holds or a guarding signal cannot be read."""
        self._armed_at = self._recorder.now()
        self._armed_since = self._armed_at
        self._read_at = {}
        interval = self._experiment.timing.interval_s
        self._streaks = {condition: Streak(interval) for condition in self._experiment.abort_when}

    def disarm(self) -> None:
        """The undo has begun; there is nothing left to abort."""
        self._armed_at = None

    def since(self, at: float) -> list[Sample]:
        """The samples taken at or after this moment."""
        return [sample for sample in self._samples if sample.at >= at]

    async def first_look(self) -> None:
        """Wait until alerts have been looked at once, if there is anybody to ask: what fires then is no news later."""
        if self._alerts:
            await self._looked.wait()  # a look has its own timeout, and the guard ends the run should it fail

    async def next_sample(self, timeout_s: float) -> Sample | None:
        """Wait for the next sample; None when there is none in time, or no signal at all."""
        if self._source is None:
            await asyncio.sleep(timeout_s)
            return None
        try:
            async with asyncio.timeout(timeout_s), self._sampled:
                await self._sampled.wait()
                return self._samples[-1]
        except TimeoutError:
            return None

    async def _every(self, interval_s: float, work: Callable[[], Coroutine[None, None, None]]) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            await work()
            due += interval_s
            if (late := loop.time() - due) > 0:
                due += late - late % interval_s  # ticks that were missed are not made up for
            await asyncio.sleep(max(0.0, due - loop.time()))

    async def _sample(self) -> None:
        assert self._source is not None
        try:
            # One that hangs for longer than we may be blind must not keep the guard from saying so.
            async with asyncio.timeout(min(_SOURCE_DEADLINE_S, self._experiment.timing.blind_after_s)):
                readings = await self._source.read(self._queries)
        except TimeoutError:
            readings = tuple(
                Reading(str(query.signal), ReadingState.UNREACHABLE, None, "the source did not answer in time")
                for query in self._queries
            )
        at = self._recorder.now()
        sample = Sample(at, {reading.signal: reading for reading in readings})
        self._guard(sample)
        self._samples.append(sample)
        self._recorder.record(SignalsSampled(at=at, experiment=self._index, readings=readings))
        self._recorder.report_sink_failures()
        async with self._sampled:
            self._sampled.notify_all()

    def _guard(self, sample: Sample) -> None:
        if self._armed_at is None:
            return
        for condition, streak in self._streaks.items():
            value = value_of(condition, sample, self.baseline)
            lasted = streak.feed(sample.at, None if value is None else condition.holds_for(value))
            # Strictly positive: a condition with `for: 0s` trips on the first sample that matches, not on none.
            if lasted and lasted >= condition.for_s:
                detail = f"{condition.signal} was {condition.text} for {lasted:.1f} s"
                self._trip("abort-when", str(condition.signal), detail)
        for name in (str(query.signal) for query in self._queries):
            reading = sample.readings.get(name)
            if number_of(reading) is not None:
                self._read_at[name] = sample.at
            dark = sample.at - self._read_at.setdefault(name, self._armed_at)
            if dark >= self._experiment.timing.blind_after_s:
                why = "no number came" if reading is None or reading.state is ReadingState.OK else str(reading.state)
                why += f": {reading.detail}" if reading and reading.detail else ""
                self._trip("blind", name, f"{name} could not be read for {dark:.1f} s ({why})")

    def _trip(self, cause: str, subject: str, detail: str) -> None:
        if self._abort.request is None:
            self._abort.ask("guard", detail, experiment=self._index)
            self._recorder.record(
                GuardTripped(
                    at=self._recorder.now(), experiment=self._index, cause=cause, subject=subject, detail=detail
                )
            )

    async def _look(self) -> None:
        assert self._alerts is not None
        try:
            async with asyncio.timeout(_SOURCE_DEADLINE_S):
                seen = await self._alerts.look()
        except TimeoutError:
            self._looked.set()
            return
        if self._armed_since is None:
            self._watch.before(seen)
            self._looked.set()
            return
        for event in self._watch.observe(seen, self._recorder.now()):
            self._recorder.record(event)
            self.observed.append(event)
            alert = (event.name, tuple(sorted(event.labels.items())))
            if event.state is AlertState.FIRING and not event.existed_before:
                self._firing.add(alert)
            elif event.state is AlertState.RESOLVED:
                self._firing.discard(alert)

    async def _ask_for_acknowledgements(self) -> None:
        assert self._acknowledgements is not None
        if self._armed_since is None:
            return
        seen = {event.name for event in self.observed if not event.existed_before}
        try:
            events = await self._acknowledgements.ask(self._armed_since, seen, self._recorder.now)
        except Exception as error:  # noqa: BLE001 - nobody's life hangs on it; it is said once, and asked again
            if not self._is_deaf:
                self._is_deaf = True
                detail = f"acknowledgements cannot be read: {str(error) or type(error).__name__}"
                self._recorder.record(
                    SinkFailed(at=self._recorder.now(), sink=self._acknowledgements.name, detail=detail)
                )
            return
        for event in events:
            self._recorder.record(event)

    @property
    def alert_evidence(self) -> Evidence:
        """How far what was observed of the alerts can be relied on."""
        return self._watch.evidence

    @property
    def has_firing_alerts(self) -> bool:
        """Whether an alert that fired since the injection has not been resolved."""
        return bool(self._firing)
