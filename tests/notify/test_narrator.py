"""What is said of a session's events: by the journals that the report's tests are made of."""

from pathlib import Path

import pytest

from gameday.journal.events import AbortRequested, NoteAdded, SessionStarted, SignalsSampled, UndoEnded
from gameday.journal.log import read_events
from gameday.notify.base import Detail, Kind, Level, Status
from gameday.notify.narrator import Narrator, names
from tests.report import journals


def told(journal: Path) -> tuple[list[Detail], Narrator]:
    narrator = Narrator()
    details = [detail for event in read_events(journal) for detail in narrator.take(event)]
    return details, narrator


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("rich") / "20260306-100000-checkout-ab12"
    journals.rich(directory)
    return directory


def test_everything_that_matters_is_said_in_order(rich: Path) -> None:
    details, _ = told(rich)
    kinds = [detail.kind for detail in details]
    assert kinds[:3] == [Kind.BRIEF, Kind.PREFLIGHT, Kind.EXPERIMENT]
    assert kinds[-1] is Kind.END
    assert {Kind.INJECTION, Kind.STAGE, Kind.ALERT, Kind.UNDO, Kind.RECOVERY, Kind.VERDICT, Kind.NOTE} <= set(kinds)
    assert [detail.at for detail in details] == sorted(detail.at for detail in details)
    began = next(event.at for event in read_events(rich) if isinstance(event, SessionStarted))
    assert all(detail.after_s == detail.at - began for detail in details)


def test_an_injection_names_its_targets_and_an_alert_its_time(rich: Path) -> None:
    details, _ = told(rich)
    injection = next(detail for detail in details if detail.kind is Kind.INJECTION)
    assert injection.lines[0].startswith("hit: ")
    alerts = [detail.title for detail in details if detail.kind is Kind.ALERT]
    assert any("s after the injection" in alert for alert in alerts)
    assert len(alerts) == len(set(alerts)), "the same alert in the same state is said once"


def test_the_pair_is_meant_at_its_moments_only(rich: Path) -> None:
    details, _ = told(rich)
    meant = {detail.kind for detail in details if detail.mentions}
    assert meant <= {Kind.EXPERIMENT, Kind.ABORT, Kind.UNDO}
    assert Kind.EXPERIMENT in meant
    assert all(detail.level is Level.BAD for detail in details if detail.kind is Kind.UNDO and detail.mentions)


def test_preflight_is_one_message_with_failures_first(rich: Path) -> None:
    details, _ = told(rich)
    (preflight,) = [detail for detail in details if detail.kind is Kind.PREFLIGHT]
    outcomes = [line.partition(":")[0] for line in preflight.lines]
    assert outcomes == sorted(outcomes, key=["failure", "warning"].index)


def statuses(journal: Path) -> list[Status]:
    narrator, found = Narrator(), []
    for event in read_events(journal):
        narrator.take(event)
        if (status := narrator.status(event.at)) is not None:
            found.append(status)
    return found


def test_the_status_follows(rich: Path) -> None:
    shown = statuses(rich)
    assert shown[0].state == "about to begin"
    assert any(status.in_place and "stage 1 of" in status.stage for status in shown)
    bars = next(status.signals for status in shown if len(status.signals) > 1 and len(status.signals[0].values) > 3)
    assert all(bar.shown and bar.wanted and len(bar.values) <= 20 for bar in bars)
    assert shown[-1].verdict is not None
    assert (shown[-1].signals, shown[-1].experiment) == ((), "")
    # Samples alone change no key: what is shown of them may wait.
    narrator = Narrator()
    for event in read_events(rich):
        before = narrator.status(event.at)
        narrator.take(event)
        after = narrator.status(event.at)
        if isinstance(event, SignalsSampled | NoteAdded) and before and after:
            assert before.key == after.key


def test_an_abort_and_an_undo_that_failed(rich: Path) -> None:
    narrator = Narrator()
    events = list(read_events(rich))
    for event in events[: next(i for i, event in enumerate(events) if isinstance(event, UndoEnded))]:
        narrator.take(event)
    at = events[-1].at
    (abort,) = narrator.take(AbortRequested(at=at, source="command", reason="enough", by="@ada"))
    assert (abort.kind, abort.level, abort.title) == (Kind.ABORT, Level.BAD, "ABORT by @ada: enough")
    assert len(abort.mentions) >= 2
    fault = next(event for event in events if isinstance(event, UndoEnded))
    (undo,) = narrator.take(
        UndoEnded(
            at=at, fault_id=fault.fault_id, undone=False, took_s=1.0, by=fault.by, attempts=3, left=("pod a", "pod b")
        )
    )
    assert undo.title.startswith("NOT undone: ")
    still, how = undo.lines
    assert still == "still there: pod a, pod b"
    assert how.startswith(f"To try again: gameday recover {rich.name}, on ")
    status = narrator.status(at)
    assert status
    assert (status.state, status.level) == ("aborted: enough", Level.BAD)


def test_before_the_session_there_is_nothing() -> None:
    narrator = Narrator()
    assert narrator.take(AbortRequested(at=1.0, source="signal", reason="r")) == ()
    assert narrator.status(1.0) is None


def test_names_are_not_endless() -> None:
    assert names([f"pod-{n}" for n in range(1000)]).endswith("pod-19 and 980 more")
