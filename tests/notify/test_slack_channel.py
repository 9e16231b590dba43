"""Slack as a channel: the real slack-sdk against the stand-in (`slack_server`), in whole sessions and one by one."""

import asyncio
import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from gameday.common.processes import ProcessRef
from gameday.engine.session import SessionResult, run_session
from gameday.journal.events import (
    AbortRequested,
    By,
    GuardianStarted,
    NoteAdded,
    SessionEnded,
    SinkFailed,
    StageEnded,
    UndoEnded,
    Verdict,
)
from gameday.journal.log import read_events
from gameday.notify.base import ChannelError, Detail, Kind, Level, Session, Status
from gameday.notify.channels import channel_sinks
from gameday.notify.outbox import Pace
from gameday.notify.sink import ChannelSink
from gameday.notify.slack.channel import SlackChannel, SlackWebhook, open_slack, retry_after
from gameday.spec.model import Environment, SlackConfig
from tests.notify.test_annotations import STARTED, timeline_of

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "engine"))
from pretend import PretendSystem, events_of
from slack_server import SlackServer, Trouble

QUICK = Pace(settle_s=0.0, refresh_s=0.05, again_s=0.01, flush_s=5.0)


@pytest.fixture
def server() -> Iterator[SlackServer]:
    with SlackServer(pace=0.001) as running:
        yield running


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in's limits are a thousandth of Slack's; so is our pace."""
    monkeypatch.setattr(SlackChannel, "pace_s", 0.0011)
    monkeypatch.setattr(SlackWebhook, "pace_s", 0.0011)


def config_of(server: SlackServer, **more: object) -> SlackConfig:
    values = {"channel": "#gameday", "token": server.token, "url": server.api, "timeout_s": 5.0, **more}
    return msgspec.convert(values, SlackConfig)


@dataclass
class Picture:
    title: str = "Checkout survives"
    alt: str = "Latency rises to 280 ms during stage 2."
    file_name: str = "checkout.png"
    png: bytes = b"\x89PNG\r\n\x1a\n" + b"0" * 100


def run(root: Path, config: SlackConfig, *, quiet: bool = False) -> tuple[SessionResult, ChannelSink]:
    system = PretendSystem(root)
    environment: Environment = msgspec.structs.replace(system.environment(), slack=config)
    session = msgspec.structs.replace(system.session(), environment=environment)
    failures: deque[str] = deque()
    sink = ChannelSink(open_slack(config, failures.append), root, quiet=quiet, pace=QUICK, failures=failures)
    try:
        return asyncio.run(run_session(session, [sink])), sink
    finally:
        if sink._thread is None:
            sink.end()


def unsaid(result: SessionResult) -> list[str]:
    return [event.detail for event in events_of(result.run.directory, SinkFailed)]


def test_whoever_takes_over_goes_on_in_the_same_thread(server: SlackServer, tmp_path: Path) -> None:
    """The runner is killed in the middle of a stage; somebody says what the guardian did."""
    result, sink = run(tmp_path, config_of(server))
    sink.end()
    events = tuple(read_events(result.run.directory))
    cut = next(number for number, event in enumerate(events) if isinstance(event, StageEnded))
    before, replies = len(server.calls), len(server.thread(server.parents[0].ts))
    again = ChannelSink(open_slack(config_of(server), lambda _reason: None), tmp_path, pace=QUICK)
    again.resume(events[:cut])
    at = events[cut].at
    again.handle(GuardianStarted(at=at, by=By.GUARDIAN, reason="the runner died", process=ProcessRef(1, "1")))
    for event in events[cut + 1 :]:
        if isinstance(event, UndoEnded | SessionEnded):
            again.handle(event)
    again.close()
    again.end()
    (parent,) = server.parents  # there is still one
    said = [message.text for message in server.thread(parent.ts)[replies:]]
    assert "ABORT: the runner died, and the guardian has taken over" in said[0]
    assert any("Undone and verified" in text for text in said)
    assert [call for call in server.calls[before:] if call.method == "chat.update"]
    assert "stage 1" not in "".join(said), "that was said before"


REPORT = Detail(Kind.REPORT, "The report is written", 1.0, 0.0, ("day.html",), link="https://reports.example.com/day")


def test_a_session_has_one_message_and_its_thread(server: SlackServer, tmp_path: Path) -> None:
    result, sink = run(tmp_path, config_of(server, people=(("@b", "U0DEV"),)))
    assert sink.report(REPORT, lambda: [Picture()], 10.0) == ""
    sink.end()
    assert (result.verdict, unsaid(result)) == (Verdict.HELD, [])
    (parent,) = server.parents
    assert "everything held" in parent.text
    assert not any(block["type"] == "actions" for block in parent.blocks), "nothing can be done without Socket Mode"
    thread = [message.text for message in server.thread(parent.ts)]
    said = "\n".join(thread)
    for words in ("Preflight", "Begins", "Injected", "Stage 2 of 2", "Undone and verified", "Steady again", "it took"):
        assert words in said, words
    assert said.count("Injected") == 2
    assert said.index("Preflight") < said.index("Injected") < said.index("Undone") < said.index("it took")
    assert "<@U0DEV> @s" in said
    assert "https://reports.example.com/day" in thread[-1] or "https://reports.example.com/day" in thread[-2]
    (upload,) = server.uploads.values()
    assert (upload.is_complete, upload.content) == (True, Picture().png)
    assert server.limited == [], "our pace is within Slack's limits"


def test_quietly(server: SlackServer, tmp_path: Path) -> None:
    _, sink = run(tmp_path, config_of(server), quiet=True)
    assert sink.report(REPORT, lambda: [Picture()], 10.0) == ""
    sink.end()
    (parent,) = server.parents
    assert ["it took" in message.text for message in server.thread(parent.ts)] == [True, False]
    assert server.uploads == {}


def test_a_webhook_says_what_was_left_behind(server: SlackServer, tmp_path: Path) -> None:
    async def say() -> None:
        channel = SlackWebhook(SlackConfig(webhook=server.webhook, timeout_s=5.0))
        await channel.open(Session(STARTED, tmp_path))
        left = Detail(Kind.UNDO, "NOT undone: a", 1.0, 1.0, level=Level.BAD)
        await channel.say((msgspec.structs.replace(left, level=Level.GOOD, title="Undone: b"), left))

    asyncio.run(say())
    (message,) = server.messages
    assert message.text.startswith(":rotating_light: *NOT undone: a*")
    assert len(message.blocks) == 1


def test_a_webhook_says_less_and_changes_nothing(server: SlackServer, tmp_path: Path) -> None:
    config = SlackConfig(webhook=server.webhook, timeout_s=5.0)
    result, sink = run(tmp_path, config)
    assert sink.report(REPORT, lambda: [Picture()], 10.0) == ""
    sink.end()
    assert unsaid(result) == []
    said = "\n".join(message.text for message in server.messages)
    assert "Begins" in said
    assert "it took" in said
    assert "Injected" not in said
    assert all(message.thread_ts is None for message in server.messages)
    assert [call.method for call in server.calls if call.method != "webhook"] == []


@pytest.mark.parametrize(
    ("trouble", "why"),
    [
        ("token_revoked", "token_revoked"),
        ("account_inactive", "account_inactive"),
        ("is_archived", "is_archived"),
        ("not_in_channel", "not_in_channel"),
        ("missing_scope", "missing_scope"),
    ],
)
def test_what_is_for_good_is_tried_no_more(server: SlackServer, tmp_path: Path, trouble: str, why: str) -> None:
    server.befall("chat.*", Trouble(error=trouble))
    result, sink = run(tmp_path, config_of(server))
    sink.end()
    assert result.verdict is Verdict.HELD
    assert len(server.calls) == 1
    first, last = unsaid(result)
    assert first == f"ChannelError: {why}"
    assert "messages were not said, or perhaps not" in last
    assert why in last


def test_archived_midway(server: SlackServer, tmp_path: Path) -> None:
    server.befall("chat.update", Trouble(do=lambda: setattr(server.channels["C0GAMEDAY"], "is_archived", True)))
    result, sink = run(tmp_path, config_of(server))
    sink.end()
    assert result.verdict is Verdict.HELD
    assert "is_archived" in unsaid(result)[-1]


def test_a_channel_that_is_renamed_is_the_same(server: SlackServer, tmp_path: Path) -> None:
    server.befall("chat.update", Trouble(do=lambda: setattr(server.channels["C0GAMEDAY"], "name", "old-gameday")))
    result, sink = run(tmp_path, config_of(server))
    sink.end()
    assert unsaid(result) == []


def test_limits_are_waited_for(server: SlackServer, tmp_path: Path) -> None:
    server.befall("chat.postMessage", Trouble(retry_after=1, times=1))
    result, sink = run(tmp_path, config_of(server))
    sink.end()
    assert server.limited == ["chat.postMessage"]
    (parent,) = server.parents
    said = "\n".join(message.text for message in server.thread(parent.ts))
    assert said.count("it took") == 1
    assert [detail for detail in unsaid(result) if "were not said" in detail] == []


def test_a_limit_is_known_by_either_name(server: SlackServer, tmp_path: Path) -> None:
    """HTTP 429 comes with `ratelimited`; https://docs.slack.dev/reference/methods/chat.postMessage has another."""

    async def say() -> None:
        channel = SlackChannel(config_of(server))
        await channel.open(Session(STARTED, tmp_path))
        try:
            await channel.say((REPORT,))
        finally:
            await channel.close()

    server.befall("chat.postMessage", Trouble(error="rate_limited"))
    with pytest.raises(ChannelError, match="no more for now") as raised:
        asyncio.run(say())
    assert raised.value.retry_after_s == 30.0


@pytest.mark.parametrize(("said", "seconds"), [("7", 7.0), ("0", 0.0), ("soon", 30.0), ("-1", 30.0), ("\xb2", 30.0)])
def test_how_long_is_waited(said: str, seconds: float) -> None:
    assert retry_after({"retry-AFTER": said}) == seconds


def test_charts_do_without_one_that_is_not_taken(server: SlackServer, tmp_path: Path) -> None:
    _, sink = run(tmp_path, config_of(server))
    server.befall("files.completeUploadExternal", Trouble(error="internal_error", times=1))
    server.befall("files.getUploadURLExternal", Trouble(retry_after=0, times=1))
    said = sink.report(REPORT, lambda: [Picture(file_name=f"{number}.png") for number in range(3)], 10.0)
    sink.end()
    assert said == "1 of 3 pictures are perhaps not there: internal_error"
    assert [one.filename for one in server.uploads.values() if one.is_complete] == ["1.png", "2.png"]


def test_an_abort_is_shown_to_the_channel_without_what_came_before(server: SlackServer, tmp_path: Path) -> None:
    sink = ChannelSink(open_slack(config_of(server), lambda _reason: None), tmp_path, pace=QUICK)
    sink.handle(STARTED)
    server.wait(lambda: server.messages)
    server.befall("chat.*", Trouble(seconds=0.2, times=1))  # so that all of it waits
    for number in range(3):
        sink.handle(NoteAdded(at=STARTED.at + number, author="@ada", text=f"note {number}"))
    sink.handle(AbortRequested(at=STARTED.at + 4, source="signal", reason="enough"))
    sink.handle(NoteAdded(at=STARTED.at + 5, author="@ada", text="note 5"))
    server.wait(lambda: any("note 5" in message.text for message in server.messages))
    sink.close()
    sink.end()
    (loud,) = [call for call in server.calls if call.arguments.get("reply_broadcast")]
    assert "note 5" in loud.arguments["text"]
    assert "note 2" not in loud.arguments["text"]
    assert loud.arguments["text"].startswith(":rotating_light: *ABORT: enough*")


def test_a_slack_that_takes_nothing_until_tomorrow_is_not_waited_for(server: SlackServer, tmp_path: Path) -> None:
    server.befall("chat.*", Trouble(retry_after=86_400))
    sink = ChannelSink(open_slack(config_of(server), lambda _reason: None), tmp_path, pace=Pace(flush_s=600.0))
    sink.handle(STARTED)
    server.wait(lambda: sink._outbox is not None and sink._outbox.why)
    with pytest.raises(ChannelError, match=r"1 of 1 messages .*: Slack takes no more for now"):
        sink.close()
    sink.end()


def test_nothing_is_said_twice_when_the_answer_is_lost(server: SlackServer, tmp_path: Path) -> None:
    server.befall("chat.postMessage", Trouble(cut=True, times=2))
    result, sink = run(tmp_path, config_of(server))
    sink.end()
    assert server.messages[0].thread_ts is None
    said = "\n".join(message.text for message in server.messages[1:])
    for once in ("Preflight", "it took"):
        assert said.count(once) <= 1
    assert [message for message in server.messages[1:] if message.text == server.messages[0].text] == []
    assert "or perhaps not" in unsaid(result)[-1]


@pytest.mark.parametrize("refuses", [False, True], ids=["is posted into the channel", "is refused"])
@pytest.mark.parametrize("found_by", ["chat.update", "chat.postMessage"])
def test_the_thread_of_a_message_that_somebody_has_deleted_goes_on(
    server: SlackServer, tmp_path: Path, found_by: str, refuses: bool
) -> None:
    """In one new message, whatever Slack makes of a reply to what is gone. Where it is, is said."""
    server.refuses_lost_threads = refuses

    def delete() -> None:
        if len(server.messages) > 1 and not gone:
            gone.append(server.parents[0].ts)
            server.delete(gone[0])

    gone: list[str] = []
    server.befall(found_by, Trouble(do=delete))
    result, sink = run(tmp_path, config_of(server))
    assert sink.report(REPORT, lambda: [Picture()], 10.0) == ""
    sink.end()
    (head,) = server.parents
    below = server.thread(head.ts)
    assert gone != [head.ts]
    assert below
    said = "".join(message.text for message in server.messages)
    for once in ("Preflight", "Stage 1 of 2", "Stage 2 of 2", "it took", "The report is written"):
        assert said.count(once) == 1, once
    assert below[-1].files, "the charts are there, too"
    if head.blocks[0]["type"] == "context":  # else nobody knew
        assert result.run.name in head.blocks[0]["elements"][0]["text"]
    else:
        assert (found_by, refuses) == ("chat.postMessage", False)
    told = [detail for detail in unsaid(result) if "cannot be changed any more" in detail]
    assert len(told) == 1
    assert [detail for detail in unsaid(result) if "were not said" in detail] == []


def test_what_cannot_be_changed_any_more_keeps_its_thread(server: SlackServer, tmp_path: Path) -> None:
    server.befall("chat.update", Trouble(error="edit_window_closed"))
    result, sink = run(tmp_path, config_of(server))
    sink.end()
    (parent,) = server.parents
    assert "it took" in "".join(message.text for message in server.thread(parent.ts))
    assert len([call for call in server.calls if call.method == "chat.update"]) == 1
    assert unsaid(result) == ["ChannelError: the session's message cannot be changed any more: edit_window_closed"]


def test_a_session_without_a_message_has_one_thread_all_the_same(server: SlackServer, tmp_path: Path) -> None:
    server.befall("chat.postMessage", Trouble(error="internal_error", times=1))
    result, sink = run(tmp_path, config_of(server))
    assert sink.report(REPORT, lambda: [Picture()], 10.0) == ""
    sink.end()
    (head,) = server.parents
    assert result.run.name in head.blocks[0]["elements"][0]["text"]
    assert server.thread(head.ts)[-1].files


def test_a_server_that_is_not_there_is_tried_again(server: SlackServer) -> None:
    async def say() -> None:
        channel = SlackChannel(config_of(server, url="http://127.0.0.1:9/api/"))
        await channel.open(Session(STARTED, Path("nowhere")))
        try:
            await channel.show(Status("s", "t", "e", "x", 0.0, Level.INFO, ()))
        finally:
            await channel.close()

    with pytest.raises(ChannelError, match="cannot be reached") as raised:
        asyncio.run(say())
    assert raised.value.retry_after_s is not None


def test_with_socket_mode_there_are_buttons_until_it_ends(server: SlackServer, tmp_path: Path) -> None:
    seen: list[set[str]] = []
    server.befall("chat.update", Trouble(do=lambda: seen.append(buttons(server))))
    _, sink = run(tmp_path, config_of(server, app_token=server.app_token))
    sink.end()
    assert {"gameday_abort", "gameday_mark_detected", "gameday_predict"} <= seen[0]
    assert buttons(server) == set()


def buttons(server: SlackServer) -> set[str]:
    (parent,) = server.parents
    return {item["action_id"] for block in parent.blocks if block["type"] == "actions" for item in block["elements"]}


def test_no_token_is_in_what_is_said_of_a_failure(server: SlackServer, tmp_path: Path) -> None:
    config = SlackConfig(webhook=server.webhook.replace("http:", "https:"), timeout_s=2.0)
    result, sink = run(tmp_path, config)
    sink.end()
    assert unsaid(result)
    assert "of-ours" not in "".join(unsaid(result))


def test_channels_that_are_not_there_are_said(tmp_path: Path) -> None:
    from gameday.spec.model import ChannelConfig

    environment = PretendSystem(tmp_path).environment()
    said: list[str] = []
    wrong = (ChannelConfig("teamz", "http://a"), ChannelConfig("teams", "nowhere"))
    assert channel_sinks(msgspec.structs.replace(environment, channels=wrong), tmp_path, said.append) == ()
    assert "there is no kind of channel `teamz`" in said[0]
    assert "did you mean `teams`?" in said[0]
    assert "expected http:// or https://" in said[1]


@pytest.mark.parametrize("trouble", [Trouble(never=True), Trouble(status=503), Trouble(retry_after=30)])
def test_a_slack_that_does_not_take_anything_costs_no_moment(
    server: SlackServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: Trouble
) -> None:
    """The same events at the same times, to the bit."""
    monkeypatch.setattr("gameday.engine.session._SINKS_DEADLINE_S", 0.5)
    server.befall("*", trouble)
    config = config_of(server, timeout_s=3.0)
    pace = msgspec.structs.replace(QUICK, flush_s=0.2)
    without = timeline_of(tmp_path / "without", lambda _root: ())
    made: list[ChannelSink] = []

    def sinks(root: Path) -> tuple[ChannelSink, ...]:
        made.append(ChannelSink(open_slack(config, lambda _reason: None), root, pace=pace))
        return tuple(made)

    assert timeline_of(tmp_path / "with", sinks) == without
    assert server.calls
    for sink in made:
        sink.end()
