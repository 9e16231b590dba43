"""`gameday history`: sessions and trends of real journals, as text, as JSON, for CI, and as a page that is kept new."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gameday.cli import run as run_verb
from gameday.cli.history import command
from gameday.cli.history_feeding import refresh_page
from gameday.engine.runs import Run
from gameday.engine.session import SessionResult
from gameday.journal.events import AlertState, FindingKind, FindingRaised, Mark, MarkSet, SessionEnded, Verdict
from gameday.report.index import NAME
from gameday.report.model import load_report
from gameday.report.render import OF_EACH_RUN
from gameday.report.writer import ReportWriter
from tests.report import journals
from tests.report.journals import Journal

DOCS = (Path(__file__).parents[2] / "docs" / "history.md").read_text("utf-8")
DAY = 86400.0
PATH = "experiments/checkout-loses-payments.yaml"


def write(
    root: Path,
    number: int,
    verdict: Verdict = Verdict.HELD,
    *,
    fires_after: float | None = 4.0,
    recovers: float | None = 2.0,
    environment: str = "staging",
    finding: str = "",
    **info: object,
) -> str:
    """A session of one experiment on that day; its name."""
    name = f"202603{number + 6:02}-100000-checkout-{number:04x}"
    journal = Journal(root / ".gameday" / "runs" / name, now=journals.T0 + number * DAY)
    journal.start([journals.experiment(**info)], kind="experiment", title=f"Session {number}", environment=environment)
    if verdict is Verdict.NOT_STARTED:
        journal.close_session(verdict)
        return name
    journal.begin(0)
    journal.inject(0, 0, ["payments-1"])
    began = journal.now - 0.02
    journal.now = began + (fires_after or 8.0)
    if fires_after is not None:
        journal.alert(0, "PaymentsReplicaDown", AlertState.FIRING)
    journal.now += 3.0
    journal.add(MarkSet, author="sam", mark=Mark.DETECTED, experiment=0)
    journal.undo(0, 1)
    journal.recover(0, recovers)
    if finding:
        journal.add(FindingRaised, experiment=0, kind=FindingKind.HYPOTHESIS_BROKEN, title=finding)
    journal.end(0, verdict)
    journal.close_session(verdict)
    return name


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two good runs, one in which all is worse, and one that was aborted."""
    (tmp_path / "gameday.yaml").write_text("project: shop\n")
    write(tmp_path, 0, fires_after=4.0)
    write(tmp_path, 1, fires_after=6.0, recovers=4.0)
    write(tmp_path, 2, Verdict.WEAKNESS, fires_after=12.0, recovers=40.0, finding="It did not hold")
    write(tmp_path, 3, Verdict.ABORTED, fires_after=None, environment="lab", service="cart", path="experiments/b.yaml")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(command, arguments)


def cells(result: Result) -> list[list[str]]:
    """The cells of every line: columns are at least two spaces apart."""
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in result.stdout.splitlines()]


def test_sessions_the_newest_first(shop: Path) -> None:
    result = invoke()
    assert result.exit_code == 0, result.output
    found = [row for row in cells(result) if row]
    assert found == [
        ["WHEN", "RUN", "SESSION", "WHERE", "VERDICT", "HELD", "BROKEN", "FOUND", "DETECTED", "BY PEOPLE", "RECOVERED"],
        ["2026-03-09", "0003", "Session 3", "lab", "aborted", "0 of 1", "process/kill", "—", "—", "11s", "2.0s"],
        ["2026-03-08", "0002", "Session 2", "staging", "weakness", "0 of 1", "process/kill", "1", "12s", "15s", "40s"],
        ["2026-03-07", "0001", "Session 1", "staging", "held", "1 of 1", "process/kill", "—", "6.0s", "9.0s", "4.0s"],
        ["2026-03-06", "0000", "Session 0", "staging", "held", "1 of 1", "process/kill", "—", "4.0s", "7.0s", "2.0s"],
    ]
    assert max(map(len, result.stdout.splitlines())) <= 120


def test_what_a_session_shows_is_what_its_report_shows(shop: Path) -> None:
    (shown,) = json.loads(invoke("--json", "--limit", "1", "--env", "staging").stdout)["sessions"]
    report = load_report(shop / ".gameday" / "runs" / shown["run"])
    (experiment,) = report.experiments
    (item,) = shown["experiments"]
    assert (shown["verdict"], shown["title"]) == (report.status.value, report.title)
    (alert,) = experiment.alerts
    assert experiment.injected_at is not None
    assert alert.firing_at is not None
    assert item["detected_s"] == pytest.approx(alert.firing_at - experiment.injected_at, abs=0.001)
    assert experiment.recovery is not None
    assert item["recovered_s"] == experiment.recovery.seconds
    assert [one["title"] for one in item["weaknesses"]] == [finding.title for finding in experiment.findings]
    assert item["alerts"] == [{"name": "PaymentsReplicaDown", "result": "late", "after_s": item["detected_s"]}]


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["--service", "cart"], ["0003"]),
        (["--service", "checkout", "--limit", "2"], ["0002", "0001"]),
        (["--fault", "process/kill", "--verdict", "held"], ["0001", "0000"]),
        (["--verdict", "aborted"], ["0003"]),
        (["--experiment", PATH, "--verdict", "weakness"], ["0002"]),
        (["--experiment", f"./{PATH}", "--limit", "1"], ["0002"]),
        (["--env", "lab"], ["0003"]),
        (["--env", "nowhere"], []),
        (["--since", "1h"], []),
        (["--service", "cart", "--verdict", "held"], []),
    ],
)
def test_only_some_are_asked_for(shop: Path, arguments: list[str], shown: list[str]) -> None:
    result = invoke(*arguments)
    assert [row[1] for row in cells(result) if row and row[0].startswith("2026")] == shown
    document = json.loads(invoke(*arguments, "--json").stdout)
    assert [session["run"][-4:] for session in document["sessions"]] == shown
    if not shown:
        assert "no session is like that" in result.stderr


def test_an_experiment_is_named_from_below_the_project_too(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (shop / PATH).parent.mkdir()
    (shop / PATH).write_text("title: x\n")
    monkeypatch.chdir(shop / "experiments")
    found = json.loads(invoke("--experiment", Path(PATH).name, "--json").stdout)
    assert len(found["sessions"]) == 3


def test_what_is_left_out_is_said(shop: Path) -> None:
    assert "3 older; --limit shows more." in invoke("--limit", "1").stderr
    assert json.loads(invoke("--limit", "1", "--json").stdout)["sessions_left_out"] == 3


def test_regressions_are_said_loudly(shop: Path) -> None:
    for arguments in ((), ("trends",)):
        result = invoke(*arguments)
        assert result.exit_code == 0
        lines = [line for line in result.stderr.splitlines() if line.startswith("REGRESSION: ")]
        where = "“Checkout survives the loss of payments replicas” on staging"
        when = "last well on 7 March 2026, not since 8 March 2026"
        assert lines == [
            f"REGRESSION: {where} held, and does not any more: {when}",
            f"REGRESSION: PaymentsReplicaDown fired in time for {where}, and now is late: {when}",
            f"REGRESSION: {where} came back in time, and now comes back late (40s): {when}",
        ]
        assert "  last well in 20260307-100000-checkout-0001" in result.stderr.splitlines()
        assert "  first not in 20260308-100000-checkout-0002" in result.stderr.splitlines()
        assert invoke(*arguments, "--fail-on", "regression").exit_code == 1
        assert invoke(*arguments, "--fail-on", "regression", "--service", "cart").exit_code == 0
        assert invoke(*arguments, "--fail-on", "regression", "--since", "1h").exit_code == 0


def test_a_regression_whose_past_lies_further_back_is_one(shop: Path) -> None:
    days = int((time.time() - journals.T0) / DAY) + 1
    since = f"{days - 2}d"  # the newest runs alone: what was well came before
    found = json.loads(invoke("--since", since, "--json").stdout)
    assert {session["run"][-4:] for session in found["sessions"]} <= {"0003", "0002"}
    assert len(found["regressions"]) == 3
    assert invoke("--verdict", "held", "--fail-on", "regression").exit_code == 1


def test_when_it_holds_again_there_is_no_regression(shop: Path) -> None:
    write(shop, 4)
    assert invoke("--fail-on", "regression").exit_code == 0


def test_trends(shop: Path) -> None:
    result = invoke("trends")
    assert result.exit_code == 0, result.output
    found = [row for row in cells(result) if row]
    figures = ("2 of 3 (67%)", "6.0s of 3", "—", "12s (+7.0s)", "4.0s of 3", "40s (+37s)", "1 open (+1 −0)")
    for row in (
        ["SERVICE", "RUNS", "HELD", "DETECTED", "NEVER", "LAST", "RECOVERED", "LAST", "FINDINGS"],
        ["checkout", "3", *figures],
        ["cart", "1", "—", "—", "—", "—", "—", "—", "none"],
        ["process/kill", "4", *figures],
        ["checkout: the last detection (12s) was slower than all 2 before it"],
        ["checkout: the last recovery (40s) was slower than all 2 before it"],
        ["FINDINGS IN", "OPENED", "CLOSED", "OPEN AT THE END"],
        ["2026-03", "1", "0", "1"],
    ):
        assert row in found, row
    assert found.index(["SERVICE", *found[0][1:]]) == 0
    assert "not started ones count neither way" in result.stderr
    assert max(map(len, result.stdout.splitlines())) <= 120
    by = cells(invoke("trends", "--by", "experiment"))
    assert [row[0] for row in by if row][:2] == ["EXPERIMENT", "experiments/b.yaml"]


def test_the_documents(shop: Path) -> None:
    write(shop, 4, Verdict.WEAKNESS, fires_after=None, recovers=None)
    sessions = json.loads(invoke("--json").stdout)
    trends = json.loads(invoke("trends", "--json", "--by", "service").stdout)
    session = sessions["sessions"][0]
    (checkout, _) = trends["trends"]["service"]
    assert checkout["detected"] == {
        "runs": 4, "never": 1, "median_s": 9.0, "last_s": None,
        "before": {"runs": 3, "median_s": 6.0, "change_s": None, "standing": "slower than all before"},
    }  # fmt: skip
    assert (checkout["runs"], checkout["held"], checkout["weakness"], checkout["uncounted"]) == (4, 2, 2, 0)
    assert [item["open"] for item in checkout["findings"]] == [0, 0, 1, 0]
    lost = {one["loss"]: one for one in trends["regressions"]}
    assert sessions["regressions"] == trends["regressions"]
    assert set(lost) == {"verdict", "alert", "recovery"}
    assert (lost["alert"]["alert"], lost["alert"]["runs"], lost["alert"]["first"]["run"][-4:]) == (
        "PaymentsReplicaDown",
        2,
        "0002",
    )
    experiment = session["experiments"][0]
    earlier = sessions["sessions"][2]["experiments"][0]
    kinds = [sessions, trends, trends["trends"], session, experiment, experiment["alerts"][0], *lost.values()]
    kinds += [earlier["weaknesses"][0], checkout, checkout["detected"], checkout["detected"]["before"]]
    for keys in (*kinds, *checkout["findings"]):
        for key in keys:
            assert f"`{key}`" in DOCS, f"docs/history.md does not say what {key} is"


def test_a_project_without_a_past(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments in ((), ("trends",)):
        result = invoke(*arguments)
        assert (result.exit_code, result.stdout.strip()) == (0, "")
        assert "there are no sessions yet" in result.stderr
    assert json.loads(invoke("--json").stdout) == {
        "schema": 1, "unread_runs": [], "sessions": [], "sessions_left_out": 0, "regressions": []
    }  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_a_journal_that_cannot_be_read_is_named(shop: Path) -> None:
    torn = shop / ".gameday" / "runs" / "20260310-100000-torn-0009"
    torn.mkdir()
    (torn / "journal.jsonl").write_bytes(b'{"event":"session-st')
    result = invoke("--json")
    assert json.loads(result.stdout)["unread_runs"] == [torn.name]
    assert torn.name in result.stderr


def test_a_session_that_goes_on_is_not_called_interrupted(shop: Path) -> None:
    from gameday.engine.locks import FileLock
    from gameday.engine.runs import WRITER_LOCK

    name = "20260310-100000-live-0007"
    journal = Journal(shop / ".gameday" / "runs" / name, now=journals.T0 + 9 * DAY)
    journal.start([journals.experiment()])
    lock = FileLock(journal.directory / WRITER_LOCK)
    lock.acquire("runner 1")
    assert json.loads(invoke("--json", "--limit", "1").stdout)["sessions"][0]["verdict"] == "running"
    lock.release()
    assert json.loads(invoke("--json", "--limit", "1").stdout)["sessions"][0]["verdict"] == "interrupted"
    journal.add(SessionEnded, verdict=Verdict.ABORTED, exit_code=4)
    assert json.loads(invoke("--json", "--limit", "1").stdout)["sessions"][0]["verdict"] == "aborted"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--verdict", "good"], "found `good`, expected one of held, weakness"),
        (["--since", "soon"], "--since: found `soon`, expected a duration"),
        (["trends", "--since", "soon"], "--since: found `soon`, expected a duration"),
        (["--limit", "0"], "0 is not in the range"),
        (["trends", "--by", "colour"], "'colour' is not one of 'service', 'fault', 'experiment'"),
        (["--service", "checkout", "trends"], "options go after the name of the view"),
        (["--html", "--service", "checkout"], "only --reports and --local go with it"),
        (["--reports", "x"], "give both"),
    ],
)
def test_wrong_input(shop: Path, arguments: list[str], message: str) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""


def test_text_of_unknown_origin_cannot_steer_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for number, text in enumerate(journals.HOSTILE):
        journals.hostile(tmp_path / ".gameday" / "runs" / f"20260306-100000-x-{number:04x}", text)
    for arguments in ((), ("trends", "--by", "service", "--by", "fault", "--by", "experiment")):
        output = invoke(*arguments).output
        assert not set("\u202e\u2066\u200f\x00\x07\x1b\x0b") & set(output)


# -- the page


def test_the_page_is_written(shop: Path) -> None:
    result = invoke("--html")
    assert (result.exit_code, result.stdout.strip()) == (0, str(shop / "reports" / NAME))
    assert "3 regressions" in (shop / "reports" / NAME).read_text()
    elsewhere = invoke("--html", "--reports", "elsewhere")
    assert elsewhere.exit_code == 0
    assert (shop / "elsewhere" / NAME).exists()


def test_where_it_cannot_be_written(shop: Path) -> None:
    (shop / "file").write_text("")
    result = invoke("--html", "--reports", "file/reports")
    assert result.exit_code == 2
    assert "cannot be written" in result.stderr or "is a file" in result.stderr
    assert "Traceback" not in result.stderr


def finish(directory: Path, reports: Path) -> None:
    """What `gameday run` does when its session has ended."""
    result = SessionResult(Run(directory), Verdict.HELD, "")
    ReportWriter().write(directory, OF_EACH_RUN, reports)
    run_verb._remember(result, directory.parents[2], reports)


def wait_until_newer(path: Path, before: float) -> None:
    deadline = time.monotonic() + 60
    while path.stat().st_mtime <= before:
        assert time.monotonic() < deadline, "it was never written"
        time.sleep(0.05)


def test_a_run_keeps_the_page_new_and_does_not_wait_for_it(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reports = shop / "reports"
    write(shop, 5, finding="")
    directory = shop / ".gameday" / "runs" / write(shop, 6)
    finish(directory, reports)
    assert not (reports / NAME).exists(), "a page that nobody asked for"
    assert invoke("--html").exit_code == 0
    os.utime(reports / NAME, (1, 1))
    (shop / "click.py").write_text("raise SystemExit('what lies in the project is no module of ours')\n")
    monkeypatch.chdir(reports)  # a run may be begun from anywhere
    began = time.perf_counter()
    finish(directory, Path("../reports"))
    assert time.perf_counter() - began < 5
    wait_until_newer(reports / NAME, 1)
    assert f'href="{directory.name}.html"' in (reports / NAME).read_text()


def test_whatever_becomes_of_the_page_the_run_is_not_hurt(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (shop / "reports" / NAME).mkdir(parents=True)  # cannot be replaced
    refresh_page(shop, shop / "reports")
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    refresh_page(shop, shop / "reports")
    refresh_page(shop, shop / ("x" * 5000))
    asked: list[object] = []
    monkeypatch.setattr(subprocess, "Popen", lambda *arguments, **_more: asked.append(arguments))
    refresh_page(shop, shop / "none")
    assert asked == []
