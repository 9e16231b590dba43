"""What waits to be said to a channel: each thing is said at most once, in order; what could not be said is counted."""

import asyncio
import contextlib
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import islice

import msgspec

from gameday.common.texts import one_line
from gameday.notify.base import Channel, ChannelError, Detail, Kind, Status, is_said_quietly

_MOST_WAITING = 500
_MOST_AT_ONCE = 10  # details in one message
_LONGEST_WAIT_S = 60.0
_MOST_UPDATES = 5  # that are lost in a row, after which one is as good as shown
_LASTING = frozenset({Kind.ABORT, Kind.END, Kind.REPORT})  # never given up for want of room
_MOST_CHARACTERS = 300  # of a reason


class Pace(msgspec.Struct, frozen=True):
    """Seconds: `settle_s` before a status that has changed is shown, so that what comes together is shown together;
    `refresh_s` until one is shown whose numbers alone have changed; `again_s` before the first new attempt, twice as
    many before each further one; `flush_s` for what is left when the session has ended."""

    settle_s: float = 0.3
    refresh_s: float = 5.0
    again_s: float = 1.0
    flush_s: float = 4.0


_PACE = Pace()


class Outbox:
    """What waits to be said to one channel, and how it went. All of it runs in one event loop."""

    def __init__(
        self,
        channel: Channel,
        *,
        quiet: bool = False,
        pace: Pace = _PACE,
        clock: Callable[[], float] = time.monotonic,
        failed: Callable[[str], None] = lambda _reason: None,
    ) -> None:
        """`failed` is told of the first failure, and of the one after which nothing is tried any more."""
        self._channel = channel
        self._quiet = quiet
        self._pace = pace
        self._clock = clock
        self._failed = failed
        self._waiting: deque[Detail] = deque()
        self._status: Status | None = None  # to be shown
        self._shown: Status | None = None
        self._changed_at = 0.0
        self._shown_at = float("-inf")
        self._not_before = 0.0
        self._attempts = 0  # in a row that were not taken
        self._news = asyncio.Event()
        self._idle = asyncio.Event()
        self._told = False
        self._is_over = False  # nothing is tried any more
        self._says_next = False  # after a status it is a detail's turn
        self._lost = 0  # updates in a row
        self._again_at = 0.0  # not before then is a lost update shown again
        self._is_in_a_hurry = False
        self._is_stale = False  # what is shown is perhaps not the last status
        self.said = 0
        self.unsaid: Counter[Kind] = Counter()
        self.why = ""

    def put(self, details: Iterable[Detail], status: Status | None) -> None:
        """Take what there is to say, and where the session is now."""
        for detail in details:
            if self._quiet and not is_said_quietly(detail):
                continue
            if self._is_over:
                self.unsaid[detail.kind] += 1
                continue
            if len(self._waiting) >= _MOST_WAITING:
                self._make_room()
            self._waiting.append(detail)
        if status is not None and self._channel.has_status and not self._is_over:
            if self._status is None or status.key != self._status.key:
                self._changed_at = self._clock()
            self._status = status
        if not self.is_empty:
            self._idle.clear()
        self._news.set()

    def hurry(self, seconds: float) -> None:
        """The session has ended, and this is the time that is left: the oldest that would keep its end from being said
        are given up; all is, where the channel takes nothing before the time is over."""
        self._is_in_a_hurry = True
        if not self.is_empty and self._not_before - self._clock() > seconds:
            self.end(self.why)
        if self._channel.pace_s > 0:
            # Before them comes what is being said, and a status.
            most = max(1, int(seconds / self._channel.pace_s) - 2) * _MOST_AT_ONCE
            while len(self._waiting) > most:
                self._make_room(f"more than {most} messages were waiting when the session ended")

    def _make_room(self, reason: str = f"more than {_MOST_WAITING} messages were waiting") -> None:
        """Give up the oldest that may be."""
        oldest = next((one for one in self._waiting if one.kind not in _LASTING), self._waiting[0])
        self._waiting.remove(oldest)
        self._give_up([oldest], reason)

    @property
    def is_empty(self) -> bool:
        """Whether all has been said, and the status is shown as it is."""
        return self._is_over or not (self._waiting or self._is_status_new())

    def _is_status_new(self) -> bool:
        return self._status is not None and (self._shown is None or self._status.key != self._shown.key)

    def _due_at(self) -> float | None:
        """When the next thing is to be done; None: when there is news."""
        if self._is_over:
            return None
        times = [0.0] if self._waiting and self._is_begun() else []
        if self._is_status_new():
            settled = self._changed_at + self._pace.settle_s
            times.append(0.0 if self._shown is None else max(settled, self._again_at))
        elif self._status is not None and self._status is not self._shown:
            times.append(self._shown_at + self._pace.refresh_s)
        return max(min(times), self._not_before) if times else None

    def _is_begun(self) -> bool:
        """Details go below the status, which comes first."""
        return not self._channel.has_status or self._shown is not None

    async def work(self) -> None:
        """Say what comes, for ever."""
        while True:
            self._news.clear()
            if self.is_empty:
                self._idle.set()
            due = self._due_at()
            wait_s = None if due is None else due - self._clock()
            if wait_s is None or wait_s > 0:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), wait_s)
                continue
            await self.step()

    async def flushed(self) -> None:
        """Return once `work` has said all that is waiting."""
        await self._idle.wait()

    async def step(self) -> None:
        """Do the one thing that is next: never raises."""
        is_status_due = (self._is_status_new() and self._clock() >= self._again_at) or not self._waiting
        if self._status is not None and is_status_due and not (self._says_next and self._waiting and self._is_begun()):
            await self._show(self._status)
        elif self._waiting:
            await self._say(self._take())
        self._not_before = max(self._not_before, self._clock() + self._channel.pace_s)

    def _take(self) -> tuple[Detail, ...]:
        """What is said in one message. An abort begins one, while there is time: more people are shown it than what
        came before."""
        taken: list[Detail] = []
        for detail in islice(self._waiting, _MOST_AT_ONCE):
            if taken and detail.kind is Kind.ABORT and not self._is_in_a_hurry:
                break
            taken.append(detail)
        return tuple(taken)

    async def _show(self, status: Status) -> None:
        is_first = self._shown is None
        try:
            await _only_channel_errors(self._channel.show(status))
        except ChannelError as error:
            is_to_be_tried_again, self._says_next = self._is_to_be_tried_again(error), True
            if is_first and not is_to_be_tried_again:
                self._shown, self._is_stale = status, True  # perhaps it stands: no second one is posted
            elif not is_first and error.retry_after_s is None:
                self._show_again(status)
            return
        self._attempts, self._shown, self._shown_at, self._says_next = 0, status, self._clock(), True
        self._lost, self._again_at, self._is_stale = 0, 0.0, False

    def _show_again(self, status: Status) -> None:
        """One that changes what is there already may be shown again, a few times; meanwhile, details are said."""
        self._lost += 1
        self._again_at = self._clock() + self._pace.again_s * 2.0**self._lost
        self._shown_at, self._is_stale = self._clock(), True
        if self._lost == _MOST_UPDATES:
            self._shown, self._lost = status, 0

    async def _say(self, details: tuple[Detail, ...]) -> None:
        self._says_next = False
        try:
            await _only_channel_errors(self._channel.say(details))
        except ChannelError as error:
            if not self._is_to_be_tried_again(error) and not self._is_over:
                self._drop(details)
                self._give_up(details, str(error))
            return
        self._attempts = 0
        self._drop(details)
        self.said += len(details)

    def _drop(self, details: Sequence[Detail]) -> None:
        """They wait no longer. Room may have been made of some meanwhile."""
        for detail in details:
            if self._waiting and self._waiting[0] is detail:
                self._waiting.popleft()

    def _is_to_be_tried_again(self, error: ChannelError) -> bool:
        """Note what went wrong."""
        self._fail(str(error))
        if error.is_final:
            self.end(str(error))
            return False
        if error.retry_after_s is None:
            return False
        self._attempts += 1
        patience = min(self._pace.again_s * 2.0 ** (self._attempts - 1), _LONGEST_WAIT_S)
        self._not_before = self._clock() + max(error.retry_after_s, patience if self._attempts > 1 else 0.0)
        return True

    def _fail(self, reason: str) -> None:
        self.why = one_line(reason)[:_MOST_CHARACTERS]
        if not self._told:
            self._told = True
            self._failed(self.why)

    def _give_up(self, details: Iterable[Detail], reason: str) -> None:
        self.unsaid.update(detail.kind for detail in details)
        self.why = one_line(reason)[:_MOST_CHARACTERS]

    def end(self, reason: str = "") -> None:
        """Say no more. What waits is counted as not said."""
        if not self._is_over:
            self._is_over = True
            if self._waiting:
                self._give_up(self._waiting, reason)
                self._waiting.clear()
            self._news.set()
            self._idle.set()  # `work` may not have begun

    def summary(self) -> str:
        """What was not said, in one line; empty when all was."""
        missing = sum(self.unsaid.values())
        if not missing:
            is_old = self._is_stale or (self._is_over and self._is_status_new())
            return f"the session's message may be out of date: {self.why}" if is_old else ""
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.unsaid.items()))
        return f"{missing} of {missing + self.said} messages were not said, or perhaps not ({kinds}): {self.why}"


async def _only_channel_errors(work: Awaitable[None]) -> None:
    """A third party's channel may raise anything, and nothing may end the worker."""
    try:
        await work
    except ChannelError:
        raise
    except Exception as error:
        raise ChannelError(reason_of(error)) from error


def reason_of(error: Exception) -> str:
    text = str(error) if isinstance(error, ChannelError) else f"{type(error).__name__}: {error}"
    return one_line(text)[:_MOST_CHARACTERS]
