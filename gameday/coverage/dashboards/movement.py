"""Says whether what a panel shows changed while a fault was in place. Pure; no I/O.

What a series did before the injection is compared with what it did from there to the undo. A series has moved when

- two points in a row lie above, or two below, the range of before, widened by a margin: the largest of a multiple of
  the spread (the median absolute deviation; for a normal distribution, 3 standard deviations, and more for more
  series), a share of the range (half of it, and more for fewer points) and 1 % of the median;
- it only rose (or only fell) before, as counters do, and its slope leaves the range of before in this way, or it falls
  below all that it was: it was reset;
- it was not there before, or is gone for longer than three points, unless series came and went before as well.

Of fewer than 3 points before or after (5 points before, for what only rises), nothing is said. What the method cannot
see: a shift within the range of before, a peak of one point, and what is drawn from the data by a panel's
transformations. What it takes for movement though it is none: a drift that goes on for much longer after the injection
than it was looked at before.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from statistics import median

import msgspec

from gameday.coverage.dashboards.base import Window

_LEAST = 3  # points, on either side
_LEAST_RISING = 5  # points before, of what only rises: fewer may rise by chance
_IN_A_ROW = 2
_SIGMA = 1.4826  # of a normal distribution, in median absolute deviations
_SIGMAS = 3.0
_SHARE = 0.5  # of the range of before
_FEW = 8.0  # points, of which the range says little: the share grows by the square of this over their number
_FLOOR = 0.01  # of the median: less is not seen in a graph
_GONE = 3  # points that are not there
_LATE_S = 60.0  # how late the last points may come to their source
_MOST = 500  # series that are compared


class Series(msgspec.Struct, frozen=True):
    """One line of a graph. `times` are Unix times and rise; `values` are finite, one a time."""

    times: tuple[float, ...]
    values: tuple[float, ...]


def make_series(points: Iterable[tuple[float, float | None]]) -> Series:
    """The series of these points in time and value, in any order. What is no number is a gap."""
    known = {at: value for at, value in points if value is not None and math.isfinite(value) and math.isfinite(at)}
    times = tuple(sorted(known))
    return Series(times, tuple(known[at] for at in times))


class _Halves(msgspec.Struct, frozen=True):
    """A series before the injection, and from there to the undo."""

    before: Series
    during: Series


def has_moved(series: Sequence[Series], window: Window) -> bool | None:
    """Whether any of a panel's series has moved; None where there is nothing to compare, or too little of it."""
    if window.injected is None or window.undone is None:
        return None
    halves = [_split(one, window.injected, window.undone) for one in series[:_MOST]]
    comparable = [one for one in halves if min(len(one.before.times), len(one.during.times)) >= _LEAST]
    sigmas = _SIGMAS + math.sqrt(2 * math.log(max(1, len(comparable))))  # the largest of so many normal deviations
    verdicts = [_leaves(one, sigmas) for one in comparable]
    if any(verdicts) or _come_or_gone(halves, window.start, window.injected, window.undone):
        return True
    return None if all(verdict is None for verdict in verdicts) else False


def _split(series: Series, injected: float, undone: float) -> _Halves:
    def part(wanted: Callable[[float], bool]) -> Series:
        points = [(at, value) for at, value in zip(series.times, series.values, strict=True) if wanted(at)]
        return Series(tuple(at for at, _ in points), tuple(value for _, value in points))

    return _Halves(part(lambda at: at < injected), part(lambda at: injected <= at <= undone))


def _leaves(halves: _Halves, sigmas: float) -> bool | None:
    before, during = halves.before.values, halves.during.values
    if _rises(before):
        return _leaves_slope(halves, sigmas, 1.0)
    if _rises([-value for value in before]):
        return _leaves_slope(halves, sigmas, -1.0)
    low, high = _bounds(before, sigmas)
    return _beyond(during, low, high)


def _rises(values: Sequence[float]) -> bool:
    steps = [after - before for before, after in pairwise(values)]
    return all(step >= 0 for step in steps) and 2 * sum(step > 0 for step in steps) > len(steps)


def _leaves_slope(halves: _Halves, sigmas: float, sign: float) -> bool | None:
    """`sign`: -1 for what only falls."""
    before, during = halves.before, halves.during
    if len(before.times) < _LEAST_RISING:
        return None
    reset = sign * before.values[0] - _FLOOR * abs(median(before.values))
    if _beyond([sign * value for value in during.values], reset, math.inf):
        return True
    low, high = _bounds(_slopes(before), sigmas)
    return _beyond(_slopes(during), low, high)


def _slopes(series: Series) -> list[float]:
    points = pairwise(zip(series.times, series.values, strict=True))
    return [(value - earlier) / (at - since) for (since, earlier), (at, value) in points]


def _bounds(values: Sequence[float], sigmas: float) -> tuple[float, float]:
    """The range of the values, widened by the margin."""
    middle = median(values)
    spread = _SIGMA * median(abs(value - middle) for value in values)
    low, high = min(values), max(values)
    margin = max(sigmas * spread, (_SHARE + (_FEW / len(values)) ** 2) * (high - low), _FLOOR * abs(middle))
    return low - margin, high + margin


def _beyond(values: Sequence[float], low: float, high: float) -> bool:
    above = below = 0
    for value in values:
        above = above + 1 if value > high else 0
        below = below + 1 if value < low else 0
        if max(above, below) >= _IN_A_ROW:
            return True
    return False


def _come_or_gone(halves: Sequence[_Halves], start: float, injected: float, undone: float) -> bool:
    steps = [
        after - before for one in halves for part in (one.before, one.during) for before, after in pairwise(part.times)
    ]
    if not steps:
        return False
    gone_s = _GONE * median(steps)
    if min(injected - start, undone - injected) < gone_s:
        return False
    # Where series come and go all the time, as those of a `topk` do, that they do so says nothing.
    if any(one.before.times and _longest_gap(one.before.times, start, injected) > gone_s for one in halves):
        return False
    return any(_has_come(one) or _is_gone(one, start, injected, undone, gone_s) for one in halves)


def _has_come(halves: _Halves) -> bool:
    return not halves.before.times and len(halves.during.times) >= _LEAST


def _is_gone(halves: _Halves, start: float, injected: float, undone: float, gone_s: float) -> bool:
    before, during = halves.before.times, halves.during.times
    if len(before) < _LEAST:
        return False
    gone_s = max(gone_s, 2 * _longest_gap(before, start, injected))
    # What is missing at the end may only be late.
    return _longest_gap(during, injected, max(injected, undone - _LATE_S)) > gone_s


def _longest_gap(times: Sequence[float], since: float, until: float) -> float:
    known = [since, *(at for at in times if since < at < until), until]
    return max(after - before for before, after in pairwise(known))
