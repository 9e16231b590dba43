"""A regression is said by the session that shows it: by its journal alone, and as the history counts it."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import pytest

from gameday.engine.runs import Run
from gameday.journal.events import ActionWasClosed, AlertState, FindingKind, FindingRaised, Loss, Verdict
from gameday.people.actions import action_id
from gameday.report import past
from gameday.report.lost import came_back, lost_of
from gameday.report.model import load_report
from gameday.report.past import CACHE, keep_run, read_known_sessions, read_run, read_sessions
from gameday.report.render import Format, render
from gameday.report.trends import Selection, regressions
from gameday.report.well import well_before
from gameday.report.words import regressions as in_words

from . import journals
from .journals import Journal

INFO = journals.experiment(recovers_within_s=15.0)
DAY = 86400.0
TITLE = "The steady state broke"
ACTION = action_id(INFO.path, FindingKind.HYPOTHESIS_BROKEN, TITLE)


def write(
    root: Path,
    day: int,
    verdict: Verdict,
    *,
    fired_after: float | None = 3.0,
    recovered: float | None = 1.0,
    closed: bool = False,
    environment: str = "staging",
) -> Path:
    """One session, which has taken down what was known before it, as a run does."""
    at = journals.T0 + day * DAY
    known = well_before(read_known_sessions(root), [INFO.path], environment)
    journal = Journal(root / ".gameday" / "runs" / f"2026030{day + 6}-100000-checkout-000{day}", now=at)
    journal.start([INFO], kind="experiment", environment=environment)
    for well in known:
        journal.events.append(event := msgspec.structs.replace(well, at=journal.now))
        journal._writer.append(event)
    if closed:
        journal.add(ActionWasClosed, action=ACTION, title=TITLE, opened_at=at - DAY, closed_at=at - 9, closed_by="@ada")
    journal.begin(0)
    journal.inject(0, 0, ["payments-1"])
    if fired_after is not None:
        journal.now += fired_after
        journal.alert(0, "PaymentsReplicaDown", AlertState.FIRING)
    journal.end_stage(0, 0, {journals.LATENCY: 0.02 if verdict is Verdict.HELD else 0.5})
    journal.undo(0, 1)
    journal.recover(0, recovered)
    if verdict is Verdict.WEAKNESS:
        journal.add(FindingRaised, experiment=0, kind=FindingKind.HYPOTHESIS_BROKEN, title=TITLE)
    journal.end(0, verdict)
    return journal.close_session(verdict)


def shown(directory: Path) -> set[tuple[Loss, str, str, int]]:
    """By the report: what was lost, the last good run, and how many runs show it."""
    found = [one.well for one in lost_of(load_report(directory))]
    return {(well.loss, well.alert, well.good_run, well.lost_runs + 1) for well in found}


def counted(root: Path) -> set[tuple[Loss, str, str, int]]:
    """By the history."""
    found = regressions(Selection().trials(read_sessions(root).sessions))
    return {(one.loss, one.alert, one.good.session.run, one.runs) for one in found}


def test_the_report_agrees_with_the_history(tmp_path: Path) -> None:
    days = [
        {"verdict": Verdict.WEAKNESS},  # never held: nothing is lost
        {"verdict": Verdict.HELD},
        {"verdict": Verdict.ABORTED},  # counts neither way
        {"verdict": Verdict.WEAKNESS, "fired_after": None, "recovered": 40.0},
        {"verdict": Verdict.WEAKNESS, "fired_after": 20.0},  # the recovery is well again
        {"verdict": Verdict.HELD},
    ]
    sizes = []
    for day, values in enumerate(days):
        directory = write(tmp_path, day, **values)
        if values["verdict"] is not Verdict.ABORTED:
            assert shown(directory) == counted(tmp_path)
        sizes.append(len(shown(directory)))
    assert sizes == [0, 0, 0, 3, 2, 0]


def test_only_the_same_environment_counts(tmp_path: Path) -> None:
    write(tmp_path, 0, Verdict.HELD)
    assert shown(write(tmp_path, 1, Verdict.WEAKNESS, environment="lab")) == set()
    assert len(shown(write(tmp_path, 2, Verdict.WEAKNESS))) == 1


def test_an_action_item_that_was_closed_and_is_found_again(tmp_path: Path) -> None:
    report = load_report(write(tmp_path, 0, Verdict.WEAKNESS, closed=True))
    assert [one.action.action for one in came_back(report)] == [ACTION]
    assert came_back(load_report(write(tmp_path, 1, Verdict.HELD, closed=True))) == ()


def test_it_is_said_at_the_top_of_each_format(tmp_path: Path) -> None:
    write(tmp_path, 0, Verdict.HELD)
    report = load_report(write(tmp_path, 1, Verdict.WEAKNESS, fired_after=20.0, recovered=None, closed=True))
    where = "“Checkout survives the loss of payments replicas”"
    then = "on 6 March 2026 (run 20260306-100000-checkout-0000)"
    said = [
        f"REGRESSION: {where} held {then}, and does not any more.",
        f"REGRESSION: PaymentsReplicaDown fired in time for {where} {then}, and is late now.",
        f"REGRESSION: {where} came back in time {then}, and now does not come back.",
        f"REGRESSION: action item {ACTION} was closed on 7 March 2026, and its finding is back: {TITLE}.",
    ]
    assert [one.text for one in in_words(report)] == said
    page = render(report, Format.HTML)
    for text in said:
        assert page.index("</h2>") < page.index(text) < page.index("What did we break?")
    lines = render(report, Format.MARKDOWN).splitlines()
    assert [line.startswith("- **REGRESSION") for line in lines[2:7]] == [True] * 4 + [False]
    found = json.loads(render(report, Format.JSON))["regressions"]
    assert [(one["what"], one["alert"], one["action"], one["well_in"]) for one in found] == [
        ("verdict", None, None, "20260306-100000-checkout-0000"),
        ("alert", "PaymentsReplicaDown", None, "20260306-100000-checkout-0000"),
        ("recovery", None, None, "20260306-100000-checkout-0000"),
        ("action", None, ACTION, "@ada"),
    ]
    suite = ET.fromstring(render(report, Format.JUNIT))[0]
    assert suite[0].tag == "properties"
    assert [(one.get("name"), one.get("value")) for one in suite[0]] == [("regression", text) for text in said]


def test_the_start_of_a_run_reads_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in the cache is not read again; of the rest the latest, as far as they are small."""
    paths = [write(tmp_path, day, Verdict.HELD) for day in range(3)]
    keep_run(Run(paths[2]), tmp_path)
    names: list[str] = []

    def count(run: Run) -> past.RunPast:
        names.append(run.name)
        return read_run(run)

    monkeypatch.setattr(past, "read_run", count)
    size = (paths[1] / "journal.jsonl").stat().st_size
    monkeypatch.setattr(past, "_AT_ONCE", size)
    assert {one.run for one in read_known_sessions(tmp_path)} == {paths[1].name, paths[2].name}
    assert names == [paths[1].name]
    (tmp_path / ".gameday" / CACHE).write_text("{")
    monkeypatch.setattr(past, "_AT_ONCE", 0)
    assert read_known_sessions(tmp_path) == ()
