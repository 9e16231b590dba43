"""Whether what a panel shows moved while a fault was in place."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gameday.coverage.dashboards.base import Window
from gameday.coverage.dashboards.movement import Series, has_moved, make_series

STEP_S = 15.0
START, INJECTED, UNDONE = 0.0, 300.0, 600.0
WINDOW = Window(START, UNDONE, INJECTED, UNDONE)
BEFORE = 20  # points, and as many after


def line(*values: float | None) -> Series:
    return make_series((STEP_S * index, value) for index, value in enumerate(values))


def moved(*series: Series) -> bool | None:
    return has_moved(series, WINDOW)


def noise(seed: int, middle: float = 100.0, spread: float = 1.0, count: int = BEFORE) -> list[float]:
    rng = random.Random(seed)
    return [rng.gauss(middle, spread) for _ in range(count)]


@pytest.mark.parametrize(
    ("before", "during", "expected"),
    [
        ([3.0] * 20, [3.0] * 20, False),
        ([3.0] * 20, [2.0] * 20, True),  # a replica that is gone
        ([0.0] * 20, [0.0] * 5 + [0.02] * 3 + [0.0] * 12, True),  # errors where there were none
        ([1000.0] * 20, [1001.0] * 20, False),  # nobody sees that
        ([3.0] * 20, [3.0] * 10 + [9.0] + [3.0] * 9, False),  # one point
        ([3.0] * 20, [3.0] * 10 + [9.0, 9.0] + [3.0] * 8, True),
        ([3.0] * 20, [9.0, -9.0] * 10, False),  # two points, but not on one side
        ([0.0, 5.0] * 10, [0.0, 5.0] * 10, False),
        ([0.0] * 10 + [5.0] + [0.0] * 9, [0.0, 5.0, 6.0, 5.0] * 5, False),  # as it has been before
        ([0.0] * 10 + [5.0] + [0.0] * 9, [50.0] * 20, True),
    ],
)
def test_levels(before: list[float], during: list[float], expected: bool) -> None:
    assert moved(line(*before, *during)) is expected


@pytest.mark.parametrize("seed", range(40))
def test_noise_is_no_movement_and_an_outage_is(seed: int) -> None:
    before, during = noise(seed), noise(seed + 1000)
    assert moved(line(*before, *during)) is False
    assert moved(line(*before, *(value + 15 for value in during))) is True
    assert moved(line(*before, *(value - 15 for value in during))) is True


def test_many_series_take_more_to_move() -> None:
    series = [line(*noise(seed), *noise(seed + 1000)) for seed in range(200)]
    assert moved(*series) is False
    assert moved(*series, line(*noise(7), *(value + 15 for value in noise(8)))) is True


def test_what_moves_one_does_not_move_it_among_many() -> None:
    before = [99.0, 101.0] * 10
    blip = line(*before, *before[:10], 106.0, 106.0, *before[:8])
    assert moved(blip) is True
    assert moved(blip, *[line(*before, *before)] * 99) is False


def counter(*rates: float) -> Series:
    total, values = 1000.0, []
    for rate in rates:
        total += rate * STEP_S
        values.append(total)
    return line(*values)


def test_a_counter_that_rises_as_before_has_not_moved() -> None:
    assert moved(counter(*noise(1, 10.0), *noise(2, 10.0))) is False


@pytest.mark.parametrize("rate", [0.0, 40.0])
def test_a_counter_that_rises_otherwise_has(rate: float) -> None:
    assert moved(counter(*noise(1, 10.0), *noise(2, rate, 0.5 if rate else 0.0))) is True


def test_what_only_falls_is_judged_likewise() -> None:
    falling = [1000.0 - 5 * index for index in range(40)]
    assert moved(line(*falling)) is False
    assert moved(line(*falling[:20], *(900.0 - 50 * index for index in range(20)))) is True


def test_a_counter_that_is_reset_has_moved() -> None:
    rising = [1000.0 + 5 * index for index in range(40)]
    assert moved(line(*rising[:25], *(5.0 * index for index in range(15)))) is True


@pytest.mark.parametrize(
    ("before", "during"),
    [((1.0, 2.0), (9.0,) * 9), ((1.0,) * 20, (9.0, 9.0)), ((), ()), ((1.0, 2.0, 3.0), (9.0,) * 20)],
)
def test_of_too_little_nothing_is_said(before: tuple[float, ...], during: tuple[float, ...]) -> None:
    points = [(INJECTED - 15 * n, value) for n, value in enumerate(reversed(before), 1)]
    points += [(INJECTED + 15 * n, value) for n, value in enumerate(during)]
    window = Window(INJECTED - 45, INJECTED + 15 * max(1, len(during)), INJECTED, INJECTED + 15 * max(1, len(during)))
    assert has_moved([make_series(points)], window) is None


def test_without_an_injection_nothing_is_compared() -> None:
    assert has_moved([line(*[1.0] * 20, *[9.0] * 20)], Window(START, UNDONE)) is None
    assert has_moved([], WINDOW) is None


def test_what_is_no_number_is_a_gap() -> None:
    gaps: list[float | None] = [1.0, None, 1.0, math.nan, 1.0, math.inf, 1.0, -math.inf] * 5
    assert line(*gaps).values == (1.0,) * 20
    assert moved(line(*gaps)) is False
    assert moved(line(*[None] * 40)) is None


@pytest.mark.parametrize("since", [20, 28])
def test_a_series_that_appears_has_moved(since: int) -> None:
    steady = line(*[1.0] * 40)
    late = line(*[None] * since, *[1.0] * (40 - since))
    assert moved(steady, late) is True
    assert moved(late) is True  # where nothing was before, too


def test_a_series_that_is_gone_has_moved() -> None:
    assert moved(line(*[1.0] * 25, *[None] * 15)) is True
    assert moved(line(*[1.0] * 25, *[None] * 10, *[1.0] * 5)) is True


def test_the_last_points_may_be_late() -> None:
    assert moved(line(*[1.0] * 36, *[None] * 4)) is False


def test_where_series_come_and_go_that_says_nothing() -> None:
    coming = [line(*[None] * n, *[1.0] * 6, *[None] * (34 - n)) for n in range(0, 34, 2)]
    assert moved(line(*[1.0] * 40), *coming) is False
    assert moved(line(*[1.0] * 20, *[9.0] * 20), *coming) is True


def test_sparse_series_are_not_taken_for_gone() -> None:
    sparse = make_series([(0.0, 1.0), (150.0, 1.0), (299.0, 1.0), (450.0, 1.0)])
    assert moved(sparse) is None


@pytest.mark.parametrize(("again", "expected"), [(375.0, False), (405.0, True)])
def test_a_series_with_gaps_is_gone_after_a_longer_one(again: float, expected: bool) -> None:
    before = [15.0 * n for n in range(20) if n not in (10, 11)]  # 45 s without a point
    after = [300.0, *(again + 15 * n for n in range(10))]
    assert moved(make_series((at, 1.0) for at in [*before, *after])) is expected


values = st.one_of(st.none(), st.floats(width=32), st.floats(-1e300, 1e300))


@given(st.lists(st.lists(st.tuples(st.floats(-50, 700), values), max_size=60), max_size=6))
def test_whatever_comes_there_is_an_answer(points: list[list[tuple[float, float | None]]]) -> None:
    assert moved(*map(make_series, points)) in (True, False, None)


@given(st.lists(st.floats(-1e6, 1e6), min_size=20, max_size=20), st.randoms(use_true_random=False))
def test_what_repeats_what_was_before_has_not_moved(before: list[float], rng: random.Random) -> None:
    during = [*before]
    if before == sorted(before) or before == sorted(before, reverse=True):
        return  # a counter that begins anew has moved
    rng.shuffle(during)
    assert moved(line(*before, *during)) is False
