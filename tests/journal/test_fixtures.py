"""Journals as earlier versions wrote them still read: none of these files may ever be changed, only more be added."""

from pathlib import Path

import pytest

from gameday.journal.events import FORMAT, By, RunbookStep, StepOutcome, Verdict
from gameday.journal.log import Unread, read_journal
from gameday.journal.state import replay
from gameday.report.model import load_report
from gameday.report.render import VIEWS, Format, render
from tests.journal.test_journal_page import KINDS

FIXTURES = Path(__file__).parent / "fixtures"


def test_every_format_has_a_journal() -> None:
    assert {path.name for path in FIXTURES.iterdir()} >= {f"format-{n}.jsonl" for n in range(1, FORMAT + 1)}


def test_every_event_is_in_a_journal() -> None:
    """What was added to a format later has a journal of its own: `format-1-runbooks.jsonl`."""
    events = [line for path in FIXTURES.iterdir() for line in read_journal(path)]
    assert {type(event) for event in events} - {Unread} == set(KINDS)


def test_a_runbook_that_was_followed() -> None:
    path = FIXTURES / "format-1-runbooks.jsonl"
    steps = [event for event in read_journal(path) if isinstance(event, RunbookStep)]
    assert [(event.author, event.step.outcome, event.step.step) for event in steps] == [
        ("@sre-oncall", StepOutcome.OPENED, 0),
        ("@sre-oncall", StepOutcome.CHECKED, 1),
        ("@sre-oncall", StepOutcome.STUCK, 2),
    ]
    for kind in VIEWS:
        assert "payments-down" in render(load_report(path), kind).replace("\\", "") or kind is Format.JUNIT


def test_an_alert_that_was_examined_and_acknowledged() -> None:
    report = load_report(FIXTURES / "format-1-alerts.jsonl")
    [alert] = report.experiments[0].alerts
    assert (alert.acknowledged_at, alert.acknowledged_by) == (1772790092.0, "@sre-oncall")
    assert alert.examined
    assert alert.examined.at_most_s == 75.0
    html = render(report, Format.HTML)
    for words in (
        "sre-pager",
        "takes 30\N{NO-BREAK SPACE}s to 75\N{NO-BREAK SPACE}s",
        "scrape 15s + evaluation 30s + for 30s",
        "@sre-oncall",
    ):
        assert words in html


def test_a_journal_of_format_1_replays() -> None:
    lines = list(read_journal(FIXTURES / "format-1.jsonl"))
    events = [line for line in lines if not isinstance(line, Unread)]
    assert len(events) == len(lines) == 99
    assert {type(event) for event in events} <= set(KINDS)
    before, state = replay(events[:-1]), replay(events)
    assert list(before.faults) == ["1.0.1"]
    assert before.undo_failed["1.0.1"].left == ("payments-3 is still down",)
    assert bytes(before.faults["1.0.1"].plan) == (b'{"inventory":"inventory.json","names":["payments-2","payments-3"]}')
    assert not before.is_clean
    assert state.is_clean
    assert state.session is not None
    assert state.session.title == "Checkout game day"
    assert [info.title for info in state.session.experiments] == [
        "Checkout survives the loss of payments replicas",
        "Checkout refuses politely",
    ]
    assert state.abort is not None
    assert state.abort.source == "guard"
    assert state.verdicts == {0: Verdict.HELD}
    assert (state.weaknesses, state.activities) == (1, 1)
    assert state.ended is not None
    assert (state.ended.verdict, state.ended.by) == (Verdict.UNDO_FAILED, By.GUARDIAN)


@pytest.mark.parametrize("kind", VIEWS)
def test_a_journal_of_format_1_gives_a_report(kind: Format) -> None:
    text = render(load_report(FIXTURES / "format-1.jsonl"), kind)
    text = text.replace("\\", "")  # Markdown's
    for words in ("Checkout game day", "payments-3"):
        assert words in text


@pytest.mark.parametrize("kind", [Format.HTML, Format.MARKDOWN, Format.JSON])
def test_what_people_said_is_in_the_report(kind: Format) -> None:
    text = render(load_report(FIXTURES / "format-1-people.jsonl"), kind).replace("\\", "")
    for words in (
        "Will checkout’s share of failed requests hold?",
        "the retry covers it",
        "nobody would be paged at night",
        "fires within 30s",
        "it fired after 37.8",
        "the error graph",
        "PaymentsDown fired 40.0 s too late",
        "not tested",
    ):
        assert words in text
