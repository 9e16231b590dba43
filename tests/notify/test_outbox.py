"""The outbox: in order, at most once, never more than a channel takes, and what was not said is counted. In virtual
time, but for the last."""

import asyncio
import contextlib
import itertools
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gameday.journal.events import AbortRequested
from gameday.notify.base import ChannelError, Detail, Kind, Level, Session, Status
from gameday.notify.outbox import Outbox, Pace
from gameday.notify.sink import ChannelSink
from tests.notify.test_annotations import STARTED

sys.path.insert(0, str(Path(__file__).parent.parent / "engine"))
from imagined import run_virtually

LOST = ChannelError("no answer within 10 s")
LATER = ChannelError("not now", retry_after_s=7.0)
GONE = ChannelError("is_archived", is_final=True)


def detail(number: int, kind: Kind = Kind.ALERT) -> Detail:
    return Detail(kind, f"{kind} {number}", float(number), float(number))


def status(state: str, elapsed_s: float = 0.0) -> Status:
    return Status("s", "t", "e", state, elapsed_s, Level.INFO, (state,))


@dataclass
class Scripted:
    """A channel that takes what it is given, with what befalls it in turn: an error, or so many seconds."""

    fates: list[ChannelError | float | None] = field(default_factory=list)
    has_status: bool = True
    name: str = "scripted"
    pace_s: float = 1.0
    taken: list[tuple[float, str]] = field(default_factory=list)
    tried: int = 0

    async def open(self, session: Session) -> None:
        return None

    async def show(self, shown: Status) -> None:
        await self._take([f"[{shown.state}]"])

    async def say(self, details: tuple[Detail, ...]) -> None:
        await self._take([one.title for one in details])

    async def _take(self, texts: list[str]) -> None:
        self.tried += 1
        fate = self.fates.pop(0) if self.fates else None
        if isinstance(fate, float):
            await asyncio.sleep(fate)
        elif fate is not None:
            raise fate
        self.taken += [(asyncio.get_running_loop().time(), text) for text in texts]

    async def upload(self, picture: object) -> None:
        raise AssertionError("there are no pictures")

    async def close(self) -> None:
        return None

    @property
    def texts(self) -> list[str]:
        return [text for _, text in self.taken]


type Step = tuple[float, list[Detail], Status | None]


def play(channel: Scripted, *steps: Step, **options: object) -> Outbox:
    """Give these, each at its time, and let all be said."""

    async def run() -> Outbox:
        loop = asyncio.get_running_loop()
        outbox = Outbox(channel, clock=loop.time, **options)  # type: ignore[arg-type]
        worker = asyncio.create_task(outbox.work())
        for at, details, shown in steps:
            await asyncio.sleep(max(0.0, at - loop.time()))
            outbox.put(details, shown)
        await asyncio.wait_for(outbox.flushed(), 600)
        worker.cancel()
        return outbox

    return run_virtually(run())


def test_the_status_first_then_what_happened_in_order_and_together() -> None:
    channel = Scripted()
    outbox = play(channel, (0.0, [detail(n) for n in range(3)], status("a")), (0.5, [detail(3)], None))
    assert channel.taken == [(0.0, "[a]"), (1.0, "alert 0"), (1.0, "alert 1"), (1.0, "alert 2"), (1.0, "alert 3")]
    assert (outbox.said, outbox.summary()) == (4, "")


def test_never_faster_than_its_pace_and_a_status_is_not_starved() -> None:
    channel = Scripted()
    steps = [(n / 10, [detail(n)], status(str(n // 10))) for n in range(60)]
    play(channel, *steps)
    times = sorted({at for at, _ in channel.taken})
    assert min(later - earlier for earlier, later in itertools.pairwise(times)) >= 0.999
    assert [text for text in channel.texts if text.startswith("alert")] == [f"alert {n}" for n in range(60)]
    assert "[5]" in channel.texts
    assert len([text for text in channel.texts if text.startswith("[")]) >= 4


def test_numbers_alone_are_shown_now_and_then() -> None:
    """The key does not change: elapsed time and signals do."""
    channel = Scripted()
    steps = [(n / 2, [], status("holding", n / 2)) for n in range(60)]
    play(channel, *steps)
    assert [at for at, _ in channel.taken] == pytest.approx([0.0, 5.0, 10.0, 15.0, 20.0, 25.0])


def test_what_is_not_taken_for_now_is_said_later_and_once() -> None:
    channel = Scripted(fates=[None, LATER, LATER])
    outbox = play(channel, (0.0, [detail(1), detail(2)], status("a")))
    assert channel.texts == ["[a]", "alert 1", "alert 2"]
    assert channel.taken[1][0] >= 1.0 + 7.0 + 7.0
    assert outbox.summary() == ""


def test_what_may_have_been_said_is_not_said_again() -> None:
    channel = Scripted(fates=[None, LOST])
    outbox = play(channel, (0.0, [detail(1)], status("a")), (3.0, [detail(2)], None))
    assert channel.texts == ["[a]", "alert 2"]
    assert outbox.summary() == "1 of 2 messages were not said, or perhaps not (1 alert): no answer within 10 s"


def test_a_status_whose_fate_is_unknown_keeps_nothing_back() -> None:
    channel = Scripted(fates=[LOST])
    play(channel, (0.0, [detail(1)], status("a")))
    assert channel.texts == ["alert 1"]


def test_an_update_whose_answer_is_lost_is_shown_again() -> None:
    """It changes what is there, so twice is as good as once; what happens meanwhile is said."""
    channel = Scripted(fates=[None, None, LOST, None, LOST])
    steps = [(0.0, [], status("holding")), (2.0, [detail(1)], status("held")), (4.5, [detail(2)], None)]
    outbox = play(channel, *steps)
    assert channel.texts == ["[holding]", "alert 1", "alert 2", "[held]"]
    assert outbox.summary() == ""


def test_one_that_is_lost_for_good_is_said() -> None:
    channel = Scripted(fates=[None, *[LOST] * 5])
    outbox = play(channel, (0.0, [], status("holding")), (2.0, [], status("held")))
    assert (channel.texts, channel.tried) == (["[holding]"], 6)
    assert outbox.summary() == "the session's message may be out of date: no answer within 10 s"


def test_after_a_final_refusal_nothing_is_tried() -> None:
    channel, told = Scripted(fates=[None, GONE]), []
    outbox = play(
        channel,
        (0.0, [detail(1)], status("a")),
        (5.0, [detail(2), detail(3, Kind.END)], status("b")),
        failed=told.append,
    )
    assert (channel.tried, told) == (2, ["is_archived"])
    assert outbox.summary() == "3 of 3 messages were not said, or perhaps not (2 alert, 1 end): is_archived"


def test_a_hundred_thousand_events_are_bounded_and_the_end_is_among_them() -> None:
    channel = Scripted()
    flood = [detail(n) for n in range(100_000)]
    outbox = play(channel, (0.0, [detail(0, Kind.ABORT), *flood, detail(1, Kind.END)], status("a")))
    assert outbox.said == 500
    assert channel.texts[1] == "abort 0"
    assert channel.texts[-1] == "end 1"
    assert sum(outbox.unsaid.values()) == 100_002 - 500
    assert len(channel.taken) == 501


def test_quietly() -> None:
    channel = Scripted()
    kinds = [Kind.BRIEF, Kind.ALERT, Kind.ABORT, Kind.UNDO, Kind.END]
    left = Detail(Kind.UNDO, "left", 4.0, 4.0, level=Level.BAD)
    play(channel, (0.0, [*(detail(n, kind) for n, kind in enumerate(kinds)), left], status("a")), quiet=True)
    assert channel.texts == ["[a]", "abort 2", "end 4", "left"]


def test_without_a_status() -> None:
    channel = Scripted(has_status=False)
    play(channel, (0.0, [detail(1)], status("a")))
    assert channel.texts == ["alert 1"]


def test_a_channel_that_is_slow_is_not_asked_twice_at_the_end() -> None:
    """What is under way when the session ends is waited for, and not said again."""
    channel = Scripted(fates=[None, 3.0])
    outbox = play(channel, (0.0, [detail(1)], status("a")), (2.0, [detail(2, Kind.END)], None))
    assert channel.texts == ["[a]", "alert 1", "end 2"]
    assert outbox.said == 2


class Hanging(Scripted):
    async def _take(self, texts: list[str]) -> None:
        await asyncio.Event().wait()


class Wild(Scripted):
    async def _take(self, texts: list[str]) -> None:
        raise ZeroDivisionError("of a third party")


def test_the_end_does_not_wait_for_a_channel_that_hangs(tmp_path: Path) -> None:
    sink = ChannelSink(Hanging(), tmp_path, pace=Pace(flush_s=0.05))

    for event in (STARTED, *(AbortRequested(at=1.0, source="signal", reason="r") for _ in range(50))):
        sink.handle(event)
    with pytest.raises(ChannelError, match=r"51 of 51 messages .*\(50 abort, 1 brief\): scripted took too long"):
        sink.close()
    sink.end()
    assert not [thread for thread in threading.enumerate() if thread is sink._thread]


def test_a_channel_that_breaks_is_said(tmp_path: Path) -> None:
    sink = ChannelSink(Wild(), tmp_path, pace=Pace(flush_s=5.0))
    with contextlib.suppress(ChannelError):  # should it have failed by then
        sink.handle(STARTED)
    with pytest.raises(ChannelError, match=r"1 of 1 messages .*ZeroDivisionError: of a third party"):
        sink.close()
    sink.end()


def test_the_end_is_among_what_is_said_when_time_is_short() -> None:
    """Two hundred wait when the session ends, and the channel takes a message a second."""
    channel = Scripted(pace_s=1.1)

    async def run() -> Outbox:
        outbox = Outbox(channel, clock=asyncio.get_running_loop().time)
        worker = asyncio.create_task(outbox.work())
        outbox.put([*(detail(n) for n in range(200)), detail(1, Kind.END)], status("over"))
        outbox.hurry(4.0)
        await asyncio.wait_for(outbox.flushed(), 4.0)
        worker.cancel()
        return outbox

    outbox = run_virtually(run())
    assert channel.texts[-1] == "end 1"
    assert outbox.said + sum(outbox.unsaid.values()) == 201


class Unopened(Scripted):
    """Hangs wherever it can."""

    async def open(self, session: Session) -> None:
        await asyncio.Event().wait()

    async def close(self) -> None:
        await asyncio.Event().wait()


class Unclosed(Scripted):
    async def close(self) -> None:
        raise ZeroDivisionError("of a third party")


@pytest.mark.parametrize("channel", [Unopened(pace_s=0.0), Unclosed(pace_s=0.0)], ids=["open hangs", "close fails"])
def test_nothing_is_left_of_a_channel(tmp_path: Path, channel: Scripted) -> None:
    flush_s = 0.2 if isinstance(channel, Unopened) else 30.0
    sink = ChannelSink(channel, tmp_path, pace=Pace(flush_s=flush_s))
    sink.handle(STARTED)
    sink.handle(STARTED)  # of a journal that is damaged
    with contextlib.suppress(ChannelError):
        sink.close()
    said = sink.report(detail(1, Kind.REPORT), lambda: (), 60.0)  # returns long before that
    assert ("not said" in said) == isinstance(channel, Unopened)
    sink.end()
    sink.end()
    assert sink._thread is not None
    sink._thread.join(5)
    assert (sink._thread.is_alive(), sink._loop.is_closed()) == (False, True)
    sink.handle(STARTED)  # what comes too late is passed over
    sink.close()
    assert sink.report(detail(1, Kind.REPORT), lambda: (), 60.0) == ""
