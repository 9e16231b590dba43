"""Export, prune and forget: what leaves the store is whole, what must stay stays, and a name is gone where it was."""

import builtins
import errno
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from gameday.cli.history import command
from gameday.cli.history_export import ExportRow
from gameday.cli.history_reader import PastReader
from gameday.engine.predictions import Prediction, keep_prediction, waiting_predictions
from gameday.engine.runs import Run
from gameday.history import schema
from gameday.history.feed import rebuild, sync
from gameday.history.forget import forget
from gameday.history.locks import StoreLocks
from gameday.history.prune import find_old
from gameday.history.pseudonym import Pseudonym
from gameday.history.query import Wanted
from gameday.history.store import Store, open_store
from gameday.journal.events import NoteAdded, PeopleInfo, PredictionInfo, Role, UndoEnded, Verdict
from gameday.journal.log import Unread, read_journal
from gameday.journal.signatures import Signature, add_signature, journal_hash, read_signatures
from gameday.people.action_log import change_actions, read_actions, remember_session
from gameday.people.actions import ActionEvent, Change, Content
from tests.cli.test_history_verb import write
from tests.history.conftest import URL
from tests.history.testing import contents
from tests.report import journals

HOLDERS = (schema.locks, schema.leases, schema.claims)
DOCS = (Path(__file__).parents[2] / "docs" / "history.md").read_text("utf-8")


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(command, arguments)


def runs(root: Path) -> list[Path]:
    return sorted((root / ".gameday" / "runs").iterdir())


# -- export


def test_lines_of_json(shop: Path) -> None:
    result = invoke("export", "-o", "out.jsonl")
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in (shop / "out.jsonl").read_text().splitlines()]
    assert [row["run"][-4:] for row in rows] == ["0000", "0001", "0002", "0003"]
    shown = json.loads(invoke("--json").stdout)["sessions"][1]
    row, item = rows[2], shown["experiments"][0]
    assert {row["run"], row["at"], row["session_verdict"]} == {shown["run"], shown["at"], shown["verdict"]}
    for name in ("title", "service", "verdict", "faults", "detected_s", "noticed_s", "recovered_s"):
        assert row[name] == item[name]
    assert row["weaknesses"] == ["It did not hold"]
    assert [path.name for path in shop.glob(".out*")] == []
    for name in ExportRow.__struct_fields__:
        assert f"`{name}`" in DOCS, f"docs/history.md does not say what {name} is"


def test_parquet_says_the_same(shop: Path) -> None:
    from pyarrow import parquet

    write(shop, 5, Verdict.WEAKNESS, fires_after=None)
    assert invoke("export", "-o", "out.jsonl").exit_code == 0
    assert invoke("export", "--format", "parquet", "-o", "out.parquet").exit_code == 0
    rows = parquet.read_table(shop / "out.parquet").to_pylist()
    lines = [json.loads(line) for line in (shop / "out.jsonl").read_text().splitlines()]
    assert rows[-1].pop("detected_s") == float("inf")
    assert lines[-1].pop("detected_s") is None
    assert rows == lines


def test_some_of_them_and_without_a_store(shop: Path) -> None:
    assert "0 rows" in invoke("export", "--since", "1h", "-o", "none.jsonl").stderr
    (shop / "gameday.yaml").write_text("project: shop\n")
    assert invoke("export", "-o", "out.jsonl").exit_code == 0
    assert len((shop / "out.jsonl").read_text().splitlines()) == 4


def test_nothing_takes_the_place_of_a_pipe_or_a_link(shop: Path) -> None:
    os.mkfifo(shop / "pipe")
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit((shop / "pipe").read_text)
        assert invoke("export", "-o", "pipe").exit_code == 0
        assert len(read.result(60).splitlines()) == 4
    assert (shop / "pipe").is_fifo()
    (shop / "link").symlink_to("out.jsonl")
    (shop / "out.jsonl").write_text("")
    assert invoke("export", "-o", "link").exit_code == 0
    assert (shop / "link").is_symlink()
    assert len((shop / "out.jsonl").read_text().splitlines()) == 4


def test_what_cannot_be_exported(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = invoke("export", "-o", "nowhere/out.jsonl")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "nowhere/out.jsonl cannot be written" in result.stderr
    real = builtins.__import__

    def without(name: str, *more: object) -> object:
        if name.partition(".")[0] == "pyarrow":
            raise ImportError(name)
        return real(name, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without)
    result = invoke("export", "--format", "parquet", "-o", "out.parquet")
    assert result.exit_code == 2
    assert result.stderr == "error: Parquet needs pyarrow, which is missing: pip install pyarrow\n"


# -- prune


def test_what_is_old_goes_and_does_not_come_back(shop: Path, store: Store) -> None:
    live = journals.Journal(shop / ".gameday" / "runs" / "20260301-100000-torn-0008", now=journals.T0)
    live.start([journals.experiment()])
    remember_session(shop, runs(shop)[3], 1.0)  # its finding is open
    invoke("sync")
    shown = invoke("prune", "--older-than", "1h")
    assert shown.exit_code == 0
    assert "3 sessions and 0 closed actions would go; --yes" in shown.stderr
    assert "2 sessions as old stay" in shown.stderr
    assert "20260306-100000-checkout-0000" in shown.stdout
    assert store.queries.count(Wanted()) == 5, "nothing was removed"
    assert "3 sessions and 0 closed actions removed" in invoke("prune", "--older-than", "1h", "--yes").stderr
    left = {row[1] for rows in contents(store).values() for row in rows if len(row) > 5}
    assert left == {"20260301-100000-torn-0008", "20260308-100000-checkout-0002", *read_actions(shop)}
    before = contents(store)
    assert sync(store, PastReader()).sessions == 0
    assert contents(store) == before
    assert "0 sessions" in invoke("prune", "--older-than", "1h", "--yes").stderr
    rebuild(store, PastReader())
    assert store.queries.count(Wanted()) == 5


def test_a_closed_action_goes_until_it_is_opened_anew(shop: Path, store: Store) -> None:
    remember_session(shop, runs(shop)[2], 1.0)
    (action,) = read_actions(shop)
    change_actions(shop, lambda _: [ActionEvent(2.0, action, Change.CLOSED, "ada")])
    sync(store, PastReader())
    assert "4 sessions and 1 closed action removed" in invoke("prune", "--older-than", "1h", "--yes").stderr
    sync(store, PastReader())
    assert contents(store)["actions"] == []
    change_actions(shop, lambda _: [ActionEvent(9e9, action, Change.REOPENED, "ada")])
    sync(store, PastReader())
    assert [row[1] for row in contents(store)["actions"]] == [action]


def test_what_is_young_stays(shop: Path, store: Store) -> None:
    sync(store, PastReader())
    assert "0 sessions and 0 closed actions removed" in invoke("prune", "--older-than", "9999d", "--yes").stderr
    assert store.queries.count(Wanted()) == 4
    for length in ("old", "0d"):
        assert "expected a duration" in invoke("prune", "--older-than", length, "--yes").stderr


# -- forget


def people(root: Path) -> Path:
    """A run in which ada takes part in every way, and a service is called as she is."""
    journal = journals.Journal(root / ".gameday" / "runs" / "20260320-100000-ada-0009", now=journals.T0 + 14 * 86400)
    info = journals.experiment(builder="@ada", sre="@grace", service="ada")
    journal.start([info], by="ada", people=PeopleInfo(facilitator="Ada", builders=("@ada", "@grace")))
    journal.begin(0)
    journal.inject(0, 0, ["ada-1"], plan=msgspec.Raw(b'{"author":"ada"}'), by_hand="ssh ada@host")
    journal.add(NoteAdded, author="ada", text="ada and @ada, not adamant; ada-1 is Ada's, says grace")
    journal.add(UndoEnded, fault_id="0.0.0", undone=True, attempts=1, took_s=0.1)
    journal.end(0, Verdict.HELD)
    journal.close_session(Verdict.HELD)
    run = journal.directory
    for author, role in (("@ada", Role.BUILDER), ("@grace", Role.SRE)):
        add_signature(run, Signature(author, role, 5.0, journal_hash(run), "as ada said"))
    return run


def test_a_name_is_gone_and_the_rest_is_as_it_was(shop: Path, store: Store) -> None:
    run = people(shop)
    remember_session(shop, runs(shop)[2], 1.0)
    (action,) = read_actions(shop)
    change_actions(shop, lambda _: [ActionEvent(2.0, action, Change.ASSIGNED, "ada", owner="@ada")])
    waiting = Prediction("experiments/a.yaml", "@ada", 3.0, PredictionInfo(note="ada is sure"), Role.BUILDER)
    keep_prediction(shop, waiting)
    invoke("sync")
    untouched = {path: path.read_bytes() for path in (shop / ".gameday" / "runs").rglob("*") if path.is_file()}
    before = contents(store)
    shown = invoke("forget", "@ada")
    assert shown.exit_code == 0, shown.output
    assert "1 waiting prediction and the journals of 1 run" in shown.stderr
    assert waiting_predictions(shop, waiting.experiment) == (waiting,)
    assert "2 signatures would be void" in shown.stderr
    assert {path: path.read_bytes() for path in untouched} == untouched
    assert {**contents(store), "settings": []} == {**before, "settings": []}

    done = invoke("forget", "@ada", "--yes")
    assert done.exit_code == 0, done.output
    assert "2 signatures are void" in done.stderr
    alias = done.stderr.partition("replaced by ")[2].partition(".")[0]
    events = [*read_journal(run)]
    assert not any(isinstance(event, Unread) for event in events)
    start, note = events[0], next(event for event in events if isinstance(event, NoteAdded))
    assert (start.by, start.people.facilitator, start.people.builders) == (alias, alias, (f"@{alias}", "@grace"))
    assert (start.experiments[0].builder, start.experiments[0].service) == (f"@{alias}", "ada")
    assert (note.author, note.text) == (alias, f"{alias} and @{alias}, not adamant; ada-1 is {alias}'s, says grace")
    assert b'{"author":"ada"}' in (run / "journal.jsonl").read_bytes(), "a plan is an undo's, and opaque"
    signed = read_signatures(run)
    assert [(one.signature.author, one.is_valid) for one in signed] == [(f"@{alias}", False), ("@grace", False)]
    assert read_actions(shop)[action].owner == f"@{alias}"
    (told,) = waiting_predictions(shop, waiting.experiment)
    assert (told.author, told.prediction.note, told.role) == (f"@{alias}", f"{alias} is sure", Role.BUILDER)
    for path, data in untouched.items():
        assert path.parent == run or path.read_bytes() == data, "another run was changed"
    rows = contents(store)
    assert "'@ada'" not in repr(rows)
    assert [row[7] for row in rows["sessions"] if row[1] == run.name] == [alias]
    # As it would be read from the journals, and a second time there is nothing left.
    rebuild(store, PastReader())
    assert contents(store) == {**rows, "removed": []}
    again = invoke("forget", "ADA", "--yes")
    assert "is in 0 rows of the store, 0 lines of the log of actions and the journals of 0 runs" in again.stderr
    assert f"replaced by {alias}" in again.stderr


def test_a_full_disk_costs_no_actions(shop: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = ActionEvent(1.0, "a1", Change.OPENED, "ada", content=Content("Payments is slow"), owner="@ada")
    change_actions(shop, lambda _: [opened])
    before = read_actions(shop)

    def fail(*_what: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(os, "pwrite", fail)
        with pytest.raises(OSError, match="No space left"):
            forget(store, "ada")
    assert read_actions(shop) == before
    assert forget(store, "ada").actions == 1
    assert read_actions(shop)["a1"].owner != "@ada"


def test_other_machines_sessions_lose_it_in_the_store(shop: Path, store: Store) -> None:
    run = people(shop)
    sync(store, PastReader())
    store.claim("schedule", "a.yaml", 1.0, "ada")
    for path in run.iterdir():
        if path.is_file():
            path.unlink()
    assert invoke("forget", "ada", "--yes").exit_code == 0
    rows = contents(store)
    events = [row[6] for row in rows["events"] if row[1] == run.name and row[4] in ("session-started", "note-added")]
    assert len(events) == 2
    assert not any('"ada"' in text.replace('"service":"ada"', "") or "@ada" in text for text in events)
    assert sorted(row[2] for row in rows["signatures"])[0].startswith("@grace")
    assert "ada" not in rows["claims"][0]


def test_a_run_that_goes_on_is_left_and_named(shop: Path, store: Store) -> None:
    run = people(shop)
    lines = (run / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (run / "journal.jsonl").write_bytes(b"".join(lines[:-1]))
    before = (run / "journal.jsonl").read_bytes()
    done = invoke("forget", "ada", "--yes")
    assert f"not in {run.name}: the run has not ended" in done.stderr
    assert (run / "journal.jsonl").read_bytes() == before
    assert Run(run).name in {one.session for one in open_store(URL, shop).queries.newest(Wanted())}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"author":"Ada"}', '{"author":"X"}'),
        ('{"author":"@ADA","title":"ada @ada"}', '{"author":"@X","title":"ada @X"}'),
        ('{"text":"mail ada@example.com or x@ada.org, ada."}', '{"text":"mail ada@example.com or x@ada.org, X."}'),
        ('{"builders":["ada","adam"],"service":"ada"}', '{"builders":["X","adam"],"service":"ada"}'),
        ('{"owner":null,"by":1.5,"plan":{"by":"ada"}}', '{"owner":null,"by":1.5,"plan":{"by":"ada"}}'),
        ("ada, torn", "ada, torn"),
    ],
)  # fmt: skip
def test_where_a_name_is_a_name(line: str, expected: str) -> None:
    pseudonym = Pseudonym("@Ada", "salt")
    assert pseudonym.in_line(line) == expected.replace("X", pseudonym.alias)
    assert Pseudonym("ada", "salt").alias == pseudonym.alias != Pseudonym("ada", "other").alias


def test_who_holds_or_held_something(store: Store) -> None:
    locks = StoreLocks(store, "staging", "“Checkout”, run by ada on laptop")
    locks.acquire(["payments"], "20260308-100000-checkout-0001", 60)
    store.lease("schedule", "ada@laptop", 60)
    store.claim("game-day", "x", 1.0, "ada")
    forget(store, "Ada")
    assert "ada" not in str(contents(store)).lower()
    with store.database.reading() as connection:
        held = [connection.execute(sa.select(table.c.holder)).scalar_one() for table in HOLDERS]
    assert all("person-" in holder for holder in held), held
    assert held[1].endswith("@laptop")


def test_what_could_not_be_undone_stays(shop: Path, store: Store) -> None:
    write(shop, 9, Verdict.UNDO_FAILED)
    sync(store, PastReader())
    kept = {run.name for run in runs(shop)} - {name for name, *_ in find_old(store, journals.T0 + 1e9).sessions}
    assert any(name.endswith("0009") for name in kept)
