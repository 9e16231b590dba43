"""Judging samples: held, broken, or nobody could tell."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gameday.engine.judge import Sample, Streak, all_hold, baseline_of, judge_condition, value_of
from gameday.journal.events import Outcome, Reading, ReadingState
from gameday.spec.location import Location
from gameday.spec.model import BlastRadius, Comparator, Condition, SignalId, SignalKind, Unit

ERRORS = SignalId("shop", SignalKind.ERRORS, "ratio")
TRAFFIC = SignalId("shop", SignalKind.TRAFFIC, "rate")


def condition(
    signal: SignalId = ERRORS, threshold: float = 0.01, for_s: float = 3.0, *, relative: bool = False
) -> Condition:
    return Condition(
        signal, Comparator.LESS, threshold, Unit.RATIO, for_s, "< 1%", Location(Path("x.yaml")), relative=relative
    )


def samples(*values: float | ReadingState, signal: SignalId = ERRORS) -> list[Sample]:
    found = []
    for number, value in enumerate(values):
        if isinstance(value, ReadingState):
            reading = Reading(str(signal), value, None, "why")
        else:
            reading = Reading(str(signal), ReadingState.OK, value)
        found.append(Sample(100.0 + number, {str(signal): reading}))
    return found


def outcome(*values: float | ReadingState, for_s: float = 3.0) -> Outcome:
    return judge_condition(condition(for_s=for_s), samples(*values), {}, 1.0).outcome


def test_it_holds() -> None:
    assert outcome(0, 0, 0) is Outcome.HELD


def test_a_breach_counts_when_it_lasts() -> None:
    assert outcome(0, 0.5, 0.5, 0, 0) is Outcome.HELD
    assert outcome(0, 0.5, 0.5, 0.5, 0) is Outcome.BROKEN
    assert outcome(0, 0.5, 0, 0.5, 0, 0.5) is Outcome.HELD


def test_without_a_duration_one_sample_is_enough() -> None:
    assert outcome(0, 0.5, 0, for_s=0) is Outcome.BROKEN


@pytest.mark.parametrize("state", [state for state in ReadingState if state is not ReadingState.OK])
def test_what_cannot_be_read_is_neither_good_nor_bad(state: ReadingState) -> None:
    assert outcome(state, state, state) is Outcome.UNREADABLE
    assert outcome(0, state, state, state) is Outcome.UNREADABLE
    assert outcome(0, 0, 0, state) is Outcome.HELD
    # It neither ends a breach nor makes it longer by itself.
    assert outcome(0, 0.5, state, 0.5, 0) is Outcome.BROKEN
    assert outcome(0, 0.5, state, 0, 0, 0) is Outcome.HELD


def test_no_samples_hold_nothing() -> None:
    assert outcome() is Outcome.UNREADABLE


def test_a_broken_signal_stays_broken_however_much_is_unreadable() -> None:
    dark = [ReadingState.STALE] * 20
    assert outcome(0.5, 0.5, 0.5, *dark) is Outcome.BROKEN


def test_the_worst_and_the_reason_are_said() -> None:
    judgement = judge_condition(condition(), samples(0.1, 0.4, 0.2), {}, 1.0)
    assert judgement.worst == 0.4
    assert judgement.breached_for_s == 3.0
    dark = judge_condition(condition(), samples(ReadingState.NAN, ReadingState.NAN), {}, 1.0)
    assert dark.detail == "nan: why"


def test_change_is_relative_to_the_baseline_and_in_both_directions() -> None:
    changing = condition(TRAFFIC, 0.3, for_s=0, relative=True)
    baseline = baseline_of(samples(90, 100, 1000, signal=TRAFFIC))
    assert baseline == {"shop.traffic.rate": 100}
    assert value_of(changing, samples(60, signal=TRAFFIC)[0], baseline) == pytest.approx(0.4)
    assert value_of(changing, samples(140, signal=TRAFFIC)[0], baseline) == pytest.approx(0.4)
    assert judge_condition(changing, samples(75, 125, signal=TRAFFIC), baseline, 1.0).outcome is Outcome.HELD
    assert judge_condition(changing, samples(60, signal=TRAFFIC), baseline, 1.0).outcome is Outcome.BROKEN
    assert value_of(changing, samples(60, signal=TRAFFIC)[0], {}) is None
    assert value_of(changing, samples(60, signal=TRAFFIC)[0], {"shop.traffic.rate": 0.0}) is None


def test_all_hold_knows_that_it_does_not_know() -> None:
    both = [condition(), condition(TRAFFIC, 200)]
    readable = Sample(0, {**samples(0)[0].readings, **samples(100, signal=TRAFFIC)[0].readings})
    assert all_hold(both, readable, {}) is True
    assert all_hold(both, samples(0)[0], {}) is None
    assert all_hold(both, samples(0.5)[0], {}) is False


@given(st.lists(st.one_of(st.none(), st.booleans())))
def test_a_streak_is_never_longer_than_its_samples(matches: list[bool | None]) -> None:
    streak = Streak(1.0)
    for at, match in enumerate(matches):
        length = streak.feed(float(at), match)
        assert length <= at + 1
        assert (length > 0) == (match is True)
    assert streak.longest_s <= len(matches)


@given(st.integers(0, 10_000), st.integers(1, 1000))
def test_a_share_is_never_rounded_up(total: int, permille: int) -> None:
    share = permille / 1000
    number = BlastRadius(share=share).of(total)
    assert number * 1000 <= permille * total
    assert (number + 1) * 1000 > permille * total
