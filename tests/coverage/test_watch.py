"""AlertWatch: each state once an episode, and nothing claimed of what could not be seen."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from gameday.coverage import AlertsSeen, AlertWatch, SeenAlert
from gameday.journal.events import AlertObserved, AlertState
from gameday.spec.location import Location
from gameday.spec.model import ExpectedAlert

PENDING, FIRING, NOTIFIED = AlertState.PENDING, AlertState.FIRING, AlertState.NOTIFIED
RESOLVED = AlertState.RESOLVED
DOWN = ("prometheus", "refused")


def expected(name: str) -> ExpectedAlert:
    return ExpectedAlert(name, 60.0, "page", None, Location(Path("x.yaml")))


def alert(
    name: str, state: AlertState, *, source: str = "prometheus", since: float | None = None, **labels: str
) -> SeenAlert:
    return SeenAlert(name, tuple(sorted(labels.items())), state, source, since, "summary")


def seen(*alerts: SeenAlert, down: bool = False) -> AlertsSeen:
    return AlertsSeen(alerts, (DOWN,) if down else ())


def watch() -> AlertWatch:
    return AlertWatch(2, [expected("A")])


def states(events: tuple[AlertObserved, ...]) -> list[tuple[str, AlertState]]:
    return [(event.name, event.state) for event in events]


def test_an_alert_from_silence_to_silence() -> None:
    w = watch()
    w.before(seen())
    assert w.observe(seen(), 10.0) == ()
    [pending] = w.observe(seen(alert("A", PENDING, since=10.5, severity="page")), 11.0)
    assert pending == AlertObserved(
        at=11.0, experiment=2, name="A", state=PENDING, expected=True, labels={"severity": "page"}, source="prometheus",
        since=10.5, summary="summary",
    )  # fmt: skip
    firing = alert("A", FIRING, severity="page")
    notified = alert("A", NOTIFIED, source="receiver", since=12.5, severity="page")
    assert states(w.observe(seen(firing), 12.0)) == [("A", FIRING)]
    assert w.observe(seen(firing), 13.0) == ()
    assert states(w.observe(seen(firing, notified), 14.0)) == [("A", NOTIFIED)]
    [resolved] = w.observe(seen(notified), 15.0)
    assert (resolved.state, resolved.at, resolved.labels) == (RESOLVED, 15.0, {"severity": "page"})
    assert w.observe(seen(), 16.0) == ()


def test_what_nobody_expected_is_marked() -> None:
    [event] = watch().observe(seen(alert("B", FIRING)), 1.0)
    assert not event.expected


def test_each_label_set_is_an_alert_of_its_own() -> None:
    w = watch()
    one, two = alert("A", FIRING, instance="1"), alert("A", FIRING, instance="2")
    assert len(w.observe(seen(one), 1.0)) == 1
    assert len(w.observe(seen(one, two), 2.0)) == 1
    [event] = w.observe(seen(two), 3.0)
    assert (event.state, event.labels) == (RESOLVED, {"instance": "1"})


def test_an_unreachable_source_resolves_nothing() -> None:
    w = watch()
    w.observe(seen(alert("A", FIRING)), 1.0)
    assert w.observe(seen(down=True), 2.0) == ()
    assert w.observe(seen(alert("A", FIRING)), 3.0) == ()  # still the same episode
    assert states(w.observe(seen(), 4.0)) == [("A", RESOLVED)]


def test_only_the_silent_source_is_not_believed() -> None:
    w = watch()
    w.observe(seen(alert("A", FIRING)), 1.0)
    look = AlertsSeen((), (("alertmanager", "refused"),))
    assert states(w.observe(look, 2.0)) == [("A", RESOLVED)]


def test_pending_that_passes_is_not_resolved() -> None:
    w = watch()
    w.observe(seen(alert("A", PENDING)), 1.0)
    assert w.observe(seen(), 2.0) == ()


def test_flapping_is_counted() -> None:
    w = watch()
    found = [
        state
        for at, look in enumerate([FIRING, None, FIRING, None])
        for _, state in states(w.observe(seen(alert("A", look)) if look else seen(), at))
    ]
    assert found == [FIRING, RESOLVED, FIRING, RESOLVED]


def test_pending_after_firing_means_that_it_was_gone_between_two_looks() -> None:
    w = watch()
    w.observe(seen(alert("A", FIRING)), 1.0)
    assert states(w.observe(seen(alert("A", PENDING)), 2.0)) == [("A", RESOLVED), ("A", PENDING)]
    assert states(w.observe(seen(alert("A", FIRING)), 3.0)) == [("A", FIRING)]


def test_two_rules_of_one_name_and_label_set_do_not_flap() -> None:
    w = watch()
    both = seen(alert("A", FIRING), alert("A", PENDING))
    assert states(w.observe(both, 1.0)) == [("A", FIRING)]
    assert w.observe(both, 2.0) == ()


def test_what_was_there_before_is_said_once_and_marked() -> None:
    w = watch()
    watchdog = alert("Watchdog", FIRING)
    w.before(seen(watchdog))
    [event] = w.observe(seen(watchdog), 1.0)
    assert (event.state, event.existed_before) == (FIRING, True)
    assert w.observe(seen(watchdog), 2.0) == ()


def test_pending_before_and_firing_after_existed_before() -> None:
    w = watch()
    w.before(seen(alert("A", PENDING)))
    [event] = w.observe(seen(alert("A", FIRING)), 1.0)
    assert event.existed_before


def test_what_ended_before_the_injection_is_silent_again() -> None:
    w = watch()
    w.before(seen(alert("A", FIRING)))
    w.before(seen())
    [event] = w.observe(seen(alert("A", FIRING)), 1.0)
    assert not event.existed_before


def test_before_an_unreachable_source_ends_nothing() -> None:
    w = watch()
    w.before(seen(alert("A", FIRING)))
    w.before(seen(down=True))
    [event] = w.observe(seen(alert("A", FIRING)), 1.0)
    assert event.existed_before


def test_what_the_first_answer_shows_was_there_before() -> None:
    w = watch()
    w.before(seen(down=True))
    assert w.observe(seen(down=True), 1.0) == ()
    [event] = w.observe(seen(alert("A", FIRING)), 2.0)
    assert event.existed_before
    [new] = w.observe(seen(alert("A", FIRING), alert("B", FIRING)), 3.0)
    assert not new.existed_before


def test_one_answer_before_is_enough() -> None:
    w = watch()
    w.before(seen(down=True))
    w.before(seen())
    w.before(seen(down=True))
    [event] = w.observe(seen(alert("A", FIRING)), 1.0)
    assert not event.existed_before


def test_an_old_alert_that_ends_and_comes_back_is_new() -> None:
    w = watch()
    w.before(seen(alert("A", FIRING)))
    w.observe(seen(alert("A", FIRING)), 1.0)
    [resolved] = w.observe(seen(), 2.0)
    assert (resolved.state, resolved.existed_before) == (RESOLVED, True)
    [again] = w.observe(seen(alert("A", FIRING)), 3.0)
    assert not again.existed_before


def test_an_old_alert_that_ended_unseen_is_no_event() -> None:
    w = watch()
    w.before(seen(alert("A", FIRING)))
    assert w.observe(seen(), 1.0) == ()


def test_the_evidence_counts_the_looks_since_the_injection() -> None:
    w = watch()
    w.before(seen(down=True))
    w.observe(seen(), 1.0)
    w.observe(seen(down=True), 2.0)
    w.observe(AlertsSeen((), (), (("A", "silenced"),)), 3.0)
    assert w.evidence.looks == 3
    assert w.evidence.unanswered == (("prometheus", 1),)
    assert w.evidence.suppressed == (("A", "silenced"),)


alerts = st.builds(
    lambda name, state, source, label: alert(name, state, source=source, x=label),
    st.sampled_from("AB"),
    st.sampled_from([PENDING, FIRING, NOTIFIED]),
    st.sampled_from(["prometheus", "receiver"]),
    st.sampled_from("12"),
)
looks = st.lists(
    st.builds(
        AlertsSeen,
        st.lists(alerts, max_size=6, unique_by=lambda a: (a.source, a.name, a.labels)).map(tuple),
        st.lists(st.sampled_from([DOWN, ("receiver", "timeout")]), max_size=2, unique=True).map(tuple),
    ),
    max_size=12,
)


@given(before=looks, after=looks)
def test_each_state_once_an_episode_and_resolved_only_after_firing(
    before: list[AlertsSeen], after: list[AlertsSeen]
) -> None:
    w = watch()
    for look in before:
        w.before(look)
    reported: dict[tuple[object, ...], set[AlertState]] = {}
    for at, look in enumerate(after):
        there = {(a.source, a.name, a.labels): a.state for a in look.alerts}
        down = {source for source, _ in look.unreachable}
        for event in w.observe(look, float(at)):
            key = (event.source, event.name, tuple(event.labels.items()))
            episode = reported.setdefault(key, set())
            if event.state is RESOLVED:
                assert FIRING in episode
                assert there.get(key) in (None, PENDING)
                assert there.get(key) or event.source not in down
                episode.clear()
            else:
                assert event.state not in episode
                assert there[key] is event.state
                episode.add(event.state)
        for key, state in there.items():
            assert state in reported[key], "what is there has been said"
        for key in list(reported):
            if key not in there and key[0] not in down:
                assert FIRING not in reported[key], "what fired and is gone has been resolved"
                reported[key].clear()
