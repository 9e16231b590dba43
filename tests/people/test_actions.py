"""Action items: opened by findings, closed by what is not found any more, and never twice."""

import multiprocessing
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gameday.journal.events import FindingKind, FindingRaised, Verdict
from gameday.people.action_log import change_actions, log_path, read_actions
from gameday.people.actions import (
    Action,
    ActionEvent,
    Change,
    Content,
    Link,
    Outcome,
    action_id,
    changes_after,
    replay,
)


def finding(title: str, *, weakness: bool = True, kind: FindingKind = FindingKind.ALERT_LATE) -> FindingRaised:
    return FindingRaised(at=1.0, experiment=0, kind=kind, title=title, weakness=weakness, suggested_owner="team-shop")


def outcome(*findings: FindingRaised, verdict: Verdict = Verdict.WEAKNESS, experiment: str = "e.yaml") -> Outcome:
    return Outcome(experiment, "shop", verdict, findings)


def after(actions: dict[str, Action], session: str, *outcomes: Outcome) -> dict[str, Action]:
    events = changes_after(actions, session, outcomes, at=2.0)
    opened = [
        ActionEvent(action.opened_at, action.id, Change.OPENED, action.opened_by, content=action.content)
        for action in actions.values()
    ]
    closed = [ActionEvent(1.5, one.id, Change.CLOSED, "x") for one in actions.values() if not one.is_open]
    return replay([*opened, *closed, *events])


def test_a_weakness_opens_one_and_advice_does_not() -> None:
    [action] = after(
        {}, "s1", outcome(finding("ShopDown fired 3.2 s too late"), finding("so", weakness=False))
    ).values()
    assert (action.content.title, action.content.service, action.owner) == (
        "ShopDown fired 3.2 s too late",
        "shop",
        "team-shop",
    )
    assert (action.is_open, action.opened_by) == (True, "s1")


def test_the_same_finding_with_other_figures_is_the_same() -> None:
    first = after({}, "s1", outcome(finding("ShopDown fired 3.2 s too late")))
    assert changes_after(first, "s2", [outcome(finding("ShopDown fired 14 s too late"))], 3.0) == ()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("e.yaml", FindingKind.ALERT_LATE, "a"), ("f.yaml", FindingKind.ALERT_LATE, "a")),
        (("e.yaml", FindingKind.ALERT_LATE, "a"), ("e.yaml", FindingKind.ALERT_MISSED, "a")),
        (("e.yaml", FindingKind.ALERT_LATE, "a"), ("e.yaml", FindingKind.ALERT_LATE, "b")),
    ],
)
def test_another_finding_is_another(one: tuple[str, FindingKind, str], other: tuple[str, FindingKind, str]) -> None:
    assert action_id(*one) != action_id(*other)


def test_what_is_not_found_any_more_is_closed_by_an_experiment_that_came_to_its_end() -> None:
    opened = after({}, "s1", outcome(finding("late")))
    for verdict in (Verdict.ABORTED, Verdict.UNDO_FAILED, Verdict.NOT_STARTED):
        assert changes_after(opened, "s2", [outcome(verdict=verdict)], 3.0) == ()
    assert changes_after(opened, "s2", [outcome(verdict=Verdict.HELD, experiment="f.yaml")], 3.0) == ()
    [closed] = changes_after(opened, "s2", [outcome(verdict=Verdict.HELD)], 3.0)
    assert (closed.change, closed.by, closed.why) == (Change.CLOSED, "s2", "it was not found any more")


def test_what_comes_back_is_opened_anew() -> None:
    [identity] = opened = after({}, "s1", outcome(finding("late")))
    closed = {identity: msgspec.structs.replace(opened[identity], is_open=False)}
    [event] = changes_after(closed, "s3", [outcome(finding("late"))], 3.0)
    assert event.change is Change.REOPENED
    [action] = after(closed, "s3", outcome(finding("late"))).values()
    assert (action.is_open, action.reopened) == (True, 1)


def test_one_that_was_added_by_hand_is_closed_by_hand_alone() -> None:
    by_hand = replay([ActionEvent(1.0, "x", Change.OPENED, "@ada", content=Content("Write it down", "shop"))])
    assert changes_after(by_hand, "s", [outcome(verdict=Verdict.HELD)], 2.0) == ()


@given(st.lists(st.lists(st.sampled_from(["a", "b", "c 1", "c 2"]), max_size=4), max_size=6))
def test_asked_again_it_changes_nothing(sessions: list[list[str]]) -> None:
    log: list[ActionEvent] = []
    for number, titles in enumerate(sessions):
        outcomes = [outcome(*map(finding, titles), verdict=Verdict.WEAKNESS if titles else Verdict.HELD)]
        log += changes_after(replay(log), f"s{number}", outcomes, float(number))
        assert changes_after(replay(log), f"s{number}", outcomes, float(number)) == ()
        still_open = {action.content.title[0] for action in replay(log).values() if action.is_open}
        assert still_open == {title[0] for title in titles}


def test_links_and_owners() -> None:
    link = Link("github", "shop#12", "https://github.example/shop/issues/12")
    log = [
        ActionEvent(1.0, "x", Change.OPENED, "s1", content=Content("late")),
        ActionEvent(2.0, "x", Change.LINKED, "@ada", link=link),
        ActionEvent(3.0, "x", Change.LINKED, "@ada", link=link),
        ActionEvent(4.0, "x", Change.ASSIGNED, "@ada", owner="@lin"),
        ActionEvent(5.0, "y", Change.CLOSED, "@ada"),
    ]
    [action] = replay(log).values()
    assert (action.links, action.owner, action.changed_at) == ((link,), "@lin", 4.0)


def opening(identity: str) -> ActionEvent:
    return ActionEvent(1.0, identity, Change.OPENED, "s", content=Content(identity))


def test_the_log_survives_a_torn_line(tmp_path: Path) -> None:
    change_actions(tmp_path, lambda _actions: [opening("a")])
    with log_path(tmp_path).open("ab") as file:
        file.write(b'{"at": 1.0, "id": "torn')
    change_actions(tmp_path, lambda actions: [opening("b")] if "a" in actions else [])
    assert list(read_actions(tmp_path)) == ["a", "b"]
    assert read_actions(tmp_path / "elsewhere") == {}


def _open_once(root: Path, number: int) -> None:
    for _ in range(20):
        change_actions(root, lambda actions: [] if "one" in actions else [opening("one")])
        change_actions(root, lambda actions: [opening(f"{number}-{len(actions)}")])


def test_many_hands_open_none_twice(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    hands = [context.Process(target=_open_once, args=(tmp_path, number)) for number in range(3)]
    for hand in hands:
        hand.start()
    for hand in hands:
        hand.join(60)
        assert hand.exitcode == 0
    lines = log_path(tmp_path).read_bytes().splitlines()
    assert len(lines) == 1 + 3 * 20
    assert sum(b'"id":"one"' in line for line in lines) == 1
