"""What sessions of other machines have shown and left is known where the next one begins."""

import threading
from pathlib import Path

import msgspec
import pytest

from gameday.cli import recalling, shared_locks
from gameday.cli.history_reader import PastReader
from gameday.cli.recalling import past_elsewhere, recall
from gameday.cli.session import make_input, read_session
from gameday.engine.pairings import pair_session
from gameday.engine.preparation import SessionInput
from gameday.history.feed import exchange_actions, sync
from gameday.history.store import Store, open_store
from gameday.journal.events import Loss, Verdict
from gameday.people import Pair
from gameday.people.action_log import change_actions, log_path, read_actions
from gameday.people.actions import Action, ActionEvent, Change, Content, Link, merge_action
from gameday.spec.model import People
from tests.cli.test_history_verb import PATH, write
from tests.history.conftest import fill

CONTENT = Content("Payments is slow", "checkout")
GITHUB, JIRA = Link("github", "1", "https://example.com/1"), Link("jira", "S-1", "https://example.com/S-1")


class Machine:
    """A checkout of the project; the store is another's file, which stands for a server's."""

    def __init__(self, root: Path, store: Path) -> None:
        self.root = root
        (root / "experiments").mkdir(parents=True)
        (root / "gameday.yaml").write_text("project: shop\nenvironments: {staging: {}}\nservices: {checkout: {}}\n")
        (root / PATH).write_text("title: T\nservice: checkout\nmethod: []\n")
        self.url = f"sqlite:///{store}"

    @property
    def store(self) -> Store:
        return open_store(self.url, self.root, project="shop")

    def session(self, monkeypatch: pytest.MonkeyPatch) -> SessionInput:
        monkeypatch.chdir(self.root)
        return make_input(read_session(self.root / PATH, "staging"), start_lab=False)

    def say(self, at: float, change: Change, **more: object) -> None:
        event = ActionEvent(at, "a1", change, "sam", **more)  # type: ignore[arg-type]
        change_actions(self.root, lambda _actions: [event])

    def action(self) -> Action:
        return read_actions(self.root)["a1"]


@pytest.fixture
def machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Machine, Machine]:
    both = (Machine(tmp_path / "one", tmp_path / "store.db"), Machine(tmp_path / "two", tmp_path / "store.db"))
    monkeypatch.setattr(shared_locks, "shared_url", lambda _project: both[0].url)
    return both


def test_what_held_elsewhere(machines: tuple[Machine, Machine], monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = machines
    fill(one.root)
    sync(one.store, PastReader())
    here, there = recall(one.session(monkeypatch)), recall(two.session(monkeypatch))
    assert there.was_well == here.was_well
    verdict = next(well for well in there.was_well if well.loss is Loss.VERDICT)
    assert (verdict.good_run, verdict.lost_runs) == ("20260307-100000-checkout-0001", 1)
    # What this machine has and the store has not been told counts, too.
    write(two.root, 5, Verdict.HELD, fires_after=4.0)
    verdict = next(well for well in recall(two.session(monkeypatch)).was_well if well.loss is Loss.VERDICT)
    assert verdict.good_run.endswith("0005")


def test_who_took_part_elsewhere(machines: tuple[Machine, Machine], monkeypatch: pytest.MonkeyPatch) -> None:
    """Pairs are proposed as if all sessions had been here; one that is in both places counts once."""
    one, two = machines
    fill(one.root)
    sync(one.store, PastReader())
    people = People(builders=("@b", "@c"), sres=("@s", "@t"))
    session = two.session(monkeypatch)
    elsewhere = recall(session).elsewhere
    assert set(elsewhere) == {path.name for path in (one.root / ".gameday" / "runs").iterdir()}
    assert past_elsewhere(session.project) == elsewhere
    pairs = pair_session(people, 2, two.root, elsewhere)
    assert pairs == pair_session(people, 2, one.root) == pair_session(people, 2, one.root, elsewhere)
    assert all(isinstance(pair, Pair) for pair in pairs)


def test_an_action_that_another_machine_opened(
    machines: tuple[Machine, Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = machines
    one.say(1.0, Change.OPENED, content=CONTENT)
    exchange_actions(one.store)
    recall(two.session(monkeypatch))
    assert two.action() == one.action()
    two.say(2.0, Change.CLOSED, why="done")
    exchange_actions(two.store)
    exchange_actions(one.store)
    assert (one.action().is_open, one.action().closed_because) == (False, "done")
    before = log_path(one.root).read_bytes()
    exchange_actions(one.store)
    assert log_path(one.root).read_bytes() == before


def test_what_two_have_said_at_once(machines: tuple[Machine, Machine]) -> None:
    """No link is lost: what has been carried to a tracker would be so again."""
    one, two = machines
    one.say(1.0, Change.OPENED, content=CONTENT)
    for machine in (*machines, *machines):
        exchange_actions(machine.store)
    one.say(2.0, Change.LINKED, link=GITHUB)
    two.say(3.0, Change.ASSIGNED, owner="@sam")
    two.say(3.5, Change.LINKED, link=JIRA)
    for machine in (*machines, *machines):
        exchange_actions(machine.store)
    assert one.action() == two.action()
    assert (one.action().owner, set(one.action().links)) == ("@sam", {GITHUB, JIRA})
    sizes = [log_path(machine.root).stat().st_size for machine in machines]
    for machine in machines:
        exchange_actions(machine.store)
    assert [log_path(machine.root).stat().st_size for machine in machines] == sizes


def test_of_two_the_later_counts_and_nothing_is_lost() -> None:
    base = Action("a1", CONTENT, 1.0, "run", changed_at=5.0, reopened=2)
    later = msgspec.structs.replace(base, changed_at=6.0, is_open=False, links=(GITHUB,))
    assert merge_action(base, later, 9.0) == merge_action(later, base, 9.0) == later
    linked = msgspec.structs.replace(base, links=(JIRA,), reopened=3, opened_at=0.5)
    merged = merge_action(linked, later, 9.0)
    assert merged == msgspec.structs.replace(later, links=(GITHUB, JIRA), reopened=3, opened_at=0.5, changed_at=9.0)
    # At the same moment the store's counts: there a name may have been forgotten.
    assert merge_action(base, msgspec.structs.replace(base, owner="person-1"), 9.0).owner == "person-1"


def test_a_store_that_does_not_answer(
    machines: tuple[Machine, Machine], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, two = machines
    write(two.root, 5, Verdict.HELD, fires_after=4.0)
    session, forever = two.session(monkeypatch), threading.Event()
    monkeypatch.setattr(recalling, "_ANSWER_S", 0.05)
    monkeypatch.setattr(recalling, "_read", lambda *_all: forever.wait(60))
    assert [well.good_run[-4:] for well in recall(session).was_well][:1] == ["0005"]
    assert "of other machines have shown is not known: no answer within 0.05 s" in capsys.readouterr().err
    forever.set()
