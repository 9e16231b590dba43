"""The view says what the journal says: numbers are worked out again from the raw events, in another way."""

import itertools
import os
from pathlib import Path

import pytest

from gameday.journal.events import (
    AlertInfo,
    AlertObserved,
    AlertRuleInfo,
    AlertState,
    By,
    FaultInjected,
    FindingRaised,
    Reading,
    ReadingState,
    SignalsSampled,
    UndoEnded,
    Verdict,
)
from gameday.journal.log import JOURNAL_NAME, read_events
from gameday.report.alerts import summarise_alerts
from gameday.report.model import load_report
from gameday.report.series import MAX_BUCKETS, SeriesRecorder
from gameday.report.views import AlertOutcome, Status, Window

from . import journals
from .journals import CPU, ERRORS, LATENCY, TRAFFIC, Journal


@pytest.fixture
def rich(tmp_path: Path) -> Journal:
    return journals.rich(tmp_path / "run")


def readings(journal: Journal, experiment: int, signal: str) -> list[tuple[float, Reading]]:
    return [
        (event.at, reading)
        for event in journal.events
        if isinstance(event, SignalsSampled) and event.experiment == experiment
        for reading in event.readings
        if reading.signal == signal
    ]


def test_verdicts(rich: Journal) -> None:
    report = load_report(rich.directory)
    assert [experiment.status for experiment in report.experiments] == [Status.HELD, Status.WEAKNESS, Status.ABORTED]
    assert (report.status, report.exit_code, report.unread_count) == (Status.ABORTED, 4, 0)
    assert report.end - report.start == pytest.approx(rich.events[-1].at - rich.events[0].at)
    assert not report.open_faults


def test_series_keep_every_reading_of_a_short_run(rich: Journal) -> None:
    report = load_report(rich.directory)
    for index, experiment in enumerate(report.experiments):
        assert {series.signal for series in experiment.series} == {LATENCY, TRAFFIC, ERRORS, CPU}
        for series in experiment.series:
            raw = readings(rich, index, series.signal)
            good = [(at, reading.value) for at, reading in raw if reading.state is ReadingState.OK]
            kept = {(b.low_at, b.low) for b in series.buckets if b.readable}
            kept |= {(b.high_at, b.high) for b in series.buckets if b.readable}
            assert kept <= set(good)
            assert sum(b.readable for b in series.buckets) == len(good)
            assert sum(b.unread for b in series.buckets) == len(raw) - len(good)
            assert min(b.low for b in series.buckets if b.readable) == min(value for _, value in good)


def test_windows_are_cut_at_the_first_plan_and_at_the_undo(rich: Journal) -> None:
    experiment = load_report(rich.directory).experiments[1]
    series = next(series for series in experiment.series if series.signal == LATENCY)
    began = min(e.at - e.took_s for e in rich.events if isinstance(e, FaultInjected) and e.experiment == 1)
    faults = {fault.fault_id for fault in experiment.faults}
    undo = min(e.at - e.took_s for e in rich.events if isinstance(e, UndoEnded) and e.fault_id in faults)
    during = [
        reading.value for at, reading in readings(rich, 1, LATENCY) if began <= at < undo and reading.value is not None
    ]
    extent = series.extent(Window.DURING)
    assert extent is not None
    assert (extent.low, extent.high, extent.readable, extent.unread) == (min(during), max(during), len(during), 3)


def test_hypothesis_rows_take_the_worst_of_all_stages(rich: Journal) -> None:
    rows = {row.subject: row for row in load_report(rich.directory).experiments[1].rows}
    assert [(cell.outcome, cell.worst) for cell in rows[LATENCY].stages] == [("held", 0.21), ("broken", 0.482)]
    assert (rows[LATENCY].during.outcome, rows[LATENCY].during.worst) == ("broken", 0.482)
    assert (rows[TRAFFIC].before.outcome, rows[TRAFFIC].during.worst) == (None, 0.27)
    assert rows[CPU].during.outcome == "held"
    assert [row.is_broken for row in rows.values()] == [True, False, True, False]


def test_alert_times_are_since_the_first_injection(rich: Journal) -> None:
    experiment = load_report(rich.directory).experiments[1]
    began = min(e.at - e.took_s for e in rich.events if isinstance(e, FaultInjected) and e.experiment == 1)
    assert experiment.injected_at == pytest.approx(began)
    alerts = {alert.name: alert for alert in experiment.alerts}
    assert list(alerts) == ["PaymentsErrorsHigh", "CheckoutErrorsHigh", "EdgeSlow"]
    events = [e for e in rich.events if isinstance(e, AlertObserved) and e.name == "PaymentsErrorsHigh"]
    firing = next(e for e in events if e.state is AlertState.FIRING)
    assert alerts["PaymentsErrorsHigh"].firing_at == firing.since
    assert alerts["PaymentsErrorsHigh"].notified_at == next(e.at for e in events if e.state is AlertState.NOTIFIED)
    outcomes = [alert.outcome for alert in alerts.values()]
    assert outcomes == [AlertOutcome.LATE, AlertOutcome.MISSED, AlertOutcome.UNEXPECTED]
    assert alerts["EdgeSlow"].resolved_at is None


def observed(state: AlertState, at: float, **values: object) -> AlertObserved:
    defaults = {"experiment": 0, "name": "A", "expected": True, "labels": {}, "source": "prometheus"}
    return AlertObserved(**({"at": at, "state": state} | defaults | values))


@pytest.mark.parametrize(
    ("events", "injected_at", "outcome"),
    [
        ([observed(AlertState.FIRING, 105.0)], 100.0, AlertOutcome.IN_TIME),
        ([observed(AlertState.FIRING, 120.0, since=110.0)], 100.0, AlertOutcome.IN_TIME),
        ([observed(AlertState.FIRING, 120.0, since=90.0)], 100.0, AlertOutcome.LATE),  # a clock that is wrong
        ([observed(AlertState.FIRING, 120.0, since=130.0)], 100.0, AlertOutcome.LATE),
        ([observed(AlertState.FIRING, 101.0, existed_before=True)], 100.0, AlertOutcome.BEFORE),
        ([observed(AlertState.PENDING, 101.0)], 100.0, AlertOutcome.MISSED),
        ([], 100.0, AlertOutcome.MISSED),
        ([], None, AlertOutcome.NOT_TESTED),
    ],
)
def test_alert_outcomes(events: list[AlertObserved], injected_at: float | None, outcome: AlertOutcome) -> None:
    (alert,) = summarise_alerts([AlertInfo(name="A", within_s=10.0)], events, injected_at)
    assert alert.outcome is outcome


def test_alerts_of_one_name_are_told_apart_by_severity() -> None:
    warning, page = (
        AlertInfo(name="A", within_s=10.0, severity=severity, runbook=severity) for severity in ("warning", "page")
    )
    events = [
        observed(AlertState.FIRING, 102.0, labels={"severity": "warning"}),
        observed(AlertState.FIRING, 130.0, labels={"severity": "page"}),
        observed(AlertState.ACKNOWLEDGED, 140.0, source="ack", by="@ada"),
    ]
    found = summarise_alerts([page, warning], events, 100.0)
    assert [(alert.expected, alert.outcome, alert.firing_at, alert.acknowledged_by) for alert in found] == [
        (page, AlertOutcome.LATE, 130.0, "@ada"),
        (warning, AlertOutcome.IN_TIME, 102.0, "@ada"),
    ]
    rules = [AlertRuleInfo(name="A", expression="x", for_s=1.0, severity=severity) for severity in ("warning", "page")]
    (alert,) = summarise_alerts([page], events[:1], 100.0, rules=rules[:1])
    assert (alert.outcome, alert.severities) == (AlertOutcome.IN_TIME, ("warning",)), "its only rule says warning"
    (alert,) = summarise_alerts([page], events[:1], 100.0, rules=rules)
    assert alert.rule == rules[1]


def test_an_alert_is_resolved_when_its_last_instance_is() -> None:
    events = [
        observed(AlertState.FIRING, 101.0),
        observed(AlertState.FIRING, 102.0, source="alertmanager"),
        observed(AlertState.RESOLVED, 103.0),
    ]
    (alert,) = summarise_alerts([], events, 100.0)
    assert alert.resolved_at is None
    events.append(observed(AlertState.RESOLVED, 109.0, source="alertmanager"))
    (alert,) = summarise_alerts([], events, 100.0)
    assert alert.resolved_at == 109.0


def test_downsampling_keeps_spikes_and_counts() -> None:
    recorder = SeriesRecorder(0.0, 1.0)
    recorder.enter(Window.DURING)
    values = [float(tick % 7) for tick in range(20_000)]
    values[12_345] = 99.0
    values[17_001] = -5.0
    for tick, value in enumerate(values):
        state = ReadingState.NAN if tick % 1000 == 500 else ReadingState.OK
        recorder.add(tick + 0.01 * (tick % 3), Reading("x", state, value if state is ReadingState.OK else None))
    buckets = recorder.frozen()
    assert MAX_BUCKETS / 2 - 1 <= len(buckets) <= MAX_BUCKETS
    assert sum(b.readable for b in buckets) == 19_980
    assert sum(b.unread for b in buckets) == 20
    assert max((b.high, b.high_at) for b in buckets) == (99.0, 12_345.0)
    assert min((b.low, b.low_at) for b in buckets) == (-5.0, 17_001.0)
    assert all(a.end < b.start + 1e-9 and b.start <= min(b.low_at, b.high_at) for a, b in itertools.pairwise(buckets))


def test_interrupted(tmp_path: Path) -> None:
    report = load_report(journals.interrupted(tmp_path / "run").directory)
    assert (report.status, report.exit_code) == (Status.INTERRUPTED, None)
    assert [experiment.status for experiment in report.experiments] == [Status.INTERRUPTED, Status.NOT_RUN]
    assert [fault.targets for fault in report.open_faults] == [("payments-1",)]
    assert report.experiments[0].stages[0].held is None


def test_undo_failed_then_recovered(tmp_path: Path) -> None:
    journal = journals.undo_failed(tmp_path / "run")
    report = load_report(journal.directory)
    assert report.status is Status.UNDO_FAILED
    assert report.open_faults[0].left == ("payments-1 is still down",)
    assert report.open_faults[0].attempts == 7
    again = Journal(journal.directory, now=journal.now + 60)
    again.add(UndoEnded, fault_id="0.0.0", undone=True, attempts=1, took_s=0.2, by=By.RECOVER)
    again.close_session(Verdict.ABORTED, "recovered", By.RECOVER)
    report = load_report(journal.directory)
    assert (report.status, report.open_faults) == (Status.ABORTED, ())
    assert report.faults[0].undone_by is By.RECOVER
    assert report.faults[0].attempts == 8


def test_every_beginning_of_a_journal_can_be_read(rich: Journal, tmp_path: Path) -> None:
    whole = (rich.directory / JOURNAL_NAME).read_bytes()
    lines = whole.splitlines(keepends=True)
    for count in range(0, len(lines), 7):
        for torn in (b"", lines[count][: len(lines[count]) // 2]):
            directory = tmp_path / f"{count}-{len(torn)}"
            directory.mkdir()
            (directory / JOURNAL_NAME).write_bytes(b"".join(lines[:count]) + torn)
            report = load_report(directory)
            assert report.status is Status.INTERRUPTED
            assert report.unread_count == bool(torn)


def test_damage_in_the_middle_costs_only_what_is_damaged(rich: Journal) -> None:
    path = rich.directory / JOURNAL_NAME
    lines = path.read_bytes().splitlines(keepends=True)
    lines[0] = b'{"event":"session-started"}\n'
    lines[10] = os.urandom(80).replace(b"\n", b"") + b"\n"
    lines.insert(20, b'{"event":"of-a-newer-version","at":1}\n')
    path.write_bytes(b"".join(lines))
    report = load_report(rich.directory)
    assert report.unread_count == 3
    assert [line.line for line in report.unread] == [1, 11, 21]
    assert report.status is Status.ABORTED
    assert len(report.experiments) == 3


def test_findings_are_all_there(rich: Journal) -> None:
    raw = [event for event in read_events(rich.directory) if isinstance(event, FindingRaised)]
    report = load_report(rich.directory)
    assert sorted(finding.title for finding in report.findings) == sorted(event.title for event in raw)
    weak = [finding.weakness for finding in report.findings]
    assert weak == sorted(weak, reverse=True)
