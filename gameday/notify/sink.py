"""The sink that tells a channel of a session: a thread of its own says what the outbox holds."""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from pathlib import Path

from gameday.journal.events import AnyEvent, SessionStarted
from gameday.notify.base import Channel, ChannelError, Detail, Picture, Session, Status
from gameday.notify.narrator import Narrator
from gameday.notify.outbox import Outbox, Pace, reason_of

MOST_FAILURES = 20  # that are kept until they are said
_PACE = Pace()
_WIND_UP_S = 0.5


class ChannelSink:
    """A sink (`engine.recorder.Sink`) for one channel. What it says is said by a thread of its own."""

    _loop: asyncio.AbstractEventLoop  # once there is a thread

    def __init__(
        self,
        channel: Channel,
        root: Path,
        *,
        quiet: bool = False,
        pace: Pace = _PACE,
        failures: deque[str] | None = None,
    ) -> None:
        """`root`: of the project, below which the run lies. `failures`: where the channel says what goes wrong beside
        what is said."""
        self.name = channel.name
        self._channel = channel
        self._root = root
        self._quiet = quiet
        self._pace = pace
        self._narrator = Narrator()
        self._outbox: Outbox | None = None
        self._worker: asyncio.Task[None] | None = None
        self._thread: threading.Thread | None = None
        self._failures = failures if failures is not None else deque[str](maxlen=MOST_FAILURES)
        self._is_closed = False

    def handle(self, event: AnyEvent) -> None:
        """Take one event. Raises ChannelError, after the fact, once something could not be said."""
        details = self._narrator.take(event)
        if isinstance(event, SessionStarted):
            self._begin(event)
        if self._thread is None or self._is_closed:
            return
        status = self._narrator.status(event.at)
        self._loop.call_soon_threadsafe(self._put, details, status)
        if self._failures:
            raise ChannelError(self._failures.popleft())

    def resume(self, events: Iterable[AnyEvent]) -> None:
        """Go on with a session whose runner has died: of these events all has been said that ever will be."""
        for event in events:
            self._narrator.take(event)
            if isinstance(event, SessionStarted):
                self._begin(event)

    def _begin(self, session: SessionStarted) -> None:
        from gameday.engine.runs import runs_directory

        if self._thread is not None:  # a journal begins once
            return
        directory = runs_directory(self._root) / session.session
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, args=(Session(session, directory),), daemon=True)
        self._thread.start()

    def _run(self, session: Session) -> None:
        asyncio.set_event_loop(self._loop)
        self._outbox = Outbox(self._channel, quiet=self._quiet, pace=self._pace, failed=self._failures.append)
        try:
            with contextlib.suppress(Exception):
                self._loop.run_until_complete(self._open(session))
            if not self._is_closed:
                self._worker = self._loop.create_task(self._outbox.work())
                self._loop.run_forever()
        finally:
            self._wind_up()

    def _wind_up(self) -> None:
        """Whatever the channel has left running is ended, and the loop's own sockets are closed."""
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        with contextlib.suppress(Exception):
            if tasks:
                self._loop.run_until_complete(asyncio.wait(tasks, timeout=_WIND_UP_S))
            self._loop.close()

    async def _open(self, session: Session) -> None:
        assert self._outbox is not None
        try:
            await self._channel.open(session)
        except Exception as error:  # noqa: BLE001 - a third party's channel may raise anything
            self._failures.append(reason_of(error))
            self._outbox.end(reason_of(error))

    def _put(self, details: Sequence[Detail], status: Status | None) -> None:
        if self._outbox is not None:
            self._outbox.put(details, status)

    def _ask[T](self, work: Coroutine[None, None, T], seconds: float) -> T:
        """What the loop makes of it. Raises TimeoutError after so many seconds, and what `work` raises."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(seconds)
        finally:
            future.cancel()

    def close(self) -> None:
        """The session has ended: say what is left, within `flush_s`. Raises ChannelError when something was not said.

        What is said afterwards, by `report`, finds the channel open: `end` closes it.
        """
        if self._thread is None or self._is_closed:
            return
        try:
            self._ask(self._flush(), self._pace.flush_s)
        except TimeoutError:
            self._ask(self._give_up(), 1.0)
        assert self._outbox is not None
        if reason := self._outbox.summary() or "".join([*self._failures][:1]):
            raise ChannelError(reason)

    async def _flush(self) -> None:
        assert self._outbox is not None
        self._outbox.hurry(self._pace.flush_s)
        await self._outbox.flushed()

    async def _give_up(self) -> None:
        assert self._outbox is not None
        because = f": {self._outbox.why}" if self._outbox.why else ""
        self._outbox.end(f"{self.name} took too long{because}")

    def report(self, detail: Detail, pictures: Callable[[], Sequence[Picture]], seconds: float) -> str:
        """After the session: where its report is, and its charts. What could not be said; empty when all was."""
        if self._thread is None or self._is_closed:
            return ""
        try:
            return self._ask(self._report(detail, pictures), seconds)
        except TimeoutError:
            return f"it took longer than {seconds:g} s"
        except Exception as error:  # noqa: BLE001 - a third party's channel, or a picture that cannot be drawn
            return reason_of(error)

    async def _report(self, detail: Detail, pictures: Callable[[], Sequence[Picture]]) -> str:
        assert self._outbox is not None
        self._outbox.unsaid.clear()  # the journal has those
        self._outbox.put([detail], None)
        await self._outbox.flushed()
        if missing := self._outbox.summary():
            return missing
        return await self._show([] if self._quiet else await asyncio.to_thread(pictures))

    async def _show(self, pictures: Sequence[Picture]) -> str:
        """Each, whatever becomes of the others."""
        shown, why = 0, ""
        for picture in pictures:
            try:
                await self._upload(picture)
            except Exception as error:  # noqa: BLE001 - a third party's channel may raise anything
                why = why or reason_of(error)
                if isinstance(error, ChannelError) and error.is_final:
                    break
            else:
                shown += 1
        return f"{len(pictures) - shown} of {len(pictures)} pictures are perhaps not there: {why}" if why else ""

    async def _upload(self, picture: Picture) -> None:
        try:
            await self._channel.upload(picture)
        except ChannelError as error:
            if error.retry_after_s is None:
                raise
            await asyncio.sleep(error.retry_after_s)
            await self._channel.upload(picture)

    def end(self) -> None:
        """Let go of the channel. Never raises."""
        if self._thread is None or self._is_closed:
            return
        self._is_closed = True
        with contextlib.suppress(Exception):
            self._ask(self._close(), 2.0)
        with contextlib.suppress(RuntimeError):  # it has ended by itself
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(2 * _WIND_UP_S)

    async def _close(self) -> None:
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)
        await self._channel.close()
