"""What is done about actions and their issues, whatever is found: no action has two."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gameday.delivery.base import Delivered, Issue, TrackerError, shorten, value_of, wrap
from gameday.delivery.push import Deed, Item, Pushed, Step, look, plan, push
from gameday.delivery.unsettled import Unsettled


def item(identity: str = "a", key: str | None = None, *, is_open: bool = True, since: float = 100.0) -> Item:
    return Item(Issue(identity, f"title of {identity}"), key, is_open, since, "why")


def issue(key: str, *, is_open: bool = True, closed_at: float | None = None) -> Delivered:
    return Delivered(key, f"https://t/{key}", is_open, closed_at)


def deeds(steps: Sequence[Step]) -> list[tuple[Deed, str | None]]:
    return [(step.deed, step.found.key if step.found else None) for step in steps]


@pytest.mark.parametrize(
    ("one", "there", "follow", "expected"),
    [
        (item(), [], False, [(Deed.CREATE, None)]),
        (item(), [issue("1"), issue("2")], False, [(Deed.ADOPT, "1")]),
        (item(key="1"), [issue("1")], True, []),
        (item(key="1"), [], True, []),
        (item(is_open=False), [issue("1")], False, []),
        (item(is_open=False), [], True, []),
        (item(key="1", is_open=False), [issue("1")], False, []),
        (item(key="1", is_open=False), [issue("1")], True, [(Deed.CLOSE, "1")]),
        (item(key="Acme/Shop#1", is_open=False), [issue("acme/shop#1")], True, [(Deed.CLOSE, "acme/shop#1")]),
        (item(key="2", is_open=False), [issue("1", is_open=False), issue("2")], True, [(Deed.CLOSE, "2")]),
        (item(key="1", is_open=False), [issue("1", is_open=False)], True, []),
        (item(key="1", is_open=False), [], True, [(Deed.LEAVE, None)]),
        (item(key="3", is_open=False), [issue("1")], True, [(Deed.LEAVE, None)]),
        (item(is_open=False), [issue("1")], True, [(Deed.ADOPT, "1"), (Deed.CLOSE, "1")]),
        (item(key="1"), [issue("1", is_open=False, closed_at=99.0)], False, []),
        (item(key="1"), [issue("1", is_open=False, closed_at=99.0)], True, [(Deed.REOPEN, "1")]),
        (item(key="1"), [issue("1", is_open=False)], True, [(Deed.REOPEN, "1")]),
        (item(key="1"), [issue("1", is_open=False, closed_at=101.0)], True, []),  # somebody knows more
        (item(), [issue("1", is_open=False, closed_at=99.0)], True, [(Deed.ADOPT, "1"), (Deed.REOPEN, "1")]),
    ],
)
def test_what_is_to_be_done(
    one: Item, there: list[Delivered], follow: bool, expected: list[tuple[Deed, str | None]]
) -> None:
    assert deeds(plan([one], {"a": tuple(there)}, follow=follow)) == expected


class Memory:
    """A tracker in memory that does what the next `fails` says: raise before it makes an issue, after it, or die."""

    lag_s = 0.0

    def __init__(self) -> None:
        self.issues: list[tuple[str, str]] = []  # actions and keys
        self.closed: set[str] = set()
        self.fails: list[str] = []
        self.asked: list[list[str]] = []
        self.meanwhile: list[str] = []  # actions of which somebody else makes an issue just before us

    def has(self, key: str) -> bool:
        return True

    async def find_issues(self, ids: Sequence[str]) -> Mapping[str, tuple[Delivered, ...]]:
        self.asked.append(list(ids))
        found: dict[str, tuple[Delivered, ...]] = {}
        for identity, key in self.issues:
            if identity in ids:
                found[identity] = (*found.get(identity, ()), issue(key, is_open=key not in self.closed))
        return found

    async def create_issue(self, issue: Issue) -> Delivered:
        fails = self.fails.pop(0) if self.fails else ""
        if fails == "refused":
            raise TrackerError("no such label")
        if fails == "limited":
            raise TrackerError("too often", stops=True)
        if fails == "lost":
            raise TrackerError("no answer", stops=True, uncertain=True)
        if issue.id in self.meanwhile:
            self._make(issue.id)
        key = self._make(issue.id)
        if fails == "unheard":
            raise TrackerError("no answer", stops=True, uncertain=True)
        if fails == "hidden":
            self.issues.pop()
            raise TrackerError("no answer", uncertain=True)
        if fails == "killed":
            raise KeyboardInterrupt
        return Delivered(key, f"https://t/{key}", wanting="no label" if fails == "unlabelled" else "")

    def _make(self, identity: str) -> str:
        key = str(len(self.issues) + 1)
        self.issues.append((identity, key))
        return key

    async def close_issue(self, key: str, why: str) -> None:
        self.closed.add(key)

    async def reopen_issue(self, key: str, why: str) -> None:
        self.closed.remove(key)

    async def close(self) -> None:
        pass


class Machine:
    """What one machine knows: the links that it has written."""

    def __init__(self, tracker: Memory, path: Path, ids: Sequence[str]) -> None:
        self.tracker = tracker
        self.unsettled = Unsettled(path)
        self.links: dict[str, list[str]] = {identity: [] for identity in ids}
        self.said: list[str] = []

    def push(self) -> Pushed:
        items = [item(identity, keys[-1] if keys else None) for identity, keys in self.links.items()]
        return asyncio.run(
            push(self.tracker, items, self.unsettled, follow=False, tell=self.said.append, done=self._done)
        )

    def _done(self, step: Step, delivered: Delivered) -> None:
        self.links[step.item.issue.id].append(delivered.key)


@pytest.fixture
def tracker() -> Memory:
    return Memory()


def test_each_once(tracker: Memory, tmp_path: Path) -> None:
    machine = Machine(tracker, tmp_path / "unsettled", "abc")
    assert machine.push() == Pushed(done=3)
    assert machine.push() == Pushed()
    assert (tracker.issues, machine.links) == (
        [("a", "1"), ("b", "2"), ("c", "3")],
        {"a": ["1"], "b": ["2"], "c": ["3"]},
    )
    assert tracker.asked == [
        list("abc"),
        list("abc"),
    ]  # before, and when all are there; not when there is nothing to do


@given(
    fails=st.lists(
        st.lists(st.sampled_from(["", "refused", "limited", "lost", "unheard", "killed"]), max_size=4), max_size=4
    ),
    who=st.lists(st.booleans(), min_size=4, max_size=4),
)
def test_whatever_fails_no_action_has_two(
    fails: list[list[str]], who: list[bool], tmp_path_factory: pytest.TempPathFactory
) -> None:
    tracker = Memory()
    place = tmp_path_factory.mktemp("machines")
    machines = [Machine(tracker, place / name, "abc") for name in "xy"]
    for failing, first in zip(fails, who, strict=False):
        tracker.fails = list(failing)
        try:
            machines[first].push()
        except KeyboardInterrupt:
            assert machines[first].unsettled.left_s(60.0) > 0
    tracker.fails = []
    for machine in machines:
        assert machine.push().failures == ()
    assert sorted(identity for identity, _ in tracker.issues) == list("abc")
    assert machines[0].links == machines[1].links == {identity: [key] for identity, key in tracker.issues}


def test_two_machines_at_the_same_moment(tracker: Memory, tmp_path: Path) -> None:
    tracker.meanwhile = ["b"]
    machine = Machine(tracker, tmp_path / "unsettled", "ab")
    assert machine.push() == Pushed(done=2)
    assert tracker.issues == [("a", "1"), ("b", "2"), ("b", "3")]
    assert (tracker.closed, machine.links) == ({"3"}, {"a": ["1"], "b": ["3", "2"]})


def test_what_was_done_is_kept(tracker: Memory, tmp_path: Path) -> None:
    tracker.fails = ["", "refused", "", "limited"]
    machine = Machine(tracker, tmp_path / "unsettled", "abcde")
    assert machine.push() == Pushed(2, (("b", "no such label"), ("d", "too often")), untried=1)
    assert [identity for identity, _ in tracker.issues] == ["a", "c"]
    assert machine.unsettled.left_s(60.0) == 0
    assert machine.push() == Pushed(done=3)


def test_an_answer_that_is_lost_is_looked_for_at_once(tracker: Memory, tmp_path: Path) -> None:
    tracker.fails = ["unheard"]
    machine = Machine(tracker, tmp_path / "unsettled", "ab")
    assert machine.push() == Pushed(done=2)
    assert (tracker.issues, machine.links) == ([("a", "1"), ("b", "2")], {"a": ["1"], "b": ["2"]})


def test_after_one_that_may_be_there_nothing_is_made(tracker: Memory, tmp_path: Path) -> None:
    tracker.fails = ["hidden"]
    machine = Machine(tracker, tmp_path / "unsettled", "ab")
    assert machine.push() == Pushed(0, (("a", "no answer"),), untried=1)
    assert machine.unsettled.left_s(60.0) > 0


def test_what_cannot_be_found_again_is_the_last(tracker: Memory, tmp_path: Path) -> None:
    tracker.fails = ["unlabelled"]
    machine = Machine(tracker, tmp_path / "unsettled", "ab")
    assert machine.push() == Pushed(1, (("a", "1: no label"),), untried=1)
    assert machine.links == {"a": ["1"], "b": []}


def test_an_issue_that_may_not_be_found_yet_is_waited_for(tracker: Memory, tmp_path: Path) -> None:
    machine = Machine(tracker, tmp_path / "unsettled", "a")
    tracker.fails = ["killed"]
    with pytest.raises(KeyboardInterrupt):
        machine.push()
    tracker.lag_s = 0.4
    before = time.monotonic()
    assert machine.push() == Pushed(done=1)
    assert 0.2 < time.monotonic() - before < 5.0
    assert (machine.links, len(machine.said)) == ({"a": ["1"]}, 1)
    assert machine.unsettled.left_s(60.0) == 0


def test_a_clock_that_was_set_back_is_not_waited_for_longer(tmp_path: Path) -> None:
    unsettled = Unsettled(tmp_path / "unsettled")
    unsettled.begin(time.time() + 86400)
    assert unsettled.left_s(60.0) == 60.0
    (tmp_path / "unsettled").write_text("torn")
    assert unsettled.left_s(60.0) == 0.0


def test_looking_changes_nothing(tracker: Memory) -> None:
    steps = asyncio.run(look(tracker, [item("a"), item("b", "9")], follow=False))
    assert (deeds(steps), tracker.issues, tracker.asked) == ([(Deed.CREATE, None)], [], [["a"]])


def test_texts_are_cut() -> None:
    assert (shorten("abc", 3), shorten("abcd", 3)) == ("abc", "ab…")
    assert value_of("a\n\x1b[31mb ") == "a [31mb"
    assert len(value_of("x" * 10_000)) == 500
    assert len(wrap("x" * 100_000)) == 15_000
    assert max(map(len, wrap("word " * 100).splitlines())) <= 100
    assert wrap("one\n\ntwo\n") == "one\n\ntwo"
