"""What a person reads while a session runs."""

import io
import sys
from collections.abc import Callable

import msgspec
import pytest
from rich.console import Console

from gameday.common.processes import ProcessRef
from gameday.journal.events import (
    AlertObserved,
    AlertState,
    AnyEvent,
    CheckOutcome,
    ConditionInfo,
    ExperimentInfo,
    ExperimentStarted,
    FaultPlanned,
    NoteAdded,
    PreflightChecked,
    Reading,
    ReadingState,
    SessionEnded,
    SessionStarted,
    SignalsSampled,
    StageStarted,
    UndoEnded,
    Verdict,
)
from gameday.notify.sparkline import sparkline
from gameday.notify.terminal import Terminal

SIGNAL = "shop.errors.ratio"


def started() -> SessionStarted:
    condition = ConditionInfo(
        signal=SIGNAL, text="< 1%", comparator="<", threshold=0.01, unit="ratio", for_s=3, role="hypothesis"
    )
    info = ExperimentInfo(title="Survives", path="e.yaml", conditions=(condition,), builder="@b", sre="@s")
    return SessionStarted(
        at=100,
        format=1,
        gameday="0",
        session="s",
        kind="experiment",
        title="A day",
        path="g.yaml",
        environment="lab",
        host="h",
        runner=ProcessRef(1, "1"),
        experiments=(info,),
    )


def planned() -> FaultPlanned:
    return FaultPlanned(
        at=110,
        experiment=0,
        fault_id="0.0.0",
        fault="x/y",
        targets=("a",),
        affected=1,
        total=2,
        plan=msgspec.Raw(b"{}"),
        by_hand="",
        step=0,
        stage=0,
        description="break a",
    )


def alert(state: AlertState, *, before: bool = False) -> AlertObserved:
    return AlertObserved(
        at=113.7,
        experiment=0,
        name="ShopDown",
        state=state,
        expected=True,
        labels={},
        source="p",
        existed_before=before,
    )


@pytest.fixture
def printed() -> tuple[Terminal, Callable[[], list[str]]]:
    terminal = Terminal(live=False)
    buffer = io.StringIO()
    terminal._console = Console(file=buffer, width=10_000)
    return terminal, lambda: buffer.getvalue().splitlines()


def show(terminal: Terminal, *events: AnyEvent) -> None:
    for event in (started(), ExperimentStarted(at=101, experiment=0), *events):
        terminal.handle(event)


def test_lines_bear_the_time_since_the_start(printed: tuple[Terminal, Callable[[], list[str]]]) -> None:
    terminal, lines = printed
    show(terminal, StageStarted(at=175.25, experiment=0, step=0, stage=0, stages=2, radius="25%"))
    assert lines() == [
        "00:00.0  A day, on lab",
        "00:01.0  ▶ Survives (@b and @s)",
        "01:15.2  stage 1 of 2: blast radius 25%",
    ]


def test_alerts_are_timed_from_the_injection_and_old_ones_are_no_news(
    printed: tuple[Terminal, Callable[[], list[str]]],
) -> None:
    terminal, lines = printed
    show(terminal, planned(), alert(AlertState.FIRING, before=True), alert(AlertState.FIRING), alert(AlertState.FIRING))
    assert lines()[2:] == ["00:13.7  alert ShopDown firing 3.7 s after the injection"]


def test_what_is_well_is_quiet_and_what_is_not_is_said(printed: tuple[Terminal, Callable[[], list[str]]]) -> None:
    terminal, lines = printed
    show(
        terminal,
        PreflightChecked(at=101, check="locks", outcome=CheckOutcome.OK, detail="locked"),
        PreflightChecked(at=101, check="hours", outcome=CheckOutcome.FAILURE, detail="it is Sunday"),
        UndoEnded(at=102, fault_id="0.0.0", undone=False, attempts=3, took_s=9, left=("a is broken",)),
        SessionEnded(at=103, verdict=Verdict.UNDO_FAILED, exit_code=5, reason="a"),
    )
    assert lines()[2:] == [
        "00:01.0  preflight failure: hours: it is Sunday",
        "00:02.0  UNDO FAILED: 0.0.0: a is broken",
        "00:03.0  an undo FAILED: a",
    ]


def test_markup_in_texts_is_text(printed: tuple[Terminal, Callable[[], list[str]]]) -> None:
    terminal, lines = printed
    show(terminal, NoteAdded(at=101, author="[red]x[/red]", text="[link=http://x]click[/link]\n\x1b[31mred"))
    assert lines()[-1] == "00:01.0  note by [red]x[/red]: [link=http://x]click[/link] [31mred"


def test_a_terminal_that_is_gone_does_not_stop_the_run() -> None:
    class Gone(io.StringIO):
        def write(self, _text: str) -> int:
            raise OSError(5, "Input/output error")

    terminal = Terminal(live=False)
    terminal._console = Console(file=Gone())
    show(terminal)
    terminal.tell("still here")


def test_a_log_gets_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    show(Terminal(live=False), planned(), NoteAdded(at=101, author="[b]@b[/b]", text="x " * 200 + "\x1b[31mred"))
    assert capsys.readouterr().err.splitlines() == [
        "00:00.0  A day, on lab",
        "00:01.0  ▶ Survives (@b and @s)",
        f"00:01.0  note by [b]@b[/b]: {'x ' * 200} [31mred",
    ]


def test_a_log_that_is_gone_does_not_stop_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal(live=False)
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    show(terminal)
    terminal.tell("still here")


def test_the_live_view_shows_signals_stage_and_alerts() -> None:
    terminal = Terminal(live=False)
    terminal._console = Console(file=io.StringIO())
    show(
        terminal,
        StageStarted(at=110, experiment=0, step=0, stage=0, stages=2, radius="1"),
        planned(),
        SignalsSampled(at=111, experiment=0, readings=(Reading(SIGNAL, ReadingState.OK, 0.0),)),
        SignalsSampled(at=112, experiment=0, readings=(Reading(SIGNAL, ReadingState.STALE),)),
        SignalsSampled(at=113, experiment=0, readings=(Reading(SIGNAL, ReadingState.OK, 0.025),)),
        alert(AlertState.PENDING),
    )
    buffer = io.StringIO()
    Console(file=buffer, width=100).print(terminal._render())
    text = buffer.getvalue()
    assert "stage 1/2 (1)" in text
    assert "1 in place" in text
    assert "▁·█" in text
    assert "2.5%" in text
    assert "< 1%" in text
    assert "ShopDown pending" in text


@pytest.mark.parametrize(
    ("values", "line"),
    [([], ""), ([None, None], "··"), ([5, 5], "▁▁"), ([0, 1, 2, 3, 4, 5, 6, 7], "▁▂▃▄▅▆▇█"), ([0, None, 10], "▁·█")],
)
def test_sparklines(values: list[float | None], line: str) -> None:
    assert sparkline(values) == line
