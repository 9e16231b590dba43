"""Pairs: over time everybody meets everybody, turns are shared, nobody leads twice running, and it is said why."""

from collections import Counter
from itertools import pairwise, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gameday.people import Pair, PastSession, propose_pairs
from gameday.spec.model import GivenPair, People

DAY = 86400.0
MARCH_6 = 1772755200.0  # 2026-03-06, 00:00 UTC


def team(builders: int, sres: int) -> People:
    return People(
        builders=tuple(f"@builder-{number}" for number in range(builders)),
        sres=tuple(f"@sre-{number}" for number in range(sres)),
    )


def hold(people: People, sessions: int, experiments: int = 1, past: tuple[PastSession, ...] = ()) -> list[PastSession]:
    """So many sessions, one a day, each with the pairs that are proposed."""
    held = list(past)
    for _ in range(sessions):
        at = held[-1].at + DAY if held else MARCH_6
        held.append(PastSession(at, propose_pairs(people, experiments, held)))
    return held[len(past) :]


def leaders(sessions: list[PastSession]) -> list[set[str | None]]:
    return [{session.pairs[0].builder, session.pairs[0].sre} for session in sessions]


def two(found: Pair) -> tuple[str | None, str | None]:
    return found.builder, found.sre


sizes = st.integers(1, 7)


@given(sizes, sizes)
def test_everybody_meets_everybody_exactly_once(builders: int, sres: int) -> None:
    people = team(builders, sres)
    sessions = hold(people, builders * sres)
    assert Counter(two(session.pairs[0]) for session in sessions) == Counter(product(people.builders, people.sres))
    assert all("have not met before" in session.pairs[0].reason for session in sessions)


@given(sizes, sizes, st.integers(1, 80))
def test_turns_differ_by_one_at_most(builders: int, sres: int, sessions: int) -> None:
    people = team(builders, sres)
    turns = Counter(name for session in hold(people, sessions) for name in two(session.pairs[0]))
    for role in (people.builders, people.sres):
        counts = [turns[name] for name in role]
        assert max(counts) - min(counts) <= 1


@given(sizes.filter(lambda n: n > 1), sizes.filter(lambda n: n > 1), st.integers(1, 3))
def test_nobody_leads_twice_running(builders: int, sres: int, experiments: int) -> None:
    sessions = hold(team(builders, sres), 2 * builders * sres, experiments)
    repeated = [before & after for before, after in pairwise(leaders(sessions))]
    if builders + sres > 4:
        assert not any(repeated)
    else:  # two and two: whoever is to meet the other of the two must
        assert max(map(len, repeated)) == 1


def test_with_two_and_two_meeting_goes_first() -> None:
    people = team(2, 2)
    sessions = hold(people, 8)
    assert Counter(two(session.pairs[0]) for session in sessions[4:]) == Counter(product(people.builders, people.sres))
    assert sessions[2].pairs[0].reason == (
        "@builder-0 and @sre-1 have not met before; @sre-1 leads again, so that all meet"
    )


def test_the_only_one_leads_again() -> None:
    _, second = hold(team(1, 3), 2)
    assert second.pairs[0].reason == (
        "@builder-0 and @sre-1 have not met before; @builder-0 leads again, for want of others"
    )


names = st.sampled_from(["@a", "@b", "@c", "@d", "@e", "@f"])
histories = st.lists(
    st.builds(
        PastSession,
        st.integers(0, 300).map(lambda days: MARCH_6 + days * DAY),
        st.lists(st.builds(Pair, st.none() | names, st.none() | names), min_size=1, max_size=3).map(tuple),
    ),
    max_size=12,
)
peoples = st.builds(
    People,
    builders=st.lists(names, max_size=5).map(tuple),
    sres=st.lists(names, max_size=5).map(tuple),
    pairs=st.lists(st.builds(GivenPair, st.none() | names, st.none() | names), max_size=4).map(tuple),
)


@given(peoples, histories, st.integers(1, 4), st.randoms(use_true_random=False))
def test_order_does_not_matter(people: People, history: list[PastSession], experiments: int, dice: object) -> None:
    builders, sres, shuffled = list(people.builders), list(people.sres), list(history)
    for each in (builders, sres, shuffled):
        dice.shuffle(each)  # type: ignore[attr-defined]
    again = People(builders=tuple(builders), sres=tuple(sres), pairs=people.pairs)
    assert propose_pairs(again, experiments, shuffled) == propose_pairs(people, experiments, history)


@given(peoples, histories, st.integers(1, 4))
def test_whatever_has_been(people: People, history: list[PastSession], experiments: int) -> None:
    """Who is named takes it; nobody is paired with themselves; a pair is found wherever there is one; all is said."""
    found = propose_pairs(people, experiments, history)
    assert len(found) == experiments
    for index, one in enumerate(found):
        named = people.pairs[index] if index < len(people.pairs) else GivenPair()
        assert one.reason
        assert one.builder is None or one.builder != one.sre
        builders = {named.builder} if named.builder else set(people.builders)
        sres = {named.sre} if named.sre else set(people.sres)
        if any(builder != sre for builder in builders for sre in sres):
            assert one.builder in builders
            assert one.sre in sres
        else:
            assert one.builder is None or one.sre is None


@settings(max_examples=30)
@given(st.integers(2, 4), st.integers(2, 4), st.data())
def test_after_any_past_all_meet(builders: int, sres: int, data: st.DataObject) -> None:
    people = team(builders, sres)
    pairs = st.builds(Pair, st.sampled_from(people.builders), st.sampled_from(people.sres))
    sessions = st.builds(PastSession, st.just(MARCH_6), st.lists(pairs, min_size=1, max_size=2).map(tuple))
    past = tuple(data.draw(st.lists(sessions, max_size=12)))
    met = Counter(two(one) for session in past for one in session.pairs)
    # Each session lessens what the others are ahead, and leading again weighs two at most.
    most = max(met.values(), default=0)
    for session in hold(people, (most + 3) * builders * sres, past=past):
        met[two(session.pairs[0])] += 1
    counts = [met[each] for each in product(people.builders, people.sres)]
    assert max(counts) - min(counts) <= 2


def test_last_met() -> None:
    past = [PastSession(MARCH_6 + 3600, (Pair("@ada", "@grace"),))]
    people = People(builders=("@ada",), sres=("@grace",))
    [found] = propose_pairs(people, 1, past)
    assert found.reason == ("@ada and @grace last met on 2026-03-06; @ada and @grace lead again, for want of others")
    damaged = [PastSession(1e300, past[0].pairs)]
    assert "last met on a day that is not known" in propose_pairs(people, 1, damaged)[0].reason


def test_whoever_has_waited_longest_comes_first() -> None:
    people = team(1, 3)
    ago = {"@sre-0": 5, "@sre-1": 9, "@sre-2": 7}
    past = [PastSession(MARCH_6 - days * DAY, (Pair("@builder-0", sre),)) for sre, days in ago.items()]
    assert propose_pairs(people, 3, past)[0].sre == "@sre-1"
    assert [one.sre for one in propose_pairs(people, 3, past)] == ["@sre-1", "@sre-2", "@sre-0"]


def test_whoever_had_fewer_turns_comes_first() -> None:
    past = [PastSession(MARCH_6, (Pair("@x", "@y"), Pair("@builder-0", "@left"), Pair("@z", "@sre-1")))]
    [found] = propose_pairs(team(2, 3), 1, past)
    assert (found.builder, found.sre) == ("@builder-1", "@sre-0")


def test_in_one_session_others_come_before_the_same_two() -> None:
    people = team(2, 1)
    past = [PastSession(MARCH_6, (Pair("@builder-1", "@sre-0"),))]
    first, second, third = propose_pairs(people, 3, past)
    assert [one.builder for one in (first, second, third)] == ["@builder-0", "@builder-1", "@builder-0"]
    assert second.reason == "@builder-1 and @sre-0 last met on 2026-03-06"
    assert third.reason == "@builder-0 and @sre-0 meet once more in this session"


def test_given_pairs_count() -> None:
    people = People(
        builders=("@ada", "@lin"),
        sres=("@grace", "@ken"),
        pairs=(GivenPair(), GivenPair("@ada", "@grace"), GivenPair(sre="@grace")),
    )
    first, second, third = propose_pairs(people, 3)
    assert two(first) == ("@lin", "@ken")  # who have not what the second will bring
    assert (two(second), second.reason) == (("@ada", "@grace"), "named in the game day")
    assert two(third) == ("@lin", "@grace")
    assert third.reason == "@lin and @grace have not met before; @grace is named in the game day"


@pytest.mark.parametrize(
    ("people", "expected"),
    [
        (People(), Pair(None, None, "nobody is named")),
        (People(builders=("@ada", "@lin")), Pair("@ada", None, "no SRE is named")),
        (People(sres=("@grace",)), Pair(None, "@grace", "no builder is named")),
        (
            People(builders=("@ada",), sres=("@ada",)),
            Pair("@ada", None, "@ada is the only one named for both, and a pair is two people"),
        ),
        (
            People(builders=("@lin",), pairs=(GivenPair("@ada", "@ada"),)),
            Pair("@ada", None, "@ada is the only one named for both, and a pair is two people"),
        ),
    ],
)
def test_where_there_is_no_pair(people: People, expected: Pair) -> None:
    assert propose_pairs(people, 1) == (expected,)


def test_a_session_of_others_is_not_theirs_to_have_led() -> None:
    people = team(2, 3)
    ours = PastSession(MARCH_6, (Pair("@builder-0", "@sre-0"),))
    others = PastSession(MARCH_6 + DAY, (Pair("@x", "@y"),))
    [found] = propose_pairs(people, 1, [ours, others])
    assert not {"@builder-0", "@sre-0"} & {found.builder, found.sre}
