"""Writes every event to the journal, without secrets, and offers it to sinks that can neither slow nor stop the run."""

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from typing import Protocol

import msgspec

from gameday.common.clock import Clock
from gameday.common.redact import Redactor
from gameday.journal.events import AnyEvent, SinkFailed
from gameday.journal.log import JournalError, JournalWriter, UnwritableJournal
from gameday.journal.state import RunState

_QUEUE_EVENTS = 20_000
_MAX_UNWRITTEN = 100_000
_MOST_FAILURES = 5  # of each sink that are said while it runs
_OURS = frozenset({"fault", "fault_id"})  # what an undo finds its fault by


class Sink(Protocol):
    """Something that tells people what happens. It runs in a thread of its own and may block or fail."""

    name: str

    def handle(self, event: AnyEvent) -> None:
        """Take one event, in order."""
        ...

    def close(self) -> None:
        """The last event has been handled."""
        ...


class _SinkThread:
    """Feeds one sink from a bounded queue; when that is full, events are dropped for this sink and counted."""

    def __init__(self, sink: Sink, failed: Callable[[str, str], None]) -> None:
        self.sink = sink
        self.dropped = 0
        self._is_asked = False
        self._failed = failed
        self._queue: queue.Queue[AnyEvent | None] = queue.Queue(_QUEUE_EVENTS)
        self._thread = threading.Thread(target=self._work, name=f"sink-{sink.name}", daemon=True)
        self._thread.start()

    def offer(self, event: AnyEvent) -> None:
        try:
            self._queue.put_nowait(event)
        except queue.Full:
            self.dropped += 1

    def _work(self) -> None:
        told: set[str] = set()
        while (event := self._queue.get()) is not None:
            try:
                self.sink.handle(event)
            except Exception as error:  # noqa: BLE001 - a sink may fail in any way; each is said once
                said = f"{type(error).__name__}: {error}"
                if said not in told and len(told) < _MOST_FAILURES:
                    told.add(said)
                    self._failed(self.sink.name, said)
        try:
            self.sink.close()
        except Exception as error:  # noqa: BLE001
            self._failed(self.sink.name, f"{type(error).__name__}: {error}")

    def ask_to_finish(self) -> None:
        """What is queued is the last."""
        with contextlib.suppress(queue.Full):  # `finish` asks again
            self._queue.put_nowait(None)
            self._is_asked = True

    def finish(self, deadline: float) -> bool:
        """Let the sink handle what is queued; False when it did not by then, in the time of the monotonic clock."""
        try:
            if not self._is_asked:
                self._queue.put(None, timeout=max(0.0, deadline - time.monotonic()))
        except queue.Full:
            return False
        self._thread.join(max(0.0, deadline - time.monotonic()))
        return not self._thread.is_alive()


class SecretInPlanError(Exception):
    """A plan holds a secret: it can be written neither with it (promise 9) nor without it (undo would not work)."""


class Recorder:
    """The one way into the journal for the process that holds its writer's lock."""

    def __init__(
        self,
        writer: JournalWriter | UnwritableJournal,
        redact: Redactor,
        sinks: Sequence[Sink] = (),
        *,
        state: RunState | None = None,
        on_failure: Callable[[str], None] = lambda _reason: None,
    ) -> None:
        """`state`: of a journal that is carried on. `on_failure` is told, once, that it can no longer be written."""
        self.state = state or RunState()
        self._clock = Clock()
        self._writer = writer
        self._redact = redact
        self._on_failure = on_failure
        self._unwritten: list[AnyEvent] = []
        self._failure: str | None = None
        self._sink_failures: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
        self._sinks = [_SinkThread(sink, lambda *failure: self._sink_failures.put(failure)) for sink in sinks]

    def now(self) -> float:
        """Seconds since the Unix epoch, never jumping."""
        return self._clock.now()

    def record(self, event: AnyEvent, *, sync: bool = False) -> None:
        """Write an event. When the journal cannot be written the event is kept in memory and the run told to end."""
        try:
            self.record_or_raise(event, sync=sync)
        except JournalError as error:
            if len(self._unwritten) < _MAX_UNWRITTEN:
                self._unwritten.append(event)
            self._fail(str(error))

    @property
    def is_written(self) -> bool:
        """Whether the journal has every event, none being kept in memory."""
        return not self._unwritten

    def _fail(self, reason: str) -> None:
        if self._failure is None:
            self._failure = reason
            self._on_failure(reason)

    def record_or_raise(self, event: AnyEvent, *, sync: bool = False) -> None:
        """Write an event. Raises JournalError when it is not on disk (the state and the sinks know of it all the same),
        and SecretInPlanError when a fault's plan holds a secret."""
        event = self._without_secrets(event)
        self.state.apply(event)
        for sink in self._sinks:
            sink.offer(event)
        self._flush_unwritten()
        self._writer.append(event, sync=sync)
        if not self._writer.is_spare:
            # What is written now is on the reserve, which is there for the undo, not for going on.
            self._fail(f"No space left on device for {self._writer.path}; the run lives on its reserve")

    def _without_secrets(self, event: AnyEvent) -> AnyEvent:
        text = msgspec.json.encode(event).decode()
        if self._redact(text) == text:
            return event
        plan = getattr(event, "plan", None)
        if plan is not None and self._redact(bytes(plan).decode()) != bytes(plan).decode():
            raise SecretInPlanError("the plan of this fault holds a secret and cannot be written to the journal")
        return _redacted(event, self._redact)

    def learn_secrets(self, secrets: Iterable[str]) -> None:
        """Keep these values, too, out of what is written from now on."""
        self._redact.add(secrets)

    def _flush_unwritten(self) -> None:
        while self._unwritten:
            self._writer.append(self._unwritten[0])
            self._unwritten.pop(0)

    def report_sink_failures(self) -> None:
        """Write what sinks have reported since the last time. Called from the run's own loop."""
        while not self._sink_failures.empty():
            name, detail = self._sink_failures.get()
            self.record(SinkFailed(at=self.now(), sink=name, detail=detail))

    def close(self, sinks_deadline_s: float) -> None:
        """Let the sinks finish, say which did not, and close the journal. Never raises."""
        deadline = time.monotonic() + sinks_deadline_s  # of all: they finish side by side
        for sink in self._sinks:
            sink.ask_to_finish()
        for sink in self._sinks:
            finished = sink.finish(deadline)
            if not finished or sink.dropped:
                detail = f"{sink.dropped} events dropped" if finished else "did not finish in time"
                self._sink_failures.put((sink.sink.name, detail))
        self._sinks.clear()
        self.report_sink_failures()
        with contextlib.suppress(JournalError):  # told already; whatever can be written now is
            self._flush_unwritten()
        self._writer.close()


def _redacted[T](value: T, redact: Redactor) -> T:
    """The same, with every text in it redacted; what is none of the user's words, and numbers, stay as they are.

    Not done on the JSON text: a secret that is also a key, a kind of event or the digits of a time would make it
    unreadable, and the fault in it could no longer be undone.
    """
    changed: object = value
    if isinstance(value, msgspec.Struct):
        texts = {name: getattr(value, name) for name in value.__struct_fields__ if name not in _OURS}
        changed = msgspec.structs.replace(value, **{name: _redacted(item, redact) for name, item in texts.items()})
    elif isinstance(value, str) and not isinstance(value, Enum):
        changed = redact(value)
    elif isinstance(value, tuple):
        changed = tuple(_redacted(item, redact) for item in value)
    elif isinstance(value, dict):
        changed = {_redacted(key, redact): _redacted(item, redact) for key, item in value.items()}
    return changed  # type: ignore[return-value]
