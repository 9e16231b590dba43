"""What a timeline says of alerts: once, at the time that the table of alerts has, and of which instance."""

from pathlib import Path

import pytest

from gameday.journal.events import AlertState, Verdict
from gameday.report.alerts import summarise_alerts
from gameday.report.model import load_report
from gameday.report.views import ExperimentReport

from .journals import Journal, experiment
from .test_model import observed

NAME = "PaymentsReplicaDown"


def session(directory: Path, *seen: tuple[float, AlertState, dict[str, str]], took: float = 1.0) -> ExperimentReport:
    """With an alert that has been in these states, so many seconds after the injection, and was seen a second later."""
    journal = Journal(directory)
    journal.start([experiment()])
    journal.begin(0)
    journal.inject(0, 0, ["payments-1"])
    began = journal.now - 0.02
    for after, state, labels in seen:
        journal.now = began + after + took
        journal.alert(0, NAME, state, labels=labels, since=began + after)
    journal.undo(0, 1)
    journal.end(0, Verdict.HELD)
    [one] = load_report(journal.close_session(Verdict.HELD)).experiments
    return one


def lines(one: ExperimentReport) -> list[tuple[float, str]]:
    began = one.injected_at or 0.0
    return [(round(entry.at - began, 1), entry.text) for entry in one.timeline if entry.kind == "Alert"]


def test_the_timeline_has_the_times_of_the_table(tmp_path: Path) -> None:
    firing = {"service": "payments"}
    one = session(tmp_path / "run", (2.0, AlertState.FIRING, firing), (4.0, AlertState.RESOLVED, firing))
    assert lines(one) == [(2.0, f"{NAME} firing (prometheus)"), (5.0, f"{NAME} resolved (prometheus)")]
    [alert] = one.alerts
    assert [alert.firing_at, alert.resolved_at] == [entry.at for entry in one.timeline if entry.kind == "Alert"]


def test_instances_are_told_apart_by_name_and_joined_when_at_one_time(tmp_path: Path) -> None:
    instances = [
        {"instance": f"10.0.0.{number}:80", "pod": f"payments-{number}", "service": "payments"} for number in (1, 2, 3)
    ]
    seen = [(2.0, AlertState.FIRING, instances[0]), (2.0, AlertState.FIRING, instances[1])]
    one = session(tmp_path / "run", *seen, (6.0, AlertState.FIRING, instances[2]))
    assert lines(one) == [
        (2.0, f"{NAME} firing for payments-1 and payments-2 (prometheus)"),
        (6.0, f"{NAME} firing for payments-3 (prometheus)"),
    ]


def test_instances_without_names_are_counted(tmp_path: Path) -> None:
    seen = (2.0, AlertState.FIRING, {"service": "payments"})
    one = session(tmp_path / "run", seen, seen)
    assert lines(one) == [(2.0, f"{NAME} firing ×2 (prometheus)")]


def test_taking_on_what_nobody_saw_is_no_alert() -> None:
    """Somebody has acknowledged, by its name, what fired in the experiment before."""
    event = observed(AlertState.ACKNOWLEDGED, 99.0, expected=False)
    assert summarise_alerts([], [event], 100.0) == ()
    assert len(summarise_alerts([], [event, observed(AlertState.FIRING, 101.0, expected=False)], 100.0)) == 1


@pytest.mark.parametrize(("cut_at", "outcome"), [(105.0, "not tested"), (112.0, "missed"), (None, "missed")])
def test_an_alert_that_was_not_due_is_not_missed(cut_at: float | None, outcome: str) -> None:
    [alert] = summarise_alerts(experiment().alerts, [], 100.0, cut_at=cut_at)  # within 10 s
    assert alert.outcome == outcome
