"""What past runs have shown is what their journals say, read once each, whatever state they are in."""

import shutil
from pathlib import Path

import pytest

from gameday.coverage.matrix import Result
from gameday.engine.runs import Run
from gameday.journal.events import (
    ActivityStarted,
    AlertState,
    DashboardExamined,
    FaultInjected,
    Verdict,
)
from gameday.journal.log import JOURNAL_NAME
from gameday.report import past
from gameday.report.model import load_report
from gameday.report.past import CACHE, read_history, read_run
from gameday.report.views import AlertOutcome

from . import journals
from .journals import Journal

RICH = "20260306-100000-checkout-ab12"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    journals.rich(tmp_path / ".gameday" / "runs" / RICH)
    return tmp_path


def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the runs whose journals are read from now on."""
    names: list[str] = []

    def count(run: Run) -> past.RunPast:
        names.append(run.name)
        return read_run(run)

    monkeypatch.setattr(past, "read_run", count)
    return names


def test_a_run_says_what_its_report_says(project: Path) -> None:
    report = load_report(project / ".gameday" / "runs" / RICH)
    found = read_history(project).past
    late, missed = report.experiments[1].alerts[:2]
    began = report.experiments[1].injected_at
    assert began is not None
    assert late.firing_at is not None
    exercise = found.alerts["PaymentsErrorsHigh"]
    assert (exercise.run, exercise.result, exercise.verdict) == (RICH, Result.LATE, Verdict.WEAKNESS)
    assert exercise.at == pytest.approx(began, abs=0.001)
    assert exercise.after_s == pytest.approx(late.firing_at - began, abs=0.001)
    assert (missed.name, found.alerts[missed.name].result) == ("CheckoutErrorsHigh", Result.MISSED)
    # In time in the first experiment; the third was aborted before it had to fire, and says nothing of it.
    last = found.alerts["PaymentsReplicaDown"]
    assert (last.result, last.verdict) == (Result.IN_TIME, Verdict.HELD)
    assert report.experiments[2].alerts[0].outcome is AlertOutcome.NOT_TESTED
    assert set(found.runbooks_exercised) == {"replica-down", "payments-errors", "checkout-errors"}
    assert set(found.runbooks_followed) == {"payments-errors"}
    assert {name: (look.found, look.failing) for name, look in found.dashboards.items()} == {
        "checkout-overview": (True, True),
        "payments": (False, False),
        "https://wiki.example.com/payments": (None, False),
    }
    assert set(found.dashboards_moved) == {"checkout-overview"}
    (last_run,) = found.experiments.values()
    assert last_run.verdict is Verdict.ABORTED


def start(root: Path, name: str, **info: object) -> Journal:
    journal = Journal(root / ".gameday" / "runs" / name)
    journal.start([journals.experiment(**info)])
    return journal


def test_nothing_is_exercised_before_a_fault_is_injected(tmp_path: Path) -> None:
    journal = start(tmp_path, "20260306-110000-a-0001")
    journal.begin(0)
    found = read_history(tmp_path).past
    assert (found.alerts, found.runbooks_exercised) == ({}, {})
    assert [run.verdict for run in found.experiments.values()] == [None]
    journal.add(FaultInjected, experiment=0, fault_id="0.0.0", took_s=0.25)
    began = journal.now - 0.25
    found = read_history(tmp_path).past
    assert (found.alerts, found.runbooks_exercised["replica-down"].at) == ({}, began), "it may fire yet"
    journal.alert(0, "PaymentsReplicaDown", AlertState.FIRING)
    exercise = read_history(tmp_path).past.alerts["PaymentsReplicaDown"]
    assert (exercise.at, exercise.verdict, exercise.result) == (began, None, Result.IN_TIME)


def test_an_action_of_the_toolkit_is_an_injection_and_a_probe_is_none(tmp_path: Path) -> None:
    journal = start(tmp_path, "20260306-110000-a-0001")
    journal.begin(0)
    journal.add(ActivityStarted, experiment=0, activity=1, name="x", kind="probe", section="method")
    journal.add(ActivityStarted, experiment=0, activity=2, name="x", kind="action", section="rollback")
    assert read_history(tmp_path).past.alerts == {}
    journal.add(ActivityStarted, experiment=0, activity=3, name="x", kind="action", section="method")
    began = journal.now
    journal.now += 2.0
    journal.alert(0, "PaymentsReplicaDown", AlertState.FIRING)
    exercise = read_history(tmp_path).past.alerts["PaymentsReplicaDown"]
    assert (exercise.at, exercise.result, exercise.after_s) == (began, Result.IN_TIME, 2.0)


def test_an_experiment_that_did_not_start_was_not_run(tmp_path: Path) -> None:
    journal = start(tmp_path, "20260306-110000-a-0001")
    journal.begin(0)
    journal.end(0, Verdict.NOT_STARTED)
    assert read_history(tmp_path).past.experiments == {}


def test_journals_are_read_once_and_again_when_they_grow(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = read_history(project)
    names = reads(monkeypatch)
    assert read_history(project) == first
    assert names == []
    journal = Journal(project / ".gameday" / "runs" / RICH, now=journals.T0 + 1000)
    journal.add(DashboardExamined, experiment=0, dashboard=journals.moved(journals.CHECKOUT, "2"), after=True)
    again = read_history(project)
    assert names == [RICH]
    assert again.past.dashboards_moved["checkout-overview"].at == journals.T0 + 1000
    shutil.rmtree(project / ".gameday" / "runs" / RICH)
    assert read_history(project).runs == 0
    assert RICH not in (project / ".gameday" / CACHE).read_text()


@pytest.mark.parametrize(
    "damaged", [b"", b"\xff\xfe", b"[" * 100_000, b'{"version": "0"}', b'{"version": 1, "runs": []}']
)
def test_what_is_kept_may_be_anything(project: Path, damaged: bytes) -> None:
    first = read_history(project)
    kept = (project / ".gameday" / CACHE).read_bytes()
    (project / ".gameday" / CACHE).write_bytes(damaged)
    assert read_history(project) == first
    assert (project / ".gameday" / CACHE).read_bytes() == kept


def test_what_another_version_kept_is_not_believed(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_history(project)
    monkeypatch.setattr(past, "_VERSION", "another")
    names = reads(monkeypatch)
    read_history(project)
    assert names == [RICH]


def test_where_nothing_can_be_kept(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / ".gameday" / CACHE).mkdir()
    first, second = read_history(project), read_history(project)
    assert first == second
    assert first.runs == 1
    assert not list((project / ".gameday").glob(".*.json.*"))


def test_a_journal_that_cannot_be_read_is_named_and_the_others_count(project: Path) -> None:
    newer = project / ".gameday" / "runs" / "20260307-100000-newer-0001"
    shutil.copytree(project / ".gameday" / "runs" / RICH, newer)
    path = newer / JOURNAL_NAME
    path.write_bytes(path.read_bytes().replace(b'"format":1', b'"format":999', 1))
    torn = project / ".gameday" / "runs" / "20260308-100000-torn-0001"
    torn.mkdir()
    (torn / JOURNAL_NAME).write_bytes(b'{"event":"session-st')
    found = read_history(project)
    assert (found.runs, found.unread) == (2, (newer.name,))
    assert "PaymentsErrorsHigh" in found.past.alerts


def test_only_some_runs_count(project: Path) -> None:
    assert read_history(project, environment="staging").runs == 1
    assert read_history(project, environment="lab").past.alerts == {}
    assert read_history(project, since=journals.T0).runs == 1
    assert read_history(project, since=journals.T0 + 1).runs == 0


def test_a_project_without_runs_stays_as_it_is(tmp_path: Path) -> None:
    assert read_history(tmp_path).runs == 0
    assert list(tmp_path.iterdir()) == []
