"""`gameday history` says of the store what it says of the journals, whatever it is asked."""

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gameday.cli.coverage import command as coverage
from gameday.cli.history import command
from gameday.cli.history_reader import PastReader
from gameday.cli.past_source import JournalSource, StoreSource
from gameday.engine.locks import FileLock
from gameday.engine.runs import WRITER_LOCK
from gameday.history import schema
from gameday.history.feed import sync
from gameday.history.store import Store, open_store
from gameday.journal.events import AlertInfo, Verdict
from gameday.report.trends import Selection
from tests.cli.test_history_verb import PATH, write
from tests.history.conftest import URL
from tests.report import journals


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(command, arguments)


@pytest.mark.parametrize("view", [(), ("trends",)])
@pytest.mark.parametrize("form", [(), ("--json",)])
@pytest.mark.parametrize(
    "asked",
    [
        (), ("--service", "cart"), ("--fault", "process/kill"), ("--fault", "none"), ("--env", "lab"),
        ("--experiment", PATH), ("--since", "1h"),
        ("--service", "checkout", "--env", "staging", "--fail-on", "regression"),
    ],
)  # fmt: skip
def test_as_from_the_journals(shop: Path, view: tuple[str], form: tuple[str], asked: tuple[str]) -> None:
    (ours, theirs) = (invoke(*view, *asked, *form, *more) for more in ((), ("--local",)))
    assert (ours.exit_code, ours.stdout, ours.stderr) == (theirs.exit_code, theirs.stdout, theirs.stderr)
    assert (shop / ".gameday" / "history.db").exists()


@pytest.mark.parametrize("asked", [("--verdict", "held"), ("--limit", "1"), ("--verdict", "interrupted", "--json")])
def test_views_of_sessions_as_from_the_journals(shop: Path, asked: tuple[str]) -> None:
    journals.Journal(shop / ".gameday" / "runs" / "20260310-100000-x-0008").start([journals.experiment()])
    (ours, theirs) = (invoke(*asked, *more) for more in ((), ("--local",)))
    assert (ours.exit_code, ours.stdout, ours.stderr) == (0, theirs.stdout, theirs.stderr)


def test_regressions_are_found_in_whatever_order_things_went(store: Store, shop: Path) -> None:
    """Two files in two environments, with two alerts of which one comes and goes, over forty sessions."""
    noise = random.Random(11)
    seen = 0
    for number in range(4, 44):
        names = noise.sample(("PaymentsReplicaDown", "Other"), noise.choice((1, 2)))
        write(
            shop,
            number,
            noise.choice((Verdict.HELD, Verdict.WEAKNESS, Verdict.WEAKNESS, Verdict.ABORTED)),
            fires_after=noise.choice((4.0, 12.0, None)),
            recovers=noise.choice((2.0, 40.0, None)),
            environment=noise.choice(("staging", "lab")),
            path=noise.choice((PATH, "experiments/b.yaml")),
            service=noise.choice(("checkout", "cart")),
            alerts=tuple(AlertInfo(name=name, within_s=10.0) for name in names),
        )
        if number % 3:
            continue
        sync(store, PastReader())
        for selection in (
            Selection(),
            Selection(service="cart"),
            Selection(environment="lab", fault="process/kill"),
            Selection(experiment=PATH, since=journals.T0 + number * 86400 - 5 * 86400),
        ):
            found = JournalSource(shop).regressions(selection)
            assert StoreSource(store).regressions(selection) == found, (number, selection)
            seen += len(found)
    assert seen > 50


def test_an_alert_that_is_not_expected_any_more_is_not_lost(store: Store, shop: Path) -> None:
    """It never held, nor came back in time: nothing but that it is the newest brings its last run in."""
    name = "PaymentsReplicaDown"
    for number, expected in ((4, name), (5, name), (6, "Other")):
        alerts = (AlertInfo(name=expected, within_s=10.0),)
        times = {"fires_after": 4.0 if number == 4 else 12.0, "recovers": 40.0}
        write(shop, number, Verdict.WEAKNESS, path="experiments/c.yaml", alerts=alerts, **times)
        sync(store, PastReader())
        found = StoreSource(store).regressions(Selection(experiment="experiments/c.yaml"))
        assert [one.alert for one in found] == ([name] if number == 5 else [])
        assert found == JournalSource(shop).regressions(Selection(experiment="experiments/c.yaml"))


def test_sessions_of_other_machines_are_there(shop: Path) -> None:
    assert invoke().exit_code == 0
    shutil.rmtree(shop / ".gameday" / "runs")
    assert len(json.loads(invoke("--json").stdout)["sessions"]) == 4
    assert json.loads(invoke("--json", "--local").stdout)["sessions"] == []
    assert "no session is like that" in invoke("--service", "nobody").stderr


def test_the_page_of_all_machines(shop: Path) -> None:
    """As from the journals, and still whole where these are gone; links lead to the reports that lie beside it."""
    page, run = shop / "reports" / "index.html", "20260307-100000-checkout-0001"
    (shop / "reports").mkdir()
    (shop / "reports" / f"{run}.html").write_text("its report")
    texts = []
    for more in ((), ("--local",)):
        assert invoke("--html", *more).exit_code == 0
        texts.append(page.read_text())
    assert texts[0] == texts[1]
    shutil.rmtree(shop / ".gameday" / "runs")
    assert invoke("--html").exit_code == 0
    assert page.read_text() == texts[0]
    assert f'href="{run}.html"' in texts[0]
    assert invoke("--html", "--local").exit_code == 0
    assert "Session 2" not in page.read_text()


def test_what_all_machines_have_exercised(shop: Path) -> None:
    """`gameday coverage` counts as from the journals, and still does where these are gone."""

    def count(*more: str) -> dict[str, Any]:
        done = CliRunner().invoke(coverage, ["--json", "--offline", *more])
        assert done.exit_code == 0, done.output
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    (shop / "experiments").mkdir()
    (shop / PATH).write_text(
        "title: T\nservice: checkout\nmethod: []\nexpect: {alerts: [{name: PaymentsReplicaDown, within: 10s}]}\n"
    )
    first = count()
    (alert,) = first["services"][0]["alerts"]
    assert (first["runs"], alert["exercised"]["run"]) == (4, "20260309-100000-checkout-0003")
    for more in ((), ("--since", "1h")):
        assert count(*more) == count(*more, "--local")
    shutil.rmtree(shop / ".gameday" / "runs")
    assert count() == first
    assert count("--local")["runs"] == 0


def test_what_is_counted_is_what_is_asked_for(shop: Path, store: Store) -> None:
    sync(store, PastReader())
    ours, theirs = StoreSource(store), JournalSource(shop)
    for since in (None, journals.T0 + 86400.0 * 1.5, journals.T0 + 86400.0 * 30):
        for environment in (None, "staging", "lab", "nowhere"):
            found = ours.history(since=since, environment=environment)
            assert found == theirs.history(since=since, environment=environment), (since, environment)
    assert ours.history(since=None, environment="staging").runs == 3


def test_what_an_older_gameday_has_fed_is_told_by_the_next_sync(shop: Path, store: Store) -> None:
    older = PastReader()
    older.version = 1
    sync(store, older)
    with store.database.writing() as connection:
        connection.execute(schema.sessions.update().values(exercised=None))
    assert StoreSource(store).history(since=None, environment=None).runs == 0
    sync(store, PastReader())
    assert StoreSource(store).history(since=None, environment=None) == JournalSource(shop).history(
        since=None, environment=None
    )


def test_a_session_that_goes_on_elsewhere(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = shop / ".gameday" / "runs" / "20260310-100000-live-0007"
    journals.Journal(run, now=journals.T0 + 9 * 86400).start([journals.experiment()])
    lock = FileLock(run / WRITER_LOCK)
    lock.acquire("runner 1")
    assert json.loads(invoke("--json", "--limit", "1").stdout)["sessions"][0]["verdict"] == "running"
    assert [one["run"] for one in json.loads(invoke("--json", "--verdict", "running").stdout)["sessions"]] == [run.name]
    lock.release()
    assert json.loads(invoke("--json", "--limit", "1").stdout)["sessions"][0]["verdict"] == "interrupted"
    lock.acquire("runner 1")
    invoke()
    lock.release()
    shutil.rmtree(run)  # as another machine sees it
    from gameday.cli import past_source

    assert json.loads(invoke("--json", "--verdict", "running").stdout)["sessions"] == []  # it was fed once more
    store = open_store(URL, shop)
    with store.database.writing() as connection:
        connection.execute(
            schema.sessions.update().where(schema.sessions.c.session == run.name).values(is_running=True)
        )
    assert len(json.loads(invoke("--json", "--verdict", "running").stdout)["sessions"]) == 1
    monkeypatch.setattr(past_source, "_NOT_HEARD_OF_S", -1.0)
    assert json.loads(invoke("--json", "--verdict", "running").stdout)["sessions"] == []


def test_a_document_of_a_newer_gameday_is_named(shop: Path) -> None:
    invoke()
    shutil.rmtree(shop / ".gameday" / "runs")
    with open_store(URL, shop).database.writing() as connection:
        statement = schema.sessions.update().where(schema.sessions.c.title == "Session 2")
        connection.execute(statement.values(document='{"run": "x", "verdict": "splendid"}'))
    found = json.loads(invoke("--json").stdout)
    assert [one["title"] for one in found["sessions"]] == ["Session 3", "Session 1", "Session 0"]
    assert found["unread_runs"] == ["20260308-100000-checkout-0002"]
