"""The store is fed from journals: once, only with what is new, by several at once, and never at a run's expense."""

import os
import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from gameday.cli.history import command
from gameday.cli.history_feeding import feed_store
from gameday.cli.history_reader import PastReader
from gameday.engine.locks import FileLock
from gameday.engine.runs import WRITER_LOCK
from gameday.history import fed as fed_module
from gameday.history import feed as feed_module
from gameday.history import schema
from gameday.history.feed import rebuild, sync
from gameday.history.journal_lines import NewLines
from gameday.history.prune import prune
from gameday.history.query import Wanted
from gameday.history.store import Store, open_store
from gameday.journal.events import FindingKind, FindingRaised, NoteAdded, Role
from gameday.journal.log import JournalWriter, read_events
from gameday.journal.signatures import Signature, add_signature, journal_hash
from gameday.people.action_log import remember_session
from tests.cli.test_history_verb import write
from tests.history.conftest import URL
from tests.history.testing import at_once, contents
from tests.report import journals


def runs(root: Path) -> list[Path]:
    return sorted((root / ".gameday" / "runs").iterdir())


def append(run: Path, *events: object) -> None:
    writer = JournalWriter(run)
    for event in events:
        writer.append(event)  # type: ignore[arg-type]
    writer.close()


def test_what_a_journal_says_is_in_the_tables(store: Store, shop: Path) -> None:
    fed = sync(store, PastReader())
    assert (fed.runs, fed.sessions, fed.unread) == (4, 4, ())
    found = contents(store)
    worse = runs(shop)[2]
    assert len(found["events"]) == fed.events
    of_one = [row for row in found["events"] if row[1] == worse.name]
    kinds = [type(event).__struct_config__.tag for event in read_events(worse)]
    assert [row[4] for row in sorted(of_one, key=lambda row: row[2])] == [k for k in kinds if k != "signals-sampled"]
    assert {row[0] for rows in found.values() for row in rows} == {"shop"}
    assert ("shop", worse.name, 0, "PaymentsReplicaDown", "late", 12.0) in found["alerts"]
    assert [row[3:5] for row in found["verdicts"] if row[1] == worse.name] == [("weakness", "")] * 2
    (finding,) = found["findings"]
    assert finding[3:6] == (0, "hypothesis-broken", "It did not hold")
    assert {(row[1][-4:], row[3]) for row in found["faults"]} == {(f"000{n}", "process/kill") for n in range(4)}
    (row,) = [row for row in found["experiments"] if row[1] == worse.name]
    assert row[-5:] == (pytest.approx(journals.T0 + 2 * 86400 + 10.53), 12.0, 15.0, 40.0, False)


def test_only_what_is_new_is_read(store: Store, shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sync(store, PastReader())
    before = contents(store)
    assert sync(store, PastReader()).sessions == 0
    assert contents(store) == before

    last = runs(shop)[3]
    size = (last / "journal.jsonl").stat().st_size
    asked: list[int] = []
    read_on = feed_module.read_on

    def noting(path: Path, start: int, lines: int) -> NewLines:
        asked.append(start)
        return read_on(path, start, lines)

    monkeypatch.setattr(feed_module, "read_on", noting)
    append(last, NoteAdded(at=1.0, author="sam", text="late"), FindingRaised(
        at=2.0, experiment=0, kind=FindingKind.ALERT_MISSED, title="PaymentsReplicaDown did not fire"
    ))  # fmt: skip
    fed = sync(store, PastReader())
    assert (fed.sessions, fed.events, asked) == (1, 2, [size])
    after = contents(store)
    assert len(after["events"]) == len(before["events"]) + 2
    assert len(after["findings"]) == len(before["findings"]) + 1
    # As if it had been read in one go.
    rebuild(store, PastReader())
    assert contents(store) == after


def test_a_torn_line_is_read_once_it_is_whole(store: Store, shop: Path) -> None:
    journal = runs(shop)[3] / "journal.jsonl"
    whole = b'{"event":"note-added","at":5.0,"author":"sam","text":"h\xc3\xa9"}\n'
    with journal.open("ab") as file:
        file.write(whole[:40])
    before = sync(store, PastReader()).events
    with journal.open("ab") as file:
        file.write(whole[40:] + b"no event\n")
    assert sync(store, PastReader()).events == 1
    notes = sa.select(schema.events.c.data).where(schema.events.c.kind == "note-added")
    with store.database.reading() as connection:
        assert connection.execute(notes).scalars().all() == [whole.decode().strip()]
    assert rebuild(store, PastReader())[0].events == before + 1


@pytest.mark.parametrize("titles", [(), ("x" * 50, "y" * 9000)])
def test_another_journal_in_its_place_is_read_from_its_beginning(
    store: Store, shop: Path, titles: tuple[str, ...]
) -> None:
    """Whether it is shorter or longer."""
    sync(store, PastReader())
    run = runs(shop)[2]
    size = (run / "journal.jsonl").stat().st_size
    shutil.rmtree(run)
    journal = journals.Journal(run, now=journals.T0)
    journal.start([journals.experiment(service="mail")], title="Another")
    for title in titles:
        journal.add(NoteAdded, author="sam", text=title)
    assert ((run / "journal.jsonl").stat().st_size > size) == bool(titles)
    assert sync(store, PastReader()).sessions == 1
    (found,) = store.queries.newest(Wanted(service="mail"))
    assert found.session == run.name
    assert [row for row in contents(store)["findings"] if row[1] == run.name] == []
    assert contents(store) == contents_of_one(shop)


def overwrite(path: Path, old: bytes, new: bytes) -> None:
    """In place, at the same size; as a copy of it would come, with the time that it had elsewhere."""
    data, status = path.read_bytes(), path.stat()
    assert (len(old), data.count(old)) == (len(new), 1)
    path.write_bytes(data.replace(old, new))
    day = 86400 * 10**9
    os.utime(path, ns=(status.st_mtime_ns - day, status.st_mtime_ns - day))


def test_another_journal_of_the_same_size(store: Store, shop: Path) -> None:
    """That it is older than what was fed does not matter: a clock may have been set back."""
    sync(store, PastReader())
    overwrite(runs(shop)[2] / "journal.jsonl", b'"Session 2"', b'"Sitting 2"')
    fed = sync(store, PastReader())
    assert (fed.sessions, fed.unread) == (1, ())
    assert contents(store) == contents_of_one(shop)
    assert "Sitting 2" in {row[3] for row in contents(store)["sessions"]}
    assert sync(store, PastReader()).sessions == 0


def test_another_signature_of_the_same_size(store: Store, shop: Path) -> None:
    run = runs(shop)[2]
    add_signature(run, Signature("ada", Role.SRE, 5.0, journal_hash(run), "seen"))
    sync(store, PastReader())
    overwrite(run / "signatures.jsonl", b'"ada"', b'"eva"')
    assert sync(store, PastReader()).sessions == 1
    assert contents(store)["signatures"][0][2] == "eva"


def test_a_run_that_was_copied_removed_and_brought_back(store: Store, shop: Path) -> None:
    sync(store, PastReader())
    run = runs(shop)[1]
    copy = run.with_name(f"{run.name}-copy")
    shutil.copytree(run, copy)
    fed = sync(store, PastReader())
    assert (fed.runs, fed.sessions) == (5, 1)
    aside = shop / "aside"
    run.rename(aside)
    assert sync(store, PastReader()).runs == 4
    append(aside, NoteAdded(at=1.0, author="sam", text="meanwhile"))
    aside.rename(run)
    fed = sync(store, PastReader())
    assert (fed.runs, fed.sessions, fed.events) == (5, 1, 1)


def test_what_a_run_has_not_said_yet_is_asked_for_each_time(store: Store, shop: Path) -> None:
    """It goes on when it is fed; killed, its journal says nothing more, and yet it is another thing."""
    run = shop / ".gameday" / "runs" / "20260310-100000-live-0007"
    journals.Journal(run, now=journals.T0 + 9 * 86400).start([journals.experiment()])
    lock = FileLock(run / WRITER_LOCK)
    lock.acquire("runner 1")
    sync(store, PastReader())
    assert sync(store, PastReader()).sessions == 0
    lock.release()
    assert sync(store, PastReader()).sessions == 1
    assert not any(one.is_running for one in store.queries.newest(Wanted()))
    assert sync(store, PastReader()).sessions == 0


@pytest.mark.parametrize("is_killed", [False, True])
def test_of_many_runs_two_processes_look_at_half_each(
    store: Store, shop: Path, monkeypatch: pytest.MonkeyPatch, is_killed: bool
) -> None:
    sync(store, PastReader())
    ours, look = os.getpid(), fed_module._look

    def looking(directory: int, names: list[str], fed: fed_module.FedRuns) -> tuple[int, dict[str, fed_module.Seen]]:
        if is_killed and os.getpid() != ours:
            os.kill(os.getpid(), signal.SIGKILL)
        return look(directory, names, fed)

    monkeypatch.setattr(fed_module, "_look", looking)
    monkeypatch.setattr(fed_module, "_MANY", 2)
    for run in runs(shop):
        append(run, NoteAdded(at=1.0, author="sam", text="late"))
    fed = sync(store, PastReader())
    assert (fed.runs, fed.sessions, fed.events) == (4, 4, 4)
    fed = sync(store, PastReader())
    assert (fed.runs, fed.sessions) == (4, 0)


def test_marks_of_directories_that_are_gone_do_not_stay(store: Store, shop: Path) -> None:
    sync(store, PastReader())
    table = schema.settings
    with store.database.writing() as connection:
        for name, value in (("fed old", "1600000000 x"), ("fed new", "9600000000 x"), ("pseudonyms", "1 x")):
            connection.execute(table.insert().values(project="shop", name=name, value=value))
    write(shop, 5)
    sync(store, PastReader())
    with store.database.reading() as connection:
        left = {*connection.execute(sa.select(table.c.name)).scalars()}
    assert {"fed new", "pseudonyms"} < left
    assert "fed old" not in left


def test_signatures_and_actions(store: Store, shop: Path) -> None:
    run = runs(shop)[2]
    remember_session(shop, run, 100.0)
    sync(store, PastReader())
    (action,) = contents(store)["actions"]
    assert action[2:6] == ("It did not hold", "checkout", None, True)
    assert action[1] == contents(store)["findings"][0][-1], "a finding names its action item"
    add_signature(run, Signature("ada", Role.SRE, 5.0, journal_hash(run), "seen"))
    assert (sync(store, PastReader()).sessions, contents(store)["signatures"][0][2:4]) == (1, ("ada", "sre"))
    assert contents(store)["signatures"][0][-1] is True
    append(run, NoteAdded(at=1.0, author="sam", text="late"))
    sync(store, PastReader())
    assert contents(store)["signatures"][0][-1] is False
    write(shop, 4)
    remember_session(shop, runs(shop)[4], 200.0)
    sync(store, PastReader())
    assert contents(store)["actions"][0][5] is False


def test_a_newer_reader_makes_the_documents_anew_from_the_store(store: Store, shop: Path) -> None:
    sync(store, PastReader())
    reader = PastReader()
    reader.version += 1
    fed = sync(store, reader)
    assert (fed.sessions, fed.events) == (4, 0)
    assert sync(store, reader).sessions == 0


def test_a_journal_that_says_nothing_is_named_and_keeps_no_other_from_its_turn(store: Store, shop: Path) -> None:
    torn = shop / ".gameday" / "runs" / "20260101-000000-torn-0009"
    torn.mkdir()
    (torn / "journal.jsonl").write_bytes(b'{"event":"session-st')
    fed = sync(store, PastReader())
    assert (fed.sessions, fed.unread) == (4, (torn.name,))


def test_what_was_fed_stays_when_its_journal_is_removed(store: Store, shop: Path) -> None:
    sync(store, PastReader())
    (runs(shop)[0] / "journal.jsonl").unlink()
    shutil.rmtree(runs(shop)[1])
    before = contents(store)
    fed = sync(store, PastReader())
    assert (fed.sessions, fed.unread) == (0, ())
    assert contents(store) == before


def test_hostile_texts_are_kept(store: Store, shop: Path) -> None:
    for number, text in enumerate(journals.HOSTILE):
        journals.hostile(shop / ".gameday" / "runs" / f"20260306-100000-x-{number:04x}", text)
    assert sync(store, PastReader()).unread == ()


# -- rebuild


def test_a_rebuild_comes_to_the_same_and_keeps_what_others_have_fed(store: Store, shop: Path) -> None:
    sync(store, PastReader())
    store.claim("schedule", "a.yaml", 5.0, "me")
    before = contents(store)
    shutil.rmtree(runs(shop)[0])  # another machine's
    with store.database.writing() as connection:
        connection.execute(schema.findings.delete())
        connection.execute(schema.sessions.update().values(title="damaged"))
    fed, kept = rebuild(store, PastReader())
    assert (fed.sessions, kept) == (3, 1)
    after = contents(store)
    assert [table for table in after if after[table] != before[table]] == ["sessions"]
    assert {row[3] for row in after["sessions"]} == {"damaged", "Session 1", "Session 2", "Session 3"}
    assert rebuild(store, PastReader(), drop=True)[1] == 0
    assert len(contents(store)["sessions"]) == 3
    assert len(contents(store)["claims"]) == 1


def test_projects_share_a_database_and_touch_each_others_rows_never(store: Store, shop: Path) -> None:
    other = open_store(URL, shop, project="other")
    sync(store, PastReader())
    assert other.queries.count(Wanted()) == 0
    sync(other, PastReader())
    rebuild(other, PastReader(), drop=True)
    assert (store.queries.count(Wanted()), other.queries.count(Wanted())) == (4, 4)
    assert store.claim("k", "n", 1.0, "a")
    assert other.claim("k", "n", 1.0, "a")


# -- many hands


def feed(root: str) -> int:
    store = open_store(URL, Path(root))
    return sync(store, PastReader()).events


def test_feeders_at_once_write_each_event_once(shop: Path) -> None:
    """Real processes, the first of which makes the tables."""
    for number in range(4, 12):
        write(shop, number)
    found = at_once(feed, [(str(shop),)] * 4)
    store = open_store(URL, shop)
    rows = contents(store)
    assert sum(map(int, found)) == len(rows["events"])  # type: ignore[call-overload]
    assert rows == contents_of_one(shop)


def contents_of_one(shop: Path) -> dict[str, list[tuple[object, ...]]]:
    alone = open_store("sqlite:///.gameday/alone.db", shop)
    sync(alone, PastReader())
    return contents(alone)


@pytest.mark.parametrize("is_new", [False, True])
def test_whoever_was_slower_adds_nothing_twice(
    store: Store, shop: Path, monkeypatch: pytest.MonkeyPatch, is_new: bool
) -> None:
    """Between the reading of one feeder and its writing another has read, and written, the same and more."""
    if not is_new:
        sync(store, PastReader())
    run, read_on, other = runs(shop)[3], feed_module.read_on, open_store(URL, shop)
    append(run, FindingRaised(at=2.0, experiment=0, kind=FindingKind.ALERT_MISSED, title="A", weakness=False))

    def slowly(path: Path, start: int, lines: int) -> NewLines:
        found = read_on(path, start, lines)
        if path.parent == run:
            monkeypatch.setattr(feed_module, "read_on", read_on)
            append(run, FindingRaised(at=3.0, experiment=0, kind=FindingKind.ALERT_LATE, title="B", weakness=False))
            sync(other, PastReader())
        return found

    monkeypatch.setattr(feed_module, "read_on", slowly)
    sync(store, PastReader())
    found = contents(store)
    rebuild(store, PastReader())
    assert found == contents(store)
    assert len(found["findings"]) == 3


def write_many(root: str, first: int) -> int:
    store, events = open_store(URL, Path(root)), 0
    for number in range(first, first + 3):
        write(Path(root), number)
        events += sync(store, PastReader()).events
    return events


def test_feeders_while_journals_are_written(shop: Path) -> None:
    at_once(write_many, [(str(shop), 4), (str(shop), 10), (str(shop), 16)])
    store = open_store(URL, shop)
    sync(store, PastReader())
    assert contents(store) == contents_of_one(shop)


# -- after a run


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists() or not path.stat().st_size:
        assert time.monotonic() < deadline, "nobody made it"
        time.sleep(0.05)


def test_after_a_run_the_store_is_fed_by_a_process_that_nobody_waits_for(shop: Path) -> None:
    (shop / "click.py").write_text("raise SystemExit('what lies in the project is no module of ours')\n")
    feed_store(shop)
    database = shop / ".gameday" / "history.db"
    wait_for(database)
    store = open_store(URL, shop)
    deadline = time.monotonic() + 60
    while store.queries.count(Wanted()) < 4:
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("text", ["project: shop\n", "# history: none\n", "project: shop\nhistories: x\n"])
def test_without_a_store_there_is_no_process(shop: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    import subprocess

    asked: list[object] = []
    monkeypatch.setattr(subprocess, "Popen", lambda *arguments, **_more: asked.append(arguments))
    feed_store(shop)
    assert len(asked) == 1
    (shop / "gameday.yaml").write_text(text)
    feed_store(shop)
    (shop / "gameday.yaml").unlink()
    feed_store(shop)
    feed_store(shop / "nowhere")
    assert len(asked) == 1


def test_a_store_that_is_down_is_caught_up_with(shop: Path) -> None:
    database = shop / ".gameday" / "history.db"
    database.mkdir()  # cannot be opened
    failed = CliRunner().invoke(command, ["sync", "--quiet"])
    assert (failed.exit_code, failed.output.count("\n")) == (2, 1)
    assert f"the store {database} cannot be opened" in failed.output
    database.rmdir()
    write(shop, 5)
    done = CliRunner().invoke(command, ["sync"])
    assert (done.exit_code, done.stdout) == (0, "")
    assert "5 sessions of 5 had something new" in done.stderr
    assert open_store(URL, shop).queries.count(Wanted()) == 5


# -- what has been fed is not asked for again


def known(store: Store) -> int:
    return store.queries.count(Wanted())


def kept(shop: Path) -> Path:
    (path,) = (shop / ".gameday").glob("fed-*.json")
    return path


def test_of_what_has_not_changed_nobody_is_asked(store: Store, shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sync(store, PastReader())
    asked: list[str] = []
    marks = feed_module._marks

    def noting(of: Store, names: Sequence[str]) -> object:
        asked.extend(names)
        return marks(of, names)

    monkeypatch.setattr(feed_module, "_marks", noting)
    assert sync(store, PastReader()).runs == 4
    assert asked == []
    append(runs(shop)[1], NoteAdded(at=1.0, author="sam", text="late"))
    sync(store, PastReader())
    assert set(asked) == {runs(shop)[1].name}
    asked.clear()
    (runs(shop)[2] / "signatures.jsonl").write_text("x\n")
    sync(store, PastReader())
    sync(store, PastReader())
    assert set(asked) == {runs(shop)[2].name}


@pytest.mark.parametrize("damage", [b"", b"{", b'{"version":2,"directory":"x","mark":"y","known":{"a":[1,2]}}'])
def test_what_is_kept_may_be_lost(store: Store, shop: Path, damage: bytes) -> None:
    sync(store, PastReader())
    kept(shop).write_bytes(damage)
    write(shop, 5)
    assert sync(store, PastReader()).sessions == 1
    assert known(store) == 5


def test_a_store_that_was_restored_or_made_anew_is_fed_again(store: Store, shop: Path) -> None:
    database = shop / ".gameday" / "history.db"
    sync(store, PastReader())
    backup = database.read_bytes()
    write(shop, 5)
    sync(store, PastReader())
    store.close()
    database.write_bytes(backup)
    again = open_store(URL, shop)
    assert known(again) == 4
    assert sync(again, PastReader()).sessions == 1
    again.close()
    database.unlink()
    assert sync(open_store(URL, shop), PastReader()).sessions == 5


def test_whose_sessions_another_has_dropped_feeds_them_again(store: Store, shop: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    (there / ".gameday").mkdir(parents=True)
    other = open_store(f"sqlite:///{shop}/.gameday/history.db", there, project="shop")
    sync(store, PastReader())
    rebuild(other, PastReader(), drop=True)
    assert known(store) == 0
    assert sync(store, PastReader()).sessions == 4


def test_whoever_feeds_while_another_drops_claims_nothing(
    store: Store, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its last row and its mark."""
    (there := tmp_path / "there" / ".gameday").mkdir(parents=True)
    other = open_store(f"sqlite:///{shop}/.gameday/history.db", there.parent, project="shop")
    settled = feed_module._settled

    def slowly(*given: Any) -> object:
        found = settled(*given)
        rebuild(other, PastReader(), drop=True)
        return found

    monkeypatch.setattr(feed_module, "_settled", slowly)
    sync(store, PastReader())
    monkeypatch.setattr(feed_module, "_settled", settled)
    assert known(store) == 0
    assert sync(store, PastReader()).sessions == 4


def test_what_was_pruned_is_passed_over_without_asking(store: Store, shop: Path) -> None:
    sync(store, PastReader())
    prune(store, journals.T0 + 86400 * 1.5)
    left = known(store)
    assert left < 4
    kept(shop).unlink()
    for _ in range(2):
        assert sync(store, PastReader()).sessions == 0
    assert known(store) == left
