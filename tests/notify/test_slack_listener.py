"""What people do in Slack reaches the run: the real slack-sdk hears it from the stand-in (see `slack_server`)."""

import asyncio
import contextlib
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from slack_blocks import Body, view_problems
from slack_sdk.web.async_client import AsyncWebClient
from slack_server import BOT, Channel, Person, SlackServer, Trouble

from gameday.common.processes import ProcessRef
from gameday.engine.locks import FileLock
from gameday.engine.runs import WRITER_LOCK, Message, MessageKind, Run, all_runs, new_run
from gameday.engine.session import run_session
from gameday.journal.events import (
    AbortRequested,
    AlertInfo,
    AlertPrediction,
    AnyEvent,
    ConditionInfo,
    ExperimentInfo,
    ExperimentStarted,
    FaultPlanned,
    Mark,
    MarkSet,
    NoteAdded,
    Outlook,
    PeopleInfo,
    Phase,
    PhaseEntered,
    PredictionInfo,
    PredictionMade,
    Reading,
    ReadingState,
    Role,
    SessionEnded,
    SessionStarted,
    SignalPrediction,
    SignalsSampled,
    SinkFailed,
    StageStarted,
    UndoEnded,
    Verdict,
)
from gameday.journal.log import JournalWriter
from gameday.notify.base import Detail, Kind, Level, Session, Status
from gameday.notify.channels import channel_sinks
from gameday.notify.narrator import Narrator
from gameday.notify.sink import ChannelSink
from gameday.notify.slack.channel import SlackChannel
from gameday.notify.slack.listener import Listener, Once, Pace, Parent
from gameday.notify.slack.mrkdwn import escape, mentioned, plain
from gameday.notify.slack.prediction_modal import Asked, view_of
from gameday.notify.slack.progress import Progress
from gameday.spec.model import SlackConfig

sys.path.insert(0, str(Path(__file__).parent.parent / "engine"))
from pretend import EXPERIMENT, PretendSystem, events_of

GAMEDAY = "C0GAMEDAY"
CALM = Pace(wait_s=0.02, longest_wait_s=0.1)
# What the sdk does about a lost connection it does at every ping; a pong that is late by half of that is one.
QUICK = Pace(ping_s=0.3, patience_s=0.6, wait_s=0.02, longest_wait_s=0.1)
PEOPLE = PeopleInfo(facilitator="@lead", builders=("@checkout-dev",), sres=("@sam",))
CONDITION = ConditionInfo(
    signal="checkout.errors.ratio",
    text="< 1%",
    comparator="<",
    threshold=0.01,
    unit="ratio",
    for_s=0.0,
    role="hypothesis",
)
EXPERIMENTS = (
    ExperimentInfo(
        title="It <survives>",
        path="a.yaml",
        conditions=(CONDITION, msgspec.structs.replace(CONDITION, signal="checkout.abort", role="abort-when")),
        alerts=(AlertInfo(name="PaymentsDown", within_s=60.0),),
        builder="@checkout-dev",
        sre="@sam",
    ),
    ExperimentInfo(title="It starts", path="b.yaml"),
)


def config_of(slack: SlackServer, **changed: object) -> SlackConfig:
    return SlackConfig(
        channel="#gameday",
        token=slack.token,
        app_token=slack.app_token,
        url=slack.api,
        timeout_s=5.0,
        **changed,  # type: ignore[arg-type]
    )


def started(session: str, people: PeopleInfo = PEOPLE) -> SessionStarted:
    return SessionStarted(
        at=100.0,
        format=1,
        gameday="0",
        session=session,
        kind="game-day",
        title="A <day>",
        path="g.yaml",
        environment="staging",
        host="h",
        runner=ProcessRef(1, "1"),
        experiments=EXPERIMENTS,
        people=people,
    )


def planned(experiment: int = 0, *targets: str) -> FaultPlanned:
    return FaultPlanned(
        at=110.0,
        experiment=experiment,
        fault_id=f"{experiment}.0.0",
        fault="pods/kill",
        targets=targets or ("pay-1",),
        affected=1,
        total=4,
        plan=msgspec.Raw(b"{}"),
        by_hand="",
        step=0,
        stage=0,
    )


class Living:
    """A run that a runner is taken to write."""

    def __init__(self, root: Path, people: PeopleInfo = PEOPLE) -> None:
        self.run = new_run(root, "a day")
        self.lock = FileLock(self.run.directory / WRITER_LOCK)
        self.lock.acquire("runner")
        self.record(started(self.run.name, people))

    def record(self, *events: AnyEvent) -> None:
        writer = JournalWriter(self.run.directory, reserve=False)
        for event in events:
            writer.append(event)
        writer.close()

    def end(self) -> None:
        self.lock.release()


@contextlib.contextmanager
def living(root: Path, people: PeopleInfo = PEOPLE) -> Iterator[Living]:
    run = Living(root, people)
    try:
        yield run
    finally:
        run.end()


def buttons(session: str) -> list[Body]:
    names = ("abort", "predict", "mark_detected", "mark_diagnosed", "mark_mitigated", "mark_all_clear")
    return [
        {
            "type": "actions",
            "elements": [
                {
                    "type": "button",
                    "action_id": f"gameday_{name}",
                    "value": session,
                    "text": {"type": "plain_text", "text": name},
                }
                for name in names
            ],
        }
    ]


class Heard:
    """A listener at work. Messages that it leaves for the run are taken from the inbox."""

    def __init__(
        self, slack: SlackServer, living: Living, parent: str, listener: Listener, failures: list[str]
    ) -> None:
        self.slack, self.living, self.parent, self.listener, self.failures = slack, living, parent, listener, failures
        self._taken: list[Message] = []

    @property
    def run(self) -> Run:
        return self.living.run

    def taken(self) -> list[Message]:
        self._taken += self.run.receive()
        return self._taken

    async def messages(self, count: int) -> list[Message]:
        """As many as are expected, and no more."""
        while len(self.taken()) < count:
            await asyncio.sleep(0.005)
        return self._taken

    def press(self, name: str, person: str = "U0SRE", **more: str) -> None:
        self.slack.socket.press(self.parent, f"gameday_{name}", person, **more)

    async def whispers(self, person: str, count: int = 1) -> list[str]:
        await self.slack.until(lambda: len(self.slack.whispers(person)) >= count)
        return self.slack.whispers(person)

    async def is_heard_anew(self) -> None:
        """By another connection; a press that falls between two is lost, as it is with Slack."""
        await self.slack.until(lambda: self.slack.socket.opened >= 2)
        while not self.taken():
            if self.slack.socket.connections:
                self.press("mark_detected")
            await asyncio.sleep(0.1)

    async def all_heard(self) -> None:
        """What was sent until now has been heard and done."""
        self.slack.socket.command("help", "U0STRANGER")
        await self.whispers("U0STRANGER", len(self.slack.whispers("U0STRANGER")) + 1)


@contextlib.asynccontextmanager
async def listening(
    slack: SlackServer,
    living: Living,
    *,
    allowed: tuple[str, ...] = (),
    people: dict[str, str] | None = None,
    pace: Pace = CALM,
    connects: bool = True,
) -> AsyncIterator[Heard]:
    config = config_of(slack, people=tuple((people or {}).items()), allowed=allowed)
    client = AsyncWebClient(slack.token, base_url=slack.api, timeout=5)
    run, failures = living.run, []
    posted = await client.chat_postMessage(channel=GAMEDAY, text="x", blocks=buttons(run.name))
    listener = Listener(
        config,
        client,
        run.directory,
        allowed,
        Parent(posted["channel"], posted["ts"]),
        on_failure=failures.append,
        pace=pace,
    )
    await listener.start()
    try:
        if connects:
            await slack.until(lambda: slack.socket.connections)
        yield Heard(slack, living, posted["ts"], listener, failures)
    finally:
        await listener.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}, "nothing of it is left"


type Script = Callable[[Heard], Awaitable[None]]


def hear(
    root: Path, script: Script, slack: SlackServer | None = None, *, of: PeopleInfo = PEOPLE, **more: object
) -> Heard:
    """Run a script in which people do things, and give what the run was told and what was said of the sink.
    `of`: who takes part in the session."""

    async def talk() -> Heard:
        with living(root, of) as run:
            async with listening(server, run, **more) as heard:  # type: ignore[arg-type]
                await asyncio.wait_for(script(heard), 20)
            heard.taken()
        return heard

    with slack or SlackServer() as server:
        return asyncio.run(talk())


# -- the end


@pytest.mark.parametrize(
    ("allowed", "people", "author"),
    [
        (("U0SRE",), {}, "@sre-oncall"),
        (("@sre-oncall",), {}, "@sre-oncall"),
        (("SRE-ONCALL",), {}, "@sre-oncall"),
        (("Sam@example.com",), {}, "@sre-oncall"),
        (("@sam",), {"@sam": "U0SRE"}, "@sam"),
        ((), {"@sam": "U0SRE"}, "@sam"),
        ((), {"@sam": "sam@example.com"}, "@sam"),
    ],
)
def test_whoever_may_ends_it(tmp_path: Path, allowed: tuple[str, ...], people: dict[str, str], author: str):
    async def script(heard: Heard) -> None:
        heard.press("abort")
        assert await heard.messages(1) == [Message(MessageKind.ABORT, author, "asked for in Slack by U0SRE")]
        assert await heard.whispers("U0SRE") == [f"Asked {heard.run.name} to end; what is in place is undone."]

    heard = hear(tmp_path, script, allowed=allowed, people=people)
    assert (len(heard.taken()), heard.failures) == (1, [])


@pytest.mark.parametrize(
    ("allowed", "people", "named"),
    [
        (("U0SRE", "@sre-oncall"), {}, "U0SRE, @sre-oncall"),
        ((), {}, "@checkout-dev, @lead, @sam"),
        (("u0stranger",), {}, "u0stranger"),  # is a handle, and no id
        (("Stray",), {}, "Stray"),  # people give themselves display names
        (("sam@example.com",), {}, "sam@example.com"),
    ],
)
def test_a_stranger_is_told_who_may(tmp_path: Path, allowed: tuple[str, ...], people: dict[str, str], named: str):
    async def script(heard: Heard) -> None:
        heard.press("abort", "U0STRANGER")
        assert await heard.whispers("U0STRANGER") == [f"Only these may end the session: {named}."]

    assert hear(tmp_path, script, allowed=allowed, people=people).taken() == []


def test_where_nobody_is_named_everybody_in_the_channel_may(tmp_path: Path):
    async def script(heard: Heard) -> None:
        heard.press("abort", "U0STRANGER")
        assert [message.author for message in await heard.messages(1)] == ["@stranger"]

    hear(tmp_path, script, of=PeopleInfo())


def test_no_answer_is_not_a_yes(tmp_path: Path):
    slack = SlackServer()
    slack.befall("users.info", Trouble(status=500))

    async def script(heard: Heard) -> None:
        heard.press("abort", "U0SRE")
        assert await heard.whispers("U0SRE") == ["Only these may end the session: sam@example.com."]

    assert hear(tmp_path, script, slack, allowed=("sam@example.com",)).taken() == []


def test_somebody_of_another_workspace_is_not_known_by_a_handle(tmp_path: Path):
    async def script(heard: Heard) -> None:
        pressed = heard.slack.socket.press(heard.parent, "gameday_mark_detected", "U0SRE")
        await asyncio.to_thread(pressed.acknowledged)
        theirs = json.loads(json.dumps(pressed.payload).replace("gameday_mark_detected", "gameday_abort"))
        theirs["user"]["team_id"] = "T0ELSEWHERE"
        heard.slack.socket.send("interactive", theirs)
        said = await heard.whispers("U0SRE", 2)
        assert "Only these may end the session: @sre-oncall." in said

    heard = hear(tmp_path, script, allowed=("@sre-oncall",))
    assert [message.kind for message in heard.taken()] == [MessageKind.MARK]


def test_it_is_acknowledged_and_done_while_slack_answers_nothing_else(tmp_path: Path):
    slack = SlackServer()

    async def script(heard: Heard) -> None:
        for method in ("users.info", "response_url"):
            slack.befall(method, Trouble(never=True))
        for number in range(20):
            slack.socket.write(f"note {number}", thread=heard.parent)
        slack.befall("views.open", Trouble(never=True))
        for _ in range(20):
            heard.press("predict", "U0DEV")
        pressed = slack.socket.press(heard.parent, "gameday_abort", "U0SRE")
        assert await asyncio.to_thread(pressed.acknowledged) is None
        assert (await heard.messages(1))[0].kind is MessageKind.ABORT, "it waits for nothing else"

    hear(tmp_path, script, slack, allowed=("@sre-oncall",))


def test_an_envelope_that_comes_twice_counts_once(tmp_path: Path):
    async def script(heard: Heard) -> None:
        slack = heard.slack
        pressed = slack.socket.press(heard.parent, "gameday_abort", "U0SRE")
        await heard.messages(1)
        await asyncio.to_thread(slack.socket.send_twice, pressed)
        slack.socket.send("interactive", pressed.payload)  # in a new envelope
        slack.socket.write("once", thread=heard.parent)
        await heard.messages(2)
        said = next(one for one in slack.socket.envelopes if one.kind == "events_api" and one.payload["event"]["text"])
        await asyncio.to_thread(slack.socket.send_twice, said)
        slack.socket.send("events_api", said.payload, attempt=1)
        asked = slack.socket.command("note as well", "U0SRE")
        await heard.messages(3)
        await asyncio.to_thread(slack.socket.send_twice, asked)
        await slack.until(lambda: pressed.acknowledgements == said.acknowledgements == asked.acknowledgements == 2)
        await heard.all_heard()

    heard = hear(tmp_path, script, allowed=("U0SRE",))
    assert [message.kind for message in heard.taken()] == [MessageKind.ABORT, MessageKind.NOTE, MessageKind.NOTE]


def test_the_button_of_another_session_of_the_project(tmp_path: Path):
    async def script(heard: Heard) -> None:
        with living(tmp_path, PeopleInfo(sres=("@sre-oncall",))) as other:
            heard.press("abort", "U0SRE", value=other.run.name)
            assert await heard.whispers("U0SRE") == [f"Asked {other.run.name} to end; what is in place is undone."]
            assert [message.author for message in other.run.receive()] == ["@sre-oncall"]
            heard.press("abort", "U0STRANGER", value=other.run.name)
            assert await heard.whispers("U0STRANGER") == ["Only these may end the session: @sre-oncall."]
            heard.press("mark_detected", "U0SRE", value=other.run.name)
            assert "which is not this one" in (await heard.whispers("U0SRE", 2))[1]
            assert other.run.receive() == ()
        heard.press("abort", "U0DEV", value=other.run.name)
        shutil.copytree(other.run.directory, tmp_path / "outside")
        lock = FileLock(tmp_path / "outside" / WRITER_LOCK)
        lock.acquire("runner")
        heard.press("abort", "U0DEV", value="../../outside")
        said = await heard.whispers("U0DEV", 2)
        assert sorted(text.split(" is not run from here")[0] for text in said) == [other.run.name, "it"]
        assert Run(tmp_path / "outside").receive() == ()
        lock.release()

    assert hear(tmp_path, script).taken() == []


# -- notes and marks


def test_replies_in_the_thread_are_notes(tmp_path: Path):
    async def script(heard: Heard) -> None:
        slack = heard.slack
        slack.add(Channel("C0OTHER", "other"), Person("U0EVE", "eve", "@checkout-dev"))
        elsewhere = slack.socket.write("another thread's beginning", "U0SRE")
        slack.socket.write("in another thread", "U0SRE", thread=elsewhere)
        slack.socket.write("in another channel", "U0SRE", thread=heard.parent, channel="C0OTHER")
        slack.socket.write("ours", BOT, thread=heard.parent)
        first = slack.socket.write(
            "*p99* &lt; 3 &amp;amp; <@U0DEV> in <#C1|ops> <!here> <https://x.y/z|the graph> <mailto:a@b.c|a@b.c>\a",
            "U0SRE",
            thread=heard.parent,
        )
        slack.socket.edit(first, "edited")
        event = {"type": "message", "subtype": "tombstone", "user": "USLACKBOT", "text": "This message was deleted."}
        event |= {"channel": GAMEDAY, "thread_ts": heard.parent, "ts": slack.new_ts()}
        slack.socket.send("events_api", {"type": "event_callback", "event": event, "event_id": "Ev0"})
        slack.socket.write("x" * 5000, "U0DEV", thread=heard.parent)
        slack.socket.write("I am the builder", "U0EVE", thread=heard.parent)
        slack.socket.write("who am I?", "U0STRANGER", thread=heard.parent)
        await heard.messages(4)
        await heard.all_heard()

    heard = hear(tmp_path, script, people={"@sam": "U0SRE"})
    assert [(message.kind, message.author) for message in heard.taken()] == [
        (MessageKind.NOTE, "@sam"),
        (MessageKind.NOTE, "@checkout-dev"),
        (MessageKind.NOTE, "@checkout-dev (U0EVE)"),
        (MessageKind.NOTE, "Stray"),
    ]
    first, long, *_ = (message.text for message in heard.taken())
    assert first == "*p99* < 3 &amp; @checkout-dev in #ops @here the graph (https://x.y/z) a@b.c"
    assert (len(long), long[-2:]) == (4000, "x…")
    assert heard.failures == []


def test_who_cannot_be_looked_up_is_an_id(tmp_path: Path):
    slack = SlackServer(scopes={"chat:write", "channels:history"})

    async def script(heard: Heard) -> None:
        slack.socket.write("hello", "U0SRE", thread=heard.parent)
        assert [message.author for message in await heard.messages(1)] == ["U0SRE"]

    hear(tmp_path, script, slack)


def test_marks_by_buttons_and_reactions(tmp_path: Path):
    async def script(heard: Heard) -> None:
        slack = heard.slack
        for name in ("detected", "diagnosed", "mitigated", "all_clear"):
            heard.press(f"mark_{name}")
        assert await heard.whispers("U0SRE", 4)
        for emoji in ("eyes", "tada", "mag", "wrench", "white_check_mark", "eyes"):
            slack.socket.react(heard.parent, emoji, "U0DEV")
        slack.socket.react(slack.socket.write("a reply", "U0SRE", thread=heard.parent), "wrench")
        await heard.messages(9)
        await heard.all_heard()

    heard = hear(tmp_path, script)
    marks = [(message.author, message.mark) for message in heard.taken() if message.kind is MessageKind.MARK]
    assert marks == [("Sam", mark) for mark in Mark] + [("@checkout-dev", mark) for mark in Mark]


# -- predictions


def test_a_prediction(tmp_path: Path):
    async def script(heard: Heard) -> None:
        slack = heard.slack
        heard.press("predict", "U0DEV")
        await slack.until(lambda: slack.views)
        view = slack.views[0]
        asked = [block["label"]["text"] for block in view["blocks"] if block["type"] == "input"]
        assert asked == [
            "checkout.errors.ratio < 1%",
            "checkout.errors.ratio: how, in words",
            "PaymentsDown: after how long does it fire?",
            "Will users notice?",
            "Anything else, in words",
        ]
        for answers, wrong in (
            ({}, {"note": "Nothing is said yet: answer at least one question."}),
            (
                {"alert-0": "soon", "how-0": "slowly"},
                {
                    "alert-0": "Found `soon`, expected a duration such as 300ms, 90s or 1h30m, or never.",
                    "signal-0": "Say also whether it holds, breaks, or that you are not sure.",
                },
            ),
        ):
            sent = slack.socket.submit(view, "U0DEV", **answers)
            assert await asyncio.to_thread(sent.acknowledged) == {"response_action": "errors", "errors": wrong}
        assert heard.taken() == []
        answers = {"signal-0": "breaks", "how-0": "retries", "alert-0": "30s", "users": "no", "note": "dull"}
        sent = slack.socket.submit(view, "U0DEV", **answers)
        answer = await asyncio.to_thread(sent.acknowledged)
        assert answer["response_action"] == "update"
        assert view_problems(answer["view"]) == []
        assert "It starts" in answer["view"]["blocks"][0]["text"]["text"], "the next experiment"
        sent = slack.socket.submit({**answer["view"], "id": view["id"]}, "U0DEV", users="yes")
        answer = await asyncio.to_thread(sent.acknowledged)
        assert "sealed" in answer["view"]["blocks"][0]["text"]["text"]
        assert view_problems(answer["view"]) == []

    heard = hear(tmp_path, script)
    said = PredictionInfo(
        signals=(SignalPrediction(signal="checkout.errors.ratio", outlook=Outlook.BREAKS, note="retries"),),
        alerts=(AlertPrediction(name="PaymentsDown", fires=True, within_s=30.0),),
        users_notice=False,
        note="dull",
    )
    author, kind, role = "@checkout-dev", MessageKind.PREDICTION, Role.BUILDER
    assert heard.taken() == [
        Message(kind, author, "", prediction=said, role=role, experiment=0),
        Message(kind, author, "", prediction=PredictionInfo(users_notice=True), role=role, experiment=1),
    ]


def test_after_the_injection_nothing_is_a_prediction(tmp_path: Path):
    async def script(heard: Heard) -> None:
        slack = heard.slack
        slack.socket.shortcut("gameday_predict", "U0SRE")
        await slack.until(lambda: slack.views)
        heard.living.record(planned(0))
        sent = slack.socket.submit(slack.views[0], "U0SRE", users="yes")
        answer = await asyncio.to_thread(sent.acknowledged)
        assert "Too late" in answer["view"]["blocks"][0]["text"]["text"]
        heard.press("predict")
        await slack.until(lambda: len(slack.views) == 2)
        assert "It starts" in slack.views[1]["blocks"][0]["text"]["text"], "which has not begun"
        heard.living.record(planned(1))
        heard.press("predict")
        assert "no prediction" in (await heard.whispers("U0SRE"))[0]

    assert hear(tmp_path, script).taken() == []


def test_a_modal_is_within_slacks_limits_whatever_it_asks_about():
    info = ExperimentInfo(
        title="<&>" * 500,
        path="a.yaml",
        conditions=tuple(msgspec.structs.replace(CONDITION, signal=f"{n}" + "s" * 3000) for n in range(200)),
        alerts=tuple(AlertInfo(name=f"{n}" + "a" * 3000, within_s=1.0) for n in range(200)),
    )
    view = view_of(Asked("s" * 120, 99), info, 3)
    assert view_problems(view) == []
    assert "more signals and alerts" in view["blocks"][-1]["text"]["text"]


def test_a_long_prediction_is_shown_as_kept(tmp_path: Path):
    """What is shown is quoted, and longer than what was written."""

    async def script(heard: Heard) -> None:
        heard.press("predict")
        await heard.slack.until(lambda: heard.slack.views)
        view, answer = heard.slack.views[0], {}
        for note in ("&" * 1000, "*" * 1000):
            answers = (
                {"signal-0": "holds", "how-0": note, "note": note} if view is heard.slack.views[0] else {"note": note}
            )
            sent = heard.slack.socket.submit(view, "U0DEV", **answers)
            answer = await asyncio.to_thread(sent.acknowledged)
            view = {**answer["view"], "id": heard.slack.views[0]["id"]}
        assert view_problems(answer["view"]) == []
        assert "sealed" in answer["view"]["blocks"][0]["text"]["text"]
        assert "*" not in answer["view"]["blocks"][0]["text"]["text"]

    assert len(hear(tmp_path, script).taken()) == 2


def test_a_prediction_that_is_too_long_for_a_run_is_not_taken(tmp_path: Path):
    conditions = tuple(msgspec.structs.replace(CONDITION, signal=f"s{number}") for number in range(20))

    async def script(heard: Heard) -> None:
        info = msgspec.structs.replace(EXPERIMENTS[0], conditions=conditions)
        heard.living.record(msgspec.structs.replace(started(heard.run.name), experiments=(info,)))
        heard.press("predict")
        await heard.slack.until(lambda: heard.slack.views)
        words = {f"how-{number}": "\N{TEACUP WITHOUT HANDLE}" * 1000 for number in range(20)}
        answers = words | {f"signal-{number}": "holds" for number in range(20)}
        sent = heard.slack.socket.submit(heard.slack.views[0], "U0SRE", **answers)
        answer = await asyncio.to_thread(sent.acknowledged)
        assert answer["errors"] == {"note": "All of it is too long; say it in fewer words."}

    assert hear(tmp_path, script).taken() == []


def test_a_prediction_that_cannot_be_kept_is_not_said_to_be(tmp_path: Path):
    async def script(heard: Heard) -> None:
        slack = heard.slack
        heard.press("predict")
        await slack.until(lambda: slack.views)
        inbox = heard.run.directory / "inbox"
        inbox.rmdir()
        inbox.write_text("no directory")
        sent = slack.socket.submit(slack.views[0], "U0SRE", users="yes")
        answer = await asyncio.to_thread(sent.acknowledged)
        assert answer == {"response_action": "errors", "errors": {"note": "It could not be kept; say it again."}}
        assert [reason for reason in heard.failures if "prediction" in reason]
        heard.press("abort")
        assert "SIGTERM" in (await heard.whispers("U0SRE"))[0]
        inbox.unlink()

    hear(tmp_path, script, allowed=("U0SRE",))


# -- commands


def test_commands(tmp_path: Path):
    async def script(heard: Heard) -> None:
        slack = heard.slack
        heard.living.record(
            ExperimentStarted(at=101.0, experiment=0),
            PhaseEntered(at=102.0, phase=Phase.HOLD, experiment=0),
            planned(0, "pay-<1>", "*all*"),
        )
        for text in ("", "status", "note  seen by <@U0DEV>", "note", "help", "stauts"):
            asked = slack.socket.command(text, "U0SRE")
            assert await asyncio.to_thread(asked.acknowledged) is None
        said = await heard.whispers("U0SRE", 6)
        assert said[0].startswith("A &lt;day&gt;, on staging: holding, ")
        assert "in place: pods/kill: pay-&lt;1&gt;, ∗all∗" in said[1]
        assert said[2:4] == ["Noted.", "Say what to note: `/gameday note TEXT`."]
        assert said[4].startswith("`/gameday status`")
        assert said[5].startswith("There is no `stauts`.\n`/gameday status`")

    heard = hear(tmp_path, script)
    assert heard.taken() == [Message(MessageKind.NOTE, "Sam", "seen by @checkout-dev")]


def test_what_the_status_says(tmp_path: Path):
    progress = Progress(tmp_path / "journal.jsonl")
    assert progress.say(0.0) == "The session is about to begin."
    for event in (
        started("s"),
        ExperimentStarted(at=101.0, experiment=0),
        PhaseEntered(at=110.0, phase=Phase.HOLD, experiment=0),
        StageStarted(at=110.0, experiment=0, step=0, stage=1, stages=3, radius="25%"),
        planned(0, *(f"pay-{number}" for number in range(12))),
        SignalsSampled(at=111.0, experiment=0, readings=(Reading("checkout.errors.ratio", ReadingState.OK, 0.0042),)),
    ):
        progress.take(event)
    names = ", ".join(f"pay-{number}" for number in range(12))
    assert progress.say(230.4).split("\n") == [
        "A <day>, on staging: holding, stage 2 of 3 (blast radius 25%), 2m10s in",
        "It <survives> (1 of 2)",
        f"in place: pods/kill: 12 in all: {names}",
        "checkout.errors.ratio 0.42% (< 1%)",
        "led by @lead; @checkout-dev and @sam",
    ]
    unreadable = Reading("checkout.errors.ratio", ReadingState.UNREACHABLE)
    progress.take(SignalsSampled(at=112.0, experiment=0, readings=(unreadable,)))
    progress.take(AbortRequested(at=113.0, source="command", reason="enough", by="@sam"))
    assert "checkout.errors.ratio unreachable (< 1%)" in progress.say(230.4)
    assert "aborted: enough" in progress.say(230.4)
    assert progress.open_experiments == ()
    progress.take(UndoEnded(at=114.0, fault_id="0.0.0", undone=True, attempts=1, took_s=1.0))
    progress.take(SessionEnded(at=160.0, verdict=Verdict.ABORTED, exit_code=4))
    assert progress.say(999.0).split("\n")[:2] == [
        "A <day>, on staging: aborted, everything undone, after 1m",
        "nothing is in place",
    ]


def test_a_line_that_is_being_written_is_read_when_it_is_whole(tmp_path: Path):
    run = Living(tmp_path).run
    line = msgspec.json.encode(planned(0)) + b"\n"
    progress = Progress(run.journal)
    with run.journal.open("ab") as file:
        file.write(b'{"event":"of a newer kind"}\n' + line[:9])
        file.flush()
        progress.read()
        assert progress.open_experiments == (0, 1)
        file.write(line[9:])
    progress.read()
    assert progress.open_experiments == (1,)


# -- the connection


@pytest.mark.parametrize("reason", ["refresh_requested", "warning", "cut"])
def test_it_connects_anew(tmp_path: Path, reason: str):
    slack = SlackServer(pace=0.001)

    async def script(heard: Heard) -> None:
        slack.socket.cut() if reason == "cut" else slack.socket.disconnect(reason)
        await heard.is_heard_anew()

    hear(tmp_path, script, slack, pace=QUICK)


@pytest.mark.parametrize("reason", ["link_disabled", "too_many_websockets"])
def test_why_nothing_is_heard_is_said(tmp_path: Path, reason: str):
    slack = SlackServer(pace=0.001)

    async def script(heard: Heard) -> None:
        slack.socket.disconnect(reason)
        await heard.is_heard_anew()
        assert heard.failures == [f"Socket Mode: {reason}; what is done in Slack may not arrive"]

    hear(tmp_path, script, slack, pace=QUICK)


def test_an_address_that_is_no_longer_good_is_asked_for_anew(tmp_path: Path):
    # The sdk tries the same one for ever: https://github.com/slackapi/python-slack-sdk, socket_mode/aiohttp, connect().
    slack = SlackServer(pace=0.001)

    async def script(heard: Heard) -> None:
        slack.socket.refusals = 1
        slack.socket.disconnect()
        await heard.is_heard_anew()
        assert "Socket Mode: the connection was lost, and is made again" in heard.failures

    hear(tmp_path, script, slack, pace=QUICK)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda slack: setattr(slack, "app_token_error", "token_revoked"), "token_revoked"),
        (lambda slack: slack.app_scopes.clear(), "missing_scope"),
    ],
)
def test_what_will_not_change_is_said_once_and_not_tried_again(
    tmp_path: Path, change: Callable[[SlackServer], object], said: str
):
    slack = SlackServer(pace=0.001)
    change(slack)

    async def script(heard: Heard) -> None:
        while not heard.failures:
            await asyncio.sleep(0.01)

    heard = hear(tmp_path, script, slack, connects=False)
    assert heard.failures == [f"Socket Mode: {said}; nothing that is done in Slack arrives"]
    assert [call.method for call in slack.calls].count("apps.connections.open") == 1


def test_slack_that_is_down_at_first_is_tried_again(tmp_path: Path):
    slack = SlackServer(pace=0.001)
    slack.befall("apps.connections.open", Trouble(status=503, times=2))

    async def script(heard: Heard) -> None:
        heard.press("mark_detected")
        await heard.messages(1)

    assert len(hear(tmp_path, script, slack).failures) == 1


def test_more_than_can_be_done_at_once_is_said(tmp_path: Path):
    slack = SlackServer()
    slack.befall("users.info", Trouble(never=True))

    async def script(heard: Heard) -> None:
        for number in range(210):
            slack.socket.write(f"{number}", "U0SRE", thread=heard.parent)
        await slack.until(lambda: sum(one.is_acknowledged for one in slack.socket.envelopes) == 210)
        assert heard.failures == ["more than 200 things were done in Slack at once; some are lost"]

    hear(tmp_path, script, slack)


def test_what_was_seen_is_remembered_and_not_for_ever():
    once = Once(3)
    assert [once.is_new(key) for key in "aabcabdad"] == [True, False, True, True, False, False, True, True, False]


# -- text


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("a &lt;b&gt; &amp;lt;", "a <b> &lt;"),
        ("<@U1> <@U2|bo> <@U3>", "@ada @bo @U3"),
        ("<#C1|ops> <#C2>", "#ops #C2"),
        ("<!channel> <!subteam^S1|@sres> <!subteam^S2> <!date^1^{date}|today>", "@channel @sres @S2 today"),
        ("<https://a.b> <https://a.b|a.b> <http://a.b|here>", "https://a.b a.b here (http://a.b)"),
        ("two\nlines\x1b[31m\x00", "two\nlines [31m"),
    ],
)
def test_text_is_made_plain(text: str, read: str):
    assert plain(text, {"U1": "ada"}) == read


def test_text_is_escaped():
    assert escape("<!channel> & <@U1>") == "&lt;!channel&gt; &amp; &lt;@U1&gt;"
    assert plain(escape("<!channel> & &lt;"), {}) == "<!channel> & &lt;"
    assert mentioned("<@U1AB> <@W2AB|bo> <@U1AB> @U3AB") == ("U1AB", "W2AB")


# -- a whole session


def test_a_session_that_is_noted_marked_predicted_and_ended_from_slack(tmp_path: Path):
    system = PretendSystem(tmp_path)
    text = EXPERIMENT.replace("hold: 300ms", "hold: 60s").replace("baseline: 300ms", "baseline: 1s")
    given = system.session(text)
    people = msgspec.structs.replace(given.people, builders=("@checkout-dev",), sres=("@sre-oncall",))

    def act() -> None:
        slack.wait(lambda: slack.socket.connections)
        parent = slack.parents[0].ts
        slack.socket.press(parent, "gameday_predict", "U0DEV")
        slack.wait(lambda: slack.views)
        slack.socket.submit(slack.views[0], "U0DEV", **{"signal-0": "holds"}).acknowledged()
        slack.wait(lambda: events_of(run().directory, FaultPlanned))
        slack.socket.react(parent, "eyes", "U0SRE")
        slack.socket.write("the <https://x.y|graph> is flat", "U0SRE", thread=parent)
        slack.socket.press(parent, "gameday_abort", "U0STRANGER")
        slack.wait(lambda: slack.whispers("U0STRANGER"))
        slack.wait(lambda: events_of(run().directory, NoteAdded) and events_of(run().directory, MarkSet))
        slack.socket.press(parent, "gameday_abort", "U0SRE")

    def run() -> Run:
        return all_runs(tmp_path)[0]

    with SlackServer() as slack:
        failures: list[str] = []
        sink = ChannelSink(SlackChannel(config_of(slack), failures.append), tmp_path)
        actors = threading.Thread(target=act)
        actors.start()
        result = asyncio.run(run_session(msgspec.structs.replace(given, people=people), [sink]))
        sink.end()
        actors.join(10)

    assert (result.verdict, system.broken, failures) == (Verdict.ABORTED, [], [])
    said_there = "".join(json.dumps(one.blocks) for one in slack.messages if one.user == BOT)
    assert "says @sre-oncall" in said_there, "the mark"
    assert "is flat" not in said_there, "it stands there already, as a reply"
    (aborted,) = events_of(run().directory, AbortRequested)
    assert (aborted.source, aborted.by, aborted.reason) == ("command", "@sre-oncall", "asked for in Slack by U0SRE")
    (note,) = events_of(run().directory, NoteAdded)
    assert (note.author, note.text) == ("@sre-oncall", "the graph (https://x.y) is flat")
    (mark,) = events_of(run().directory, MarkSet)
    assert (mark.author, mark.mark) == ("@sre-oncall", Mark.DETECTED)
    (said,) = events_of(run().directory, PredictionMade)
    assert (said.author, said.role, said.experiment) == ("@checkout-dev", Role.BUILDER, 0)
    assert said.at < events_of(run().directory, FaultPlanned)[0].at


def test_replies_are_heard_where_the_thread_goes_on(tmp_path: Path):
    """Somebody has deleted the session's message."""

    async def talk() -> tuple[Message, ...]:
        channel = SlackChannel(config_of(slack))
        await channel.open(Session(started(run.run.name), run.run.directory))
        try:
            await channel.show(Status("s", "t", "e", "x", 0.0, Level.INFO, ()))
            await slack.until(lambda: slack.socket.connections)
            slack.delete(slack.parents[0].ts)
            await channel.say((Detail(Kind.STAGE, "Stage 1", 1.0, 1.0),))
            slack.socket.write("seen", "U0SRE", thread=slack.parents[0].ts)
            await slack.until(lambda: list((run.run.directory / "inbox").iterdir()))
        finally:
            await channel.close()
        return run.run.receive()

    with SlackServer(pace=0.001) as slack, living(tmp_path) as run:
        assert [message.text for message in asyncio.run(talk())] == ["seen"]


def test_what_is_wrong_with_listening_is_the_sinks_and_not_the_runs(tmp_path: Path):
    system = PretendSystem(tmp_path)
    given = system.session()
    with SlackServer(app_token_error="token_revoked") as slack:
        environment = msgspec.structs.replace(given.environment, slack=config_of(slack))
        sinks = channel_sinks(environment, tmp_path, pytest.fail)
        result = asyncio.run(run_session(given, sinks))
        for sink in sinks:
            sink.end()
    assert (result.verdict, system.broken) == (Verdict.HELD, [])
    (failed, *_) = events_of(result.run.directory, SinkFailed)
    assert "Socket Mode: token_revoked; nothing that is done in Slack arrives" in failed.detail


def test_a_note_that_stands_in_the_thread_is_not_said_there_again(tmp_path: Path):
    async def script(heard: Heard) -> None:
        heard.slack.socket.write("one &amp; two", "U0SRE", thread=heard.parent)
        heard.slack.socket.command("note three", "U0SRE")
        await heard.messages(2)
        narrator, times = Narrator(), iter((120.0, 121.0, 122.0))
        narrator.take(started(heard.run.name))
        details = [
            detail
            for message in (*heard.taken(), heard.taken()[0])
            for detail in narrator.take(NoteAdded(at=next(times), author=message.author, text=message.text))
        ]
        by_text = {detail.lines[0]: heard.listener.is_echo(detail) for detail in details[:2]}
        assert by_text == {"one & two": True, "three": False}
        assert [heard.listener.is_echo(detail) for detail in details[:2]] == list(by_text.values()), "tried again"
        assert not heard.listener.is_echo(details[2]), "somebody says the same once more, elsewhere"

    hear(tmp_path, script)


def test_what_is_not_used_is_not_imported():
    program = "import gameday.notify.slack.listener, gameday.cli.slack, sys; sys.exit('slack_sdk' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
