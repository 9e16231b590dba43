"""Predictions and marks on their way into the journal: before a session, while it runs, and too late."""

import asyncio
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from pretend import EXPERIMENT, PretendSystem, events_of

from gameday.cli.mark import command as mark
from gameday.cli.predict import command as predict
from gameday.engine.predictions import waiting_predictions
from gameday.engine.runs import Message, MessageKind, all_runs
from gameday.engine.session import run_session
from gameday.journal.events import (
    AlertPrediction,
    AnyEvent,
    ExperimentStarted,
    FaultInjected,
    Mark,
    MarkSet,
    Outlook,
    PredictionInfo,
    PredictionMade,
    Role,
    SignalPrediction,
    StageStarted,
    Verdict,
)

ERRORS = "shop.errors.ratio"


def say(*words: str) -> Result:
    return CliRunner().invoke(predict, ["experiment-0.yaml", *words])


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PretendSystem:
    system = PretendSystem(tmp_path)
    system.write_project()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiment-0.yaml").write_text(EXPERIMENT)
    return system


class During:
    """A sink that acts once at the first event of a type, and waits until what it said has been taken."""

    name = "during"

    def __init__(self, root: Path, at: type[AnyEvent], act: object) -> None:
        self.root, self.at, self.act = root, at, act
        self.results: list[Result] = []

    def handle(self, event: AnyEvent) -> None:
        if isinstance(event, self.at) and not self.results:
            self.results += self.act()  # type: ignore[operator]

    def close(self) -> None:
        return None


def test_what_is_said_before_is_in_the_journal_before_the_experiment_begins(system: PretendSystem) -> None:
    words = ["--signal", f"{ERRORS}=breaks", "--alert", "ShopDown=30s", "--users", "no", "--note", "it retries"]
    assert say(*words, "--author", "@ada", "--role", "builder").output == (
        "kept for the next session of experiment-0.yaml: "
        f"{ERRORS} breaks; ShopDown fires within 30s; users notice nothing; it retries\n"
    )
    assert say("--users", "yes", "--author", "@grace").exit_code == 0
    assert say("--users", "no", "--author", "@grace").exit_code == 0  # in place of the one before
    result = asyncio.run(run_session(system.session(EXPERIMENT), []))
    ada, grace = events_of(result.run.directory, PredictionMade)
    [started] = events_of(result.run.directory, ExperimentStarted)
    assert ada.at <= grace.at <= started.at
    assert (ada.author, ada.role, ada.prediction) == (
        "@ada",
        Role.BUILDER,
        PredictionInfo(
            signals=(SignalPrediction(signal=ERRORS, outlook=Outlook.BREAKS),),
            alerts=(AlertPrediction(name="ShopDown", fires=True, within_s=30.0),),
            users_notice=False,
            note="it retries",
        ),
    )
    assert (grace.author, grace.prediction.users_notice) == ("@grace", False)
    assert waiting_predictions(system.root, "experiment-0.yaml") == ()


def test_a_session_that_does_not_begin_leaves_them_for_the_next(system: PretendSystem) -> None:
    say("--users", "yes")
    system.signals(errors="empty")
    assert asyncio.run(run_session(system.session(EXPERIMENT), [])).verdict is Verdict.NOT_STARTED
    assert len(waiting_predictions(system.root, "experiment-0.yaml")) == 1


def test_while_it_runs_until_something_is_injected(system: PretendSystem) -> None:
    text = EXPERIMENT.replace("hold: 300ms", "hold: 700ms").replace("baseline: 300ms", "baseline: 800ms")
    (system.root / "experiment-0.yaml").write_text(text)
    before = During(system.root, ExperimentStarted, lambda: [say("--users", "yes", "--author", "@early")])
    after = During(system.root, FaultInjected, lambda: [say("--users", "no", "--author", "@late")])
    result = asyncio.run(run_session(system.session(text), [before, after]))
    assert before.results[0].exit_code == 0
    assert after.results[0].exit_code == 3
    assert "has injected something already" in after.results[0].output
    assert [event.author for event in events_of(result.run.directory, PredictionMade)] == ["@early"]
    assert waiting_predictions(system.root, "experiment-0.yaml") == ()


def test_a_prediction_of_an_experiment_that_is_not_there_is_dropped(system: PretendSystem) -> None:
    def send() -> list[Result]:
        run = all_runs(system.root)[0]
        for experiment in (-1, 1, None):
            prediction = PredictionInfo(users_notice=True)
            run.send(Message(MessageKind.PREDICTION, "@x", "", prediction=prediction, experiment=experiment))
        run.send(Message(MessageKind.MARK, "@x", "no mark"))
        return [Result(CliRunner(), b"", b"", b"", None, 0, None)]

    result = asyncio.run(run_session(system.session(EXPERIMENT), [During(system.root, StageStarted, send)]))
    assert events_of(result.run.directory, PredictionMade) == []
    assert events_of(result.run.directory, MarkSet) == []
    assert result.verdict is Verdict.HELD


def test_marks(system: PretendSystem) -> None:
    runner = CliRunner()

    def come_far() -> list[Result]:
        return [
            runner.invoke(mark, ["detected", "the", "graph", "--author", "@grace"]),
            runner.invoke(mark, ["all-clear"]),
            runner.invoke(mark, ["detcted"]),
        ]

    sink = During(system.root, FaultInjected, come_far)
    text = EXPERIMENT.replace("hold: 300ms", "hold: 700ms")
    result = asyncio.run(run_session(system.session(text), [sink]))
    assert [one.exit_code for one in sink.results] == [0, 0, 2]
    marks = events_of(result.run.directory, MarkSet)
    assert [(event.mark, event.text, event.experiment) for event in marks] == [
        (Mark.DETECTED, "the graph", 0),
        (Mark.ALL_CLEAR, "", 0),
    ]
    assert marks[0].author == "@grace"
    late = runner.invoke(mark, ["mitigated"])
    assert (late.exit_code, "has ended" in late.output) == (3, True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--signal", f"{ERRORS}=brakes"], "--signal: found `brakes`, expected one of holds, breaks, unsure"),
        (["--signal", "shop.error.ratio=holds"], f"expected one of {ERRORS}; did you mean `{ERRORS}`?"),
        (["--signal", ERRORS], "--signal: found `shop.errors.ratio`, expected the like of"),
        (["--alert", "ShopDown=soon"], "--alert: found `soon`, expected a duration such as"),
        ([], "there is nobody to ask"),
    ],
)
def test_what_is_wrong_is_said(system: PretendSystem, words: list[str], message: str) -> None:
    result = say(*words)
    assert result.exit_code == 2
    assert message in result.output


def test_damaged_ones_are_passed_over(system: PretendSystem) -> None:
    say("--users", "yes")
    [path] = (system.root / ".gameday" / "predictions").iterdir()
    (path.parent / path.name.replace(path.name[17:], "damaged.json")).write_text("{")
    began = time.time()
    [waiting] = waiting_predictions(system.root, "experiment-0.yaml")
    assert waiting.at <= began
